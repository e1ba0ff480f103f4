"""The options that say what requests are made of: texts, lengths, datasets, mixtures, chats.

Values out, or one line for each thing that is wrong. When requests are sent is `harness.load_options`. Files are read
later, when a run is prepared, and only by the process that directs it.
"""

from argparse import Namespace
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import distributions, mix, option_values, texts, think
from harness.distributions import Distribution
from harness.errors import ConfigError
from harness.mix import Part
from harness.prefixes import SharedPrefixes
from harness.think import Think

__all__ = ["Content", "problems", "read"]

_ORDERS = ("file", "shuffled")
_LENGTHS = ("prompt_tokens", "output_tokens", "prompt_levels", "output_levels")
_SIZES = (*_LENGTHS, "prompt_ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What requests are made of."""

    text: str = "en"  # one of `harness.texts`
    lengths: str | None = None  # a file of prompt and output lengths that belong together
    parts: tuple[Part, ...] = ()  # of a mixture
    dataset: str | None = None
    is_shuffled: bool = False
    template: Path | None = None
    prefixes: SharedPrefixes | None = None
    busts_cache: bool = False
    turns: Distribution | None = None  # of a chat; None: single requests
    turn_sizes: Distribution | None = None  # of a user's later turns; None: as the first
    think: Think = field(default_factory=lambda: think.parse("0s"))

    def stored(self) -> dict[str, Any]:
        """For `run.json`."""
        return {
            "text": self.text,
            "lengths": self.lengths,
            "mix": [part.describe() for part in self.parts],
            "dataset": self.dataset,
            "dataset_order": _ORDERS[self.is_shuffled],
            "template": self.template and str(self.template),
            "shared_prefix": self.prefixes and self.prefixes.describe(),
            "bust_cache": self.busts_cache,
            "turns": self.turns and self.turns.describe(),
            "turn_tokens": self.turn_sizes and self.turn_sizes.describe(),
            "think_time": self.think.describe(),
        }


def read(options: Namespace, text: Callable[[str], str], check: Callable[..., Any]) -> Content:
    """The content that the options make; `text` gives an option's, `check` collects what is wrong."""

    def sizes(name: str, option: str) -> Distribution | None:
        value = text(name)
        return distributions.parse(value, option) if value else None

    busts = check(lambda: option_values.word(text("bust_cache"), "bust_cache", ("no", "yes")), "no")
    order = check(lambda: option_values.word(text("dataset_order"), "dataset_order", _ORDERS), "file")
    prefix = text("shared_prefix")
    return Content(
        text=check(lambda: texts.find(text("text"), "--text").name, "en"),
        lengths=text("lengths") or None,
        parts=check(lambda: mix.parse(options.mix or []), ()),
        dataset=text("dataset") or None,
        is_shuffled=order == "shuffled",
        template=Path(text("template")) if text("template") else None,
        prefixes=check(lambda: SharedPrefixes.parse(prefix) if prefix else None, None),
        busts_cache=busts == "yes",
        turns=check(lambda: sizes("turns", "--turns"), None),
        turn_sizes=check(lambda: sizes("turn_tokens", "--turn-tokens"), None),
        think=check(lambda: think.parse(text("think_time")), think.parse("0s")),
    )


def problems(content: Content, options: Namespace) -> list[str]:
    """What does not go together, a line each."""
    given = {name for name in _SIZES if str(getattr(options, name, None) or "").strip()}
    found = _of_sizes(content, given)
    if content.dataset:
        found += _against(
            "--dataset",
            {
                "--prompt-tokens": "prompt_tokens" in given,
                "--prompt-ids": "prompt_ids" in given,
                "--lengths": bool(content.lengths),
                "--text": content.text != "en",
                "--shared-prefix": content.prefixes is not None,
                "--prompt-levels": "prompt_levels" in given,
                "--turn-tokens": content.turn_sizes is not None,
            },
            "the dataset has prompts of its own",
        )
    if "prompt_ids" in given:
        found += _against(
            "--prompt-ids",
            {
                "--text": content.text != "en",
                "--template": content.template is not None,
                "--turns": content.turns is not None,
                **{f"text= in --mix {part.name}": True for part in content.parts if part.text},
            },
            "ids are no text",
        )
    if content.busts_cache and not (content.dataset or any(part.dataset for part in content.parts)):
        found.append("--bust-cache needs --dataset: prompts of our own are unique from their first word on")
    if content.turns is None:
        for name, value in (("--think-time", content.think.mean), ("--turn-tokens", content.turn_sizes)):
            if value:
                found.append(f"{name} needs --turns, e.g. --turns 4: without it each request is by itself")
    return found


def _of_sizes(content: Content, given: AbstractSet[str]) -> list[str]:
    """Lengths that would be said twice, so that one of both had no effect."""
    found = []
    if content.lengths:
        clashes = {f"--{name.replace('_', '-')}": name in given for name in _LENGTHS}
        found += _against("--lengths", clashes, "the file has the lengths")
    for what in ("prompt", "output"):
        if f"{what}_levels" in given:
            clashes = {f"--{what}-tokens": f"{what}_tokens" in given}
            for part in content.parts:
                sized = part.prompt if what == "prompt" else part.output
                fixed = sized or part.lengths or (what == "prompt" and part.dataset)
                clashes[f"lengths in --mix {part.name}"] = bool(fixed)
            found += _against(f"--{what}-levels", clashes, "the levels are the lengths")
    return found


def _against(one: str, others: dict[str, bool], why: str) -> list[str]:
    return [
        f"{one} and {other} exclude each other: {why}; drop one" for other, both in others.items() if both
    ]


def longest(distribution: Distribution) -> int | None:
    """The largest size a distribution is sure to reach; None for one with a tail."""
    text = distribution.describe()
    if text.isdigit():
        return int(text)
    return int(text.rpartition(",")[2]) if text.startswith("uniform:") else None


def refuse_beyond(
    context: int | None,
    prompt: Distribution,
    output: Distribution,
    called: tuple[str, str] = ("--prompt-tokens ", "--output-tokens "),
) -> None:
    """See that what is asked for, by options that are `called` so, fits into the server's context.

    Raises:
        ConfigError: it does not, at its mean or at its most.
    """
    if context is None:
        return
    most = (longest(prompt) or prompt.mean) + (longest(output) or output.mean)
    if most > context:
        raise ConfigError(
            f"{called[0]}{prompt.describe()} and {called[1]}{output.describe()} do not fit: "
            f"the server takes {context} tokens a request, prompt and answer together"
        )
