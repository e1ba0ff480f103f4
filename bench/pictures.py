"""The picture of a run's table for the README: what a command says on its console, as a terminal shows it.

    python bench/pictures.py docs/images/table.png -- .venv/bin/tokenswarm demo

The command is run, its table and its verdict are drawn by Chromium; nothing is edited but that the lines before the run's own
head are left out. Take it on a quiet machine: the picture shows what was measured, its doubts included.
"""

import argparse
import html
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PAGE: Final = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: #0d1117 }}
pre {{ margin: 0; padding: 18px 22px; color: #d5dbe3; font: 15px/1.35 "DejaVu Sans Mono", monospace; width: max-content }}
b {{ color: #ffffff }} i {{ color: #7d8590; font-style: normal }} em {{ color: #56d364; font-style: normal }}
</style><pre>{}</pre>"""
# In px, of the font above: DejaVu Sans Mono is 0.602 em wide.
CELL: Final = (15 * 0.6021, 15 * 1.35)
PADDING: Final = (44, 36)


def main() -> int:
    """Exit code 1 if the command had no table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("picture", type=Path, help="the PNG file to write")
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, help="after --: the command whose table it is to be"
    )
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if not command or browser is None:
        parser.error("no command was given after --" if browser else "no Chromium is installed here")
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    lines = tables_of(said)
    if not lines:
        print(f"no table in what it said:\n{said}", file=sys.stderr)
        return 1
    args.picture.parent.mkdir(parents=True, exist_ok=True)
    draw(
        browser,
        [
            "$ " + " ".join(Path(word).name if word.startswith(".venv") else word for word in command),
            "",
            *lines,
        ],
        args.picture,
    )
    print(
        f"{args.picture}: {'x'.join(map(str, size_of(args.picture)))} px, {args.picture.stat().st_size // 1024} KiB"
    )
    return 0


def tables_of(said: str) -> list[str]:
    """The lines from the run's own head on, `tokenswarm  RUN  MODEL  HOST`: none if it had no table."""
    lines = [line.rstrip() for line in said.splitlines()]
    head = next((at for at, line in enumerate(lines) if re.match(r"tokenswarm  \S+  ", line)), None)
    return [] if head is None else lines[head:]


def draw(browser: str, lines: list[str], picture: Path) -> None:
    """As a terminal of the size that the lines need."""
    text = "\n".join(map(coloured, lines))
    width = round(max(map(len, lines)) * CELL[0] + PADDING[0])
    height = round(len(lines) * CELL[1] + PADDING[1])
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(PAGE.format(text), encoding="utf-8")
        subprocess.run(
            [
                *(
                    browser,
                    "--headless=new",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--hide-scrollbars",
                    "--no-first-run",
                ),
                *(
                    "--disable-background-networking",
                    f"--user-data-dir={folder}/profile",
                    "--force-device-scale-factor=1.5",
                ),
                *(f"--window-size={width},{height}", f"--screenshot={picture}", page.as_uri()),
            ],
            capture_output=True,
            check=True,
        )


def coloured(line: str) -> str:
    """Commands and heads bright, rules and places grey, a good verdict green."""
    safe = html.escape(line)
    if line.startswith("$ "):
        return f"<b>{safe}</b>"
    if re.fullmatch(r"-+( +-+)+", line):
        return f"<i>{safe}</i>"
    return re.sub(r"^(verdict: )(VALID)", r"\1<em>\2</em>", safe)


def size_of(picture: Path) -> tuple[int, int]:
    """Width and height in px, from the PNG's own header."""
    width, height = struct.unpack(">II", picture.read_bytes()[16:24])
    return width, height


if __name__ == "__main__":
    sys.exit(main())
