"""What `--host` may be, and the addresses that come of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.target import Target, parse

EXAMPLE = "for example http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("text", "target", "again"),
    [
        ("http://127.0.0.1:8080", Target(False, "127.0.0.1", 8080), "http://127.0.0.1:8080"),
        ("http://h", Target(False, "h", 80), "http://h"),
        ("https://h", Target(True, "h", 443), "https://h"),
        ("http://h:443", Target(False, "h", 443), "http://h:443"),
        ("https://h:443/", Target(True, "h", 443), "https://h"),
        ("https://h:80", Target(True, "h", 80), "https://h:80"),
        ("http://h:", Target(False, "h", 80), "http://h"),
        ("HTTP://Example.COM:8080/Api/", Target(False, "example.com", 8080, "/Api"), "http://example.com:8080/Api"),
        ("http://[::1]:8080/v1", Target(False, "::1", 8080, "/v1"), "http://[::1]:8080/v1"),
        ("https://[2001:db8::1]", Target(True, "2001:db8::1", 443), "https://[2001:db8::1]"),
        ("  http://h:1 ", Target(False, "h", 1), "http://h:1"),
        ("http://münchen.example", Target(False, "xn--mnchen-3ya.example", 80), "http://xn--mnchen-3ya.example"),
        ("http://h/a%20b//", Target(False, "h", 80, "/a%20b"), "http://h/a%20b"),
    ],
)  # fmt: skip
def test_a_base_url_becomes_a_target(text: str, target: Target, again: str) -> None:
    """Scheme, host, port and prefix, and the URL that says the same."""
    assert parse(text) == target
    assert str(target) == again
    assert parse(again) == target


BLANK = "is not a URL (it has a blank in it)"
LABEL = "is not a URL (a part of the host's name is empty, too long or not allowed)"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, f"--host is missing: give the server's base URL, {EXAMPLE}"),
        (" ", f"--host is missing: give the server's base URL, {EXAMPLE}"),
        ("h:8080", "--host 'h:8080' has no scheme: write http://h:8080 or https://h:8080"),
        ("http:/h", "--host 'http:/h' has no scheme: write http://h or https://h"),
        ("ftp://h", f"--host 'ftp://h' has scheme 'ftp': use http or https, {EXAMPLE}"),
        ("http://", f"--host 'http://' names no host: {EXAMPLE}"),
        ("http://:80", f"--host 'http://:80' names no host: {EXAMPLE}"),
        ("http://h:0", f"--host 'http://h:0' has port 0, where nothing can listen: {EXAMPLE}"),
        ("http://h:65536", f"--host 'http://h:65536' is not a URL (Port out of range 0-65535): {EXAMPLE}"),
        ("http://[::1", f"--host 'http://[::1' is not a URL (Invalid IPv6 URL): {EXAMPLE}"),
        ("http://h 1", f"--host 'http://h 1' {BLANK}: {EXAMPLE}"),
        ("http://h:80\n80", rf"--host 'http://h:80\n80' {BLANK}: {EXAMPLE}"),
        ("http://a..b", f"--host 'http://a..b' {LABEL}: {EXAMPLE}"),
        (f"http://{'a' * 64}.b", f"--host 'http://{'a' * 64}.b' {LABEL}: {EXAMPLE}"),
        ("http://h?x=1", f"--host 'http://h?x=1' has a query or fragment: give only the base URL, {EXAMPLE}"),
        ("http://h/#", f"--host 'http://h/#' has a query or fragment: give only the base URL, {EXAMPLE}"),
        ("http://h/ü", "--host 'http://h/ü' has letters in its path that a request cannot carry: write /%C3%BC"),
    ],
)  # fmt: skip
def test_anything_else_is_one_line_that_says_what_to_write(text: str | None, line: str) -> None:
    """The option, the value, and what would be right."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value) == line


@pytest.mark.parametrize(
    "text", ["http://u:hunter2@h", "http://u:hunter2@h:99999", "ftp://u:hunter2@h", "u:hunter2@h", "http://u:hun/ter2@h"]
)  # fmt: skip
def test_a_password_is_refused_and_not_repeated(text: str) -> None:
    """Lines like these end up in logs of pipelines."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value).startswith("--host holds a user or password")
    assert "TOKENSWARM_API_KEY" in str(caught.value)
    assert "ter2" not in str(caught.value)


@given(
    st.text(st.characters(codec="utf-8"), max_size=30),
    st.sampled_from(["", "http://", "https://h", "http://h:1/"]),
)
def test_every_text_is_a_target_or_one_line(text: str, start: str) -> None:
    """What is accepted can stand in a request's head as it is; what is not is told in one line."""
    try:
        target = parse(start + text)
    except ConfigError as error:
        (line,) = str(error).splitlines()
        assert line.startswith("--host")
        return
    head = f"GET {target.path('/v1/models')} HTTP/1.1 Host: {target.authority}".encode("ascii")
    assert len(head.split()) == 5
    assert parse(str(target)) == target


@pytest.mark.parametrize(
    ("prefix", "route", "path"),
    [
        ("", "/v1/models", "/v1/models"),
        ("/v1", "/v1/models", "/v1/models"),
        ("/openai/v1", "/v1/chat/completions", "/openai/v1/chat/completions"),
        ("/gateway", "/v1/models", "/gateway/v1/models"),
        ("/v1", "/health", "/health"),
        ("/a/v1", "/completion", "/a/completion"),
        ("/av1", "/health", "/av1/health"),
    ],
)
def test_a_prefix_that_ends_in_v1_is_taken_as_meant(prefix: str, route: str, path: str) -> None:
    """OpenAI's clients want /v1 in the base URL, so people write it; llama.cpp's own routes lie beside it."""
    target = Target(False, "h", 8080, prefix)
    assert target.path(route) == path
    assert target.url(route) == f"http://h:8080{path}"


@pytest.mark.parametrize("route", ["/v1/chat/completions", "/v1/completions/", "/completion"])
def test_a_route_is_no_base_url(route: str) -> None:
    """What people paste from a curl command is recognised."""
    with pytest.raises(ConfigError, match="is a route; give the base URL: http://h:1") as raised:
        parse("http://h:1" + route)
    assert "\n" not in str(raised.value)
