"""docker-compose.yml and what `make up` does, as far as that can be seen without Docker.

The file is held against the Compose Specification's own JSON schema (tests/schemas/compose-spec.json, from
github.com/compose-spec/compose-spec at 170098ba07d9f53c383a41bfd4c5166b0a4529a6, Apache-2.0) and against our own rules. The
set-up of InfluxDB runs against a real one; `make up` runs with a docker that only writes down what it was asked. Where there is a
`docker compose`, it reads the file too.
"""

import ast
import http.client
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest
import yaml
from influx_servers import REMEDY, sources
from jsonschema import Draft7Validator
from locust_runs import simulator, start_cold, until

import harness
from harness.backends import BACKENDS
from harness.option_table import OPTIONS, variable
from harness.servers.process import free_port

ROOT: Final = Path(__file__).parent.parent
FILE: Final = ROOT / "docker-compose.yml"
SOURCE: Final = FILE.read_text(encoding="utf-8")
SCRIPTS: Final = ROOT / "deploy/compose"
VARIABLE: Final = re.compile(r"(?<!\$)\$\{(\w+)(?:(:?[-?])([^}]*))?\}")
SECRETS: Final = (
    "INFLUXDB_ADMIN_TOKEN",
    "INFLUXDB_ADMIN_PASSWORD",
    "GRAFANA_ADMIN_PASSWORD",
    "GRAFANA_SECRET_KEY",
)
NEEDED: Final = {**dict.fromkeys(SECRETS, "x"), "RUN_AS": "1000:1000", "TARGET_HOST": "http://192.0.2.7:8000"}
PYTHON: Final = Path(sys.executable)


def compose(**values: str) -> Any:
    """The file as Compose sees it with these variables. Raises KeyError for one that is missing, with its explanation."""

    def put(match: re.Match[str]) -> str:
        name, how, text = match.groups()
        found = values.get(name, "")
        if found or (how and not how.startswith(":") and name in values):
            return found
        if how is None or "?" in how:
            raise KeyError(name, text)
        return str(text)

    told = yaml.safe_load(SOURCE)

    def walk(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: walk(value) for key, value in part.items()}
        if isinstance(part, list):
            return [walk(one) for one in part]
        return VARIABLE.sub(put, part).replace("$$", "$") if isinstance(part, str) else part

    return walk(told)


FILLED: Final = compose(**NEEDED)
SERVICES: Final[dict[str, dict[str, Any]]] = FILLED["services"]


def test_the_specifications_own_schema_accepts_it() -> None:
    """As it stands, which is how Compose checks it, and with everything filled in."""
    schema = Draft7Validator(json.loads((ROOT / "tests/schemas/compose-spec.json").read_bytes()))
    as_it_stands = yaml.safe_load(SOURCE)
    for told in (as_it_stands, FILLED):
        assert [f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in schema.iter_errors(told)] == []
    broken = json.loads(json.dumps(as_it_stands))
    broken["services"]["master"]["port"] = ["1:1"]
    assert [error.message for error in schema.iter_errors(broken)] != []  # it would say so


@pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0,
    reason="no docker compose here",
)
def test_docker_compose_reads_it() -> None:
    """The real one, where there is one."""
    done = subprocess.run(
        ["docker", "compose", "--env-file", os.devnull, "--file", str(FILE), "--profile", "*", "config", "--format", "json"],
        capture_output=True, text=True, check=False, env={**os.environ, **NEEDED},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["services"]) == set(SERVICES)


def test_only_this_machine_reaches_it() -> None:
    """Pages are published on 127.0.0.1, each with a port of the user's choice; Locust's own port nowhere."""
    published = {name: service.get("ports", []) for name, service in SERVICES.items()}
    assert {name: ports for name, ports in published.items() if ports} == {
        "influxdb": ["127.0.0.1:8086:8086"],
        "grafana": ["127.0.0.1:3000:3000"],
        "master": ["127.0.0.1:8089:8089"],
    }
    moved = compose(**NEEDED, LOCUST_PORT="1", GRAFANA_PORT="2", INFLUXDB_PORT="3")["services"]
    assert [moved[name]["ports"][0] for name in ("master", "grafana", "influxdb")] == [
        "127.0.0.1:1:8089", "127.0.0.1:2:3000", "127.0.0.1:3:8086",
    ]  # fmt: skip
    assert moved["master"]["environment"]["GRAFANA_URL"] == "http://127.0.0.1:2"
    # Locust's page listens at all of the container's addresses, and answers to no foreign name all the same.
    assert SERVICES["master"]["environment"]["LOCUST_WEB_HOST"] == "0.0.0.0"
    assert moved["master"]["environment"]["TOKENSWARM_WEB_ORIGINS"] == "http://127.0.0.1:1,"
    assert not any(key in service for service in SERVICES.values() for key in ("network_mode", "pid", "ipc"))
    assert "5557" not in "".join(map(str, published.values()))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_guarded(name: str) -> None:
    """No root, no capability, a file system that stays as it is, a pinned image, logs that end, no socket of Docker's."""
    service = SERVICES[name]
    user, _, group = service["user"].partition(":")
    assert user.isdigit()
    assert int(user) > 0
    assert int(group) > 0 or name == "grafana"  # its image keeps its files in group 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices"} & set(service)
    assert any(mount.startswith("/tmp") for mount in service["tmpfs"])
    assert re.search(r":[\w-]*\d+[\w.-]*$", service["image"]), service["image"]
    assert "latest" not in service["image"]
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert "docker.sock" not in json.dumps(service)
    assert service["restart"] in {"no", "unless-stopped", "on-failure:3"}
    assert "container_name" not in service  # `--scale` needs more than one name


def test_our_image_is_of_this_version() -> None:
    """One image for master, workers, set-up and simulator, built once, with the version in its tag."""
    ours = {name for name, service in SERVICES.items() if service["image"].startswith("tokenswarm:")}
    assert ours == {"setup", "master", "worker", "simulator"}
    assert {SERVICES[name]["image"] for name in ours} == {f"tokenswarm:{harness.__version__}"}
    assert [name for name, service in SERVICES.items() if "build" in service] == ["setup"]


def test_every_variable_is_explained() -> None:
    """In the file's head; one that is needed says when it is missing where it comes from or what would be right."""
    head = SOURCE.split("\nname:")[0]
    found = {match[1]: match for match in VARIABLE.finditer("\n".join(
        line for line in SOURCE.splitlines() if not line.lstrip().startswith("#")
    ))}  # fmt: skip
    assert {name for name in found if not re.search(rf"\b{name}\b", head)} == set()
    assert {
        name for name, match in found.items() if match[2] is None
    } == set()  # neither default nor explanation
    needed = {name: match[3] for name, match in found.items() if "?" in match[2]}
    assert set(needed) == set(NEEDED)
    for name, text in needed.items():
        assert len(text) > 40, name
        assert "make up" in text or "http://" in text, name
        with pytest.raises(KeyError, match=name):
            compose(**{key: value for key, value in NEEDED.items() if key != name})


def test_what_it_names_is_there() -> None:
    """Files that are mounted, services and volumes that are spoken of, and a health check wherever one is waited for."""
    named = {f"{volume}" for volume in FILLED["volumes"]}
    used = set()
    for service in SERVICES.values():
        for mount in service.get("volumes", ()):
            source, colon, _ = mount.partition(":")
            if source.startswith("."):
                assert source in {"./results", "./models"} or (ROOT / source).exists(), source
            elif colon:
                used.add(source)
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[other]
            assert how["condition"] != "service_completed_successfully" or SERVICES[other]["restart"] == "no"
        assert set(service["networks"]) <= set(FILLED["networks"])
    assert used == named
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == {"setup", "worker"}


def test_who_may_have_which_secret() -> None:
    """The admin's token is the set-up's alone; Grafana has the token that reads, Locust's processes the one that writes."""
    holders = {
        name for name, service in SERVICES.items() if "INFLUXDB_ADMIN_TOKEN" in service.get("environment", {})
    }
    assert holders == {"setup"}
    mounts = {
        name: {mount for mount in service.get("volumes", ()) if "-token:" in mount}
        for name, service in SERVICES.items()
    }
    assert mounts == {
        "influxdb": set(), "simulator": set(), "llamacpp": set(),
        "setup": {"read-token:/tokens/read", "write-token:/tokens/write"},
        "grafana": {"read-token:/tokens/read:ro"},
        "master": {"write-token:/tokens/write:ro"},
        "worker": {"write-token:/tokens/write:ro"},
    }  # fmt: skip
    for name in ("master", "worker"):
        assert SERVICES[name]["environment"]["INFLUXDB_TOKEN_FILE"] == "/tokens/write/token"
    assert not any(
        "env_file" in service for service in SERVICES.values()
    )  # .env holds more than they may know
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"install -d -o 10001 -g 10001 .*/tokens/read /tokens/write", dockerfile)


def test_variables_that_somebody_reads() -> None:
    """What is set in the containers is read there: by Locust, by us, by the set-up."""
    spec = subprocess.run(
        [sys.executable, "-c", "import locust.argument_parser as a; print(a.__file__)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    locust = set(re.findall(r'env_var="(\w+)"', Path(spec.stdout.strip()).read_text(encoding="utf-8")))
    ours = {variable(name) for name, *_ in OPTIONS}
    keys = {key for modes in BACKENDS.values() for backend in modes for key in backend.key_variables}
    read = locust | ours | keys | {
        "INFLUXDB_URL", "INFLUXDB_TOKEN_FILE", "INFLUXDB_ORG", "INFLUXDB_BUCKET", "GRAFANA_URL", "HF_TOKEN", "TOKENSWARM_API_KEY",
        "TOKENSWARM_BACKEND", "TOKENSWARM_WEB_USER", "TOKENSWARM_WEB_PASSWORD_HASH", "TOKENSWARM_WEB_ORIGINS",
        "TOKENSWARM_ALLOWED_HOSTS", "TOKENSWARM_API_KEY_ORIGIN",
    }  # fmt: skip
    for name in ("master", "worker"):
        assert set(SERVICES[name]["environment"]) - read == set()
    handed_on = {key for key, value in SERVICES["worker"]["environment"].items() if value is None}
    assert keys <= handed_on
    assert handed_on <= set(SERVICES["master"]["environment"])
    tree = ast.parse((SCRIPTS / "influxdb.py").read_text(encoding="utf-8"))
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    for key in SERVICES["setup"]["environment"]:
        assert (
            key in texts
            or key.removeprefix("INFLUXDB_") in texts
            or key.removesuffix("_TOKEN_FILE") in {"READ", "WRITE"}
        ), key


def test_grafana_finds_its_files_and_its_token(tmp_path: Path) -> None:
    """Provisioning looks where the dashboards are mounted, for variables that are set; without the token's file it does not start."""
    grafana = SERVICES["grafana"]
    provider = yaml.safe_load((ROOT / "dashboards/provisioning/dashboards/tokenswarm.yaml").read_text())[
        "providers"
    ][0]
    assert f"./dashboards:{provider['options']['path']}:ro" in grafana["volumes"]
    assert "./dashboards/provisioning:/etc/grafana/provisioning:ro" in grafana["volumes"]
    source = (ROOT / "dashboards/provisioning/datasources/influxdb.yaml").read_text()
    wanted = set(re.findall(r"\$\{(\w+)\}", source))
    assert wanted - set(grafana["environment"]) == {"INFLUXDB_READ_TOKEN"}
    (run := tmp_path / "run.sh").write_text("#!/bin/sh\nenv\n")
    run.chmod(0o755)
    shell, flag, script = grafana["entrypoint"]
    script = script.replace("/tokens/read/token", str(tmp_path / "token")).replace("/run.sh", str(run))
    assert subprocess.run([shell, flag, script], capture_output=True, check=False).returncode != 0
    (tmp_path / "token").write_text("a-b_c==")
    done = subprocess.run([shell, flag, script], capture_output=True, text=True, check=True)
    assert "INFLUXDB_READ_TOKEN=a-b_c==\n" in done.stdout


def test_there_is_time_to_end() -> None:
    """Compose waits longer than a run takes to drain and a worker to hand over."""
    drain = float(
        re.findall(r"^DRAIN_S = ([\d.]+)", (ROOT / "harness/plugin.py").read_text(), re.MULTILINE)[0]
    )
    hand_over = float(
        re.findall(
            r"^HANDOVER_S: Final = ([\d.]+)",
            (ROOT / "harness/distributed/worker.py").read_text(),
            re.MULTILINE,
        )[0]
    )
    assert SERVICES["master"]["stop_grace_period"] == SERVICES["worker"]["stop_grace_period"] == "5m"
    assert drain + hand_over + 60 < 300


def _check(service: str, port: int) -> int:
    """The exit code of a service's own health check, here and at another port."""
    words = [
        word.replace("8089", str(port)).replace(":8080", f":{port}")
        for word in SERVICES[service]["healthcheck"]["test"][1:]
    ]
    words[0] = sys.executable if words[0] == "python" else words[0]
    return subprocess.run(words, capture_output=True, timeout=30, check=False).returncode


def test_the_simulator_starts_and_is_healthy() -> None:
    """With the very options it has there."""
    words = shlex.split(SERVICES["simulator"]["command"])
    assert words[:5] == ["simulate", "--host", "0.0.0.0", "--port", "8080"]
    assert _check("simulator", free_port()) != 0
    with simulator(*words[5:]) as server:
        assert _check("simulator", int(server.url.rpartition(":")[2])) == 0


def test_the_master_starts_and_is_healthy(tmp_path: Path) -> None:
    """With the very environment it has there: nothing set that may stay unset, and with options of the user's."""
    port, own = free_port(), free_port()
    service = compose(**NEEDED, LOCUST_OPTIONS=f"--loglevel WARNING --master-bind-port {own}")["services"][
        "master"
    ]
    environment = {name: value for name, value in service["environment"].items() if value is not None}
    assert environment["TOKENSWARM_MODEL"] == ""
    del environment["LOCUST_LOCUSTFILE"]  # `start` gives it
    environment["INFLUXDB_TOKEN_FILE"] = str(tmp_path / "token")
    (tmp_path / "token").write_text("t")
    assert _check("master", port) != 0
    options = ["--web-port", str(port), "--web-host", "127.0.0.1", *shlex.split(service["command"])]
    process = start_cold("openai.py", tmp_path / "results", *options, env=environment)
    try:
        until(lambda: process.poll() is not None or _check("master", port) == 0)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        assert "http://192.0.2.7:8000" in connection.getresponse().read().decode()
        connection.close()
    finally:
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert "tokenswarm: error" not in err
    assert "Traceback" not in err


# InfluxDB's set-up.


@contextmanager
def fresh_influxdb(folder: Path) -> Iterator[str]:
    """An InfluxDB 2 that nobody has set up."""
    programs = [source.program for source in sources() if source.kind == "2.x" and not source.container]
    if not programs:
        if os.environ.get("TOKENSWARM_REQUIRE_REAL") == "1" and not sources():
            pytest.fail(REMEDY)
        pytest.skip("no influxd 2.x that nobody has set up: `make influxd`")
    port = free_port()
    command = [
        programs[0],
        "--http-bind-address",
        f"127.0.0.1:{port}",
        "--reporting-disabled",
        "--log-level",
        "error",
    ]
    paths = [f"--{name}={folder / name}" for name in ("bolt-path", "engine-path", "sqlite-path")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, *paths], stdout=log, stderr=log, env={"HOME": str(folder)})
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def set_up(url: str, folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run it as the service does, with the image's Python being ours."""
    service = compose(**NEEDED, INFLUXDB_ORG="an org", INFLUXDB_BUCKET="a bucket")["services"]["setup"]
    environment = service["environment"] | {
        "INFLUXDB_URL": url, "INFLUXDB_ADMIN_TOKEN": "admin-canary", "INFLUXDB_ADMIN_PASSWORD": "password-canary",
        "READ_TOKEN_FILE": str(folder / "read"), "WRITE_TOKEN_FILE": str(folder / "write"),
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPTS / "influxdb.py")], capture_output=True, text=True, check=False, timeout=120,
        env={name: str(value) for name, value in (environment | changes).items()},
    )  # fmt: skip


def asked(
    url: str, method: str, path: str, token: str, body: bytes | None = None, **query: str
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.request(method, f"{path}?{urlencode(query)}", body, {"Authorization": f"Token {token}"})
    answer = connection.getresponse()
    told = answer.status, answer.read().decode()
    connection.close()
    return told


def test_the_set_up_on_a_real_influxdb(tmp_path: Path) -> None:
    """Two tokens, each of which does its own and nothing else; again changes nothing; what is lost or wrong is mended or said."""
    with fresh_influxdb(tmp_path) as url:
        first = set_up(url, tmp_path)
        assert (first.returncode, first.stderr) == (0, "")
        assert first.stdout.splitlines() == [
            "set up: organization an org, bucket a bucket",
            "made a token to read the bucket a bucket",
            "made a token to write the bucket a bucket",
        ]
        read, write = ((tmp_path / name).read_text() for name in ("read", "write"))
        assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("read", "write")] == [
            0o644,
            0o644,
        ]
        names = {"org": "an org", "bucket": "a bucket"}
        assert asked(url, "POST", "/api/v2/write", write, b"m,run=a f=1i 1000000000", **names)[0] == 204
        assert asked(url, "POST", "/api/v2/write", read, b"m f=1i 2", **names)[0] in {401, 403, 404}
        select = {"db": "a bucket", "epoch": "ms", "q": 'SELECT "f" FROM "m"'}
        status, body = asked(url, "POST", "/query", read, **select)  # as Grafana asks
        assert (status, json.loads(body)["results"][0]["series"][0]["values"]) == (200, [[1000, 1]])
        status, body = asked(url, "POST", "/query", write, **select)
        assert status != 200 or "series" not in body
        assert (
            asked(url, "GET", "/api/v2/buckets", write)[1].count('"name"') <= 1
        )  # what it writes to, nothing else

        again = set_up(url, tmp_path)
        assert again.stdout.splitlines() == ["the token to read is there", "the token to write is there"]
        assert [(tmp_path / name).read_text() for name in ("read", "write")] == [read, write]

        (tmp_path / "write").write_text("gone-bad")
        (tmp_path / "read").unlink()
        mended = set_up(url, tmp_path)
        assert mended.stdout.splitlines() == [
            "made a token to read the bucket a bucket", "made a token to write the bucket a bucket",
        ]  # fmt: skip
        assert (
            asked(url, "POST", "/api/v2/write", write, b"m f=1i 3", **names)[0] == 401
        )  # the old one is gone
        write = (tmp_path / "write").read_text()
        assert asked(url, "POST", "/api/v2/write", write, b"m f=1i 3", **names)[0] == 204

        more = set_up(url, tmp_path, INFLUXDB_BUCKET="another", INFLUXDB_RETENTION_DAYS="3")
        assert more.stdout.splitlines()[0] == "made the bucket another"
        rules = json.loads(asked(url, "GET", "/api/v2/buckets", "admin-canary", name="another")[1])[
            "buckets"
        ][0]["retentionRules"]
        assert [rule["everySeconds"] for rule in rules] == [3 * 86400]
        for changes, says in (
            (
                {"INFLUXDB_ADMIN_TOKEN": "wrong-canary"},
                "INFLUXDB_ADMIN_TOKEN is not the one that InfluxDB's data was made with",
            ),
            (
                {"INFLUXDB_BUCKET": "c", "INFLUXDB_RETENTION_DAYS": "1.5"},
                "INFLUXDB_RETENTION_DAYS '1.5': a whole number of days",
            ),
            ({"INFLUXDB_BUCKET": "a/b"}, "INFLUXDB_BUCKET 'a/b': give a name without a slash"),
            ({"READ_TOKEN_FILE": str(tmp_path / "no/such")}, "No such file or directory"),
        ):
            done = set_up(url, tmp_path, **changes)
            assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
            assert says in done.stderr
            assert "canary" not in done.stdout + done.stderr


# `make up`, with a docker that writes down what it was asked.

DOCKER: Final = """#!/bin/sh
echo "$@" >>"$CALLS"
case "$1 $2" in
"compose version") exit ${NO_COMPOSE:-0} ;;
"info ") exit ${NO_ENGINE:-0} ;;
"compose up") exit ${NO_UP:-0} ;;
esac
"""
TOOLS: Final = "sh env od tr sed tail chmod id mkdir chown dirname cat grep"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout with only what `make up` needs, and a PATH with only what every system has."""
    shutil.copytree(SCRIPTS, tmp_path / "deploy/compose")
    (tmp_path / "bin").mkdir()
    for tool in TOOLS.split():
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    (tmp_path / "bin/docker").write_text(DOCKER)
    (tmp_path / "bin/docker").chmod(0o755)
    return tmp_path


def script(copy: Path, name: str = "up", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(shutil.which("sh")), str(copy / f"deploy/compose/{name}.sh")], capture_output=True, text=True, check=False,
        env={"PATH": str(copy / "bin"), "CALLS": str(copy / "calls"), **environment}, cwd="/", timeout=60,
    )  # fmt: skip


def settings(copy: Path) -> dict[str, str]:
    lines = (copy / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_make_up_makes_secrets_once(copy: Path) -> None:
    """A fresh .env is for this user only and has all that is needed; a second `make up` leaves it as it is; none is printed."""
    done = script(copy)
    assert (done.returncode, done.stderr) == (0, "")
    env = settings(copy)
    assert stat.S_IMODE((copy / ".env").stat().st_mode) == 0o600
    assert set(env) == {*NEEDED, "COMPOSE_PROFILES"}
    lengths = [len(env[name]) for name in SECRETS]
    assert lengths == [64, 32, 32, 64]
    assert all(re.fullmatch(r"[0-9a-f]+", env[name]) for name in SECRETS)
    assert len({env[name] for name in SECRETS}) == 4
    assert (env["TARGET_HOST"], env["COMPOSE_PROFILES"]) == ("http://simulator:8080", "simulator")
    assert env["RUN_AS"] == (f"{os.getuid()}:{os.getgid()}" if os.getuid() else "10001:10001")
    assert (copy / "results").stat().st_uid == int(env["RUN_AS"].split(":")[0])
    assert compose(**env)["services"]["master"]["environment"]["LOCUST_HOST"] == "http://simulator:8080"
    calls = (copy / "calls").read_text().splitlines()
    assert calls[2:] == ["compose build", "compose up --detach --wait --remove-orphans"]
    for address in ("http://127.0.0.1:8089", "http://127.0.0.1:3000", "http://127.0.0.1:8086"):
        assert address in done.stdout
    assert not any(env[name] in done.stdout for name in SECRETS)
    before = (copy / ".env").read_bytes()
    assert script(copy).returncode == 0
    assert (copy / ".env").read_bytes() == before


def test_make_up_completes_what_is_there(copy: Path) -> None:
    """Values of the user's stay, missing ones are added, the simulator is not forced on anybody."""
    (copy / ".env").write_text(
        "TARGET_HOST=http://me:pw@10.0.0.7:8000\nGRAFANA_PORT=3333\nGRAFANA_ADMIN_PASSWORD=mine=1\nRUN_AS=7:7"
    )
    (copy / ".env").chmod(0o644)
    done = script(copy, GRAFANA_SECRET_KEY="from-the-shell", LOCUST_PORT="9999")
    assert done.returncode == 0, done.stderr
    env = settings(copy)
    assert stat.S_IMODE((copy / ".env").stat().st_mode) == 0o600
    assert (env["GRAFANA_ADMIN_PASSWORD"], env["RUN_AS"]) == ("mine=1", "7:7")
    assert set(env) == {
        "TARGET_HOST", "GRAFANA_PORT", "GRAFANA_ADMIN_PASSWORD", "RUN_AS", "INFLUXDB_ADMIN_TOKEN", "INFLUXDB_ADMIN_PASSWORD",
    }  # fmt: skip
    assert "http://127.0.0.1:3333" in done.stdout
    assert "http://127.0.0.1:9999" in done.stdout
    assert "Under load is http://10.0.0.7:8000;" in done.stdout


def test_make_up_goes_by_the_shell(copy: Path) -> None:
    """What is set there goes before .env, as it does with Compose, and is not written down; no simulator where there is a target."""
    done = script(copy, TARGET_HOST="http://10.0.0.8:1", RUN_AS=f"{os.getuid()}:{os.getgid()}")
    assert done.returncode == 0, done.stderr
    assert set(settings(copy)) == set(SECRETS)
    assert "Under load is http://10.0.0.8:1;" in done.stdout


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"NO_COMPOSE": "1"}, "docker has no compose plugin: install docker-compose-plugin"),
        ({"NO_ENGINE": "1"}, "docker does not answer: start it"),
        ({"PATH": ""}, "docker is not installed: see https://docs.docker.com/engine/install/"),
    ],
)
def test_make_up_says_what_is_missing(copy: Path, environment: dict[str, str], says: str) -> None:
    """One line, exit code 2, and nothing has been made."""
    if "PATH" in environment:
        (copy / "bin/docker").unlink()
    for name in ("up", "down"):
        done = script(copy, name, **{key: value for key, value in environment.items() if key != "PATH"})
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert done.stderr.startswith(f"make {name}: {says}")
    assert not (copy / ".env").exists()


def test_make_up_that_fails_says_where_to_look(copy: Path) -> None:
    """Docker's own exit code, and the two commands that show why."""
    done = script(copy, NO_UP="17")
    assert done.returncode == 17
    assert "docker compose logs NAME" in done.stderr
    assert "127.0.0.1" not in done.stdout


def test_make_down_works_without_its_settings(copy: Path) -> None:
    """Someone who has lost .env can still stop everything; every profile's services too."""
    done = script(copy, "down")
    assert (done.returncode, done.stderr) == (0, "")
    assert (copy / "calls").read_text().splitlines()[-1] == "compose --profile * down --remove-orphans"
    assert "The data is kept" in done.stdout


def test_the_scripts_are_sound() -> None:
    """They parse as POSIX shell; shellcheck is content, where there is one."""
    for path in SCRIPTS.glob("*.sh"):
        subprocess.run(["sh", "-n", str(path)], check=True)
        if checker := shutil.which("shellcheck"):
            subprocess.run([checker, "--external-sources", str(path)], check=True, cwd=ROOT)


def test_secrets_stay_out_of_git_and_of_the_image() -> None:
    """.env is ignored by both."""
    assert subprocess.run(["git", "check-ignore", "--quiet", ".env"], cwd=ROOT, check=False).returncode == 0
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    assert not any(line.startswith("!") and "env" in line for line in ignored)
