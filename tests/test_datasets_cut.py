"""Where entries begin and end: arrays and lines cut anywhere by the reads, and a file larger than the memory there is."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.datasets import arrays
from harness.datasets.arrays import elements
from harness.datasets.entries import Unusable
from harness.datasets.lines import lines

ROOT = Path(__file__).parent.parent

# What a counter of brackets could stumble over.
tricky = st.text(st.sampled_from('{}[]",:\\/ \n\u00e9\u4e2d\u2028'), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | tricky,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(tricky, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(tricky, values, max_size=3)


@given(
    st.lists(objects, max_size=6),
    st.sampled_from([None, 0, 3]),
    st.booleans(),
    st.integers(1, 40),
    st.sampled_from(["", " ", "\r\n\t "]),
)
def test_elements_are_what_json_says(
    said: list[dict[str, object]], indent: int | None, ascii_only: bool, block: int, blank: str
) -> None:
    """Whatever texts hold and wherever a read ends: each element, its number and where it begins."""
    file = (blank + json.dumps(said, indent=indent, ensure_ascii=ascii_only) + blank).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "BLOCK", block)
        spans = list(elements(io.BytesIO(file), file.index(b"[") + 1))
        assert [json.loads(span.data) for span in spans] == said
        assert [span.place for span in spans] == list(range(1, len(said) + 1))
        for span in spans:
            assert file[span.begin :].startswith(span.data)
            assert next(elements(io.BytesIO(file), span.begin)).data == span.data


@example(b'[{"a": "\\', 3)
@given(
    st.binary(max_size=40) | st.text(st.sampled_from('{}[]",\\ a'), max_size=40).map(str.encode),
    st.integers(1, 9),
)
def test_noise_ends(noise: bytes, block: int) -> None:
    """Noise is cut or refused, and where it is JSON it is cut as JSON is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "BLOCK", block)
        try:
            found = [span.data for span in elements(io.BytesIO(noise), 0)]
        except Unusable:
            found = None
    try:
        value = json.loads(b"[" + noise)
    except ValueError:
        return
    if all(isinstance(one, dict) for one in value):
        assert found is not None
        assert [json.loads(one) for one in found] == value
    else:
        assert found is None


def test_a_long_element_is_looked_at_few_times() -> None:
    """An element of 20 MB is read in growing steps, so that its open string is not gone through 300 times."""
    file = io.BytesIO(b'{"image": "' + b"A" * 20_000_000 + b'"}]')
    reads: list[int] = []

    class Counted(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            reads.append(size or 0)
            return super().read(size)

    (span,) = elements(Counted(file), 0)  # type: ignore[type-var]
    assert len(span.data) == 20_000_013
    assert len(reads) <= 12


@given(st.lists(st.binary(max_size=20).filter(lambda data: b"\n" not in data), max_size=8), st.booleans())
def test_lines_are_what_lf_ends(said: list[bytes], ends: bool) -> None:
    """Blank ones are left out but counted; a begin is a byte of the file; the last may lack its end."""
    file = b"\n".join(said) + (b"\n" if ends and said else b"")
    spans = list(lines(io.BytesIO(file), 0))
    expected = [(at, line.rstrip(b"\r")) for at, line in enumerate(said, 1) if line.strip()]
    assert [(span.place, span.data) for span in spans] == expected
    for span in spans:
        assert file[span.begin :].startswith(span.data)
        assert next(lines(io.BytesIO(file), span.begin)).data == span.data


# 300 MB in all; the process may have 80 MB more than it has after its imports.
LARGE = """
import json, resource, sys
from pathlib import Path
from harness.datasets.opening import open_dataset
from harness.datasets.order import Order, Share
from harness.datasets.stream import Stream

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 120_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
path = Path(sys.argv[1])
try:
    path.read_bytes()
except MemoryError:
    print("too large to be read whole")
dataset = open_dataset(path, order=Order(sys.argv[2]), seed=1)
print(len(dataset), dataset.contents.turns)
numbers = [entry.number for _, entry in zip(range(2_000), dataset.entries(Share(1, 2)))]
print(len(set(numbers)), max(numbers))
stream = Stream(dataset)
stream.fill()
print(len({stream.take().number for _ in range(2_000)}))
"""


def large(path: Path, *, array: bool) -> int:
    """A ShareGPT file of 300 MB; how many conversations it has."""
    turns = [
        {"from": speaker, "value": f'{speaker} says: "[{{' + "palavra \u4e2d " * 250 + '\n"}}'}
        for speaker in ("human", "gpt")
    ]
    one = json.dumps({"id": "x_0", "conversations": turns * 2}, ensure_ascii=False).encode()
    between = b",\n" if array else b"\n"
    batch = between.join([one] * 100)
    batches = 300_000_000 // len(batch) + 1
    with path.open("wb") as file:
        file.write(b"[" if array else b"")
        for number in range(batches):
            file.write(batch + (between if number < batches - 1 else b""))
        file.write(b"]" if array else b"")
    return batches * 100


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")
@pytest.mark.parametrize(("array", "order"), [(True, "file"), (False, "shuffled")])
def test_larger_than_memory(tmp_path: Path, array: bool, order: str) -> None:
    """300 MB are checked, shared out and streamed by a process that may have 120 MB for it."""
    path = tmp_path / "large.json"
    count = large(path, array=array)
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(path), order],
        env=os.environ | {"MALLOC_ARENA_MAX": "1"},  # one more for the thread would be 64 MB of addresses
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    path.unlink()
    assert done.stderr == ""
    whole, checked, shared, streamed = done.stdout.splitlines()
    assert whole == "too large to be read whole"
    assert checked == f"{count} {2 * count}"
    distinct, greatest = map(int, shared.split())
    assert distinct == 2_000
    assert greatest == 3_999 if order == "file" else greatest > count * 0.99
    assert streamed == "2000"
