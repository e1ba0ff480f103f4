"""`tokenswarm simulate --tls-cert --tls-key`: the same server over TLS, and what it says of bad files."""

import argparse
import http.client
import json
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.simulator import main
from harness.simulator.cli import add_options

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates and keys: `a`, `b`, both of 127.0.0.1; `a`'s key with a passphrase too."""
    folder = tmp_path_factory.mktemp("tls")
    for name in "ab":
        run(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem"), "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
        )
    run(
        "pkcs8",
        "-topk8",
        "-in",
        str(folder / "a.key"),
        "-out",
        str(folder / "locked.key"),
        "-passout",
        "pass:x",
    )
    run("ec", "-in", str(folder / "a.key"), "-aes128", "-passout", "pass:x", "-out", str(folder / "old.key"))
    (folder / "both.pem").write_bytes((folder / "a.key").read_bytes() + (folder / "a.pem").read_bytes())
    (folder / "text.pem").write_text("hello\n")
    (folder / "torn.pem").write_bytes(
        (folder / "a.pem").read_bytes()[:200] + b"\n-----END CERTIFICATE-----\n"
    )
    (folder / "torn.key").write_bytes((folder / "a.key").read_bytes()[:80] + b"\n-----END PRIVATE KEY-----\n")
    return folder


def run(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@contextmanager
def simulator(*options: str) -> Iterator[tuple[str, int]]:
    """A simulator as a process; its scheme and port."""
    command = [sys.executable, "-m", "harness.simulator", "--port", "0", "--step-base-ms", "1", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"listening on (https?)://127.0.0.1:(\d+) ", process.stdout.readline())
        assert found is not None
        yield found[1], int(found[2])
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
        assert (process.returncode, errors) == (0, "")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("files", [("a.pem", "a.key"), ("both.pem",)])
def test_streams_over_tls(folder: Path, files: tuple[str, ...]) -> None:
    """Two streams on one connection that trusts the certificate; the key may stand in the certificate's file."""
    options = [part for option, file in zip(("--tls-cert", "--tls-key"), files, strict=False)
               for part in (option, str(folder / file))]  # fmt: skip
    context = ssl.create_default_context(cafile=folder / "a.pem")
    body = json.dumps({"prompt": "hello", "max_tokens": 7, "ignore_eos": True, "stream": True})
    with simulator(*options) as (scheme, port):
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
        assert scheme == "https"
        for _ in range(2):
            connection.request("POST", "/v1/completions", body)
            events = connection.getresponse().read().split(b"\n\n")
            assert len(events) == 7 + 3  # finish, [DONE], the rest after the last blank line
            assert events[-2] == b"data: [DONE]"
        connection.close()


def test_goodbyes_over_tls_are_quiet(folder: Path) -> None:
    """A client that does not trust us, one that speaks no TLS, one that hangs up: nothing on stderr, others served."""
    options = ("--tls-cert", str(folder / "a.pem"), "--tls-key", str(folder / "a.key"))
    with simulator(*options) as (_, port):
        with pytest.raises(ssl.SSLCertVerificationError):
            http.client.HTTPSConnection("127.0.0.1", port, timeout=10).request("GET", "/health")
        plain = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        plain.request("GET", "/health")
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            plain.getresponse()
        plain.close()
        context = ssl.create_default_context(cafile=folder / "b.pem")
        context.load_verify_locations(folder / "a.pem")
        body = json.dumps({"prompt": "hello", "max_tokens": 2000, "ignore_eos": True, "stream": True})
        leaver = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
        leaver.request("POST", "/v1/completions", body)
        leaver.getresponse().read(10)
        leaver.close()
        last = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
        last.request("GET", "/health")
        assert last.getresponse().status == 200
        last.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--tls-key {}/a.key",
            "--tls-key {}/a.key: needs --tls-cert FILE, the certificate that it is the key of",
        ),
        (
            "--tls-cert {}/no.pem",
            "--tls-cert {}/no.pem: No such file or directory; name a file that can be read",
        ),
        ("--tls-cert {}", "--tls-cert {}: Is a directory; name a file that can be read"),
        (
            "--tls-cert {}/a.pem",
            "--tls-cert {}/a.pem: no private key in it; give its key with --tls-key FILE",
        ),
        ("--tls-cert {}/text.pem", "--tls-cert {}/text.pem: no certificate in it; give a PEM file"),
        (
            "--tls-cert {}/torn.pem",
            "--tls-cert {}/torn.pem: the certificate in it cannot be read; give a PEM file",
        ),
        (
            "--tls-cert {0}/a.pem --tls-key {0}/no.key",
            "--tls-key {}/no.key: No such file or directory; name a file that can be read",
        ),
        (
            "--tls-cert {0}/a.pem --tls-key {0}/a.pem",
            "--tls-key {}/a.pem: no private key in it; give a PEM file",
        ),
        (
            "--tls-cert {0}/a.pem --tls-key {0}/torn.key",
            "--tls-key {}/torn.key: the key cannot be read; give a PEM file",
        ),
        (
            "--tls-cert {0}/a.pem --tls-key {0}/b.key",
            "--tls-key {0}/b.key: not the key of the certificate in {0}/a.pem; give its own",
        ),
        *(
            (
                f"--tls-cert {{0}}/a.pem --tls-key {{0}}/{name}",
                (
                    f"--tls-key {{}}/{name}: the key has a passphrase; take it off with "
                    "`openssl pkey -in KEY -out NEW`"
                ),
            )
            for name in ("locked.key", "old.key")
        ),
    ],
)
def test_bad_files(folder: Path, options: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is one line that names the option and the file, and exit code 2; nothing is asked at the terminal."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    assert main(parser.parse_args(options.format(folder).split())) == 2
    assert capsys.readouterr() == ("", f"tokenswarm simulate: error: {message.format(folder)}\n")
