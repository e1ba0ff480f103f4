"""One user's talk with a server: what it asks turn by turn, and when it is over."""

from typing import Any

import pytest
from test_record import record

from harness.asker import Asker
from harness.backends.base import Turn
from harness.conversation import Chats, Conversation
from harness.distributions import Constant, Uniform
from harness.menu import Supply, Want
from harness.record import Outcome
from harness.sizers import EstimatingSizer
from harness.talk import Talk
from harness.workload import build

ASKER = Asker(model="m", exact_length=True, extra={})


def supply(turns: int = 3, turn_tokens: int = 10, output: int = 20) -> Supply:
    """Synthetic chats of prompts of 40 tokens."""
    work = build(Constant(40), Constant(output), EstimatingSizer(), seed=1, count=4)
    chats = Chats(Constant(turns), Constant(turn_tokens), 1)
    return Supply(outputs=Constant(output), seed=1, work=work, chats=chats)


def talk(number: int = 0, context: int | None = None, **how: Any) -> Talk:
    """A chat that nothing was asked in yet."""
    whose = supply(**how)
    want = whose.want(number, None, by_number=True)
    return Talk(1, number, whose, want, Conversation(f"chat#{number}", context=context))


def answered(text: str = "an answer", prompt: int | None = 40, output: int | None = 20) -> tuple[Any, str]:
    """What a request that went well comes back with."""
    return record(outcome=Outcome.OK, prompt_tokens=prompt, output_tokens=output), text


def test_a_single_request_is_over_when_it_is_asked() -> None:
    """No session, no history, and its size is the one that was asked for."""
    one = Talk(1, 0, supply(), Want("hello", 7, 40))
    asked = one.ask(ASKER)
    assert (asked.prompt, asked.max_tokens, asked.turns, one.session, one.requested, one.is_over) == (
        "hello", 7, (), None, 40, True,
    )  # fmt: skip
    one.hear(*answered())


def test_each_turn_carries_all_that_was_said_before() -> None:
    """History grows by the server's own answer and the user's next words; the id stays, turns count from 1."""
    one = talk()
    first = one.ask(ASKER)
    assert (one.session, one.requested, len(first.turns)) == (("chat#0", 1), 40, 1)
    one.hear(*answered("A"))
    second = one.ask(ASKER)
    assert (one.session, one.requested) == (("chat#0", 2), None)  # nobody sized a whole history
    assert second.turns[:2] == (*first.turns, Turn("assistant", "A"))
    assert second.turns[-1] == Turn("user", second.prompt)
    one.hear(*answered("B"))
    third = one.ask(ASKER)
    assert third.turns[:4] == (*second.turns, Turn("assistant", "B"))
    assert len({turn.text for turn in third.turns if turn.role == "user"}) == 3
    assert not one.is_over
    one.hear(*answered("C"))
    assert one.is_over


def test_a_chat_of_one_turn() -> None:
    """It has a session and ends with its first answer."""
    one = talk(turns=1)
    one.ask(ASKER)
    assert one.session == ("chat#0", 1)
    one.hear(*answered())
    assert one.is_over


@pytest.mark.parametrize(
    "heard",
    [
        (record(outcome=Outcome.FAILED), ""),
        (record(outcome=Outcome.CANCELLED), "half"),
        (record(outcome=Outcome.OK, prompt_tokens=40, output_tokens=0), ""),
    ],
)
def test_nobody_goes_on_talking_to_silence(heard: tuple[Any, str]) -> None:
    """A failed, a cancelled and an empty answer end a chat."""
    one = talk()
    one.ask(ASKER)
    one.hear(*heard)
    assert one.is_over


@pytest.mark.parametrize(("context", "goes_on"), [(90, True), (89, False), (None, True)])
def test_a_chat_ends_before_the_server_is_full(context: int | None, goes_on: bool) -> None:
    """60 tokens held, 10 to say and 20 to answer: 90 is room for it."""
    one = talk(context=context)
    one.ask(ASKER)
    one.hear(*answered(prompt=40, output=20))
    assert one.is_over is not goes_on


def test_uncounted_answers_do_not_end_a_chat() -> None:
    """Where the server counts nothing it is the server's to refuse."""
    one = talk(context=50)
    one.ask(ASKER)
    one.hear(*answered(prompt=None, output=None))
    assert not one.is_over


def test_what_a_dataset_says_is_said_in_its_order() -> None:
    """Its words as they are; the answers' lengths are drawn."""
    later = ((Turn("user", "two"),), (Turn("system", "be brief"), Turn("user", "three")))
    want = Want("one", 5, turns=(Turn("system", "s"), Turn("user", "one")), later=later)
    one = Talk(1, 0, Supply(outputs=Uniform(7, 9), seed=1), want, Conversation("d#0"))
    asked = one.ask(ASKER)
    assert (asked.turns, asked.max_tokens) == ((Turn("system", "s"), Turn("user", "one")), 5)
    one.hear(*answered("A"))
    asked = one.ask(ASKER)
    assert [turn.text for turn in asked.turns] == ["s", "one", "A", "two"]
    assert 7 <= asked.max_tokens <= 9
    one.hear(*answered("B"))
    assert [turn.text for turn in one.ask(ASKER).turns] == ["s", "one", "A", "two", "B", "be brief", "three"]
    one.hear(*answered("C"))
    assert one.is_over


def test_a_chat_is_the_same_wherever_it_is_held() -> None:
    """Words and lengths follow from seed and number, not from what was drawn before."""

    def said(number: int, before: int) -> list[tuple[str, int]]:
        whose = supply(turns=3)
        for other in range(before):
            whose.want(other + 50, None, by_number=True)
        one = Talk(1, number, whose, whose.want(number, None, by_number=True), Conversation("c"))
        found = []
        for _ in range(3):
            asked = one.ask(ASKER)
            found.append((str(asked.prompt), asked.max_tokens))
            one.hear(*answered())
        return found

    assert said(2, 0) == said(2, 5)
    assert said(2, 0)[1] != said(3, 0)[1]


def test_a_chats_requests_share_a_cache_and_no_other_chats() -> None:
    """With a salt a request, the salt is the session's."""
    asker = Asker("m", exact_length=False, extra={}, salt="run", fresh_salt=True)
    one, other = talk(0), talk(1)
    first = one.ask(asker).cache_salt
    one.hear(*answered())
    assert one.ask(asker).cache_salt == first == "run-chat#0"
    assert other.ask(asker).cache_salt == "run-chat#1"
