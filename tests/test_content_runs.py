"""Whole runs of what requests are made of: chats, datasets, mixtures, traces and lengths, against the simulator's log."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from locust_runs import Result, most_at_once, refused, run, simulator, truth

from harness import mix
from harness.servers.process import Server, free_port

FAST = ("--speak", "vllm", "--slots", "16", "--step-base-ms", "3", "--step-per-seq-ms", "0")
IDS = ("--api-mode", "completions", "--prompt-ids", "1000-30000")
DOT = Path(__file__).parent / "data" / "datasets" / "dot.png"
PARTS = ("chat:70 prompt=30 output=5", "rag:30 prompt=60 output=9")
ENTRIES = 8  # of the dataset; their lengths of answers tell them apart


@pytest.fixture(scope="module")
def server(log: Path) -> Iterator[Server]:
    """The dialect of vLLM, quick, with room for 3,000 tokens a request."""
    with simulator(*FAST, "--prefill-rate", "200000", "--context", "3000", "--log", str(log)) as running:
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Datasets, pairs and traces."""
    folder = tmp_path_factory.mktemp("files")
    entries = [{"prompt": f"question {number}", "output_tokens": 3 + number} for number in range(ENTRIES)]
    (folder / "own.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    seen = [{"prompt": "What is this?", "image_path": str(DOT)}, {"prompt": "And without?"}]
    (folder / "seen.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in seen))
    talk = [("human", "Hello there"), ("gpt", "recorded"), ("human", "And then?"), ("gpt", "recorded")]
    chats = [
        {"id": str(turns), "conversations": [{"from": who, "value": said} for who, said in talk * turns][:-1]}
        for turns in (1, 2)
    ]
    (folder / "chats.json").write_text(json.dumps(chats))
    (folder / "pairs.csv").write_text("prompt_tokens,output_tokens\n20,5\n40,9\n")
    (folder / "long.csv").write_text("prompt_tokens,output_tokens\n20,5\n2900,200\n")
    rows = [(0, 1100, 5, [1, 2, 3]), (200, 1300, 6, [1, 2, 4]), (400, 700, 7, [5, 6]), (600, 600, 8, [5, 7])]
    names = ("timestamp", "input_length", "output_length", "hash_ids")
    moon = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    (folder / "moon.jsonl").write_text("\n".join(moon))
    burst = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    rest = "5,ChatGPT,60,4,64,Conversation log\n5,ChatGPT,70,0,70,Conversation log\n6,GPT-4,90,6,96,API log\n"
    (folder / "burst.csv").write_text(burst + rest)
    (folder / "far.csv").write_text("t,prompt_tokens,output_tokens\n0,60,4\n0.2,2990,60\n")
    return folder


def go(folder: Path, server: Server, *options: str, workers: int = 0) -> Result:
    """A run that goes well."""
    folder.mkdir(exist_ok=True)
    port = str(free_port())
    spread = ("--processes", str(workers), "--master-bind-port", port, "--master-port", port)
    done = run("vllm.py", folder / "r", "--host", server.url, *options, *(spread if workers else ()))
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    assert done.summary["totals"]["failed"] == 0
    return done


def stored(done: Result) -> Any:
    """run.json."""
    return json.loads((done.directory / "run.json").read_bytes())


def test_chats_grow_by_what_was_said_and_answered(tmp_path: Path, server: Server, log: Path) -> None:
    """Each turn's prompt is the last one's, its answer, the user's words and what the template puts around two turns.

    A session thinks between turns, and holds its user meanwhile: two sessions, two requests at most.
    """
    done = go(
        tmp_path, server, "--levels", "2", "--requests-per-level", "12", "--turns", "3", "--think-time", "0.2s",
        "--prompt-tokens", "40", "--turn-tokens", "10", "--output-tokens", "12",
    )  # fmt: skip
    rows = done.requests.sort_values(["session_id", "turn"])
    assert (rows.outcome == "ok").all()
    both = rows.merge(truth(log), on="request_id", suffixes=("", "_true"))
    assert (both.prompt_tokens == both.prompt_tokens_true).all()
    assert len(both) == 12
    chats = [chat for _, chat in rows.groupby("session_id")]
    assert [chat.turn.to_list() for chat in chats] == [[1, 2, 3]] * 4
    assert set(rows.session_id) == {f"VLLM#{number}" for number in range(4)}
    for chat in chats:
        first, *later = chat.prompt_tokens
        assert first == 40
        template = later[0] - (40 + 12 + 10)
        assert 0 < template < 15
        assert later[1] - later[0] == 12 + 10 + template
        asked = chat.requested_prompt_tokens.to_list()
        assert asked[0] == 40
        assert pd.isna(asked[1:]).all()  # nobody sized a history
        pauses_s = (chat.sent_ns.to_numpy()[1:] - chat.end_ns.to_numpy()[:-1]) / 1e9
        assert (pauses_s >= 0.2).all()
    assert most_at_once(rows) <= 2
    turns = done.summary["turns"]
    assert [(entry["turn"], entry["requests"]) for entry in turns] == [(1, 4), (2, 4), (3, 4)]
    assert [entry["prompt_tokens"]["mean"] for entry in turns] == [
        rows[rows.turn == turn].prompt_tokens.mean() for turn in (1, 2, 3)
    ]
    assert done.summary["chats"] == {"sessions": 4, "turns": 12, "turns_mean": 3.0, "turns_max": 3}


def test_chats_that_arrive(tmp_path: Path, server: Server) -> None:
    """Open loop: an arrival is a session; only its first turn has a schedule, the others follow the answers."""
    done = go(
        tmp_path, server, "--rates", "10,20", "--requests-per-level", "8", "--turns", "2",
        "--prompt-tokens", "40", "--output-tokens", "6", "--arrivals", "constant", workers=2,
    )  # fmt: skip
    rows = done.requests
    assert rows.session_id.notna().all()
    assert not rows.duplicated(["session_id", "turn"]).any()
    firsts = rows[rows.turn == 1]
    assert firsts.groupby("level").size().to_list() == [8, 8]
    assert firsts.session_id.nunique() == 16  # no session of one level is another's
    second = rows[rows.turn == 2].merge(firsts, on="session_id", suffixes=("", "_first"))
    assert (second.sent_ns >= second.end_ns_first).all()
    assert (second.worker == second.worker_first).all()


def test_each_entry_once_in_each_pass(tmp_path: Path, server: Server, files: Path) -> None:
    """All workers together send each entry of a dataset once before any again, with the length it asks for.

    That it was gone through twice is said, and stands in run.json.
    """
    done = go(
        tmp_path, server, "--rates", "40", "--arrivals", "constant", "--requests-per-level", str(2 * ENTRIES),
        "--dataset", str(files / "own.jsonl"), workers=2,
    )  # fmt: skip
    rows = done.requests.sort_values("scheduled_ns")
    lengths = rows.output_tokens.to_list()
    once = sorted(range(3, 3 + ENTRIES))
    assert sorted(lengths[:ENTRIES]) == sorted(lengths[ENTRIES:]) == once
    assert rows.requested_prompt_tokens.isna().all()
    (told,) = stored(done)["datasets"]
    assert (told["entries"], told["taken"], told["passes"]) == (ENTRIES, 2 * ENTRIES, 2.0)
    assert "gone through 2.0 times (16 of 8 entries): prompts came again" in done.err


def test_shuffled_and_fresh(tmp_path: Path, server: Server, files: Path) -> None:
    """Another order than the file's, the same in both passes; and a prefix that no cache knows makes prompts longer."""
    options = (
        "--levels",
        "1",
        "--requests-per-level",
        str(2 * ENTRIES),
        "--dataset",
        str(files / "own.jsonl"),
    )
    plain = go(tmp_path / "plain", server, *options).requests.sort_values("sent_ns")
    done = go(tmp_path / "other", server, *options, "--dataset-order", "shuffled", "--bust-cache", "yes")
    other = done.requests.sort_values("sent_ns")
    assert plain.output_tokens.to_list() == [*range(3, 3 + ENTRIES)] * 2
    order = other.output_tokens.to_list()
    assert order[:ENTRIES] == order[ENTRIES:] != [*range(3, 3 + ENTRIES)]
    assert sorted(order[:ENTRIES]) == [*range(3, 3 + ENTRIES)]
    assert other.prompt_tokens.min() > plain.prompt_tokens.max()


def test_conversations_of_a_dataset(tmp_path: Path, server: Server, files: Path) -> None:
    """What users said there is said again, in sessions of two and four turns.

    Without --turns each is one request with all that was said.
    """
    options = ("--levels", "2", "--dataset", str(files / "chats.json"), "--output-tokens", "5")
    whole = go(tmp_path / "a", server, *options, "--requests-per-level", "12", "--turns", "9").requests
    assert set(whole.groupby("session_id").turn.max()) <= {1, 2, 3, 4}
    assert whole.turn.max() == 4
    once = go(tmp_path / "c", server, *options, "--requests-per-level", "4").requests
    assert once.session_id.isna().all()
    assert once.prompt_tokens.nunique() == 2
    assert once.prompt_tokens.max() > whole[whole.turn == 2].prompt_tokens.max()


def test_images_go_along(tmp_path: Path, server: Server, files: Path, log: Path) -> None:
    """Every second prompt has one, which costs tokens; a route without images is refused before load."""
    options = (
        "--levels",
        "1",
        "--requests-per-level",
        "4",
        "--dataset",
        str(files / "seen.jsonl"),
        "--output-tokens",
        "5",
    )
    rows = go(tmp_path, server, *options).requests.sort_values("sent_ns")
    with_image, without, *again = rows.prompt_tokens
    assert with_image > without + 50
    assert again == [with_image, without]
    line = refused("vllm.py", tmp_path, server.url, *options, "--api-mode", "completions", log=log)
    assert (
        f"--dataset {files / 'seen.jsonl'}: it has images, and backend 'vllm' (--api-mode completions) takes none"
        in line
    )


def test_a_mixture(tmp_path: Path, server: Server, files: Path) -> None:
    """Each part has its name in Locust's statistics and the table, its share, its sizes, its dataset.

    Which part a request is of follows from its number, so that shares are the same for any number of workers.
    """
    own = f"own:20 dataset={files / 'own.jsonl'}"
    done = go(
        tmp_path, server, *IDS, "--rates", "60", "--arrivals", "constant", "--requests-per-level", "60",
        "--mix", PARTS[0], "--mix", PARTS[1], "--mix", own, workers=2,
    )  # fmt: skip
    rows = done.requests
    counts = rows.name.value_counts().to_dict()
    seed = stored(done)["settings"]["seed"]
    parts = mix.mixture(mix.parse([*PARTS, own]))
    assert counts == Counter(parts.pick(number, seed).name for number in range(60))
    sizes = rows.groupby("name").prompt_tokens.agg(["min", "max"])
    assert sizes.loc["chat"].to_list() == [30, 30]
    assert sizes.loc["rag"].to_list() == [60, 60]
    assert sizes.loc["own"].max() < 30
    outputs = rows.groupby("name").output_tokens.agg(["min", "max"])
    assert outputs.loc["chat"].to_list() == [5, 5]
    assert outputs.loc["rag"].to_list() == [9, 9]
    assert set(rows[rows.name == "own"].output_tokens) == set(range(3, 3 + ENTRIES))
    assert [(entry["name"], entry["requests"]) for entry in done.summary["names"]] == sorted(counts.items())
    for name, count in counts.items():
        assert any(line.split()[:3] == ["POST", name, str(count)] for line in done.err.splitlines()), name


def test_a_trace_as_it_was(tmp_path: Path, server: Server, files: Path) -> None:
    """Lengths are the trace's own, times too, divided by --speed-up; however many send it."""
    trace = ("--arrivals", f"trace:{files / 'moon.jsonl'}", "--speed-up", "2", "--api-mode", "completions")
    done = go(tmp_path, server, *trace, *IDS[2:], workers=2)
    rows = done.requests.sort_values("scheduled_ns")
    assert rows.requested_prompt_tokens.to_list() == rows.prompt_tokens.to_list() == [1100, 1300, 700, 600]
    assert rows.output_tokens.to_list() == [5, 6, 7, 8]
    due_ms = (rows.scheduled_ns - rows.scheduled_ns.min()) / 1e6
    assert due_ms.to_list() == pytest.approx([0, 100, 200, 300], abs=20)


def test_a_trace_of_another_kind(tmp_path: Path, server: Server, files: Path) -> None:
    """BurstGPT's, less its failed row."""
    options = ("--arrivals", f"trace:{files / 'burst.csv'}", "--speed-up", "5", *IDS)
    rows = go(tmp_path, server, *options).requests.sort_values("scheduled_ns")
    assert rows.prompt_tokens.to_list() == [60, 90]
    assert rows.output_tokens.to_list() == [4, 6]


def test_sweeps_over_lengths(tmp_path: Path, server: Server) -> None:
    """A level for each prompt size, titled by it, and prompts of exactly that size."""
    options = (
        "-u",
        "2",
        "--requests-per-level",
        "6",
        *IDS,
        "--output-tokens",
        "5",
        "--prompt-levels",
        "16,64,256",
    )
    done = go(tmp_path, server, *options, workers=2)
    rows = done.requests
    assert rows.groupby("level").prompt_tokens.agg(["min", "max", "size"]).to_numpy().tolist() == [
        [16, 16, 6], [64, 64, 6], [256, 256, 6],
    ]  # fmt: skip
    told = [(level["kind"], level["value"], level["title"]) for level in done.summary["levels"]]
    assert told == [
        ("prompt_tokens", 16.0, "16 prompt tokens"),
        ("prompt_tokens", 64.0, "64 prompt tokens"),
        ("prompt_tokens", 256.0, "256 prompt tokens"),
    ]


def test_a_sweep_over_answers(tmp_path: Path, server: Server) -> None:
    """A level for each output size."""
    options = (
        "-u",
        "2",
        "--requests-per-level",
        "4",
        *IDS,
        "--prompt-tokens",
        "20",
        "--output-levels",
        "4,16",
    )
    done = go(tmp_path, server, *options)
    assert done.requests.groupby("level").output_tokens.agg(["min", "max"]).to_numpy().tolist() == [
        [4, 4],
        [16, 16],
    ]
    assert [level["title"] for level in done.summary["levels"]] == ["4 output tokens", "16 output tokens"]


def test_lengths_that_belong_together(tmp_path: Path, server: Server, files: Path) -> None:
    """Pairs stay pairs, also of ids on two workers, which draw them by themselves."""
    options = ("--levels", "2", "--requests-per-level", "20", "--lengths", str(files / "pairs.csv"), *IDS)
    rows = go(tmp_path, server, *options, workers=2).requests
    assert set(zip(rows.prompt_tokens, rows.output_tokens, strict=True)) == {(20, 5), (40, 9)}


def test_what_is_beyond_the_context_is_refused(
    tmp_path: Path, server: Server, files: Path, log: Path
) -> None:
    """Fixed sizes, ranges, parts, pairs, traces and chats: before load, with what is too long and for what."""

    def said(*options: str) -> str:
        return refused("vllm.py", tmp_path, server.url, "-u", "1", "-t", "1s", *options, log=log)

    assert "--prompt-tokens 2900 and --output-tokens 150 do not fit: the server takes 3000" in said(
        "--prompt-tokens", "2900"
    )
    assert "--prompt-tokens uniform:10,2990" in said(
        "--prompt-tokens", "uniform:10,2990", "--output-tokens", "20"
    )
    assert "--prompt-levels 2900 and --output-tokens 150 do not fit" in said("--prompt-levels", "9,2900")
    assert "--probe-tokens: prompts of 2999 and answers of 2 do not fit" in said(
        "--prompt-tokens", "9", "--probe-every", "1s", "--probe-tokens", "2999/2"
    )
    (files / "long.jsonl").write_text('{"prompt": "short"}\n{"prompt": "' + "word " * 4000 + '"}\n')
    line = said("--dataset", str(files / "long.jsonl"))
    assert f"--dataset {files / 'long.jsonl'} entry 2: its prompt of 20,000 characters has" in line
    assert "the server takes 3,000 a request" in line
    assert "--mix rag: prompt=2900 and output=150 do not fit" in said(
        "--mix", "a:1 prompt=9", "--mix", "rag:1 prompt=2900"
    )
    line = said("--lengths", str(files / "long.csv"))
    assert (
        f"--lengths {files / 'long.csv'}: 1 of its 2 pairs do not fit, the longest with 3,100 tokens" in line
    )
    assert "--turns 9: the last request of a session would hold about" in said(
        "--turns", "9", "--prompt-tokens", "400"
    )
    trace = f"trace:{files / 'far.csv'}"
    line = refused("vllm.py", tmp_path, server.url, "--arrivals", trace, *IDS, log=log)
    assert f"{files / 'far.csv'}: 1 of 2 requests do not fit, the longest number 2 with 3,050 tokens" in line


def test_files_that_are_no_good_are_refused(tmp_path: Path, server: Server, log: Path) -> None:
    """A dataset that is not there, a template without a place, a prefix longer than prompts: one line, before load."""

    def said(*options: str) -> str:
        return refused("vllm.py", tmp_path, server.url, "-u", "1", "-t", "1s", *options, log=log)

    assert str(tmp_path / "none.jsonl") in said("--dataset", str(tmp_path / "none.jsonl"))
    template = tmp_path / "t.txt"
    template.write_text("Answer this.\n")
    assert "has no {prompt}; put it where prompts go" in said(
        "--template", str(template), "--prompt-tokens", "60"
    )
    line = said("--shared-prefix", "1x200", "--prompt-tokens", "100")
    assert "--prompt-tokens '100'" in line
    assert "--shared-prefix" in line
