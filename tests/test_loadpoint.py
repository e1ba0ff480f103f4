"""What a level holds and what it is called."""

import pytest

from harness import loadpoint
from harness.loadpoint import LoadPoint

USERS = LoadPoint.of_users(8)
RATE = LoadPoint(key=2, users=0, kind="rate", rate=2.5, value=2.5)
ARRIVALS = LoadPoint(key=1, users=0, kind="arrivals", text="steps:5@30s")
PROMPTS = LoadPoint(key=3, users=4, kind="prompt_tokens", text="1024", value=1024.0)
OUTPUTS = LoadPoint(key=1, users=0, kind="output_tokens", text="normal:100,10", value=100.0)


@pytest.mark.parametrize(
    ("point", "title", "is_open"),
    [
        (LoadPoint.of_users(1), "1 user", False),
        (USERS, "8 users", False),
        (LoadPoint.of_users(1_500), "1,500 users", False),
        (LoadPoint(key=0, users=0), "0 users", False),  # while users are starting
        (RATE, "2.5 req/s", True),
        (LoadPoint(key=1, users=0, kind="rate", rate=10.0, value=10.0), "10 req/s", True),
        (ARRIVALS, "steps:5@30s", True),
        (PROMPTS, "1024 prompt tokens", False),
        (OUTPUTS, "normal:100,10 output tokens", True),
    ],
)
def test_its_title_and_who_sets_its_pace(point: LoadPoint, title: str, is_open: bool) -> None:
    """In an open loop it is the schedule, and no users of Locust's."""
    assert point.title == title
    assert point.is_open is is_open


def test_what_run_json_keeps() -> None:
    """By the level's name, as text, with the title."""
    assert loadpoint.stored([USERS, RATE]) == {
        "8": {
            "key": 8,
            "users": 8,
            "kind": "concurrency",
            "rate": None,
            "text": "",
            "value": 8.0,
            "wave": False,
            "cap": None,
            "title": "8 users",
        },
        "2": {
            "key": 2,
            "users": 0,
            "kind": "rate",
            "rate": 2.5,
            "text": "",
            "value": 2.5,
            "wave": False,
            "cap": None,
            "title": "2.5 req/s",
        },
    }


def test_what_the_summary_says() -> None:
    """Nobody set a concurrency in an open loop; arrivals that were not sent are 0 where none are named, None elsewhere."""
    points = loadpoint.stored([USERS, RATE])
    assert loadpoint.entry(2, points, {"2": 7}) == {
        "level": 2,
        "concurrency": None,
        "kind": "rate",
        "value": 2.5,
        "title": "2.5 req/s",
        "rate": 2.5,
        "unsent": 7,
        "wave": False,
        "max_concurrency": None,
    }
    assert loadpoint.entry(2, points, {})["unsent"] == 0
    users = loadpoint.entry(8, points)
    assert (users["concurrency"], users["kind"], users["unsent"]) == (8, "concurrency", None)


def test_runs_of_before_had_levels_of_users() -> None:
    """Without points a level's name is its number of users."""
    assert loadpoint.entry(4, None)["title"] == loadpoint.title(4, None) == "4 users"
    assert loadpoint.entry(4, None)["concurrency"] == 4
    assert loadpoint.title(2, loadpoint.stored([RATE])) == "2.5 req/s"


def test_what_tables_call_a_level() -> None:
    """The bare number where all are numbers of users, else titles below `load`."""
    users = loadpoint.entry(8, None)
    rate = loadpoint.entry(2, loadpoint.stored([RATE]), {})
    assert (loadpoint.short(users), loadpoint.short(rate)) == ("8", "2.5 req/s")
    assert loadpoint.short({"level": 8}) == "8"  # of a summary before there were kinds
    assert loadpoint.heading([users]) == loadpoint.heading([{"level": 8}]) == "users"
    assert loadpoint.heading([users, rate]) == "load"
