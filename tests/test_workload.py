"""The workload: prompts of exact size, no two beginning alike, repeatable, and nothing tokenized under load."""

import itertools
import random
import time

import pytest
from fixtures_tokenizer import CountedSizer, gpt2_chat_folder, gpt2_folder  # noqa: F401
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.distributions import Constant, Lognormal, Normal, Uniform
from harness.errors import ConfigError
from harness.prompts import OPENING, Composer, Costs, measure
from harness.sizers import EstimatingSizer, open_tokenizer
from harness.words import LEXICON
from harness.workload import POOL, build

ANSWER = Constant(16)


def characters():
    """A tokenizer of single characters."""
    return CountedSizer(len, "characters")


def words_with_template():
    """A token a word, a begin token, and a template of eleven."""
    return CountedSizer(lambda text: 12 + len(text.split()), "words")


@pytest.fixture(scope="module", params=["bpe", "bpe in a chat template", "characters", "words", "estimate"])
def sizer(request, gpt2_folder, gpt2_chat_folder):  # noqa: F811
    """Tokenizers whose costs differ in kind."""
    return {
        "bpe": lambda: open_tokenizer(str(gpt2_folder), chat=False),
        "bpe in a chat template": lambda: open_tokenizer(str(gpt2_chat_folder), chat=True),
        "characters": characters,
        "words": words_with_template,
        "estimate": EstimatingSizer,
    }[request.param]()


@pytest.fixture
def gpt2(gpt2_folder):  # noqa: F811
    """GPT-2, asked for its counts."""
    tokenizer = open_tokenizer(str(gpt2_folder), chat=False)
    return CountedSizer(tokenizer.count, "gpt2")


class Stepping:
    """Sizes one after the other."""

    def __init__(self, sizes):
        self.sizes = sizes
        self.mean, self.asked_least = sum(sizes) / len(sizes), min(sizes)
        self._next = itertools.cycle(sizes)

    def sample(self, _rng):
        return next(self._next)

    def describe(self):
        return "stepping"


def test_every_prompt_is_exact(sizer):
    """Prompts have the size asked, by the tokenizer's own count, overhead included, recycled ones too."""
    overhead = sizer.count("")
    sizes = [overhead + size for size in (*range(1, 65), 550, 2000)]
    workload = build(Stepping(sizes), ANSWER, sizer, seed=1, count=len(sizes))
    specs = [workload.take() for _ in sizes]
    assert [sizer.count(spec.prompt) for spec in specs] == sizes
    assert [spec.prompt_tokens for spec in specs] == sizes
    assert [spec.requested_prompt_tokens for spec in specs] == sizes
    recycled = [workload.take() for _ in range(3 * len(sizes))]
    assert [sizer.count(spec.prompt) for spec in recycled] == [spec.prompt_tokens for spec in recycled]
    assert (workload.inexact, workload.checks.built, workload.checks.recycled_inexact) == (0, 66, 0)


def test_prompts_are_words_of_the_lexicon(sizer):
    """Prompts are words with one space between them, and none at either end."""
    prompt = build(Constant(90), ANSWER, sizer, seed=1, count=1).take().prompt
    assert set(prompt.split(" ")) <= set(LEXICON)


def test_lexicon_has_two_languages():
    """English leads, Portuguese is mixed in from the start, and no word comes twice."""
    assert LEXICON[:9] == ("the", "and", "for", "are", "but", "not", "you", "all", "que")
    assert len(LEXICON) == len(set(LEXICON)) > 1400
    assert "coração" in LEXICON


def test_below_the_overhead_is_refused():
    """A size that leaves no room for a word is an error with the least that can be had."""
    for sizes, text in (
        (Constant(5), "5"),
        (Uniform(12, 900), "uniform:12,900"),
        (Normal(9, 5), "normal:9,5"),
    ):
        with pytest.raises(ConfigError) as caught:
            build(sizes, ANSWER, words_with_template(), seed=1, count=1)
        assert str(caught.value) == (
            f"--prompt-tokens {text!r}: 12 tokens go to special tokens and the chat template before the first "
            "word, so the least is 13"
        )


def test_a_bells_tail_is_raised_to_the_least():
    """The lower tail of a bell above the least is raised to it and counted, not refused."""
    workload = build(Normal(14, 5), ANSWER, words_with_template(), seed=1, count=300)
    sizes = [workload.take().prompt_tokens for _ in range(300)]
    assert min(sizes) == 13
    # 12 or less rounds below 13: P(x < 12.5) = 0.38
    assert workload.checks.raised / 300 == pytest.approx(0.38, abs=0.1)
    assert workload.inexact == 0


@pytest.mark.parametrize("count", [3, None])
def test_same_seed_same_requests(gpt2, count):
    """A seed decides every request, recycled ones included; another seed shares no prompt."""

    def requests(seed):
        workload = build(Lognormal(20, 9), Normal(30, 9), gpt2, seed=seed, count=count)
        return [workload.take() for _ in range(2 * POOL)]

    first = requests(7)
    assert first == requests(7)
    assert not {spec.prompt for spec in first} & {spec.prompt for spec in requests(8)}


def test_output_sizes_leave_prompts_alone(gpt2):
    """Another distribution of output tokens changes no prompt, and its samples are what is asked for."""
    short = build(Uniform(9, 30), Constant(5), gpt2, seed=1, count=20)
    long = build(Uniform(9, 30), Uniform(100, 200), gpt2, seed=1, count=20)
    pairs = [(short.take(), long.take()) for _ in range(20)]
    assert all(one.prompt == other.prompt for one, other in pairs)
    assert {one.output_tokens for one, _ in pairs} == {5}
    assert all(100 <= other.output_tokens <= 200 for _, other in pairs)
    assert len({other.output_tokens for _, other in pairs}) > 10


def test_recycled_prompts_are_unique_and_uncounted(gpt2):
    """5,000 recycled prompts: no opening twice, first words differ in a row, no tokenizer call, counts right."""
    workload = build(Constant(40), ANSWER, gpt2, seed=2, count=None)
    assert workload.checks.built == POOL
    for _ in range(POOL):
        workload.take()
    calls = gpt2.calls
    started = time.perf_counter()
    specs = [workload.take() for _ in range(5000)]
    print(f"take: {(time.perf_counter() - started) / 5000 * 1e6:.1f} us")
    assert gpt2.calls == calls
    openings = {tuple(spec.prompt.split(" ")[:OPENING]) for spec in specs}
    assert len(openings) == 5000
    first = [spec.prompt.split(" ")[0] for spec in specs]
    assert all(len(set(first[at : at + 300])) == 300 for at in range(0, 4700, 100))
    assert len({tuple(spec.prompt.split(" ")[:2]) for spec in specs}) == 5000
    assert all(gpt2.count(spec.prompt) == 40 for spec in specs[::97])
    assert workload.checks.distinct > 10**20


def test_recycling_keeps_the_sizes(gpt2):
    """Each time round the pool gives each of its prompts once, in another order."""
    workload = build(Uniform(10, 60), ANSWER, gpt2, seed=3, count=50)
    rounds = [[workload.take() for _ in range(50)] for _ in range(3)]
    sizes = [[spec.prompt_tokens for spec in each] for each in rounds]
    assert sorted(sizes[0]) == sorted(sizes[1]) == sorted(sizes[2])
    assert sizes[0] != sizes[1] != sizes[2]
    tails = [{spec.prompt.split(" ", OPENING)[-1] for spec in each} for each in rounds]
    assert tails[0] == tails[1] == tails[2]


def test_distinct_tells_when_openings_run_out(gpt2):
    """Two-word prompts have as many openings as pairs, and all of them come before one comes again."""
    costs = Costs(0, {1: ("a", "b", "c")}, {1: (" d", " e")})
    composer = Composer(costs, seed=1)
    assert composer.openings(2) == 6
    assert len({composer.opening(number, 2) for number in range(100, 106)}) == 6
    workload = build(Constant(1), ANSWER, gpt2, seed=1, count=1)
    assert workload.checks.distinct == len({workload.take().prompt for _ in range(1000)})


@given(
    seed=st.integers(),
    first=st.integers(1, 9),
    inner=st.integers(1, 9),
    start=st.integers(0, 10**9),
)
def test_openings_are_one_to_one(seed, first, inner, start):
    """Whatever the sizes of the word lists: no k-word opening comes again before all of them have come."""
    costs = Costs(
        0, {1: [chr(65 + at) for at in range(first)]}, {1: [f" {chr(97 + at)}" for at in range(inner)]}
    )
    composer = Composer(costs, seed)
    for words in (1, 2, 3):
        space = first * inner ** (words - 1)
        assert len({composer.opening(start + at, words) for at in range(space)}) == space


@given(costs=st.sets(st.integers(1, 12), min_size=1), tokens=st.integers(0, 700), seed=st.integers())
@settings(deadline=None)
def test_fill_is_the_best_that_words_can_do(costs, tokens, seed):
    """`fill` gives the largest sum of word costs not above what is asked, for any set of costs."""
    composer = Composer(Costs(0, {1: ("a",)}, {cost: (f" {cost}",) for cost in costs}), seed)
    got = sum(int(word) for word in composer.fill(tokens, random.Random(seed)))
    reachable = {0}
    for total in range(1, tokens + 1):
        if any(total - cost in reachable for cost in costs):
            reachable.add(total)
    assert got == max(reachable)


def test_measure_leaves_out_words_without_a_cost_of_their_own():
    """Under four characters a token only words that fill whole tokens with their space have a fixed cost."""
    costs = measure(EstimatingSizer(), ["the", "then", "a", "without", "o"])
    assert costs.inner == {1: [" the"], 2: [" without"]}
    assert costs.first == {1: ["the", "then", "a", "o"], 2: ["without"]}
    assert costs.overhead == 0


def test_tokenizer_without_word_costs_is_refused():
    """A tokenizer that finds no token in a word ends the build with its name."""
    with pytest.raises(
        ConfigError, match=r"^deaf: no word has a fixed cost in tokens; give another --tokenizer$"
    ):
        build(Constant(9), ANSWER, CountedSizer(lambda _text: 3, "deaf"), seed=1, count=1)


def test_mending_reaches_exactness_where_costs_do_not_add_up():
    """A tokenizer that merges some neighbours is predicted wrongly, mended, and exact in the end."""

    def merging(text):
        words = text.split()
        return len(words) - sum(one[-1] == other[0] for one, other in itertools.pairwise(words))

    sizer = CountedSizer(merging, "merging")
    workload = build(Constant(200), ANSWER, sizer, seed=1, count=20)
    assert workload.inexact == 0
    assert all(merging(workload.take().prompt) == 200 for _ in range(20))
    assert workload.checks.recycled == 16
    assert workload.checks.recycled_inexact > 0  # another opening merges otherwise, and the check says so


def test_unreachable_sizes_are_kept_and_counted():
    """Under two tokens a word an odd size cannot be had: the nearest is kept, counted and reported."""
    sizer = CountedSizer(lambda text: 2 * len(text.split()), "pairs")
    workload = build(Constant(31), ANSWER, sizer, seed=1, count=3)
    specs = [workload.take() for _ in range(3)]
    assert [(spec.prompt_tokens, spec.requested_prompt_tokens) for spec in specs] == [(30, 31)] * 3
    assert workload.inexact == 3


def test_template_that_skips_an_empty_message():
    """Where the empty prompt's count is not the overhead, mending makes up for it."""
    sizer = CountedSizer(lambda text: 7 + len(text.split()) if text else 2, "skipping")
    workload = build(Constant(60), ANSWER, sizer, seed=1, count=4)
    assert [sizer.count(workload.take().prompt) for _ in range(4)] == [60] * 4


def test_pool_is_smaller_where_prompts_are_long():
    """A timed run's pool holds 300,000 tokens or 512 prompts, whichever is less, but never under 8 prompts."""
    sizes = (100, 550, 3000, 100_000)
    built = [build(Constant(n), ANSWER, EstimatingSizer(), seed=1, count=None).checks.built for n in sizes]
    assert built == [512, 512, 100, 8]


def test_progress_is_told(gpt2):
    """Progress is reported after each prompt."""
    told = []
    build(Constant(9), ANSWER, gpt2, seed=1, count=4, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_one_count_a_prompt_is_enough(gpt2):
    """Prediction is right the first time under BPE: one count a prompt beyond the measuring and the check."""
    measure(gpt2, LEXICON)
    measuring, gpt2.calls = gpt2.calls, 0
    started = time.perf_counter()
    workload = build(Constant(550), ANSWER, gpt2, seed=1, count=64)
    print(f"build: {(time.perf_counter() - started) / 64 * 1e3:.2f} ms a 550-token prompt")
    assert gpt2.calls == measuring + 64 + workload.checks.recycled
    assert workload.checks.recycled == 16
