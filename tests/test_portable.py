"""What workers get of files that only the master has: the same lengths, the same trace, the same pairs."""

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import orjson
import pytest
from test_briefing import parsed

from harness import joint, options, traces
from harness.distributed import briefing, portable
from harness.settings import Settings
from harness.traces import Trace

DATA = Path(__file__).parent / "data" / "traces"


@pytest.fixture
def sizes(tmp_path: Path) -> Path:
    """A file of lengths."""
    path = tmp_path / "sizes.csv"
    path.write_text("tokens,weight\n20,3\n40,1\n")
    return path


def arrived(path: Path, *argv: str) -> tuple[Settings, Settings]:
    """Settings of a master, and those of its worker after the master's file is gone."""
    given = parsed(*argv)
    whole = options.read(given, "http://h:1")
    told = briefing.options_of(given, "http://h:1", whole)
    path.unlink()
    lines = list(briefing.write(told, {}, {}))
    return whole, options.read(briefing.read(lines, lambda: None).options, None)


def rng(seed: int) -> random.Random:
    """A source of its own."""
    return random.Random(seed)


def same(one: Trace, other: Trace) -> bool:
    """Row by row, blocks and all."""
    return len(one) == len(other) and all(one.due(at) == other.due(at) for at in range(len(one)))


def test_sizes_travel_as_what_they_say(sizes: Path) -> None:
    """A worker without the file draws from the same lengths."""
    file = f"file:{sizes}"
    whole, worker = arrived(
        sizes, "--prompt-tokens", file, "--output-tokens", file, "--turns", "2", "--turn-tokens", file
    )
    for name in ("prompt_sizes", "output_sizes"):
        mine, theirs = getattr(whole, name), getattr(worker, name)
        assert mine.mean == theirs.mean == 25.0
        assert [mine.sample(rng(at)) for at in range(50)] == [theirs.sample(rng(at)) for at in range(50)]
    assert worker.content.turn_sizes is not None
    assert worker.content.turn_sizes.mean == 25.0
    assert worker.content.turns is not None
    assert worker.content.turns.mean == 2.0


def test_levels_of_lengths_travel(sizes: Path) -> None:
    """Plain ones, and one from a file among them."""
    whole, worker = arrived(sizes, "--prompt-levels", f"16 file:{sizes} uniform:20,60")
    assert [one.mean for one in worker.load.prompt_levels] == [one.mean for one in whole.load.prompt_levels]
    assert [one.mean for one in worker.load.prompt_levels] == [16.0, 25.0, 40.0]


@pytest.mark.parametrize("option", ["--prompt-levels", "--output-levels"])
def test_plain_levels_travel(tmp_path: Path, option: str) -> None:
    """Numbers alone, whose separator is a comma where a user writes them."""
    path = tmp_path / "unused"
    path.touch()
    _, worker = arrived(path, option, "16,64,256")
    levels = worker.load.prompt_levels or worker.load.output_levels
    assert [one.describe() for one in levels] == ["16", "64", "256"]


def test_parts_of_a_mixture_travel(sizes: Path) -> None:
    """Their files of lengths are written out, their other words stay."""
    _, worker = arrived(
        sizes,
        "--mix",
        f"chat:70 prompt=file:{sizes} output=5",
        "--mix",
        "rag:30 prompt=60 text=pt prefix=2x9",
    )
    chat, rag = worker.content.parts
    assert (chat.name, chat.weight, rag.name, rag.weight, rag.text) == ("chat", 70, "rag", 30, "pt")
    assert chat.prompt is not None
    assert chat.prompt.mean == 25.0
    assert rag.prefix is not None
    assert rag.prefix.describe() == "2x9"


@pytest.mark.parametrize(
    "name", ["mooncake.jsonl", "azure_2023.csv", "burstgpt_1.csv", "plain.csv", "times.txt"]
)
def test_a_trace_travels(name: str) -> None:
    """Times, lengths that are known or not, and blocks, through JSON and back."""
    told = traces.read(DATA / name)
    columns = [orjson.loads(orjson.dumps(part)) for part in portable.rows(told)]
    back = portable.trace(str(told.path), told.format, columns)
    assert same(told, back)
    assert (back.path, back.format) == (told.path, told.format)


def test_a_long_trace_travels_in_pieces(tmp_path: Path) -> None:
    """5,000 rows with blocks: several lines, and each row's blocks stay its own."""
    rows = (
        {"timestamp": at, "input_length": 600, "output_length": 1, "hash_ids": [at] * (at % 3)}
        for at in range(5_000)
    )
    path = tmp_path / "long.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))
    told = traces.read(path, speed_up=2)
    columns = list(portable.rows(told))
    assert len(columns) == 3
    back = portable.trace(str(path), told.format, columns)
    assert same(told, back)
    assert [len(back.due(at).blocks) for at in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert {after - before for before, after in pairwise(np.asarray(back.offset_ns))} == {500_000}


@pytest.mark.parametrize(
    "text",
    ["prompt_tokens,output_tokens\n20,5\n40,9\n", "prompt_tokens,output_tokens,weight\n20,5,3\n40,9,1\n"],
)
def test_pairs_travel(tmp_path: Path, text: str) -> None:
    """The same draws, weights or none."""
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    told = joint.read(str(path))
    back = portable.same_pairs(orjson.loads(orjson.dumps(portable.pairs(told))))
    assert back == told
    assert [back.sample(rng(at)) for at in range(50)] == [told.sample(rng(at)) for at in range(50)]
    assert {back.sample(rng(at)) for at in range(50)} == {(20, 5), (40, 9)}
