"""Server-sent events at their limits: windows, lists, sizes, breaths and offsets, counted by hand."""

import pytest

from harness import sse
from harness.sse import SseEvent, Window


def test_windows_are_cut_at_empty_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first cut at or after so many bytes ends a window; a longer block is one of its own."""
    monkeypatch.setattr(sse, "WINDOW_BYTES", 4)
    stream = b"a\n\nb\n\nc\n\nlonger\n\nd"
    assert [*sse.windows(stream)] == [
        Window(0, [b"a", b"b"], b"\n\n"),  # the cut at 4 is the first that is not before 4
        Window(6, [b"c", b"longer"], b"\n\n"),
        Window(17, [b"d"], b"\n\n"),
    ]
    assert [*sse.windows(b"a\r\n\r\nb\n\n")] == [Window(0, [b"a", b"b\n\n"], b"\r\n\r\n")]
    assert [*sse.windows(b"aa\rbb\n\nc")] == [Window(0, [b"aa\rbb"], b"\n\n"), Window(7, [b"c"], b"\n\n")]
    assert [*sse.windows(b"")] == []
    assert [*sse.windows(b"\n\n\n\n")] == [Window(0, [b"", b""], b"\n\n")]


def test_the_sizes_that_hold() -> None:
    """Cuts lie at 1, 4, 7 ...: the first from 131,072 on at 131,074. A breath comes with each 128th line."""
    assert [one.start for one in sse.windows(b"a\n\n" * 50_000)] == [0, 131_076]
    for lines, expected in ((127, 0), (254, 1), (256, 2)):
        breaths: list[int] = []
        assert [*sse.events(b":\n" * lines, breathe=lambda: breaths.append(1))] == []  # noqa: B023, called at once
        assert len(breaths) == expected


@pytest.mark.parametrize("cut", [b"\n\n", b"\r\n\r\n"])
@pytest.mark.parametrize("usual", [b"data: {", b"data:{"])
def test_blocks_as_one_list(cut: bytes, usual: bytes) -> None:
    """Each block's object, with a mark between any two."""
    blocks = [usual + b'"n":%d}' % n for n in range(3)]
    assert sse.as_list(blocks, cut) == b'[{"n":0},"\x7f",{"n":1},"\x7f",{"n":2}]'
    assert sse.as_list(blocks[:1], cut) == b'[{"n":0}]'


@pytest.mark.parametrize(
    "block",
    [
        *(b"event: x", b"data: [DONE]", b" data: {}", b'data: {"a":"\x7f"}', b'data: {"a":"\\u007f"}'),
        *(b"data: {}\nid: 1", b"data: {}\rid: 1", b'data: {"a":"\\\\\\u0070"}'),
    ],
)
def test_what_is_no_list(block: bytes) -> None:
    """Another field or line, and what could be the mark itself."""
    assert sse.as_list([block], b"\n\n") is None


def test_other_escapes_are_no_hindrance() -> None:
    """Only what could spell the mark is."""
    assert sse.as_list([b'data: {"a":"\\n\\u0041"}'], b"\n\n") == b'[{"a":"\\n\\u0041"}]'
    assert sse.as_list([b'data: {"a":"u007"}'], b"\n\n") == b'[{"a":"u007"}]'


def test_a_list_apart() -> None:
    """So many objects with so many marks between them, and nothing else."""
    assert sse.apart([1, "\x7f", 2, "\x7f", 3], 3) == [1, 2, 3]
    assert sse.apart([1], 1) == [1]
    for listed, blocks in (([1, "\x7f", 2], 3), ([1, "\x7f", 2], 1), ([1, 2, "\x7f", 3], 2), ([1, 2], 1)):
        assert sse.apart(listed, blocks) is None


def test_events_by_hand() -> None:
    """A name holds for one event; an empty one is `message`; the offset is past the blank line."""
    stream = (
        b"event: a\ndata: 1\n\ndata:  2\nretry: 5\n\nevent\ndata: 3\n\nevent: b\n\ndata: 4\nerror: 5\ndata: 6"
    )
    assert [*sse.events(stream)] == [
        SseEvent("a", b"1", 18),
        SseEvent("message", b" 2", 37),
        SseEvent("message", b"3", 52),
        SseEvent("error", b"4\n5\n6", len(stream)),
    ]
    assert [*sse.events(stream, 18, 37)] == [SseEvent("message", b" 2", 37)]
    assert [*sse.events(stream, 18, 28)] == [SseEvent("message", b" 2", 28)]


@pytest.mark.parametrize(
    ("limit", "data"), [(5, b"ab\ncd\nef"), (4, b"ab\ncd"), (8, b"ab\ncd\nef"), (1, b"ab"), (2, b"ab\ncd")]
)
def test_an_event_ends_at_its_limit(limit: int, data: bytes) -> None:
    """The line that makes it longer than that is its last; eight bytes with two line ends are within eight."""
    stream = b"data: ab\ndata: cd\ndata: ef\n\ndata: later\n\n"
    found = [*sse.events(stream, limit=limit)]
    assert found[0].data == data
    assert len(found) == (2 if limit >= 8 else 1)
    assert found[0].end == (len(b"data: ab\n") * len(data.split(b"\n")) + (limit >= 8))


def test_a_new_event_has_its_own_limit() -> None:
    """What the one before had does not count."""
    assert [one.data for one in sse.events(b"data: abc\n\n" * 5, limit=3)] == [b"abc"] * 5
    assert [one.data for one in sse.events(b"data: abc\n\n" + b"data: abcd\n\n" * 2, limit=3)] == [
        b"abc",
        b"abcd",
    ]


@pytest.mark.parametrize("newline", [b"\n", b"\r"])
def test_a_stream_may_begin_with_an_empty_line(newline: bytes) -> None:
    """Its offset is 0, which is a place like others."""
    assert [*sse.events(newline + b"data: a" + newline * 2)] == [SseEvent("message", b"a", 10)]


def test_a_breath_each_so_many_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third of eight lines, and none for what is no line yet."""
    monkeypatch.setattr(sse, "BREATH_LINES", 3)
    breaths: list[int] = []
    for newline in (b"\n", b"\r"):
        breaths.clear()
        assert [*sse.events((b": x" + newline) * 8, breathe=lambda: breaths.append(1))] == []
        assert len(breaths) == 2


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_a_mark_of_byte_order_is_skipped_only_at_the_beginning(newline: bytes) -> None:
    """And a range of a stream begins and ends where it is told to."""
    mark = b"\xef\xbb\xbf"
    stream = mark + b"data: a" + newline * 2 + mark + b"data: b" + newline * 2 + b"data: c"
    second = 10 + 2 * len(newline)
    assert [*sse.events(stream)] == [
        SseEvent("message", b"a", second),
        SseEvent("message", b"c", len(stream)),
    ]
    assert [*sse.events(stream, 1)] == [SseEvent("message", b"c", len(stream))]
    assert [*sse.events(stream, 3, second)] == [SseEvent("message", b"a", second)]
