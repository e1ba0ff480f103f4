"""Composing: what openings, sentences and words come to, before anything is counted."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.draws import mix
from harness.passages import QUARTERS, Passages
from harness.prompts import OPENING, Composer, Costs, measure_text
from harness.sizers import EstimatingSizer
from harness.texts import find

FIRST = {1: tuple(f"{letter}{at}" for letter in "ab" for at in range(60))}
INNER = {1: tuple(f" {letter}{at}" for letter in "cd" for at in range(70)), 3: (" long",)}


def composer(sentences: tuple[int, ...] = ()) -> Composer:
    """Words of one token, and sentences of English at any price."""
    return Composer(Costs(2, FIRST, INNER, "en", sentences), seed=5)


def count(text: str, sentence: int) -> int:
    """Tokens of a prompt of words that cost one each, and of sentences that cost the same."""
    found = sum(text.count(each) for each in find("en").sentences())
    for each in find("en").sentences():
        text = text.replace(each, "")
    return found * sentence + sum(3 if word == "long" else 1 for word in text.split())


@given(tokens=st.integers(1, 3000), number=st.integers(0, 10**12), inside=st.booleans())
@settings(deadline=None, max_examples=30)
def test_a_run_comes_to_what_was_asked(tokens: int, number: int, inside: bool) -> None:
    """Opening, slice of sentences and last words come to the size, at a prompt's start and inside a text."""
    made = composer((4 * 17,) * 811)
    text = made.run(number, tokens, random.Random(number), inside=inside)
    assert count(text, 17) == tokens
    assert text.startswith(" ") == inside
    assert made.run(number, tokens, random.Random(number), inside=inside) == text


@given(tokens=st.integers(1, 3000), seed=st.integers())
@settings(deadline=None, max_examples=30)
def test_a_drawn_body_comes_to_what_was_asked(tokens: int, seed: int) -> None:
    """So does what `begin` draws, which is longer than a sentence nearly always for one with none in it."""
    made = composer((4 * 17,) * 811)
    words, body = made.begin(tokens, random.Random(seed))
    assert count(made.opening(1, words) + "".join(body), 17) == tokens
    assert len([each for each in body if each.startswith(". ")]) == max(0, tokens - OPENING) // 17


def test_without_sentences_prompts_are_of_words() -> None:
    """Costs from a tokenizer that gives sentences none still make prompts."""
    assert count(composer().run(3, 200, random.Random(1)), 0) == 200


def test_mending_goes_past_what_words_cannot_make_up() -> None:
    """Where no word costs one token, a missing one is had by taking off a word and putting on another."""
    made = Composer(Costs(0, FIRST, {2: INNER[1], 3: (" long",)}), seed=1)
    body = [INNER[1][0]] * 6
    made.mend(body, 1, random.Random(1))
    assert sum(3 if word == " long" else 2 for word in body) == 13
    made.mend(body, -3, random.Random(1))
    assert sum(3 if word == " long" else 2 for word in body) == 10


def test_openings_inside_a_text_are_one_to_one() -> None:
    """Inside a text the first word is like the others, and no opening comes twice."""
    made = composer()
    found = {made.opening(number, 2, inside=True) for number in range(140 * 140)}
    assert len(found) == 140 * 140
    assert all(opening.startswith(" ") for opening in found)


@given(room=st.integers(0, 4000), start=st.integers(0, 6))
def test_a_slice_never_costs_more_than_its_room(room: int, start: int) -> None:
    """Text and what is left of the room come to the room, round after round; no more than one sentence is left."""
    costs = (40, 44, 50, 61, 44, 40, 48)
    passages = Passages(tuple("abcdefg"), costs)
    text, left = passages.slice(start, room, lambda _left: True)
    assert sum(costs["abcdefg".index(letter)] for letter in text) + left == room
    assert 0 <= left < costs["abcdefg".index(("abcdefg" * 99)[start + len(text)])]
    assert text == ("abcdefg" * 99)[start : start + len(text)]


@given(room=st.integers(0, 4000), seed=st.integers())
def test_a_draw_leaves_whole_tokens_and_repeats_late(room: int, seed: int) -> None:
    """What is left is whole tokens, and no sentence comes again before all have come."""
    costs = tuple(40 + at % 7 for at in range(31))
    passages = Passages([chr(65 + at) for at in range(31)], costs)
    drawn, left = passages.draw(QUARTERS * room, random.Random(seed), lambda _left: True)
    assert left % QUARTERS == 0
    assert sum(costs[ord(each) - 65] for each in drawn) + left == QUARTERS * room
    assert max(Counter(drawn).values(), default=0) <= len(drawn) // 31 + 2


def test_sentences_that_cost_nothing_are_not_used() -> None:
    """An estimate knows quarters of a token; a sentence of no cost would have no end, so then none is used."""
    costs = measure_text(EstimatingSizer(), find("en"))
    assert costs.sentences == tuple(len(sentence) for sentence in find("en").sentences())
    with pytest.raises(ValueError, match="2 sentences and 1 costs"):
        Passages(("a", "b"), (1,))


def test_mixing_is_even_and_fixed() -> None:
    """SplitMix64's own first outputs for seed 1234567, and every 16th part of the range is met as often."""
    assert [mix(1234567, at) for at in range(2)] == [6457827717110365317, 3203168211198807973]
    met = Counter(mix(7, number) >> 60 for number in range(16_000))
    assert min(met.values()) > 850
    assert max(met.values()) < 1150
