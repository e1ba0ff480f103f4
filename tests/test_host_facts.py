"""What /proc and cgroups say of a machine, from files written by hand; None where nothing says."""

import os
import platform
from pathlib import Path

import pytest

from harness import host_facts

CPUINFO = (
    "processor\t: 0\nvendor_id\t: X\nmodel name\t: Fast CPU @ 3 GHz\n\nprocessor\t: 1\nmodel name\t: other\n"
)


def machine(folder: Path, *, groups: str, files: dict[str, str] = {}) -> tuple[Path, Path]:  # noqa: B006
    """Folders as the kernel shows them."""
    proc, cgroups = folder / "proc", folder / "cgroups"
    (proc / "self").mkdir(parents=True)
    (proc / "cpuinfo").write_text(CPUINFO)
    (proc / "meminfo").write_text("MemTotal:       16384 kB\nMemFree: 1 kB\n")
    (proc / "self" / "cgroup").write_text(groups)
    cgroups.mkdir()
    for name, text in files.items():
        (cgroups / name).parent.mkdir(parents=True, exist_ok=True)
        (cgroups / name).write_text(text)
    return proc, cgroups


def test_processor_memory_and_version_2_limits(tmp_path: Path) -> None:
    """The tightest limit on the way up holds: 1.5 CPUs around a group of 4; `max` is none."""
    files = {
        "a/b/cpu.max": "400000 100000\n",
        "a/cpu.max": "150000 100000\n",
        "a/b/memory.max": "max\n",
        "a/memory.max": "1073741824\n",
    }
    told = host_facts.host(*machine(tmp_path, groups="0::/a/b\n", files=files))
    assert told["cpu_model"] == "Fast CPU @ 3 GHz"
    assert told["memory_bytes"] == 16 * 1024**2
    assert (told["cgroup_cpus"], told["cgroup_memory_bytes"]) == (1.5, 1024**3)
    assert (told["name"], told["machine"], told["cpus"]) == (
        platform.node(),
        platform.machine(),
        os.cpu_count(),
    )
    assert told["python_build"].startswith(platform.python_version())


def test_version_1_limits(tmp_path: Path) -> None:
    """Each controller has its own tree; -1 and nearly 2^63 are no limit."""
    groups = "5:memory:/x\n4:cpu,cpuacct:/x\n"
    files = {
        "cpu/x/cpu.cfs_quota_us": "50000\n",
        "cpu/x/cpu.cfs_period_us": "100000\n",
        "cpu/cpu.cfs_quota_us": "-1\n",
        "cpu/cpu.cfs_period_us": "100000\n",
        "memory/x/memory.limit_in_bytes": "9223372036854771712\n",
    }
    told = host_facts.host(*machine(tmp_path, groups=groups, files=files))
    assert (told["cgroup_cpus"], told["cgroup_memory_bytes"]) == (0.5, None)


@pytest.mark.parametrize("groups", ["", "garbage", "0::/../../etc\n", ":::::\n\x00"])
def test_nothing_that_can_be_read_is_none(tmp_path: Path, groups: str) -> None:
    """No /proc as on macOS, or one that makes no sense."""
    told = host_facts.host(tmp_path / "no", tmp_path / "such")
    assert [told[n] for n in ("cpu_model", "memory_bytes", "cgroup_cpus", "cgroup_memory_bytes")] == [
        None
    ] * 4
    proc, cgroups = machine(tmp_path, groups=groups)
    (proc / "cpuinfo").write_bytes(b"\xff\xfe")
    told = host_facts.host(proc, cgroups)
    assert (told["cpu_model"], told["cgroup_cpus"]) == (None, None)
