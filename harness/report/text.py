"""Text from outside on its way into the page: one line, printable, of bearable length, escaped."""

from html import escape
from typing import Final

from harness.grid import clean

__all__ = ["LONG", "SHORT", "cut", "safe"]

SHORT: Final = 200  # characters of a name
LONG: Final = 2_000  # of whatever else; of a longer text its beginning is shown, and how long it is


def cut(text: object, most: int = LONG) -> str:
    """Cleaned for people; of more than `most` characters the first, and how many there are in all."""
    whole = str(text)
    if len(whole) <= most:
        return clean(whole)
    return f"{clean(whole[:most])}\N{HORIZONTAL ELLIPSIS} ({len(whole):,} characters)"


def safe(text: object, most: int = LONG) -> str:
    """The same for HTML, as text or as an attribute's value in quotes."""
    return escape(cut(text, most))
