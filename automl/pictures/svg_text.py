"""What pictures share: text that an SVG document can hold, and the font it is set in."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

FONT = "Inter,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"


def escaped(text: str) -> str:
    """Text for XML: markup escaped, and characters that XML 1.0 cannot hold replaced.

    Examples:
        >>> escaped("a < b \\x01")
        'a &lt; b \ufffd'
    """
    return escape(re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text))
