"""What holds for conversations on every backend: all of it is sent, in order, and images go where there is a place for them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.backends import BACKENDS, find, refuse_images
from harness.backends.base import Ask, Backend, Turn, as_text
from harness.backends.openai import OpenAI
from harness.backends.turns import plain_messages
from harness.errors import ConfigError

ALL = [backend for modes in BACKENDS.values() for backend in modes]
IMAGE = "data:image/png;base64,AA=="
TALK = (Turn("system", "s0"), Turn("user", "u1"), Turn("assistant", "a1"), Turn("user", "u2"))

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1, max_size=8)
ROLES = st.sampled_from(["system", "user", "assistant"])
EXCHANGES = st.lists(st.tuples(TEXTS, TEXTS), max_size=4)


def named(backend: Backend) -> str:
    """For the list of tests."""
    return f"{backend.name}-{backend.mode}"


def texts(value: Any) -> str:
    """Every string in a body, in order; JSON within a string is read too."""
    if isinstance(value, dict):
        return "|".join(texts(inner) for inner in value.values())
    if isinstance(value, list):
        return "|".join(texts(inner) for inner in value)
    return texts(json.loads(value)) if isinstance(value, str) and value.startswith("{") else str(value)


@pytest.mark.parametrize("backend", ALL, ids=named)
def test_all_that_was_said_is_sent_in_order(backend: Backend) -> None:
    """With the roles where `takes_turns` says so, and as one text where not."""
    said = texts(json.loads(backend.request(Ask("u2", 5, model="m", turns=TALK)).body))
    places = [said.index(turn.text) for turn in TALK]
    assert places == sorted(places)
    assert ("assistant|a1" in said) is backend.takes_turns
    assert ("s0\n\nu1a1\n\nu2" in said) is not backend.takes_turns


@pytest.mark.parametrize("backend", ALL, ids=named)
def test_an_image_is_sent_or_is_an_error(backend: Backend) -> None:
    """Never dropped in silence."""
    ask = Ask("u1", 5, turns=(Turn("user", "u1", (IMAGE,)),))
    if backend.takes_images or (isinstance(backend, OpenAI) and backend.takes_turns):
        assert IMAGE in backend.request(ask).body.decode()
    else:
        with pytest.raises(TypeError, match="this route takes text, not images"):
            backend.request(ask)


def test_which_backends_take_what() -> None:
    """The map that the rest of the program goes by."""
    assert [named(backend) for backend in ALL if not backend.takes_turns] == [
        "openai-completions",
        "llamacpp-native",
        "llamacpp-completions",
        "vllm-completions",
        "tgi-native",
        "tgi-completions",
        "sambanova-completions",
        "maritalk-native",
        "sambastudio-v1",
        "sambastudio-v2",
        *(f"{name}-completions" for name in ("tabbyapi", "sglang", "ollama", "lmdeploy", "tensorrt-llm")),
        "ctranslate2-completions",
        "onnx-completions",
    ]
    assert [named(backend) for backend in ALL if backend.takes_images] == [
        "openai-chat",
        "llamacpp-chat",
        "vllm-chat",
        "tgi-native",
        "tgi-chat",
        "sambanova-chat",
        "sambastudio-openai",
        *(f"{name}-chat" for name in ("tabbyapi", "sglang", "ollama", "lmdeploy", "tensorrt-llm")),
    ]


@pytest.mark.parametrize(
    ("name", "mode", "said"),
    [
        (
            "llamacpp",
            "native",
            (
                "--dataset a.jsonl: it has images, and backend 'llamacpp' (--api-mode native) takes none; "
                "give --api-mode chat"
            ),
        ),
        (
            "maritaca",
            "legacy",
            (
                "--dataset a.jsonl: it has images, and backend 'maritaca' (--api-mode legacy) takes none; "
                "take prompts without images"
            ),
        ),
        (
            "tgi",
            "completions",
            (
                "--dataset a.jsonl: it has images, and backend 'tgi' (--api-mode completions) takes none; "
                "give --api-mode native or chat"
            ),
        ),
    ],
)
def test_images_are_refused_before_load(name: str, mode: str, said: str) -> None:
    """By a mode that has no place for them, with the modes that do."""
    with pytest.raises(ConfigError) as caught:
        refuse_images(find(name, mode), "--dataset a.jsonl")
    assert str(caught.value) == said


def test_images_are_welcome_elsewhere() -> None:
    """Nothing is raised."""
    refuse_images(find("vllm", "chat"), "--dataset a.jsonl")


@given(system=st.none() | TEXTS, exchanges=EXCHANGES, first=TEXTS, last=TEXTS)
def test_one_text_grows_at_its_end_only(
    system: str | None, exchanges: list[tuple[str, str]], first: str, last: str
) -> None:
    """Each begins with the one before and its answer, which is what a prefix cache holds; a lone prompt is as it is."""
    turns = [Turn("system", system)] if system else []
    turns.append(Turn("user", first))
    assert as_text([Turn("user", first)]) == first
    for answer, user in [*exchanges, (last, last)]:
        before = as_text(turns)
        turns += (Turn("assistant", answer), Turn("user", user))
        assert as_text(turns) == f"{before}{answer}\n\n{user}"


@given(st.lists(st.tuples(ROLES, WORDS), max_size=6), WORDS)
def test_two_roles_lose_no_words(turns: list[tuple[str, str]], last: str) -> None:
    """Of the system's; neither does the order change."""
    told = (*(Turn(role, text) for role, text in turns), Turn("user", last))
    made = plain_messages(Ask(last, 5, turns=told))
    assert {message["role"] for message in made} <= {"user", "assistant"}
    assert len(made) == sum(turn.role != "system" for turn in told)
    assert [message["content"] for message in made if message["role"] == "assistant"] == [
        turn.text for turn in told if turn.role == "assistant"
    ]
    whole = "".join(message["content"] for message in made if message["role"] == "user")
    assert whole.replace("\n\n", "") == "".join(turn.text for turn in told if turn.role != "assistant")


def test_what_may_be_remembered() -> None:
    """A conversation in which the server has spoken; neither a first turn nor a prompt of its own."""
    assert Ask("u2", 5, turns=TALK).is_continued
    assert not Ask("u1", 5, turns=TALK[:2]).is_continued
    assert not Ask("u1", 5).is_continued


def test_token_ids_stay_as_they_are() -> None:
    """Where there is no conversation."""
    assert Ask((1, 2), 5).raw == (1, 2)
    assert Ask((1, 2), 5, turns=TALK[1:2]).raw == "u1"
    with pytest.raises(TypeError, match="not token ids"):
        _ = Ask((1, 2), 5).words
