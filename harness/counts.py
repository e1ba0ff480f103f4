"""Token counts as users write them: their bounds, the plain numbers they are written in, and what is said of others.

Numbers are plain decimals: no sign, exponent, separator (`1_000`) or unit, since a slip of the pen there is a run
of the wrong size. Every function takes the option and its whole text, so that an error can name both.
"""

import re
from typing import Final

from harness.errors import ConfigError

__all__ = ["HIGH", "LOW", "clip", "decimal", "text_of", "whole", "wrong"]

LOW: Final = 1
HIGH: Final = 1_000_000

# Six decimals at most, so that `text_of` gives every number back digit for digit.
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,12}", re.ASCII)


def clip(tokens: float) -> int:
    """The nearest whole count within the bounds."""
    return min(max(round(tokens), LOW), HIGH)


def text_of(number: float) -> str:
    """A plain decimal that `decimal` reads as the same number."""
    return f"{number:.6f}".rstrip("0").rstrip(".")


def decimal(number: str, option: str, text: str, example: str) -> float:
    """A plain decimal from 0 to `HIGH`."""
    if not _DECIMAL.fullmatch(number):
        raise wrong(option, text, f"has {number!r} where a plain positive number belongs", example)
    if float(number) > HIGH:
        raise wrong(option, text, f"has {number}, more than {HIGH} tokens", example)
    return float(number)


def whole(number: str, option: str, text: str, example: str) -> int:
    """A token count: a plain whole number from `LOW` to `HIGH`."""
    if not _WHOLE.fullmatch(number):
        raise wrong(option, text, f"has {number!r} where a plain whole number belongs", example)
    if not LOW <= int(number) <= HIGH:
        raise wrong(option, text, f"has {number}, outside {LOW} to {HIGH} tokens", example)
    return int(number)


def wrong(option: str, text: str, problem: str, example: str) -> ConfigError:
    """One line: the option, its text, what is wrong with it and what would be right."""
    return ConfigError(f"{option} {text!r} {problem}; write for example {example}")
