"""Changing load while a run goes on, as its pages ask for it: how many users, or how many requests a second.

`state` says what can be changed now, `ask` changes it or says in words why not. Users come and go the way Locust's own edit
form has them do it; the rate is ours, since Locust knows of none. Both open a segment of their own (`harness.plan`).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import gevent

from harness import by_hand, planning
from harness.arrivals import RATE_MOST
from harness.clock import unix_now_ns
from harness.hearsay import finite
from harness.say import say

if TYPE_CHECKING:
    from harness.run import Run
    from harness.session import Session

__all__ = ["Refused", "ask", "state"]

LEAD_NS: Final = 400_000_000  # of a rate, for all workers to hear of it before
LEAST_S: Final = 1.0  # that a run has to last after a change of its rate
_NONE: Final = "no run is under way: start one first"
_KEYS: Final = {"users": frozenset(("users", "spawn_rate")), "rate": frozenset(("rate",))}


class Refused(Exception):
    """Why not, in words for the page; `status` is HTTP's, `field` the one that is wrong."""

    def __init__(self, why: str, status: int = 400, field: str | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.field = field


def state(session: "Session") -> dict[str, Any]:
    """What the run under way holds, and whether it can be changed.

    Returns:
        `kind`: users, rate, or None; `users`, `spawn_rate` and `rate` (requests/s) as they are, None where there are none;
        `problem`: why nothing can be changed, None where it can.
    """
    run = _under_way(session)
    if run is None:
        return {"kind": None, "users": None, "spawn_rate": None, "rate": None, "problem": _NONE}
    is_open = run.settings.load.is_open
    return {
        "kind": "rate" if is_open else "users",
        "users": None if is_open else _asked(session, run),
        "spawn_rate": None if is_open else _spawn_rate(session),
        "rate": _rate(run),
        "problem": _fixed(session, run),
    }


def ask(session: "Session", wanted: object) -> str:
    """Change it; `wanted` is `{"users": 8, "spawn_rate": 4}` or `{"rate": 20}`. Returns what was done, in words.

    Raises:
        Refused: it is not to be changed, or not so.
    """
    run = _under_way(session)
    if run is None:
        raise Refused(_NONE, 409)
    kind = "rate" if run.settings.load.is_open else "users"
    if not isinstance(wanted, Mapping) or not wanted or not set(wanted) <= _KEYS["users"] | _KEYS["rate"]:
        raise Refused('send {"users": 8, "spawn_rate": 4} or {"rate": 20}')
    if (why := _fixed(session, run)) is not None:
        raise Refused(why, 409)
    if not set(wanted) <= _KEYS[kind]:
        raise Refused(
            "requests come by a schedule in this run: change their rate"
            if kind == "rate"
            else "users send one request after another in this run: change how many there are",
            409,
        )
    return _ask_rate(run, wanted) if kind == "rate" else _ask_users(session, run, wanted)


def _under_way(session: "Session") -> "Run | None":
    """The run whose load has begun and is not stopped."""
    from locust.runners import STATE_RUNNING, STATE_SPAWNING  # noqa: PLC0415  only where Locust is

    run = session.run
    is_on = session.runner.state in (STATE_RUNNING, STATE_SPAWNING)
    return run if run is not None and is_on and run.plan.segments and not run.plan.is_stopped else None


def _fixed(session: "Session", run: "Run") -> str | None:
    if (why := planning.fixed(run.settings)) is not None:
        return why
    if not run.plan.is_sweep and session.environment.shape_class is not None:
        return "the locustfile's shape says how many users there are: stop it first"
    return None


def _spawn_rate(session: "Session") -> float:
    said = getattr(session.environment.parsed_options, "spawn_rate", None)
    return float(said) if said else 1.0


def _asked(session: "Session", run: "Run") -> int:
    """The users that there are to be. Locust does not know of those that wait until others are gone."""
    return run.plan.asked[-1] if run.plan.asked else int(session.runner.target_user_count)


def _rate(run: "Run") -> float | None:
    """Requests a second that are asked for now; None in a closed loop, and where they are not one number."""
    segment = run.plan.segment
    if segment is None or not run.settings.load.is_open:
        return None
    return segment.point.rate or planning.flat(run.settings.load)


def _ask_users(session: "Session", run: "Run", wanted: Mapping[str, object]) -> str:
    users, rate = wanted.get("users"), wanted.get("spawn_rate", _spawn_rate(session))
    if not isinstance(users, int) or isinstance(users, bool) or not 0 <= users <= by_hand.MOST_USERS:
        raise Refused(f"users: give a whole number from 0 to {by_hand.MOST_USERS:,}", field="users")
    pace = finite(rate)
    if pace is None or not 0 < pace <= by_hand.MOST_USERS:
        raise Refused("users started per second: give a number above 0", field="spawn_rate")
    if users == _asked(session, run):
        return f"there are {users:,} users already" if users != 1 else "there is 1 user already"
    web_ui, options = session.web_ui, session.environment.parsed_options
    assert web_ui is not None  # noqa: S101  only its pages ask
    if web_ui._swarm_greenlet is not None:  # as its own form does  # noqa: SLF001
        web_ui._swarm_greenlet.kill(block=True)  # noqa: SLF001
    if options is not None:
        options.num_users, options.spawn_rate = users, pace
    web_ui._swarm_greenlet = gevent.spawn(session.runner.start, users, pace)  # noqa: SLF001
    return f"{users:,} user{'s' * (users != 1)} asked for, {pace:,.10g} started or stopped per second"


def _ask_rate(run: "Run", wanted: Mapping[str, object]) -> str:
    said = finite(wanted.get("rate"))
    if said is None or not by_hand.RATE_LEAST <= said <= RATE_MOST:
        most = f"{by_hand.RATE_LEAST:g} to {RATE_MOST:,.0f}"
        raise Refused(f"requests per second: give a number from {most}", field="rate")
    rate, segment = round(said, 6), run.plan.segment
    if segment is None or segment.open_ns is None or segment.open_ns > unix_now_ns():
        raise Refused("load is only about to be what was asked for last: try again in a second", 409)
    if segment.end_ns is not None and segment.end_ns - unix_now_ns() < (LEAST_S * 1e9 + LEAD_NS):
        raise Refused("the run is about to be over", 409)
    if rate == _rate(run):
        return f"requests come at {rate:,.10g} per second already"
    lead_ns = 0 if run.parts.present is None else LEAD_NS
    label = ""

    def then(each: Mapping[str, int], open_ns: int) -> None:
        nonlocal label
        found = run.plan.rate_asked(rate, each, unix_now_ns(), open_ns + lead_ns)
        label = str(found.label)
        run.note_event(label, "level", open_ns + lead_ns)

    run.parts.when_up(0, then)
    run.plan.deal(run.parts.names)
    run.parts.tell(at_once=True)
    say(label)
    gevent.spawn_later((lead_ns + LEAD_NS) / 1e9, run.journal_windows)
    return f"{rate:,.10g} requests per second asked for"
