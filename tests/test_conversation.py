"""Sessions: what they are, how they grow and end; and held with every dialect of the simulator and with a real llama.cpp."""

import dataclasses
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from answers import answered
from hypothesis import given
from hypothesis import strategies as st
from test_simulator import Server, simulator, wait_for

from harness import distributions, files
from harness.asker import Asker
from harness.backends import find
from harness.backends.base import Ask, Backend, Turn
from harness.conversation import Chats, Conversation, Ending, at_once, script, session_id
from harness.errors import ConfigError
from harness.servers import llamacpp
from harness.simulator import tokens

SYSTEM, FIRST, SECOND = Turn("system", "Be brief."), Turn("user", "Hello"), Turn("user", "And now")
IMAGE = "data:image/png;base64,iVBORw0KGgo="

TEXTS = st.text(st.characters(codec="utf-8"), max_size=6)
TURNS = st.lists(
    st.tuples(st.sampled_from(["user", "assistant", "system"]), TEXTS).map(lambda said: Turn(*said))
)


def sizes(text: str) -> distributions.Distribution:
    """A distribution as an option names it."""
    return distributions.parse(text, "--x")


# -- the history


def test_a_history_grows_by_what_both_said() -> None:
    """Each ask has all of it, oldest first; the answer is the server's, with the space that it began with."""
    session = Conversation("chat#1", (SYSTEM,))
    assert (session.turn, session.history, session.ending) == (0, (SYSTEM,), None)
    assert session.add(FIRST) == (SYSTEM, FIRST)
    assert session.turn == 1
    assert session.answer(" hi!")
    assert session.add(SECOND) == (SYSTEM, FIRST, Turn("assistant", " hi!"), SECOND)
    assert session.turn == 2
    assert session.answer(" well")
    session.close()
    assert session.ending is Ending.DONE
    assert session.history[-1] == Turn("assistant", " well")


@pytest.mark.parametrize(("said", "ending"), [(None, Ending.FAILED), ("", Ending.EMPTY)])
def test_nobody_talks_to_silence(said: str | None, ending: Ending) -> None:
    """A request that failed and an empty answer end a session; neither is in its history."""
    session = Conversation("chat#1")
    session.add(FIRST)
    assert not session.answer(said)
    assert (session.ending, session.history) == (ending, (FIRST,))
    assert session.add(SECOND) == ()
    session.close()
    assert (session.ending, session.turn) == (ending, 1)


def test_turns_alternate() -> None:
    """Two asks in a row, an answer to nothing, and an ask that ends with another's words are mistakes of the caller's."""
    session = Conversation("chat#1")
    with pytest.raises(ValueError, match=r"session chat#1: an answer without a question"):
        session.answer("a")
    with pytest.raises(ValueError, match="ends with a turn of the user's"):
        session.add(FIRST, SYSTEM)
    with pytest.raises(ValueError, match="ends with a turn of the user's"):
        session.add()
    session.add(FIRST)
    with pytest.raises(ValueError, match="turn 1 has no answer yet"):
        session.add(SECOND)


def test_a_session_ends_before_it_outgrows_the_context() -> None:
    """By the server's counts of the last request, the words to come and the answer's limit; at the limit it still fits."""
    for context, fits in ((100, True), (99, False)):
        session = Conversation("chat#1", context=context)
        assert session.add(FIRST, tokens=40, max_tokens=20)
        session.answer("a", prompt_tokens=48, output_tokens=20)  # the template's 8 among them
        assert session.fits(12, 20) is fits
        assert bool(session.add(SECOND, tokens=12, max_tokens=20)) is fits
        assert session.ending is (None if fits else Ending.FULL)


def test_what_is_not_known_is_not_judged() -> None:
    """Without a context or without counts it is for the server to refuse."""
    session = Conversation("chat#1", context=10)
    session.add(FIRST)
    session.answer("a", prompt_tokens=8)
    assert session.fits(1_000, 1_000)
    session = Conversation("chat#1")
    session.add(FIRST)
    session.answer("a", prompt_tokens=8, output_tokens=1_000_000)
    assert session.fits(1_000, 1_000)


@given(st.lists(st.tuples(TEXTS, TEXTS.filter(bool)), min_size=1, max_size=6))
def test_every_ask_begins_with_the_last_and_its_answer(said: list[tuple[str, str]]) -> None:
    """Whatever is said."""
    session = Conversation("chat#1")
    before: tuple[Turn, ...] = ()
    for number, (user, answer) in enumerate(said, 1):
        asked = session.add(Turn("user", user))
        assert asked == (*before, Turn("user", user))
        assert session.turn == number
        session.answer(answer)
        before = (*asked, Turn("assistant", answer))
    assert session.history == before


# -- synthetic sessions


def test_synthetic_sessions_are_the_same_for_the_same_seed_and_number() -> None:
    """Whatever was drawn before; other seeds and numbers give others."""
    chats = Chats(sizes("uniform:2,6"), sizes("uniform:10,90"), seed=1)
    all_of_them = [chats.sizes(number) for number in range(200)]
    assert [chats.sizes(number) for number in reversed(range(200))] == all_of_them[::-1]
    assert {len(session) for session in all_of_them} == {1, 2, 3, 4, 5}
    assert {size for session in all_of_them for size in session} == set(range(10, 91))
    assert dataclasses.replace(chats, seed=2).sizes(7) != chats.sizes(7)


def test_sizes_of_fixed_sessions() -> None:
    """One turn has no later ones; nobody talks for more than a thousand."""
    assert Chats(sizes("1"), sizes("50"), seed=1).sizes(3) == ()
    assert Chats(sizes("4"), sizes("50"), seed=1).sizes(3) == (50, 50, 50)
    assert len(Chats(sizes("5000"), sizes("1"), seed=1).sizes(3)) == 999


def test_sessions_that_outgrow_the_context_are_refused_before_load() -> None:
    """As a rule, that is in the mean: 550 + 150, then 3 times 50 + 150, are 1,300 tokens."""
    chats, prompt, output = Chats(sizes("4"), sizes("50"), seed=1), sizes("550"), sizes("150")
    assert chats.longest(prompt, output) == 1300
    chats.check(prompt, output, 1300)
    chats.check(prompt, output, None)
    with pytest.raises(ConfigError) as caught:
        chats.check(prompt, output, 1299)
    assert str(caught.value) == (
        "--turns 4: the last request of a session would hold about 1,300 tokens (--prompt-tokens 550, then "
        "--turn-tokens 50 a turn and --output-tokens 150 an answer), and the server takes 1,299: make one of them smaller"
    )


# -- recorded ones


def test_a_recorded_conversation_is_held_again() -> None:
    """The user's turns are kept, the old answers are not; what the system says late comes with the user's next words."""
    late = Turn("system", "In English.")
    recorded = (
        SYSTEM,
        Turn("assistant", "Welcome!"),
        FIRST,
        Turn("assistant", "old"),
        late,
        SECOND,
        Turn("assistant", "x"),
    )
    assert script(recorded) == ((SYSTEM,), ((FIRST,), (late, SECOND)))
    assert script(recorded, 1) == ((SYSTEM,), ((FIRST,),))


def test_a_recorded_conversation_at_once() -> None:
    """One request with everything up to the user's last words, old answers too."""
    recorded = (SYSTEM, FIRST, Turn("assistant", "old"), SECOND, Turn("assistant", "x"))
    assert at_once(recorded) == recorded[:4]


@pytest.mark.parametrize("read", [script, at_once])
def test_a_conversation_needs_a_user(read: Any) -> None:
    """There would be nothing to ask."""
    with pytest.raises(ValueError, match="without a turn of the user's"):
        read((SYSTEM, Turn("assistant", "x")))


@given(TURNS, st.none() | st.integers(1, 5))
def test_a_script_says_all_that_its_user_said(turns: list[Turn], most: int | None) -> None:
    """In order, in steps that can be added to a conversation."""
    said = [turn for turn in turns if turn.role == "user"][:most]
    if not said:
        return
    opening, steps = script(turns, most)
    session = Conversation("chat#1", opening)
    for step in steps:
        assert session.add(*step)[-1] is step[-1]
        session.answer("a")
    assert [turn for turn in session.history if turn.role == "user"] == said
    assert session.turn == len(said)


def test_session_ids() -> None:
    """One for each session of a run."""
    assert session_id("chat", 17) == "chat#17"


def test_an_asker_passes_turns_on() -> None:
    """With everything else it puts into an ask."""
    asker = Asker("m", exact_length=True, extra={"a": 1})
    assert asker.ask("Hello", 5, [SYSTEM, FIRST]) == Ask(
        "Hello", 5, model="m", exact_length=True, extra={"a": 1}, turns=(SYSTEM, FIRST)
    )
    assert asker.ask("Hello", 5).turns == ()


# -- held with every dialect of the simulator


@pytest.fixture(
    scope="module", params=["vllm", "llamacpp", "tgi", "maritalk", "maritaca", "sambastudio", "sambanova"]
)
def speaking(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Server]]:
    """A simulator that speaks as that system."""
    quick = ("--step-base-ms", "0.2", "--step-per-seq-ms", "0", "--context", "2000", "--speak", request.param)
    with simulator(tmp_path_factory.mktemp("speaking"), *quick) as server:
        yield request.param, server


def modes(name: str) -> list[tuple[Backend, str]]:
    """(each backend of that name, what stands before its routes)."""
    if name == "sambastudio":
        generic = [dataclasses.replace(find(name, mode), project="p", endpoint="e") for mode in ("v1", "v2")]  # type: ignore[call-arg]
        return [(generic[0], ""), (generic[1], ""), (find(name, "openai"), "/v1")]
    modes = {
        "maritaca": ("chat", "legacy", "responses"),
        "maritalk": ("native", "chat"),
        "llamacpp": ("native", "chat", "completions"),
        "tgi": ("native", "chat", "completions"),
    }.get(name, ("chat", "completions"))
    return [(find(name, mode), "/api" if name == "maritaca" else "") for mode in modes]


def held(backend: Backend, root: str, server: Server, ask: Ask) -> tuple[str, int]:
    """(what it answers, the prompt's tokens by the server's log)."""
    done = len(server.rows())
    request = backend.request(ask)
    status, body, headers = server.raw("POST", root + request.path, request.body)
    assert status == 200, body
    answer = answered(backend, body, content_type=headers["Content-Type"], close=backend.ends_on_close)
    assert answer.error_class is None, answer.error_message
    wait_for(lambda: len(server.rows()) > done)
    return answer.text, server.rows()[-1]["prompt_tokens"]


def expected(turns: tuple[Turn, ...], *, told: bool, two_roles: bool) -> int:
    """Tokens of a prompt: begin mark, four marks a message and two for the answer; or the begin mark and the text."""
    if not told:
        return 1 + tokens.count("Be brief.\n\n" + turns[1].text + "".join(
            turn.text if turn.role == "assistant" else f"\n\n{turn.text}" for turn in turns[2:]
        ))  # fmt: skip
    marks = 4 * (len(turns) - two_roles)
    between = 2 if two_roles else 0  # the blank line after what the system says
    return 3 + marks + between + sum(tokens.count(turn.text) for turn in turns)


def test_prompts_grow_as_the_history_does(speaking: tuple[str, Server]) -> None:
    """Three turns: the server counts every message of each, to the token, and nothing else."""
    name, server = speaking
    for backend, root in modes(name):
        session = Conversation("chat#1", (SYSTEM,))
        two_roles = backend.mode == "legacy" or (name == "maritalk" and backend.takes_turns)
        for user in ("Hello there ", "And then?", " one more"):  # a space before a mark is a token of its own
            asked = session.add(Turn("user", user))
            text, prompt_tokens = held(
                backend, root, server, Ask(user, 6, model="m", exact_length=True, turns=asked)
            )
            assert prompt_tokens == expected(asked, told=backend.takes_turns, two_roles=two_roles), (
                backend.mode
            )
            assert session.answer(text)
        assert session.turn == 3


def test_an_expert_of_sambastudio_is_told_the_roles(tmp_path: Path) -> None:
    """By JSON within JSON, in both versions of its API."""
    with simulator(tmp_path, "--step-base-ms", "0.2", "--speak", "sambastudio", "--model", "x") as server:
        for backend, _ in modes("sambastudio")[:2]:
            session = Conversation("chat#1", (SYSTEM,))
            for user in ("Hello there", "And then?"):
                asked = session.add(Turn("user", user))
                text, prompt_tokens = held(backend, "", server, Ask(user, 6, model="COE/x", turns=asked))
                assert prompt_tokens == expected(asked, told=True, two_roles=False)
                assert session.answer(text)


def test_images_are_tokens_of_the_prompt(speaking: tuple[str, Server]) -> None:
    """256 each, wherever a dialect takes them."""
    name, server = speaking
    for backend, root in modes(name):
        if not backend.takes_images:
            continue
        seen = Ask("Hello", 3, model="m", turns=(Turn("user", "Hello", (IMAGE, IMAGE)),))
        blind = Ask("Hello", 3, model="m", turns=(FIRST,))
        _, with_images = held(backend, root, server, seen)
        assert with_images - held(backend, root, server, blind)[1] == 512


@pytest.mark.parametrize(
    "url", ["data:image/png;base64,AA=", "https://example.org/a.png", "data:text/plain;base64,AA==", 3, None]
)
def test_an_image_that_is_none_is_refused(tmp_path: Path, url: object) -> None:
    """By the simulator, as by a server that cannot read it."""
    content = [{"type": "image_url", "image_url": {"url": url}}]
    body = {"model": "m", "messages": [{"role": "user", "content": content}], "max_tokens": 2}
    with simulator(tmp_path, "--speak", "vllm") as server:
        status, said, _ = server.call("POST", "/v1/chat/completions", body)
    assert status == 400
    assert said["error"]["message"] == (
        f"messages[0].content[0].image_url.url must be data:image/TYPE;base64,..., not {url!r}"
    )


# -- held with a real server


@pytest.mark.real
@pytest.mark.parametrize("mode", ["native", "chat", "completions"])
def test_a_real_server_remembers_its_own_conversation(mode: str) -> None:
    """Prompts grow with the history, and of each later one most is found in llama.cpp's cache; of the first, nothing."""
    for module in ("xllamacpp", "gguf"):
        if importlib.util.find_spec(module) is None and os.environ.get("TOKENSWARM_REQUIRE_REAL") != "1":
            pytest.skip(f"{module} is not installed; `make test` installs it")
    backend = find("llamacpp", mode)
    with llamacpp.running_llamacpp(llamacpp.tiny_model(files.cache_dir()), slots=1, context=2048) as server:
        seen: list[tuple[int, int, int]] = []
        for _ in range(2):  # the second session is as the first, and must find nothing of it at its beginning
            session = Conversation("chat#1", (SYSTEM,))
            for user in ("one two three four five " * 10, "six seven eight", "nine ten"):
                asked = session.add(Turn("user", user))
                request = backend.request(Ask(user, 20, exact_length=True, seed=1, turns=asked))
                reply = requests.post(server.url + request.path, data=request.body, timeout=60)
                answer = answered(backend, reply.content, content_type=reply.headers["Content-Type"])
                assert answer.prompt_tokens is not None
                assert answer.output_tokens is not None
                assert answer.cached_tokens is not None
                seen.append((answer.prompt_tokens, answer.output_tokens, answer.cached_tokens))
                assert session.answer(answer.text, prompt_tokens=seen[-1][0], output_tokens=seen[-1][1])
    for first, second, third in (seen[:3], seen[3:]):
        assert first[2] == 0
        assert first[0] < second[0] < third[0]
        assert second[2] >= first[0] - 8  # less what a tokenizer makes otherwise of the border
        assert third[2] >= second[0] - 8
    assert seen[0] == seen[3]
