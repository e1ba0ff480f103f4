"""A model's text on a terminal: what would steer it, or turn the order of its letters round, is shown and not sent.

Line ends, tabs, blanks and what joins letters and emoji stay. A control character becomes its picture (ESC is `␛`); any other
that prints nothing, the marks and overrides of writing direction among them, becomes `<U+202E>`. Character by character, so that
it does not matter how a text is cut into pieces.
"""

import unicodedata
from typing import Final

__all__ = ["visible"]

_KEPT: Final = "\n\t\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
_MOST: Final = 4096  # remembered; hostile text has a million
_PICTURES: Final = 0x2400  # of the control characters, in their order


class _Table(dict[int, str]):
    """What stands for each character, made when it is first asked for."""

    def __missing__(self, code: int) -> str:
        said = _shown(chr(code))
        if len(self) < _MOST:
            self[code] = said
        return said


def visible(text: str) -> str:
    """The text as it may be printed."""
    return text if text.isprintable() else text.translate(_TABLE)


def _shown(character: str) -> str:
    if character in _KEPT or character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    code = ord(character)
    if code < 0x20:
        return chr(_PICTURES + code)
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else f"<U+{code:04X}>"


_TABLE: Final = _Table()
