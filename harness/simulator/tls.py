"""HTTPS for the simulator: a certificate and its key, checked before the port is opened.

What Python says of a bad file names neither the file nor the reason, so what can be told apart is told apart
here.
"""

import ssl
from pathlib import Path

from harness.errors import ConfigError

_CERTIFICATE = "-----BEGIN CERTIFICATE-----"
_KEY = "PRIVATE KEY-----"


def context(certificate: str | None, key: str | None) -> ssl.SSLContext | None:
    """What a server over TLS needs, or None for plain HTTP. Both files are PEM; a chain may follow the certificate.

    Without a key file the key is looked for beside the certificate, in the same file.

    Raises:
        ConfigError: a key without a certificate, a file that is missing or is not what it should be, a key
            with a passphrase, or the key of another certificate.
    """
    if certificate is None:
        if key is not None:
            raise ConfigError(
                f"--tls-key {key}: needs --tls-cert FILE, the certificate that it is the key of"
            )
        return None
    _check_certificate(certificate)
    _check_key(certificate, key)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    option = f"--tls-cert {certificate}" if key is None else f"--tls-key {key}"
    try:
        made.load_cert_chain(certificate, key, password=_refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"{option}: not the key of the certificate in {certificate}; give its own"
            ) from None
        raise ConfigError(f"{option}: the key cannot be read; give a PEM file") from None
    except _Passphrase:
        advice = "take it off with `openssl pkey -in KEY -out NEW`"
        raise ConfigError(f"{option}: the key has a passphrase; {advice}") from None
    return made


class _Passphrase(Exception):
    """OpenSSL asks for one."""


def _refuse() -> str:
    raise _Passphrase


def _check_certificate(path: str) -> None:
    text = _read("--tls-cert", path)
    try:
        if _CERTIFICATE not in text:
            raise ConfigError(f"--tls-cert {path}: no certificate in it; give a PEM file")
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=text)
    except ssl.SSLError:
        raise ConfigError(
            f"--tls-cert {path}: the certificate in it cannot be read; give a PEM file"
        ) from None


def _check_key(certificate: str, path: str | None) -> None:
    if path is None:
        if _KEY not in _read("--tls-cert", certificate):
            raise ConfigError(
                f"--tls-cert {certificate}: no private key in it; give its key with --tls-key FILE"
            )
    elif _KEY not in _read("--tls-key", path):
        raise ConfigError(f"--tls-key {path}: no private key in it; give a PEM file")


def _read(option: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="latin-1")
    except OSError as error:
        raise ConfigError(f"{option} {path}: {error.strerror}; name a file that can be read") from None
