"""Which proxy a target is reached through: the variables, what they may hold, and who is excepted."""

import os
from unittest.mock import patch

import pytest
import requests.utils
from hypothesis import example, given
from hypothesis import strategies as st

from harness import target
from harness.errors import ConfigError
from harness.proxy import Proxy, for_target, is_here, parse, past

HTTP, HTTPS = target.parse("http://api.corp:8080/v1"), target.parse("https://api.corp")
PROXY = "http://proxy:3128"


def chosen(url: str, **environ: str) -> str | None:
    """The proxy of a target, as it may be shown."""
    found = for_target(target.parse(url), environ)
    return found and str(found)


def test_each_scheme_has_its_variable() -> None:
    """And ALL_PROXY is for those that have none."""
    environ = {"HTTP_PROXY": "http://a:1", "HTTPS_PROXY": "http://b:2"}
    assert for_target(HTTP, environ) == Proxy("a", 1, "HTTP_PROXY")
    assert for_target(HTTPS, environ) == Proxy("b", 2, "HTTPS_PROXY")
    assert for_target(HTTPS, {"ALL_PROXY": "c:3", "HTTP_PROXY": "http://a:1"}) == Proxy("c", 3, "ALL_PROXY")
    assert for_target(HTTPS, {"HTTP_PROXY": "http://a:1"}) is None
    assert for_target(HTTP, {}) is None


def test_lower_case_wins() -> None:
    """An empty one switches its upper-case twin off; an empty upper-case one is not there."""
    assert for_target(HTTPS, {"https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:2"}) == Proxy(
        "a", 1, "https_proxy"
    )
    assert chosen("https://h", https_proxy="", HTTPS_PROXY="http://b:2") is None
    assert chosen("https://h", https_proxy=" ", all_proxy="http://c:3") == "http://c:3"
    assert chosen("https://h", HTTPS_PROXY="", ALL_PROXY="http://c:3") == "http://c:3"
    assert chosen("https://h", HTTPS_PROXY=PROXY, no_proxy="", NO_PROXY="h") == PROXY


def test_a_proxy_that_is_not_for_this_target_may_be_anything() -> None:
    """Another scheme's, an excepted target's, or one that a nearer variable replaces."""
    assert chosen("http://h", HTTPS_PROXY="socks5://x:1") is None
    assert chosen("https://h", HTTPS_PROXY="nonsense://", NO_PROXY="h") is None
    assert chosen("https://h", HTTPS_PROXY=PROXY, ALL_PROXY="socks5://x:1") == PROXY


@pytest.mark.parametrize(
    ("url", "no_proxy", "direct"),
    [
        ("https://api.corp", "*", True),
        ("https://api.corp", "other, *", True),
        ("https://api.corp", "api.corp", True),
        ("https://API.corp", "Api.Corp", True),
        ("https://api.corp", "corp", True),
        ("https://api.corp", ".corp", True),
        ("https://api.corp", "*.corp", True),
        ("https://api.corp.", "api.corp", True),
        ("https://api.corp", "a,b ,api.corp", True),
        ("https://api.corp", "a b api.corp", True),
        ("https://corp", ".corp", True),  # as urllib and requests have it
        ("https://api.corp", "pi.corp", False),
        ("https://api.corp", "api.corp.example", False),
        ("https://api.corp", "", False),
        ("https://api.corp", ",", False),
        ("https://api.corp", ".", False),
        ("https://api.corp", "api.corp:443", True),
        ("https://api.corp", ".corp:443", True),
        ("https://api.corp:8443", "api.corp:8443", True),
        ("https://api.corp:8443", "api.corp", True),
        ("https://api.corp:8443", "api.corp:443", False),
        ("http://10.1.2.3", "10.1.2.3", True),
        ("http://10.1.2.3:8000", "10.1.2.3:8000", True),
        ("http://10.1.2.3:8000", "10.1.2.3:80", False),
        ("http://10.1.2.3", "10.0.0.0/8", True),
        ("http://10.1.2.3", "10.9.9.9/8", True),
        ("http://10.1.2.3", "11.0.0.0/8", False),
        ("http://10.1.2.3", "10.0.0.0/99", False),
        ("http://10.1.2.3", "1.2.3", False),  # addresses have no domains
        ("http://10.corp", "10.0.0.0/8", False),
        ("http://[::1]:9", "::1", True),
        ("http://[::1]:9", "[::1]", True),
        ("http://[::1]:9", "[::1]:9", True),
        ("http://[::1]:9", "[::1]:8", False),
        ("http://[::1]:9", "0:0:0:0:0:0:0:1", True),
        ("http://[fd00::7]", "fd00::/8", True),
        ("http://[fe00::7]", "fd00::/8", False),
        ("http://api.corp", "http://api.corp", False),
    ],
)
def test_who_is_excepted(url: str, no_proxy: str, direct: bool) -> None:
    """Hosts, domains, addresses, networks, ports, and all."""
    assert chosen(url, ALL_PROXY=PROXY, NO_PROXY=no_proxy) == (None if direct else PROXY)


NAMES = ("api.corp", "corp", "a.api.corp", "xcorp", "10.1.2.3", "10.9.9.9")
ITEMS = (
    "api.corp",
    ".corp",
    "corp",
    "api.corp:8080",
    "corp:1",
    "10.0.0.0/8",
    "10.1.2.0/24",
    "10.1.2.3",
    "zz",
    "",
)
VARIABLES = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.sampled_from(("http://a:1", "http://b:2", "")) for name in ("HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY")},
        **{name: st.lists(st.sampled_from(ITEMS), max_size=3).map(",".join) for name in ("NO_PROXY", "no_proxy")},
    },
)  # fmt: skip


@given(
    st.sampled_from(("http", "https")),
    st.sampled_from(NAMES),
    st.sampled_from(("", ":8080", ":1")),
    VARIABLES,
)
def test_requests_would_choose_the_same(scheme: str, name: str, port: str, environ: dict[str, str]) -> None:
    """Where the others agree on what a variable means, so do we."""
    url = f"{scheme}://{name}{port}"
    with patch.dict(os.environ, environ, clear=True):
        theirs = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)) or None
    assert chosen(url, **environ) == theirs


@pytest.mark.parametrize(
    ("value", "proxy"),
    [
        ("http://proxy:3128", Proxy("proxy", 3128, "V")),
        ("http://proxy:3128/", Proxy("proxy", 3128, "V")),
        ("HTTP://Proxy:3128", Proxy("proxy", 3128, "V")),
        ("proxy:3128", Proxy("proxy", 3128, "V")),
        ("proxy", Proxy("proxy", 80, "V")),
        ("10.0.0.1:3128", Proxy("10.0.0.1", 3128, "V")),
        ("http://[::1]:3128", Proxy("::1", 3128, "V")),
        ("http://u:p@proxy:1", Proxy("proxy", 1, "V", "u:p")),
        ("u:p@proxy:1", Proxy("proxy", 1, "V", "u:p")),
        ("http://u@proxy:1", Proxy("proxy", 1, "V", "u:")),
        ("http://corp%5Cu:p%40%3A%2F%23@proxy:1", Proxy("proxy", 1, "V", "corp\\u:p@:/#")),
        ("http://u:p@ss@proxy:1", Proxy("proxy", 1, "V", "u:p@ss")),
        ("http://@proxy:1", Proxy("proxy", 1, "V")),
        ("http://bücher.example:1", Proxy("xn--bcher-kva.example", 1, "V")),
    ],
)
def test_what_a_variable_may_hold(value: str, proxy: Proxy) -> None:
    """A URL or host and port, with user and password or without."""
    assert parse("V", value) == proxy


HINT = "for example http://proxy.corp:3128"
SHAPE = "it must be a host and a port from 1 to 65535, and nothing after them"
ESCAPES = "in a user or password write / # ? @ : as %2F %23 %3F %40 %3A"


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("http://", f"V is not a proxy's URL (it names no host): {HINT}"),
        ("http://:3128", f"V is not a proxy's URL (it names no host): {HINT}"),
        ("http://u:p@", f"V is not a proxy's URL (it names no host): {HINT}"),
        ("http://proxy:x", f"V is not a proxy's URL ({SHAPE}): {HINT}"),
        ("http://proxy:0", f"V is not a proxy's URL ({SHAPE}): {HINT}"),
        ("http://proxy:70000", f"V is not a proxy's URL ({SHAPE}): {HINT}"),
        ("http://proxy:1/proxy.pac", f"V is not a proxy's URL ({SHAPE}): {HINT}"),
        ("http:/proxy:1", f"V is not a proxy's URL ({SHAPE}): {HINT}"),
        ("http://[::1:3128", f"V is not a proxy's URL ({SHAPE}): {HINT}"),
        ("http://pro xy:1", f"V is not a proxy's URL (it has a blank in it): {HINT}"),
        ("http://proxy\n:1", f"V is not a proxy's URL (it has a blank in it): {HINT}"),
        ("http://u:pa/ss@proxy:1", f"V is not a proxy's URL ({ESCAPES}): {HINT}"),
        ("http://u:12/34@proxy:1", f"V is not a proxy's URL ({ESCAPES}): {HINT}"),
        ("https://u:12/34@proxy:1", f"V is not a proxy's URL ({ESCAPES}): {HINT}"),
        ("http://u:pa#ss@proxy:1", f"V is not a proxy's URL ({ESCAPES}): {HINT}"),
        ("u:x://y@proxy:1", f"V is not a proxy's URL ({ESCAPES}): {HINT}"),
        ("socks5://u:p@proxy:1080", "V names a proxy of scheme 'socks5': only http:// proxies are supported; NO_PROXY=HOST goes past it"),
        ("https://u:p@proxy:3128", "V names a proxy of scheme 'https': TLS to the proxy itself is not supported; most proxies are spoken to as http://proxy:3128 (what goes to an https --host is encrypted all the same)"),
    ],
)  # fmt: skip
def test_what_it_may_not(value: str, line: str) -> None:
    """One line that names the variable and never shows its value, where a password may be."""
    with pytest.raises(ConfigError) as caught:
        parse("V", value)
    assert str(caught.value) == line


LETTERS = st.characters(min_codepoint=33, max_codepoint=126)


@given(
    st.text(LETTERS, max_size=12),
    st.sampled_from(("http://{}", "http://u:{}@p:1", "http://u:{}@p:x", "{}@p", "s5://u:{}@p")),
)
@example("hunter2/x", "http://u:{}@p:1")
def test_any_value_is_a_proxy_or_a_line(password: str, form: str) -> None:
    """No other error, and the password in no text."""
    secret = f"hunter2{password}hunter2"
    try:
        shown = repr(found := parse("V", form.format(secret))) + str(found)
    except ConfigError as error:
        shown = str(error)
    if "@" in form:
        assert "hunter2" not in shown
    assert "\n" not in shown


def test_the_login_goes_into_one_header() -> None:
    """RFC 7617's own example, and letters beyond ASCII as UTF-8."""
    assert parse("V", "http://Aladdin:open%20sesame@p").headers == {
        "Proxy-Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    }
    assert parse("V", "http://test:123%C2%A3@p").headers == {"Proxy-Authorization": "Basic dGVzdDoxMjPCow=="}
    assert parse("V", "http://p").headers == {}


def test_what_a_proxy_quotes_is_hidden() -> None:
    """The header's value, the pair, the password; also the beginning of one where a text was cut."""
    proxy = parse("V", "http://Aladdin:open%20sesame@p")
    assert (
        proxy.hide("no QWxhZGRpbjpvcGVuIHNlc2FtZQ== or Aladdin:open sesame or open sesame")
        == "no *** or *** or ***"
    )
    assert proxy.hide("you said open ses") == "you said ***"
    assert proxy.hide("you said QWxhZGRpbjpv") == "you said ***"
    assert parse("V", "http://p").hide("as it is") == "as it is"


def test_where_a_proxy_makes_no_sense() -> None:
    """A target on this machine; `past` excepts one for programs we start, in both spellings."""
    here = ("http://localhost:1", "http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:1")
    assert [is_here(target.parse(url)) for url in here] == [True] * 4
    assert [is_here(target.parse(url)) for url in ("http://10.0.0.1", "http://corp", "http://[fd00::1]")] == [
        False
    ] * 3
    environ = {"A": "b", "HTTP_PROXY": PROXY, "no_proxy": "x", "NO_PROXY": "y"}
    assert past("127.0.0.1", environ) == environ | {"no_proxy": "x,127.0.0.1", "NO_PROXY": "x,127.0.0.1"}
    assert chosen("http://127.0.0.1:1", **past("127.0.0.1", {"ALL_PROXY": PROXY})) is None
