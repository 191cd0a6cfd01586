"""YAML, read as its version 1.2 has it, with no type that JSON has not.

`no` and `on` are texts, and so is a date: a declaration is sent as JSON. What looks like a number
is one, also with zeros before it, so that a tag `cost-centre: 00123` without quotes is refused by
the API rather than changed.
https://yaml.org/spec/1.2.2/#103-core-schema
"""

import re
from typing import Any

import yaml

from mrk.declarations import duplicate_name, unreadable
from mrk.errors import Refused

_SCALARS = (
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", "~nN"),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+",
        "-+.0123456789",
    ),
)


class _Loader(yaml.SafeLoader):
    """Reads what JSON can hold, and refuses a name that stands twice."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as the class above has it


for _tag, _pattern, _first in _SCALARS:
    # A text that begins with nothing is the empty one, null where no quotes stand.
    _firsts = [*_first, ""] if _tag.endswith("null") else [*_first]
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), _firsts)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in node.value:
        name = loader.construct_object(key, deep=True)
        if not isinstance(name, str):
            raise yaml.constructor.ConstructorError(
                None, None, "a name that is no text; put it in quotes", key.start_mark
            )
        if name in fields:
            where = f", at line {key.start_mark.line + 1}"
            raise Refused("This means more than one thing:", [duplicate_name(name, where)])
        fields[name] = loader.construct_object(value, deep=True)
    return fields


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def parse_yaml(text: str, path: str) -> list[Any]:
    """Read the documents of a YAML text; those without content are left out.

    Raises
    ------
    Refused
        It is not YAML, or not YAML that means one thing.
    """
    try:
        documents = list(yaml.load_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise unreadable(path, "NOT_YAML", f"Not YAML{where}: {error.problem}.") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise unreadable(path, "NOT_YAML", f"Not YAML: {error}.") from error
    return [one for one in documents if one is not None]
