"""Find the highest load that is held, where a single trial may be wrong.

Double until one is missed (or halve until one is held), then close in between the two, then hold the answer
once more. Near the limit a trial may ask for a smaller step up than doubling: far beyond it a load takes long
and shows nothing. A load counts as missed only if it is missed twice in a row: noise on a machine makes loads
fail that it can hold, hardly ever the other way round.

Pure: what a trial is, and how long it takes, is the caller's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Final, NamedTuple

from harness.selftest.steps import Verdict

RESOLUTION: Final = 0.1  # of the answer
PATIENCE: Final = 14  # trials before closing in is given up; a quiet machine needs about ten


class Shown(NamedTuple):
    """What a trial has shown, and by what factor (more than 1, at most 2) the load may be tried higher."""

    verdict: Verdict
    room: float = 2.0


Trial = Callable[[int], Shown]


@dataclass(frozen=True, slots=True)
class Found:
    """The highest load held; `at_least`: nothing shows that the next one up is too much."""

    load: int
    at_least: bool


def highest(trial: Trial, *, start: int, least: int, most: int) -> Found | None:
    """The highest load from `least` to `most` that `trial` holds, to a tenth; None if it holds none.

    On a machine so noisy that `PATIENCE` trials do not get that far, the answer is a lower bound.
    """
    made = 0

    def counted(load: int) -> Shown:
        nonlocal made
        made += 1
        return trial(load)

    low, high, why = _bracket(counted, start, least, most)
    if low is None:
        return None
    while high is not None and high - low > max(1, RESOLUTION * low):
        if made >= PATIENCE:
            why = Verdict.UNSHOWN
            break
        middle = _between(low, high)
        said = believed(counted, middle).verdict
        if said is Verdict.HELD:
            low = middle
        else:
            high, why = middle, said
    return _confirmed(counted, low, why, least)


def believed(trial: Trial, load: int) -> Shown:
    """What a load shows. One miss alone is not believed."""
    first = trial(load)
    return first if first.verdict is Verdict.HELD else trial(load)


def _bracket(trial: Trial, start: int, least: int, most: int) -> tuple[int | None, int | None, Verdict]:
    """(a load that is held, a load that is not, why not), either None where there is none."""
    low, high = None, None
    why = Verdict.UNSHOWN  # at `most` nothing more is tried
    load = min(max(start, least), most)
    while low is None or high is None:
        said = believed(trial, load)
        if said.verdict is Verdict.HELD:
            low = load
            if load == most:
                break
            load = min(_round(load * said.room, load, most + 1), most)
        else:
            high, why = load, said.verdict
            if load == least:
                break
            load = max(load // 2, least)
    return low, high, why


def _confirmed(trial: Trial, load: int, why: Verdict, least: int) -> Found | None:
    """The load if it is held once more, else one below that is, each further down than the last."""
    said = believed(trial, load).verdict
    if said is Verdict.UNSHOWN:  # it has been held, and this shows nothing
        return Found(load, at_least=True)
    down = RESOLUTION
    while said is not Verdict.HELD:
        why = said
        if load <= least:
            return None
        load = max(least, min(load - 1, round(load * (1 - down))))
        down = min(0.5, 2 * down)
        said = believed(trial, load).verdict
    return Found(load, at_least=why is Verdict.UNSHOWN)


def _between(low: int, high: int) -> int:
    return _round(sqrt(low * high), low, high)


def _round(load: float, low: int, high: int) -> int:
    """A round number between the two where there is room for one."""
    rounded = round(load, -1)
    if low >= 100 and low < rounded < high:
        return int(rounded)
    return min(max(round(load), low + 1), max(high - 1, low + 1))
