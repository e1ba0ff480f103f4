"""The options of each kind of server, and the recipe that they make.

Values are checked here, not by argparse, so that each bad one is a single line and exit code 2. Nothing is
started; a model that llama.cpp is to serve is made if it is not there yet.
"""

import argparse
import ipaddress
import os
import shutil
from pathlib import Path
from typing import Final

from harness import files, option_values, target
from harness.errors import ConfigError
from harness.servers import docker, llamacpp
from harness.servers.ready import CHECKS, ReadyCheck
from harness.servers.recipe import Recipe, base_url

__all__ = [
    "LICENCE",
    "command",
    "command_options",
    "container",
    "container_options",
    "llama",
    "llama_options",
    "maritalk",
    "maritalk_options",
]

LICENCE: Final = "MARITALK_LICENSE"
MARITALK_HOME: Final = Path("~/bin/maritalk")  # where Maritaca's own client puts it


def llama_options(parser: argparse.ArgumentParser) -> None:
    """Add llama.cpp's options."""
    parser.add_argument(
        "--model", metavar="MODEL", default="tiny", help="FILE.gguf, tiny or gemma (default: %(default)s)"
    )
    parser.add_argument("--slots", metavar="N", default="4", help="requests served at once (default: 4)")
    parser.add_argument("--context", metavar="TOKENS", default="2048", help="of each slot (default: 2048)")
    parser.add_argument("--threads", metavar="N", default="1", help="CPU threads (default: 1)")
    _listen_options(parser, 8080)


def llama(args: argparse.Namespace) -> Recipe:
    """llama.cpp out of the `xllamacpp` wheel.

    Raises:
        ConfigError: a bad value; one line.
    """
    port, host = _port(args.port), _address(args.host)
    sizes = [option_values.whole(getattr(args, n), n, 1, 1_000_000) for n in ("slots", "context", "threads")]
    slots, context, threads = sizes
    if args.model == "tiny":
        model = llamacpp.tiny_model(files.cache_dir())
    elif args.model == "gemma":
        model = llamacpp.gemma_model(files.cache_dir())
    else:
        model = _gguf(args.model)
    return llamacpp.recipe(model, slots, context, threads=threads, host=host, port=port)


def _gguf(text: str) -> Path:
    path = Path(text).expanduser()
    try:
        with path.open("rb") as file:
            if file.read(4) == b"GGUF":
                return path.absolute()
    except OSError as error:
        raise ConfigError(
            f"--model {text}: {(error.strerror or 'cannot be read').lower()}; give a GGUF file, tiny or gemma"
        ) from None
    raise ConfigError(f"--model {text}: not a GGUF file; give one, tiny or gemma")


def maritalk_options(parser: argparse.ArgumentParser) -> None:
    """Add MariTalk Local's options."""
    parser.add_argument("--port", metavar="PORT", default="9000", help="TCP port (default: %(default)s)")
    parser.add_argument(
        "--executable", metavar="PATH", help=f"the program (default: maritalk, else {MARITALK_HOME})"
    )
    _rest(parser, "more of the program's own arguments")


def maritalk(args: argparse.Namespace) -> Recipe:
    """MariTalk Local, its licence from the environment, by name.

    Raises:
        ConfigError: a bad value; one line.
    """
    licence = os.environ.get(LICENCE, "")
    if not licence.strip():
        raise ConfigError(f"{LICENCE} is not set: put the licence key that came from Maritaca into it")
    if not licence.isascii() or not licence.isprintable() or " " in licence:
        raise ConfigError(f"{LICENCE} has a blank or a line break in it: put the bare licence key into it")
    port = _port(args.port)
    if args.executable is not None:
        program = str(Path(args.executable).expanduser())
    else:
        program = "maritalk" if shutil.which("maritalk") else str(MARITALK_HOME.expanduser())
    return Recipe(
        "MariTalk Local",
        [program, "--license", f"${LICENCE}", "--port", str(port), *args.rest],
        base_url("127.0.0.1", port),
        CHECKS["maritalk"],
        locustfile="maritalk.py",
        secret_names=(LICENCE,),
        grace_s=docker.GRACE_S,
        advice=docker.ADVICE,
        missing="give the path of the program that Maritaca's mail links to with --executable (chmod +x it)",
    )


def command_options(parser: argparse.ArgumentParser) -> None:
    """Add Any command line's options."""
    parser.add_argument("--url", metavar="URL", required=True, help="the base URL it will answer at")
    parser.add_argument(
        "--health",
        metavar="ROUTE",
        help="ready when this route answers 200 (default: /health, or any answer of a server that lacks it)",
    )
    parser.add_argument("--name", metavar="NAME", help="what to call it (default: the program's name)")
    _rest(parser, "the command line, after --")


def command(args: argparse.Namespace) -> Recipe:
    """Any command line.

    Raises:
        ConfigError: a bad value; one line.
    """
    if not args.rest:
        raise ConfigError("no command to run: write it after --, e.g. -- vllm serve MODEL --port 8000")
    health = CHECKS["openai"]
    if args.health is not None:
        if not args.health.startswith("/") or not args.health.isprintable() or " " in args.health:
            raise ConfigError(f"--health {args.health!r}: give a route, e.g. /health")
        health = ReadyCheck(args.health)
    return Recipe(args.name or Path(args.rest[0]).name, args.rest, _url(args.url), health)


def _url(text: str) -> str:
    """A base URL, as `--host` of a run would have it."""
    try:
        return target.parse(text).url("").rstrip("/")
    except ConfigError as error:
        raise ConfigError(str(error).replace("--host", "--url", 1)) from None


def container_options(image: docker.Image, parser: argparse.ArgumentParser) -> None:
    """Add An image's options."""
    parser.add_argument("--model", metavar="MODEL", required=True, help="a Hugging Face id, or a folder here")
    parser.add_argument(
        "--gpus",
        metavar="GPUS",
        default="all",
        help="as docker's: all, 2, device=0,1; or none (default: all)",
    )
    parser.add_argument("--image", metavar="IMAGE", default=image.image, help="default: %(default)s")
    parser.add_argument(
        "--volume",
        metavar="VOLUME",
        default=f"tokenswarm-{image.backend}",
        help="a docker volume, or a folder, that keeps the weights (default: %(default)s)",
    )
    parser.add_argument(
        "--docker-option",
        metavar="OPTION",
        action="append",
        default=[],
        help="one more option of `docker run`, e.g. --docker-option=--env=HTTPS_PROXY (repeatable)",
    )
    _listen_options(parser, image.default_port)
    _rest(parser, "more of the server's own arguments, after --")


def container(image: docker.Image, args: argparse.Namespace) -> Recipe:
    """A server by its docker command.

    Raises:
        ConfigError: a bad value; one line.
    """
    for option in ("model", "gpus", "image", "volume"):
        value = getattr(args, option)
        if not value.strip() or value.startswith("-") or not value.isprintable():
            raise ConfigError(f"--{option} {value!r}: give a value")
    return docker.recipe(
        image,
        args.model,
        address=_address(args.host),
        port=_port(args.port),
        gpus=args.gpus,
        image=args.image,
        volume=args.volume,
        options=args.docker_option,
        arguments=args.rest,
    )


def _listen_options(parser: argparse.ArgumentParser, port: int) -> None:
    parser.add_argument("--port", metavar="PORT", default=str(port), help="TCP port (default: %(default)s)")
    parser.add_argument(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="address of this machine to listen at; 0.0.0.0 lets others in (default: %(default)s)",
    )


def _rest(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("rest", metavar="ARGUMENT", nargs="*", help=text)


def _port(text: str) -> int:
    return option_values.whole(text, "port", 1, 65_535)


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address("127.0.0.1" if text == "localhost" else text))
    except ValueError:
        raise ConfigError(f"--host {text!r}: give an address of this machine, e.g. 127.0.0.1") from None
