"""Two runs' bodies held against each other, by hand and for runs that end at different places."""

import random
from typing import Any

from bundled import digest
from hypothesis import given
from hypothesis import strategies as st

from harness.bundles.sequence import Verdict, compared


def row(number: int | None, body: str | None, **more: Any) -> dict[str, Any]:
    """One request of level 1."""
    plain = {"user_class": "Chat", "turn": None, "level": 1, "repeat": 1, "phase": "measure", "worker": "w"}
    return {**plain, "number": number, "body_sha256": body and digest(body), **more}


def counts(found: Verdict) -> tuple[int, int, int, int]:
    """Same, different, only in the first, only in the second."""
    return found.same, found.different, found.only_base, found.only_new


def test_by_number_whatever_the_order_and_the_level() -> None:
    """Four in common, of which one differs; the first difference is the lowest number's."""
    base = [row(n, f"b{n}", level=1 + n // 3) for n in range(5)]
    new = [row(n, "other" if n in {2, 3} else f"b{n}", level=9) for n in (3, 0, 2, 1, 7)]
    found = compared(base, new)
    assert counts(found) == (2, 2, 1, 1)
    assert found.first is not None
    assert found.first.what == "Chat, request 2 (level 1)"
    assert (found.first.base_sha256, found.first.new_sha256) == (digest("b2"), digest("other"))
    assert found.by_level == {(1, 1): [2, 1], (2, 1): [0, 1]}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 60), st.integers(0, 10**6))
def test_a_common_beginning_is_the_same(bodies: list[int], cut: int, seed: int) -> None:
    """Of two timed runs of one sequence, whichever is longer, in whatever order requests ended."""
    base = [row(n, str(body)) for n, body in enumerate(bodies)]
    new = [row(n, str(body), level=2) for n, body in enumerate(bodies)][:cut]
    random.Random(seed).shuffle(base)
    assert counts(compared(base, new)) == (len(new), 0, len(base) - len(new), 0)
    assert counts(compared(new, base)) == (len(new), 0, 0, len(base) - len(new))


def test_what_was_not_sent_and_later_turns_are_not_held_against_anything() -> None:
    """A refused connection has no body; a second turn has the server's answer in it."""
    base = [row(0, None), row(1, "a", turn=1), row(1, "answer x", turn=2), row(2, "c", turn=1)]
    new = [row(0, "z"), row(1, "a", turn=1), row(1, "answer y", turn=2)]
    found = compared(base, new)
    assert counts(found) == (1, 0, 1, 1)
    assert found.later_turns == 1


def test_classes_and_probes_are_sequences_of_their_own() -> None:
    """The same numbers, other requests."""
    base = [row(0, "a"), row(0, "b", user_class="Other"), row(0, "p", phase="probe")]
    assert counts(compared(base, list(reversed(base)))) == (3, 0, 0, 0)
    new = [row(0, "a"), row(0, "b", user_class="Other"), row(0, "q", phase="probe", level=4)]
    found = compared(base, new)
    assert counts(found) == (2, 1, 0, 0)
    assert found.first is not None
    assert found.first.what == "probe 0 (level 1)"


def test_prompts_of_the_locustfiles_own_are_counted() -> None:
    """Two of one and one of another: as many of each here as there, and what is left over on both sides differs."""
    base = [row(None, body) for body in ("a", "a", "b", "c")]
    assert counts(compared(base, [row(None, body) for body in ("b", "a")])) == (2, 0, 2, 0)
    found = compared(base, [row(None, body) for body in ("a", "x", "b", "b")])
    assert counts(found) == (2, 2, 0, 0)
    assert found.first is not None
    assert found.first.what == "a prompt of Chat's own"


def test_a_sweep_over_lengths_has_a_sequence_a_level() -> None:
    """Level 1 gave three and then two requests: level 2 begins at another number, and is the same all the same."""
    base = [row(n, f"one {n}") for n in range(3)] + [row(3 + n, f"two {n}", level=2) for n in range(3)]
    new = [row(n, f"one {n}") for n in range(2)] + [row(2 + n, f"two {n}", level=2) for n in range(4)]
    assert counts(compared(base, new, by_level=True)) == (5, 0, 1, 1)
    assert compared(base, new).different > 0


def test_workers_of_such_a_sweep_are_told_apart_by_where_they_begin() -> None:
    """Two workers with every second number each; names and shares of time may be others."""
    base = [row(n, f"w{n % 2} {n // 2}", worker=f"a{n % 2}") for n in range(8)]
    new = [row(n, f"w{n % 2} {n // 2}", worker=f"b{1 - n % 2}") for n in (0, 1, 3, 2, 5, 7, 9)]
    assert counts(compared(base, new, by_level=True)) == (6, 0, 2, 1)


def test_a_place_that_is_there_twice_is_known_by_its_bodies() -> None:
    """No run of ours has it; damage is not to pass for a difference, nor to hide one."""
    base = [row(0, "a"), row(0, "b")]
    assert counts(compared(base, base)) == (2, 0, 0, 0)
    assert counts(compared(base, [row(0, "a"), row(0, "c")])) == (1, 1, 0, 0)
    assert compared([], []).compared == 0
