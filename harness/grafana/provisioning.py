"""What Grafana reads from files when it starts: the data source, where the dashboards lie, a few alert rules.

The files under dashboards/provisioning are made from here and committed; a test compares. Keys are those of Grafana 11 to 13
(pkg/services/provisioning/{datasources,dashboards,alerting} of grafana/grafana); every dollar sign is an environment
variable there, so no template here has one. They were never read by a live Grafana: see docs/monitoring.md.

There are no contact points: where an alert is told is for those to say who run this Grafana. Until they do, alerts are to be seen
in Grafana's own list and nowhere else.

Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["DASHBOARDS_PATH", "DATASOURCE", "FOLDER", "RULES", "Rule", "files"]

DATASOURCE: Final = "tokenswarm"  # the uid that every panel names
FOLDER: Final = "tokenswarm"  # uid and title
DASHBOARDS_PATH: Final = "/var/lib/grafana/dashboards/tokenswarm"  # where Grafana finds the JSON files


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert: a figure of the last `seconds`, and the limit that it must be over for `lasting`."""

    uid: str
    title: str
    query: str  # InfluxQL, a series each run (and worker)
    seconds: int  # looked back
    limit: float
    lasting: str  # a duration; 0s: at once
    severity: str
    summary: str  # Go template: .Labels.run, .Values.B.Value


_WHOSE: Final = "worker {{ .Labels.worker }} of run {{ .Labels.run }}"

RULES: Final = (
    Rule(
        "tokenswarm-errors",
        "Requests fail",
        'SELECT 100 * sum("failed") / (sum("failed") + sum("succeeded")) FROM "llm_second" WHERE $timeFilter GROUP BY "run"',
        60,
        5,
        "1m",
        "warning",
        "{{ humanize .Values.B.Value }} % of the requests of run {{ .Labels.run }} failed in the last minute. See Errors on the dashboard Live run.",
    ),
    Rule(
        "tokenswarm-points-lost",
        "Points are lost",
        'SELECT last("dropped") + last("refused") FROM "llm_writer" WHERE $timeFilter GROUP BY "run", "worker"',
        300,
        0,
        "0s",
        "warning",
        f"{{{{ humanize .Values.B.Value }}}} points of {_WHOSE} did not get into InfluxDB; the run's own results hold them all: "
        "`tokenswarm replay RUN --to-influx` brings them.",
    ),
    Rule(
        "tokenswarm-worker-lost",
        "A worker is lost",
        'SELECT last("workers_missing") FROM "llm_load" WHERE $timeFilter GROUP BY "run"',
        60,
        0,
        "20s",
        "critical",
        "{{ humanize .Values.B.Value }} workers of run {{ .Labels.run }} are not heard any more. See Workers on the dashboard Trust.",
    ),
    Rule(
        "tokenswarm-loop-late",
        "The client's loop is late",
        'SELECT mean("loop_lag_ms_p99") FROM "llm_client" WHERE $timeFilter GROUP BY "run", "worker"',
        60,
        100,
        "30s",
        "warning",
        f"The loop of {_WHOSE} is {{{{ humanize .Values.B.Value }}}} ms late (p99): its requests go out late. Use more workers, or fewer users on each.",
    ),
    Rule(
        "tokenswarm-cpu",
        "The client's core is full",
        'SELECT mean("cpu_percent") FROM "llm_client" WHERE $timeFilter GROUP BY "run", "worker"',
        60,
        90,
        "30s",
        "warning",
        f"{{{{ humanize .Values.B.Value }}}} % of a core is used by {_WHOSE}: it may be the limit, not the server. Use more workers.",
    ),
    Rule(
        "tokenswarm-ttft",
        "First tokens are slow (an example)",
        'SELECT max("ttft_ms_p99") FROM "llm_percentiles" WHERE $timeFilter GROUP BY "run"',
        60,
        10_000,
        "1m",
        "warning",
        "p99 of the time to first token of run {{ .Labels.run }} is {{ humanize .Values.B.Value }} ms. Put your own limit here.",
    ),
)

_DATASOURCE_FILE: Final = f"""\
# The data source of tokenswarm's dashboards: InfluxQL, which InfluxDB 1.8+, 2.x and 3.x all speak.
# Environment of Grafana's process (a secret that holds a $ needs it doubled):
#   INFLUXDB_URL         InfluxDB as Grafana reaches it, such as http://influxdb:8086
#   INFLUXDB_BUCKET      the bucket; the database for 1.8 and 3.x
#   INFLUXDB_READ_TOKEN  a token that may read it; user:password for 1.8
apiVersion: 1

datasources:
  - name: tokenswarm
    uid: {DATASOURCE}
    type: influxdb
    access: proxy
    orgId: 1
    url: ${{INFLUXDB_URL}}
    isDefault: true
    editable: false
    jsonData:
      version: InfluxQL
      dbName: ${{INFLUXDB_BUCKET}}
      httpMode: POST
      timeInterval: 1s
      httpHeaderName1: Authorization
    secureJsonData:
      httpHeaderValue1: Token ${{INFLUXDB_READ_TOKEN}}
"""

_DASHBOARDS_FILE: Final = f"""\
# tokenswarm's dashboards, from the JSON files in {DASHBOARDS_PATH}.
# They are changed in the files, not in the browser; to keep one of your own, save a copy under another name.
apiVersion: 1

providers:
  - name: tokenswarm
    orgId: 1
    # By its title alone: the alert rules make this folder first, under a uid of Grafana's own choice. With another uid here Grafana
    # makes a second one of that title, or, as 11.0, does not start (github.com/grafana/grafana/issues/125079 and 87889).
    folder: {FOLDER}
    type: file
    disableDeletion: true
    editable: true
    allowUiUpdates: false
    updateIntervalSeconds: 30
    options:
      path: {DASHBOARDS_PATH}
      foldersFromFilesStructure: false
"""

_ALERTS_HEAD: Final = f"""\
# A few alerts on a run under way. No run, no data, no alert (noDataState: OK). There are no contact points: alerts show in
# Grafana's own list until you add a notification policy, for instance for the label app=tokenswarm.
apiVersion: 1

groups:
  - orgId: 1
    name: tokenswarm
    folder: {FOLDER}
    interval: 10s
    rules:
"""

_RULE: Final = """\
      - uid: {uid}
        title: {title}
        condition: C
        for: {lasting}
        noDataState: OK
        execErrState: Error
        isPaused: false
        annotations:
          summary: '{summary}'
        labels:
          app: tokenswarm
          severity: {severity}
        data:
          - refId: A
            relativeTimeRange: {{from: {seconds}, to: 0}}
            datasourceUid: {datasource}
            model:
              refId: A
              query: '{query}'
              rawQuery: true
              resultFormat: time_series
              intervalMs: 1000
              maxDataPoints: 1000
          - refId: B
            relativeTimeRange: {{from: {seconds}, to: 0}}
            datasourceUid: __expr__
            model:
              refId: B
              type: reduce
              expression: A
              reducer: last
              settings: {{mode: dropNN}}
              datasource: {{type: __expr__, uid: __expr__}}
          - refId: C
            relativeTimeRange: {{from: {seconds}, to: 0}}
            datasourceUid: __expr__
            model:
              refId: C
              type: threshold
              expression: B
              conditions:
                - evaluator: {{type: gt, params: [{limit}]}}
              datasource: {{type: __expr__, uid: __expr__}}
"""


def files() -> Mapping[str, str]:
    """The files by their path below dashboards/."""
    return {
        "provisioning/datasources/influxdb.yaml": _DATASOURCE_FILE,
        "provisioning/dashboards/tokenswarm.yaml": _DASHBOARDS_FILE,
        "provisioning/alerting/tokenswarm.yaml": _ALERTS_HEAD + "".join(_rule(rule) for rule in RULES),
    }


def _rule(rule: Rule) -> str:
    return _RULE.format(
        uid=rule.uid,
        title=_quoted(rule.title),
        lasting=rule.lasting,
        summary=rule.summary.replace("'", "''"),
        severity=rule.severity,
        seconds=rule.seconds,
        datasource=DATASOURCE,
        query=rule.query.replace("'", "''"),
        limit=f"{rule.limit:g}",
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
