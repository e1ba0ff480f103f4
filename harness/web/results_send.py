"""Files of run directories on their way to a browser: in pieces, and so that nothing in them can act.

A report may have been written by anybody: the directory came from elsewhere, or somebody edited it. It is shown in a sandbox
(https://html.spec.whatwg.org/multipage/browsers.html#sandboxing): its scripts run in an origin of their own, without our
cookies, and may ask for no address. Anything else is a download and is not shown at all.
"""

import os
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import gevent

from harness.web.site import HEADERS

if TYPE_CHECKING:
    from flask import Response

    from harness.web.site import Site

__all__ = ["page", "saved"]

PIECE: Final = 256 << 10
SANDBOX: Final = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)  # the page's own policy, which it brings, allows its own scripts by their digests and no others


class _Pieces:
    """A descriptor's bytes, `size` of them; closed at the end, or when the browser is gone."""

    def __init__(self, file: int, size: int) -> None:
        self._file = file
        self._left = size

    def __iter__(self) -> "_Pieces":
        return self

    def __next__(self) -> bytes:
        gevent.sleep(
            0
        )  # a browser on this machine takes all that it is given, and others have to have their turn
        piece = os.read(self._file, min(PIECE, self._left)) if self._left else b""
        self._left -= len(piece)
        if not piece:
            raise StopIteration
        return piece

    def close(self) -> None:
        """Also called by who has not asked for all."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def page(site: "Site", file: int, size: int) -> "Response":
    """An HTML page that others may have written."""
    return _send(
        site,
        file,
        size,
        {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": SANDBOX,
            "Cross-Origin-Opener-Policy": "same-origin",
        },
    )


def saved(site: "Site", file: int, size: int, name: str) -> "Response":
    """A download under this name."""
    plain = "".join(one if one.isascii() and (one.isalnum() or one in "._- ") else "_" for one in name)
    return _send(
        site,
        file,
        size,
        {
            "Content-Type": "application/octet-stream",
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        },
    )


def _send(site: "Site", file: int, size: int, headers: dict[str, str]) -> "Response":
    whole = {**HEADERS, **headers, "Content-Length": str(size)}
    return site.app.response_class(_Pieces(file, size), 200, whole, direct_passthrough=True)
