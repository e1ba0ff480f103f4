"""What requests are made of, as options say it: each thing that does not go together is one line that says what to do."""

from pathlib import Path

import pytest
from test_briefing import parsed

from harness import content_options, distributions, options
from harness.content_options import longest
from harness.errors import ConfigError
from harness.settings import Settings

IDS = ("--prompt-ids", "5-9")
MIX = ("--mix", "a:1 prompt=20 output=5", "--mix", "b:1 text=pt")


def settings(*argv: str) -> Settings:
    """The settings that a command line makes."""
    return options.read(parsed(*argv), "http://h:1")


def lines(*argv: str) -> list[str]:
    """What is wrong with a command line."""
    with pytest.raises(ConfigError) as caught:
        settings(*argv)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("argv", "one", "other", "why"),
    [
        (("--dataset", "d", "--prompt-tokens", "9"), "--dataset", "--prompt-tokens", "the dataset has prompts"),
        (("--dataset", "d", *IDS), "--dataset", "--prompt-ids", "the dataset has prompts"),
        (("--dataset", "d", "--lengths", "f"), "--dataset", "--lengths", "the dataset has prompts"),
        (("--dataset", "d", "--text", "pt"), "--dataset", "--text", "the dataset has prompts"),
        (("--dataset", "d", "--shared-prefix", "2x9"), "--dataset", "--shared-prefix", "the dataset has"),
        (("--dataset", "d", "--turns", "2", "--turn-tokens", "9"), "--dataset", "--turn-tokens", "the dataset"),
        (("--dataset", "d", "--prompt-levels", "9,8"), "--dataset", "--prompt-levels", "the dataset"),
        (("--lengths", "f", "--prompt-tokens", "9"), "--lengths", "--prompt-tokens", "the file has the lengths"),
        (("--lengths", "f", "--output-tokens", "9"), "--lengths", "--output-tokens", "the file has the lengths"),
        (("--lengths", "f", "--prompt-levels", "9,8"), "--lengths", "--prompt-levels", "the file has"),
        (("--lengths", "f", "--output-levels", "9,8"), "--lengths", "--output-levels", "the file has"),
        (("--prompt-tokens", "9", "--prompt-levels", "9,8"), "--prompt-levels", "--prompt-tokens", "the levels"),
        (("--output-tokens", "9", "--output-levels", "9,8"), "--output-levels", "--output-tokens", "the levels"),
        ((*MIX, "--prompt-levels", "9,8"), "--prompt-levels", "lengths in --mix a", "the levels"),
        ((*MIX, "--output-levels", "9,8"), "--output-levels", "lengths in --mix a", "the levels"),
        ((*IDS, "--text", "zh"), "--prompt-ids", "--text", "ids are no text"),
        ((*IDS, "--template", "f"), "--prompt-ids", "--template", "ids are no text"),
        ((*IDS, "--turns", "2"), "--prompt-ids", "--turns", "ids are no text"),
        ((*IDS, *MIX), "--prompt-ids", "text= in --mix b", "ids are no text"),
    ],
)  # fmt: skip
def test_two_of_which_one_would_have_no_effect(argv: tuple[str, ...], one: str, other: str, why: str) -> None:
    """One line names both, why, and that one is to be dropped."""
    (line,) = lines(*argv)
    assert line.startswith(f"{one} and {other} exclude each other: {why}")
    assert line.endswith("; drop one")


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (
            ("--bust-cache", "yes"),
            "--bust-cache needs --dataset: prompts of our own are unique from their first word on",
        ),
        (
            ("--think-time", "1s"),
            "--think-time needs --turns, e.g. --turns 4: without it each request is by itself",
        ),
        (
            ("--think-time", "1s", "--dataset", "d"),
            "--think-time needs --turns, e.g. --turns 4: without it each request is by itself",
        ),
        (
            ("--turn-tokens", "9"),
            "--turn-tokens needs --turns, e.g. --turns 4: without it each request is by itself",
        ),
    ],
)
def test_what_has_no_effect_alone(argv: tuple[str, ...], line: str) -> None:
    """Each says what it needs."""
    assert lines(*argv) == [line]


@pytest.mark.parametrize(
    ("argv", "begins"),
    [
        (("--text", "klingon"), "--text"),
        (("--turns", "0"), "--turns"),
        (("--turns", "many"), "--turns"),
        (("--turns", "2", "--turn-tokens", "uniform:9"), "--turn-tokens"),
        (("--turns", "2", "--think-time", "soon"), "--think-time"),
        (("--mix", "a:0"), "--mix"),
        (("--mix", "a:1 prompt=x"), "--mix"),
        (("--shared-prefix", "4"), "--shared-prefix"),
        (("--bust-cache", "perhaps", "--dataset", "d"), "--bust-cache"),
        (("--dataset-order", "best"), "--dataset-order"),
    ],
)
def test_what_cannot_be_read(argv: tuple[str, ...], begins: str) -> None:
    """One line that begins with the option."""
    (line,) = lines(*argv)
    assert line.startswith(begins)


def test_all_that_is_wrong_is_said_at_once() -> None:
    """A user mends all of it before the next try."""
    found = lines("--dataset", "d", "--prompt-tokens", "9", "--text", "pt", "--think-time", "1s")
    assert [line.split(" exclude")[0].split(" needs")[0] for line in found] == [
        "--dataset and --prompt-tokens",
        "--dataset and --text",
        "--think-time",
    ]


def test_what_is_stored() -> None:
    """run.json has each in the words that the options take."""
    content = settings(
        "--turns", "uniform:2,6", "--turn-tokens", "normal:20,5", "--think-time", "uniform:1s,3s",
        "--text", "zh", "--shared-prefix", "4x100", "--template", "t.txt",
        "--mix", "chat:70 prompt=30 output=5; rag:30 dataset=d.jsonl", "--bust-cache", "yes",
    ).content  # fmt: skip
    assert content.stored() == {
        "text": "zh",
        "lengths": None,
        "mix": ["chat:70 prompt=30 output=5", "rag:30 dataset=d.jsonl"],
        "dataset": None,
        "dataset_order": "file",
        "template": "t.txt",
        "shared_prefix": "4x100",
        "bust_cache": True,
        "turns": "uniform:2,6",
        "turn_tokens": "normal:20,5",
        "think_time": "uniform:1s,3s",
    }


def test_nothing_asked_is_single_requests_of_english() -> None:
    """The defaults."""
    content = settings().content
    assert (content.text, content.turns, content.dataset, content.parts) == ("en", None, None, ())
    assert content.think.mean == 0


@pytest.mark.parametrize(
    ("text", "most"), [("550", 550), ("uniform:20,60", 60), ("normal:550,150", None), ("lognormal:5,3", None)]
)
def test_the_longest_that_is_sure_to_come(text: str, most: int | None) -> None:
    """Known of a fixed size and of a range; a tail has no end."""
    assert longest(distributions.parse(text, "--prompt-tokens")) == most


@pytest.mark.parametrize(
    ("prompt", "output", "context", "fits"),
    [
        ("100", "28", 128, True),
        ("100", "29", 128, False),
        ("uniform:1,100", "29", 128, False),  # most of them would fit
        ("uniform:1,100", "28", 128, True),
        ("normal:99,5", "28", 128, True),  # its tail is for the server to refuse
        ("normal:101,9", "28", 128, False),
        ("9999", "9999", None, True),
    ],
)
def test_beyond_the_context(prompt: str, output: str, context: int | None, fits: bool) -> None:
    """Refused where its mean or its most is; a server that does not say its context takes all."""
    sizes = distributions.parse(prompt, "--prompt-tokens"), distributions.parse(output, "--output-tokens")
    if fits:
        content_options.refuse_beyond(context, *sizes)
        return
    with pytest.raises(ConfigError) as caught:
        content_options.refuse_beyond(context, *sizes)
    assert str(caught.value) == (
        f"--prompt-tokens {prompt} and --output-tokens {output} do not fit: "
        f"the server takes {context} tokens a request, prompt and answer together"
    )


def test_a_part_of_a_mixture_that_does_not_fit_is_named() -> None:
    """Its own sizes are too long, not the options'."""
    sizes = distributions.parse("900", "--mix"), distributions.parse("200", "--mix")
    with pytest.raises(
        ConfigError, match=r"^--mix rag: prompt=900 and output=200 do not fit: the server takes 1024"
    ):
        content_options.refuse_beyond(1024, *sizes, ("--mix rag: prompt=", "output="))


def test_a_template_without_a_place_is_found_before_load(tmp_path: Path) -> None:
    """Options name the file; it is read by whoever directs the run."""
    assert settings("--template", str(tmp_path / "none")).content.template == tmp_path / "none"
