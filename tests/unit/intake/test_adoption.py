"""Documents that ask for an adoption: the declaration, and what stands beside it."""

from typing import Any

import pytest

from provisioner.domain.adoption import AdoptionRequest
from provisioner.errors import RequestRejected
from provisioner.intake.adoption import parse_adoption
from tests.support.samples import SETTINGS, document_of, key_arn, request_of

ARN = key_arn("eu-west-1")


def parsed(*, planning: bool = False, **fields: Any) -> AdoptionRequest:
    return parse_adoption({"keyArn": ARN, **fields}, SETTINGS, planning=planning)


def problems(document: object, *, planning: bool = False) -> list[tuple[str, str]]:
    with pytest.raises(RequestRejected) as rejected:
        parse_adoption(document, SETTINGS, planning=planning)
    return [(one["path"], one["code"]) for one in rejected.value.problems]


def test_the_declaration_is_a_request_and_its_primary_region_that_of_the_key() -> None:
    asked = parsed(**document_of(replicas=[{"region": "us-west-2"}]))

    assert asked.request == request_of(
        primaryRegion="eu-west-1", replicas=[{"region": "us-west-2"}]
    )
    assert asked.request_id == "CHG1"
    assert {**asked.adoption, "operationId": ""} == {
        "operationId": "",
        "keyArn": ARN,
        "unmanaged": [],
        "takeOver": False,
    }
    assert asked.adoption["operationId"] != parsed(**document_of()).adoption["operationId"]
    assert "keyArn" not in asked.document


def test_what_stands_beside_the_declaration_is_kept() -> None:
    asked = parsed(**document_of(), unmanaged=["sa-east-1"], takeOver=True)

    assert asked.adoption["unmanaged"] == ["sa-east-1"]
    assert asked.adoption["takeOver"]


def test_keys_that_exist_may_be_declared_disabled_at_first() -> None:
    asked = parsed(
        **document_of(enabled=False, replicas=[{"region": "us-west-2", "enabled": False}])
    )

    assert asked.request
    assert asked.request["enabled"] is False


def test_a_plan_alone_may_leave_the_declaration_to_kms() -> None:
    assert parsed(planning=True, requestId="CHG1", ticket={"id": "1"}).request is None
    assert problems({"keyArn": ARN, "requestId": "CHG1"}) == [("alias", "REQUIRED")]
    assert problems({"keyArn": ARN, "requestId": "CHG1", "description": "x"}, planning=True) == [
        ("alias", "REQUIRED")
    ]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([], [("", "NOT_AN_OBJECT")]),
        ({"requestId": "a b", "keyArn": ARN, "alias": "alias/a"}, [("requestId", "BAD_FORMAT")]),
        ({"alias": "alias/a", "keyArn": ARN}, [("requestId", "REQUIRED")]),
        (document_of(), [("keyArn", "REQUIRED")]),
        (document_of(keyArn="alias/a"), [("keyArn", "BAD_FORMAT")]),
        (document_of(keyArn=key_arn(key_id="00000000-0000-0000-0000-000000000000")),
         [("keyArn", "BAD_FORMAT")]),
        (document_of(keyArn=ARN.replace("111122223333", "444455556666")),
         [("keyArn", "KEY_OF_ANOTHER_ACCOUNT")]),
        (document_of(keyArn=ARN.replace("arn:aws:", "arn:aws-cn:")),
         [("keyArn", "KEY_OF_ANOTHER_ACCOUNT")]),
        (document_of(keyArn=ARN, takeOver="yes"), [("takeOver", "WRONG_TYPE")]),
        (document_of(keyArn=ARN, unmanaged="sa-east-1"), [("unmanaged", "WRONG_TYPE")]),
        (document_of(keyArn=ARN, unmanaged=["eu-west-1"]),
         [("unmanaged[0]", "DUPLICATE_REGION")]),
        (document_of(keyArn=ARN, unmanaged=["sa-east-1", "sa-east-1"]),
         [("unmanaged[1]", "DUPLICATE_REGION")]),
        (document_of(keyArn=ARN, confirm=["DECOMMISSION"], revision=2),
         [("confirm", "CONFIRMATION_UNUSED")]),
        (document_of(keyArn=ARN, desiredState="DECOMMISSIONED", revision=2),
         [("desiredState", "NOT_IN_AN_ADOPTION")]),
        (document_of(keyArn=ARN, unmanged=[]), [("unmanged", "UNKNOWN_FIELD")]),
    ],
)  # fmt: skip
def test_every_problem_is_named(document: Any, expected: list[tuple[str, str]]) -> None:
    assert problems(document) == expected


def test_problems_of_both_parts_are_listed_together() -> None:
    assert problems({"requestId": "a b", "keyArn": 1, "alias": "cards"}) == [
        ("requestId", "BAD_FORMAT"),
        ("keyArn", "WRONG_TYPE"),
        ("alias", "BAD_FORMAT"),
    ]
