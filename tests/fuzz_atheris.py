"""A coverage-guided fuzz of the whole parser, to be run by hand: `python tests/fuzz_atheris.py [-max_total_time=300]`.

Needs atheris (`pip install atheris`, Linux or macOS with clang); nothing else in the project does. What it
finds belongs into the regression cases of test_fuzz.py, which examines responses with the same `examine`.
"""

import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from harness.answer import Answer
from harness.backends import BACKENDS
from harness.decode import decode, has_content
from harness.errors import ProtocolError
from harness.received import Received

FIXTURES = Path(__file__).parent / "fixtures"
RECORDED = [path.read_bytes() for path in sorted(FIXTURES.glob("*.http"))]
# One of each kind: many are the generic one under another name.
KINDS = {(type(backend), backend.mode): backend for modes in BACKENDS.values() for backend in modes}
DIALECTS = [*KINDS.values()]
LONGEST_WORD = 300  # characters of a server's own words that are kept
LONGEST_QUOTE = 500  # of an error that quotes its bytes, escaped


def received(wire: bytes, cuts: Iterable[int]) -> Received:
    """What the engine would have of `wire`: it reads until the response is complete or broken, then it closes."""
    kept = Received()
    edges: list[int] = [0, *sorted({cut for cut in cuts if 0 < cut < len(wire)}), len(wire)]
    try:
        for start, stop in pairwise(edges):
            if stop > start and kept.add(wire[start:stop], stop) and kept.look():
                return kept
        kept.close()
    except ProtocolError as error:
        if len(str(error)) > LONGEST_QUOTE or not str(error).isprintable():
            raise ValueError("a server's words are quoted at length") from error
    return kept


def gist(answer: Answer) -> tuple[object, ...]:
    """Everything an answer says but when."""
    return (
        *(answer.status, answer.text, answer.ends, answer.first_answer, answer.done, answer.streamed),
        *(answer.finish_reason, answer.response_id, answer.prompt_tokens, answer.output_tokens),
        *(answer.cached_tokens, answer.tokens_so_far, answer.first_chunk_tokens, answer.queue_ms),
        *(answer.prefill_ms, answer.decode_ms, answer.error_class, answer.error_message),
    )


def examine(wire: bytes, cuts: Iterable[int]) -> None:
    """Fails if `wire`, read in pieces, makes the parser raise, remember too much, or depend on the pieces."""
    whole, pieces = received(wire, ()), received(wire, cuts)
    assert whole.framer.end == pieces.framer.end
    assert whole.framer.head == pieces.framer.head
    for backend in DIALECTS:
        answer, other = decode(backend, whole), decode(backend, pieces)
        assert gist(answer) == gist(other)
        assert has_content(backend, pieces) == bool(answer.ends)
        for one, kept in ((answer, whole), (other, pieces)):
            assert one.times == sorted(one.times)
            assert set(one.times) <= set(kept.read_times)
            assert len(one.times) == len(one.ends) <= len(wire)
            assert len(one.text) <= len(wire)
            assert len(one.error_message or "") <= LONGEST_QUOTE
            for word in (one.response_id, one.finish_reason):
                assert len(word or "") <= LONGEST_WORD
            assert f"{one.error_message}{one.response_id}{one.finish_reason}".isprintable()
        assert (
            answer.done
            or answer.error_class
            or answer.finish_reason
            or not answer.streamed
            or backend.ends_on_close
            or not answer.status
        )


def _fuzz() -> None:
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415

    atheris.instrument_all()

    def one(data: bytes) -> None:
        """The first bytes say where to cut, the rest is the response."""
        count = data[0] % 16 if data else 0
        cuts, wire = data[1 : 1 + 2 * count], data[1 + 2 * count :]
        examine(wire, [int.from_bytes(cuts[at : at + 2]) for at in range(0, len(cuts), 2)])

    corpus = Path(sys.argv.pop(1)) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else None
    if corpus:
        corpus.mkdir(exist_ok=True)
        for number, wire in enumerate(RECORDED):
            (corpus / f"recorded{number}").write_bytes(b"\x02\x00\x40\x01\x00" + wire)
    atheris.Setup([*sys.argv, *([str(corpus)] if corpus else [])], one)
    atheris.Fuzz()


if __name__ == "__main__":
    _fuzz()
