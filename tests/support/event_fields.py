"""Finds, by reading the code, which fields of its event a handler reads."""

import ast
from pathlib import Path


def fields_read_by(step: str) -> set[object]:
    """Name the fields that `<step>/app.py` takes by `event["..."]`."""
    code = ast.parse(Path(f"functions/{step}/app.py").read_text())
    return {
        node.slice.value
        for node in ast.walk(code)
        if isinstance(node, ast.Subscript)
        and ast.unparse(node.value) == "event"
        and isinstance(node.slice, ast.Constant)
    }


def fields_declared_by(step: str) -> set[str] | None:
    """Name the fields of the `Payload` of `<step>/app.py`; None where it declares none."""
    code = ast.parse(Path(f"functions/{step}/app.py").read_text())
    payloads = [
        node for node in code.body if isinstance(node, ast.ClassDef) and node.name == "Payload"
    ]
    return {
        ast.unparse(field.target)
        for payload in payloads
        for field in payload.body
        if isinstance(field, ast.AnnAssign)
    } or None
