"""Numbers: `0 1 2 3 ...`, cut to exactly the size asked. Maritaca's prompt, for comparison with what they published.

It is the same for every request of a size, as theirs is, so a server that keeps prefixes answers all but the first
from its cache. That is what their script measures too; it is not honest for anything else.
"""

from bisect import bisect_right
from collections.abc import Callable
from typing import Final

_STEP: Final = 10  # numbers that stand for a sentence
_DIGITS: Final = 6  # at most so many are put to the last number
LEXICON: Final = tuple(str(number) for number in range(100))


def groups(count: int) -> tuple[str, ...]:
    """The sequence in pieces of ten numbers: `0 1 ... 9`, ` 10 11 ... 19`, and so on."""
    each = (" ".join(map(str, range(at, at + _STEP))) for at in range(0, count * _STEP, _STEP))
    return tuple(f" {group}" if at else group for at, group in enumerate(each))


def cut(count: Callable[[str], int], tokens: int) -> str:
    """The sequence as far as `count` gives `tokens`, or the nearest below that its digits allow.

    What one more whole number would overshoot is made up by its first digits, or by more digits to the last number.
    """
    high = 16
    while count(_sequence(high)) < tokens:
        high *= 2
    fits = bisect_right(range(high), tokens, lo=1, key=lambda numbers: count(_sequence(numbers))) - 1
    whole, following = _sequence(max(1, fits)), str(max(1, fits))
    tries = [whole, *(f"{whole} {following[:digits]}" for digits in range(1, len(following)))]
    tries += [whole + "0" * digits for digits in range(1, _DIGITS)]
    tries += [f"{each} 0" for each in tries]
    return min(tries, key=lambda text: abs(count(text) - tokens))


def _sequence(numbers: int) -> str:
    return " ".join(map(str, range(numbers)))
