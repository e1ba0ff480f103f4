"""Which supplies a user class's menu has: one for each part of a mixture, at each level of a sweep over lengths."""

from test_briefing import parsed

from harness import distributions, options
from harness.recipes import PROBES, Recipe, recipes

SIZES = (distributions.parse("50", "--prompt-tokens"), distributions.parse("9", "--output-tokens"))


def found(*argv: str) -> list[Recipe]:
    """The recipes of a class whose own sizes are 50 and 9."""
    return recipes(options.read(parsed(*argv), "http://h:1"), *SIZES)


def words(recipe: Recipe) -> tuple[int, str | None, str, str]:
    """What tells recipes apart."""
    return recipe.level, recipe.name, recipe.prompt.describe(), recipe.output.describe()


def test_one_kind_of_request() -> None:
    """Any level, no name, the class's sizes, English."""
    (one,) = found()
    assert words(one) == (0, None, "50", "9")
    assert (one.text, one.lengths, one.dataset, one.prefixes) == ("en", None, None, None)


def test_a_sweep_over_rates_asks_the_same_everywhere() -> None:
    """Levels that are no lengths have no supplies of their own."""
    assert [words(one) for one in found("--rates", "1,2")] == [(0, None, "50", "9")]


def test_sweeps_over_lengths() -> None:
    """A supply for each level, numbered from 1; the other length stays."""
    assert [words(one) for one in found("--prompt-levels", "16,64")] == [
        (1, None, "16", "9"),
        (2, None, "64", "9"),
    ]
    assert [words(one) for one in found("--output-levels", "4,8")] == [
        (1, None, "50", "4"),
        (2, None, "50", "8"),
    ]


def test_parts_have_what_they_say_and_else_what_all_have() -> None:
    """Their own sizes, texts and prefixes; the options' where they say nothing."""
    one, other = found(
        "--text",
        "zh",
        "--shared-prefix",
        "2x9",
        "--mix",
        "a:1 prompt=20 text=pt",
        "--mix",
        "b:1 output=5 prefix=4x8",
    )
    assert (words(one), one.text) == ((0, "a", "20", "9"), "pt")
    assert (words(other), other.text) == ((0, "b", "50", "5"), "zh")
    assert one.prefixes is not None
    assert other.prefixes is not None
    assert (one.prefixes.describe(), other.prefixes.describe()) == ("2x9", "4x8")


def test_parts_at_levels_of_the_other_length() -> None:
    """Each part at each level, in that order."""
    mix = ("--mix", "a:1 prompt=20", "--mix", "b:1 text=pt")
    assert [words(one) for one in found("--output-levels", "4,8", *mix)] == [
        (1, "a", "20", "4"), (1, "b", "50", "4"), (2, "a", "20", "8"), (2, "b", "50", "8"),
    ]  # fmt: skip


def test_a_parts_own_lengths_replace_the_files() -> None:
    """A part that says its sizes, or has a dataset, draws from no pairs; one that has pairs reads no dataset."""
    sized, pairs, read, plain = found(
        "--lengths", "f.csv", "--mix", "a:1 prompt=20", "--mix", "b:1 lengths=g.csv", "--mix", "c:1 dataset=d",
        "--mix", "d:1",
    )  # fmt: skip
    assert [one.lengths for one in (sized, pairs, read, plain)] == [None, "g.csv", None, "f.csv"]
    assert read.dataset == "d"
    own, other = found("--dataset", "d", "--mix", "a:1 prompt=20", "--mix", "b:1 output=5")
    assert (own.dataset, other.dataset) == (None, "d")


def test_probes_are_small_and_alike() -> None:
    """They have sizes of their own and nothing of what the load is made of."""
    *_, probe = found(
        "--lengths", "f.csv", "--shared-prefix", "2x9", "--probe-every", "2s", "--probe-tokens", "32/16"
    )
    assert words(probe) == (PROBES, None, "32", "16")
    assert (probe.lengths, probe.dataset, probe.prefixes) == (None, None, None)
