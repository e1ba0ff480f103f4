"""What words cost under a tokenizer that was met before, from a file of the cache.

Measuring a text takes some 1,600 short counts: seconds by a server's routes, more through a slow line. A tokenizer with its
chat template is known by its counts of some forty texts that together hold every word and sentence (`_samples`); so no name, version
or address has to be believed. Costs only predict (`harness.prompts`): every prompt is counted before load, whatever a file said.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import orjson

from harness.files import as_json, cache_dir, write
from harness.prompts import Costs, measure_text
from harness.record import TokenSource
from harness.sizers import Sizer
from harness.texts import Text

__all__ = ["of"]

_FORMAT: Final = 1  # of the file and of how costs are measured: another one makes all files unknown
_ALONE: Final = 6  # words counted by themselves, where a prompt begins
_CHUNK: Final = 60  # words or sentences a sample, so that the longest has some 1,000 tokens


def of(sizer: Sizer, text: Text) -> Costs:
    """The costs of a text's words and sentences: as they are known, else measured and kept.

    Raises:
        ConfigError: the tokenizer gives no word a fixed cost, or cannot be asked.
    """
    if sizer.source is TokenSource.ESTIMATED:  # counted in a moment, and by length alone
        return measure_text(sizer, text)
    path = cache_dir() / "costs" / f"{_name(sizer, text)}.json"
    found = _read(path, text)
    if found is None:
        found = measure_text(sizer, text)
        with suppress(OSError):  # a cache that cannot be written costs time and nothing else
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, as_json(msgspec.to_builtins(found)))
    return found


def _name(sizer: Sizer, text: Text) -> str:
    """A digest of the text and of what the tokenizer makes of it."""
    counts = [sizer.count(sample) for sample in _samples(text)]
    said = [_FORMAT, text.name, text.joint, text.lexicon, text.sentences(), counts]
    return hashlib.sha256(orjson.dumps(said)).hexdigest()[:32]


def _samples(text: Text) -> Iterator[str]:
    yield ""  # the overhead
    yield from text.lexicon[:_ALONE]
    for at in range(0, len(text.lexicon), _CHUNK):
        yield text.joint.join(text.lexicon[at : at + _CHUNK])
    sentences = text.sentences()
    for at in range(0, len(sentences), _CHUNK):
        yield text.lexicon[0] + "".join(sentences[at : at + _CHUNK])


def _read(path: Path, text: Text) -> Costs | None:
    """None: there is no such file, or it is not what was written."""
    try:
        found = msgspec.convert(orjson.loads(path.read_bytes()), Costs, strict=False)
    except (OSError, ValueError):  # msgspec's and orjson's errors are ValueErrors
        return None
    whole = found.text == text.name and len(found.sentences) in {0, len(text.sentences())}
    return found if whole and found.first and found.inner else None
