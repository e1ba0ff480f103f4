"""The form's fields and what becomes of their text, without a browser: text in, options or one line for each problem out."""

import re
from argparse import Namespace
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import options, planning
from harness.errors import ConfigError
from harness.hiding import Hider
from harness.option_table import FLAGS, OPTIONS, REPEATABLE
from harness.process_options import ProcessOptions, makes_sweep
from harness.web.form_fields import DEFAULT, FILES, GROUPS, NONE, fields, shown
from harness.web.form_sheet import camel, sheet
from harness.web.form_values import changed, options_of

HOST: Final = "http://127.0.0.1:9"
USERS: Final = {"user_count": "2", "spawn_rate": "1"}
IN_FORM: Final = [name for name, _, in_form, _ in OPTIONS if in_form]


def parsed(**given_: Any) -> Namespace:
    """What Locust's parser gives for an empty command line, with these over it."""
    ours = {
        name.replace("-", "_"): False if name in FLAGS else None if name in REPEATABLE else default
        for name, default, *_ in OPTIONS
    }
    locusts = {"host": HOST, "num_users": None, "spawn_rate": None, "run_time": None}
    return Namespace(**ours | locusts | given_)


def asked(form: Mapping[str, str], now: Namespace | None = None, **more: Any) -> Namespace:
    """The options that a form asks for, in a process started with `now`."""
    now = now or parsed()
    return options_of(form, now, dict(vars(now)), **more)


def refused(form: Mapping[str, str], now: Namespace | None = None) -> str:
    """What is said to a form; nothing if it makes settings."""
    try:
        options.read(asked(form, now), None)
    except ConfigError as error:
        return str(error)
    return ""


def shown_by(
    now: Namespace, environ: Mapping[str, str] = {}, backends: tuple[str, ...] = ("vllm",)
) -> dict[str, Any]:
    """The form's fields by name."""
    return {one.name: one for one in fields(now, vars(now), backends, Hider(environ))}


def test_each_option_of_the_form_is_in_one_group() -> None:
    """And none but these, and the files that the command line has named."""
    grouped = [name for names in GROUPS.values() for name in names]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) - {*FILES, "dataset-order", "bust-cache"} == set(IN_FORM)


def test_what_a_page_must_not_say_has_no_field() -> None:
    """No command, no place to write, no trust, no header, no file."""
    names = set(shown_by(parsed(header=["x-a: b"], ca_file="/ca.pem")))
    assert not names & {
        "serve",
        "results_dir",
        "junit",
        "ca_file",
        "insecure",
        "header",
        "require_valid",
        *FILES,
    }
    assert len(names) == len(IN_FORM)


@pytest.mark.parametrize(
    "name", ["serve", "results_dir", "junit", "ca_file", "insecure", "header", "require_valid"]
)
def test_what_has_no_field_cannot_be_sent_either(name: str) -> None:
    """A form that somebody has written changes nothing of it."""
    before = parsed(serve="", results_dir="results")
    assert vars(asked({**USERS, name: "true"}, before)) == vars(asked(USERS, before))


def test_every_choice_is_one() -> None:
    """The reader takes each word of each select, and what it holds is among them."""
    for one in shown_by(parsed(dataset="chats.jsonl")).values():
        if one.choices:
            assert one.value in one.choices
            assert len(set(one.choices)) == len(one.choices)
        for word in one.choices:
            problem = refused({**USERS, one.name: word}, parsed(dataset="chats.jsonl"))
            assert re.fullmatch("|.*(needs|exclude).*", problem), (one.name, word)  # not: unknown


def test_the_modes_are_those_of_the_locustfiles_backends() -> None:
    """Each once, and the default first, which has no word of its own on the command line."""
    field = shown_by(parsed(), backends=("vllm", "tgi"))["api_mode"]
    assert field.choices == (DEFAULT, "chat", "completions", "native")
    assert asked({**USERS, "api_mode": DEFAULT}, parsed(api_mode="chat")).api_mode == ""


def test_an_option_that_holds_a_secret_has_no_field() -> None:
    """It keeps its value: a form without it changes nothing."""
    body = '{"api_key": "sk-1234567890"}'
    now = parsed(extra_body=body, model="sk-9876543210", label=["a=b"])
    found = shown_by(now, {"TOKENSWARM_API_KEY": "sk-9876543210"})
    assert "extra_body" not in found
    assert "model" not in found
    assert found["label"].value == "a=b"
    assert "sk-" not in repr(found) + sheet(list(found.values()))
    assert asked({**USERS, **{name: "" for name in found if name == "label"}}, now).extra_body == body


def test_a_form_that_says_nothing_new_changes_nothing() -> None:
    """Every field sent back as it was shown: values that a text field could not hold stay to the letter."""
    now = parsed(
        label=["note=a;b", "gpu=x"], mix=["a:1 prompt=10", "b:2"], slo=["ttft_p95<2s"], dataset="d.jsonl",
        stream="YES", prompt_tokens="file:own.csv", tokenizer="/models/own", stop_when_saturated=True, levels="1,2",
    )  # fmt: skip
    form = {
        name: str(one.value).lower() if isinstance(one.value, bool) else one.value
        for name, one in shown_by(now).items()
    }
    assert list(changed(asked({**form, **USERS}, now), now)) == []


def test_several_values_of_one_field() -> None:
    """With `;` or a line each; a mixture goes on as one text, whose reader parts it."""
    form = {
        "label": "a=1; b=2;\nc=3",
        "slo": "ttft_p95<2s;e2e_p95<9s",
        "mix": "chat:1 text='a;b'\nrag:2",
        "backend_option": " ; ",
    }
    wanted = asked(USERS | form)
    assert wanted.label == ["a=1", "b=2", "c=3"]
    assert wanted.slo == ["ttft_p95<2s", "e2e_p95<9s"]
    assert wanted.mix == ["chat:1 text='a;b'; rag:2"]
    assert wanted.backend_option is None


FILE_TEXTS: Final = [
    ("dataset", "/etc/passwd"), ("template", "/etc/passwd"), ("lengths", "x.csv"), ("prompt_tokens", "file:/etc/passwd"),
    ("prompt_tokens", " file : /etc/passwd"), ("output_tokens", "file:x"), ("prompt_levels", "128 file:x"), ("turns", "file:x"),
    ("output_levels", "16;file:x"), ("turn_tokens", "file:x"), ("arrivals", "trace:x.csv"), ("arrivals", " trace : x.csv"),
    ("mix", "a:1 dataset=/etc/passwd"), ("mix", "a:1; b:1 lengths=x"), ("mix", "a:1 prompt=file:x"),
    ("mix", """a:1 'pro'mpt="fi"le:x"""), ("mix", "a:1 'output= file:x'"), ("mix", "a:1 data\\set=x"),
    ("tokenizer", "/etc"), ("tokenizer", "./models"), ("tokenizer", "~/models"), ("tokenizer", "tests"), ("tokenizer", "a/../b"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text"), FILE_TEXTS)
def test_a_page_names_no_file(name: str, text: str) -> None:
    """Whether there is one or not; the very text that the process was started with is taken, and may come back later."""
    with pytest.raises(ConfigError, match=f"^--{name.replace('_', '-')} .*: the form takes no file's name"):
        asked({**USERS, name: text})
    started = [text] if name == "mix" else text
    now = parsed(**{name: started})
    assert getattr(asked({**USERS, name: text}, now), name) == started
    later = parsed(**{name: None if name == "mix" else ""})
    assert getattr(options_of({**USERS, name: text}, later, vars(now)), name) == started


def test_a_file_can_be_put_aside() -> None:
    """Its field is a choice between it and none."""
    now = parsed(dataset="chats.jsonl", dataset_order="shuffled")
    found = shown_by(now)
    assert found["dataset"].choices == ("chats.jsonl", NONE)
    assert found["dataset_order"].value == "shuffled"
    assert asked({**USERS, "dataset": NONE}, now).dataset == ""


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"user_count": "abc"}, "Number of users (-u) 'abc': give a whole number from 1 to 999999"),
        ({"user_count": ""}, "Number of users (-u) '': give a whole number from 1 to 999999"),
        ({"user_count": "0"}, "Number of users (-u) '0': give a whole number from 1 to 999999"),
        ({"user_count": "1.5"}, "Number of users (-u) '1.5': give a whole number from 1 to 999999"),
        ({"user_count": "9" * 5000}, None),
        ({"user_count": "٣"}, "Number of users (-u) '٣': give a whole number from 1 to 999999"),
        ({"spawn_rate": "0"}, "Ramp up (-r) '0': give users started a second, above 0 and up to 999999"),
        ({"spawn_rate": "nan"}, "Ramp up (-r) 'nan': give users started a second, above 0 and up to 999999"),
        ({"spawn_rate": "1e9"}, "Ramp up (-r) '1e9': give users started a second, above 0 and up to 999999"),
        ({"run_time": "soon"}, "Run time (-t) 'soon': give for example 20, 20s, 3m, 2h or 1h20m, up to 365 days; or nothing for no end"),
        ({"run_time": "9" * 30}, None),
        ({"stop_when_saturated": "maybe"}, "--stop-when-saturated 'maybe': it is given or not; write true or false"),
        ({"model": "m" * 100_001}, "--model: 100,001 characters are too many; give up to 100,000"),
    ],
)  # fmt: skip
def test_what_locust_would_choke_on(form: dict[str, str], said: str | None) -> None:
    """One line each, and none longer than it has to be."""
    with pytest.raises(ConfigError) as caught:
        asked(USERS | form)
    assert said is None or str(caught.value) == said
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"), [("", None), ("20", 20), ("20s", 20), ("3m", 180), (" 1h20m ", 4800), ("0", 0)]
)
def test_the_run_time_is_locusts(text: str, seconds: int | None) -> None:
    """An empty one takes back the last run's."""
    assert asked({**USERS, "run_time": text}, parsed(run_time=7)).run_time == seconds
    assert asked(USERS, parsed(run_time=7)).run_time == 7


def test_users_in_a_sweep() -> None:
    """Locust's form sends them always: they count where the sweep is not over users, and nowhere else."""
    many = {"user_count": "7", "spawn_rate": "3"}
    for sweep in ({"levels": "1,2"}, {"rates": "1,2"}, {"arrivals": "poisson:2"}, {"search": "rate:1-9"}):
        wanted = asked(many | sweep)
        assert (wanted.num_users, wanted.spawn_rate) == (None, None), sweep
    wanted = asked(many | {"prompt_levels": "10,20"})
    assert (wanted.num_users, wanted.spawn_rate) == (7, None)
    assert asked(many | {"levels": " "}).num_users == 7
    assert asked(many | {"user_count": "0"}, is_shaped=True).num_users is None


def test_a_sweep_and_then_an_ordinary_run() -> None:
    """The options of the first are gone with it; -t of the second is Locust's to heed."""
    asked_of = ProcessOptions(parsed())
    asked_of.take(asked(USERS | {"arrivals": "poisson:2", "run_time": "9"}))
    assert (asked_of.is_sweep, asked_of.given, asked_of.parsed.run_time) == (True, (None, 9), None)
    settings = asked_of.settings(None)
    assert (settings.run_time_s, len(planning.points(settings))) == (9, 1)
    asked_of.take(options_of({**USERS, "arrivals": ""}, asked_of.now(), {}))
    assert (asked_of.is_sweep, asked_of.parsed.run_time, asked_of.parsed.num_users) == (False, 9, 2)
    assert planning.points(asked_of.settings(None)) == []


TEXT: Final = st.text(st.characters(codec="utf-8"), max_size=30) | st.from_regex(
    re.compile(r"[a-z]{0,8}[:;=<@% ]{0,2}[0-9.,smx%-]{0,12}"), fullmatch=True
)


@given(st.sampled_from([name.replace("-", "_") for name in IN_FORM]), TEXT)
def test_any_text_in_any_field(name: str, text: str) -> None:
    """Settings, or lines that name the option; a sweep exactly where the settings make one."""
    form = {**USERS, name: text}
    if problem := refused(form):
        assert f"--{name.replace('_', '-')}" in problem
    else:
        wanted = asked(form)
        assert bool(planning.points(options.read(wanted, None))) == makes_sweep(wanted)


def test_the_style_sheet_knows_every_field() -> None:
    """By its name on the page, with its explanation; what CSS would read as its own is escaped."""
    found = list(shown_by(parsed()).values())
    text = sheet(found)
    for one in found:
        assert f'[name="{camel(one.name)}"]' in text
    assert text.count("{") == text.count("}")
    assert (camel("first_token_timeout"), camel("levels")) == ("firstTokenTimeout", "levels")
    for group in GROUPS:
        assert f'content:"{group}"' in text
    assert shown("repeats", None) == "1"
