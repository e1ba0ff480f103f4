"""What the bench is to show, and whether it does. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from score import Figures
from table import Row

__all__ = ["Target", "targets", "unmeasured"]

Rows = Mapping[str, Mapping[str, Row]]  # by load, by client

OURS, C = "tokenswarm", "c"


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the contract. `met` is None where it was not measured."""

    text: str
    value: str
    met: bool | None

    @property
    def cells(self) -> list[str]:
        """For a table."""
        return [
            self.text,
            self.value,
            "not measured" if self.met is None else "met" if self.met else "NOT MET",
        ]


def targets(
    rows: Rows, idle_mb: float | None, soak: Sequence[Target], bookkeeping: Target | None
) -> list[Target]:
    """All of them, in the order of the contract."""
    found = [*_cost(rows), *_accuracy(rows), _against_locust(rows), _memory(rows, idle_mb)]
    found.append(bookkeeping or unmeasured("Locust's layer and our bookkeeping <= 150 µs per request"))
    return [*found, *(soak or [unmeasured("30 minute soak at 300 x 50")])]


def unmeasured(text: str) -> Target:
    """Nothing is known yet."""
    return Target(text, "-", met=None)


def _of(rows: Rows, load: str, client: str = OURS) -> Figures | None:
    row = rows.get(load, {}).get(client)
    return row if isinstance(row, Figures) else None


def _cost(rows: Rows) -> Iterator[Target]:
    own, reader = _of(rows, "1000x50"), _of(rows, "1000x50", C)
    cheap = "CPU per event at 1,000 x 50, full parse included, <= 1.5 x the C reader"
    held = "1,000 x 50 held: >= 99 % of C's events, core <= 85 %, nothing lost"
    if own and reader:
        ratio, share = own.cpu_us / reader.cpu_us, own.events_per_s / reader.events_per_s
        yield Target(
            cheap, f"{ratio:.2f} ({own.cpu_us:.1f} against {reader.cpu_us:.1f} µs)", met=ratio <= 1.5
        )
        said = f"{100 * share:.1f} %, core {own.busy_percent:.0f} %, lost {own.lost:.0f}"
        fine = share >= 0.99 and own.busy_percent <= 85 and not own.lost and not own.failed
        yield Target(held, said, met=fine)
    else:
        yield from (unmeasured(cheap), unmeasured(held))
    fastest = _of(rows, "max100")
    text = "unlimited, 100 streams: >= 100,000 events/s for 12 s, backlog bounded (memory grows < 5 %)"
    if fastest and fastest.rss_growth_mb is not None:
        said = f"{fastest.events_per_s:,.0f}, RSS {fastest.rss_growth_mb:+.1f} MB"
        bounded = fastest.rss_growth_mb < 0.05 * fastest.rss_mb
        yield Target(text, said, met=fastest.events_per_s >= 100_000 and bounded and not fastest.lost)
    else:
        yield unmeasured(text)


def _accuracy(rows: Rows) -> Iterator[Target]:
    for load in ("200x50", "500x50"):
        text = f"TTFT error at {load}: p50 <= 0.1 ms, p99 <= 0.5 ms"
        yield _pair(text, _of(rows, load), lambda own: (own.ttft_p50_ms, own.ttft_p99_ms), (0.1, 0.5))
    for load in ("200x50", "500x50"):
        text = f"chunk-gap error at {load}: p50 <= 5 µs, p99 <= 50 µs"
        yield _pair(text, _of(rows, load), lambda own: (own.gap_p50_us, own.gap_p99_us), (5, 50))
    text = "chunk-gap error at 1000x50: p99 <= 1,500 µs"
    yield _pair(
        text, _of(rows, "1000x50"), lambda own: (own.gap_p50_us, own.gap_p99_us), (float("inf"), 1500)
    )


Values = tuple[float | None, float | None]


def _pair(
    text: str, own: Figures | None, take: Callable[[Figures], Values], limits: tuple[float, float]
) -> Target:
    """p50 and p99 against their limits."""
    median, high = take(own) if own else (None, None)
    if median is None or high is None:
        return unmeasured(text)
    return Target(text, f"{median:.3g} / {high:.3g}", met=median <= limits[0] and high <= limits[1])


def _against_locust(rows: Rows) -> Target:
    own, plain = _of(rows, "200x50"), _of(rows, "200x50", "fast-readline")
    text = "CPU per event at 200x50: 3 x less than FastHttpUser + readline"
    if not own or not plain:
        return unmeasured(text)
    return Target(text, f"{plain.cpu_us / own.cpu_us:.1f} x", met=plain.cpu_us >= 3 * own.cpu_us)


def _memory(rows: Rows, idle_mb: float | None) -> Target:
    own, text = _of(rows, "1000x50"), "memory at 1,000 streams <= 96 MB above an idle Locust worker's"
    if own is None or idle_mb is None:
        return unmeasured(text)
    above = own.rss_mb - idle_mb
    return Target(text, f"{above:.0f} MB ({own.rss_mb:.0f} - {idle_mb:.0f})", met=above <= 96)
