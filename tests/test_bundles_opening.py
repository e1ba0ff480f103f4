"""Bundles that are not as they were made: one clear line each, nothing written outside, and no disk filled."""

import gzip
import json
import tarfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from bundled import repacked, told
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.bundles import opening
from harness.errors import ConfigError

FILES = {"a.txt": b"hello", "d/b.txt": b"x" * 2_000, "empty": b""}


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    """A header."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def archive(folder: Path, files: dict[str, bytes], manifest: bytes | None = None, **how: Any) -> Path:
    """A bundle of run `r`."""
    parts = [(entry("r/manifest.json"), told(FILES) if manifest is None else manifest)]
    return repacked(
        folder / "b", [*parts, *((entry(f"r/{name}"), data) for name, data in files.items())], **how
    )


def said(path: Path, folder: Path) -> str:
    """What is wrong with it, the same whether it is checked or unpacked."""
    with pytest.raises(ConfigError) as checked:
        opening.check(path)
    folder.mkdir(exist_ok=True)
    with pytest.raises(ConfigError) as unpacked:
        opening.unpack(path, folder)
    assert str(checked.value) == str(unpacked.value)
    assert len(str(checked.value).splitlines()) == 1
    return str(checked.value)


def test_a_whole_one_is_unpacked(tmp_path: Path) -> None:
    """Every file where it belongs, and nothing else."""
    path = archive(tmp_path, FILES)
    (tmp_path / "out").mkdir()
    assert opening.check(path) == opening.unpack(path, tmp_path / "out")
    found = {
        str(p.relative_to(tmp_path / "out")): p.read_bytes()
        for p in (tmp_path / "out").rglob("*")
        if p.is_file()
    }
    assert found == FILES


HOSTILE = [
    "../evil",
    "/etc/evil",
    "r/../../evil",
    "r/a/../../../evil",
    "r//a",
    "other/a.txt",
    "r/..\\evil",
    "r/C:evil",
    "evil",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    """Whether the archive has them or its manifest says them; nothing appears anywhere."""
    parts = [(entry("r/manifest.json"), told(FILES)), (entry(name), b"evil")]
    assert "a name that leads elsewhere" in said(repacked(tmp_path / "b", parts), tmp_path / "out")
    inner = name.removeprefix("r/")
    listed = archive(tmp_path, {}, told({inner: b"evil"}))
    if inner != name or ".." in name or name.startswith("/"):
        assert "a name that leads elsewhere" in said(listed, tmp_path / "out2")
    assert not [p for p in tmp_path.rglob("*") if "evil" in p.name]
    assert not Path("/etc/evil").exists()


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.DIRTYPE,
        tarfile.FIFOTYPE,
        tarfile.CHRTYPE,
        tarfile.XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
    ],
)
def test_only_plain_files(tmp_path: Path, kind: bytes) -> None:
    """No link to follow, no device to open, no header that claims a gigabyte."""
    parts = [(entry("r/manifest.json"), told(FILES)), (entry("r/a.txt", kind, "/etc/passwd"), b"")]
    assert "which is no plain file" in said(repacked(tmp_path / "b", parts), tmp_path / "out")
    assert not any((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({**FILES, "a.txt": b"hellO"}, "'a.txt' with other bytes than its manifest says"),
        ({**FILES, "a.txt": b"hello!"}, "'a.txt' with 6 bytes where its manifest says 5"),
        ({**FILES, "more": b""}, "'more', which its manifest does not list"),
        ({"a.txt": b"hello"}, "lacks 'd/b.txt'"),
    ],
)
def test_other_files_than_listed(tmp_path: Path, files: dict[str, bytes], what: str) -> None:
    """Changed, longer, more, fewer."""
    assert what in said(archive(tmp_path, files), tmp_path / "out")


def test_a_file_twice_and_no_manifest_first(tmp_path: Path) -> None:
    """The second could replace what was checked."""
    parts = [(entry("r/manifest.json"), told(FILES)), *[(entry("r/a.txt"), b"hello")] * 2]
    assert "holds it twice" in said(repacked(tmp_path / "b", parts), tmp_path / "out")
    assert "does not begin with its manifest.json" in said(
        repacked(tmp_path / "b", parts[1:]), tmp_path / "out2"
    )


@pytest.mark.parametrize(
    ("manifest", "what"),
    [
        (b"{broken", "is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b"{}", "has format 'None'"),
        (told({}, format=2), "has format '2', and this version reads 1"),
        (told({}, members=5), "has no list under 'members'"),
        (told({}, members=[5]), "lists a file that is no JSON object"),
        (told({}, members=[{"name": 5}]), "has no text under 'name'"),
        (told({}, members=[{"name": "a", "sha256": "z" * 64, "bytes": 1}]), "says of 'a' no SHA-256"),
        (told({}, members=[{"name": "a", "sha256": "0" * 64, "bytes": True}]), "has 'True' bytes"),
        (told({}, members=[{"name": "a", "sha256": "0" * 64, "bytes": -1}]), "has '-1' bytes"),
        (told({}, members=[{"name": "a", "sha256": "0" * 64, "bytes": 1, "role": []}]), "not what it is for"),
        (
            told({}, members=[{"name": "a", "sha256": "0" * 64, "bytes": 1, "role": "data", "of": 5}]),
            "not what it is for",
        ),
        (told({}, run_id="../r"), "which is no plain name"),
        (told({}, run_id="q"), "has the folder 'r' where its manifest says 'q'"),
        (told({}, not_packed=[{}]), "has no text under 'path'"),
        (told({}, tokenswarm=None), "has no text under 'tokenswarm'"),
        (b"\xff\xfe", "is not JSON"),
    ],
)
def test_manifests_of_wrong_types(tmp_path: Path, manifest: bytes, what: str) -> None:
    """Garbage and every wrong type."""
    assert what in said(archive(tmp_path, {}, manifest), tmp_path / "out")


def test_what_is_no_bundle(tmp_path: Path) -> None:
    """Nothing, a folder, another file, another archive, one cut short or damaged anywhere."""
    assert "cannot be read (No such file" in said(tmp_path / "none", tmp_path / "out")
    assert "cannot be read (Is a directory)" in said(tmp_path, tmp_path / "out")
    path = tmp_path / "b"
    for data, what in (
        (b"", "ends too early"),
        (b"hello" * 500, "is not a gzip file"),
        (gzip.compress(b"hello" * 500, mtime=0), "is no bundle (not a tar archive)"),
        (gzip.compress(b"hi", mtime=0), "ends too early"),
        (gzip.compress(bytes(10_240), mtime=0), "does not begin with its manifest.json"),
    ):
        path.write_bytes(data)
        assert what in said(path, tmp_path / "out")
    pax = archive(tmp_path, {"ü" * 200: b""}, told(FILES), style=tarfile.PAX_FORMAT)
    assert "which is no plain file" in said(pax, tmp_path / "out2")


def test_a_bomb_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What unpacks to far more than its size is refused when the limit is reached, even if the manifest agrees."""
    monkeypatch.setattr(opening, "FREE_BYTES", 100_000)
    data = bytes(20_000_000)
    path = archive(tmp_path, {"zeros": data}, told({"zeros": data}))
    limit = 200 * path.stat().st_size + 100_000
    assert limit < len(data)
    assert f"unpacks to more than {limit} bytes" in said(path, tmp_path / "out")
    assert (tmp_path / "out" / "zeros").stat().st_size <= limit
    path.write_bytes(
        path.read_bytes()[:0]
        + gzip.compress(gzip.decompress(archive(tmp_path, FILES).read_bytes()) + bytes(10**8))
    )
    assert "unpacks to more than" in said(path, tmp_path / "out2")
    path.write_bytes(gzip.compress(gzip.decompress(archive(tmp_path, FILES).read_bytes()) + b"more"))
    assert "goes on behind its end" in said(path, tmp_path / "out3")


def test_too_many_files_and_too_much_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is read."""
    monkeypatch.setattr(opening, "MOST_FILES", 2)
    assert "lists 3 files, over 2" in said(archive(tmp_path, FILES), tmp_path / "out")
    monkeypatch.setattr(opening, "MANIFEST_BYTES", 100)
    assert "has a manifest.json of" in said(archive(tmp_path, FILES), tmp_path / "out2")


@given(st.data())
def test_any_damage_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A byte changed in the archive's contents, or its end cut off: always one line, never a traceback or a pass."""
    path = archive(tmp_path_factory.mktemp("b"), FILES)
    whole = path.read_bytes()
    at = data.draw(st.integers(12, len(whole) - 9))  # behind gzip's header, which has a time and a name
    changed = bytearray(whole[: at if data.draw(st.booleans()) else len(whole)])
    if len(changed) == len(whole):
        changed[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    with suppress(
        EOFError, OSError, zlib.error
    ):  # a bit that says nothing, at the end of the compressed data
        assume(gzip.decompress(bytes(changed)) != gzip.decompress(whole))
    with pytest.raises(ConfigError) as error:
        opening.check(path)
    assert len(str(error.value).splitlines()) == 1


def test_a_name_in_an_error_is_short(tmp_path: Path) -> None:
    """A megabyte of name is not shown."""
    manifest = json.dumps(json.loads(told({})) | {"run_id": "x" * 10**6}).encode()
    assert len(said(archive(tmp_path, {}, manifest), tmp_path / "out")) < 300 + len(str(tmp_path))
