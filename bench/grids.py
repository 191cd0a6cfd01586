"""Tables of text, for the terminal and for a Markdown page."""

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Grid:
    """A table: a title, the columns' heads, and rows of text; all but `left` are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    """How many columns at the left are words."""


def show(grid: Grid, console: Console) -> None:
    """Print a table."""
    table = Table(title=grid.title, title_justify="left", title_style="bold")
    for number, column in enumerate(grid.columns):
        table.add_column(column, justify="left" if number < grid.left else "right")
    for row in grid.rows:
        table.add_row(*row)
    console.print(table)


def markdown(grid: Grid) -> str:
    """Return a table as Markdown."""
    rules = ["---" if number < grid.left else "---:" for number in range(len(grid.columns))]
    lines = [grid.columns, tuple(rules), *grid.rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"### {grid.title}\n\n{table}\n"
