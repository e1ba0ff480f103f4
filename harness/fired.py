"""One of Locust's events for each request, as its statistics want it: milliseconds, and few kinds of failures."""

from locust.env import Environment

from harness.record import Outcome, RequestRecord

__all__ = ["fire"]


class RequestFailed(Exception):
    """What Locust's statistics list a failed request under: its error class, so that the list stays short."""


def fire(environment: Environment, record: RequestRecord) -> None:
    """Tell Locust of a finished request."""
    failure = None
    if record.outcome is Outcome.FAILED:
        failure = RequestFailed(str(record.error_class))
    elif record.outcome is Outcome.CANCELLED:
        failure = RequestFailed("given up in flight")
    begin = record.scheduled_ns if record.sent_ns is None else record.sent_ns
    elapsed_ms = (record.end_ns - begin) / 1e6
    environment.events.request.fire(
        request_type="POST",
        name=record.name,
        response_time=elapsed_ms if failure or record.e2e_ms is None else record.e2e_ms,
        response_length=len((record.text or "").encode("utf-8", "replace")),
        exception=failure,
        context={"record": record},
    )
