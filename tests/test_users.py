"""What users of a locustfile may do beside asking for the next request: prompts of their own, several asks in one task."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from locust_runs import run, simulator, truth

from harness.servers.process import Server

FAST = (
    "--speak",
    "vllm",
    "--slots",
    "8",
    "--step-base-ms",
    "3",
    "--step-per-seq-ms",
    "0",
    "--prefill-rate",
    "100000",
)
OWN = """
from locust import task
from harness.users import LLMUser

class Mine(LLMUser):
    backend = "vllm"

    @task
    def talk(self):
        self.ask()
        self.ask("What is the capital of Taiwan?", max_tokens=4, name="own")
        self.ask("And of Brazil?", name="drawn")
"""
TWICE = """
from locust import task
from harness.users import LLMUser

class Twice(LLMUser):
    backend = "vllm"

    @task
    def talk(self):
        self.ask()
        self.ask()
"""


@pytest.fixture(scope="module")
def server(log: Path) -> Iterator[Server]:
    """The dialect of vLLM, quick."""
    with simulator(*FAST, "--log", str(log)) as running:
        yield running


def test_a_users_own_prompts_are_no_part_of_its_chat(tmp_path: Path, server: Server, log: Path) -> None:
    """They have no session and nobody sized them; the chat goes on behind them with its own history."""
    file = tmp_path / "own.py"
    file.write_text(OWN)
    done = run(
        file, tmp_path / "r", "--host", server.url, "--levels", "1", "--requests-per-level", "18", "--turns", "3",
        "--prompt-tokens", "40", "--turn-tokens", "10", "--output-tokens", "uniform:6,8",
    )  # fmt: skip
    assert done.code == 0, done.err
    rows = done.requests.sort_values("sent_ns").merge(
        truth(log)[["request_id", "prompt_tokens"]], on="request_id", suffixes=("", "_true")
    )
    assert (rows.prompt_tokens == rows.prompt_tokens_true).all()
    chats, own, drawn = (rows[rows.name == name] for name in ("/v1/chat/completions", "own", "drawn"))
    assert (len(chats), len(own), len(drawn)) == (6, 6, 6)
    assert chats.turn.to_list() == [1, 2, 3, 1, 2, 3]
    assert chats.session_id.nunique() == 2
    grown = chats.prompt_tokens.diff()[chats.turn > 1]
    assert grown.between(10 + 6, 10 + 8 + 15).all()
    for mine in (own, drawn):
        assert mine.session_id.isna().all()
        assert mine.turn.isna().all()
        assert mine.requested_prompt_tokens.isna().all()
        assert mine.prompt_tokens.nunique() == 1
    assert set(own.output_tokens) == {4}
    assert drawn.output_tokens.between(6, 8).all()


def test_an_arrival_may_ask_twice(tmp_path: Path, server: Server) -> None:
    """Its second request is due when the first is done, and is another one: of its own part of the mixture."""
    file = tmp_path / "twice.py"
    file.write_text(TWICE)
    ids = ("--api-mode", "completions", "--prompt-ids", "1000-30000", "--output-tokens", "4")
    done = run(
        file, tmp_path / "r", "--host", server.url, *ids, "--rates", "10,20", "--arrivals", "constant",
        "--requests-per-level", "20", "--mix", "a:1 prompt=20", "--mix", "b:1 prompt=30",
    )  # fmt: skip
    assert done.code == 0, done.err
    rows = done.requests
    assert rows.groupby("level").size().between(39, 40).all()  # the last second request may be due too late
    assert set(zip(rows.name, rows.prompt_tokens, strict=True)) == {("a", 20), ("b", 30)}
    by_level = [list(level.sort_values("sent_ns").name) for _, level in rows.groupby("level")]
    assert by_level[0][:30] != by_level[1][:30]  # no level is another's again
