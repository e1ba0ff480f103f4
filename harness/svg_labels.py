"""Where the texts of a chart go: over no other text, over as little ink as can be, and never misleading.

Pure geometry in px of the drawing, y downwards; texts are as wide as a bold font makes them at most. A label
for which there is no honest place has none: `place` says None, and the drawing leaves it out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["Box", "Point", "apart", "place"]

CHARACTER: Final = 7.2  # px, of a label's bold digits; an upper estimate, for fonts differ
STEP: Final = 14.0  # px between the base lines of two texts under one another
INK: Final = 2  # points of lines that a label may cover: it may touch one, not lie across it
CLOSE: Final = 5.0  # px; points this close to one another are one to the eye

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: what a text covers, or what it may cover."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def of(cls, text: str, middle: float, base: float) -> "Box":
        """The text centred on `middle`, standing on `base`."""
        half = len(text) * CHARACTER / 2
        return cls(middle - half, base - 11, middle + half, base + 2)

    def meets(self, other: "Box") -> bool:
        """They overlap."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def holds(self, point: Point) -> bool:
        """The point is inside."""
        return self.left <= point[0] <= self.right and self.top <= point[1] <= self.bottom

    def within(self, frame: "Box") -> bool:
        """All of it is inside the frame."""
        across = frame.left <= self.left and self.right <= frame.right
        return across and frame.top <= self.top and self.bottom <= frame.bottom

    def distance(self, point: Point) -> float:
        """From its edge, px; 0 inside."""
        across = max(self.left - point[0], 0.0, point[0] - self.right)
        return math.hypot(across, max(self.top - point[1], 0.0, point[1] - self.bottom))


def place(
    text: str,
    point: Point,
    side: Literal["above", "below"],
    *,
    frame: Box,
    taken: Sequence[Box],
    ink: Sequence[Point],
    rivals: Sequence[Point],
) -> Point | None:
    """Middle and base line of a point's label, on that side if it can be; None if there is no place.

    Args:
        text: the label.
        point: what it labels.
        side: preferred.
        frame: what it must stay inside.
        taken: texts that it must not cover.
        ink: points along the lines, a few px apart, which it should not cover.
        rivals: other lines' points, none of which may be nearer to it than its own.
    """
    x, y = point
    beside = len(text) * CHARACTER / 2 + 8
    over, under = [(x, y - 9), (x, y - 20)], [(x, y + 19), (x, y + 30)]
    first, then = (over, under) if side == "above" else (under, over)
    free = []
    for at in (*first, *then, (x - beside, y - 6), (x + beside, y - 6), (x - beside, y + 14)):
        box = Box.of(text, *at)
        own = all(box.distance(point) <= box.distance(rival) + CLOSE for rival in rivals)
        covered = sum(map(box.holds, ink))
        if own and covered <= INK and box.within(frame) and not any(box.meets(other) for other in taken):
            free.append((covered, at))
    return min(free, key=lambda one: one[0])[1] if free else None


def apart(bases: Sequence[float], frame: Box) -> list[float]:
    """Base lines of texts beside points at these heights, a line's height apart and in their order."""
    order = sorted(range(len(bases)), key=lambda index: -bases[index])  # from the lowest up
    found = [0.0] * len(bases)
    free = frame.bottom - 2
    for index in order:
        found[index] = min(free, bases[index])
        free = found[index] - STEP
    least = frame.top + 11
    for index in reversed(order):
        found[index] = max(least, found[index])
        least = found[index] + STEP
    return found
