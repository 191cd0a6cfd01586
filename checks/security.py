"""Run checkov with the arguments that follow, in half of its time.

    python -m checks.security --file TEMPLATE ...

checkov reads each path that it follows with a parser whose tables it computes anew every time. They
are the same every time, so they are computed once here.
"""

import sys
from typing import Any

import ply.yacc
from checkov.main import Checkov

_compute = ply.yacc.yacc
_parsers: dict[tuple[type, str], Any] = {}


def parser(*, module: object, start: str, **more: Any) -> Any:
    """Return what parses from `start` on, by the grammar that the methods of `module` describe."""
    grammar = type(module), start
    if grammar not in _parsers:
        _parsers[grammar] = _compute(module=module, start=start, **more)
    return _parsers[grammar]


if __name__ == "__main__":
    ply.yacc.yacc = parser
    sys.exit(Checkov(sys.argv[1:]).run())
