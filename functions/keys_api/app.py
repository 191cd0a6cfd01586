"""The REST API: ask for a key set, see what it would be, and ask where a request stands."""

import json
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response, content_types
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

from provisioner import executions, json_text
from provisioner.claim import Decision, claim
from provisioner.clients import client, prepare
from provisioner.errors import (
    Conflict,
    DependencyUnavailable,
    Immutable,
    KeyMaterialNotAwaited,
    OutcomeNotPublished,
    Problem,
    RequestBeingFinished,
    RequestConflict,
    RequestNotFound,
    RequestRejected,
    RevisionSkipped,
    new_problem,
)
from provisioner.failures import conflict_problems, error_code
from provisioner.material_answer import take_answer
from provisioner.outcome import publish_refusal
from provisioner.plan import KeySetRequest, is_request_id, plan_key, regions
from provisioner.records import Records, Status
from provisioner.request import RequestFields, parse_request, policy_warnings
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb", "events", "stepfunctions")

app = APIGatewayRestResolver()
_records = Records(client("dynamodb"), settings().requests_table)
_start_once = IdempotencyConfig(
    event_key_jmespath="executionArn", raise_on_no_idempotency_key=True, expires_after_seconds=3_600
)
_store = DynamoDBPersistenceLayer(
    table_name=settings().idempotency_table, boto3_client=client("dynamodb")
)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway's Lambda proxy integration."""
    _start_once.register_lambda_context(context)
    return app.resolve(event, context)


@app.post("/keys")
def post_key_set() -> Response[str]:
    """Accept a request (202), refuse it (400, 409), or only plan it (200 with `plan=true`)."""
    planning = _is_plan(app.current_event.query_string_parameters.get("plan", "false"))
    document = _read_body()
    try:
        request = parse_request(document, settings())
    except RequestRejected as rejection:
        if not planning:
            _announce_refusal(document, rejection.problems)
        raise
    logger.append_keys(request_id=request["requestId"])
    if planning:
        return _answer(200, _plan(request))
    try:
        return _answer(202, _accept(request))
    except Conflict as conflict:
        _announce_refusal(document, conflict_problems(conflict))
        raise


@app.get("/keys/<request_id>")
def get_key_set(request_id: str) -> Response[str]:
    """Tell where a request stands, or 404."""
    logger.append_keys(request_id=request_id)
    # DynamoDB refuses to look for just any text.
    record = _records.get(request_id) if is_request_id(request_id) else None
    if record is None:
        raise RequestNotFound(f"There is no request {request_id}.")
    status: dict[str, Any] = {
        "requestId": record.request_id,
        "status": record.status,
        "key": record.key,
        "errors": record.errors,
        "ticket": record.ticket,
        "executionArn": record.execution_arn,
    }
    if record.status == Status.WAITING_FOR_MATERIAL:
        status["materials"] = record.materials
    return _answer(200, status)


@app.post("/keys/<request_id>/material")
def post_material(request_id: str) -> Response[str]:
    """Take wrapped key material for a request that waits for it (202), or say why not."""
    logger.append_keys(request_id=request_id)
    document = _read_body()
    if isinstance(document, dict) and document.setdefault("requestId", request_id) != request_id:
        text = f"The address names the request {request_id}."
        raise RequestRejected([new_problem("requestId", "REQUEST_ID_DIFFERS", text)])
    record = take_answer(document, records=_records, step_functions=client("stepfunctions"))
    return _answer(202, _accepted(request_id, record.execution_arn))


@app.get("/schema")
def get_schema() -> Response[str]:
    """Give the JSON schema of a request; the rules across fields are the code's alone."""
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


@app.exception_handler(KeyMaterialNotAwaited)
def _not_awaited(error: KeyMaterialNotAwaited) -> Response[str]:
    problem = new_problem("requestId", error_code(type(error).__name__), str(error))
    return _answer(409, {"errors": [problem]})


@app.exception_handler(
    [
        DependencyUnavailable,
        OutcomeNotPublished,
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
    try:
        return json.loads(app.current_event.decoded_body or "")
    except (ValueError, RecursionError):
        return None


def _announce_refusal(document: object, problems: list[Problem]) -> None:
    publish_refusal(
        document,
        problems,
        None,
        records=_records,
        events=client("events"),
        bus=settings().event_bus,
    )


def _plan(request: KeySetRequest) -> dict[str, Any]:
    plans = [plan_key(request, region, settings()) for region in regions(request)]
    return {
        "request": request,
        "keys": [vars(plan) for plan in plans],
        "warnings": policy_warnings(request, settings()),
    }


def _accept(request: KeySetRequest) -> dict[str, str | None]:
    machine = settings().state_machine_arn
    arn = executions.new_execution_arn(machine, request["requestId"])
    step_functions = client("stepfunctions")
    claimed = claim(_records, step_functions, request, arn, wait_for_unstarted=True)
    arn = claimed.record.execution_arn or arn
    if claimed.decision != Decision.ALREADY_CREATED:
        try:
            _start(start={"executionArn": arn, "request": request})
        except IdempotencyAlreadyInProgressError:
            logger.info("another call starts this execution right now")
    return _accepted(request["requestId"], arn, claimed.record.status)


def _accepted(
    request_id: str, execution_arn: str | None, status: Status = Status.IN_PROGRESS
) -> dict[str, str | None]:
    return {"requestId": request_id, "executionArn": execution_arn, "status": status}


@idempotent_function(data_keyword_argument="start", persistence_store=_store, config=_start_once)
def _start(*, start: dict[str, Any]) -> None:
    executions.start(
        client("stepfunctions"),
        settings().state_machine_arn,
        start["executionArn"],
        start["request"],
    )


def _answer(status: int, body: dict[str, Any]) -> Response[str]:
    return Response(status, content_types.APPLICATION_JSON, json_text.text(body))
