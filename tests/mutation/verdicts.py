"""What was found of a module's mutants, against the entries of config.toml."""

from collections.abc import Mapping, Sequence

from mutation.trials import KILLED


def judged(
    name: str, results: Mapping[str, str], allowed: Sequence[Mapping[str, str]]
) -> tuple[str, list[str]]:
    """The module's row of the table, and what is wrong: mutants without an entry, entries without a mutant."""
    alive = {mutant: how for mutant, how in results.items() if how != KILLED}
    explained = {one["mutant"] for one in allowed if one["why"].strip()}
    left = {mutant: how for mutant, how in alive.items() if not any(_is_of(mutant, one) for one in explained)}
    row = f"| `{name}` | {len(results)} | {len(results) - len(alive)} | {len(alive) - len(left)} | {len(left)} |"
    problems = [f"    {how}: {mutant}" for mutant, how in left.items()]
    stale = [one for one in sorted(explained) if not any(_is_of(mutant, one) for mutant in alive)]
    return row, [*problems, *(f"    no survivor: {one}" for one in stale)]


def _is_of(mutant: str, entry: str) -> bool:
    """Whether an entry is of a mutant: by its name, or by its beginning where the entry ends with `*`."""
    return mutant.startswith(entry[:-1]) if entry.endswith("*") else mutant == entry
