"""Every path of the workflow, for tests of what the roles need on all of them.

A path takes the deployed stack, goes its way, and asserts that it went it. `SIDE_BY_SIDE` and
`ONE_BY_ONE` list them; the paths of a new function are added there. Where a path of the first kind
yields, others go on while the workflow works for it; those of the second kind change what others
would meet.
"""

import json
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from local import hooks, settings
from local.commands import batch
from local.emulator.faults import Fault
from local.polling import wait_for
from local.settings import ACCOUNT_ID, STACK_NAME
from local.stack.stack import Stack
from tests.support.stack.adopting import adopted, ended, made_by_hand, released
from tests.support.stack.dead_letters import queue_url, waiting
from tests.support.stack.denials import replica_denied
from tests.support.stack.drifting import drifts
from tests.support.stack.held_secrets import holding
from tests.support.stack.material_holder import (
    PROVIDED,
    REFUSED,
    new_material,
    provide,
    wait_for_question,
    wrapped,
)
from tests.support.stack.reading import (
    ADMIN,
    USER,
    keys_of_request,
    new_request,
    read_key,
    root_alone,
)
from tests.support.stack.sweeping import sweep_items, sweep_to_its_end
from tests.support.ticket_server import Answered, ticket_server

VIA = {"hook": "jira", "actor": None}
APPROVERS = "Approvers"
_ASKED = "Key Approval Required"

type Path = Callable[[Stack], Generator[None]]

HOME, NEAR, FAR, DENIED = "us-east-1", "eu-west-1", "us-west-2", "eu-central-1"
PARAMETERS = {
    **settings.PARAMETERS,
    "ApiLogsRole": "true",
    "AllowedRegions": ",".join((HOME, NEAR, FAR, DENIED)),
    "AllowedKeySpecs": "SYMMETRIC_DEFAULT",
    "QuietPeriodInSeconds": "1",
    "SweeperMayDelete": "true",
}
INTENDED_DENIALS = {
    ("CreateReplicaKeyFunctionRole", "kms:CreateKey"),
    ("KeysApiFunctionRole", "kms:DescribeKey"),
    ("LookAtKeysFunctionRole", "kms:DescribeKey"),
}
"""What `replica_denied` takes away for a while, and what the key of `_hide` keeps to itself."""

_AT_ONCE = 2
_SDK_ATTEMPTS = 3
_EVERYTHING: dict[str, Any] = {
    "description": "as asked",
    "tags": {"team": "payments"},
    "policy": {"administrators": [ADMIN], "users": [USER]},
    "rotation": {"periodInDays": 100},
}


def walk(stack: Stack) -> None:
    """Go every path."""
    with ExitStack() as opened:
        side_by_side = [opened.enter_context(closing(path(stack))) for path in SIDE_BY_SIDE]
        under_way: list[Generator[None]] = []
        while side_by_side or under_way:
            # More at once start more copies of each function, which take longer than they save.
            while side_by_side and len(under_way) < _AT_ONCE:
                under_way.append(side_by_side.pop(0))
            under_way = [path for path in under_way if next(path, path) is None]
    for path in ONE_BY_ONE:
        for _ in path(stack):
            pass


def create_by_event(stack: Stack) -> Generator[None]:
    replicas = [{"region": NEAR}, {"region": FAR}]
    request = new_request("create", **_EVERYTHING, replicas=replicas)
    stack.send(request)
    yield
    assert len(_created(stack, request)["replicas"]) == 2


def reject_by_event(stack: Stack) -> Generator[None]:
    request = new_request("reject", keySpec="DES")
    stack.send(request)
    yield
    assert stack.wait_for_outcome(request["requestId"])["detail"]["status"] == "REJECTED"


def conflict_by_event(stack: Stack) -> Generator[None]:
    request = new_request("conflict")
    stack.send(request)
    yield
    _created(stack, request)
    stack.send({**request, "description": "other"})
    yield
    refused = stack.wait_for_outcomes(request["requestId"], 2)[1]["detail"]
    assert _codes(refused) == ["REQUEST_CONFLICT"]


def alias_in_use(stack: Stack) -> Generator[None]:
    """Find out whose an alias is, of the primary and of a replica: somebody else's key."""
    request = new_request("taken", replicas=[{"region": NEAR}])
    for region in (HOME, NEAR):
        _take(stack, region, request["alias"])
    planned = stack.api("POST", "/keys?plan=true", json=request).json()
    assert [warning["code"] for warning in planned["warnings"]] == ["ALIAS_IN_USE"] * 2
    stack.send(request)
    yield
    detail = stack.wait_for_outcome(request["requestId"])["detail"]
    assert _codes(detail) == ["ALIAS_IN_USE"]
    assert detail["key"] is None


def _take(stack: Stack, region: str, alias: str) -> None:
    kms = stack.client("kms", region)
    owner = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=alias, TargetKeyId=owner)


def every_route_of_the_api(stack: Stack) -> Generator[None]:
    request = new_request("routes")
    bad = {**request, "keySpec": "DES"}
    path = f"/keys/{request['requestId']}"
    answers = [
        stack.api("POST", "/keys?plan=true", json=request),
        stack.api("POST", "/keys?plan=true", json=bad),
        stack.api("POST", "/keys", json=bad),
        stack.api("POST", "/keys", json=request),
    ]
    yield
    stack.wait_for_outcomes(request["requestId"], 2)
    answers += [
        stack.api("POST", "/keys", json=request),
        stack.api("POST", "/keys", json={**request, "description": "other"}),
        stack.api("POST", f"{path}/material", json={}),
        stack.api("GET", path),
        stack.api("GET", f"{path}-unknown"),
        stack.api("GET", f"{path}/history"),
        stack.api("GET", "/keys?status=CREATED&limit=1"),
        stack.api("GET", "/schema"),
    ]
    waiting_for_material = new_request(
        "cancelled", origin="EXTERNAL", keyMaterial={"wrappingKeySpec": "RSA_2048"}
    )
    stack.send(waiting_for_material)
    yield
    wait_for_question(stack, waiting_for_material["requestId"])
    answers.append(stack.api("DELETE", f"/keys/{waiting_for_material['requestId']}"))
    yield
    stack.wait_for_outcome(waiting_for_material["requestId"])
    codes = [answer.status_code for answer in answers]
    assert codes == [200, 400, 400, 202, 202, 409, 400, 200, 404, 200, 200, 200, 202]


def lose_the_answer_of_create_key(stack: Stack) -> Generator[None]:
    """Adopt the key of an unanswered attempt; of two keys keep one and retire the other.

    A key of another kind is looked at and left alone, whatever its tags say.
    """
    adopted = new_request("adopted", primaryRegion=FAR)
    doubled = new_request("doubled", primaryRegion=DENIED)
    other = _make_stray_key(stack, FAR, adopted, attempt="1", MultiRegion=False)
    stack.put_faults(
        Fault("CreateKey", "lose-after", region=FAR),
        Fault("CreateKey", "hang-after", region=DENIED, seconds=30),
    )
    for request in (adopted, doubled):
        stack.send(request)
    # While its call hangs, the same call seems to arrive a second time.
    wait_for(
        lambda: keys_of_request(stack, doubled["requestId"], DENIED) or None,
        "the key whose call hangs",
        timeout=60,
    )
    _make_stray_key(stack, DENIED, doubled, attempt="1")
    yield
    for request in (adopted, doubled):
        _created(stack, request)
    _wait_for_retired(stack, doubled)
    assert stack.faults() == []
    kms = stack.client("kms", FAR)
    assert kms.describe_key(KeyId=other)["KeyMetadata"]["KeyState"] == "Enabled"
    # The sweeper would report it, which is not this path.
    kms.untag_resource(KeyId=other, TagKeys=["mrk:stack"])


def fail_and_go_on(stack: Stack) -> Generator[None]:
    """Resume a request on keys whose every setting was changed; bring rolled back keys back.

    And correct one, of which the right content leaves out the alias, a tag and rotation. Somebody
    else has taken a replica's alias when one of the requests is resumed.
    """
    replicas = [{"region": NEAR}, {"region": DENIED}]
    resumed = new_request("resumed", **_EVERYTHING, replicas=replicas)
    rolled_back = new_request("rolled-back", onFailure="ROLL_BACK", replicas=replicas)
    wrong = new_request("corrected", **_EVERYTHING, replicas=replicas)
    late = new_request("late", onFailure="ROLL_BACK", replicas=[{"region": DENIED}])
    with replica_denied(stack, DENIED):
        for request in (resumed, rolled_back, wrong, late):
            stack.send(request)
        yield
        details = [
            stack.wait_for_outcome(request["requestId"])["detail"]
            for request in (resumed, rolled_back, wrong, late)
        ]
    assert [_codes(detail) for detail in details] == [["KMS_ACCESS_DENIED"]] * 4
    _take(stack, DENIED, late["alias"])
    primary, replica = (
        (key["region"], key["arn"])
        for key in (details[0]["key"]["primary"], *details[0]["key"]["replicas"])
    )
    before = [read_key(stack, *key) for key in (primary, replica)]
    _change_every_setting(stack, primary[1], before[0]["policy"], resumed["alias"])
    stack.client("kms", NEAR).schedule_key_deletion(KeyId=replica[1], PendingWindowInDays=7)
    right = {
        **wrong,
        "alias": f"{wrong['alias']}-right",
        "tags": {},
        "rotation": None,
        "replicas": replicas[:1],
    }
    for request in (resumed, rolled_back, right, late):
        stack.send(request)
    yield
    for request in (resumed, rolled_back, right):
        _created(stack, request, 2)
    assert _codes(stack.wait_for_outcomes(late["requestId"], 2)[1]["detail"]) == ["ALIAS_IN_USE"]
    assert [read_key(stack, *key) for key in (primary, replica)] == before
    for key in (details[2]["key"]["primary"], *details[2]["key"]["replicas"]):
        found = read_key(stack, key["region"], key["arn"])
        assert (found["aliases"], found["tags"]) == ([right["alias"]], {})


def _change_every_setting(stack: Stack, key: str, policy: dict[str, Any], alias: str) -> None:
    kms = stack.client("kms", HOME)
    kms.update_key_description(KeyId=key, Description="not as asked")
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "team", "TagValue": "other"}])
    kms.put_key_policy(KeyId=key, Policy=root_alone(policy))
    kms.disable_key_rotation(KeyId=key)
    kms.delete_alias(AliasName=alias)


def import_key_material(stack: Stack) -> Generator[None]:
    """Ask, answer by the API and by event, refuse an answer, ask again, renew."""
    soon, late = (
        (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for days in (20, 300)
    )
    wanted = {"wrappingKeySpec": "RSA_2048", "validTo": soon}
    request = new_request(
        "import", origin="EXTERNAL", keyMaterial=wanted, replicas=[{"region": NEAR}]
    )
    request_id, secret = request["requestId"], new_material("SYMMETRIC_DEFAULT").secret
    stack.send(request)
    yield
    answer = wrapped(wait_for_question(stack, request_id), secret)
    # While it waits, another delivery of the same request finds the run that holds it.
    assert stack.wait_for_execution(stack.start_execution(request))["status"] == "SUCCEEDED"
    assert stack.api("POST", "/keys", json=request).status_code == 202
    assert stack.api("POST", f"/keys/{request_id}/material", json=answer).status_code == 202
    yield
    wrong = new_material("SYMMETRIC_DEFAULT").secret
    stack.send(wrapped(wait_for_question(stack, request_id, 2), wrong), PROVIDED)
    yield
    assert _codes(wait_for_question(stack, request_id, 3)) == ["INCORRECT_KEY_MATERIAL"]
    provide(stack, request_id, secret, 3)
    yield
    _created(stack, request)
    stack.send(answer, PROVIDED)
    wait_for(partial(_refused, stack, request_id), "the answer to be refused", timeout=30)
    stack.send({**request, "keyMaterial": {**wanted, "validTo": late}})
    for question in (4, 5):
        yield
        provide(stack, request_id, secret, question)
    assert _created(stack, request, 2)["primary"]["validTo"] == late


def _refused(stack: Stack, request_id: str) -> bool | None:
    return any(e["detail-type"] == REFUSED for e in stack.events(request_id)) or None


def deliver_by_webhook(stack: Stack) -> Generator[None]:
    secret, body = {"portal": hooks.new_entries()["portal"]}, hooks.sample_body("portal")
    stack.client("secretsmanager").put_secret_value(
        SecretId=stack.outputs["HooksSecretArn"], SecretString=json.dumps(secret)
    )
    refused = json.dumps(new_request("hook", keySpec="DES")).encode()
    answers = [
        stack.deliver("portal", sent, hooks.proof(secret["portal"], sent))
        for sent in (body, refused)
    ]
    yield
    assert [answer.status_code for answer in answers] == [202, 400]
    request_id = json.loads(refused)["requestId"]
    assert stack.wait_for_outcome(request_id)["detail"]["status"] == "REJECTED"


def run_a_batch(stack: Stack) -> Generator[None]:
    request = new_request("batch", replicas=[{"region": NEAR}])
    execution = batch.start(stack, "keys.jsonl", json.dumps(request).encode())
    yield
    ended = stack.wait_for_execution(execution)
    assert json.loads(ended["output"])["done"] == 1


def answer_in_a_ticket(stack: Stack) -> Generator[None]:
    with ticket_server() as server:
        system = {"kind": "github", "url": server.url, "token": "x", "repository": "acme/keys"}
        server.script.append(("GET", Answered(429, {"Retry-After": "1"})))
        function = "UpdateTicketFunction"
        with holding(stack, "TicketsSecretArn", function, {"github": system}):
            ticket = {"system": "github", "id": 12}
            stack.send(new_request("ticket", keySpec="DES", ticket=ticket))
            yield
            _wait_until(lambda: bool(server.comments.get("12")), "the ticket to hear of it")


def remember_nothing_of_what_failed(stack: Stack) -> Generator[None]:
    """Let the start of an execution and the outcome's event fail, and succeed the next time."""
    request = new_request("again")
    stack.put_faults(
        Fault("StartExecution", "error-before", service="states", times=_SDK_ATTEMPTS),
        Fault("PutEvents", "error-before", service="events", times=_SDK_ATTEMPTS),
    )
    answers = [stack.api("POST", "/keys", json=request) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [503, 202]
    _created(stack, request)
    assert stack.faults() == []
    yield


def lose_and_redrive(stack: Stack) -> Generator[None]:
    """Let an answer, sweep, worker and redrive end as dead letters; send on or refuse requests."""
    material = {"region": HOME, "importToken": "AAAA", "encryptedKeyMaterial": "AAAA"}
    answer = {"requestId": "nobody-asked", "materials": [material]}
    lost = Fault("GetItem", "error-before", service="dynamodb", times=_SDK_ATTEMPTS)
    _fail(stack, "ReceiveKeyMaterialFunction", "UndeliveredAnswers", answer, lost)
    lost = Fault("Query", "error-before", service="dynamodb", times=_SDK_ATTEMPTS)
    _fail(stack, "SweepFunction", "UndeliveredSweeps", {}, lost)
    work = {"region": HOME, "tableMadeAt": datetime.now(UTC).isoformat(), "begin": True}
    lost = Fault("UpdateItem", "error-before", service="dynamodb", times=_SDK_ATTEMPTS)
    _fail(stack, "SweepRegionFunction", "UndeliveredSweeps", work, lost)
    with stack.changed_environment("RedriveFunction", AWS_ENDPOINT_URL_SQS="http://127.0.0.1:9"):
        _fail(stack, "RedriveFunction", "UndeliveredSweeps", {"refuseOnly": True})
    request, large = new_request("redriven"), new_request("large", description="x" * 140_000)
    queue = queue_url(stack, "UndeliveredRequests")
    for letter in (request, large):
        stack.client("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(letter))

    redriven = stack.invoke("RedriveFunction", {})

    assert redriven == {"requests": 2, "answers": 1, "left": []}
    _created(stack, request)
    detail = stack.wait_for_outcome(large["requestId"])["detail"]
    assert _codes(detail) == ["REQUEST_TOO_LARGE"]
    wait_for(partial(_refused, stack, "nobody-asked"), "the answer to be refused", timeout=30)
    yield


def _fail(stack: Stack, function: str, queue: str, event: Any, *faults: Fault) -> None:
    """Call a function asynchronously, let it fail, and wait for its dead letter."""
    lambda_, name = stack.client("lambda"), stack.functions()[function]
    url = queue_url(stack, queue)
    # The emulator's CloudFormation leaves out what the template says.
    arn = f"arn:aws:sqs:{stack.region}:{ACCOUNT_ID}:{url.rsplit('/', 1)[1]}"
    lambda_.update_function_configuration(FunctionName=name, DeadLetterConfig={"TargetArn": arn})
    lambda_.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    before = waiting(stack, queue)
    stack.put_faults(*faults)
    lambda_.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event))
    wait_for(lambda: waiting(stack, queue) > before or None, "the dead letter", timeout=30)
    lambda_.delete_function_event_invoke_config(FunctionName=name)


def sweep(stack: Stack) -> Generator[None]:
    """Resume a request whose run died; report a moved alias; delete a key that no record knows.

    Once the alias is back, the finding is closed. A request whose run died and that is not valid
    any more is ended.
    """
    stuck = new_request("stuck", origin="EXTERNAL", keyMaterial={"wrappingKeySpec": "RSA_2048"})
    finished, moved = new_request("finished"), new_request("moved")
    execution = stack.start_execution(stuck)
    for request in (finished, moved):
        stack.send(request)
    wait_for_question(stack, stuck["requestId"])
    stack.client("stepfunctions").stop_execution(executionArn=execution)
    _created(stack, finished)
    own = _created(stack, moved)["primary"]["arn"]
    stray = _make_stray_key(stack, HOME, finished)
    kms = stack.client("kms")
    other = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]
    kms.delete_alias(AliasName=moved["alias"])
    kms.create_alias(AliasName=moved["alias"], TargetKeyId=other["KeyId"])

    [resumed] = _wait_for_findings(stack, stuck, sweeping=True)
    assert (resumed["kind"], resumed["action"]) == ("REQUEST_STUCK", "RESUMED")
    assert _wait_for_retired(stack, finished, sweeping=True)["keyArn"] == stray
    assert _wait_for_findings(stack, moved, sweeping=True)[0]["kind"] == "ALIAS_ELSEWHERE"
    kms.update_alias(AliasName=moved["alias"], TargetKeyId=own)
    wait_for(partial(_is_closed, stack, own), "the finding to be closed", timeout=60, interval=0.5)
    provide(stack, stuck["requestId"], new_material("SYMMETRIC_DEFAULT").secret, 2)
    _created(stack, stuck)
    ended = new_request("ended", origin="EXTERNAL", keyMaterial={"wrappingKeySpec": "RSA_2048"})
    execution = stack.start_execution(ended)
    wait_for_question(stack, ended["requestId"])
    stack.client("stepfunctions").stop_execution(executionArn=execution)
    with stack.changed_environment("SweepFunction", ALLOWED_KEY_SPECS="HMAC_256"):
        [finding] = _wait_for_findings(stack, ended, sweeping=True)
    assert (finding["kind"], finding["action"]) == ("REQUEST_STUCK", "ENDED")
    assert stack.wait_for_outcome(ended["requestId"])["detail"]["status"] == "FAILED"
    with stack.changed_environment("SweepFunction", ALLOWED_REGIONS="*"):
        # That asks for the account's Regions, and leaves nothing over to start workers for.
        assert stack.invoke("SweepFunction", {"leftOver": True})["failed"] == 0
    yield


def _is_closed(stack: Stack, arn: str) -> bool | None:
    """Sweep; say whether nothing is open about a key any more."""
    stack.invoke("SweepFunction", {})
    return not any(one["subject"]["S"].startswith(arn) for one in sweep_items(stack)) or None


def change_and_decommission(stack: Stack) -> Generator[None]:
    """Change every setting, add, promote, disable, remove and restore, and end with all of it."""
    request = new_request("change", **_EVERYTHING, replicas=[{"region": NEAR}])
    name = request["requestId"]
    stack.send(request)
    yield
    _created(stack, request)
    taken = f"alias/{name}-taken"
    _take(stack, HOME, taken)
    near, far = {"region": NEAR}, {"region": FAR}
    settings: dict[str, Any] = {
        "description": "other",
        "tags": {"stage": "test"},
        "policy": None,
        "rotation": {"periodInDays": 200},
    }
    request = _next(request, **settings, alias=f"alias/{name}-other", replicas=[near, far])
    stack.send(request)
    yield
    _changed(stack, request)
    yield
    hidden = _hide(stack, f"alias/{name}-hidden")
    revisions: list[tuple[dict[str, Any], list[str]]] = [
        ({"alias": taken, "rotation": None}, [f"MOVE_ALIAS:{HOME}"]),
        ({"primaryRegion": NEAR, "replicas": [{"region": HOME}, far]}, [f"PROMOTE:{NEAR}"]),
        ({"replicas": [{"region": HOME, "enabled": False}]}, [f"DISABLE:{HOME}", f"REMOVE:{FAR}"]),
        ({"replicas": [{"region": HOME}, far], "tags": {}}, [f"RESTORE:{FAR}"]),
        ({"desiredState": "DECOMMISSIONED"}, ["DECOMMISSION"]),
    ]
    for changed, words in revisions:
        request = _next(request, *words, **changed)
        unconfirmed = {**request, "alias": hidden, "confirm": []}
        assert stack.api("POST", "/keys?plan=true", json=unconfirmed).status_code == 200
        if words == [f"PROMOTE:{NEAR}"]:
            assert stack.api("POST", "/keys", json=request).status_code == 202
        else:
            stack.send(request)
        yield
        _changed(stack, request)


def adopt_and_release(stack: Stack) -> Generator[None]:
    """Adopt a set that was made by hand and whose material KMS rotates, and release it."""
    document, arn = made_by_hand(stack, "adopted", NEAR, rotation={"periodInDays": 365})
    stack.client("kms", HOME).enable_key_rotation(KeyId=arn, RotationPeriodInDays=365)
    yield
    adopted(stack, {**document, "keyArn": arn})
    yield
    released(stack, document["requestId"])


def rotate(stack: Stack) -> Generator[None]:
    """Rotate a set, and one to new imported material: cancelled, asked for again, and provided.

    The second gets a Region more before that, and is asked for its material there.
    """
    rotated = new_request("rotated")
    material = {"wrappingKeySpec": "RSA_2048"}
    external = new_request(
        "rotated-material", origin="EXTERNAL", keyMaterial=material, replicas=[{"region": NEAR}]
    )
    for request in (rotated, external):
        stack.send(request)
    yield
    _created(stack, rotated)
    _operate(stack, rotated, "ROTATE")
    yield
    secrets = [new_material("SYMMETRIC_DEFAULT").secret for _ in range(2)]
    name = external["requestId"]
    for number in (1, 2):
        provide(stack, name, secrets[0], number)
    _created(stack, external)
    further = _next(external, replicas=[{"region": NEAR}, {"region": FAR}])
    stack.send(further)
    yield
    provide(stack, name, secrets[0], 3)
    _changed(stack, further)
    _operate(stack, external, "ROTATE_MATERIAL")
    wait_for_question(stack, name, 4)
    assert stack.api("DELETE", f"/keys/{name}").status_code == 202
    assert ended(stack, name, "ROTATE_MATERIAL")["status"] == "FAILED"
    yield
    _operate(stack, external, "ROTATE_MATERIAL", "again")
    provide(stack, name, secrets[1], 5)
    for request, operation_id in ((rotated, "ROTATE"), (external, "again")):
        detail = ended(stack, request["requestId"], operation_id)
        assert detail["status"] == "FINISHED", detail["errors"]
        status = stack.api("GET", f"/keys/{request['requestId']}").json()
        assert len(status["rotations"]) == 2


def _operate(
    stack: Stack, request: dict[str, Any], kind: str, operation_id: str | None = None
) -> None:
    body = {"operationId": operation_id or kind, "operation": kind}
    path = f"/keys/{request['requestId']}/operations"
    assert stack.api("POST", path, json=body).status_code == 202


def approve_and_sweep(stack: Stack) -> Generator[None]:
    """Approve a set and a change; let the sweep go on for one that died, and forget a used item."""
    request = new_request("approval")
    name = request["requestId"]
    stack.send({"request": request, "via": VIA})
    item = _wait_for_question(stack, name)
    yield
    approve(stack, name)
    _created(stack, request)
    changed = _next(request, f"DISABLE:{HOME}", enabled=False)
    stack.send({"request": changed, "via": VIA})
    holder = _wait_for_question(stack, name)["executionArn"]["S"]
    stack.client("stepfunctions").stop_execution(executionArn=holder)
    _wait_until(lambda: _swept_to_another(stack, name, holder), "another execution to wait")
    approve(stack, name)
    _changed(stack, changed)
    # As if it had died before it could forget the approval.
    table = stack.outputs["RequestsTableName"]
    ended = stack.api("GET", f"/keys/{name}").json()["executionArn"]
    left = {**item, "executionArn": {"S": ended}}
    stack.client("dynamodb").put_item(TableName=table, Item=left)
    stack.invoke("SweepFunction", {})
    assert _is_forgotten(stack, name)


def take_back_a_question(stack: Stack) -> Generator[None]:
    """Let a record change while a question about it is written: by each that writes one."""
    request = new_request("takeback")
    name, other = request["requestId"], {**request, "description": "other"}
    stack.put_faults(_slow_question())
    stack.send({"request": request, "via": VIA})
    _wait_until(lambda: not _is_forgotten(stack, name), "the question to be written")
    stack.send(other)
    yield
    _wait_for_question(stack, name)
    approve(stack, name)
    _wait_until(lambda: _has_status(stack, name, "CREATED"), "the approved key set")

    changed = _next(request, description="changed")
    stack.put_faults(_slow_question())
    stack.send({"request": changed, "via": VIA})
    _wait_until(lambda: not _is_forgotten(stack, name), "the question to be written")
    _touch(stack, name)
    _wait_for_question(stack, name, number=2)
    approve(stack, name)
    _changed(stack, changed)

    newest = _next(changed, description="newest")
    with (
        stack.changed_environment("KeysApiFunction", APPROVAL="all,7,false"),
        ThreadPoolExecutor(1) as threads,
    ):
        stack.put_faults(_slow_question())
        sent = threads.submit(stack.api, "POST", "/keys", json=newest)
        _wait_until(lambda: not _is_forgotten(stack, name), "the question to be written")
        _touch(stack, name)
        assert sent.result().status_code == 503


def _slow_question() -> Fault:
    return Fault("PutItem", "hang-after", service="dynamodb", seconds=2)


def _touch(stack: Stack, request_id: str) -> None:
    """Change a record in what means nothing."""
    stack.client("dynamodb").update_item(
        TableName=stack.outputs["RequestsTableName"],
        Key={"requestId": {"S": request_id}},
        UpdateExpression="SET updatedAt = :now",
        ExpressionAttributeValues={":now": {"S": datetime.now(UTC).isoformat()}},
    )


def approve(stack: Stack, request_id: str) -> None:
    """Approve what waits, as two people."""
    allowed = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [allowed]}
    stack.create_role(APPROVERS, policy=policy)
    content_hash = stack.api("GET", f"/keys/{request_id}").json()["approval"]["contentHash"]
    body = {"decision": "APPROVE", "contentHash": content_hash}
    for name in ("alice", "bob"):
        who = stack.credentials_of(APPROVERS, name)
        path = f"/keys/{request_id}/approval"
        assert stack.api("POST", path, json=body, credentials=who).status_code == 202


def _approval_of(stack: Stack, request_id: str) -> dict[str, Any]:
    key = {"requestId": {"S": f"approval/{request_id}"}}
    return {"TableName": stack.outputs["RequestsTableName"], "Key": key, "ConsistentRead": True}


def _is_forgotten(stack: Stack, request_id: str) -> bool:
    return "Item" not in stack.client("dynamodb").get_item(**_approval_of(stack, request_id))


def _wait_for_question(stack: Stack, request_id: str, number: int = 1) -> dict[str, Any]:
    """Wait until somebody was asked, and return the approval's item."""

    def asked() -> dict[str, Any] | None:
        item = stack.client("dynamodb").get_item(**_approval_of(stack, request_id)).get("Item")
        events = [one for one in stack.events(request_id) if one["detail-type"].endswith(_ASKED)]
        return item if item and "announcedAt" in item and len(events) >= number else None

    return wait_for(asked, f"{request_id} to wait for approval", timeout=60)


def _swept_to_another(stack: Stack, request_id: str, holder: str) -> bool:
    assert stack.invoke("SweepFunction", {})["failed"] == 0
    item = stack.client("dynamodb").get_item(**_approval_of(stack, request_id)).get("Item", {})
    return "announcedAt" in item and item["executionArn"]["S"] != holder


def _has_status(stack: Stack, request_id: str, status: str) -> bool:
    return bool(stack.api("GET", f"/keys/{request_id}").json().get("status") == status)


def _wait_until(holds: Callable[[], bool], what: str, *, timeout: float = 60) -> None:
    wait_for(lambda: holds() or None, what, timeout=timeout, interval=0.5)


def _next(request: dict[str, Any], *words: str, **changed: Any) -> dict[str, Any]:
    return {
        **request,
        "revision": request.get("revision", 1) + 1,
        "confirm": [*words],
        **changed,
    }


def _changed(stack: Stack, request: dict[str, Any]) -> None:
    """Wait until a revision is done."""

    def done() -> str | None:
        status = stack.api("GET", f"/keys/{request['requestId']}").json()
        assert status["status"] != "UPDATE_FAILED", status["errors"]
        is_done = status["status"] in ("UPDATED", "DECOMMISSIONED")
        is_this = status["revision"] == request["revision"]
        return str(status["executionArn"]) if is_done and is_this else None

    # Until it has ended, the next revision would ask whether it still runs.
    stack.wait_for_execution(wait_for(done, f"revision {request['revision']}", timeout=60))


def _hide(stack: Stack, alias: str) -> str:
    """Create an alias of a key that keeps every role of ours out."""
    kms = stack.client("kms", HOME)
    owner = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=alias, TargetKeyId=owner)
    actions = ["kms:PutKeyPolicy", "kms:DescribeKey", "kms:UpdateAlias"]
    alone = {"Effect": "Allow", "Principal": {"AWS": ADMIN}, "Action": actions, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [alone]})
    kms.put_key_policy(KeyId=owner, Policy=policy, BypassPolicyLockoutSafetyCheck=True)
    return alias


def look_at_what_was_changed(stack: Stack) -> Generator[None]:
    """Change keys by hand: repair one, find the owner of one without tags, and of moved aliases.

    One alias is moved to a key that may be read, one to a key that keeps the roles out. The sweep
    asks for another look at the set whose tag is gone.
    """
    changed, untagged, moved, hidden = (
        new_request(name, **_EVERYTHING) for name in ("changed", "untagged", "moved", "hidden")
    )
    requests = (changed, untagged, moved, hidden)
    kms = stack.client("kms", HOME)
    with stack.changed_kms_settings(event_copies=1):
        for request in requests:
            stack.send(request)
        arns = [_created(stack, request)["primary"]["arn"] for request in requests]
        kms.untag_resource(KeyId=arns[1], TagKeys=["mrk:stack"])
        _wait_for_drift(stack, untagged, "tags.mrk:stack")
        sweep_to_its_end(stack)
        # This ends the function's processes. A set that one of them looks at is left alone for two
        # minutes then.
        with stack.changed_environment("LookAtKeysFunction", DRIFT_MODE="REPAIR"):
            for request in (moved, hidden):
                kms.delete_alias(AliasName=request["alias"])
            _take(stack, HOME, moved["alias"])
            _hide(stack, hidden["alias"])
            for arn in (arns[0], *arns[2:]):
                kms.update_key_description(KeyId=arn, Description="by hand")
            _wait_for_drift(stack, changed, "description")
            # A look that came in between found that the alias was gone.
            _wait_for_drift(stack, moved, "alias", to=bool)
            _wait_for_drift(stack, hidden, "alias", to=bool)
            _wait_until(lambda: _description(kms, arns[0]) == "as asked", "the repair")
    # No look is to be denied later than this path ends.
    mapping = stack.resources("AWS::Lambda::EventSourceMapping")["TakeKeyEvents"]
    stack.client("lambda").update_event_source_mapping(UUID=mapping, Enabled=False)
    yield


def _wait_for_drift(
    stack: Stack, request: dict[str, Any], what: str, *, to: Callable[[Any], bool] = lambda _: True
) -> None:
    def found() -> bool:
        published = drifts(stack, request["requestId"])
        return any(one["property"] == what and to(one["to"]) for one in published)

    # A look that comes while a run works on the set is put off.
    _wait_until(found, f"{what} of {request['requestId']} to be found", timeout=180)


def _description(kms: Any, arn: str) -> str:
    return str(kms.describe_key(KeyId=arn)["KeyMetadata"]["Description"])


SIDE_BY_SIDE: list[Path] = [
    create_by_event,
    change_and_decommission,
    adopt_and_release,
    rotate,
    import_key_material,
    fail_and_go_on,
    lose_the_answer_of_create_key,
    alias_in_use,
    every_route_of_the_api,
    deliver_by_webhook,
    run_a_batch,
    conflict_by_event,
    reject_by_event,
]
ONE_BY_ONE: list[Path] = [
    approve_and_sweep,
    take_back_a_question,
    answer_in_a_ticket,
    remember_nothing_of_what_failed,
    lose_and_redrive,
    sweep,
    look_at_what_was_changed,
]


def _created(stack: Stack, request: dict[str, Any], number: int = 1) -> dict[str, Any]:
    """Wait for a request's outcome of that number, which must be CREATED; give its key."""
    detail = stack.wait_for_outcomes(request["requestId"], number)[number - 1]["detail"]
    assert detail["status"] == "CREATED", detail["errors"]
    key: dict[str, Any] = detail["key"]
    return key


def _codes(detail: dict[str, Any]) -> list[str]:
    return [error["code"] for error in detail["errors"]]


def _make_stray_key(
    stack: Stack, region: str, request: dict[str, Any], attempt: str = "none", **given: Any
) -> str:
    """Make a key that carries a request's tags and is not its key; give its ARN."""
    tags = {
        "mrk:request-id": request["requestId"],
        "mrk:stack": STACK_NAME,
        "mrk:attempt": attempt,
    }
    given = {
        "MultiRegion": True,
        "Tags": [{"TagKey": key, "TagValue": value} for key, value in tags.items()],
        **given,
    }
    created = stack.client("kms", region).create_key(**given)
    arn: str = created["KeyMetadata"]["Arn"]
    return arn


def _wait_for_retired(
    stack: Stack, request: dict[str, Any], *, sweeping: bool = False
) -> dict[str, Any]:
    """Wait until a surplus key's deletion is reported; it was reported as surplus before."""

    def both() -> list[dict[str, Any]] | None:
        found = _wait_for_findings(stack, request, sweeping=sweeping)
        return found if len(found) > 1 else None

    reported, done = wait_for(both, "the deletion to be reported", timeout=60, interval=0.5)
    assert (reported["kind"], reported["action"]) == ("SURPLUS_KEY", "REPORTED")
    assert (done["kind"], done["action"]) == ("SURPLUS_KEY", "SCHEDULED_FOR_DELETION")
    return done


def _wait_for_findings(
    stack: Stack, request: dict[str, Any], *, sweeping: bool = False
) -> list[dict[str, Any]]:
    """Return the findings about a request once there are some; with `sweeping`, look for them."""

    def found() -> list[dict[str, Any]] | None:
        if sweeping:
            assert stack.invoke("SweepFunction", {})["failed"] == 0
        told = [event["detail"] for event in stack.events(request["requestId"])]
        return [detail for detail in told if "kind" in detail] or None

    return wait_for(found, f"findings about {request['requestId']}", timeout=60, interval=0.5)
