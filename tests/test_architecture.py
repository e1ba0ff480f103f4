"""The rules that keep this code readable: who may import what, and how long things may get.

The tables are what actually holds. A new import of a watched package fails here until the table says that
it was meant; so does an entry that no longer holds.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
HARNESS: Final = ROOT / "harness"

MODULE_LINES, FUNCTION_LINES, LOCUSTFILE_LINES = 300, 50, 60

# Who touches the world outside: one package, and every module of ours that imports it. Nobody else may.
IMPORTERS: Final[Mapping[str, set[str]]] = {
    "locust": {
        *("plugin", "session", "shape", "users", "visitors", "fired", "changes", "ramps"),
        "campaign.dry",
        *("web.form_classes", "web.form_start", "web.guard", "web.login", "web.site"),
        *(
            f"distributed.{name}"
            for name in ("assignment", "crew", "hardening", "incidents", "pulses", "roster", "worker")
        ),
    },
    "gevent": {
        *("chat.answering", "chat.terminal"),
        *("aside", "changes", "ramps"),
        "choosing",
        "connection",
        "datasets.stream",
        *(f"distributed.{name}" for name in ("assignment", "collecting", "crew", "fetch", "hardening")),
        *(f"distributed.{name}" for name in ("incidents", "roster", "worker")),
        "engine",
        "exchange",
        "guarding_run",
        "health",
        "interrupts",
        *(f"influx.{name}" for name in ("backlog", "outbox", "redelivery", "sink")),
        "load",
        "open_loop",
        "plugin",
        "poller",
        "progress",
        "prober",
        "rows",
        "run",
        "scraper",
        "scribe",
        "selftest.load",
        "session",
        "users",
        "visitors",
        *("web.form_start", "web.login", "web.sampler"),
        *(
            f"web.{name}"
            for name in ("results", "results_child", "results_jobs", "results_send", "results_shelf")
        ),
    },
    "socket": {
        "connection",
        "control",
        "ports",
        "questions",  # tells a name that does not resolve
        "selftest.pacer",
        "selftest.stream",
        "servers.process",
        "simulator.cli",
        "simulator.server",
    },
    "ssl": {
        "connection",
        "control",
        "engine",
        "influx.transport",
        "questions",
        "selftest.pacer",
        "selftest.stream",
        "simulator.cli",
        "simulator.tls",
        "tls",
    },
    "select": {"selftest.lab", "selftest.pacer", "simulator.engine"},
    "selectors": {"selftest.pacer", "simulator.engine"},
    "asyncio": {"simulator.cli", "simulator.engine", "simulator.server"},
    "threading": {"servers.process"},
    "subprocess": {
        "campaign.check",
        "campaign.steps",
        "reproduce.sweeps",
        "selftest.lab",
        "servers.drive",
        "servers.guard",
        "servers.output",
        "servers.process",
    },
    "requests": {
        "control",
        "grafana.facade",
        "llama_sizer",
        "questions",
        "server_facts",
        "server_sizer",
        "sizers",
    },
    "time": {
        "campaign.steps",
        "clock",
        "merge",
        "server_facts",
        "questions",
        "reproduce.cli",
        "reproduce.sweeps",
        "selftest.stream",
        "servers.waiting",
        "simulator.server",
    },
    "transformers": {"sizers"},
    "influxdb_client": {"influx.transport"},
    "grafana_api": {"grafana.facade"},
}

# Values in, values out. These see each other and nothing of ours besides, so that all of them can be tested
# without a server, a clock or a greenlet.
CORE: Final = {
    *("", "errors", "record", "clock", "target", "distributions"),
    *("addresses", "allowed_hosts", "key_origin"),
    *("counts", "bells", "histograms", "length_files", "joint"),
    *(
        "http1",
        "received",
        "sse",
        "answer",
        "decode",
    ),
    *("backends", *(f"backends.{path.stem}" for path in (HARNESS / "backends").glob("[a-z]*.py"))),
    *("orders", "plan", "by_hand", "loadpoint", "segment", "allowance", "leave", "distributed.clocks"),
    *(
        "arrivals",
        "arrival_gaps",
        "arrival_rates",
        "arrival_text",
        "arrival_says",
        "draws",
        "durations",
        "lots",
    ),
    *("search", "evidence", "trials", "sofar", "saturation", "course", "steady"),
    *("search_options", "trial_records", "steadiness"),
    *("breaker", "guards", "guarding", "probing", "probe_figures", "spread", "groups"),
    *("carried", "figure_columns", "interval_says", "intervals", "passes", "population", "student"),
    *("rests", "refusals", "beside"),
    *("hearsay", "level_bins", "level_counts", "level_doubts", "level_slo", "sketch"),
    *("web.history", "web.ledger", "web.outlook", "web.standing"),
    *("conversation", "think", "words", "texts"),
    *(f"texts.{path.stem}" for path in (HARNESS / "texts").glob("[a-z]*.py")),
    *("trace_cells", "trace_formats"),
    *(f"datasets.{name}" for name in ("entries", "lines", "arrays", "order", "sharegpt")),
    *("shift", "uncounted", "levels_csv"),
    *("windows", "metrics", "system_rates", "doubts", "journal", "server_metrics", "reconcile", "live"),
    *("slo", "slo_presets", "judgement", "failures"),
    *(f"export.{name}" for name in ("batch", "junit", "llmperf", "sambanova", "statistics", "told")),
    *("length_says", "search_says", "server_says", "report"),
    *(f"report.{name}" for name in ("beside", "client", "definitions", "failures", "head", "levels")),
    *(f"report.{name}" for name in ("markdown", "passes", "server", "settings", "slo", "style", "workers")),
    *(f"report.{name}" for name in ("text", "palette", "shapes", "places", "moments", "binned")),
    *("proxy", "tunnel", "secrecy", "web.origins"),
    *("grid", "totals", "audit"),
    *(f"compare.{name}" for name in ("cells", "figures", "judge", "likeness", "rules", "welch")),
    *(f"campaign.{name}" for name in ("figures", "placeholders", "secrets", "switching", "table")),
    *("grafana.links", "grafana.provisioning", "grafana.stored"),
    *(f"influx.{name}" for name in ("fields", "schema", "schema_runs", "schema_workers")),
    *("bundles.manifest", "bundles.sequence"),
    *("chat", "chat.dialogue", "chat.follow", "chat.visible"),
    *(f"influx.{name}" for name in ("lines", "point", "run_points", "tally")),
}
WORLD: Final = {
    *("locust", "gevent", "socket", "ssl", "select", "selectors", "asyncio", "threading", "multiprocessing"),
    *("subprocess", "requests", "urllib3", "http", "time", "signal", "sys", "os", "pathlib", "logging"),
}
# What of the world the core has all the same, and why.
GRANTED: Final = {
    ("arrival_text", "pathlib"),  # names the file of `trace:`; neither opens it
    ("arrivals", "pathlib"),
    ("clock", "time"),  # it is the clock; the others take times as arguments
    ("journal", "os"),  # append-only files are its purpose; `plan` and `windows` share its `Window`
    ("journal", "pathlib"),
    ("length_files", "pathlib"),  # `file:` is a distribution like others; nothing else there touches a file
}


def name_of(path: Path) -> str:
    """`backends.base` for harness/backends/base.py, "" for the package itself."""
    parts = path.relative_to(HARNESS).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES: Final = {name_of(path): path for path in sorted(HARNESS.rglob("*.py"))}


@cache
def trees() -> Mapping[str, ast.AST]:
    """All of them read; not when this file is, which each process of a test run does."""
    return {name: ast.parse(path.read_bytes()) for name, path in MODULES.items()}


def imports(tree: ast.AST) -> Iterator[str]:
    """Every dotted name a module imports, wherever in it; `from a import b` may mean a.b, so it is both."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages(tree: ast.AST) -> set[str]:
    """The top-level packages among them; gevent's socket is a socket too."""
    names = set(imports(tree))
    found = {name.split(".")[0] for name in names}
    return found | {name.split(".")[1] for name in names if name.startswith("gevent.")}


@cache
def imported() -> Mapping[str, set[str]]:
    """Of each module, the packages among its imports."""
    return {name: packages(tree) for name, tree in trees().items()}


def ours(tree: ast.AST) -> set[str]:
    """The modules of `harness` among them, by our short names."""
    found = {name for name in imports(tree) if name.split(".")[0] == "harness"}
    return {short for name in found if (short := name.removeprefix("harness").removeprefix(".")) in MODULES}


def test_imports_of_every_shape_are_seen() -> None:
    """The reading that these tests rest on."""
    tree = ast.parse(
        "import os.path, time as t\nfrom gevent import socket\n"
        "def f():\n    from harness.backends import base\n    import harness.sse\n"
    )
    assert packages(tree) == {"os", "time", "gevent", "socket", "harness"}
    assert ours(tree) == {"backends", "backends.base", "sse"}


@pytest.mark.parametrize("package", IMPORTERS)
def test_only_the_edge_imports(package: str) -> None:
    """The table says who; it neither leaves one out nor keeps one that has stopped."""
    assert {name for name, found in imported().items() if package in found} == IMPORTERS[package]


def test_the_core_has_nothing_of_the_world() -> None:
    """No Locust, no gevent, no socket, no file, and no time but by the clock."""
    found = {(name, package) for name in CORE for package in imported()[name] & WORLD}
    assert found == GRANTED


def test_the_core_sees_only_the_core() -> None:
    """What a core module imports of ours is core, so that the rule above holds all the way down."""
    assert {(name, other) for name in CORE for other in ours(trees()[name]) if other not in CORE} == set()


def test_only_the_simulator_and_the_servers_know_themselves() -> None:
    """The load side shares no code with the server it is tested against, but the clock and the errors."""
    for name, tree in trees().items():
        if name.startswith("simulator"):
            shared = {other for other in ours(tree) if not other.startswith("simulator")}
            assert shared <= {"", "clock", "errors"}, name
        elif name not in {"cli", "demo"} and not name.startswith("reproduce"):
            assert not any(other.startswith("simulator") for other in ours(tree)), name


@pytest.mark.parametrize("name", MODULES)
def test_budget(name: str) -> None:
    """No module over 300 lines and no function over 50."""
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    functions = [
        node for node in ast.walk(trees()[name]) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert lines <= MODULE_LINES, f"{name} has {lines} lines"
    assert {function: length for function, length in lengths.items() if length > FUNCTION_LINES} == {}


def test_the_whole_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """No limit, but nobody should be surprised by it."""
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert len(lengths) == len(MODULES) > 30
    with capsys.disabled():
        print(f"\nharness: {sum(lengths.values())} lines in {len(lengths)} modules")


@pytest.mark.parametrize("path", sorted((ROOT / "locustfiles").glob("**/*.py")), ids=lambda path: path.name)
def test_a_locustfile_is_a_scenario(path: Path) -> None:
    """Under 60 lines: what to ask, not how."""
    assert len(path.read_text(encoding="utf-8").splitlines()) < LOCUSTFILE_LINES


def test_the_design_says_what_every_module_is_for() -> None:
    """Each has its place in the table of docs/design.md, by name or by its folder's, and what stands there is there."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").partition("## Three walks")[0]
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| `")]
    placed = re.findall(r"`([\w.]+/?)`", " ".join(first for first, _ in rows))
    told = {name.rstrip("/") for row in rows for name in re.findall(r"`([\w.]+/?)`", " ".join(row))}
    top = {name.partition(".")[0] for name in MODULES} - {"", "__main__"}
    assert top - told == set()
    assert {
        name for name in placed if name.rstrip("/") not in MODULES and name not in {"bench/", "harness/"}
    } == set()
    assert len(placed) == len(set(placed)), "each stands in one row"


HEAVY = ("locust", "gevent", "pandas", "numpy", "transformers", "requests", "influxdb_client")


@pytest.mark.parametrize("module", ["harness", "harness.cli", "harness.simulator", "harness.servers.process"])
def test_the_command_line_starts_light(module: str) -> None:
    """`tokenswarm --help` imports nothing that takes a second, and nothing that patches the process."""
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_what_is_for_after_the_load_is_not_read_before_it() -> None:
    """A locustfile brings no pandas: a worker never needs it, and the web UI's pages come with the web UI."""
    late = ("pandas", "pyarrow", "plotly", "transformers", "harness.web.tokens", "harness.outputs")
    code = f"import sys, harness.users; print([name for name in {late!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_only_those_who_are_said_to_bring_locust() -> None:
    """Everything else may be used from a script, whose process stays as it is: Locust patches any that imports it."""
    others = [
        f"harness.{name}"
        for name in trees()
        if name not in IMPORTERS["locust"] | {""} and "__main__" not in name
    ]
    code = (
        f"import sys, importlib\nfor name in {others!r}: importlib.import_module(name)\n"
        "from gevent import monkey\nprint('locust' in sys.modules, monkey.is_module_patched('socket'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "False False\n"
