"""Images of a dataset: seen to before load, and turned into data URLs while it runs, ahead of need.

An image is a PNG, JPEG, GIF or WebP by its first bytes, whatever it is called: those are what vision APIs
take. Whether the rest of it is sound is not looked at; servers do, and refuse. Nothing is scaled.
"""

import binascii
import os
import re
import stat
from base64 import b64encode
from typing import Final

from harness.backends.fields import printable
from harness.datasets.entries import Turn, Unusable, shown
from harness.datasets.jsonl import DATA

__all__ = ["CACHE_BYTES", "IMAGE_BYTES", "Cache", "check", "data_url"]

IMAGE_BYTES: Final = 20_000_000  # of one, as a file
CACHE_BYTES: Final = 64_000_000  # of data URLs kept for entries that share an image

_HEAD: Final = 16  # bytes that tell the kind
_KINDS: Final = re.compile(
    rb"(?P<png>\x89PNG\r\n\x1a\n)|(?P<jpeg>\xff\xd8\xff)|(?P<gif>GIF8[79]a)|(?P<webp>RIFF.{4}WEBP)", re.DOTALL
)
_URL: Final = re.compile(r"data:image/(png|jpeg|gif|webp);base64,")
_GIVE: Final = "give a PNG, JPEG, GIF or WebP"


def check(image: str) -> int:
    """See that an image, a path or a data URL, can be sent; the bytes of its data URL, about.

    Raises:
        Unusable: what is wrong.
    """
    if image.startswith(DATA):
        _check_url(image)
        return len(image)
    try:
        with open(image, "rb", buffering=0, opener=_without_waiting) as file:
            found = os.fstat(file.fileno())
            head = file.read(_HEAD) if stat.S_ISREG(found.st_mode) else b""
    except (OSError, ValueError) as error:
        raise _unreadable(image, error) from error
    if not stat.S_ISREG(found.st_mode):
        raise Unusable(f"{_named(image)}: is not a file; {_GIVE}")
    _check_size(found.st_size, _named(image))
    _kind(head, _named(image))
    return found.st_size * 4 // 3


def data_url(path: str) -> str:
    """An image file as a data URL.

    Raises:
        Unusable: it cannot be read, or is no longer what `check` saw.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123  as above
            data = file.read(IMAGE_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    _check_size(len(data), _named(path))
    return f"data:image/{_kind(data, _named(path))};base64,{b64encode(data).decode('ascii')}"


class Cache:
    """Makes data URLs of files, of each once as long as those in use fit into `CACHE_BYTES`."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._urls: dict[str, str] = {}  # the least lately used first
        self._bytes = 0

    def embed(self, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        """The turns with data URLs only.

        Raises:
            Unusable: a file cannot be read.
        """
        if not any(turn.images for turn in turns):
            return turns
        return tuple(turn._replace(images=tuple(map(self._url, turn.images))) for turn in turns)

    def _url(self, image: str) -> str:
        if image.startswith(DATA):
            return image
        url = self._urls.pop(image, None)
        if url is None:
            url = data_url(image)
            self._bytes += len(url)
        self._urls[image] = url
        while self._bytes > self._limit and len(self._urls) > 1:
            self._bytes -= len(self._urls.pop(next(iter(self._urls))))
        return url


def _check_url(url: str) -> None:
    head, what = _URL.match(url), f"image {shown(url[:40])}"
    if not head:
        raise Unusable(f"{what}: write data:image/png;base64, and so on, for {_GIVE[5:]}")
    try:
        data = binascii.a2b_base64(url[head.end() :], strict_mode=True)
    except ValueError as error:
        raise Unusable(f"{what}: is not base64 ({error}); encode it anew") from error
    _check_size(len(data), what)
    if (kind := _kind(data, what)) != head[1]:
        raise Unusable(f"{what}: is a {kind}; say so, or give a {head[1]}")


def _check_size(size: int, what: str) -> None:
    if not size:
        raise Unusable(f"{what}: is empty; {_GIVE}")
    if size > IMAGE_BYTES:
        raise Unusable(f"{what}: has more than {IMAGE_BYTES // 10**6} MB ({size:,} bytes); scale it down")


def _kind(data: bytes, what: str) -> str:
    found = _KINDS.match(data)
    if not found or not found.lastgroup:
        begin = shown(data[:8].decode("latin-1"))
        raise Unusable(f"{what}: is not an image that servers take (it begins with {begin}); {_GIVE}")
    return found.lastgroup


def _named(image: str) -> str:
    return f"image {printable(image)}"


def _unreadable(image: str, error: Exception) -> Unusable:
    reason = getattr(error, "strerror", None) or error
    return Unusable(f"{_named(image)}: cannot be read ({reason}); paths are relative to the dataset's folder")


def _without_waiting(path: str, flags: int) -> int:
    """A named pipe would have us wait for a writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
