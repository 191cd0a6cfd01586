"""A stand-in for DynamoDB: tables of items, changed under conditions.

It evaluates the expressions of the code under test themselves, since the proof rests on them. It
knows the part of DynamoDB's language that they use, and refuses anything else.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

from tests.support.faults.errors import refusal

Item = dict[str, dict[str, Any]]
Operand = Callable[[Item, "Names", Item], "dict[str, Any] | None"]
Condition = Callable[[Item, "Names", Item], bool]
Change = Callable[[Item, Item, "Names", Item], None]
Names = dict[str, str]

_KEYS = {
    "requests": ("requestId",),
    "history": ("requestId", "outcomeId"),
    "idempotency": ("id",),
    "sweep": ("place", "subject"),
}
_RESERVED = set(ReservedKeywords.get_reserved_keywords())
_TOKEN = re.compile(r"\s*(<>|<=|>=|[=+<>(),]|[#:]?\w+(?:\.#?\w+)*)")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: left == right,
    "<>": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
}


class DynamoDb:
    """The tables by the names that `wiring` gives them; an item is kept by its keys' text."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Item]] = {name: {} for name in _KEYS}

    def get_item(self, *, TableName: str, Key: Item, ConsistentRead: bool) -> dict[str, Any]:
        assert ConsistentRead
        item = self.tables[TableName].get(_key(TableName, Key))
        return {"Item": dict(item)} if item else {}

    def put_item(
        self, *, TableName: str, Item: Item, ConditionExpression: str = "", **more: Any
    ) -> dict[str, Any]:
        key = _key(TableName, Item)
        if ConditionExpression:
            _check_use(ConditionExpression, more)
            self._check(TableName, key, "PutItem", ConditionExpression, more)
        self.tables[TableName][key] = dict(Item)
        return {}

    def update_item(
        self,
        *,
        TableName: str,
        Key: Item,
        UpdateExpression: str,
        ConditionExpression: str = "",
        **more: Any,
    ) -> dict[str, Any]:
        key = _key(TableName, Key)
        _check_use(f"{ConditionExpression} {UpdateExpression}", more)
        if ConditionExpression:
            self._check(TableName, key, "UpdateItem", ConditionExpression, more)
        old = self.tables[TableName].get(key, Key)
        new = dict(old)
        update(UpdateExpression)(old, new, *_parameters(more))
        self.tables[TableName][key] = new
        return {"Attributes": dict(new)}

    def delete_item(
        self, *, TableName: str, Key: Item, ConditionExpression: str = "", **more: Any
    ) -> dict[str, Any]:
        key = _key(TableName, Key)
        if ConditionExpression:
            _check_use(ConditionExpression, more)
            self._check(TableName, key, "DeleteItem", ConditionExpression, more)
        self.tables[TableName].pop(key, None)
        return {}

    def query(
        self,
        *,
        TableName: str,
        KeyConditionExpression: str,
        ExpressionAttributeValues: Item,
        IndexName: str | None = None,
        ConsistentRead: bool = False,
    ) -> dict[str, Any]:
        """Find items of a table, or of its index, which has keys only, the older claim first."""
        wanted = condition(KeyConditionExpression)
        assert (IndexName, ConsistentRead) in (("unfinished-by-shard", False), (None, True))
        found = [
            item
            for item in self.tables[TableName].values()
            if wanted(item, {}, ExpressionAttributeValues)
        ]
        if IndexName is None:
            return {"Items": [dict(item) for item in found]}
        keys = ("requestId", "unfinished", "claimedAt")
        indexed = [{name: item[name] for name in keys} for item in found if "claimedAt" in item]
        return {"Items": sorted(indexed, key=lambda item: _text(item["claimedAt"]))}

    def describe_table(self, *, TableName: str) -> dict[str, Any]:
        assert TableName in self.tables
        return {"Table": {"CreationDateTime": datetime.fromtimestamp(0, UTC)}}

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:
        found = {
            table: [
                dict(self.tables[table][key])
                for one in asked["Keys"]
                if (key := _key(table, one)) in self.tables[table]
            ]
            for table, asked in RequestItems.items()
        }
        return {"Responses": found}

    def scan(
        self,
        *,
        TableName: str,
        FilterExpression: str,
        ConsistentRead: bool,
        ExpressionAttributeValues: Item | None = None,
    ) -> dict[str, Any]:
        assert ConsistentRead
        wanted, values = condition(FilterExpression), ExpressionAttributeValues or {}
        items = self.tables[TableName].values()
        return {"Items": [dict(one) for one in items if wanted(one, {}, values)]}

    def _check(
        self, table: str, key: str, operation: str, expression: str, more: dict[str, Any]
    ) -> None:
        old = self.tables[table].get(key)
        if not condition(expression)(old or {}, *_parameters(more)):
            wanted = more.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
            shown: dict[str, Any] = {"Item": dict(old)} if old and wanted else {}
            raise refusal("ConditionalCheckFailedException", operation, **shown)


def _key(table: str, item: Item) -> str:
    return "/".join(_text(item[name]) for name in _KEYS[table])


def _text(value: dict[str, Any]) -> str:
    return str(value["S"])


def _check_use(expressions: str, more: dict[str, Any]) -> None:
    """Refuse names and values that no expression uses, as DynamoDB does."""
    used = _used(expressions)
    assert used == set().union(*_parameters(more)), expressions


@cache
def _used(expressions: str) -> set[str]:
    return set(re.findall(r"[#:]\w+", expressions))


def _parameters(more: dict[str, Any]) -> tuple[Names, Item]:
    return more.get("ExpressionAttributeNames", {}), more.get("ExpressionAttributeValues", {})


@cache
def condition(expression: str) -> Condition:
    """Understand a condition."""
    reader = _Reader(expression)
    found = reader.either()
    reader.expect_end()
    return found


@cache
def update(expression: str) -> Change:
    """Understand an update; every value is computed from the item as it was before."""
    reader = _Reader(expression)
    changes = reader.changes()
    reader.expect_end()

    def change(old: Item, new: Item, names: Names, values: Item) -> None:
        for one in changes:
            one(old, new, names, values)

    return change


def _sum(left: Operand, right: Operand) -> Operand:
    def added(*given: Any) -> dict[str, Any]:
        numbers = [operand(*given) for operand in (left, right)]
        return {"N": str(sum(int(number["N"]) for number in numbers if number))}

    return added


class _Reader:
    """Reads an expression from left to right: OR of ANDs of terms, and SET and REMOVE."""

    def __init__(self, expression: str) -> None:
        self._tokens = _TOKEN.findall(expression)
        assert "".join(self._tokens) == re.sub(r"\s", "", expression)

    def _next(self, *expected: str) -> str:
        token: str = self._tokens.pop(0)
        assert not expected or token in expected, f"{token} instead of {expected}"
        return token

    def _comes(self, *tokens: str) -> bool:
        return bool(self._tokens) and self._tokens[0] in tokens

    def expect_end(self) -> None:
        assert not self._tokens, f"{self._tokens} is not understood"

    def either(self) -> Condition:
        ways = [self._all()]
        while self._comes("OR"):
            self._next()
            ways.append(self._all())
        return lambda *given: any(way(*given) for way in ways)

    def _all(self) -> Condition:
        parts = [self._term()]
        while self._comes("AND"):
            self._next()
            parts.append(self._term())
        return lambda *given: all(part(*given) for part in parts)

    def _term(self) -> Condition:
        if self._comes("("):
            self._next()
            inner = self.either()
            self._next(")")
            return inner
        if self._comes("attribute_exists", "attribute_not_exists"):
            wanted = self._next() == "attribute_exists"
            operand = self._in_brackets()[0]
            return lambda *given: (operand(*given) is not None) == wanted
        if self._comes("contains"):
            self._next()
            text, part = self._in_brackets()
            return lambda *given: _text(part(*given) or {}) in _text(text(*given) or {"S": ""})
        left = self._operand()
        if self._comes("IN"):
            self._next()
            choices = self._in_brackets()
            return lambda *given: any(_compare("=", left(*given), c(*given)) for c in choices)
        sign = self._next(*_COMPARISONS)
        right = self._operand()
        return lambda *given: _compare(sign, left(*given), right(*given))

    def _in_brackets(self) -> list[Operand]:
        self._next("(")
        operands = [self._operand()]
        while self._next(",", ")") == ",":
            operands.append(self._operand())
        return operands

    def _operand(self) -> Operand:
        token = self._next()
        if token == "if_not_exists":  # noqa: S105  # a function of DynamoDB's, no password
            present, otherwise = self._in_brackets()
            return lambda *given: present(*given) or otherwise(*given)
        if token.startswith(":"):
            return lambda _item, _names, values: values[token]
        _check_name(token)
        return lambda item, names, _values: _reached(item, _path(token, names))

    def changes(self) -> list[Change]:
        found: list[Change] = []
        while self._tokens:
            one = self._set if self._next("SET", "REMOVE") == "SET" else self._remove
            found.append(one())
            while self._comes(","):
                self._next()
                found.append(one())
        return found

    def _set(self) -> Change:
        token = _check_name(self._next())
        self._next("=")
        operand = self._operand()
        if self._comes("+"):
            self._next()
            operand = _sum(operand, self._operand())

        def change(old: Item, new: Item, names: Names, values: Item) -> None:
            value = operand(old, names, values)
            assert value is not None
            holder, name = _holder(new, _path(token, names))
            holder[name] = value

        return change

    def _remove(self) -> Change:
        token = _check_name(self._next())

        def change(_old: Item, new: Item, names: Names, _values: Item) -> None:
            holder, name = _holder(new, _path(token, names))
            holder.pop(name, None)

        return change


def _check_name(token: str) -> str:
    for part in token.split("."):
        assert part.startswith("#") or part.isidentifier(), token
        assert part.upper() not in _RESERVED, f"{part} is a reserved word"
    return token


def _path(token: str, names: Names) -> list[str]:
    return [names[part] if part.startswith("#") else part for part in token.split(".")]


def _reached(item: Item, path: list[str]) -> Any:
    """Follow a path into maps; None where it leads nowhere."""
    found: Any = item.get(path[0])
    for name in path[1:]:
        found = found["M"].get(name) if found else None
    return found


def _holder(item: Item, path: list[str]) -> tuple[dict[str, Any], str]:
    """Return the map that a path leads into, as one of the item's own, and the last name."""
    holder: dict[str, Any] = item
    for name in path[:-1]:
        holder[name] = {"M": dict(holder[name]["M"])}
        holder = holder[name]["M"]
    return holder, path[-1]


def _compare(sign: str, left: dict[str, Any] | None, right: dict[str, Any] | None) -> bool:
    """Compare as DynamoDB does: with an attribute that is absent, only `<>` holds."""
    if left is None or right is None:
        return sign == "<>"
    (kind, value), (other_kind, other) = next(iter(left.items())), next(iter(right.items()))
    if kind != other_kind:
        return sign == "<>"
    if kind == "N":
        return _COMPARISONS[sign](float(value), float(other))
    return _COMPARISONS[sign](value, other)
