"""The rooms of the package, and which of them may use which."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

FUNCTIONS = Path("functions")
PACKAGE = FUNCTIONS / "provisioner"
CAPABILITIES = (
    *("creation", "change", "operation", "approval", "hooks", "material", "batch", "upkeep"),
    "tickets",
)
FLOORS = ("domain", "aws", "intake", "outcomes")
"""From the ground up; the capabilities stand on top of all of them."""
OWN = {"botocore": "aws", "boto3": "aws", "types_boto3": "aws", "pydantic": "intake"}
"""Which room alone may use a library, and those whose names begin so: `pydantic_core`."""


def imported_by(source: str) -> Iterator[str]:
    """Name the modules that a module imports, `from a import b` as both a and a.b."""
    yield from _imported(ast.parse(source))


def loaded_by(source: str) -> Iterator[str]:
    """Name the modules that Python imports with a module, and not only a type checker."""
    yield from _imported(_AtWork().visit(ast.parse(source)))


class _AtWork(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        is_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return node.orelse if is_for_types else self.generic_visit(node)


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
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
        if any(f"{top}_".startswith(f"{library}_") and room != of for library, of in OWN.items()):
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
        ("intake", "from pydantic_core import ErrorDetails; import botocore.model"),
        ("creation", "if TYPE_CHECKING:\n    from types_boto3_kms import KMSClient"),
    ],
)
def test_the_test_sees_what_goes_the_wrong_way(room: str, source: str) -> None:
    assert faults_of(room, source)


def test_the_types_of_the_clients_are_for_a_type_checker_alone() -> None:
    """Whoever needs one imports its name from `aws/client_types.py`, in any room above `aws`."""
    importing = {
        path
        for path in FUNCTIONS.rglob("*.py")
        if any(map(_is_types, imported_by(path.read_text())))
    }
    loading = [path for path in importing if any(map(_is_types, loaded_by(path.read_text())))]

    assert importing == {PACKAGE / "aws/client_types.py"}
    assert loading == []
    assert any(map(_is_types, loaded_by("import types_boto3_kms.type_defs")))
    assert not faults_of("creation", "from provisioner.aws.client_types import KMSClient")


def _is_types(name: str) -> bool:
    return name.startswith("types_boto3")


def test_no_test_imports_a_test() -> None:
    found = [
        (str(path), name)
        for path in sorted(Path("tests").rglob("*.py"))
        for name in imported_by(path.read_text())
        if name.startswith("tests.") and ".test_" in name
    ]

    assert found == []
