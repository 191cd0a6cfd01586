"""Requests to adopt a key set that exists, as they come from outside."""

import uuid
from typing import cast

from pydantic import Field, ValidationError

from provisioner.domain import plan
from provisioner.domain.adoption import AdoptionRequest
from provisioner.domain.operation import Adoption
from provisioner.domain.plan import KeySetRequest, region_of, regions
from provisioner.errors import Problem, RequestRejected, new_problem
from provisioner.intake import documents
from provisioner.intake.documents import Fields
from provisioner.intake.request import MAX_REQUEST_BYTES, parse_request
from provisioner.json_text import JsonObject
from provisioner.settings import Settings

_OF_THE_ADOPTION = ("keyArn", "unmanaged", "takeOver")
_BESIDE_A_DECLARATION = {"requestId", "revision", "onFailure", "ticket"}
"""A document with no other field leaves the declaration to KMS, which a plan alone may do."""


class AdoptionFields(Fields):
    """What an adoption has beside the declaration."""

    requestId: str = Field(pattern=f"^{plan.REQUEST_ID_PATTERN}$")
    # A multi-Region key's ID begins with mrk-.
    # https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html
    keyArn: str = Field(pattern=r"^arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key/mrk-[a-z0-9]+$")
    unmanaged: list[str] | None = None
    takeOver: bool = False


def parse_adoption(document: object, settings: Settings, *, planning: bool) -> AdoptionRequest:
    """Check a request to adopt a key set: the declaration and what stands beside it.

    Raises
    ------
    RequestRejected
        With every problem.
    """
    if problem := documents.unreadable(document, "request", MAX_REQUEST_BYTES):
        raise RequestRejected([problem])
    given = cast(JsonObject, document)
    declaration = {name: value for name, value in given.items() if name not in _OF_THE_ADOPTION}
    beside = {name: given[name] for name in ("requestId", *_OF_THE_ADOPTION) if name in given}
    fields, problems = None, []
    try:
        fields = AdoptionFields.model_validate(beside)
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems += documents.problems_from(details, AdoptionFields)
    request = None
    if not (planning and declaration.keys() <= _BESIDE_A_DECLARATION):
        try:
            home = region_of(fields.keyArn) if fields else settings.home_region
            request = parse_request(declaration, settings, primary_region=home, adopting=True)
        except RequestRejected as rejection:
            known = {(one["path"], one["code"]) for one in problems}
            problems += [p for p in rejection.problems if (p["path"], p["code"]) not in known]
    if fields:
        problems += _problems(fields, request, settings)
    if problems or fields is None:
        raise RequestRejected(documents.bounded(problems))
    adoption: Adoption = {
        "operationId": f"adopt-{uuid.uuid4()}",
        "keyArn": fields.keyArn,
        "unmanaged": fields.unmanaged or [],
        "takeOver": fields.takeOver,
    }
    return AdoptionRequest(declaration, adoption, fields.requestId, request)


def _problems(
    fields: AdoptionFields, request: KeySetRequest | None, settings: Settings
) -> list[Problem]:
    found = []
    _, partition, _, _, account, _ = fields.keyArn.split(":")
    if (partition, account) != (settings.partition, settings.account_id):
        text = (
            f"This stack manages keys of account {settings.account_id} in partition "
            f"{settings.partition}, and this is another one's."
        )
        found.append(new_problem("keyArn", "KEY_OF_ANOTHER_ACCOUNT", text))
    declared = regions(request) if request else []
    for index, region in enumerate(fields.unmanaged or []):
        path = f"unmanaged[{index}]"
        if region in declared:
            text = f"{region} is declared; take it out of unmanaged, or out of the declaration."
            found.append(new_problem(path, "DUPLICATE_REGION", text))
        elif region in (fields.unmanaged or [])[:index]:
            text = f"{region} stands in unmanaged already."
            found.append(new_problem(path, "DUPLICATE_REGION", text))
    if request and request.get("confirm"):
        text = "An adoption changes nothing that needs a word; leave confirm out."
        found.append(new_problem("confirm", "CONFIRMATION_UNUSED", text))
    if request and plan.is_decommissioned(request):
        text = (
            "A key set that is to be decommissioned is adopted first; then send the next revision."
        )
        found.append(new_problem("desiredState", "NOT_IN_AN_ADOPTION", text))
    return found
