"""A stack with restrictive parameters: what its code refuses, and what IAM denies its roles.

Its name is long, so that CloudFormation cuts the names of its roles and functions. IAM is asked as
the functions' roles, so that it answers whatever their code would have done. It goes on with the
requests table of an earlier deployment.
"""

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.polling import wait_for
from local.settings import PARAMETERS
from local.stack.deploy import deploy
from local.stack.endpoint import Endpoint
from local.stack.stack import Stack
from tests.support.stack.emulators import new_emulator
from tests.support.stack.kms_calls import HOME, refusal
from tests.support.stack.reading import ADMIN, USER, calls_since, new_request, read_key
from tests.support.template import table_properties

ALLOWED, NOT_ALLOWED = "eu-west-1", "us-west-2"
LONG_NAME = "mrk-provisioner-of-the-payments-platform"
RESTRICTIVE = {
    "AllowedRegions": f"{HOME},{ALLOWED}",
    "AllowedKeySpecs": "SYMMETRIC_DEFAULT,HMAC_*",
    "AliasPrefixes": "alias/payments/,alias/orders/",
    "RequiredTagKeys": "team,cost-center",
    "AllowedPrincipals": "arn:aws:iam::111122223333:role/*",
    "RequireTicket": "true",
    "ExistingRequestsTable": "requests-of-an-earlier-deployment",
}
OUR_TAGS = [
    {"TagKey": "mrk:stack", "TagValue": LONG_NAME},
    {"TagKey": "mrk:request-id", "TagValue": "guardrails"},
]
HMAC = {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}
RSA = {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}


@pytest.fixture(scope="module")
def strict_stack() -> Iterator[Stack]:
    with new_emulator() as server:
        leave_a_table(Endpoint(server.endpoint_url, server.region))
        described = deploy(server, {**PARAMETERS, **RESTRICTIVE}, LONG_NAME)
        with Stack.listening(described) as stack:
            yield stack


def leave_a_table(endpoint: Endpoint) -> None:
    """Leave a requests table behind as `sam delete` does, and a key that it does not know."""
    tags = [OUR_TAGS[0], {"TagKey": "mrk:request-id", "TagValue": "unknown"}]
    key = endpoint.client("kms").create_key(MultiRegion=True, Tags=tags)["KeyMetadata"]
    # The emulator dates tables by whole seconds.
    next_second = int(key["CreationDate"].timestamp()) + 1
    wait_for(lambda: time.time() >= next_second or None, "the next second", timeout=5)
    endpoint.client("dynamodb").create_table(
        TableName=RESTRICTIVE["ExistingRequestsTable"], **table_properties("RequestsTable")
    )


def kms_of(stack: Stack, function: str, region: str = HOME) -> Any:
    """Return KMS as a function's role sees it."""
    return stack.client("kms", region, stack.credentials_of(stack.role_of(function)))


def our_key(stack: Stack, **fields: Any) -> str:
    """Create a primary key with the stack's tags, as the account's root; give its ARN."""
    kms = stack.client("kms")
    created = kms.create_key(MultiRegion=True, Tags=OUR_TAGS, **fields)
    arn: str = created["KeyMetadata"]["Arn"]
    return arn


def denied_action(call: Any, **parameters: Any) -> str:
    """Make a call that IAM must deny; give the action that its message names."""
    code, message = refusal(call, **parameters)
    assert code == "AccessDeniedException"
    return message.split("perform: ")[1].split(" ")[0]


def test_a_request_that_breaks_every_guardrail_is_refused_for_each(strict_stack: Stack) -> None:
    request = new_request(
        "strict",
        primaryRegion=NOT_ALLOWED,
        keySpec="RSA_2048",
        keyUsage="SIGN_VERIFY",
        tags={"team": "payments"},
        policy={"users": ["arn:aws:iam::444455556666:role/Reader"]},
    )
    calls = len(strict_stack.kms_calls())

    answer = strict_stack.api("POST", "/keys", json=request)

    assert answer.status_code == 400
    assert {(e["path"], e["code"]) for e in answer.json()["errors"]} == {
        ("primaryRegion", "REGION_NOT_ALLOWED"),
        ("keySpec", "KEY_SPEC_NOT_ALLOWED"),
        ("alias", "ALIAS_NOT_ALLOWED"),
        ("tags", "TAG_REQUIRED"),
        ("policy.users[0]", "PRINCIPAL_NOT_ALLOWED"),
        ("ticket", "TICKET_REQUIRED"),
    }
    assert calls_since(strict_stack, calls) == []


def test_a_request_within_the_guardrails_is_built(strict_stack: Stack) -> None:
    request = new_request(
        "within",
        alias="alias/payments/within",
        keySpec="HMAC_256",
        tags={"team": "payments", "cost-center": "42"},
        policy={"administrators": [ADMIN], "users": [USER]},
        replicas=[{"region": ALLOWED, "alias": "alias/orders/within"}],
        ticket={"id": "CHG1"},
    )

    strict_stack.send(request)
    outcome = strict_stack.wait_for_outcome(request["requestId"])["detail"]

    assert (outcome["status"], outcome["errors"]) == ("CREATED", [])
    (replica,) = outcome["key"]["replicas"]
    found = read_key(strict_stack, ALLOWED, replica["arn"])
    assert (found["aliases"], found["spec"]) == (["alias/orders/within"], "HMAC_256")


def test_the_names_that_cloudformation_makes_of_a_long_stack_name_are_cut(
    strict_stack: Stack,
) -> None:
    roles = strict_stack.resources("AWS::IAM::Role")
    bucket = strict_stack.outputs["BatchesBucketName"]

    assert len(LONG_NAME) == 40
    assert {len(name) for name in roles.values()} <= set(range(50, 65))
    assert re.fullmatch(
        "mrk-provisioner-of-the-pa-PublishOutcomeFunctionRol-[A-Z0-9]{12}",
        roles["PublishOutcomeFunctionRole"],
    )
    assert re.fullmatch("mrk-provisioner-of-the-pa-batchesbucket-[a-z0-9]{12}", bucket)


def test_only_the_stacks_own_functions_publish_under_its_name(strict_stack: Stack) -> None:
    """The outcome of the request above was published by a role whose name is cut."""
    with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
        strict_stack.send({"requestId": "forged"}, "Multi-Region Key Created", "mrk.provisioner")


@pytest.mark.parametrize(
    "detail_type", ["Multi-Region Key Requested", "Multi-Region Key Material Provided"]
)
def test_a_right_to_put_events_is_not_enough_to_request_keys_or_to_provide_material(
    detail_type: str, strict_stack: Stack
) -> None:
    anything = {"Effect": "Allow", "Action": "events:PutEvents", "Resource": "*"}
    strict_stack.create_role("PutsEvents", policy={"Statement": [anything]})
    entry = {"EventBusName": strict_stack.outputs["EventBusName"], "Source": "x", "Detail": "{}"}
    events = strict_stack.client("events", credentials=strict_stack.credentials_of("PutsEvents"))

    assert events.put_events(Entries=[{**entry, "DetailType": "x"}])["FailedEntryCount"] == 0
    with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
        events.put_events(Entries=[{**entry, "DetailType": name} for name in ("x", detail_type)])


def test_the_table_of_an_earlier_deployment_is_gone_on_with(strict_stack: Stack) -> None:
    table, tables = RESTRICTIVE["ExistingRequestsTable"], strict_stack.client("dynamodb")

    items = tables.scan(TableName=table)["Items"]
    outcomes = {item["status"]["S"] for item in items}

    assert strict_stack.outputs["RequestsTableName"] == table
    assert "RequestsTable" not in strict_stack.resources("AWS::DynamoDB::Table")
    # The requests of the tests before: one was refused, one was created.
    assert outcomes == {"REJECTED", "CREATED"}


def test_a_key_that_is_older_than_the_table_is_reported_as_such_and_left_alone(
    strict_stack: Stack,
) -> None:
    def found() -> list[dict[str, Any]] | None:
        assert strict_stack.invoke("SweepFunction", {})["failed"] == 0
        return [event["detail"] for event in strict_stack.events(None)] or None

    [finding] = wait_for(found, "the sweep to find the key", timeout=60, interval=1)

    assert (finding["kind"], finding["action"]) == ("KEYS_OF_AN_EARLIER_DEPLOYMENT", "REPORTED")
    assert finding["message"].startswith(f"1 keys in {HOME} carry the tags of")


def test_iam_lets_primary_keys_have_the_allowed_specs_and_regions_alone(
    strict_stack: Stack,
) -> None:
    new = {"MultiRegion": True, "Tags": OUR_TAGS}
    home = kms_of(strict_stack, "CreatePrimaryKeyFunction")
    elsewhere = kms_of(strict_stack, "CreatePrimaryKeyFunction", NOT_ALLOWED)

    assert home.create_key(**new)
    assert home.create_key(**new, **HMAC)
    assert denied_action(home.create_key, **new, **RSA) == "kms:CreateKey"
    assert denied_action(elsewhere.create_key, **new, **HMAC) == "kms:CreateKey"


def test_iam_lets_keys_of_the_allowed_specs_alone_be_replicated(strict_stack: Stack) -> None:
    kms = kms_of(strict_stack, "CreateReplicaKeyFunction")
    hmac, rsa = our_key(strict_stack, **HMAC), our_key(strict_stack, **RSA)

    assert kms.replicate_key(KeyId=hmac, ReplicaRegion=ALLOWED, Tags=OUR_TAGS)
    for key, region in ((rsa, ALLOWED), (hmac, NOT_ALLOWED)):
        replica = {"KeyId": key, "ReplicaRegion": region, "Tags": OUR_TAGS}
        assert denied_action(kms.replicate_key, **replica) == "kms:ReplicateKey"


def test_iam_lets_aliases_have_the_permitted_prefixes_alone(strict_stack: Stack) -> None:
    making = kms_of(strict_stack, "ApplyKeySettingsFunction")
    removing = kms_of(strict_stack, "RollBackKeySetFunction")
    key, root = our_key(strict_stack), strict_stack.client("kms")
    unmarked = root.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]

    for alias in ("alias/payments/iam", "alias/orders/iam"):
        making.create_alias(AliasName=alias, TargetKeyId=key)
        removing.delete_alias(AliasName=alias)
    for alias in ("alias/elsewhere", "alias/payments", "alias/x/orders/iam"):
        new = {"AliasName": alias, "TargetKeyId": key}
        assert denied_action(making.create_alias, **new) == "kms:CreateAlias"
        root.create_alias(**new)
        assert denied_action(removing.delete_alias, AliasName=alias) == "kms:DeleteAlias"
    # A prefix is of aliases: no key comes within reach through it.
    new = {"AliasName": "alias/orders/unmarked", "TargetKeyId": unmarked}
    assert denied_action(making.create_alias, **new) == "kms:CreateAlias"
