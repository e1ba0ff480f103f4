"""TGI and vLLM by their docker command: what it is, whether docker can be had, and what its failures mean.

The client runs in the foreground and hands SIGTERM on to the container. A client that was killed leaves its
container running, so that the container is removed by its name afterwards in any case.

Weights are kept in a named volume from run to run. `HF_TOKEN` is passed by name: its value is read by the docker
client from its environment and is on no command line. The port is published on one address of this machine.

Sources: TGI's and vLLM's documentation of their images; the docker client's own messages.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.errors import ConfigError
from harness.servers.process import brief
from harness.servers.ready import CHECKS
from harness.servers.recipe import Recipe, base_url

__all__ = ["IMAGES", "Image", "check", "recipe"]

GRACE_S: Final = 30.0  # of GPU servers; docker's own stop waits 10
CHECK_S: Final = 30.0
NO_DOCKER: Final = "install Docker Engine (docs.docker.com/engine/install) with the NVIDIA Container Toolkit"
_NO_GPU: Final = (
    "docker has no GPU to give: install the NVIDIA driver and Container Toolkit, then restart docker; "
    "or --gpus none, if the server runs without"
)
_NO_IMAGE: Final = "there is no such image: choose another with --image"
_NO_MODEL: Final = (
    "the model needs a token: accept its licence on its page and put a Hugging Face token into HF_TOKEN"
)
_NO_MEMORY: Final = (
    "the GPU's memory does not hold it: choose a smaller model or context, or give more --gpus"
)
ADVICE: Final = (
    ("could not select device driver", _NO_GPU),
    ("nvidia-container-cli", _NO_GPU),
    ("unresolvable cdi devices", _NO_GPU),
    ("manifest unknown", _NO_IMAGE),
    ("manifest for", _NO_IMAGE),
    ("pull access denied", _NO_IMAGE),
    ("toomanyrequests", "the registry's limit is reached: `docker login`, or wait"),
    ("port is already allocated", "a container has this port: choose another --port"),
    ("no space left on device", "the disk is full: `docker system df` shows what docker holds"),
    ("gatedrepo", _NO_MODEL),
    ("gated repo", _NO_MODEL),
    ("401 client error", _NO_MODEL),
    ("out of memory", _NO_MEMORY),
    ("notenoughmemory", _NO_MEMORY),
)


@dataclass(frozen=True, slots=True)
class Image:
    """What is known of a server's image."""

    name: str
    backend: str
    image: str
    port: int  # inside
    default_port: int  # outside
    cache: str  # the folder of the weights inside
    memory: tuple[str, ...]  # tensor parallel processes share more than docker's 64 MB
    model: tuple[str, ...]  # what stands before the model


IMAGES: Final = {
    "tgi": Image(
        "TGI",
        "tgi",
        "ghcr.io/huggingface/text-generation-inference:3.3.6",
        port=80,
        default_port=8080,
        cache="/data",
        memory=("--shm-size", "1g"),
        model=("--model-id",),
    ),
    "vllm": Image(
        "vLLM",
        "vllm",
        "vllm/vllm-openai:v0.30.0",
        port=8000,
        default_port=8000,
        cache="/root/.cache/huggingface",
        memory=("--ipc", "host"),
        model=(),  # `vllm serve`, the image's entry point, takes it by position
    ),
}


def recipe(
    what: Image,
    model: str,
    *,
    address: str,
    port: int,
    gpus: str,
    image: str | None = None,
    volume: str | None = None,
    options: Sequence[str] = (),
    arguments: Sequence[str] = (),
) -> Recipe:
    """The server in a container named after its kind, port and this process.

    Args:
        what: which server.
        model: a hub id, or a folder of this machine, which is mounted read-only.
        address: of this machine, to publish `port` on; a name is none.
        port: of this machine.
        gpus: docker's word for them (`all`, `2`, `device=0,1`); `none` asks for none.
        image: instead of the pinned one.
        volume: a volume's name or a folder, for the weights.
        options: more of docker's own.
        arguments: more of the server's.
    """
    name = f"tokenswarm-{what.backend}-{port}-{os.getpid()}"
    mount, inside = _model(model)
    command = [
        *("docker", "run", "--rm", "--init", "--name", name),
        *(() if gpus == "none" else ("--gpus", gpus)),
        *what.memory,
        *("--publish", f"{f'[{address}]' if ':' in address else address}:{port}:{what.port}"),
        *("--volume", f"{_volume(volume or f'tokenswarm-{what.backend}')}:{what.cache}"),
        *mount,
        *("--env", "HF_TOKEN"),
        *options,
        *(image or what.image, *what.model, inside, *arguments),
    ]
    return Recipe(
        what.name,
        command,
        base_url(address, port),
        CHECKS[what.backend],
        locustfile=f"{what.backend}.py",
        grace_s=GRACE_S,
        afterwards=("docker", "rm", "--force", name),
        advice=ADVICE,
        missing=NO_DOCKER,
    )


def check() -> None:
    """See that docker is there and its daemon answers, before a run of it says so in its own many words.

    Raises:
        ConfigError: it is not; one line with the fix.
    """
    if shutil.which("docker") is None:
        raise ConfigError(f"no program 'docker': {NO_DOCKER}")
    code, said = brief(["docker", "version", "--format", "{{.Server.Version}}"], CHECK_S)
    if code == 0:
        return
    if code is None:
        raise ConfigError(f"docker does not work ({said}): see what `docker version` says")
    if "permission denied" in said.lower():
        raise ConfigError(
            f"this user may not use docker: `sudo usermod -aG docker $USER`, then log in again ({said})"
        )
    raise ConfigError(f"docker's daemon is not running: `sudo systemctl start docker` ({said})")


def _model(model: str) -> tuple[tuple[str, ...], str]:
    """Docker's options for it, and its name inside."""
    path = Path(model).expanduser()
    if not path.is_dir():
        return (), model
    inside = f"/models/{path.resolve().name}"
    return ("--volume", f"{path.resolve()}:{inside}:ro"), inside


def _volume(volume: str) -> str:
    return str(Path(volume).expanduser().resolve()) if volume.startswith(("/", ".", "~")) else volume
