"""A campaign over two settings of a real llama.cpp server: the TGI article's comparison in one command."""

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from locust_runs import ROOT

pytestmark = pytest.mark.real

SLOTS: Final = """
[campaign]
name = "slots"
locustfile = "llamacpp.py"

[options]
levels = [1, 4]
requests-per-level = "10x"
warmup = 1
prompt-tokens = 256
output-tokens = 128

[axes]
slots = [1, 4]

[[target]]
name = "llama.cpp"
serve = "llamacpp --model tiny --slots {slots}"
"""


def test_two_settings_of_llamacpp_in_one_table(tmp_path: Path) -> None:
    """`-np 1` and `-np 4`, each started and stopped in turn, at 1 and 4 clients: prefill, decode, a client's share, scaling.

    What must be so on any machine: with one slot three of four clients wait, so their first token takes several times
    as long as with four slots.
    """
    if os.environ.get("TOKENSWARM_REQUIRE_REAL") != "1":
        pytest.importorskip("xllamacpp")
    path = tmp_path / "slots.toml"
    path.write_text(SLOTS)
    clean = {name: value for name, value in os.environ.items() if "LOCUST" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "harness", "campaign", str(path)],
        capture_output=True,
        text=True,
        timeout=240,
        env=clean,
        cwd=ROOT,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "results" / "slots" / "campaign.csv").open() as file:
        rows = {(row["slots"], row["level"]): row for row in csv.DictReader(file)}
    assert list(rows) == [("1", "1 user"), ("1", "4 users"), ("4", "1 user"), ("4", "4 users")]
    for row in rows.values():
        assert row["succeeded"] == row["requests"] == ("10" if row["level"] == "1 user" else "40")
        assert row["prefill_is_lower_bound"] == "no"
        decode, users = float(row["decode_tokens_per_s"]), float(row["value"])
        assert float(row["decode_tokens_per_s_per_user"]) == pytest.approx(decode / users)
        first = float(rows[row["slots"], "1 user"]["decode_tokens_per_s"])
        assert float(row["scaling"]) == pytest.approx(decode / first)
        assert float(row["prefill_tokens_per_s"]) > 0
    waits = {slots: float(rows[slots, "4 users"]["ttft_ms_p50"]) for slots in ("1", "4")}
    print(waits)
    assert waits["1"] > 3 * waits["4"]
    # It is not, if others had the machine.
    competes = all(rows[slots, "4 users"]["verdict"] != "invalid" for slots in waits)
    assert competes == ("ttft_ms_p50" in rows["4", "4 users"]["best"].split())
