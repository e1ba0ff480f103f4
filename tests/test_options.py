"""Options as Locust's own parser reads them: what they make, and one line for each thing that is wrong."""

import json
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import certifi
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness import options, slo
from harness.api_key import read_secret
from harness.distributions import Constant, Normal
from harness.errors import ConfigError
from harness.exchange import Timeouts
from harness.option_table import REPEATABLE
from harness.settings import Settings
from harness.target import Target

# Locust patches the process that imports it, so its parser runs in one of its own: cases in, outcomes out.
PARSER = """
import json, os, sys
from locust import events
from locust.argument_parser import get_parser, ui_extra_args_dict
from harness import options
from harness.api_key import read_secret
from harness.errors import ConfigError

events.init_command_line_parser.add_listener(lambda parser, **_: options.add_options(parser))
outcomes = []
for arguments, environment in json.load(sys.stdin):
    os.environ.update(environment)
    parsed = get_parser().parse_args(arguments)
    try:
        outcome = options.read(parsed, None).stored()
    except ConfigError as error:
        outcome = str(error).splitlines()
    for name in environment:
        del os.environ[name]
    outcomes.append([vars(parsed), outcome])
form = {name: (field["default_value"], field["is_secret"]) for name, field in ui_extra_args_dict([]).items()}
print(json.dumps([form, get_parser().format_help(), outcomes], default=str))
"""

HOST = "http://h:1"
PLACE = Target(tls=False, host="h", port=1)
CASES: dict[str, tuple[list[str], dict[str, str]]] = {
    "plain": ([], {}),
    "environment": ([], {}),  # ENVIRONMENT, below
    "several labels in one variable": ([], {"TOKENSWARM_LABEL": "[gpu=a100,site=x]"}),
    "option over variable": (["--seed", "3"], {"TOKENSWARM_SEED": "9"}),
    "empty variables": ([], {"TOKENSWARM_LABEL": "", "TOKENSWARM_WARMUP": "", "TOKENSWARM_PREFLIGHT": " "}),
    "bad variable": ([], {"TOKENSWARM_SEED": "x"}),
    "labels": (["--label", "gpu=a100", "--label", " quant = q4=k "], {}),
    "-u": (["--levels", "1,2", "-u", "4"], {}),
    "-r": (["--levels", "1,2", "-r", "1"], {}),
    "-t": (["--levels", "1,2", "-t", "60s"], {}),
    "all three": (["--levels", "1,2", "-u", "4", "-r", "2", "-t", "1m"], {}),
    "bad levels and -u": (["--levels", "1,x", "-u", "4"], {}),
    "no levels": (["-u", "4", "-r", "2", "-t", "1m"], {}),
    "flags": (["--require-valid", "--insecure", "--stop-when-saturated", "--levels", "1,2,4,8"], {}),
    "a flag before a user class": (["--require-valid", "Chat"], {}),
    "flags by variable": (
        [],
        {
            "TOKENSWARM_REQUIRE_VALID": "1",
            "TOKENSWARM_INSECURE": "yes",
            "TOKENSWARM_STOP_WHEN_SATURATED": "true",
            "TOKENSWARM_LEVELS": "1,2,4,8",
        },
    ),
    "flags off by variable": (
        [],
        {
            "TOKENSWARM_REQUIRE_VALID": "0",
            "TOKENSWARM_INSECURE": "no",
            "TOKENSWARM_STOP_WHEN_SATURATED": "false",
        },
    ),
    "empty flags": ([], {"TOKENSWARM_REQUIRE_VALID": "", "TOKENSWARM_INSECURE": " "}),
}

# Every option by its variable, and what it makes in `stored` where it is kept there.
ENVIRONMENT: dict[str, tuple[str, object]] = {
    "MODEL": ("m", "m"),
    "API_MODE": ("chat", "chat"),
    "TOKENIZER": ("/t", "/t"),
    "PROMPT_TOKENS": ("100", "100"),
    "OUTPUT_TOKENS": ("uniform:1,9", "uniform:1,9"),
    "LEVELS": ("1,2", [1, 2]),
    "REQUESTS_PER_LEVEL": ("7", 7),
    "REPEATS": ("2", 2),
    "WARMUP": ("3", 3),
    "SEED": ("4", 4),
    "RUN_NAME": ("n", "n"),
    "LABEL": ("gpu=a100", {"gpu": "a100"}),
    "RESULTS_DIR": ("out", None),
    "EXACT_OUTPUT": ("no", False),
    "EXTRA_BODY": ('{"a": 1}', {"a": 1}),
    "CONNECT_TIMEOUT": ("1", 1.0),
    "FIRST_TOKEN_TIMEOUT": ("2.5", 2.5),
    "IDLE_TIMEOUT": ("3", 3.0),
    "TOTAL_TIMEOUT": ("4", 4.0),
    "PREFLIGHT": ("no", None),
    "STREAM": ("no", False),
    "BACKEND_OPTION": ("auth_scheme=Key", {"auth_scheme": "Key"}),
    "HEADER": ("ss-sn-options: accuracy_debug", ["ss-sn-options"]),
    "PROMPT_IDS": ("1000 - 30000", "1000-30000"),
    "CACHE_SALT": ("Run", "run"),
    "DROP_ANSWERS_UNDER": ("100", 100),
    "RETRY_AFTER": ("no", False),
    "READY_TIMEOUT": ("30", None),
    "SERVER_METRICS": ("no", False),
    "SERVE": ("llama-server -m x.gguf", None),
    "CA_FILE": (certifi.where(), certifi.where()),
    "SLO": ("ttft_p95<2s, error_rate < 1%", ["ttft_p95<2s", "error_rate<1%"]),
    "MAX_REQUESTS": ("1000", 1000),
    "MAX_TIME": ("10m", 600.0),
    "MAX_TOKENS": ("5000", 5000),
    "MAX_COST": ("2.5", 2.5),
    "PRICE_IN": ("0.5", 0.5),
    "PRICE_OUT": ("1.5", 1.5),
    "MAX_ERROR_RATE": ("5%", 0.05),
    "PROBE_EVERY": ("2s", 2.0),
    "PROBE_TOKENS": ("64/8", "64/8"),
    "EXPORT": ("llmperf,maritaca", None),
    "JUNIT": ("out/junit.xml", None),
}
# What does not go with the options above, each with what it needs.
ENVIRONMENTS: dict[str, dict[str, tuple[str, object]]] = {
    "environment": ENVIRONMENT,
    "environment of rates": {
        "ARRIVALS": ("gamma:0.5", "gamma:0.5"),
        "RATES": ("1, 2.5", [1.0, 2.5]),
        "MAX_CONCURRENCY": ("64", 64),
        "SECONDS_PER_LEVEL": ("1m", 60.0),
        "COOLDOWN": ("2.5s", 2.5),
        "TEXT": ("pt", "pt"),
        "TEMPLATE": ("t.txt", "t.txt"),
        "SHARED_PREFIX": ("4x1000", "4x1000"),
        "TURNS": ("uniform:2,6", "uniform:2,6"),
        "TURN_TOKENS": ("40", "40"),
        "THINK_TIME": ("exponential:2s", "exponential:2s"),
        "MIX": ("a:1;b:2 output=7", ["a:1", "b:2 output=7"]),
    },
    "environment of a trace": {
        "ARRIVALS": ("trace:t.jsonl", "trace:t.jsonl"),
        "SPEED_UP": ("2.5", 2.5),
        "LENGTHS": ("pairs.csv", "pairs.csv"),
    },
    "environment of waves": {
        "LEVELS": ("4", [4]),
        "REFILL": ("waves", "waves"),
        "DATASET": ("d.jsonl", "d.jsonl"),
        "DATASET_ORDER": ("shuffled", "shuffled"),
        "BUST_CACHE": ("yes", True),
    },
    "environment of a search": {
        "SEARCH": ("rate:1-100,2%", "rate:1-100,2%"),
        "SLO": ("ttft_p95<2s", ["ttft_p95<2s"]),
        "SECONDS_PER_LEVEL": ("30", 30.0),
    },
    "environment of prompt levels": {"PROMPT_LEVELS": ("128,1024", ["128", "1024"])},
    "environment of output levels": {"OUTPUT_LEVELS": ("uniform:1,9;32", ["uniform:1,9", "32"])},
}
FLAGS = {"require_valid", "insecure", "stop_when_saturated"}  # without a value
for case, told in ENVIRONMENTS.items():
    CASES[case] = ([], {f"TOKENSWARM_{name}": value for name, (value, _) in told.items()})


@pytest.fixture(scope="module")
def parsed() -> Any:
    """What Locust's parser and `options.read` make of `CASES`."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("TOKENSWARM", "LOCUST"))
    }
    cases = [(["--host", HOST, *arguments], environment) for arguments, environment in CASES.values()]
    done = subprocess.run(
        [sys.executable, "-c", PARSER],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        env=clean,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    assert done.returncode == 0, done.stderr
    form, text, outcomes = json.loads(done.stdout)
    return {"form": form, "help": text, **dict(zip(CASES, outcomes, strict=True))}


@pytest.fixture(scope="module")
def plain(parsed: Any) -> Mapping[str, Any]:
    """The parser's values where nothing but a host is given."""
    values: Mapping[str, Any] = parsed["plain"][0]
    return values


def read(plain: Mapping[str, Any], **values: object) -> Settings:
    """The settings of the parser's defaults with some values laid over them."""
    return options.read(Namespace(**{**plain, **values}), None)


def lines(plain: Mapping[str, Any], **values: object) -> list[str]:
    """What is wrong with them."""
    with pytest.raises(ConfigError) as caught:
        read(plain, **values)
    return str(caught.value).split("\n")


OPEN_LOOP_AND_SWEEPS: dict[str, Any] = {
    "arrivals": None,
    "rates": [],
    "speed_up": 1.0,
    "max_concurrency": None,
    "seconds_per_level": None,
    "refill": "steady",
    "warmup_s": None,
    "warmup_auto": False,
    "cooldown_s": 0.0,
    "prompt_levels": [],
    "output_levels": [],
    "search": None,
    "stop_when_saturated": False,
}
CONTENT: dict[str, Any] = {
    "text": "en",
    "lengths": None,
    "mix": [],
    "dataset": None,
    "dataset_order": "file",
    "template": None,
    "shared_prefix": None,
    "bust_cache": False,
    "turns": None,
    "turn_tokens": None,
    "think_time": "0s",
}
GUARDS_AND_PROBES: dict[str, Any] = {
    "max_requests": None,
    "max_time_s": None,
    "max_tokens": None,
    "max_cost": None,
    "price_in": None,
    "price_out": None,
    "max_error_rate": None,
    "probe_every_s": None,
    "probe_tokens": None,
}
DEFAULTS: dict[str, Any] = {
    "host": HOST,
    "api_mode": None,
    "model": None,
    "tokenizer": None,
    "prompt_tokens": None,
    "output_tokens": None,
    "levels": [],
    "requests_per_level": None,
    "requests_per_user": None,
    "repeats": 1,
    "warmup": 0,
    "seed": 1,
    "run_name": None,
    "labels": {},
    "connect_timeout_s": 10.0,
    "first_token_timeout_s": 300.0,
    "idle_timeout_s": 60.0,
    "total_timeout_s": 900.0,
    "exact_output": None,
    "extra_body": {},
    "users": None,
    "spawn_rate": None,
    "run_time_s": None,
    "ca_file": None,
    "insecure": False,
    "require_valid": False,
    "proxy": None,
    "stream": None,
    "backend_options": {},
    "headers": [],
    "prompt_ids": None,
    "cache_salt": "off",
    "drop_answers_under": None,
    "retry_after": True,
    "server_metrics": True,
    "slo": [],
    **OPEN_LOOP_AND_SWEEPS,
    **CONTENT,
    **GUARDS_AND_PROBES,
}


def test_defaults(parsed: Any) -> None:
    """Nothing but a host is a complete set of settings."""
    assert parsed["plain"][1] == DEFAULTS


KEPT_AS = {
    "LABEL": "labels",
    "BACKEND_OPTION": "backend_options",
    "HEADER": "headers",
    "SLO": "slo",
    "MIX": "mix",
}  # repeatable
IN_SECONDS = {
    *("CONNECT_TIMEOUT", "FIRST_TOKEN_TIMEOUT", "IDLE_TIMEOUT", "TOTAL_TIMEOUT"),
    *("COOLDOWN", "MAX_TIME", "PROBE_EVERY"),
}


def test_variables_set_options(parsed: Any) -> None:
    """Every option is also TOKENSWARM_<NAME>."""
    assert {name.lower() for told in ENVIRONMENTS.values() for name in told} == set(DEFAULT_TEXTS)
    for case, told in ENVIRONMENTS.items():
        namespace, stored = parsed[case]
        for name, (value, kept) in told.items():
            assert namespace[name.lower()] == ([value] if name in KEPT_AS else value)
            key = KEPT_AS.get(name, name.lower() + "_s" * (name in IN_SECONDS))
            assert stored.get(key) == kept, (case, name)
    assert parsed["several labels in one variable"][1]["labels"] == {"gpu": "a100", "site": "x"}


@pytest.mark.parametrize(
    ("case", "given"),
    [
        ("flags", True),
        ("flags by variable", True),
        ("flags off by variable", False),
        ("empty flags", False),
        ("plain", False),
    ],
)
def test_a_flag_is_given_or_not(parsed: Any, case: str, given: bool) -> None:
    """Bare on the command line, `1` or `yes` in a variable; an empty variable is the default here too."""
    stored = parsed[case][1]
    assert {name: stored[name] for name in FLAGS} == dict.fromkeys(FLAGS, given)


def test_a_flag_takes_no_value(parsed: Any) -> None:
    """What follows it on the command line is Locust's: the name of a user class."""
    namespace, stored = parsed["a flag before a user class"]
    assert stored["require_valid"] is True
    assert namespace["user_classes"] == ["Chat"]


def test_an_option_wins_over_its_variable(parsed: Any) -> None:
    """The command line is nearer than the environment."""
    assert parsed["option over variable"][1]["seed"] == 3


def test_an_empty_variable_is_the_default(parsed: Any) -> None:
    """Compose files pass `${X:-}` on as an empty string."""
    assert parsed["empty variables"][1] == DEFAULTS


def test_a_bad_variable_is_told_as_its_option(parsed: Any) -> None:
    """The line names the option that the variable stands for."""
    assert parsed["bad variable"][1] == ["--seed 'x': give a whole number from 0 to 9223372036854775807"]


def test_labels_are_repeatable(parsed: Any) -> None:
    """A value may have = in it; blanks around are not part of it."""
    assert parsed["labels"][1]["labels"] == {"gpu": "a100", "quant": "q4=k"}


def _clash(flag: str) -> str:
    return (
        f"{flag} and --levels exclude each other: --levels sets the users, "
        f"--requests-per-level the end; drop {flag}"
    )


def test_levels_clash_with_locusts_own_load(parsed: Any) -> None:
    """One line for each of -u, -r and -t, also where the levels themselves are wrong."""
    for flag in ("-u", "-r", "-t"):
        assert parsed[flag][1] == [_clash(flag)]
    assert parsed["all three"][1] == [_clash("-u"), _clash("-r"), _clash("-t")]
    assert parsed["bad levels and -u"][1] == [
        "--levels '1,x': 'x' is not a number of users; write e.g. 1,2,4,8",
        _clash("-u"),
    ]


def test_locusts_own_load_is_kept_for_the_record(parsed: Any) -> None:
    """Without levels -u, -r and -t are what the run is; 1m is 60 s."""
    assert parsed["no levels"][1] == DEFAULTS | {"users": 4, "spawn_rate": 2.0, "run_time_s": 60}


def test_the_web_form_shows_text_without_secrets(parsed: Any) -> None:
    """Nearly all, as text. Not what may hold a secret, writes a file, starts a command, or says whom to trust."""
    left_out = {
        *("header", "serve", "results_dir", "junit", "ca_file", "dataset", "dataset_order", "template"),
        *("lengths", "bust_cache"),
    }
    texts = {name: [text, False] for name, text in DEFAULT_TEXTS.items() if name not in left_out}
    assert parsed["form"] == texts | {"stop_when_saturated": [False, False]}


DEFAULT_TEXTS = {
    **dict.fromkeys(("model", "api_mode", "tokenizer", "prompt_tokens", "output_tokens", "levels"), ""),
    "requests_per_level": "",
    "repeats": "1",
    "warmup": "0",
    "seed": "1",
    "run_name": "",
    "label": None,
    "results_dir": "results",
    "exact_output": "auto",
    "extra_body": "",
    "stream": "auto",
    "backend_option": None,
    "header": None,
    "prompt_ids": "",
    "cache_salt": "off",
    "drop_answers_under": "",
    "retry_after": "yes",
    "ready_timeout": "",
    "server_metrics": "auto",
    "serve": "",
    "slo": None,
    "preflight": "yes",
    "ca_file": "",
    "connect_timeout": "10",
    "first_token_timeout": "300",
    "idle_timeout": "60",
    "total_timeout": "900",
    **dict.fromkeys(("seconds_per_level", "search", "cooldown", "arrivals", "rates", "max_concurrency"), ""),
    **dict.fromkeys(("prompt_levels", "output_levels", "lengths", "dataset", "template"), ""),
    **dict.fromkeys(("shared_prefix", "turns", "turn_tokens"), ""),
    **dict.fromkeys(("max_requests", "max_time", "max_tokens", "max_cost", "price_in", "price_out"), ""),
    **dict.fromkeys(("max_error_rate", "probe_every"), ""),
    "refill": "steady",
    "speed_up": "1",
    "mix": None,
    "text": "en",
    "dataset_order": "file",
    "bust_cache": "no",
    "think_time": "0s",
    "probe_tokens": "",
    "export": "",
    "junit": "",
}


def test_all_our_options_are_text(plain: Mapping[str, Any]) -> None:
    """Locust's web form keeps an option's type: text stays text, so that one reader serves both."""
    assert {name: plain[name] for name in DEFAULT_TEXTS} == DEFAULT_TEXTS


def test_everything_set(plain: Mapping[str, Any]) -> None:
    """Each option's value arrives where it belongs."""
    settings = read(
        plain,
        model=" org/m ",
        api_mode="chat",
        tokenizer="/t",
        prompt_tokens="normal:550,150",
        output_tokens="64",
        levels="1, 2,8",
        requests_per_level="40",
        repeats="3",
        warmup="2",
        seed="0",
        run_name="a.b-c_1",
        label=["gpu="],
        results_dir="out/r",
        connect_timeout="0.5",
        first_token_timeout="1",
        idle_timeout="2",
        total_timeout="86400",
        exact_output="YES",
        extra_body='{"temperature": 0.7, "stop": ["\\n"]}',
        preflight="no",
        slo=["ttft_p95 < 2 s", "error_rate<1%,goodput>=95%"],
    )
    assert (settings.model, settings.api_mode, settings.tokenizer) == ("org/m", "chat", "/t")
    assert settings.prompt_sizes == Normal(550, 150)
    assert settings.output_sizes == Constant(64)
    assert settings.levels == (1, 2, 8)
    assert (settings.requests_per_level, settings.repeats, settings.warmup, settings.seed) == (40, 3, 2, 0)
    assert (settings.run_name, settings.labels) == ("a.b-c_1", {"gpu": ""})
    assert settings.results_dir == Path("out/r")
    assert settings.timeouts == Timeouts(connect_s=0.5, first_token_s=1, idle_s=2, total_s=86400)
    assert settings.exact_output is True
    assert settings.extra_body == {"temperature": 0.7, "stop": ["\n"]}
    assert settings.preflight is False
    assert settings.slos == slo.read(["ttft_p95<2s", "error_rate<1%", "goodput>=95%"])


def test_a_user_classs_host_is_the_second_choice(plain: Mapping[str, Any]) -> None:
    """--host wins over `host` of the user class."""
    without = Namespace(**{**plain, "host": None})
    assert str(options.read(without, "http://class:2").target) == "http://class:2"
    assert str(options.read(Namespace(**plain), "http://class:2").target) == HOST
    with pytest.raises(
        ConfigError, match=r"^--host is missing: give the server's base URL, for example http://"
    ):
        options.read(without, None)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "no such file or directory"),
        (b"", "no certificate in it; give a PEM file"),
        (b"\x30\x82\x01\x0a", "no certificate in it; give a PEM file"),
        (
            b"-----BEGIN CERTIFICATE-----\nZZZ\n-----END CERTIFICATE-----\n",
            "no certificate in it; give a PEM file",
        ),
    ],
    ids=["missing", "empty", "DER", "torn"],
)
def test_a_ca_file_holds_a_certificate(
    plain: Mapping[str, Any], tmp_path: Path, content: bytes | None, why: str
) -> None:
    """It is read before load: one line with the file and the reason."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    assert lines(plain, ca_file=str(path)) == [f"--ca-file {str(path)!r}: {why}"]


def test_a_ca_file_is_a_path(plain: Mapping[str, Any]) -> None:
    """What cannot be one is refused like the rest."""
    assert lines(plain, ca_file="a\0b") == ["--ca-file 'a\\x00b': not a path; give a PEM file"]


def test_a_good_ca_file_is_kept(plain: Mapping[str, Any]) -> None:
    """As a path, and by its name in run.json."""
    settings = read(plain, ca_file=f" {certifi.where()} ")
    assert settings.ca_file == Path(certifi.where())
    assert settings.stored()["ca_file"] == certifi.where()


def test_insecure_and_a_ca_file_exclude_each_other(plain: Mapping[str, Any]) -> None:
    """One of them verifies nothing."""
    both = "--insecure and --ca-file exclude each other: --insecure verifies nothing; drop one of them"
    assert lines(plain, insecure=True, ca_file=certifi.where()) == [both]
    assert read(plain, insecure=True).insecure


WHOLE = "give a whole number from"
SECONDS = "give seconds, above 0 and up to 86400"
BAD: list[tuple[str, object, str]] = [
    ("host", "h:1", "--host 'h:1' has no scheme: write http://h:1 or https://h:1"),
    ("levels", "1,,2", "--levels '1,,2': '' is not a number of users; write e.g. 1,2,4,8"),
    ("levels", "0", "--levels '0': '0' is not a number of users; write e.g. 1,2,4,8"),
    ("levels", "1;2", "--levels '1;2': '1;2' is not a number of users; write e.g. 1,2,4,8"),
    ("levels", "1,1000000000", "--levels '1,1000000000': '1000000000' is not a number of users; write e.g. 1,2,4,8"),
    ("levels", "2,1,02", "--levels '2,1,02': 02 stands there twice; to repeat levels use --repeats"),
    ("requests_per_level", "5", "--requests-per-level needs --levels, e.g. --levels 1,2,4"),
    ("requests_per_level", "1", "--requests-per-level needs --levels, e.g. --levels 1,2,4"),
    ("requests_per_level", "0", f"--requests-per-level '0': {WHOLE} 1 to 10000000, or requests per user as 5x"),
    ("requests_per_level", "0x", f"--requests-per-level '0x': {WHOLE} 1 to 10000000, or requests per user as 5x"),
    ("requests_per_level", "x", f"--requests-per-level 'x': {WHOLE} 1 to 10000000, or requests per user as 5x"),
    ("requests_per_level", "1x", "--requests-per-level needs --levels, e.g. --levels 1,2,4"),
    ("repeats", "2", "--repeats needs --levels, e.g. --levels 1,2,4"),
    ("repeats", "0", f"--repeats '0': {WHOLE} 1 to 10000"),
    ("repeats", "many", f"--repeats 'many': {WHOLE} 1 to 10000"),
    ("warmup", "-1", f"--warmup '-1': {WHOLE} 0 to 10000"),
    ("warmup", "1.5", f"--warmup '1.5': {WHOLE} 0 to 10000"),
    ("seed", "²", f"--seed '²': {WHOLE} 0 to 9223372036854775807"),
    ("seed", "9223372036854775808", f"--seed '9223372036854775808': {WHOLE} 0 to 9223372036854775807"),
    ("seed", "9" * 5000, f"--seed '{'9' * 5000}': {WHOLE} 0 to 9223372036854775807"),
    ("run_name", "a/b", "--run-name 'a/b': use up to 80 letters, digits, dots, dashes and underscores"),
    ("run_name", "..", "--run-name '..': use up to 80 letters, digits, dots, dashes and underscores"),
    ("run_name", "x" * 81, f"--run-name '{'x' * 81}': use up to 80 letters, digits, dots, dashes and underscores"),
    ("label", ["gpu"], "--label 'gpu': write key=value, e.g. --label gpu=a100"),
    ("label", ["=a"], "--label '=a': write key=value, e.g. --label gpu=a100"),
    ("label", ["a=1", "a=2"], "--label 'a=2': a is '1' already; give each key once"),
    ("stream", "maybe", "--stream 'maybe': use auto or yes or no"),
    ("cache_salt", "each", "--cache-salt 'each': use off or run or request"),
    ("server_metrics", "yes", "--server-metrics 'yes': use auto or no"),
    ("prompt_ids", "5-5", "--prompt-ids '5-5': give the first and the last token id, e.g. 1000-30000"),
    ("prompt_ids", "1,2", "--prompt-ids '1,2': give the first and the last token id, e.g. 1000-30000"),
    ("retry_after", "5", "--retry-after '5': use yes or no"),
    ("ready_timeout", "0", f"--ready-timeout '0': {SECONDS}"),
    ("drop_answers_under", "0", f"--drop-answers-under '0': {WHOLE} 1 to 10000000"),
    ("backend_option", ["x"], "--backend-option 'x': write key=value, e.g. --backend-option auth_header=x-api-key"),
    ("header", ["a"], "--header 'a': write 'Name: value', e.g. 'ss-sn-options: accuracy_debug'"),
    ("header", ["a b: c"], "--header 'a b: c': write 'Name: value', e.g. 'ss-sn-options: accuracy_debug'"),
    ("header", ["a: 1", "A: 2"], "--header 'A: 2': A is given twice; give each header once"),
    ("header", ["X-Request-ID: 1"], "--header 'X-Request-ID: 1': tokenswarm sets X-Request-ID itself; leave it out"),
    ("header", ["Host: h"], "--header 'Host: h': tokenswarm sets Host itself; leave it out"),
    ("slo", ["ttft_p95<2"], "--slo 'ttft_p95<2': ttft is a time: give its unit, s, ms or us, e.g. 2s"),
    ("slo", ["ttft_p95<2s", "error_rate<1"], "--slo 'error_rate<1': error_rate is a share: write 0% to 100%, or a bare number below 1"),
    ("connect_timeout", "0", f"--connect-timeout '0': {SECONDS}"),
    ("first_token_timeout", "1_0", f"--first-token-timeout '1_0': {SECONDS}"),
    ("idle_timeout", "nan", f"--idle-timeout 'nan': {SECONDS}"),
    ("total_timeout", "5m", f"--total-timeout '5m': {SECONDS}"),
    ("total_timeout", "86401", f"--total-timeout '86401': {SECONDS}"),
    ("exact_output", "true", "--exact-output 'true': use auto or yes or no"),
    ("preflight", "1", "--preflight '1': use yes or no"),
    ("extra_body", "[1]", "--extra-body '[1]' is not a JSON object; write e.g. {\"temperature\": 0.7}"),
    ("num_users", 0, "-u 0: nothing would be sent; give at least one user, e.g. -u 1"),
    ("run_time", 0, "-t 0: nothing would be sent; give a time, e.g. -t 60s, or leave it out for a run without an end"),
    ("extra_body", "null", "--extra-body 'null' is not a JSON object; write e.g. {\"temperature\": 0.7}"),
    ("output_tokens", "0", "--output-tokens '0' has 0, outside 1 to 1000000 tokens; write for example 550"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "line"), BAD, ids=[f"{name}-{line[:40]}" for name, _, line in BAD])
def test_a_bad_value_is_one_line(plain: Mapping[str, Any], name: str, value: object, line: str) -> None:
    """It names the option, the value and what would be right; nothing else is complained of."""
    assert lines(plain, **{name: value}) == [line]


def test_bad_json_says_where(plain: Mapping[str, Any]) -> None:
    """A slip of the pen in --extra-body is found by its place, in one line even if the value has several; depth has an end."""
    (deep,) = lines(plain, extra_body='{"a":' * 400 + "1" + "}" * 400)
    assert "cannot be sent" in deep
    (line,) = lines(plain, extra_body="{'a':\n 1}")
    assert line.startswith(r'--extra-body "{' + r"'a':\n 1}" + '" is not JSON (')
    assert line.endswith('line 1 column 2 (char 1)); write e.g. {"temperature": 0.7}')


def test_all_problems_are_told_at_once(plain: Mapping[str, Any]) -> None:
    """Nobody likes to mend one option a run."""
    bad: dict[str, object] = dict.fromkeys(
        DEFAULT_TEXTS.keys()
        - {"model", "api_mode", "tokenizer", "results_dir", "serve", "lengths", "dataset", "template"}
        - {"probe_every"},  # with which --probe-tokens is read
        "x",
    )
    bad |= {
        "host": "h",
        "run_name": "/",
        "label": ["x"],
        "backend_option": ["x"],
        "header": ["x"],
        "slo": ["x"],
        "junit": "/",
    }
    told = lines(plain, probe_every="2s", **bad)
    # What excludes each other may be seen from values alone.
    told = [line for line in told if " exclude each other: " not in line]
    assert len(told) == len(bad)
    assert {line.split(" ")[0].removeprefix("--").replace("-", "_") for line in told} == set(bad)


@example(name="ca_file", value="0\x1e0")  # a separator of lines that no error line may hold as it is
@given(value=st.text(st.characters(codec="utf-8"), max_size=12), name=st.sampled_from(sorted(DEFAULT_TEXTS)))
def test_no_text_gets_anything_but_settings_or_its_line(
    plain: Mapping[str, Any], name: str, value: str
) -> None:
    """Whatever is typed: settings, or exactly one line that names the option."""
    try:
        read(plain, **{name: [value] if name in REPEATABLE else value})
    except ConfigError as error:
        (line,) = str(error).splitlines()
        assert line.startswith("--" + name.replace("_", "-"))


def test_stored_is_json_and_holds_no_secret(
    plain: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """run.json may be shown to anyone: a key in the environment is not part of the settings."""
    for name in ("TOKENSWARM_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "sk-secret")
    stored = read(plain, label=["a=b"], prompt_tokens="normal:550,150", levels="1,2").stored()
    assert json.loads(json.dumps(stored)) == DEFAULTS | {
        "labels": {"a": "b"},
        "prompt_tokens": "normal:550,150",
        "levels": [1, 2],
    }


def test_a_host_with_a_password_never_gets_into_the_settings(plain: Mapping[str, Any]) -> None:
    """Nor into the line that refuses it."""
    (line,) = lines(plain, host="http://user:hunter2@h:1")
    assert line.startswith("--host holds a user or password")
    assert "hunter2" not in line


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key", "cookie", "key", "X-Auth-Token"])
def test_a_header_that_would_carry_a_key_is_refused_unread(plain: Mapping[str, Any], name: str) -> None:
    """Secrets come from the environment; the line names the header and not what it would have said."""
    (line,) = lines(plain, header=[f"{name}: hunter2"])
    assert line.startswith(f"--header {name!r} carries a secret")
    assert "hunter2" not in line


# -- the API key

OPENAI_KEYS = ("OPENAI_API_KEY",)


@pytest.mark.parametrize("variables", [OPENAI_KEYS, ()])
def test_no_key(variables: tuple[str, ...]) -> None:
    """None where nothing is set, or only blanks."""
    assert read_secret(variables, PLACE, {}) is None
    assert read_secret(variables, PLACE, {"TOKENSWARM_API_KEY": "  ", "TOKENSWARM_API_KEY_FILE": ""}) is None


def test_key_sources_in_their_order(tmp_path: Path) -> None:
    """Our variable, then our file, then OpenAI's variable, and that for OpenAI's kind of backend only."""
    file = tmp_path / "key"
    file.write_text("sk-file\n", encoding="utf-8")
    environ = {"OPENAI_API_KEY": "sk-openai"}
    assert read_secret(OPENAI_KEYS, PLACE, environ) == "sk-openai"
    assert read_secret((), PLACE, environ) is None
    environ["TOKENSWARM_API_KEY_FILE"] = str(file)
    assert read_secret(OPENAI_KEYS, PLACE, environ) == "sk-file"
    assert read_secret((), PLACE, environ) == "sk-file"
    environ["TOKENSWARM_API_KEY"] = " sk-own "
    assert read_secret(OPENAI_KEYS, PLACE, environ) == "sk-own"


def test_a_key_file_may_end_as_editors_end_it(tmp_path: Path) -> None:
    """Line ends of every kind around the key are not part of it."""
    file = tmp_path / "key"
    file.write_bytes(b"\n sk-1\r\n\n")
    assert read_secret((), PLACE, {"TOKENSWARM_API_KEY_FILE": str(file)}) == "sk-1"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read (no such file or directory): give the path of a file that holds only the key"),
        (b"\xff\xfe", "cannot be read (not text): give the path of a file that holds only the key"),
        (b" \n", "is empty: put the key into the file, or unset the variable"),
        (
            b"sk-1\nsk-2\n",
            "holds more than a key (spaces, line breaks or letters that no header may carry): put only the key there",
        ),
    ],
)
def test_a_bad_key_file_is_one_line(tmp_path: Path, content: bytes | None, problem: str) -> None:
    """It names the variable and the path, never what the file holds; no other source is tried instead."""
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    environ = {"TOKENSWARM_API_KEY_FILE": str(file), "OPENAI_API_KEY": "sk-other"}
    with pytest.raises(ConfigError) as caught:
        read_secret(OPENAI_KEYS, PLACE, environ)
    assert str(caught.value) == f"TOKENSWARM_API_KEY_FILE {str(file)!r} {problem}"


@pytest.mark.parametrize("key", ["sk-1\nX-Evil: 1", "Bearer sk-1", "sk-\u00e9", "sk-\x7f", "sk-1\x00"])
def test_a_key_that_no_header_may_carry_is_refused(key: str) -> None:
    """A line break in a key would be a header of its own; the key is not repeated."""
    for name in ("TOKENSWARM_API_KEY", "OPENAI_API_KEY"):
        with pytest.raises(ConfigError) as caught:
            read_secret(OPENAI_KEYS, PLACE, {name: key})
        (line,) = str(caught.value).splitlines()
        assert line.startswith(f"{name} holds more than a key")
        assert "sk-" not in line
