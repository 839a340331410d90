"""What torch and the libraries below it read from the environment when they are loaded."""

import os

DEFAULTS = {
    # How long a thread of OpenMP spins at a barrier. Beside other busy processes threads that spin long make a step on
    # few cores 10 to 30 times slower (2 s for 50 ms); at this count a machine of our own loses nothing.
    "GOMP_SPINCOUNT": "10000",
    # Nearly every batch of texts has another number of tokens, and for each shape torch and oneDNN keep code, for a
    # thousand of them if nothing is said: more than a gigabyte, hardly ever used again.
    "LRU_CACHE_CAPACITY": "64",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
}


def set_defaults() -> None:
    """Set those that are not set. Where torch is loaded already it reads them no more."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
