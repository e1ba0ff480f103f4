"""The API key: from the environment or a file, never from an option, and kept by nobody but the client.

`TOKENSWARM_API_KEY`, or the file that `TOKENSWARM_API_KEY_FILE` names, or the backend's own variable, such as
`OPENAI_API_KEY`.
"""

import os
from collections.abc import Iterable, Mapping

from harness import credential


def read_secret(variables: Iterable[str], environ: Mapping[str, str] = os.environ) -> str | None:
    """The API key, or None. `variables`: where the backend's users keep it, looked at last.

    Raises:
        ConfigError: the key's file cannot be read or is empty, or the key cannot stand in a header.
    """
    return credential.read(environ, "TOKENSWARM_API_KEY", "key", others=variables) or None
