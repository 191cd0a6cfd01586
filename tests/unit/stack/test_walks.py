"""Every error has a test that does what its message says and sees it work."""

import ast
from collections.abc import Iterator
from pathlib import Path

from provisioner import errors
from tests.support.raised_errors import every_concrete_error

OF_OPERATIONS = "test_*operations.py", "test_*rotations.py"
"""The tests of what has ended an operation."""
OF_CHANGES_ALONE = {"RequestBeingFinished"}
"""What the steps of an operation raise as well, but of a revision alone."""


def walked(*patterns: str) -> Iterator[str]:
    """Name the errors that tests are marked to walk to their end."""
    for path in sorted(path for one in patterns for path in Path("tests").rglob(one)):
        for test in ast.walk(ast.parse(path.read_text())):
            if isinstance(test, ast.FunctionDef):
                for mark in test.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "walks":
                        yield from (ast.literal_eval(name) for name in mark.args)


def test_every_error_is_walked_to_its_end() -> None:
    assert {*walked("test_*.py")} == every_concrete_error()


def test_every_error_with_a_step_of_its_own_for_operations_ends_one() -> None:
    own = {
        name
        for name in every_concrete_error()
        if (kind := getattr(errors, name)).operation_step != kind.next_step
        and "operation_step" in vars(kind)
        and not kind.reported_as
    }

    assert own - {*walked(*OF_OPERATIONS)} == OF_CHANGES_ALONE
