"""Write the API's contracts, or hold what is committed against the code.

    python -m checks.contracts [--write]

`docs/contracts/` has the documents for people, `functions/keys_api/` the same for the API to
answer. `released.txt` has what they promise: lines come with `--write`, and none goes unless the
first number of the version is raised.

Exit codes: 0 they are as the code says, 1 they are not, or a promise would be broken.
"""

import json
import sys
from pathlib import Path

from checks.contracts.asyncapi import asyncapi
from checks.contracts.fields import promises
from checks.contracts.openapi import VERSION, openapi

SHOWN = Path("docs/contracts")
SERVED = Path("functions/keys_api")
RELEASED = SHOWN / "released.txt"


def files() -> dict[Path, str]:
    """Return the text of each file but that of the promises, made from the code."""
    documents = {"openapi.json": openapi(), "asyncapi.json": asyncapi()}
    return {
        folder / name: json.dumps(one, indent=2, ensure_ascii=False) + "\n"
        for name, one in documents.items()
        for folder in (SHOWN, SERVED)
    }


def broken(released: str) -> list[str]:
    """List what was promised in the text of a file and is not any more."""
    version, *lines = released.splitlines()
    kept = {*promises(openapi(), asyncapi())}
    same_major = version == _head()
    return [line for line in lines if same_major and line not in kept]


def released() -> str:
    """Return the text of the file of promises as the code keeps them."""
    return "\n".join([_head(), *promises(openapi(), asyncapi())]) + "\n"


def _head() -> str:
    return f"Version {VERSION.split('.', maxsplit=1)[0]} promises:"


def main(arguments: list[str]) -> int:
    """Write the files, or name those that differ; return the exit code."""
    gone = broken(RELEASED.read_text()) if RELEASED.exists() else []
    if gone:
        text = "The contracts do not keep what was released; raise VERSION's first number, or keep:"
        print(text, *gone, sep="\n", file=sys.stderr)
        return 1
    wanted = {**files(), RELEASED: released()}
    differing = [
        path for path, text in wanted.items() if not path.exists() or path.read_text() != text
    ]
    if "--write" in arguments:
        for path in differing:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path])
    elif differing:
        names = ", ".join(map(str, differing))
        print(f"Not as the code says: {names}. Run 'make contracts'.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
