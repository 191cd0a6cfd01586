"""What a request that needs approval may do, and what gets round it: nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from provisioner.approval.asking import ask_for_approval
from provisioner.approval.decision import cancel_waiting, decide
from provisioner.approval.gate import Gate, Standing, seconds_to_wait
from provisioner.approval.gatekeeper import Gatekeeper
from provisioner.aws import executions
from provisioner.aws.approvals import Approvals, Pending, State
from provisioner.aws.clients import client
from provisioner.aws.executions import Progress
from provisioner.aws.records import Records, Status
from provisioner.domain.approval import hash_of
from provisioner.domain.change import Change
from provisioner.domain.provenance import Approval, Via
from provisioner.errors import (
    AlreadyDecided,
    ApproverIsRequester,
    Cancelled,
    ContentChanged,
    DependencyUnavailable,
    NotAwaited,
    RequestConflict,
    RequestTakenOver,
)
from provisioner.settings import ApprovalSettings
from tests.support import finished_sets
from tests.support.answering import answer, calls_of
from tests.support.clock import Clock
from tests.support.emitted_metrics import metrics_in
from tests.support.published import published_on
from tests.support.samples import EXECUTION, request_of
from tests.support.sweeping import sweeper
from tests.support.walks import walks

pytestmark = pytest.mark.usefixtures("records")

ACCOUNT = "111122223333"
ALICE = f"arn:aws:sts::{ACCOUNT}:assumed-role/Platform/alice"
BOB = f"arn:aws:sts::{ACCOUNT}:assumed-role/Platform/bob"
CAROL = f"arn:aws:iam::{ACCOUNT}:user/carol"
VIA: Via = {"hook": "jira", "actor": "557058:alice"}
OTHER = EXECUTION.replace(":execution:", ":execution:").rsplit(":", 1)[0] + ":other"


class Executions:
    """Says how far executions are; all run until a test ends one."""

    def __init__(self) -> None:
        self.at: dict[str, Progress] = {}

    def progress(self, _client: Any, arn: str) -> Progress:
        return self.at.get(arn, Progress.RUNNING)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Executions:
    found = Executions()
    monkeypatch.setattr(executions, "progress", found.progress)
    return found


@pytest.fixture(autouse=True)
def woken(running: Executions, monkeypatch: pytest.MonkeyPatch) -> list[str]:  # noqa: ARG001
    tokens: list[str] = []

    def take(_client: Any, token: str, output: object) -> bool:
        assert output == {}
        tokens.append(token)
        return True

    monkeypatch.setattr(executions, "answer_task", take)
    return tokens


@pytest.fixture
def approvals() -> Approvals:
    return Approvals(client("dynamodb"), "requests")


def keeper(
    records: Records, mode: str = "all", requester: str | None = None, **options: Any
) -> Gatekeeper:
    return Gatekeeper(
        Approvals(client("dynamodb"), "requests"),
        records,
        client("stepfunctions"),
        ApprovalSettings(mode, timedelta(days=7), one_per_role=False),
        requester=requester,
        **options,
    )


def ask(
    records: Records,
    requester: str | None = ALICE,
    execution: str = EXECUTION,
    via: Via | None = None,
    **fields: Any,
) -> Gate:
    return keeper(records, requester=requester).pass_request(
        request_of(**fields), execution, via=via
    )


def waiting(gate: Gate) -> Pending:
    assert gate.standing == Standing.WAIT
    assert gate.pending
    return gate.pending


def cancelled(records: Records, approvals: Approvals | None = None) -> Pending | None:
    return cancel_waiting(
        "CHG1",
        approvals=approvals or Approvals(client("dynamodb"), "requests"),
        records=records,
        step_functions=client("stepfunctions"),
    )


def decided(
    pending: Pending,
    approver: str = BOB,
    decision: str = "APPROVE",
    *,
    one_per_role: bool = False,
    content_hash: str | None = None,
    comment: str | None = None,
) -> Pending:
    approval: Approval = {
        "approver": approver,
        "decision": decision,
        "at": "",
        "comment": comment,
        "sourceIp": "192.0.2.1",
    }
    return decide(
        pending.request_id,
        content_hash or pending.content_hash,
        approval,
        one_per_role=one_per_role,
        approvals=Approvals(client("dynamodb"), "requests"),
        step_functions=client("stepfunctions"),
    )


@pytest.mark.parametrize(
    ("mode", "via", "standing"),
    [
        ("none", None, Standing.OPEN),
        ("none", VIA, Standing.OPEN),
        ("hooks", None, Standing.OPEN),
        ("hooks", VIA, Standing.WAIT),
        ("destructive", None, Standing.OPEN),
        ("destructive", VIA, Standing.WAIT),
        ("all", None, Standing.WAIT),
    ],
)
def test_the_parameter_says_what_waits(
    mode: str, via: Via | None, standing: Standing, records: Records
) -> None:
    gate = keeper(records, mode).pass_request(request_of(), EXECUTION, via=via)

    assert gate.standing == standing
    assert records.get("CHG1") is None


def test_the_sweep_counts_what_waits_for_approval_until_it_is_decided(
    records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    pending = waiting(ask(records))
    sweeper(records).sweep([])
    before = capsys.readouterr().out
    decided(pending)
    sweeper(records).sweep([])

    assert approvals_counted(before) == [1]
    assert approvals_counted(capsys.readouterr().out) == [0]


def approvals_counted(out: str) -> list[float]:
    """Return the numbers of approvals that wait, as they were counted."""
    metrics = metrics_in(out.splitlines())
    return [n for metric in metrics if metric.name == "ApprovalsWaiting" for n in metrics[metric]]


def test_one_other_person_approves_what_somebody_known_has_asked_for(records: Records) -> None:
    pending = waiting(ask(records))

    decided(pending, comment="As agreed")

    gate = ask(records, requester=None)
    assert gate.standing == Standing.OPEN
    provenance = gate.provenance_of(None)
    assert provenance
    assert (provenance["requester"], provenance["via"]) == (ALICE, None)
    (approval,) = provenance["approvals"]
    assert (approval["approver"], approval["comment"]) == (BOB, "As agreed")
    assert approval["at"]


def test_two_approve_where_nobody_knows_who_asked(records: Records) -> None:
    pending = waiting(ask(records, requester=None, via=VIA))

    decided(pending, ALICE)
    assert ask(records, requester=None, via=VIA).standing == Standing.WAIT
    decided(pending, BOB)

    gate = ask(records, requester=None, via=VIA)
    assert gate.standing == Standing.OPEN
    assert gate.provenance_of(None)
    assert [one["approver"] for one in gate.pending.approvals] == [ALICE, BOB]  # type: ignore[union-attr]


@walks("ApproverIsRequester")
@pytest.mark.parametrize(
    ("requester", "approver"),
    [
        (ALICE, ALICE),
        (ALICE, ALICE.replace("/Platform/", "/Admin/")),
        (ALICE, ALICE.upper().replace("ARN:AWS:STS", "arn:aws:sts")),
        (ALICE, f"arn:aws:iam::{ACCOUNT}:user/alice"),
        (CAROL, f"arn:aws:sts::{ACCOUNT}:assumed-role/Platform/Carol"),
    ],
)
def test_who_asked_does_not_approve(requester: str, approver: str, records: Records) -> None:
    pending = waiting(ask(records, requester=requester))

    with pytest.raises(ApproverIsRequester, match="Somebody else has to approve"):
        decided(pending, approver)
    assert ask(records, requester=requester).standing == Standing.WAIT

    decided(pending, BOB)
    assert ask(records, requester=requester).standing == Standing.OPEN


def test_the_same_person_does_not_approve_twice(records: Records) -> None:
    pending = waiting(ask(records, requester=None))
    decided(pending, BOB)

    with pytest.raises(ApproverIsRequester):
        decided(pending, BOB.replace("/Platform/", "/Admin/"))

    assert ask(records, requester=None).standing == Standing.WAIT


def test_the_same_decision_again_changes_nothing_and_wakes_again(
    records: Records, approvals: Approvals, woken: list[str]
) -> None:
    pending = waiting(ask(records, requester=None))
    approvals.await_decision(pending, EXECUTION, "token")
    decided(pending, BOB)
    decided(pending, BOB)
    assert woken == []

    decided(pending, CAROL)
    decided(pending, CAROL)

    assert woken == ["token", "token"]
    gate = ask(records, requester=None)
    assert gate.pending
    assert len(gate.pending.approvals) == 2


def test_sessions_of_a_role_are_one_person_where_the_stack_says_so(records: Records) -> None:
    pending = waiting(ask(records))

    with pytest.raises(ApproverIsRequester):
        decided(pending, BOB, one_per_role=True)
    decided(pending, CAROL, one_per_role=True)

    assert ask(records).standing == Standing.OPEN


def test_one_refusal_ends_it_and_says_who_and_why(records: Records) -> None:
    pending = waiting(ask(records, requester=None))
    decided(pending, BOB)
    decided(pending, CAROL, "REFUSE", comment="Not this week")

    gate = ask(records, requester=None)

    (problem,) = gate.problems
    assert (gate.standing, problem["code"]) == (Standing.REFUSED, "APPROVAL_REFUSED")
    assert f"{CAROL} refused it: Not this week." in problem["message"]
    with pytest.raises(NotAwaited):
        decided(pending, ALICE)


def test_whoever_asked_may_refuse(records: Records) -> None:
    pending = waiting(ask(records))

    decided(pending, ALICE, "REFUSE")

    assert ask(records).standing == Standing.REFUSED


@walks("NotAwaited")
def test_what_nobody_approves_in_time_is_refused_and_asked_for_again(
    records: Records, clock: Clock, running: Executions
) -> None:
    pending = waiting(ask(records))
    clock.move(seconds=7 * 86_400)

    with pytest.raises(NotAwaited, match="is expired"):
        decided(pending)
    gate = ask(records)
    (problem,) = gate.problems
    assert (gate.standing, problem["code"]) == (Standing.REFUSED, "APPROVAL_EXPIRED")

    running.at[EXECUTION] = Progress.ENDED
    again = waiting(ask(records, execution=OTHER))
    assert again.approvals == []
    decided(again)
    assert ask(records, execution=OTHER).standing == Standing.OPEN


@walks("ContentChanged")
def test_an_approval_is_of_one_content_only(records: Records, running: Executions) -> None:
    before = waiting(ask(records))
    running.at[EXECUTION] = Progress.ENDED
    now = waiting(ask(records, execution=OTHER, onFailure="ROLL_BACK"))

    with pytest.raises(ContentChanged, match="GET /keys") as refused:
        decided(before)
    assert now.content_hash in str(refused.value)
    assert ask(records, execution=OTHER, onFailure="ROLL_BACK").standing == Standing.WAIT

    decided(now)
    assert ask(records, execution=OTHER, onFailure="ROLL_BACK").standing == Standing.OPEN


@pytest.mark.parametrize("fields", [{"alias": "alias/other"}, {"description": "x"}])
def test_other_content_is_a_conflict_while_an_execution_waits(
    fields: dict[str, Any], records: Records
) -> None:
    ask(records)

    for mode in ("none", "all"):
        with pytest.raises(RequestConflict, match="waits for approval with other content"):
            keeper(records, mode).pass_request(request_of(**fields), OTHER)


def test_approved_content_is_not_swapped_before_it_is_claimed(records: Records) -> None:
    decided(waiting(ask(records)))

    with pytest.raises(RequestConflict):
        ask(records, execution=OTHER, alias="alias/other")
    # Not even by the execution that waits: what it claims is what was approved.
    assert ask(records, onFailure="ROLL_BACK").standing == Standing.WAIT


def test_the_same_request_through_another_door_is_left_to_the_one_that_waits(
    records: Records,
) -> None:
    pending = waiting(ask(records))

    again = ask(records, requester=BOB, execution=OTHER)

    assert (again.standing, again.pending) == (Standing.TAKEN, pending)
    with pytest.raises(ApproverIsRequester):
        decided(pending, ALICE)


class Interrupted(Approvals):
    """Lets something happen right after the approval was read first."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__(client("dynamodb"), "requests")
        self._meanwhile: list[Callable[[], object]] = [meanwhile]

    def get(self, request_id: str) -> Pending | None:
        found = super().get(request_id)
        if self._meanwhile:
            self._meanwhile.pop()()
        return found


def test_a_question_that_another_execution_asked_meanwhile_keeps_its_decisions(
    records: Records, approvals: Approvals
) -> None:
    def other_asks() -> None:
        decided(waiting(ask(records, requester=None, execution=OTHER)))

    late = replace(keeper(records, requester=CAROL), approvals=Interrupted(other_asks))

    gate = late.pass_request(request_of(), EXECUTION)

    assert gate.standing == Standing.TAKEN
    kept = approvals.get("CHG1")
    assert kept
    assert kept.execution_arn == OTHER
    assert [one["approver"] for one in kept.approvals] == [BOB]


def test_a_cancellation_is_not_lost_to_an_execution_that_goes_on_for_one_that_died(
    records: Records, running: Executions
) -> None:
    waiting(ask(records))
    running.at[EXECUTION] = Progress.ENDED

    def cancel() -> None:
        assert cancelled(records)

    machine = executions.machine_of(EXECUTION)
    successor = executions.successor_arn(machine, "CHG1", EXECUTION)
    late = replace(keeper(records), approvals=Interrupted(cancel))

    with pytest.raises(Cancelled):
        late.pass_request(request_of(), successor)


CHANGES: list[Change] = [
    {
        "region": "eu-west-1",
        "property": "key",
        "from": "Enabled",
        "to": None,
        "call": "ScheduleKeyDeletion",
        "confirm": "REMOVE:eu-west-1",
        "reversible": "yes",
    }
]


def change(records: Records, mode: str, changes: list[Change] | None, **asked: Any) -> Gate:
    return keeper(records, mode, ALICE).pass_change(
        finished_sets.CHANGED,
        finished_sets.CHANGE_EXECUTION,
        changes,
        record=finished_sets.record_of(records),
        last_uses=dict,
        **asked,
    )


@pytest.mark.parametrize(
    ("mode", "word", "standing"),
    [
        ("hooks", "REMOVE:eu-west-1", Standing.OPEN),
        ("destructive", None, Standing.OPEN),
        ("destructive", "REMOVE:eu-west-1", Standing.WAIT),
        ("all", None, Standing.WAIT),
    ],
)
def test_a_change_waits_for_what_it_does(
    mode: str, word: str | None, standing: Standing, records: Records
) -> None:
    finished_sets.create(records)
    changes: list[Change] = [{**CHANGES[0], "confirm": word}]

    assert change(records, mode, changes).standing == standing
    assert change(records, mode, None) == Gate(Standing.OPEN)


def test_a_change_is_left_to_its_own_gate_unless_another_execution_waits(records: Records) -> None:
    finished_sets.create(records)
    request = finished_sets.CHANGED

    assert keeper(records).pass_request(request, EXECUTION) == Gate(Standing.OPEN)
    change(records, "all", CHANGES)

    assert keeper(records).pass_request(request, EXECUTION).standing == Standing.TAKEN


def test_a_change_that_does_less_is_approved_and_one_that_does_more_asks_anew(
    records: Records,
) -> None:
    finished_sets.create(records)
    decided(waiting(change(records, "all", CHANGES)))

    assert change(records, "all", []).standing == Standing.OPEN
    more: list[Change] = [*CHANGES, {**CHANGES[0], "property": "alias"}]
    again = waiting(change(records, "all", more))
    assert (again.approvals, again.requester) == ([], ALICE)


def test_a_question_about_what_another_execution_has_done_meanwhile_is_taken_back(
    records: Records, approvals: Approvals
) -> None:
    def other_ends() -> None:
        request = request_of()
        records.claim(request, OTHER)
        records.finish(request, execution_arn=OTHER, status=Status.FAILED, key=None, errors=[])
        records.mark_published("CHG1", OTHER)

    late = replace(keeper(records), approvals=Interrupted(other_ends))

    with pytest.raises(DependencyUnavailable, match="has changed while it was read"):
        late.pass_request(request_of(), EXECUTION)

    assert approvals.get("CHG1") is None


def test_an_execution_reads_again_within_the_hour_and_when_the_time_is_over(
    records: Records, clock: Clock
) -> None:
    pending = waiting(ask(records))

    assert seconds_to_wait(pending) == 3_600
    clock.move(seconds=7 * 86_400 - 60)
    assert seconds_to_wait(pending) == 61
    clock.move(seconds=120)
    assert seconds_to_wait(pending) == 1


def test_a_decision_is_asked_for_again_where_others_decide_all_the_time(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = waiting(ask(records))
    monkeypatch.setattr(Approvals, "decide", lambda *_: False)

    with pytest.raises(DependencyUnavailable, match="at the same moment"):
        decided(pending)


def test_an_approval_is_for_one_run(records: Records, running: Executions) -> None:
    decided(waiting(ask(records)))
    request = request_of()
    assert records.claim(request, EXECUTION)[0]
    records.finish(request, execution_arn=EXECUTION, status=Status.FAILED, key=None, errors=[])
    records.mark_published("CHG1", EXECUTION)
    running.at[EXECUTION] = Progress.ENDED

    # Also where the run died before it could forget it.
    assert waiting(ask(records, execution=OTHER)).approvals == []


def test_a_run_that_died_is_gone_on_with_under_its_approval(
    records: Records, running: Executions
) -> None:
    decided(waiting(ask(records)))
    running.at[EXECUTION] = Progress.ENDED

    gate = ask(records, requester=None, execution=OTHER)

    assert gate.standing == Standing.OPEN
    assert gate.pending
    assert (gate.pending.execution_arn, gate.pending.requester) == (OTHER, ALICE)


def test_a_refusal_that_was_not_published_is_published_by_the_successor_alone(
    records: Records, running: Executions
) -> None:
    decided(waiting(ask(records)), BOB, "REFUSE")
    running.at[EXECUTION] = Progress.ENDED
    machine = executions.machine_of(EXECUTION)
    successor = executions.successor_arn(machine, "CHG1", EXECUTION)

    assert ask(records, requester=None, execution=successor).standing == Standing.REFUSED
    running.at[successor] = Progress.ENDED
    assert ask(records, execution=OTHER).standing == Standing.WAIT


def test_the_question_is_published_once_and_wakes_where_it_is_decided(
    records: Records, approvals: Approvals, woken: list[str]
) -> None:
    ask(records, ticket={"system": "jira", "id": "OPS-1"}, replicas=[{"region": "eu-west-1"}])
    events = published_on(client("events"))

    def publish(token: str, execution: str = EXECUTION) -> None:
        ask_for_approval(
            "CHG1",
            execution,
            token,
            approvals=approvals,
            step_functions=client("stepfunctions"),
            events=client("events"),
            bus="keys",
        )

    publish("first")
    publish("second")
    assert woken == []
    ((source, kind, detail),) = events
    assert (source, kind) == ("mrk.provisioner", "Multi-Region Key Approval Required")
    pending = approvals.get("CHG1")
    assert pending
    assert detail["contentHash"] == pending.content_hash == hash_of(pending.content)
    assert (detail["requestId"], detail["revision"]) == ("CHG1", 1)
    assert (detail["requester"], detail["ticket"]) == (ALICE, {"system": "jira", "id": "OPS-1"})
    assert detail["until"] == pending.until
    assert [(row["region"], row["call"]) for row in detail["plan"]] == [
        ("us-east-1", "CreateKey"),
        ("eu-west-1", "ReplicateKey"),
    ]
    decided(pending)
    assert woken == ["second"]
    publish("third")
    assert woken == ["second", "third"]
    with pytest.raises(RequestTakenOver):
        publish("other", OTHER)


def test_a_request_that_waits_is_cancelled(
    records: Records, approvals: Approvals, woken: list[str]
) -> None:
    pending = waiting(ask(records))
    approvals.await_decision(pending, EXECUTION, "token")

    for _ in range(2):
        assert cancelled(records)

    assert woken == ["token", "token"]
    with pytest.raises(Cancelled):
        ask(records)
    with pytest.raises(NotAwaited):
        decided(pending)


@walks("AlreadyDecided")
def test_what_is_approved_is_cancelled_once_it_is_claimed(records: Records) -> None:
    decided(waiting(ask(records)))

    with pytest.raises(AlreadyDecided, match=r"is approved.* Send the DELETE again in a moment"):
        cancelled(records)

    assert records.claim(request_of(), EXECUTION)[0]
    # It does not wait any more: what is under way is cancelled by its record.
    assert cancelled(records) is None
    assert records.cancel("CHG1").cancelled_at


def test_what_is_refused_is_not_cancelled_before_the_refusal_is_published(
    records: Records, approvals: Approvals
) -> None:
    decided(waiting(ask(records)), BOB, "REFUSE")

    with pytest.raises(AlreadyDecided, match="is refused"):
        cancelled(records)

    approvals.forget("CHG1", EXECUTION)
    assert cancelled(records) is None


def test_an_approval_while_somebody_cancels_is_not_overlooked(
    records: Records, approvals: Approvals
) -> None:
    pending = waiting(ask(records))
    late = Interrupted(lambda: decided(pending))

    with pytest.raises(AlreadyDecided):
        cancelled(records, late)

    found = approvals.get("CHG1")
    assert found
    assert found.state == State.APPROVED


def test_a_question_that_is_forgotten_while_somebody_cancels_is_none(
    records: Records, approvals: Approvals
) -> None:
    waiting(ask(records))
    late = Interrupted(lambda: approvals.forget("CHG1", EXECUTION))

    assert cancelled(records, late) is None


def test_of_two_that_decide_at_once_both_count(records: Records, approvals: Approvals) -> None:
    pending = waiting(ask(records, requester=None))
    stale = replace(pending)
    decided(pending, BOB)

    # It is written only on what was read, so the second reads again.
    assert not approvals.decide(stale, [], State.APPROVED)
    decided(stale, CAROL)

    gate = ask(records, requester=None)
    assert gate.pending
    assert [one["approver"] for one in gate.pending.approvals] == [BOB, CAROL]


def test_nothing_waits_for_what_is_done_already(records: Records) -> None:
    request = request_of()
    records.claim(request, EXECUTION)
    key: Any = {"primary": {"arn": "arn"}}
    records.finish(request, execution_arn=EXECUTION, status=Status.CREATED, key=key, errors=[])
    records.mark_published("CHG1", EXECUTION)

    assert ask(records, execution=OTHER) == Gate(Standing.OPEN)


def test_a_lost_answer_of_the_table_is_recognised(records: Records, approvals: Approvals) -> None:
    pending = waiting(ask(records))

    assert approvals.ask(pending, seen=None)
    assert not approvals.ask(replace(pending, asked_at="2026-01-01T00:00:00+00:00"), seen=None)


def test_nobody_is_asked_for_what_cannot_be(records: Records) -> None:
    sent = calls_of(client("dynamodb"))
    answer(client("stepfunctions"), "DescribeExecution", {})
    records.claim(request_of(alias="alias/other"), OTHER)

    with pytest.raises(RequestConflict, match="under way with other content"):
        ask(records)

    assert [name for name, _ in sent if name == "PutItem"] == []


def test_a_cancellation_whose_answer_was_lost_wakes_all_the_same(
    records: Records, approvals: Approvals, woken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = waiting(ask(records))
    assert approvals.await_decision(pending, EXECUTION, "token")
    send = Approvals.cancel

    def sent_again_by_the_sdk(self: Approvals, pending: Pending) -> bool:
        send(self, pending)
        return send(self, pending)

    monkeypatch.setattr(Approvals, "cancel", sent_again_by_the_sdk)

    assert cancelled(records)
    assert woken == ["token"]
