// The stops above O but for the guess: how words are compared, and the head of a fine-tuned model.

import { bar, formula, h, indexed, soFar, strip, sub, tableOf, vector } from "./draw.js";
import { byFalling, decimal, dotProduct, percent, plus, powerOfE } from "./numbers.js";
import { drawAnswer } from "./answers.js";

const at = (x, name, place) => x.array(`masked_lm.${name}`).at(place).values;
const vocabulary = (x) => x.config.vocab_size.toLocaleString("en");

export function classificationStop(x, state) {
  const { place } = state,
    size = x.config.hidden_size;
  const [dense, activated] = [at(x, "dense", place), at(x, "activated", place)];
  const output = () => indexed("O", place + 1);
  const matrix = h("span", {}, h("var", {}, "M"), " ", output(), x.modern ? null : [" + ", h("var", {}, "b")]);
  return [
    h(
      "p",
      {},
      "For the guess at this place only ",
      output(),
      " goes on. It tells what the place is like; one more layer turns that into ",
      h("var", {}, "h"),
      `, what the vector of the word should be like. (A classification: the classes are the ${vocabulary(x)} WordPieces.)`,
    ),
    formula(
      h("var", {}, "h"),
      " = LayerNorm( GELU( ",
      matrix.cloneNode(true),
      " ) )",
      h(
        "span",
        { class: "quiet" },
        x.modern ? "\nM: a learned matrix" : "\nM, b: a learned matrix and a learned vector",
      ),
    ),
    vector(output(), x.array("output").at(place).values, size),
    vector(matrix, dense, size),
    vector("GELU of it", activated, size),
    h("p", { class: "worked" }, `first number: GELU(${decimal(dense[0])}) = ${decimal(activated[0])}`),
    vector([h("var", {}, "h"), " = LayerNorm of it"], at(x, "normed", place), size, "result"),
    soFar(x, place, h("var", {}, "h"), ", the vector that a fitting word would have."),
  ];
}

export function softmaxStop(x, state) {
  const guesses = x.guess(state.place);
  const [best] = guesses;
  const rows = guesses.map((guess, index) => ({
    mark: index === 0 ? "followed" : "",
    cells: [
      h("b", {}, guess.piece),
      strip(x.array("masked_lm.rows").at(state.place, index).values, `word embedding of ${guess.piece}`),
      decimal(guess.logit),
      bar(guess.probability, percent(guess.probability)),
    ],
  }));
  return [
    h(
      "p",
      {},
      "Every WordPiece has a vector already: its word embedding ",
      h("var", {}, "E"),
      " (stop 2). The dot product of ",
      h("var", {}, "h"),
      " with it, plus a learned number ",
      h("var", {}, "b"),
      " of its own (the bias), is the WordPiece’s ",
      h("b", {}, "logit"),
      ", its score. Softmax makes probabilities of all scores; they sum to 1.",
    ),
    formula(
      "logit",
      sub("w"),
      " = ",
      h("var", {}, "h"),
      " · ",
      h("var", {}, "E"),
      sub("w"),
      " + ",
      h("var", {}, "b"),
      sub("w"),
      ",   ",
      h("var", {}, "p"),
      sub("w"),
      " = ",
      power("logit", sub("w")),
      " / Σ",
      sub("v"),
      " ",
      power("logit", sub("v")),
      h("span", { class: "quiet" }, "\nfor each WordPiece w; the sum goes over all of them"),
    ),
    vector(h("var", {}, "h"), at(x, "normed", state.place), x.config.hidden_size),
    tableOf(
      "The likeliest WordPieces",
      ["WordPiece", "its vector E", { name: "logit", number: true }, { name: "probability", number: true }],
      rows,
    ),
    workedLogit(x, state.place, best),
    soFar(
      x,
      state.place,
      "of all WordPieces ",
      h("b", {}, best.piece),
      ` fits best: probability ${percent(best.probability)}.`,
    ),
  ];
}

const power = (...exponent) => [h("i", {}, "e"), h("sup", {}, exponent)];

function workedLogit(x, place, best) {
  const logit = decimal(best.logit);
  const dot = dotProduct(at(x, "normed", place), x.array("masked_lm.rows").at(place, 0).values, x.config.hidden_size);
  const sum = powerOfE(x.array("masked_lm.log_sum").values[place]);
  return [
    h(
      "p",
      { class: "worked" },
      "logit of ",
      h("b", {}, best.piece),
      `: h · E + b = ${plus(dot, decimal(best.bias))} = ${logit}`,
    ),
    h(
      "p",
      { class: "worked" },
      "its probability: ",
      power(logit),
      ` = ${powerOfE(best.logit)}; ÷ ${sum}, the sum of that over all ${vocabulary(x)}, = ${percent(best.probability)}`,
    ),
  ];
}

export function taskStop(x, state) {
  const { places, labels, name } = x.data.task;
  const index = Math.max(0, places.indexOf(state.place));
  const place = places[index];
  const logits = x.array("task.logits").at(index).values;
  const names =
    name === "answer" ? ["first token of the answer", "last token of the answer"] : labels.length ? labels : ["score"];
  const rows = byFalling(logits)
    .slice(0, 12)
    .map((output) => ({ mark: "", cells: [names[output], decimal(logits[output])] }));
  const read = {
    classify: "[CLS]",
    regress: "[CLS]",
    choose: "[CLS]",
    tag: "the first piece of each word",
    answer: "each token of the context, and [CLS]",
  }[name];
  return [
    h(
      "p",
      {},
      `In fine-tuning the layers that guess words were put aside, and a small one for the task put in their place: a matrix M and a vector b, learned from labelled examples. It reads the vector at ${read}.`,
    ),
    places.length > 1 &&
      places.indexOf(state.place) < 0 &&
      h("p", { class: "note" }, "The token that you follow is not read by this task; shown is the first that is."),
    formula("logits = ", h("var", {}, "M r"), " + ", h("var", {}, "b")),
    vector(
      h("span", {}, "r, read at ", h("b", {}, x.text(place))),
      x.array("task.read").at(index).values,
      x.config.hidden_size,
    ),
    tableOf(`Logits at ${x.text(place)}`, ["output", { name: "logit", number: true }], rows),
  ];
}

export function answerStop(x) {
  return drawAnswer(x);
}
