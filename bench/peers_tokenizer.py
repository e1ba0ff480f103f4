"""A tiny tokenizer for the peers: they need one to make prompts and count answers, and there is no hub here.

A token is a word with the space before it, so that any tokens in any order come back the same when their text is
read again: inference-perf needs that to make prompts of an exact length. A word it does not know is one token too.
The truth server's answers are " the" again and again, one token each, so that a peer that counts with it gets what
was sent. It is laid out as the hub's cache has it, for aiperf, which takes no folder. It costs a peer less than a
real model's would.
"""

import json
from itertools import pairwise
from pathlib import Path
from typing import Final

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

__all__ = ["NAME", "trained", "write"]

NAME: Final = "tokenswarm/tiny"
COMMIT: Final = "0" * 40
UNKNOWN, END = "<|unknown|>", "<|end|>"
FIRST = "bdfghklmnprstvwz"
SECOND = ("a", "e", "i", "o", "u", "an", "en", "in", "on", "un", "ar", "er", "or")
TEMPLATE: Final = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def write(home: Path) -> Path:
    """Make the tokenizer's folder below `home`, and `home`/hub as the hub's cache with it; returns the folder."""
    snapshot = home / "hub" / f"models--{NAME.replace('/', '--')}"
    folder = snapshot / "snapshots" / COMMIT
    folder.mkdir(parents=True, exist_ok=True)
    (snapshot / "refs").mkdir(exist_ok=True)
    (snapshot / "refs" / "main").write_text(COMMIT, encoding="ascii")
    trained().save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "unk_token": UNKNOWN,
        "chat_template": TEMPLATE,
        "model_max_length": 1_000_000,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    (folder / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    return folder


def trained() -> Tokenizer:
    """The tokenizer itself: " the", and a word for every pair of syllables that starts alike."""
    syllables = [first + second for first in FIRST for second in SECOND]
    words = [
        "the",
        *(first + second for first, second in pairwise(syllables)),
        *syllables,
    ]
    vocabulary = {END: 0, UNKNOWN: 1} | {f" {word}": 2 + at for at, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s?\S+|\s+"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([END, UNKNOWN])
    return tokenizer
