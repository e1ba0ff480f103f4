"""The API key: from the environment or a file, never from an option, and kept by nobody but the client.

`TOKENSWARM_API_KEY`, or the file that `TOKENSWARM_API_KEY_FILE` names, or the backend's own variable, such as
`OPENAI_API_KEY`.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.errors import ConfigError


def read_secret(variables: Iterable[str], environ: Mapping[str, str] = os.environ) -> str | None:
    """The API key, or None. `variables`: where the backend's users keep it, looked at last.

    Raises:
        ConfigError: the key's file cannot be read or is empty, or the key cannot stand in a header.
    """
    key, source = environ.get("TOKENSWARM_API_KEY", "").strip(), "TOKENSWARM_API_KEY"
    if not key and (path := environ.get("TOKENSWARM_API_KEY_FILE")):
        source = f"TOKENSWARM_API_KEY_FILE {path!r}"
        try:
            key = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not text"
            raise ConfigError(
                f"{source} cannot be read ({why.lower()}): give the path of a file that holds only the key"
            ) from None
        if not key:  # going on without one, or with another one, is not what was asked
            raise ConfigError(f"{source} is empty: put the key into the file, or unset the variable")
    for variable in variables:
        if not key:
            key, source = environ.get(variable, "").strip(), variable
    if not all(33 <= ord(character) < 127 for character in key):
        raise ConfigError(
            f"{source} holds more than a key (spaces, line breaks or letters that no header may carry): "
            "put only the key there"
        )
    return key or None
