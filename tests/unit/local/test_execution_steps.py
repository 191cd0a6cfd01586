"""The steps of an execution, read from histories as AWS and the emulator write them."""

import json
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Any

from local.commands.execution_steps import Steps, humanised
from local.emulator.event_chain import chaining
from local.progress import Line

START = datetime(2026, 11, 26, tzinfo=UTC)
INVOKE = "arn:aws:states:::lambda:invoke"


class History:
    """A history that grows; each event names the one before it, as in AWS."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def add(self, kind: str, previous: int, seconds: float, **details: Any) -> int:
        self.events.append(
            {
                "id": len(self.events) + 1,
                "previousEventId": previous,
                "type": kind,
                "timestamp": START + timedelta(seconds=seconds),
                **details,
            }
        )
        return len(self.events)

    def enter(
        self, name: str, previous: int, seconds: float, given: Any = None, kind: str = "Task"
    ) -> int:
        entered = {"name": name, "input": json.dumps(given)}
        return self.add(f"{kind}StateEntered", previous, seconds, stateEnteredEventDetails=entered)

    def exit(
        self, name: str, previous: int, seconds: float, output: Any = None, kind: str = "Task"
    ) -> int:
        exited = {"name": name, "output": json.dumps(output)}
        return self.add(f"{kind}StateExited", previous, seconds, stateExitedEventDetails=exited)

    def schedule(self, previous: int, seconds: float, resource: str = INVOKE) -> int:
        scheduled = {"resource": resource}
        return self.add("TaskScheduled", previous, seconds, taskScheduledEventDetails=scheduled)

    def fail(self, previous: int, seconds: float, error: str) -> int:
        failed = {"error": error, "cause": "..."}
        return self.add("TaskFailed", previous, seconds, taskFailedEventDetails=failed)

    @property
    def lines(self) -> list[Line]:
        return Steps(self.events).lines


def at(seconds: float) -> float:
    return (START + timedelta(seconds=seconds)).timestamp()


def test_a_states_name_is_written_in_words() -> None:
    assert humanised("CreateReplicaKey") == "Create replica key"
    assert humanised("Claim") == "Claim"


def test_states_that_decide_or_hold_others_are_no_steps() -> None:
    history = History()
    last = history.add("ExecutionStarted", 0, 0)
    for kind in ("Choice", "Map", "Parallel", "Pass", "Succeed", "Fail"):
        last = history.enter("Anything", last, 0, kind=kind)
        last = history.exit("Anything", last, 0, kind=kind)

    assert history.lines == []


def test_the_region_is_that_of_the_input_or_of_the_keys_facts_or_what_comes_of_it() -> None:
    history = History()
    for given, output in (
        ({"region": "eu-west-1"}, None),
        ({"key": {"region": "eu-west-2"}}, None),
        ({"work": {"region": "eu-west-3", "kind": "SETTINGS"}}, None),
        ({"key": None}, {"key": {"region": "us-east-1"}}),
        ([], {"region": "us-east-2"}),
        ({"region": 1}, "nothing"),
    ):
        entered = history.enter(f"Step{len(history.events)}", 0, 0, given)
        history.exit(f"Step{entered - 1}", entered, 0, output)

    regions = [line.region for line in history.lines]
    assert regions == ["eu-west-1", "eu-west-2", "eu-west-3", "us-east-1", "us-east-2", ""]


def test_what_runs_has_begun_and_not_ended() -> None:
    history = History()
    history.schedule(history.enter("CreatePrimaryKey", 0, 1), 1)

    (line,) = history.lines

    assert line.seconds(at(3.5)) == 2.5
    assert line.since == at(1)


def test_steps_side_by_side_end_each_by_itself() -> None:
    history = History()
    held = history.enter("CreateReplicaKeys", 0, 0, kind="Map")
    one = history.enter("CreateReplicaKey", held, 0, {"region": "eu-west-1"})
    two = history.enter("CreateReplicaKey", held, 0, {"region": "us-west-2"})
    one, two = history.schedule(one, 0), history.schedule(two, 0)
    one = history.fail(one, 2, "KmsAccessDenied")
    two = history.add("TaskSucceeded", two, 3)
    history.exit("CreateReplicaKey", two, 3)
    history.exit("CreateReplicaKey", one, 4)

    first, second = history.lines

    assert (first.region, first.failed, first.note) == ("eu-west-1", True, "KmsAccessDenied")
    assert (second.region, second.failed, second.note) == ("us-west-2", False, "")
    assert (first.seconds(at(9)), second.seconds(at(9))) == (4, 3)


def test_a_retry_says_after_what_and_how_often() -> None:
    history = History()
    last = history.schedule(history.enter("CreatePrimaryKey", 0, 0), 0)
    for _ in range(2):
        last = history.schedule(history.fail(last, 1, "KmsThrottled"), 2)
    (trying,) = history.lines
    last = history.add("TaskSucceeded", last, 3)
    history.exit("CreatePrimaryKey", last, 3)
    (done,) = history.lines

    assert (trying.failed, trying.note) == (False, "tries again after KmsThrottled")
    assert (done.failed, done.note, done.since) == (False, "after 2 retries", None)


def test_a_step_that_is_entered_again_is_one_line() -> None:
    history = History()
    last = 0
    for second in (0, 10):
        last = history.fail(history.enter("Reconcile", last, second), second + 1, "KmsThrottled")
        last = history.exit("Reconcile", last, second + 1)
    last = history.add("TaskSucceeded", history.enter("Reconcile", last, 20), 21)
    history.exit("Reconcile", last, 21)

    (line,) = history.lines

    assert (line.times, line.seconds(at(30)), line.failed, line.note) == (3, 3, False, "")


def test_an_execution_that_ends_ends_what_runs() -> None:
    history = History()
    last = history.schedule(history.enter("CreatePrimaryKey", 0, 0), 0)
    history.add("ExecutionAborted", last, 5)

    (line,) = history.lines

    assert (line.failed, line.note, line.since) == (True, "aborted", None)


def test_a_step_that_waits_for_an_answer_is_known_by_its_task() -> None:
    history = History()
    asked = history.schedule(history.enter("Ask", 0, 0), 0, f"{INVOKE}.waitForTaskToken")
    waiting = Steps(history.events).waits_for_answer
    history.exit("Ask", asked, 1)

    assert waiting
    assert not Steps(history.events).waits_for_answer


def test_the_execution_that_another_one_has_started_is_known() -> None:
    history, arn = History(), "arn:aws:states:us-east-1:111122223333:execution:change-key-set:name"
    state = history.enter("StartChange", 0, 1)
    assert Steps(history.events).started is None

    for resource in ("startExecution", "arn:aws:states:::states:startExecution"):
        scheduled = history.schedule(state, 1, resource)
        succeeded = {"resource": resource, "output": json.dumps({"ExecutionArn": arn})}
        history.add("TaskSucceeded", scheduled, 2, taskSucceededEventDetails=succeeded)
        assert Steps(history.events).started == arn
        history.events.pop()


def test_the_emulator_says_what_came_before_each_event() -> None:
    def emulators(execution: dict[str, Any], kind: str, details: Any) -> dict[str, Any]:
        event = {"id": len(execution["events"]) + 1, "type": kind, **details}
        execution["events"].append(event)
        return event

    execution: dict[str, Any] = {"executionArn": "arn:one", "events": [{"id": 1}]}
    add = chaining(emulators)

    def items() -> None:
        add(execution, "MapStateEntered", {"name": "Map"})
        lanes = [copy_context(), copy_context()]
        for kind in ("TaskStateEntered", "TaskFailed"):
            for lane in lanes:
                lane.run(add, execution, kind)
        add(execution, "MapStateExited")

    copy_context().run(items)

    chain = [event["previousEventId"] for event in execution["events"][1:]]
    assert chain == [1, 2, 2, 3, 4, 2]
    assert execution["events"][1]["name"] == "Map"
