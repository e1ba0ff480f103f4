"""Datasets: what each format is read as, what is refused and in which words, in which order entries come."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.backends.base import Turn
from harness.datasets.dataset import Dataset
from harness.datasets.entries import Entry, line
from harness.datasets.images import data_url
from harness.datasets.jsonl import read
from harness.datasets.opening import SPARSE, from_lines, open_dataset
from harness.datasets.order import Order, Share, shuffled
from harness.errors import ConfigError

DATA = Path(__file__).parent / "data" / "datasets"
DOT = str(DATA / "dot.png")
PINNED = [6, 4, 5, 3, 8, 1, 2, 7, 0, 9]


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Makes a file of this content."""

    def make(content: str | bytes, name: str = "set.jsonl") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def refused(path: Path) -> str:
    """What `open_dataset` says of a file, less the file's path."""
    with pytest.raises(ConfigError) as caught:
        open_dataset(path)
    said = str(caught.value)
    assert said.startswith(str(path))
    assert "\n" not in said
    return said.removeprefix(str(path)).lstrip(": ")


def numbered(folder: Path, count: int) -> Path:
    """A dataset whose prompts are their own numbers."""
    path = folder / "numbers.jsonl"
    path.write_text("".join(f'{{"prompt": "{number}"}}\n' for number in range(count)))
    return path


def prompts(entries: Iterator[Entry]) -> list[int]:
    """Their prompts, as numbers."""
    return [int(entry.turns[0].text) for entry in entries]


def handed(dataset: Dataset, share: Share, folder: Path, most: int | None = None) -> Dataset:
    """What a worker makes of its share."""
    path = folder / f"share-{share.nth}-of-{share.of}"
    path.write_bytes(b"".join(one + b"\n" for one in dataset.share(share, most)))
    return from_lines(path)


def test_our_own_lines() -> None:
    """Prompts, messages, a system prompt, an image relative to the file and lengths; a blank line is none."""
    dataset = open_dataset(DATA / "own.jsonl")
    assert list(dataset.entries()) == [
        Entry(0, (Turn("user", "Why is the sky blue?"),), 150),
        Entry(
            1,
            (Turn("system", "Responda em português."), Turn("user", "O que há nesta imagem?", (DOT,))),
            None,
        ),
        Entry(
            2,
            (
                Turn("system", "Be brief."),
                Turn("user", "Hi"),
                Turn("assistant", "Hello!"),
                Turn("user", "Bye"),
            ),
            20,
        ),
    ]
    assert dataset.describe() == (
        "own.jsonl: 3 conversations (JSONL); 4 turns of the user; 1 with images; 2 with a length for the answer; "
        "keys not read: source"
    )


def test_lines_of_the_kit() -> None:
    """SambaNova's kit: `prompt` first, then maybe `image_path`."""
    dataset = open_dataset(DATA / "kit.jsonl")
    assert [entry.turns for entry in dataset.entries()] == [
        (Turn("user", "Name three rivers."),),
        (Turn("user", "What colour is this?", (DOT,)),),
    ]
    assert dataset.describe() == "kit.jsonl: 2 prompts (JSONL); 1 with images"


CONVERSATIONS = [
    (
        Turn("user", 'What does [x for x in {1, 2}] mean? It says "]}" \\'),
        Turn("assistant", "A list comprehension over a set."),
        Turn("user", "谢谢"),
        Turn("assistant", "不客气"),
    ),
    (Turn("system", "Be kind."), Turn("user", "Go on"), Turn("assistant", "Sure.")),
]


def test_sharegpt() -> None:
    """Brackets in texts cut nothing; turns without text and before the first question go, so do lone answers."""
    dataset = open_dataset(DATA / "sharegpt.json")
    assert list(dataset.entries()) == [
        Entry(number, turns, None) for number, turns in enumerate(CONVERSATIONS)
    ]
    assert (dataset.contents.skipped, dataset.contents.most_turns) == (2, 2)
    assert dataset.describe() == (
        "sharegpt.json: 2 conversations (JSON array); 3 turns of the user; 2 skipped, in which the user says nothing; "
        "keys not read: id"
    )


def test_sharegpt_one_a_line(put: Callable[..., Path]) -> None:
    """The same conversations as JSONL are the same entries."""
    path = put("".join(json.dumps(one) + "\n" for one in json.loads((DATA / "sharegpt.json").read_bytes())))
    assert [entry.turns for entry in open_dataset(path).entries()] == CONVERSATIONS


def test_plain_text() -> None:
    """One prompt a line, as it is but for the line's end; a bracket at the beginning does not make it JSON."""
    dataset = open_dataset(DATA / "prompts.txt")
    assert [entry.turns[0].text for entry in dataset.entries()] == [
        "Olá, tudo bem?",
        "[INST] Hi [/INST]",
        "  two blanks before",
    ]
    assert dataset.describe() == "prompts.txt: 3 prompts (plain text)"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.json", '{"prompt": "1"}\n{"prompt": "2"}', [1, 2]),
        ("a.jsonl", ' [ {"prompt": "1"} , {"prompt":"2"}\n]\n', [1, 2]),
        ("a.txt", '{"prompt": "1"}\r\n{"prompt": "2"}\r\n', [1, 2]),
        ("a.txt", '[{"prompt": "1"}]', [1]),
        ("a", "\ufeff\n" + '{"prompt": "1"}', [1]),
        ("a", "\ufeff" + '[{"prompt": "1"}]', [1]),
        ("a.txt", "\ufeff7\n8", [7, 8]),
    ],
)
def test_told_by_content(put: Callable[..., Path], name: str, content: str, expected: list[int]) -> None:
    """The name does not matter, nor does a byte order mark, but that only *.txt may be plain text."""
    assert prompts(open_dataset(put(content, name)).entries()) == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty; give JSONL (one object a line) or a JSON array of objects"),
        (" \n\n ", "is empty; give JSONL"),
        ("[ ]", "has no entries; give at least one"),
        ('[{"conversations": []}]', "has no conversation in which the user says anything; give at least one"),
        ("prompt,tokens\nHi,3", "begins with 'prompt,tokens'; give JSONL"),
        (b"\x1f\x8b\x08...", "is compressed with gzip; gunzip it"),
        (b"PAR1....", "is a Parquet file; give JSONL"),
        ('{"prompt": "ol\u00e1"}'.encode("utf-16"), "is UTF-16; save it as UTF-8"),
        ('{"prompt": "1"}\n{"prompt": }', "line 2: is not JSON: "),
        ('{\n  "prompt": "1"\n}', "line 1: is not JSON: "),
        ('{"prompt": "1"}\n\n7', "line 3: is 7, not an object; write whole objects, one a line, or an array"),
        (b'{"prompt": "ol\xe1"}', "line 1: is not JSON: "),
        ('{"prompt": "a"}\n{"text": "b", "id": 3}', "line 2: has only 'text', 'id'; give it a 'prompt', "),
        ("{}", "line 1: has nothing at all; give it a 'prompt'"),
        ('{"prompt": "a", "messages": []}', "line 1: has both 'prompt' and 'messages'; keep one"),
        ('{"prompt": ["a"]}', "line 1: 'prompt' is a list; give text"),
        ('{"prompt": " "}', "line 1: 'prompt' is empty; give text, or remove the entry"),
        ('{"prompt": "a", "system": 5}', "line 1: 'system' is 5; give text"),
        (
            '{"prompt": "a", "output_tokens": 0}',
            "line 1: 'output_tokens' is 0; give a whole number from 1 to",
        ),
        ('{"prompt": "a", "output_tokens": 1.5}', "line 1: 'output_tokens' is 1.5; give a whole number"),
        ('{"prompt": "a", "output_tokens": true}', "line 1: 'output_tokens' is true; give a whole number"),
        ('{"prompt": "a", "output_tokens": "9"}', "line 1: 'output_tokens' is '9'; give a whole number"),
        ('{"prompt": "a", "image_path": 3}', "line 1: 'image_path' is 3; give the path of a file, or a list"),
        ('{"prompt": "a", "image_path": ""}', "line 1: 'image_path' is ''; give the path of a file"),
        (
            '{"prompt": "a", "image_path": "https://x.org/a.png"}',
            "line 1: 'image_path' is the address 'https://x.org/a.png'; save the image and give its path",
        ),
        ('{"messages": "a"}', "line 1: 'messages' is 'a'; give a list of objects with 'role' and 'content'"),
        ('{"messages": []}', "line 1: no message has the role 'user', so there is nothing to ask; add one"),
        ('{"messages": ["a"]}', "line 1: message 1 is 'a'; give an object with 'role' and 'content'"),
        (
            '{"messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}]}',
            "line 1: message 2 has the role 'tool'; use system, user or assistant",
        ),
        (
            '{"messages": [{"role": "assistant", "content": "a"}]}',
            "line 1: no message has the role 'user', so there is nothing to ask; add one",
        ),
        (
            '{"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]}',
            "line 1: a message of the role 'system' is not the first; put it first",
        ),
        (
            '{"system": "s", "messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]}',
            "line 1: has 'system' and a message of that role; keep one",
        ),
        (
            '{"messages": [{"role": "user", "content": null}]}',
            "line 1: 'content' of message 1 is null; give text",
        ),
        (
            '{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y"}}]}]}',
            "line 1: message 1 has an image at 'http://x/y', which would be fetched while load runs; save it",
        ),
        (
            '{"messages": [{"role": "user", "content": [{"type": "audio"}]}]}',
            "line 1: message 1 has a part that is neither {type: text, text} nor {type: image_url, ",
        ),
        ('[{"prompt": "a"}, 7]', "element 2: begins with '7', so it is not an object; give objects, with"),
        ('[{"prompt": "a"}, ]', "element 2: begins with ']', so it is not an object"),
        ('[{"prompt": "a"} {"prompt": "b"}]', "element 1: is followed by '{'; put a comma between elements"),
        (
            '[{"prompt": "a"}, {"prompt": "b"',
            "element 2: is not complete: the file ends in it; restore the file",
        ),
        ('[{"prompt": "a"}, {"prompt": "b}]', "element 2: is not complete: the file ends in it"),
        ('[{"prompt": "a"}', "element 1: is the last, but the array has no ]; restore the file"),
        ('[{"prompt": "a"},', "element 2: is missing: the file ends before it, without the array's ]"),
        ('[{"prompt": "a"}] x', "element 1: the array ends after it, but 'x' follows; remove what follows"),
        ('[{"prompt": "a"}, {"prompt" "b"}]', "element 2: is not JSON: "),
        ('[{"conversations": 3}]', "element 1: 'conversations' is 3; give a list of objects with 'from' and"),
        (
            '[{"conversations": [{"from": "human", "value": "a"}, {"from": "tool", "value": "b"}]}]',
            "element 1: turn 2 is from 'tool'; known are human, user, gpt, ",
        ),
        (
            '[{"conversations": [{"from": "human", "value": null}]}]',
            "element 1: turn 1 has the value null; give text",
        ),
        (
            '[{"conversations": ["a"]}]',
            "element 1: turn 1 is 'a'; give an object with 'from' and 'value'",
        ),
    ],
)
def test_refused(put: Callable[..., Path], content: str | bytes, said: str) -> None:
    """Each fault by file and line or element, with the value and what would be right."""
    assert refused(put(content)).startswith(said)


def test_text_that_is_not_utf_8(put: Callable[..., Path]) -> None:
    """The line, the byte and its column."""
    said = refused(put(b"one\nol\xe1\n", "set.txt"))
    assert said == "line 2: is not UTF-8 (byte 0xe1 at column 3); save the file as UTF-8"


def test_no_file(tmp_path: Path) -> None:
    """A missing file and a folder are each said to be what they are."""
    assert refused(tmp_path / "none.jsonl").startswith("cannot be read (No such file or directory)")
    assert refused(tmp_path).startswith("is not a file; a dataset is read more than once")


def test_a_line_that_never_ends(put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a line nor an element is read on for ever."""
    monkeypatch.setattr("harness.datasets.lines.ENTRY_BYTES", 1_000)
    monkeypatch.setattr("harness.datasets.arrays.ENTRY_BYTES", 1_000)
    long = json.dumps({"prompt": "x" * 200_000})
    assert refused(put(f'{{"prompt": "a"}}\n{long}')).startswith("line 2: is longer than ")
    assert refused(put(f'[{{"prompt": "a"}}, {long}]')).startswith("element 2: is longer than ")


def test_content_in_parts() -> None:
    """OpenAI's parts: texts are joined, data URLs are images, and a message's own image_path comes first."""
    url = data_url(DOT)
    said = {
        "role": "user",
        "image_path": ["dot.png"],
        "content": [
            {"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": "b"},
        ],
    }
    assert read({"messages": [said]}, DATA).turns == (Turn("user", "a\nb", (DOT, url)),)


def test_an_image_beside_messages() -> None:
    """It belongs to the first turn of the user."""
    messages = [{"role": role, "content": role} for role in ("system", "user", "assistant", "user")]
    turns = read({"messages": messages, "image_path": "dot.png"}, DATA).turns
    assert [turn.images for turn in turns] == [(), (DOT,), (), ()]


def test_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told of growing bytes, and of all at the end."""
    monkeypatch.setattr("harness.datasets.opening._TELL_BYTES", 1_000)
    path, told = numbered(tmp_path, 500), []
    open_dataset(path, progress=lambda done, total: told.append((done, total)))
    size = path.stat().st_size
    assert told[-1] == (size, size)
    assert len(told) == 1 + (size - 1) // 1_000
    assert told == sorted(told)


def test_few_beginnings_are_kept(tmp_path: Path) -> None:
    """8 bytes for 1,024 entries in file order; for each where they are shuffled, and 4 for the order."""
    path = numbered(tmp_path, 5_000)
    assert open_dataset(path).begins.nbytes == 8 * -(-5_000 // SPARSE)
    mixed = open_dataset(path, order=Order.SHUFFLED)
    assert mixed.order is not None
    assert (mixed.begins.nbytes, mixed.order.nbytes) == (40_000, 20_000)


@pytest.mark.parametrize("start", [0, 1, 1_023, 1_024, 2_500, 4_999, 5_000, 9_999])
def test_a_pass_may_begin_anywhere(tmp_path: Path, start: int) -> None:
    """All positions from there on, each worker's own, whatever the order."""
    path = numbered(tmp_path, 5_000)
    for order in Order:
        dataset = open_dataset(path, order=order, seed=7)
        whole = prompts(dataset.entries())
        assert prompts(dataset.entries(start=start)) == whole[start:]
        rest = list(enumerate(whole))[start:]
        for nth in range(3):
            mine = [prompt for position, prompt in rest if position % 3 == nth]
            assert prompts(dataset.entries(Share(nth, 3), start)) == mine


def test_skipped_ones_have_no_number(put: Callable[..., Path]) -> None:
    """Numbers count what can be used, so that shares are even; the beginnings that are kept agree."""
    said = [{"conversations": [{"from": "human", "value": str(n)}] if n % 3 else []} for n in range(9_000)]
    path = put(json.dumps(said))
    for order in Order:
        dataset = open_dataset(path, order=order)
        assert (len(dataset), dataset.contents.skipped) == (6_000, 3_000)
        entries = list(dataset.entries())
        assert sorted(entry.number for entry in entries) == list(range(6_000))
        assert all(int(entry.turns[0].text) == entry.number * 3 // 2 + 1 for entry in entries)
        assert len(list(dataset.entries(Share(1, 4)))) == 1_500
    assert prompts(open_dataset(path).entries(start=2_048))[0] == 3_073


def test_a_shuffled_order_is_for_ever() -> None:
    """The same seed and count give these orders on any machine with any version."""
    assert shuffled(10, 1).tolist() == PINNED
    assert shuffled(10, 2).tolist() != PINNED


def test_a_shuffled_order_is_fair() -> None:
    """Over 6,000 seeds each of the six orders of three comes about 1,000 times (within 5 sigma)."""
    orders = [tuple(shuffled(3, seed).tolist()) for seed in range(6_000)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    assert all(abs(count - 1_000) < 5 * (6_000 * 5 / 36) ** 0.5 for count in counts)


@given(st.integers(1, 300), st.integers(0, 2**64))
def test_a_shuffled_order_has_all(count: int, seed: int) -> None:
    """Each number once."""
    assert sorted(shuffled(count, seed).tolist()) == list(range(count))


@pytest.mark.parametrize("of", [1, 2, 3, 4])
@pytest.mark.parametrize("order", Order)
def test_shares_are_the_whole(tmp_path: Path, of: int, order: Order) -> None:
    """What workers get and read is what one process would read, dealt out in turn, numbers and all."""
    dataset = open_dataset(numbered(tmp_path, 2_101), order=order, seed=3)
    whole = list(dataset.entries())
    for nth in range(of):
        mine = handed(dataset, Share(nth, of), tmp_path)
        assert list(mine.entries()) == whole[nth::of]
        assert len(mine) == Share(nth, of).size(2_101)


def test_no_more_than_needed_is_handed_out(tmp_path: Path) -> None:
    """A run of 10 requests over 3 workers needs the first 10 positions only."""
    dataset = open_dataset(numbered(tmp_path, 100))
    shares = [prompts(handed(dataset, Share(nth, 3), tmp_path, 10).entries()) for nth in range(3)]
    assert shares == [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]


def test_more_workers_than_entries(tmp_path: Path) -> None:
    """Everybody has something to ask, if need be what another asks too."""
    dataset = open_dataset(numbered(tmp_path, 3))
    shares = [prompts(handed(dataset, Share(nth, 8), tmp_path).entries()) for nth in range(8)]
    assert shares == [[0], [1], [2], [0], [1], [2], [0], [1]]


def test_images_go_along(tmp_path: Path) -> None:
    """A worker has no image files: its lines carry them."""
    mine = handed(open_dataset(DATA / "own.jsonl"), Share(), tmp_path)
    entries = list(mine.entries())
    assert entries[1].turns[1] == Turn("user", "O que há nesta imagem?", (data_url(DOT),))
    assert [entry.output_tokens for entry in entries] == [150, None, 20]
    assert (mine.contents.with_images, mine.contents.turns) == (1, 4)


def test_lines_of_somebody_else(put: Callable[..., Path]) -> None:
    """A file that no master made is not taken for a share."""
    path = put('{"prompt": "a"}')
    with pytest.raises(ConfigError, match="line 1: has no number, so it is not of a dataset's share"):
        from_lines(path)


def test_a_file_that_changes(put: Callable[..., Path]) -> None:
    """What was checked is what is read, or the run is told."""
    path = put('{"prompt": "1"}\n')
    dataset = open_dataset(path)
    put('{"prompt": "1"}\n{"prompt": "2"}\n')
    with pytest.raises(ConfigError, match=r"set\.jsonl: changed after it was checked \(its size or time"):
        list(dataset.entries())
    path.unlink()
    with pytest.raises(ConfigError, match=r"set\.jsonl: cannot be read any more \(No such file"):
        list(dataset.entries())


@pytest.mark.parametrize("order", Order)
def test_a_file_cut_while_it_is_read(put: Callable[..., Path], order: Order) -> None:
    """A share never ends early in silence."""
    path = put("".join(f'{{"prompt": "{number}"}}\n' for number in range(20_000)))
    entries = open_dataset(path, order=order).entries()
    next(entries)
    path.write_text("")
    with pytest.raises(ConfigError, match=r"set\.jsonl: changed after it was checked \("):
        list(entries)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
urls = st.just("data:image/png;base64,AAAA")
turn_lists = st.lists(
    st.one_of(
        st.builds(Turn, st.just("user"), texts, st.lists(urls, max_size=2).map(tuple)),
        st.builds(Turn, st.just("assistant"), texts, st.just(())),
    ),
    max_size=5,
)


@given(st.builds(Entry, st.integers(0, 2**50), turn_lists.map(tuple), st.none() | st.integers(1, 10**6)))
def test_a_line_is_read_back(entry: Entry) -> None:
    """Whatever a conversation holds: line breaks, quotes, any script."""
    asked = entry._replace(turns=(Turn("system", "s"), *entry.turns, Turn("user", "u")))
    made = line(asked)
    assert b"\n" not in made
    said: dict[str, Any] = json.loads(made)
    assert Entry(said["number"], *read(said, DATA)) == asked


SEEDS = [(DATA / name).read_bytes() for name in ("own.jsonl", "kit.jsonl", "sharegpt.json", "prompts.txt")]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(0, [(0, b"\xff")], "a.jsonl")
@given(
    st.integers(0, len(SEEDS) - 1),
    st.lists(st.tuples(st.integers(0, 900), st.binary(max_size=3)), min_size=1, max_size=4),
    st.sampled_from(["a.jsonl", "a.txt"]),
)
def test_damage_is_said(tmp_path: Path, seed: int, flips: list[tuple[int, bytes]], name: str) -> None:
    """A damaged file is read or refused in one line of ours; nothing else ever comes out."""
    content = bytearray(SEEDS[seed])
    for at, data in flips:
        content[at : at + 2] = data
    path = tmp_path / name
    path.write_bytes(content)
    (tmp_path / "dot.png").write_bytes(Path(DOT).read_bytes())
    try:
        dataset = open_dataset(path)
    except ConfigError as error:
        said = str(error)
    else:
        assert len(list(dataset.entries())) == len(dataset) > 0
        return
    assert said.startswith(str(path))
    assert said.isprintable()
