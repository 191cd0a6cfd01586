"""Policies are held against what AWS says of its actions, here a small made-up reference."""

from typing import Any

import pytest

from checks import reference
from checks.reference import Checker, Reference

ROLE = "CreatorRole"


def resource_type(
    *, required: bool = True, keys: list[str] | None = None, needs: list[str] | None = None
) -> dict[str, Any]:
    return {"required": required, "condition_keys": keys or [], "dependent_actions": needs or []}


def service(privileges: dict[str, Any], resources: dict[str, Any]) -> dict[str, Any]:
    types = {name: {"resource_types": one} for name, one in privileges.items()}
    kinds = {
        "vault:ItemCount": "Numeric",
        "vault:Sealed": "Bool",
        "vault:Names": "ArrayOfString",
        "vault:Owner": "ARN",
    }
    conditions = {key: {"type": kind} for key, kind in kinds.items()}
    return {"privileges": types, "resources": resources, "conditions": conditions}


def arn(end: str, keys: list[str] | None = None) -> dict[str, Any]:
    return {"arn": f"arn:${{Partition}}:{end}", "condition_keys": keys or []}


REFERENCE = Reference(
    {
        "sts": service(
            {"AssumeRole": {"role": resource_type()}},
            {"role": arn("iam::${Account}:role/${RoleNameWithPath}")},
        ),
        "states": service({}, {}),
        "vault": service(
            {
                "MakeVault": {
                    "": resource_type(
                        keys=["aws:RequestTag/${TagKey}", "vault:Sealed"],
                        needs=["vault:SetPolicy"],
                    )
                },
                "SetPolicy": {"vault": resource_type()},
                "CopyVault": {"vault": resource_type(), "label": resource_type()},
                "ReadVault": {
                    "vault": resource_type(),
                    "shelf": resource_type(required=False),
                    "": resource_type(
                        keys=["vault:ItemCount", "vault:Sealed", "vault:Names", "vault:Owner"]
                    ),
                },
            },
            {
                "vault": arn(
                    "vault:${Region}:${Account}:vault/${VaultId}", ["aws:ResourceTag/${TagKey}"]
                ),
                "shelf": arn("vault:${Region}:${Account}:vault/${VaultId}/shelf/${Shelf}"),
                "label": arn("vault:${Region}:${Account}:label/${Alias}"),
            },
        ),
    }
)
VAULT = "arn:aws:vault:*:111122223333:vault/v-*"
SHELF = "arn:aws:vault:*:111122223333:vault/v-*/shelf/top"
LABEL = "arn:aws:vault:*:111122223333:label/a/b*"


def statement(
    action: str | list[str],
    resource: str | list[str] = "*",
    condition: dict[str, Any] | None = None,
    effect: str = "Allow",
) -> dict[str, Any]:
    return {
        "Sid": "Ours",
        "Effect": effect,
        "Action": action,
        "Resource": resource,
        "Condition": condition or {},
    }


def findings(*statements: dict[str, Any], kind: str = "role") -> list[tuple[str, ...]]:
    document = {"owner": ROLE, "kind": kind, "statements": list(statements)}
    return list(Checker(REFERENCE).findings(document))


def test_a_policy_that_agrees_has_no_findings() -> None:
    assert not findings(
        statement("vault:MakeVault", "*", {"Null": {"aws:RequestTag/team": "false"}}),
        statement("vault:SetPolicy", VAULT),
        statement("vault:Read*", [VAULT, SHELF], {"StringEquals": {"aws:RequestedRegion": "x"}}),
        statement("vault:CopyVault", VAULT, {"StringEquals": {"aws:ResourceTag/team": "x"}}),
        statement("vault:CopyVault", LABEL),
    )


@pytest.mark.parametrize("action", ["vault:ReedVault", "volt:ReadVault", "vault:Burn*"])
def test_an_action_that_does_not_exist_is_found(action: str) -> None:
    assert findings(statement(action, VAULT)) == [("Ours", reference.ACTION, action)]


def test_a_grant_is_found_that_is_missing_for_an_action_which_depends_on_it() -> None:
    makes = statement("vault:MakeVault")

    assert findings(makes) == [
        (ROLE, reference.DEPENDENT, "vault:SetPolicy for vault:MakeVault"),
    ]
    denied = statement("vault:SetPolicy", VAULT, effect="Deny")
    assert findings(makes, denied) == findings(makes)
    assert not findings(makes, statement("vault:SetPolicy", VAULT))


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
@pytest.mark.parametrize(
    ("key", "resource"),
    [
        ("vault:Seeled", VAULT),
        ("aws:RequestTag/team", VAULT),
        ("aws:ResourceTag/", VAULT),
        ("aws:ResourceTag/team", SHELF),
        ("aws:SourceAcount", VAULT),
    ],
    ids=["misspelt", "another action's", "no name", "another resource type's", "no global one"],
)
def test_a_condition_key_is_found_that_the_action_does_not_have(
    key: str, resource: str, effect: str
) -> None:
    found = findings(
        statement("vault:ReadVault", resource, {"StringEquals": {key: "x"}}, effect),
        statement("vault:ReadVault", VAULT),
    )

    assert found == [("Ours", reference.CONDITION, f"{key} for vault:ReadVault")]


def test_a_condition_key_has_to_exist_for_each_action_of_a_statement() -> None:
    both = statement(
        ["vault:ReadVault", "vault:SetPolicy"], VAULT, {"Bool": {"vault:Sealed": "true"}}
    )

    assert findings(both) == [
        ("Ours", reference.CONDITION, "vault:Sealed for vault:SetPolicy"),
    ]


@pytest.mark.parametrize(
    ("operator", "key"),
    [
        ("Bool", "vault:Sealed"),
        ("BoolIfExists", "vault:Sealed"),
        ("Null", "vault:Names"),
        ("NumericLessThan", "vault:ItemCount"),
        ("ForAnyValue:StringLike", "vault:Names"),
        ("ArnLike", "vault:Owner"),
        ("StringLike", "vault:Owner"),
        ("IpAddress", "aws:SourceIp"),
        ("StringEquals", "AWS:requestedregion"),
    ],
)
def test_an_operator_of_the_keys_type_is_right(operator: str, key: str) -> None:
    assert not findings(statement("vault:ReadVault", VAULT, {operator: {key: "x"}}))


@pytest.mark.parametrize(
    ("operator", "key", "kind"),
    [
        ("StringEquals", "vault:Sealed", "Bool"),
        ("StringEquals", "vault:Names", "ArrayOfString"),
        ("ForAnyValue:Bool", "vault:Sealed", "Bool"),
        ("ArnLike", "aws:RequestedRegion", "String"),
        ("StringEqals", "aws:RequestedRegion", "String"),
    ],
)
def test_an_operator_is_found_that_does_not_fit_the_keys_type(
    operator: str, key: str, kind: str
) -> None:
    found = findings(statement("vault:ReadVault", VAULT, {operator: {key: "x"}}))

    assert found == [("Ours", reference.OPERATOR, f"{operator} for {key}, {kind}")]


def test_a_resource_is_found_that_is_of_no_type_of_the_action() -> None:
    assert findings(statement("vault:SetPolicy", [VAULT, SHELF])) == [
        ("Ours", reference.RESOURCE, "vault for vault:SetPolicy"),
    ]
    assert findings(statement("vault:MakeVault", VAULT), statement("vault:SetPolicy", VAULT)) == [
        ("Ours", reference.RESOURCE, "vault for vault:MakeVault"),
    ]


def test_any_resource_is_found_where_the_action_has_types_and_is_right_in_a_deny() -> None:
    assert findings(statement("vault:SetPolicy")) == [
        ("Ours", reference.ANY_RESOURCE, "vault:SetPolicy")
    ]
    assert not findings(statement("vault:SetPolicy", effect="Deny"))


def test_a_required_resource_type_is_found_that_the_role_does_not_have() -> None:
    assert findings(statement("vault:CopyVault", LABEL)) == [
        (ROLE, reference.REQUIRED, "vault for vault:CopyVault")
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:*"},
        {"Principal": {"Service": "stets.amazonaws.com"}, "Action": "sts:AssumeRole"},
        {"Principal": {"AWS": "111122223333"}, "Action": "sts:AssumeRole"},
        {"Principal": "*", "Action": "sts:AssumeRole"},
    ],
)
def test_a_role_trusts_a_service_to_assume_it_and_nobody_else(other: dict[str, Any]) -> None:
    right = {"Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}

    assert not findings({"Effect": "Allow", **right}, kind="trust")
    [(owner, rule, _)] = findings({"Effect": "Allow", **other}, kind="trust")
    assert (owner, rule) == (ROLE, reference.TRUST)


@pytest.mark.parametrize("name", ["NotAction", "NotResource", "NotPrincipal"])
def test_what_names_the_contrary_is_found(name: str) -> None:
    reads = statement("vault:ReadVault", VAULT)

    assert findings({**reads, name: "*"}) == [("Ours", reference.FORM, name)]
