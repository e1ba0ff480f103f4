"""Runs to be bundled, made without any load: a run directory whose run.json says how it was started."""

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from synthetic_run import run

from harness import rows
from harness.journal import pack
from harness.record import RequestRecord
from harness.results import RunDirectory

RUN_ID = "20261121T101500Z-sim-abc123"


def digest(text: str) -> str:
    """Of a body."""
    return sha256(text.encode()).hexdigest()


def made(folder: Path, *, data: bool = False, complete: bool = True, more: Mapping[str, Any] = {}) -> Path:
    """A finished run of 34 requests with a locustfile that imports a module, and a dataset if asked for."""
    records, windows = run(levels=(2,), per_level=32, repeats=1)
    (folder / "scripts" / "lib").mkdir(parents=True, exist_ok=True)
    programs = [folder / "scripts" / "mine.py", folder / "scripts" / "lib" / "texts.py"]
    for path in programs:
        path.write_text(f"# {path.name}\n")
    (folder / "prompts one.jsonl").write_text('{"prompt": "hello"}\n')
    settings = {"seed": 7, "host": "http://127.0.0.1:1", "model": "m", "levels": [2],
                "users": {"Chat": {"sizer": "s", "server": {"model": "m"}}}}  # fmt: skip
    options = {"seed": "7", "levels": "2", "prompt_tokens": "40"} | (
        {"dataset": "prompts one.jsonl"} if data else {}
    )
    origin = {
        "invocation": {
            "argv": ["-f", "mine.py", "--levels", "2", "--csv", "old", "--my-own", "3", "-u", "4", "Chat"],
            "environment": {"TOKENSWARM_BACKEND": "sglang", "TOKENSWARM_LEVELS": "2", "LOCUST_USERS": "4"},
            "options": options,
            "locustfiles": [_told(programs[0])],
            "imports": [_told(programs[1])],
        },
        "data": [{"option": "--dataset", "given": "prompts one.jsonl", **_told(folder / "prompts one.jsonl")}]
        if data
        else [],
    }
    directory = RunDirectory.create(folder / "results", RUN_ID, settings, len(records), origin)
    for place, one in reversed(list(enumerate(records))):  # as they never ended
        named = _placed(one, place)
        directory.journal.append("record", pack(named, 0))
    for window in windows:
        directory.journal.append("window", {name: getattr(window, name) for name in window.__slots__})
    reasons = () if complete else ("interrupted",)
    directory.finish(
        planned=len(records),
        incomplete=reasons,
        findings=[],
        count_tokens=lambda text: len(text.split()),
        more=more,
    )
    return directory.path


def _placed(record: RequestRecord, place: int) -> RequestRecord:
    return replace(record, user_class="Chat", number=place, body_sha256=digest(f"body {place}"))


def _told(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"path": str(path), "sha256": sha256(data).hexdigest(), "bytes": len(data)}


def members(bundle: Path) -> dict[str, bytes]:
    """What is in a bundle, by another reader than ours."""
    with tarfile.open(bundle, "r:gz") as archive:
        return {one.name: archive.extractfile(one).read() for one in archive.getmembers()}  # type: ignore[union-attr]


def repacked(
    target: Path, files: list[tuple[tarfile.TarInfo, bytes]], *, style: int = tarfile.USTAR_FORMAT
) -> Path:
    """An archive of such headers and contents, whatever they say."""
    with tarfile.open(target, "w:gz", format=style) as archive:
        for info, data in files:
            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data))
    return target


def told(files: Mapping[str, bytes], **changes: Any) -> bytes:
    """A manifest of such files."""
    listed = [
        {"name": name, "bytes": len(data), "sha256": sha256(data).hexdigest(), "role": "result", "of": None}
        for name, data in sorted(files.items())
    ]
    whole = {
        "format": 1,
        "run_id": "r",
        "tokenswarm": "1",
        "complete": True,
        "members": listed,
        "not_packed": [],
    }
    return json.dumps(whole | changes).encode()


def table(path: Path, bodies: Mapping[int, str | None]) -> None:
    """A table of requests of one level with such bodies by number."""
    records = run(levels=(2,), per_level=max(len(bodies) - 2, 1), repeats=1)[0]
    rows.write(
        path,
        [
            replace(one, user_class="Chat", number=number, body_sha256=body and digest(body))
            for one, (number, body) in zip(records, bodies.items(), strict=False)
        ],
    )
