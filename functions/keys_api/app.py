"""The REST API: request a key set, see what it would be, read a request's status, cancel it."""

import base64
import binascii
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
from provisioner.aws import executions
from provisioner.aws.clients import client, impatient_kms, prepare
from provisioner.aws.records import Records, Status
from provisioner.creation.cancellation import cancel
from provisioner.creation.claim import Decision, check_claim, claim
from provisioner.creation.known_keys import known_key
from provisioner.creation.plan_warnings import kms_warnings
from provisioner.domain.plan import KeySetRequest, is_request_id, plan_key, regions
from provisioner.errors import (
    Conflict,
    DependencyUnavailable,
    EventNotPublished,
    Immutable,
    KeyMaterialNotAwaited,
    NotUnderWay,
    Problem,
    RequestBeingFinished,
    RequestConflict,
    RequestNotFound,
    RequestRejected,
    RevisionSkipped,
    new_problem,
)
from provisioner.intake.request import RequestFields, parse_request, policy_warnings
from provisioner.json_text import JsonObject
from provisioner.material.response import take_answer
from provisioner.outcomes.failures import conflict_problems, error_code
from provisioner.outcomes.outcome import publish_refusal
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "events", "kms", "stepfunctions")

app = APIGatewayRestResolver()
_records = Records(client("dynamodb"), settings().requests_table)
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
    known = ("plan",) if (event.http_method, event.path) == ("POST", "/keys") else ()
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
    """Accept a request (202), refuse it (400, 409), or only plan it (200 with `plan=true`)."""
    planning = _is_plan((app.current_event.query_string_parameters or {}).get("plan", "false"))
    document: object = None
    try:
        document = _read_body()
        request = parse_request(document, settings())
    except json_text.Unreadable as unreadable:
        document, problems = unreadable.document, unreadable.problems
    except RequestRejected as rejection:
        problems = rejection.problems
    else:
        logger.append_keys(request_id=request["requestId"])
        return _answer(200, _plan(request)) if planning else _accept_or_announce(request)
    if not planning:
        _announce_refusal(document, problems)
    raise RequestRejected(problems)


@app.get("/keys/<request_id>")
def get_key_set(request_id: str) -> Response[str]:
    """Return a request's status, or 404."""
    logger.append_keys(request_id=request_id)
    # DynamoDB refuses to look for just any text.
    record = _records.get(request_id) if is_request_id(request_id) else None
    if record is None:
        raise RequestNotFound(f"There is no request {request_id}.")
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
    if record.status == Status.WAITING_FOR_MATERIAL:
        status["materials"] = record.materials
        status["deadline"] = record.deadline
    return _answer(200, status)


@app.delete("/keys/<request_id>")
def delete_key_set(request_id: str) -> Response[str]:
    """Cancel a request that is under way (202), or say that there is none (404, 409)."""
    logger.append_keys(request_id=request_id)
    if not is_request_id(request_id):
        raise RequestNotFound(f"There is no request {request_id}.")
    record = cancel(
        request_id,
        records=_records,
        step_functions=client("stepfunctions"),
        state_machine_arn=settings().state_machine_arn,
    )
    return _answer(202, _accepted(request_id, record.execution_arn, record.status))


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


@app.exception_handler([RequestConflict, RevisionSkipped, Immutable])
def _conflict(conflict: Conflict) -> Response[str]:
    return _answer(409, {"errors": conflict_problems(conflict)})


@app.not_found
def _no_route(_error: NotFoundError) -> Response[str]:
    event = app.current_event
    text = f"There is no {event.http_method} {event.path[:120]} in this API."
    return _answer(404, {"errors": [new_problem("", "NO_SUCH_ROUTE", text)]})


@app.exception_handler([KeyMaterialNotAwaited, NotUnderWay])
def _not_awaited(error: KeyMaterialNotAwaited | NotUnderWay) -> Response[str]:
    problem = new_problem("requestId", error_code(type(error).__name__), str(error))
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
    publish_refusal(
        document,
        problems,
        None,
        records=_records,
        events=client("events"),
        bus=settings().event_bus,
    )


def _accept_or_announce(request: KeySetRequest) -> Response[str]:
    try:
        return _answer(202, _accept(request))
    except Conflict as conflict:
        _announce_refusal(request, conflict_problems(conflict))
        raise


def _plan(request: KeySetRequest) -> dict[str, object]:
    record = check_claim(_records, client("stepfunctions"), request)
    plans = [plan_key(request, region, settings()) for region in regions(request)]
    clients = {region: impatient_kms(region) for region in regions(request)}
    warnings = kms_warnings(request, plans, record.key_arn if record else None, clients)
    return {
        "request": request,
        "keys": [vars(plan) for plan in plans],
        "warnings": [*policy_warnings(request, settings()), *warnings],
    }


def _accept(request: KeySetRequest) -> dict[str, str | None]:
    machine = settings().state_machine_arn
    arn = executions.new_execution_arn(machine, request["requestId"])
    step_functions = client("stepfunctions")
    claimed = claim(_records, step_functions, request, arn, wait_for_unstarted=True)
    holder = claimed.record.execution_arn or arn
    if claimed.decision != Decision.ALREADY_CREATED:
        started = arn if claimed.decision == Decision.CHECK else holder
        try:
            _start(start={"executionArn": started, "request": request})
        except IdempotencyAlreadyInProgressError:
            logger.info("another call starts this execution right now")
    return _accepted(request["requestId"], holder, claimed.record.status)


def _instant(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


def _accepted(
    request_id: str, execution_arn: str | None, status: Status = Status.IN_PROGRESS
) -> dict[str, str | None]:
    return {"requestId": request_id, "executionArn": execution_arn, "status": status}


class Start(TypedDict):
    """An execution that is to begin."""

    executionArn: str
    request: KeySetRequest


@idempotent_function(data_keyword_argument="start", persistence_store=_store, config=_start_once)
def _start(*, start: Start) -> None:
    executions.start(
        client("stepfunctions"),
        settings().state_machine_arn,
        start["executionArn"],
        start["request"],
    )


def _answer(status: int, body: Mapping[str, object]) -> Response[str]:
    return Response(status, content_types.APPLICATION_JSON, json_text.text(body))
