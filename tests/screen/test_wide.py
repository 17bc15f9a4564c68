"""Tables that go into a pipe keep every figure."""

import io

from rich.table import Table

from emu.screen.wide import LEAST_COLUMNS, table_console


def test_a_table_in_a_pipe_is_not_cut() -> None:
    page = io.StringIO()
    console = table_console(page)
    assert console.width == LEAST_COLUMNS
    table = Table(box=None)
    for number in range(10):
        table.add_column(f"column {number}", no_wrap=True)
    table.add_row(*("123,456.789",) * 10)
    console.print(table)
    assert page.getvalue().count("123,456.789") == 10
    assert "…" not in page.getvalue()
