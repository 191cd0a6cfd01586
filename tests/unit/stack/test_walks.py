"""Every error has a test that does what its message says and sees it work."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.raised_errors import every_concrete_error


def walked() -> Iterator[str]:
    """Name the errors that tests are marked to walk to their end."""
    for path in sorted(Path("tests").rglob("test_*.py")):
        for test in ast.walk(ast.parse(path.read_text())):
            if isinstance(test, ast.FunctionDef):
                for mark in test.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "walks":
                        yield from (ast.literal_eval(name) for name in mark.args)


def test_every_error_is_walked_to_its_end() -> None:
    assert {*walked()} == every_concrete_error()
