r"""JSON as this product sends it: compact, and in UTF-8 rather than as `\uXXXX`.

AWS counts the bytes of a text in UTF-8. Written as `\uXXXX`, a letter of two bytes takes six, so a
request that was measured in one form and sent in the other could be three times as large.
"""

import json
from typing import Any

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def text(value: Any) -> str:
    """Write a value as it is sent.

    Raises
    ------
    ValueError
        It holds NaN or Infinity, which JSON has not.
    """
    return _ENCODER.encode(value)


def size(value: Any) -> int:
    """Count the bytes that a value has as it is sent.

    Raises
    ------
    UnicodeEncodeError
        It holds half a surrogate pair, which is no character.
    ValueError
        It holds NaN or Infinity, which JSON has not.
    """
    return len(text(value).encode())
