"""Guards as they are asked for: what is read, what is refused and how, what tokens cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.guards import Guards, plain, read

BOTH = "give --price-in and --price-out per million tokens, e.g. --price-in 0.5 --price-out 1.5"


def test_nothing_asked_is_no_guard() -> None:
    """Empty texts are defaults."""
    assert read() == read(max_tokens="", max_cost=" ") == Guards()
    assert set(Guards().stored().values()) == {None}


def test_every_option_is_read() -> None:
    """Each text to its value, in the unit that its name says."""
    guards = read(
        max_requests=" 1000 ",
        max_time="1h30m",
        max_tokens="1000000",
        max_cost="5.25",
        price_in="0.5",
        price_out="0",
        max_error_rate="5%",
    )
    assert guards == Guards(1000, 5400.0, 1_000_000, 5.25, 0.5, 0.0, 0.05)
    assert guards.stored() == {
        "max_requests": 1000,
        "max_time_s": 5400.0,
        "max_tokens": 1_000_000,
        "max_cost": 5.25,
        "price_in": 0.5,
        "price_out": 0.0,
        "max_error_rate": 0.05,
    }


@pytest.mark.parametrize(
    ("text", "share"),
    [("5%", 0.05), ("0.05", 0.05), ("0.1%", 0.001), ("7 %", 0.07), ("100%", 1.0), ("0.999", 0.999)],
)
def test_an_error_rate(text: str, share: float) -> None:
    """In percent or as a share, to the last bit."""
    assert read(max_error_rate=text).max_error_rate == share


def test_a_bare_time_is_seconds() -> None:
    """As with Locust's own -t."""
    assert read(max_time="90").max_time_s == 90.0


WHOLE = "give a plain whole number above 0, e.g. 1000000"
PRICE = "give a plain amount per million tokens, 0 or above, without a currency, e.g. 0.5"
AMOUNT = "give a plain amount above 0, without a currency, e.g. 5 or 0.25"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        *(
            ({"max_tokens": text}, f"--max-tokens '{text}': {WHOLE}")
            for text in ("0", "-1", "1e6", "1M", "1,000,000", "1_000_000", "2.5", "nan", "\u0663", "9" * 5000)
        ),
        ({"max_requests": "0"}, f"--max-requests '0': {WHOLE}"),
        (
            {"max_time": "soon"},
            "--max-time 'soon' is no length of time; write for example 10m, with h, m, s, ms or us",
        ),
        ({"max_time": "0"}, "--max-time '0' is outside the limits; give above 0 and up to 168h"),
        ({"max_cost": "5"}, f"--max-cost 5 without prices: {BOTH}"),
        ({"max_cost": "0", "price_in": "1", "price_out": "1"}, f"--max-cost '0': {AMOUNT}"),
        ({"max_cost": "$5", "price_in": "1", "price_out": "1"}, f"--max-cost '$5': {AMOUNT}"),
        ({"price_in": "-0.5", "price_out": "1"}, f"--price-in '-0.5': {PRICE}"),
        ({"price_in": "1", "price_out": "R$ 2"}, f"--price-out 'R$ 2': {PRICE}"),
        (
            {"price_in": "1"},
            f"--price-out is missing beside the other price: {BOTH}, or 0 for what is free",
        ),
        (
            {"max_cost": "5", "price_out": "1"},
            f"--price-in is missing beside the other price: {BOTH}, or 0 for what is free",
        ),
        (
            {"max_cost": "5", "price_in": "0", "price_out": "0"},
            f"--max-cost 5 with prices of 0: nothing would ever cost anything; {BOTH}",
        ),
        *(
            (
                {"max_error_rate": text},
                f"--max-error-rate '{text}': give a share above 0 and up to 100%, e.g. 5% or 0.05",
            )
            for text in ("0", "0%", "-5%", "five", "%", "5%%", "1e-2")
        ),
        *(
            (
                {"max_error_rate": text},
                f"--max-error-rate '{text}': give a share up to 100%, or a bare number below 1, e.g. 5% or 0.05",
            )
            for text in ("5", "1", "101%")
        ),
    ],
)
def test_what_is_refused(options: dict[str, str], problem: str) -> None:
    """One line with the option, the value, and what would be right."""
    with pytest.raises(ConfigError) as caught:
        read(**options)
    assert str(caught.value) == problem


def test_all_that_is_wrong_is_said_at_once() -> None:
    """A line for each."""
    with pytest.raises(ConfigError) as caught:
        read(max_requests="many", max_cost="much", max_error_rate="some")
    options = [line.split()[0] for line in str(caught.value).split("\n")]
    assert options == ["--max-requests", "--max-cost", "--max-error-rate"]


@pytest.mark.parametrize(
    ("prices", "tokens", "expected"),
    [
        ((0.5, 1.5), (800_100, 200_312), 0.40005 + 0.300468),
        ((0.5, 1.5), (0, 0), 0.0),
        ((0.0, 2.0), (None, 1_000_000), 2.0),
        ((0.5, 1.5), (None, 5), None),
        ((0.5, 1.5), (5, None), None),
        ((None, None), (5, 5), None),
    ],
)
def test_cost(
    prices: tuple[float | None, float | None], tokens: tuple[int | None, int | None], expected: float | None
) -> None:
    """Tokens x price / million; not known where what costs something was not counted, or without prices."""
    found = Guards(price_in=prices[0], price_out=prices[1]).cost(*tokens)
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-12))


@given(st.integers(1, 10**12).map(lambda millionths: millionths / 1e6))
def test_an_amount_reads_as_it_is_shown(amount: float) -> None:
    """Nothing is lost between what was given and what a sentence repeats."""
    assert read(max_cost=plain(amount), price_in="1", price_out="1").max_cost == amount
