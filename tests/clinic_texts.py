"""A few sentences of the same words: what the tiny BERT of the tests has its vocabulary from."""

TEXTS = [
    "The patient was given a strong medicine against the pain.",
    "A nurse saw the doctor in the ward, and the doctor saw the nurse.",
    "Patients were giving their medicines to the nurses; pains in all wards!",
]
