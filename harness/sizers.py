"""What counts a prompt's tokens the way the server will: special tokens and chat template included.

    TransformersSizer   a Hugging Face tokenizer, from a folder, the local hub cache or the hub
    LlamaServerSizer    a llama.cpp server's own routes (`harness.llama_sizer`)
    ServerSizer         those of another server that has some (`harness.server_sizer`)
    EstimatingSizer     four characters a token; no tokenizer, so every count is marked `estimated`

`choose` takes the first of these that the user asked for or that is at hand. Sizers run before and after
load, never during it: prompts are sized when the workload is built, gaps filled when the run is over.
Loading a tokenizer stays quiet and either works or says in one line what to do.
"""

import logging
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import requests

from harness.errors import ConfigError
from harness.llama_sizer import LlamaServerSizer, first_line
from harness.record import TokenSource
from harness.server_sizer import PROBE, RouteMissing

CHARACTERS_A_TOKEN: Final = 4
_HUB_TIMEOUT_S: Final = (3.0, 5.0)  # to connect, to answer
_HUB_ID: Final = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_QUIET: Final = {
    "TRANSFORMERS_VERBOSITY": "error",  # read at import: else it announces that PyTorch is missing
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",  # one prompt at a time gains nothing, and a later fork would warn
}


class Sizer(Protocol):
    """Counts tokens. `source` says how far to trust the counts, `describe` names the sizer in one line."""

    @property
    def source(self) -> TokenSource:
        """Where the counts come from."""

    @property
    def describe(self) -> str:
        """For people: what counts."""

    def count(self, text: str) -> int:
        """Prompt tokens of a request that carries `text`; of "": the overhead every request has."""

    def count_output(self, text: str) -> int:
        """Tokens of generated text: no special tokens, no template."""


class EstimatingSizer:
    """The fallback: a token for every four characters, rounded up, and no overhead.

    Close to English under GPT-like vocabularies (within about a fifth), worse for other languages.
    """

    source = TokenSource.ESTIMATED
    describe = f"estimate: {CHARACTERS_A_TOKEN} characters a token"

    def count(self, text: str) -> int:
        """Estimated tokens of `text`; the overhead of a template is not known and left out."""
        return -(-len(text) // CHARACTERS_A_TOKEN)

    def count_output(self, text: str) -> int:
        """Estimated tokens of `text`."""
        return self.count(text)


class TransformersSizer:
    """A Hugging Face tokenizer. `chat` applies its chat template, if it has one."""

    source = TokenSource.TOKENIZER

    def __init__(self, tokenizer: Any, name: str, *, chat: bool) -> None:  # noqa: ANN401 - the library ships no types
        self._tokenizer = tokenizer
        self._chat = chat and bool(tokenizer.chat_template)
        how = "with its chat template" if self._chat else "without a chat template"
        self.describe = f"tokenizer {name}, {how}"

    def count(self, text: str) -> int:
        """Prompt tokens, chat template and special tokens included."""
        if not self._chat:
            return len(self._tokenizer.encode(text))
        messages = [{"role": "user", "content": text}]
        tokens = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        return len(tokens)

    def count_output(self, text: str) -> int:
        """Tokens of generated text."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))


def open_tokenizer(
    name: str, *, chat: bool, local: bool = False, option: str = "--tokenizer"
) -> TransformersSizer:
    """Load the tokenizer `name`: a folder, else a hub id in the local cache, else (unless `local`) from the hub.

    Raises:
        ConfigError: naming `option`, the value and the fix.
    """
    for variable, value in _QUIET.items():
        os.environ.setdefault(variable, value)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it narrates each retry
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _load(str(folder), name, option, chat=chat, local=True)
    if folder.exists() or not _HUB_ID.fullmatch(name):
        raise ConfigError(
            f"{option} {name!r} is not a folder; give a tokenizer's folder or a hub id like org/model"
        )
    try:
        return _load(name, name, option, chat=chat, local=True)
    except ConfigError:
        if local:
            raise
    _reach_hub(name, option)
    return _load(name, name, option, chat=chat, local=False)


def _load(place: str, name: str, option: str, *, chat: bool, local: bool) -> TransformersSizer:
    # Imported here because it takes a second, and not every run needs it.
    from transformers import AutoTokenizer  # noqa: PLC0415

    try:
        # Without trust_remote_code=False a tokenizer with code of its own asks on the terminal.
        tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=local, trust_remote_code=False)
        sizer = TransformersSizer(tokenizer, name, chat=chat)
        # A folder with a config but no vocabulary loads without complaint and encodes everything to nothing.
        works = sizer.count_output(PROBE) > 0 and sizer.count(PROBE) > sizer.count("")
    except Exception as error:  # the library raises whatever its parsers raise
        raise ConfigError(f"{option} {name!r} cannot be loaded ({first_line(error)}); {_FIX}") from error
    if not works:
        raise ConfigError(f"{option} {name!r} has no usable vocabulary; {_FIX}")
    return sizer


_FIX: Final = (
    "give a folder that holds tokenizer.json or its like, or a hub id "
    "(gated ones need HF_TOKEN in the environment)"
)


def _reach_hub(name: str, option: str) -> None:
    """Ask the hub one quick question first: on its own the library retries for most of a minute."""
    from huggingface_hub import constants  # noqa: PLC0415

    problem = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else ""
    if not problem:
        try:
            requests.head(constants.ENDPOINT, timeout=_HUB_TIMEOUT_S)
        except requests.RequestException:
            problem = f"{constants.ENDPOINT} cannot be reached"
    if problem:
        raise ConfigError(
            f"{option} {name!r} is neither a folder nor in the local hub cache, and {problem}; "
            "give the path of a tokenizer's folder"
        )


def choose(
    *,
    tokenizer: str | None,
    model: str | None,
    chat: bool,
    llama_url: str | None,
    asked: requests.Session | None = None,
    server: Callable[[], Sizer] | None = None,
) -> tuple[Sizer, str]:
    """Pick a sizer and say in one line which and why.

    An explicit `tokenizer` must work. Else the server itself where the backend is llama.cpp (`llama_url`) or has
    routes of its own for it (`server` makes that sizer, or raises `RouteMissing`), else `model` where it names a tokenizer that is on this machine, else the estimate.

    Raises:
        ConfigError: `tokenizer` cannot be loaded, or the llama.cpp server cannot be asked.
    """
    if tokenizer:
        sizer = open_tokenizer(tokenizer, chat=chat)
        return sizer, f"prompts sized by {sizer.describe}, as --tokenizer asks"
    reasons: list[str] = []
    if llama_url:
        server = partial(LlamaServerSizer, llama_url, chat=chat, asked=asked)
    if server:
        try:
            own = server()
        except RouteMissing as error:
            reasons.append(str(error))
        else:
            return own, f"prompts sized by {own.describe}"
    if model:
        try:
            named = open_tokenizer(model, chat=chat, local=True, option="--model")
        except ConfigError:
            reasons.append(f"no tokenizer of --model {model!r} on this machine")
        else:
            return named, f"prompts sized by {named.describe}, after --model"
    return EstimatingSizer(), _estimated(reasons)


def _estimated(reasons: Sequence[str]) -> str:
    why = "; ".join(reasons) or "no --tokenizer or --model given"
    return f"prompts sized by an estimate of {CHARACTERS_A_TOKEN} characters a token ({why}); for exact sizes give --tokenizer"
