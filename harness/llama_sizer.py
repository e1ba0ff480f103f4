"""A llama.cpp server as the counter of its own prompt tokens.

Measured against its answers: with add_special and parse_special, /tokenize gives exactly
`tokens_evaluated` of /completion and, after /apply-template, `usage.prompt_tokens` of
/v1/chat/completions. Both must be JSON booleans: the server ignores 1. One kept-alive connection; not for
use while load runs.
"""

from collections.abc import Mapping

import requests

from harness.backends.fields import mapping
from harness.control import session
from harness.errors import ConfigError
from harness.record import TokenSource
from harness.server_sizer import PROBE, RouteMissing, Routes


class LlamaServerSizer:
    """A `harness.sizers.Sizer` that asks the server at `url`; `asked` carries its API key.

    Raises:
        ConfigError: from the constructor and every count, naming the URL and the fix.
    """

    source = TokenSource.TOKENIZER  # the server's vocabulary, but not its count of a finished request

    def __init__(self, url: str, *, chat: bool, asked: requests.Session | None = None) -> None:
        self._url = url.rstrip("/").removesuffix("/v1")
        self._chat = chat
        self._routes = Routes(self._url, asked or session(None), "llama.cpp")
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
        said = mapping(self._routes.post(route, body))
        if key not in said:
            raise RouteMissing(
                f"POST {self._url}{route} gave no JSON object with {key!r}, so this is no llama.cpp server; "
                "give --tokenizer"
            )
        return said[key]


def first_line(error: Exception) -> str:
    """The first line of an error's text, shortened."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:160].rstrip(" :")
