"""Images: what is taken for one, what is refused and how, and that each is read once."""

import base64
import os
from pathlib import Path

import pytest

from harness.backends.base import Turn
from harness.datasets import images
from harness.datasets.entries import Unusable
from harness.datasets.images import Cache, check, data_url
from harness.datasets.opening import open_dataset
from harness.errors import ConfigError

DOT = Path(__file__).parent / "data" / "datasets" / "dot.png"
HEADS = {
    "png": DOT.read_bytes(),
    "jpeg": b"\xff\xd8\xff\xe0rest",
    "gif": b"GIF89a rest",
    "webp": b"RIFF\x10\x00\x00\x00WEBPVP8 ",
}


@pytest.mark.parametrize("kind", HEADS)
def test_kinds(tmp_path: Path, kind: str) -> None:
    """The kind is told by the first bytes, whatever the file is called."""
    path = tmp_path / "picture.bin"
    path.write_bytes(HEADS[kind])
    url = f"data:image/{kind};base64,{base64.b64encode(HEADS[kind]).decode()}"
    assert data_url(str(path)) == url
    assert check(url) == len(url)
    assert check(str(path)) == len(HEADS[kind]) * 4 // 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read (No such file or directory); paths are relative to the dataset's folder"),
        (b"", "is empty; give a PNG, JPEG, GIF or WebP"),
        (b"<svg>...", "is not an image that servers take (it begins with '<svg>...'); give a PNG, JPEG, GIF"),
        (b"RIFF\x10\x00\x00\x00WAVE", "is not an image that servers take"),
        (HEADS["png"] + b"x" * 1_000, "has more than 0 MB (1,069 bytes); scale it down"),
    ],
)
def test_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, said: str) -> None:
    """By the dataset's line, the image's path and what would be right."""
    monkeypatch.setattr(images, "IMAGE_BYTES", 1_000)
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    path = tmp_path / "set.jsonl"
    path.write_text('{"prompt": "a"}\n{"prompt": "b", "image_path": "a.png"}\n')
    with pytest.raises(ConfigError) as caught:
        open_dataset(path)
    assert str(caught.value).startswith(f"{path} line 2: image {tmp_path / 'a.png'}: {said}")


def test_what_is_no_file(tmp_path: Path) -> None:
    """A folder, a named pipe, which would be waited for, and a name that no file can have."""
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (str(tmp_path), "cannot be read (Is a directory)"),
        (str(tmp_path / "pipe"), "is not a file; give a PNG"),
        ("a\0b.png", "image a?b.png: cannot be read (embedded null byte)"),
    ):
        with pytest.raises(Unusable) as caught:
            check(path)
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("data:text/plain,abc", "image 'data:text/plain,abc': write data:image/png;base64, and so on"),
        ("data:image/png;base64,AA=A", "is not base64 ("),
        ("data:image/png;base64,", "is empty; give a PNG"),
        ("data:image/png;base64,R0lGODlhIA==", "is a gif; say so, or give a png"),
    ],
)
def test_data_urls_refused(url: str, said: str) -> None:
    """A data URL is decoded before load, since a server would refuse it then."""
    with pytest.raises(Unusable) as caught:
        check(url)
    assert said in str(caught.value)


def test_images_of_one_entry_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no worker could be handed is refused before."""
    monkeypatch.setattr("harness.datasets.opening.ENTRY_BYTES", 3_000)
    (tmp_path / "a.png").write_bytes(HEADS["png"] + b"x" * 1_000)
    path = tmp_path / "set.jsonl"
    path.write_text('{"prompt": "b", "image_path": ["a.png", "a.png"]}')
    assert open_dataset(path).contents.with_images == 1
    path.write_text('{"prompt": "b", "image_path": ["a.png", "a.png", "a.png"]}')
    with pytest.raises(ConfigError, match=r"line 1: has 0 MB with its images, over 0; scale them down"):
        open_dataset(path)


def test_each_is_read_once(tmp_path: Path) -> None:
    """An image that entries share is read at its first; the least lately used goes when there are too many."""
    for name in "abc":
        (tmp_path / name).write_bytes(HEADS["png"])
    url = data_url(str(DOT))
    cache = Cache(2 * len(url))

    def urls(*names: str) -> list[str]:
        (turn,) = cache.embed((Turn("user", "x", tuple(str(tmp_path / name) for name in names)),))
        return list(turn.images)

    assert urls("a", "b", "a") == [url] * 3
    for name in "abc":
        (tmp_path / name).write_bytes(HEADS["gif"])
    gif = data_url(str(tmp_path / "a"))
    assert urls("a", "b") == [url] * 2  # not read again
    assert urls("c") == [gif]  # and a goes
    assert urls("b") == [url]
    assert urls("a") == [gif]


def test_data_urls_stay() -> None:
    """What is a data URL already is sent as it is, and turns without images are the very same."""
    cache, url = Cache(), data_url(str(DOT))
    turns = (Turn("user", "x", (url, str(DOT))), Turn("assistant", "y"))
    assert cache.embed(turns) == (Turn("user", "x", (url, url)), Turn("assistant", "y"))
    plain = (Turn("user", "x"),)
    assert cache.embed(plain) is plain
