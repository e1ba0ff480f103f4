"""The load model's options: what they make, and one line for each thing that is wrong, which names option, value and fix."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from locust_runs import refused

from harness import load_options, option_table, options
from harness.distributions import Constant
from harness.errors import ConfigError
from harness.load_options import LoadModel
from harness.settings import Settings


def _read(**given: object) -> Settings:
    """The settings of options; names as in Python. -u, -r and -t are `num_users`, `spawn_rate` and `run_time`."""
    plain: dict[str, Any] = {name.replace("-", "_"): default for name, default, *_ in option_table.OPTIONS}
    plain |= {name.replace("-", "_"): None for name in option_table.REPEATABLE}
    plain |= {name.replace("-", "_"): False for name in option_table.FLAGS}
    plain |= {"host": "http://h:1", "num_users": None, "spawn_rate": None, "run_time": None}
    unknown = set(given) - set(plain)
    assert not unknown, unknown
    return options.read(Namespace(**(plain | given)), None)


def _model(**given: object) -> LoadModel:
    return _read(**given).load


def _problems(**given: object) -> list[str]:
    try:
        _read(**given)
    except ConfigError as error:
        return str(error).splitlines()
    return []


def test_a_closed_loop_is_what_comes_of_nothing() -> None:
    """As ever: users, each sending when its last request is done."""
    model = _model()
    assert (model.is_open, model.is_timed, model.has_levels) == (False, False, False)
    assert (model.arrivals, model.cap, model.level_s, model.waves, model.warmup_s) == (
        None,
        None,
        None,
        False,
        None,
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"arrivals": "poisson:10"}, "poisson:10"),
        ({"arrivals": " gamma:10,0.5 "}, "gamma:10,0.5"),
        ({"rates": "1,2"}, "poisson"),
        ({"rates": "1,2", "arrivals": "constant"}, "constant"),
        ({"search": "rate:1-100", "slo": ["ttft_p95<2s"]}, "poisson"),
        ({"search": "rate:1-100", "slo": ["ttft_p95<2s"], "arrivals": "gamma:0.5"}, "gamma:0.5"),
    ],
)
def test_which_process_sends(given: dict[str, object], said: str) -> None:
    """Poisson where only rates are given: that is what many independent users make."""
    model = _model(**given)
    assert model.arrivals is not None
    assert model.arrivals.describe() == said
    assert model.is_open
    assert model.is_timed


def test_what_options_make() -> None:
    """Numbers and times in seconds, as `run.json` has them."""
    model = _model(
        rates="1, 2.5",
        max_concurrency="64",
        seconds_per_level="1m30s",
        warmup="10s",
        cooldown="5",
        prompt_tokens="30",
    )
    stored = model.stored()
    assert (model.rates, model.cap, model.level_s, model.warmup_s, model.cooldown_s) == (
        (1.0, 2.5),
        64,
        90.0,
        10.0,
        5.0,
    )
    assert stored["arrivals"] == "poisson"
    assert stored["rates"] == [1.0, 2.5]
    assert stored["max_concurrency"] == 64
    assert (stored["seconds_per_level"], stored["refill"], stored["warmup_s"]) == (90.0, "steady", 10.0)
    assert _model(levels="1,2", refill="waves").waves
    assert _model(levels="1,2", refill="waves").stored()["refill"] == "waves"


def test_warmup_is_a_count_a_time_or_found_out() -> None:
    """A plain number counts requests."""
    assert (_read(levels="2", warmup="3").warmup, _model(levels="2", warmup="3").warmup_s) == (3, None)
    timed = _read(levels="2", seconds_per_level="30", warmup="500ms")
    assert (timed.warmup, timed.load.warmup_s, timed.load.warmup_auto) == (0, 0.5, False)
    auto = _model(levels="2", seconds_per_level="30", warmup="auto")
    assert (auto.warmup_s, auto.warmup_auto) == (None, True)


def test_lengths_to_sweep_over() -> None:
    """Numbers by commas; distributions, which have commas of their own, by blanks or semicolons."""
    assert _model(prompt_levels="128,1024", num_users=2).prompt_levels == (Constant(128), Constant(1024))
    found = _model(output_levels="normal:100,10; 200 ;uniform:1,9", num_users=2).output_levels
    assert [one.describe() for one in found] == ["normal:100,10", "200", "uniform:1,9"]


# What is given, and what the one line must say.
WRONG: dict[str, tuple[dict[str, object], tuple[str, ...]]] = {
    "rate of zero": ({"arrivals": "poisson:0"}, ("--arrivals", "poisson:0")),
    "rate below zero": ({"arrivals": "poisson:-1"}, ("--arrivals", "poisson:-1")),
    "rate that is none": ({"arrivals": "poisson:fast"}, ("--arrivals", "poisson:fast")),
    "rate beyond sense": ({"arrivals": "constant:1e9"}, ("--arrivals", "1e9")),
    "a process that is none": ({"arrivals": "pareto:10"}, ("--arrivals", "pareto:10", "poisson")),
    "no rate": ({"arrivals": "poisson"}, ("--arrivals 'poisson'", "poisson:10", "--rates")),
    "no file": ({"arrivals": "trace:"}, ("--arrivals", "trace")),
    "a burstiness of zero": ({"arrivals": "gamma:10,0"}, ("--arrivals", "gamma:10,0")),
    "a ramp without a time": ({"arrivals": "ramp:1,20"}, ("--arrivals", "ramp:1,20")),
    "steps without a time": ({"arrivals": "steps:5,10"}, ("--arrivals", "steps:5,10")),
    "a sweep with a rate of zero": ({"rates": "0,1"}, ("--rates", "0")),
    "a sweep with no number": ({"rates": "1,x"}, ("--rates", "x")),
    "a sweep with a rate twice": ({"rates": "1,2,1"}, ("--rates", "1")),
    "a ramp and rates": (
        {"rates": "1,2", "arrivals": "ramp:1,20,60s"},
        ("--arrivals", "ramp:1,20,", "--rates"),
    ),
    "a trace and rates": (
        {"rates": "1,2", "arrivals": "trace:t.csv"},
        ("--arrivals", "trace:t.csv", "--rates"),
    ),
    "a cap of zero": ({"arrivals": "poisson:1", "max_concurrency": "0"}, ("--max-concurrency", "'0'")),
    "a cap that is none": (
        {"arrivals": "poisson:1", "max_concurrency": "many"},
        ("--max-concurrency", "'many'"),
    ),
    "a cap without arrivals": ({"max_concurrency": "4"}, ("--max-concurrency needs --arrivals", "-u")),
    "a cap on levels": (
        {"levels": "1,2", "max_concurrency": "4"},
        ("--max-concurrency needs --arrivals", "--levels"),
    ),
    "a speed-up without a trace": (
        {"arrivals": "poisson:1", "speed_up": "2"},
        ("--speed-up needs --arrivals trace:FILE",),
    ),
    "a speed-up without arrivals": ({"speed_up": "2"}, ("--speed-up needs --arrivals trace:FILE",)),
    "a speed-up of zero": (
        {"arrivals": "trace:t.csv", "speed_up": "0"},
        ("--speed-up '0'", "2 for twice as fast"),
    ),
    "a speed-up below zero": ({"arrivals": "trace:t.csv", "speed_up": "-1"}, ("--speed-up '-1'",)),
    "a speed-up that is none": ({"arrivals": "trace:t.csv", "speed_up": "nan"}, ("--speed-up 'nan'",)),
    "a length of zero": ({"rates": "1", "seconds_per_level": "0"}, ("--seconds-per-level", "'0'")),
    "a length that is none": ({"rates": "1", "seconds_per_level": "soon"}, ("--seconds-per-level", "'soon'")),
    "seconds without a sweep": (
        {"seconds_per_level": "30"},
        ("--seconds-per-level needs a sweep", "--levels", "-t"),
    ),
    "seconds and arrivals without a sweep": (
        {"arrivals": "poisson:1", "seconds_per_level": "30"},
        ("--seconds-per-level needs a sweep", "-t"),
    ),
    "two ends of a level": (
        {"rates": "1,2", "seconds_per_level": "30", "requests_per_level": "50"},
        ("--seconds-per-level and --requests-per-level exclude each other",),
    ),
    "a refill that is none": ({"levels": "1,2", "refill": "tides"}, ("--refill", "'tides'", "waves")),
    "waves without levels": ({"num_users": 4, "refill": "waves"}, ("--refill waves needs --levels",)),
    "waves of arrivals": ({"rates": "1,2", "refill": "waves"}, ("--refill waves needs --levels",)),
    "waves and a number": (
        {"levels": "1,2", "refill": "waves", "requests_per_level": "10"},
        ("--refill waves sends each user's one request a wave", "--repeats"),
    ),
    "waves and a time": (
        {"levels": "1,2", "refill": "waves", "seconds_per_level": "10"},
        ("--refill waves sends each user's one request a wave", "--repeats"),
    ),
    "users and arrivals": (
        {"arrivals": "poisson:1", "num_users": 4},
        ("-u and --arrivals exclude each other", "--max-concurrency"),
    ),
    "a spawn rate and arrivals": (
        {"arrivals": "poisson:1", "spawn_rate": 4.0},
        ("-r and --arrivals exclude each other",),
    ),
    "users and rates": ({"rates": "1,2", "num_users": 4}, ("-u and --arrivals exclude each other",)),
    "levels and arrivals": (
        {"levels": "1,2", "arrivals": "poisson:1"},
        ("--levels and --arrivals exclude each other", "--rates"),
    ),
    "-t and rates": (
        {"rates": "1,2", "run_time": 60},
        ("-t and --rates exclude each other", "--seconds-per-level"),
    ),
    "two sweeps": (
        {"prompt_levels": "1,2", "output_levels": "1,2", "num_users": 2},
        ("--prompt-levels and --output-levels exclude each other",),
    ),
    "a length twice": (
        {"prompt_levels": "128,128", "num_users": 2},
        ("--prompt-levels '128,128'", "--repeats"),
    ),
    "an answer length that is none": (
        {"output_levels": "128,long", "num_users": 2},
        ("--output-levels", "long"),
    ),
    "a cool-down without an end": (
        {"levels": "1,2", "cooldown": "5s"},
        ("--cooldown needs levels that end by the clock",),
    ),
    "a cool-down that is none": ({"rates": "1", "cooldown": "later"}, ("--cooldown", "'later'")),
    "a warm-up in seconds of users by hand": (
        {"num_users": 4, "warmup": "5s"},
        ("--warmup in seconds needs", "-t"),
    ),
    "a warm-up that is none": ({"rates": "1", "warmup": "5parsecs"}, ("--warmup", "'5parsecs'")),
    "a warm-up in digits of another kind": ({"arrivals": "poisson:1", "warmup": "²"}, ("--warmup '²'",)),
    "a warm-up beyond all digits": (
        {"arrivals": "poisson:1", "warmup": "9" * 100},
        ("--warmup", "give a whole number from 0 to 10000"),
    ),
    "a warm-up below zero": ({"rates": "1", "warmup": "-1"}, ("--warmup", "'-1'")),
    "saturation without a sweep": (
        {"num_users": 4, "stop_when_saturated": True},
        ("--stop-when-saturated needs a sweep",),
    ),
    "a search that is none": ({"search": "users:1-9", "slo": ["ttft_p95<2s"]}, ("--search", "users:1-9")),
    "a search for nothing": ({"search": "concurrency:1-9"}, ("--search needs service levels", "--slo")),
    "a search with users": (
        {"search": "concurrency:1-9", "slo": ["ttft_p95<2s"], "num_users": 3},
        ("-u and --search exclude each other",),
    ),
    "a search among arrivals for users": (
        {"search": "concurrency:1-9", "slo": ["ttft_p95<2s"], "arrivals": "poisson"},
        ("--arrivals and --search concurrency exclude each other", "rate:1-100"),
    ),
    "a search and -t": (
        {"search": "rate:1-9", "slo": ["ttft_p95<2s"], "run_time": 9},
        ("-t and --search exclude each other",),
    ),
    "a search and levels": (
        {"search": "concurrency:1-9", "slo": ["ttft_p95<2s"], "levels": "1,2"},
        ("--levels and --search exclude each other",),
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(case: str) -> None:
    """The line says all that it must, at a length that can be read, and nothing is said twice."""
    given, words = WRONG[case]
    found = _problems(**given)
    telling = [line for line in found if all(word in line for word in words)]
    assert len(telling) == 1, found
    assert len(set(found)) == len(found)
    assert all(len(line) < 250 for line in found)


ALONE = sorted(set(WRONG) - {"levels and arrivals", "a search among arrivals for users"})


@pytest.mark.parametrize("case", ALONE)
def test_one_thing_that_is_wrong_is_one_line(case: str) -> None:
    """What follows from it is not complained of as well."""
    assert len(_problems(**WRONG[case][0])) == 1


@pytest.mark.parametrize(
    "given",
    [
        {"arrivals": "poisson:1", "run_time": 60, "warmup": "5s", "cooldown": "5s"},
        {"arrivals": "poisson:1", "max_concurrency": "4"},
        {"arrivals": "trace:t.csv", "speed_up": "2.5"},
        {"rates": "1,2", "requests_per_level": "50", "repeats": "3"},
        {"levels": "1,2", "seconds_per_level": "30", "warmup": "5s", "stop_when_saturated": True},
        {"levels": "1,2", "refill": "waves", "repeats": "5"},
        {"prompt_levels": "100,1000", "num_users": 4, "requests_per_level": "20"},
        {"prompt_levels": "100,1000", "arrivals": "constant:2", "seconds_per_level": "20"},
        {"num_users": 4, "run_time": 60, "warmup": "5s"},
        {"search": "rate:1-100", "slo": ["ttft_p95<2s"], "seconds_per_level": "20"},
    ],
)
def test_what_goes_together(given: dict[str, object]) -> None:
    """Nothing is said of it."""
    assert _problems(**given) == []


def test_several_things_are_said_at_once() -> None:
    """A line each: nobody has to start again for every one."""
    found = _problems(rates="0", max_concurrency="0", speed_up="x", seconds_per_level="never", refill="tides")
    assert len(found) == 5


def test_the_length_of_a_level_that_has_no_other() -> None:
    """A minute, as the documentation says."""
    assert load_options.LEVEL_S == 60


def test_it_ends_before_load(tmp_path: Path) -> None:
    """A real process: exit 2, one line, nothing kept, and nobody asked."""
    line = refused("openai.py", tmp_path, "http://127.0.0.1:9", "--arrivals", "poisson:0", "-t", "5s")
    assert "--arrivals" in line
    trace = tmp_path / "t.csv"
    trace.write_text("timestamp\n5\n4\n")
    line = refused("openai.py", tmp_path, "http://127.0.0.1:9", "--arrivals", f"trace:{trace}")
    assert f"{trace}" in line
    assert "3" in line.partition(str(trace))[2]
