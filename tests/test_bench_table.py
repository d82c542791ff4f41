"""The verdicts of bench/compare: against the better of the peers, and against a number."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench"))
import rows  # noqa: E402
import table  # noqa: E402

PEERS = ["Dovecot", "Cyrus"]


def found(ours, dovecot, cyrus):
    return {name: {"x": value} for name, value in (("Posthorn", ours), ("Dovecot", dovecot), ("Cyrus", cyrus)) if value is not None}


@pytest.mark.parametrize("line, figures, factor, verdict", [
    (rows.Line("", "x", 2), (40, 10, 20), 2, "yes"),
    (rows.Line("", "x", 2), (39, 10, 20), 1.95, "short"),
    (rows.Line("", "x", 4, low=True), (10, 40, 80), 4, "yes"),
    (rows.Line("", "x", 4, low=True), (10, 400, 39), 3.9, "short"),
    (rows.Line("", "x", 2), (40, None, 20), 2, "yes"),
    (rows.Line("", "x", 2), (40, None, None), None, "-"),
    (rows.Line("", "x", 2, 5, low=True), (6, None, None), None, "short"),
    (rows.Line("", "x", 2), (None, 10, 20), None, "-"),
    (rows.Line("", "x", most=5, low=True), (5, 1, 1), 0.2, "yes"),
    (rows.Line("", "x", most=5, low=True), (5.1, 90, 90), 90 / 5.1, "short"),
    (rows.Line("", "x", 1, 5, low=True), (6, 90, 90), 15, "short"),
    (rows.Line("", "x", 1, low=True), (0, 90, 90), None, "yes"),
    (rows.Line("", "x"), (6, 90, 90), 1 / 15, "-"),
])
def test_verdict(line, figures, factor, verdict):
    figures = found(*figures)
    assert table.ratio(line, figures, PEERS) == pytest.approx(factor) if factor else table.ratio(line, figures, PEERS) is None
    assert table.verdict(line, table.value_of(line, figures, "Posthorn"), table.ratio(line, figures, PEERS)) == verdict


def test_a_failed_server_is_shown():
    assert table.cell(rows.Line("", "x", 1), {"Cyrus": {"failed": "why"}}, "Cyrus") == "failed"


def test_every_row_has_a_line_and_a_name_of_its_own():
    assert len({row.name for row in rows.ROWS}) == len(rows.ROWS)
    assert all(row.lines for row in rows.ROWS)


def test_the_table_stands_between_the_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    table.put(page, "new")
    assert page.read_text() == f"before\n{table.BEGIN}\nnew\n{table.END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(RuntimeError):
        table.put(page, "new")
