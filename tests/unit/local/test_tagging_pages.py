import json
from typing import Any

import pytest

from local.emulator.tagging_pages import paged

MINUTES = 60


def whole(count: int) -> Any:
    """Answer as the emulator does: with everything."""
    found = [{"ResourceARN": str(number), "Tags": []} for number in range(count)]
    body = json.dumps({"ResourceTagMappingList": found, "PaginationToken": ""}).encode()
    return lambda _data: (200, {}, body)


def read(handler: Any, **asked: Any) -> dict[str, Any]:
    status, _, body = handler(asked)
    parsed: dict[str, Any] = json.loads(body)
    return {**parsed, "status": status}


@pytest.mark.parametrize(
    ("asked", "sizes"),
    [({}, [100, 100, 50]), ({"ResourcesPerPage": 90}, [90, 90, 70])],
)
def test_resources_come_page_by_page(asked: dict[str, int], sizes: list[int]) -> None:
    handler, pages, token = paged(whole(250)), list[list[str]](), ""
    while not pages or token:
        page = read(handler, **asked, PaginationToken=token)
        pages.append([found["ResourceARN"] for found in page["ResourceTagMappingList"]])
        token = page["PaginationToken"]

    assert [len(page) for page in pages] == sizes
    assert [arn for page in pages for arn in page] == [str(number) for number in range(250)]


def test_nothing_is_one_empty_page() -> None:
    page = read(paged(whole(0)))

    assert (page["ResourceTagMappingList"], page["PaginationToken"]) == ([], "")


def test_a_token_is_good_for_a_quarter_of_an_hour() -> None:
    time = [0.0]
    handler = paged(whole(101), lambda: time[0])
    token = read(handler)["PaginationToken"]
    time[0] = 15 * MINUTES
    in_time = read(handler, PaginationToken=token)
    time[0] += 1

    late = read(handler, PaginationToken=token)

    assert len(in_time["ResourceTagMappingList"]) == 1
    assert (late["status"], late["__type"]) == (400, "PaginationTokenExpiredException")
