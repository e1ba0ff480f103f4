"""`tokenswarm serve-backend` as a user runs it: in a process of its own, with real signals.

llama.cpp is real. MariTalk Local and docker cannot be had here: a script answers as the one's documentation says,
and another takes docker's command line, records it, and runs a "container" that, as a real one does, outlives the
client that was killed.
"""

import argparse
import http.client
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from commands import command
from locust_runs import until

from harness.servers.kinds import KINDS, add_kinds
from harness.servers.process import free_port

ROOT = Path(__file__).parent.parent
SERVE = [sys.executable, "-m", "harness", "serve-backend"]
LICENCE = f"0000-secret-licence-{os.getpid():04}"  # others may run these tests on the same machine
# The same, and with more patience for a server than any test has.
PATIENT = """
import sys
from harness import cli
from harness.servers import process
stop = process._stop
process._stop = lambda child, grace_s, told="": stop(child, 600.0, told)
sys.exit(cli.main())
"""

# PORT, how often 503 first, "obeys" or "deaf", then "dies" to end with 3 when asked /die.
STAND_IN = """
import http.server, os, signal, sys
port, loading, manner = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if manner == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global loading
        if self.path == "/die":
            print("out of luck", flush=True)
            os._exit(3)
        loading -= 1
        self.send_response(503 if loading >= 0 else 200 if self.path == "/health" else 404)
        self.end_headers()
    def log_message(self, *args): pass
print("loading the model", flush=True)
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""

# Prints what it was given, as programs that log their arguments do; says loading twice, then idle.
MARITALK = """#!{python}
import http.server, json, sys
print("Args", sys.argv[1:], flush=True)
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
if given["--license"] != "{licence}":
    sys.exit("invalid license " + given["--license"])
class Handler(http.server.BaseHTTPRequestHandler):
    loading = 2
    def do_GET(self):
        Handler.loading -= 1
        body = json.dumps({{"status": "loading" if Handler.loading >= 0 else "idle"}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", int(given["--port"])), Handler).serve_forever()
"""

# A docker whose containers are processes with sessions of their own, and whose daemon is a folder.
DOCKER = """#!{python}
import json, os, pathlib, signal, subprocess, sys, time
home, args = pathlib.Path("{home}"), sys.argv[1:]
with (home / "calls").open("a") as calls:
    calls.write(json.dumps(args) + "\\n")
trouble = (home / "trouble").read_text() if (home / "trouble").exists() else ""
if args[0] == "version":
    print("28.2.2")
    sys.exit(trouble if "daemon" in trouble else 0)
if args[0] == "run":
    if trouble:
        print("docker: Error response from daemon: " + trouble + ".", file=sys.stderr)
        sys.exit(125)
    name = args[args.index("--name") + 1]
    port = args[args.index("--publish") + 1].split(":")[1]
    container = subprocess.Popen(
        [sys.executable, "-c", {stand_in!r}, port, "1", "obeys"], start_new_session=True)
    (home / name).write_text(str(container.pid))
    signal.signal(signal.SIGTERM, lambda *_: container.terminate())
    code = container.wait()
    (home / name).unlink(missing_ok=True)
    sys.exit(code % 256)
if args[:2] == ["rm", "--force"]:
    file = home / args[2]
    if not file.exists():
        sys.exit("Error response from daemon: No such container: " + args[2])
    os.kill(int(file.read_text()), signal.SIGKILL)
    file.unlink()
"""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[Path]:
    """The folder that is the fake docker's daemon; its `bin` belongs on the PATH."""
    home = tmp_path / "docker"
    (home / "bin").mkdir(parents=True)
    program = home / "bin" / "docker"
    program.write_text(DOCKER.format(python=sys.executable, home=home, stand_in=STAND_IN))
    program.chmod(0o755)
    yield home
    for file in home.glob("tokenswarm-*"):  # what a failed test left
        with suppress(ProcessLookupError, ValueError):
            os.kill(int(file.read_text()), signal.SIGKILL)


def _stand_in(port: int, loading: int = 0, manner: str = "obeys") -> list[str]:
    return [sys.executable, "-c", STAND_IN, str(port), str(loading), manner]


def _command(port: int, *options: str, loading: int = 0, manner: str = "obeys") -> list[str]:
    url = f"http://127.0.0.1:{port}"
    server = _stand_in(port, loading, manner)
    return ["command", "--url", url, "--name", "stand-in", *options, "--", *server]


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MARITALK", "LOCUST"))}
    return kept | {"PYTHONPATH": str(ROOT)} | dict(more)


def _start(
    *arguments: str, env: Mapping[str, str] = {}, cwd: Path = ROOT, command: Sequence[str] = SERVE
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(env),
        cwd=cwd,
        preexec_fn=_answer_signals,  # noqa: PLW1509  no thread is started before it
    )


def _answer_signals() -> None:
    """As in a terminal, whoever runs the tests: `nohup` and `&` hand on signals that are ignored."""
    for signum in (signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)


def _serve(
    *arguments: str, env: Mapping[str, str] = {}, cwd: Path = ROOT, timeout: float = 60
) -> tuple[int, str, str]:
    """A whole run of the command: exit code, stdout, stderr."""
    return _finish(_start(*arguments, env=env, cwd=cwd), timeout)


def _finish(process: subprocess.Popen[str], timeout: float = 60) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"did not end in {timeout} s:\n{out}{err}") from None
    return process.returncode, out, err


def _ready(process: subprocess.Popen[str]) -> str:
    """The line that says it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(f"never ready:\n{process.communicate()[1]}")
    return line


def _stop(process: subprocess.Popen[str], signum: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
    process.send_signal(signum)
    return _finish(process)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _get(port: int, route: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", route)
        return connection.getresponse().read()
    finally:
        connection.close()


def _without_seconds(line: str) -> str:
    return re.sub(r"after \d+\.\d s", "after N s", line)


def _need_llamacpp() -> None:
    required = os.environ.get("TOKENSWARM_REQUIRE_REAL") == "1"
    for module in ("xllamacpp", "gguf"):
        if importlib.util.find_spec(module) is None and not required:
            pytest.skip(f"{module} is not installed; `make test` installs it")


def test_llamacpp_is_served_until_ctrl_c(port: int) -> None:
    """The real llama.cpp with its slots and context, one line that says where and how to go on; then it is gone."""
    _need_llamacpp()
    process = _start("llamacpp", "--slots", "3", "--context", "512", "--port", str(port))
    line = _ready(process)
    assert _without_seconds(line) == (
        f"tokenswarm serve-backend: llama.cpp is ready at http://127.0.0.1:{port} after N s; try: "
        f"locust -f locustfiles/llamacpp.py --host http://127.0.0.1:{port} --headless --levels 1,2,4,8\n"
    )
    assert [slot["n_ctx"] for slot in json.loads(_get(port, "/slots"))] == [512] * 3
    code, out, err = _stop(process)
    assert (code, out, err) == (0, "", "tokenswarm: stopping llama.cpp; Ctrl-C again kills it\n")
    assert not _answers(port)


def test_a_whole_run_in_one_line(port: int, tmp_path: Path) -> None:
    """`--run` with Locust needs no --host, ends with Locust's exit code, and leaves the results but no server."""
    _need_llamacpp()
    load = (
        f"locust -f {ROOT}/locustfiles/llamacpp.py --headless --levels 1,2 --requests-per-level 4 "
        f"--prompt-tokens 16 --output-tokens 8 --results-dir '{tmp_path}/my results'"
    )
    code, out, err = _serve("llamacpp", "--port", str(port), "--run", load, timeout=120)
    assert code == 0, err
    assert "tok/s" in out
    (directory,) = (tmp_path / "my results").iterdir()
    summary = json.loads((directory / "summary.json").read_bytes())
    assert (summary["totals"]["succeeded"], summary["complete"]) == (8, True)
    assert not _answers(port)


def test_the_runs_exit_code_is_ours(port: int) -> None:
    """The command finds the server up at LOCUST_HOST, past any proxy, and its exit code becomes ours."""
    script = (
        "import os, sys, urllib.request\n"
        "url = os.environ['LOCUST_HOST']\n"
        "print(url, urllib.request.urlopen(url + '/health').status, flush=True)\n"
        "sys.exit(7)"
    )
    env = {"LOCUST_HOST": "http://elsewhere:1", "http_proxy": "http://127.0.0.1:9"}
    done = _serve(*_command(port, "--run", f'{sys.executable} -c "{script}"'), env=env)
    assert done[:2] == (7, f"http://127.0.0.1:{port} 200\n")
    assert not _answers(port)


def test_a_signal_goes_to_the_run_first(port: int) -> None:
    """SIGTERM is the command's to answer, which finds the server still up; then the server goes too."""
    script = (
        "import signal, sys, time, urllib.request, os\n"
        "def end(*_):\n"
        "    time.sleep(0.5)\n"
        "    sys.exit(urllib.request.urlopen(os.environ['LOCUST_HOST'] + '/health').status - 195)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('running', flush=True)\n"
        "time.sleep(60)"
    )
    process = _start(*_command(port, "--run", f'{sys.executable} -c "{script}"'))
    assert _ready(process) == "running\n"
    assert _stop(process, signal.SIGTERM)[0] == 5
    assert not _answers(port)


def test_a_run_whose_server_died_is_no_success(port: int, tmp_path: Path) -> None:
    """Exit code 1, and a line at once, where the command was content but the server ended under it."""
    content = tmp_path / "content"
    script = (
        "import http.client, os, time\n"
        f"connection = http.client.HTTPConnection('127.0.0.1', {port})\n"
        "connection.request('GET', '/die')\n"
        f"while not os.path.exists('{content}'):\n"
        "    time.sleep(0.05)"
    )
    process = _start(*_command(port, "--run", f'{sys.executable} -c "{script}"'))
    assert process.stderr is not None
    until_told = "tokenswarm: stand-in has ended (exit code 3) while the command goes on\n"
    assert until_told in iter(process.stderr.readline, "")
    content.touch()
    code, _, err = _finish(process)
    assert code == 1
    assert "tokenswarm: stand-in died during the run (exit code 3); the end of its output:\n" in err


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_line_is_served(port: int, signum: signal.Signals, tmp_path: Path) -> None:
    """Any command line: 503 is waited out, each of three signals stops it with 0, its output is in --log."""
    log = tmp_path / "deep" / "server.log"
    process = _start(*_command(port, "--log", str(log), loading=3))
    assert _without_seconds(_ready(process)) == (
        f"tokenswarm serve-backend: stand-in is ready at http://127.0.0.1:{port} after N s; try: "
        f"locust -f locustfiles/openai.py --host http://127.0.0.1:{port} --headless --levels 1,2,4,8\n"
    )
    assert _stop(process, signum)[0] == 0
    assert not _answers(port)
    assert log.read_text(encoding="utf-8") == "loading the model\n"


def test_a_server_that_ends_by_itself(port: int) -> None:
    """Exit code 1, and one line with its exit code and the end of its log."""
    process = _start(*_command(port))
    _ready(process)
    with suppress(OSError, http.client.HTTPException):
        _get(port, "/die")
    code, _, err = _finish(process)
    assert code == 1
    assert err == (
        "tokenswarm: stand-in died during the run (exit code 3); the end of its output:\n"
        "    loading the model\n    out of luck\n"
    )


def test_ctrl_c_twice_is_at_once(port: int) -> None:
    """A server that does not obey is killed by the second Ctrl-C, without its time of grace: here ten minutes."""
    process = _start(*_command(port, manner="deaf"), command=[sys.executable, "-c", PATIENT, "serve-backend"])
    _ready(process)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline() == "tokenswarm: stopping stand-in; Ctrl-C again kills it\n"
    assert _stop(process)[0] == 0
    assert not _answers(port)


def test_interrupted_before_it_was_ready(port: int) -> None:
    """Ctrl-C while it is waited for ends with 130 and leaves nothing."""
    process = _start(*_command(port, loading=1_000_000))
    until(lambda: _answers(port))
    assert _stop(process)[:2] == (130, "")
    assert not _answers(port)


@pytest.mark.skipif(sys.platform != "linux", reason="the stand-in's child is looked for in /proc")
def test_killed_outright_it_leaves_nothing(port: int) -> None:
    """SIGKILL of tokenswarm itself: the server goes, and what the server started goes too."""
    script = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-c", script, *_stand_in(port, manner="deaf")]
    process = _start("command", "--url", url, "--", *command)
    _ready(process)
    process.kill()
    process.communicate()
    until(lambda: not _answers(port), timeout=10)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            [sys.executable, "-c", "import sys; print('no GPU'); sys.exit(4)"],
            "stand-in exited before it was ready (exit code 4); the end of its output:\n    no GPU\n",
        ),
        (
            ["no-such-server"],
            "stand-in cannot be started: no program 'no-such-server'; install it or give its path\n",
        ),
        ([], "no command to run: write it after --, e.g. -- vllm serve MODEL --port 8000\n"),
    ],
)
def test_a_command_that_does_not_start(command: list[str], message: str, port: int) -> None:
    """What dies, is not there or was not given: exit code 2 and the reason."""
    url = f"http://127.0.0.1:{port}"
    done = _serve("command", "--url", url, "--name", "stand-in", "--", *command)
    assert done == (2, "", f"tokenswarm serve-backend: error: {message}")


def test_never_ready_is_told_with_its_last_answer(port: int) -> None:
    """The deadline ends it with exit code 2, what it answered, and the end of its log."""
    done = _serve(*_command(port, "--deadline", "1.5", loading=1_000_000))
    assert done == (
        2,
        "",
        (
            f"tokenswarm serve-backend: error: stand-in was not ready within 1.5 s: it answered 503 at "
            f"http://127.0.0.1:{port}/health; the end of its output:\n    loading the model\n"
        ),
    )
    assert not _answers(port)


def test_a_named_route_must_be_there(port: int) -> None:
    """A route named with --health is insisted on, and the failure asks whether it is the right one."""
    code, _, err = _serve(*_command(port, "--deadline", "1", "--health", "/healthz"))
    assert code == 2
    assert (
        f"stand-in was not ready within 1 s: it answered 404 at http://127.0.0.1:{port}/healthz "
        "(another route? --health); the end of its output:\n"
    ) in err


def test_a_taken_port_is_refused() -> None:
    """A server that is there already is not mistaken for ours: exit code 2, one line."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        done = _serve(*_command(taken))
    assert done == (
        2,
        "",
        (
            "tokenswarm serve-backend: error: stand-in cannot be started: something already listens at "
            f"http://127.0.0.1:{taken}; stop it or choose another port\n"
        ),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["llamacpp", "--port", "0"], "--port '0': give a whole number from 1 to 65535"),
        (["llamacpp", "--slots", "many"], "--slots 'many': give a whole number from 1 to 1000000"),
        (["llamacpp", "--host", "gpu1"], "--host 'gpu1': give an address of this machine, e.g. 127.0.0.1"),
        (
            ["llamacpp", "--model", "nowhere.gguf"],
            "--model nowhere.gguf: no such file or directory; give a GGUF file, tiny or gemma",
        ),
        (["llamacpp", "--model", "README.md"], "--model README.md: not a GGUF file; give one, tiny or gemma"),
        (
            ["command", "--url", "127.0.0.1:8000", "--", "x"],
            "--url '127.0.0.1:8000' has no scheme: write http://127.0.0.1:8000 or https://127.0.0.1:8000",
        ),
        (
            ["command", "--url", "http://h", "--health", "health", "--", "x"],
            "--health 'health': give a route, e.g. /health",
        ),
        (
            ["command", "--url", "http://h", "--deadline", "soon", "--", "x"],
            "--deadline 'soon': give seconds, above 0 and up to 86400",
        ),
        (
            ["command", "--url", "http://h", "--run", "locust '", "--", "x"],
            '--run "locust \'": no closing quotation; write it as a shell would take it',
        ),
        (
            ["command", "--url", "http://h", "--run", "no-such-load -f x", "--", "x"],
            "--run: no program 'no-such-load'; install it or give its path",
        ),
        (["tgi", "--model", ""], "--model '': give a value"),
        (["vllm", "--model", "m", "--port", "70000"], "--port '70000': give a whole number from 1 to 65535"),
    ],
)
def test_bad_options_are_one_line(arguments: list[str], message: str) -> None:
    """Exit code 2, the option, the value and what would be right; nothing is started."""
    done = command("serve-backend", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        f"tokenswarm serve-backend: error: {message}\n",
    )


@pytest.mark.parametrize("kind", ["llamacpp", "command", "maritalk", "tgi", "vllm"])
def test_each_help_has_an_example(kind: str) -> None:
    """`--help` of each kind ends with a command line that can be copied."""
    done = command("serve-backend", kind, "--help")
    assert done.returncode == 0
    assert f"tokenswarm serve-backend {kind}" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["llamacpp"],
        ["command", "--url", "http://127.0.0.1:8000", "--", "x"],
        ["maritalk"],
        ["tgi", "--model", "m"],
        ["vllm", "--model", "m"],
    ],
    ids=lambda arguments: str(arguments[0]),
)
def test_the_example_names_a_locustfile_of_ours(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that a ready server's line proposes can be made: its locustfile is there."""
    if arguments[0] == "llamacpp":
        _need_llamacpp()
    monkeypatch.setenv("MARITALK_LICENSE", LICENCE)
    parser = argparse.ArgumentParser()
    add_kinds(parser.add_subparsers(dest="kind"), lambda _: None)
    recipe = KINDS[arguments[0]].recipe(parser.parse_args(arguments))
    words = recipe.example().split()
    assert words[:2] + words[3:5] == ["locust", "-f", "--host", recipe.url]
    assert (ROOT / words[2]).is_file()


def _maritalk(folder: Path) -> str:
    program = folder / "maritalk"
    program.write_text(MARITALK.format(python=sys.executable, licence=LICENCE))
    program.chmod(0o755)
    return str(program)


def _with_command_line(part: str) -> dict[int, str]:
    """The command lines on this machine that have `part` in them, by process; some end while they are looked at."""
    lines = {}
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = file.read_bytes().decode(errors="replace")
            if part in line:
                lines[int(file.parent.name)] = line.replace("\0", " ")
    return lines


@pytest.mark.skipif(sys.platform != "linux", reason="command lines are looked for in /proc")
def test_maritalk_is_served_without_telling_its_licence(port: int, tmp_path: Path) -> None:
    """It is ready when it no longer says loading; the licence is on its own command line and nowhere else."""
    log, program = tmp_path / "maritalk.log", _maritalk(tmp_path)
    process = _start(
        *("maritalk", "--executable", program, "--port", str(port), "--log", str(log)),
        *("--", "--max-batch-total-tokens", "32768"),
        env={"MARITALK_LICENSE": LICENCE},
    )
    line = _ready(process)
    assert f"MariTalk Local is ready at http://127.0.0.1:{port} after " in line
    assert "locust -f locustfiles/maritalk.py --host" in line
    assert json.loads(_get(port, "/")) == {"status": "idle"}
    lines = _with_command_line(LICENCE).values()
    assert process.poll() is None
    assert [line.split(" ")[1:3] for line in lines] == [[program, "--license"]]
    code, out, err = _stop(process)
    assert (code, LICENCE in out + err) == (0, False)
    assert log.read_text(encoding="utf-8") == (
        f"Args ['--license', '***', '--port', '{port}', '--max-batch-total-tokens', '32768']\n"
    )


def test_a_refused_licence_is_told_without_it(port: int, tmp_path: Path) -> None:
    """What the program says of a licence that it does not like is shown, the licence blotted out."""
    env = {"MARITALK_LICENSE": "1111-wrong-licence-1111"}
    done = _serve("maritalk", "--executable", _maritalk(tmp_path), "--port", str(port), env=env)
    assert done == (
        2,
        "",
        (
            "tokenswarm serve-backend: error: MariTalk Local exited before it was ready (exit code 1); "
            f"the end of its output:\n    Args ['--license', '***', '--port', '{port}']\n    invalid license ***\n"
        ),
    )


@pytest.mark.parametrize(
    ("licence", "message"),
    [
        ("", "MARITALK_LICENSE is not set: put the licence key that came from Maritaca into it"),
        ("key\n", "MARITALK_LICENSE has a blank or a line break in it: put the bare licence key into it"),
    ],
)
def test_a_missing_licence_is_one_line(licence: str, message: str) -> None:
    """Without a licence, or with a broken one, nothing is started."""
    done = _serve("maritalk", env={"MARITALK_LICENSE": licence})
    assert done == (2, "", f"tokenswarm serve-backend: error: {message}\n")


def test_a_missing_maritalk_is_one_line(tmp_path: Path) -> None:
    """The error says where the program comes from."""
    missing = tmp_path / "maritalk"
    done = _serve("maritalk", "--executable", str(missing), env={"MARITALK_LICENSE": LICENCE})
    assert done == (
        2,
        "",
        (
            f"tokenswarm serve-backend: error: MariTalk Local cannot be started: no program '{missing}'; give the "
            "path of the program that Maritaca's mail links to with --executable (chmod +x it)\n"
        ),
    )


def test_print_shows_a_command_that_a_shell_takes() -> None:
    """`--print` writes the licence's variable, not the licence, so that a shell puts it in."""
    env = {"MARITALK_LICENSE": LICENCE}
    code, out, _ = _serve("maritalk", "--executable", "/opt/my maritalk", "--print", env=env)
    assert (code, out) == (0, "'/opt/my maritalk' --license \"$MARITALK_LICENSE\" --port 9000\n")


def _path(docker: Path) -> dict[str, str]:
    return {"PATH": f"{docker}/bin{os.pathsep}{os.environ['PATH']}", "HF_TOKEN": "hf_do_not_tell"}


def _calls(docker: Path) -> list[list[str]]:
    return [json.loads(line) for line in (docker / "calls").read_text().splitlines()]


def test_tgi_by_its_docker_command(docker: Path, port: int) -> None:
    """The exact docker command; the port on this machine only; the container removed at the end."""
    arguments = ["tgi", "--model", "org/m", "--port", str(port), "--gpus", "device=0"]
    process = _start(*arguments, "--", "--max-concurrent-requests", "512", env=_path(docker))
    line = _ready(process)
    assert f"TGI is ready at http://127.0.0.1:{port} after " in line
    assert "locust -f locustfiles/tgi.py --host" in line
    assert _stop(process, signal.SIGTERM)[0] == 0
    name = f"tokenswarm-tgi-{port}-{process.pid}"
    image = "ghcr.io/huggingface/text-generation-inference:3.3.6"
    assert _calls(docker) == [
        ["version", "--format", "{{.Server.Version}}"],
        [
            *("run", "--rm", "--init", "--name", name, "--gpus", "device=0", "--shm-size", "1g"),
            *("--publish", f"127.0.0.1:{port}:80", "--volume", "tokenswarm-tgi:/data", "--env", "HF_TOKEN"),
            *(image, "--model-id", "org/m", "--max-concurrent-requests", "512"),
        ],
        ["rm", "--force", name],
    ]
    assert not _answers(port)


def test_vllm_by_its_docker_command(docker: Path, tmp_path: Path) -> None:
    """Without GPUs, with a folder for the model and one for the weights, another image and docker options."""
    model = tmp_path / "my-model"
    model.mkdir()
    code, out, _ = _serve(
        *("vllm", "--model", str(model), "--gpus", "none", "--image", "mine:1", "--volume", str(tmp_path)),
        *("--docker-option=--env=HTTPS_PROXY", "--host", "0.0.0.0", "--print", "--", "--max-num-seqs", "4"),
        env=_path(docker),
    )
    words = re.sub(r"tokenswarm-vllm-8000-\d+", "NAME", out)
    assert code == 0
    assert words == (
        "docker run --rm --init --name NAME --ipc host --publish 0.0.0.0:8000:8000 "
        f"--volume {tmp_path}:/root/.cache/huggingface --volume {model}:/models/my-model:ro "
        "--env HF_TOKEN --env=HTTPS_PROXY mine:1 /models/my-model --max-num-seqs 4\n"
    )
    assert not (docker / "calls").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the client is looked for in /proc")
def test_a_killed_docker_client_leaves_no_container(docker: Path, port: int) -> None:
    """A container whose client was killed is removed by its name; the command ends with 1."""
    process = _start("tgi", "--model", "m", "--port", str(port), env=_path(docker))
    _ready(process)
    (client,) = _with_command_line(f"{docker}/bin/docker\0run\0")
    os.kill(client, signal.SIGKILL)
    code, _, err = _finish(process)
    assert (code, "TGI died during the run (signal 9, Killed)" in err) == (1, True)
    assert _calls(docker)[-1] == ["rm", "--force", f"tokenswarm-tgi-{port}-{process.pid}"]
    until(lambda: not _answers(port), timeout=10)


def test_killed_outright_it_leaves_no_container(docker: Path, port: int) -> None:
    """SIGKILL of tokenswarm itself: the container is removed all the same."""
    process = _start("vllm", "--model", "m", "--port", str(port), env=_path(docker))
    _ready(process)
    process.kill()
    process.communicate()
    until(lambda: not _answers(port), timeout=10)
    assert _calls(docker)[-1] == ["rm", "--force", f"tokenswarm-vllm-{port}-{process.pid}"]


@pytest.mark.parametrize(
    ("trouble", "remedy"),
    [
        (
            'could not select device driver "" with capabilities: [[gpu]]',
            (
                "docker has no GPU to give: install the NVIDIA driver and Container Toolkit, then restart docker; "
                "or --gpus none, if the server runs without"
            ),
        ),
        ("manifest unknown", "there is no such image: choose another with --image"),
    ],
)
def test_dockers_failures_come_with_their_remedy(trouble: str, remedy: str, docker: Path, port: int) -> None:
    """What docker says is shown, and before it what mends that."""
    (docker / "trouble").write_text(trouble)
    done = _serve("tgi", "--model", "m", "--port", str(port), env=_path(docker))
    assert done == (
        2,
        "",
        (
            f"tokenswarm serve-backend: error: TGI exited before it was ready (exit code 125): {remedy}; "
            f"the end of its output:\n    docker: Error response from daemon: {trouble}.\n"
        ),
    )


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
            (
                "docker's daemon is not running: `sudo systemctl start docker` (Cannot connect to the Docker daemon "
                "at unix:///var/run/docker.sock. Is the docker daemon running?)"
            ),
        ),
        (
            "permission denied while trying to connect to the Docker daemon socket",
            (
                "this user may not use docker: `sudo usermod -aG docker $USER`, then log in again (permission "
                "denied while trying to connect to the Docker daemon socket)"
            ),
        ),
    ],
)
def test_no_daemon_is_one_line(said: str, message: str, docker: Path) -> None:
    """A daemon that is down, or not ours to ask, is told before anything is run."""
    (docker / "trouble").write_text(said)
    done = _serve("tgi", "--model", "m", env=_path(docker))
    assert done == (2, "", f"tokenswarm serve-backend: error: {message}\n")
    assert [call[0] for call in _calls(docker)] == ["version"]


def test_no_docker_is_one_line(tmp_path: Path) -> None:
    """Without docker: exit code 2 and where to get it."""
    done = _serve("vllm", "--model", "m", env={"PATH": str(tmp_path)})
    assert done == (
        2,
        "",
        (
            "tokenswarm serve-backend: error: no program 'docker': install Docker Engine "
            "(docs.docker.com/engine/install) with the NVIDIA Container Toolkit\n"
        ),
    )
