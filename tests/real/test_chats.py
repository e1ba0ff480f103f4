"""Chats, shared prefixes and traces against a real llama.cpp, which keeps what its slots have read."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from locust_runs import Result, most_at_once, run

from harness.servers.process import Server

pytestmark = pytest.mark.real
CHATS = (
    "--turns",
    "4",
    "--think-time",
    "0.2s",
    "--prompt-tokens",
    "120",
    "--turn-tokens",
    "40",
    "--output-tokens",
    "24",
)


def chats(folder: Path, server: Server, *options: str) -> Result:
    """Sessions of four turns."""
    done = run("llamacpp.py", folder / "r", "--host", server.url, *CHATS, *options)
    assert done.code == 0, done.err
    assert done.summary["totals"]["failed"] == 0
    return done


@pytest.mark.calm
@pytest.mark.parametrize("mode", ["native", "chat"])
def test_prompts_grow_as_the_history_does(tmp_path: Path, llamacpp_server: Server, mode: str) -> None:
    """Turn by turn a prompt holds the one before, its answer and what was said; from the second on most is cached.

    How many tokens an answer has when it is read again is the server's tokenizer's business: not always as many as when it
    was written. Two sessions are never more than two requests, and each thinks between its turns.
    """
    done = chats(tmp_path, llamacpp_server, "--api-mode", mode, "--levels", "2", "--requests-per-level", "16")
    rows = done.requests.sort_values(["session_id", "turn"])
    sessions = [session for _, session in rows.groupby("session_id")]
    assert [session.turn.to_list() for session in sessions] == [[1, 2, 3, 4]] * 4
    assert set(rows.session_id) == {f"LlamaCpp#{number}" for number in range(4)}
    for session in sessions:
        prompts, outputs = session.prompt_tokens.to_list(), session.output_tokens.to_list()
        assert prompts[0] == session.requested_prompt_tokens.iloc[0] == 120
        assert outputs == [24] * 4
        for before, after in pairwise(prompts):
            assert 40 + 24 - 8 <= after - before <= 40 + 24 + 40
        cached = session.cached_tokens.to_list()
        assert cached[0] < 60
        for held, before in zip(cached[1:], prompts, strict=False):
            assert held >= 0.8 * before  # all of the prompt before, but where the answer is read otherwise
        pauses_s = (session.sent_ns.to_numpy()[1:] - session.end_ns.to_numpy()[:-1]) / 1e9
        assert (pauses_s >= 0.2).all()
    assert most_at_once(rows) <= 2
    turns = {entry["turn"]: entry for entry in done.summary["turns"]}
    assert [turns[turn]["cached_tokens"]["mean"] > 90 for turn in (1, 2, 3, 4)] == [False, True, True, True]
    assert done.summary["chats"]["sessions"] == 4


def test_what_blocks_share_is_cached(tmp_path: Path, llamacpp_server: Server) -> None:
    """A trace of Mooncake's: prompts whose first blocks are the same begin alike, and the server finds them."""
    rows = [(0, 1400, [1, 2, 3]), (500, 1300, [1, 2, 4]), (1000, 1500, [9, 8, 7])]
    names = ("timestamp", "input_length", "hash_ids")
    trace = tmp_path / "moon.jsonl"
    lines = [json.dumps(dict(zip(names, row, strict=True)) | {"output_length": 8}) for row in rows]
    trace.write_text("\n".join(lines))
    done = run(
        "llamacpp.py", tmp_path / "r", "--host", llamacpp_server.url, "--arrivals", f"trace:{trace}",
        "--extra-body", '{"cache_prompt": true, "id_slot": 0}',
    )  # fmt: skip
    assert done.code == 0, done.err
    found = done.requests.sort_values("scheduled_ns")
    assert found.requested_prompt_tokens.to_list() == [1400, 1300, 1500]
    assert (found.prompt_tokens / found.requested_prompt_tokens - 1).abs().max() <= 0.01
    first, second, third = found.cached_tokens
    assert first < 100
    assert 1000 <= second <= 1040  # two blocks of 512, and perhaps a word of the third
    assert third < 100
