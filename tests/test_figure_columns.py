"""Cells of tables of figures: plain numbers, counts, spreads, and what so few requests do not carry."""

import pytest

from harness.figure_columns import Column, lacking

ENTRY = {
    "rate": 12.345,
    "unsent": 12345,
    "e2e_ms": {"n": 100, "p50": 1500.0, "p99": 9000.0},
    "ttft_ms": {"n": 100, "p50": None, "p99": None},
}


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        (Column("requests/s", "rate"), "12.3"),
        (Column("unsent", "unsent"), "12,345"),
        (Column("E2E s p50", "e2e_ms", "p50", 1e-3), "1.5"),
        (Column("E2E s p99", "e2e_ms", "p99", 1e-3), "\N{EN DASH}*"),
        (Column("TTFT ms p50", "ttft_ms", "p50"), "\N{EN DASH}"),
        (Column("never heard of", "new_ms", "p50"), "\N{EN DASH}"),
        (Column("never heard of", "new"), "\N{EN DASH}"),
    ],
)
def test_a_cell(column: Column, cell: str) -> None:
    """In the heading's unit; an older summary lacks a figure, and that is a dash."""
    assert column.cell(ENTRY) == cell


def test_what_a_footnote_has_to_explain() -> None:
    """Percentiles that were measured and are not shown, each once; nothing of plain numbers."""
    columns = [
        Column("", "rate"),
        Column("", "e2e_ms", "p50"),
        Column("", "e2e_ms", "p99"),
        Column("", "ttft_ms", "p99"),
    ]
    assert lacking(columns, [ENTRY, ENTRY]) == ["p99"]
    assert lacking(columns, [{**ENTRY, "e2e_ms": {"n": 1000, "p50": 1.0, "p99": 2.0}}]) == []
