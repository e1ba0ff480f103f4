"""What is said of lengths: prompts and answers that are not of the size asked for, and how near prompts came to it."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness import doubts, loadpoint

__all__ = ["lengths", "sized"]


def lengths(summary: Mapping[str, Any]) -> list[str]:
    """Where sizes are not those asked for and the verdict does not say so already, a sentence a level."""
    said = []
    for level in summary["levels"]:
        name, answers, prompts = (
            f"level {loadpoint.short(level)}",
            level["output_length"],
            level["prompt_length"],
        )
        if dropped := level.get("dropped_short"):
            limit = summary["drop_answers_under"]
            said.append(
                f"{name}: {dropped} of {level['succeeded']} answers had fewer than {limit} tokens and are left out of "
                "its statistics (--drop-answers-under), not of the system's rates"
            )
        if answers["off"]:
            said.append(f"{name}: {doubts.answers_off(answers)}")
        elif answers["shorter"] or answers["longer"]:
            differ = (
                f"{answers['shorter']} shorter and {answers['longer']} longer than asked, but not by much"
            )
            said.append(f"{name}: of {answers['compared']} answers {differ}")
        if prompts["off"]:
            said.append(f"{name}: {doubts.prompts_off(prompts)}")
    reasons = summary["verdict"]["reasons"]
    return [one for one in said if not any(reason.startswith(one) for reason in reasons)]


def sized(levels: Sequence[Mapping[str, Any]]) -> list[str]:
    """How near the prompts came to the sizes asked for, by the server's own count; nothing where none was counted."""
    each = [level["prompt_length"] for level in levels]
    compared = sum(one["compared"] for one in each)
    if not compared:
        return []
    near = sum(one["near"] for one in each)
    mean = sum(one["mean_share_off"] * one["compared"] for one in each if one["compared"]) / compared
    said = f"{near:,} of {compared:,} prompts within 1 % of the size asked for, by the server's count"
    return [f"{said} (mean {100 * mean:+.2g} %)"]
