"""A llama.cpp server as the counter of its own prompt tokens.

Measured against its answers: with add_special and parse_special, /tokenize gives exactly
`tokens_evaluated` of /completion and, after /apply-template, `usage.prompt_tokens` of
/v1/chat/completions. Both must be JSON booleans: the server ignores 1. One kept-alive connection; not for
use while load runs.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import requests

from harness.control import reason, session
from harness.errors import ConfigError
from harness.record import TokenSource

PROBE: Final = "The quick brown fox"  # any sane tokenizer finds a token in it
_TIMEOUT_S: Final = (5.0, 60.0)  # to connect, to answer
_NO_ROUTE: Final = {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}


class RouteMissing(ConfigError):
    """The server answers but is not a llama.cpp: another tokenizer may be chosen."""


class LlamaServerSizer:
    """A `harness.sizers.Sizer` that asks the server at `url`; `asked` carries its API key.

    Raises:
        ConfigError: from the constructor and every count, naming the URL and the fix.
    """

    source = TokenSource.TOKENIZER  # the server's vocabulary, but not its count of a finished request

    def __init__(self, url: str, *, chat: bool, asked: requests.Session | None = None) -> None:
        self._url = url.rstrip("/").removesuffix("/v1")
        self._chat = chat
        self._session = asked or session(None)
        how = "with its chat template" if chat else "without a chat template"
        self.describe = f"the server's own tokenizer (/tokenize) at {self._url}, {how}"
        if self.count(PROBE) <= self.count(""):
            raise ConfigError(f"{self._url}/tokenize counts no tokens in a sentence; give --tokenizer")

    def count(self, text: str) -> int:
        """Prompt tokens, chat template and special tokens included."""
        if self._chat:
            prompt = self._post(
                "/apply-template", {"messages": [{"role": "user", "content": text}]}, "prompt"
            )
            text = str(prompt)
        return self._tokens({"content": text, "add_special": True, "parse_special": True})

    def count_output(self, text: str) -> int:
        """Tokens of generated text."""
        return self._tokens({"content": text, "add_special": False, "parse_special": False})

    def _tokens(self, body: Mapping[str, object]) -> int:
        tokens = self._post("/tokenize", body, "tokens")
        if not isinstance(tokens, list):
            raise ConfigError(f"{self._url}/tokenize gave no list of tokens; give --tokenizer")
        return len(tokens)

    def _post(self, route: str, body: Mapping[str, object], key: str) -> object:
        response = self._send(f"{self._url}{route}", body)
        where = f"POST {self._url}{route}"
        if response.status_code in _NO_ROUTE:
            raise RouteMissing(
                f"{where} gave {response.status_code}, so this is no llama.cpp server; give --tokenizer"
            )
        if response.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise ConfigError(f"{where} gave {response.status_code}; check the API key")
        if response.status_code != HTTPStatus.OK:
            raise ConfigError(
                f"{where} gave {response.status_code} ({response.text[:120]!r}); is the model loaded?"
            )
        try:
            return response.json()[key]
        except (ValueError, KeyError, TypeError):
            problem = (
                f"{where} gave no JSON object with {key!r}, so this is no llama.cpp server; give --tokenizer"
            )
            raise RouteMissing(problem) from None

    def _send(self, url: str, body: Mapping[str, object]) -> requests.Response:
        dropped = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
        for attempt in (1, 2):
            try:
                return self._session.post(url, json=body, timeout=_TIMEOUT_S, allow_redirects=False)
            except requests.RequestException as error:
                # llama.cpp drops a connection after 100 requests or some idle seconds; a second try opens anew.
                if attempt == 2 or not isinstance(error, dropped):
                    raise ConfigError(f"POST {url} failed ({reason(error)}); is the server up?") from error
        raise AssertionError("unreachable")


def first_line(error: Exception) -> str:
    """The first line of an error's text, shortened."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:160].rstrip(" :")
