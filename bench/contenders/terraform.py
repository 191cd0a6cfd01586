"""Terraform with the AWS provider: the same key set as a configuration, applied."""

import json
import os
import shutil
import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.account import FOLDER
from bench.errors import BenchError
from bench.key_sets import Key, KeySet
from local.settings import ROOT_CREDENTIALS
from local.stack.stack import Stack

PROVIDER_VERSION = "5.100.0"
_PROVIDER = Path("registry.terraform.io", "hashicorp", "aws", PROVIDER_VERSION)
# Where software that comes without a registry is put; Terraform looks elsewhere by itself.
_MIRRORS = (Path("/opt"), Path("/usr/local/share"))


class Terraform:
    """Applies a new configuration: a key, a replica key a Region, an alias a key.

    The clock is on for `terraform apply` alone, with its plan and its ten operations at a time, as
    it is out of the box. `terraform init` and `validate` come before. Checks of the provider that
    call other services are off.
    """

    name = "Terraform"

    def __init__(self, stack: Stack, mirror: Path | None) -> None:
        self._stack = stack
        self._mirror = mirror or find_mirror()
        self._folder = FOLDER / "terraform"
        self.creating_seconds = 0.0
        """How long the last apply was at making resources, its own start and plan apart."""

    def prepare(self, key_set: KeySet) -> None:
        """Write the configuration, and install the provider."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self.configure(key_set)
        if self._mirror:
            installation = f'filesystem_mirror {{ path = "{self._mirror}" }}'
            text = f"provider_installation {{\n  {installation}\n}}\n"
            (self._folder / "terraform.rc").write_text(text)
        self._run("init", "-input=false")
        # The provider is some 700 MB: it is read from the disk once before the clock is on.
        self._run("validate")

    def configure(self, key_set: KeySet) -> None:
        """Write the configuration, which the next apply carries out."""
        settings = json.dumps(configuration(key_set, self._stack.url), indent=2)
        (self._folder / "main.tf.json").write_text(settings)

    def make(self, key_set: KeySet) -> float:  # noqa: ARG002 - it is in the configuration
        """Make the key set; return the seconds on the wall."""
        began = time.monotonic()
        output = self._run("apply", "-auto-approve", "-input=false", "-json")
        seconds = time.monotonic() - began
        self.creating_seconds = creating_seconds(output)
        return seconds

    def _run(self, *arguments: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment = kept | {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
        if self._mirror:
            environment["TF_CLI_CONFIG_FILE"] = str(self._folder / "terraform.rc")
        done = subprocess.run(
            ["terraform", *arguments],
            cwd=self._folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BenchError(f"terraform {arguments[0]} failed:\n{done.stdout}{done.stderr}")
        return done.stdout


def version() -> str | None:
    """Return the version of the `terraform` on PATH, or None if there is none."""
    if not shutil.which("terraform"):
        return None
    done = subprocess.run(
        ["terraform", "version", "-json"], capture_output=True, text=True, check=True
    )
    found: str = json.loads(done.stdout)["terraform_version"]
    return found


def find_mirror() -> Path | None:
    """Find a folder that holds the provider as a filesystem mirror does."""
    for place in _MIRRORS:
        for mirror in sorted(place.glob("*")):
            if (mirror / _PROVIDER).is_dir():
                return mirror
    return None


def creating_seconds(output: str) -> float:
    """Return the time from the first resource's start to the last one's end, in seconds.

    Parameters
    ----------
    output
        What `terraform apply -json` writes, a JSON document a line.
    """
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    moments = [
        datetime.fromisoformat(line["@timestamp"])
        for line in lines
        if line.get("type") in ("apply_start", "apply_complete")
    ]
    return (max(moments) - min(moments)).total_seconds()


def configuration(key_set: KeySet, endpoint_url: str) -> dict[str, Any]:
    """Return the configuration that makes a key set.

    The provider has no Region of its own a resource: it takes one configuration a Region.
    """
    primary = key_set.primary
    replicas = {
        key.region: {
            "provider": f"aws.{key.region}",
            "primary_key_arn": "${aws_kms_key.primary.arn}",
            **_settings(key),
        }
        for key in key_set.replicas
    }
    aliases = {
        key.region: {
            "provider": f"aws.{key.region}",
            "name": key.alias,
            "target_key_id": f"${{aws_kms_replica_key.{key.region}.key_id}}",
        }
        for key in key_set.replicas
    }
    aliases["primary"] = {
        "provider": f"aws.{primary.region}",
        "name": primary.alias,
        "target_key_id": "${aws_kms_key.primary.key_id}",
    }
    key = {"provider": f"aws.{primary.region}", "multi_region": True, **_settings(primary)}
    resources = {"aws_kms_key": {"primary": key}, "aws_kms_alias": aliases}
    if replicas:
        resources["aws_kms_replica_key"] = replicas
    required = {"aws": {"source": "hashicorp/aws", "version": PROVIDER_VERSION}}
    return {
        "terraform": {"required_providers": required},
        "provider": {"aws": [_provider(key.region, endpoint_url) for key in key_set.keys]},
        "resource": resources,
    }


def _settings(key: Key) -> dict[str, Any]:
    return {"description": key.description, "tags": key.tags, "policy": json.dumps(key.policy)}


def _provider(region: str, endpoint_url: str) -> dict[str, Any]:
    return {
        "alias": region,
        "region": region,
        "access_key": ROOT_CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "secret_key": ROOT_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        "skip_credentials_validation": True,
        "skip_metadata_api_check": True,
        "skip_region_validation": True,
        "skip_requesting_account_id": True,
        "endpoints": [dict.fromkeys(("kms", "sts", "iam"), endpoint_url)],
    }
