from typing import Final

import pytest
from botocore.exceptions import ReadTimeoutError

from provisioner.aws.clients import client
from provisioner.aws.tagging import find_keys, find_page, find_tags
from provisioner.errors import DependencyUnavailable
from tests.support.answering import answer, calls_of, lose_on_the_wire, refusal
from tests.support.samples import key_arn
from tests.support.tagged_keys import make_key

STACK = {"mrk:stack": "mrk-provisioner"}
REQUEST = {"mrk:request-id": "CHG1", **STACK}
SERVICE: Final = "resourcegroupstaggingapi"


@pytest.mark.usefixtures("aws")
def test_the_keys_that_carry_all_the_tags_are_found_with_all_of_theirs() -> None:
    ours, others = make_key()["Arn"], make_key(request_id="CHG2")["Arn"]
    make_key(Tags=[{"TagKey": "mrk:request-id", "TagValue": "CHG1"}])

    of_request = find_keys(client(SERVICE, "us-east-1"), REQUEST)
    of_stack = find_keys(client(SERVICE, "us-east-1"), STACK)

    assert of_request == {ours: REQUEST}
    assert of_stack == {ours: REQUEST, others: {**REQUEST, "mrk:request-id": "CHG2"}}


@pytest.mark.usefixtures("aws")
def test_keys_are_found_in_the_clients_own_region() -> None:
    here = make_key("eu-west-1")["Arn"]
    make_key("us-east-1")

    assert find_keys(client(SERVICE, "eu-west-1"), STACK).keys() == {here}


def test_only_kms_keys_are_asked_for_and_every_page_is_read() -> None:
    tagging = client(SERVICE, "us-east-1")
    pages = [
        {
            "ResourceTagMappingList": [
                {"ResourceARN": key_arn(key_id=name), "Tags": [{"Key": "a", "Value": name}]}
            ],
            "PaginationToken": token,
        }
        for name, token in (("mrk-1", "more"), ("mrk-2", ""))
    ]
    answer(tagging, "GetResources", *pages)
    calls = calls_of(tagging)

    found = find_keys(tagging, REQUEST)

    assert found == {key_arn(key_id=name): {"a": name} for name in ("mrk-1", "mrk-2")}
    (_, first), (_, second) = calls
    assert first["ResourceTypeFilters"] == ["kms:key"]
    assert first["TagFilters"] == [
        {"Key": "mrk:request-id", "Values": ["CHG1"]},
        {"Key": "mrk:stack", "Values": ["mrk-provisioner"]},
    ]
    assert second["PaginationToken"] == "more"


def test_a_refusal_makes_it_unavailable() -> None:
    tagging = client(SERVICE, "eu-west-1")
    answer(tagging, "GetResources", refusal("ThrottledException", "Slow down."))

    with pytest.raises(DependencyUnavailable, match=r"in eu-west-1 did not find keys.*Slow down"):
        find_keys(tagging, STACK)


def test_a_refusal_of_the_tags_of_keys_makes_them_unavailable() -> None:
    tagging = client(SERVICE, "eu-west-1")
    answer(tagging, "GetResources", refusal("ThrottledException", "Slow down."))

    with pytest.raises(DependencyUnavailable, match=r"in eu-west-1 did not find keys.*Slow down"):
        find_tags(tagging, [key_arn("eu-west-1")])


def test_no_answer_makes_it_unavailable() -> None:
    tagging = client(SERVICE, "eu-west-1")
    lose_on_the_wire(tagging, ReadTimeoutError(endpoint_url="https://tagging.invalid"))

    with pytest.raises(DependencyUnavailable, match="in eu-west-1 did not find keys"):
        find_keys(tagging, STACK)


@pytest.mark.parametrize("token", ["", "more"])
def test_a_page_holds_a_hundred_keys_and_names_the_next(token: str) -> None:
    tagging = client(SERVICE, "us-east-1")
    mapping = [{"ResourceARN": key_arn(), "Tags": [{"Key": "a", "Value": "b"}]}]
    answer(
        tagging,
        "GetResources",
        {"ResourceTagMappingList": mapping, "PaginationToken": "next"},
        {"ResourceTagMappingList": mapping},
    )
    calls = calls_of(tagging)

    first, last = find_page(tagging, STACK, token), find_page(tagging, STACK, token)

    keys = {key_arn(): {"a": "b"}}
    assert (first, last) == ((keys, "next"), (keys, ""))
    (_, asked), _ = calls
    assert asked["ResourcesPerPage"] == 100
    assert asked["ResourceTypeFilters"] == ["kms:key"]
    assert asked.get("PaginationToken", "") == token


def test_a_page_whose_token_has_expired_is_none() -> None:
    tagging = client(SERVICE, "us-east-1")
    answer(tagging, "GetResources", refusal("PaginationTokenExpiredException"))

    assert find_page(tagging, STACK, "old") is None


def test_a_page_that_is_refused_is_unavailable() -> None:
    tagging = client(SERVICE, "us-east-1")
    answer(tagging, "GetResources", refusal("ThrottledException"))

    with pytest.raises(DependencyUnavailable, match="in us-east-1 did not find keys"):
        find_page(tagging, STACK, "")
