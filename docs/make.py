"""Runs how-bert-works.md: its model, its page and its pictures, into docs/made.

python docs/make.py            what the page tells to do, done
python docs/make.py --write    the same, and what was printed put into the page
"""

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).with_name("how-bert-works.md")
_BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)


def run(text: str, folder: Path) -> Iterator[tuple[re.Match[str], str]]:
    """Run a page's blocks of Python one after the other, in a folder with the model `small-bert`.

    Yields:
        Each block, of which group 2 is the output that the page shows (None without), and what it printed.
    """
    names: dict[str, object] = {}
    with contextlib.chdir(folder):
        for block in _BLOCK.finditer(text):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(block[1], PAGE.name, "exec"), names)
            yield block, re.sub(r" +$", "", printed.getvalue(), flags=re.MULTILINE)


def written(text: str, folder: Path) -> str:
    """The page with what its blocks print."""
    parts, end = [], 0
    for block, printed in run(text, folder):
        if block[2] is not None:
            parts += [text[end : block.start(2)], printed]
            end = block.end(2)
    return "".join([*parts, text[end:]])


def main() -> None:
    from small_bert import make

    made = PAGE.with_name("made")
    if not (made / "small-bert").exists():
        make(made / "small-bert")
    page = written(PAGE.read_text(encoding="utf-8"), made)
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page, encoding="utf-8")
    print(f"{os.path.relpath(made)}: " + ", ".join(sorted(file.name for file in made.iterdir())))


if __name__ == "__main__":
    main()
