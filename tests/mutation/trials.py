"""The tests of one module against its mutants, each in a process forked for it.

`Trials` is a pytest plugin: pytest collects once, and where it would run the tests, they first run once as they are,
to see which of them reach which line of the module. Then each mutant's code is put into the functions in a fork of
this process, and the tests that reach it run, the quickest first, until one fails. Nothing is imported again, so a
mutant costs little more than its tests. What is not in a function takes a new import: `afresh`.

Limits are of processor time, so that a busy machine kills no mutant; one that never ends is one that was noticed.
"""

import gc
import importlib.abc
import importlib.util
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final

import coverage
import pytest

from mutation.mutants import Mutant

PASSED, FAILED, BROKEN = (
    0,
    1,
    3,
)  # exit codes of a fork: all tests passed; one did not; the tests themselves are
KILLED, SURVIVED, UNREACHED = "killed", "survived", "unreached"
LEAST_CPU_S: Final = 1.5
MEMORY_MORE: Final = 3 << 30  # bytes a mutant may have on top of what there is
OPTIONS: Final = (
    *("-q", "-x", "--noconftest", "-p", "no:cacheprovider", "-p", "no:xdist"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # Hypothesis is here before pytest
)


class Trials:
    """A plugin for one run of pytest: which mutants of a module the collected tests notice."""

    def __init__(self, path: Path, mutants: Iterable[Mutant], jobs: int) -> None:
        self.path, self.mutants, self.jobs = str(path), mutants, jobs
        self.found: dict[str, str] = {}  # each mutant's name: KILLED, SURVIVED, UNREACHED
        self.cpu_s: dict[str, float] = {}  # of each test, by its id

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Measure, then try each mutant.

        Raises:
            pytest.UsageError: nothing was collected, or a test fails as the module is.
        """
        if session.testsfailed or not session.items:
            raise pytest.UsageError("no test could be collected")
        reached, self.cpu_s = _measured(session, self.path)
        functions = [*_functions(self.path)]
        gc.freeze()  # what is here stays in the pages that all forks share
        jobs = ((mutant.name, self._trial(session, mutant, reached, functions)) for mutant in self.mutants)
        for name, code in forked(jobs, self.jobs):
            self.found[name] = {None: UNREACHED, PASSED: SURVIVED}.get(code, KILLED)
        return True

    def _trial(
        self, session: pytest.Session, mutant: Mutant, reached: dict[int, set[str]], functions: list[Any]
    ) -> Callable[[], int] | None:
        ids = set[str]().union(*(reached.get(line, ()) for line in mutant.lines))
        items = sorted(
            (one for one in session.items if one.nodeid in ids), key=lambda one: self.cpu_s[one.nodeid]
        )
        if not items:
            return None

        def run() -> int:
            limit(3 * sum(self.cpu_s[one.nodeid] for one in items))
            put(mutant.code, mutant.where, functions)
            return _run(session, items, _Verdict())

        return run


class _Verdict:
    """A plugin: leaves the process at the first failure."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os._exit(FAILED)


def _run(session: pytest.Session, items: list[pytest.Item], watch: object) -> int:
    session.config.pluginmanager.register(watch)
    session.config.pluginmanager.unregister(name="terminalreporter")  # its output has a way past our silence
    for item, following in zip(items, [*items[1:], None], strict=True):
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    return PASSED


class _Contexts:
    """A plugin: tells coverage which test it looks at, and times each."""

    def __init__(self, seen: coverage.Coverage) -> None:
        self.seen, self.cpu_s = seen, dict[str, float]()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        began = time.process_time()
        result = yield
        self.cpu_s[item.nodeid] = time.process_time() - began
        return result

    def pytest_fixture_setup(self, request: Any) -> None:
        # What a module's fixture does is of use to all its tests, whichever was the first.
        if request.scope != "function":
            self.seen.switch_context(f"{request.node.nodeid.partition('::')[0]}")

    def pytest_runtest_call(self, item: pytest.Item) -> None:
        self.seen.switch_context(item.nodeid)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self.seen.switch_context(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os.write(2, f"{report.nodeid} fails as the module is\n{report.longreprtext}\n".encode())
            os._exit(BROKEN)


def _measured(session: pytest.Session, path: str) -> tuple[dict[int, set[str]], dict[str, float]]:
    """The tests that reach each line, by their ids, and each test's processor time in seconds."""
    read, write = os.pipe()

    def run() -> int:
        seen = coverage.Coverage(data_file=None, include=[path], config_file=False)
        contexts = _Contexts(seen)
        seen.start()
        code = _run(session, session.items, contexts)
        seen.stop()
        lines = seen.get_data().contexts_by_lineno(path)
        with os.fdopen(write, "w") as pipe:
            json.dump([lines, contexts.cpu_s], pipe)
        return code

    process = fork(run, quiet=False)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    if os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) != PASSED:
        raise pytest.UsageError("the tests fail without any change")
    lines, cpu_s = json.loads(said)
    reached = {int(line): _ids(contexts, list(cpu_s)) for line, contexts in lines.items()}
    return reached, cpu_s


def _ids(contexts: list[str], ids: list[str]) -> set[str]:
    """A context is a test's id, a test module's for its fixtures, or empty between tests: then any may reach it."""
    if "" in contexts:
        return set(ids)
    files = {one for one in contexts if "::" not in one}
    return {one for one in ids if one in contexts or one.partition("::")[0] in files}


def _functions(path: str) -> Iterator[Any]:
    """The functions of a module, in whatever holds them, and its caches."""
    for one in gc.get_objects():
        if (isinstance(one, FunctionType) and one.__code__.co_filename == path) or (
            type(one).__name__ == "_lru_cache_wrapper" and one.__wrapped__.__code__.co_filename == path
        ):
            yield one


def put(code: CodeType, where: str, functions: Iterable[Any]) -> None:
    """Give functions the code they have in another version of their module."""
    outermost = where.partition(".<locals>")[0]
    new = {(one.co_qualname, one.co_firstlineno): one for one in _codes(code)}
    for one in functions:
        if not isinstance(one, FunctionType):
            one.cache_clear()
        elif one.__qualname__.startswith(outermost):
            now = one.__code__
            one.__code__ = new.get((now.co_qualname, now.co_firstlineno), now)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one
            yield from _codes(one)


def afresh(module: str, path: Path, mutant: Mutant, tests: list[str], cpu_s: dict[str, float]) -> int:
    """Run tests in this process, where nothing of the package is imported yet, with a mutant in the module's place."""
    assert module not in sys.modules
    limit(5 + 3 * sum(cpu_s.values()))
    sys.meta_path.insert(0, _Changed(module, path, mutant.code))
    return (
        PASSED if pytest.main([*OPTIONS, *tests], plugins=[_Sorted(cpu_s)]) == pytest.ExitCode.OK else FAILED
    )


class _Sorted:
    """A plugin: the tests that were chosen, the quickest first."""

    def __init__(self, cpu_s: dict[str, float]) -> None:
        self.cpu_s = cpu_s

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (one for one in items if one.nodeid in self.cpu_s), key=lambda one: self.cpu_s[one.nodeid]
        )


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module, and runs other code in its place."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self.name, self.path, self.code = name, path, code

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> Any:
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self)

    def exec_module(self, module: Any) -> None:
        exec(self.code, module.__dict__)  # noqa: S102, the module itself but for the change


def limit(cpu_s: float) -> None:
    """End this process where it takes much more time or memory than the tests should."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, LEAST_CPU_S + cpu_s)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(
        signal.ITIMER_REAL, 20 * (LEAST_CPU_S + cpu_s)
    )  # a wait that never ends takes no processor time
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + MEMORY_MORE
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def fork(run: Callable[[], int], *, quiet: bool = True) -> int:
    """Start it in a copy of this process, whose exit code is what it returns."""
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return process
    code = FAILED
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere if quiet else 2, 1)
        if quiet:
            os.dup2(nowhere, 2)
        code = run()
    except Exception:  # noqa: BLE001, a mutant may raise whatever it likes
        traceback.print_exc()
    finally:
        os._exit(code)


def forked(
    jobs: Iterable[tuple[str, Callable[[], int] | None]], at_once: int
) -> Iterator[tuple[str, int | None]]:
    """Run each in a fork, so many at once: its name and its exit code, below 0 for a signal; None for no job."""
    running: dict[int, str] = {}
    for name, job in jobs:
        if job is None:
            yield name, None
            continue
        running[fork(job)] = name
        if len(running) >= at_once:
            yield _ended(running)
    while running:
        yield _ended(running)


def _ended(running: dict[int, str]) -> tuple[str, int]:
    process, status = os.wait()
    return running.pop(process), os.waitstatus_to_exitcode(status)
