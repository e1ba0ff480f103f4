"""One Grafana, asked through `grafana-api`: the few things that tokenswarm wants of it, by uid wherever Grafana allows.

The rule: whatever goes wrong becomes one ConfigError that says what was asked, what came and what to do. Answers are looked at
before grafana-api does: it takes a page for JSON, follows redirects (which turns a POST into a GET) and fails with a TypeError on
error bodies that are no objects. The token is in no text.

It does not know what a dashboard holds. Source: Grafana's HTTP API documentation, and pkg/api of grafana/grafana for statuses.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from harness.errors import ConfigError
from harness.grafana.access import Access
from harness.secrecy import hide

if TYPE_CHECKING:
    import requests

__all__ = ["Grafana", "Refused"]

TIMEOUT_S: Final = 15.0
MOST_ANNOTATIONS: Final = 100_000  # Grafana's default is 100
# What urllib3 puts before a reason.
_WRAPPING: Final = re.compile(
    r"^HTTPS?Connection\([^)]*\): (Failed to establish a new connection: )?(\[Errno -?\d+\] )?"
)
_EXCERPT: Final = 200  # letters of a foreign text

_PREFIX: Final = "is there a path prefix (https://host/grafana), and is the port Grafana's?"

Json = dict[str, Any]


class Refused(ConfigError):
    """Grafana said no. `status` is that of HTTP, `said` its own words."""

    def __init__(self, text: str, status: int, said: str) -> None:
        super().__init__(text)
        self.status = status
        self.said = said


class _Answer(Exception):
    """An answer that is not what was asked for; raised within the library, never beyond this module."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status
        self.said = said


class Grafana:
    """The few calls, each one request. All raise ConfigError, `Refused` if Grafana said no."""

    def __init__(self, access: Access, timeout_s: float = TIMEOUT_S) -> None:
        from grafana_api.grafana_face import (  # type: ignore[import-untyped]  # noqa: PLC0415  it brings requests
            GrafanaFace,
        )

        parts = urlsplit(access.url)
        host = str(parts.hostname)
        user, colon, password = access.token.partition(":")
        self.url = access.url
        self._secrets = (access.token, password or None)
        self._face = GrafanaFace(
            auth=(user, password) if colon else access.token,
            host=f"[{host}]" if ":" in host else host,
            port=parts.port,
            url_path_prefix=f"{parts.path.strip('/')}/" if parts.path.strip("/") else "",
            protocol=parts.scheme,
            timeout=timeout_s,
        )
        self._face.api.s.hooks["response"].append(_look)

    def health(self) -> str | None:
        """Grafana's version, None where it keeps that to itself. It answers this to anybody."""
        told = self._ask("whether it is well", "", lambda: self._face.api.GET("/health"))
        if not isinstance(told, dict) or "database" not in told:
            raise ConfigError(f"GRAFANA_URL {self.url}: what answers there is not Grafana; {_PREFIX}")
        return str(told["version"]) if told.get("version") else None

    def rights(self) -> Mapping[str, Sequence[str]] | None:
        """What the token may do: action to scopes. None where this Grafana has no such route."""
        told = self._find(
            "what the token may do", lambda: self._face.api.GET("/access-control/user/permissions")
        )
        return told if isinstance(told, dict) else None

    def folders(self) -> list[Json]:
        """All folders that the token sees."""
        return list(self._ask("for its folders", "folders:read", self._face.folder.get_all_folders))

    def folder(self, uid: str) -> Json | None:
        """A folder, or None."""
        return self._find(f"for the folder {uid!r}", lambda: self._face.folder.get_folder(_path(uid)))

    def make_folder(self, uid: str, title: str) -> Json:
        """A new folder at the top."""
        what = f"to make the folder {title!r}"
        return dict(
            self._ask(what, "folders:create", lambda: self._face.folder.create_folder(title, uid=uid))
        )

    def datasource(self, uid: str) -> Json | None:
        """A data source, without its secrets, or None."""
        return self._find(
            f"for the data source {uid!r}", lambda: self._face.api.GET(f"/datasources/uid/{_path(uid)}")
        )

    def make_datasource(self, body: Json) -> None:
        """A new data source."""
        what = f"to make the data source {body.get('name')!r}"
        self._ask(what, "datasources:create", lambda: self._face.datasource.create_datasource(body))

    def datasource_health(self, uid: str) -> str:
        """What the data source's own test says, which is a query to the database."""
        told = self._ask(
            f"to try the data source {uid!r}",
            "datasources:query",
            lambda: self._face.api.GET(f"/datasources/uid/{_path(uid)}/health"),
        )
        return hide(str(told.get("message", "")), self._secrets)[:_EXCERPT]

    def dashboard(self, uid: str) -> Json | None:
        """A dashboard as it is stored, or None."""
        told = self._find(
            f"for the dashboard {uid!r}", lambda: self._face.dashboard.get_dashboard(_path(uid))
        )
        return None if told is None else dict(told["dashboard"])

    def save_dashboard(self, dashboard: Mapping[str, Any], folder_uid: str, message: str) -> int:
        """Put a dashboard in place of the one with its uid, whatever that is. Returns its version there."""
        body = {"dashboard": dict(dashboard), "folderUid": folder_uid, "overwrite": True, "message": message}
        what = f"to save the dashboard {dashboard.get('title')!r}"
        told = self._ask(what, "dashboards:create", lambda: self._face.dashboard.update_dashboard(body))
        return int(told["version"])

    def annotations(self, tags: Sequence[str]) -> list[Json]:
        """All annotations that have all these tags."""
        quoted = [quote(tag, safe="") for tag in tags]  # the library does not
        return list(
            self._ask(
                "for the annotations of this run",
                "annotations:read",
                lambda: self._face.annotations.get_annotation(tags=quoted, limit=MOST_ANNOTATIONS),
            )
        )

    def annotate(self, begin_ms: int, end_ms: int | None, tags: Sequence[str], text: str) -> None:
        """Note something at a time, or over a time, for all dashboards."""
        self._ask(
            "to add an annotation",
            "annotations:create",
            lambda: self._face.annotations.add_annotation(
                time_from=begin_ms, time_to=begin_ms if end_ms is None else end_ms, tags=list(tags), text=text
            ),
        )

    def _find(self, what: str, call: Callable[[], Any]) -> Json | None:
        """The same as `_ask`, but that it is not there is an answer."""
        try:
            return dict(self._ask(what, "", call))
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def _ask(self, what: str, right: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401  a JSON edge
        import requests  # noqa: PLC0415  nobody else of the command line needs it at once

        try:
            return call()
        except _Answer as answer:
            said = hide(answer.said, self._secrets)[:_EXCERPT]
            text = f"Grafana at {self.url}, asked {what}: {_told(answer.status, said, right)}"
            raise Refused(text, answer.status, said) from None
        except requests.exceptions.SSLError as error:
            why = (
                f"TLS failed ({self._inner(error)}); for a CA of your own set REQUESTS_CA_BUNDLE to its file"
            )
        except requests.exceptions.ProxyError as error:
            why = f"the proxy did not connect ({self._inner(error)}); set NO_PROXY if none is needed there"
        except requests.exceptions.Timeout:
            why = "no answer in time; is the address right, and does a firewall drop packets?"
        except requests.exceptions.ConnectionError as error:
            why = f"cannot connect ({self._inner(error)}); is Grafana running there?"
        except requests.exceptions.RequestException as error:
            why = f"the request failed ({self._inner(error)})"
        raise ConfigError(f"GRAFANA_URL {self.url}: {why}") from None

    def _inner(self, error: "requests.exceptions.RequestException") -> str:
        """The innermost reason, which is the one that helps."""
        cause: object = error
        while isinstance(cause, BaseException):
            deeper = getattr(cause, "reason", None) or (cause.args[0] if cause.args else None)
            if not isinstance(deeper, BaseException):
                break
            cause = deeper
        text = str(getattr(cause, "strerror", None) or cause)
        return hide(_WRAPPING.sub("", text), self._secrets)[:_EXCERPT]


def _path(part: str) -> str:
    return quote(part, safe="")


def _look(response: "requests.Response", **_: object) -> None:
    """See each answer before the library does, and let only JSON through."""
    if 300 <= response.status_code < 400:
        where = response.headers.get("Location", "").partition("?")[0]
        raise _Answer(response.status_code, where)
    try:
        told = response.json()
    except ValueError:
        raise _Answer(response.status_code, "") from None
    if response.status_code >= 400:
        raise _Answer(response.status_code, str(told.get("message", "") if isinstance(told, dict) else ""))


def _told(status: int, said: str, right: str) -> str:
    """What an answer means and what to do, in one line."""
    quoted = f" ({said})" if said else ""
    if 300 <= status < 400:
        return f"it sends us on to {said or 'another page'}: give GRAFANA_URL as it is in the browser once logged in"
    if status < 300:
        return f"the answer is a page, not JSON; {_PREFIX} Or does a proxy before it want a login?"
    advice = {
        401: f"401{quoted}: GRAFANA_TOKEN is wrong, expired or of another Grafana; make a new one",
        403: f"403{quoted}: the token lacks the right {right or 'to read this'}; give its service account the role Editor, or Admin "
        "for data sources",
        404: f"404{quoted}: not there; {_PREFIX}",
        409: f"409{quoted}: something of that name is there already",
        412: f"412{quoted}: another of that title is in the folder, or somebody else is just changing it; rename it, then try again",
    }
    if status == 400 and "provisioned" in said:
        return f"400{quoted}: this one comes from provisioning files, and changes with them. Nothing needs to be pushed there"
    return advice.get(status, f"{status}{quoted}" + ("; see Grafana's log" if status >= 500 else ""))
