"""Branch coverage of the core, by the tests that reach it in their own process: `python tests/core_coverage.py`.

The core is what tests/test_architecture.py says it is: values in, values out. Prints each module, fails where all of them
together are under 90 % of statements and branches, or of branches alone. Property tests run with few examples here, and
tests that repeat a statistic many times not at all: lines are all that is asked for.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import coverage
from test_architecture import CORE, MODULES

LEAST: Final = 90.0  # percent
TESTS: Final = Path(__file__).resolve().parent
# Modules that reach the core themselves, in two parts of about the same length: one for each processor.
PARTS: Final[tuple[tuple[str, ...], ...]] = (
    (
        *("allowance", "arrival_says", "arrivals", "arrivals_exact", "beside", "breaker", "bundles_sequence"),
        *(
            "carried",
            "clocks",
            "compare",
            "compare_welch",
            "conversation",
            "course",
            "decode",
            "distributions",
        ),
        *(
            "durations",
            "evidence",
            "guarding",
            "guards",
            "histograms",
            "http1",
            "http1_exact",
            "influx_lines",
        ),
        *(
            "influx_points",
            "influx_tally",
            "intervals",
            "joint",
            "journal",
            "sse",
            "sse_exact",
            "spread_exact",
        ),
        *("traces", "server_metrics", "saturation", "by_hand", "texts", "web_origins"),
    ),
    (
        *(
            "answer_exact",
            "audit",
            "bundles_opening",
            "campaign",
            "chat",
            "datasets",
            "export",
            "grafana",
            "judgement",
            "junit",
            "level_bins",
            "live",
        ),
        *(
            "loadpoint",
            "lots",
            "merge",
            "metrics",
            "metrics_exact",
            "orders",
            "planning",
            "results",
            "passes",
            "plan",
            "probing",
            "prompts",
            "proxy",
        ),
        *(
            "record",
            "record_exact",
            "report_charts",
            "report_client",
            "report_markdown",
            "report_slo",
            "search",
        ),
        *("search_options", "search_says", "segment", "slo", "slo_presets", "sofar", "steadiness", "steady"),
        *("student", "student_exact", "target", "think", "trials", "tunnel", "web_history", "web_ledger"),
        *("backends/llamacpp", "backends/maritaca", "backends/maritalk", "backends/openai"),
        *(
            "backends/openai_servers",
            "backends/sambanova",
            "backends/sambastudio",
            "backends/tgi",
            "backends/vllm",
        ),
    ),
)
# Repeat a statistic, measure time or memory, or start something: they reach no line that others do not.
WITHOUT: Final = (
    "test_less_than_the_limit_never_ends_it or test_coverage_with or test_the_passes_it_asks_for_are_enough "
    "or test_what_is_long_ago or test_memory_is or test_garbage_takes or test_random_arrivals_are or real_server"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tests, print the table, judge the whole."""
    parser = argparse.ArgumentParser(description="Branch coverage of the core.")
    parser.add_argument("--all", action="store_true", help="print modules of 100 %%, too")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "coverage"
        runs = [_started(part, f"{data}.{number}") for number, part in enumerate(PARTS)]
        codes = [run.wait() for run in runs]  # all have to end
        if any(codes):
            return 1
        seen = coverage.Coverage(data_file=str(data), branch=True, config_file=False)
        seen.combine([f"{data}.{number}" for number in range(len(PARTS))])
        return judged(seen, show_all=options.all)


def _started(tests: Sequence[str], data: str) -> subprocess.Popen[bytes]:
    files = [str(TESTS / Path(one).parent / f"test_{Path(one).name}.py") for one in tests]
    command = [
        *(sys.executable, "-m", "coverage", "run", "--branch", "--source=harness", f"--data-file={data}"),
        *("-m", "pytest", "-q", "-p", "mutation.few", "--hypothesis-profile=few", "-p", "no:cacheprovider"),
        *("-W", "ignore::pytest.PytestAssertRewriteWarning", "-k", f"not ({WITHOUT})", *files),
    ]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    return subprocess.Popen(command, cwd=TESTS.parent, env=environment)


def judged(seen: coverage.Coverage, *, show_all: bool) -> int:
    """The table; 1 if the core as a whole is under the least."""
    rows = [(name, _counts(seen, MODULES[name])) for name in sorted(CORE) if name in MODULES]
    print("| module | statements and branches | branches |\n|---|---:|---:|")
    for name, counts in rows:
        if show_all or counts[0] < counts[1]:
            print(
                f"| `{name or 'harness'}` | {_percent(counts[0], counts[1])} | {_percent(counts[2], counts[3])} |"
            )
    done, of, taken, branches = (sum(counts[at] for _, counts in rows) for at in range(4))
    print(f"| the core | {_percent(done, of)} | {_percent(taken, branches)} |")
    low = min(100 * done / of, 100 * taken / branches) < LEAST
    if low:
        print(f"under {LEAST:.0f} %")
    return int(low)


def _counts(seen: coverage.Coverage, path: Path) -> tuple[int, int, int, int]:
    """Statements and branches that ran, and of how many; the same of branches alone."""
    _, statements, _, missing, _ = seen.analysis2(str(path))
    branches = seen.branch_stats(str(path)).values()
    of, taken = sum(total for total, _ in branches), sum(ran for _, ran in branches)
    return len(statements) - len(missing) + taken, len(statements) + of, taken, of


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


if __name__ == "__main__":
    sys.exit(main())
