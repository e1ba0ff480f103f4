"""The API key: from the environment or a file, never from an option, and kept by nobody but the client.

`TOKENSWARM_API_KEY`, or the file that `TOKENSWARM_API_KEY_FILE` names, or the backend's own variable, such as
`OPENAI_API_KEY`. Nobody gets it without saying where it will be sent: `harness.key_origin` has the rules.
"""

import os
from collections.abc import Iterable, Mapping

from harness import credential, key_origin
from harness.errors import ConfigError
from harness.target import Target

__all__ = ["check_home", "read_secret"]

_VARIABLE = "TOKENSWARM_API_KEY"


def read_secret(
    variables: Iterable[str], place: Target, environ: Mapping[str, str] = os.environ
) -> str | None:
    """The API key for `place`, or None. `variables`: where the backend's users keep it, looked at last.

    Raises:
        ConfigError: the key's file cannot be read or is empty, the key cannot stand in a header, or
            `TOKENSWARM_API_KEY_ORIGIN` is no list of origins or does not list this one.
    """
    variables = tuple(variables)
    listed = key_origin.read(environ)
    secret = credential.read(environ, _VARIABLE, "key", others=variables) or None
    if secret is not None and listed is not None:
        _refuse(key_origin.refusal(place, _source(variables, environ), listed, None))
    return secret


def check_home(
    variables: Iterable[str],
    place: Target,
    home: Target | None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """For a process that was started with the host `home`: see that a key, if there is one, may go to `place`.

    Raises:
        ConfigError: as in `read_secret`; or without `TOKENSWARM_API_KEY_ORIGIN` the two are of different origins.
    """
    variables = tuple(variables)
    if read_secret(variables, place, environ) is not None:
        listed = key_origin.read(environ)
        _refuse(key_origin.refusal(place, _source(variables, environ), listed, home))


def _refuse(why: str | None) -> None:
    if why is not None:
        raise ConfigError(why)


def _source(variables: Iterable[str], environ: Mapping[str, str]) -> str:
    """The variable that the key is from."""
    names = (_VARIABLE, f"{_VARIABLE}_FILE", *variables)
    return next((name for name in names if environ.get(name, "").strip()), _VARIABLE)
