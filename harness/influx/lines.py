"""Points as lines of InfluxDB's line protocol, by the schema: kinds cast, texts escaped, what was not measured left out.

The rule: whatever a name or a text holds, the line is one that every InfluxDB from 1.8 to 3.x reads as exactly one point, and a
field never changes its kind. Servers differ on backslashes in tags before what is escaped; none is left there. Field texts
stay as they are, line breaks too, but for lone surrogates, which no UTF-8 has (`?`), and for their length.

Pure: no clock and no queue.

Source: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol; `models/points.go` of InfluxDB 1.12 and 2.8.
"""

import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from math import inf, isfinite
from typing import Any, Final

from harness.influx.schema import MEASUREMENTS, Measurement

__all__ = ["TAG_CHARACTERS", "TEXT_BYTES", "Encoder", "encoders", "tag"]

TAG_CHARACTERS: Final = 256
TEXT_BYTES: Final = 64_000  # of a string field, in UTF-8
_HEADS: Final = 1024  # sets of tag values that are kept in escaped form
_HASH_BYTES: Final = 4
# Control characters, halves of surrogate pairs, and a backslash before what is escaped in tags, before another or at the end.
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]|\\(?=[,= \\]|\Z)")
_ESCAPED: Final = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})


def tag(text: str) -> str:
    """What a text is as a tag's value: the text, or where a tag cannot hold it something like it and a hash of it.

    At most `TAG_CHARACTERS`. Two texts never become one, and a tag's value stays what it is: `tag(tag(text)) == tag(text)`.
    An empty text, which no tag can hold, is `none`.
    """
    fit = _UNFIT.sub("_", text)
    if fit == text and len(text) <= TAG_CHARACTERS:
        return text or "none"
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).hexdigest()
    return f"{fit[: TAG_CHARACTERS - 1 - len(digest)]}~{digest}"


class Encoder:
    """Makes lines of one measurement. `common_tags`: those that are the same in all of them.

    Raises:
        KeyError: the measurement has no such tag.
    """

    def __init__(self, measurement: Measurement, **common_tags: str) -> None:
        self._measurement = measurement
        self._common = common_tags
        self._plan = {name: (f"{name}=", field.kind) for name, field in measurement.fields.items()}
        self._heads: dict[tuple[tuple[str, str], ...], str] = {}
        if unknown := common_tags.keys() - set(measurement.tags):
            raise KeyError(f"{measurement.name} has no tag {', '.join(sorted(unknown))}")

    def line(self, time_ns: int, values: Mapping[str, object], **tags: str) -> bytes:
        """One point, without a line break; b"" where none of its values was measured.

        Left out: None, NaN, infinities, and integers beyond 64 bits. `time_ns` is Unix time; tags and `common_tags`
        together are all that the measurement has.

        Raises:
            KeyError: the measurement has no such field or tag, or one of its tags is missing.
            TypeError, ValueError: a value is of another kind altogether.
        """
        fields = []
        # The usual cases without a call: with a thousand requests a second this runs between the reads of a stream.
        for name, value in values.items():
            prefix, kind = self._plan[name]
            given = type(value)
            if value is None:
                continue
            if kind == "float" and given is float and value - value == 0.0:  # type: ignore[operator]  # and finite
                fields.append(f"{prefix}{value!r}")
            elif kind == "int" and given is int and -(1 << 63) <= value < 1 << 63:  # type: ignore[operator]
                fields.append(f"{prefix}{value}i")
            elif text := _CAST[kind](value):
                fields.append(prefix + text)
        if not fields:
            return b""
        key = tuple(tags.items())
        head = self._heads.get(key) or self._head(key)
        return f"{head}{','.join(fields)} {time_ns}".encode("utf-8", "replace")

    def _head(self, key: tuple[tuple[str, str], ...]) -> str:
        """The measurement and its tags, in the order that servers like best; with the blank before the fields."""
        given = {**self._common, **dict(key)}
        wanted = set(self._measurement.tags)
        if wrong := given.keys() ^ wanted:
            raise KeyError(
                f"{self._measurement.name} has the tags {sorted(wanted)}; unknown or missing: {sorted(wrong)}"
            )
        if len(self._heads) >= _HEADS:
            self._heads.clear()
        tags = ",".join(f"{name}={tag(given[name]).translate(_ESCAPED)}" for name in sorted(given))
        head = self._heads[key] = f"{self._measurement.name},{tags} "
        return head


def encoders(run_id: str) -> dict[str, Encoder]:
    """One of each measurement, for points of one run."""
    return {name: Encoder(measurement, run=run_id) for name, measurement in MEASUREMENTS.items()}


def _float(value: Any) -> str:  # noqa: ANN401  # whatever float() takes
    try:
        number = float(value)
    except OverflowError:  # a giant
        return ""
    return repr(number) if isfinite(number) else ""


def _int(value: Any) -> str:  # noqa: ANN401  # whatever int() takes
    if value != value or value in (inf, -inf):  # noqa: PLR0124
        return ""
    number = int(value)
    return f"{number}i" if -(1 << 63) <= number < 1 << 63 else ""


def _string(value: object) -> str:
    """A text in quotes."""
    if value != value:  # a table's NaN  # noqa: PLR0124
        return ""
    text = str(value)
    if len(text) > TEXT_BYTES // 4:  # or else it is short enough, whatever its letters
        text = text[:TEXT_BYTES].encode("utf-8", "replace")[:TEXT_BYTES].decode("utf-8", "ignore")
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _bool(value: object) -> str:
    if value != value:  # noqa: PLR0124
        return ""
    return "true" if value else "false"


_CAST: Final[Mapping[str, Callable[[Any], str]]] = {
    "float": _float,
    "int": _int,
    "string": _string,
    "bool": _bool,
}
