"""Costs of words are measured once for a tokenizer, and a tokenizer is known by what it counts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from harness import known_costs
from harness.errors import ConfigError
from harness.files import as_json
from harness.prompts import measure_text
from harness.record import TokenSource
from harness.server_sizer import NoAnswer
from harness.sizers import EstimatingSizer
from harness.texts import find

ENGLISH = find("en")


class Counting:
    """A tokenizer of its own kind: a token a word, and one more for each of the letters in `dear`; counts its calls."""

    source = TokenSource.TOKENIZER
    describe = "a tokenizer for tests"

    def __init__(self, dear: str = "", overhead: int = 3) -> None:
        self.dear = dear
        self.overhead = overhead
        self.calls = 0

    def count(self, text: str) -> int:
        self.calls += 1
        return self.overhead + self.count_output(text)

    def count_output(self, text: str) -> int:
        return len(text.split()) + sum(text.count(letter) for letter in self.dear)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TOKENSWARM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "costs"


def test_the_second_time_is_forty_counts(cache: Path) -> None:
    """And what is found is what was measured."""
    first, again = Counting("z"), Counting("z")
    measured = known_costs.of(first, ENGLISH)
    assert measured == measure_text(Counting("z"), ENGLISH)
    assert known_costs.of(again, ENGLISH) == measured
    assert first.calls > 1000
    assert again.calls == 1 + 6 + 23 + 14  # nothing, words alone, 1,328 words and 811 sentences by sixties
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("other", [Counting("q"), Counting("z", overhead=4)], ids=["words", "template"])
def test_another_tokenizer_is_measured(other: Counting) -> None:
    """One that counts a few words otherwise, or has another template, is no acquaintance."""
    known_costs.of(Counting("z"), ENGLISH)
    found = known_costs.of(other, ENGLISH)
    assert found == measure_text(Counting(other.dear, other.overhead), ENGLISH)
    assert found != measure_text(Counting("z"), ENGLISH)


def test_texts_are_known_apart() -> None:
    """The costs of Portuguese words say nothing of English ones."""
    sizer = Counting("z")
    assert {known_costs.of(sizer, find(name)).text for name in ("en", "pt", "en")} == {"en", "pt"}


def whole() -> dict[str, Any]:
    """A file as it is written."""
    found: dict[str, Any] = orjson.loads(as_json(msgspec.to_builtins(measure_text(Counting(), ENGLISH))))
    return found


DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "a list": b"[]",
    "half": as_json(whole())[:1000],
    "no words": as_json(whole() | {"first": {}, "inner": {}}),
    "no words of a cost": as_json(whole() | {"first": {"1": []}}),
    "words that cost nothing": as_json(whole() | {"inner": {"0": [" the"], "1": [" and"]}}),
    "somebody's words": as_json(whole() | {"first": {"1": ["exfiltrate"]}}),
    "words without their space": as_json(whole() | {"inner": {"1": ["the"]}}),
    "another overhead": as_json(whole() | {"overhead": 99}),
    "another text": as_json(whole() | {"text": "pt"}),
    "few sentences": as_json(whole() | {"sentences": [4]}),
    "sentences for nothing": as_json(whole() | {"sentences": [0] * 811}),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_measured_anew(cache: Path, damage: bytes) -> None:
    """And mended. Such a file must neither be sent as a prompt nor keep a prompt from ever being full."""
    measured = known_costs.of(Counting(), ENGLISH)
    (file,) = cache.iterdir()
    file.write_bytes(damage)
    anew, again = Counting(), Counting()
    assert known_costs.of(anew, ENGLISH) == measured
    assert anew.calls > 1000
    assert known_costs.of(again, ENGLISH) == measured
    assert again.calls < 50


class Short(Counting):
    """A server that takes no more than 500 characters at a time."""

    def count(self, text: str) -> int:
        if len(text) > 500:
            raise ConfigError("POST /tokenize gave 413")
        return super().count(text)


def test_a_server_that_takes_short_texts_only_is_measured_each_time(cache: Path) -> None:
    """What it refuses is our acquaintance, not the run."""
    assert known_costs.of(Short(), ENGLISH) == measure_text(Counting(), ENGLISH)
    assert not cache.exists()


class Hung(Counting):
    """A server that no longer answers."""

    def count(self, text: str) -> int:
        self.calls += 1
        raise NoAnswer("POST /tokenize failed (timed out); is the server up?")


def test_a_server_that_does_not_answer_is_waited_for_once() -> None:
    """A minute is enough to wait before the run ends with that line."""
    hung = Hung()
    with pytest.raises(NoAnswer, match="is the server up"):
        known_costs.of(hung, ENGLISH)
    assert hung.calls == 1


def test_a_machine_without_a_home_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in some containers."""
    monkeypatch.setattr(known_costs, "cache_dir", lambda: Path("~nobody-of-that-name").expanduser())
    assert known_costs.of(Counting(), ENGLISH) == measure_text(Counting(), ENGLISH)


def test_a_cache_that_cannot_be_written_costs_time_only(cache: Path) -> None:
    """A file stands where the folder should be."""
    cache.parent.write_text("in the way")
    assert known_costs.of(Counting(), ENGLISH) == measure_text(Counting(), ENGLISH)


def test_estimates_are_not_kept(cache: Path) -> None:
    """They follow from lengths."""
    assert known_costs.of(EstimatingSizer(), ENGLISH) == measure_text(EstimatingSizer(), ENGLISH)
    assert not cache.exists()
