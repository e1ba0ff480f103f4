"""`{name}` in the texts of a campaign file: an axis' value of this run, or a free port.

Only names that are known are replaced, each once, so that the braces of a JSON object stay what they are.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["PORT", "fill", "used"]

PORT: Final = "port"
_NAME: Final = re.compile(r"\{([a-z][a-z0-9_-]*)\}")


def used(texts: Iterable[str]) -> set[str]:
    """The names that stand in braces in any of the texts."""
    return {name for text in texts for name in _NAME.findall(text)}


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with what the names stand for; what has no value stays."""
    return _NAME.sub(lambda found: values.get(found[1], found[0]), text)
