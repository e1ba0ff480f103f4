"""A server's own tokenizer routes as the counter of its prompt tokens.

The server counts as it will count a request: special tokens and chat template are its own. One kept-alive
connection; not for use while load runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import requests

from harness.backends.base import Backend
from harness.control import reason
from harness.errors import ConfigError
from harness.record import TokenSource
from harness.target import Target

PROBE: Final = "The quick brown fox"  # any sane tokenizer finds a token in it
_TIMEOUT_S: Final = (5.0, 60.0)  # to connect, to answer
# A route of that name that takes other bodies is another system's.
_NO_ROUTE: Final = {
    *(HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED),
    *(HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY),
}


class RouteMissing(ConfigError):
    """The server answers but has no such route: another tokenizer may be chosen."""


class NoAnswer(ConfigError):
    """The server did not answer in time: another question would have to be waited for as long."""


@dataclass(frozen=True, slots=True)
class Routes:
    """A server's routes below `base`, asked through `asked`, which carries its API key.

    `what` names the server that has these routes, for error texts.
    """

    base: str
    asked: requests.Session
    what: str

    def post(self, route: str, body: Mapping[str, object]) -> object:
        """The JSON that a route answers with.

        Raises:
            RouteMissing: there is no such route, or it does not answer with JSON.
            NoAnswer: it does not answer in time.
            ConfigError: it cannot be asked, or refuses.
        """
        response = self._send(f"{self.base}{route}", body)
        where = f"POST {self.base}{route}"
        if response.status_code in _NO_ROUTE:
            raise RouteMissing(
                f"{where} gave {response.status_code}, so this is no {self.what} server; give --tokenizer"
            )
        if response.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise ConfigError(f"{where} gave {response.status_code}; check the API key")
        if response.status_code != HTTPStatus.OK:
            raise ConfigError(
                f"{where} gave {response.status_code} ({response.text[:120]!r}); is the model loaded?"
            )
        try:
            said: object = response.json()
        except ValueError:
            raise RouteMissing(
                f"{where} gave no JSON, so this is no {self.what} server; give --tokenizer"
            ) from None
        return said

    def _send(self, url: str, body: Mapping[str, object]) -> requests.Response:
        dropped = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
        for attempt in (1, 2):
            try:
                return self.asked.post(url, json=body, timeout=_TIMEOUT_S, allow_redirects=False)
            except requests.RequestException as error:
                # llama.cpp drops a connection after 100 requests or some idle seconds; a second try opens anew.
                if attempt == 2 or not isinstance(error, dropped):
                    kind = NoAnswer if isinstance(error, requests.Timeout) else ConfigError
                    raise kind(f"POST {url} failed ({reason(error)}); is the server up?") from error
        raise AssertionError("unreachable")


class ServerSizer:
    """A `harness.sizers.Sizer` that asks the server by the routes its backend names.

    Raises:
        RouteMissing: from the constructor: it has no such route.
        ConfigError: from every count, naming the URL and the fix.
    """

    source = TokenSource.TOKENIZER  # the server's vocabulary, but not its count of a finished request

    def __init__(self, backend: Backend, target: Target, model: str | None, asked: requests.Session) -> None:
        self._backend = backend
        self._model = model
        self._routes = Routes(target.url(""), asked, backend.name)
        self._none = 0
        self._none = self._count("", prompt=False)
        how = "with its chat template" if backend.templates else "without a chat template"
        self.describe = f"the server's own tokenizer at {target}, {how}"
        if self.count(PROBE) <= self.count(""):
            raise RouteMissing(f"{target} counts no tokens in a sentence")

    def count(self, text: str) -> int:
        """Prompt tokens, chat template and special tokens included."""
        return self._count(text, prompt=True)

    def count_output(self, text: str) -> int:
        """Tokens of generated text."""
        return self._count(text, prompt=False) - self._none

    def _count(self, text: str, *, prompt: bool) -> int:
        question = self._backend.counting(text, self._model, prompt=prompt)
        if question is None:
            raise RouteMissing(f"backend {self._backend.name!r} has no route that counts tokens")
        found = self._backend.counted(self._routes.post(*question))
        if found is None:
            raise RouteMissing(
                f"POST {self._routes.base}{question[0]} gave no count of tokens; give --tokenizer"
            )
        return found
