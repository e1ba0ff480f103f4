"""Reading ahead: entries come at once and in order, again from the beginning, and a disk that hangs stops nobody."""

import _thread
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
from greenlets import until

from harness.backends.base import Turn
from harness.datasets.entries import Entry
from harness.datasets.images import data_url
from harness.datasets.opening import open_dataset
from harness.datasets.order import Order, Share
from harness.datasets.stream import Stream
from harness.errors import ConfigError

ROOT = Path(__file__).parent.parent
DOT = ROOT / "tests" / "data" / "datasets" / "dot.png"


@pytest.fixture
def put(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a dataset whose prompts are their numbers."""

    def make(count: int) -> Path:
        path = tmp_path / "numbers.jsonl"
        path.write_text("".join(f'{{"prompt": "{number}"}}\n' for number in range(count)))
        return path

    return make


@pytest.fixture
def opened() -> Iterator[list[Stream]]:
    """Streams that are closed at the end."""
    streams: list[Stream] = []
    yield streams
    for stream in streams:
        stream.close()


def number(entry: Entry | None) -> int:
    """An entry's prompt."""
    assert entry is not None
    return int(entry.turns[0].text)


def test_in_order_and_again(put: Callable[[int], Path], opened: list[Stream]) -> None:
    """Five entries taken 16 times: 3.2 passes in the same order, and nobody had to wait for any."""
    stream = Stream(open_dataset(put(5)))
    opened.append(stream)
    stream.fill()
    assert [number(stream.next()) for _ in range(3)] == [0, 1, 2]
    assert stream.describe() == "3 of the 5 entries of numbers.jsonl were used"
    assert [number(stream.next()) for _ in range(13)] == [at % 5 for at in range(3, 16)]
    assert (stream.taken, stream.starved, stream.waited_s, stream.passes) == (16, 0, 0, 3.2)
    assert stream.describe() == "numbers.jsonl was gone through 3.2 times"


@pytest.mark.parametrize("order", Order)
def test_a_share_of_a_large_one(put: Callable[[int], Path], opened: list[Stream], order: Order) -> None:
    """More than is kept ready at a time, by one of three workers, over the end into the second pass."""
    dataset = open_dataset(put(5_000), order=order, seed=1)
    whole = [number(entry) for entry in dataset.entries()]
    mine = whole[1::3]
    stream = Stream(dataset, Share(1, 3), ahead=16)
    opened.append(stream)
    stream.fill()
    assert [number(stream.take()) for _ in range(2_000)] == (mine * 2)[:2_000]
    assert stream.passes == 2_000 / len(mine)


def test_a_first_pass_from_further_on(put: Callable[[int], Path], opened: list[Stream]) -> None:
    """The first pass begins where it is told, the second at the beginning."""
    stream = Stream(open_dataset(put(6)), start=4)
    opened.append(stream)
    stream.fill()
    assert [number(stream.next()) for _ in range(9)] == [4, 5, 0, 1, 2, 3, 4, 5, 0]


def test_no_more_than_shall_be_is_ready(tmp_path: Path, opened: list[Stream]) -> None:
    """Bytes count beside entries, and one entry is always ready, however large."""
    path = tmp_path / "set.jsonl"
    path.write_text("".join(f'{{"prompt": "{"x" * 10_000}"}}\n' for _ in range(50)))
    dataset = open_dataset(path)
    for bounds, ready in (((512, 45_000), 5), ((7, 10**9), 7), ((512, 1), 1)):
        stream = Stream(dataset, ahead=bounds[0], ahead_bytes=bounds[1])
        opened.append(stream)
        stream.fill()
        assert stream._entries.qsize() == ready
        for _ in range(20):
            stream.take()
        until(lambda stream=stream, ready=ready: stream._entries.qsize() == ready, 10)


def test_a_disk_that_hangs(tmp_path: Path, opened: list[Stream]) -> None:
    """`next` says at once that nothing is ready, `take` lets others run meanwhile, and both are counted."""
    image = tmp_path / "a.png"
    image.write_bytes(DOT.read_bytes())
    path = tmp_path / "set.jsonl"
    path.write_text('{"prompt": "0"}\n{"prompt": "1", "image_path": "a.png"}\n')
    dataset = open_dataset(path)
    image.unlink()
    os.mkfifo(image)  # to open it is to wait for who writes
    stream = Stream(dataset)
    opened.append(stream)
    until(lambda: stream._entries.qsize() == 1, 10)
    assert number(stream.next()) == 0
    assert stream.next() is None
    assert stream.next() is None
    assert stream.starved == 2
    waiting = gevent.spawn(stream.take)
    gevent.sleep(0.05)
    assert not waiting.ready()
    image.write_bytes(DOT.read_bytes())
    image.unlink()
    image.write_bytes(DOT.read_bytes())
    entry = waiting.get(timeout=10)
    assert entry == Entry(1, (Turn("user", "1", (data_url(str(DOT)),)),))
    assert stream.starved == 3
    assert 0.04 < stream.waited_s < 10
    assert stream.describe() == (
        f"set.jsonl was gone through 1.0 times; it was not ready 3 times, which took {stream.waited_s:.1f} s in all"
    )
    stream.fill()
    assert stream.taken == 2


def test_a_dataset_that_is_changed_under_load(put: Callable[[int], Path], opened: list[Stream]) -> None:
    """What is ready is handed out; then every user is told what happened, at the next pass at the latest."""
    path = put(10)
    stream = Stream(open_dataset(path), ahead=4)
    opened.append(stream)
    stream.fill()
    path.write_text('{"prompt": "other"}\n')
    taken: list[int] = []

    def take_all() -> None:
        while True:
            taken.append(number(stream.take()))

    with pytest.raises(ConfigError, match=r"numbers\.jsonl: changed after it was checked") as caught:
        take_all()
    assert taken == list(range(len(taken)))
    assert 4 <= len(taken) <= 10
    with pytest.raises(ConfigError) as again:
        stream.next()
    assert again.value is caught.value


def test_an_image_that_goes(tmp_path: Path, opened: list[Stream]) -> None:
    """It is said which, in one line."""
    image = tmp_path / "a.png"
    image.write_bytes(DOT.read_bytes())
    path = tmp_path / "set.jsonl"
    path.write_text('{"prompt": "1", "image_path": "a.png"}\n')
    dataset = open_dataset(path)
    image.unlink()
    stream = Stream(dataset)
    opened.append(stream)
    with pytest.raises(ConfigError, match=r"set\.jsonl: image .*a\.png: cannot be read \(No such file"):
        stream.fill()


def test_the_thread_ends(put: Callable[[int], Path]) -> None:
    """After `close` there is no thread, and nobody waits for an entry that will not come."""
    before = _thread._count()
    stream = Stream(open_dataset(put(10)))
    stream.fill()
    assert _thread._count() == before + 1
    stream.close()
    until(lambda: _thread._count() == before, 10)
    with pytest.raises(ConfigError, match="no longer read, since the run is over"):
        stream.take()


def test_under_locust(put: Callable[[int], Path]) -> None:
    """With everything patched, as Locust does, the thread is a real one all the same: it reads while nobody yields."""
    code = (
        "from gevent import monkey; monkey.patch_all()\n"
        "import sys; from pathlib import Path\n"
        "from harness.datasets.opening import open_dataset\n"
        "from harness.datasets.stream import Stream\n"
        "from harness.clock import now_ns\n"
        "stream = Stream(open_dataset(Path(sys.argv[1])), ahead=8)\n"
        "end = now_ns() + 10_000_000_000\n"
        "while stream._entries.qsize() < 8 and now_ns() < end: pass\n"
        "print([stream.next().number for _ in range(8)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(put(100))], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.stdout, done.stderr) == ("[0, 1, 2, 3, 4, 5, 6, 7]\n", "")
