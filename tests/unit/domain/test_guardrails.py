"""What the stack's parameters allow: each rule by itself, for replicas, and all rules at once."""

from dataclasses import replace
from typing import Any

import pytest

from provisioner.settings import Settings, settings
from tests.support.samples import (
    ACCOUNT,
    ADMIN,
    CHINA,
    ROOT,
    SETTINGS,
    USER,
    document_of,
    pairs_of,
    problems_of,
)

PARTNER = "444455556666"
PARTNER_ROLE = f"arn:aws:iam::{PARTNER}:role/Reader"
STRICT = replace(
    SETTINGS,
    allowed_regions=("us-east-1", "eu-west-1"),
    allowed_key_specs=("SYMMETRIC_DEFAULT", "HMAC_*"),
    required_tag_keys=("team", "cost-center"),
    alias_prefixes=("alias/payments/", "alias/orders/"),
    allowed_principals=(f"arn:aws:iam::{ACCOUNT}:role/*",),
    require_ticket=True,
)
TAGS = {"team": "payments", "cost-center": "42"}
SOUND = document_of(alias="alias/payments/cards", tags=TAGS, ticket={"id": "CHG1"})


def sound_of(**fields: Any) -> dict[str, Any]:
    """Return a request that a strict stack takes, but for these fields."""
    return {**SOUND, **fields}


def policy_of(*statements: dict[str, Any]) -> dict[str, Any]:
    """Return a key policy that leaves the account in charge, with these statements more."""
    allow = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
    account = {"Principal": {"AWS": ROOT}}
    return {"document": {"Statement": [{**allow, **s} for s in (account, *statements)]}}


def test_a_request_within_every_guardrail_is_taken() -> None:
    policy = {"administrators": [ADMIN], "users": [USER]}

    assert problems_of(sound_of(policy=policy, replicas=[{"region": "eu-west-1"}]), STRICT) == []


def test_every_guardrail_is_told_at_once_with_the_name_of_its_parameter() -> None:
    document = document_of(
        primaryRegion="us-west-2",
        keySpec="RSA_2048",
        keyUsage="SIGN_VERIFY",
        policy={"administrators": [ADMIN, PARTNER_ROLE]},
        replicas=[
            {
                "region": "ap-south-1",
                "alias": "alias/own",
                "tags": {"team": "orders"},
                "policy": policy_of({"Principal": {"AWS": [USER, PARTNER_ROLE]}}),
            }
        ],
    )

    problems = problems_of(document, STRICT)

    assert {(p["path"], p["code"], p["message"].rsplit("(", 1)[1]) for p in problems} == {
        ("primaryRegion", "REGION_NOT_ALLOWED", "AllowedRegions)."),
        ("keySpec", "KEY_SPEC_NOT_ALLOWED", "AllowedKeySpecs)."),
        ("alias", "ALIAS_NOT_ALLOWED", "AliasPrefixes)."),
        ("tags", "TAG_REQUIRED", "RequiredTagKeys)."),
        ("policy.administrators[1]", "PRINCIPAL_NOT_ALLOWED", "AllowedPrincipals)."),
        ("ticket", "TICKET_REQUIRED", "RequireTicket)."),
        ("replicas[0].region", "REGION_NOT_ALLOWED", "AllowedRegions)."),
        ("replicas[0].alias", "ALIAS_NOT_ALLOWED", "AliasPrefixes)."),
        ("replicas[0].tags", "TAG_REQUIRED", "RequiredTagKeys)."),
        (
            "replicas[0].policy.document.Statement[1].Principal.AWS[1]",
            "PRINCIPAL_NOT_ALLOWED",
            "AllowedPrincipals).",
        ),
    }
    assert len(problems) == 10


class TestAllowedKeySpecs:
    @pytest.mark.parametrize(
        ("allowed", "taken"),
        [
            (("*",), True),
            (("HMAC_256",), True),
            (("RSA_2048", "HMAC_*"), True),
            (("HMAC_???",), True),
            (("HMAC_2?",), False),
            (("hmac_256",), False),
            (("SYMMETRIC_DEFAULT",), False),
            ((), False),
        ],
    )
    def test_a_spec_fits_one_of_the_patterns(
        self, allowed: tuple[str, ...], *, taken: bool
    ) -> None:
        strict = replace(SETTINGS, allowed_key_specs=allowed)

        refused = {("keySpec", "KEY_SPEC_NOT_ALLOWED")}
        assert pairs_of(document_of(keySpec="HMAC_256"), strict) == (set() if taken else refused)

    def test_the_default_spec_must_be_allowed_too(self) -> None:
        strict = replace(SETTINGS, allowed_key_specs=("HMAC_256",))

        assert pairs_of(document_of(), strict) == {("keySpec", "KEY_SPEC_NOT_ALLOWED")}

    @pytest.mark.parametrize(
        ("spec", "code"), [("AES_256", "KEY_SPEC_NOT_MULTI_REGION"), (7, "WRONG_TYPE")]
    )
    def test_what_is_no_spec_is_told_once(self, spec: Any, code: str) -> None:
        assert pairs_of(sound_of(keySpec=spec), STRICT) == {("keySpec", code)}


class TestAliasPrefixes:
    @pytest.mark.parametrize(
        "alias", ["alias/payment", "alias/orders", "alias/PAYMENTS/cards", "alias/x/payments/"]
    )
    def test_an_alias_that_begins_with_no_prefix_is_refused(self, alias: str) -> None:
        assert pairs_of(sound_of(alias=alias), STRICT) == {("alias", "ALIAS_NOT_ALLOWED")}

    def test_a_replicas_own_alias_is_held_to_the_same_prefixes(self) -> None:
        replicas = [
            {"region": "eu-west-1", "alias": "alias/orders/eu"},
            {"region": "us-west-2", "alias": "alias/elsewhere"},
            {"region": "ap-south-1", "alias": None},
        ]
        strict = replace(STRICT, allowed_regions=("*",))

        assert pairs_of(sound_of(replicas=replicas), strict) == {
            ("replicas[1].alias", "ALIAS_NOT_ALLOWED")
        }

    def test_what_is_no_alias_is_told_once(self) -> None:
        assert pairs_of(sound_of(alias="payments"), STRICT) == {("alias", "BAD_FORMAT")}


class TestRequiredTagKeys:
    @pytest.mark.parametrize("tags", [None, {}, {"Team": "x", "cost-center": "x"}, {"team": "x"}])
    def test_tags_without_a_required_key_are_refused(self, tags: Any) -> None:
        assert pairs_of(sound_of(tags=tags), STRICT) == {("tags", "TAG_REQUIRED")}

    def test_the_refusal_names_every_key_that_is_missing_and_no_other(self) -> None:
        (problem,) = problems_of(sound_of(tags={"team": "x"}), STRICT)
        (both,) = problems_of({k: v for k, v in SOUND.items() if k != "tags"}, STRICT)

        assert problem["message"] == (
            "This stack requires the tags cost-center as well (RequiredTagKeys)."
        )
        assert "the tags team, cost-center as well" in both["message"]

    def test_a_replica_shares_the_primarys_tags_and_its_refusal(self) -> None:
        document = sound_of(tags={}, replicas=[{"region": "eu-west-1"}])

        assert pairs_of(document, STRICT) == {("tags", "TAG_REQUIRED")}

    @pytest.mark.parametrize("tags", [None, {}, {"team": "orders"}])
    def test_a_replicas_own_tags_need_the_keys_themselves(self, tags: Any) -> None:
        document = sound_of(replicas=[{"region": "eu-west-1", "tags": tags}])

        assert pairs_of(document, STRICT) == {("replicas[0].tags", "TAG_REQUIRED")}

    def test_tags_that_are_none_are_told_once(self) -> None:
        assert pairs_of(sound_of(tags=[]), STRICT) == {("tags", "WRONG_TYPE")}

    def test_a_wrong_tag_does_not_hide_a_missing_one(self) -> None:
        assert pairs_of(sound_of(tags={"team": 7}), STRICT) == {
            ("tags", "TAG_REQUIRED"),
            ("tags.team", "WRONG_TYPE"),
        }


class TestAllowedPrincipals:
    @pytest.mark.parametrize(
        ("name", "pattern", "taken"),
        [
            (PARTNER_ROLE, "*", True),
            (PARTNER_ROLE, PARTNER, True),
            (PARTNER_ROLE, "44445555????", True),
            (PARTNER_ROLE, PARTNER_ROLE, True),
            (PARTNER_ROLE, f"arn:aws:iam::{PARTNER}:role/R*", True),
            (PARTNER_ROLE, "arn:aws:iam::*:role/Reader", True),
            (PARTNER_ROLE, f"arn:aws:iam::{PARTNER}:role/[R]*", False),
            (PARTNER_ROLE, f"arn:aws:iam::{PARTNER}:user/*", False),
            (PARTNER_ROLE, f"arn:aws:iam::{PARTNER}:root", False),
            (PARTNER_ROLE, f"ARN:AWS:IAM::{PARTNER}:ROLE/READER", False),
            (PARTNER_ROLE, ACCOUNT, False),
            (f"arn:aws:iam::{PARTNER}:root", PARTNER, True),
            (f"arn:aws:iam::{PARTNER}:root", f"arn:aws:iam::{PARTNER}:root", True),
            (f"arn:aws:iam::{PARTNER}:root", f"arn:aws:iam::{PARTNER}:role/*", False),
            (f"arn:aws:sts::{PARTNER}:assumed-role/Reader/me", PARTNER, True),
            (f"arn:aws:sts::{PARTNER}:assumed-role/Reader/me", PARTNER_ROLE, False),
            (ROOT, PARTNER, True),
            (ADMIN, PARTNER, False),
        ],
    )
    @pytest.mark.parametrize("field", ["administrators", "users"])
    def test_a_principal_fits_one_of_the_patterns(
        self, field: str, name: str, pattern: str, *, taken: bool
    ) -> None:
        strict = replace(SETTINGS, allowed_principals=("nobody", pattern))

        refused = {(f"policy.{field}[0]", "PRINCIPAL_NOT_ALLOWED")}
        found = pairs_of(document_of(policy={field: [name]}), strict)
        assert found == (set() if taken else refused)

    @pytest.mark.parametrize(
        ("name", "pattern", "taken"),
        [
            (PARTNER, PARTNER, True),
            (PARTNER, f"arn:aws:iam::{PARTNER}:root", True),
            (PARTNER, f"arn:aws:iam::{PARTNER}:role/*", False),
            (PARTNER_ROLE, PARTNER, True),
            (PARTNER_ROLE, ACCOUNT, False),
            (ACCOUNT, PARTNER, True),
            (ROOT, PARTNER, True),
            ("*", "*", True),
            ("*", PARTNER, False),
            ("*", "arn:*", False),
        ],
    )
    def test_every_aws_principal_that_a_document_lets_in_fits_one_of_the_patterns(
        self, name: str, pattern: str, *, taken: bool
    ) -> None:
        strict = replace(SETTINGS, allowed_principals=(pattern,))
        condition = {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3"}}
        policy = policy_of({"Principal": {"AWS": name}, "Condition": condition})

        where = "policy.document.Statement[1].Principal.AWS"
        found = pairs_of(document_of(policy=policy), strict)
        assert found == (set() if taken else {(where, "PRINCIPAL_NOT_ALLOWED")})

    @pytest.mark.parametrize(
        ("condition", "taken"),
        [
            (
                {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/*"}},
                True,
            ),
            ({"ArnLike": {"aws:PrincipalArn": [f"arn:aws:iam::{PARTNER}:role/Re*"]}}, True),
            ({"StringEquals": {"aws:PrincipalArn": PARTNER_ROLE}}, True),
            ({"StringEquals": {"aws:PrincipalAccount": [ACCOUNT, PARTNER]}}, True),
            ({"StringLike": {"kms:CallerAccount": PARTNER}}, True),
            ({"StringEquals": {"aws:PrincipalAccount": [PARTNER, "777788889999"]}}, False),
            ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::777788889999:role/*"}}, False),
            ({"StringLike": {"aws:userId": "AROAEXAMPLEEXAMPLE00:*"}}, False),
        ],
    )
    def test_everyone_of_allowed_accounts_is_an_allowed_principal(
        self, condition: dict[str, Any], *, taken: bool
    ) -> None:
        strict = replace(SETTINGS, allowed_principals=(PARTNER,))

        for principal, where in (("*", ""), ({"AWS": "*"}, ".AWS")):
            policy = policy_of({"Principal": principal, "Condition": condition})
            found = pairs_of(document_of(policy=policy), strict)
            problem = (f"policy.document.Statement[1].Principal{where}", "PRINCIPAL_NOT_ALLOWED")
            assert found == (set() if taken else {problem})

    def test_everyone_is_no_allowed_principal_even_with_a_condition(self) -> None:
        condition = {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3"}}
        policy = policy_of({"Principal": "*", "Condition": condition})

        assert pairs_of(sound_of(policy=policy), STRICT) == {
            ("policy.document.Statement[1].Principal", "PRINCIPAL_NOT_ALLOWED")
        }

    def test_whom_a_deny_names_is_free(self) -> None:
        deny = {"Effect": "Deny", "Action": "kms:Decrypt"}
        others = {**deny, "NotPrincipal": {"AWS": [ROOT, PARTNER]}}
        policy = policy_of({**deny, "Principal": "*"}, others)

        assert problems_of(sound_of(policy=policy), STRICT) == []

    def test_a_service_is_no_aws_principal(self) -> None:
        service = {"Service": "logs.us-east-1.amazonaws.com"}
        policy = policy_of({"Principal": service}, {"Principal": {**service, "AWS": PARTNER}})

        assert pairs_of(sound_of(policy=policy), STRICT) == {
            ("policy.document.Statement[2].Principal.AWS", "PRINCIPAL_NOT_ALLOWED")
        }

    def test_the_only_statement_is_looked_at_without_a_list(self) -> None:
        both = {"AWS": [ROOT, PARTNER]}
        statement = {"Effect": "Allow", "Principal": both, "Action": "kms:*", "Resource": "*"}
        policy = {"document": {"Statement": statement}}

        assert pairs_of(sound_of(policy=policy), STRICT) == {
            ("policy.document.Statement.Principal.AWS[1]", "PRINCIPAL_NOT_ALLOWED")
        }

    def test_what_is_malformed_does_not_hide_a_principal_nor_is_told_twice(self) -> None:
        policy = {
            "document": {
                "Statement": [
                    {"Effect": "Permit", "Principal": {"AWS": [PARTNER, 7, "me"]}},
                    "Allow",
                ]
            }
        }

        found = pairs_of(sound_of(policy=policy), STRICT)

        assert {path for path, code in found if code == "PRINCIPAL_NOT_ALLOWED"} == {
            "policy.document.Statement[0].Principal.AWS[0]"
        }

    def test_a_replica_shares_the_primarys_policy_and_its_refusal(self) -> None:
        replicas = [{"region": "eu-west-1"}]
        document = sound_of(policy={"users": [PARTNER_ROLE]}, replicas=replicas)

        assert pairs_of(document, STRICT) == {("policy.users[0]", "PRINCIPAL_NOT_ALLOWED")}

    def test_a_replicas_own_policy_is_held_to_the_same_patterns(self) -> None:
        replicas = [{"region": "eu-west-1", "policy": {"users": [USER, PARTNER_ROLE]}}]
        default = [{"region": "eu-west-1", "policy": None}]

        assert pairs_of(sound_of(replicas=replicas), STRICT) == {
            ("replicas[0].policy.users[1]", "PRINCIPAL_NOT_ALLOWED")
        }
        assert problems_of(sound_of(replicas=default), STRICT) == []

    def test_the_accounts_root_is_its_partitions(self) -> None:
        strict = replace(CHINA, allowed_principals=("arn:aws-cn:iam::444455556666:root",))
        root = "arn:aws-cn:iam::111122223333:root"
        statement = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
        policy = {"document": {"Statement": [{**statement, "Principal": {"AWS": [root, PARTNER]}}]}}

        assert problems_of(document_of(policy=policy), strict) == []


class TestRequireTicket:
    @pytest.mark.parametrize("fields", [{}, {"ticket": None}, {"ticket": {}}])
    def test_no_ticket_and_an_empty_one_are_refused(self, fields: dict[str, Any]) -> None:
        strict = replace(SETTINGS, require_ticket=True)

        assert pairs_of(document_of(**fields), strict) == {("ticket", "TICKET_REQUIRED")}

    @pytest.mark.parametrize("ticket", ["CHG1", "", [], 0, False])
    def test_what_is_no_ticket_is_told_once(self, ticket: Any) -> None:
        assert pairs_of(sound_of(ticket=ticket), STRICT) == {("ticket", "WRONG_TYPE")}


def test_the_environment_says_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    given_as = {
        "ALLOWED_KEY_SPECS": "SYMMETRIC_DEFAULT, HMAC_*",
        "REQUIRED_TAG_KEYS": "team,cost-center",
        "ALIAS_PREFIXES": "alias/payments/,alias/orders/",
        "ALLOWED_PRINCIPALS": f"arn:aws:iam::{ACCOUNT}:role/*",
        "REQUIRE_TICKET": "true",
    }
    for name, value in given_as.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()

    assert guardrails_of(settings()) == guardrails_of(STRICT)


def test_a_stack_that_is_told_nothing_is_open_to_its_own_account() -> None:
    own = replace(SETTINGS, allowed_principals=(ACCOUNT,))

    assert guardrails_of(settings()) == guardrails_of(own)


def guardrails_of(given: Settings) -> tuple[Any, ...]:
    return (
        given.allowed_key_specs,
        given.required_tag_keys,
        given.alias_prefixes,
        given.allowed_principals,
        given.require_ticket,
    )
