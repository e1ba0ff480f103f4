"""A chat's core: text while it comes is the text that the record has, and figures are the record's."""

import json
import unicodedata
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import gevent
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from locust_runs import simulator
from scripted import DONE, END, HEAD, USAGE, Conversation, chunk, content, event, serving

from harness import lanes
from harness.answer import mended
from harness.backends import BACKENDS, find
from harness.backends.base import Ask, Backend, Sampling, Turn
from harness.chat import choices, figures, follow
from harness.chat.answering import Answering, Result
from harness.chat.dialogue import Dialogue
from harness.chat.follow import Follow
from harness.chat.line import Line, kind_of, open_line
from harness.chat.visible import visible
from harness.client import Client
from harness.decode import decode
from harness.engine import Engine
from harness.errors import ConfigError, ErrorClass, ProtocolError
from harness.exchange import Timeouts
from harness.received import Received
from harness.record import Outcome, RequestRecord, TokenSource
from harness.settings import Settings
from harness.target import Target, parse

FIXTURES = Path(__file__).parent / "fixtures"
CHAT = find("openai", "chat")
TEXT = st.text(
    st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from('\r\n\x00\x1b語🙂\u2028\ufeff\x7f\\"'),
        st.sampled_from("abc "),
    ),
    max_size=12,
)


def looked(backend: Backend, wire: bytes, cuts: Sequence[int], *, close: bool) -> tuple[str, str, list[str]]:
    """What a follower gives out, looking after every read: answer, reasoning, and the answer after each look."""
    received, looking = Received(), Follow(backend)
    answer = reasoning = ""
    states = []
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(wire)}), len(wire)]
    for start, stop in pairwise(edges):
        if received.add(wire[start:stop], stop):
            try:
                received.look()
            except ProtocolError:
                break
        piece = looking.look(received)
        answer, reasoning = answer + piece.answer, reasoning + piece.reasoning
        states.append(answer)
    if close:
        with suppress(ProtocolError):
            received.close()
    piece = looking.finish(received)
    return answer + piece.answer, reasoning + piece.reasoning, states


def read(backend: Backend, wire: bytes, *, close: bool) -> tuple[str, str, bool]:
    """What the record's decoder finds: answer, reasoning, and whether it was streamed."""
    received = Received()
    received.add(wire, 1)
    with suppress(ProtocolError):
        received.look()
        if close:
            received.close()
    found = decode(backend, received)
    thoughts = mended("".join(piece[: found.thoughts.get(at, 0)] for at, piece in enumerate(found.pieces)))
    return found.spoken, thoughts, found.streamed and found.status == 200


def events_of(dialect: str, pieces: list[tuple[str, str]], *, ascii_: bool) -> tuple[Backend, list[str], str]:
    """A stream of a dialect: the backend, its events, and what ends each."""

    def dumps(**said: Any) -> str:
        return json.dumps(said, ensure_ascii=ascii_)

    if dialect == "openai":
        chunks = [
            dumps(choices=[{"delta": {"reasoning_content": thought, "content": text}}])
            for thought, text in pieces
        ]
        return CHAT, [*chunks, "[DONE]"], ""
    if dialect == "llamacpp":
        native = [dumps(content=text, stop=False) for _, text in pieces]
        return find("llamacpp", "native"), [*native, dumps(content="", stop=True)], ""
    if dialect == "tgi":
        tokens = [dumps(token={"text": text}, generated_text=None) for _, text in pieces]
        last = dumps(token={"text": ""}, generated_text="".join(text for _, text in pieces))
        return find("tgi", "native"), [*tokens, last], ""
    if dialect == "responses":
        deltas = [
            dumps(
                type="response.reasoning_text.delta" if thought else "response.output_text.delta",
                delta=thought or text,
            )
            for thought, text in pieces
        ]
        return find("maritaca", "responses"), [*deltas, dumps(type="response.completed", response={})], ""
    if dialect == "legacy":
        return find("maritaca", "legacy"), [dumps(text=text) for _, text in pieces], ""
    lines = [
        dumps(result={"items": [{"value": {"stream_token": text, "is_last_response": False}}]})
        for _, text in pieces
    ]
    end = dumps(
        result={"items": [{"value": {"stream_token": "", "is_last_response": True, "completion": ""}}]}
    )
    return find("sambastudio", "v2"), [*lines, end], "lines"


DIALECTS = ("openai", "llamacpp", "tgi", "responses", "legacy", "sambastudio")


@given(
    st.sampled_from(DIALECTS),
    st.lists(st.tuples(TEXT, TEXT), max_size=8),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.sampled_from(["chunks", "one chunk", "close"]),
    st.sets(st.integers(1, 3000), max_size=40),
    st.none() | st.integers(60, 3000),
)
@example("openai", [("", "\ud83d"), ("", "\ude42")], "\n", True, "chunks", {150, 200}, None)
@example("openai", [("\ud83d", ""), ("\ude42", "\udc00a")], "\n", True, "chunks", {150, 200}, None)
@example("openai", [("", "a")], "\r\n", False, "chunks", set(range(1, 400)), None)
def test_text_while_it_comes_is_the_records(  # noqa: PLR0917  hypothesis gives them in order
    dialect: str,
    pieces: list[tuple[str, str]],
    line_end: str,
    ascii_: bool,
    framing: str,
    cuts: set[int],
    stop: int | None,
) -> None:
    """Whatever the dialect, the line ends and the reads, also in the middle of a character, and where it breaks off."""
    backend, events, kind = events_of(dialect, pieces, ascii_=ascii_)
    ends = "\n" if kind == "lines" else line_end * 2
    prefix = "" if kind == "lines" else "data: "
    body = [f"{prefix}{said}{ends}".encode() for said in events]
    head = HEAD if framing != "close" else b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    if kind == "lines":
        head = head.replace(b"text/event-stream", b"application/x-ndjson")
    wire = head
    if framing == "chunks":
        wire += b"".join(map(chunk, body)) + END
    elif framing == "one chunk":
        wire += chunk(b"".join(body)) + END
    else:
        wire += b"".join(body)
    wire = wire[:stop]
    answer, reasoning, states = looked(backend, wire, sorted(cuts), close=True)
    spoken, thoughts, _ = read(backend, wire, close=True)
    assert (answer, reasoning) == (spoken, thoughts)
    assert all(after.startswith(before) for before, after in pairwise(states))


@pytest.mark.parametrize("file", sorted(path.name for path in FIXTURES.glob("*.http")))
def test_every_recorded_answer_by_every_dialect(file: str) -> None:
    """Real servers' bytes, also read as a dialect that they are not: the same text, however the reads fall."""
    wire = (FIXTURES / file).read_bytes()
    for backend in [mode for modes in BACKENDS.values() for mode in modes]:
        spoken, _, streamed = read(backend, wire, close=True)
        for step in (7, 1000):
            answer, _, _ = looked(backend, wire, range(0, len(wire), step), close=True)
            assert answer == (spoken if streamed else ""), (backend.name, backend.mode)


def test_each_byte_is_read_once_however_long_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """8,192 tokens, a look every three: what is handed to the decoder adds up to the body, so that cost grows with length alone."""
    wire = HEAD + b"".join(content(f"word{number} ") for number in range(8192)) + USAGE + DONE + END
    handed: list[int] = []
    whole = follow.read_part

    def counted(backend: Backend, part: bytes, answer: Any, *, complete: bool) -> bool:
        handed.append(len(part))
        return whole(backend, part, answer, complete=complete)

    monkeypatch.setattr(follow, "read_part", counted)
    answer, _, states = looked(CHAT, wire, range(0, len(wire), 200), close=False)
    assert answer == "".join(f"word{number} " for number in range(8192))
    assert len(set(states)) > 2000
    body = len(
        b"".join(
            b"data: "
            + json.dumps({"choices": [{"delta": {"content": f"word{n} "}}]}, separators=(",", ":")).encode()
            + b"\n\n"
            for n in range(8192)
        )
    )
    assert body <= sum(handed) < body + 200


def test_a_burst_is_read_in_parts_and_an_endless_line_is_left_to_the_end() -> None:
    """No look reads more than a part; what never comes to a line's end is not searched again and again."""
    received, looking = Received(), Follow(CHAT)
    received.add(HEAD + content("x" * 600_000) + content("y" * 300_000), 1)
    received.look()
    looks = 1
    looking.look(received)
    while looking.is_behind:
        looking.look(received)
        looks += 1
    assert looks >= 4
    endless, looking = Received(), Follow(CHAT)
    endless.add(HEAD + chunk(b"data: " + b"x" * 5_000_000), 1)
    endless.look()
    looking.look(endless)
    while looking.is_behind and not looking.is_over:
        looking.look(endless)
    assert looking.is_over


def settings_for(target: Target) -> Settings:
    """A chat's, in a terminal."""
    from argparse import Namespace  # noqa: PLC0415

    from harness.chat.terminal import _SHARED, settings_of  # noqa: PLC0415

    args = Namespace(host=str(target), **{name.replace("-", "_"): None for name in _SHARED})
    return replace(settings_of(args, {}), timeouts=Timeouts(1, 2, 2, 8))


class Caller:
    """Asks one server."""

    def __init__(self, target: Target, backend: str = "openai", **chosen: object) -> None:
        self.settings = settings_for(target)
        self.engine: Engine = lanes.open_engine(self.settings, lambda _: None)
        self.line: Line = open_line(kind_of(backend, {}), self.settings, choices.read(chosen), self.engine)

    def __call__(
        self, *said: Turn, model: str | None = "m", stop_after: int | None = None
    ) -> tuple[Result, list[str]]:
        """The result, and the pieces of its answer as they came."""
        answering = Answering(self.line.client, self.line.ask(model, said or (Turn("user", "hello"),)))
        pieces = []
        for piece in answering.pieces():
            if piece.answer or piece.reasoning:
                pieces.append(piece.reasoning + piece.answer)
            if stop_after is not None and len(pieces) >= stop_after:
                answering.stop()
        return answering.result, pieces


def answers(*parts: bytes, pause_s: float = 0) -> Any:
    """A script that answers every request with these parts."""

    def script(conversation: Conversation) -> None:
        while conversation.request():
            conversation.say(*parts, pause_s=pause_s)

    return script


def test_the_figures_are_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Field by field, and the record is the one that the client hands to whoever keeps a load's."""
    kept: list[RequestRecord] = []
    monkeypatch.setattr(
        Answering, "_keep", lambda self, record, _: (kept.append(record), setattr(self, "_record", record))
    )
    with serving(answers(HEAD, content("a"), content("b"), USAGE, DONE, END, pause_s=0.02)) as (target, seen):
        caller = Caller(target)
        result, pieces = caller()
        caller.engine.close()
    (record,) = kept
    assert result.record == record
    said = figures.figures(result)
    assert record.ttft_ms is not None
    assert record.e2e_ms is not None
    assert (said["ttft_s"], said["latency_s"]) == (record.ttft_ms / 1e3, record.e2e_ms / 1e3)
    for name in (
        "tpot_ms",
        "output_tokens_per_s",
        "prompt_tokens",
        "output_tokens",
        "finish_reason",
        "request_id",
    ):
        assert said[name] == getattr(record, name)
    assert (said["output_tokens"], said["token_source"], said["error"]) == (2, TokenSource.SERVER, None)
    assert 0.015 < said["ttft_s"] < said["latency_s"] < 1
    assert "".join(pieces) == result.answer == "ab"
    assert not result.is_other
    assert b"X-Request-Id: chat-" in seen[0].requests[0]
    assert "TTFT 0." in figures.line(said)
    assert json.loads(json.dumps(said)) == said


def test_it_comes_in_pieces_and_what_is_stopped_stays() -> None:
    """Pieces come while the server speaks; a stop ends the request, keeps what had come, and is no failure of the server's."""
    with serving(
        answers(HEAD, *(content(f"w{number} ") for number in range(200)), DONE, END, pause_s=0.03)
    ) as (
        target,
        _,
    ):
        caller = Caller(target)
        result, pieces = caller(stop_after=3)
        caller.engine.close()
    assert len(pieces) >= 3
    assert result.answer == "".join(pieces)
    assert result.answer.startswith("w0 w1 ")
    said = figures.figures(result)
    assert (said["outcome"], said["error"]["class"]) == (Outcome.CANCELLED, "cancelled")
    assert said["ttft_s"] is not None
    assert (said["token_source"], said["output_tokens"]) == (TokenSource.ESTIMATED, result.record.chunks)


def test_closing_the_pieces_hangs_up() -> None:
    """Whoever looks away gives the request up; the server sees the connection go."""
    gone: list[bool] = []

    def script(conversation: Conversation) -> None:
        conversation.request()
        conversation.say(HEAD, content("a"))
        gone.append(conversation.sock.recv(1) == b"")

    with serving(script) as (target, _):
        caller = Caller(target)
        pieces = Answering(caller.line.client, caller.line.ask("m", (Turn("user", "x"),))).pieces()
        next(pieces)
        pieces.close()
        gevent.sleep(0.1)
        caller.engine.close()
    assert gone == [True]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((b"HTTP/1.1 401 No\r\nContent-Length: 3\r\n\r\nno!",), ErrorClass.AUTH),
        ((b"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n",), ErrorClass.OVERLOAD),
        ((HEAD, content("a"), event('{"error": "broken"}'), DONE, END), ErrorClass.STREAM_ERROR),
        ((b"nonsense\r\n\r\n",), ErrorClass.BAD_HTTP),
    ],
)
def test_failures_are_data_with_a_remedy(parts: tuple[bytes, ...], expected: ErrorClass) -> None:
    """What went wrong, in whose words, and what would help."""
    with serving(answers(*parts)) as (target, _):
        caller = Caller(target)
        result, _ = caller()
        caller.engine.close()
    error = figures.figures(result)["error"]
    assert error["class"] == expected
    assert error["message"]
    assert error["remedy"] == figures.remedy(expected) != ""


def test_every_error_class_has_a_remedy() -> None:
    """None is forgotten."""
    assert [one for one in ErrorClass if not figures.remedy(one)] == []


def test_an_answer_that_is_not_streamed_comes_whole() -> None:
    """One piece at the end, reasoning apart, and no TTFT."""
    body = json.dumps(
        {"choices": [{"message": {"content": "four", "reasoning": "2+2"}}], "usage": {"completion_tokens": 2}}
    ).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    with serving(answers(head + body)) as (target, _):
        caller = Caller(target, extra_body='{"stream": false}')
        result, pieces = caller()
        caller.engine.close()
    assert (result.answer, result.reasoning, pieces) == ("four", "2+2", ["2+2four"])
    said = figures.figures(result)
    assert (said["ttft_s"], said["streamed"], said["output_tokens"]) == (None, False, 2)
    assert said["latency_s"] is not None


SPEAKING = {
    "openai": ("openai", None, ""),
    "llamacpp": ("llamacpp", None, ""),
    "vllm-metrics": ("vllm", None, ""),
    "tgi": ("tgi", None, ""),
    "maritalk": ("maritalk", "chat", ""),
    "maritaca": ("maritaca", "responses", "/api"),
    "sambastudio": ("sambastudio", "v2", "/api/v2/predict/generic/P/E"),
    "sambanova": ("sambanova", None, "/v1"),
}
HEALTH = {
    "maritalk": "/",
    "maritaca": "/api/models",
    "sambanova": "/v1/models",
    "sambastudio": "/api/predict/generic/P/E",
}


def test_every_systems_dialect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two turns with each that is simulated: text in pieces where it streams, counts and times, and nothing to be shown anew."""
    monkeypatch.setenv("TOKENSWARM_API_KEY", "right")
    with ExitStack() as stack:
        for speak, (name, mode, path) in SPEAKING.items():
            server = stack.enter_context(
                simulator(
                    *("--speak", speak, "--step-base-ms", "4", "--api-key-env", "SIMULATED_KEY"),
                    env={"SIMULATED_KEY": "right"},
                    health=HEALTH.get(speak, "/health"),
                )
            )
            chosen = {
                "api_mode": mode,
                "max_tokens": 40,
                "temperature": 0.5,
                "top_p": 0.9,
                "system": "Be brief.",
            }
            caller = Caller(parse(server.url + path), name, **chosen)
            first, pieces = caller(model="simulated")
            assert first.record.outcome is Outcome.OK, (speak, first.record.error_message)
            second, _ = caller(
                Turn("user", "hello"),
                Turn("assistant", first.answer),
                Turn("user", "and?"),
                model="simulated",
            )
            caller.engine.close()
            assert second.record.outcome is Outcome.OK, (speak, second.record.error_message)
            assert first.answer == "".join(pieces) == (first.record.text or first.answer), speak
            assert not first.is_other, speak
            assert first.record.output_tokens, speak
            if caller.line.backend.stream:
                assert len(pieces) > 1, speak
                assert first.record.tpot_ms is not None, speak


def body_of(backend: Backend, **chosen: object) -> Any:
    """What one question's body is."""
    ask = choices.make_ask(backend, "m", choices.read(chosen), (Turn("user", "hi"),), {"top_k": 3})
    return json.loads(backend.request(ask).body)


def test_choices_become_fields_of_the_dialect() -> None:
    """Each system's own names, the load's fields below them and the chat's own above."""
    openai = body_of(
        CHAT, temperature="0.5", top_p=0.9, seed=7, max_tokens=9, system="S", extra_body='{"top_k": 4}'
    )
    assert openai["messages"] == [{"role": "system", "content": "S"}, {"role": "user", "content": "hi"}]
    assert (openai["temperature"], openai["top_p"], openai["seed"], openai["max_tokens"]) == (0.5, 0.9, 7, 9)
    assert openai["top_k"] == 4
    assert "temperature" not in body_of(CHAT)
    tgi = body_of(find("tgi", "native"), temperature="0.5", max_tokens=9)["parameters"]
    assert (tgi["do_sample"], tgi["temperature"], tgi["max_new_tokens"], tgi["top_k"]) == (True, 0.5, 9, 3)
    greedy = body_of(find("tgi", "native"), temperature="0", top_p="0.5")["parameters"]
    assert greedy["do_sample"] is False
    assert {"temperature", "top_p"}.isdisjoint(greedy)
    assert body_of(find("llamacpp", "native"), max_tokens=9, seed=3)["n_predict"] == 9
    local = body_of(find("maritalk", "native"), temperature="0")
    assert (local["do_sample"], "temperature" in local) == (False, False)
    assert Sampling().switched() == {}
    assert find("sambastudio", "v1").sampling(Sampling(top_p=0.5)) == {"do_sample": True, "top_p": 0.5}


def test_what_cannot_be_chosen_is_refused_by_its_name() -> None:
    """A line for each, with what would be right."""
    with pytest.raises(ConfigError) as caught:
        choices.read(
            {
                "temperature": "hot",
                "top_p": "2",
                "max_tokens": "0",
                "seed": "-1",
                "extra_body": "[",
                "colour": "red",
            },
            "--",
        )
    said = str(caught.value).splitlines()
    assert len(said) == 6
    for line, name in zip(
        said, ("temperature", "top-p", "max-tokens", "seed", "extra-body", "colour"), strict=True
    ):
        assert line.startswith(f"--{name}"), line
    assert choices.read({"temperature": "", "model": None, "system": ""}) == choices.Choices()


def test_what_a_route_has_no_place_for_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed that is not sent, a conversation without roles."""
    caller = Caller(parse("http://127.0.0.1:9"), "maritaca", api_mode="responses", seed="4")
    assert caller.line.notes(caller.line.ask("m", (Turn("user", "a"),))) == [
        "maritaca (responses) knows no seed: it is not sent"
    ]
    caller.engine.close()
    native = Caller(parse("http://127.0.0.1:9"), "llamacpp", seed="4", system="S")
    (note,) = native.line.notes(native.line.ask(None, (Turn("user", "a"),)))
    assert "no roles" in note
    native.engine.close()


@given(st.text())
def test_a_terminal_is_steered_by_nothing(text: str) -> None:
    """No control but line end and tab, no mark or override of direction; and it does not matter how it is cut."""
    shown = visible(text)
    for character in shown:
        category = unicodedata.category(character)
        assert character in "\n\t\u200c\u200d" or category not in {"Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"}
    assert shown == "".join(map(visible, text))


def test_what_is_hidden_is_seen() -> None:
    """By pictures and numbers; what people write stays."""
    assert (
        visible("\x1b[31mred\x1b]8;;http://x\x07 \x00\x7f\x9b\r\n") == "␛[31mred␛]8;;http://x␇ ␀␡<U+009B>␍\n"
    )
    assert visible("a\u202eb\u2066\u200f") == "a<U+202E>b<U+2066><U+200F>"
    plain = "naïve 語 👩\u200d🔬 é\t\u05e9\u05dc\u05d5\u05dd\u00a0x\n"
    assert visible(plain) == plain


def test_silence_is_no_part_of_a_conversation() -> None:
    """A question without an answer is left out, one with a part of one is not."""
    talk = Dialogue()
    talk.heard("a", "")
    talk.heard("b", "half")
    assert talk.said("c") == (Turn("user", "b"), Turn("assistant", "half"), Turn("user", "c"))
    talk.reset()
    assert talk.turns == ()


def test_a_clients_watcher_sees_the_exchange_before_it_begins() -> None:
    """And the request goes on as without one."""
    seen: list[object] = []
    with serving(answers(HEAD, content("a"), USAGE, DONE, END)) as (target, _):
        engine = Engine(target, Timeouts(1, 1, 1, 2))
        client = Client(engine, CHAT, "w", None, lambda *_: None)
        from harness.chat.answering import _SLOT  # noqa: PLC0415

        record = client.run(
            Ask("x", 2, model="m"), _SLOT, name="n", scheduled_ns=0, prompt_tokens=None,
            watch=lambda exchange: seen.append(exchange.sent_ns),
        )  # fmt: skip
        engine.close()
    assert seen == [None]
    assert record.outcome is Outcome.OK
