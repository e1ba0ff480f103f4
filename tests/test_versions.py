"""What run.json says of the packages and the system is what Python's own slower ways say."""

import importlib.metadata
import platform

from harness import versions


def test_they_are_what_is_installed() -> None:
    """Each package by its metadata, and the system by name, release, machine and C library."""
    told = versions.versions()
    assert {name: told[name] for name in versions._PACKAGES} == {
        name: importlib.metadata.version(name) for name in versions._PACKAGES
    }
    assert (told["os"], told["python"]) == (platform.platform(), platform.python_version())


def test_what_is_not_installed_has_none() -> None:
    """And no package of another name is taken for it."""
    assert versions._installed("tokenswarm-no-such") is None
