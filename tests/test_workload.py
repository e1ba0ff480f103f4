"""The workload: prompts of exact size, no two beginning alike, repeatable, and nothing tokenized under load."""

import functools
import itertools
import random
import re
import time
from dataclasses import asdict

import msgspec
import orjson
import pytest
from fixtures_tokenizer import CountedSizer, gpt2_chat_folder, gpt2_folder  # noqa: F401
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.distributions import Constant, Lognormal, Normal, Uniform
from harness.errors import ConfigError
from harness.id_prompts import IdPrompts
from harness.prefixes import SharedPrefixes
from harness.prompts import OPENING, Composer, Costs, measure, measure_text
from harness.sizers import EstimatingSizer, open_tokenizer
from harness.templates import parse
from harness.texts import find
from harness.words import LEXICON
from harness.workload import POOL, Around, Piece, Sharing, Workload, build

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


def in_common(prompts):
    """How the two begin, as far as they are the same."""
    one, other = prompts
    return one[
        : next(
            (at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right), len(one)
        )
    ]


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


def test_prompts_are_an_opening_sentences_and_words(sizer):
    """A prompt is words of the lexicon, then sentences of the text, then words again, and nothing else."""
    overhead = sizer.count("")
    prompt = build(Constant(overhead + 400), ANSWER, sizer, seed=1, count=1).take().prompt
    sentences = re.compile("|".join(re.escape(each) for each in find("en").sentences()))
    assert len(sentences.findall(prompt)) >= 3
    assert set(sentences.sub("", prompt).split(" ")) <= set(LEXICON)
    assert prompt == prompt.strip()


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
    measure_text(gpt2, find("en"))
    measuring, gpt2.calls = gpt2.calls, 0
    started = time.perf_counter()
    workload = build(Constant(550), ANSWER, gpt2, seed=1, count=64)
    print(f"build: {(time.perf_counter() - started) / 64 * 1e3:.2f} ms a 550-token prompt")
    assert gpt2.calls == measuring + 64 + workload.checks.recycled
    assert workload.checks.recycled == 16


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_numbered_request_is_the_same_on_any_worker(gpt2, workers):
    """Request n has one prompt, prefix, template and output, whoever is asked, in any order."""
    whole = build(
        Uniform(160, 300),
        Uniform(5, 500),
        gpt2,
        seed=1,
        count=7,
        prefixes=SharedPrefixes(3, 90),
        templates=parse("Read: {prompt}\n---\n{prompt}\nWhy?", "t"),
    )
    parts = [
        Workload(
            whole.pieces(Sharing()),
            Composer(whole.costs, 1),
            Uniform(5, 500),
            seed=1,
            sharing=Sharing.of(nth, workers),
            around=whole.around,
        )
        for nth in range(workers)
    ]
    alone = [whole.take(number) for number in range(40)]
    assert [parts[number % workers].take(number) for number in reversed(range(40))] == alone[::-1]
    assert [gpt2.count(spec.prompt) for spec in alone] == [spec.prompt_tokens for spec in alone]
    rounds = [sorted(spec.prompt_tokens for spec in alone[at : at + 7]) for at in (0, 7, 14, 21)]
    assert rounds[0] == rounds[1] == rounds[2] == rounds[3]  # each piece once a round
    assert len({spec.prompt for spec in alone}) == 40
    assert len({spec.output_tokens for spec in alone}) > 30


def test_pairs_keep_what_belongs_together(gpt2):
    """With pairs, a prompt's output size comes with it, recycled and by number too."""
    whole = build(
        Constant(9),
        Constant(1),
        gpt2,
        seed=4,
        count=30,
        pairs=lambda rng: (size := rng.randint(20, 90), size * 3),
    )
    specs = [whole.take() for _ in range(90)] + [whole.take(number) for number in range(90)]
    assert {spec.output_tokens - 3 * spec.requested_prompt_tokens for spec in specs} == {0}
    assert len({spec.output_tokens for spec in specs}) > 15
    assert whole.inexact == 0


def test_a_pool_of_pairs_is_bounded_by_its_tokens():
    """A timed run's pool of pairs holds about 300,000 tokens, and never fewer than 8 prompts."""
    sizes = {100: 512, 3000: 100, 100_000: 8}
    built = [
        build(
            Constant(9), ANSWER, EstimatingSizer(), seed=1, count=None, pairs=lambda _rng, n=n: (n, 1)
        ).checks.built
        for n in sizes
    ]
    assert built == list(sizes.values())


@given(number=st.integers(0, 10**9), tokens=st.integers(1, 20_000))
@settings(deadline=None, max_examples=40)
def test_a_size_known_at_run_time_is_met_without_counting(gpt2_folder, number, tokens):  # noqa: F811
    """`of_size` calls no tokenizer, and is within 1 % of what the tokenizer says; exact by this one."""
    gpt2, whole = _gpt2_workload(str(gpt2_folder))
    calls = gpt2.calls
    spec = whole.of_size(number, tokens, output=7)
    assert gpt2.calls == calls
    assert spec == whole.of_size(number, tokens, output=7)
    assert (spec.prompt_tokens, spec.requested_prompt_tokens, spec.output_tokens) == (tokens, tokens, 7)
    assert gpt2.count(spec.prompt) == tokens


@functools.cache
def _gpt2_workload(folder):
    tokenizer = open_tokenizer(folder, chat=False)
    gpt2 = CountedSizer(tokenizer.count, "gpt2")
    return gpt2, build(Constant(50), ANSWER, gpt2, seed=1, count=4)


def test_sizes_at_run_time_begin_differently(gpt2):
    """500 prompts of one size: no opening twice, and less than a token in common on the average."""
    whole = build(Constant(50), ANSWER, gpt2, seed=1, count=4)
    prompts = [whole.of_size(number, 300).prompt for number in range(500)]
    assert len({tuple(prompt.split(" ")[:2]) for prompt in prompts}) == 500
    assert len({prompt.split(" ")[0] for prompt in prompts[:300]}) == 300


@given(
    shared=st.lists(st.integers(0, 10**6), max_size=5),
    one=st.integers(2 * 10**6, 3 * 10**6),
    tokens=st.integers(1, 5000),
)
@settings(deadline=None, max_examples=40)
def test_equal_leading_blocks_give_equal_leading_text(gpt2_folder, shared, one, tokens):  # noqa: F811
    """Two prompts share the tokens of the blocks they both begin with, and hardly one more."""
    gpt2, whole = _gpt2_workload(str(gpt2_folder))
    pair = [
        whole.of_blocks(number, tokens, [*shared, block, block + 1], output=1)
        for number, block in enumerate((one, one + 7))
    ]
    assert [gpt2.count(spec.prompt) for spec in pair] == pytest.approx([tokens] * 2, rel=0.01)
    common = gpt2.count(in_common([spec.prompt for spec in pair]))
    assert min(tokens, 512 * len(shared)) <= common <= min(tokens, 512 * len(shared) + 3)


def test_tokens_beyond_the_blocks_are_the_requests_own(gpt2):
    """A prompt longer than its blocks goes on with text of its own; one that is shorter leaves blocks out."""
    whole = build(Constant(50), ANSWER, gpt2, seed=1, count=4)
    longer = [whole.of_blocks(number, 900, [5]).prompt for number in (1, 2)]
    assert gpt2.count(in_common(longer)) == pytest.approx(512, abs=3)
    assert whole.of_blocks(1, 300, [5, 6, 7]).prompt == whole.of_blocks(2, 300, [5]).prompt


def test_templates_and_prefixes_are_part_of_the_size(gpt2):
    """With both, prompts are of the size asked, of few beginnings, and exact when recycled or made at run time."""
    whole = build(
        Constant(420),
        ANSWER,
        gpt2,
        seed=1,
        count=20,
        prefixes=SharedPrefixes(4, 200),
        templates=parse("Summarise this:\n\n{prompt}\n\nBe short.\n---\n{prompt} Why?", "t"),
    )
    specs = [whole.take() for _ in range(60)] + [whole.of_size(number, 420) for number in range(60)]
    assert {gpt2.count(spec.prompt) for spec in specs} == {420}
    found = {prefix for prefix in whole.around.prefixes for spec in specs if spec.prompt.startswith(prefix)}
    assert found == set(whole.around.prefixes)
    assert len({spec.prompt for spec in specs}) == 120
    endings = (
        {spec.prompt.endswith("Be short.") for spec in specs},
        {spec.prompt.endswith("Why?") for spec in specs},
    )
    assert endings == ({True, False}, {True, False})


def test_a_size_without_room_for_what_is_around_is_refused():
    """The message says what the tokens go to, and the least there is."""
    with pytest.raises(ConfigError) as caught:
        build(
            Constant(60),
            ANSWER,
            words_with_template(),
            seed=1,
            count=1,
            prefixes=SharedPrefixes(2, 50),
            templates=parse("Say it again: {prompt}", "t"),
        )
    assert str(caught.value) == (
        "--prompt-tokens '60': 65 tokens go to special tokens, the chat template, --shared-prefix and --template "
        "before the first word, so the least is 66"
    )


def test_numbers_are_one_prompt_for_all(gpt2):
    """`numbers` is the sequence from 0 to exactly the size, the same for every request; it shares no prefixes."""
    whole = build(Constant(550), ANSWER, gpt2, seed=1, count=None, text="numbers")
    prompts = {whole.take().prompt for _ in range(20)} | {whole.take(number).prompt for number in range(20)}
    (prompt,) = prompts
    assert prompt.startswith("0 1 2 3 4 5 6 7 8 9 10 11 12 ")
    assert (gpt2.count(prompt), whole.inexact, whole.checks.distinct) == (550, 0, 1)
    with pytest.raises(
        ConfigError, match=r"^--shared-prefix with --text numbers: such prompts are all the same"
    ):
        build(Constant(550), ANSWER, gpt2, seed=1, count=1, text="numbers", prefixes=SharedPrefixes(1, 9))


def test_measured_costs_can_be_used_again(gpt2):
    """Given costs, `build` measures nothing: a count a prompt, and the check."""
    costs = measure_text(gpt2, find("pt"))
    gpt2.calls = 0
    whole = build(Constant(300), ANSWER, gpt2, seed=1, count=10, text="pt", costs=costs)
    assert gpt2.calls == 10 + whole.checks.recycled == 20
    assert whole.costs is costs


def test_text_for_a_later_message_has_no_overhead(gpt2_chat_folder):  # noqa: F811
    """`text` gives so many tokens of text alone, another for each number."""
    tokenizer = open_tokenizer(str(gpt2_chat_folder), chat=True)
    whole = build(Constant(90), ANSWER, tokenizer, seed=1, count=2)
    texts = [whole.text(number, 80) for number in range(20)]
    assert {tokenizer.count_output(text) for text in texts} == {80}
    assert len(set(texts)) == 20


def id_prompts(seed="1 0 of 2", **given):
    """Ids of one worker of several, with what is common to all."""
    return IdPrompts(Uniform(20, 400), Uniform(1, 50), (100, 30_000), seed, common=1, **given)


def test_ids_by_number_are_the_same_on_any_worker():
    """Prompts of ids: numbered, sized and in blocks, whichever worker makes them."""
    one, other = id_prompts(), id_prompts("1 1 of 2")
    assert [one.take(number) for number in range(9)] == [other.take(number) for number in range(9)]
    assert one.take() != other.take()
    assert one.of_size(3, 1234, 5) == other.of_size(3, 1234, 5)
    assert len(one.of_size(3, 1234, 5).prompt) == 1234
    first, second = one.of_blocks(1, 1300, [7, 8, 9]), other.of_blocks(2, 1300, [7, 8, 10])
    assert (len(first.prompt), len(second.prompt)) == (1300, 1300)
    assert len(in_common([first.prompt, second.prompt])) == 1024
    assert len(one.of_blocks(1, 1300, [7]).prompt) == 1300


def test_ids_with_pairs_and_prefixes():
    """Pairs belong together, and a prefix is one of few and part of the size."""
    supply = id_prompts(
        pairs=lambda rng: (size := rng.randint(50, 90), size + 1), prefixes=SharedPrefixes(3, 40)
    )
    specs = [supply.take() for _ in range(50)] + [supply.take(number) for number in range(50)]
    assert {spec.output_tokens - len(spec.prompt) for spec in specs} == {1}
    assert len({spec.prompt[:40] for spec in specs}) == 3
    assert len({spec.prompt[40:48] for spec in specs}) == 100


@pytest.mark.parametrize("text", ["en", "zh", "numbers"])
def test_what_a_worker_is_sent_makes_the_same_prompts(gpt2, text):
    """Costs, pieces and what stands around them, as JSON: sized, in blocks and by number, the prompts are the same."""
    whole = build(
        Constant(300),
        Constant(5),
        gpt2,
        seed=1,
        count=6,
        text=text,
        prefixes=None if text == "numbers" else SharedPrefixes(2, 100),
        templates=parse("Ação: {prompt}", "t"),
    )
    sent = orjson.loads(
        orjson.dumps(
            [asdict(whole.costs), asdict(whole.around), [asdict(piece) for piece in whole.pieces(Sharing())]],
            option=orjson.OPT_NON_STR_KEYS,
        )
    )
    costs = msgspec.convert(sent[0], Costs, strict=False)
    around, pieces = msgspec.convert(sent[1], Around), msgspec.convert(sent[2], list[Piece])
    calls = gpt2.calls
    worker = Workload(pieces, Composer(costs, 1), Constant(5), seed=1, around=around)
    assert worker.take() == whole.take()
    for number in (0, 7, 10**6):
        assert worker.take(number) == whole.take(number)
        assert worker.of_size(number, 777) == whole.of_size(number, 777)
        assert worker.of_blocks(number, 777, [5, 6]) == whole.of_blocks(number, 777, [5, 6])
    assert gpt2.calls == calls
    assert len(orjson.dumps(sent[0], option=orjson.OPT_NON_STR_KEYS)) < 40_000
