"""What a master gives its workers: everything they need, each prompt to one of them, and no secret."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import orjson
import pytest

import harness
from harness import distributions, options, traces, workload
from harness.arrivals import parse
from harness.distributed import briefing
from harness.distributed.briefing import Share
from harness.errors import ConfigError
from harness.menus import Stock
from harness.prompts import Composer
from harness.server_facts import Facts
from harness.sizers import EstimatingSizer
from harness.supply import Around, Piece
from harness.templates import Template
from harness.timetable import Timetable
from harness.workload import LATER, Sharing, Workload

TRACES = Path(__file__).parent / "data" / "traces"
FACTS = Facts("m", "vLLM", forces_length=True, has_tokenize=False, limits={"ctx": 3}, notes=("a note",))


class _Parser(ArgumentParser):
    """Takes the keywords that Locust's parser adds."""

    def add_argument(self, *args: Any, **kwargs: Any) -> Any:
        kwargs = {
            name: value for name, value in kwargs.items() if name not in {"env_var", "include_in_web_ui"}
        }
        return super().add_argument(*args, **kwargs)


def parsed(*argv: str) -> Namespace:
    """Our options, as Locust parses them."""
    parser = _Parser()
    options.add_options(parser)
    parser.set_defaults(num_users=None, spawn_rate=None, run_time=None, host=None)
    return parser.parse_args(argv)


def work(count: int | None, seed: int = 1) -> Workload:
    """A workload of one process."""
    sizes = distributions.parse("uniform:20,60", "--prompt-tokens")
    return workload.build(
        sizes, distributions.parse("10", "--output-tokens"), EstimatingSizer(), seed=seed, count=count
    )


def share(whole: Workload, nth: int, workers: int) -> Share:
    """One worker's."""
    sharing = Sharing.of(nth, workers)
    stock = Stock(costs=whole.costs, around=whole.around, pieces=whole.pieces(sharing))
    return Share(facts=FACTS, sharing=sharing, salt="s", stocks=[stock])


def through(one: Share) -> Share:
    """As it arrives."""
    lines = list(briefing.write({"host": "http://h"}, {"run_id": "r"}, {"Chat": one}))
    told = briefing.read(lines, lambda: None)
    assert told.run == {"run_id": "r"}
    return told.shares["Chat"]


def prompts(one: Share, count: int) -> list[str]:
    """The first prompts its worker sends."""
    (stock,) = one.stocks
    assert stock.costs is not None
    outputs = distributions.parse("10", "--output-tokens")
    mine = Workload(
        stock.pieces, Composer(stock.costs, 1), outputs, seed=1, sharing=one.sharing, around=stock.around
    )
    return [str(mine.take().prompt) for _ in range(count)]


def test_a_share_arrives_as_it_was() -> None:
    """Facts with their types, costs with their whole numbers, prompts to the letter."""
    sent = share(work(9), 1, 3)
    assert through(sent) == sent


def test_a_menu_of_several_supplies_arrives_as_it_was() -> None:
    """What stands around prompts, and entries of a dataset: each line to the stock that it is of."""
    around = Around(("p ",), 2, (Template("a", "b"), Template("", "c")), (3, 1))
    worded = Stock(
        costs=work(2).costs, around=around, pieces=[Piece(3, " b", 9, 9, 4, 1), Piece(3, " c", 7, 8)]
    )
    travels = Stock(entries=[b'{"prompt":"\xc3\xa9"}', b"[1,2]"], size=99)
    stays = Stock(size=65_000_000)
    sent = Share(facts=FACTS, sharing=Sharing(1, 2), salt=None, stocks=[worded, travels, stays])
    assert through(sent) == sent


@pytest.mark.parametrize("name", ["mooncake.jsonl", "plain.csv", "times.txt"])
def test_a_trace_arrives_as_it_was(name: str) -> None:
    """Times, lengths and blocks of each request, by the format's own name, on a host that does not have the file."""
    trace = traces.read(TRACES / name)
    arrivals = parse(f"trace:{trace.path}", "--arrivals")
    lines = list(briefing.write({}, {}, {}, Timetable(arrivals, 1, trace)))
    arrived = briefing.read(lines, lambda: None).trace
    assert arrived is not None
    assert [arrived.due(number) for number in range(len(trace))] == [
        trace.due(number) for number in range(len(trace))
    ]
    assert (len(arrived), arrived.format, arrived.describe()) == (len(trace), trace.format, trace.describe())


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_workers_together_send_what_one_process_would(workers: int) -> None:
    """Each prompt once, with its opening: no two share a beginning, and none is missing."""
    whole = work(30)
    shares = [through(share(whole, nth, workers)) for nth in range(workers)]
    sent = [prompts(one, len(one.stocks[0].pieces)) for one in shares]
    alone = [str(whole.take().prompt) for _ in range(30)]
    assert sorted(prompt for each in sent for prompt in each) == sorted(alone)
    assert sum(map(len, sent)) == 30


def test_who_sends_more_than_its_share_still_sends_its_own() -> None:
    """Shares are recycled with fresh openings, also by one who joined late."""
    whole = work(4)
    shares = [through(share(whole, nth, 2)) for nth in range(4)]
    assert [one.sharing for one in shares] == [(0, 2, 0), (1, 2, 0), (0, 2, LATER), (1, 2, LATER)]
    sent = [prompt for one in shares for prompt in prompts(one, 50)]
    assert len({prompt[:30] for prompt in sent}) == 200


def test_more_workers_than_prompts() -> None:
    """Each has one, at least."""
    whole = work(3)
    assert [len(share(whole, nth, 10).stocks[0].pieces) for nth in range(10)] == [1] * 10


def test_the_options_that_all_share() -> None:
    """The worker's results stay where it wants them; what a flag says survives; secrets are no options."""
    given = parsed(
        "--levels", "1,2", "--label", "a=b", "--insecure", "--results-dir", "/elsewhere", "--serve", "x.toml"
    )
    told = briefing.options_of(given, "http://h:1", options.read(given, "http://h:1"))
    assert "results_dir" not in told
    assert "serve" not in told
    assert not [name for name in told if "key" in name or "secret" in name]
    lines = briefing.write(told, {"run_id": "r"}, {})
    arrived = briefing.read(lines, lambda: None).options
    arrived.results_dir = None
    settings = options.read(arrived, None)
    assert settings.levels == (1, 2)
    assert settings.labels == {"a": "b"}
    assert settings.insecure
    assert str(settings.results_dir) == "results"
    assert str(settings.target) == "http://h:1"


def test_another_version_is_refused() -> None:
    """Both versions are named, and what to do."""
    (line,) = briefing.write({}, {}, {})
    head = orjson.loads(line) | {"version": "0.0.1"}
    with pytest.raises(
        ConfigError, match=rf"0\.0\.1, this worker {harness.__version__}: install the same on both"
    ):
        briefing.read([orjson.dumps(head)], lambda: None)


@pytest.mark.parametrize("lines", [[], [b"3\n"], [b"null\n"], [b"{}\n"]])
def test_what_is_no_bundle_is_refused(lines: list[bytes]) -> None:
    """By an error that has a text."""
    with pytest.raises(ConfigError, match="install the same"):
        briefing.read(lines, lambda: None)
