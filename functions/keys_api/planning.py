"""What a request would do, before anything is done."""

from aws_lambda_powertools.event_handler import Response

from keys_api import tables
from keys_api.answers import answer, error_answer
from keys_api.contract import PlannedKey, RequestPlan
from provisioner.aws.clients import client, impatient_kms
from provisioner.aws.records import Record
from provisioner.change.last_use import LastUses, read_last_uses, unknown_use_warnings
from provisioner.change.planning import ChangePlan, plan_of_change
from provisioner.creation.claim import check_claim, is_change
from provisioner.creation.plan_warnings import kms_warnings
from provisioner.domain.change import plan_id
from provisioner.domain.last_use import last_use_of
from provisioner.domain.plan import KeyPlan, KeySetRequest, plan_key, regions
from provisioner.errors import KmsError, PromotionUnderWay, RequestRejected
from provisioner.intake.request import policy_warnings
from provisioner.settings import settings

_WORDS = ("CONFIRMATION_REQUIRED", "CONFIRMATION_UNUSED")
"""What a plan is there to show: a plan is not refused for it, as the request is."""


def plan(request: KeySetRequest) -> Response[str]:
    """Answer what a request would do (200), or why it would be refused."""
    record = check_claim(tables.records, client("stepfunctions"), request)
    plans = [plan_key(request, region, settings()) for region in regions(request)]
    shown: RequestPlan = {
        "request": request,
        "keys": [_shown_key(one) for one in plans],
        "warnings": policy_warnings(request, settings()),
    }
    if record is None or not record.ever_created:
        clients = {region: impatient_kms(region) for region in regions(request)}
        own_key = record.key_arn if record else None
        shown["warnings"] += kms_warnings(request, plans, own_key, clients)
        return answer(200, shown)
    if not is_change(record, request):
        shown["planId"], shown["changes"] = plan_id(record.revision, request, []), []
        return answer(200, shown)
    try:
        change = plan_change(record, request)
    except (KmsError, PromotionUnderWay) as error:
        return error_answer(503, error)
    problems = [one for one in change.problems if one["code"] not in _WORDS]
    if problems:
        raise RequestRejected(problems)
    uses = last_uses(change)
    shown["warnings"] += [*change.problems, *change.warnings, *unknown_use_warnings(uses)]
    shown["planId"] = change.plan_id
    shown["changes"] = [{**one, **last_use_of(one, uses.known)} for one in change.changes]
    return answer(200, shown)


def _shown_key(key: KeyPlan) -> PlannedKey:
    return {
        "region": key.region,
        "alias": key.alias,
        "description": key.description,
        "tags": key.tags,
        "policy": key.policy,
        "rotation": key.rotation,
        "expiry": key.expiry,
    }


def plan_change(record: Record, request: KeySetRequest) -> ChangePlan:
    """Plan a change from what KMS has now.

    Raise KmsError or PromotionUnderWay where KMS does not show the key set.
    """
    return plan_of_change(
        record,
        request,
        settings=settings(),
        kms_for=impatient_kms,
        tagging_for=lambda region: client("resourcegroupstaggingapi", region),
    )


def last_uses(change: ChangePlan) -> LastUses:
    """Return when the keys were last used that a change would stop, as far as KMS says it."""
    return read_last_uses(change.changes, change.observed, impatient_kms)
