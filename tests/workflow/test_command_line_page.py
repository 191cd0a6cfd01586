"""docs/command-line.md shows what the command prints."""

import os
from pathlib import Path

from local.commands.verify import environment
from local.polling import wait_for
from local.settings import ACCOUNT_ID
from local.stack.endpoint import ROOT_USER
from local.stack.stack import Stack
from tests.support.stack.command_page import blocks, renew
from tests.support.stack.workflow_paths import APPROVERS

VIA = {"hook": "jira", "actor": "5b10a2844c20165700ede21g"}
WAITING = "KEYS-7"


def let_a_request_wait(stack: Stack) -> None:
    """Let a request wait for approval that one of two approvers has approved."""
    stack.send({"request": {"requestId": WAITING, "alias": "alias/payments/7"}, "via": VIA})
    path = f"/keys/{WAITING}"

    def asked() -> str | None:
        status = stack.api("GET", path).json()
        content_hash: str | None = status.get("approval", {}).get("contentHash")
        return content_hash

    body = {"decision": "APPROVE", "contentHash": wait_for(asked, "the question", timeout=60)}
    allowed = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
    stack.create_role(APPROVERS, policy={"Version": "2012-10-17", "Statement": [allowed]})
    who = stack.credentials_of(APPROVERS, "alice")
    assert stack.api("POST", f"{path}/approval", json=body, credentials=who).status_code == 202


def test_the_page_shows_what_the_command_prints(stack: Stack, tmp_path: Path) -> None:
    described = {"endpointUrl": stack.url, "region": stack.region, "outputs": stack.outputs}
    place = environment(described | {"accountId": ACCOUNT_ID}, ROOT_USER)
    printed: dict[str, str] = {}
    different = []
    for block in blocks(tmp_path):
        if block.before:
            let_a_request_wait(stack)
        printed[block.shown] = block.run(tmp_path, place)
        if not block.varies and printed[block.shown] != block.shown:
            different.append(printed[block.shown])
    if os.environ.get("RENEW_PAGE"):
        renew(lambda shown: printed.get(shown, shown))
        return

    assert different == [], "make command-line renews the page."
