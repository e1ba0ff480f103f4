"""Parcels: the same bytes at the other end, whatever the way does, and one line where that cannot be."""

import hashlib
import random
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import gevent
import msgpack
import pytest
import zmq.green
from gevent import monkey
from gevent.queue import Queue
from hypothesis import example, given, settings
from hypothesis import strategies as st
from synthetic_run import record

from harness import journal
from harness.aside import aside
from harness.distributed.fetch import DAMAGED, WINDOW, Fetch
from harness.distributed.parcel import PIECE, BytesSource, Damaged, FileSource, Offer, Shelf, offer, opened
from harness.distributed.parcel_sinks import FetchError, FileSink, MemorySink

native_thread = monkey.get_original("_thread", "get_ident")
SMALL = 1000  # bytes a piece, where many pieces matter and not their size
QUIET_S = 0.02
NOISY = settings(deadline=None, max_examples=20)  # a noisy machine is no failure


def some_bytes(size: int, seed: int = 7) -> bytes:
    """Bytes of which no two pieces are alike."""
    return random.Random(seed).randbytes(size)


def lines(count: int) -> bytes:
    """A journal's lines, as streamed requests of some 150 tokens leave them."""
    rng = random.Random(7)
    made = []
    for number in range(count):
        gaps = tuple(round(rng.lognormvariate(9.9, 0.3), 3) for _ in range(150))
        one = record(request_id=f"{rng.getrandbits(128):032x}", chunk_gaps_us=gaps, chunks=151)
        made.append(journal._encode({"kind": "record", **journal.pack(one, number * 10**9)}))
    return b"".join(made)


class Way:
    """Messages between a fetch and a shelf, packed as Locust packs them, over a way with faults."""

    def __init__(self, shelf, *, seed=0, lost=0.0, doubled=0.0, flipped=0.0, late_s=0.0, spread_s=0.0):
        self.shelf, self.rng = shelf, random.Random(seed)
        self.lost, self.doubled, self.flipped = lost, doubled, flipped
        self.late_s, self.spread_s = late_s, spread_s
        self.gets, self.biggest = [], 0
        self.fetch = None

    def ask(self, get):
        """A fetch's `ask`."""
        self.gets.append((get["at"], get["size"]))
        self._send(get, lambda arrived: self._send(self.shelf.answer(arrived), self._deliver))

    def _deliver(self, chunk):
        self.fetch.deliver(self._flip(chunk) if self.rng.random() < self.flipped else chunk)

    def _send(self, message, arrive):
        packed = msgpack.packb(message)
        self.biggest = max(self.biggest, len(packed))
        for _ in range(1 + (self.rng.random() < self.doubled)):
            if self.rng.random() >= self.lost:
                seconds = self.late_s + self.rng.random() * self.spread_s
                gevent.spawn_later(seconds, arrive, msgpack.unpackb(packed))

    def _flip(self, chunk):
        return flip(chunk, self.rng.choice(["data", "crc", "at", "size"]), self.rng.randrange(1 << 30))


def flip(chunk, key, bit):
    """The chunk with one bit of one of its values flipped."""
    value = chunk[key]
    if isinstance(value, int):
        return {**chunk, key: value ^ (1 << bit % 32)}
    if isinstance(value, str):
        return {**chunk, key: flip({"": value.encode()}, "", bit)[""].decode(errors="replace")}
    place = bit % (8 * len(value))
    flipped = bytearray(value)
    flipped[place // 8] ^= 1 << place % 8
    return {**chunk, key: bytes(flipped)}


def shelved(data, name="parcel"):
    """A shelf with these bytes, and their offer."""
    source = data if hasattr(data, "read") else BytesSource(data)
    made = offer(name, source)
    shelf = Shelf()
    shelf.put(made, source)
    return shelf, made


def fetch_over(way, made, sink, **settings):
    """Fetch over a way; an end of it all that does not come is a failure."""
    way.fetch = Fetch(
        made,
        way.ask,
        sink,
        **{"timeout_s": QUIET_S if way.lost else 5.0, "give_up_s": 20.0, "piece": SMALL, **settings},
    )
    with gevent.Timeout(60):
        way.fetch.run()


def fails(way, made, sink, **settings):
    """What a fetch that fails says: one line."""
    with pytest.raises(FetchError) as raised:
        fetch_over(way, made, sink, **settings)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@NOISY
@given(
    size=st.integers(0, 20 * SMALL) | st.sampled_from([0, 1, SMALL, WINDOW * SMALL, WINDOW * SMALL + 1]),
    seed=st.integers(0, 2**32),
    lost=st.floats(0, 0.3),
    doubled=st.floats(0, 0.3),
    spread_s=st.floats(0, 0.004),
)
@example(size=20 * SMALL, seed=1, lost=0.3, doubled=0.3, spread_s=0.004)
def test_the_bytes_come_whatever_the_way_does(size, seed, lost, doubled, spread_s):
    """Of any size, over a way that loses, doubles and reorders messages: the very bytes, in memory."""
    data = some_bytes(size, seed)
    shelf, made = shelved(data)
    sink = MemorySink()
    fetch_over(Way(shelf, seed=seed, lost=lost, doubled=doubled, spread_s=spread_s), made, sink)
    assert sink.data == data


def killed(way, made, sink, end, *, at_once):
    """Run a fetch and kill it when it has kept `end` bytes: then, or while it writes the next piece."""

    def kill(done, _size):
        if done >= end and at_once:
            raise gevent.GreenletExit
        if done >= end:
            gevent.spawn(running.kill)

    way.fetch = Fetch(made, way.ask, sink, timeout_s=QUIET_S, piece=SMALL, progress=kill)
    running = gevent.spawn(way.fetch.run)
    with gevent.Timeout(30):
        running.join()
    gevent.get_hub().threadpool.join()  # what was being written is, as after any while


@NOISY
@given(
    ends=st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=4),
    torn=st.integers(0, 2 * SMALL),
    seed=st.integers(0, 2**32),
    lost=st.sampled_from([0.0, 0.2]),
)
def test_a_fetch_killed_anywhere_is_continued(tmp_path_factory, ends, torn, seed, lost):
    """Killed after any pieces, any number of times, the file left torn by a crash: the next begins where it is."""
    path = tmp_path_factory.mktemp("p") / "journal.jsonl"
    data = some_bytes(20 * SMALL + 17, seed)
    shelf, made = shelved(data)
    sink = FileSink(path)
    for end, at_once in ends:
        killed(Way(shelf, seed=seed, lost=lost, spread_s=0.002), made, sink, end * SMALL, at_once=at_once)
        if path.exists():
            break
        content = sink.part.read_bytes()
        assert data.startswith(content)
        sink.part.write_bytes(content[: max(0, len(content) - torn)])
    there = sink.part.stat().st_size if sink.part.exists() else 0
    way = Way(shelf, seed=seed, lost=lost)
    fetch_over(way, made, sink)
    assert path.read_bytes() == data
    assert not sink.part.exists()
    assert min(at for at, _ in way.gets) >= there


def test_a_healthy_way_is_asked_once_a_piece():
    """Each byte is asked for once, in order, and never more than a window ahead of what is kept."""
    data = some_bytes(10 * SMALL + 1)
    shelf, made = shelved(data)
    way, told = Way(shelf), []
    ahead = []

    def progress(done, size):
        told.append((done, size))
        ahead.append(sum(size for _, size in way.gets) - (done - min(SMALL, size)))

    fetch_over(way, made, MemorySink(), timeout_s=30.0, progress=progress)
    assert way.gets == [(at, min(SMALL, len(data) - at)) for at in range(0, len(data), SMALL)]
    assert told == [(min(at, len(data)), len(data)) for at in range(SMALL, len(data) + SMALL, SMALL)]
    assert max(ahead) <= WINDOW * SMALL


def test_a_window_lost_costs_one_silence():
    """A side that was cut off and comes back is asked for one piece, and then for all that was lost, at once."""
    data = some_bytes(4 * WINDOW * SMALL)
    shelf, made = shelved(data)
    way = Way(shelf)
    way.lost = 1.0
    gevent.spawn_later(0.3, setattr, way, "lost", 0.0)
    sink = MemorySink()
    fetch_over(way, made, sink, timeout_s=0.5)
    assert sink.data == data
    pieces = [at // SMALL for at, _ in way.gets]
    assert pieces[:8] == [0, 1, 2, 3, 0, 1, 2, 3]
    assert sorted(pieces) == sorted([*range(4 * WINDOW), 0, 1, 2, 3])


def test_a_slow_way_is_not_filled_with_doubles():
    """Where a piece takes longer than `timeout_s`, some are asked for twice; it does not pile up."""
    shelf, made = shelved(some_bytes(24 * SMALL))
    way = Way(shelf)
    queue = Queue()
    way.ask = lambda get: (way.gets.append((get["at"], get["size"])), queue.put(get))

    def carry():
        while True:
            get = queue.get()
            gevent.sleep(0.06)
            way.fetch.deliver(shelf.answer(get))

    carrier = gevent.spawn(carry)
    try:
        fetch_over(way, made, MemorySink(), timeout_s=0.04)
    finally:
        carrier.kill()
    assert 24 <= len(way.gets) <= 48


def test_a_long_way_is_filled():
    """At 100 ms there and back, with pieces as they are, more than 5 MB a second come."""
    data = some_bytes(32 * PIECE)
    shelf, made = shelved(data)
    sink = MemorySink()
    began = time.perf_counter()
    fetch_over(Way(shelf, late_s=0.05), made, sink, timeout_s=5.0, piece=PIECE)
    seconds = time.perf_counter() - began
    assert sink.data == data
    assert len(data) / seconds / 1e6 > 5


@NOISY
@given(key=st.sampled_from(["data", "crc", "at", "size", "parcel"]), bit=st.integers(0, 2**20))
def test_a_flipped_bit_is_found(key, bit):
    """In the bytes or in what is said of them: the chunk is damaged, or is none for this place."""
    data = lines(2)
    shelf, made = shelved(data)
    get = {"parcel": made.name, "at": 10, "size": 900, "turn": 0}
    chunk = shelf.answer(get)
    assert opened(chunk, made.name, 10, 900) == data[10:910]
    flipped = flip(chunk, key, bit)
    with pytest.raises(Damaged):
        opened(flipped, flipped["parcel"], flipped["at"], 900)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_pieces_are_asked_for_again(seed):
    """A third of all chunks has a bit flipped somewhere: the very bytes come all the same."""
    data = some_bytes(40 * SMALL)
    shelf, made = shelved(data)
    sink = MemorySink()
    way = Way(shelf, seed=seed, flipped=0.3)
    fetch_over(way, made, sink)
    assert sink.data == data
    assert len(way.gets) > 40


def test_damage_without_end_is_said():
    """Chunks that nobody can read end the fetch soon, and not after a minute's silence."""
    shelf, made = shelved(some_bytes(3 * SMALL))
    way = Way(shelf)
    way._deliver = lambda chunk: way.fetch.deliver({**chunk, "data": b"of another version"})
    assert fails(way, made, MemorySink()) == (
        f"parcel parcel: the piece at 0 came damaged {DAMAGED} times in a row (cannot be decompressed); "
        "do both sides run the same version?"
    )


def test_the_beginning_of_another_parcel_is_replaced(tmp_path):
    """A part that is not of this parcel, or is too long, is noticed and everything is fetched."""
    data = some_bytes(5 * SMALL)
    shelf, made = shelved(data)
    for stale in (some_bytes(2 * SMALL, seed=8), data + b"more"):
        sink = FileSink(tmp_path / "journal.jsonl")
        sink.part.write_bytes(stale)
        way = Way(shelf)
        fetch_over(way, made, sink)
        assert sink.path.read_bytes() == data
        assert (0, SMALL) in way.gets


def test_what_is_not_as_offered_is_thrown_away(tmp_path):
    """Fetched twice with another SHA-256 than was offered: said, and no file is left that could be believed."""
    data = some_bytes(3 * SMALL)
    shelf, made = shelved(data)
    wrong = Offer(made.name, made.size, "0" * 64)
    way, sink = Way(shelf), FileSink(tmp_path / "journal.jsonl")
    assert fails(way, wrong, sink) == (
        f"parcel parcel: came twice, the second time with SHA-256 {made.sha256}, and was offered with {'0' * 64}; "
        "it was changed or damaged where it comes from"
    )
    assert list(tmp_path.iterdir()) == []
    assert [at for at, _ in way.gets] == [0, 1000, 2000, 0, 1000, 2000]


def test_silence_ends_it_and_keeps_what_came(tmp_path):
    """The other side is gone: said after `give_up_s`, with how far it came; the next fetch continues."""
    data = some_bytes(9 * SMALL)
    shelf, made = shelved(data)
    way, sink = Way(shelf), FileSink(tmp_path / "journal.jsonl")

    def progress(done, size):
        way.lost = float(done >= 3 * SMALL)  # what is on its way still comes

    text = fails(way, made, sink, give_up_s=0.3, progress=progress)
    there = sink.part.stat().st_size
    assert text == (
        f"parcel parcel: nothing came for 0.3 s, {there} of 9000 bytes are here; is the other side alive?"
    )
    assert 3 * SMALL <= there < 9 * SMALL
    way.lost = 0.0
    fetch_over(way, made, sink)
    assert sink.path.read_bytes() == data


def test_silences_between_pieces_do_not_add_up():
    """A way that is silent for a while before each piece is slow and not dead, however long it takes."""
    data = some_bytes(12 * SMALL)
    shelf, made = shelved(data)
    way, sink, heard = Way(shelf), MemorySink(), set()

    def ask(get):
        if get["at"] in heard:
            gevent.spawn(lambda: way.fetch.deliver(shelf.answer(get)))
        heard.add(get["at"])  # the first get of each piece is lost

    way.ask = ask
    fetch_over(way, made, sink, timeout_s=0.2, give_up_s=0.55)
    assert sink.data == data


def test_a_double_is_known():
    """A chunk is taken once, in its place, while it is missed; what comes besides is nobody's."""
    shelf, made = shelved(some_bytes(3 * SMALL))
    taken = []

    def ask(get):
        chunk = shelf.answer(get)
        taken.extend(
            [fetch.deliver(chunk), fetch.deliver(chunk), fetch.deliver({**chunk, "at": get["at"] + 1})]
        )
        taken.append(fetch.deliver({**chunk, "parcel": "other"}))

    fetch = Fetch(made, ask, MemorySink(), piece=SMALL)
    fetch.run()
    assert taken == [True, False, False, False] * 3
    assert fetch.deliver(shelf.answer({"parcel": made.name, "at": 0, "size": SMALL})) is False


def test_a_process_that_stood_still_looks_first():
    """A process stopped for longer than `give_up_s` takes what came meanwhile for what it is."""
    data = some_bytes(8 * SMALL)
    shelf, made = shelved(data)
    sink = MemorySink()
    frozen = []
    stand_still = monkey.get_original("time", "sleep")

    def progress(done, size):
        if not frozen:
            frozen.append(done)
            gevent.spawn(stand_still, 1.0)

    fetch_over(Way(shelf, late_s=0.05), made, sink, timeout_s=0.2, give_up_s=0.5, progress=progress)
    assert sink.data == data
    assert frozen == [SMALL]


def test_the_other_side_may_say_no(tmp_path):
    """No such parcel, and a file that lost its end or went away: the fetch ends with the other side's reason."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(some_bytes(2 * SMALL))
    shelf, made = shelved(FileSource(path))
    path.write_bytes(b"short")
    assert fails(Way(shelf), made, MemorySink()) == (
        f"parcel parcel: the other side says: {path} cannot be read (only 5 of 2000 bytes left)"
    )
    path.unlink()
    assert fails(Way(shelf), made, MemorySink()) == (
        f"parcel parcel: the other side says: {path} cannot be read (No such file or directory)"
    )
    shelf.drop(made.name)
    assert fails(Way(shelf), made, MemorySink()) == (
        "parcel parcel: the other side says: no parcel 'parcel' is offered here"
    )


@pytest.mark.parametrize("room", [2500, 5500])
def test_a_full_disk_is_named_and_what_it_took_stays(tmp_path, room):
    """The disk takes half a piece: the error names file and reason; with room, only the rest is fetched."""
    data = some_bytes(6 * SMALL)
    shelf, made = shelved(data)
    sink = FileSink(tmp_path / "journal.jsonl")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        text = fails(Way(shelf), made, sink)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert text == (
        f"{sink.part}: cannot keep what was fetched (File too large); mend that and fetch again: "
        "what has come so far stays"
    )
    assert sink.part.read_bytes() == data[:room]
    way = Way(shelf)
    fetch_over(way, made, sink)
    assert sink.path.read_bytes() == data
    assert way.gets == [(at, min(SMALL, len(data) - at)) for at in range(room, len(data), SMALL)]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    """Nothing is asked for where nothing could be kept."""
    shelf, made = shelved(b"bytes")
    way = Way(shelf)
    assert "gone/x.part: cannot keep what was fetched (No such file or directory)" in fails(
        way, made, FileSink(tmp_path / "gone" / "x")
    )
    assert way.gets == []


FETCHING = """
import sys, gevent
from pathlib import Path
from harness.distributed.fetch import Fetch
from harness.distributed.parcel import BytesSource, Shelf, offer
from harness.distributed.parcel_sinks import FileSink
data = Path(sys.argv[1]).read_bytes()
shelf, made = Shelf(), offer("parcel", BytesSource(data))
shelf.put(made, BytesSource(data))
ask = lambda get: gevent.spawn_later(0.01, lambda: fetch.deliver(shelf.answer(get)))
fetch = Fetch(made, ask, FileSink(Path(sys.argv[2])), piece=1000)
fetch.run()
"""


def test_a_killed_process_leaves_what_it_had(tmp_path):
    """Killed with -9 in the middle: the part is a beginning of the parcel, and another process completes it."""
    data = some_bytes(400 * SMALL)
    (tmp_path / "from").write_bytes(data)
    sink = FileSink(tmp_path / "to")
    with subprocess.Popen([sys.executable, "-c", FETCHING, tmp_path / "from", sink.path]) as process:
        while not (sink.part.exists() and sink.part.stat().st_size > 3 * SMALL):
            assert process.poll() is None
            gevent.sleep(0.005)
        process.kill()
    there = sink.part.read_bytes()
    assert 3 * SMALL < len(there) < len(data)
    assert data.startswith(there)
    shelf, made = shelved(data)
    way = Way(shelf)
    fetch_over(way, made, sink, piece=PIECE)
    assert sink.path.read_bytes() == data
    assert way.gets[0][0] == len(there)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "offer: None is not a mapping"),
        ({"name": "a"}, "offer: size, sha256 missing"),
        ({"name": "", "size": 1, "sha256": "0" * 64}, "offer: name '' is not a plain file name"),
        ({"name": "../a", "size": 1, "sha256": "0" * 64}, "offer: name '../a' is not a plain file name"),
        ({"name": "a/b", "size": 1, "sha256": "0" * 64}, "offer: name 'a/b' is not a plain file name"),
        ({"name": "a\\b", "size": 1, "sha256": "0" * 64}, "offer: name 'a\\\\b' is not a plain file name"),
        ({"name": "a\nb", "size": 1, "sha256": "0" * 64}, "offer: name 'a\\nb' is not a plain file name"),
        ({"name": "\ud800", "size": 1, "sha256": "0" * 64}, "offer: name '\\ud800' is not a plain file name"),
        (
            {"name": "a" * 201, "size": 1, "sha256": "0" * 64},
            f"offer: name '{'a' * 79} is not a plain file name",
        ),
        ({"name": 3, "size": 1, "sha256": "0" * 64}, "offer: name 3 is not a plain file name"),
        ({"name": "a", "size": -1, "sha256": "0" * 64}, "offer of a: size -1 is not a number of bytes"),
        ({"name": "a", "size": True, "sha256": "0" * 64}, "offer of a: size True is not a number of bytes"),
        ({"name": "a", "size": 1.0, "sha256": "0" * 64}, "offer of a: size 1.0 is not a number of bytes"),
        (
            {"name": "a", "size": 1, "sha256": "0" * 63},
            f"offer of a: sha256 '{'0' * 63}' is not 64 hexadecimal",
        ),
        ({"name": "a", "size": 1, "sha256": b"0" * 64}, "offer of a: sha256 b'000"),
        ({"name": "a", "size": 1, "sha256": "0" * 64 + "\n"}, "offer of a: sha256 '000"),
    ],
)
def test_what_is_no_offer_is_refused(value, text):
    """A peer's offer is looked at before anything is made of it; one line says what is wrong."""
    with pytest.raises(ValueError, match=f"^{re.escape(text)}") as raised:
        Offer.from_dict(value)
    assert "\n" not in str(raised.value)


def test_an_offer_survives_a_message():
    """As a dict of plain values, through msgpack, with a key that only a later version knows."""
    made = offer("journal-host é-0.jsonl", BytesSource(b"some bytes"))
    assert made.sha256 == hashlib.sha256(b"some bytes").hexdigest()
    assert made.size == 10
    assert Offer.from_dict(msgpack.unpackb(msgpack.packb({**made.as_dict(), "colour": 1}))) == made


def test_an_offer_of_other_bytes_is_not_shelved():
    """A source that grew since it was offered is noticed at the sender's."""
    made = offer("a", BytesSource(b"1234"))
    with pytest.raises(ValueError, match=r"^parcel a: offered with 4 bytes and has 5$"):
        Shelf().put(made, BytesSource(b"12345"))


@pytest.mark.parametrize(
    ("get", "error"),
    [
        (None, "no parcel None is offered here"),
        ([1], "no parcel None is offered here"),
        ({"parcel": ["x"], "at": 0, "size": 1}, "no parcel ['x'] is offered here"),
        ({"parcel": "other", "at": 0, "size": 1}, "no parcel 'other' is offered here"),
        ({"parcel": "parcel", "at": 10, "size": 1}, "1 bytes at 10 of 10 cannot be had at once"),
        ({"parcel": "parcel", "at": 9, "size": 2}, "2 bytes at 9 of 10 cannot be had at once"),
        ({"parcel": "parcel", "at": -1, "size": 2}, "2 bytes at -1 of 10 cannot be had at once"),
        ({"parcel": "parcel", "at": 0, "size": 0}, "0 bytes at 0 of 10 cannot be had at once"),
        ({"parcel": "parcel", "at": 0}, "None bytes at 0 of 10 cannot be had at once"),
        ({"parcel": "parcel", "at": True, "size": 1}, "1 bytes at True of 10 cannot be had at once"),
        ({"parcel": "parcel", "at": 0, "size": "1"}, "'1' bytes at 0 of 10 cannot be had at once"),
        ({"parcel": "parcel", "at": 2**80, "size": 1}, f"1 bytes at {2**80} of 10 cannot be had at once"),
    ],
)
def test_a_get_that_makes_no_sense_gets_an_error(get, error):
    """Never an exception, and always a message that can be packed."""
    chunk = shelved(b"0123456789")[0].answer(get)
    assert chunk["error"] == error
    assert msgpack.unpackb(msgpack.packb(chunk)) == chunk


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(
    message=ANYTHING
    | st.fixed_dictionaries(
        {
            "parcel": ANYTHING | st.just("parcel"),
            "at": ANYTHING | st.just(0),
            "size": ANYTHING,
            "turn": ANYTHING,
        },
        optional={"data": ANYTHING, "crc": ANYTHING, "error": ANYTHING},
    )
)
def test_no_message_raises(message):
    """Whatever a peer sends, as a get or as a chunk."""
    shelf, made = shelved(b"0123456789")
    assert isinstance(shelf.answer(message), dict)
    sink, heard = MemorySink(), []

    def ask(get):
        heard.append(fetch.deliver(message))
        gevent.spawn(lambda: fetch.deliver(shelf.answer(get)))

    fetch = Fetch(made, ask, sink, timeout_s=QUIET_S)
    assert fetch.deliver(message) is False  # nothing is missed yet
    try:
        fetch.run()
    except FetchError as error:
        assert "\n" not in str(error)  # noqa: PT017  # it may also get through
        assert all(heard)
    else:
        assert sink.data == b"0123456789"


def test_a_chunk_has_room_in_a_message():
    """The whole message stays under a third of a megabyte, also where nothing can be compressed."""
    data = some_bytes(4 * PIECE)
    shelf, made = shelved(data)
    way, sink = Way(shelf), MemorySink()
    fetch_over(way, made, sink, piece=PIECE)
    assert sink.data == data
    assert PIECE < way.biggest < PIECE + 300
    more = shelf.answer({"parcel": made.name, "at": 0, "size": PIECE + 1, "turn": 0})
    assert more["error"] == f"{PIECE + 1} bytes at 0 of {len(data)} cannot be had at once"


def test_journal_lines_are_halved_at_least():
    """Which is what compression is there for."""
    data = lines(200)
    shelf, made = shelved(data)
    chunk = shelf.answer({"parcel": made.name, "at": 0, "size": min(PIECE, len(data)), "turn": 0})
    assert 2.2 < chunk["size"] / len(chunk["data"]) < 20


@NOISY
@given(
    head=st.binary(max_size=30), tail=st.binary(max_size=30), at=st.integers(0, 59), size=st.integers(1, 60)
)
def test_a_tail_continues_its_file(tmp_path_factory, head, tail, at, size):
    """Any stretch of a file and what follows it is that stretch of both together."""
    path = tmp_path_factory.mktemp("p") / "journal.jsonl"
    path.write_bytes(head)
    source = FileSource(path, tail)
    assert source.size == len(head + tail)
    assert source.read(at, min(size, max(0, source.size - at))) == (head + tail)[at : at + size]


class Watched:
    """Journal lines that say which thread read them."""

    def __init__(self, data):
        self.data, self.size, self.threads = data, len(data), []

    def read(self, at, size):
        self.threads.append(native_thread())
        return self.data[at : at + size]


class WatchedSink(MemorySink):
    """Memory that says which thread filled it."""

    def __init__(self):
        super().__init__()
        self.threads = []

    def write(self, at, data):
        self.threads.append(native_thread())
        super().write(at, data)


def test_the_hub_has_little_to_do():
    """What reads, compresses and keeps is in threads; a piece takes the hub far less than 10 ms of its time."""
    source = Watched(lines(4000))
    assert source.size > 5_000_000
    shelf, made = shelved(source)
    assert made.sha256 == hashlib.sha256(source.data).hexdigest()
    way, sink = Way(shelf), WatchedSink()
    before = time.thread_time()  # the processor's, so that a noisy machine does not count
    fetch_over(way, made, sink, piece=PIECE)
    assert (time.thread_time() - before) / len(way.gets) < 0.010
    assert sink.data == source.data
    assert native_thread() not in source.threads + sink.threads
    assert len(sink.threads) == len(way.gets)


def test_a_small_offer_needs_no_thread():
    """Up to a megabyte is hashed at once, about half a millisecond; more is not."""
    source = Watched(b"x" * 2**20)
    offer("a", source)
    assert set(source.threads) == {native_thread()}


def test_what_is_raised_aside_is_raised_here(capfd):
    """The error of a thread comes to who waits for it, and no traceback to the screen."""
    with pytest.raises(ValueError, match="invalid literal"):
        aside(int, "x")
    assert aside(int, "ff", base=16) == 255
    assert capfd.readouterr().err == ""


def test_real_sockets_between(tmp_path):
    """ZeroMQ's sockets as Locust uses them, two parcels at a time into files."""
    context = zmq.green.Context()
    master, worker = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    worker.setsockopt(zmq.IDENTITY, b"worker-0")
    worker.connect(f"tcp://127.0.0.1:{master.bind_to_random_port('tcp://127.0.0.1')}")
    worker.send(b"hello")
    name, _ = master.recv_multipart()
    contents = {f"journal-{number}.jsonl": lines(300 + number) for number in range(2)}
    shelf, fetches = Shelf(), []
    for parcel, data in contents.items():
        made = offer(parcel, BytesSource(data))
        shelf.put(made, BytesSource(data))
        sink = FileSink(tmp_path / parcel)
        fetches.append(Fetch(made, lambda get: master.send_multipart([name, msgpack.packb(get)]), sink))

    def answer():
        while True:
            get = msgpack.unpackb(worker.recv())
            gevent.spawn(lambda get=get: worker.send(msgpack.packb(shelf.answer(get))))

    def listen():
        while True:
            chunk = msgpack.unpackb(master.recv_multipart()[1])
            assert sum(fetch.deliver(chunk) for fetch in fetches) == 1

    listeners = [gevent.spawn(answer), gevent.spawn(listen)]
    try:
        with gevent.Timeout(30):
            gevent.joinall([gevent.spawn(fetch.run) for fetch in fetches], raise_error=True)
    finally:
        gevent.killall(listeners)
        context.destroy(linger=0)
    assert {path.name: path.read_bytes() for path in Path(tmp_path).iterdir()} == contents
