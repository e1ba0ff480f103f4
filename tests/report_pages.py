"""Pages of synthetic runs for tests, and what is in a page: its elements, texts, rows and figures."""

import json
import re
from collections.abc import Mapping, Sequence
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
from synthetic_run import run

from harness.journal import Window
from harness.metrics import summarise
from harness.record import RequestRecord
from harness.report.material import Material
from harness.report.page import render
from harness.rows import load, write
from harness.slo import read

__all__ = ["EVIL", "Page", "figures", "page", "summary_of", "sweep", "table_of", "tiles"]

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;'
VOID = {"meta", "br", "img", "link", "input"}


def table_of(path: Path, records: Sequence[RequestRecord]) -> pd.DataFrame:
    """As `tokenswarm report` reads it; `path` is a folder."""
    write(path / "requests.parquet", records)
    return load(path / "requests.parquet")


def sweep(path: Path, **of: Any) -> tuple[pd.DataFrame, list[Window]]:
    """The synthetic sweep's table and windows."""
    records, windows = run(**of)
    return table_of(path, records), windows


def summary_of(table: pd.DataFrame, windows: Sequence[Window], *slos: str, **told: Any) -> dict[str, Any]:
    """summary.json of these."""
    return summarise(table, windows, **{"run_id": "r", "slos": read(slos), **told})


def page(
    table: pd.DataFrame,
    windows: Sequence[Window],
    *,
    summary: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    run: Mapping[str, Any] | None = None,
) -> str:
    """report.html of these; without a summary, of that of the table."""
    told = {**(run or {}), "settings": settings or {}}
    summary = summary or summary_of(table, windows)
    return render(Material(summary=summary, run=told, requests=table, windows=windows))


class Page(HTMLParser):
    """Every tag, attribute and text of a page; fails on a tag that closes another."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in {"script", "style"}:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All text that is shown, each piece on its line."""
        return "\n".join(self.words)


def figures(text: str) -> dict[str, Any]:
    """Plotly's figures by their keys."""
    found = re.findall(
        r'^<script type="application/json" id="data-([\w-]+)">(.*)</script></figure>$', text, re.MULTILINE
    )
    return {key: json.loads(data) for key, data in found}


def tiles(text: str) -> list[list[str]]:
    """Figure, what and where of each tile."""
    found = re.findall(r"<div><b[^>]*>(.*?)</b><span>(.*?)</span><small>(.*?)</small></div>", text)
    return [list(map(unescape, one)) for one in found]
