"""Finds, by reading the code, which errors of `provisioner.errors` can leave a handler.

It follows the calls it can resolve without running anything: to functions of the package, to the
methods of classes whose instances are annotated, or fields of such ones, or built in sight or
in a module that is imported, and into `with` and `try`.
What is caught and not raised again does not leave.
"""

import ast
import inspect
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from provisioner import errors

FUNCTIONS = Path("functions")
IDEMPOTENCY_ERRORS = {
    "IdempotencyAlreadyInProgressError",
    "IdempotencyInconsistentStateError",
    "IdempotencyPersistenceLayerError",
}
"""What Powertools raises instead of calling a function that is `idempotent_function`."""

_CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, errors.ProvisionerError)
}


@dataclass(frozen=True)
class _Module:
    """What the names at a module's top level stand for."""

    functions: dict[str, ast.FunctionDef]
    constants: dict[str, ast.expr]
    imports: dict[str, tuple[str, str | None]]
    """Local name to (module, name in it); the name is None where the module itself is meant."""
    fields: dict[str, str]
    """A class's name and its field's, joined by a dot, to the field's annotation."""


def errors_of_handler(step: str) -> set[str]:
    """Name every error that `<step>/app.py`'s handler can end with."""
    return errors_of(f"{step}.app", "handler")


def errors_of(module: str, function: str) -> set[str]:
    """Name every error that a function of a module can end with."""
    return {*_errors_of(module, function, frozenset())}


def every_concrete_error() -> set[str]:
    """Name every error class that has no subclass."""
    return {name for name, kind in _CLASSES.items() if not kind.__subclasses__()}


def _path(module: str) -> Path:
    return FUNCTIONS / f"{module.replace('.', '/')}.py"


@cache
def _module(name: str) -> _Module:
    tree = ast.parse(_path(name).read_text()) if _path(name).exists() else ast.Module([], [])
    functions: dict[str, ast.FunctionDef] = {}
    constants: dict[str, ast.expr] = {}
    imports: dict[str, tuple[str, str | None]] = {}
    fields: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            functions[node.name] = node
        elif isinstance(node, ast.ClassDef):
            functions |= {
                f"{node.name}.{method.name}": method
                for method in node.body
                if isinstance(method, ast.FunctionDef)
            }
            fields |= {
                f"{node.name}.{ast.unparse(field.target)}": ast.unparse(field.annotation)
                for field in node.body
                if isinstance(field, ast.AnnAssign)
            }
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            constants[ast.unparse(target)] = node.value
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                is_module = _path(f"{node.module}.{alias.name}").exists()
                imports[alias.asname or alias.name] = (
                    (f"{node.module}.{alias.name}", None)
                    if is_module
                    else (node.module, alias.name)
                )
    return _Module(functions, constants, imports, fields)


@cache
def _errors_of(module: str, function: str, calling: frozenset[tuple[str, str]]) -> set[str]:
    """Name the errors of one function; `calling` are those whose errors are being looked for."""
    if (module, function) in calling or function not in _module(module).functions:
        return set()
    definition = _module(module).functions[function]
    return _Reader(module, definition, calling | {(module, function)}).errors()


class _Reader:
    """Reads one function's body."""

    def __init__(
        self, module: str, definition: ast.FunctionDef, calling: frozenset[tuple[str, str]]
    ) -> None:
        self._name = module
        self._module = _module(module)
        self._definition = definition
        self._calling = calling

    def errors(self) -> set[str]:
        decorators = {ast.unparse(d).split("(")[0] for d in self._definition.decorator_list}
        idempotent = IDEMPOTENCY_ERRORS if "idempotent_function" in decorators else set()
        return idempotent | self._in_all(self._definition.body)

    def _in_all(self, nodes: list[ast.stmt]) -> set[str]:
        return set().union(*map(self._in, nodes))

    def _in(self, node: ast.AST) -> set[str]:
        if isinstance(node, ast.Try):
            return self._in_try(node)
        found = set().union(*map(self._in, ast.iter_child_nodes(node)))
        if isinstance(node, ast.Call):
            found |= self._in_call(node.func)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found |= self._meant_by(node.id)
        return found

    def _in_try(self, node: ast.Try) -> set[str]:
        found = self._in_all(node.body)
        for handler in node.handlers:
            raises_again = any(
                isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(handler)
            )
            if handler.type and not raises_again:
                found -= self._caught_by(handler.type)
            found |= self._in_all(handler.body)
        return found | self._in_all(node.orelse) | self._in_all(node.finalbody)

    def _caught_by(self, node: ast.expr) -> set[str]:
        caught = [ast.unparse(kind) for kind in getattr(node, "elts", [node])]
        kinds = tuple(_CLASSES[name] for name in caught if name in _CLASSES)
        return {name for name, kind in _CLASSES.items() if issubclass(kind, kinds)} | set(caught)

    def _meant_by(self, name: str) -> set[str]:
        """Name the errors that a name stands for: a class, or a table of classes."""
        if name in _CLASSES and name in self._module.imports:
            return {name} & every_concrete_error()
        table = self._module.constants.get(name)
        if isinstance(table, ast.Dict):
            values = {ast.unparse(value) for value in table.values if value}
            return values & every_concrete_error()
        return set()

    def _in_call(self, called: ast.expr) -> set[str]:
        if isinstance(called, ast.Name):
            module, name = self._module.imports.get(called.id, (self._name, called.id))
            return _errors_of(module, name, self._calling) if name else set()
        if isinstance(called, ast.Attribute):
            owner = ast.unparse(called.value)
            module, name = self._module.imports.get(owner, ("", ""))
            if module and name is None:
                return _errors_of(module, called.attr, self._calling)
            if kind := self._class_of(called.value):
                return _errors_of(kind[0], f"{kind[1]}.{called.attr}", self._calling)
        return set()

    def _class_of(self, owner: ast.expr) -> tuple[str, str] | None:
        """Find the class of an object, as its module and name; a field's by its annotation."""
        if isinstance(owner, ast.Attribute) and (holder := self._class_of(owner.value)):
            module = _module(holder[0])
            kind = module.fields.get(f"{holder[1]}.{owner.attr}")
            return _class_named(holder[0], kind) if kind else None
        text = ast.unparse(owner)
        if kind := self._class_in_sight(text):
            return _class_named(self._name, kind)
        of, _, name = text.rpartition(".")
        origin, inner = self._module.imports.get(of, ("", None))
        built = _module(origin).constants.get(name) if inner is None else None
        if isinstance(built, ast.Call):
            return _class_named(origin, ast.unparse(built.func))
        return None

    def _class_in_sight(self, owner: str) -> str | None:
        """Name the class of `self`, a parameter by its annotation, or one built here."""
        if owner == "self":
            return next(
                name.split(".")[0]
                for name, method in self._module.functions.items()
                if method is self._definition
            )
        arguments = self._definition.args
        for argument in [*arguments.args, *arguments.kwonlyargs]:
            if argument.arg == owner and argument.annotation:
                return ast.unparse(argument.annotation)
        built = {
            ast.unparse(node.targets[0]): node.value
            for node in ast.walk(self._definition)
            if isinstance(node, ast.Assign)
        }
        value = built.get(owner) or self._module.constants.get(owner)
        return ast.unparse(value.func) if isinstance(value, ast.Call) else None


def _class_named(module: str, name: str) -> tuple[str, str]:
    """Return the module that has a class, and the class's name there."""
    found, original = _module(module).imports.get(name, (module, name))
    return found, original or name
