"""The REST API: request a key set, plan and change it, read a request's status, cancel it."""

import base64
import binascii
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypedDict

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response, content_types
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyPersistenceLayerError,
)
from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner import json_text
from provisioner.approval.asking import waiting_status
from provisioner.approval.decision import cancel_waiting, decide
from provisioner.approval.gatekeeper import Gatekeeper
from provisioner.aws import executions
from provisioner.aws.approvals import Approvals, Pending, State
from provisioner.aws.clients import client, impatient_kms, prepare
from provisioner.aws.history import History
from provisioner.aws.listing import list_requests
from provisioner.aws.records import Record, Records, Status
from provisioner.change.claim import claim_change
from provisioner.change.last_use import LastUses, read_last_uses, unknown_use_warnings
from provisioner.change.planning import ChangePlan, plan_of_change
from provisioner.creation.cancellation import cancel
from provisioner.creation.claim import Claim, Decision, check_claim, claim, is_change
from provisioner.creation.known_keys import known_key
from provisioner.creation.plan_warnings import kms_warnings
from provisioner.domain.change import plan_id
from provisioner.domain.last_use import last_use_of
from provisioner.domain.plan import KeySetRequest, is_request_id, plan_key, regions
from provisioner.domain.provenance import Provenance
from provisioner.errors import (
    ApproverIsRequester,
    Conflict,
    ContentChanged,
    DependencyUnavailable,
    EventNotPublished,
    Immutable,
    KeyMaterialNotAwaited,
    KmsError,
    NotAwaited,
    NotUnderWay,
    PlanOutdated,
    Problem,
    PromotionUnderWay,
    ProvisionerError,
    RequestBeingFinished,
    RequestConflict,
    RequestNotFound,
    RequestRejected,
    RevisionSkipped,
    new_problem,
)
from provisioner.intake.approval_decision import parse_decision
from provisioner.intake.listing import page_after, parse_listing
from provisioner.intake.primary_region import usual_primary_region
from provisioner.intake.request import RequestFields, parse_request, policy_warnings
from provisioner.json_text import JsonObject
from provisioner.material.response import take_answer
from provisioner.outcomes.failures import conflict_problems, error_code
from provisioner.outcomes.outcome import Outlets, publish_refusal, removed_keys
from provisioner.settings import approval_settings, settings
from provisioner.telemetry import logger

prepare("dynamodb", "events", "kms", "resourcegroupstaggingapi", "stepfunctions")

_WORDS = ("CONFIRMATION_REQUIRED", "CONFIRMATION_UNUSED")
"""What a plan is there to show: a plan is not refused for it, as the request is."""
_PARAMETERS = {("POST", "/keys"): ("plan", "planId"), ("GET", "/keys"): ("status", "limit", "next")}

app = APIGatewayRestResolver()
_records = Records(client("dynamodb"), settings().requests_table)
_approvals = Approvals(client("dynamodb"), settings().requests_table)
_history = History(client("dynamodb"), os.environ["HISTORY_TABLE"])
_start_once = IdempotencyConfig(
    event_key_jmespath="executionArn", raise_on_no_idempotency_key=True, expires_after_seconds=3_600
)
_store = DynamoDBPersistenceLayer(
    table_name=settings().idempotency_table, boto3_client=client("dynamodb")
)


@logger.inject_lambda_context(clear_state=True)
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    """Answer one request of API Gateway's Lambda proxy integration."""
    _start_once.register_lambda_context(context)
    return app.resolve(event, context)


def _refuse_unknown_parameters(
    resolver: APIGatewayRestResolver, go_on: Callable[[APIGatewayRestResolver], Response[str]]
) -> Response[str]:
    """Refuse parameters that no route has: who mistypes `plan` wants no key to be created."""
    event = resolver.current_event
    known = _PARAMETERS.get((event.http_method, event.path), ())
    several = event.get("multiValueQueryStringParameters") or {}
    takes = f"takes {', '.join(known)}" if known else "takes no query parameters"
    problems = []
    for name in sorted({*several, *(event.get("queryStringParameters") or {})}):
        if name not in known:
            text = (
                f"There is no query parameter {name[:80]}; {event.http_method} {event.path[:120]} "
            )
            problems.append(new_problem(name, "UNKNOWN_PARAMETER", f"{text}{takes}."))
        elif len(several.get(name) or ()) > 1:
            text = f"The query parameter {name} is given {len(several[name])} times; give it once."
            problems.append(new_problem(name, "DUPLICATE_PARAMETER", text))
    if problems:
        raise RequestRejected(problems)
    return go_on(resolver)


app.use(middlewares=[_refuse_unknown_parameters])


@app.post("/keys")
def post_key_set() -> Response[str]:
    """Accept a request (202), refuse it (400, 409), or only plan it (200 with `plan=true`).

    With `planId`, a change is accepted only as it was planned.
    """
    query = app.current_event.query_string_parameters or {}
    planning, planned = _is_plan(query.get("plan", "false")), query.get("planId")
    document: object = None
    try:
        document = _read_body()
        usual = usual_primary_region(document, _records, settings())
        request = parse_request(document, settings(), primary_region=usual)
    except json_text.Unreadable as unreadable:
        document, problems = unreadable.document, unreadable.problems
    except RequestRejected as rejection:
        problems = rejection.problems
    else:
        logger.append_keys(request_id=request["requestId"])
        return _plan(request) if planning else _accept_or_announce(request, planned)
    if not planning:
        _announce_refusal(document, problems)
    raise RequestRejected(problems)


@app.get("/keys")
def list_key_sets() -> Response[str]:
    """List requests, a page at a time (200); refuse what is no status, limit or page (400)."""
    asked = parse_listing(app.current_event.query_string_parameters or {}, [*Status])
    listed = list_requests(client("dynamodb"), settings().requests_table, **asked)
    return _answer(200, {**listed, "next": page_after(listed["next"])})


@app.get("/keys/<request_id>/history")
def get_history(request_id: str) -> Response[str]:
    """Return what became of a request so far, oldest first, or 404."""
    logger.append_keys(request_id=request_id)
    outcomes = _history.of(request_id) if is_request_id(request_id) else []
    if not outcomes and (not is_request_id(request_id) or _records.get(request_id) is None):
        raise RequestNotFound(f"There is no request {request_id}.")
    return _answer(200, {"outcomes": outcomes})


@app.get("/keys/<request_id>")
def get_key_set(request_id: str) -> Response[str]:
    """Return a request's status, or 404."""
    logger.append_keys(request_id=request_id)
    # DynamoDB refuses to look for just any text.
    record = _records.get(request_id) if is_request_id(request_id) else None
    pending = _approvals.get(request_id) if is_request_id(request_id) else None
    waiting = waiting_status(pending) if pending and _is_ahead(pending, record) else {}
    if record is None and not waiting:
        raise RequestNotFound(f"There is no request {request_id}.")
    return _answer(200, {**(_status_of(record) if record else _NO_STATUS), **waiting})


def _is_ahead(pending: Pending, record: Record | None) -> bool:
    """Whether a request waits for approval, or goes on by it and is not claimed yet."""
    is_claimed = record is not None and record.execution_arn == pending.execution_arn
    return pending.state == State.WAITING or not is_claimed


_NO_STATUS: JsonObject = {"startedAt": None, "key": None, "errors": [], "warnings": []}


def _status_of(record: Record) -> JsonObject:
    status: JsonObject = {
        "requestId": record.request_id,
        "revision": record.revision,
        "status": record.status,
        "startedAt": _instant(record.claimed_at),
        "updatedAt": _instant(record.updated_at),
        "key": known_key(record, impatient_kms),
        "errors": record.errors,
        "warnings": record.warnings,
        "ticket": record.ticket,
        "executionArn": record.execution_arn,
    }
    if record.removed:
        status["removed"] = removed_keys(record)
    if record.status == Status.WAITING_FOR_MATERIAL:
        status["materials"] = record.materials
        status["deadline"] = record.deadline
    return status


@app.delete("/keys/<request_id>")
def delete_key_set(request_id: str) -> Response[str]:
    """Cancel a request that is under way (202), or say that there is none (404, 409)."""
    logger.append_keys(request_id=request_id)
    if not is_request_id(request_id):
        raise RequestNotFound(f"There is no request {request_id}.")
    waited = cancel_waiting(
        request_id, approvals=_approvals, step_functions=client("stepfunctions")
    )
    if waited is not None:
        return _answer(202, _accepted(request_id, waited.execution_arn))
    record = cancel(
        request_id,
        records=_records,
        step_functions=client("stepfunctions"),
        state_machine_arn=settings().state_machine_arn,
    )
    return _answer(202, _accepted(request_id, record.execution_arn, record.status))


@app.post("/keys/<request_id>/approval")
def post_approval(request_id: str) -> Response[str]:
    """Take an approver's decision (202), or say why not (400, 403, 404, 409)."""
    logger.append_keys(request_id=request_id)
    try:
        fields = parse_decision(_read_body())
    except json_text.Unreadable as unreadable:
        raise RequestRejected(unreadable.problems) from unreadable
    if not is_request_id(request_id):
        raise RequestNotFound(f"There is no request {request_id}.")
    identity = _identity()
    if not identity.get("userArn"):
        raise ApproverIsRequester("IAM shows nobody who decides.")
    pending = decide(
        request_id,
        fields.contentHash,
        {
            "approver": identity["userArn"],
            "decision": fields.decision,
            "at": "",
            "comment": fields.comment,
            "sourceIp": identity.get("sourceIp"),
        },
        one_per_role=approval_settings().one_per_role,
        approvals=_approvals,
        step_functions=client("stepfunctions"),
    )
    logger.info("decision taken", decision=fields.decision)
    return _answer(202, _accepted(request_id, pending.execution_arn, Status.WAITING_FOR_APPROVAL))


@app.post("/keys/<request_id>/material")
def post_material(request_id: str) -> Response[str]:
    """Take wrapped key material for a request that waits for it (202), or say why not."""
    logger.append_keys(request_id=request_id)
    try:
        document = _read_body()
    except json_text.Unreadable as unreadable:
        raise RequestRejected(unreadable.problems) from unreadable
    if isinstance(document, dict) and document.setdefault("requestId", request_id) != request_id:
        text = f"The address names the request {request_id}."
        raise RequestRejected([new_problem("requestId", "REQUEST_ID_DIFFERS", text)])
    record = take_answer(document, records=_records, step_functions=client("stepfunctions"))
    return _answer(202, _accepted(request_id, record.execution_arn))


@app.get("/schema")
def get_schema() -> Response[str]:
    """Return the JSON schema of a request; the rules across fields are the code's alone."""
    return _answer(200, RequestFields.model_json_schema())


@app.exception_handler(RequestRejected)
def _refuse(rejection: RequestRejected) -> Response[str]:
    return _answer(400, {"errors": rejection.problems})


@app.exception_handler(RequestNotFound)
def _not_found(error: RequestNotFound) -> Response[str]:
    return _answer(404, {"errors": [new_problem("requestId", "NOT_FOUND", str(error))]})


@app.exception_handler([RequestConflict, RevisionSkipped, Immutable, PlanOutdated])
def _conflict(conflict: Conflict) -> Response[str]:
    return _answer(409, {"errors": conflict_problems(conflict)})


@app.not_found
def _no_route(_error: NotFoundError) -> Response[str]:
    event = app.current_event
    text = f"There is no {event.http_method} {event.path[:120]} in this API."
    return _answer(404, {"errors": [new_problem("", "NO_SUCH_ROUTE", text)]})


@app.exception_handler(ApproverIsRequester)
def _forbidden(error: ApproverIsRequester) -> Response[str]:
    problem = new_problem(error.field, error_code(type(error).__name__), str(error))
    return _answer(403, {"errors": [problem]})


@app.exception_handler([KeyMaterialNotAwaited, NotAwaited, ContentChanged, NotUnderWay])
def _not_awaited(error: ProvisionerError) -> Response[str]:
    problem = new_problem(error.field, error_code(type(error).__name__), str(error))
    return _answer(409, {"errors": [problem]})


@app.exception_handler(
    [
        DependencyUnavailable,
        EventNotPublished,
        RequestBeingFinished,
        IdempotencyPersistenceLayerError,
    ]
)
def _unavailable(error: Exception) -> Response[str]:
    logger.exception("a service this API needs failed")
    problem = new_problem("", error_code(type(error).__name__), "Try again in a moment.")
    return _answer(503, {"errors": [problem]})


def _provenance() -> Provenance:
    """Return who asks, as IAM shows the caller."""
    return {"requester": _identity().get("userArn"), "via": None, "approvals": []}


def _identity() -> JsonObject:
    return app.current_event.request_context.raw_event.get("identity") or {}


def _gatekeeper() -> Gatekeeper:
    return Gatekeeper(
        _approvals,
        _records,
        client("stepfunctions"),
        approval_settings(),
        requester=_identity().get("userArn"),
        wait_for_unstarted=True,
    )


def _is_plan(value: str) -> bool:
    if value not in ("true", "false"):
        # Nobody who mistypes this wants a key to be created.
        raise RequestRejected([new_problem("plan", "NOT_ONE_OF", "plan is true or false.")])
    return value == "true"


def _read_body() -> object:
    """Read the JSON of the body; None where there is no body."""
    event = app.current_event
    if not event.body or not event.is_base64_encoded:
        return json_text.parse(event.body) if event.body else None
    try:
        data = base64.b64decode(event.body, validate=True)
    except (binascii.Error, ValueError) as error:
        text = "Not JSON: the body is marked as base64 and is not base64."
        raise json_text.Unreadable([new_problem("", "NOT_JSON", text)]) from error
    return json_text.parse(data)


def _announce_refusal(document: object, problems: list[Problem]) -> None:
    outlets = Outlets(_records, _approvals, _history, client("events"), settings().event_bus)
    publish_refusal(document, problems, None, outlets, provenance=_provenance())


def _accept_or_announce(request: KeySetRequest, planned: str | None) -> Response[str]:
    try:
        return _accept(request, planned)
    except Conflict as conflict:
        _announce_refusal(request, conflict_problems(conflict))
        raise
    except RequestRejected as rejection:
        _announce_refusal(request, rejection.problems)
        raise


def _plan(request: KeySetRequest) -> Response[str]:
    record = check_claim(_records, client("stepfunctions"), request)
    plans = [plan_key(request, region, settings()) for region in regions(request)]
    answer: JsonObject = {
        "request": request,
        "keys": [vars(plan) for plan in plans],
        "warnings": policy_warnings(request, settings()),
    }
    if record is None or not record.ever_created:
        clients = {region: impatient_kms(region) for region in regions(request)}
        own_key = record.key_arn if record else None
        answer["warnings"] += kms_warnings(request, plans, own_key, clients)
        return _answer(200, answer)
    if not is_change(record, request):
        nothing = {"planId": plan_id(record.revision, request, []), "changes": []}
        return _answer(200, answer | nothing)
    try:
        change = _plan_change(record, request)
    except (KmsError, PromotionUnderWay) as error:
        return _unreadable(error)
    problems = [one for one in change.problems if one["code"] not in _WORDS]
    if problems:
        raise RequestRejected(problems)
    uses = _last_uses(change)
    answer["warnings"] += [*change.problems, *change.warnings, *unknown_use_warnings(uses)]
    rows = [{**one, **last_use_of(one, uses.known)} for one in change.changes]
    return _answer(200, answer | {"planId": change.plan_id, "changes": rows})


def _accept(request: KeySetRequest, planned: str | None) -> Response[str]:
    step_functions = client("stepfunctions")
    if planned is not None:
        record = check_claim(_records, step_functions, request)
        if record is None or not record.ever_created:
            raise PlanOutdated(f"Request {request['requestId']} has no key set to change.")
    arn = executions.new_execution_arn(settings().state_machine_arn, request["requestId"])
    gate = _gatekeeper().pass_request(request, arn)
    if gate.pending is not None:
        return _accept_pending(gate.pending)
    claimed = claim(
        _records,
        step_functions,
        request,
        arn,
        wait_for_unstarted=True,
        provenance=_provenance(),
    )
    if claimed.decision == Decision.CHANGE:
        return _accept_change(request, claimed.record, planned)
    return _accept_claim(request, claimed, arn)


def _accept_pending(pending: Pending) -> Response[str]:
    """Accept what waits for approval, or was approved: the execution that holds it goes on."""
    _start_if_not_started(pending.request, pending.execution_arn)
    waits = pending.state == State.WAITING
    status = Status.WAITING_FOR_APPROVAL if waits else Status.IN_PROGRESS
    return _answer(202, _accepted(pending.request_id, pending.execution_arn, status))


def _accept_claim(request: KeySetRequest, claimed: Claim, arn: str) -> Response[str]:
    holder = claimed.record.execution_arn or arn
    if claimed.decision != Decision.ALREADY_CREATED:
        _start_if_not_started(request, arn if claimed.decision == Decision.CHECK else holder)
    return _answer(202, _accepted(request["requestId"], holder, claimed.record.status))


def _accept_change(request: KeySetRequest, record: Record, planned: str | None) -> Response[str]:
    """Accept a change as it is planned now; where KMS cannot be read, the workflow plans it."""
    name = request["requestId"]
    arn = executions.new_execution_arn(settings().change_state_machine_arn, name)
    try:
        change = _plan_change(record, request)
    except (KmsError, PromotionUnderWay) as error:
        if planned is not None:
            return _unreadable(error)
        logger.warning("a change is accepted without a plan", reason=str(error))
        _start_if_not_started(request, arn)
        return _answer(202, _accepted(name, arn))
    if planned not in (None, change.plan_id):
        raise PlanOutdated(f"The change of request {name} that was planned is another one now.")
    if change.problems:
        raise RequestRejected(change.problems)
    gate = _gatekeeper().pass_change(
        request,
        arn,
        change.changes,
        record=record,
        last_uses=lambda: _last_uses(change).known,
    )
    if gate.pending is not None:
        return _accept_pending(gate.pending)
    claimed = claim_change(
        _records,
        client("stepfunctions"),
        request,
        arn,
        version=change.version,
        wait_for_unstarted=True,
        provenance=_provenance(),
    )
    if claimed.decision == Decision.CHANGE:
        # Somebody else's run has ended since the record was read.
        return _accept_change(request, claimed.record, planned)
    return _accept_claim(request, claimed, arn)


def _plan_change(record: Record, request: KeySetRequest) -> ChangePlan:
    return plan_of_change(
        record,
        request,
        settings=settings(),
        kms_for=impatient_kms,
        tagging_for=lambda region: client("resourcegroupstaggingapi", region),
    )


def _last_uses(change: ChangePlan) -> LastUses:
    return read_last_uses(change.changes, change.observed, impatient_kms)


def _unreadable(error: KmsError | PromotionUnderWay) -> Response[str]:
    """Answer that the change cannot be planned, since KMS does not show the key set."""
    problem = new_problem(error.field, error_code(type(error).__name__), str(error))
    return _answer(503, {"errors": [problem]})


def _instant(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


def _accepted(
    request_id: str, execution_arn: str | None, status: Status = Status.IN_PROGRESS
) -> dict[str, str | None]:
    return {"requestId": request_id, "executionArn": execution_arn, "status": status}


def _start_if_not_started(request: KeySetRequest, execution_arn: str) -> None:
    try:
        _start(start={"executionArn": execution_arn, "request": request})
    except IdempotencyAlreadyInProgressError:
        logger.info("another call starts this execution right now")


class Start(TypedDict):
    """An execution that is to begin."""

    executionArn: str
    request: KeySetRequest


@idempotent_function(data_keyword_argument="start", persistence_store=_store, config=_start_once)
def _start(*, start: Start) -> None:
    executions.start(
        client("stepfunctions"),
        executions.machine_of(start["executionArn"]),
        start["executionArn"],
        start["request"],
    )


def _answer(status: int, body: Mapping[str, object]) -> Response[str]:
    return Response(status, content_types.APPLICATION_JSON, json_text.text(body))
