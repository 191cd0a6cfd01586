"""Requests, settings and names that the unit tests share."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from provisioner.clock import instant_text
from provisioner.domain.plan import KeyPlan, KeySetRequest, plan_key
from provisioner.errors import Problem, RequestRejected
from provisioner.intake.request import parse_request
from provisioner.settings import Settings
from tests.support.environment import ENVIRONMENT
from tests.support.key_kinds import CHINA_ONLY

ACCOUNT = "111122223333"
ADMIN = f"arn:aws:iam::{ACCOUNT}:role/KeyAdmin"
USER = f"arn:aws:iam::{ACCOUNT}:role/CardService"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
EXECUTION = f"arn:aws:states:us-east-1:{ACCOUNT}:execution:provision-key:first"
OTHER_EXECUTION = f"arn:aws:states:us-east-1:{ACCOUNT}:execution:provision-key:second"
KEY_ID = "mrk-00000000000000000000000000000000"

SETTINGS = Settings(
    stack_name="mrk-provisioner",
    partition="aws",
    account_id=ACCOUNT,
    home_region="us-east-1",
    allowed_regions=("*",),
    allowed_key_specs=("*",),
    required_tag_keys=(),
    alias_prefixes=("alias/",),
    allowed_principals=("*",),
    require_ticket=False,
    requests_table="requests",
    idempotency_table="idempotency",
    event_bus="keys",
    state_machine_arn=f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:provision-key",
    deletion_window_days=7,
    quiet_period_seconds=900,
    sweeper_may_delete=False,
    key_role_names=tuple(ENVIRONMENT["KEY_ROLE_NAMES"].split(",")),
    key_role_ids=tuple(ENVIRONMENT["KEY_ROLE_IDS"].split(",")),
)
CHINA = replace(SETTINGS, partition="aws-cn", home_region="cn-north-1")


def settings_of(key_spec: str) -> Settings:
    """Return the settings of a stack that can make keys of a spec."""
    return CHINA if key_spec in CHINA_ONLY else SETTINGS


def document_of(**fields: Any) -> dict[str, Any]:
    """Return the least request, with these fields in it."""
    return {"requestId": "CHG1", "alias": "alias/cards", **fields}


def request_of(**fields: Any) -> KeySetRequest:
    """Return the least request with these fields, checked and with its defaults."""
    return parse_request(document_of(**fields), SETTINGS)


def imported_request_of(**fields: Any) -> KeySetRequest:
    """Return the least request for imported key material, with these fields."""
    return request_of(**{"origin": "EXTERNAL", **fields})


def in_days(days: float) -> str:
    """Return an instant that is so many days from now, as a checked request has it.

    A test's name must not hold it: the workers of a parallel run have to agree on the names.
    """
    return instant_text(datetime.now(UTC) + timedelta(days=days))


def plan_of(region: str = "us-east-1", **fields: Any) -> KeyPlan:
    """Return what a request with these fields means in a Region."""
    return plan_key(request_of(**fields), region, SETTINGS)


def problems_of(document: object, settings: Settings = SETTINGS) -> list[Problem]:
    """List what is wrong with a request; nothing where it is accepted."""
    try:
        parse_request(document, settings)
    except RequestRejected as rejection:
        return rejection.problems
    return []


def pairs_of(document: object, settings: Settings = SETTINGS) -> set[tuple[str, str]]:
    """Return path and code of every problem."""
    return {(problem["path"], problem["code"]) for problem in problems_of(document, settings)}


def key_arn(region: str = "us-east-1", key_id: str = KEY_ID) -> str:
    """Return the ARN of a key that need not exist."""
    return f"arn:aws:kms:{region}:{ACCOUNT}:key/{key_id}"


def sample_event(name: str) -> Any:
    """Read a file of events/."""
    return json.loads(Path(f"events/{name}.json").read_text())
