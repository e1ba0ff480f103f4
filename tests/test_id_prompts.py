"""Prompts of token ids: exact sizes, ids in range, no two that begin alike, the same again for the same seed."""

from hypothesis import given
from hypothesis import strategies as st

from harness.distributions import parse
from harness.id_prompts import OPENING, IdPrompts


def prompts(size: str, low: int, high: int, seed: int = 1, count: int = 20) -> list[tuple[int, ...]]:
    """The ids of the first prompts."""
    supply = IdPrompts(parse(size, "--prompt-tokens"), parse("7", "--output-tokens"), (low, high), seed)
    taken = [supply.take() for _ in range(count)]
    assert {spec.output_tokens for spec in taken} == {7}
    ids = [spec.prompt for spec in taken]
    assert all(spec.prompt_tokens == spec.requested_prompt_tokens == len(spec.prompt) for spec in taken)
    return [each for each in ids if isinstance(each, tuple)]


@given(size=st.integers(1, 2_000), low=st.integers(0, 50), span=st.integers(1, 1000), seed=st.integers(0, 9))
def test_every_prompt_is_of_the_size_asked_with_ids_in_range(
    size: int, low: int, span: int, seed: int
) -> None:
    """By construction, for any size."""
    found = prompts(str(size), low, low + span, seed, count=3)
    assert [len(each) for each in found] == [size] * 3
    assert all(low <= number <= low + span for each in found for number in each)


def test_a_prompt_longer_than_the_row() -> None:
    """The row is gone through again."""
    (found,) = prompts("200000", 10, 30_000, count=1)
    assert len(found) == 200_000


def test_no_two_begin_alike_and_a_seed_says_all() -> None:
    """A prefix cache finds nothing, and a run can be repeated."""
    found = prompts("uniform:64,640", 1000, 30_000, count=500)
    assert len({each[:OPENING] for each in found}) == 500
    assert len({len(each) for each in found}) > 100
    assert found == prompts("uniform:64,640", 1000, 30_000, count=500)
    assert found != prompts("uniform:64,640", 1000, 30_000, seed=2, count=500)
