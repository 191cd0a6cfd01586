"""The stack's facts and parameters, from the functions' environment, read once."""

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import cache


@dataclass(frozen=True)
class Settings:
    """The stack's own facts and parameters."""

    stack_name: str
    partition: str
    account_id: str
    home_region: str
    allowed_regions: tuple[str, ...]
    allowed_key_specs: tuple[str, ...]
    required_tag_keys: tuple[str, ...]
    alias_prefixes: tuple[str, ...]
    allowed_principals: tuple[str, ...]
    require_ticket: bool
    requests_table: str
    idempotency_table: str
    event_bus: str
    state_machine_arn: str
    deletion_window_days: int
    quiet_period_seconds: int
    sweeper_may_delete: bool
    key_role_names: tuple[str, ...]
    """Of the roles that work on keys, in the order of `key_access.KEY_ROLES`."""
    key_role_ids: tuple[str, ...]

    @property
    def change_state_machine_arn(self) -> str:
        """Of the state machine that changes finished key sets; it is named beside the other one."""
        return f"{self.state_machine_arn.removesuffix('provision-key')}change-key-set"


@dataclass(frozen=True)
class ApprovalSettings:
    """What the stack's parameters say of approvals: what needs one, how long one is waited for.

    `mode` is one of `domain.approval.Mode`. With `one_per_role`, all sessions of a role are one
    person.
    """

    mode: str
    window: timedelta
    one_per_role: bool


@cache
def approval_settings() -> ApprovalSettings:
    """Read what template.yaml sets for the functions that decide whether a request may go on.

    Raises
    ------
    KeyError
        A variable is missing, which is a fault of the template.
    """
    mode, days, per_role = os.environ["APPROVAL"].split(",")
    return ApprovalSettings(mode, timedelta(days=int(days)), per_role == "true")


@cache
def settings() -> Settings:
    """Read the environment that template.yaml sets.

    Raises
    ------
    KeyError
        A variable is missing, which is a fault of the template.
    """
    env = os.environ
    return Settings(
        stack_name=env["STACK_NAME"],
        partition=env["PARTITION"],
        account_id=env["ACCOUNT_ID"],
        home_region=env["AWS_REGION"],
        allowed_regions=_listed(env["ALLOWED_REGIONS"]),
        allowed_key_specs=_listed(env["ALLOWED_KEY_SPECS"]),
        required_tag_keys=_listed(env["REQUIRED_TAG_KEYS"]),
        alias_prefixes=_listed(env["ALIAS_PREFIXES"]),
        allowed_principals=_listed(env["ALLOWED_PRINCIPALS"]),
        require_ticket=env["REQUIRE_TICKET"] == "true",
        requests_table=env["REQUESTS_TABLE"],
        idempotency_table=env["IDEMPOTENCY_TABLE"],
        event_bus=env["EVENT_BUS"],
        state_machine_arn=env["STATE_MACHINE_ARN"],
        deletion_window_days=int(env["DELETION_WINDOW_DAYS"]),
        quiet_period_seconds=int(env["QUIET_PERIOD_SECONDS"]),
        sweeper_may_delete=env["SWEEPER_MAY_DELETE"] == "true",
        key_role_names=_listed(env["KEY_ROLE_NAMES"]),
        key_role_ids=_listed(env["KEY_ROLE_IDS"]),
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())
