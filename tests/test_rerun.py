"""`tokenswarm rerun`: the command that a bundle makes, what it lacks, and a real run whose every body is sent again."""

import shlex
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from bundled import made, members, repacked, table
from locust_runs import run as locust
from locust_runs import simulator

from harness import cli, files, rows
from harness.bundles import command, rerun
from harness.errors import ConfigError

KEY = "sk-planted-0123456789"
MINE = '''"""Asks as it imports."""
from lib.words import WORD
from locust import task
from harness.users import LLMUser


class Chat(LLMUser):
    backend = "openai"

    @task
    def talk(self):
        self.ask(name=WORD)
'''


def facts(options: Mapping[str, Any], argv: list[str] | None = None, **settings: Any) -> dict[str, Any]:
    """A run.json that says how it was started."""
    plain = {"seed": 1, "host": "http://h:1", "levels": [1], "users": {"Chat": {"server": {"model": "m"}}}}
    return {
        "settings": plain | settings,
        "invocation": {"argv": argv or [], "environment": {}, "options": dict(options)},
    }


def words(run: Mapping[str, Any], data: Mapping[str, Path] = {}, **how: Any) -> list[str]:
    """The command's, behind those that are always there."""
    given = {"host": None, "results_dir": Path("/r")} | how
    made_ = command.build(run, [Path("/b/l.py")], data, **given)
    assert made_.words[:3] == ["--locustfile", "/b/l.py", "--headless"]
    return made_.words[3:]


def test_options_as_they_held_wherever_they_came_from() -> None:
    """Ours, Locust's, repeated ones and flags; seed and model are pinned though nobody gave them."""
    options = {"levels": "1,2", "label": ["a=b", "c=d e"], "require_valid": True, "host": "http://o:2", "stop_timeout": 5,
               "tags": ["x", "y"], "processes": 2, "master": True, "expect_workers": 2}  # fmt: skip
    assert words(facts(options)) == [
        *("--host=http://o:2", "--results-dir=/r", "--model=m", "--levels=1,2", "--seed=1", "--label=a=b"),
        *("--label=c=d e", "--require-valid", "--stop-timeout=5", "--tags", "x", "y", "--processes=2"),
    ]
    timed = {"num_users": 4, "spawn_rate": 2.5, "run_time": 60, "model": "other", "seed": "9"}
    assert words(facts(timed, seed=9), host="http://new") == [
        *(
            "--host=http://new",
            "--results-dir=/r",
            "--model=other",
            "--seed=9",
            "--users=4",
            "--spawn-rate=2.5",
        ),
        "--run-time=60s",
    ]


def test_the_locustfiles_own_options_are_taken_from_the_command_line() -> None:
    """And user classes; what says where reports go is not, nor any that is known, however it was written."""
    argv = ["-f", "x.py", "-u4", "--csv", "old", "--html=o.html", "--level", "1,2", "--my-own", "3", "--flag", "-T", "a",
            "--json", "Chat", "Other"]  # fmt: skip
    run = facts({"levels": "1,2", "user_classes": ["Chat", "Other"]}, argv)
    assert words(run)[-5:] == ["--my-own", "3", "--flag", "Chat", "Other"] or words(run)[-3:] == [
        "--my-own",
        "3",
        "--flag",
    ]
    assert not {"--csv", "old", "--html=o.html", "--json"} & set(words(run))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"dataset": "./p q.jsonl"}, "--dataset=/new/f"),
        ({"arrivals": "trace:p q.jsonl"}, "--arrivals=trace:/new/f"),
        ({"prompt_tokens": "file:p q.jsonl"}, "--prompt-tokens=file:/new/f"),
        (
            {"mix": ["a:1 dataset=l.csv prompt=3", "b:2 output=file:l.csv"]},
            "--mix=a:1 dataset=/new/l prompt=3",
        ),
        ({"prompt_levels": "128,file:l.csv"}, "--prompt-levels=128,file:/new/l"),
        ({"run_name": "l.csv"}, "--run-name=/new/l"),
    ],
)
def test_files_of_data_are_where_they_lie_now(options: dict[str, Any], word: str) -> None:
    """In each of the forms in which an option names a file; no other word changes."""
    data = {"p q.jsonl": Path("/new/f"), "l.csv": Path("/new/l")}
    if "run_name" in options:
        word = "--run-name=l.csv"  # a name is no file
    assert word in words(facts(options), data)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (facts({}, host="http://***@h"), "give it with --host"),
        (facts({"extra_body": '{"api_key":"***"}'}), "--extra-body: its value was hidden"),
        (
            facts({}, ["--my-key", "***"]),
            "--my-key: its value was hidden; give it with --option my-key=VALUE",
        ),
        ({"settings": {}}, "has no 'invocation'; the run was made by an older version"),
        ({"settings": 5, "invocation": {}}, "has no 'settings'"),
        ({"settings": {"seed": "x", "users": 5}, "invocation": {"options": []}}, "has no 'options'"),
    ],
)
def test_what_a_bundle_does_not_say_is_asked_for(run: dict[str, Any], said: str) -> None:
    """In one line, before anything is sent."""
    with pytest.raises(ConfigError, match=said.replace("*", r"\*")):
        words(run)


def test_what_was_hidden_can_be_given_again() -> None:
    """A header is not in the body, so its lack is a note; a body's field is needed."""
    run = facts({"header": ["X: ***"], "extra_body": '{"api_key":"***"}'})
    extra = ["--extra-body={}", "--header=X: y"]
    assert words(run, extra=extra)[-2:] == extra
    own = facts({}, ["--my-key", "***", "--other=***", "--third", "3"])
    assert words(own, extra=["--my-key=k", "--other=o"])[-4:] == ["--third", "3", "--my-key=k", "--other=o"]
    made_ = command.build(facts({"header": ["X: ***"]}), [Path("l")], {}, host=None, results_dir=Path("r"))
    assert [note[:16] for note in made_.notes] == ["--header X: ***:"]


def test_variables_of_this_shell_have_no_say() -> None:
    """Options come from the bundle alone; keys and what is not an option stay."""
    shell = {
        "TOKENSWARM_LEVELS": "9",
        "LOCUST_USERS": "9",
        "OPENAI_API_KEY": "k",
        "TOKENSWARM_CACHE": "/c",
        "A": "b",
    }
    assert command.environment(shell, {"TOKENSWARM_BACKEND": "sglang"}) == {
        "OPENAI_API_KEY": "k", "TOKENSWARM_CACHE": "/c", "A": "b", "TOKENSWARM_BACKEND": "sglang",
    }  # fmt: skip


def test_a_bundle_has_no_say_in_what_is_sent_where() -> None:
    """Whose key goes to which host is for whoever runs it again to say."""
    told = facts({})
    told["invocation"]["environment"] = {
        "TOKENSWARM_ALLOWED_HOSTS": "169.254.169.254",
        "TOKENSWARM_API_KEY": "k",
        "TOKENSWARM_API_KEY_FILE": "/etc/shadow",
        "TOKENSWARM_API_KEY_ORIGIN": "https://evil.example",
        "TOKENSWARM_BACKEND": "sglang",
    }
    made_ = command.build(told, [Path("l")], {}, host=None, results_dir=Path("r"))
    assert made_.environ == {"TOKENSWARM_BACKEND": "sglang"}


def test_a_dry_run_prints_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the bundle's own files, and what it lacks said by name."""
    monkeypatch.chdir(tmp_path)
    directory = made(tmp_path, data=True)
    assert cli.main(["bundle", str(directory), "--output", "with", "--with-data"]) == 0
    assert cli.main(["bundle", str(directory), "--output", "without"]) == 0
    capsys.readouterr()
    assert cli.main(["rerun", "with", "--dry-run", "--host", "http://other:1"]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert shlex.split(line) == [
        *("TOKENSWARM_BACKEND=sglang", "locust", "--locustfile", "BUNDLE/locustfiles/mine.py", "--headless"),
        *(
            "--host=http://other:1",
            f"--results-dir={tmp_path}/results",
            "--model=m",
            "--prompt-tokens=40",
            "--levels=2",
        ),
        f"--dataset=BUNDLE/data/{sha256((tmp_path / 'prompts one.jsonl').read_bytes()).hexdigest()[:12]}-prompts-one.jsonl",
        *("--seed=7", "--my-own", "3", "Chat"),
    ]
    assert cli.main(["rerun", "without", "--dry-run"]) == 0
    assert f"--dataset={tmp_path}/prompts one.jsonl" in shlex.split(capsys.readouterr().out.splitlines()[0])
    (tmp_path / "prompts one.jsonl").write_text("changed")
    assert cli.main(["rerun", "without", "--dry-run"]) == 2
    assert "it is another file now (SHA-256 differs); restore it" in capsys.readouterr().err
    (tmp_path / "scripts" / "mine.py").unlink()
    assert cli.main(["bundle", str(directory), "--output", "bare"]) == 0
    (tmp_path / "prompts one.jsonl").write_text('{"prompt": "hello"}\n')
    assert cli.main(["rerun", "bare", "--dry-run"]) == 2
    assert "no locustfile is in it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("new", "code", "expected", "said"),
    [
        ({0: "a", 1: "b", 2: "c"}, 0, 0, "3 request bodies held against the bundle's: the same"),
        ({0: "a", 1: "b", 2: "c"}, 3, 3, "the same"),  # an SLO was missed: Locust's code stands
        ({0: "a", 1: "x", 2: "c"}, 0, 6, "2 the same, 1 different"),
        ({0: "a", 1: "x", 2: "c"}, 1, 6, "first difference: Chat, request 1 (level 2)"),
        ({0: "a", 1: "b"}, 0, 6, "so some are missing"),
        ({0: "a", 1: "b"}, 5, 5, "1 requests only in the bundle, 0 only in this run"),
        ({5: "a"}, 1, 6, "no request could be held against the bundle's"),
        ({0: None, 1: None}, 0, 6, "no request could be held against the bundle's"),
    ],
)
def test_exit_codes(  # noqa: PLR0917  a table
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    new: dict[int, str | None],
    code: int,
    expected: int,
    said: str,
) -> None:
    """6 where it is not shown, else Locust's; by two tables and no load."""
    base = {"schema": 1, "run_id": "r", "planned": 3, "settings": {"users": {"Chat": {"sizer": "a"}}}}
    other = base | {"settings": {"users": {"Chat": {"sizer": "b\x1b[31m"}}}}
    for name, bodies, run in (("base", {0: "a", 1: "b", 2: "c"}, base), ("new", new, other)):
        (tmp_path / name).mkdir()
        table(tmp_path / name / "requests.parquet", bodies)
        files.write(tmp_path / name / "run.json", files.as_json(run))
    assert rerun._judged(tmp_path / "base", base, tmp_path / "new", code) == expected
    out = capsys.readouterr().out
    assert said in out
    assert ("another what sizes Chat's prompts: a then, b" in out) == (expected == 6)
    assert "\x1b" not in out


def test_a_timed_run_is_a_common_beginning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fewer requests are no difference where nobody had planned how many; a salt is named as what it is."""
    base = {
        "schema": 1,
        "run_id": "r",
        "planned": None,
        "settings": {"users": {"Chat": {}}, "cache_salt": "run"},
    }
    for name, bodies in (("base", {0: "a", 1: "b"}), ("new", {0: "a"})):
        (tmp_path / name).mkdir()
        table(tmp_path / name / "requests.parquet", bodies)
        files.write(tmp_path / name / "run.json", files.as_json(base))
    assert rerun._judged(tmp_path / "base", base, tmp_path / "new", 0) == 0
    table(tmp_path / "new" / "requests.parquet", {0: "z"})
    assert rerun._judged(tmp_path / "base", base, tmp_path / "new", 0) == 6
    assert "--cache-salt run puts something new into every run's bodies" in capsys.readouterr().out


def test_a_hostile_bundle_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not open is refused before a command is made of it."""
    monkeypatch.setattr(rerun, "_go", lambda *_: pytest.fail("it was started"))
    (tmp_path / "b").write_bytes(b"nothing")
    assert cli.main(["rerun", str(tmp_path / "b")]) == 2
    repacked(tmp_path / "c", [])
    assert cli.main(["rerun", str(tmp_path / "c")]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_run_is_made_again_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two levels of a real run, its locustfile gone: another server of the same kind gets the same bodies; no key is in it."""
    for name in ("HTTP_PROXY", "http_proxy", "TOKENSWARM_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "lib").mkdir()
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "lib" / "words.py").write_text('WORD = "mine"\n')
    options = (
        "--levels",
        "1,3",
        "--requests-per-level",
        "9",
        "--warmup",
        "1",
        "--prompt-tokens",
        "normal:40,10",
    )
    sizes = ("--output-tokens", "uniform:2,6", "--header", f"X-Tenant: {KEY}")
    with simulator() as server:
        done = locust(
            tmp_path / "mine.py",
            tmp_path / "one",
            "--host",
            server.url,
            *options,
            *sizes,
            env={"OPENAI_API_KEY": KEY},
        )
    assert done.code == 0, done.err
    sent = done.requests.sort_values("number")
    assert list(sent.number) == list(range(22))  # 1 + 9 and 3 + 9
    assert sent.body_sha256.nunique() == 22
    assert set(sent.user_class) == {"Chat"}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert cli.main(["bundle", str(done.directory), "--output", "b"]) == 0
    assert all(
        KEY.encode() not in data
        for data in [(tmp_path / "b").read_bytes(), *members(tmp_path / "b").values()]
    )
    assert KEY not in rows.load(done.directory / "requests.parquet").to_csv()
    for path in (tmp_path / "mine.py", tmp_path / "lib" / "words.py"):
        path.unlink()
    with simulator("--seed", "5") as server:
        assert cli.main(["rerun", "b", "--host", server.url, "--results-dir", "two"]) == 0
    assert "rerun: 22 request bodies held against the bundle's: the same" in capfd.readouterr().out
    (again,) = (tmp_path / "two").iterdir()
    new = rows.load(again / "requests.parquet").sort_values("number")
    for name in (
        "body_sha256",
        "level",
        "phase",
        "name",
        "requested_prompt_tokens",
        "requested_output_tokens",
    ):
        assert list(new[name]) == list(sent[name]), name
    assert KEY.encode() not in (again / "run.json").read_bytes()


def test_options_for_locust_are_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a value and without one, as the last words, which win."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bundle", str(made(tmp_path)), "--output", "b"]) == 0
    capsys.readouterr()
    assert (
        cli.main(["rerun", "b", "--dry-run", "--option", "header=X-Tenant: a b", "--option", "insecure"]) == 0
    )
    assert shlex.split(capsys.readouterr().out.splitlines()[0])[-2:] == [
        "--header=X-Tenant: a b",
        "--insecure",
    ]
