"""Menus as they are built and put together again by workers: what each request asks, whoever sends it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from test_briefing import FACTS, parsed

from harness import distributions, menu_parts, menus, options
from harness.datasets import use
from harness.distributed import briefing
from harness.distributed.briefing import Share
from harness.errors import ConfigError
from harness.menu import Menu, Want
from harness.menus import Stock
from harness.recipes import Recipe, recipes
from harness.sizers import EstimatingSizer
from harness.traces import Due
from harness.workload import Sharing

SIZES = (distributions.parse("50", "--prompt-tokens"), distributions.parse("uniform:5,9", "--output-tokens"))
MIX = ("--mix", "chat:70 prompt=30 output=5", "--mix", "rag:30 prompt=60 output=9 text=pt")


class Case:
    """A run's settings, the menu of one process and those of workers."""

    def __init__(
        self, stack: ExitStack, *argv: str, context: int | None = None, requests: int | None = 12
    ) -> None:
        self.settings = options.read(parsed(*argv), "http://h:1")
        self.wanted: list[Recipe] = recipes(self.settings, *SIZES)
        self.stack = stack
        self.menu, self.datasets = menus.build(
            self.settings, self.wanted, EstimatingSizer(), seed=1, requests=requests, context=context,
            progress=lambda _done, _all: None,
        )  # fmt: skip
        stack.callback(self.menu.close)

    def worker(self, nth: int, of: int) -> Menu:
        """A worker's, by way of a briefing."""
        sharing = Sharing.of(nth, of)
        stocks = menus.stocks(self.menu, self.datasets, sharing, whole=self.settings.load.is_open)
        share = Share(facts=FACTS, sharing=sharing, salt=None, stocks=stocks)
        told = briefing.read(list(briefing.write({}, {}, {"Chat": share})), lambda: None).shares["Chat"]
        menu = menus.join(self.settings, self.wanted, told.stocks, seed=1, sharing=told.sharing, context=None)
        self.stack.callback(menu.close)
        return menu


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes menus."""
    with ExitStack() as found:
        yield found


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A dataset of eight."""
    path = tmp_path / "own.jsonl"
    path.write_text("".join(f'{{"prompt": "question {at}", "output_tokens": {at + 3}}}\n' for at in range(8)))
    return path


def by_number(menu: Menu, numbers: Sequence[int], level: int = 0, due: Due | None = None) -> list[Want]:
    """What an open loop's requests of these numbers are."""
    return [menu.pick(number, level).want(number, due, by_number=True) for number in numbers]


def next_of(menu: Menu, count: int) -> list[Want]:
    """What the next users of a closed loop ask."""
    numbers = [menu.numbers.next() for _ in range(count)]
    return [menu.pick(number, 0).want(number, None, by_number=False) for number in numbers]


OPEN = ("--arrivals", "constant:5", "-t", "9s")[:2]


@pytest.mark.parametrize(
    "argv",
    [
        (),
        MIX,
        ("--turns", "uniform:1,4", "--turn-tokens", "9"),
        ("--shared-prefix", "3x12"),
        ("--prompt-ids", "5-900"),
        ("--prompt-ids", "5-900", "--shared-prefix", "3x12"),
    ],
)  # fmt: skip
def test_an_arrival_asks_the_same_whoever_sends_it(stack: ExitStack, argv: tuple[str, ...]) -> None:
    """Open loop: prompts, lengths and parts follow from the number, on one process and on any of three workers."""
    case = Case(stack, *OPEN, *argv)
    alone = by_number(case.menu, range(40))
    for nth in range(3):
        assert by_number(case.worker(nth, 3), range(40)) == alone
    assert len({want.prompt for want in alone}) == 40


def test_workers_of_a_closed_loop_share_out_what_one_would_ask(stack: ExitStack) -> None:
    """Each prompt that was built once, and numbers that no two have."""
    case = Case(stack, requests=12)
    workers = [case.worker(nth, 3) for nth in range(3)]
    asked = [want.prompt for menu in workers for want in next_of(menu, 4)]
    assert sorted(map(str, asked)) == sorted(str(want.prompt) for want in next_of(case.menu, 12))
    assert sorted(menu.numbers.next() for menu in workers) == [12, 13, 14]


def test_a_mixture_gives_each_part_its_share(stack: ExitStack) -> None:
    """70 and 30 of a hundred within what chance allows, each of its own size, in its own language."""
    menu = Case(stack, *OPEN, *MIX).menu
    names = [menu.pick(number, 0).name for number in range(2_000)]
    assert names.count("chat") == pytest.approx(1_400, abs=80)
    wants = by_number(menu, range(40))
    assert {(menu.pick(at, 0).name, want.requested_prompt_tokens, want.output_tokens) for at, want in enumerate(wants)} == {
        ("chat", 30, 5), ("rag", 60, 9),
    }  # fmt: skip


def test_levels_of_lengths_have_prompts_of_their_own(stack: ExitStack) -> None:
    """Of their size, and none begins as another level's: a prefix cache would know it."""
    for ids in ((), ("--prompt-ids", "5-900")):
        menu = Case(stack, "--prompt-levels", "40,80", *ids).menu
        small, large = (next_of_level(menu, level, 6) for level in (1, 2))
        assert {want.requested_prompt_tokens for want in small} == {40}
        assert {want.requested_prompt_tokens for want in large} == {80}
        heads = {want.prompt[:12] for want in (*small, *large)}
        assert len(heads) == 12


def next_of_level(menu: Menu, level: int, count: int) -> list[Want]:
    """What a closed loop's users ask there."""
    return [menu.pick(at, level).want(at, None, by_number=False) for at in range(count)]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_dataset_that_several_parts_have(stack: ExitStack, own: Path, workers: int) -> None:
    """It is one supply of entries: none comes twice in a pass, whichever part asks."""
    case = Case(stack, "--mix", f"a:1 dataset={own}", "--mix", f"b:1 dataset={own}")
    made = [case.menu] if workers == 1 else [case.worker(nth, workers) for nth in range(workers)]
    passes = []
    for menu in made:
        (stream,) = menu.streams.values()
        passes += next_of(menu, stream.entries)
    assert sorted(want.output_tokens for want in passes) == list(range(3, 11))
    assert {want.requested_prompt_tokens for want in passes} == {None}


def test_a_templates_place_in_a_dataset(stack: ExitStack, own: Path, tmp_path: Path) -> None:
    """Around the first words of the user, by the entry's number, on workers too."""
    template = tmp_path / "t.txt"
    template.write_text("One word: {prompt}\n---\nBriefly. {prompt}")
    case = Case(stack, "--dataset", str(own), "--template", str(template))
    for menu in (case.menu, case.worker(0, 1)):
        said = [str(want.prompt) for want in next_of(menu, 8)]
        heads = {text.rpartition("question")[0] for text in said}
        assert heads == {"One word: ", "Briefly. "}
        assert [text[-10:] for text in said] == [f"question {at}" for at in range(8)]


def test_a_cache_busted_dataset(stack: ExitStack, own: Path) -> None:
    """Each prompt begins with something new, at each pass; what it asks stays."""
    menu = Case(stack, "--dataset", str(own), "--bust-cache", "yes").menu
    said = [str(want.prompt) for want in next_of(menu, 16)]
    assert len({text[:15] for text in said}) == 16
    assert [text.partition("] ")[2] for text in said] == [f"question {at}" for at in range(8)] * 2


def test_conversations_are_sent_at_once_or_turn_by_turn(stack: ExitStack, tmp_path: Path) -> None:
    """Without --turns all of it; with them what the user says, that many times at most."""
    turns = [("human", "a"), ("gpt", "b"), ("human", "c"), ("gpt", "d"), ("human", "e")]
    path = tmp_path / "chats.json"
    path.write_text(json.dumps([{"conversations": [{"from": who, "value": said} for who, said in turns]}]))
    (whole,) = next_of(Case(stack, "--dataset", str(path)).menu, 1)
    assert ([turn.text for turn in whole.turns], whole.prompt, whole.later) == (
        ["a", "b", "c", "d", "e"],
        "e",
        (),
    )
    (chat,) = next_of(Case(stack, "--dataset", str(path), "--turns", "2").menu, 1)
    assert ([turn.text for turn in chat.turns], chat.prompt) == (["a"], "a")
    assert [[turn.text for turn in said] for said in chat.later] == [["c"]]


@pytest.mark.parametrize("ids", [(), ("--prompt-ids", "5-90000")])
def test_what_a_trace_says_wins(stack: ExitStack, ids: tuple[str, ...]) -> None:
    """Its lengths; and the same blocks are the same beginnings, whose further text is each request's own."""
    menu = Case(stack, *OPEN, *ids).menu
    (plain,) = by_number(menu, [0], due=Due(0, 100, 7))
    assert (plain.requested_prompt_tokens, plain.output_tokens) == (100, 7)
    (one,), (other,), (third,) = (
        by_number(menu, [at], due=Due(0, 1_100, 7, blocks))
        for at, blocks in enumerate([(1, 2), (1, 2), (3, 2)])
    )
    shared = _shared(one.prompt, other.prompt)
    assert 0.9 <= shared / len(one.prompt) < 1
    assert _shared(one.prompt, third.prompt) < 0.05 * len(one.prompt)


def _shared(one: Sequence[object], other: Sequence[object]) -> int:
    """How much of two prompts is the same from the beginning on."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))


def test_pairs_that_do_not_fit(stack: ExitStack, tmp_path: Path) -> None:
    """How many, and the longest; what fits exactly is taken."""
    path = tmp_path / "pairs.csv"
    path.write_text("prompt_tokens,output_tokens\n90,10\n90,11\n90,12\n")
    with pytest.raises(
        ConfigError, match="2 of its 3 pairs do not fit, the longest with 102 tokens: the server takes 100 "
    ):
        Case(stack, "--lengths", str(path), context=100)
    Case(stack, "--lengths", str(path), context=102)


def test_levels_of_answers_and_a_dataset_that_has_them(stack: ExitStack, own: Path) -> None:
    """Refused: the levels would all be the same."""
    with pytest.raises(
        ConfigError, match="--output-levels exclude each other: 8 of its entries say how long"
    ):
        Case(stack, "--dataset", str(own), "--output-levels", "5,9")


def test_chats_that_outgrow_the_server(stack: ExitStack) -> None:
    """Refused with the arithmetic."""
    with pytest.raises(
        ConfigError, match="--turns 4: the last request of a session would hold about 228 tokens"
    ):
        Case(stack, "--turns", "4", context=200)


def test_another_number_of_supplies_is_refused(stack: ExitStack) -> None:
    """A master of other options than its worker's."""
    case = Case(stack)
    with pytest.raises(ConfigError, match="other prompts than these options ask for"):
        menus.join(case.settings, case.wanted, [Stock(), Stock()], seed=1, sharing=Sharing(), context=None)


def test_a_large_dataset_has_to_be_there(
    stack: ExitStack, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is too large to travel is read under its path, each worker its own share; another file is refused."""
    monkeypatch.setattr(menu_parts, "TRAVELS", 10)
    case = Case(stack, "--dataset", str(own))
    asked = [[want.output_tokens for want in next_of(case.worker(nth, 2), 4)] for nth in range(2)]
    assert asked == [[3, 5, 7, 9], [4, 6, 8, 10]]
    given = menus.stocks(case.menu, case.datasets, Sharing.of(0, 2), whole=False)
    own.write_text(own.read_text() + '{"prompt": "one more"}\n')
    with pytest.raises(ConfigError, match=r"does not travel; put the same file of .* bytes under that path"):
        menus.join(case.settings, case.wanted, given, seed=1, sharing=Sharing.of(0, 2), context=None)


def test_how_often_a_dataset_was_gone_through(stack: ExitStack, own: Path) -> None:
    """All parts' entries over those there are; that prompts came again is said, and what was left over too."""
    menu = Case(stack, "--dataset", str(own)).menu
    next_of(menu, 3)
    assert use.taken([menu.streams, menu.streams]) == {str(own): 6}
    assert use.findings([menu.streams]) == []  # nobody had to wait
    parts = [{"totals": {"entries": {str(own): count}}} for count in (9, 7)]
    (twice,) = use.uses([menu.streams], [*parts, {"totals": {}}])
    assert twice == {"dataset": str(own), "entries": 8, "taken": 16, "passes": 2.0}
    (line,) = use.lines([twice])
    assert line == (
        f"--dataset {own}: gone through 2.0 times (16 of 8 entries): prompts came again, which a prefix cache may know "
        "(--bust-cache yes makes each new)"
    )
    assert use.lines(use.uses([menu.streams], parts[1:])) == [
        f"--dataset {own}: 7 of its 8 entries were used"
    ]
