"""Render the state machines' definitions from their sources, or hold them against these.

    python -m checks.definition [--write]

`statemachine/NAME.yaml` is the source of `statemachine/NAME.asl.json`. What stands there more than
once, such as a retry policy, has an anchor under a key that begins with `x-`; such keys are not
rendered. A list in a list is rendered as its items, so that an anchor can stand for several. The
anchors of `statemachine/retries.yaml` are known in every source.

Exit codes: 0 every definition is what its source renders to, 1 one is not.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path("statemachine")
_RETRIES = "retries.yaml"
_NOT_RENDERED = "x-"


def sources() -> list[Path]:
    """List the sources, each of which is rendered into a definition."""
    return [path for path in sorted(FOLDER.glob("*.yaml")) if path.name != _RETRIES]


def read(source: Path) -> str:
    """Return the text of a source with the retry policies that it shares in front of it."""
    return f"{(FOLDER / _RETRIES).read_text()}\n{source.read_text()}"


def render(source: str) -> str:
    """Return the definition that a source stands for, as the text of its file."""
    definition = {
        name: _flat(value)
        for name, value in yaml.safe_load(source).items()
        if not name.startswith(_NOT_RENDERED)
    }
    return json.dumps(definition, indent=2, ensure_ascii=False) + "\n"


def _flat(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _flat(one) for name, one in value.items()}
    if isinstance(value, list):
        return [*_items(value)]
    return value


def _items(values: list[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list):
            yield from map(_flat, value)
        else:
            yield _flat(value)


def main(arguments: list[str]) -> int:
    """Write every definition, or name those that differ; return the exit code."""
    differing = []
    for source in sources():
        rendered, target = render(read(source)), source.with_suffix(".asl.json")
        if "--write" in arguments:
            target.write_text(rendered)
        elif not target.exists() or target.read_text() != rendered:
            differing.append(f"{target} is not what {source} renders to: run 'make definition'.")
    if differing:
        print("\n".join(differing), file=sys.stderr)
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
