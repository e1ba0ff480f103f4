"""Addresses of dashboards in a Grafana. Pure."""

from typing import Final
from urllib.parse import quote, urlencode

__all__ = ["LIVE", "dashboard_link", "run_link"]

LIVE: Final = "tokenswarm-live"
_LIVE_SLUG: Final = "live-run"


def run_link(grafana_url: str, run_id: str, begin_ms: int, end_ms: int | None) -> str:
    """Where a run can be watched: the live dashboard with this run chosen, over its time.

    Args:
        grafana_url: Grafana's own address, with its path prefix if it has one.
        run_id: the tag `run`.
        begin_ms: Unix ms.
        end_ms: Unix ms; None while it runs: the page follows the clock.
    """
    query = urlencode({"var-run": run_id, "from": begin_ms, "to": "now" if end_ms is None else end_ms})
    following = "&refresh=5s" if end_ms is None else ""
    return f"{dashboard_link(grafana_url, LIVE, _LIVE_SLUG)}?{query}{following}"


def dashboard_link(grafana_url: str, uid: str, slug: str = "") -> str:
    """Where a dashboard is. The slug is for people; Grafana goes by the uid."""
    return "/".join(part for part in (grafana_url.rstrip("/"), "d", quote(uid, safe=""), slug) if part)
