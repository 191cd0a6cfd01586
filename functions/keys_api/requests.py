"""`POST /keys`: a request is planned, accepted or refused."""

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from keys_api import tables
from keys_api.accepting import accept, provenance_of
from keys_api.caller import identity, read_body
from keys_api.planning import plan
from provisioner import json_text
from provisioner.aws.clients import client
from provisioner.domain.plan import KeySetRequest
from provisioner.errors import Conflict, Problem, RequestRejected, new_problem
from provisioner.intake.primary_region import usual_primary_region
from provisioner.intake.request import parse_request
from provisioner.outcomes.failures import conflict_problems
from provisioner.outcomes.outcome import Outlets, publish_refusal
from provisioner.settings import settings
from provisioner.telemetry import logger

router = APIGatewayRouter()  # type: ignore[no-untyped-call]


@router.post("/keys")
def post_key_set() -> Response[str]:
    """Accept a request (202), refuse it (400, 409), or only plan it (200 with `plan=true`).

    With `planId`, a change is accepted only as it was planned.
    """
    query = router.current_event.query_string_parameters or {}
    planning, planned = _is_plan(query.get("plan", "false")), query.get("planId")
    document: object = None
    try:
        document = read_body(router.current_event)
        usual = usual_primary_region(document, tables.records, settings())
        request = parse_request(document, settings(), primary_region=usual)
    except json_text.Unreadable as unreadable:
        document, problems = unreadable.document, unreadable.problems
    except RequestRejected as rejection:
        problems = rejection.problems
    else:
        logger.append_keys(request_id=request["requestId"])
        return plan(request) if planning else _accept_or_announce(request, planned)
    if not planning:
        _announce_refusal(document, problems)
    raise RequestRejected(problems)


def _is_plan(value: str) -> bool:
    if value not in ("true", "false"):
        # Nobody who mistypes this wants a key to be created.
        raise RequestRejected([new_problem("plan", "NOT_ONE_OF", "plan is true or false.")])
    return value == "true"


def _announce_refusal(document: object, problems: list[Problem]) -> None:
    outlets = Outlets(
        tables.records, tables.approvals, tables.history, client("events"), settings().event_bus
    )
    publish_refusal(document, problems, None, outlets, provenance=provenance_of(_requester()))


def _accept_or_announce(request: KeySetRequest, planned: str | None) -> Response[str]:
    try:
        return accept(request, planned, _requester())
    except Conflict as conflict:
        _announce_refusal(request, conflict_problems(conflict))
        raise
    except RequestRejected as rejection:
        _announce_refusal(request, rejection.problems)
        raise


def _requester() -> str | None:
    return identity(router.current_event).get("userArn")
