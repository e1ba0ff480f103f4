"""Whole runs against servers that speak MariTalk Local's dialect, of both generations."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from fixtures_tokenizer import gpt2_folder  # noqa: F401
from locust_runs import refused, run, simulator, truth

from harness.servers.process import Server, free_port

QUICK = ("--prefill-rate", "20000", "--step-base-ms", "6", "--step-per-seq-ms", "1", "--slots", "2")
SMALL = ("--prompt-tokens", "60", "--output-tokens", "10", "--levels", "4", "--requests-per-level", "8")
OLD, NEW = "maritalk-2023", "maritalk"


@dataclass(frozen=True)
class Rig:
    """A server, and where it writes the truth."""

    server: Server
    log: Path


@pytest.fixture(scope="module")
def rigs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Rig]]:
    """A server of 2023, whose times are in ms, and one of today, in s."""
    folder = tmp_path_factory.mktemp("maritalk")
    with ExitStack() as stack:
        made = {}
        for name in (OLD, NEW):
            log = folder / f"{name}.jsonl"
            server = simulator(*QUICK, "--speak", name, "--log", str(log), health="/")
            made[name] = Rig(stack.enter_context(server), log)
        yield made


@pytest.mark.parametrize(("name", "mode"), [(OLD, "chat"), (NEW, "native")])
def test_every_request_agrees_with_the_server(
    tmp_path: Path, rigs: dict[str, Rig], gpt2_folder: Path, name: str, mode: str  # noqa: F811
) -> None:  # fmt: skip
    """Its times in ms whatever it says them in; no first token, and a tokenizer's counts marked as such."""
    done = run(
        "maritalk.py", tmp_path / "r", "--host", rigs[name].server.url, "--api-mode", mode, *SMALL,
        "--tokenizer", str(gpt2_folder),
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "Maritaca's tables" in done.out
    ours = done.requests
    both = ours.merge(truth(rigs[name].log), on="request_id", suffixes=("", "_true"))
    assert len(both) == len(ours) == 8
    assert (both.outcome == "ok").all()
    assert not both.streamed.any()
    assert both[["ttft_ms", "tpot_ms", "finish_reason"]].isna().all(axis=None)
    assert (both.token_source == "tokenizer").all()
    assert (both.output_tokens > 0).all()
    assert (both.requested_output_tokens == 10).all()
    waited_ms = both.queue_ms if name == OLD else both.queue_ms + both.prefill_ms
    assert (both.server_queue_ms - waited_ms).abs().max() < 0.51  # it says whole ms
    assert (both.server_decode_ms - both.decode_ms).abs().max() < 0.51
    if name == OLD:
        assert (both.server_prefill_ms - both.prefill_ms).abs().max() < 0.51
    else:
        assert both.server_prefill_ms.isna().all()
    assert both.server_queue_ms.max() > 20  # two of four wait for a slot
    (level,) = done.summary["levels"]
    assert (level["requests"], level["ttft_ms"]["n"], level["server_decode_ms"]["n"]) == (8, 0, 8)
    assert level["output_length"]["asked"] == level["output_length"]["compared"] == 8


BAD = [
    (NEW, ("--backend-option", "timing_unit=ms"), "it is read with timing_unit=ms: try --backend-option timing_unit=s"),
    (OLD, ("--backend-option", "timing_unit=s"), "it is read with timing_unit=s: try --backend-option timing_unit=ms"),
    (NEW, ("--backend-option", "timing_unit=min"), "--backend-option timing_unit=min: use auto, ms, s"),
    (NEW, ("--stream", "yes"), "--stream yes: backend 'maritalk' (--api-mode native) does not stream"),
    (NEW, ("--exact-output", "yes"), "--exact-output yes: backend 'maritalk' (--api-mode native) has no way"),
    (NEW, ("--extra-body", '{"temperature": "hot"}'), "answered 400 to a trial request (temperature"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "said"), BAD, ids=[said[:40] for _, _, said in BAD])
def test_what_cannot_go_well_is_said_before_load(
    tmp_path: Path, rigs: dict[str, Rig], name: str, options: tuple[str, ...], said: str
) -> None:
    """One line, exit 2, nothing sent but the one request that tells."""
    rig = rigs[name]
    assert said in refused("maritalk.py", tmp_path, rig.server.url, *SMALL, *options, log=rig.log)


def test_another_kind_of_server_is_said_before_load(tmp_path: Path) -> None:
    """It has no such route."""
    with simulator(*QUICK) as server:
        line = refused("maritalk.py", tmp_path, server.url, *SMALL)
    assert f"POST {server.url}/generate answered 404" in line
    assert "is it a server of the kind 'maritalk' with --api-mode native" in line


def test_a_server_that_comes_up_and_loads_is_waited_for(tmp_path: Path) -> None:
    """Its status says `loading`, then another word."""
    port = free_port()
    command = [sys.executable, "-m", "harness.simulator", "--port", str(port), *QUICK, "--speak", NEW]
    server = subprocess.Popen([*command, "--load-seconds", "6"], stdout=subprocess.DEVNULL)
    try:
        host = f"http://127.0.0.1:{port}"
        done = run("maritalk.py", tmp_path / "r", "--host", host, *SMALL, "--ready-timeout", "60")
    finally:
        server.terminate()
        server.wait()
    assert done.code == 0, done.err
    assert "is loading its model; waiting up to" in done.out + done.err
    assert (done.requests.outcome == "ok").all()
