"""What is said before load, and what is not."""

from pathlib import Path

import pytest

from harness.cautions import cautions
from harness.exchange import Timeouts
from harness.proxy import Proxy
from harness.selftest import capacity
from harness.settings import Settings
from harness.target import parse


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No selftest has been run here."""
    monkeypatch.setenv("TOKENSWARM_CACHE", str(tmp_path))


def said(host: str = "http://h:1", **changes: object) -> list[str]:
    """The lines of a run with these settings."""
    plain: dict[str, object] = {
        "target": parse(host), "api_mode": None, "model": None, "tokenizer": None, "prompt_sizes": None, "output_sizes": None,
        "levels": (), "requests_per_level": None, "requests_per_user": None, "repeats": 1, "warmup": 0, "seed": 1, "run_name": None, "labels": {},
        "results_dir": Path("r"), "timeouts": Timeouts(), "exact_output": None, "extra_body": {}, "preflight": True,
    }  # fmt: skip
    return list(cautions(Settings(**(plain | changes))))  # type: ignore[arg-type]


def test_an_ordinary_run_needs_no_word() -> None:
    """Nothing is said for nothing."""
    assert said() == []
    assert said("https://h", ca_file=Path("ca.pem"), users=4, run_time_s=60, spawn_rate=2.0) == []


def test_unverified_certificates_are_said() -> None:
    """And what that means."""
    assert said("https://h", insecure=True) == [
        "--insecure: the server's certificate is not verified; whoever is in between can read prompts and key"
    ]


def test_tls_options_of_no_effect_are_said() -> None:
    """A pipeline may set them for all of its targets, so this is no error."""
    assert said(insecure=True) == [
        "--insecure has no effect: http://h:1 is not https, so there is no certificate"
    ]
    assert said(ca_file=Path("x")) == [
        "--ca-file has no effect: http://h:1 is not https, so there is no certificate"
    ]


def test_a_proxy_for_this_machine_is_said() -> None:
    """Where it is elsewhere it cannot work, and some set it for all they do."""
    proxy = Proxy("proxy", 3128, "HTTP_PROXY")
    assert said("http://127.0.0.1:8080", proxy=proxy) == [
        "http://127.0.0.1:8080 is this machine, and HTTP_PROXY names a proxy for it all the same: NO_PROXY=127.0.0.1 goes past it"
    ]
    assert said("http://h:1", proxy=proxy) == []
    assert said("http://127.0.0.1:8080") == []


def test_a_plan_beyond_one_worker_is_said_before_it_starts() -> None:
    """By the highest level or -u, whichever the run has; the words are the selftest's."""
    most = capacity.DEFAULT_STREAMS
    assert said(levels=(1, most)) == []
    assert said(users=most) == []
    assert said(levels=(most + 1, 2)) == [capacity.warning(most + 1, None)]
    assert said("https://h", users=most + 1) == [capacity.warning(most + 1, None, tls=True)]
    assert "tokenswarm selftest" in said(users=5_000)[0]


def test_a_ramp_longer_than_the_run_is_said() -> None:
    """Then no user count is ever reached."""
    assert said(users=100, spawn_rate=2.0, run_time_s=30) == [
        "-t 30 s is over before all users are up (50 s at this -r): nothing is measured"
    ]
