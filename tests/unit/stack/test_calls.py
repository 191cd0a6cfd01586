"""What handlers can call is found by machine, and held against the SDK and the roles' grants.

The sources here are made up; the SDK's models are those that the tests are installed with.
"""

from pathlib import Path

import pytest

from checks import calls
from checks.calls import Check, LambdaFunction, functions_of, granted

CLIENTS = """
from functools import cache

import boto3


@cache
def client(service, region=None):
    if region is None:
        return client(service, "here")
    return boto3.client(service, region_name=region)
"""
GETS = {"kms:DescribeKey"}


def check(
    folder: Path,
    handler: str,
    adapter: str = "",
    grants: set[str] | None = None,
    *,
    dead_letters: bool = False,
) -> list[tuple[str, str, str]]:
    """Hold a function `Step` of these sources; `client` and `adapter` are there to import."""
    folder.mkdir(exist_ok=True)
    (folder / "clients.py").write_text(CLIENTS)
    (folder / "adapter.py").write_text(adapter)
    (folder / "app.py").write_text(
        f"from functools import partial\n\nimport adapter\nfrom clients import client\n\n{handler}"
    )
    held = Check(folder)
    step = LambdaFunction("Step", "app.handler", "StepRole", dead_letters)
    held.function(step, GETS if grants is None else grants)
    held.rest()
    return sorted(held.findings)


DESCRIBE = """
def handler(event, context):
    return client("kms", event["region"]).describe_key(KeyId=event["arn"])["KeyMetadata"]["Arn"]
"""


def test_a_call_that_the_sdk_has_and_the_role_is_granted_is_right(tmp_path: Path) -> None:
    assert not check(tmp_path, DESCRIBE)


def test_a_call_is_found_that_the_role_is_not_granted(tmp_path: Path) -> None:
    assert check(tmp_path, DESCRIBE, grants=set()) == [("Step", calls.GRANT, "kms:DescribeKey")]


def test_a_grant_is_found_that_the_function_makes_no_call_for(tmp_path: Path) -> None:
    found = check(tmp_path, DESCRIBE, grants={*GETS, "kms:Decrypt"})

    assert found == [("Step", calls.EXCESS, "kms:Decrypt")]


@pytest.mark.parametrize("service_has_it", [True, False])
def test_a_call_that_is_newer_than_the_sdk_needs_its_grant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, service_has_it: bool
) -> None:
    name = "describe_key" if service_has_it else "describe_key_of_tomorrow"
    monkeypatch.setattr(calls, "NEWER", {("kms", name): "DescribeKey"})
    call = DESCRIBE.replace("describe_key", name)

    assert not check(tmp_path, call)
    assert check(tmp_path, call, grants=set()) == [("Step", calls.GRANT, "kms:DescribeKey")]


def test_a_function_with_a_dead_letter_queue_is_to_be_granted_to_send_there(
    tmp_path: Path,
) -> None:
    may_send = {*GETS, "sqs:SendMessage"}

    assert not check(tmp_path, DESCRIBE, grants=may_send, dead_letters=True)
    assert check(tmp_path, DESCRIBE, dead_letters=True) == [
        ("Step", calls.GRANT, "sqs:SendMessage")
    ]
    assert check(tmp_path, DESCRIBE, grants=may_send) == [("Step", calls.EXCESS, "sqs:SendMessage")]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("kms.describe_keys(KeyId=arn)", (calls.OPERATION, "describe_keys of kms")),
        ("kms.describe_key(KeyID=arn, KeyId=arn)", (calls.PARAMETER, "DescribeKey.KeyID")),
        ("kms.describe_key()", (calls.MISSING, "DescribeKey.KeyId")),
        (
            "kms.create_key(Tags=[{'TagKey': arn, 'Value': arn, 'TagValue': arn}])",
            (calls.PARAMETER, "CreateKey.Tags.Value"),
        ),
        (
            "kms.create_key(Tags=[{'TagKey': key} for key in arn])",
            (calls.MISSING, "CreateKey.Tags.TagValue"),
        ),
        ("kms.create_key(Origin='ABROAD')", (calls.VALUE, "ABROAD of CreateKey.Origin")),
        (
            "kms.create_key(MultiRegion='true')",
            (calls.VALUE, "true of CreateKey.MultiRegion"),
        ),
        (
            "kms.create_key(**{**{'Origin': 'EXTERNAL'}, 'Orign': arn})",
            (calls.PARAMETER, "CreateKey.Orign"),
        ),
        (
            "kms.get_paginator('describe_key').paginate(KeyId=arn)",
            (calls.OPERATION, "describe_key of kms"),
        ),
        (
            "[key['KeyArm'] for page in kms.get_paginator('list_keys').paginate()"
            " for key in page['Keys']]",
            (calls.MEMBER, "ListKeys.Keys[].KeyArm"),
        ),
        (
            "dict(kms.describe_key(KeyId=arn)['KeyMetadata']).get('Sate')",
            (calls.MEMBER, "DescribeKey.KeyMetadata.Sate"),
        ),
        (
            "'Itm' in client('dynamodb').get_item(TableName=arn, Key={'id': {'S': arn}})",
            (calls.MEMBER, "GetItem.Itm"),
        ),
        (
            "client('dynamodb').get_item(TableName=arn, Key={'id': {'T': arn}})",
            (calls.PARAMETER, "GetItem.Key.T"),
        ),
        ("'NoSuchThingException'", (calls.EXCEPTION, "NoSuchThingException")),
        ("event.describe_key(KeyId=arn)", (calls.UNSEEN, "describe_key")),
    ],
)
def test_what_the_sdk_does_not_have_is_found(
    tmp_path: Path, line: str, found: tuple[str, str]
) -> None:
    handler = f"""
def handler(event, context):
    arn, kms = event["arn"], client("kms")
    kms.describe_key(KeyId=arn)
    return {line}
"""

    findings = check(tmp_path, handler)

    assert [one[1:] for one in findings if one[0] == "app.py:10"] == [found]


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("NotFoundException", []),
        ("MissingException", [calls.EXCEPTION, calls.RAISED]),
        ("AlreadyExistsException", [calls.RAISED]),
    ],
    ids=["the call's", "no service's", "another call's"],
)
def test_an_exception_that_is_caught_has_to_be_one_of_the_call(
    tmp_path: Path, name: str, rules: list[str]
) -> None:
    handler = f"""
def handler(event, context):
    kms = client("kms")
    try:
        return kms.describe_key(KeyId=event)
    except kms.exceptions.{name}:
        return None
"""

    assert [rule for _, rule, _ in check(tmp_path, handler)] == rules


@pytest.mark.parametrize(
    ("call", "rules"),
    [("get_paginator('list_keys').paginate", []), ("list_keys", [calls.PARAMETER])],
)
def test_how_many_a_page_has_is_said_to_a_paginator_alone(
    tmp_path: Path, call: str, rules: list[str]
) -> None:
    handler = f"""
def handler(event, context):
    return client("kms").{call}(PaginationConfig={{"PageSize": 9}})
"""

    findings = check(tmp_path, handler, grants={"kms:ListKeys"})

    assert [rule for _, rule, _ in findings] == rules


ADAPTER = """
from botocore import xform_name


class Keys:
    def __init__(self, client):
        self._client = client

    def state(self, arn):
        return self._read(arn)["KeyState"]

    def _read(self, arn):
        return self._client.describe_key(KeyId=arn)["KeyMetadata"]

    def delete(self, arn):
        write(self._client, "ScheduleKeyDeletion", KeyId=arn)


def write(client, operation, **arguments):
    getattr(client, xform_name(operation))(**arguments)


def tried(work, *arguments):
    try:
        return work(*arguments)
    except ValueError:
        return None
"""


@pytest.mark.parametrize(
    ("body", "actions"),
    [
        ("adapter.Keys(client('kms')).state(event)", {"kms:DescribeKey"}),
        ("adapter.Keys(client('kms')).delete(event)", {"kms:ScheduleKeyDeletion"}),
        ("adapter.tried(adapter.Keys(client('kms')).state, event)", {"kms:DescribeKey"}),
        ("adapter.tried(lambda: client('sqs').list_queues())", {"sqs:ListQueues"}),
        ("sorted(event, key=adapter.Keys(client('kms')).state)", {"kms:DescribeKey"}),
        ("list(map(adapter.Keys(client('kms')).state, event))", {"kms:DescribeKey"}),
        (
            "adapter.write(partial(client, 'kms')(event), 'EnableKey', KeyId=event)",
            {"kms:EnableKey"},
        ),
        ("client('lambda').invoke(FunctionName=event)", {"lambda:InvokeFunction"}),
        ("client('resourcegroupstaggingapi').get_resources()", {"tag:GetResources"}),
        ("client('stepfunctions').list_state_machines()", {"states:ListStateMachines"}),
        (
            "({one: client('kms') for one in event} if event else {}).get('eu').list_keys()",
            {"kms:ListKeys"},
        ),
        ("adapter.Keys(client('kms'))", set()),
    ],
)
def test_a_call_is_found_through_adapters_callbacks_and_names(
    tmp_path: Path, body: str, actions: set[str]
) -> None:
    handler = f"def handler(event, context):\n    return {body}\n"

    found = check(tmp_path, handler, ADAPTER, grants=set())

    assert {action for _, rule, action in found if rule == calls.GRANT} == actions
    assert {rule for _, rule, _ in found} <= {calls.GRANT, calls.UNSEEN}


def test_a_call_that_no_handler_reaches_is_found(tmp_path: Path) -> None:
    findings = check(tmp_path, DESCRIBE, ADAPTER)

    assert findings == [("adapter.py:13", calls.UNSEEN, "describe_key")]


def test_what_a_framework_calls_counts_as_the_handlers(tmp_path: Path) -> None:
    handler = """
from framework import Resolver

routes = Resolver()


@routes.get("/keys")
def get_keys():
    return client("kms").describe_key(KeyId="alias/one")


def handler(event, context):
    return routes.resolve(event)
"""

    assert not check(tmp_path, handler)


def test_what_powertools_calls_counts_as_the_functions(tmp_path: Path) -> None:
    handler = """
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer

store = DynamoDBPersistenceLayer(table_name="t", boto3_client=client("dynamodb"))


def handler(event, context):
    return None
"""

    found = check(tmp_path, handler, grants={"dynamodb:PutItem", "dynamodb:UpdateItem"})

    assert found == [("Step", calls.GRANT, "dynamodb:DeleteItem")]


def test_a_function_is_held_against_its_own_role() -> None:
    template = {
        "Resources": {
            "Step": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Handler": "step.app.handler",
                    "Role": {"Fn::GetAtt": ["StepRole", "Arn"]},
                },
            },
            "Sweep": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Handler": "sweep.app.handler",
                    "Role": {"Fn::GetAtt": ["SweepRole", "Arn"]},
                    "DeadLetterConfig": {"TargetArn": "..."},
                },
            },
            "Queue": {"Type": "AWS::SQS::Queue"},
        }
    }
    documents = [
        {"owner": owner, "kind": kind, "statements": [{"Effect": effect, "Action": action}]}
        for owner, kind, effect, action in [
            ("StepRole", "role", "Allow", "kms:DescribeKey"),
            ("StepRole", "role", "Allow", ["kms:EnableKey", "kms:CreateKey"]),
            ("StepRole", "role", "Deny", "kms:PutKeyPolicy"),
            ("StepRole", "trust", "Allow", "sts:AssumeRole"),
            ("OtherRole", "role", "Allow", "kms:Decrypt"),
        ]
    ]

    assert functions_of(template) == [
        LambdaFunction("Step", "step.app.handler", "StepRole"),
        LambdaFunction("Sweep", "sweep.app.handler", "SweepRole", dead_letters=True),
    ]
    assert granted(documents, "StepRole") == {"kms:DescribeKey", "kms:EnableKey", "kms:CreateKey"}
