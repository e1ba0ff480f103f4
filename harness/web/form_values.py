"""From the form's text to options: each field read, every problem a line, nothing changed before all of it is right.

A field that holds what the page was given for it keeps its value to the letter. One that is absent does, too. What a value
must be is for `harness.options`; here are only Locust's own fields, how a text field holds several values, and what a page
may not say though the command line may: the name of a file. What such a file says would be sent to any server that the page
names. Only files that this process was started with are taken.

Values in, values out, but for one look whether a tokenizer's name is that of a file.
"""

import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from harness.errors import ConfigError
from harness.option_table import FLAGS, OPTIONS, REPEATABLE
from harness.process_options import makes_sweep, sets_users
from harness.web.form_fields import DEFAULT, FILES, NONE, shown

__all__ = ["OURS", "changed", "options_of"]

_FORM: Final = frozenset(name for name, _, in_form, _ in OPTIONS if in_form) | {
    *FILES,
    "dataset-order",
    "bust-cache",
}
OURS: Final = frozenset(
    name.replace("-", "_") for name, *_ in OPTIONS
)  # none of which Locust is to read by itself
MOST_USERS: Final = 999_999
MOST_S: Final = 365 * 86_400
MOST_TEXT: Final = 100_000  # characters of one field

_SIZES: Final = ("prompt-tokens", "output-tokens", "prompt-levels", "output-levels", "turns", "turn-tokens")
_FILE: Final = re.compile(r"\b(file|trace)\s*:", re.IGNORECASE)
_EMPTY: Final = {"api-mode": DEFAULT, **dict.fromkeys(FILES, NONE)}  # a select's word for no value
_QUOTES: Final = re.compile(r"[\"'\\]")  # which a mixture's words may have anywhere
_MIX_FILE: Final = re.compile(r"\b(lengths|dataset)\s*=|=\s*file\s*:", re.IGNORECASE)
_HUB_ID: Final = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_SPAN: Final = re.compile(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
_DECIMAL: Final = re.compile(r"\d{1,9}(\.\d{0,9})?|\.\d{1,9}", re.ASCII)


def options_of(
    form: Mapping[str, str], now: Namespace, started: Mapping[str, Any], *, is_shaped: bool = False
) -> Namespace:
    """The options that a form asks for: those of now with what it changes.

    Args:
        form: the fields' texts, by the parser's names; `user_count` for -u.
        now: the options as they are.
        started: as they were when the process was started.
        is_shaped: a load shape of the locustfile says how many users there are.

    Raises:
        ConfigError: a line for each field that cannot be read, naming its option.
    """
    wanted = Namespace(**vars(now))
    problems: list[str] = []
    for name, text in form.items():
        option = name.replace("_", "-")
        if option not in _FORM:
            continue
        try:
            setattr(wanted, name, _value(option, text, getattr(now, name, None), started.get(name)))
        except ConfigError as error:
            problems.append(str(error))
    problems += _locusts(form, wanted, is_shaped=is_shaped)
    if problems:
        raise ConfigError("\n".join(problems))
    return wanted


def changed(wanted: Namespace, now: Namespace) -> Iterator[str]:
    """Options, as on the command line, that differ; of Locust's own only the host."""
    for name in ("host", *(name.replace("-", "_") for name, *_ in OPTIONS)):
        if getattr(wanted, name, None) != getattr(now, name, None):
            yield f"--{name.replace('_', '-')}"


def _value(option: str, text: str, value: object, at_start: object) -> object:
    """What the parser would have for a field's text."""
    if len(text) > MOST_TEXT:
        raise ConfigError(f"--{option}: {len(text):,} characters are too many; give up to {MOST_TEXT:,}")
    for known in (value, at_start):
        if text.strip() == shown(option, known):
            return known
    return _flag(option, text) if option in FLAGS else _new(option, text)


def _new(option: str, text: str) -> object:
    """The value of a text that is not the one before."""
    bare = text.strip()
    if bare == _EMPTY.get(option):
        return ""
    _refuse_files(option, bare)
    if option not in REPEATABLE:
        return text
    several = [_lines(text)] if option == "mix" else _lines(text).split(";")
    return [one.strip() for one in several if one.strip()] or None


def _lines(text: str) -> str:
    """Several lines as one, which `;` parts."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def _flag(option: str, text: str) -> bool:
    word = text.strip().lower()
    if word not in ("true", "false", ""):
        raise ConfigError(f"--{option} {text!r}: it is given or not; write true or false")
    return word == "true"


def _refuse_files(option: str, text: str) -> None:
    """Raise where a text names a file, whether there is one or not."""
    if option == "mix":
        is_file = _MIX_FILE.search(_QUOTES.sub("", text)) is not None
    elif option == "tokenizer":
        is_file = bool(text) and not _is_hub_id(text)
    elif option in FILES:
        is_file = bool(text)
    else:
        is_file = option in (*_SIZES, "arrivals") and _FILE.search(text) is not None
    if is_file:
        raise _no_file(option, text)


def _is_hub_id(name: str) -> bool:
    try:
        return _HUB_ID.fullmatch(name) is not None and not Path(name).exists()
    except (OSError, ValueError):  # a name no file can have
        return False


def _no_file(option: str, text: str) -> ConfigError:
    instead = "give a hub id like org/model" if option == "tokenizer" else "leave it out"
    return ConfigError(
        f"--{option} {text.strip()!r}: the form takes no file's name, {instead}; files are named when tokenswarm is started"
    )


def _locusts(form: Mapping[str, str], wanted: Namespace, *, is_shaped: bool) -> Iterator[str]:
    """Locust's own fields into `wanted`; what is wrong with them, a line each."""
    if "host" in form:
        wanted.host = form["host"].strip()
    if "run_time" in form:
        try:
            wanted.run_time = _run_time(form["run_time"])
        except ConfigError as error:
            yield str(error)
    if is_shaped or makes_sweep(wanted):
        # Its fields are sent all the same, with what stands in them.
        wanted.spawn_rate = None
        if is_shaped or sets_users(wanted):
            wanted.num_users = None
            return
    else:
        rate = form.get("spawn_rate", "").strip()
        wanted.spawn_rate = float(rate) if _DECIMAL.fullmatch(rate) else 0.0
        if not 0 < wanted.spawn_rate <= MOST_USERS:
            yield f"Ramp up (-r) {rate!r}: give users started a second, above 0 and up to {MOST_USERS}"
    users = form.get("user_count", "").strip()
    if "user_count" not in form and makes_sweep(wanted):
        return
    if users.isascii() and users.isdigit() and len(users) < 12 and 1 <= int(users) <= MOST_USERS:
        wanted.num_users = int(users)
    else:
        yield f"Number of users (-u) {users!r}: give a whole number from 1 to {MOST_USERS}"


def _run_time(text: str) -> int | None:
    """Seconds, as Locust reads them; None for an empty text."""
    plain = text.strip()
    if not plain:
        return None
    match = _SPAN.fullmatch(f"{plain}s" if plain.isascii() and plain.isdigit() else plain)
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if match is None or total > MOST_S:
        raise ConfigError(
            f"Run time (-t) {plain!r}: give for example 20, 20s, 3m, 2h or 1h20m, up to 365 days; or nothing for no end"
        )
    return total
