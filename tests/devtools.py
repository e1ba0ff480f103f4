"""A real Chromium for tests, spoken to over a pipe: no driver, no websocket, no port.

    with open_browser(folder) as browser, browser.tab() as tab:
        tab.view(390, scheme="dark")
        tab.open(path)
        assert tab.run("document.title") == "..."
        assert tab.complaints == [] and tab.asked_for == []
        tab.shot(folder / "page.png")

Chromium with `--remote-debugging-pipe` reads commands at file descriptor 3 and writes answers and events at 4, each a JSON
object that ends with NUL. Source: https://chromedevtools.github.io/devtools-protocol/.

Without a Chromium a test skips, and fails where TOKENSWARM_REQUIRE_REAL is 1, as `make test` sets it.
"""

import base64
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fcntl import F_DUPFD, fcntl
from pathlib import Path
from typing import Any, Final, Literal

import orjson
import pytest

__all__ = ["Browser", "BrowserFailed", "Tab", "browser", "chromium", "open_browser", "tab"]

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE_S: Final = 120.0  # for one answer: a hang ends the test and not the evening
REMEDY: Final = "no Chromium for this test: `apt-get install --no-install-recommends chromium`"
_FLAGS: Final = (
    *("--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check"),
    *("--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--metrics-recording-only", "--lang=en-US"),
    # Pages of its own beside each tab, for an address bar that nobody sees: most of a tab's processor time.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup",
    # A mouse, as a desktop has one; a telephone's emulation has none.
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4",
    *("--hide-scrollbars", "--force-color-profile=srgb", "--font-render-hinting=none"),
)
# A shell would do, but some know no file descriptor above 9.
_LAUNCH: Final = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"

Said = dict[str, Any]


class BrowserFailed(AssertionError):
    """It does not answer, or refuses, or a script of ours threw."""


def chromium() -> str | None:
    """The path of this machine's, None if it has none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def open_browser(folder: Path) -> Iterator["Browser"]:
    """Chromium with a profile of its own in `folder`, until the context is left."""
    path = chromium()
    if path is None:
        (pytest.fail if os.environ.get("TOKENSWARM_REQUIRE_REAL") == "1" else pytest.skip)(REMEDY)
    started = Browser(path, folder)
    try:
        yield started
    finally:
        started.close()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Browser"]:
    """The one that all tests share: take a `tab()` of it."""
    with open_browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture
def tab(browser: "Browser") -> Iterator["Tab"]:
    """A tab of a fresh profile."""
    with browser.tab() as opened:
        yield opened


class Browser:
    """One Chromium process."""

    def __init__(self, path: str, folder: Path) -> None:
        commands, self._out = os.pipe()
        self._in, events = os.pipe()
        ends = [fcntl(one, F_DUPFD, 10) for one in (commands, events)]  # off 3 and 4, where they are to come
        for one in (commands, events):
            os.close(one)
        root = ("--no-sandbox",) if os.geteuid() == 0 else ()
        with (folder / "chromium.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-c", _LAUNCH, *map(str, ends)),
                    *(path, *_FLAGS, *root, f"--user-data-dir={folder / 'profile'}", "about:blank"),
                ],
                pass_fds=ends,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for one in ends:
            os.close(one)
        self._log = folder / "chromium.log"
        self._count = 0
        self._rest = bytearray()
        self._heard: deque[Said] = deque()
        self._tabs: dict[str, Tab] = {}

    def close(self) -> None:
        """End it and all that it has started."""
        for end in (self._out, self._in):
            os.close(end)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @contextmanager
    def tab(self) -> Iterator["Tab"]:
        """A tab with cookies, storage and cache of its own."""
        context = self.ask("Target.createBrowserContext")["browserContextId"]
        target = self.ask("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        opened = self._tabs[session] = Tab(self, session)
        try:
            opened.start()
            yield opened
        finally:
            del self._tabs[session]
            self.ask("Target.disposeBrowserContext", browserContextId=context)

    def ask(self, method: str, session: str | None = None, **params: object) -> Said:
        """Send a command and wait for its answer; events that come before it are given to their tabs.

        Raises:
            BrowserFailed: it refused, or said nothing for two minutes, or is gone.
        """
        self._count += 1
        command: Said = {"id": self._count, "method": method, "params": params}
        data = orjson.dumps(command | ({"sessionId": session} if session else {})) + b"\0"
        try:
            while data:
                data = data[os.write(self._out, data) :]
        except BrokenPipeError:
            raise BrowserFailed(f"{method}: {self._last_words()}") from None
        while (said := self.hear(method)).get("id") != command["id"]:
            pass
        if "error" in said:
            raise BrowserFailed(f"{method}: {said['error']['message']}")
        result: Said = said["result"]
        return result

    def hear(self, why: str) -> Said:
        """The next thing it says; an event is given to its tab first."""
        until = time.monotonic() + PATIENCE_S
        while not self._heard:
            ready, _, _ = select.select([self._in], [], [], max(0.0, until - time.monotonic()))
            read = os.read(self._in, 1 << 20) if ready else b""
            if not read:
                raise BrowserFailed(f"{why}: {self._last_words() if ready else 'no answer'}")
            self._rest += read
            *whole, rest = bytes(self._rest).split(b"\0") if b"\0" in read else [bytes(self._rest)]
            self._rest = bytearray(rest)
            self._heard.extend(map(orjson.loads, whole))
        said = self._heard.popleft()
        if "method" in said and (whose := self._tabs.get(said.get("sessionId", ""))):
            whose.see(said["method"], said["params"])
        return said

    def _last_words(self) -> str:
        return f"Chromium is gone: {self._log.read_text(errors='replace')[-2000:]}"


class Tab:
    """One page. `complaints`: errors of the console, exceptions, refusals of the page's policy; `asked_for`: addresses."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self._loaded = False
        self._opening = ""
        self.complaints: list[str] = []
        self.asked_for: list[str] = []

    def ask(self, method: str, **params: object) -> Said:
        """A command to this tab."""
        return self._browser.ask(method, self._session, **params)

    def start(self) -> None:
        """Have it tell what happens, and look as a desktop does."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.view(1280)

    def see(self, event: str, said: Said) -> None:
        """Note an event."""
        match event:
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                details = said["exceptionDetails"]
                self.complaints.append(details.get("exception", {}).get("description") or details["text"])
            case "Runtime.consoleAPICalled" if said["type"] in {"error", "warning", "assert"}:
                self.complaints.append(" ".join(str(one.get("value", one)) for one in said["args"]))
            case "Log.entryAdded" if said["entry"]["level"] in {"error", "warning"}:
                self.complaints.append(said["entry"]["text"])
            case "Network.requestWillBeSent":
                url = said["request"]["url"]
                if url.split("#")[0] != self._opening and not url.startswith(("data:", "blob:")):
                    self.asked_for.append(url)

    def open(self, what: Path | str) -> None:
        """Go to a file or an address, and wait until all of it is there; what was noted before is forgotten."""
        self._opening = what.resolve().as_uri() if isinstance(what, Path) else what
        self._loaded = False
        self.complaints, self.asked_for = [], []
        if failed := self.ask("Page.navigate", url=self._opening).get("errorText"):
            raise BrowserFailed(f"{self._opening}: {failed}")
        while not self._loaded:
            self._browser.hear(f"to load {self._opening}")

    def view(
        self,
        width: int,
        height: int = 844,
        *,
        scheme: Literal["light", "dark"] = "light",
        media: Literal["", "print"] = "",
    ) -> None:
        """The window's size, the reader's colours, screen or paper; below 600 px it is a telephone."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        colours = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", media=media, features=colours)

    def run(self, script: str) -> Any:
        """The value of an expression, awaited if it is a promise; it has to be JSON.

        Raises:
            BrowserFailed: it threw.
        """
        said = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if thrown := said.get("exceptionDetails"):
            raise BrowserFailed(thrown.get("exception", {}).get("description") or thrown["text"])
        return said["result"].get("value")

    def shot(self, path: Path, *, whole: bool = True) -> None:
        """A picture of the window, or of the whole page."""
        clip: Said = {}
        if whole:
            size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}
        said = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **clip)
        path.write_bytes(base64.b64decode(said["data"]))

    def pdf(self, path: Path) -> None:
        """The page as it is printed, on A4."""
        said = self.ask("Page.printToPDF", printBackground=False, paperWidth=8.27, paperHeight=11.69)
        path.write_bytes(base64.b64decode(said["data"]))
