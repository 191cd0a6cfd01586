"""Finds, by reading the code, which fields of its event a handler reads."""

import ast
from pathlib import Path


def fields_read_by(step: str) -> set[object]:
    """Name the fields that `<step>/app.py` takes by `event["..."]` and `event.get("...")`."""
    code = ast.parse(Path(f"functions/{step}/app.py").read_text())
    taken = [
        node.slice
        for node in ast.walk(code)
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "event"
    ]
    asked = [
        node.args[0]
        for node in ast.walk(code)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "event.get"
    ]
    return {field.value for field in [*taken, *asked] if isinstance(field, ast.Constant)}


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
