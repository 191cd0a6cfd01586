"""Run handlers with values that stand for any value, and see which AWS calls they can make.

Every branch is taken, every name keeps each value that it was given, and what no one knows before
a real run is `UNKNOWN`. Clients, adapters, callbacks and answers of AWS are followed through
arguments, attributes and closures, so a call counts for those handlers alone that can reach it.
Nothing of what is read is imported.
"""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from botocore import xform_name


@dataclass(frozen=True)
class Unknown:
    """Any value."""


@dataclass(frozen=True)
class Text:
    """A string that the source spells out."""

    value: str


@dataclass(frozen=True)
class External:
    """Something of a library, by its dotted name."""

    name: str


@dataclass(frozen=True)
class Module:
    """A module of the functions' own."""

    name: str


@dataclass(frozen=True)
class Many:
    """A collection, or what gives one, of which any element is one of these."""

    elements: "Values"


@dataclass(frozen=True)
class Row:
    """A list or tuple that the source spells out."""

    items: "tuple[Values, ...]"


@dataclass(frozen=True)
class Mapping:
    """A dict that the source spells out; `closed` where it has no keys but these."""

    items: "tuple[tuple[str, Values], ...]"
    closed: bool = True


@dataclass(frozen=True)
class Client:
    """A client of a service."""

    service: str


@dataclass(frozen=True)
class Exceptions:
    """The exception classes of a client."""

    service: str


@dataclass(frozen=True)
class Operation:
    """A method of a client that makes a call; of a paginator, many."""

    service: str
    method: str
    paginated: bool = False


@dataclass(frozen=True)
class Answer:
    """What AWS answered, or a part of it; `shape` is the model's own."""

    service: str
    name: str
    shape: Any = field(compare=False, hash=False)


@dataclass(frozen=True, eq=False)
class Scope:
    """The names of a module or of a function's run."""

    module: str
    names: "dict[str, Values]" = field(default_factory=dict)
    outer: "Scope | None" = None


@dataclass(frozen=True)
class Function:
    """A function, bound to its object where it is a method."""

    node: ast.FunctionDef | ast.Lambda
    scope: Scope
    bound: "Object | Class | None" = None


@dataclass(frozen=True)
class Class:
    """A class of the functions' own."""

    node: ast.ClassDef
    scope: Scope


@dataclass(frozen=True)
class Object:
    """An instance of one, made in one place of the source."""

    kind: Class
    attributes: Scope


@dataclass(frozen=True)
class Partial:
    """A callable with its first arguments."""

    function: "Values"
    arguments: "Arguments"


type Value = (
    Unknown
    | Text
    | External
    | Module
    | Many
    | Row
    | Mapping
    | Client
    | Exceptions
    | Operation
    | Answer
    | Function
    | Class
    | Object
    | Partial
)
type Values = frozenset[Value]

UNKNOWN: Values = frozenset({Unknown()})


@dataclass(frozen=True)
class Arguments:
    """What a call is given; `closed` where no others can come from a `**` that is not known."""

    positional: tuple[Values, ...] = ()
    keywords: tuple[tuple[str, Values], ...] = ()
    closed: bool = True


class Aws(Protocol):
    """What is known of AWS."""

    def call(self, operation: Operation, given: Arguments, where: str) -> Values:
        """Note a call and return its answer."""

    def member(self, answer: Answer, name: str | None, where: str) -> Values:
        """Return a member or element of an answer, of any name where none is known."""

    def exception(self, service: str, name: str, where: str) -> None:
        """Note that the code names an exception of a service."""

    def attempt(self, body: Callable[[], None], handlers: Callable[[], None]) -> None:
        """Run the body of a `try`, and then the handlers of what its calls raise."""

    def library(self, name: str, given: Arguments, where: str) -> None:
        """Note a call of a library, which may make calls of its own."""


@cache
def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(), str(path))


class Run:
    """One handler's run. `resolved` are the attributes whose object was known, by position."""

    def __init__(self, folder: Path, aws: Aws) -> None:
        self._folder = folder
        self._aws = aws
        self._modules: dict[str, Scope] = {}
        self._results: dict[tuple[Any, ...], Values] = {}
        self._returns: list[set[Value]] = []
        self._yields: list[set[Value]] = []
        self.resolved: set[tuple[str, int, int]] = set()
        self._expressions: dict[type, Callable[[Any, Scope], Values]] = {
            ast.Attribute: self._attribute,
            ast.BoolOp: lambda node, scope: self._any(node.values, scope),
            ast.Call: self._call,
            ast.Compare: self._compare,
            ast.Constant: lambda node, _: (
                frozenset({Text(node.value)}) if isinstance(node.value, str) else UNKNOWN
            ),
            ast.Dict: self._dict,
            ast.DictComp: self._comprehension,
            ast.GeneratorExp: self._comprehension,
            ast.IfExp: lambda node, scope: (
                self.value(node.test, scope) and self._any([node.body, node.orelse], scope)
            ),
            ast.Lambda: lambda node, scope: frozenset({Function(node, scope)}),
            ast.List: self._row,
            ast.ListComp: self._comprehension,
            ast.Name: lambda node, scope: self._name(node.id, scope),
            ast.NamedExpr: self._named,
            ast.Set: self._row,
            ast.SetComp: self._comprehension,
            ast.Subscript: self._subscript,
            ast.Tuple: self._row,
            ast.Yield: self._yield,
            ast.YieldFrom: self._yield,
        }
        self._libraries: dict[str, Callable[[Arguments, str], Values]] = {
            "boto3.client": lambda given, _: frozenset(
                Client(one.value) for one in _first(given) if isinstance(one, Text)
            ),
            "botocore.xform_name": lambda given, _: frozenset(
                Text(xform_name(one.value)) for one in _first(given) if isinstance(one, Text)
            ),
            "cast": lambda given, _: given.positional[1],
            "dict": lambda given, _: _first(given),
            "getattr": self._of_getattr,
            "map": self._map,
            "next": lambda given, _: self._elements(_first(given)),
            "partial": lambda given, _: frozenset(
                {Partial(_first(given), replace(given, positional=given.positional[1:]))}
            ),
            **dict.fromkeys(("iter", "list", "set", "sorted", "tuple"), self._collected),
        }
        self._statements: dict[type, Callable[[Any, Scope], None]] = {
            ast.AnnAssign: self._assign,
            ast.Assign: self._assign,
            ast.ClassDef: lambda node, scope: self._bind(
                scope, node.name, frozenset({Class(node, scope)})
            ),
            ast.ExceptHandler: self._handler,
            ast.For: self._for,
            ast.FunctionDef: self._define,
            ast.Import: self._import,
            ast.ImportFrom: self._import_from,
            ast.Return: self._return,
            ast.Try: self._try,
            ast.With: self._with,
        }

    def handler(self, dotted: str) -> None:
        """Run a handler such as `sweep.app.handler`, and what the modules beside it register."""
        module, _, name = dotted.rpartition(".")
        self._module(module)
        folder = module.rpartition(".")[0]
        for loaded, scope in [*self._modules.items()]:
            if loaded.rpartition(".")[0] == folder:
                for node in parsed(self._path(loaded)).body:
                    if isinstance(node, ast.FunctionDef) and (
                        node.decorator_list or (loaded, node.name) == (module, name)
                    ):
                        self._run(Function(node, scope), Arguments(closed=False))

    # ------------------------------------------------------------ modules and names

    def _path(self, module: str) -> Path:
        path = self._folder / module.replace(".", "/")
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")

    def _module(self, name: str) -> Scope:
        if name not in self._modules:
            self._modules[name] = scope = Scope(name)
            self._block(parsed(self._path(name)).body, scope)
        return self._modules[name]

    def _named_module(self, name: str) -> Value:
        return Module(name) if self._path(name).is_file() else External(name)

    def _import(self, node: ast.Import, scope: Scope) -> None:
        for alias in node.names:
            name = alias.name if alias.asname else alias.name.partition(".")[0]
            self._bind(scope, alias.asname or name, frozenset({self._named_module(name)}))

    def _import_from(self, node: ast.ImportFrom, scope: Scope) -> None:
        origin = self._named_module(str(node.module))
        for alias in node.names:
            found = self._of(origin, alias.name, str(node.module))
            self._bind(scope, alias.asname or alias.name, found)

    def _name(self, name: str, scope: Scope | None) -> Values:
        while scope:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        return frozenset({External(name)})

    def _bind(self, scope: Scope, name: str, values: Values) -> None:
        scope.names[name] = scope.names.get(name, frozenset()) | values

    def _assign_to(self, target: ast.expr, values: Values, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            self._bind(scope, target.id, values)
        elif isinstance(target, ast.Attribute):
            for holder in self.value(target.value, scope):
                if isinstance(holder, Object):
                    self._bind(holder.attributes, target.attr, values)
        elif isinstance(target, ast.Tuple | ast.List):
            for index, item in enumerate(target.elts):
                self._assign_to(item, _item(values, index), scope)
        elif isinstance(target, ast.Starred):
            self._assign_to(target.value, frozenset({Many(values)}), scope)

    # ------------------------------------------------------------ statements

    def _block(self, nodes: Iterable[ast.AST], scope: Scope) -> None:
        for node in nodes:
            if run := self._statements.get(type(node)):
                run(node, scope)
            elif isinstance(node, ast.expr):
                self.value(node, scope)
            else:
                self._block(ast.iter_child_nodes(node), scope)

    def _define(self, node: ast.FunctionDef, scope: Scope) -> None:
        for decorator in node.decorator_list:
            self.value(decorator, scope)
        self._bind(scope, node.name, frozenset({Function(node, scope)}))

    def _assign(self, node: ast.Assign | ast.AnnAssign, scope: Scope) -> None:
        if node.value:
            values = self.value(node.value, scope)
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                self._assign_to(target, values, scope)

    def _return(self, node: ast.Return, scope: Scope) -> None:
        if node.value:
            self._returns[-1] |= self.value(node.value, scope)

    def _for(self, node: ast.For, scope: Scope) -> None:
        self._assign_to(node.target, self._elements(self.value(node.iter, scope)), scope)
        self._block([*node.body, *node.orelse], scope)

    def _with(self, node: ast.With, scope: Scope) -> None:
        for item in node.items:
            values = self.value(item.context_expr, scope)
            if item.optional_vars:
                self._assign_to(item.optional_vars, values, scope)
        self._block(node.body, scope)

    def _try(self, node: ast.Try, scope: Scope) -> None:
        self._aws.attempt(
            lambda: self._block(node.body, scope), lambda: self._block(node.handlers, scope)
        )
        self._block([*node.orelse, *node.finalbody], scope)

    def _handler(self, node: ast.ExceptHandler, scope: Scope) -> None:
        if node.type:
            self.value(node.type, scope)
        if node.name:
            self._bind(scope, node.name, UNKNOWN)
        self._block(node.body, scope)

    # ------------------------------------------------------------ expressions

    def value(self, node: ast.expr, scope: Scope) -> Values:
        """Return what an expression can be."""
        if evaluate := self._expressions.get(type(node)):
            return evaluate(node, scope)
        self._block(ast.iter_child_nodes(node), scope)
        return UNKNOWN

    def _any(self, nodes: Iterable[ast.expr], scope: Scope) -> Values:
        return frozenset().union(*[self.value(node, scope) for node in nodes])

    def _named(self, node: ast.NamedExpr, scope: Scope) -> Values:
        values = self.value(node.value, scope)
        self._assign_to(node.target, values, scope)
        return values

    def _row(self, node: ast.List | ast.Tuple | ast.Set, scope: Scope) -> Values:
        if any(isinstance(item, ast.Starred) for item in node.elts):
            elements = [
                self._elements(self.value(item.value, scope))
                if isinstance(item, ast.Starred)
                else self.value(item, scope)
                for item in node.elts
            ]
            return frozenset({Many(frozenset().union(*elements))})
        return frozenset({Row(tuple(self.value(item, scope) for item in node.elts))})

    def _dict(self, node: ast.Dict, scope: Scope) -> Values:
        items: dict[str, Values] = {}
        closed = True
        for key, item in zip(node.keys, node.values, strict=True):
            values = self.value(item, scope)
            names = [Text("")] if key is None else list(self.value(key, scope))
            if key is None:
                more, complete = _merged(values)
                items |= more
                closed = closed and complete
            elif len(names) == 1 and isinstance(names[0], Text):
                items[names[0].value] = values
            else:
                closed = False
        return frozenset({Mapping(tuple(items.items()), closed)})

    def _comprehension(self, node: Any, scope: Scope) -> Values:
        inner = Scope(scope.module, outer=scope)
        for generator in node.generators:
            self._assign_to(
                generator.target, self._elements(self.value(generator.iter, inner)), inner
            )
            self._any(generator.ifs, inner)
        if isinstance(node, ast.DictComp):
            self.value(node.key, inner)
            return frozenset({*UNKNOWN, Many(self.value(node.value, inner))})
        return frozenset({Many(self.value(node.elt, inner))})

    def _compare(self, node: ast.Compare, scope: Scope) -> Values:
        left, *others = [self.value(one, scope) for one in [node.left, *node.comparators]]
        if isinstance(node.ops[0], ast.In | ast.NotIn):
            for holder in others[0]:
                for name in left:
                    if isinstance(holder, Answer) and isinstance(name, Text):
                        self._aws.member(holder, name.value, self._where(node, scope))
        return UNKNOWN

    def _subscript(self, node: ast.Subscript, scope: Scope) -> Values:
        names = self.value(node.slice, scope)
        where = self._where(node, scope)
        found = [self._part(one, names, where) for one in self.value(node.value, scope)]
        return frozenset().union(*found) or UNKNOWN

    def _part(self, holder: Value, names: Values, where: str) -> Values:
        """Return what an answer, a dict or a collection has under these names."""
        known = [name.value for name in names if isinstance(name, Text)]
        if isinstance(holder, Answer):
            asked: list[str | None] = [*known] or [None]
            found = [self._aws.member(holder, name, where) for name in asked]
        elif isinstance(holder, Mapping):
            found = [values for name, values in holder.items if name in known]
        else:
            found = [self._elements(frozenset({holder}))]
        return frozenset().union(*found)

    def _yield(self, node: ast.Yield | ast.YieldFrom, scope: Scope) -> Values:
        if node.value:
            values = self.value(node.value, scope)
            many = isinstance(node, ast.YieldFrom)
            self._yields[-1] |= self._elements(values) if many else values
        return UNKNOWN

    def _attribute(self, node: ast.Attribute, scope: Scope) -> Values:
        found: set[Value] = set()
        for holder in self.value(node.value, scope):
            if not isinstance(holder, Unknown):
                self.resolved.add((scope.module, node.lineno, node.col_offset))
            found |= self._of(holder, node.attr, self._where(node, scope))
        return frozenset(found) or UNKNOWN

    def _of(self, holder: Value, name: str, where: str) -> Values:
        if isinstance(holder, External):
            # A folder without `__init__.py` is one as well.
            return frozenset({self._named_module(f"{holder.name}.{name}")})
        if isinstance(holder, Module):
            names = self._module(holder.name).names
            submodule = self._named_module(f"{holder.name}.{name}")
            return names.get(name, frozenset({submodule}))
        if isinstance(holder, Object):
            own = holder.attributes.names.get(name, frozenset())
            return own | self._of_class(holder.kind, name, holder)
        if isinstance(holder, Class):
            return self._of_class(holder, name, None)
        if isinstance(holder, Client):
            return _of_client(holder, name)
        if isinstance(holder, Exceptions):
            self._aws.exception(holder.service, name, where)
        return UNKNOWN

    def _of_class(self, kind: Class, name: str, bound: Object | None) -> Values:
        for node in kind.node.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                decorators = [ast.unparse(one) for one in node.decorator_list]
                if "staticmethod" in decorators:
                    return frozenset({Function(node, kind.scope)})
                function = Function(
                    node, kind.scope, kind if "classmethod" in decorators else bound
                )
                return (
                    self._run(function, Arguments())
                    if "property" in decorators
                    else (frozenset({function}))
                )
            if isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == name for target in node.targets
            ):
                return self.value(node.value, kind.scope)
        bases = self._any(kind.node.bases, kind.scope)
        found = [self._of_class(base, name, bound) for base in bases if isinstance(base, Class)]
        return frozenset().union(*found)

    # ------------------------------------------------------------ calls

    def _call(self, node: ast.Call, scope: Scope) -> Values:
        if isinstance(node.func, ast.Attribute) and (
            called := self._method(node, node.func, scope)
        ):
            return called
        functions = self.value(node.func, scope)
        given = self._arguments(node, scope)
        found = [self._result(one, given, self._where(node, scope)) for one in functions]
        return frozenset().union(*found) or UNKNOWN

    def _method(self, node: ast.Call, func: ast.Attribute, scope: Scope) -> Values:
        """Return what a method of a client, a paginator, an answer or a dict comes to, if any."""
        found: set[Value] = set()
        for holder in self.value(func.value, scope):
            if func.attr == "get_paginator" and isinstance(holder, Client):
                found |= {
                    Operation(holder.service, name.value, paginated=True)
                    for name in self.value(node.args[0], scope)
                    if isinstance(name, Text)
                }
            elif func.attr == "paginate" and isinstance(holder, Operation):
                given = self._arguments(node, scope)
                found.add(Many(self._aws.call(holder, given, self._where(node, scope))))
            elif func.attr == "get" and isinstance(holder, Answer | Many | Mapping):
                names = self.value(node.args[0], scope)
                found |= self._part(holder, names, self._where(node, scope))
                found |= self._any(node.args[1:], scope)
        if found:
            self.resolved.add((scope.module, func.lineno, func.col_offset))
        return frozenset(found)

    def _arguments(self, node: ast.Call, scope: Scope) -> Arguments:
        positional: list[Values] = []
        for item in node.args:
            if not isinstance(item, ast.Starred):
                positional.append(self.value(item, scope))
                continue
            values = self.value(item.value, scope)
            rows = [one for one in values if isinstance(one, Row)]
            if len(rows) == 1:
                positional += rows[0].items
            else:
                positional += [self._elements(values)]
        keywords: dict[str, Values] = {}
        closed = True
        for keyword in node.keywords:
            values = self.value(keyword.value, scope)
            if keyword.arg:
                keywords[keyword.arg] = values
            else:
                more, complete = _merged(values)
                keywords |= more
                closed = closed and complete
        return Arguments(tuple(positional), tuple(keywords.items()), closed)

    def _result(self, function: Value, given: Arguments, where: str) -> Values:
        if isinstance(function, Function):
            return self._run(function, given)
        if isinstance(function, Class):
            return frozenset({self._new(function, given)})
        if isinstance(function, Operation):
            return self._aws.call(function, given, where)
        if isinstance(function, Partial):
            return self._again(function, given, where)
        if isinstance(function, External):
            return self._library(function.name, given, where)
        return self._hand_over(given)

    def _again(self, partial: Partial, given: Arguments, where: str) -> Values:
        all_given = Arguments(
            (*partial.arguments.positional, *given.positional),
            (*partial.arguments.keywords, *given.keywords),
            closed=partial.arguments.closed and given.closed,
        )
        return frozenset().union(*[self._result(one, all_given, where) for one in partial.function])

    def _library(self, name: str, given: Arguments, where: str) -> Values:
        if known := self._libraries.get(name.removeprefix("functools.").removeprefix("typing.")):
            return known(given, where) or UNKNOWN
        self._aws.library(name, given, where)
        return self._hand_over(given)

    def _of_getattr(self, given: Arguments, where: str) -> Values:
        holders, names, *_ = given.positional
        attributes = [name.value for name in names if isinstance(name, Text)]
        found = [self._of(holder, name, where) for holder in holders for name in attributes]
        return frozenset().union(*found)

    def _map(self, given: Arguments, where: str) -> Values:
        functions, *rows = given.positional
        elements = Arguments(tuple(self._elements(one) for one in rows))
        results = [self._result(one, elements, where) for one in functions]
        return frozenset({Many(frozenset().union(*results))})

    def _collected(self, given: Arguments, _where: str) -> Values:
        self._hand_over(given)
        return frozenset({Many(self._elements(_first(given)))})

    def _hand_over(self, given: Arguments) -> Values:
        """Call the functions that code outside of ours is given."""
        for values in (*given.positional, *(values for _, values in given.keywords)):
            for one in values:
                if isinstance(one, Function | Partial):
                    self._result(one, Arguments(closed=False), "")
        return UNKNOWN

    def _new(self, kind: Class, given: Arguments) -> Object:
        made = Object(kind, Scope(kind.scope.module))
        key = (kind, given)
        if key in self._results:
            [known] = self._results[key]
            return known if isinstance(known, Object) else made
        self._results[key] = frozenset({made})
        fields = [
            node.target.id
            for node in kind.node.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        ]
        for name, values in (*zip(fields, given.positional, strict=False), *given.keywords):
            self._bind(made.attributes, name, values)
        for start in self._of_class(kind, "__init__", made):
            self._result(start, given, "")
        return made

    def _run(self, function: Function, given: Arguments) -> Values:
        key = (function, given)
        if key not in self._results:
            self._results[key] = frozenset()  # What a function that calls itself sees.
            self._results[key] = self._body(function, given)
        return self._results[key]

    def _body(self, function: Function, given: Arguments) -> Values:
        scope = Scope(function.scope.module, outer=function.scope)
        self._bind_arguments(function, given, scope)
        if isinstance(function.node, ast.Lambda):
            return self.value(function.node.body, scope)
        self._returns.append(set())
        self._yields.append(set())
        self._block(function.node.body, scope)
        returned, yielded = frozenset(self._returns.pop()), frozenset(self._yields.pop())
        return frozenset({Many(yielded)}) if yielded else returned or UNKNOWN

    def _bind_arguments(self, function: Function, given: Arguments, scope: Scope) -> None:
        spec = function.node.args
        first = () if function.bound is None else (frozenset[Value]({function.bound}),)
        positional = (*first, *given.positional)
        names = [one.arg for one in (*spec.posonlyargs, *spec.args)]
        for name, values in (*zip(names, positional, strict=False), *given.keywords):
            self._bind(scope, name, values)
        if spec.vararg:
            self._bind(scope, spec.vararg.arg, frozenset({Row(positional[len(names) :])}))
        if spec.kwarg:
            self._bind(scope, spec.kwarg.arg, frozenset({Mapping(given.keywords, given.closed)}))
        defaults = dict(zip(reversed(names), reversed(spec.defaults), strict=False))
        defaults |= {
            one.arg: default
            for one, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
            if default
        }
        for name in (*names, *(one.arg for one in spec.kwonlyargs)):
            if name not in scope.names:
                default = defaults.get(name)
                values = self.value(default, function.scope) if default else UNKNOWN
                self._bind(scope, name, values)

    def _elements(self, values: Values) -> Values:
        found: set[Value] = set()
        for one in values:
            if isinstance(one, Many):
                found |= one.elements
            elif isinstance(one, Row):
                found |= frozenset().union(*one.items)
            elif isinstance(one, Answer):
                found |= self._aws.member(one, None, "")
        return frozenset(found) or UNKNOWN

    def _where(self, node: ast.expr, scope: Scope) -> str:
        return f"{scope.module.replace('.', '/')}.py:{node.lineno}"


def _first(given: Arguments) -> Values:
    return given.positional[0] if given.positional else frozenset()


def _of_client(client: Client, name: str) -> Values:
    if name == "exceptions":
        return frozenset({Exceptions(client.service)})
    return UNKNOWN if name == "meta" else frozenset({Operation(client.service, name)})


def _item(values: Values, index: int) -> Values:
    found: set[Value] = set()
    for one in values:
        if isinstance(one, Row) and index < len(one.items):
            found |= one.items[index]
        elif isinstance(one, Many):
            found |= one.elements
    return frozenset(found) or UNKNOWN


def _merged(values: Values) -> tuple[dict[str, Values], bool]:
    """Return the keys that any of these dicts has, and whether there can be no others."""
    merged: dict[str, Values] = {}
    closed = True
    for one in values:
        if isinstance(one, Mapping):
            for name, some in one.items:
                merged[name] = merged.get(name, frozenset()) | some
            closed = closed and one.closed
        else:
            closed = False
    return merged, closed


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Find every string that the files of a folder spell out: its place, and the string."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{path.relative_to(folder)}:{node.lineno}", node.value


def method_calls(folder: Path) -> Iterator[tuple[str, ast.Attribute]]:
    """Find every call of a method in a folder's files: its module, and the method."""
    for path in sorted(folder.rglob("*.py")):
        module = ".".join(path.relative_to(folder).with_suffix("").parts)
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                yield module, node.func
