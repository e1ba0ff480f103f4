"""Bytes that real servers sent, read as a run reads them: what they said, to the token and to the byte.

The values were read off the recordings by hand. tests/fixtures/README.md has each request.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import orjson
import pytest

from harness.answer import Answer
from harness.backends import find
from harness.backends.base import Backend
from harness.decode import decode, has_content
from harness.errors import ErrorClass
from harness.received import Received

FIXTURES = Path(__file__).parent / "fixtures"
CHAT, COMPLETIONS = find("openai", "chat"), find("openai", "completions")
OWN_END = (  # a stream of twenty
    *(" polluted", " jewels", " Community", " Community", " Expend", " Mayweather", "ump", "compatible"),
    *(" England", " vying", " Venice", "outside", " blew", "workshop", "Actor", "rolled", "clad", "ogether"),
    *(" bes", " peninsula"),
)


@dataclass(frozen=True, slots=True)
class Said:
    """What one recorded answer said."""

    file: str
    backend: Backend
    pieces: tuple[str, ...]  # of its content events, in order
    finish: str
    prompt: int | None
    output: int | None
    done: bool  # did `[DONE]` come?


STREAMS = (
    Said(
        "vllm_chat", CHAT, ("魔", "gan", " Jehovah", "cking", " Cow", " Nordic"), "length", 20, 6, done=True
    ),
    Said(
        "vllm_completions",
        COMPLETIONS,
        ("魔", "gan", " Jehovah", "cking", " Cow", " Nordic"),
        "length",
        5,
        6,
        done=True,
    ),
    Said("vllm_no_usage", CHAT, ("魔", " SQU", " Jehovah"), "length", None, None, done=True),
    Said("vllm_continuous_usage", CHAT, ("魔", " SQU", " Jehovah"), "length", 20, 3, done=True),
    Said("vllm_eos", CHAT, (), "stop", 20, 1, done=True),
    Said("vllm_eos_ignored", CHAT, (), "length", 20, 6, done=True),
    Said("vllm_held_back", COMPLETIONS, ("\N{REPLACEMENT CHARACTER}🙂", "🙂"), "length", 5, 8, done=True),
    Said(
        "vllm_stream_interval",
        COMPLETIONS,
        ("魔", "gan Jehovahcking Cow", " Nordic anncurrency greeted", " VizML Married"),
        "length",
        5,
        12,
        done=True,
    ),
    Said("vllm_metrics_chat", CHAT, ("魔", " SQU", " Jehovah", "cking"), "length", 316, 4, done=True),
    Said(
        "transformers_serve_chat",
        CHAT,
        (" Zar", " missed", "ierre", " Garner", " 298", " revision"),
        "length",
        20,
        6,
        done=False,
    ),
    Said(
        "transformers_serve_completions",
        COMPLETIONS,
        (".", "Cow", " popular", "if", " Phantom", " joined"),
        "length",
        5,
        6,
        done=False,
    ),
    Said(
        "transformers_serve_cb_chat",
        CHAT,
        (" Weapons", " nit", " Walter", "abbling", " parity", " 1930"),
        "length",
        20,
        6,
        done=False,
    ),
    Said("transformers_serve_held_back", CHAT, ("\N{REPLACEMENT CHARACTER}🙂",), "length", 16, 8, done=False),
    Said("transformers_serve_own_end", CHAT, OWN_END, "stop", 20, 20, done=False),
    Said(
        "transformers_serve_too_long",
        COMPLETIONS,
        ("edom", " considers", " quarterback"),
        "stop",
        3001,
        3,
        done=False,
    ),
    Said(
        "onnx_genai_chat",
        CHAT,
        (" disabling", " Theft", " Sur", " 10000", " Literature", " RCMP"),
        "length",
        None,
        None,
        done=True,
    ),
    Said("onnx_genai_completions", COMPLETIONS, (".",) * 6, "length", None, None, done=True),
    Said("onnx_genai_too_long", COMPLETIONS, (), "length", None, None, done=True),
)
WHOLE = (
    Said("vllm_chat_whole", CHAT, ("魔 SQU Jehovahcking Cow Nordic",), "length", 20, 6, done=False),
    Said(
        "vllm_completions_whole", COMPLETIONS, ("魔 SQU Jehovahcking Cow Nordic",), "length", 5, 6, done=False
    ),
    Said("vllm_metrics_whole", CHAT, ("魔 SQU Jehovahcking",), "length", 20, 4, done=False),
    Said(
        "transformers_serve_chat_whole",
        CHAT,
        (" Zar missedierre Garner 298 revision",),
        "length",
        20,
        6,
        done=False,
    ),
    Said(
        "transformers_serve_completions_whole",
        COMPLETIONS,
        (".Cow popularif Phantom joined",),
        "length",
        5,
        6,
        done=False,
    ),
    Said(
        "onnx_genai_chat_whole",
        CHAT,
        (" disabling Theft Sur 10000 Literature RCMP",),
        "length",
        20,
        6,
        done=False,
    ),
)
# HTTP status, class, and the server's words, from their beginning.
REFUSALS = {
    "vllm_too_long": (
        400,
        ErrorClass.HTTP_CLIENT,
        "This model's maximum context length is 2048 tokens. However, your prompt contains at least 2049",
    ),
    "vllm_wrong_model": (
        404,
        ErrorClass.NOT_FOUND,
        "The model `nope` does not exist. Valid aliases: tiny.",
    ),
    "vllm_wrong_key": (401, ErrorClass.AUTH, "Unauthorized"),
    "vllm_min_over_max": (
        400,
        ErrorClass.HTTP_CLIENT,
        "min_tokens must be less than or equal to max_tokens=6, got 9.",
    ),
    "vllm_bad_max_word": (400, ErrorClass.HTTP_CLIENT, "1 validation error: {'type': 'int_parsing',"),
    "vllm_busy": (
        503,
        ErrorClass.OVERLOAD,
        "The engine is currently busy and cannot accept new requests. Please try again later",
    ),
    "vllm_busy_stream": (
        200,
        ErrorClass.OVERLOAD,  # by its code: the status had gone out before the queue was seen to be full
        "The engine is currently busy and cannot accept new requests. Please try again later",
    ),
    "vllm_bad_ids_stream": (200, ErrorClass.STREAM_ERROR, "Token id 69772 is out of vocabulary"),
    "vllm_engine_died": (500, ErrorClass.HTTP_SERVER, "EngineCore encountered an issue."),
    "vllm_engine_died_stream": (200, ErrorClass.STREAM_ERROR, "EngineCore encountered an issue."),
    "transformers_serve_ignore_eos": (
        422,
        ErrorClass.HTTP_CLIENT,
        "Unexpected fields in the request: {'min_tokens', 'ignore_eos'}",
    ),
    "transformers_serve_wrong_model": (
        400,
        ErrorClass.HTTP_CLIENT,
        "Server is pinned to 'tiny-llama'; requested 'nope'.",
    ),
    "transformers_serve_bad_max": (
        200,
        ErrorClass.STREAM_ERROR,
        "`max_new_tokens` must be greater than 0, but is -3.",
    ),
    "transformers_serve_models": (500, ErrorClass.HTTP_SERVER, "Internal Server Error"),
    "onnx_genai_wrong_model": (404, ErrorClass.NOT_FOUND, "model 'nope' not found"),
    "onnx_genai_bad_max": (
        400,
        ErrorClass.HTTP_CLIENT,
        "What: the request body did not match this endpoint's schema. Why: Failed to deserialize the JSON",
    ),
    "onnx_genai_busy": (
        429,
        ErrorClass.OVERLOAD,
        "generation capacity exceeded; retry after the server finishes queued work",
    ),
}
NO_ANSWERS = {"vllm_models", "transformers_serve_broken_error"}  # each has a test of its own


def recorded(file: str) -> bytes:
    """A recording, HTTP framing included."""
    return (FIXTURES / f"{file}.http").read_bytes()


def received(wire: bytes, cuts: Iterable[int] = ()) -> Received:
    """A response that came in these pieces; each read's time is the offset of its last byte."""
    edges = [0, *cuts, len(wire)]
    reads = Received()
    for start, stop in pairwise(edges):
        if reads.add(wire[start:stop], stop):
            reads.look()
    reads.close()
    return reads


def gist(answer: Answer) -> tuple[object, ...]:
    """What must not depend on how the bytes came."""
    return (
        *(
            answer.status,
            answer.streamed,
            answer.done,
            answer.pieces,
            answer.finish_reason,
            answer.response_id,
        ),
        *(answer.prompt_tokens, answer.output_tokens, answer.tokens_so_far, answer.cached_tokens),
        *(answer.first_chunk_tokens, answer.queue_ms, answer.decode_ms, answer.server_ttft_ms),
        *(answer.error_class, answer.error_message, answer.retry_after_s),
    )


def test_every_recording_of_these_servers_is_read_here() -> None:
    """None lies about unread, none is missing."""
    names = {path.stem for path in FIXTURES.glob("*.http") if not path.stem.startswith("llamacpp")}
    assert names == {said.file for said in (*STREAMS, *WHOLE)} | REFUSALS.keys() | NO_ANSWERS


@pytest.mark.parametrize("said", STREAMS, ids=lambda said: said.file)
def test_a_stream_says_what_the_server_sent(said: Said) -> None:
    """Each piece of text, the server's own counts (None where it sent none), the reason of the end; no error."""
    answer = decode(said.backend, received(recorded(said.file)))
    assert (answer.status, answer.streamed, answer.error_class, answer.error_message) == (
        200,
        True,
        None,
        None,
    )
    assert tuple(answer.pieces) == said.pieces
    assert (answer.finish_reason, answer.done) == (said.finish, said.done)
    assert (answer.prompt_tokens, answer.output_tokens) == (said.prompt, said.output)


@pytest.mark.parametrize("said", STREAMS, ids=lambda said: said.file)
def test_a_piece_is_dated_by_the_read_that_completed_its_event(said: Said) -> None:
    """Byte by byte, each content event's time is that of the line end that closes it; nothing else has one."""
    wire = recorded(said.file)
    answer = decode(said.backend, received(wire, range(1, len(wire))))
    ends, at = [], 0
    for piece in said.pieces:
        at = wire.index(orjson.dumps(piece), at)
        at = wire.index(b"\n\n", at) + 2
        ends.append(at)
    assert answer.times == ends


@pytest.mark.parametrize("said", [said for said in STREAMS if said.pieces], ids=lambda said: said.file)
def test_a_first_token_is_there_with_the_first_text_and_not_before(said: Said) -> None:
    """The role chunk, which some send seconds before, and chunks with no text are not a first token."""
    wire = recorded(said.file)
    first = wire.index(orjson.dumps(said.pieces[0]))
    assert not has_content(said.backend, received(wire[:first]))
    assert has_content(said.backend, received(wire[: wire.index(b"\n\n", first) + 2]))


@pytest.mark.parametrize("said", WHOLE, ids=lambda said: said.file)
def test_a_whole_answer_says_what_the_server_sent(said: Said) -> None:
    """Text, counts and reason of one JSON body, complete with its last byte."""
    wire = recorded(said.file)
    answer = decode(said.backend, received(wire, range(7, len(wire), 7)))
    assert (answer.status, answer.streamed, answer.error_class) == (200, False, None)
    assert tuple(answer.pieces) == said.pieces
    assert answer.times == [len(wire)]
    assert (answer.finish_reason, answer.prompt_tokens, answer.output_tokens) == (
        said.finish,
        said.prompt,
        said.output,
    )


@pytest.mark.parametrize("file", REFUSALS)
def test_a_refusal_keeps_its_class_and_the_servers_words(file: str) -> None:
    """By status, or by the error event in a stream that began with a 200; never an answer."""
    status, error_class, words = REFUSALS[file]
    answer = decode(CHAT, received(recorded(file)))
    assert (answer.status, answer.error_class) == (status, error_class)
    assert (answer.error_message or "").startswith(words)
    assert (answer.pieces, answer.output_tokens, answer.finish_reason) == ([], None, None)


@pytest.mark.parametrize(
    "file", sorted({path.stem for path in FIXTURES.glob("*.http")} - {"llamacpp_native"})
)
def test_it_does_not_matter_how_the_bytes_came(file: str) -> None:
    """In one read, in sevens, one by one: the same answer."""
    wire = recorded(file)
    backend = COMPLETIONS if b'"cmpl-' in wire or b"text_completion" in wire else CHAT
    whole = gist(decode(backend, received(wire)))
    assert gist(decode(backend, received(wire, range(7, len(wire), 7)))) == whole
    assert gist(decode(backend, received(wire, range(1, len(wire))))) == whole


@pytest.mark.parametrize("said", STREAMS, ids=lambda said: said.file)
def test_a_stream_that_is_cut_is_truncated_wherever_that_is(said: Said) -> None:
    """Of a broken connection the pieces that came are kept, and it is no success before its end mark."""
    wire = recorded(said.file)
    ended = wire.rindex(b"data: [DONE]") + len(b"data: [DONE]") if said.done else len(wire)
    for stop in range(wire.index(b"\r\n\r\n") + 4, ended - len(b"\r\n0\r\n\r\n"), 11):
        answer = decode(said.backend, received(wire[:stop]))
        assert answer.error_class is ErrorClass.TRUNCATED
        assert tuple(answer.pieces) == said.pieces[: len(answer.pieces)]


def test_an_error_that_is_not_json_is_bad_and_shows_itself() -> None:
    """`transformers serve` quotes a quotation mark into its error and does not escape it."""
    answer = decode(CHAT, received(recorded("transformers_serve_broken_error")))
    assert (answer.status, answer.error_class) == (200, ErrorClass.BAD_STREAM)
    assert '{"error": "`temperature` (=very "hot") has to be' in (answer.error_message or "")


def test_the_metrics_of_a_request_are_its_own() -> None:
    """Where vLLM has `--enable-per-request-metrics`: queue, time from its start to its first token, decode; ms."""
    streamed = decode(CHAT, received(recorded("vllm_metrics_chat")))
    assert (streamed.queue_ms, streamed.decode_ms) == (0.024867000320227817, 13.071205001324415)
    assert (streamed.server_ttft_ms, streamed.cached_tokens) == (8.64967099914793, 256)
    whole = decode(CHAT, received(recorded("vllm_metrics_whole")))
    assert (whole.queue_ms, whole.decode_ms) == (0.024106000637402758, 10.525350000534672)
    assert (whole.server_ttft_ms, whole.cached_tokens) == (4.902208998828428, 0)
    plain = decode(CHAT, received(recorded("vllm_chat_whole")))
    assert (plain.queue_ms, plain.decode_ms, plain.server_ttft_ms, plain.cached_tokens) == (None,) * 4


def test_what_is_prefill_of_it_only_vllms_backend_knows() -> None:
    """Its time to first token starts when the request was scheduled, so there it is the prefill."""
    for mode, file, prefill_ms in (
        ("chat", "vllm_metrics_chat", 8.64967099914793),
        ("chat", "vllm_metrics_whole", 4.902208998828428),
    ):
        assert decode(find("vllm", mode), received(recorded(file))).prefill_ms == prefill_ms
        assert decode(find("openai", mode), received(recorded(file))).prefill_ms is None


def test_running_counts_tell_how_many_tokens_the_first_piece_has() -> None:
    """With `continuous_usage_stats` vLLM says 1; a stream that counts only at its end does not say."""
    assert decode(CHAT, received(recorded("vllm_continuous_usage"))).first_chunk_tokens == 1
    assert decode(COMPLETIONS, received(recorded("vllm_held_back"))).first_chunk_tokens is None


@pytest.mark.parametrize(
    ("file", "response_id"),
    [
        ("vllm_chat", "chatcmpl-tokenswarm-1"),  # the X-Request-Id that was sent, with a prefix
        ("transformers_serve_chat", "tokenswarm-1"),
        ("vllm_busy", "b02331aa1cf64f548bf2db46c88177c5"),  # a header's: the body has none
        ("onnx_genai_chat", "chatcmpl-1795258938"),  # the second it began: not unique
        ("onnx_genai_chat_whole", "chatcmpl-1795258938"),
        ("vllm_too_long", None),
    ],
)
def test_the_id_under_which_the_server_logs_it(file: str, response_id: str | None) -> None:
    """From the body, else from a header."""
    assert decode(CHAT, received(recorded(file))).response_id == response_id


def test_a_full_queue_says_when_to_come_back() -> None:
    """Seconds of `Retry-After`, where there are any."""
    assert decode(CHAT, received(recorded("onnx_genai_busy"))).retry_after_s == 1.0
    assert decode(CHAT, received(recorded("vllm_busy"))).retry_after_s is None


def test_what_a_list_of_models_says() -> None:
    """The words of vLLM's that a probe goes by: whose server it is, and the length of its context."""
    body = recorded("vllm_models").split(b"\r\n\r\n", 1)[1]
    (model,) = orjson.loads(body)["data"]
    assert (model["id"], model["owned_by"], model["max_model_len"]) == ("tiny", "vllm", 2048)
