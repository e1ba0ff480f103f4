"""How the key comes, dialect by dialect. Each raises the 401 that its server would answer with."""

import hmac
from collections.abc import Mapping

from harness.simulator.fields import Refusal


def bearer(headers: Mapping[str, str], key: str) -> None:
    """`Authorization: Bearer KEY`, or `X-Api-Key: KEY` as llama.cpp takes it too. Raises Refusal."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    _compare(given, key)


def only_bearer(headers: Mapping[str, str], key: str) -> None:
    """`Authorization: Bearer KEY`. Raises Refusal."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    _compare(token.strip() if scheme.lower() == "bearer" else "", key)


def key_or_bearer(headers: Mapping[str, str], key: str) -> None:
    """`Authorization: Key KEY` or `Authorization: Bearer KEY`. Raises Refusal."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    _compare(token.strip() if scheme.lower() in {"key", "bearer"} else "", key)


def key_header(headers: Mapping[str, str], key: str) -> None:
    """`key: KEY`, without a word before it. Raises Refusal."""
    _compare(headers.get("key", "").strip(), key)


def no_key(headers: Mapping[str, str], key: str) -> None:
    """Nothing is asked for."""


def _compare(given: str, key: str) -> None:
    # A header's bytes are kept as latin-1; a key may be any UTF-8.
    if not hmac.compare_digest(given.encode("latin-1"), key.encode()):
        raise Refusal(401, "Invalid API Key", type="authentication_error")
