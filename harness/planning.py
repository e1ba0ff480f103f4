"""From settings to a plan: which levels a run holds, in which order, and what ends each.

Repeats are interleaved: all levels are gone through before any is repeated, so that a slow drift of the server does not
pass for a difference between levels.

What can be changed while a run goes on is decided here, too: the number of users where nothing but Locust says it, and the
rate of arrivals that have but one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import product

from harness import by_hand
from harness.arrivals import Flat
from harness.load_options import LEVEL_S, LoadModel
from harness.loadpoint import LoadPoint
from harness.plan import Plan, sweep
from harness.search import Search
from harness.segment import Due, Segment, Span
from harness.settings import Settings
from harness.timetable import Timetable
from harness.trials import Trials

__all__ = ["fixed", "flat", "new_plan", "points"]


def new_plan(settings: Settings, timetable: Timetable | None) -> Plan:
    """The plan that settings ask for; `timetable` is that of an open loop."""
    model = settings.load
    found = points(settings)
    if model.search is not None:
        return _search(settings, timetable, model.search)
    if not found:
        return Plan(
            warmup=settings.warmup, span=None if model.warmup_s is None else Span(None, model.warmup_s)
        )
    if not model.is_timed and not model.has_levels:
        return sweep(
            settings.levels,
            settings.repeats,
            settings.requests_per_level,
            settings.warmup,
            requests_per_user=settings.requests_per_user,
            waves=model.waves,
        )
    passes = product(range(1, settings.repeats + 1), found)
    segments = [
        _segment(settings, timetable, index, point, repeat) for index, (repeat, point) in enumerate(passes)
    ]
    changed = None if timetable is None or fixed(settings) else partial(_at_rate, settings, timetable)
    return Plan(segments, settings.warmup, is_sweep=True, at_rate=changed)


def fixed(settings: Settings) -> str | None:
    """Why load cannot be changed while it runs, in words; None where it can: users in a closed loop, else the rate."""
    model = settings.load
    if model.search is not None:
        return "a search finds its levels itself: stop it first"
    if settings.levels or model.has_levels:
        return "a sweep holds its levels itself: stop it first"
    return None if model.arrivals is None else _fixed_rate(model)


def _fixed_rate(model: LoadModel) -> str | None:
    if model.is_trace:
        return "the trace says when requests come: stop the run first; --speed-up sends it faster"
    if flat(model) is None:
        text = model.arrivals and model.arrivals.describe()
        return f"--arrivals {text} changes its rate itself: stop the run first, and give one rate, e.g. poisson:10"
    return None


def flat(model: LoadModel) -> float | None:
    """The one rate of its arrivals, requests/s."""
    profile = None if model.arrivals is None else model.arrivals.profile
    return profile.per_s if isinstance(profile, Flat) else None


def _at_rate(settings: Settings, timetable: Timetable, a_plan: Plan, rate: float, begin_ns: int) -> Segment:
    """The segment after the one under way, of the same process at another rate, up to the same end."""
    now = a_plan.segment
    assert now is not None  # noqa: S101  whoever changes it has one
    for segment in a_plan.segments:  # a rate has its own name, now that there are several
        if segment.point.kind == "arrivals":
            own = flat(settings.load)
            segment.point = replace(segment.point, kind="rate", rate=own, value=own, text="")
    before = float(now.point.value or 0.0)
    known = {segment.point.value: segment.level for segment in a_plan.segments}
    key = known.get(rate) or 1 + max(known.values())
    repeat = 1 + sum(segment.level == key for segment in a_plan.segments)
    point = LoadPoint(key=key, users=0, kind="rate", rate=rate, value=rate)
    found = _segment(settings, timetable, now.index + 1, point, repeat)
    if now.end_ns is not None:
        found.span = replace(found.span or Span(), seconds=max(0.0, (now.end_ns - begin_ns) / 1e9))
    found.label = by_hand.of_rate(before, rate)
    return found


def _search(settings: Settings, timetable: Timetable | None, search: Search) -> Plan:
    def hold(index: int, point: LoadPoint, repeat: int) -> Segment:
        return _segment(settings, timetable, index, point, repeat)

    trials = Trials(search, hold)
    first = trials.more(0)
    segments = [] if first is None else [first]
    return Plan(segments, settings.warmup, is_sweep=True, more=trials.more, trials=trials)


def points(settings: Settings) -> Sequence[LoadPoint]:
    """The levels that are known beforehand, in order; none where Locust's -u says how many users there are."""
    return list(_points(settings))


def _points(settings: Settings) -> Iterator[LoadPoint]:
    model, users = settings.load, settings.users or 1
    if model.search is not None:
        yield LoadPoint.of_users(1)  # which levels it holds is found out one by one
        return
    for level in settings.levels:
        yield LoadPoint.of_users(level)
    for key, rate in enumerate(model.rates, 1):
        yield LoadPoint(key=key, users=0, kind="rate", rate=rate, value=rate)
    base = LoadPoint(key=1, users=0 if model.is_open else users)
    lengths = [("prompt_tokens", one) for one in model.prompt_levels]
    lengths += [("output_tokens", one) for one in model.output_levels]
    for key, (kind, sizes) in enumerate(lengths, 1):
        yield replace(base, key=key, kind=kind, text=sizes.describe(), value=sizes.mean)
    if model.arrivals is not None and not model.has_levels:
        yield replace(base, kind="arrivals", text=model.arrivals.describe())


def _segment(
    settings: Settings, timetable: Timetable | None, index: int, point: LoadPoint, repeat: int
) -> Segment:
    model, open_loop = settings.load, timetable is not None
    if not model.is_timed:
        quota = settings.requests_per_level or (settings.requests_per_user or 5) * point.users
        return Segment(index, point, repeat, quota, settings.warmup)
    warmup_s = model.warmup_s or 0.0
    seconds: float | None = model.level_s or settings.run_time_s
    if timetable is not None:
        rate = point.rate
        if settings.requests_per_level:
            seconds = (
                timetable.time_of(settings.requests_per_level, point.key, repeat, rate, warmup_s) or seconds
            )
        elif model.has_levels and seconds is None:
            seconds = LEVEL_S
        if (length_s := timetable.length_s(rate)) is not None:
            seconds = length_s if seconds is None else min(seconds, length_s)
    return Segment(
        index,
        replace(point, cap=model.cap),
        repeat,
        None,
        0 if open_loop else settings.warmup,
        span=Span(seconds, warmup_s, model.cooldown_s),
        cap=model.cap,
        due=None if timetable is None else Due(partial(timetable.offsets, point.key, repeat, point.rate)),
    )
