"""The Chat page in a real Locust: in Chromium with the real llama.cpp, with a hostile server, and by its routes alone."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
import requests
from chat_server import HOSTILE, LONG, ChatServer, chat_server
from devtools import Tab
from locust_runs import LOCUSTFILES, until
from web_site import Site, serving

from harness import files, rows
from harness.servers import llamacpp
from harness.web.chat import MOST_BYTES, MOST_CHATS

KEY: Final = "sk-canary-9876543210"
CANARY: Final = "canary-question-4711"
SAY: Final = """(text => {
  const field = document.getElementById("question");
  field.value = text;
  field.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true, cancelable: true}));
})"""
FREE: Final = "!document.getElementById('send').disabled"  # a moment after the answer is there: before, Enter does nothing
DONE: Final = "document.querySelectorAll('.said.model:not(.waits)').length"


@pytest.fixture(scope="module")
def scripted() -> Iterator[ChatServer]:
    """What is talked to."""
    with chat_server() as server:
        yield server


@pytest.fixture(scope="module")
def site(scripted: ChatServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Locust's web UI before it."""
    folder = tmp_path_factory.mktemp("site")
    with serving(
        folder, "--host", scripted.url, file=LOCUSTFILES / "openai.py", env={"TOKENSWARM_API_KEY": KEY}
    ) as site:
        yield site


def ask(site: Site, words: str, *before: tuple[str, str], **settings: object) -> requests.Response:
    """Post a question; its answer comes as it is made."""
    said = [{"role": role, "content": content} for role, content in before]
    body = {"messages": [*said, {"role": "user", "content": words}], "settings": settings}
    return requests.post(site.at("chat.json"), json=body, stream=True, timeout=30)


def events(response: requests.Response) -> list[dict[str, Any]]:
    """All of an answer's lines."""
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.iter_lines()]


def wait(tab: Tab, condition: str, limit_s: float = 20) -> None:
    """Until this is true on the page."""
    deadline = time.monotonic() + limit_s
    while not tab.run(f"Boolean({condition})"):
        assert time.monotonic() < deadline, tab.run("document.querySelector('main').innerText")
        time.sleep(0.05)


def say(tab: Tab, words: str, answers: int) -> None:
    """Ask on the page, with Enter, and wait until there are so many answers."""
    tab.run(f"{SAY}({json.dumps(words)})")
    wait(tab, f"{DONE} === {answers} && {FREE}")


def troubles(tab: Tab, site: Site) -> list[str]:
    """What the browser complained of, and what the page asked for elsewhere or in vain; a favicon it asks for by itself."""
    elsewhere = [url for url in tab.asked_for if not url.startswith(f"{site.url}/")]
    assets = {url for url in tab.asked_for if "/assets/" in url}
    lacking = [url for url in assets if requests.get(url, timeout=5).status_code != 200]
    return [*(one for one in tab.complaints if "404 (NOT FOUND)" not in one), *elsewhere, *lacking]


def test_an_answer_comes_as_it_is_made_with_its_figures(site: Site, scripted: ChatServer) -> None:
    """The settings reach the body, the host is the options' and not the browser's, and the last line has the figures."""
    before = (("user", "a"), ("assistant", "b"))
    said = events(ask(site, "hi", *before, system="S", temperature="0.5", max_tokens=9, seed="4"))
    assert [one["type"] for one in said if one["type"] != "wait"][:1] == ["begin"]
    assert "".join(one["answer"] for one in said if one["type"] == "text") == "fine words"
    end = said[-1]
    assert end["type"] == "end"
    assert end["figures"]["outcome"] == "ok"
    assert (end["figures"]["output_tokens"], end["figures"]["token_source"]) == (2, "server")
    assert 0 < end["figures"]["ttft_s"] <= end["figures"]["latency_s"] < 5
    body = scripted.bodies[-1]
    assert [one["role"] for one in body["messages"]] == ["system", "user", "assistant", "user"]
    assert (body["temperature"], body["max_tokens"], body["seed"], body["model"]) == (0.5, 9, 4, "scripted")


def test_text_is_flushed_while_it_comes(site: Site, scripted: ChatServer) -> None:
    """Of an answer without an end the first words come at once; whoever goes away gives it up; a stop ends it with figures."""
    gone = scripted.gone
    response = ask(site, "slow")
    lines = response.iter_lines()
    begin = json.loads(next(lines))
    first = next(said for line in lines if (said := json.loads(line))["type"] == "text")
    assert first["answer"].startswith("drop0 ")
    stopped = requests.post(site.at("chat/stop.json"), json={"id": begin["id"]}, timeout=5)
    assert stopped.json() == {"stopped": True}
    end = json.loads(list(lines)[-1])
    assert (end["type"], end["figures"]["outcome"], end["figures"]["error"]["class"]) == (
        "end",
        "cancelled",
        "cancelled",
    )
    assert end["figures"]["ttft_s"] is not None
    until(lambda: scripted.gone == gone + 1, 10)
    other = ask(site, "slow")
    lines = other.iter_lines()
    assert json.loads(next(lines))["type"] == "begin"
    other.close()
    until(lambda: scripted.gone == gone + 2, 10)
    assert requests.post(site.at("chat/stop.json"), json={"id": begin["id"]}, timeout=5).json() == {
        "stopped": False
    }


def test_what_is_too_much_is_refused_in_words(site: Site, scripted: ChatServer) -> None:
    """Too many at once, too long, no conversation, no such setting; and afterwards there is room again."""
    with ExitStack() as stack:
        under_way = [stack.enter_context(ask(site, "slow")).iter_lines() for _ in range(MOST_CHATS)]
        for lines in under_way:  # held: one that is forgotten closes its connection
            next(lines)
        fifth = ask(site, "hi")
        assert fifth.status_code == 429
        assert "wait for one" in fifth.json()["error"]
    until(lambda: "begin" in ask(site, "hi").text, 10)
    before = len(scripted.bodies)
    assert ask(site, "x" * MOST_BYTES).status_code == 413
    assert "temperature 'hot'" in ask(site, "hi", temperature="hot").json()["error"]
    assert "max-tokens" in ask(site, "hi", max_tokens=10**9).json()["error"]
    assert "there is no such setting" in ask(site, "hi", host="http://127.0.0.1:1").json()["error"]
    assert ask(site, "hi", ("system", "x")).status_code == 400
    url = site.at("chat.json")
    for body in (
        b"{",
        b"[]",
        b'{"messages": []}',
        b'{"messages": [{"role": "assistant", "content": "x"}]}',
        b'{"messages": 5}',
    ):
        assert (
            requests.post(url, data=body, headers={"Content-Type": "application/json"}, timeout=5).status_code
            == 400
        )
    assert requests.get(url, timeout=5).status_code == 405
    assert len(scripted.bodies) == before


def test_what_is_talked_to(site: Site, scripted: ChatServer) -> None:
    """The backend and the server's models; a mode that does not exist, in words."""
    said = requests.get(site.at("chat/models.json"), timeout=10).json()
    assert (said["host"], said["backend"], said["mode"], said["models"]) == (
        scripted.url,
        "openai",
        "chat",
        ["scripted"],
    )
    assert said["error"] is None
    other = requests.get(site.at("chat/models.json"), params={"api_mode": "bogus"}, timeout=10).json()
    assert "'bogus' is not a mode" in other["error"]


def test_a_failure_is_data_and_the_key_is_nobodys(site: Site, scripted: ChatServer) -> None:
    """A server that quotes the key is not heard, on no route."""
    response = ask(site, "fail")
    text = response.text
    end = json.loads(text.splitlines()[-1])
    assert (end["figures"]["error"]["class"], end["figures"]["outcome"]) == ("http_server", "failed")
    assert f"Bearer {KEY}".encode() in scripted.heads[-1]
    pages = [text, *(requests.get(site.at(page), timeout=10).text for page in ("chat", "chat/models.json"))]
    assert not any(KEY in page for page in pages)


def test_nothing_of_it_is_kept(site: Site) -> None:
    """Asked before, during and after a run: in no log, statistic, exception or file of a run, and no request of it."""
    events(ask(site, f"{CANARY} before"))
    site.swarm(user_count=1, spawn_rate=1, max_requests="8", prompt_tokens="20", output_tokens="4")
    until(lambda: site.stats()["total_rps"] > 0 or site.runs != [], 30)
    chats = [
        events(ask(site, f"{CANARY} {word}", ("user", CANARY), ("assistant", f"{CANARY}!")))
        for word in ("a", "fail")
    ]
    until(lambda: len(site.runs) == 1, 40)
    if site.stats()["state"] not in {"stopped", "ready"}:
        site.stop()
    events(ask(site, f"{CANARY} after"))
    (run,) = site.runs
    table = rows.load(run / "requests.parquet")
    assert len(table) == 8
    assert not any(str(one).startswith("chat-") for one in table.request_id)
    for path in run.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path
    for page in ("/stats/requests", "/logs", "/exceptions", "/stats/report", "/stats/requests/csv"):
        assert CANARY not in requests.get(site.url + page, timeout=10).text, page
    assert CANARY not in site.said
    ids = {one[-1]["figures"]["request_id"] for one in chats}
    assert len(ids) == 2
    assert not any(one in site.said for one in ids)
    assert "Traceback" not in site.said


def test_hostile_text_is_inert(site: Site, tab: Tab, tmp_path: Path) -> None:
    """Markup, controls, overrides and a line of a million letters: shown, cut where it is long, and nothing happens."""
    tab.open(site.at("chat"))
    wait(tab, "document.getElementById('server').textContent.includes('openai (chat)')")
    title = tab.run("document.title")
    say(tab, "hostile <b>please</b>", 1)
    shown = tab.run("document.querySelector('.said.model .answer').textContent")
    assert shown.startswith("<img src=x onerror=")
    assert (
        "<U+001B>[31mred<U+001B>]0;owned<U+0007> <U+0000><U+202E>txt.exe<U+202C> **bold** <U+009B>2J" in shown
    )
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", tab.run("document.querySelector('main').textContent")
    )
    assert tab.run("document.querySelectorAll('main img, main script, .said b').length") == 0
    tab.run(f"window.began = performance.now(), {SAY}('long')")
    wait(tab, f"{DONE} === 2")
    assert tab.run("document.querySelectorAll('.said.model .answer')[1].textContent.length") == 20_000
    assert "980,000 more characters" in tab.run(
        "document.querySelectorAll('.said.model .more')[1].textContent"
    )
    assert tab.run("document.documentElement.scrollWidth <= innerWidth")
    took = tab.run(
        "new Promise(done => { const at = performance.now(); document.querySelectorAll('.said.model .more')[1].click();"
        " requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - at))); })"
    )
    assert took < 5_000
    assert tab.run("document.querySelectorAll('.said.model .answer')[1].textContent") == LONG
    assert tab.run("document.documentElement.scrollWidth <= innerWidth")
    say(tab, "and now?", 3)  # all of it goes along
    assert tab.run("document.title") == title
    assert troubles(tab, site) == []


def test_what_goes_along_is_what_was_said(site: Site, scripted: ChatServer, tab: Tab) -> None:
    """As the server sent it, not as it is shown; a stop keeps what had come; a reset forgets; a refusal stands next to the form."""
    tab.open(site.at("chat"))
    wait(tab, "document.getElementById('server').textContent.includes('openai')")
    say(tab, "hostile", 1)
    tab.run("document.getElementById('temperature').value = '0.25'")
    say(tab, "think", 2)
    assert scripted.bodies[-1]["messages"][1]["content"] == HOSTILE
    assert scripted.bodies[-1]["temperature"] == 0.25
    assert tab.run("document.querySelector('.thoughts').textContent") == "hm"
    tab.run(f"{SAY}('slow')")
    wait(tab, "document.querySelector('.log').textContent.includes('drop3 ')")
    tab.run("document.getElementById('stop').click()")
    wait(tab, f"{DONE} === 3 && {FREE}")
    assert "Stopped: this is what had come." in tab.run("document.querySelector('.log').textContent")
    say(tab, "fail", 4)
    assert "Failed (http_server)" in tab.run("document.querySelector('.log').textContent")
    say(tab, "x", 5)
    assert [one["role"] for one in scripted.bodies[-1]["messages"]] == [*("user", "assistant") * 3, "user"]
    tab.run("document.getElementById('temperature').value = 'hot'")
    tab.run(f"{SAY}('question that stays')")
    wait(tab, "!document.getElementById('trouble').hidden")
    assert "temperature 'hot'" in tab.run("document.getElementById('trouble').textContent")
    assert tab.run("document.getElementById('question').value") == "question that stays"
    tab.run("document.getElementById('reset').click()")
    tab.run("document.getElementById('temperature').value = ''")
    say(tab, "anew", 1)
    assert len(scripted.bodies[-1]["messages"]) == 1
    assert [one for one in troubles(tab, site) if "400" not in one] == []  # Chromium notes the refusal itself


def test_with_the_real_llamacpp(tmp_path: Path, tab: Tab) -> None:
    """Two turns on the page: figures, the server's own times, its memory of the conversation, medians; also on a telephone."""
    model = llamacpp.tiny_model(files.cache_dir())
    # Else an answer may end with its first token.
    longer = ("--api-mode", "chat", "--extra-body", '{"ignore_eos": true}')
    with (
        llamacpp.running_llamacpp(model, slots=2, context=4096) as server,
        serving(tmp_path, "--host", server.url, *longer, file=LOCUSTFILES / "llamacpp.py") as site,
    ):
        tab.open(site.at("chat"))
        wait(tab, "document.getElementById('server').textContent.includes('llamacpp (chat)')")
        tab.run("document.getElementById('max_tokens').value = '400'")
        say(tab, "What is a token?", 1)
        say(tab, "And a prompt?", 2)
        for answer in tab.run(
            "[...document.querySelectorAll('.said.model .figures')].map(one => one.innerText)"
        ):
            for part in (
                "TTFT",
                "TPOT",
                "tok/s",
                "latency",
                "prompt",
                "server: prefill",
                "server: decode",
                "output",
            ):
                assert part in answer, answer
        cached = tab.run(
            "[...document.querySelectorAll('.figures dt')].filter(one => one.textContent === 'cached').length"
        )
        assert cached == 2
        assert tab.run("document.getElementById('medians').textContent") == "Median of 2 answers."
        for name, unit in (
            ("ttft_s", "s"),
            ("tpot_ms", "ms"),
            ("output_tokens_per_s", "tok/s"),
            ("latency_s", "s"),
        ):
            assert re.fullmatch(
                rf"[\d.,]+ {unit}", tab.run(f"document.getElementById('tile-{name}').textContent")
            )
        tab.view(390)
        assert tab.run("document.documentElement.scrollWidth <= innerWidth")
        assert troubles(tab, site) == []


def test_without_a_server(tmp_path: Path, tab: Tab) -> None:
    """The page says in words that nobody is there, and a question fails as data."""
    with serving(tmp_path, file=LOCUSTFILES / "llamacpp.py") as site:
        tab.open(site.at("chat"))
        wait(tab, "!document.getElementById('trouble').hidden")
        assert "connection refused" in tab.run("document.getElementById('trouble').textContent")
        said = events(ask(site, "hi"))
        assert said[-1]["figures"]["error"]["class"] == "connect"
        assert "--host" in said[-1]["figures"]["error"]["remedy"]


def test_without_a_host(tmp_path: Path) -> None:
    """The page is there and says what is missing; a question is refused with the same words."""
    with serving(tmp_path, "--host", "", file=LOCUSTFILES / "llamacpp.py") as site:
        said = requests.get(site.at("chat/models.json"), timeout=10).json()
        assert "--host is missing" in said["error"]
        answer = ask(site, "hi")
        assert (answer.status_code, answer.json()["error"].split(":")[0]) == (400, "--host is missing")
