"""The rooms of the package, and which of them may use which."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path("functions/provisioner")
CAPABILITIES = ("creation", "material", "batch", "upkeep")
FLOORS = ("domain", "aws", "intake", "outcomes")
"""From the ground up; the capabilities stand on top of all of them."""
OWN = {"botocore": "aws", "boto3": "aws", "pydantic": "intake", "pydantic_core": "intake"}
"""Which room alone may use a library."""


def imported_by(source: str) -> Iterator[str]:
    """Name the modules that a module imports, `from a import b` as both a and a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def floor_of(room: str) -> int:
    """Say how high a room is; what every room may use is the ground."""
    if room in CAPABILITIES:
        return len(FLOORS)
    return FLOORS.index(room) if room in FLOORS else -1


def faults_of(room: str, source: str) -> list[str]:
    """Say what a module of a room imports and may not."""
    found = []
    for name in imported_by(source):
        top, _, rest = name.partition(".")
        if OWN.get(top, room) != room:
            found.append(f"{room} uses {top}")
        if top == "provisioner" and floor_of(rest.split(".")[0]) > floor_of(room):
            found.append(f"{room} uses {rest}")
    return found


def test_every_module_uses_only_what_lies_beneath_it() -> None:
    found = {
        str(path): faults
        for path in sorted(PACKAGE.rglob("*.py"))
        for room in (path.relative_to(PACKAGE).parts[0],)
        if path.parent != PACKAGE and (faults := faults_of(room, path.read_text()))
    }

    assert found == {}
    assert {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} == {
        *FLOORS,
        *CAPABILITIES,
    }


def test_a_package_is_empty_since_what_it_imports_is_cold_start() -> None:
    assert [path for path in PACKAGE.glob("*/__init__.py") if path.read_text()] == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("domain", "import botocore"),
        ("domain", "from pydantic import Field"),
        ("domain", "from provisioner.aws import kms"),
        ("aws", "from provisioner.intake.request import parse_request"),
        ("intake", "from botocore.exceptions import ClientError"),
        ("outcomes", "from provisioner.creation.claim import claim"),
    ],
)
def test_the_test_sees_what_goes_the_wrong_way(room: str, source: str) -> None:
    assert faults_of(room, source)


def test_no_test_imports_a_test() -> None:
    found = [
        (str(path), name)
        for path in sorted(Path("tests").rglob("*.py"))
        for name in imported_by(path.read_text())
        if name.startswith("tests.") and ".test_" in name
    ]

    assert found == []
