"""Which policies differ from what was put in nothing but principals that are gone."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from provisioner.domain.lost_principals import differs_in_gone_principals_only, lost_principals
from tests.support.samples import ACCOUNT, ADMIN, ROOT, USER

GONE_ROLE, GONE_ROLE_2, GONE_USER = (
    "AROAEXAMPLEEXAMPLE123",
    "AROAEXAMPLEEXAMPLE456",
    "AIDAEXAMPLEEXAMPLE123",
)
BOB = f"arn:aws:iam::{ACCOUNT}:user/bob"
OTHER = f"arn:aws:iam::{ACCOUNT}:role/Other"
type Policy = dict[str, Any]


def statement(*names: str, **fields: Any) -> Policy:
    principal = {"AWS": [*names]}
    return {
        "Effect": "Allow",
        "Principal": principal,
        "Action": "kms:Decrypt",
        "Resource": "*",
        **fields,
    }


def policy(*statements: Policy) -> Policy:
    account = statement(ROOT, Action="kms:*")
    return {"Version": "2012-10-17", "Statement": [account, *statements]}


def same(found: Policy | None, declared: Policy) -> bool:
    return differs_in_gone_principals_only(found, declared, partition="aws")


@pytest.mark.parametrize(
    ("found", "declared"),
    [
        ([GONE_ROLE], [USER]),
        ([ADMIN, GONE_ROLE], [USER, ADMIN]),
        ([GONE_ROLE, GONE_USER], [USER, BOB]),
        ([GONE_ROLE, GONE_ROLE_2], [USER, ADMIN]),
    ],
)
def test_a_policy_with_the_ids_of_principals_that_are_gone_is_the_one_that_was_put(
    found: list[str], declared: list[str]
) -> None:
    one, other = policy(statement(*found)), policy(statement(*declared))

    assert same(one, other)
    # KMS writes one of a list as a text, in any order.
    one["Statement"][1]["Principal"]["AWS"] = found[0] if len(found) == 1 else found[::-1]
    one["Statement"].reverse()
    assert same(one, other)


def without_sid(changed: Policy) -> None:
    changed["Statement"][1]["Sid"] = "Other"


def other_action(changed: Policy) -> None:
    changed["Statement"][1]["Action"] = "kms:*"


def other_version(changed: Policy) -> None:
    changed["Version"] = "2008-10-17"


def one_more(changed: Policy) -> None:
    changed["Statement"].append(statement(OTHER, Action="kms:Encrypt"))


def one_more_principal(changed: Policy) -> None:
    changed["Statement"][1]["Principal"]["AWS"].append(OTHER)


def one_more_id(changed: Policy) -> None:
    changed["Statement"][1]["Principal"]["AWS"].append(GONE_ROLE_2)


def another_kind(changed: Policy) -> None:
    changed["Statement"][1]["Principal"]["AWS"] = [GONE_USER]


def no_policy(changed: Policy) -> None:
    changed["Statement"] = "none"


@pytest.mark.parametrize(
    "change",
    [
        without_sid,
        other_action,
        other_version,
        one_more,
        one_more_principal,
        one_more_id,
        another_kind,
        no_policy,
    ],
)
def test_whatever_else_differs_is_a_difference(change: Callable[[Policy], None]) -> None:
    declared = policy(statement(USER))
    found = policy(statement(GONE_ROLE))
    assert same(found, declared)
    changed = deepcopy(found)
    change(changed)

    assert not same(changed, declared)


def test_a_statement_that_denies_has_to_be_the_same() -> None:
    denied, wanted = statement(GONE_ROLE, Effect="Deny"), statement(USER, Effect="Deny")

    assert not same(policy(denied), policy(wanted))
    assert not same(policy(denied, statement(GONE_ROLE)), policy(wanted, statement(USER)))


def test_in_doubt_policies_differ() -> None:
    twice = policy(statement(GONE_ROLE), statement(ADMIN))

    assert not same(twice, policy(statement(USER), statement(ADMIN)))
    assert not same(policy(statement(USER)), policy(statement(USER)))
    assert not same(None, policy(statement(USER)))
    named = statement(f"{ACCOUNT}", GONE_ROLE)
    assert not same(policy(statement(GONE_ROLE)), policy(named))
    assert not same(policy(statement(GONE_ROLE)), policy(statement("*")))
    deep: Policy = {}
    for _ in range(50_000):
        deep = {"deep": deep}
    assert not same({**policy(statement(GONE_ROLE)), "Id": deep}, policy(statement(USER)))
    assert not same(policy(statement(GONE_ROLE)), {"Statement": "none"})
    service = {**statement(), "Principal": {"Service": "logs.amazonaws.com"}}
    assert same(policy(service, statement(GONE_ROLE)), policy(service, statement(USER)))
    assert not same(policy(statement("ANPAEXAMPLEEXAMPLE123")), policy(statement(USER)))


def test_the_names_that_are_lost_are_those_that_were_put_and_are_declared_still() -> None:
    put, declared = policy(statement(USER, ADMIN)), policy(statement(USER, ADMIN, OTHER))

    assert lost_principals(policy(statement(GONE_ROLE, ADMIN)), put, declared) == [USER]
    assert lost_principals(policy(statement(GONE_ROLE, ADMIN)), put, policy()) == []
    # Somebody has taken it out.
    assert lost_principals(policy(statement(ADMIN)), put, declared) == []
    single = policy(statement(GONE_ROLE))
    single["Statement"][1]["Principal"]["AWS"] = GONE_ROLE
    assert lost_principals(single, put, declared) == [USER, ADMIN]
    denies = {"Effect": "Deny", "NotPrincipal": {"AWS": USER}, "Action": "*", "Resource": "*"}
    assert lost_principals(policy(statement(GONE_ROLE)), policy(denies), policy(denies)) == [USER]
    assert lost_principals(policy(statement(GONE_ROLE)), put, {"Statement": ["x"]}) == []
