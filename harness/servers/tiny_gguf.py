"""A tiny llama model in a GGUF file: random weights, a real byte-level BPE vocabulary, about 2.5 MB.

It makes a real server do real work (tokenise, batch, sample, stream) at about a thousand tokens a second
on two cores; what it says is noise. The vocabulary is GPT-2's kind, 4,096 tokens, most of them English
words with a leading space, so that prompts of an exact length are easy to make. It is trained on text that
every Python carries (the language reference behind `help()`) and a list of common words, so no download
and no file outside Python is needed.

Same Python, packages and seed, same bytes. Another Python has another text and so another vocabulary.

Source: GGUF keys and tensor names as in llama.cpp's `gguf-py` (architecture `llama`).
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter, LlamaFileType, TokenType
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

__all__ = ["VOCABULARY", "write"]

VOCABULARY = 4096
LAYERS = 2
WIDTH = 64
HEADS = 4
KV_HEADS = 2
FEED_FORWARD = 128
CONTEXT = 8192
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# The language reference is short of everyday words. Each repeat counts as one more sighting in training;
# thirty are enough that every word below becomes one token.
REPEATS = 30
COMMON_WORDS = """\
the of and to in is that for it as was with be by on not this are or his from at which but have an had they you
were their one all we can her has there been if more when will would who so no time people into only other new some
could these may then do first any my now such like our over man me even most made after also did many before must
through years where much your way well down should because each just those state good very make world still own see
men work long here get both between life being under three never day same another know while last might us great old
year off come since against go came right used take himself few house use during without again place around however
home small found thought went say part once general high upon school every does got left number course until always
away something fact water public put less though take enough almost hand think head far set end better night nothing
room eyes young early river city story children family name morning light money music letter market garden mountain
street window summer winter coffee bread ocean forest bridge train island village teacher doctor friend mother father
system server load test model answer question write short long list explain describe compare token prompt
"""


def write(path: Path, seed: int = 0) -> None:
    """Write the model to `path`, all or nothing; its folder must exist.

    Raises:
        OSError: the file cannot be written.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        _fill(GGUFWriter(part, "llama"), seed)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _fill(writer: GGUFWriter, seed: int) -> None:
    _describe(writer)
    _add_vocabulary(writer)
    for name, tensor in _weights(seed):
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: GGUFWriter) -> None:
    writer.add_name("tokenswarm tiny random llama")
    writer.add_file_type(LlamaFileType.ALL_F32)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)


def _add_vocabulary(writer: GGUFWriter) -> None:
    tokens, merges = _vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*tokens, *SPECIAL])
    writer.add_token_types([TokenType.NORMAL] * len(tokens) + [TokenType.CONTROL] * len(SPECIAL))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(len(tokens))
    writer.add_eos_token_id(len(tokens))
    writer.add_eot_token_id(len(tokens) + 2)
    writer.add_add_bos_token(value=False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _weights(seed: int) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Tensors by their GGUF names, output dimension first."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> npt.NDArray[np.float32]:
        return (rng.standard_normal(shape) * 0.02).astype(np.float32)

    kv_width = WIDTH // HEADS * KV_HEADS
    yield "token_embd.weight", normal(VOCABULARY, WIDTH)
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        yield block + "attn_norm.weight", np.ones(WIDTH, np.float32)
        yield block + "attn_q.weight", normal(WIDTH, WIDTH)
        yield block + "attn_k.weight", normal(kv_width, WIDTH)
        yield block + "attn_v.weight", normal(kv_width, WIDTH)
        yield block + "attn_output.weight", normal(WIDTH, WIDTH)
        yield block + "ffn_norm.weight", np.ones(WIDTH, np.float32)
        yield block + "ffn_gate.weight", normal(FEED_FORWARD, WIDTH)
        yield block + "ffn_up.weight", normal(FEED_FORWARD, WIDTH)
        yield block + "ffn_down.weight", normal(WIDTH, FEED_FORWARD)
    yield "output_norm.weight", np.ones(WIDTH, np.float32)
    yield "output.weight", normal(VOCABULARY, WIDTH)


def _vocabulary() -> tuple[Sequence[str], Sequence[str]]:
    """Tokens in order of their ids, and merges in order of their rank, each as `left right`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_text(), trainer)
    ids: dict[str, int] = tokenizer.get_vocab()
    merges: list[list[str]] = json.loads(tokenizer.to_str())["model"]["merges"]
    return sorted(ids, key=lambda token: ids[token]), [" ".join(pair) for pair in merges]


def _text() -> Iterator[str]:
    """What the vocabulary is learnt from."""
    for _ in range(REPEATS):
        yield " " + " ".join(COMMON_WORDS.split())
    for name in sorted(topics):
        yield topics[name]
