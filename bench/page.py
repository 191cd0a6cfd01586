"""The measured part of docs/performance.md."""

from pathlib import Path

from bench.grids import Grid, markdown
from local.settings import ROOT

PAGE = ROOT / "docs" / "performance.md"
_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"


def renew(conditions: str, grids: list[Grid], page: Path = PAGE) -> None:
    """Write what was measured between the page's two markers."""
    before, _, rest = page.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    measured = "\n".join([conditions, "", *map(markdown, grids)])
    page.write_text(f"{before}{_BEGIN}\n{measured}{_END}{after}")
