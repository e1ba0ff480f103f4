"""The seconds of all parts together: what each part's last pulse (`harness.pulse`) adds to them.

    known     a second is known once every part that is at work has told of it; until then its rates are None, not low
    settled   and it stands once every answer that came in it is over, in all parts

Who has not been heard for `SILENT_S` is not waited for; what it said stays. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from harness.hearsay import Malformed
from harness.influx.point import SECOND
from harness.pulse import FIGURES, Beat, Said, Told, read
from harness.sketch import Sketch

__all__ = ["Beats"]

SILENT_S: Final = 8
KEEP: Final = 3_600  # seconds
_NOTHING: Final[Told] = (0.0, 0.0, 0.0, 0.0)
_QUANTILES: Final = (
    ("request_tokens_per_s", "output_tokens_per_s", (50, 10)),
    ("ttft_ms", "ttft_ms", (50, 95, 99)),
    ("tpot_ms", "tpot_ms", (50, 95)),
    ("e2e_ms", "e2e_ms", (50, 95, 99)),
)


@dataclass(slots=True)
class Beats:
    """Of one run that began in the second `first`."""

    first: int
    known: int = 0  # the seconds before this one are
    settled: int = 0
    beats: dict[str, Beat] = field(default_factory=dict)  # the last of each part
    changed: set[int] = field(default_factory=set)  # seconds that are not as they were when last asked
    unreadable: int = 0  # parts whose last pulse cannot be read
    _each: dict[str, dict[int, Told]] = field(default_factory=dict)
    _all: dict[int, list[float]] = field(default_factory=dict)
    _raw: dict[str, object] = field(default_factory=dict)
    _bad: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.known = self.settled = self.first

    def hear(self, parts: Iterable[Said], second: int) -> None:
        """What all parts said last; `second`: the one under way."""
        parts = list(parts)
        for part in parts:
            if part.pulse is not None and part.pulse is not self._raw.get(part.name):
                self._raw[part.name] = part.pulse
                self._take(part.name, part.pulse, second)
        self.unreadable = len(self._bad)
        here = [self.beats.get(part.name) for part in parts if part.is_present]
        late = second - SILENT_S
        # Of one that has said nothing yet much is still to come, but not for ever.
        untils = [late if beat is None else max(beat.until, late) for beat in here]
        settled = [
            late if beat is None else max(beat.settled, late)
            for beat in here
            if beat is None or beat.until > late
        ]
        ended = max((beat.until for beat in self.beats.values()), default=self.first)
        known = min(untils, default=ended)
        self._advance("known", max(self.first, min(known, second)))
        self._advance("settled", min(self.known, max(self.first, min(settled, default=self.known))))
        for old in [one for one in self._all if one < second - KEEP]:
            del self._all[old]

    def take_changed(self) -> set[int]:
        """The seconds that are to be told anew."""
        found, self.changed = self.changed, set()
        return found

    def rates(self, second: int) -> dict[str, Any]:
        """A second's columns of `harness.web.history`."""
        if second >= self.known or second < self.first:
            return {"settled": False}
        output, prompt, succeeded, failed = self._all.get(second, _NOTHING)
        return {
            "system_output_tokens_per_s": max(
                0.0, output
            ),  # what was given and taken back may leave a last digit
            "system_total_tokens_per_s": max(0.0, output + prompt),
            "requests_per_s": succeeded,
            "errors_per_s": failed,
            "settled": second < self.settled,
        }

    def within(self, start_ns: int, end_ns: int) -> tuple[float, float, float] | None:
        """(output tokens, prompt tokens, requests that succeeded) in a stretch of time; None where not all of it is known.

        Seconds at its ends are taken in part. Of more than `KEEP` seconds those that are left stand for all.
        """
        first, last = start_ns // SECOND, (end_ns - 1) // SECOND
        if last >= self.known or end_ns <= start_ns:
            return None
        begin = max(first, last - KEEP + 2)
        sums = [0.0, 0.0, 0.0]
        for second in range(begin, last + 1):
            if (amounts := self._all.get(second)) is None:
                continue
            inside = min(end_ns, (second + 1) * SECOND) - max(start_ns, second * SECOND)
            for at in range(3):
                sums[at] += amounts[at] * inside / SECOND
        seen = (end_ns - max(start_ns, begin * SECOND)) / (end_ns - start_ns)
        return sums[0] / seen, sums[1] / seen, sums[2] / seen

    def lately(self, second: int) -> dict[str, float | None]:
        """Percentiles over the requests that ended in the last seconds, of the parts that are heard."""
        heard = [beat for beat in self.beats.values() if beat.until > second - SILENT_S // 2]
        merged = {figure: Sketch() for figure in FIGURES}
        for beat in heard:
            for figure in FIGURES:
                merged[figure].merge(beat.lately[figure])
        return {
            f"{column}_p{share}": merged[figure].quantile(share / 100)
            for column, figure, shares in _QUANTILES
            for share in shares
        }

    def _take(self, name: str, pulse: object, second: int) -> None:
        try:
            beat = read(pulse)
        except Malformed:
            self._bad.add(name)
            return
        if beat.until > second + SILENT_S:  # by a clock that is far off
            self._bad.add(name)
            return
        self._bad.discard(name)
        self.beats[name] = beat
        mine = self._each.setdefault(name, {})
        for at, told in beat.seconds.items():
            before = mine.get(at, _NOTHING)
            if told == before or at < second - KEEP:
                continue
            mine[at] = told
            row = self._all.setdefault(at, [0.0, 0.0, 0.0, 0.0])
            for place in range(4):
                row[place] += told[place] - before[place]
            self.changed.add(at)
        for old in [one for one in mine if one < second - KEEP] if len(mine) > KEEP + 100 else ():
            del mine[old]

    def _advance(self, name: str, upto: int) -> None:
        before = getattr(self, name)
        if upto > before:
            self.changed.update(range(before, upto))
            setattr(self, name, upto)
