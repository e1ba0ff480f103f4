"""What is sent to llama.cpp's `/completion`, and the odd values its last event may hold. Streams: `test_decode`."""

import json
from typing import Any

import pytest

from harness.backends import find
from harness.backends.base import Ask, Delta, Turn
from harness.backends.llama_timings import Timings, llama_timings

NATIVE = find("llamacpp", "native")
PLAIN = {"prompt": "hé\n", "n_predict": 7, "stream": True, "cache_prompt": False, "ignore_eos": False}


def sent(ask: Ask) -> Any:
    """The body of a request."""
    request = NATIVE.request(ask)
    assert (request.method, request.path) == ("POST", "/completion")
    return json.loads(request.body)


def read(**event: object) -> Delta:
    """What an event says."""
    return NATIVE.read(json.dumps(event).encode())


def test_the_prompt_is_sent_as_it_is_and_not_cached() -> None:
    """`n_predict` is the limit; the slot's memory of its last prompt is not used."""
    assert sent(Ask("hé\n", 7)) == PLAIN


def test_seed_and_exact_length() -> None:
    """`ignore_eos` makes it go on to the limit; a seed of 0 is a seed."""
    assert sent(Ask("hé\n", 7, seed=0, exact_length=True)) == PLAIN | {"seed": 0, "ignore_eos": True}


def test_the_users_own_fields_win() -> None:
    """Also over what we think is right."""
    extra = {"cache_prompt": True, "ignore_eos": True, "n_predict": 1, "top_k": 5}
    assert sent(Ask("hé\n", 7, extra=extra)) == PLAIN | extra


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"stop_type": "limit"}, "length"),
        ({"stop_type": "eos"}, "stop"),
        ({"stop_type": "word"}, "stop"),
        ({"stop_type": "none"}, "none"),
        ({"stopped_limit": True}, "length"),
        ({"stopped_eos": True}, "stop"),
        ({"stopped_word": True, "stopped_limit": False}, "stop"),
        ({}, None),
        ({"stop_type": 3}, None),
    ],
)
def test_why_it_stopped_in_the_fields_words(event: dict[str, object], reason: str | None) -> None:
    """`stop` or `length`, from the names of new and old versions."""
    assert read(stop=True, content="", **event).finish_reason == reason


def test_only_a_true_stop_ends_the_stream() -> None:
    """Events before the last say `stop: false`, or nothing."""
    assert read(content="a", stop=True).done
    for stop in (False, None, 1, "true"):
        made = read(content="a", stop=stop, tokens_predicted=3)
        assert (made.done, made.answer, made.tokens_so_far, made.output_tokens) == (False, "a", 3, None)


@pytest.mark.parametrize("value", [None, -1, 1.5, "3", True, [], {}])
def test_odd_counts_are_not_measured(value: object) -> None:
    """None of them becomes 0."""
    made = read(
        stop=True, content="", tokens_evaluated=value, tokens_predicted=value, timings={"cache_n": value}
    )
    assert (made.prompt_tokens, made.output_tokens, made.tokens_so_far, made.cached_tokens) == (None,) * 4


@pytest.mark.parametrize(
    "timings", [None, [], "fast", 3, {}, {"prompt_ms": "x", "predicted_ms": -1, "cache_n": 0.5}]
)
def test_odd_timings_are_not_measured(timings: object) -> None:
    """Whatever stands in their place."""
    assert llama_timings({"timings": timings}) == Timings(None, None, None)


def test_timings() -> None:
    """They are ms already; whole ones become floats."""
    timings = {"prompt_ms": 12.25, "predicted_ms": 70, "cache_n": 0, "prompt_n": 9}
    assert llama_timings({"timings": timings}) == Timings(12.25, 70.0, 0)


@pytest.mark.parametrize("content", [None, 3, ["a"], {"text": "a"}])
def test_content_that_is_no_text_is_no_token(content: object) -> None:
    """An event whose `content` is odd does not start the clock of the first token."""
    assert read(content=content, stop=False).answer == ""


def test_an_error_event() -> None:
    """llama.cpp's shape, and a plain string."""
    said = {"code": 400, "message": "the request exceeds the context", "type": "exceed_context_size_error"}
    assert read(error=said).error == "the request exceeds the context"
    assert read(error="no slot").error == "no slot"


def test_a_conversation_is_one_text() -> None:
    """It grows by what the server said and the user says next, and from then on may be remembered. Byte for byte."""
    first, second = Turn("user", "Olá"), (Turn("assistant", " oi!"), Turn("user", "E?"))
    assert NATIVE.request(Ask("Olá", 7, turns=(first,))).body.decode() == (
        '{"prompt":"Olá","n_predict":7,"stream":true,"cache_prompt":false,"ignore_eos":false}'
    )
    assert NATIVE.request(Ask("E?", 7, turns=(first, *second))).body.decode() == (
        '{"prompt":"Olá oi!\\n\\nE?","n_predict":7,"stream":true,"cache_prompt":true,"ignore_eos":false}'
    )
