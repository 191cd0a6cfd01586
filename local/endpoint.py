"""An emulator, as its clients see it."""

import contextlib
import json
from dataclasses import dataclass
from typing import Any

import boto3
import httpx
from botocore.config import Config

from local.settings import ACCOUNT_ID, ROOT_CREDENTIALS

_KMS_CALLS_PATH = "/_local/kms-calls"
_READS = ("Describe", "Get", "List")

# A call that fails is to be seen, not repeated.
_SEND_ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1})


@dataclass(frozen=True)
class Credentials:
    """A principal's access key."""

    access_key: str = ROOT_CREDENTIALS["AWS_ACCESS_KEY_ID"]
    secret_key: str = ROOT_CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
    token: str | None = None


ROOT_USER = Credentials()


@dataclass(frozen=True)
class Endpoint:
    """A running emulator."""

    url: str
    region: str

    def client(
        self, service: str, region: str | None = None, credentials: Credentials = ROOT_USER
    ) -> Any:
        """Give a boto3 client, in the home Region and for the account's root unless told else."""
        return boto3.client(
            service,
            region_name=region or self.region,
            endpoint_url=self.url,
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            aws_session_token=credentials.token,
            config=_SEND_ONCE,
        )

    def create_role(
        self, name: str, *, path: str = "/", policy: dict[str, Any] | None = None
    ) -> str:
        """Create a role that the account may assume, if there is none; give its ARN."""
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

    def credentials_of(self, role: str) -> Credentials:
        """Assume a role, given by its name, and give its credentials."""
        answer = self.client("sts").assume_role(
            RoleArn=f"arn:aws:iam::{ACCOUNT_ID}:role/{role}", RoleSessionName="local"
        )
        given = answer["Credentials"]
        return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    def kms_calls(self, since: int = 0) -> list[dict[str, Any]]:
        """List the calls of KMS so far, as `local.emulator.KmsCall` describes them."""
        answer = httpx.get(f"{self.url}{_KMS_CALLS_PATH}", params={"since": since}, timeout=10)
        answer.raise_for_status()
        calls: list[dict[str, Any]] = answer.json()
        return calls


def is_read(kms_call: dict[str, Any]) -> bool:
    """Say whether a call of KMS changes nothing."""
    return str(kms_call["operation"]).startswith(_READS)
