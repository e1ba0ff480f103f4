"""Templates: where the prompt goes, several in a file, and mistakes by file and line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.templates import Template, parse, read

PLAIN = st.text(
    st.characters(exclude_characters="{}\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029-", exclude_categories=["Cs"])
)


def test_several_templates_with_a_line_between() -> None:
    """Blank lines at the ends are dropped, those inside stay, and other braces are text."""
    found = parse("\nSay {prompt} in {language}.\n\n--- \n{prompt}\n\n- a -- b --- c\n", "f")
    assert found == (Template("Say ", " in {language}."), Template("", "\n\n- a -- b --- c"))
    assert found[0].around("this") == "Say this in {language}."


@given(before=PLAIN, after=PLAIN)
def test_any_text_around_is_kept(before: str, after: str) -> None:
    """To the letter, on the prompt's own line."""
    assert parse(f"{before}{{prompt}}{after}", "f") == (Template(before, after),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f line 1: the template that begins here has no {prompt}; put it where prompts go"),
        (
            "a {prompt}\n---\nb\nc",
            "f line 3: the template that begins here has no {prompt}; put it where prompts go",
        ),
        (
            "{prompt}\n---\n",
            "f line 3: the template that begins here has no {prompt}; put it where prompts go",
        ),
        ("{prompt}\n{prompt}", "f line 2: a second {prompt} in one template; leave one, or part them by ---"),
        ("{prompt} {prompt}", "f line 1: a second {prompt} in one template; leave one, or part them by ---"),
    ],
)
def test_mistakes_are_told_by_line(text: str, said: str) -> None:
    """What is wrong, where, and what to do."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    assert str(caught.value) == said


def test_a_file_is_read_as_utf8(tmp_path: Path) -> None:
    """With or without a byte-order mark and with any line ends; anything else is an error with its line."""
    path = tmp_path / "t.txt"
    path.write_bytes(b"\xef\xbb\xbfOl\xc3\xa1,\r\n{prompt}\r\n")
    assert read(path) == (Template("Olá,\n", ""),)
    path.write_bytes(b"one\ntwo \xe1 {prompt}\n")
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert str(caught.value) == f"--template {path} line 2: not UTF-8; save the file as UTF-8"


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A file that is not there, a folder, and a file that is no file of templates by its size."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path / "none.txt")
    assert str(caught.value) == (
        f"--template {tmp_path}/none.txt cannot be read (No such file or directory); "
        "give a file of text with {prompt} in it"
    )
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        read(tmp_path)
    big = tmp_path / "big.txt"
    big.write_bytes(b"{prompt}" * 600_000)
    with pytest.raises(ConfigError, match="over 4 MB is no file of templates"):
        read(big)
