"""The page as one file that opens from disk: the modules of `page/`, their style and the numbers in one HTML text.

A server gives the same modules as they are. Here they are put behind one another; each names what it takes from the
others in `import { … } from "./other.js";` lines, and no two may give the same name to different things.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from bertsmith.safe_text import escape

if TYPE_CHECKING:  # a server reads the page where no torch is
    from bertsmith.explain.explanation import Explanation

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z_]+\.js)";\n', re.MULTILINE)
_FIRST = "file.js"

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<noscript>This page draws itself with JavaScript, which is switched off here.</noscript>
<script type="application/json" id="explanation">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def self_contained_page(explanation: Explanation) -> str:
    """The page, with a Content-Security-Policy that lets nothing in but what stands in it."""
    style, script = read_asset("page.css"), joined_modules()
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    title = escape(f"{explanation.recording.texts[0][:60]} · bertsmith")
    return _PAGE.format(policy=policy, title=title, style=style, data=as_script(explanation.as_json()), script=script)


def joined_modules() -> str:
    """All modules as one, those that others import before them."""
    names = modules_from(_FIRST)
    return "".join(re.sub(r"^export ", "", _IMPORT.sub("", read_asset(name)), flags=re.MULTILINE) for name in names)


def modules_from(first: str) -> list[str]:
    """The names of the modules that a module needs, those that others import before them, and its own."""
    order: list[str] = []
    _collect(first, order)
    return order


def _collect(name: str, order: list[str]) -> None:
    for needed in _IMPORT.findall(read_asset(name)):
        if needed not in order:
            _collect(needed, order)
    order.append(name)


def read_asset(name: str) -> str:
    """A file of `page/`."""
    return (files("bertsmith.explain") / "page" / name).read_text(encoding="utf-8")


def as_script(value: Any) -> str:
    """JSON that may stand in a script element: without "<" it can end nothing and begin nothing."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
