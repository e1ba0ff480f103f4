"""The simulator's tokenizer and text: counts that agree however they are taken."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.simulator import tokens


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("Hello world", ["Hello", " world"]),
        ("internationalisation", ["intern", "ationa", "lisati", "on"]),
        (" coração, não!", [" coraçã", "o", ",", " não", "!"]),
        ("語 言葉", ["語", " 言葉"]),
        ("<|user|>\nhi<|end|>", ["<|user|>", "\n", "hi", "<|end|>"]),
        ("a  b\t", ["a", " ", " b", "\t"]),
    ],
)
def test_split(text: str, pieces: list[str]):
    """Six word characters with the space before them, one mark, one white space, or one marker."""
    assert tokens.split(text) == pieces
    assert tokens.count(text) == len(pieces)


@given(text=st.text(max_size=80))
def test_pieces_join_to_the_text(text: str):
    """Nothing of a text falls between its tokens."""
    assert "".join(tokens.split(text)) == text


@given(text=st.text(alphabet="ab ção語,.<|>\n", max_size=40), data=st.data())
def test_any_run_of_tokens_cuts_the_same_again(text: str, data: st.DataObject):
    """A prompt cut to n tokens has n tokens."""
    pieces = tokens.split(text)
    start = data.draw(st.integers(0, len(pieces)))
    end = data.draw(st.integers(start, len(pieces)))
    assert tokens.split("".join(pieces[start:end])) == pieces[start:end]


@given(key=st.integers(0, 2**64 - 1), n=st.integers(0, 200))
def test_generated_text_has_the_generated_number_of_tokens(key: int, n: int):
    """As many generated words are as many tokens, with the ids that the stream named."""
    source = Random(key)
    words = [tokens.draw(source) for _ in range(n)]
    pieces = tokens.split(tokens.join(words))
    assert [tokens.token_id(piece) for piece in pieces] == [tokens.word_id(word) for word in words]


def test_vocabulary():
    """The words are distinct, one token each, and some are not ASCII."""
    assert len(set(tokens.VOCABULARY)) == len(tokens.VOCABULARY)
    assert all(tokens.count(piece) == 1 for piece in tokens.VOCABULARY)
    assert {" ação", " não", " 語"} <= set(tokens.VOCABULARY)


def test_ids_are_stable():
    """The begin marker is 1, generated words count from 16, all others are hashes from 1024."""
    assert tokens.token_id(tokens.BOS_PIECE) == 1
    assert tokens.token_id(" a") == 16
    assert tokens.token_id("Hello") == 45602
