"""When a run is ended early, told by its records."""

import pytest
from synthetic_run import record

from harness.errors import ErrorClass
from harness.hope import ENOUGH, GONE_NS, Hope
from harness.record import Outcome, RequestRecord


def failure(error_class: ErrorClass, end_ns: int = 1) -> RequestRecord:
    return record(outcome=Outcome.FAILED, error_class=error_class, error_message="why", end_ns=end_ns)


OK = record(outcome=Outcome.OK)


@pytest.mark.parametrize(
    "error_class", [ErrorClass.AUTH, ErrorClass.NOT_FOUND, ErrorClass.CONNECT, ErrorClass.TLS]
)
def test_a_refusal_before_any_success_ends_it_at_once(error_class: ErrorClass) -> None:
    """One is enough, it is said once, and it is the kind that exits with 2."""
    hope = Hope()
    assert hope.see(failure(error_class))
    assert hope.lost == f"no request could succeed: {error_class}: why"
    assert hope.nothing_worked
    assert not hope.see(failure(error_class))


def test_a_body_that_is_never_accepted_ends_it_after_a_few() -> None:
    """Nine 400s may be nine odd prompts; ten without a success are the body."""
    hope = Hope()
    assert [hope.see(failure(ErrorClass.HTTP_CLIENT)) for _ in range(ENOUGH)] == [False] * (ENOUGH - 1) + [
        True
    ]


def test_failures_beside_successes_are_the_servers_business() -> None:
    """Overload, errors and cuts go on for ever; so does a 400 now and then."""
    hope = Hope()
    hope.see(OK)
    for error_class in (ErrorClass.HTTP_CLIENT, ErrorClass.OVERLOAD, ErrorClass.AUTH, ErrorClass.TRUNCATED):
        assert not any(hope.see(failure(error_class)) for _ in range(100))
    overloaded = Hope()
    assert not any(overloaded.see(failure(ErrorClass.OVERLOAD)) for _ in range(100))


def test_a_server_that_is_gone_for_long_ends_it() -> None:
    """Half a minute of refused connections and nothing else; one answer in between starts the wait again."""
    hope = Hope()
    hope.see(OK)
    assert not hope.see(failure(ErrorClass.CONNECT, 0))
    assert not hope.see(failure(ErrorClass.CONNECT, GONE_NS))
    hope.see(OK)
    assert not hope.see(failure(ErrorClass.CONNECT, GONE_NS + 5))
    assert not hope.see(failure(ErrorClass.RESET, GONE_NS + 6))
    assert not hope.see(failure(ErrorClass.CONNECT, GONE_NS + 7))
    assert hope.see(failure(ErrorClass.CONNECT, 2 * GONE_NS + 8))
    assert hope.lost == "the server has been gone for 30 s: connect: why"
    assert not hope.nothing_worked
