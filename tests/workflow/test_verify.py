"""`mrk verify` against the deployed stack, run by a role that has the policy of docs/verify.md."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local.commands import verify
from local.polling import wait_for
from local.settings import ACCOUNT_ID, VERIFY_ROLE
from local.stack.stack import Stack
from tests.support.stack.kms_arrangement import Arrangement
from tests.support.stack.observed import assert_answers_as_kms_did

REGIONS = ("us-east-1", "us-west-2")
NOT_ENABLED = "me-south-1"
WAITS_FOR_DELETION = {"PendingDeletion", "PendingReplicaDeletion"}
PROVED, NOT_PROVED = 0, 1


def described(stack: Stack) -> dict[str, Any]:
    return {
        "endpointUrl": stack.url,
        "region": stack.region,
        "accountId": ACCOUNT_ID,
        "outputs": stack.outputs,
    }


@contextmanager
def started(stack: Stack, output: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with verify.start(described(stack), output, *options, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def states_of_run(stack: Stack, run: str) -> dict[str, str]:
    """Map the ARN of every key that a run has made to its state, as the account's root sees it."""
    found: dict[str, str] = {}
    for region in REGIONS:
        kms, tagging = (stack.client(s, region) for s in ("kms", "resourcegroupstaggingapi"))
        tagged = tagging.get_resources(TagFilters=[{"Key": "mrk-verify", "Values": [run]}])
        for arn in (one["ResourceARN"] for one in tagged["ResourceTagMappingList"]):
            found[arn] = kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"]
            if found[arn] in WAITS_FOR_DELETION:
                assert not kms.list_aliases(KeyId=arn)["Aliases"]
    return found


def run_of(lines: str) -> str:
    found = re.search(r"mrk-verify-(\d{14}-[0-9a-f]{4})-complete", lines)
    assert found, lines
    return found[1]


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Read what the command says until it says this."""
    assert process.stderr
    lines = ""
    for line in process.stderr:
        lines += line
        if text in line:
            return lines
    raise AssertionError(lines)


def test_the_stack_is_proved_with_no_more_than_the_documented_permissions(
    stack: Stack, tmp_path: Path
) -> None:
    output = tmp_path / "verify.json"
    before = len(stack.permissions())

    with (
        stack.changed_kms_settings(disabled_regions=[NOT_ENABLED]),
        started(stack, output, "--json", "--not-enabled-region", NOT_ENABLED) as process,
    ):
        printed, said = process.communicate(timeout=120)

    seen = json.loads(output.read_text())
    wrong = [row for row in seen["steps"] + seen["beliefs"] if row["verdict"] == "wrong"]
    assert (process.returncode, wrong, seen["notRemoved"]) == (PROVED, [], None), said
    assert json.loads(printed) == seen
    not_asked = {row["id"] for row in seen["steps"] if row["verdict"] == "not asked"}
    assert not_asked == set()

    states = states_of_run(stack, seen["run"])
    assert set(states.values()) <= WAITS_FOR_DELETION
    keys = {(key["region"], key["keyId"]) for key in seen["left"]}
    assert keys == {(arn.split(":")[3], arn.split("/")[1]) for arn in states}

    asked = [p for p in stack.permissions(before) if f"/{VERIFY_ROLE}/" in p["principal"]]
    statements = verify.policy_of_page(described(stack))["Statement"]
    granted = {action for s in statements for action in as_list(s["Action"])}
    assert granted == {p["action"] for p in asked} - {"sts:GetCallerIdentity"}
    denied = {p["action"] for p in asked if not p["allowed"]}
    assert denied <= {"events:PutEvents"}  # by the bus, unless the role is one of its senders

    text = output.read_text()
    assert not re.search(r"Statement|Principal|importToken|AccessKey|AKIA|ASIA", text)
    with stack.changed_kms_settings(creating_seconds=0, updating_seconds=0):
        for row in seen["rows"]:
            assert_answers_as_kms_did(Arrangement(stack), row, row["params"])


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_an_interrupted_run_leaves_only_keys_that_wait_for_their_deletion(
    stack: Stack, tmp_path: Path
) -> None:
    output = tmp_path / "verify.json"
    with started(stack, output) as process:
        run = run_of(read_until(process, "Asking import"))
        wait_for(lambda: len(states_of_run(stack, run)) > 4 or None, "the last key", timeout=30)

        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)

    states = states_of_run(stack, run)
    assert process.returncode == NOT_PROVED, said
    assert json.loads(output.read_text())["interrupted"]
    assert set(states.values()) <= WAITS_FOR_DELETION, said


def test_what_a_killed_run_has_left_is_found_and_removed_later(
    stack: Stack, tmp_path: Path
) -> None:
    output = tmp_path / "verify.json"
    with started(stack, output) as process:
        run = run_of(read_until(process, "Asking send-again"))
    assert "Enabled" in states_of_run(stack, run).values()

    with started(stack, output, "--clean-up") as cleaning:
        _, said = cleaning.communicate(timeout=60)

    assert cleaning.returncode == PROVED, said
    assert set(states_of_run(stack, run).values()) <= WAITS_FOR_DELETION
    assert not output.exists()
