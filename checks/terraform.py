"""Lets Terraform make a key set, adopts it, changes it, releases it, and asks Terraform each time.

The provider runs as it is out of the box against the local stack's KMS. It must show no difference
that it did not show before: with `ignore_tags` for the stack's own tags none after the adoption, a
revision's change and nothing else after a revision, and none again once the set is released and
Terraform has gone on. What it shows without `ignore_tags` is printed as well.
"""

import json
import sys
import uuid
from collections.abc import Callable
from typing import Any

from bench.contenders.terraform import Terraform, configuration, find_mirror
from bench.errors import BenchError
from bench.key_sets import Key, KeySet
from local.polling import wait_for
from local.settings import ACCOUNT_ID
from local.stack import server
from local.stack.deploy import deploy
from local.stack.stack import Stack

REGIONS = ("us-east-1", "eu-west-1", "us-west-2")
_ENDS = ("Multi-Region Key Operation Finished", "Multi-Region Key Operation Failed")
_SETTINGS = {"SFN_WAIT_SCALE": "0.02", "KMS_CREATING_SECONDS": "0.1"}
_OURS = {"key_prefixes": ["mrk:"]}

type Differences = dict[str, list[str]]
"""By the address of a resource: the arguments that Terraform would change."""


class Configured(Terraform):
    """A configuration of Terraform, with or without `ignore_tags`."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack, find_mirror())
        self.ignores = True

    def configure(self, key_set: KeySet) -> None:
        """Write the configuration."""
        found = configuration(key_set, self._stack.url)
        for provider in found["provider"]["aws"]:
            if self.ignores:
                provider["ignore_tags"] = [_OURS]
        (self._folder / "main.tf.json").write_text(json.dumps(found, indent=2))

    def differences(self, key_set: KeySet, *, ignores: bool = True) -> Differences:
        """Return what Terraform would change now."""
        self.ignores = ignores
        self.configure(key_set)
        self._run("plan", "-input=false", "-out=plan")
        plan: dict[str, Any] = json.loads(self._run("show", "-json", "plan"))
        return {
            change["address"]: _changed(change["change"])
            for change in plan.get("resource_changes", [])
            if change["change"]["actions"] != ["no-op"]
        }

    def apply(self, key_set: KeySet) -> None:
        """Let Terraform make the keys as they are configured."""
        self.ignores = True
        self.configure(key_set)
        self.make(key_set)


def _changed(change: dict[str, Any]) -> list[str]:
    before, after = change["before"] or {}, change["after"] or {}
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return [f"{'/'.join(change['actions'])} {', '.join(names)}"]


def new_key_set(name: str, description: str) -> KeySet:
    """Return a key set of three Regions, with the key policy that KMS makes by default."""
    root = {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    policy: Any = {"Version": "2012-10-17", "Statement": [root]}
    tags = {"team": "payments", "owner": "platform"}
    keys = tuple(Key(region, f"alias/{name}", description, tags, policy) for region in REGIONS)
    return KeySet(name, {}, keys)


class Check:
    """The steps, in their order, each with what Terraform shows after it."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._terraform = Configured(stack)
        self._name = f"terraform-{uuid.uuid4().hex[:8]}"
        self._made = new_key_set(self._name, "Made by Terraform")
        self.failed = False

    def run(self) -> None:
        """Do every step; print what Terraform shows, and whether that is as expected."""
        self._terraform.prepare(self._made)
        self._terraform.apply(self._made)
        self._expect("made by Terraform", lambda found: not found)
        declared = self._adopt(1)
        self._expect("adopted", lambda found: not found)
        self._show("adopted, without ignore_tags")
        self._ask("/keys", {**declared, "revision": 2, "description": "Changed by revision 2"})
        self._expect(
            "revision 2 changes the description",
            lambda found: (
                len(found) == len(REGIONS)
                and all(one == ["update description"] for one in found.values())
            ),
        )
        self._operate("RELEASE")
        self._show("released, without ignore_tags")
        self._terraform.apply(self._made)
        self._expect("released, and Terraform has gone on", lambda found: not found)
        self._adopt(3)
        self._expect("adopted again", lambda found: not found)

    def _expect(self, step: str, is_expected: Callable[[Differences], bool]) -> None:
        found = self._terraform.differences(self._made)
        ok = is_expected(found)
        self.failed |= not ok
        print(f"{'ok  ' if ok else 'FAIL'} {step}: {_shown(found)}", flush=True)

    def _show(self, step: str) -> None:
        found = self._terraform.differences(self._made, ignores=False)
        print(f"     {step}: {_shown(found)}", flush=True)

    def _adopt(self, revision: int) -> dict[str, Any]:
        kms = self._stack.client("kms", REGIONS[0])
        arn = kms.describe_key(KeyId=f"alias/{self._name}")["KeyMetadata"]["Arn"]
        unsaid = {"requestId": self._name, "keyArn": arn, "revision": revision}
        planned = self._call("/keys?adopt=true&plan=true", unsaid)
        if planned["errors"]:
            raise BenchError(f"The set may not be adopted: {planned['errors']}")
        declared: dict[str, Any] = planned["declaration"]
        answer = self._call("/keys?adopt=true", {**declared, "keyArn": arn})
        self._wait(answer["operationId"])
        return declared

    def _operate(self, operation: str) -> None:
        body = {"operationId": operation.lower(), "operation": operation}
        self._wait(self._call(f"/keys/{self._name}/operations", body)["operationId"])

    def _ask(self, path: str, document: dict[str, Any]) -> None:
        before = len(self._stack.outcomes(self._name))
        self._call(path, document)
        outcome = self._stack.wait_for_outcomes(self._name, before + 1)[-1]["detail"]
        if outcome["status"] != "UPDATED":
            raise BenchError(f"The revision ended as {outcome}")

    def _call(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        answer = self._stack.api("POST", path, json=document)
        if not answer.is_success:
            raise BenchError(f"{path} answered {answer.status_code}: {answer.text}")
        body: dict[str, Any] = answer.json()
        return body

    def _wait(self, operation_id: str) -> None:
        def ended() -> dict[str, Any] | None:
            events = self._stack.events(self._name)
            ends = [e["detail"] for e in events if e["detail-type"] in _ENDS]
            return next((one for one in ends if one["operationId"] == operation_id), None)

        detail = wait_for(ended, f"{operation_id} to end", timeout=90)
        if detail["status"] != "FINISHED":
            raise BenchError(f"{operation_id} ended as {detail['errors']}")


def _shown(found: Differences) -> str:
    if not found:
        return "no difference"
    return "; ".join(f"{where}: {', '.join(what)}" for where, what in sorted(found.items()))


def main() -> int:
    """Run the check on a local stack of its own; return the exit status."""
    with (
        server.temporary("terraform", _SETTINGS) as emulator,
        Stack.listening(deploy(emulator)) as stack,
    ):
        check = Check(stack)
        check.run()
    return int(check.failed)


if __name__ == "__main__":
    sys.exit(main())
