"""Text that was damaged on its way, mended by ftfy."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftfy import TextFixerConfig

# All that ftfy looks for in ASCII: entities, control characters, ends of lines. Most English documents have none.
_SUSPECT_ASCII = re.compile(r"[&\x00-\x08\x0b-\x1f\x7f]")


def mend(text: str) -> str:
    """The text without mojibake, HTML entities, control characters, ligatures and lone surrogates, in NFC.

    What is right stays as it is: curly quotes, and the wide punctuation of Chinese, which ftfy would straighten
    by default.

    Reference:
        https://ftfy.readthedocs.io
    """
    if text.isascii() and not _SUSPECT_ASCII.search(text):
        return text
    import ftfy

    return ftfy.fix_text(text, _config())


@cache
def _config() -> TextFixerConfig:
    from ftfy import TextFixerConfig

    return TextFixerConfig(uncurl_quotes=False, fix_character_width=False, explain=False)
