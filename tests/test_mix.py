"""Mixtures: their grammar, which part a request belongs to, and how mistakes are told."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.distributions import Constant, Lognormal, Uniform
from harness.errors import ConfigError
from harness.mix import Mixture, Part, mixture, parse
from harness.prefixes import SharedPrefixes
from harness.texts import TEXTS

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)
files = st.none() | words.map(str.strip).filter(lambda word: word.strip("; "))
sizes = st.none() | st.just(Constant(5)) | st.just(Lognormal(300, 150)) | st.just(Uniform(1, 9))
names = st.from_regex(r"[a-zA-Z0-9ã._-]{0,29}[a-z]", fullmatch=True)
prefixes = st.none() | st.builds(SharedPrefixes, st.integers(1, 10), st.integers(1, 1_000_000))
weights = st.integers(0, 10**9).map(lambda millionths: millionths / 1e6)
texts = st.none() | st.sampled_from(tuple(TEXTS))
parts = st.one_of(
    st.builds(Part, names, weights, prompt=sizes, output=sizes, text=texts, prefix=prefixes),
    st.builds(Part, names, weights, lengths=files, text=texts, prefix=prefixes),
    st.builds(Part, names, weights, output=sizes, dataset=files, prefix=prefixes),
)


def test_a_part():
    """A part has a name, a weight and what was said of it; what was not said is None."""
    chat, rag = parse(
        [
            "chat:70 prompt=lognormal:300,150 output=150",
            "  rag.v2:30.5  lengths='long pairs.csv'  prefix=4x1000 text=pt ",
        ]
    )
    assert chat == Part("chat", 70, prompt=Lognormal(300, 150), output=Constant(150))
    assert rag == Part("rag.v2", 30.5, lengths="long pairs.csv", prefix=SharedPrefixes(4, 1000), text="pt")


@pytest.mark.parametrize(
    "values",
    [
        ["a:1 output=5", "b:2 dataset='x;y.jsonl'"],
        ["a:1 output=5; b:2 dataset='x;y.jsonl'"],
        ["a:1 output=5;b:2 dataset='x;y.jsonl';", " ", ";;"],
        ["a:1\noutput=5\n;\nb:2 dataset=x';'y.jsonl"],
    ],
)
def test_several_parts_in_one_text(values):
    """Parts are apart by being given apart, or by a semicolon outside quotes."""
    assert parse(values) == (Part("a", 1, output=Constant(5)), Part("b", 2, dataset="x;y.jsonl"))


def test_no_mixture():
    """Without the option there are no parts."""
    assert parse([]) == parse(["", " ; "]) == ()


@given(st.lists(parts, min_size=1, max_size=4, unique_by=lambda part: part.name))
def test_describe_round_trips(given_parts):
    """`parse` of `describe` gives the same parts back, given apart or in one text."""
    if not any(part.weight for part in given_parts):
        return
    told = [part.describe() for part in given_parts]
    assert parse(told) == parse([" ; ".join(told)]) == tuple(given_parts)


def test_a_portable_part(tmp_path):
    """A worker without the file of a distribution gets what is in it."""
    path = tmp_path / "my sizes.csv"
    path.write_text("tokens,weight\n100,3\n500,1\n", encoding="utf-8")
    (part,) = parse([f"a:1 'prompt=file:{path}' output=5"])
    assert part.describe() == f"a:1 'prompt=file:{path}' output=5"
    assert part.portable() == "a:1 prompt=hist:100@3,500@1 output=5"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("chat", "has 'chat' where NAME:WEIGHT belongs"),
        ("prompt=hist:5@1 chat:1", "has 'prompt=hist:5@1' where NAME:WEIGHT belongs"),
        (":5", "has '' as a name"),
        ("a/b:5", "has 'a/b' as a name"),
        ("...:5", "has '...' as a name"),
        ("a" * 61 + ":5", "as a name; use up to 60 letters"),
        ("chat:", "has weight '' where a plain number belongs"),
        ("chat:-1", "has weight '-1' where a plain number belongs, 0 or more"),
        ("chat:70%", "has weight '70%'"),
        ("chat:nan", "has weight 'nan'"),
        ("chat:1e3", "has weight '1e3'"),
        ("chat:1 tokens=5", "has 'tokens=5'; known are prompt=, output=, lengths=, text=, dataset=, prefix="),
        ("chat:1 prompt", "has 'prompt'; known are"),
        ("chat:1 rag:1", "has 'rag:1'; known are"),
        ("chat:1 output=5 output=6", "has output= twice"),
        ("chat:1 lengths=", "has nothing behind lengths="),
        ("chat:1 lengths=x prompt=5", "has both lengths= and prompt=, but the file has the prompts' lengths"),
        ("chat:1 output=5 lengths=x", "has both lengths= and output="),
        ("chat:1 dataset=x prompt=5", "has both dataset= and prompt="),
        ("chat:1 dataset=x lengths=y", "has both dataset= and lengths="),
        ("chat:1 dataset=x text=pt", "has both dataset= and text="),
        ("chat:1 dataset='x", "has a quote that is not closed"),
    ],
)
def test_refused_parts(text, problem):
    """One line with the option, its text, the problem and an example."""
    with pytest.raises(ConfigError) as caught:
        parse(["other:1", text])
    message = str(caught.value)
    assert message.startswith(f"--mix {text!r} has ")
    assert problem in message
    assert message.endswith("; write for example --mix 'chat:70 prompt=lognormal:300,150 output=150'")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["chat:1", "chat:2"], "--mix has two parts named 'chat'; give each a name of its own"),
        (["chat:0", "rag:0.0"], "--mix has weights that sum to nothing; write"),
        (["chat:1 prompt=5,5"], "--mix chat: prompt '5,5' has '5,5' where a plain whole number belongs"),
        (["chat:1 output=gamma:5"], "--mix chat: output 'gamma:5' must have two numbers"),
        (["chat:1 text=fr"], "--mix chat: text 'fr' is not known; give one of en, pt, zh, code, numbers"),
        (["chat:1 prefix=4"], "--mix chat: prefix '4' is not COUNTxTOKENS, as 4x1000"),
        (["chat:1 prefix=0x100"], "--mix chat: prefix '0x100' is not COUNTxTOKENS"),
        (["chat:1 output=file:no.csv"], "--mix chat: output 'file:no.csv' cannot be read (No such file"),
    ],
)
def test_refused_mixtures(values, message):
    """What is wrong with parts together, and with their sizes, is told by name."""
    with pytest.raises(ConfigError) as caught:
        parse(values)
    assert str(caught.value).startswith(message)


def mixed(*weights: float) -> Mixture:
    return mixture(tuple(Part(f"part{at}", weight) for at, weight in enumerate(weights)))


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 42, 2**63, 2**64 + 7, -1])
@pytest.mark.parametrize(("first", "every"), [(0, 1), (3, 4), (1_000_000, 1)])
def test_shares_are_as_the_weights(seed, first, every):
    """100,000 requests, of all or of one worker: chi-squared below its 99.99th percentile of 21.1 (3 degrees)."""
    mix = mixed(70, 0, 20, 9, 1)
    assert mix.shares == pytest.approx((0.7, 0, 0.2, 0.09, 0.01))
    counts = Counter(mix.pick(first + every * number, seed).name for number in range(100_000))
    expected = {"part0": 70_000, "part2": 20_000, "part3": 9000, "part4": 1000}
    assert sum((counts[name] - n) ** 2 / n for name, n in expected.items()) < 21.1
    assert set(counts) == set(expected)


@pytest.mark.parametrize("lag", [1, 2, 4, 8])
def test_requests_are_independent(lag):
    """A request's part tells nothing of a later one's, or of the same request's under the next seed."""
    mix = mixed(1, 1)
    picks = [mix.pick(number, 5) is mix.parts[0] for number in range(100_000 + lag)]
    again = [mix.pick(number, 5 + lag) is mix.parts[0] for number in range(100_000)]
    for other in (picks[lag:], again):
        same = sum(one == two for one, two in zip(picks, other, strict=False))
        assert abs(same - 50_000) < 3.9 * 158  # deviations of a fair coin


@given(
    st.integers(0, 10**9),
    st.integers(0, 2**32),
    st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any),
)
def test_a_pick_follows_from_number_and_seed(number, seed, weights):
    """Asked in any order, by any worker, of mixtures made apart: the same part, and never one without weight."""
    one, other = mixed(*weights), mixed(*weights)
    other.pick(random.Random(number).randrange(10**6), seed)
    picked = one.pick(number, seed)
    assert picked == other.pick(number, seed)
    assert picked.weight > 0


def test_picks_do_not_change():
    """The same seed gives the same mixture in every version, so that a recorded run can be made again."""
    mix = mixed(1, 1, 1)
    assert "".join(mix.pick(number, 7).name[-1] for number in range(20)) == "00221111011000100002"
