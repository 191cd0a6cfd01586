"""First step: check the request as a whole and fill in its defaults."""

from typing import TypedDict

from aws_lambda_powertools.utilities.typing import LambdaContext

from provisioner.aws.clients import client, prepare
from provisioner.aws.records import Records
from provisioner.domain.plan import KeySetRequest
from provisioner.domain.provenance import Via
from provisioner.errors import Problem, RequestRejected
from provisioner.intake.envelope import refuse_if_marked, unwrap
from provisioner.intake.primary_region import usual_primary_region
from provisioner.intake.request import parse_request
from provisioner.outcomes.refusal import GivenBack, given_back
from provisioner.settings import settings
from provisioner.telemetry import logger

prepare("dynamodb")


class Validated(TypedDict):
    """The normalised request, or null and every problem.

    `refused` is what the refusal repeats of a request; the whole of it may be too large for
    that. It is null where the request is valid. `via` is the webhook through which it came.
    """

    request: KeySetRequest | None
    problems: list[Problem]
    refused: GivenBack | None
    via: Via | None


@logger.inject_lambda_context(clear_state=True)
def handler(event: object, _context: LambdaContext) -> Validated:
    """Check the request.

    A refusal is this step's answer, not its failure: Step Functions cuts an error's text at 32 KB,
    and a refusal lists every problem.
    """
    document, via = unwrap(event)
    try:
        refuse_if_marked(event)
        records = Records(client("dynamodb"), settings().requests_table)
        usual = usual_primary_region(document, records, settings())
        request = parse_request(document, settings(), primary_region=usual)
    except RequestRejected as rejection:
        codes = [problem["code"] for problem in rejection.problems]
        logger.info("request is not valid", codes=codes)
        refused = given_back(document, rejection.problems)
        return {"request": None, "problems": rejection.problems, "refused": refused, "via": via}
    logger.append_keys(request_id=request["requestId"])
    logger.info("request is valid", replicas=len(request["replicas"]))
    return {"request": request, "problems": [], "refused": None, "via": via}
