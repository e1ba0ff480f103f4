"""What `tokenswarm dashboards` does in a Grafana: put everything there, see whether it is there, note a run's events.

The rule: doing it twice is doing it once. What is not ours (a data source that is there, a dashboard under another uid) is left as it
is. Nothing is printed here; each function yields lines.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from harness.errors import ConfigError
from harness.grafana.facade import Grafana, Refused
from harness.grafana.links import dashboard_link
from harness.grafana.provisioning import DATASOURCE, FOLDER
from harness.grafana.stored import difference, with_datasource

if TYPE_CHECKING:
    from harness.influx.access import Access

__all__ = ["Line", "annotate", "check", "push"]

OLDEST: Final = 11  # Grafana's major version that the dashboards are made for
TAG: Final = "tokenswarm"

_RIGHTS: Final = {
    "dashboards:create": "push",
    "folders:create": "push, unless the folder is there",
    "datasources:create": "push, unless the data source is there",
    "annotations:create": "annotate",
}

Json = dict[str, Any]
Dashboards = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was done or seen."""

    text: str
    fine: bool = True


def push(
    grafana: Grafana, dashboards: Dashboards, influxdb: "Access | None", datasource: str = DATASOURCE
) -> Iterator[Line]:
    """Folder, data source and dashboards, made or brought up to date.

    Args:
        grafana: where.
        dashboards: file name to dashboard.
        influxdb: what a data source that is made reads from; None: not known.
        datasource: the uid of the one to use; only the usual one is made.

    Raises:
        ConfigError: Grafana said no, or cannot be asked. What was yielded is done.
    """
    yield _version(grafana)
    folder, line = _folder(grafana)
    yield line
    yield _datasource(grafana, influxdb, datasource)
    for dashboard in dashboards.values():
        uid = str(dashboard["uid"])
        number = grafana.save_dashboard(
            with_datasource(dashboard, datasource), folder, "tokenswarm dashboards push"
        )
        yield Line(f"dashboard {dashboard['title']}: version {number}, {dashboard_link(grafana.url, uid)}")


def check(grafana: Grafana, dashboards: Dashboards, datasource: str = DATASOURCE) -> Iterator[Line]:
    """What of it is there. A line that is not `fine` says what is missing, differs or does not answer.

    Raises:
        ConfigError: Grafana cannot be asked, or the token may not read.
    """
    yield _version(grafana)
    yield from _rights(grafana)
    there = grafana.datasource(datasource)
    if there is None:
        yield Line(f"data source {datasource}: missing; `tokenswarm dashboards push` makes it", fine=False)
    else:
        yield _answers(grafana, datasource, there)
    for dashboard in dashboards.values():
        stored = grafana.dashboard(str(dashboard["uid"]))
        name = f"dashboard {dashboard['title']}"
        if stored is None:
            yield Line(f"{name}: missing; `tokenswarm dashboards push` brings it", fine=False)
        elif where := difference(with_datasource(dashboard, datasource), stored):
            yield Line(
                f"{name}: differs at {where}; `tokenswarm dashboards push` brings ours back", fine=False
            )
        else:
            yield Line(f"{name}: as it should be")


def annotate(grafana: Grafana, run: Mapping[str, Any]) -> Iterator[Line]:
    """A run's events as annotations, tagged `tokenswarm`, run id and kind; the whole run as a region of kind `run`.

    Args:
        grafana: where.
        run: its run.json.

    Raises:
        ConfigError: Grafana said no, or cannot be asked.
    """
    grafana.health()  # or else something that is no Grafana may answer anything
    run_id = str(run["run_id"])
    wanted = list(dict.fromkeys(_annotations(run)))
    have = {
        (int(one["time"]), tag, str(one.get("text", "")))
        for one in grafana.annotations([TAG, run_id])
        for tag in one.get("tags") or ()
    }
    new = [one for one in wanted if (one[0], one[2], one[3]) not in have]
    for begin_ms, end_ms, kind, text in new:
        grafana.annotate(begin_ms, end_ms, [TAG, run_id, kind], text)
    yield Line(f"run {run_id}: {len(new)} annotations added, {len(wanted) - len(new)} were there")
    if not run.get("finished_at"):
        yield Line("the run is not over: annotate it again then, for its end")


def _version(grafana: Grafana) -> Line:
    version = grafana.health()
    if version is None:
        return Line(f"Grafana at {grafana.url}")
    major = version.split(".", 1)[0]
    old = major.isdigit() and int(major) < OLDEST
    return Line(
        f"Grafana {version} at {grafana.url}"
        + (f": the dashboards are made for {OLDEST} and later" if old else "")
    )


def _folder(grafana: Grafana) -> tuple[str, Line]:
    if grafana.folder(FOLDER) is not None:
        return FOLDER, Line(f"folder {FOLDER}: is there")
    try:
        made = grafana.make_folder(FOLDER, FOLDER)
    except Refused as refused:
        if refused.status not in {400, 409, 412}:
            raise
        named = [one for one in grafana.folders() if one.get("title") == FOLDER]
        if not named:
            raise
        uid = str(named[0]["uid"])
        return uid, Line(f"folder {FOLDER}: one of that title is there and is used (uid {uid})")
    return str(made.get("uid", FOLDER)), Line(f"folder {FOLDER}: made")


def _datasource(grafana: Grafana, influxdb: "Access | None", uid: str) -> Line:
    there = grafana.datasource(uid)
    if there is not None:
        if there.get("type") != "influxdb":
            raise ConfigError(
                f"data source {uid}: its type is {there.get('type')!r}; the dashboards need one of type influxdb"
            )
        return Line(f"data source {uid}: is there ({there.get('url', '')}), left as it is")
    if uid != DATASOURCE:
        raise ConfigError(
            f"--datasource {uid!r}: Grafana has no data source with this uid; its page in Grafana has it in the address"
        )
    if influxdb is None:
        raise ConfigError(
            "INFLUXDB_URL is not set: give InfluxDB's address as Grafana reaches it, so that the data source can be made, or "
            "--datasource with the uid of one that is there"
        )
    if (
        "/" in influxdb.bucket
    ):  # InfluxQL takes what is behind it for a retention policy, which a data source has none of
        raise ConfigError(
            f"INFLUXDB_BUCKET {influxdb.bucket!r}: a data source names a database only; make one by hand whose database has this "
            "retention policy for its default, and give its uid with --datasource"
        )
    try:
        grafana.make_datasource(_datasource_body(influxdb))
    except Refused as refused:
        if refused.status == 409:
            raise ConfigError(
                f"a data source named {DATASOURCE} is there, with another uid: rename it, or give its uid with --datasource"
            ) from None
        raise
    return Line(f"data source {uid}: made, for {influxdb.url}, bucket {influxdb.bucket}")


def _datasource_body(influxdb: "Access") -> Json:
    header = {"httpHeaderName1": "Authorization"} if influxdb.token else {}
    return {
        "uid": DATASOURCE,
        "name": DATASOURCE,
        "type": "influxdb",
        "access": "proxy",
        "url": influxdb.url,
        "isDefault": False,
        "jsonData": {
            "version": "InfluxQL",
            "dbName": influxdb.bucket,
            "httpMode": "POST",
            "timeInterval": "1s",
            **header,
        },
        "secureJsonData": {"httpHeaderValue1": f"Token {influxdb.token}"} if influxdb.token else {},
    }


def _answers(grafana: Grafana, uid: str, there: Json) -> Line:
    if there.get("type") != "influxdb":
        return Line(f"data source {uid}: its type is {there.get('type')!r}, not influxdb", fine=False)
    try:
        said = grafana.datasource_health(uid)
    except Refused as refused:
        return Line(f"data source {uid} ({there.get('url', '')}): {refused.said or refused}", fine=False)
    return Line(f"data source {uid} ({there.get('url', '')}): {said or 'answers'}")


def _rights(grafana: Grafana) -> Iterator[Line]:
    try:
        rights = grafana.rights()
    except Refused as refused:
        if refused.status != 403:
            raise
        return
    if rights is not None:
        missing = [f"{right} (for {use})" for right, use in _RIGHTS.items() if right not in rights]
        yield Line(
            "token: may do all of this" if not missing else f"token: may read; lacks {', '.join(missing)}"
        )


def _annotations(run: Mapping[str, Any]) -> Iterator[tuple[int, int | None, str, str]]:
    """(begin, end or None, kind, text) in Unix ms."""
    if run.get("finished_at"):
        yield _ms(run["started_at"]), _ms(run["finished_at"]), "run", f"run {run['run_id']}"
    events: Sequence[Mapping[str, Any]] = run.get("events") or ()
    for event in events:
        yield int(event["time_ns"]) // 1_000_000, None, str(event.get("topic") or "note"), str(event["what"])


def _ms(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)
