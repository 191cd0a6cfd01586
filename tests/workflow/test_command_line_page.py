"""docs/command-line.md shows what the command prints, piped and under a terminal.

With RENEW_PAGE=1 its blocks are written and its pictures drawn anew.
"""

import os
from pathlib import Path

from local.commands.verify import environment
from local.polling import wait_for
from local.settings import ACCOUNT_ID
from local.stack.endpoint import ROOT_USER
from local.stack.stack import Stack
from tests.support.stack.approvals import people_of
from tests.support.stack.command_page import PICTURES, Commands, blocks, renew
from tests.support.stack.terminal_pictures import texts

VIA = {"hook": "jira", "actor": "5b10a2844c20165700ede21g"}
WAITING = "KEYS-7"
RENEWED = bool(os.environ.get("RENEW_PAGE"))


def let_a_request_wait(stack: Stack) -> None:
    """Let a request wait for approval that one of two approvers has approved."""
    stack.send({"request": {"requestId": WAITING, "alias": "alias/payments/7"}, "via": VIA})
    path = f"/keys/{WAITING}"

    def asked() -> str | None:
        status = stack.api("GET", path).json()
        content_hash: str | None = status.get("approval", {}).get("contentHash")
        return content_hash

    body = {"decision": "APPROVE", "contentHash": wait_for(asked, "the question", timeout=60)}
    who = people_of(stack, "alice")["alice"]
    assert stack.api("POST", f"{path}/approval", json=body, credentials=who).status_code == 202


def is_drawn(block: Commands, folder: Path, place: dict[str, str]) -> bool:
    """Run a block under a terminal; return whether its picture shows how that ended."""
    path, shown = PICTURES / f"{block.picture}.svg", block.record(folder, place)
    if RENEWED:
        PICTURES.mkdir(exist_ok=True)
        path.write_text(block.draw(shown))
    # What is seen before the end is another one in each run.
    ended = texts(block.draw(shown[-1:]))
    return block.varies or texts(path.read_text())[-len(ended) :] == ended


def test_the_page_shows_what_the_command_prints(stack: Stack, tmp_path: Path) -> None:
    described = {"endpointUrl": stack.url, "region": stack.region, "outputs": stack.outputs}
    place = environment(described | {"accountId": ACCOUNT_ID}, ROOT_USER)
    printed: dict[str, str] = {}
    different = []
    for block in blocks(tmp_path):
        if block.before:
            let_a_request_wait(stack)
        if block.picture:
            if not is_drawn(block, tmp_path, place):
                different.append(block.picture)
            continue
        printed[block.shown] = block.run(tmp_path, place)
        if not block.varies and printed[block.shown] != block.shown:
            different.append(printed[block.shown])
    if RENEWED:
        renew(lambda shown: printed.get(shown, shown))
        return

    assert different == [], "make pictures renews the page."
