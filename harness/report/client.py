"""What the console and the report say of the load generator itself: one line, one section.

From summary.json's `client` alone; nothing is computed here. What was not measured is left out.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.report.settings import Pairs, flat

__all__ = ["line", "pairs"]

_STAMPED: Final = {
    "kernel": "the kernel",
    "read": "our own read",
    "mixed": "the kernel, and where it could not, our own read",
}
_LEVELS: Final = (
    ("cpu_percent", "CPU", "{} % of a core"),
    ("waited_percent", "waited for a core", "{} % of the time it wanted to run"),
    ("throttled_percent", "held up by a CPU limit", "{} % of the time"),
    ("taken_percent", "others on its core", "{} %"),
)
_MANY: Final = (("loop_lag_ms", "loop late"), ("late_send_ms", "sends late"), ("read_delay_ms", "reads late"))
_MOST: Final = (("most_ready", "sockets ready at once"), ("most_unparsed", "answers waiting to be parsed"))
_SAID: Final = {
    "seconds",
    "workers",
    "stamp_source",
    "kernel_stamped_percent",
    "reads",
    "gc",
    "clock_steps",
    "timeline",
}


def line(client: Mapping[str, Any]) -> str | None:
    """`CPU 12 % (worst second 20 %), loop late 1.1 ms at p99 (3 ms), ...`; None if nobody watched."""
    if not client.get("seconds"):
        return None
    parts = []
    for name, said in (("cpu_percent", "CPU"), ("waited_percent", "waited for a core")):
        if (level := client[name])["mean"] is not None:
            parts.append(f"{said} {_short(level['mean'])} %{_worst(level['worst_second'], '%')}")
    for name, said in _MANY[:2]:
        if (many := client[name])["n"]:
            parts.append(f"{said} {_short(many['p99'])} ms at p99{_worst(many['worst_second_p99'], 'ms')}")
    if source := client["stamp_source"]:
        parts.append(f"arrivals stamped by {_STAMPED[source]}")
    return ", ".join(parts)


def _worst(value: float | None, unit: str) -> str:
    return "" if value is None else f" (worst second {_short(value)} {unit})"


def pairs(client: Mapping[str, Any]) -> Pairs:
    """The section: (what, figure)."""
    found: Pairs = []
    if client.get("seconds"):
        found.append(("watched", f"{client['seconds']:.0f} s"))
    if source := client.get("stamp_source"):
        found.append(("arrivals stamped by", _STAMPED.get(source, str(source))))
    for name, said, unit in _LEVELS:
        if (level := client.get(name)) and level["mean"] is not None:
            mean, worst = _short(level["mean"]), _short(level["worst_second"])
            found.append((said, f"{unit.format(mean)}, worst second {worst} %"))
    for name, said in _MANY:
        if (many := client.get(name)) and many["n"]:
            spread = ", ".join(f"{part} {_short(many[part])} ms" for part in ("p50", "p99", "max"))
            worst = many["worst_second_p99"]
            found.append(
                (said, spread + (f"; worst second's p99 {_short(worst)} ms" if worst is not None else ""))
            )
    found += [(said, f"{client[name]:,} at most") for name, said in _MOST if client.get(name) is not None]
    return [*found, *_events(client), *flat({k: v for k, v in client.items() if k not in _KNOWN})]


def _events(client: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    gc = client.get("gc") or {}
    if gc.get("pauses"):
        longest = f"{_short(gc['total_ms'])} ms in all, the longest {_short(gc['max_ms'])} ms"
        yield "garbage collected", f"{gc['pauses']:,} times, {longest}"
    if client.get("clock_steps"):
        yield "system clock was set", f"{client['clock_steps']} times"


_KNOWN: Final = _SAID | {name for name, *_ in (*_LEVELS, *_MANY, *_MOST)}


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"
