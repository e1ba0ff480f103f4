"""`tokenswarm dashboards` against a Grafana of our own that answers as Grafana 13 does: routes, statuses, bodies.

Its answers are from Grafana's HTTP API documentation and source (pkg/api, pkg/services/dashboards/errors.go, pkg/services/folder,
pkg/tsdb/influxdb/healthcheck.go). No real Grafana was there to ask.
"""

import base64
import copy
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from commands import Said, command
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.grafana import access, build, upkeep
from harness.grafana.facade import Grafana, Refused
from harness.grafana.links import run_link
from harness.grafana.stored import difference, with_datasource
from harness.influx.access import Access as InfluxAccess

ROOT = Path(__file__).parent.parent
TOKEN = "glsa_canary7Qd2_5e8f"
EDITOR = frozenset(
    f"{what}:{right}"
    for what, rights in {
        "folders": ("read", "create"),
        "dashboards": ("read", "create"),
        "datasources": ("read", "query"),
        "annotations": ("read", "create"),
    }.items()
    for right in rights
)
ADMIN = EDITOR | {"datasources:create"}

Answer = tuple[int, Any]


class Stub:
    """One organization of a Grafana: what is stored there, and who may do what."""

    def __init__(self, prefix: str = "", rights: frozenset[str] = ADMIN) -> None:
        self.prefix = prefix
        self.rights = rights
        self.logins = {f"Bearer {TOKEN}", "Basic " + base64.b64encode(b"admin:pw:1").decode()}
        self.folders: dict[str, dict[str, Any]] = {}
        self.datasources: dict[str, dict[str, Any]] = {}
        self.dashboards: dict[str, dict[str, Any]] = {}
        self.annotations: list[dict[str, Any]] = []
        self.provisioned: set[str] = set()
        self.raw: tuple[int, dict[str, str], bytes] | None = None  # instead of all answers
        self.unwell = ""  # why the data source's test fails
        self.url = ""

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], body: Any, login: str) -> Answer:
        if path == "/health":
            return 200, {"commit": "0a1b2c", "database": "ok", "version": "13.2.3"}
        if login not in self.logins:
            return 401, {
                "message": "Invalid API key",
                "messageId": "api-key.invalid",
                "statusCode": 401,
                "traceID": "",
            }
        if path == "/access-control/user/permissions":
            return 200, {right: ["*"] for right in self.rights}
        right, call = {
            ("GET", "folders"): ("folders:read", self.get_folder),
            ("POST", "folders"): ("folders:create", self.post_folder),
            ("GET", "datasources"): ("datasources:read", self.get_datasource),
            ("POST", "datasources"): ("datasources:create", self.post_datasource),
            ("GET", "dashboards"): ("dashboards:read", self.get_dashboard),
            ("POST", "dashboards"): ("dashboards:create", self.post_dashboard),
            ("GET", "annotations"): ("annotations:read", self.get_annotations),
            ("POST", "annotations"): ("annotations:create", self.post_annotation),
        }.get((method, path.split("/")[1]), ("", None))
        if call is None:
            return 404, {"message": "Not found"}
        if right not in self.rights:
            return 403, {
                "accessErrorId": "ACE0123456789",
                "message": f"You'll need additional permissions to perform this action. Permissions needed: {right}",
                "title": "Access denied",
            }
        return call([unquote(part) for part in path.split("/")[2:]], query, body)

    def get_folder(self, rest: list[str], *_: object) -> Answer:
        if not rest:
            return 200, list(self.folders.values())
        return (
            (200, self.folders[rest[0]])
            if rest[0] in self.folders
            else (404, {"message": "folder not found"})
        )

    def post_folder(self, _: list[str], __: object, body: dict[str, Any]) -> Answer:
        if any(one["title"] == body["title"] for one in self.folders.values()):
            return 409, {"message": "a folder with the same name already exists in the current location"}
        self.folders[body["uid"]] = {"uid": body["uid"], "title": body["title"], "id": 1}
        return 200, self.folders[body["uid"]]

    def get_datasource(self, rest: list[str], *_: object) -> Answer:
        there = self.datasources.get(rest[1])
        if there is None:
            return 404, {
                "message": "Data source not found",
                "messageId": "datasource.notFound",
                "statusCode": 404,
            }
        if rest[2:] == ["health"]:
            if self.unwell:
                return 400, {"message": self.unwell, "status": "ERROR"}
            return 200, {"message": "datasource is working. 12 measurements found", "status": "OK"}
        return 200, {key: value for key, value in there.items() if key != "secureJsonData"}

    def post_datasource(self, _: list[str], __: object, body: dict[str, Any]) -> Answer:
        if any(one["name"] == body["name"] for one in self.datasources.values()):
            return 409, {"message": "data source with the same name already exists"}
        self.datasources[body["uid"]] = body
        return 200, {
            "datasource": {"uid": body["uid"]},
            "id": 1,
            "message": "Datasource added",
            "name": body["name"],
        }

    def get_dashboard(self, rest: list[str], *_: object) -> Answer:
        if rest[1] not in self.dashboards:
            return 404, {"message": "Dashboard not found"}
        return 200, {"meta": {"slug": "x"}, "dashboard": self.dashboards[rest[1]]}

    def post_dashboard(self, _: list[str], __: object, body: dict[str, Any]) -> Answer:
        dashboard, uid = body["dashboard"], body["dashboard"]["uid"]
        if body["folderUid"] not in self.folders:
            return 400, {"message": "folder not found"}
        if uid in self.provisioned:
            return 400, {"message": "Cannot save provisioned dashboard"}
        version = int(self.dashboards.get(uid, {}).get("version", 0)) + 1
        if version > 1 and not body["overwrite"]:
            return 412, {
                "message": "The dashboard has been changed by someone else",
                "status": "version-mismatch",
            }
        self.dashboards[uid] = {
            **copy.deepcopy(dashboard),
            "id": len(self.dashboards) + 1,
            "version": version,
        }
        return 200, {
            "status": "success",
            "uid": uid,
            "version": version,
            "url": f"/d/{uid}/x",
            "slug": "x",
            "id": 1,
        }

    def get_annotations(self, _: list[str], query: Mapping[str, list[str]], __: object) -> Answer:
        found = [one for one in self.annotations if set(query.get("tags", ())) <= set(one["tags"])]
        return 200, found[: int(query.get("limit", ["100"])[0])]

    def post_annotation(self, _: list[str], __: object, body: dict[str, Any]) -> Answer:
        if not body["text"]:
            return 400, {"message": "Failed to save annotation"}
        self.annotations.append({"id": len(self.annotations) + 1, **body})
        return 200, {"message": "Annotation added", "id": len(self.annotations)}


@contextmanager
def grafana(stub: Stub) -> Iterator[Stub]:
    """The stub behind a real HTTP server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"null")
            parts = urlsplit(self.path)
            begin = f"{stub.prefix}/api"
            status, headers, data = stub.raw or (0, {}, b"")
            if not stub.raw and not parts.path.startswith(begin + "/"):
                status, headers, data = 404, {"Content-Type": "text/html"}, b"<html>no message here</html>"
            elif not stub.raw:
                login = self.headers.get("Authorization", "")
                status, told = stub.answer(
                    self.command, parts.path[len(begin) :], parse_qs(parts.query), body, login
                )
                headers, data = {"Content-Type": "application/json"}, json.dumps(told).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815  http.server's name for it

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_port}{stub.prefix}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def facade(stub: Stub, token: str = TOKEN) -> Grafana:
    return Grafana(access.Access(stub.url, token), timeout_s=5)


def run(stub_url: str, *arguments: str, **environment: str) -> Said:
    """`tokenswarm dashboards ...` with these variables."""
    own = {"GRAFANA_URL": stub_url, "GRAFANA_TOKEN": TOKEN, **environment}
    return command("dashboards", *arguments, env=own, without=("GRAFANA_", "INFLUXDB_"))


def influxdb() -> InfluxAccess:
    return InfluxAccess(url="http://influxdb:8086", token="read-canary-3", org="o", bucket="tokenswarm")


def run_directory(path: Path, events: list[dict[str, Any]], *, finished: bool = True) -> Path:
    path.mkdir()
    run = {
        "schema": 1, "run_id": "20261121T101500Z-a&b c", "started_at": "2026-11-21T10:15:00.250+00:00",
        "finished_at": "2026-11-21T10:16:00.500+00:00" if finished else None, "events": events,
    }  # fmt: skip
    (path / "run.json").write_text(json.dumps(run))
    return path


EVENTS = [
    {"time_ns": 1_795_256_101_000_400_000, "what": "level 2: 2 users", "topic": "level", "level": 2},
    {
        "time_ns": 1_795_256_103_000_000_000,
        "what": 'worker "b,1" is not heard',
        "topic": "worker",
        "level": 2,
    },
    {"time_ns": 1_795_256_103_000_100_000, "what": "old kind of event"},
]


@pytest.mark.parametrize("prefix", ["", "/grafana", "/a/b"])
def test_push_makes_everything_and_again_changes_nothing_else(prefix: str) -> None:
    """Folder, data source and all dashboards; a second push only makes new versions."""
    with grafana(Stub(prefix)) as stub:
        lines = [line.text for line in upkeep.push(facade(stub), build.dashboards(), influxdb())]
        assert list(stub.folders) == ["tokenswarm"]
        made = stub.datasources["tokenswarm"]
        assert made["jsonData"] == {
            "version": "InfluxQL", "dbName": "tokenswarm", "httpMode": "POST", "timeInterval": "1s",
            "httpHeaderName1": "Authorization",
        }  # fmt: skip
        assert (made["url"], made["secureJsonData"]) == (
            "http://influxdb:8086",
            {"httpHeaderValue1": "Token read-canary-3"},
        )
        assert set(stub.dashboards) == {
            f"tokenswarm-{name}" for name in ("live", "capacity", "compare", "trust", "server")
        }
        assert [one["version"] for one in stub.dashboards.values()] == [1] * 5
        assert any(f"{stub.url}/d/tokenswarm-live" in line for line in lines)
        assert "read-canary-3" not in "".join(lines)
        assert all(line.fine for line in upkeep.check(facade(stub), build.dashboards()))
        again = [line.text for line in upkeep.push(facade(stub), build.dashboards(), None)]
        assert again[1:3] == [
            "folder tokenswarm: is there",
            "data source tokenswarm: is there (http://influxdb:8086), left as it is",
        ]
        assert [one["version"] for one in stub.dashboards.values()] == [2] * 5


def test_check_says_what_is_missing_and_what_differs() -> None:
    """Each in a line of its own, with the place in the dashboard."""
    with grafana(Stub()) as stub:
        missing = [line.text for line in upkeep.check(facade(stub), build.dashboards()) if not line.fine]
        assert len(missing) == 6
        assert missing[0] == "data source tokenswarm: missing; `tokenswarm dashboards push` makes it"
        list(upkeep.push(facade(stub), build.dashboards(), influxdb()))
        stub.dashboards["tokenswarm-trust"]["panels"][1]["title"] = "edited"
        stub.dashboards["tokenswarm-live"]["schemaVersion"] = 99  # Grafana's own business
        stub.unwell = "error reading influxDB unauthorized access"
        found = [line.text for line in upkeep.check(facade(stub), build.dashboards()) if not line.fine]
        title = next(one["title"] for one in build.dashboards().values() if one["uid"] == "tokenswarm-trust")
        assert found == [
            "data source tokenswarm (http://influxdb:8086): error reading influxDB unauthorized access",
            f"dashboard {title}: differs at panels[1].title; `tokenswarm dashboards push` brings ours back",
        ]


def test_another_data_source_is_used_in_every_panel() -> None:
    """`--datasource UID`: nothing reads from the usual one any more; one that is not there is an error."""
    with grafana(Stub()) as stub:
        stub.datasources["mine"] = {
            "uid": "mine",
            "name": "Mine",
            "type": "influxdb",
            "url": "http://db:8086",
        }
        list(upkeep.push(facade(stub), build.dashboards(), None, "mine"))
        assert list(stub.datasources) == ["mine"]
        text = json.dumps(stub.dashboards)
        assert '"uid": "tokenswarm"' not in text
        assert '"uid": "mine"' in text
        assert all(line.fine for line in upkeep.check(facade(stub), build.dashboards(), "mine"))
        with pytest.raises(
            ConfigError, match="--datasource 'other': Grafana has no data source with this uid"
        ):
            list(upkeep.push(facade(stub), {}, None, "other"))
        stub.datasources["prom"] = {"uid": "prom", "name": "P", "type": "prometheus"}
        with pytest.raises(ConfigError, match="its type is 'prometheus'"):
            list(upkeep.push(facade(stub), {}, None, "prom"))


def test_names_that_are_taken() -> None:
    """A folder of our title under another uid is used; a data source of our name under another uid is an error with the fix."""
    with grafana(Stub()) as stub:
        stub.folders["abc"] = {"uid": "abc", "title": "tokenswarm"}
        stub.datasources["xyz"] = {"uid": "xyz", "name": "tokenswarm", "type": "influxdb"}
        with pytest.raises(
            ConfigError, match="with another uid: rename it, or give its uid with --datasource"
        ):
            list(upkeep.push(facade(stub), {}, influxdb()))
        lines = [line.text for line in upkeep.push(facade(stub), build.dashboards(), None, "xyz")]
        assert "folder tokenswarm: one of that title is there and is used (uid abc)" in lines
        assert len(stub.dashboards) == 5


def test_dashboards_from_files_are_left_alone() -> None:
    """Where they are provisioned, a push says that they need none."""
    with grafana(Stub()) as stub:
        stub.provisioned = {"tokenswarm-live"}
        with pytest.raises(Refused, match="comes from provisioning files, and changes with them"):
            list(upkeep.push(facade(stub), build.dashboards(), influxdb()))


def test_annotations_are_written_once(tmp_path: Path) -> None:
    """Events with their kinds, the run as a region; again adds nothing; a new event is added alone."""
    with grafana(Stub()) as stub:
        directory = run_directory(tmp_path / "run", EVENTS)
        first, second = (run(stub.url, "annotate", str(directory)) for _ in range(2))
        assert (first.returncode, first.stderr) == (0, "")
        assert first.stdout == "run 20261121T101500Z-a&b c: 4 annotations added, 0 were there\n"
        assert second.stdout == "run 20261121T101500Z-a&b c: 0 annotations added, 4 were there\n"
        assert [(one["time"], one["timeEnd"], one["tags"][2], one["text"]) for one in stub.annotations] == [
            (1795256100250, 1795256160500, "run", "run 20261121T101500Z-a&b c"),
            (1795256101000, 1795256101000, "level", "level 2: 2 users"),
            (1795256103000, 1795256103000, "worker", 'worker "b,1" is not heard'),
            (1795256103000, 1795256103000, "note", "old kind of event"),
        ]
        assert {tuple(one["tags"][:2]) for one in stub.annotations} == {
            ("tokenswarm", "20261121T101500Z-a&b c")
        }
        running = run_directory(
            tmp_path / "more",
            [*EVENTS, {"time_ns": 1_795_256_105_000_000_000, "what": "stop", "topic": "stop"}],
            finished=False,
        )
        third = run(stub.url, "annotate", str(running))
        assert "1 annotations added, 3 were there" in third.stdout
        assert "the run is not over" in third.stdout


def test_annotating_what_is_no_grafana(tmp_path: Path) -> None:
    """It is asked who it is first, whatever it would make of annotations."""
    with grafana(Stub()) as stub:
        stub.raw = (200, {}, b'{"status":"pass"}')
        done = run(stub.url, "annotate", str(run_directory(tmp_path / "run", EVENTS)))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "what answers there is not Grafana" in done.stderr


def test_more_annotations_than_grafana_tells_by_itself() -> None:
    """Grafana gives 100 unless asked for more."""
    events = [
        {"time_ns": 1_795_256_101_000_000_000 + n * 1_000_000, "what": f"event {n}"} for n in range(150)
    ]
    told = {"run_id": "r", "started_at": "2026-11-21T10:15:00+00:00", "finished_at": None, "events": events}
    with grafana(Stub()) as stub:
        for added in (150, 0):
            assert next(upkeep.annotate(facade(stub), told)).text.startswith(
                f"run r: {added} annotations added"
            )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"logins": set()}, "401 (Invalid API key): GRAFANA_TOKEN is wrong, expired or of another Grafana"),
        ({"rights": EDITOR - {"folders:create"}}, "Permissions needed: folders:create): the token lacks the right folders:create"),
        ({"rights": EDITOR}, "the token lacks the right datasources:create"),
        ({"prefix": "/grafana"}, "the answer is a page, not JSON"),
        ({"raw": (200, {"Content-Type": "text/html"}, b"<html>message</html>")}, "the answer is a page, not JSON; is there a path"),
        ({"raw": (200, {}, b'{"status":"pass"}')}, "what answers there is not Grafana"),
        ({"raw": (200, {}, b'["message"]')}, "what answers there is not Grafana"),
        ({"raw": (302, {"Location": "https://sso.example/login?token=abc"}, b"")}, "it sends us on to https://sso.example/login:"),
        ({"raw": (502, {"Content-Type": "text/html"}, b"Bad gateway message")}, "502; see Grafana's log"),
        ({"raw": (500, {}, b'{"message":"Failed, token glsa_canary7Qd2_5e8f"}')}, "500 (Failed, token ***); see Grafana's log"),
        ({"raw": (404, {}, b'["message"]')}, "404: not there; is there a path prefix"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_one_line(change: dict[str, Any], says: str) -> None:
    """Named with the fix, exit code 2, no traceback, no token."""
    with grafana(Stub()) as stub:
        for name, value in change.items():
            setattr(stub, name, value)
        if stub.prefix:  # the user left it out; a reverse proxy's page answers
            stub.raw = (404, {"Content-Type": "text/html"}, b"<html>message</html>")
            says = "404: not there; is there a path prefix"
        done = run(
            stub.url.removesuffix(stub.prefix), "push",
            INFLUXDB_URL="http://influxdb:8086", INFLUXDB_TOKEN="influx-canary-9", INFLUXDB_ORG="o",
        )  # fmt: skip
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert says in done.stderr
    assert done.stderr.startswith("tokenswarm dashboards: error: ")
    for secret in ("canary", "Traceback"):
        assert secret not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"GRAFANA_URL": ""}, "GRAFANA_URL is not set"),
        ({"GRAFANA_URL": "grafana:3000"}, "GRAFANA_URL 'grafana:3000': give Grafana's address"),
        (
            {"GRAFANA_URL": "http://admin:canary@g:3000"},
            "holds a login: put `user:password` into GRAFANA_TOKEN",
        ),
        ({"GRAFANA_URL": "http://g:x"}, "GRAFANA_URL: no address"),
        ({"GRAFANA_TOKEN": ""}, "GRAFANA_TOKEN is not set: make a service account"),
        (
            {"GRAFANA_TOKEN": "", "GRAFANA_TOKEN_FILE": "/no/such"},
            "GRAFANA_TOKEN_FILE '/no/such' cannot be read",
        ),
        ({"GRAFANA_TOKEN": "canary\nX-Evil: 1"}, "GRAFANA_TOKEN holds more than a token"),
        (
            {"GRAFANA_URL": "http://127.0.0.1:9"},
            "cannot connect (Connection refused); is Grafana running there?",
        ),
        (
            {"GRAFANA_URL": "http://no-such-host.invalid"},
            "cannot connect (Failed to resolve 'no-such-host.invalid'",
        ),
    ],
)
def test_settings_that_cannot_be_right(environment: dict[str, str], says: str) -> None:
    """Each names the variable and the fix, without its secret."""
    done = run("http://127.0.0.1:9", "check", **environment)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert says in done.stderr
    assert "canary" not in done.stderr
    assert "Traceback" not in done.stderr


def test_https_to_a_server_that_speaks_none() -> None:
    """TLS errors say so."""
    with grafana(Stub()) as stub:
        done = run(stub.url.replace("http:", "https:"), "check")
    assert done.returncode == 2
    assert "TLS failed" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_login_and_a_token_file(tmp_path: Path) -> None:
    """`user:password`, whose password may hold a colon, and a file with the token."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    with grafana(Stub()) as stub:
        list(upkeep.push(facade(stub, "admin:pw:1"), build.dashboards(), influxdb()))
        done = run(stub.url, "check", GRAFANA_TOKEN="", GRAFANA_TOKEN_FILE=str(tmp_path / "token"))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[:3] == [
            f"Grafana 13.2.3 at {stub.url}",
            "token: may do all of this",
            "data source tokenswarm (http://influxdb:8086): datasource is working. 12 measurements found",
        ]
        stub.rights = EDITOR - {"annotations:create"}
        done = run(stub.url, "check")
        assert done.returncode == 0
        assert (
            "lacks datasources:create (for push, unless the data source is there), annotations:create (for annotate)"
            in done.stdout
        )


def test_the_data_source_gets_the_token_for_reading() -> None:
    """INFLUXDB_READ_TOKEN goes before INFLUXDB_TOKEN, --influxdb-url before INFLUXDB_URL; neither token is shown."""
    with grafana(Stub()) as stub:
        done = run(
            stub.url, "push", "--influxdb-url", "http://db.inside:8086", INFLUXDB_URL="http://127.0.0.1:8086",
            INFLUXDB_TOKEN="write-canary", INFLUXDB_READ_TOKEN="read-canary", INFLUXDB_ORG="o", INFLUXDB_BUCKET="b 1",
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        made = stub.datasources["tokenswarm"]
        assert made["secureJsonData"] == {"httpHeaderValue1": "Token read-canary"}
        assert (made["url"], made["jsonData"]["dbName"]) == ("http://db.inside:8086", "b 1")
        assert "canary" not in done.stdout
        assert "canary" not in json.dumps(stub.dashboards)


def test_write_gives_files_for_provisioning(tmp_path: Path) -> None:
    """The very files of dashboards/."""
    done = run("", "write", str(tmp_path / "out"))
    assert (done.returncode, done.stderr) == (0, "")
    written = {
        str(path.relative_to(tmp_path / "out")): path.read_bytes() for path in (tmp_path / "out").rglob("*.*")
    }
    ours = {
        str(path.relative_to(ROOT / "dashboards")): path.read_bytes()
        for path in (ROOT / "dashboards").rglob("*.*")
    }
    assert {name: json.loads(text) for name, text in written.items() if name.endswith(".json")} == {
        name: json.loads(text) for name, text in ours.items() if name.endswith(".json")
    }
    assert {name: text for name, text in written.items() if name.endswith(".yaml")} == {
        name: text for name, text in ours.items() if name.endswith(".yaml")
    }
    (tmp_path / "file").write_text("")
    done = run("", "write", str(tmp_path / "file"))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "cannot be written" in done.stderr


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "id", "uid"]), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_a_dashboard_is_like_itself_with_more(value: object) -> None:
    """What Grafana adds is no difference; what it lacks or changes is."""

    def more(part: object) -> object:
        if isinstance(part, dict):
            return {**{key: more(one) for key, one in part.items()}, "added": 1}
        return [more(one) for one in part] if isinstance(part, list) else part

    assert difference({"x": value}, {"x": more(value)}) is None
    assert difference({"x": [value, "end"]}, {"x": [value, "other"]}) == "x[1]"
    assert difference({"x": [value]}, {"x": [value, value]}) == "x"


def test_with_datasource_touches_nothing_else() -> None:
    """Only references to our data source change, wherever they are."""
    before = {
        "uid": "tokenswarm",
        "panels": [{"datasource": {"type": "influxdb", "uid": "tokenswarm"}}, {"uid": "tokenswarm"}],
    }
    after = with_datasource(before, "mine")
    assert after == {
        "uid": "tokenswarm",
        "panels": [{"datasource": {"type": "influxdb", "uid": "mine"}}, {"uid": "tokenswarm"}],
    }


def test_links() -> None:
    """A run's own time, everything quoted; `now` while it runs."""
    base = "https://g.example/grafana/"
    assert run_link(base, "20261121T101500Z-a", 1000, 2000) == (
        "https://g.example/grafana/d/tokenswarm-live/live-run?var-run=20261121T101500Z-a&from=1000&to=2000"
    )
    odd = run_link("http://g:3000", 'a b&c="é', 1000, None)
    parts = urlsplit(odd)
    assert parse_qs(parts.query) == {
        "var-run": ['a b&c="é'],
        "from": ["1000"],
        "to": ["now"],
        "refresh": ["5s"],
    }
    assert odd.isascii()
    assert " " not in odd
