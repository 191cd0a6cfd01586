"""`mrk get`, `list`, `follow`, `history`, `approve`, `refuse`, `cancel` and the operations."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from tests.support.mrk_api import PlayedApi, outcome, refusal, status

Mrk = Callable[..., Result]
DONE, FAILED = 0, 1
GET, HISTORY = "GET /keys/CHG1", "GET /keys/CHG1/history"
HASH = "sha256:1"


def waiting() -> dict[str, Any]:
    row = {"region": "eu-west-1", "property": "keyState", "from": "Enabled", "call": "DisableKey"}
    plan = [row | {"to": "Disabled", "confirm": "DISABLE:eu-west-1"}]
    approval = {"contentHash": HASH, "plan": plan, "until": "2026-12-01T00:00:00Z"}
    return status("CHG1", "WAITING_FOR_APPROVAL", approval=approval | {"requester": "arn:asker"})


def test_a_status_is_shown_with_each_regions_key_and_every_error(
    played: PlayedApi, mrk: Mrk
) -> None:
    errors = refusal(("replicas[0].region", "KMS_REFUSED", "No."))["errors"]
    played.on(GET, (200, status("CHG1", "FAILED", errors=errors)))

    result = mrk("get", "CHG1")

    assert result.exit_code == DONE
    assert "CHG1 revision 1: FAILED" in result.stdout
    assert "eu-west-1       replica  Enabled      alias/a" in result.stdout
    assert "replicas[0].region: KMS_REFUSED: No." in result.stdout


def test_a_request_that_does_not_exist_is_refused(played: PlayedApi, mrk: Mrk) -> None:
    result = mrk("get", "CH G/1")

    assert result.exit_code == FAILED
    assert played.calls() == ["GET /keys/CH%20G%2F1"]
    assert "NOT_FOUND" in result.stderr


def listed(request_id: str) -> dict[str, Any]:
    shown = {"requestId": request_id, "status": "CREATED", "revision": 1, "alias": None}
    return shown | {"primaryRegion": None, "regions": None, "updatedAt": None}


def test_a_list_says_where_its_next_page_begins(played: PlayedApi, mrk: Mrk) -> None:
    query = "GET /keys?status=CREATED&limit=1"
    played.on(query, (200, {"requests": [listed("CHG1")], "next": "p2"}))

    result = mrk("list", "--status", "created", "--limit", "1", "--region", "us-east-1")

    assert result.stdout.splitlines()[1].split() == ["CHG1", "CREATED", "1"]
    assert "There are more: mrk list --next p2 --region us-east-1" in result.stdout


def test_every_page_is_listed_on_request(played: PlayedApi, mrk: Mrk) -> None:
    played.on("GET /keys?limit=50", (200, {"requests": [listed("CHG1")], "next": "p2"}))
    played.on("GET /keys?limit=50&next=p2", (200, {"requests": [listed("CHG2")], "next": None}))

    result = mrk("list", "--all", "--json")

    assert [one["requestId"] for one in json.loads(result.stdout)["requests"]] == ["CHG1", "CHG2"]


def test_a_history_names_who_asked_and_who_decided(played: PlayedApi, mrk: Mrk) -> None:
    approvals = [{"approver": "arn:approver", "decision": "APPROVE"}]
    failed = outcome("FAILED", requester=None, errors=refusal(("alias", "TAKEN", "x"))["errors"])
    outcomes = [failed, outcome("CREATED", approvals=approvals)]
    played.on(HISTORY, (200, {"outcomes": outcomes}))

    result = mrk("history", "CHG1")

    assert "somebody unknown" in result.stdout
    assert "arn:r             arn:approver" in result.stdout
    assert "2026-11-27T06:00:00  alias: TAKEN: x" in result.stdout


def test_follow_ends_when_nothing_is_under_way(played: PlayedApi, mrk: Mrk) -> None:
    operation = {"operation": "ROTATE", "operationId": "r1"}
    played.on(
        GET,
        (200, status("CHG1", "IN_PROGRESS")),
        (200, status("CHG1", "WAITING_FOR_MATERIAL")),
        (200, status("CHG1", "CREATED", operation=operation)),
        (200, status("CHG1", "CREATED")),
    )

    result = mrk("follow", "CHG1")

    assert result.exit_code == DONE
    assert "waits for key material" in result.stderr
    assert "CHG1 revision 1: CREATED" in result.stdout


def test_follow_that_takes_too_long_says_how_to_watch_on(played: PlayedApi, mrk: Mrk) -> None:
    played.on(GET, (200, status("CHG1", "IN_PROGRESS")))

    result = mrk("follow", "CHG1", "--timeout", "0")

    assert result.exit_code == FAILED
    assert "it goes on. To watch on: mrk follow CHG1" in result.stderr


def test_an_interrupted_follow_says_that_the_request_goes_on(
    played: PlayedApi, mrk: Mrk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupted)
    played.on(GET, (200, status("CHG1", "IN_PROGRESS")))

    result = mrk("follow", "CHG1", "--region", "us-east-1")

    assert result.exit_code == FAILED
    assert "The request goes on (CHG1)" in result.stderr
    assert "mrk follow CHG1 --region us-east-1" in result.stderr


@pytest.mark.parametrize(("command", "decision"), [("approve", "APPROVE"), ("refuse", "REFUSE")])
def test_what_is_decided_is_shown_with_its_hash_and_asked_about(
    played: PlayedApi, mrk: Mrk, command: str, decision: str
) -> None:
    post = "POST /keys/CHG1/approval"
    played.on(GET, (200, waiting()))
    played.on(post, (202, {"requestId": "CHG1", "status": "WAITING_FOR_APPROVAL"}))

    result = mrk(command, "CHG1", "--comment", "as agreed", typed="y\n")

    assert result.exit_code == DONE
    assert "~ keyState  Enabled → Disabled  DisableKey" in result.stderr
    assert "takes the word DISABLE:eu-west-1" in result.stderr
    assert "arn:asker" in result.stderr
    assert HASH in result.stderr
    sent = {"decision": decision, "contentHash": HASH, "comment": "as agreed"}
    assert played.body_of(post) == sent


@pytest.mark.parametrize("typed", ["n\n", "", "\n"])
def test_what_is_not_confirmed_is_not_decided(played: PlayedApi, mrk: Mrk, typed: str) -> None:
    played.on(GET, (200, waiting()))

    result = mrk("approve", "CHG1", typed=typed)

    assert result.exit_code == FAILED
    assert played.calls() == [GET]


@pytest.mark.parametrize("given", ["another hash", "not awaited"])
def test_nobody_decides_what_was_not_meant(played: PlayedApi, mrk: Mrk, given: str) -> None:
    played.on(GET, (200, waiting() if given == "another hash" else status("CHG1", "CREATED")))

    result = mrk("approve", "CHG1", "--yes", "--content-hash", "sha256:2")

    assert result.exit_code == FAILED
    assert played.calls() == [GET]


def test_an_approver_who_is_the_requester_is_told_so(played: PlayedApi, mrk: Mrk) -> None:
    problem = ("", "APPROVER_IS_REQUESTER", "Another person has to approve.")
    played.on(GET, (200, waiting()))
    played.on("POST /keys/CHG1/approval", (403, refusal(problem)))

    result = mrk("approve", "CHG1", "--yes", "--content-hash", HASH)

    assert result.exit_code == FAILED
    assert "APPROVER_IS_REQUESTER: Another person has to approve." in result.stderr


def test_a_request_is_cancelled_after_a_question(played: PlayedApi, mrk: Mrk) -> None:
    played.on("DELETE /keys/CHG1", (202, {"requestId": "CHG1", "status": "IN_PROGRESS"}))

    assert mrk("cancel", "CHG1", typed="n\n").exit_code == FAILED
    assert played.sent == []
    assert mrk("cancel", "CHG1", typed="y\n").exit_code == DONE


@pytest.mark.parametrize(
    ("arguments", "operation"),
    [
        (["rotate"], "ROTATE"),
        (["rotate", "--material"], "ROTATE_MATERIAL"),
        (["repair", "--confirm", "RESTORE:eu-west-1"], "REPAIR"),
        (["release", "--yes"], "RELEASE"),
    ],
)
@pytest.mark.parametrize("end", ["FINISHED", "FAILED"])
def test_an_operation_is_followed_to_its_own_outcome(
    played: PlayedApi, mrk: Mrk, arguments: list[str], operation: str, end: str
) -> None:
    post = "POST /keys/CHG1/operations"
    accepted = {"requestId": "CHG1", "operationId": "op1", "operation": operation}
    other, ours = ({"operationId": name, "operation": operation} for name in ("op0", "op1"))
    before = [outcome("CREATED"), outcome("FINISHED", "o2", **other)]
    played.on(post, (202, accepted | {"executionArn": "arn:e", "status": "IN_PROGRESS"}))
    played.on(GET, (200, status("CHG1", "IN_PROGRESS")), (200, status("CHG1", "CREATED")))
    played.on(
        HISTORY,
        (200, {"outcomes": before}),
        (200, {"outcomes": [*before, outcome(end, "o3", **ours)]}),
    )

    command, *options = arguments
    result = mrk(command, "CHG1", *options, "--operation-id", "op1", "--follow")

    assert result.exit_code == (DONE if end == "FINISHED" else FAILED), result.output
    assert f"{operation} op1: {end}" in result.stdout
    sent = played.body_of(post)
    assert (sent["operationId"], sent["operation"]) == ("op1", operation)
    assert sent.get("confirm") == (["RESTORE:eu-west-1"] if command == "repair" else None)


def test_every_operation_that_is_asked_for_is_a_new_one(played: PlayedApi, mrk: Mrk) -> None:
    post = "POST /keys/CHG1/operations"
    accepted = {"requestId": "CHG1", "operationId": "x", "operation": "ROTATE"}
    played.on(post, (202, accepted | {"status": "IN_PROGRESS"}))

    for _ in range(2):
        assert mrk("rotate", "CHG1").exit_code == DONE

    first, second = (body["operationId"] for _, body in played.sent)
    assert first != second


def adoption_plan(**more: Any) -> dict[str, Any]:
    shown = {"declaration": {"requestId": "CHG1"}, "keyArn": "arn:key", "unmanaged": []}
    return shown | {"differences": [], "errors": [], "warnings": []} | more


def test_a_plan_of_an_adoption_says_what_differs(played: PlayedApi, mrk: Mrk) -> None:
    post = "POST /keys?adopt=true&plan=true"
    difference = {"path": "tags", "region": "us-east-1", "property": "tags.team"}
    differing = adoption_plan(differences=[difference | {"kms": "a", "declared": "b"}])
    played.on(post, (200, differing), (200, adoption_plan()))

    options = ("--plan", "--key-arn", "arn:key", "--take-over", "--unmanaged", "eu-west-1")
    differs = mrk("adopt", "-", *options, typed='{"requestId": "CHG1"}')
    fits = mrk("adopt", "-", "--plan", typed='{"requestId": "CHG1"}')

    assert differs.exit_code == FAILED
    assert "~ tags.team  a → b  tags" in differs.stdout
    given = {"keyArn": "arn:key", "takeOver": True, "unmanaged": ["eu-west-1"]}
    assert played.sent[0][1] == {"requestId": "CHG1"} | given
    assert fits.exit_code == DONE
    assert "It can be adopted as it is declared." in fits.stdout


def test_an_adoption_is_followed_as_an_operation(played: PlayedApi, mrk: Mrk) -> None:
    named = {"operationId": "adopt-1", "operation": "ADOPT"}
    accepted = {"requestId": "CHG1", "status": "IN_PROGRESS"} | named
    played.on("POST /keys?adopt=true", (202, accepted))
    played.on(GET, (200, status("CHG1", "CREATED")))
    played.on(HISTORY, (200, {"outcomes": [outcome("FINISHED", **named)]}))

    result = mrk("adopt", "-", "--follow", typed='{"requestId": "CHG1"}')

    assert result.exit_code == DONE
    assert "ADOPT adopt-1: FINISHED" in result.stdout
