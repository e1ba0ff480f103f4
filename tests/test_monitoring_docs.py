"""docs/monitoring.md says what is so: its data model is the schema's, its commands run, its messages are those that are printed.

`python tests/test_monitoring_docs.py` writes the data model into the document.
"""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped,unused-ignore]
from influx_servers import Influx
from test_deploy import commands, complaints

from harness import cli
from harness.grafana import build
from harness.grafana.provisioning import RULES
from harness.influx import backlog, outbox, sink, spool, tally
from harness.influx.access import Access
from harness.influx.lines import Encoder
from harness.influx.schema import MEASUREMENTS, Measurement
from harness.influx.transport import Writer, hello

ROOT: Final = Path(__file__).parent.parent
GUIDE: Final = ROOT / "docs" / "monitoring.md"
TEXT: Final = GUIDE.read_text(encoding="utf-8")
COMPOSE: Final = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
BEGIN: Final = (
    "<!-- data model: `python tests/test_monitoring_docs.py` writes this from harness/influx/schema.py -->\n"
)
END: Final = "<!-- end of the data model -->\n"


def data_model() -> str:
    """The document's tables, one a measurement."""
    return "\n".join(map(_of_measurement, MEASUREMENTS.values()))


def _of_measurement(one: Measurement) -> str:
    heading = f"### {one.name}\n\n{one.meaning}\n\n"
    tags = ", ".join(f"`{tag}`" for tag in one.tags)
    again = " Written again." if one.rewritten else ""
    facts = f"Tags: {tags}. Written by {one.writer}. Time: {one.time}.{again}\n\n"
    rows = [
        f"| `{name}` | {field.kind} | {field.unit} | {field.meaning.replace('|', chr(92) + '|')} |\n"
        for name, field in one.fields.items()
    ]
    return f"{heading}{facts}| field | kind | unit | meaning |\n|---|---|---|---|\n{''.join(rows)}"


def write() -> None:
    """Put the schema's tables into the document."""
    before, _, rest = TEXT.partition(BEGIN)
    GUIDE.write_text(f"{before}{BEGIN}\n{data_model()}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def test_the_data_model_is_the_schemas() -> None:
    """Every measurement, tag, field, kind, unit and meaning; else `python tests/test_monitoring_docs.py`."""
    assert TEXT.partition(BEGIN)[2].partition(END)[0] == f"\n{data_model()}\n"
    assert TEXT.count("\n### llm_") == len(MEASUREMENTS) == 12


def table(*heading: str) -> list[list[str]]:
    """The cells of each row of the table whose first heading cells are these."""
    begin = TEXT.index("| " + " | ".join(heading))
    lines = TEXT[begin:].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def blocks(kind: str) -> list[str]:
    """What stands between fences of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def typed() -> Iterator[tuple[dict[str, str], list[str]]]:
    """Each command with its own variables, `docker compose exec NAME` taken away."""
    for words in commands(TEXT):
        variables = [word for word in words if re.match(r"[A-Z_]+=", word)]
        rest = [word for word in words if word not in variables and word != "export"]
        if rest[:3] == ["docker", "compose", "exec"]:
            rest = rest[4:]
        yield dict(word.split("=", 1) for word in variables), rest


def test_every_command_is_understood() -> None:
    """Subcommands and options of ours and Locust's are known, make targets and files are there, services are compose's."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    services = set(yaml.safe_load(COMPOSE)["services"])
    runs: list[tuple[Mapping[str, str], str, Sequence[str]]] = []
    seen = []
    for environment, words in typed():
        seen.append(" ".join(words[:2]))
        match words:
            case ["tokenswarm", *rest]:
                assert callable(cli._parser().parse_args(rest).run)
            case ["locust", "-f", file, *_]:
                runs.append((environment, str(ROOT / file), words[1:]))
            case ["make", target]:
                assert target in targets
            case ["python" | "python3", file]:
                assert (ROOT / file).is_file()
            case ["docker", "compose", *rest]:
                named = {word.partition("=")[0] for word in rest if not word.startswith("-")}
                assert named - {"up", "down", "logs"} <= services
            case _:
                assert words[:1] in ([], ["mkdir"], ["curl"], ["kubectl"]), words
    assert complaints(runs) == []
    assert {"make up", "make down", "tokenswarm replay", "tokenswarm dashboards"} <= set(seen)


def test_every_variable_is_read_somewhere() -> None:
    """By our code, by compose or by what compose runs."""
    places = [
        ROOT / "docker-compose.yml",
        *(ROOT / "deploy" / "compose").iterdir(),
        *ROOT.glob("harness/**/*.py"),
    ]
    read = "\n".join(path.read_text(encoding="utf-8") for path in places if path.is_file())
    ours = set(re.findall(r"\b(?:INFLUXDB|GRAFANA|LOCUST|TOKENSWARM|COMPOSE)_[A-Z_]+\b", TEXT))
    ours |= set(re.findall(r"`([A-Z_]{4,})`", "".join(cell for row in table("in `.env`") for cell in row)))
    assert {"INFLUXDB_TOKEN_FILE", "GRAFANA_URL", "WORKERS", "LOCUSTFILE"} <= ours
    assert [name for name in sorted(ours) if name not in read] == []


def test_the_secret_of_kubernetes_is_the_one_that_is_made() -> None:
    """The snippet is YAML, and names what the command before it creates, with variables that are read."""
    (snippet,) = blocks("yaml")
    source: dict[str, Any] = yaml.safe_load(snippet)
    (making,) = [words for _, words in typed() if words[:1] == ["kubectl"]]
    assert source == {"envFrom": [{"secretRef": {"name": making[making.index("generic") + 1]}}]}
    given = [word.split("=")[1] for word in making if word.startswith("--from-")]
    assert given == ["INFLUXDB_URL", "INFLUXDB_ORG", "INFLUXDB_TOKEN"]


def test_dashboards_and_alerts_are_those_that_are_made() -> None:
    """Titles and uids; each rule's severity, limit and how long it has to last."""
    listed = [re.fullmatch(r"(.+) \(`(.+)`\)", row[0]) for row in table("dashboard", "what it shows")]
    made = [(one["title"], one["uid"]) for one in build.dashboards().values()]
    assert [match.groups() for match in listed if match] == made
    for rule, (title, when, severity) in zip(RULES, table("rule", "fires when"), strict=True):
        assert (title, severity) == (rule.title, rule.severity)
        assert rule.limit == 0 or f"{rule.limit:,g} " in when, title
        assert rule.lasting == "0s" or f"for {rule.lasting.replace('s', ' s').replace('m', ' m')}" in when, (
            title
        )


def test_limits_are_the_codes() -> None:
    """Of batches, waits, memory and disk."""
    least, most = outbox.BACKOFF_S
    for said in (
        f"at most {backlog.BATCH_LINES:,}\nlines or {backlog.BATCH_BYTES / 1e6:g} MB",
        f"after {least:g} to {most:g} s with jitter",
        f"says ({outbox.RETRY_AFTER_S:g} s at most)",
        "every {:g} to {:g} s".format(*outbox.MEND_S),
        f"{backlog.MEMORY_BYTES / 1e6:g} MB at most in each process",
        f"From {backlog.SPILL_BYTES / 1e6:g} MB on",
        f"up to {spool.SPOOL_BYTES / 1e9:g} GB",
        f"more than {tally.KEPT:,} s ago",
        f"{sink.CLOSE_S:g} s more for what still waits, {sink.GONE_S:g} s if",
    ):
        assert said in TEXT, said


SAID: Final = [row[0].strip("`") for row in table("it says")]


def answered(influx: Influx) -> Iterator[str]:
    """What is said of each mistake that the document names, and of a server that is not there."""
    right = Access(influx.url, influx.token, influx.org, influx.bucket)
    line, old = b"llm_run,run=a points_lost=1i", b"llm_run,run=a points_lost=1i 1"
    yield f"warning: no metrics yet: {hello(replace(right, url='http://127.0.0.1:9'))}"
    yield _sent(replace(right, token="wrong" if ":" not in influx.token else "some:body"), line)
    if influx.kind != "2.x":  # the others are put differently there
        return
    yield _sent(replace(right, token=_reading(influx)), line)
    yield _sent(replace(right, bucket="NAME"), line)
    yield _sent(replace(right, org="NAME"), line)
    yield _sent(replace(right, org=""), line)
    keeps = _bucket(influx, "short", [{"type": "expire", "everySeconds": 3600}])
    yield _sent(replace(right, bucket=keeps), old)
    assert not _sent(right, line)
    yield _sent(right, b'llm_run,run=a points_lost="x"')


def _sent(access: Access, line: bytes) -> str:
    writer = Writer(access, {})
    try:
        return writer.send(spool.pack([line]).body, 1).reason
    finally:
        writer.close()


def _organisation(influx: Influx) -> str:
    _, body = influx.ask("GET", f"/api/v2/orgs?org={influx.org}")
    return str(json.loads(body)["orgs"][0]["id"])


def _bucket(influx: Influx, name: str, rules: list[dict[str, Any]]) -> str:
    name = f"{influx.bucket}-{name}"
    influx.post("/api/v2/buckets", {"name": name, "orgID": _organisation(influx), "retentionRules": rules})
    return name


def _reading(influx: Influx) -> str:
    """A token that may only read the bucket."""
    _, body = influx.ask("GET", f"/api/v2/buckets?name={influx.bucket}&org={influx.org}")
    resource = {"type": "buckets", "id": json.loads(body)["buckets"][0]["id"]}
    rights = [{"action": "read", "resource": resource}]
    made = influx.post("/api/v2/authorizations", {"orgID": _organisation(influx), "permissions": rights})
    return str(json.loads(made)["token"])


def test_what_is_said_of_mistakes_is_what_the_document_says(influx: Influx) -> None:
    """Each message in the table is that of a real server's answer, to the letter but for the places marked."""
    own = influx.new_bucket()
    expected = [said for said in SAID if "ADDRESS" in said and "without a version" not in said]
    for found in (_marked(said, own) for said in answered(own)):
        fits = [said for said in expected if re.match(_pattern(said), found)]
        assert len(fits) == 1, found
        expected.remove(fits[0])
    assert not expected or own.kind != "2.x"


def _marked(said: str, influx: Influx) -> str:
    """With the document's marks in place of what differs."""
    if influx.kind != "2.x":  # which says it in other words
        said = re.sub(r"( \([^)]*\))?(?=: the token)", " (unauthorized access)", said, count=1)
    for name, mark in (
        (influx.url, "ADDRESS"),
        ("http://127.0.0.1:9", "ADDRESS"),
        (influx.bucket, "tokenswarm"),
    ):
        said = said.replace(f"{name}-short", mark).replace(name, mark)
    return said


def _pattern(said: str) -> str:
    return re.escape(said).replace(re.escape("(...)"), r"\(.*\)")


def test_other_messages_are_in_the_code() -> None:
    """Each piece between the places that vary."""
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "harness" / "influx").glob("*.py"))
    others = [said for said in SAID if "ADDRESS" not in said or "without a version" in said]
    assert len(others) == 4
    # The remedy after a colon is a name in the code, or another message.
    pieces = [
        piece.strip(" ,;")
        for said in others
        for piece in re.split(r"\.\.\.|`, then `|ADDRESS|vm-1|(?<=version: )", said)
    ]
    assert [piece for piece in pieces if piece and piece not in code] == []


def _old_and_new(influx: Influx) -> None:
    """Requests and runs of two months ago and of now."""
    for moment in (time.time_ns() - 60 * 86_400 * 10**9, time.time_ns()):
        run = Encoder(MEASUREMENTS["llm_run"], run="a", model="m", backend="b", hardware="h")
        request = Encoder(MEASUREMENTS["llm_request"], run="a", worker="w")
        lines = [run.line(moment, {"workers": 1}), request.line(moment, {"seq": 1}, outcome="ok")]
        influx.write(b"\n".join(lines))


def _through_curl(influx: Influx) -> None:
    if not shutil.which("curl"):
        pytest.skip("no curl")
    (asked,) = [block for block in blocks("sh") if block.startswith("curl")]
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 30 * 86_400))
    command = re.sub(r'(?<="stop": ")[^"]+', since, asked)
    assert command != asked
    done = subprocess.run(
        ["sh", "-c", command],
        env={"PATH": os.environ["PATH"], **influx.environ},
        check=False,
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def _through_influxql(influx: Influx) -> None:
    (statement,) = [block for block in blocks("sql") if block.startswith("DELETE")]
    influx.ask(
        "POST",
        "/query",
        f"db={influx.bucket}&q={statement}".encode(),
        {"Content-Type": "application/x-www-form-urlencoded"},
    )


def test_forgetting_requests_keeps_the_rest(influx: Influx) -> None:
    """The commands of the document take the old requests, and neither runs nor newer requests."""
    forget: Callable[[Influx], None] = _through_curl if influx.kind == "2.x" else _through_influxql
    own = influx.new_bucket()
    _old_and_new(own)
    assert len(own.query('SELECT "seq" FROM "llm_request"')) == 2
    forget(own)
    assert len(own.query('SELECT "seq" FROM "llm_request"')) == 1
    assert len(own.query('SELECT "workers" FROM "llm_run"')) == 2


if __name__ == "__main__":
    write()
