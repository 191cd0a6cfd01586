"""The REST API: request a key set, plan and change it, read a request's status, cancel it.

The routes are in `requests`, `operations`, `reading` and `under_way`; here is what holds for all
of them.
"""

from collections.abc import Callable

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyPersistenceLayerError
from aws_lambda_powertools.utilities.typing import LambdaContext

from keys_api import operations, reading, requests, under_way
from keys_api.answers import error_answer, errors
from keys_api.starting import start_once
from provisioner.errors import (
    AlreadyDecided,
    ApproverIsRequester,
    Conflict,
    ContentChanged,
    DependencyUnavailable,
    EventNotPublished,
    Immutable,
    KeyMaterialNotAwaited,
    KeyNotAdoptable,
    KeySetManaged,
    NotAwaited,
    NotUnderWay,
    OperationConflict,
    OperationRefused,
    PlanOutdated,
    ProvisionerError,
    Released,
    RequestBeingFinished,
    RequestConflict,
    RequestNotFound,
    RequestRejected,
    RevisionSkipped,
    new_problem,
)
from provisioner.json_text import JsonObject
from provisioner.outcomes.failures import conflict_problems, error_code
from provisioner.telemetry import logger

_PARAMETERS = {
    ("POST", "/keys"): ("plan", "planId", "adopt"),
    ("GET", "/keys"): ("status", "limit", "next"),
}

app = APIGatewayRestResolver()


@logger.inject_lambda_context(clear_state=True)
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    """Answer one request of API Gateway's Lambda proxy integration."""
    start_once.register_lambda_context(context)
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
for routes in (requests, operations, reading, under_way):
    app.include_router(routes.router)


@app.exception_handler(RequestRejected)
def _refuse(rejection: RequestRejected) -> Response[str]:
    return errors(400, rejection.problems)


@app.exception_handler(RequestNotFound)
def _not_found(error: RequestNotFound) -> Response[str]:
    return errors(404, [new_problem("requestId", "NOT_FOUND", str(error))])


@app.exception_handler(
    [
        Immutable,
        KeyNotAdoptable,
        KeySetManaged,
        OperationConflict,
        OperationRefused,
        PlanOutdated,
        Released,
        RequestConflict,
        RevisionSkipped,
    ]
)
def _conflict(conflict: Conflict) -> Response[str]:
    return errors(409, conflict_problems(conflict))


@app.not_found
def _no_route(_error: NotFoundError) -> Response[str]:
    event = app.current_event
    text = f"There is no {event.http_method} {event.path[:120]} in this API."
    return errors(404, [new_problem("", "NO_SUCH_ROUTE", text)])


@app.exception_handler(ApproverIsRequester)
def _forbidden(error: ApproverIsRequester) -> Response[str]:
    return error_answer(403, error)


@app.exception_handler(
    [AlreadyDecided, KeyMaterialNotAwaited, NotAwaited, ContentChanged, NotUnderWay]
)
def _not_awaited(error: ProvisionerError) -> Response[str]:
    return error_answer(409, error)


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
    return errors(503, [problem])
