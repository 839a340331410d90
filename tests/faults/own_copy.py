"""`bertsmith` on machines of which each has its own copy of a corpus: `own_copy.py WORDS…`, with {rank} in its path."""

import os
import sys

from bertsmith.cli.main import main

if __name__ == "__main__":
    sys.exit(main([word.replace("{rank}", os.environ["RANK"]) for word in sys.argv[1:]]))
