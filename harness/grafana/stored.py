"""A dashboard as a Grafana stores it, beside ours. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from harness.grafana.provisioning import DATASOURCE

__all__ = ["difference", "with_datasource"]

# What Grafana writes into a dashboard by itself.
_OWN: Final = frozenset(("id", "version", "iteration", "schemaVersion", "pluginVersion"))
_EMPTY: Final = (None, "", False)  # what it may leave out


def with_datasource(dashboard: Mapping[str, Any], uid: str) -> dict[str, Any]:
    """The same dashboard, reading from another data source."""
    return {key: _with_datasource(value, uid) for key, value in dashboard.items()}


def difference(ours: object, theirs: object, where: str = "") -> str | None:
    """Where a stored dashboard does not say what ours says, such as `panels[3].title`; None if it does.

    Grafana may have added keys, and has numbers and versions of its own.
    """
    if isinstance(ours, Mapping):
        if not isinstance(theirs, Mapping):
            return where or "the whole"
        pairs = [
            (f"{where}.{key}" if where else str(key), ours[key], theirs.get(key))
            for key in ours
            if key not in _OWN
        ]
    elif isinstance(ours, list):
        if not isinstance(theirs, list) or len(ours) != len(theirs):
            return where
        pairs = [(f"{where}[{i}]", a, b) for i, (a, b) in enumerate(zip(ours, theirs, strict=True))]
    else:
        return None if ours == theirs or (ours in _EMPTY and theirs is None) else where
    return next((at for name, a, b in pairs if (at := difference(a, b, name)) is not None), None)


def _with_datasource(part: object, uid: str) -> object:
    if isinstance(part, Mapping):
        ours = part.get("uid") == DATASOURCE and part.get("type") == "influxdb"
        return {
            key: uid if ours and key == "uid" else _with_datasource(value, uid) for key, value in part.items()
        }
    if isinstance(part, list):
        return [_with_datasource(one, uid) for one in part]
    return part
