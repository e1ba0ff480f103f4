"""The simulator's own tokenizer and the text it generates, so that every count agrees with every other.

A token is a marker like `<|user|>`, up to six word characters with the space before them, one other mark
with the space before it, or one white-space character. A marker never takes the space before it. Cutting is greedy from the left and looks at nothing
beyond the token, so any whole number of a text's tokens, joined, cuts into the same tokens again. Every
generated piece starts a token of its own, hence n generated pieces make a text of exactly n tokens.

Ids are stable between runs. The vocabulary is open: ids of words that are not generated are hashes and
cannot be turned back into text.
"""

import re
from collections.abc import Iterable
from random import Random
from zlib import crc32

BOS_ID = 1
BOS_PIECE = "<|begin|>"
_TOKEN = re.compile(r"<\|\w+\|>| ?\w{1,6}| (?!<\|\w+\|>)[^\w\s]|[^\w\s]|\s")

_WORDS = (
    "a the of and to in that for with on as by at from this one two it is was are be has had not but all "
    "each more less time load rate token model queue batch slot step word text data long short first last "
    "next wait start end high low mean peak user host disk core chip fan heat ação não São pão maçã avião "
    "força você três língua água 語 言葉 日本 über naïve Ωmega данные"
)
VOCABULARY = (*(f" {word}" for word in _WORDS.split()), ",", ".", ";", "\n")
_FIRST_WORD_ID = 16
_FIRST_HASHED_ID = 1024
_HASHED_IDS = 130_000
_IDS = {piece: _FIRST_WORD_ID + index for index, piece in enumerate(VOCABULARY)} | {BOS_PIECE: BOS_ID}


def split(text: str) -> list[str]:
    """The text's tokens, in order; joined they are the text."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """How many tokens the text has, without the begin marker."""
    return len(_TOKEN.findall(text))


def token_id(piece: str) -> int:
    """The id of one token."""
    known = _IDS.get(piece)
    return _FIRST_HASHED_ID + crc32(piece.encode()) % _HASHED_IDS if known is None else known


def word_id(word: int) -> int:
    """The id of `VOCABULARY[word]`."""
    return _FIRST_WORD_ID + word


def join(words: Iterable[int]) -> str:
    """The text of generated words, given as indices into `VOCABULARY`."""
    return "".join(VOCABULARY[word] for word in words)


def draw(source: Random) -> int:
    """The next word of a generated text, as an index into `VOCABULARY`."""
    return int(source.random() * len(VOCABULARY))
