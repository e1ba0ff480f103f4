"""`--max-requests`: so many leaves over all parts, and not one more."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.allowance import LEAST_HELD, PATIENCE, Allowance, Given, portions


def tell(allowance: Allowance, name: str, offered: int) -> None:
    """A part that has heard of all that was decided says what it has sent."""
    allowance.hear(name, Given(offered, allowance.revision(name)))


@given(
    st.integers(0, 500),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30)), min_size=1, max_size=6),
)
def test_a_portion_is_at_most_what_is_left_and_never_nothing_for_all(
    left: int, parts: list[tuple[int, int]]
) -> None:
    """Nobody gets less than nothing; who holds fewer than its users gets some while there is some; one alone gets all."""
    holds = {str(at): held for at, (held, _) in enumerate(parts)}
    users = {str(at): number for at, (_, number) in enumerate(parts)}
    more = portions(left, holds, users, users)
    assert all(number >= 0 for number in more.values())
    assert sum(more.values()) <= left
    if len(parts) == 1:
        assert more == {"0": left}
    if left - sum(more.values()):
        assert all(holds[name] + more[name] >= users[name] for name in users)


def test_a_single_part_is_granted_everything_at_once() -> None:
    """In a closed loop and in an open one."""
    closed, opened = Allowance(50), Allowance(50)
    closed.deal({"local": 8})
    opened.deal_evenly(["local"])
    assert (closed.of("local"), opened.of("local"), closed.of("other")) == (50, 50, 0)


def test_portions_shrink_as_users_ask() -> None:
    """Each holds half its users' share of what is left, and a request a user at the end; who is faster gets more."""
    allowance = Allowance(100)
    allowance.deal({"a": 6, "b": 2})
    assert (allowance.of("a"), allowance.of("b")) == (38, 12)  # of 50
    tell(allowance, "a", 38)
    allowance.deal({"a": 6, "b": 2})
    assert (allowance.of("a"), allowance.of("b")) == (57, 12)  # 25 x 6/8 more; b holds more than its share
    for name in ("a", "b"):
        tell(allowance, name, allowance.of(name))
    assert allowance.spent == 69


def test_what_a_part_without_users_holds_goes_to_others() -> None:
    """A level of one user after one of eight: what the others hold would be sent by nobody."""
    allowance = Allowance(20)
    allowance.deal({"a": 4, "b": 4})
    tell(allowance, "b", 2)
    held = allowance.of("a")
    allowance.deal({"a": 1, "b": 0})
    assert (allowance.of("b"), allowance.of("a")) == (2, 20 - 5)  # b's five may have been sent meanwhile
    assert held == 5
    allowance.hear("b", Given(3, revision=0))  # it had sent one more, and has not heard yet
    allowance.deal({"a": 1, "b": 0})
    assert allowance.of("a") == 15
    allowance.hear("b", Given(3, revision=allowance.revision("b")))
    allowance.deal({"a": 1, "b": 0})
    assert (allowance.of("b"), allowance.of("a")) == (3, 17)


def test_who_has_nothing_gets_half_of_what_another_holds() -> None:
    """A level of one user has taken all; the next one's second part would wait for ever."""
    allowance = Allowance(9)
    allowance.deal({"a": 1, "b": 0})
    assert (allowance.of("a"), allowance.of("b")) == (9, 0)
    tell(allowance, "a", 1)
    for _ in range(PATIENCE):
        allowance.deal({"a": 2, "b": 1})
        assert (allowance.of("a"), allowance.revision("a")) == (9, 0)  # it may be about to use it
    allowance.deal({"a": 2, "b": 1})
    assert (allowance.of("a"), allowance.of("b"), allowance.revision("a")) == (5, 0, 1)
    for _ in range(2 * PATIENCE):
        allowance.deal({"a": 2, "b": 1})  # nothing more is asked for while the first is not answered
    assert allowance.revision("a") == 1
    allowance.hear("a", Given(2, revision=1))
    allowance.deal({"a": 2, "b": 1})
    assert (allowance.of("a"), allowance.of("b")) == (
        5,
        1,
    )  # b's third of half of the four, and one for its user


def test_what_a_lost_part_held_counts_as_sent_until_its_last_word() -> None:
    """Nobody knows whether it sent it; one that says goodbye gives the rest back."""
    allowance = Allowance(20)
    allowance.deal({"a": 4, "b": 4})
    held = allowance.of("b")
    tell(allowance, "a", allowance.of("a"))
    tell(allowance, "b", 1)
    for _ in range(10):
        allowance.deal({"a": 4})
        tell(allowance, "a", allowance.of("a"))
    assert allowance.of("a") == 20 - held
    assert allowance.spent == 20
    allowance.hear("b", Given(3, is_over=True))
    allowance.deal({"a": 4})
    assert allowance.of("a") == 17


def test_an_open_loops_last_requests_are_dealt_evenly_at_once() -> None:
    """Few in all: each part gets its share at the very beginning, the first ones by name one more, as arrivals come to them."""
    allowance = Allowance(3 * LEAST_HELD - 1)
    allowance.deal_evenly(["c", "a", "b"])
    assert [allowance.of(name) for name in "abc"] == [LEAST_HELD, LEAST_HELD, LEAST_HELD - 1]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 900), st.integers(1, 5), st.randoms(use_true_random=False))
def test_an_open_loop_sends_the_schedules_first(most: int, count: int, chance: object) -> None:
    """Arrivals come to the parts in turn, reports late and by chance: exactly the first `most` have leave in the end."""
    names = [f"w{at}" for at in range(count)]
    allowance, given_ = Allowance(most), Counter[str]()
    allowance.deal_evenly(names)
    sent, waiting = [], []
    for number in range(most + 40):
        name = names[number % count]
        waiting.append((number, name))
        for one in list(waiting):
            if given_[one[1]] < allowance.of(one[1]):
                given_[one[1]] += 1
                sent.append(one[0])
                waiting.remove(one)
        if chance.random() < 0.3:  # type: ignore[attr-defined]
            who = chance.choice(names)  # type: ignore[attr-defined]
            tell(allowance, who, given_[who])
            allowance.deal_evenly(names)
    for _ in range(30):
        for name in names:
            tell(allowance, name, given_[name])
        allowance.deal_evenly(names)
        for one in list(waiting):
            if given_[one[1]] < allowance.of(one[1]):
                given_[one[1]] += 1
                sent.append(one[0])
                waiting.remove(one)
    assert sorted(sent) == list(range(most))
    assert sum(given_.values()) == most


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 120),
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.integers(0, 9), st.sampled_from(["order", "report", "go", "come"])
        ),
        max_size=150,
    ),
    st.booleans(),
)
def test_never_more_than_the_limit(most: int, story: list[tuple[str, int, str]], is_open: bool) -> None:
    """Parts come and go, orders and reports are late: what all send by what they have heard is never beyond it."""
    allowance, there = Allowance(most), {"a": 2, "b": 1}
    sent, heard = Counter[str](), dict.fromkeys("abc", (0, 0))
    for name, number, what in story:
        if what == "come":
            there[name] = number
        elif what == "go":
            there.pop(name, None)
        for _ in range(number if is_open else PATIENCE + 1):
            allowance.deal_evenly(there) if is_open else allowance.deal(there)
        if what == "order":
            heard[name] = (allowance.of(name), allowance.revision(name))
        sent[name] = max(sent[name], min(heard[name][0], sent[name] + number))
        if what == "report":
            allowance.hear(name, Given(sent[name], heard[name][1]))
        assert sum(sent.values()) <= most
        assert sum(max(heard[one][0], sent[one]) for one in "abc") <= most


@pytest.mark.parametrize("users", [{"a": 3, "b": 1}, {"a": 1, "b": 5, "c": 1}])
def test_all_of_it_is_dealt_in_the_end(users: dict[str, int]) -> None:
    """Each sends what it may and says so: after some rounds the whole allowance is spent."""
    allowance = Allowance(137)
    for _ in range(60):
        allowance.deal(users)
        for name in users:
            tell(allowance, name, allowance.of(name))
    assert allowance.spent == 137


def test_the_last_one_finds_who_can_use_it() -> None:
    """One leave is left, and only the third of three parts has something to send: it comes round to it."""
    allowance, users = Allowance(1), {"a": 5, "b": 3, "c": 1}
    for _ in range(6 * PATIENCE):
        allowance.deal(users)
        for name in users:
            tell(allowance, name, allowance.of(name) if name == "c" else 0)
    assert (allowance.spent, allowance.of("c")) == (1, 1)
