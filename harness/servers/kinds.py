"""The kinds of servers that can be started by a word: `tokenswarm serve-backend KIND ...`, one table."""

import argparse
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

from harness.servers import docker, kind_options
from harness.servers.recipe import Recipe

if TYPE_CHECKING:
    from argparse import _SubParsersAction

__all__ = ["KINDS", "Kind", "add_kinds"]

DEADLINE_S: Final = 600
Parser = TypeVar("Parser", bound=argparse.ArgumentParser)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of server."""

    about: str
    description: str
    example: str
    add_options: Callable[[argparse.ArgumentParser], None]
    recipe: Callable[[argparse.Namespace], Recipe]  # raises ConfigError
    check: Callable[[], None] = lambda: None  # what must be there before it is started; raises ConfigError


_LLAMACPP = """\
Run llama.cpp's own server, out of the xllamacpp wheel from PyPI, on the CPU. `tiny` is a random-weight model
made on the spot: a real server, fast, and what it says is noise. `gemma` is Gemma 3 270M (253 MB, its terms
of use apply).
"""
_COMMAND = """\
Run any command line, without a shell (write `-- sh -c '...'` for one), and wait until the server it starts
answers at --url. 503 means that it loads its model. A server without /health is ready once it has answered
404 there for five seconds; name a route with --health to be strict about it.
"""
_MARITALK = f"""\
Run MariTalk Local. Its licence key is taken from the environment variable {kind_options.LICENCE}. The program
takes it on its command line only, where other users of this machine can see it (`ps`) while the server
runs; tokenswarm itself shows it nowhere, and blots it out of what the program prints.
"""
_CONTAINER = """\
Run {0} in docker. The image is pinned; --image takes another. HF_TOKEN, if set, is handed on by name, for
models that need it. Weights stay in a docker volume. The container goes when this command goes, however it
goes.
"""

KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "llamacpp": Kind(
            "llama.cpp from PyPI, on the CPU",
            _LLAMACPP,
            "tokenswarm serve-backend llamacpp --model tiny --slots 4 --port 8080",
            kind_options.llama_options,
            kind_options.llama,
        ),
        "command": Kind(
            "any command line",
            _COMMAND,
            "tokenswarm serve-backend command --url http://127.0.0.1:8000 -- vllm serve Qwen/Qwen3-0.6B",
            kind_options.command_options,
            kind_options.command,
        ),
        "maritalk": Kind(
            "MariTalk Local, its licence from the environment",
            _MARITALK,
            f"{kind_options.LICENCE}=$(cat licence) tokenswarm serve-backend maritalk --executable ~/bin/maritalk",
            kind_options.maritalk_options,
            kind_options.maritalk,
        ),
        "tgi": Kind(
            "Text Generation Inference in docker",
            _CONTAINER.format("Text Generation Inference"),
            "tokenswarm serve-backend tgi --model Qwen/Qwen3-0.6B --gpus all -- --max-concurrent-requests 512",
            partial(kind_options.container_options, docker.IMAGES["tgi"]),
            partial(kind_options.container, docker.IMAGES["tgi"]),
            docker.check,
        ),
        "vllm": Kind(
            "vLLM in docker",
            _CONTAINER.format("vLLM"),
            "tokenswarm serve-backend vllm --model Qwen/Qwen3-0.6B --gpus all -- --max-num-seqs 64",
            partial(kind_options.container_options, docker.IMAGES["vllm"]),
            partial(kind_options.container, docker.IMAGES["vllm"]),
            docker.check,
        ),
    }
)


def add_kinds(kinds: "_SubParsersAction[Parser]", also: Callable[[argparse.ArgumentParser], None]) -> None:
    """A parser for each kind, with the options all have; `also` adds more to each."""
    for name, kind in KINDS.items():
        parser = kinds.add_parser(
            name,
            help=kind.about,
            description=kind.description,
            epilog=f"example:\n{textwrap.indent(kind.example, '  ')}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        kind.add_options(parser)
        parser.add_argument(
            "--deadline",
            metavar="SECONDS",
            default=str(DEADLINE_S),
            help="how long it may take to be ready (default: %(default)s)",
        )
        parser.add_argument(
            "--log", metavar="FILE", help="keep the server's output here; an old file is replaced"
        )
        also(parser)
