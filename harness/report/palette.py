"""The colours of the figures: one a meaning, told apart also by who sees no red or no green, in the light and in the dark.

A figure names the light colour; `script.js` puts the dark one in its place where the reader's system is dark. Pure.
"""

from typing import Final

__all__ = [
    "CANCELLED",
    "CLASSES",
    "DARK",
    "EACH",
    "FAILED",
    "GIVEN",
    "LIMIT",
    "MEDIAN",
    "OUTPUT",
    "RAMP",
    "TAIL",
    "THEMES",
    "TOTAL",
    "WAITING",
    "level",
]

OUTPUT: Final = "#0b68b0"  # output tokens, and the time in which they come
TOTAL: Final = "#66758a"  # prompt and output tokens
EACH: Final = "#0b7f63"  # one request's rate
MEDIAN: Final = "#b3640a"  # of a latency
TAIL: Final = "#7a3b00"  # its p95
WAITING: Final = "#d29a12"  # for the first content; queued
FAILED: Final = "#b8270f"
CANCELLED: Final = "#8a8f98"
LIMIT: Final = "#8e2a7a"  # a service level
GIVEN: Final = "#9aa5b4"  # what was asked for

# Classes without an order: errors, workers.
CLASSES: Final = (
    "#b8271f",
    "#d29a1a",
    "#0b68ba",
    "#7b4fa8",
    "#0b7f73",
    "#a0527d",
    "#6b7a1f",
)

# Levels, lowest to highest: lighter and lighter, so that the order shows without hue.
RAMP: Final = ("#2d1e6b", "#2f5fa8", "#1f8a8c", "#4aa34a", "#b58a00")
_RAMP_DARK: Final = ("#8f7bff", "#5aa0ff", "#35c5c0", "#8fd85f", "#f2d03c")
STEPS: Final = 24  # of the ramp

_DARK: Final = {
    OUTPUT: "#5fb2f5",
    TOTAL: "#9aa8ba",
    EACH: "#3fcda8",
    MEDIAN: "#f2a24b",
    TAIL: "#ffd9a3",
    WAITING: "#e8b53a",
    FAILED: "#ff7f6b",
    CANCELLED: "#7f8894",
    LIMIT: "#e58ad4",
    GIVEN: "#66758c",
    **dict(
        zip(
            CLASSES,
            ("#ff7f7b", "#e8b54a", "#5fb2ff", "#b99af0", "#3fcdb8", "#e79ac3", "#b9c95a"),
            strict=True,
        )
    ),
}

THEMES: Final = {
    "light": {"ink": "#16202c", "soft": "#5b6877", "rule": "#dfe4ea", "card": "#ffffff", "shade": "#1f5fd6"},
    "dark": {"ink": "#e6ebf1", "soft": "#94a2b3", "rule": "#2b3542", "card": "#171e27", "shade": "#6ea4ff"},
}


def level(place: int, number: int) -> str:
    """The colour of the level at this place, from 0, among so many."""
    return _at(RAMP, 0 if number < 2 else round(place * STEPS / (number - 1)))


def _at(ramp: tuple[str, ...], step: int) -> str:
    """A colour between those of the ramp, `step` of `STEPS` on the way."""
    below, part = divmod(step * (len(ramp) - 1), STEPS)
    left, right = ramp[below], ramp[min(below + 1, len(ramp) - 1)]
    mixed = (
        round(int(left[at : at + 2], 16) * (1 - part / STEPS) + int(right[at : at + 2], 16) * part / STEPS)
        for at in (1, 3, 5)
    )
    return "#" + "".join(f"{value:02x}" for value in mixed)


DARK: Final = _DARK | {_at(RAMP, step): _at(_RAMP_DARK, step) for step in range(STEPS + 1)}
