"""Which guard ends a run (`harness.guards`), and the sentence that says so.

The rule: a guard ends the run as soon as its figure reaches the limit, over all workers; the first to do so is kept.
Tokens are counted when a request ends, so those in flight are reckoned with what the latest requests took: otherwise 1,000
streams would go on to spend 1,000 answers over the limit. What nobody counted is unknown and never 0: then the figure is
a lower bound and says so. How far it went over in the end, when everything in flight was over, is `Breach.overshoot`.

Pure: no clock, no greenlet. Who stops the run is `harness.run`.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from harness import durations
from harness.breaker import Counted, Recent, Stretch
from harness.guards import Guards, plain
from harness.record import Outcome

__all__ = ["Breach", "Watch"]

_OVERLOAD: Final = "overload (HTTP 429 or 503)"


@dataclass(frozen=True, slots=True)
class Breach:
    """A guard that ended the run."""

    guard: str  # its field in `Guards`
    limit: float
    value: float  # of its figure, when it was seen; a lower bound where not all was counted
    after_s: float
    text: str  # the sentence for people

    def stored(self) -> dict[str, Any]:
        """For run.json and summary.json."""
        return asdict(self)

    def overshoot(self, final: float) -> str | None:
        """How far over its limit the figure was when everything in flight had ended; None if it was not."""
        if final <= self.limit:
            return None
        share = (final - self.limit) / self.limit
        figure, limit = (_money(n) if self.guard == "max_cost" else f"{n:,.0f}" for n in (final, self.limit))
        return f"{_option(self.guard)}: in the end it was {figure}, {_percent(share)} more than {limit}"


class Watch:
    """Looks at one run about twice a second. What it has said once stays so."""

    def __init__(self, guards: Guards) -> None:
        self.guards = guards
        self.breach: Breach | None = None
        self._recent = Recent(guards.max_error_rate)

    def ended_by(
        self, view: Counted, elapsed_s: float, *, offered: int | None = None, in_flight: int = 0
    ) -> str | None:
        """Why the run is to end now, a sentence for the report; None: it may go on.

        Args:
            view: what all parts have counted so far.
            elapsed_s: since load began.
            offered: leaves to send that were given; by default the requests that are over.
            in_flight: requests of which the tokens are still to come.
        """
        self._recent.see(view, elapsed_s)
        if self.breach is None:
            over = sum(view.outcomes.values()) if offered is None else offered
            self.breach = next(self._breaches(view, elapsed_s, over, in_flight), None)
        return None if self.breach is None else self.breach.text

    def blind(self, view: Counted) -> str | None:
        """What the guards on tokens and cost cannot see, a sentence to warn with; None if they see everything."""
        asked = [name for name in ("max_tokens", "max_cost") if getattr(self.guards, name) is not None]
        if not asked or not view.uncounted:
            return None
        missed = f"{view.uncounted:,} of {view.outcomes[Outcome.OK]:,} answers came without a count of tokens"
        return (
            f"{' and '.join(map(_option, asked))} cannot see all: {missed}; add --max-requests or --max-time"
        )

    def _breaches(self, view: Counted, elapsed_s: float, offered: int, in_flight: int) -> Iterator[Breach]:
        """Each guard that ends the run, the most telling first."""
        asked = self.guards

        def breach(guard: str, shown: str, value: float, what: str, doubt: str = "") -> Breach:
            text = f"{_option(guard)} {shown}: {what} after {_span(elapsed_s)}{doubt}"
            return Breach(guard, getattr(asked, guard), value, elapsed_s, text)

        if asked.max_error_rate is not None and (bad := self._recent.broken()):
            yield breach(
                "max_error_rate", _percent(asked.max_error_rate), bad.failed / bad.finished, _failing(bad)
            )
        coming = self._coming(in_flight)
        prompt, output = view.prompt_tokens, view.output_tokens
        least = "at least " if view.uncounted else ""
        doubt = f"; {view.uncounted:,} answers came without a count" if view.uncounted else ""
        if asked.max_cost is not None:
            spent, more = asked.cost(prompt, output) or 0.0, asked.cost(*coming) or 0.0
            if spent + more >= asked.max_cost:
                what = f"{least}{_money(spent)} (prompt {prompt:,} tokens, output {output:,})"
                what += _and_more(_money(more), in_flight) if more else ""
                yield breach("max_cost", plain(asked.max_cost), spent, what, doubt)
        if asked.max_tokens is not None and prompt + output + sum(coming) >= asked.max_tokens:
            what = f"{least}{prompt + output:,} tokens (prompt {prompt:,}, output {output:,})"
            what += _and_more(f"{sum(coming):,.0f}", in_flight) if sum(coming) else ""
            yield breach("max_tokens", str(asked.max_tokens), prompt + output, what, doubt)
        if asked.max_requests is not None and offered >= asked.max_requests:
            yield breach("max_requests", str(asked.max_requests), offered, f"{offered:,} requests")
        if asked.max_time_s is not None and elapsed_s >= asked.max_time_s:
            yield breach("max_time_s", durations.text(asked.max_time_s), elapsed_s, "ended")

    def _coming(self, in_flight: int) -> tuple[float, float]:
        """Prompt and output tokens that requests in flight will have, if they are like the latest."""
        latest = self._recent.latest()
        each = in_flight / latest.finished if latest.finished else 0.0
        return latest.prompt_tokens * each, latest.output_tokens * each


def _failing(bad: Stretch) -> str:
    share = _percent(bad.failed / bad.finished)
    found = (
        f"{bad.failed:,} of the last {bad.finished:,} requests failed ({share}), within {_span(bad.length_s)}"
    )
    if bad.commonest is not None:
        word, number = bad.commonest
        found += f", {number:,} of them {_OVERLOAD if word == 'overload' else word}"
    return f"{found},"


def _and_more(amount: str, in_flight: int) -> str:
    return f" and about {amount} more of {in_flight:,} in flight"


def _option(field: str) -> str:
    return "--" + field.removesuffix("_s").replace("_", "-")


def _percent(share: float) -> str:
    return f"{share * 100:.3g}%"


def _money(amount: float) -> str:
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.6f}".rstrip("0").rstrip(".")


def _span(length_s: float) -> str:
    """`62 s`, `12 min 5 s`, `2 h 3 min`."""
    whole = round(length_s)
    if whole < 120:
        return f"{length_s:.1f} s" if length_s < 10 else f"{whole} s"
    minutes, seconds = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
