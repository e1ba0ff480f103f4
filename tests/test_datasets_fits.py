"""Datasets with entries that are too long for the server: refused before load, with the entry and what would be right."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.datasets.fits import refuse_beyond
from harness.datasets.opening import SPARSE, open_dataset
from harness.datasets.order import Order
from harness.errors import ConfigError


def words(text: str) -> int:
    """Counts as a tokenizer whose words are tokens, in a template of two."""
    return len(text.split()) + 2


@pytest.fixture
def said(tmp_path: Path) -> Callable[..., str]:
    """What is said of a file with these entries, less its path; nothing if it is taken."""

    def say(
        *entries: dict[str, Any],
        context: int = 20,
        output: float = 5,
        count: Callable[[str], int] | None = words,
        is_chat: bool = False,
        order: Order = Order.FILE,
    ) -> str:
        path = tmp_path / "set.jsonl"
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        dataset = open_dataset(path, order=order, seed=3)
        try:
            refuse_beyond(dataset, context, output, count, is_chat=is_chat)
        except ConfigError as error:
            return str(error).removeprefix(f"--dataset {path} ")
        return ""

    return say


@pytest.mark.parametrize("order", list(Order))
def test_the_longest_prompt_is_found_wherever_it_stands(said: Callable[..., str], order: Order) -> None:
    """Behind as many entries as have no place of their own; what fits exactly is taken."""
    short, long = {"prompt": "a b c"}, {"prompt": "word " * 14}
    entries = [short] * (SPARSE + 7) + [long] + [short] * 3
    assert said(*entries, context=21, order=order) == ""
    assert said(*entries, context=20, order=order) == (
        f"entry {SPARSE + 8}: its prompt of 70 characters has 16 tokens and its answer 5: the server takes 20 a request, "
        "prompt and answer together; leave out entries of more than about 66 characters, or raise the server's context"
    )


def test_an_entrys_own_answer_counts(said: Callable[..., str]) -> None:
    """It wins over the option's; one as long as the context leaves no room for a prompt, whoever counts."""
    entries = ({"prompt": "a b c d e f"}, {"prompt": "a b", "output_tokens": 17}, {"prompt": "a"})
    assert said(*entries, context=21) == ""
    assert said(*entries, context=20).startswith(
        "entry 2: its prompt of 3 characters has 4 tokens and its answer 17: the server takes 20 a request"
    )
    told = said({"prompt": "a b c", "output_tokens": 2}, {"prompt": "a"}, output=18)
    assert told.startswith(
        "entry 2: its prompt of 1 characters has 3 tokens and its answer 18: "
    )  # the option's
    none = said(*entries, context=17, count=None)
    assert none.startswith("entry 2: its prompt of 3 characters has at least 1 tokens and its answer 17: ")
    assert none.endswith("; ask for shorter answers, or raise the server's context")
    assert said({"prompt": "word " * 99}, count=None) == ""  # nobody can tell


def test_a_text_of_any_length_is_counted_in_part(said: Callable[..., str]) -> None:
    """A tokenizer behind HTTP is not sent megabytes to say that a prompt does not fit."""
    counted: list[int] = []

    def count(text: str) -> int:
        counted.append(len(text))
        return words(text)

    told = said({"prompt": "word " * 100_000}, count=count)
    assert (counted, told.split(":")[1]) == (
        [320],
        " its prompt of 500,000 characters has at least 66 tokens and its answer 5",
    )


def test_a_conversation_is_one_request_or_begins_with_its_first_turn(said: Callable[..., str]) -> None:
    """All of it up to the user's last words; in a chat later turns end the session if there is no room."""
    roles = ("system", "user", "assistant", "user", "assistant")
    talk = {"messages": [{"role": role, "content": "a b c d"} for role in roles]}
    assert "has 18 tokens and its answer 5" in said(talk)
    assert said(talk, is_chat=True) == ""
    assert "has 10 tokens and its answer 5" in said(talk, is_chat=True, context=14)
