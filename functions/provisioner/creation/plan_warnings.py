"""What KMS knows before a request is sent: aliases that are taken, Regions that are not enabled.

Everything is asked side by side and within seconds. What KMS does not say is no reason to refuse a
plan: a warning says that it could not be checked.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient
from provisioner.domain.plan import KeyPlan, KeySetRequest, key_id_of
from provisioner.errors import (
    KmsError,
    KmsUnavailable,
    Problem,
    RegionNotEnabled,
    new_problem,
)
from provisioner.outcomes.failures import error_code, path_of

NOT_CHECKED = "NOT_CHECKED"
_SECONDS = 12
"""API Gateway waits 29 seconds for an answer, and the plan is not the only thing in it.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
"""


def kms_warnings(
    request: KeySetRequest,
    plans: list[KeyPlan],
    own_key: str | None,
    clients: Mapping[str, KMSClient],
) -> list[Problem]:
    """Ask KMS in every Region of a plan for the key that has the alias.

    Where a replica key is to have none, the primary key's is asked for: only whether KMS answers
    counts there.

    Parameters
    ----------
    own_key
        The ARN of the request's own key in any Region, whose aliases are no obstacle; None where
        there is none.
    clients
        KMS clients by Region, which do not wait for long.
    """
    pool = ThreadPoolExecutor(max_workers=len(plans))
    asked = [
        (plan, pool.submit(kms.read_alias, clients[plan.region], plan.alias or request["alias"]))
        for plan in plans
    ]
    wait([answer for _, answer in asked], timeout=_SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)
    warnings = (_warning(request, plan, answer, own_key) for plan, answer in asked)
    return [warning for warning in warnings if warning]


def _warning(
    request: KeySetRequest, plan: KeyPlan, answer: Future[str | None], own_key: str | None
) -> Problem | None:
    region, alias = plan.region, plan.alias
    try:
        owner = answer.result(timeout=0)
    except RegionNotEnabled as error:
        path = path_of("region", region, request)
        text = (
            f"{error.what_happened} {region} is most likely not enabled for this account: enable "
            "it (Account, AWS Regions) or take it out of the request before you send it."
        )
        return new_problem(path, error_code(type(error).__name__), text)
    except (KmsUnavailable, TimeoutError) as error:
        return _not_checked(request, plan, error)
    except KmsError as error:
        return _not_checked(request, plan, error) if alias else None
    if alias is None or owner is None or (own_key and key_id_of(owner) == key_id_of(own_key)):
        return None
    text = (
        f"{alias} points to {owner}. An alias in use is never moved: choose another one, or delete "
        "it, before you send the request."
    )
    return new_problem(path_of("alias", region, request), "ALIAS_IN_USE", text)


def _not_checked(request: KeySetRequest, plan: KeyPlan, error: KmsError | TimeoutError) -> Problem:
    region, alias = plan.region, plan.alias
    slow = f"KMS in {region} did not answer within {_SECONDS} seconds."
    reason = error.what_happened if isinstance(error, KmsError) else slow
    if alias is None:
        text = f"Whether KMS in {region} can be used could not be checked: {reason} Plan again."
        return new_problem(path_of("region", region, request), NOT_CHECKED, text)
    text = (
        f"Whether {alias} is free in {region} could not be checked: {reason} Plan again, or see "
        f"whether `aws kms list-aliases --region {region}` lists it."
    )
    return new_problem(path_of("alias", region, request), NOT_CHECKED, text)
