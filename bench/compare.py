"""How often `tokenswarm compare` is wrong: false alarms between equal runs, and slowdowns of 5 % that it misses.

    python bench/compare.py --simulate              passes drawn from a model of noise: minutes of CPU, no load
    python bench/compare.py --pairs 100 --keep DIR  real runs of Locust against the built-in simulator

Simulated: a pass's figure is its true value times exp(noise); the noise of figures of one pass has a common part, and some
passes are disturbed. Printed for 3, 5, 10 and 20 passes: how many of the comparisons of equal runs say regression, how many
of those with TTFT 5 % slower find it, and how often the 95 % interval holds the true change.

Real: two servers, of which one reads prompts more slowly so that TTFT is 5 % longer; rounds of two runs of the one and one of
the other, one after another. Of each round, base against base is an equal pair, and base against slow an unequal one; no run
is in two pairs of a kind. `--keep` keeps run.json and summary.json of each run, and a directory that has some goes on there.
"""

import argparse
import json
import math
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from harness import files
from harness.compare import comparison, runs
from harness.compare.comparison import Comparison
from harness.compare.figures import FIGURES, Measured, Part
from harness.compare.judge import Options
from harness.compare.likeness import Sources
from harness.compare.runs import Level, Run
from harness.errors import ConfigError
from harness.servers.process import Server, free_port, running

ROOT: Final = Path(__file__).resolve().parent.parent
LEVELS: Final = (2, 4)
PER_PASS: Final = 60  # the least that carries a p95
REPEATS: Final = 10
USERS: Final = "4"  # of real runs: every level more is ten seconds more a run
SLOWER: Final = 1.05
TRIES: Final = 3
NOTHING: Final = Sources.of({})

# A step that reads the prompts of all users at once, then one that decodes: TTFT is the first, and has one mode. Sizes are such
# that a pass takes just under a second, for Locust looks once a second whether a level is over.
PREFILL: Final = 6_000.0  # tokens/s
GATHER_MS: Final = 4.0  # long enough for all users to be back
SERVER: Final = (
    *("--slots", "8", "--prefill-chunk", "100000", "--jitter", "4"),
    *("--step-base-ms", "2", "--step-per-seq-ms", "0.5"),
)
SIZES: Final = ("--prompt-tokens", "60", "--output-tokens", "2")


@dataclass(frozen=True, slots=True)
class Noise:
    """What passes differ by; standard deviations of logarithms."""

    name: str
    own: float  # of each figure of a pass by itself
    common: float = 0.0  # of all figures of a pass together
    tail: float = 2.0  # p95s vary by so many times as much
    disturbed: float = 0.0  # share of passes that are slower by `by`
    by: float = 0.1


NOISES: Final = (
    Noise("quiet: 1 %", 0.01),
    Noise("usual: 2 %, half of it common to a pass", 0.014, 0.014),
    Noise("disturbed: 1.5 %, one pass in 20 is 10 % slower", 0.015, disturbed=0.05),
    Noise("loud: 4 %", 0.04),
)
TRUE: Final = {
    "ttft_p50": 50.0,
    "ttft_p95": 80.0,
    "tpot_p50": 10.0,
    "e2e_p50": 1500.0,
    "e2e_p95": 1800.0,
    "system_output_tokens_per_s": 400.0,
    "output_tokens_per_s_median": 95.0,
    "error_rate": 0.01,
}


def drawn(rng: random.Random, noise: Noise, passes: int, slower: float, name: str) -> Run:
    """A run whose passes are drawn; TTFT is `slower` times as long."""
    levels = []
    for users in LEVELS:
        common = [
            rng.gauss(0, noise.common) + noise.by * (rng.random() < noise.disturbed) for _ in range(passes)
        ]
        figures = {
            figure: _figure(rng, noise, figure, common, slower) if figure in TRUE else _nothing(passes)
            for figure in FIGURES
        }
        title = f"{users} users"
        levels.append(
            Level(
                ("concurrency", title, 0),
                title,
                "concurrency",
                float(users),
                figures,
                {},
                PER_PASS * passes,
                1,
            )
        )
    return Run(Path(name), name, name, {}, {}, NOTHING, tuple(levels), "valid", (), complete=True)


def _figure(rng: random.Random, noise: Noise, name: str, common: Sequence[float], slower: float) -> Measured:
    figure = FIGURES[name]
    parts = []
    for shared in common:
        if figure.is_share:
            hits = sum(rng.random() < TRUE[name] for _ in range(PER_PASS))
            parts.append(Part(hits / PER_PASS, None, PER_PASS))
            continue
        own = noise.own * (noise.tail if name.endswith("p95") else 1.0)
        true = TRUE[name] * (slower if name.startswith("ttft") else 1.0)
        parts.append(Part(true * math.exp(rng.gauss(0, own) + figure.toward * shared), PER_PASS, PER_PASS))
    known = [part.value for part in parts if part.value is not None]
    return Measured(Part(sum(known) / len(known), PER_PASS * len(parts), PER_PASS * len(parts)), tuple(parts))


def _nothing(passes: int) -> Measured:
    return Measured(Part(None, None, PER_PASS), (Part(None, None, PER_PASS),) * passes)


class Invalid(Exception):
    """The machine was too busy for a run that can be trusted."""


@dataclass(slots=True)
class Score:
    """What became of many comparisons of a kind."""

    verdicts: Counter[str]
    found: int = 0  # a regression of TTFT among them
    covered: int = 0
    intervals: int = 0
    changes: list[float] | None = None  # TTFT p50 at the first level

    @property
    def count(self) -> int:
        """How many comparisons."""
        return sum(self.verdicts.values())

    def add(self, told: Comparison, slower: float) -> None:
        """Take one in. `slower` is the true ratio of TTFT."""
        self.verdicts[told.verdict] += 1
        self.found += any(
            one.word == "regression" and one.cell.figure.name.startswith("ttft") for one in told.found
        )
        for one in told.found:
            ends = one.cell.interval()
            if ends is None:
                continue
            true = slower - 1 if one.cell.figure.name.startswith("ttft") else 0.0
            self.covered += ends[0] <= true <= ends[1]
            self.intervals += 1
        self.changes = [*(self.changes or []), *(one.cell.change() for one in told.found[:1])]


def simulate(count: int, seed: int) -> None:
    """Print the table of false alarms, power and coverage."""
    print(
        f"{count} comparisons each; levels {LEVELS}, {len(TRUE)} figures a level, TTFT {SLOWER - 1:.0%} slower\n"
    )
    heads = ("noise", "passes", "false alarms", "  inconclusive", "  found", "other alarms", "coverage")
    print("{:48} {:>6} {:>13} {:>14} {:>7} {:>13} {:>9}".format(*heads))
    for noise in NOISES:
        for passes in (3, 5, 10, 20):
            rng = random.Random(f"{seed} {noise.name} {passes}")
            equal, slow = Score(Counter()), Score(Counter())
            for _ in range(count):
                base = drawn(rng, noise, passes, 1.0, "base")
                equal.add(comparison.of_runs([base, drawn(rng, noise, passes, 1.0, "new")], Options()), 1.0)
                slow.add(
                    comparison.of_runs([base, drawn(rng, noise, passes, SLOWER, "slow")], Options()), SLOWER
                )
            print(
                f"{noise.name:48} {passes:>6} {_share(equal.verdicts['regression'], count):>13} "
                f"{_share(equal.verdicts['inconclusive'], count):>14} {_share(slow.found, count):>7} "
                f"{_share(slow.verdicts['regression'] - slow.found, count):>13} "
                f"{_share(equal.covered + slow.covered, equal.intervals + slow.intervals):>9}",
                flush=True,
            )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def serving(slower: float, seed: int) -> Any:  # noqa: ANN401  a context manager of a server
    """The simulator whose TTFT is `slower` times as long: both the reading and the wait before it."""
    port = free_port()
    costs = ["--prefill-rate", f"{PREFILL / slower}", "--gather-ms", f"{GATHER_MS * slower}", *SERVER]
    command = [sys.executable, "-m", "harness.simulator", "--port", str(port), *costs, "--seed", str(seed)]
    return running(
        command, url=f"http://127.0.0.1:{port}", health="/health", name="the simulator", deadline_s=30
    )


def load(server: Server, name: str, keep: Path) -> None:
    """One run of Locust, of which run.json and summary.json stay in `keep`/`name`."""
    with TemporaryDirectory() as place:
        command = [
            *(sys.executable, "-m", "locust", "-f", str(ROOT / "locustfiles" / "openai.py"), "--headless"),
            *("--host", server.url, "--levels", USERS, "--repeats", str(REPEATS)),
            *("--requests-per-level", str(PER_PASS), "--warmup", "1", *SIZES),
            *("--results-dir", place, "--run-name", name, "--server-metrics", "no"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ConfigError(f"{name}: locust ended with {done.returncode}: {done.stderr[-500:]}")
        (directory,) = Path(place).iterdir()
        verdict = files.from_json(directory / "summary.json")["verdict"]
        if verdict["status"] == "invalid":
            raise Invalid(verdict["reasons"][0])
        beside = keep / f".{name}"
        beside.mkdir(parents=True, exist_ok=True)
        for file in ("run.json", "summary.json"):
            shutil.copy(directory / file, beside / file)
        beside.rename(keep / name)


def made(server: Server, name: str, keep: Path) -> float:
    """One run that is not invalid, as a user would try again; returns how long that took, s."""
    begun = time.monotonic()
    for _ in range(TRIES):
        try:
            load(server, name, keep)
        except Invalid as error:
            print(f"{name}: once more, for it was invalid: {error}", flush=True)
        else:
            return time.monotonic() - begun
    raise ConfigError(f"{name}: {TRIES} runs were invalid; leave the machine alone and go on")


def real(pairs: int, slowed: int, keep: Path) -> None:
    """Make what runs are missing, then judge all pairs."""
    names = [
        (f"base-{at}a", f"base-{at}b", f"slow-{at}" if at <= slowed else None) for at in range(1, pairs + 1)
    ]
    took: list[float] = []
    missing = [name for some in names for name in some if name and not (keep / name).is_dir()]
    seed = random.SystemRandom().randrange(10**6)
    with serving(1.0, seed) as base, serving(SLOWER, seed + 1) as slow:
        for name in missing:
            took.append(made(slow if name.startswith("slow") else base, name, keep))
            togo = (len(missing) - len(took)) * sum(took) / len(took) / 60
            print(
                f"{name}: {took[-1]:.1f} s; {len(took)} of {len(missing)}, {togo:.0f} min to go", flush=True
            )
    told = judge(keep, names)
    (keep / "results.json").write_bytes(files.as_json(told))
    print(json.dumps(told, indent=2))


def judge(keep: Path, names: Sequence[tuple[str, str, str | None]]) -> dict[str, Any]:
    """What came of all pairs."""
    equal, slow = Score(Counter()), Score(Counter())
    noise = []
    for first, second, slowed in names:
        one, two = runs.load(keep / first), runs.load(keep / second)
        equal.add(comparison.of_runs([one, two], Options()), 1.0)
        if slowed:
            slow.add(comparison.of_runs([two, runs.load(keep / slowed)], Options()), SLOWER)
        noise += list(_noise(one))
    return {
        "pairs": {"equal": len(names), "slowed": sum(1 for *_, slowed in names if slowed)},
        "passes": REPEATS,
        "requests_per_pass": PER_PASS,
        "equal": dict(equal.verdicts),
        "false_alarms": equal.verdicts["regression"],
        "slowed": dict(slow.verdicts),
        "found": slow.found,
        "coverage_equal": equal.covered / equal.intervals,
        "ttft_p50_change_mean": {
            "equal": _mean(equal.changes or []),
            "slowed": _mean(slow.changes) if slow.changes else None,
        },
        "noise_of_a_pass": {
            name: _mean([sd for figure, sd in noise if figure == name]) for name in dict(noise)
        },
    }


def _noise(run: Run) -> Iterator[tuple[str, float]]:
    """Standard deviations of the logarithms of a run's passes."""
    for level in run.levels:
        for name in ("ttft_p50", "ttft_p95", "tpot_p50", "system_output_tokens_per_s"):
            logs = [math.log(part.value) for part in level.figures[name].known if part.value]
            mean = _mean(logs)
            yield (
                f"{level.title}, {name}",
                math.sqrt(sum((one - mean) ** 2 for one in logs) / (len(logs) - 1)),
            )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulate", action="store_true", help="draw passes instead of running load")
    parser.add_argument(
        "--count", type=int, default=1000, metavar="N", help="comparisons a row of --simulate"
    )
    parser.add_argument("--seed", type=int, default=1, help="of --simulate")
    parser.add_argument("--pairs", type=int, default=100, metavar="N", help="real pairs of equal runs")
    parser.add_argument(
        "--slowed", type=int, metavar="N", help="rounds that have a slowed pair, too (default: all)"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        default=ROOT / "bench" / "build" / "compare",
        metavar="DIR",
        help="of the real runs",
    )
    args = parser.parse_args()
    try:
        if args.simulate:
            simulate(args.count, args.seed)
        else:
            real(args.pairs, args.pairs if args.slowed is None else args.slowed, args.keep)
    except ConfigError as error:
        print(f"bench/compare.py: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
