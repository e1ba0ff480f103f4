"""What a user should read before load: allowed, but hardly meant, or not to be trusted.

Lines, not errors: the run goes on. What makes a run impossible is refused in `harness.options`.
"""

from collections.abc import Iterator

from harness.proxy import is_here
from harness.selftest import capacity
from harness.settings import Settings

__all__ = ["cautions"]


def cautions(settings: Settings) -> Iterator[str]:
    """A line for each."""
    target = settings.target
    if settings.insecure and target.tls:
        yield "--insecure: the server's certificate is not verified; whoever is in between can read prompts and key"
    for name, given in (("--insecure", settings.insecure), ("--ca-file", settings.ca_file)):
        if given and not target.tls:  # no error: a pipeline may set them for all of its targets
            yield f"{name} has no effect: {target} is not https, so there is no certificate"
    if settings.proxy and is_here(target):
        yield (
            f"{target} is this machine, and {settings.proxy.variable} names a proxy for it all the same: "
            f"NO_PROXY={target.host} goes past it"
        )
    sought = settings.load.search
    highest = [] if sought is None or sought.kind != "concurrency" else [int(sought.high)]
    streams = max([*settings.levels, *highest], default=settings.users or 1)
    if warning := capacity.warning(streams, None, tls=target.tls):
        yield warning
    ramp_s = (settings.users or 1) / (settings.spawn_rate or 1)
    if settings.run_time_s and ramp_s > settings.run_time_s:
        yield (
            f"-t {settings.run_time_s} s is over before all users are up ({ramp_s:.0f} s at this -r): nothing is measured"
        )
