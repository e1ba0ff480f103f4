"""The faults: what the option says, who is hit, and the bytes that a client then gets.

The servers run in their own processes; a raw socket reads all that comes, so that nothing is repaired on the way.
"""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_simulator import Server, simulator, wait_for

from harness.errors import ConfigError
from harness.simulator import fault_options
from harness.simulator.batching import Sequence
from harness.simulator.faults import (
    GARBAGE,
    NO_TROUBLE,
    Fate,
    Fault,
    Kind,
    Mishap,
    Span,
    miscount,
)

FAST = ("--step-base-ms", "2", "--step-per-seq-ms", "0")
BODY = {"prompt": "one two three", "n_predict": 12, "ignore_eos": True, "stream": True}
CHAT = {
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 12,
    "ignore_eos": True,
    "stream": True,
    "stream_options": {"include_usage": True},
}


# --- the option ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("latency:1", Fault(Kind.LATENCY, 1.0)),
        ("latency:0.5,ms=20-30", Fault(Kind.LATENCY, 0.5, ms=Span(20, 30))),
        ("stall:0,ms=7,after=2", Fault(Kind.STALL, 0.0, ms=Span(7, 7), after=Span(2, 2))),
        ("reset:1e-1,after=0-9", Fault(Kind.RESET, 0.1, after=Span(0, 9))),
        ("status:1,code=429,retry-after=3", Fault(Kind.STATUS, 1.0, code=429, retry_after=3)),
        ("stream-error:1,code=503", Fault(Kind.STREAM_ERROR, 1.0, code=503)),
        ("wrong-counts:1,factor=0.5,of=both", Fault(Kind.WRONG_COUNTS, 1.0, factor=0.5, of="both")),
        ("wrong-counts:1,add=-2,of=prompt", Fault(Kind.WRONG_COUNTS, 1.0, add=-2, of="prompt")),
        ("bundle:1,tokens=4", Fault(Kind.BUNDLE, 1.0, tokens=Span(4, 4))),
    ],
)
def test_the_option_is_read(text: str, fault: Fault):
    """Kind, share and the kind's own keys; the rest keeps its default."""
    assert fault_options.read(text) == fault


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "explode:1",
            f"no such kind; give one of {', '.join(Kind)}",
        ),
        ("reset", "give the share of requests it hits too, such as reset:0.1"),
        ("reset:2", "the rate must be a number from 0 to 1, not '2'"),
        ("reset:nan", "the rate must be a number from 0 to 1, not 'nan'"),
        ("reset:1,ms=5", "'ms=5' means nothing to reset; it takes after=..."),
        ("reset:1,after", "'after' means nothing to reset; it takes after=..."),
        ("reset:1,after=x", "after must be a whole number from 0 to 1000000000, not 'x'"),
        ("reset:1,after=9-3", "after=9-3 is empty; give the smaller number first"),
        ("bundle:1,tokens=0", "tokens must be a whole number from 1 to 1000000000, not '0'"),
        ("status:1,code=200", "code must be a whole number from 400 to 599, not '200'"),
        ("status:1,code=599", "code=599 is no HTTP status; give one such as 429, 500 or 503"),
        ("wrong-counts:1,of=all", "of=all; give one of output, prompt, both"),
        ("wrong-counts:1,factor=-1", "factor must be a number from 0 to 1e+06, not '-1'"),
    ],
)
def test_a_bad_option_is_one_line(text: str, message: str):
    """It names the option, the value and what would be right."""
    with pytest.raises(ConfigError) as caught:
        fault_options.read(text)
    assert str(caught.value) == f"--fault {text}: {message}"


@given(st.text(st.sampled_from("latencystoury:,=-.0123456789"), max_size=30))
def test_no_text_breaks_the_reading(text: str):
    """Whatever was typed is a fault or one line about it."""
    try:
        fault_options.read(text)
    except ConfigError as error:
        said = str(error)
    else:
        said = f"--fault {text}: "
    assert said.startswith(f"--fault {text}: ")
    assert "\n" not in said


# --- who is hit ------------------------------------------------------------------------------------------


def test_the_share_is_kept():
    """Of many requests about the given share is hit, and two faults hit independently of each other."""
    fate = Fate((fault_options.read("reset:0.3"), fault_options.read("latency:0.5")), seed=1)
    drawn = [fate.draw(key, 20) for key in range(4000)]
    resets = [bool(one.mishaps) for one in drawn]
    late = [one.latency_ms > 0 for one in drawn]
    assert sum(resets) / 4000 == pytest.approx(0.3, abs=0.03)
    assert sum(late) / 4000 == pytest.approx(0.5, abs=0.03)
    assert sum(r and w for r, w in zip(resets, late, strict=True)) / 4000 == pytest.approx(0.15, abs=0.03)


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_the_order_of_arrival_does_not_matter(keys: list[int], seed: int, random: Any):
    """The same requests meet the same faults under the same seed, a repeated one by its repetition."""

    def met(order: list[int]) -> dict[int, list[object]]:
        fate = Fate((fault_options.read("reset:0.5,after=0-19"),), seed)
        found: dict[int, list[object]] = {}
        for key in order:
            found.setdefault(key, []).append(fate.draw(key, 20).mishaps)
        return found

    shuffled = list(keys)
    random.shuffle(shuffled)
    assert met(keys) == met(shuffled)


def test_a_retry_may_fare_better():
    """The same request does not meet the same fault for ever."""
    fate = Fate((fault_options.read("reset:0.5"),), seed=0)
    outcomes = [bool(fate.draw(7, 20).mishaps) for _ in range(40)]
    assert {True, False} == set(outcomes)


def test_without_faults_nothing_is_kept():
    """No fault, no trouble, no memory."""
    fate = Fate((), seed=0)
    assert fate.draw(1, 5) is NO_TROUBLE
    assert fate._times == {}


def test_the_first_break_ends_it():
    """What would come after a break is left out; a break is the last thing at its place."""
    texts = ("reset:1,after=4", "role:1,after=4", "truncate:1,after=6", "usage:1,after=9", "empty:1,after=2")
    trouble = Fate(tuple(map(fault_options.read, texts)), seed=0).draw(1, 20)
    assert {at: [m.kind for m in here] for at, here in trouble.mishaps.items()} == {
        2: [Kind.EMPTY],
        4: [Kind.ROLE, Kind.RESET],
    }


def test_a_short_answer_meets_its_fault_before_its_last_token():
    """`after` beyond the answer is brought back into it."""
    trouble = Fate((fault_options.read("truncate:1,after=50"),), seed=0).draw(1, 3)
    assert trouble.mishaps == {2: (Mishap(Kind.TRUNCATE, 1000, 500),)}
    assert list(Fate((fault_options.read("reset:1"),), seed=0).draw(1, 0).mishaps) == [0]


def test_a_refused_request_meets_nothing_else():
    """Only the latency before it."""
    texts = ("latency:1,ms=5", "status:1,code=429,retry-after=2", "bundle:1", "wrong-counts:1")
    trouble = Fate(tuple(map(fault_options.read, texts)), seed=0).draw(1, 9)
    assert trouble.hit == (Kind.LATENCY, Kind.STATUS)
    assert trouble.refusal is not None
    assert (trouble.refusal.status, trouble.refusal.headers) == (429, (("Retry-After", "2"),))


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("wrong-counts:1", (10, 14)),
        ("wrong-counts:1,add=3", (10, 10)),
        ("wrong-counts:1,factor=0.5,add=1,of=both", (6, 5)),
        ("wrong-counts:1,add=-99,of=both", (0, 0)),
    ],
)
def test_wrong_counts(text: str, counts: tuple[int, int]):
    """Times the factor (2 if nothing is added), plus the amount, never below 0; the sequence itself stays."""
    true = Sequence(prompt_tokens=10, output_tokens=7, submitted_ns=0, prefilled=10, produced=7)
    told = miscount(true, fault_options.read(text))
    assert (told.prompt_tokens, told.produced) == counts
    assert told.done
    assert (true.prompt_tokens, true.produced) == (10, 7)


# --- what comes over the wire ----------------------------------------------------------------------------


def _exchange(port: int, path: str, body: dict[str, Any]) -> tuple[bytes, bool]:
    """All bytes of one reply on a connection of its own, and whether it ended by a reset."""
    raw = json.dumps(body).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(
            b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
            % (path.encode(), len(raw), raw)
        )
        got = b""
        while True:
            try:
                data = client.recv(65536)
            except ConnectionResetError:
                return got, True
            if not data:
                return got, False
            got += data


def _unchunk(reply: bytes) -> tuple[list[bytes], bool]:
    """The chunks of a chunked reply, and whether the last one, of no bytes, came."""
    _, _, rest = reply.partition(b"\r\n\r\n")
    chunks = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return chunks, True
        chunks.append(rest[:length])
        rest = rest[length + 2 :]
    return chunks, False


def _row(server: Server) -> dict[str, Any]:
    """The log's last line, once there is one; it is the only request so far."""
    return wait_for(server.rows)[-1]


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Any]:
    """Starts a simulator with faults for a `with` block."""

    def start(*faults: str, options: tuple[str, ...] = ()) -> Any:
        return simulator(
            tmp_path, *FAST, *(part for fault in faults for part in ("--fault", fault)), *options
        )

    return start


def _tokens(chunks: list[bytes]) -> int:
    """Events with a token in a llama.cpp stream."""
    return sum(b'"stop":false' in chunk for chunk in chunks)


def test_reset(faulty: Any):
    """Exactly `after` tokens, then a reset; the slot is free again and the log says what was sent."""
    with faulty("reset:1,after=4") as server:
        reply, was_reset = _exchange(server.port, "/completion", BODY)
        chunks, ended = _unchunk(reply)
        assert (was_reset, ended, _tokens(chunks)) == (True, False, 4)
        row = _row(server)
        assert (row["outcome"], row["faults"], row["sent_tokens"], row["events"]) == (
            "faulted",
            ["reset"],
            4,
            4,
        )
        assert server.metrics()["requests_processing"] == 0


def test_reset_of_a_whole_reply(faulty: Any):
    """Without a stream not one byte comes."""
    with faulty("reset:1,after=4") as server:
        assert _exchange(server.port, "/completion", {**BODY, "stream": False}) == (b"", True)
        assert (_row(server)["output_tokens"], _row(server)["sent_tokens"]) == (4, 0)


def test_truncation(faulty: Any):
    """The framing ends as it should, the dialect's end mark is missing."""
    with faulty("truncate:1,after=3") as server:
        chunks, ended = _unchunk(_exchange(server.port, "/v1/chat/completions", CHAT)[0])
        assert ended
        assert len(chunks) == 1 + 3  # the role and three tokens
        assert not any(b"[DONE]" in chunk or b'"finish_reason":"' in chunk for chunk in chunks)
        assert (_row(server)["outcome"], _row(server)["sent_tokens"]) == ("faulted", 3)


def test_truncation_of_a_whole_reply(faulty: Any):
    """Half of the JSON, with a length that says that this was all."""
    with faulty("truncate:1") as server:
        reply, _ = _exchange(server.port, "/completion", {**BODY, "stream": False})
        head, _, body = reply.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}\r\n".encode() in head
        with pytest.raises(json.JSONDecodeError):
            json.loads(body)
        assert (_row(server)["status"], _row(server)["outcome"]) == (200, "faulted")


def test_status(faulty: Any):
    """The error is the dialect's own, with Retry-After; no engine step was spent on it."""
    with faulty("status:1,code=429,retry-after=7") as server:
        status, body, headers = server.call("POST", "/completion", BODY)
        assert (status, headers["Retry-After"]) == (429, "7")
        assert (body["error"]["code"], body["error"]["message"]) == (429, "Too Many Requests")
        assert (_row(server)["status"], _row(server)["faults"]) == (429, ["status"])
        assert server.metrics()["n_decode_total"] == 0
        assert server.call("GET", "/health")[0] == 200  # only generations are hit


def test_an_error_in_the_stream(faulty: Any):
    """A 200 whose stream has some tokens, then an error in the dialect's words; nothing of an end mark."""
    with faulty("stream-error:1,after=2,code=503") as server:
        reply, _ = _exchange(server.port, "/completion", BODY)
        chunks, ended = _unchunk(reply)
        assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
        assert (ended, _tokens(chunks)) == (True, 2)
        error = json.loads(chunks[-1].removeprefix(b"data: "))["error"]
        assert (error["code"], error["message"]) == (503, "Service Unavailable")
        assert (_row(server)["outcome"], _row(server)["faults"]) == ("faulted", ["stream-error"])


def test_an_error_instead_of_a_whole_reply(faulty: Any):
    """Without a stream the same fault is an error status."""
    with faulty("stream-error:1,code=503") as server:
        status, body, _ = server.call("POST", "/completion", {**BODY, "stream": False})
        assert (status, body["error"]["message"]) == (503, "Service Unavailable")


def test_garbage(faulty: Any):
    """An event that is no JSON; the stream goes on to its end."""
    with faulty("garbage:1,after=2") as server:
        chunks, ended = _unchunk(_exchange(server.port, "/completion", BODY)[0])
        assert chunks[2] == b"data: " + GARBAGE + b"\n\n"
        assert (ended, _tokens(chunks), b'"stop":true' in chunks[-1]) == (True, 12, True)
        assert (_row(server)["outcome"], _row(server)["faults"]) == ("ok", ["garbage"])


def test_wrong_counts_are_told_and_not_logged(faulty: Any):
    """The client reads the wrong usage, the log has the true one."""
    with faulty("wrong-counts:1,factor=3,of=both") as server:
        *_, usage, done = server.stream("/v1/chat/completions", CHAT)
        told = json.loads(usage)["usage"]
        row = _row(server)
        assert done == "[DONE]"
        assert (told["completion_tokens"], row["output_tokens"]) == (36, 12)
        assert told["prompt_tokens"] == 3 * row["prompt_tokens"]


def test_bundles_of_random_size(faulty: Any):
    """All tokens come, in fewer events, of one to `tokens` tokens each."""
    with faulty("bundle:1,tokens=4") as server:
        *events, last = map(json.loads, server.stream("/completion", {**BODY, "n_predict": 60}))
        sizes = [len(event["tokens"]) for event in events]
        assert (sum(sizes), last["tokens_predicted"]) == (60, 60)
        assert set(sizes) == {1, 2, 3, 4}
        assert [e["tokens_predicted"] for e in events] == [sum(sizes[: i + 1]) for i in range(len(sizes))]
        assert (_row(server)["events"], _row(server)["faults"]) == (len(sizes), ["bundle"])


def test_tokens_per_chunk(faulty: Any):
    """Without any fault every event has N tokens, the last what is left."""
    with faulty(options=("--tokens-per-chunk", "5")) as server:
        *events, _ = map(json.loads, server.stream("/completion", BODY))
        assert [len(event["tokens"]) for event in events] == [5, 5, 2]
        assert (_row(server)["events"], _row(server)["sent_tokens"], _row(server)["faults"]) == (3, 12, [])


def test_chunks_that_are_no_tokens(faulty: Any):
    """Role, empty and usage chunks in mid-stream; the text is the same as without them."""
    with faulty("role:1,after=2", "empty:1,after=3", "usage:1,after=5") as server:
        *data, done = server.stream("/v1/chat/completions", CHAT)
        chunks = [json.loads(part) for part in data]
        deltas = [c["choices"][0]["delta"] if c["choices"] else None for c in chunks]
        assert deltas[3]["role"] == "assistant"
        assert deltas[5]["content"] == ""
        assert deltas[8] is None  # the usage chunk has no choices
        assert sum(bool(d and d.get("content")) for d in deltas) == 12
        assert done == "[DONE]"
        assert _row(server)["faults"] == ["role", "empty", "usage"]


def test_a_dialect_without_such_chunks_sends_none(faulty: Any):
    """llama.cpp's own stream has no role: nothing is sent and nothing is claimed."""
    with faulty("role:1,after=2") as server:
        events = server.stream("/completion", BODY)
        assert (len(events), _row(server)["faults"]) == (13, [])


def test_latency(faulty: Any):
    """Not even the status line comes before its time; the server's own queueing knows nothing of it."""
    with faulty("latency:1,ms=300") as server:
        began = time.monotonic()
        with closing(server.connect()) as connection:
            connection.request("POST", "/completion", json.dumps(BODY).encode())
            reply = connection.getresponse()
            waited = time.monotonic() - began
            reply.read()
        assert 0.3 <= waited < 3  # in ms, and not in s
        row = _row(server)
        assert (row["faults"], row["first_token_ns"] - row["received_ns"] >= 300e6) == (["latency"], True)
        assert row["queue_ms"] < 250


def test_a_client_that_leaves_during_the_latency(faulty: Any):
    """Its request never reaches the engine."""
    with faulty("latency:1,ms=200") as server:
        with closing(server.connect()) as connection:
            connection.request("POST", "/completion", json.dumps(BODY).encode())
        row = _row(server)
        time.sleep(0.25)
        assert (row["outcome"], row["output_tokens"], server.metrics()["n_decode_total"]) == (
            "cancelled",
            0,
            0,
        )
        assert len(server.rows()) == 1


def test_a_stall_holds_one_request_only(faulty: Any):
    """After `after` tokens nothing for `ms`, in the server's own time too; another request runs on meanwhile."""
    with faulty("stall:1,after=3,ms=400") as server:
        *events, last = map(json.loads, server.stream("/completion", BODY))
        assert len(events) == 12
        assert 400 + 11 * 2 <= last["timings"]["predicted_ms"] < 650
        row = _row(server)
        assert (row["outcome"], row["faults"]) == ("ok", ["stall"])
        assert row["last_token_ns"] - row["first_token_ns"] >= 400e6


def test_a_stream_whose_last_token_ends_it_is_cut_before_that(tmp_path: Path):
    """TGI's last token says that it was the last: a truncation far behind it comes just before."""
    options = ("--speak", "tgi", "--fault", "truncate:1,after=99")
    body = {"inputs": "one two", "parameters": {"max_new_tokens": 4, "details": True}}
    with simulator(tmp_path, *FAST, *options, "--mean-output-tokens", "1e6") as server:
        chunks, ended = _unchunk(_exchange(server.port, "/generate_stream", body)[0])
        assert (len(chunks), ended) == (3, True)
        assert all(b'"generated_text":null' in chunk for chunk in chunks)


def test_garbage_in_a_stream_of_lines(tmp_path: Path):
    """SambaStudio's stream has a JSON object a line; its garbage is a line too."""
    options = ("--speak", "sambastudio", "--fault", "garbage:1,after=1")
    body = {"instance": "one", "params": {"max_tokens_to_generate": {"type": "int", "value": "3"}}}
    with simulator(tmp_path, *FAST, *options, "--mean-output-tokens", "1e6") as server:
        chunks, _ = _unchunk(_exchange(server.port, "/api/predict/generic/stream/p/e", body)[0])
        assert chunks[1] == GARBAGE + b"\n"
        assert b'"is_last_response":true' in chunks[-1]


def test_the_same_seed_hits_the_same_requests(tmp_path: Path):
    """Two servers, the same requests in another order: the same ones fail."""
    failed = []
    for name, order in (("one", range(12)), ("two", reversed(range(12)))):
        (tmp_path / name).mkdir()
        with simulator(tmp_path / name, *FAST, "--seed", "5", "--fault", "status:0.5,code=500") as server:
            failed.append(
                {
                    n
                    for n in order
                    if server.call("POST", "/completion", {**BODY, "prompt": f"n {n}"})[0] == 500
                }
            )
    assert failed[0] == failed[1]
    assert 0 < len(failed[0]) < 12


def test_a_queue_with_a_limit(tmp_path: Path):
    """One slot and room for one more: of four requests at once two are refused as llama.cpp refuses."""
    options = ("--slots", "1", "--max-queue", "1", "--step-base-ms", "20")
    with simulator(tmp_path, *options) as server:
        connections = [server.connect() for _ in range(4)]
        for n, connection in enumerate(connections):
            connection.request("POST", "/completion", json.dumps({**BODY, "prompt": f"n {n}"}).encode())
            time.sleep(0.02)  # each is in before the next
        statuses = [connection.getresponse().status for connection in connections]
        for connection in connections:
            connection.close()
    assert statuses[:2] == [200, 200]
    assert all(status >= 429 for status in statuses[2:])
