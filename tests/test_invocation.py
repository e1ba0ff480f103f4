"""How a run was started, without any secret: command lines, variables, options, the commit of a checkout."""

import sys
from argparse import Namespace
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import invocation, provenance
from harness.hiding import Hider

KEY = "sk-planted-9f8e7d"
NONE = Hider({})


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        (["--header", "Authorization: Bearer abc"], ["--header", "Authorization: ***"]),
        (["--header=X-Tenant: a"], ["--header=X-Tenant: ***"]),
        (["--heade", "X: y"], ["--heade", "X: ***"]),  # Locust takes a beginning
        (["--extra-body", '{"api_key": "abc", "n": 1}'], ["--extra-body", '{"api_key":"***","n":1}']),
        (["--extra-body", '{"stop_token": "x"}'], ["--extra-body", '{"stop_token": "x"}']),
        (["--extra-body", "{broken"], ["--extra-body", "***"]),
        (["-H", "http://me:pw@h:1/v1"], ["-H", "http://***@h:1/v1"]),
        (["--my-api-key", "abc", "User"], ["--my-api-key", "***", "User"]),
        (["--my-password=abc"], ["--my-password=***"]),
        (["--serve", "vllm --api-key abc --port 1"], ["--serve", "vllm --api-key '***' --port 1"]),
        (["--serve", "HF_TOKEN=abc vllm"], ["--serve", "'HF_TOKEN=***' vllm"]),
        (
            ["--first-token-timeout", "5", "--max-tokens", "9"],
            ["--first-token-timeout", "5", "--max-tokens", "9"],
        ),
        (["--headless", "-u", "4"], ["--headless", "-u", "4"]),
    ],
)
def test_command_lines(given_: list[str], kept: list[str]) -> None:
    """What may be a secret is hidden, by what it is called; the rest stays word for word."""
    assert NONE.words(given_) == kept


def test_what_the_environment_calls_a_secret_is_hidden_everywhere() -> None:
    """Even where nothing around it says so; PWD is no secret, nor is a value of some letters."""
    hider = Hider({"OPENAI_API_KEY": KEY, "PWD": "/work/here", "X_TOKEN": "1"}, ["told-apart"])
    assert hider.words([f"--run-name=a{KEY}b", "/work/here/1", "told-apart"]) == [
        "--run-name=a***b",
        "/work/here/1",
        "***",
    ]


@given(st.lists(st.text(max_size=30), max_size=8), st.integers(0, 8))
def test_no_planted_key_gets_through(words: list[str], at: int) -> None:
    """Wherever it stands in whatever command line."""
    words.insert(min(at, len(words)), f"x{KEY}y")
    told = Hider({"TOKENSWARM_API_KEY": KEY}).words(words)
    assert KEY not in " ".join(told)
    assert len(told) == len(words)


def options(**values: Any) -> dict[str, Any]:
    """As `Settings.given` has them."""
    return invocation.given(
        Namespace(**{"seed": "1", "model": "", "label": None, "num_users": None, **values})
    )


def test_only_what_differs_from_the_defaults_is_kept() -> None:
    """Ours as text, Locust's as it has them."""
    assert options(seed="1", stop_timeout=0, expect_workers=1) == {}
    assert options(seed="7", label=["a=b"], num_users=4, run_time=60, headless=True) == {
        "seed": "7",
        "label": ["a=b"],
        "num_users": 4,
        "run_time": 60,
    }


def test_variables_locustfiles_and_imports(tmp_path: Path) -> None:
    """Ours and Locust's variables less secrets; files with their hashes; modules from beside the locustfile alone."""
    locustfile, beside, away = (
        tmp_path / "l" / "locust.py",
        tmp_path / "l" / "lib" / "texts.py",
        tmp_path / "other.py",
    )
    beside.parent.mkdir(parents=True)
    for path, text in ((locustfile, b"one"), (beside, b"two"), (away, b"three")):
        path.write_bytes(text)
    modules = {}
    for name, path in (
        ("locust", locustfile),
        ("texts", beside),
        ("other", away),
        ("gone", tmp_path / "l" / "x.py"),
    ):
        modules[name] = ModuleType(name)
        modules[name].__file__ = str(path)
    environ = {
        "TOKENSWARM_BACKEND": "sglang",
        "TOKENSWARM_FIRST_TOKEN_TIMEOUT": "5",
        "TOKENSWARM_HEADER": "X-A: b",
        "TOKENSWARM_API_KEY": KEY,
        "TOKENSWARM_API_KEY_FILE": "/k",
        "TOKENSWARM_API_KEY_ORIGIN": "https://h",
        "TOKENSWARM_ALLOWED_HOSTS": "h",
        "LOCUST_USERS": "4",
        "HOME": "/root",
    }
    told = invocation.stored(
        {"locustfile": str(locustfile), "host": f"http://h/{KEY}"},
        ["-u", "1"],
        environ,
        Hider(environ),
        modules,
    )
    assert told["environment"] == {
        "LOCUST_USERS": "4",
        "TOKENSWARM_BACKEND": "sglang",
        "TOKENSWARM_FIRST_TOKEN_TIMEOUT": "5",
        "TOKENSWARM_HEADER": "X-A: ***",
    }
    assert told["options"] == {"host": "http://h/***"}
    assert told["locustfiles"] == [
        {"path": str(locustfile), "sha256": sha256(b"one").hexdigest(), "bytes": 3}
    ]
    assert told["imports"] == [{"path": str(beside), "sha256": sha256(b"two").hexdigest(), "bytes": 3}]


def test_locustfiles_as_locust_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several, a folder's, and one without its ending; a URL is not ours to read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    for name in ("a.py", "d/b.py", "d/_no.py", "d/c.txt"):
        (tmp_path / name).write_text("")
    told = invocation.stored({"locustfile": "a, d,https://x/l.py,gone.py"}, [], {}, NONE, {})
    assert [Path(one["path"]).name for one in told["locustfiles"]] == ["a.py", "b.py"]


@pytest.mark.parametrize("way", ["loose", "packed", "detached", "worktree"])
def test_the_commit_of_a_checkout(tmp_path: Path, way: str) -> None:
    """Wherever git keeps it."""
    commit, top = "ab" * 20, tmp_path / "repo"
    git = tmp_path / "elsewhere" if way == "worktree" else top / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (top / "harness").mkdir(parents=True)
    (git / "HEAD").write_text(f"{commit}\n" if way == "detached" else "ref: refs/heads/main\n")
    if way == "packed":
        (git / "packed-refs").write_text(
            f"# pack-refs\n{'cd' * 20} refs/heads/other\n{commit} refs/heads/main\n"
        )
    elif way != "detached":
        (git / "refs" / "heads" / "main").write_text(f"{commit}\n")
    if way == "worktree":
        (top / ".git").write_text(f"gitdir: {git}\n")
    assert provenance.commit(top / "harness") == commit


@pytest.mark.parametrize("head", ["", "ref: ../../secret", "not a hash", "ref: refs/heads/none", "ref: HEAD"])
def test_no_commit_where_none_can_be_told(tmp_path: Path, head: str) -> None:
    """Nor where there is no repository."""
    assert provenance.commit(tmp_path / "harness") is None
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text(head)
    (tmp_path / "secret").write_text("ab" * 20)
    assert provenance.commit(tmp_path / "harness") is None


def test_the_working_directory_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the command line itself says of it."""
    monkeypatch.chdir(tmp_path)
    told = invocation.stored({}, sys.argv[:0], {"PWD": str(tmp_path)}, NONE, {})
    assert str(tmp_path) not in str(told)
