"""An emulator, as its clients see it."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Unpack

import boto3
import httpx
from botocore.config import Config

from local.emulator import faults
from local.emulator.faults import Fault
from local.emulator.kms.settings import KmsChanges, KmsSettings, over_http
from local.settings import ACCOUNT_ID, ROOT_CREDENTIALS

_KMS_CALLS_PATH = "/_local/kms-calls"
_PERMISSIONS_PATH = "/_local/permissions"
_FAULTS_PATH = "/_local/faults"
_KMS_SETTINGS_PATH = "/_local/kms-settings"
_HISTORY_EVENTS_PATH = "/_local/history-events"
_LAMBDA_LIMIT_PATH = "/_local/lambda-limit"
_EXISTING_KEYS_PATH = "/_local/existing-keys"
_READS = ("Describe", "Get", "List")

# A call that fails is to be seen, not repeated.
_SEND_ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1})


@cache
def http() -> httpx.Client:
    """Return the one HTTP client of this process.

    A new one takes 50 ms of a core, to read certificates that nothing here needs. It keeps no
    connections: the emulator may be gone at the next call.
    """
    return httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0))


@dataclass(frozen=True)
class Credentials:
    """A principal's access key."""

    access_key: str = ROOT_CREDENTIALS["AWS_ACCESS_KEY_ID"]
    secret_key: str = ROOT_CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
    token: str | None = None


ROOT_USER = Credentials()


@cache
def _client(url: str, service: str, region: str, credentials: Credentials) -> Any:
    """Make each client once: that takes longer than most calls."""
    # Of services, too, of which no types are installed.
    new_client: Callable[..., Any] = boto3.client
    return new_client(
        service,
        region_name=region,
        endpoint_url=url,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.token,
        config=_SEND_ONCE,
    )


@dataclass(frozen=True)
class Endpoint:
    """A running emulator."""

    url: str
    region: str

    def client(
        self, service: str, region: str | None = None, credentials: Credentials = ROOT_USER
    ) -> Any:
        """Return a boto3 client, in the home Region and for the account's root by default.

        Whoever asks for the same one gets the same one, so a hook that is registered is for all.
        """
        return _client(self.url, service, region or self.region, credentials)

    def create_role(
        self, name: str, *, path: str = "/", policy: dict[str, Any] | None = None
    ) -> str:
        """Create a role that the account may assume, if there is none; return its ARN."""
        iam = self.client("iam")
        trust = {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:root"},
                "Action": "sts:AssumeRole",
            },
        }
        with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=json.dumps(trust))
        if policy:
            iam.put_role_policy(
                RoleName=name, PolicyName="policy", PolicyDocument=json.dumps(policy)
            )
        return f"arn:aws:iam::{ACCOUNT_ID}:role{path}{name}"

    def credentials_of(self, role: str, session: str = "local") -> Credentials:
        """Assume a role, given by its name, and return its credentials."""
        answer = self.client("sts").assume_role(
            RoleArn=f"arn:aws:iam::{ACCOUNT_ID}:role/{role}", RoleSessionName=session
        )
        given = answer["Credentials"]
        return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    def kms_calls(self, since: int = 0) -> list[dict[str, Any]]:
        """List the calls of KMS so far, as `local.emulator`'s `KmsCall` describes them."""
        calls: list[dict[str, Any]] = self._control("GET", f"{_KMS_CALLS_PATH}?since={since}")
        return calls

    def permissions(self, since: int = 0) -> list[dict[str, Any]]:
        """List what IAM was asked so far, as the emulator's `permissions` describe it."""
        asked: list[dict[str, Any]] = self._control("GET", f"{_PERMISSIONS_PATH}?since={since}")
        return asked

    def put_faults(self, *coming: Fault) -> None:
        """Let calls of AWS services meet these faults, and no others."""
        self._control("PUT", _FAULTS_PATH, [asdict(fault) for fault in coming])

    def faults(self) -> list[Fault]:
        """List the faults that are still to come."""
        return faults.parse(self._control("GET", _FAULTS_PATH))

    def clear_faults(self) -> None:
        """Remove the faults that are still to come."""
        self._control("DELETE", _FAULTS_PATH)

    def kms_settings(self) -> KmsSettings:
        """Read the settings of the emulator's KMS."""
        return KmsSettings().changed(self._control("GET", _KMS_SETTINGS_PATH))

    def change_kms_settings(self, **changes: Unpack[KmsChanges]) -> KmsSettings:
        """Change some of the settings of the emulator's KMS; return all."""
        answer = self._control("PUT", _KMS_SETTINGS_PATH, over_http(changes))
        return KmsSettings().changed(answer)

    @contextlib.contextmanager
    def changed_kms_settings(self, **changes: Unpack[KmsChanges]) -> Iterator[None]:
        """Change some of the settings of the emulator's KMS for as long as the block runs."""
        before = self.kms_settings()
        self.change_kms_settings(**changes)
        try:
            yield
        finally:
            self._control("PUT", _KMS_SETTINGS_PATH, before.as_json())

    @contextlib.contextmanager
    def changed_history_events(self, most: int) -> Iterator[None]:
        """Let an execution's history have another number of events while the block runs."""
        before = self._control("GET", _HISTORY_EVENTS_PATH)
        self._control("PUT", _HISTORY_EVENTS_PATH, most)
        try:
            yield
        finally:
            self._control("PUT", _HISTORY_EVENTS_PATH, before)

    @contextlib.contextmanager
    def limited_lambdas(self, most: int) -> Iterator[None]:
        """Refuse invocations of functions beyond so many at once, as long as the block runs."""
        self._control("PUT", _LAMBDA_LIMIT_PATH, most)
        try:
            yield
        finally:
            self._control("DELETE", _LAMBDA_LIMIT_PATH)

    def add_existing_keys(self, count: int, first: int, tags: dict[str, str]) -> None:
        """Let the home Region have more keys, as `local.emulator.kms.existing_keys` makes them."""
        body = {"region": self.region, "count": count, "first": first, "tags": tags}
        self._control("POST", _EXISTING_KEYS_PATH, body)

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        answer = http().request(method, f"{self.url}{path}", json=body, timeout=10)
        answer.raise_for_status()
        return answer.json()


def is_read(kms_call: dict[str, Any]) -> bool:
    """Say whether a call of KMS changes nothing."""
    return str(kms_call["operation"]).startswith(_READS)
