"""Users' text made safe for what is written with it: pages, cards, notebooks."""

import html
import re


def clean(text: str) -> str:
    """Text without what no page, card or UTF-8 file may hold: control characters, halves of surrogate pairs."""
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)


def escape(text: str) -> str:
    """Plain text as HTML, for between tags and within an attribute's quotation marks."""
    return html.escape(clean(text))
