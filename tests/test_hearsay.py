"""Numbers from outside: what counts as one, and what does not (`harness.hearsay`; its readers of messages: tests/test_live.py)."""

import math

import pytest

from harness.hearsay import Malformed, amount, finite, number


@pytest.mark.parametrize(("value", "found"), [(3, 3.0), (-2.5, -2.5), (0, 0.0), (2**63, float(2**63))])
def test_a_number_is_itself(value: float, found: float) -> None:
    """As a float, whichever it was."""
    told = finite(value)
    assert (told, type(told)) == (found, float)


@pytest.mark.parametrize(
    "value", [None, True, False, "3", [3], math.nan, math.inf, -math.inf, 10**400, -(10**400)],
    ids=["none", "true", "false", "text", "list", "nan", "inf", "-inf", "giant", "-giant"],
)  # fmt: skip
def test_whatever_else_is_none(value: object) -> None:
    """Truths are integers to Python, and JSON's integers may be larger than any float."""
    assert finite(value) is None


@pytest.mark.parametrize("value", [None, True, 1.0, "1", -1, 2**63])
def test_a_count_is_a_whole_number_that_a_message_holds(value: object) -> None:
    """Up to the largest that msgpack has."""
    assert (number(0), number(2**63 - 1)) == (0, 2**63 - 1)
    with pytest.raises(Malformed, match="not a count"):
        number(value)


@pytest.mark.parametrize("value", [None, 1, "1", -0.5, math.nan, math.inf])
def test_an_amount_is_finite_and_not_negative(value: object) -> None:
    """And a float, as whoever says it has it."""
    assert (amount(0.0), amount(2.5)) == (0.0, 2.5)
    with pytest.raises(Malformed, match="not an amount"):
        amount(value)
