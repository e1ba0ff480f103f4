"""What Grafana reads from files: only keys that it knows, the committed files are the code's, alerts fire on a real InfluxDB.

The keys are those of Grafana's source (pkg/services/provisioning: datasources/types.go, dashboards/types.go, alerting/rules_types.go), which
ignores what it does not know: a misspelt key is silent there, so it is not here. No Grafana has read these files.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from influx_servers import Influx, influx
from jsonschema import Draft7Validator

from harness.clock import unix_now_ns
from harness.grafana import build, lint, provisioning
from harness.grafana.provisioning import RULES, Rule
from harness.influx.lines import Encoder
from harness.influx.schema import MEASUREMENTS

__all__ = ["influx"]  # the fixture

ROOT: Final = Path(__file__).parent.parent
FILES: Final = provisioning.files()
DURATION: Final = {"type": "string", "pattern": r"^\d+[smhd]$"}
TEXT: Final = {"type": "string", "minLength": 1}


def only(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """An object with these keys and no others."""
    return {
        "type": "object", "properties": required | optional, "required": list(required), "additionalProperties": False,
    }  # fmt: skip


DATASOURCES: Final = only(
    {
        "apiVersion": {"const": 1},
        "datasources": {
            "type": "array",
            "items": only(
                {
                    "name": TEXT, "uid": TEXT, "type": {"const": "influxdb"}, "access": {"const": "proxy"}, "url": TEXT,
                    "jsonData": only(
                        {"version": {"const": "InfluxQL"}, "dbName": TEXT, "httpMode": {"enum": ["GET", "POST"]}},
                        timeInterval=DURATION, httpHeaderName1={"const": "Authorization"},
                    ),
                },
                orgId={"const": 1}, isDefault={"type": "boolean"}, editable={"type": "boolean"},
                secureJsonData=only({"httpHeaderValue1": {"pattern": "^Token "}}),
            ),
        },
    },
    prune={"type": "boolean"},
)  # fmt: skip
PROVIDERS: Final = only(
    {
        "apiVersion": {"const": 1},
        "providers": {
            "type": "array",
            "items": only(
                {"name": TEXT, "type": {"const": "file"}, "options": only({"path": {"pattern": "^/"}}, foldersFromFilesStructure={"const": False})},
                orgId={"const": 1}, folder=TEXT, disableDeletion={"type": "boolean"},
                editable={"type": "boolean"}, allowUiUpdates={"type": "boolean"},
                updateIntervalSeconds={"type": "integer", "minimum": 1},
            ),
        },
    }
)  # fmt: skip
EXPRESSION: Final = only({"type": {"const": "__expr__"}, "uid": {"const": "__expr__"}})
MODELS: Final = {
    "tokenswarm": only(
        {"refId": TEXT, "query": TEXT, "rawQuery": {"const": True}, "resultFormat": {"const": "time_series"}},
        intervalMs={"type": "integer"}, maxDataPoints={"type": "integer"},
    ),
    "reduce": only(
        {"refId": TEXT, "type": {"const": "reduce"}, "expression": {"const": "A"}, "reducer": {"enum": ["last", "max", "mean", "sum"]},
         "datasource": EXPRESSION},
        settings=only({"mode": {"enum": ["dropNN", "replaceNN"]}}),
    ),
    "threshold": only(
        {"refId": TEXT, "type": {"const": "threshold"}, "expression": {"const": "B"}, "datasource": EXPRESSION, "conditions": {
            "type": "array", "minItems": 1, "maxItems": 1,
            "items": only({"evaluator": only({"type": {"const": "gt"}, "params": {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 1}})}),
        }},
    ),
}  # fmt: skip
RULE: Final = only(
    {
        "uid": {"pattern": "^[a-zA-Z0-9_-]{1,40}$"}, "title": {**TEXT, "maxLength": 190}, "condition": {"const": "C"}, "for": DURATION,
        "noDataState": {"const": "OK"}, "execErrState": {"enum": ["OK", "Alerting", "Error", "KeepLast"]},
        "data": {
            "type": "array", "minItems": 3, "maxItems": 3,
            "items": only({
                "refId": TEXT, "datasourceUid": {"enum": ["tokenswarm", "__expr__"]}, "model": {"type": "object"},
                "relativeTimeRange": only({"from": {"type": "integer", "minimum": 1}, "to": {"const": 0}}),
            }),
        },
    },
    isPaused={"type": "boolean"}, annotations=only({"summary": TEXT}), labels={"type": "object", "additionalProperties": TEXT},
)  # fmt: skip
ALERTS: Final = only(
    {
        "apiVersion": {"const": 1},
        "groups": {
            "type": "array", "minItems": 1, "maxItems": 1,
            "items": only({"name": TEXT, "folder": TEXT, "interval": DURATION, "rules": {"type": "array", "items": RULE}}, orgId={"const": 1}),
        },
    }
)  # fmt: skip
SCHEMAS: Final = {
    "provisioning/datasources/influxdb.yaml": DATASOURCES,
    "provisioning/dashboards/tokenswarm.yaml": PROVIDERS,
    "provisioning/alerting/tokenswarm.yaml": ALERTS,
}


def loaded(name: str) -> Any:
    return yaml.safe_load((ROOT / "dashboards" / name).read_text(encoding="utf-8"))


def test_the_committed_files_are_the_codes() -> None:
    """Byte for byte, and there are no others."""
    there = (ROOT / "dashboards/provisioning").rglob("*")
    committed = {
        str(path.relative_to(ROOT / "dashboards")): path.read_text(encoding="utf-8")
        for path in there
        if path.is_file()
    }
    assert committed == FILES


@pytest.mark.parametrize("name", SCHEMAS)
def test_only_keys_that_grafana_knows(name: str) -> None:
    """And the values it wants there."""
    assert [error.message for error in Draft7Validator(SCHEMAS[name]).iter_errors(loaded(name))] == []
    assert set(SCHEMAS) == set(FILES)


def test_a_dollar_is_a_variable_of_the_environment() -> None:
    """Grafana replaces every $NAME in these values, but in an alert's model; so there is none but those that the file explains."""
    values: list[str] = []

    def collect(part: Any) -> None:
        for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            collect(one)
        if isinstance(part, str):
            values.append(part)

    for name in FILES:
        text = loaded(name)
        for group in text.get("groups", ()):
            for rule in group["rules"]:
                for query in rule["data"]:
                    del query["model"]
        collect(text)
    used = set(re.findall(r"\$\{?(\w*)", "\n".join(values)))
    assert used == {"INFLUXDB_URL", "INFLUXDB_BUCKET", "INFLUXDB_READ_TOKEN"}
    head = FILES["provisioning/datasources/influxdb.yaml"].split("apiVersion")[0]
    assert all(name in head for name in used)


def test_what_belongs_together_has_the_same_name() -> None:
    """Panels and alerts read from the data source that is provisioned; alerts and dashboards share a folder."""
    (source,) = loaded("provisioning/datasources/influxdb.yaml")["datasources"]
    (provider,) = loaded("provisioning/dashboards/tokenswarm.yaml")["providers"]
    (group,) = loaded("provisioning/alerting/tokenswarm.yaml")["groups"]
    panels = [
        panel for made in build.dashboards().values() for panel in made["panels"] if panel["type"] != "row"
    ]
    assert {panel["datasource"]["uid"] for panel in panels if panel["datasource"]["type"] == "influxdb"} == {
        source["uid"]
    }
    assert {query["datasourceUid"] for rule in group["rules"] for query in rule["data"]} == {
        source["uid"],
        "__expr__",
    }
    assert provider["folder"] == group["folder"] == provisioning.FOLDER


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.uid)
def test_a_rule_holds_together(rule: Rule) -> None:
    """A query, its last value, a limit; every text names only labels that the query gives; lint has nothing to say."""
    (group,) = loaded("provisioning/alerting/tokenswarm.yaml")["groups"]
    (made,) = (one for one in group["rules"] if one["uid"] == rule.uid)
    assert (
        [query["refId"] for query in made["data"]]
        == [query["model"]["refId"] for query in made["data"]]
        == ["A", "B", "C"]
    )
    for query, kind in zip(made["data"], ("tokenswarm", "reduce", "threshold"), strict=True):
        assert [error.message for error in Draft7Validator(MODELS[kind]).iter_errors(query["model"])] == []
        assert query["relativeTimeRange"]["from"] == rule.seconds
    assert made["data"][0]["model"]["query"] == rule.query
    assert made["data"][2]["model"]["conditions"][0]["evaluator"]["params"] == [rule.limit]
    by = set(re.findall(r'"(\w+)"', rule.query.split("GROUP BY")[1]))
    assert set(re.findall(r"\.Labels\.(\w+)", made["annotations"]["summary"])) <= by
    assert lint.query(rule.query) == []


FIRING: Final = {
    "tokenswarm-errors": ("llm_second", {"failed": 6, "succeeded": 94}, 6.0),
    "tokenswarm-points-lost": ("llm_writer", {"dropped": 3, "refused": 4, "created": 9}, 7.0),
    "tokenswarm-worker-lost": ("llm_load", {"workers_missing": 1, "workers": 3}, 1.0),
    "tokenswarm-loop-late": ("llm_client", {"loop_lag_ms_p99": 150.5}, 150.5),
    "tokenswarm-cpu": ("llm_client", {"cpu_percent": 97.0}, 97.0),
    "tokenswarm-ttft": ("llm_percentiles", {"ttft_ms_p99": 12_000.0}, 12_000.0),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.uid)
def test_a_rule_fires_on_a_real_influxdb(influx: Influx, rule: Rule) -> None:
    """One series for each run (and worker) with the value that is compared; quiet where nothing is wrong, none where no run is."""
    bucket = influx.new_bucket()
    measurement, values, expected = FIRING[rule.uid]
    encoder, now = Encoder(MEASUREMENTS[measurement]), unix_now_ns()
    query = rule.query.replace("$timeFilter", f"time >= {now - rule.seconds * 10**9} AND time <= {now}")
    has_worker = "worker" in MEASUREMENTS[measurement].tags
    points = []
    for run, factor in (("bad", 1), ("good", 0)):
        tags = {"run": run, **({"worker": "w,1 a"} if has_worker else {})}
        for age in (5, 15, 25):
            scaled = {
                name: value * (factor if name not in {"succeeded", "workers", "created"} else 1)
                for name, value in values.items()
            }
            points.append(encoder.line(now - age * 10**9, scaled, **tags))
        old = {name: value * 100 for name, value in values.items()}
        points.append(encoder.line(now - (rule.seconds + 60) * 10**9, old, **tags))  # no longer looked at
    bucket.write(b"\n".join(points))
    rows = {row.pop("run"): row for row in bucket.query(query)}
    got = {
        run: next(value for name, value in row.items() if name not in {"time", "worker"})
        for run, row in rows.items()
    }
    assert got["bad"] == pytest.approx(expected)
    assert got["good"] == 0
    assert got["bad"] > rule.limit >= got["good"]
    if '"worker"' in rule.query:
        assert rows["bad"]["worker"] == "w,1 a"
    later = rule.query.replace("$timeFilter", f"time >= {now + 10**9}")
    assert bucket.query(later) == []


def test_the_provisioning_is_written_by_the_command(tmp_path: Path) -> None:
    """`tokenswarm dashboards write` needs no Grafana and no setting."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", "dashboards", "write", str(tmp_path)], capture_output=True, text=True, check=False,
        cwd=ROOT, env={"PATH": ""},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert {name: (tmp_path / name).read_text() for name in FILES} == FILES
