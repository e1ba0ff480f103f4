"""Background probes: a few small requests at a steady pace beside the load, the same under every load.

    --probe-every 2s --probe-tokens 32/16     every two seconds, 32 prompt and 16 output tokens

They show what the load does to somebody who only asks a short question, and are reported apart (`harness.probe_figures`).

The rule: probe k of the run is due at its beginning plus k x every, whoever sends it and however late the last one
was, so that a server which holds probes up is asked no less often. One process sends all of them (`sender`). A probe that is
still in flight when the next is due holds nobody up; at `MOST` in flight, and where the sender itself stood still until the
next was due, a probe is skipped and counted.

Pure: times come in as arguments, on any clock, in ns. Sending and sleeping are elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from harness import durations
from harness.errors import ConfigError

__all__ = ["DEFAULT_TOKENS", "MOST", "Due", "Pace", "Probing", "read", "sender"]

MOST: Final = 10  # in flight at a time
DEFAULT_TOKENS: Final = "32/16"
_OFTEN_S: Final = 0.1
_TOKENS: Final = 1_000_000


class Due(NamedTuple):
    """One probe of the run."""

    number: int  # 0, 1, ...
    at_ns: int  # when it is to be sent


@dataclass(frozen=True, slots=True)
class Probing:
    """What was asked for."""

    every_s: float
    prompt_tokens: int
    output_tokens: int

    @property
    def every_ns(self) -> int:
        """Between two probes."""
        return round(self.every_s * 1e9)

    def due(self, after_ns: int, begin_ns: int) -> Due:
        """The first probe that is due after a moment, of a run that began then; the first of all is due at its beginning."""
        number = max(0, (after_ns - begin_ns) // self.every_ns + 1)
        return Due(number, begin_ns + number * self.every_ns)

    def stored(self) -> dict[str, Any]:
        """For run.json."""
        return {"probe_every_s": self.every_s, "probe_tokens": f"{self.prompt_tokens}/{self.output_tokens}"}


class Pace:
    """The probes of the process that sends them: what is due, what is in flight."""

    __slots__ = ("_begin_ns", "_next", "_probing", "in_flight", "sent", "skipped")

    def __init__(self, probing: Probing, begin_ns: int, from_ns: int) -> None:
        """Nothing sent yet.

        Args:
            probing: how often.
            begin_ns: when the run began, for whoever sends.
            from_ns: since when it is this process that sends; what is due at this very moment is its own.
        """
        self._probing = probing
        self._begin_ns = begin_ns
        self._next = probing.due(from_ns - 1, begin_ns)
        self.in_flight = self.sent = self.skipped = 0

    @property
    def next_ns(self) -> int:
        """When to `take` the next."""
        return self._next.at_ns

    def take(self, now_ns: int) -> Due | None:
        """The probe to send now, with when it was due; None: none is, or there are too many in flight."""
        if now_ns < self._next.at_ns:
            return None
        first, self._next = self._next, self._probing.due(now_ns, self._begin_ns)
        self.skipped += self._next.number - 1 - first.number  # their time is over
        if self.in_flight >= MOST:
            self.skipped += 1
            return None
        self.in_flight += 1
        self.sent += 1
        return Due(self._next.number - 1, self._next.at_ns - self._probing.every_ns)

    def finished(self) -> None:
        """One of those in flight is over, however it ended."""
        self.in_flight -= 1


def sender(present: Sequence[str], current: str | None) -> str | None:
    """Which of the processes that are present sends probes: as long as it is there the one that does, else the first.

    One that comes back takes nothing back: it would send beside the one that took over.
    """
    return current if current in present else next(iter(present), None)


def read(every: str = "", tokens: str = "") -> Probing | None:
    """The probes that the texts of `--probe-every` and `--probe-tokens` ask for; None: none.

    Raises:
        ConfigError: naming the option, the value, and what would be right.
    """
    every, tokens = every.strip(), tokens.strip()
    if not every:
        if tokens:
            raise ConfigError(
                f"--probe-tokens {tokens!r} without --probe-every: say how often, e.g. --probe-every 2s"
            )
        return None
    every_s = durations.seconds(every, "--probe-every", most_s=durations.HOUR_S, example="2s")
    if every_s < _OFTEN_S:
        raise ConfigError(f"--probe-every {every!r} is a load of its own; give 100ms or more, e.g. 2s")
    prompt, slash, output = (part.strip() for part in (tokens or DEFAULT_TOKENS).partition("/"))
    if not slash or not all(_is_size(part) for part in (prompt, output)):
        raise ConfigError(
            f"--probe-tokens {tokens!r}: give prompt and output tokens, whole numbers from 1 to {_TOKENS}, "
            f"e.g. {DEFAULT_TOKENS}"
        )
    return Probing(every_s, int(prompt), int(output))


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 8 and 1 <= int(text) <= _TOKENS
