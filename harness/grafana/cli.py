"""`tokenswarm dashboards`: for those who have a Grafana of their own. `make up` and file provisioning need none of it."""

import argparse
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness import files, results
from harness.errors import ConfigError
from harness.grafana import access, provisioning

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from harness.grafana.facade import Grafana
    from harness.grafana.upkeep import Line
    from harness.influx.access import Access

__all__ = ["add_parser", "main"]

EPILOG: Final = """\
Examples:
  export GRAFANA_URL=https://grafana.example.org GRAFANA_TOKEN_FILE=~/.grafana-token
  INFLUXDB_URL=http://influxdb:8086 INFLUXDB_TOKEN_FILE=~/.influxdb-read-token tokenswarm dashboards push
  tokenswarm dashboards check
  tokenswarm dashboards annotate results/20261121T101500Z-llamacpp-native-1a2b3c
  tokenswarm dashboards write /etc/grafana-files

Environment:
  GRAFANA_URL        Grafana's address, with its path prefix if it has one
  GRAFANA_TOKEN      a service account's token, or user:password; or GRAFANA_TOKEN_FILE, a file that holds it
  INFLUXDB_...       what `push` makes the data source from, if it is missing: INFLUXDB_URL, _ORG, _BUCKET, and
                     INFLUXDB_READ_TOKEN (or _FILE), else INFLUXDB_TOKEN (or _FILE)
"""


def add_parser(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Mount `dashboards` on the command line; its namespace carries `run`, which is `main`."""
    parser = subparsers.add_parser(
        "dashboards",
        help="put the dashboards into a Grafana of your own, check them, annotate runs",
        description="Put the dashboards into a Grafana of your own, check that they are there and as they should be, write a\n"
        "run's events as annotations, or write the files for your own provisioning. Exit code: 0 fine, 1 something\n"
        "differs or is missing (check), 2 Grafana said no or cannot be asked.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    push = actions.add_parser("push", help="make or update folder, data source and dashboards")
    check = actions.add_parser("check", help="see whether all is there, as it should be, and answers")
    for one in (push, check):
        one.add_argument(
            "--datasource", default=provisioning.DATASOURCE, metavar="UID",
            help="use this data source of type influxdb instead of %(default)s",
        )  # fmt: skip
    push.add_argument(
        "--influxdb-url", metavar="URL", help="InfluxDB as Grafana reaches it (default INFLUXDB_URL)"
    )
    annotate = actions.add_parser("annotate", help="write a run's events as annotations; twice is once")
    annotate.add_argument("directory", type=Path, metavar="RUN", help="a run directory")
    write = actions.add_parser("write", help="write the dashboards and the provisioning files")
    write.add_argument("directory", type=Path, metavar="DIR", help="where to; made if missing")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Do it; 0, or 1 where `check` found something.

    Raises:
        ConfigError: Grafana said no or cannot be asked, or a setting is wrong.
    """
    if args.action == "write":
        return _write(args.directory)
    from harness.grafana import upkeep  # noqa: PLC0415  for these, requests is worth its time

    if args.action == "annotate":
        run = results.load_run(args.directory)
        return _said(upkeep.annotate(_grafana(), run))
    if args.action == "check":
        return _said(upkeep.check(_grafana(), _dashboards(), args.datasource))
    influxdb = _influxdb(os.environ, args.influxdb_url)
    return _said(upkeep.push(_grafana(), _dashboards(), influxdb, args.datasource))


def _grafana() -> "Grafana":
    from harness.grafana.facade import Grafana  # noqa: PLC0415

    return Grafana(access.read(os.environ))


def _dashboards() -> Mapping[str, Mapping[str, Any]]:
    from harness.grafana import build  # noqa: PLC0415

    return build.dashboards()


def _influxdb(environ: Mapping[str, str], url: str | None) -> "Access | None":
    """What a new data source reads from: with the token for reading where there is one."""
    from harness.influx.access import read  # noqa: PLC0415

    settings = dict(environ)
    if url:
        settings["INFLUXDB_URL"] = url
    own = [name for name in ("INFLUXDB_READ_TOKEN", "INFLUXDB_READ_TOKEN_FILE") if environ.get(name)]
    if own:
        for name in ("INFLUXDB_TOKEN", "INFLUXDB_TOKEN_FILE"):
            settings.pop(name, None)
        settings[own[0].replace("_READ", "")] = environ[own[0]]
    return read(settings)


def _said(lines: "Iterable[Line]") -> int:
    """Print as it goes; 1 if a line was not fine."""
    fine = True
    for line in lines:
        print(line.text, file=sys.stdout if line.fine else sys.stderr, flush=True)
        fine = fine and line.fine
    return 0 if fine else 1


def _write(directory: Path) -> int:
    from harness.grafana import build  # noqa: PLC0415

    texts = {name: build.text(dashboard) for name, dashboard in build.dashboards().items()}
    for name, text in (texts | {name: text.encode() for name, text in provisioning.files().items()}).items():
        path = directory / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, text)
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot be written ({error.strerror}); give a directory of yours"
            ) from error
        print(path)
    print(
        f"The JSON files go to {provisioning.DASHBOARDS_PATH} (or change `path` in provisioning/dashboards/tokenswarm.yaml), the\n"
        f"folder provisioning to /etc/grafana/provisioning; each file there says what it needs."
    )
    return 0
