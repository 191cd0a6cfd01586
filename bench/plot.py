"""Draws what `make bench` measured: seconds by the number of replicas.

    python -m bench.plot .local/bench.json

A complete measurement goes to docs/bench.svg, any other to bench.svg beside its figures.
It runs where matplotlib is, which is no environment that has the rest of this project's needs.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot

# The same figures give the same file.
mpl.use("svg")
mpl.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9})

_COLOURS = ("#0b6e4f", "#6bbf59", "#555555", "#c77d0a", "#8a1c7c")
_INCHES = (7, 4)


def draw(measured: dict[str, Any], image: Path) -> None:
    """Draw the first table of what was measured."""
    table = measured["tables"][0]
    figure, axes = pyplot.subplots(figsize=_INCHES, layout="constrained")
    names = list(dict.fromkeys(cell["contender"] for cell in table["cells"]))
    for name, colour in zip(names, _COLOURS, strict=False):
        points = sorted(
            (cell["replicas"], cell["seconds"])
            for cell in table["cells"]
            if cell["contender"] == name
        )
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, color=colour, label=name)
    axes.set_xticks(sorted({cell["replicas"] for cell in table["cells"]}))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("replicas")
    axes.set_ylabel("seconds until the key set is there")
    axes.set_title(
        f"KMS takes {1000 * table['latency_seconds']:g} ms a call, "
        f"a replica is Creating for {table['creating_seconds']:g} s",
        loc="left",
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(image, metadata={"Date": None, "Creator": None})


def main() -> None:
    """Draw the figures in the file that the command line names."""
    source = Path(sys.argv[1])
    measured = json.loads(source.read_text())
    folder = Path("docs") if measured["complete"] else source.parent
    draw(measured, folder / "bench.svg")


if __name__ == "__main__":
    main()
