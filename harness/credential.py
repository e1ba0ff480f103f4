"""Keys and tokens: from a variable of the environment or from a file that another one names, never from an option.

`NAME`, or the file whose path `NAME_FILE` holds: `TOKENSWARM_API_KEY`, `INFLUXDB_TOKEN`, `GRAFANA_TOKEN`. No text from here has
the secret in it.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.errors import ConfigError

__all__ = ["read"]


def read(
    environ: Mapping[str, str],
    variable: str,
    what: str,
    *,
    others: Iterable[str] = (),
    hint: str = "",
    least: int = 33,
) -> str:
    """The secret, "" if there is none.

    Args:
        environ: the environment.
        variable: `NAME`.
        what: what to call it: key, token.
        others: further variables, looked at last.
        hint: what to add about its form.
        least: the lowest code of a letter that may be in it; 32 lets blanks pass.

    Raises:
        ConfigError: the file cannot be read or is empty, or the secret cannot stand in a header.
    """
    secret, source = environ.get(variable, "").strip(), variable
    if not secret and (path := environ.get(f"{variable}_FILE")):
        source = f"{variable}_FILE {path!r}"
        try:
            secret = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not text"
            raise ConfigError(
                f"{source} cannot be read ({why.lower()}): give the path of a file that holds only the {what}"
            ) from None
        if not secret:  # going on without one, or with another one, is not what was asked
            raise ConfigError(f"{source} is empty: put the {what} into the file, or unset the variable")
    for other in others:
        if not secret:
            secret, source = environ.get(other, "").strip(), other
    if not all(least <= ord(letter) < 127 for letter in secret):
        raise ConfigError(
            f"{source} holds more than a {what} (spaces, line breaks or letters that no header may carry): "
            f"put only the {what} there{hint}"
        )
    return secret
