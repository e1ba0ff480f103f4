"""Makes an empty InfluxDB 2 ready for tokenswarm, once: organization, bucket, and two tokens that can do little.

One token may only write the bucket (for Locust's processes), one may only read it (for Grafana). InfluxDB chooses tokens itself and, from
2.9 on, shows them once, so they are handed on as files. Run again it changes nothing, unless a token no longer does what it is for; then
that one is made anew. docker-compose.yml runs it. Standard library only.

Environment: INFLUXDB_URL, INFLUXDB_ADMIN_TOKEN, INFLUXDB_ADMIN_PASSWORD, INFLUXDB_ORG, INFLUXDB_BUCKET, INFLUXDB_RETENTION_DAYS,
READ_TOKEN_FILE, WRITE_TOKEN_FILE.

Source: InfluxDB 2's API, /api/v2/setup, orgs, buckets, authorizations, write, and /query of 1.x.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

WAIT_S: Final = 60.0
TIMEOUT_S: Final = 10.0


class Refused(Exception):
    """InfluxDB said no. The text is its own."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status = status


def ask(method: str, path: str, token: str = "", body: object = None, **query: str) -> Any:  # noqa: ANN401  a JSON edge
    """One request; the JSON of its answer, None if it has none.

    Raises:
        Refused: the status is not of the 200s.
        URLError: nobody answered.
    """
    url = os.environ["INFLUXDB_URL"].rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **({"Authorization": f"Token {token}"} if token else {})}
    try:
        with urlopen(Request(url, data, headers, method=method), timeout=TIMEOUT_S) as answer:  # noqa: S310  the address is ours
            return json.loads(answer.read() or b"null")
    except HTTPError as error:
        raise Refused(error.code, " ".join(error.read(300).decode(errors="replace").split())) from None


def find(path: str, what: str, token: str, **query: str) -> list[dict[str, Any]]:
    """What goes by a name; InfluxDB has 404 for none."""
    try:
        return list(ask("GET", path, token, **query)[what])
    except Refused as refused:
        if refused.status == 404:
            return []
        raise


def wait() -> None:
    """Until it is up. Raises URLError: it is not, after a minute."""
    end = time.monotonic() + WAIT_S
    while True:
        try:
            ask("GET", "/health")
        except (URLError, OSError, Refused):
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
        else:
            return


def organization(admin: str, org: str, bucket: str) -> str:
    """Its id; with the admin, made if this InfluxDB is new."""
    if ask("GET", "/api/v2/setup")["allowed"]:
        password = os.environ["INFLUXDB_ADMIN_PASSWORD"]
        new = {"username": "admin", "password": password, "org": org, "bucket": bucket, "token": admin}
        made = ask("POST", "/api/v2/setup", body=new | {"retentionPeriodSeconds": retention_s()})
        print(f"set up: organization {org}, bucket {bucket}")
        return str(made["org"]["id"])
    try:
        found = find("/api/v2/orgs", "orgs", admin, org=org)
    except Refused as refused:
        if refused.status == 401:
            sys.exit(
                "error: INFLUXDB_ADMIN_TOKEN is not the one that InfluxDB's data was made with: put that one back into .env, or "
                "forget the data with `docker compose down --volumes`"
            )
        raise
    return str((found or [ask("POST", "/api/v2/orgs", admin, {"name": org})])[0]["id"])


def bucket_of(admin: str, org_id: str, bucket: str) -> str:
    """Its id; made if it is missing. One that is there keeps its retention."""
    found = find("/api/v2/buckets", "buckets", admin, orgID=org_id, name=bucket)
    if not found:
        rules = [{"type": "expire", "everySeconds": retention_s()}] if retention_s() else []
        found = [
            ask("POST", "/api/v2/buckets", admin, {"orgID": org_id, "name": bucket, "retentionRules": rules})
        ]
        print(f"made the bucket {bucket}")
    return str(found[0]["id"])


def retention_s() -> int:
    """How long points are kept; 0 for ever."""
    text = os.environ.get("INFLUXDB_RETENTION_DAYS") or "0"
    if not text.isascii() or not text.isdigit():
        sys.exit(f"error: INFLUXDB_RETENTION_DAYS {text!r}: a whole number of days, 0 for ever")
    return int(text) * 86400


def works(action: str, token: str, org: str, bucket: str) -> bool:
    """Whether a token does what it is for."""
    try:
        if action == "read":
            ask("GET", "/query", token, db=bucket, q="SHOW MEASUREMENTS")
        else:
            ask("POST", "/api/v2/write", token, b"", org=org, bucket=bucket)
    except Refused as refused:
        return action == "write" and refused.status == 400  # it may, only there is nothing to write
    return True


def provide(action: str, path: Path, admin: str, ids: tuple[str, str], names: tuple[str, str]) -> None:
    """A token that may `action` the bucket and nothing else, in a file."""
    token = path.read_text(encoding="ascii").strip() if path.exists() else ""
    if token and works(action, token, *names):
        print(f"the token to {action} is there")
        return
    (org_id, bucket_id), description = ids, f"tokenswarm: {action} {names[1]}"
    for old in ask("GET", "/api/v2/authorizations", admin, orgID=org_id)["authorizations"]:
        if old["description"] == description:  # nobody has it any more
            ask("DELETE", f"/api/v2/authorizations/{old['id']}", admin)
    resource = {"type": "buckets", "id": bucket_id, "orgID": org_id}
    rights = [{"action": action, "resource": resource}]
    new = {"orgID": org_id, "description": description, "permissions": rights}
    token = ask("POST", "/api/v2/authorizations", admin, new)["token"]
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(token, encoding="ascii")
    beside.chmod(0o644)  # others than we read it: only they have the volume it is in
    beside.replace(path)
    print(f"made a token to {action} the bucket {names[1]}")


def main() -> None:
    """Make it ready, or end with one line that says why not."""
    try:
        admin, org, bucket = (os.environ[f"INFLUXDB_{name}"] for name in ("ADMIN_TOKEN", "ORG", "BUCKET"))
        if "/" in bucket:  # Grafana asks in InfluxQL, which takes what is behind it for a retention policy
            sys.exit(f"error: INFLUXDB_BUCKET {bucket!r}: give a name without a slash")
        wait()
        org_id = organization(admin, org, bucket)
        ids, names = (org_id, bucket_of(admin, org_id, bucket)), (org, bucket)
        for action in ("read", "write"):
            provide(action, Path(os.environ[f"{action.upper()}_TOKEN_FILE"]), admin, ids, names)
    except KeyError as error:
        sys.exit(f"error: the variable {error.args[0]} is not set")
    except Refused as refused:
        sys.exit(f"error: InfluxDB at {os.environ['INFLUXDB_URL']} answered {refused}")
    except URLError as error:
        sys.exit(f"error: INFLUXDB_URL {os.environ['INFLUXDB_URL']}: {error.reason}")
    except OSError as error:
        sys.exit(f"error: {error.filename or os.environ['INFLUXDB_URL']}: {error.strerror or error}")


if __name__ == "__main__":
    main()
