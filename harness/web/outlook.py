"""How far a run is, and how long it will take: from what its segments are to do and how fast they have done it so far.

    a time     what is left of it
    a number   what is left of it, at the rate of this segment since it opened; before that is known, and of segments to
               come: requests / users x what one request has taken a user so far. A server that grows slower with more
               users takes longer than this says, and one that is hardly busy yet less

A guard's time and Locust's own `-t` end a run wherever it is. What nobody can know is None: a search's steps, a run until
somebody stops it, and a number before the first request is over. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.segment import Segment

__all__ = ["Outlook", "look"]

ENOUGH = 3  # requests, to tell a rate by


@dataclass(frozen=True, slots=True)
class Outlook:
    """Seconds, and the share of all that is done; None where nobody knows."""

    elapsed_s: float
    left_s: float | None
    share: float | None


def look(
    segments: Sequence[Segment],
    at: int,
    *,
    begun_ns: int,
    now_ns: int,
    is_open_ended: bool = False,
    limits_s: Sequence[float | None] = (),
) -> Outlook:
    """As it stands now.

    Args:
        segments: the plan's.
        at: the one under way.
        begun_ns: when load began, Unix time.
        now_ns: now.
        is_open_ended: nobody knows what is still to come.
        limits_s: after which times from its beginning the run ends in any case; None is for none.
    """
    elapsed_s = max(0.0, (now_ns - begun_ns) / 1e9)
    each_s = _each_s(segments[: at + 1], now_ns)
    known = [] if is_open_ended else [_left_s(one, now_ns, each_s) for one in segments[at:]]
    left = [one for one in known if one is not None]
    lefts = [sum(left)] if known and len(left) == len(known) else []
    lefts += [max(0.0, limit - elapsed_s) for limit in limits_s if limit is not None]
    left_s = min(lefts, default=None)
    if left_s is None:
        return Outlook(elapsed_s, None, None)
    whole = elapsed_s + left_s
    return Outlook(elapsed_s, left_s, elapsed_s / whole if whole > 0 else None)


def _each_s(begun: Sequence[Segment], now_ns: int) -> float | None:
    """What a request takes a user, in the latest segment that can tell."""
    for segment in reversed(begun):
        done = segment.done() + segment.warmup_given()
        if segment.open_ns is None or not segment.point.users or not done:
            continue
        lasts = [part.tally.last_ns for part in segment.parts.values() if part.tally.last_ns is not None]
        end_ns = max(lasts, default=now_ns) if not segment.in_flight() else now_ns
        if done >= min(ENOUGH, segment.point.users) and end_ns > segment.open_ns:
            return (end_ns - segment.open_ns) / 1e9 * segment.point.users / done
    return None


def _left_s(segment: Segment, now_ns: int, each_s: float | None) -> float | None:
    if segment.quota is None:
        if segment.end_ns is not None:
            return max(0.0, (segment.end_ns - now_ns) / 1e9)
        return None if segment.span is None or segment.open_ns is not None else segment.span.seconds
    wanted, done = segment.quota + segment.warmup_total(), segment.done() + segment.warmup_given()
    left = max(0, wanted - done)
    if segment.open_ns is not None and segment.done() >= ENOUGH:
        return left * (now_ns - segment.open_ns) / 1e9 / done
    return None if each_s is None or not segment.point.users else left * each_s / segment.point.users
