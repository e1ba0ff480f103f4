"""Shared prefixes: their words, their exact size, and what a mistake is told."""

import pytest
from fixtures_tokenizer import CountedSizer, gpt2_folder  # noqa: F401
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.prefixes import SharedPrefixes
from harness.prompts import Composer, measure_text
from harness.sizers import open_tokenizer
from harness.texts import find


@given(count=st.integers(1, 10_000), tokens=st.integers(1, 1000))
def test_the_text_comes_back(count: int, tokens: int) -> None:
    """`parse` and `describe` are each other's opposite."""
    assert SharedPrefixes.parse(f"{count}x{tokens}") == SharedPrefixes(count, tokens)
    assert SharedPrefixes(count, tokens).describe() == f"{count}x{tokens}"


@pytest.mark.parametrize(
    "text", ["", "4", "4x", "x1000", "0x1000", "4x0", "4*1000", "-4x9", "10001x1", "4x1000001"]
)
def test_what_is_no_prefix_is_refused(text: str) -> None:
    """The option, the value and the form."""
    with pytest.raises(ConfigError) as caught:
        SharedPrefixes.parse(text)
    assert str(caught.value) == (
        f"--shared-prefix {text!r} is not COUNTxTOKENS, as 4x1000: 1 to 10000 prefixes of 1 to 1000000 tokens each"
    )


def test_too_much_in_all_is_refused() -> None:
    """Before anything is built."""
    with pytest.raises(
        ConfigError, match=r"^--shared-prefix '9999x9999' is 99980001 tokens in all, and at most"
    ):
        SharedPrefixes.parse("9999x9999")


@pytest.mark.parametrize("text", ["en", "pt", "zh", "code"])
@pytest.mark.parametrize("tokens", [1, 33, 1000])
def test_prefixes_are_exact_and_different(gpt2_folder, text, tokens):  # noqa: F811
    """Each is of exactly so many tokens, no two begin alike, and the seed says all."""
    tokenizer = open_tokenizer(str(gpt2_folder), chat=False)
    if text == "zh" and tokens == 1:
        pytest.skip("GPT-2 has no Chinese word of one token")
    costs = measure_text(tokenizer, find(text))
    wanted = SharedPrefixes(5, tokens)
    written = wanted.write(Composer(costs, 3), tokenizer, 3)
    assert [tokenizer.count(each) for each in written] == [tokens] * 5
    assert len({each[:40] for each in written}) == 5
    assert written == wanted.write(Composer(costs, 3), tokenizer, 3)
    assert written != wanted.write(Composer(costs, 4), tokenizer, 4)


def test_a_size_that_words_cannot_make_is_refused() -> None:
    """Under two tokens a word, an odd prefix cannot be had, and is not passed off as one."""
    sizer = CountedSizer(lambda text: 2 * len(text.split()), "pairs")
    composer = Composer(measure_text(sizer, find("en")), 1)
    assert [sizer.count(each) for each in SharedPrefixes(2, 30).write(composer, sizer, 1)] == [30, 30]
    with pytest.raises(
        ConfigError, match=r"^--shared-prefix '2x31': words of this text make 30 tokens, not 31; "
    ):
        SharedPrefixes(2, 31).write(composer, sizer, 1)
