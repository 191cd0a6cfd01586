"""Key sets of origin EXTERNAL: what is asked, what is answered, and what KMS has afterwards."""

import base64
import json
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.polling import wait_for
from local.stack.stack import Stack
from provisioner.clock import instant_text
from tests.support.stack.material_holder import (
    PROVIDED,
    REFUSED,
    Material,
    new_material,
    provide,
    questions,
    wait_for_question,
    wrapped,
)
from tests.support.stack.reading import keys_of_request, new_request, read_key
from tests.support.stack.sweeping import sweep_to_its_end

HOME, NEAR, FAR = "us-east-1", "eu-west-1", "us-west-2"
MESSAGE = b"what is made in one Region is good in another"
DAY = 86_400


def external(name: str, *replicas: str, **fields: Any) -> dict[str, Any]:
    """Return a request of origin EXTERNAL, wrapped under the key that is quickest to unwrap."""
    material = {"wrappingKeySpec": "RSA_2048", **fields.pop("keyMaterial", {})}
    wanted = [{"region": region} for region in replicas]
    return new_request(
        name, origin="EXTERNAL", keyMaterial=material, **{"replicas": wanted, **fields}
    )


def created(stack: Stack, request: dict[str, Any], material: Material) -> dict[str, Any]:
    """Send a request, answer for the primary and for the replicas; give the outcome's key."""
    request_id = request["requestId"]
    stack.send(request)
    provide(stack, request_id, material.secret)
    if request["replicas"]:
        provide(stack, request_id, material.secret, number=2)
    outcome = stack.wait_for_outcome(request_id)
    assert outcome["detail-type"] == "Multi-Region Key Created", outcome["detail"]["errors"]
    key: dict[str, Any] = outcome["detail"]["key"]
    return key


def status(stack: Stack, request_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = stack.api("GET", f"/keys/{request_id}").json()
    return answer


def refusals(stack: Stack, request_id: str) -> list[dict[str, Any]] | None:
    """List the refused answers, or None while there are none."""
    events = stack.events(request_id)
    return [e["detail"] for e in events if e["detail-type"] == REFUSED] or None


def codes(problems: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(problem["path"], problem["code"]) for problem in problems]


def members(key: dict[str, Any]) -> dict[str, str]:
    """Map each Region of an outcome's key to the ARN there."""
    return {member["region"]: member["arn"] for member in [key["primary"], *key["replicas"]]}


@pytest.mark.parametrize(
    ("spec", "usage"),
    [
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
        ("HMAC_256", "GENERATE_VERIFY_MAC"),
        ("RSA_2048", "SIGN_VERIFY"),
        ("ECC_NIST_P256", "SIGN_VERIFY"),
    ],
)
def test_every_region_has_the_same_material(stack: Stack, spec: str, usage: str) -> None:
    material = new_material(spec)
    request = external("material", NEAR, FAR, keySpec=spec, keyUsage=usage, tags={"team": "byok"})

    key = created(stack, request, material)

    arns = members(key)
    assert [m["keyState"] for m in [key["primary"], *key["replicas"]]] == ["Enabled"] * 3
    for region, arn in arns.items():
        found = read_key(stack, region, arn)
        assert (found["state"], found["origin"]) == ("Enabled", "EXTERNAL")
        assert (found["aliases"], found["tags"]) == ([request["alias"]], {"team": "byok"})
    assert len(keys_of_request(stack, request["requestId"], HOME)) == 1
    assert len(questions(stack, request["requestId"])) == 2
    assert_same_key(stack, arns, spec, material)


def assert_same_key(stack: Stack, arns: dict[str, str], spec: str, material: Material) -> None:
    clients = {region: stack.client("kms", region) for region in arns}
    if spec == "SYMMETRIC_DEFAULT":
        sealed = clients[HOME].encrypt(KeyId=arns[HOME], Plaintext=MESSAGE)["CiphertextBlob"]
        for region in (NEAR, FAR):
            opened = clients[region].decrypt(KeyId=arns[region], CiphertextBlob=sealed)
            assert opened["Plaintext"] == MESSAGE
    elif spec == "HMAC_256":
        algorithm = "HMAC_SHA_256"
        mac = clients[HOME].generate_mac(KeyId=arns[HOME], Message=MESSAGE, MacAlgorithm=algorithm)[
            "Mac"
        ]
        for region in (NEAR, FAR):
            verified = clients[region].verify_mac(
                KeyId=arns[region], Message=MESSAGE, Mac=mac, MacAlgorithm=algorithm
            )
            assert verified["MacValid"]
    else:
        for region, arn in arns.items():
            public_key = clients[region].get_public_key(KeyId=arn)["PublicKey"]
            assert public_key == material.public_key


def test_the_workflow_asks_and_waits_without_a_function(stack: Stack) -> None:
    request = external("waits", NEAR, ticket={"system": "servicenow", "id": "CHG7"})
    request_id = request["requestId"]
    stack.send(request)

    question = wait_for_question(stack, request_id)

    (material,) = question["materials"]
    assert question["ticket"] == request["ticket"]
    assert question["errors"] == []
    assert material.keys() == {
        "region",
        "keyArn",
        "keySpec",
        "wrappingAlgorithm",
        "wrappingKeySpec",
        "publicKey",
        "importToken",
        "validUntil",
    }
    assert (material["region"], material["wrappingKeySpec"]) == (HOME, "RSA_2048")
    left = datetime.fromisoformat(material["validUntil"]) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(hours=24)
    primary = read_key(stack, HOME, material["keyArn"])
    assert (primary["state"], primary["aliases"]) == ("PendingImport", [request["alias"]])
    assert keys_of_request(stack, request_id, NEAR) == []
    seen = status(stack, request_id)
    assert (seen["status"], seen["materials"]) == ("WAITING_FOR_MATERIAL", question["materials"])
    assert seen["key"]["primary"]["keyState"] == "PendingImport"
    assert stack.is_running(seen["executionArn"])

    again = stack.api("POST", "/keys", json=request)

    assert (again.status_code, again.json()["executionArn"]) == (202, seen["executionArn"])
    secret = new_material("SYMMETRIC_DEFAULT").secret
    answered = stack.api("POST", f"/keys/{request_id}/material", json=wrapped(question, secret))
    assert (answered.status_code, answered.json()["status"]) == (202, "IN_PROGRESS")
    replica = wait_for_question(stack, request_id, 2)
    assert [m["region"] for m in replica["materials"]] == [NEAR]
    answered = stack.api("POST", f"/keys/{request_id}/material", json=wrapped(replica, secret))
    assert answered.status_code == 202
    assert stack.wait_for_outcome(request_id)["detail"]["status"] == "CREATED"
    assert "materials" not in status(stack, request_id)
    assert len(keys_of_request(stack, request_id, HOME)) == 1


@pytest.mark.parametrize("size", ["RSA_2048", "RSA_3072", "RSA_4096"])
@pytest.mark.parametrize("algorithm", ["RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_256"])
def test_what_the_tool_wraps_is_taken(stack: Stack, algorithm: str, size: str) -> None:
    request = external(
        "wraps",
        keySpec="ECC_NIST_P256",
        keyUsage="SIGN_VERIFY",
        keyMaterial={"wrappingAlgorithm": algorithm, "wrappingKeySpec": size},
    )

    key = created(stack, request, new_material("ECC_NIST_P256"))

    (material,) = questions(stack, request["requestId"])[0]["materials"]
    assert (material["wrappingAlgorithm"], material["wrappingKeySpec"]) == (algorithm, size)
    assert key["primary"]["keyState"] == "Enabled"


def test_expiry_is_each_regions_own_and_can_be_seen(stack: Stack) -> None:
    soon, late = (
        (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for days in (20, 300)
    )
    request = external(
        "expiry",
        keyMaterial={"validTo": late},
        replicas=[
            {"region": NEAR},
            {"region": FAR, "keyMaterial": {"validTo": soon}},
            {"region": "ap-south-1", "keyMaterial": {"expires": False}},
        ],
    )

    key = created(stack, request, new_material("SYMMETRIC_DEFAULT"))

    expected = {HOME: late, NEAR: late, FAR: soon, "ap-south-1": None}
    told = {m["region"]: m["validTo"] for m in [key["primary"], *key["replicas"]]}
    assert told == expected
    seen = status(stack, request["requestId"])["key"]
    assert [m["validTo"] for m in seen["replicas"]] == [late, soon, None]
    for region, arn in members(key).items():
        metadata = stack.client("kms", region).describe_key(KeyId=arn)["KeyMetadata"]
        valid_to = metadata.get("ValidTo")
        assert (instant_text(valid_to) if valid_to else None) == expected[region]


def test_wrong_material_is_asked_again_for_its_region_alone(stack: Stack) -> None:
    material = new_material("SYMMETRIC_DEFAULT")
    request = external("wrong", NEAR, FAR)
    request_id = request["requestId"]
    stack.send(request)
    provide(stack, request_id, material.secret)
    question = wait_for_question(stack, request_id, 2)
    right = wrapped(question, material.secret, NEAR)
    wrong = wrapped(question, new_material("SYMMETRIC_DEFAULT").secret, FAR)

    stack.send({**right, "materials": right["materials"] + wrong["materials"]}, PROVIDED)
    second = wait_for_question(stack, request_id, 3)

    assert [m["region"] for m in second["materials"]] == [FAR]
    assert codes(second["errors"]) == [("replicas[1].region", "INCORRECT_KEY_MATERIAL")]
    assert FAR in second["errors"][0]["message"]
    seen = status(stack, request_id)
    assert codes(seen["errors"]) == codes(second["errors"])
    states = {
        m["region"]: m["keyState"] for m in [seen["key"]["primary"], *seen["key"]["replicas"]]
    }
    assert states == {HOME: "Enabled", NEAR: "Enabled", FAR: "PendingImport"}

    stack.send(wrapped(second, material.secret), PROVIDED)

    key = stack.wait_for_outcome(request_id)["detail"]["key"]
    assert [r["keyState"] for r in key["replicas"]] == ["Enabled", "Enabled"]
    assert_same_key(stack, members(key), "SYMMETRIC_DEFAULT", material)


def test_a_region_that_is_added_is_asked_for_alone_and_has_the_material_of_the_others(
    stack: Stack,
) -> None:
    material = new_material("SYMMETRIC_DEFAULT")
    request = external("added", NEAR)
    request_id, kms = request["requestId"], partial(stack.client, "kms")
    arns = members(created(stack, request, material))
    sealed = kms(HOME).encrypt(KeyId=arns[HOME], Plaintext=MESSAGE)["CiphertextBlob"]
    added = {**request, "revision": 2, "replicas": [{"region": NEAR}, {"region": FAR}]}

    plan = stack.api("POST", "/keys?plan=true", added).json()
    rows = [(row["region"], row["call"], row["confirm"]) for row in plan["changes"]]
    assert rows == [
        (FAR, "ReplicateKey", None),
        (FAR, "ImportKeyMaterial", None),
        (FAR, "CreateAlias", None),
    ]
    assert ("replicas[1].region", "KEY_MATERIAL_REQUIRED") in codes(plan["warnings"])
    assert stack.api("POST", f"/keys?planId={plan['planId']}", added).status_code == 202
    question = wait_for_question(stack, request_id, 3)
    assert [one["region"] for one in question["materials"]] == [FAR]
    seen = status(stack, request_id)
    assert (seen["status"], seen["revision"]) == ("WAITING_FOR_MATERIAL", 2)
    stack.send(wrapped(question, new_material("SYMMETRIC_DEFAULT").secret), PROVIDED)
    again = wait_for_question(stack, request_id, 4)
    assert codes(again["errors"]) == [("replicas[1].region", "INCORRECT_KEY_MATERIAL")]
    assert "takes only the key material that this key set has" in again["errors"][0]["message"]
    answer = wrapped(again, material.secret)
    assert stack.api("POST", f"/keys/{request_id}/material", answer).status_code == 202

    outcome = stack.wait_for_outcomes(request_id, 2)[1]
    assert outcome["detail-type"] == "Multi-Region Key Updated", outcome["detail"]["errors"]
    arns = members(outcome["detail"]["key"])
    opened = kms(FAR).decrypt(KeyId=arns[FAR], CiphertextBlob=sealed)
    assert opened["Plaintext"] == MESSAGE
    assert_same_key(stack, arns, "SYMMETRIC_DEFAULT", material)
    back = kms(FAR).encrypt(KeyId=arns[FAR], Plaintext=MESSAGE)["CiphertextBlob"]
    assert kms(HOME).decrypt(KeyId=arns[HOME], CiphertextBlob=back)["Plaintext"] == MESSAGE
    assert read_key(stack, FAR, arns[FAR])["aliases"] == [request["alias"]]


def test_what_is_not_wrapped_as_asked_is_asked_again(stack: Stack) -> None:
    request = external("unreadable")
    request_id = request["requestId"]
    stack.send(request)
    answer = wrapped(wait_for_question(stack, request_id), new_material("HMAC_256").secret)
    answer["materials"][0]["encryptedKeyMaterial"] = base64.b64encode(b"x" * 256).decode()

    stack.send(answer, PROVIDED)

    question = wait_for_question(stack, request_id, 2)
    assert codes(question["errors"]) == [("primaryRegion", "KEY_MATERIAL_UNREADABLE")]
    finish(stack, request_id, 2)


def finish(stack: Stack, request_id: str, number: int) -> None:
    """Answer a question about a primary alone, and see that the key set comes of it."""
    provide(stack, request_id, new_material("SYMMETRIC_DEFAULT").secret, number)
    assert stack.wait_for_outcome(request_id)["detail"]["status"] == "CREATED"
    assert len(keys_of_request(stack, request_id, HOME)) == 1


def test_material_wrapped_for_another_key_is_asked_again(stack: Stack) -> None:
    mine, other = external("mine"), external("other")
    for request in (mine, other):
        stack.send(request)
    secret = new_material("SYMMETRIC_DEFAULT").secret
    for_other = wrapped(wait_for_question(stack, other["requestId"]), secret)
    wait_for_question(stack, mine["requestId"])

    stack.send({**for_other, "requestId": mine["requestId"]}, PROVIDED)

    question = wait_for_question(stack, mine["requestId"], 2)
    assert codes(question["errors"]) == [("primaryRegion", "IMPORT_TOKEN_INVALID")]
    finish(stack, mine["requestId"], 2)
    finish(stack, other["requestId"], 1)


def test_an_expired_token_leads_to_a_new_question(stack: Stack) -> None:
    request = external("late")
    request_id = request["requestId"]
    stack.send(request)
    answer = wrapped(wait_for_question(stack, request_id), new_material("SYMMETRIC_DEFAULT").secret)

    with stack.changed_kms_settings(clock_shift_seconds=DAY + 60):
        stack.send(answer, PROVIDED)
        question = wait_for_question(stack, request_id, 2)

        assert codes(question["errors"]) == [("primaryRegion", "IMPORT_TOKEN_EXPIRED")]
        finish(stack, request_id, 2)


def test_an_answer_for_some_regions_leaves_the_others_asked_for(stack: Stack) -> None:
    material = new_material("SYMMETRIC_DEFAULT")
    request = external("partly", NEAR, FAR)
    request_id = request["requestId"]
    stack.send(request)
    provide(stack, request_id, material.secret)
    question = wait_for_question(stack, request_id, 2)

    stack.send(wrapped(question, material.secret, FAR), PROVIDED)

    rest = wait_for_question(stack, request_id, 3)
    assert ([m["region"] for m in rest["materials"]], rest["errors"]) == ([NEAR], [])
    stack.send(wrapped(rest, material.secret), PROVIDED)
    assert stack.wait_for_outcome(request_id)["detail"]["status"] == "CREATED"


def test_an_answer_that_comes_twice_is_taken_once(stack: Stack) -> None:
    request = external("twice")
    request_id = request["requestId"]
    stack.send(request)
    answer = wrapped(wait_for_question(stack, request_id), new_material("SYMMETRIC_DEFAULT").secret)
    path = f"/keys/{request_id}/material"

    answers = [stack.api("POST", path, json=answer) for _ in range(2)]
    outcome = stack.wait_for_outcome(request_id)
    stack.send(answer, PROVIDED)
    late = stack.api("POST", path, json=answer)

    assert [a.status_code for a in [*answers, late]] == [202, 202, 202]
    assert outcome["detail"]["status"] == "CREATED"
    imports = [c for c in stack.kms_calls() if c["operation"] == "ImportKeyMaterial"]
    mine = f"{outcome['detail']['executionArn']}"
    assert imports
    assert stack.executions(request_id) == [mine]
    assert len(questions(stack, request_id)) == 1


def test_an_answer_that_nobody_waits_for_is_refused(stack: Stack) -> None:
    request = external("done")
    request_id = request["requestId"]
    created(stack, request, new_material("SYMMETRIC_DEFAULT"))
    ungiven = {"region": HOME, "importToken": "AAAA", "encryptedKeyMaterial": "AAAA"}
    answer = {"requestId": request_id, "materials": [ungiven]}
    unknown = {**answer, "requestId": f"{request_id}-unknown"}

    refused = stack.api("POST", f"/keys/{request_id}/material", json=answer)
    not_found = stack.api("POST", f"/keys/{unknown['requestId']}/material", json=unknown)
    stack.send(answer, PROVIDED)
    stack.send(unknown, PROVIDED)

    assert refused.status_code == 409
    assert codes(refused.json()["errors"]) == [("requestId", "KEY_MATERIAL_NOT_AWAITED")]
    assert not_found.status_code == 404
    for asked, code in (
        (request_id, "KEY_MATERIAL_NOT_AWAITED"),
        (unknown["requestId"], "REQUEST_NOT_FOUND"),
    ):
        (refusal,) = wait_for(partial(refusals, stack, asked), "a refusal", timeout=30)
        assert codes(refusal["errors"]) == [("requestId", code)]


def test_an_unsound_answer_is_refused_with_every_problem_and_nothing_is_lost(stack: Stack) -> None:
    request = external("unsound")
    request_id = request["requestId"]
    stack.send(request)
    wait_for_question(stack, request_id)
    piece = {"importToken": "AAAA", "encryptedKeyMaterial": "AAAA"}

    form = stack.api(
        "POST",
        f"/keys/{request_id}/material",
        json={"materials": [{"region": 1, "importToken": "?", "material": "secret"}]},
    )
    regions = stack.api(
        "POST",
        f"/keys/{request_id}/material",
        json={
            "requestId": request_id,
            "materials": [{"region": r, **piece} for r in (HOME, HOME, NEAR)],
        },
    )
    elsewhere = stack.api(
        "POST",
        f"/keys/{request_id}/material",
        json={"requestId": "OTHER", "materials": [{"region": HOME, **piece}]},
    )

    assert (form.status_code, regions.status_code, elsewhere.status_code) == (400, 400, 400)
    assert {p["path"] for p in form.json()["errors"]} == {
        "materials[0].region",
        "materials[0].importToken",
        "materials[0].encryptedKeyMaterial",
        "materials[0].material",
    }
    assert codes(regions.json()["errors"]) == [
        ("materials[1].region", "DUPLICATE_REGION"),
        ("materials[2].region", "REGION_NOT_AWAITED"),
    ]
    assert codes(elsewhere.json()["errors"]) == [("requestId", "REQUEST_ID_DIFFERS")]
    assert status(stack, request_id)["status"] == "WAITING_FOR_MATERIAL"
    finish(stack, request_id, 1)


def test_a_run_that_is_stopped_while_it_waits_is_taken_up_again(stack: Stack) -> None:
    request = external("stopped")
    request_id = request["requestId"]
    stack.send(request)
    wait_for_question(stack, request_id)
    first = status(stack, request_id)["executionArn"]

    stack.client("stepfunctions").stop_execution(executionArn=first)
    stack.wait_for_execution(first)
    stack.send(request)

    question = wait_for_question(stack, request_id, 2)
    assert question["executionArn"] != first
    finish(stack, request_id, 2)


def test_renewed_material_is_the_same_exchange_on_the_same_keys(stack: Stack) -> None:
    material = new_material("SYMMETRIC_DEFAULT")
    soon, late = (
        (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for days in (20, 300)
    )
    request = external("renewed", NEAR, keyMaterial={"validTo": soon})
    request_id = request["requestId"]
    before = created(stack, request, material)

    def findings() -> dict[str, str] | None:
        # Nothing is said of a key that is younger than the quiet period.
        assert stack.invoke("SweepFunction", {})["failed"] == 0
        told = [event["detail"] for event in stack.events(request_id)]
        expiring = [detail for detail in told if detail.get("kind") == "MATERIAL_EXPIRES"]
        found = {detail["region"]: detail["message"] for detail in expiring}
        return found if found.keys() == {HOME, NEAR} else None

    found = wait_for(findings, "findings in both Regions", timeout=30, interval=1)
    sweep_to_its_end(stack)
    assert soon in found[HOME]

    renewal = {**request, "keyMaterial": {**request["keyMaterial"], "validTo": late}}
    stack.send(renewal)
    provide(stack, request_id, material.secret, 3)
    provide(stack, request_id, material.secret, 4)

    first, second = stack.wait_for_outcomes(request_id, 2)
    after = second["detail"]["key"]
    assert second["detail"]["outcomeId"] != first["detail"]["outcomeId"]
    assert members(after) == members(before)
    assert [m["validTo"] for m in [after["primary"], *after["replicas"]]] == [late, late]
    assert len(keys_of_request(stack, request_id, HOME)) == 1

    stack.send(renewal)

    def third() -> str | None:
        found = stack.executions(request_id)
        return found[0] if len(found) == 3 else None

    newest = wait_for(third, "the third execution", timeout=30)
    assert stack.wait_for_execution(newest)["status"] == "SUCCEEDED"
    assert len(questions(stack, request_id)) == 4


def test_the_material_is_nowhere_in_the_service(stack: Stack, emulator_log: Path) -> None:
    material, began = new_material("SYMMETRIC_DEFAULT"), datetime.now(UTC)
    request = external("secret", NEAR, FAR)
    created(stack, request, material)
    request_id = request["requestId"]
    forms = [
        material.secret.decode("latin-1"),
        material.secret.hex(),
        material.secret.hex().upper(),
        base64.b64encode(material.secret).decode().rstrip("="),
        base64.urlsafe_b64encode(material.secret).decode().rstrip("="),
        repr(material.secret)[2:-1],
    ]

    traces = list(everything_kept(stack, request_id, since=began))
    traces.append(emulator_log.read_text(errors="replace"))

    assert any(request_id in trace for trace in traces)
    assert sum(len(trace) for trace in traces) > 10_000
    for trace in traces:
        assert not [form for form in forms if form in trace]


def everything_kept(stack: Stack, request_id: str, *, since: datetime) -> Any:
    """Return every text that the service keeps: histories, tables, events and logs.

    Of the logs it is what was written since a time: the emulator lists 10,000 lines at most.
    """
    for arn in stack.executions(request_id):
        yield json.dumps(stack.history(arn), default=str)
    for event in stack.events(request_id):
        yield json.dumps(event)
    dynamodb = stack.client("dynamodb")
    for table in dynamodb.list_tables()["TableNames"]:
        yield json.dumps(dynamodb.scan(TableName=table)["Items"], default=str)
    logs = stack.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group["logGroupName"], startTime=int(since.timestamp() * 1000)
        )
        yield "\n".join(event["message"] for page in pages for event in page["events"])


@pytest.mark.parametrize("operation", ["get_parameters_for_import", "import_key_material"])
def test_no_other_role_may_import(stack: Stack, operation: str) -> None:
    request = external("role")
    request_id = request["requestId"]
    stack.send(request)
    arn = wait_for_question(stack, request_id)["materials"][0]["keyArn"]
    arguments_of: dict[str, dict[str, Any]] = {
        "get_parameters_for_import": {
            "WrappingAlgorithm": "RSAES_OAEP_SHA_256",
            "WrappingKeySpec": "RSA_2048",
        },
        "import_key_material": {
            "ImportToken": b"token",
            "EncryptedKeyMaterial": b"material",
            "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
        },
    }
    allowed = {}

    for function in stack.functions():
        credentials = stack.credentials_of(stack.role_of(function))
        kms = stack.client("kms", HOME, credentials)
        try:
            getattr(kms, operation)(KeyId=arn, **arguments_of[operation])
            allowed[function] = "done"
        except ClientError as error:
            if (code := error.response["Error"]["Code"]) != "AccessDeniedException":
                allowed[function] = code

    assert allowed.keys() == {"ImportKeyMaterialFunction", "ImportNewKeyMaterialFunction"}
    finish(stack, request_id, 1)
