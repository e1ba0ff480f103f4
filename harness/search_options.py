"""What `--search` and `--stop-when-saturated` need, and what they do not go together with; a line for each.

A search judges levels while load runs, so its SLOs have to be on figures that are known then. Values in, lines out.
"""

from argparse import Namespace
from collections.abc import Iterator

from harness import slo, sofar
from harness.errors import ConfigError
from harness.search import Search

__all__ = ["of_saturation", "of_search"]


def of_search(
    search: Search, options: Namespace, *, arrivals: str, per_level: str, is_auto: bool
) -> Iterator[str]:
    """What is wrong with a search.

    Args:
        search: what was asked.
        options: Locust's and ours, for -u, -r, -t, --slo and --repeats.
        arrivals: the text of `--arrivals`.
        per_level: the text of `--requests-per-level`.
        is_auto: `--warmup auto` was given.
    """
    yield from _of_slos(options)
    is_rate = search.kind == "rate"
    for flag, value in (("-u", options.num_users), ("-r", options.spawn_rate)):
        if value and not (is_rate or arrivals):  # which are refused beside arrivals already
            yield f"{flag} and --search exclude each other: the search sets the load; drop {flag}"
    if options.run_time:
        yield "-t and --search exclude each other: --seconds-per-level says how long each trial is held; drop -t"
    if not is_rate and arrivals:
        yield "--arrivals and --search concurrency exclude each other: write --search rate:1-100 for arrivals"
    if str(options.repeats or "1").strip() not in ("", "1"):
        yield "--repeats and --search exclude each other: the search itself repeats what is not clear; drop --repeats"
    if is_auto:
        yield (
            "--warmup auto and --search exclude each other: steady state is found when the run is over; give a "
            "time, e.g. --warmup 10s"
        )
    if not is_rate and per_level.isdigit() and int(per_level) < search.high:
        yield (
            f"--requests-per-level {per_level} cannot keep {search.high:.10g} users busy: give at least "
            f"{search.high:.10g}, or 5x for five rounds of each user"
        )


def of_saturation(*, levels: str, has_rates: bool) -> Iterator[str]:
    """What is wrong with `--stop-when-saturated`."""
    if not (levels or has_rates):
        yield (
            "--stop-when-saturated needs a sweep over load: --levels 1,2,4,8 or --rates 1,2,4,8; a --search ends by "
            "itself"
        )


def _of_slos(options: Namespace) -> Iterator[str]:
    try:
        asked = slo.read(options.slo or [])
    except ConfigError:
        return  # and that has been said
    if not asked:
        yield "--search needs service levels to search for: add --slo, e.g. --slo 'ttft_p95<2s'"
    for one in sofar.unknown(asked):
        yield (
            f"--slo {one.describe()!r} and --search exclude each other: {one.figure.name} is known only when the run "
            "is over; search by another figure, e.g. ttft or e2e"
        )
