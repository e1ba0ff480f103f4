"""What an InfluxDB answers, in words that name what to mend; and where it is, from the environment."""

import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import pytest
from influx_fake import Fake, drops, hangs, says
from native import Talk, self_signed, standing

from harness.errors import ConfigError
from harness.influx import transport
from harness.influx.access import Access, read
from harness.influx.spool import Batch, pack
from harness.influx.transport import Answer, Writer, hello
from harness.servers.process import free_port

CANARY = "canary-t0ken"
BATCH = pack([b"m,run=r f=1i 1", b'm,run=r s="a\nb" 2'])


def write(access: Access, environ: dict[str, str] | None = None, batch: Batch = BATCH) -> Answer:
    """One write by a new writer."""
    writer = Writer(access, environ or {})
    try:
        return writer.send(batch.body, batch.count)
    finally:
        writer.close()


def at(url: str, token: str = CANARY, org: str = "my org", bucket: str = "tokenswarm") -> Access:
    return Access(url, token, org, bucket)


UNPARSED = "unable to parse 'm,run=secret' f= 2': missing field value"
CASES = [
    # status, body, kind, mendable, partial, the end of the reason after `URL answered STATUS`
    (400, f'{{"code":"invalid","message":"{UNPARSED}"}}', "refused", False, True,
     " (unable to parse '...': missing field value): 2 points not taken; what was measured is all the same in the results"),
    (400, f'{{"error":"partial write: {UNPARSED} dropped=0 for database: tokenswarm"}}\n', "refused", False, True,
     (" (partial write: unable to parse '...': missing field value dropped=0 for database: tokenswarm): 2 points not taken; "
     "what was measured is all the same in the results")),
    (400, ('{"error":"partial write of line protocol occurred","data":[{"line_number":1,"original_line":"secret",'
     '"error_message":"Could not parse entire line. Found trailing content: \'secret\'"}]}'), "refused", False, True,
     (" (partial write of line protocol occurred; Could not parse entire line. Found trailing content: '...'): 2 points not "
     "taken; what was measured is all the same in the results")),
    (422, ('{"code":"unprocessable entity","message":"failure writing points to database: partial write: field type conflict: '
     'input field \\"f\\" on measurement \\"m\\" is type string, already exists as type integer dropped=1"}'),
     "refused", False, True, ("2 points not taken; bucket 'tokenswarm' has a field of this name and another type: give us one of our "
     "own, INFLUXDB_BUCKET")),
    (422, '{"message":"partial write: points beyond retention policy dropped=2"}', "refused", False, True,
     (" (partial write: points beyond retention policy dropped=2): 2 points not taken; they are older than bucket 'tokenswarm' "
     "keeps points")),
    (400, ('{"error":"partial write: max-values-per-tag limit exceeded (100000/100000): measurement=\\"m\\" tag=\\"run\\" '
     'value=\\"secret\\" dropped=1"}'), "refused", False, True, ("value=... dropped=1): 2 points not taken; what was measured is "
     "all the same in the results")),
    (400, '{"code":"invalid","message":"Please provide either orgID or org"}', "refused", False, False,
     " (Please provide either orgID or org): 2 points not taken; InfluxDB 2.x wants to know the organization: set INFLUXDB_ORG"),
    (401, '{"code":"unauthorized","message":"unauthorized access"}', "again", True, False,
     " (unauthorized access): the token is not the right one; see INFLUXDB_TOKEN, INFLUXDB_TOKEN_FILE (1.x: user:password)"),
    (403, '{"code":"forbidden","message":"insufficient permissions for write"}', "again", True, False,
     " (insufficient permissions for write): the token may not write to bucket 'tokenswarm'; see INFLUXDB_TOKEN, INFLUXDB_BUCKET"),
    (404, '{"code":"not found","message":"bucket \\"tokenswarm\\" not found"}', "again", True, False,
     " (bucket \"tokenswarm\" not found): create bucket 'tokenswarm' (1.x, 3.x: database), or name another in INFLUXDB_BUCKET"),
    (404, '{"error":"database not found: \\"tokenswarm\\""}\n', "again", True, False,
     " (database not found: \"tokenswarm\"): create bucket 'tokenswarm' (1.x, 3.x: database), or name another in INFLUXDB_BUCKET"),
    (404, '{"code":"not found","message":"organization name \\"my org\\" not found"}', "again", True, False,
     " (organization name \"my org\" not found): INFLUXDB_ORG is 'my org': give an organization of that server"),
    (404, "<html>404</html>", "again", True, False, ": is INFLUXDB_URL the base URL of an InfluxDB, 1.8 or later?"),
    (200, "<html>Grafana</html>", "again", True, False, ": is INFLUXDB_URL the base URL of an InfluxDB, 1.8 or later?"),
    (200, "", "again", True, False, ": is INFLUXDB_URL the base URL of an InfluxDB, 1.8 or later?"),
    (301, "", "again", True, False, ": is INFLUXDB_URL the base URL of an InfluxDB, 1.8 or later?"),
    (413, '{"error":"Request Entity Too Large"}', "too_large", False, False,
     " (Request Entity Too Large): one point alone is more than it takes"),
    (429, '{"code":"too many requests","message":"slow down"}', "again", False, False, " (slow down)"),
    (503, "", "again", False, False, ""),
    (500, '{"code":"internal error","message":"engine: \\u001b[31m closed"}', "again", False, False, " (engine: ?[31m closed)"),
    (418, "[]", "refused", False, False, ": 2 points not taken; what was measured is all the same in the results"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_answers(case: tuple[int, str, str, bool, bool, str]) -> None:
    """Of 1.x, 2.x and 3.x, and of what is none of them; nothing of a line and no token in any."""
    status, body, kind, mendable, partial, end = case
    with Fake() as fake:
        fake.faults.append(says(status, body))
        answer = write(at(fake.url))
    assert (answer.kind, answer.status, answer.mendable, answer.partial) == (kind, status, mendable, partial)
    assert answer.reason.startswith(f"{fake.url} answered {status}")
    assert answer.reason.endswith(end)
    if not end:
        assert answer.reason == f"{fake.url} answered {status}"
    assert "secret" not in answer.reason
    assert CANARY not in repr(answer)


def test_taken() -> None:
    """204, as all versions say; the request is one that all of them take."""
    with Fake() as fake:
        assert write(at(fake.url, token="me:pass", org="", bucket="db/rp")) == Answer("delivered", 204)
        (seen,) = fake.writes
        assert seen.path == "/api/v2/write?org=&bucket=db%2Frp&precision=ns"
        assert seen.headers["authorization"] == "Token me:pass"
        assert seen.headers["content-type"].startswith("text/plain")
        assert seen.body == b'm,run=r f=1i 1\nm,run=r s="a\nb" 2'
        assert write(at(f"{fake.url}/influx", token="")).kind == "delivered"
        assert fake.writes[1].path.startswith("/influx/api/v2/write?")
        assert "authorization" not in fake.writes[1].headers


def test_one_connection_serves_many_writes() -> None:
    """It is kept, also over answers that are errors, and made anew when the server has closed it."""
    with Fake() as fake:
        writer = Writer(at(fake.url), {})
        fake.faults.extend([says(503), says(400, "{}")])
        kinds = [writer.send(BATCH.body, 2).kind for _ in range(4)]
        assert kinds == ["again", "refused", "delivered", "delivered"]
        assert len(fake._socks) == 1
        fake.down()
        fake.up()
        time.sleep(0.05)
        assert writer.send(BATCH.body, 2).kind == "delivered"
        writer.close()


@pytest.mark.parametrize(
    ("after", "least", "most"),
    [
        ("3", 3, 3),
        ("0", 0, 0),
        (lambda: formatdate(time.time() + 5, usegmt=True), 3.5, 5),
        (lambda: formatdate(time.time() - 5, usegmt=True), 0, 0),
        ("soon", None, None),
        ("-3", None, None),
        ("9" * 400, None, None),
        ("Sat, 99 Foo 2026", None, None),
    ],
)  # fmt: skip
def test_retry_after(after: str | Callable[[], str], least: float | None, most: float | None) -> None:
    """Seconds, a date, or nothing that can be understood."""
    with Fake() as fake:
        fake.faults.append(says(503, Retry_After=after if isinstance(after, str) else after()))
        said = write(at(fake.url)).retry_after_s
    if least is None or most is None:
        assert said is None
    else:
        assert said is not None
        assert least <= said <= most


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused, hung up, silent, not HTTP, not text: tried again, and said which."""
    monkeypatch.setattr(transport, "ANSWER_S", 0.2)
    nobody = f"http://127.0.0.1:{free_port()}"
    assert write(at(nobody)) == Answer(
        "again", None, f"{nobody} cannot be reached (connection refused): is it up?"
    )
    with Fake() as fake:
        fake.faults.extend([drops, hangs])
        hung_up = f"{fake.url} cannot be reached (remote end closed connection without response): is it up?"
        assert write(at(fake.url)).reason == hung_up
        assert write(at(fake.url)) == Answer("again", None, f"{fake.url} does not answer in time")

    def speaks(words: bytes) -> Answer:
        def script(talk: Talk) -> None:
            talk.sock.recv(65_536)
            talk.say(words)

        with standing(script) as (target, _):
            return write(at(str(target)))

    ssh = speaks(b"SSH-2.0-OpenSSH " + CANARY.encode() + b"\r\n")
    assert (ssh.kind, ssh.status) == ("again", None)
    assert "cannot be reached (ssh-2.0-openssh ***" in ssh.reason
    binary = speaks(b"HTTP/1.1 502 Bad\r\nContent-Length: 2\r\n\r\n\xff\xfe")
    assert binary.kind == "again"
    assert "something that is no text: is INFLUXDB_URL the base URL" in binary.reason


def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate must be known, by SSL_CERT_FILE if by nothing else; and https is not spoken to http."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    certificate = self_signed(tmp_path, "localhost")

    def script(talk: Talk) -> None:
        talk.sock.recv(65_536)
        talk.say(b"HTTP/1.1 204 No Content\r\n\r\n")

    with standing(script, certificate=certificate) as (target, _):
        refused = write(at(str(target)))
        assert (refused.kind, refused.status) == ("again", None)
        assert refused.reason.endswith(": give its authority's file in SSL_CERT_FILE")
        assert "certificate" in refused.reason
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert write(at(str(target))).kind == "delivered"
    with standing(lambda talk: talk.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as (target, _):
        wrong = write(at(str(target).replace("http", "https")))
        assert wrong.reason.endswith("): is INFLUXDB_URL http:// rather than https://?")


def test_the_proxy_is_that_of_the_load() -> None:
    """HTTP_PROXY, unless NO_PROXY names the server; its password goes to it and into no text."""
    with Fake() as between:
        environ = {"HTTP_PROXY": f"http://me:pr0xypass@127.0.0.1:{between.port}"}
        access = at("http://influx.example:8086")
        assert write(access, environ).kind == "delivered"
        (seen,) = between.writes
        assert seen.path.startswith("http://influx.example:8086/api/v2/write?")
        assert seen.headers["proxy-authorization"] == f"Basic {b64encode(b'me:pr0xypass').decode()}"
        between.faults.extend([says(503, '{"message":"no pr0xypass"}'), says(407)])
        answer = write(access, environ)
        through = f"http://influx.example:8086 through the proxy http://127.0.0.1:{between.port}"
        assert answer.reason == f"{through} answered 503 (no ***)"
        assert write(access, environ) == Answer(
            "again",
            407,
            f"{through} answered 407: the proxy wants user and password in its variable, such as HTTP_PROXY; "
            "NO_PROXY goes past it",
            mendable=True,
        )
        assert hello(access, environ) == "InfluxDB 2.8.0 at http://influx.example:8086, bucket tokenswarm"
        with Fake() as direct:
            assert write(at(direct.url), {**environ, "NO_PROXY": "127.0.0.1"}).kind == "delivered"
            assert len(direct.writes) == 1


@pytest.mark.parametrize("token", [CANARY, f"me:{CANARY}"])
def test_a_quoted_token_is_not_repeated(token: str) -> None:
    """Servers like to quote what they refuse, whole, in part or in base 64."""
    with Fake() as fake:
        for quoted in (token, token[:-2], b64encode(token.encode()).decode(), CANARY):
            fake.faults.append(says(401, f'{{"message":"no such token {quoted}"}}'))
            answer = write(at(fake.url, token=token))
            assert CANARY[:-2] not in answer.reason
            assert "(no such token " in answer.reason
            assert "***" in answer.reason
    assert CANARY not in repr(at("http://x", token=token)) + str(at("http://x", token=token))


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("v2.8.0", "InfluxDB 2.8.0 at {url}, bucket tokenswarm"),
        ("1.8.10", "InfluxDB 1.8.10 at {url}, bucket tokenswarm"),
        ("", "{url} answers without a version: is INFLUXDB_URL the base URL of an InfluxDB, 1.8 or later?"),
        (f"{CANARY}\x1b[31m", "InfluxDB ***?[31m at {url}, bucket tokenswarm"),
    ],
)
def test_hello(version: str, said: str) -> None:
    """Who is there."""
    with Fake(version=version) as fake:
        assert hello(at(fake.url), {}) == said.format(url=fake.url)


def test_hello_of_a_page() -> None:
    """3.x says its version in a page as well."""

    def script(talk: Talk) -> None:
        talk.sock.recv(65_536)
        talk.say(b'HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n{"version":"3.10.1","revision":0}')

    with standing(script) as (target, _):
        assert hello(at(str(target)), {}) == f"InfluxDB 3.10.1 at {target}, bucket tokenswarm"


def test_hello_to_nobody() -> None:
    """Why, as a sentence."""
    nobody = f"http://127.0.0.1:{free_port()}"
    assert hello(at(nobody), {}) == f"{nobody} cannot be reached (connection refused): is it up?"


def test_import_is_late() -> None:
    """influxdb-client, which takes a third of a second, comes with the first writer."""
    code = (
        "import sys, harness.influx.transport, harness.influx.access, harness.influx.lines\n"
        "print('influxdb_client' in sys.modules, 'reactivex' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_nothing_is_read_without_a_url() -> None:
    """Unset or empty: no metrics, whatever else is set."""
    assert read({}) is None
    assert read({"INFLUXDB_URL": " ", "INFLUXDB_TOKEN": "a b", "INFLUXDB_TOKEN_FILE": "/nowhere"}) is None


def test_the_environment_is_read(tmp_path: Path) -> None:
    """All of it, or the defaults; the file only where the variable has no token."""
    assert read({"INFLUXDB_URL": "http://127.0.0.1:8086/"}) == Access(
        "http://127.0.0.1:8086", "", "", "tokenswarm"
    )
    secret = tmp_path / "token"
    secret.write_text("from-file==\n")
    given = {
        "INFLUXDB_URL": " https://Influx.Example/base/ ",
        "INFLUXDB_TOKEN_FILE": str(secret),
        "INFLUXDB_ORG": "my org",
        "INFLUXDB_BUCKET": "db/rp",
    }
    access = read(given)
    assert access == Access("https://influx.example/base", "from-file==", "my org", "db/rp")
    assert str(access) == "https://influx.example/base, bucket db/rp"
    other = read({**given, "INFLUXDB_TOKEN": "me:pass"})
    assert other is not None
    assert other.token == "me:pass"
    v6 = read({"INFLUXDB_URL": "http://[::1]:8086"})
    assert v6 is not None
    assert (v6.url, v6.target.host, v6.target.port) == ("http://[::1]:8086", "::1", 8086)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://me:canary@h:8086", ("INFLUXDB_URL holds a user or password (or another '@'): put them into INFLUXDB_TOKEN, for 1.x as "
         "user:password, and give only the base URL, for example http://127.0.0.1:8086")),
        ("http://h:8086/write?u=me&p=canary", ("INFLUXDB_URL has a query or fragment: give only the base URL, for example "
         "http://127.0.0.1:8086; token, org and bucket have variables of their own, INFLUXDB_TOKEN, INFLUXDB_ORG and INFLUXDB_BUCKET")),
        ("127.0.0.1:8086", "INFLUXDB_URL '127.0.0.1:8086' has no scheme: write http://127.0.0.1:8086 or https://127.0.0.1:8086"),
        ("ftp://h", "INFLUXDB_URL 'ftp://h' has scheme 'ftp': use http or https, for example http://127.0.0.1:8086"),
        ("http://h h", "INFLUXDB_URL 'http://h h' is not a URL (it has a blank in it): for example http://127.0.0.1:8086"),
        ("http://h:99999", ("INFLUXDB_URL 'http://h:99999' is not a URL (host and port are not understood): for example "
         "http://127.0.0.1:8086")),
        ("http://:8086", ("INFLUXDB_URL 'http://:8086' names no host, port 0 or a path that no request can carry: for example "
         "http://127.0.0.1:8086")),
        ("http://h:8086/api/v2/write", "INFLUXDB_URL 'http://h:8086/api/v2/write' is a route; give the base URL: http://h:8086"),
        ("http://h/influx/write", "INFLUXDB_URL 'http://h/influx/write' is a route; give the base URL: http://h/influx"),
    ],
)  # fmt: skip
def test_urls_that_are_none(url: str, said: str) -> None:
    """One line each, with the fix; a password in it is not shown."""
    with pytest.raises(ConfigError) as caught:
        read({"INFLUXDB_URL": url})
    assert str(caught.value) == said
    assert "canary" not in said


def test_tokens_that_are_none(tmp_path: Path) -> None:
    """Unreadable, empty, more than a token: said without it. Names that cannot be shown likewise."""
    url = {"INFLUXDB_URL": "http://h"}
    empty, two = tmp_path / "empty", tmp_path / "two"
    empty.write_text("\n")
    two.write_text(f"{CANARY} {CANARY}")
    for given, said in (
        ({"INFLUXDB_TOKEN_FILE": "/nowhere"}, ("INFLUXDB_TOKEN_FILE '/nowhere' cannot be read (no such file or directory): "
         "give the path of a file that holds only the token")),
        ({"INFLUXDB_TOKEN_FILE": str(empty)}, f"INFLUXDB_TOKEN_FILE '{empty}' is empty: put the token into the file, or unset the variable"),
        ({"INFLUXDB_TOKEN_FILE": str(two)}, (f"INFLUXDB_TOKEN_FILE '{two}' holds more than a token (spaces, line breaks or letters that no "
         "header may carry): put only the token there, for 1.x user:password")),
        ({"INFLUXDB_TOKEN": f"{CANARY}\n{CANARY}"}, ("INFLUXDB_TOKEN holds more than a token (spaces, line breaks or letters that no "
         "header may carry): put only the token there, for 1.x user:password")),
        ({"INFLUXDB_BUCKET": "a\x1bb"}, "INFLUXDB_BUCKET 'a\\x1bb' has a character that cannot be shown: give the name as InfluxDB has it"),
    ):  # fmt: skip
        with pytest.raises(ConfigError) as caught:
            read(url | given)
        assert str(caught.value) == said
