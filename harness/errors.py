"""What can go wrong, by whose fault.

    ConfigError        ours or the user's: a bad option, file or environment; ends the run before load, exit 2
    ProtocolError      the server's: bytes that are not HTTP/1.x
    MalformedChunk     the server's: a stream event that its dialect does not allow

Failures of a request are not exceptions: they are data, one `ErrorClass` in its record. The set is
closed, so that tables and dashboards can list it; free text goes to `error_message`.
"""

from enum import StrEnum


class ConfigError(Exception):
    """Bad input. The text names the option or file, the value, and what would be right."""


class ProtocolError(Exception):
    """The response is not HTTP/1.x as RFC 9112 has it."""


class MalformedChunk(Exception):
    """One event of a stream could not be read. The text shows its beginning."""


class ErrorClass(StrEnum):
    """Why a request failed."""

    DNS = "dns"  # the host's name did not resolve
    CONNECT = "connect"  # refused, unreachable; also by a proxy (407)
    CONNECT_TIMEOUT = "connect_timeout"
    TLS = "tls"  # handshake or certificate
    RESET = "reset"  # the connection broke before a response was complete and no content had come
    FIRST_TOKEN_TIMEOUT = "first_token_timeout"
    IDLE_TIMEOUT = "idle_timeout"  # no byte for too long in mid-stream
    TOTAL_TIMEOUT = "total_timeout"
    AUTH = "auth"  # 401, 403
    NOT_FOUND = "not_found"  # 404
    OVERLOAD = "overload"  # 429, 503
    HTTP_CLIENT = "http_client"  # any other 4xx
    HTTP_SERVER = "http_server"  # any other 5xx
    HTTP_OTHER = "http_other"  # a status that is neither 200 nor an error (a redirect, a 204)
    STREAM_ERROR = "stream_error"  # an error event inside a 200 stream
    TRUNCATED = "truncated"  # content came, the end mark did not
    BAD_HTTP = "bad_http"  # not HTTP/1.x
    BAD_STREAM = "bad_stream"  # an event that could not be parsed
    TOO_LARGE = "too_large"  # over the size we are willing to buffer


_CLASSES = {
    401: ErrorClass.AUTH,
    403: ErrorClass.AUTH,
    404: ErrorClass.NOT_FOUND,
    407: ErrorClass.CONNECT,  # a proxy wants a password: nobody has got through to the server
    429: ErrorClass.OVERLOAD,
    503: ErrorClass.OVERLOAD,
}


def class_of_status(status: int) -> ErrorClass:
    """The error class of an HTTP status other than 200."""
    if status in _CLASSES:
        return _CLASSES[status]
    if status >= 500:
        return ErrorClass.HTTP_SERVER
    return ErrorClass.HTTP_CLIENT if status >= 400 else ErrorClass.HTTP_OTHER
