"""What words cost under a tokenizer that was met before, from a file of the cache.

Measuring a text takes some 1,600 short counts: seconds by a server's routes, more through a slow line. A tokenizer with its
chat template is known by its counts of some forty texts that together hold every word and sentence (`_samples`); so no name, version
or address has to be believed. Costs predict (`harness.prompts`): prompts built before load are counted one by one; what is composed under
load rests on them, so a file is believed only if it is of the text's own words.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import orjson

from harness.errors import ConfigError
from harness.files import as_json, cache_dir, write
from harness.prompts import Costs, measure_text
from harness.record import TokenSource
from harness.server_sizer import NoAnswer
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
    try:
        counts = [sizer.count(sample) for sample in _samples(text)]
        path = cache_dir() / "costs" / f"{_name(text, counts)}.json"
    except NoAnswer:
        raise
    except (ConfigError, RuntimeError):  # a server that takes no long texts; a machine without a home
        return measure_text(sizer, text)
    found = _read(path, text, counts[0])
    if found is None:
        found = measure_text(sizer, text)
        with suppress(OSError):  # a cache that cannot be written costs time and nothing else
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, as_json(msgspec.to_builtins(found)))
    return found


def _name(text: Text, counts: list[int]) -> str:
    """A digest of the text and of what the tokenizer makes of it."""
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


def _read(path: Path, text: Text, overhead: int) -> Costs | None:
    """None: there is no such file, or it is not what was written."""
    try:
        found = msgspec.convert(orjson.loads(path.read_bytes()), Costs, strict=False)
    except (OSError, ValueError):  # msgspec's and orjson's errors are ValueErrors
        return None
    words, sentences = set(text.lexicon), found.sentences
    whole = (
        (found.text, found.overhead) == (text.name, overhead)
        and _are_of(found.first, words)
        and _are_of(found.inner, {text.joint + word for word in words})
        and (not sentences or (len(sentences) == len(text.sentences()) and min(sentences) > 0))
    )
    return found if whole else None


def _are_of(by_cost: Mapping[int, Sequence[str]], words: set[str]) -> bool:
    return bool(by_cost) and all(
        cost > 0 and some and words.issuperset(some) for cost, some in by_cost.items()
    )
