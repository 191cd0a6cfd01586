"""Pages of GetResources, which the emulator answers as a whole.

A page has `ResourcesPerPage` resources, 100 at most, and its token is valid for 15 minutes.
https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
"""

import json
import time
from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import tagging

_MOST = 100
_GOOD_FOR_SECONDS = 15 * 60

Answer = tuple[int, dict[str, str], bytes]


def install() -> None:
    """Put a GetResources with pages in the place of the emulator's."""
    tagging._HANDLERS["GetResources"] = paged(tagging._HANDLERS["GetResources"])


def paged(
    get_resources: Callable[[dict[str, Any]], Answer], now: Callable[[], float] = time.time
) -> Callable[[dict[str, Any]], Answer]:
    """Let a GetResources that answers everything answer one page.

    A token is where the next page begins, and when this one was asked for.
    """

    def handler(data: dict[str, Any]) -> Answer:
        first, _, asked_at = (data.get("PaginationToken") or f"0@{now()}").partition("@")
        if now() - float(asked_at) > _GOOD_FOR_SECONDS:
            text = "The PaginationToken has expired."
            refused: Answer = error_response_json("PaginationTokenExpiredException", text, 400)
            return refused
        status, headers, body = get_resources(data)
        answer = json.loads(body)
        found, begin = answer.get("ResourceTagMappingList", []), int(first)
        end = begin + min(data.get("ResourcesPerPage", _MOST), _MOST)
        if len(found) > end:
            answer["PaginationToken"] = f"{end}@{now()}"
        if found:
            answer["ResourceTagMappingList"] = found[begin:end]
        return status, headers, json.dumps(answer).encode()

    return handler
