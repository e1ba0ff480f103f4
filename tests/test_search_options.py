"""What a search needs and excludes, and when a sweep may stop by itself; read as options are."""

from argparse import ArgumentParser, Namespace

import pytest

from harness import options
from harness.errors import ConfigError
from harness.settings import Settings

HOST = "http://127.0.0.1:9"
SLO = ("--slo", "ttft_p95<1s")


def read(*words: str) -> Settings:
    """The settings of a command line."""
    parser = _Parser(allow_abbrev=False)
    options.add_options(parser)
    for flag, name, kind in (("-u", "num_users", int), ("-r", "spawn_rate", float), ("-t", "run_time", int)):
        parser.add_argument(flag, dest=name, type=kind, default=None)
    return options.read(Namespace(**vars(parser.parse_args(words)), host=HOST), None)


class _Parser(ArgumentParser):
    """Takes Locust's own two arguments of an option, and ignores them."""

    def add_argument(self, *names, env_var=None, include_in_web_ui=True, **more):  # type: ignore[no-untyped-def,override]
        return super().add_argument(*names, **more)


def test_a_search_for_users() -> None:
    """Closed loop; the settings name it as it can be read again."""
    settings = read(*SLO, "--search", "concurrency:1-64", "--requests-per-level", "5x")
    assert settings.load.search is not None
    assert settings.load.search.high == 64
    assert (settings.load.is_open, settings.load.has_levels, settings.requests_per_user) == (False, True, 5)
    assert settings.stored()["search"] == "concurrency:1-64"


def test_a_search_for_a_rate() -> None:
    """Arrivals are Poisson's unless something else is asked for; they take their rate from the search."""
    settings = read(*SLO, "--search", "rate:1-100,2%")
    assert settings.load.arrivals is not None
    assert settings.load.arrivals.describe() == "poisson"
    assert settings.load.first_rate == 1
    assert read(*SLO, "--search", "rate:1-100", "--arrivals", "constant").load.is_open


def test_warmup_auto() -> None:
    """No requests and no seconds: the records tell."""
    settings = read("--levels", "8", "--seconds-per-level", "30s", "--warmup", "auto")
    assert (settings.warmup, settings.load.warmup_s, settings.load.warmup_auto) == (0, None, True)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--search", "concurrency:1-64"], "--search needs service levels to search for: add --slo"),
        ([*SLO, "--search", "concurrency:64-1"], "--search 'concurrency:64-1': 64 is not below 1"),
        ([*SLO, "--search", "concurrency:1-64", "-u", "5"], "-u and --search exclude each other"),
        ([*SLO, "--search", "concurrency:1-64", "-t", "5"], "-t and --search exclude each other"),
        ([*SLO, "--search", "concurrency:1-64", "--levels", "1,2"], "--levels and --search exclude each other"),
        ([*SLO, "--search", "rate:1-64", "--rates", "1,2"], "--rates and --search exclude each other"),
        ([*SLO, "--search", "rate:1-64", "-u", "5"], "-u and --arrivals exclude each other"),
        ([*SLO, "--search", "concurrency:1-64", "--arrivals", "poisson:1"], "--arrivals and --search concurrency exclude"),
        ([*SLO, "--search", "concurrency:1-64", "--repeats", "2"], "--repeats and --search exclude each other"),
        ([*SLO, "--search", "concurrency:1-64", "--warmup", "auto"], "--warmup auto and --search exclude each other"),
        ([*SLO, "--search", "concurrency:1-64", "--requests-per-level", "20"], "--requests-per-level 20 cannot keep 64 users"),
        (["--slo", "ttfa_p95<1s", "--search", "concurrency:1-64"], "--slo 'ttfa_p95<1s' and --search exclude each other"),
        (["--slo", "chunk_gap_p95<1s", "--search", "rate:1-64"], "--slo 'chunk_gap_p95<1s' and --search exclude"),
        (["--stop-when-saturated", "-u", "5"], "--stop-when-saturated needs a sweep over load"),
        ([*SLO, "--stop-when-saturated", "--search", "rate:1-64"], "--stop-when-saturated needs a sweep over load"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(words: list[str], line: str) -> None:
    """The option, the value and the way out; before any load."""
    with pytest.raises(ConfigError) as raised:
        read(*words)
    assert any(said.startswith(line) for said in str(raised.value).splitlines()), str(raised.value)
