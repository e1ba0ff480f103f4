"""Which requests are answered, by their headers alone."""

from typing import Final
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.web.origins import Asked, Door, is_loopback, origin_of, read

HOME: Final = Door("http", "127.0.0.1", is_local=True)
PROXIED: Final = Door("http", "127.0.0.1", is_local=True, origins=read("https://load.example.com"))
OPEN: Final = Door("http", "", is_local=False)
OPEN_NAMED: Final = Door("http", "", is_local=False, origins=read("http://load.example.com:8089"))
HERE: Final = "127.0.0.1:8089"
OWN: Final = f"http://{HERE}"
EVIL: Final = "https://evil.example"
CHANGES: Final = ("POST", "PUT", "PATCH", "DELETE", "MADEUP")
READS: Final = ("GET", "HEAD", "OPTIONS")


@pytest.mark.parametrize("method", CHANGES)
@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),  # curl, a script
        ({"origin": OWN}, True),
        ({"origin": OWN, "fetch_site": "same-origin"}, True),
        ({"origin": OWN.upper().replace("HTTP", "http")}, True),
        ({"referer": f"{OWN}/?a=https://evil.example"}, True),
        ({"referer": OWN}, True),
        ({"fetch_site": "same-origin"}, True),
        ({"fetch_site": "none"}, True),
        ({"origin": EVIL}, False),
        ({"origin": EVIL, "referer": f"{OWN}/"}, False),  # what the page cannot choose counts
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"origin": "https://127.0.0.1:8089"}, False),
        ({"origin": "http://127.0.0.1"}, False),
        ({"origin": "http://127.0.0.1:8090"}, False),
        ({"origin": "http://localhost:8089"}, False),
        ({"origin": f"{OWN}.evil.example"}, False),
        ({"origin": f"{OWN}@evil.example"}, False),
        ({"origin": f"{OWN}/"}, False),  # no browser writes it so
        ({"referer": f"{EVIL}/?{OWN}/"}, False),
        ({"referer": f"http://127.0.0.1:8089@evil.example/{OWN}"}, False),
        ({"referer": ""}, False),
        ({"referer": "about:blank"}, False),
        ({"fetch_site": "cross-site"}, False),
        ({"fetch_site": "same-site"}, False),  # another port of this machine
        ({"fetch_site": "cross-site", "fetch_mode": "navigate"}, False),  # a form
        ({"origin": OWN, "fetch_site": "cross-site"}, False),
    ],
)
def test_what_changes_something_comes_from_this_page(
    method: str, headers: dict[str, str], passes: bool
) -> None:
    """Or from no browser at all."""
    why = HOME.refusal(Asked(method, HERE, **headers))
    assert (why is None) is passes, why
    if why is not None:
        assert "TOKENSWARM_WEB_ORIGINS=https://" in why
        assert "\n" not in why


@pytest.mark.parametrize("method", READS)
@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"origin": EVIL}, False),  # an old browser, or one that came by plain HTTP
        ({"referer": f"{EVIL}/"}, True),
        ({"fetch_site": "cross-site", "fetch_mode": "navigate"}, True),  # a link
        ({"fetch_site": "cross-site", "fetch_mode": "no-cors"}, False),  # an image
        ({"fetch_site": "same-site", "fetch_mode": "cors", "origin": "http://127.0.0.1:9"}, False),
        ({"fetch_site": "cross-site"}, False),
        ({"fetch_site": "same-origin", "fetch_mode": "cors"}, True),
    ],
)
def test_other_sites_may_lead_here_and_nothing_else(
    method: str, headers: dict[str, str], passes: bool
) -> None:
    """What they embed or fetch is refused, though it changes nothing: a run's master has other things to do."""
    assert (HOME.refusal(Asked(method, HERE, **headers)) is None) is passes


@pytest.mark.parametrize(
    ("door", "host", "passes"),
    [
        *((HOME, host, True) for host in ("localhost", "LOCALHOST:8089", "127.0.0.1", "127.8.9.1:1", "[::1]:8089")),
        (HOME, None, True),
        *((HOME, host, False) for host in ("evil.example", "evil.example:8089", "192.0.2.7:8089", "0.0.0.0:8089")),
        *((HOME, host, False) for host in ("localhost.evil.example", "127.0.0.1.evil.example", "[::2]", "::1")),
        *((HOME, host, False) for host in ("", ":8089", "localhost:", "localhost@evil.example", "a b", "127.0.0.1:8089:1")),
        (Door("http", "Workstation", is_local=True), "workstation:8089", True),
        (PROXIED, "load.example.com", True),
        (PROXIED, "127.0.0.1:8089", True),
        (PROXIED, "evil.example", False),
        *((OPEN, host, True) for host in ("evil.example", "192.0.2.7:8089", None)),
        *((OPEN_NAMED, host, True) for host in ("load.example.com:8089", "localhost", "192.0.2.7:8089", "[2001:db8::1]")),
        (OPEN_NAMED, "evil.example:8089", False),
    ],
)  # fmt: skip
def test_names(door: Door, host: str | None, passes: bool) -> None:
    """At home only names of this machine, and those that are allowed; elsewhere any, unless some are named."""
    why = door.refusal(Asked("GET", host))
    assert (why is None) is passes
    assert why is None or "TOKENSWARM_WEB_ORIGINS" in why


def test_an_origin_that_is_named() -> None:
    """Behind a proxy with TLS the page's origin is another than ours; another site may be let in in the same way."""
    asked = {"origin": "https://load.example.com", "fetch_site": "same-origin"}
    assert PROXIED.refusal(Asked("POST", "load.example.com", **asked)) is None
    assert PROXIED.refusal(Asked("POST", HERE, **asked | {"fetch_site": "cross-site"})) is None
    referer = {
        "referer": "https://load.example.com/page",
        "fetch_site": "cross-site",
        "fetch_mode": "no-cors",
    }
    assert PROXIED.refusal(Asked("GET", HERE, **referer)) is None
    assert PROXIED.refusal(Asked("POST", HERE, origin="http://load.example.com")) is not None
    assert HOME.refusal(Asked("POST", HERE, **asked)) is not None
    default_port = Door("https", "127.0.0.1", is_local=True)
    assert default_port.refusal(Asked("POST", "localhost:443", origin="https://localhost")) is None


TEXTS: Final = st.one_of(
    st.none(),
    st.text(max_size=40),
    st.sampled_from([OWN, EVIL, "null", HERE, f"{OWN}@evil.example", f"{EVIL}#{OWN}", f"{EVIL}/{OWN}", f"{OWN}:8089"]),
    st.builds("{}{}{}".format, st.sampled_from(["http://", "https://", OWN, EVIL, ""]), st.text(max_size=8), st.sampled_from(["", ":1", "/", HERE])),
)  # fmt: skip


ASKED: Final = st.builds(
    Asked,
    st.sampled_from(CHANGES + READS),
    *(TEXTS, TEXTS, TEXTS),
    st.sampled_from([None, "same-origin", "none", "same-site", "cross-site"]),
    st.sampled_from([None, "navigate", "cors", "no-cors"]),
)


def place(url: str) -> tuple[str, str | None, int]:
    """Scheme, host and port as the standard library reads them."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]


@given(ASKED)
@example(Asked("POST", HERE, f"{OWN}\n"))
@example(Asked("POST", None, OWN))
@example(Asked("POST", HERE, "http://127.0.0.1\u06f1:8089"))
@example(Asked("POST", HERE, None, f"{OWN}\\@evil.example/"))
def test_whatever_comes(asked: Asked) -> None:
    """Nothing raises, a refusal is a line of ASCII; what changes something and is let in is ours, or from no browser."""
    why = HOME.refusal(asked)
    if why is not None:
        assert why.isascii()
        assert why.isprintable()
        assert len(why) < 600
        return
    assert asked.host is None or is_loopback(urlsplit(f"//{asked.host}").hostname or "")
    said = asked.referer if asked.origin is None else asked.origin
    if asked.method in CHANGES:
        assert asked.fetch_site not in {"cross-site", "same-site"}
        assert said is None or place(said) == place(f"http://{asked.host}")


@given(st.text(max_size=30))
@example("http://[::1")
@example("http://[1:2:3:4:5:6:7:8:9]")
@example("http://a:99999")
def test_an_origin_is_its_own_origin(text: str) -> None:
    """Reading one again changes nothing."""
    found = origin_of(text)
    assert found is None or origin_of(found) == found


def test_the_variable() -> None:
    """With commas between, a slash at the end, blanks; anything else is said, with what it should have been."""
    assert read("") == frozenset()
    assert read(" https://Load.example.com:443/, http://[2001:DB8:0::1]:80 ,,http://a:8089") == {
        "https://load.example.com", "http://[2001:db8::1]", "http://a:8089",
    }  # fmt: skip
    for wrong in (
        "*",
        "load.example.com",
        "https://a/b",
        "https://u:p@a",
        "ftp://a",
        "https://",
        "https://a:70000",
        "null",
    ):
        with pytest.raises(ConfigError, match=r"TOKENSWARM_WEB_ORIGINS .* is no origin: give scheme, host"):
            read(f"https://ok.example,{wrong}")


def test_a_read_that_says_it_is_of_another_origin() -> None:
    """Where browsers do not say what site a request is of, over plain HTTP, a script's says its origin all the same."""
    door = Door("http", "0.0.0.0", is_local=False)

    def answer(origin: str | None) -> str | None:
        return door.refusal(Asked("GET", "10.0.0.5:8089", origin, None, None, None))

    assert answer(None) is None
    assert answer("http://10.0.0.5:8089") is None
    assert "http://evil.example" in str(answer("http://evil.example"))
