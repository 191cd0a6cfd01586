"""The definition of a batch against the code, the template and the sample events."""

import itertools
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonata.jsonata import Jsonata

from provisioner.batch.lines import PlannedLine
from provisioner.batch.report import Batch, report_batch
from provisioner.clock import instant_text
from tests.support.clock import Clock
from tests.support.event_fields import fields_declared_by, fields_read_by
from tests.support.raised_errors import errors_of_handler
from tests.support.retriers import LAMBDA_ERRORS_TO_RETRY, TOO_MANY, least_seconds
from tests.support.template import load_template

TEXT = Path("statemachine/provision_batch.asl.json").read_text()
DEFINITION: dict[str, Any] = json.loads(TEXT)
RESOURCES = load_template()["Resources"]


def machines(machine: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return a state machine and all that are in its states."""
    yield machine
    for state in machine["States"].values():
        for inner in [*state.get("Branches", []), *filter(None, [state.get("ItemProcessor")])]:
            yield from machines(inner)


STATES = {name: state for m in machines(DEFINITION) for name, state in m["States"].items()}
STEPS = {
    "ReadBatch": "read_batch",
    "StartRequests": "start_requests",
    "ReportBatch": "report_batch",
}


def named(rules: list[dict[str, Any]]) -> set[str]:
    names = {name for rule in rules for name in rule["ErrorEquals"]}
    return {name for name in names if "." not in name}


def test_a_step_handles_exactly_the_errors_that_its_function_raises() -> None:
    read, run = STATES["ReadBatch"], STATES["RunBatch"]

    assert named(read["Retry"] + read["Catch"]) == errors_of_handler("read_batch")
    assert named(run["Catch"]) == errors_of_handler("report_batch")
    assert named(STATES["ReportBatch"]["Retry"]) == {"DependencyUnavailable"}
    assert named(STATES["StartRequests"]["Retry"]) == errors_of_handler("start_requests")


@pytest.mark.parametrize("name", STEPS)
def test_a_step_retries_what_aws_says_to_retry_of_lambda(name: str) -> None:
    retried = {error for rule in STATES[name]["Retry"] for error in rule["ErrorEquals"]}

    assert retried > LAMBDA_ERRORS_TO_RETRY
    assert least_seconds(STATES[name], TOO_MANY) >= 600


@pytest.mark.parametrize("name", ["ReadBatch", "RunBatch"])
def test_whatever_ends_a_batch_is_told(name: str) -> None:
    last = STATES[name]["Catch"][-1]

    assert (last["ErrorEquals"], last["Next"]) == (["States.ALL"], "BatchFailed")


def test_a_turn_that_cannot_be_taken_leaves_the_others_alone() -> None:
    assert STATES["TakeTurns"]["ToleratedFailurePercentage"] == 100


@pytest.mark.parametrize("name", STEPS)
def test_a_step_outlives_its_function(name: str) -> None:
    function = RESOURCES[f"{name}Function"]["Properties"]

    assert function["Handler"] == f"{STEPS[name]}.app.handler"
    assert STATES[name]["TimeoutSeconds"] > function["Timeout"]


@pytest.mark.parametrize("name", STEPS)
def test_a_payload_is_what_its_function_reads(name: str) -> None:
    read = fields_read_by(STEPS[name])
    sample = json.loads(Path(f"events/{STEPS[name].replace('_', '-')}.json").read_text())

    assert STATES[name]["Arguments"]["Payload"].keys() == read == sample.keys()
    assert fields_declared_by(STEPS[name]) == read


def test_what_is_handed_on_is_a_planned_batch() -> None:
    sample = json.loads(Path("events/report-batch.json").read_text())["batch"]
    used = set(re.findall(r"\$batch\.(\w+)", TEXT))

    assert used < Batch.__annotations__.keys() == sample.keys()


def test_every_substitution_is_defined_and_used() -> None:
    machine = RESOURCES["ProvisionBatch"]["Properties"]

    assert set(re.findall(r"\$\{(\w+)\}", TEXT)) == machine["DefinitionSubstitutions"].keys()


def test_every_state_is_reached_from_the_start() -> None:
    for machine in machines(DEFINITION):
        reached, coming = set(), [machine["StartAt"]]
        while coming:
            name = coming.pop()
            if name not in reached:
                reached.add(name)
                state = machine["States"][name]
                ways = [state, *state.get("Choices", []), *state.get("Catch", [])]
                coming += [way[to] for way in ways for to in ("Next", "Default") if to in way]
        assert reached == machine["States"].keys()


def test_every_expression_is_jsonata() -> None:
    expressions = re.findall(r'"\{%(.*?)%\}"', TEXT)

    assert len(expressions) == TEXT.count("{%") == TEXT.count("%}")
    for expression in expressions:
        Jsonata(json.loads(f'"{expression}"'))


MOST_EVENTS = 25_000
WEEK, YEAR = timedelta(days=7), timedelta(days=365)
EVENTS = {"Task": 5, "Choice": 2, "Wait": 2}
"""Entered, exited, and of a task scheduled, started and succeeded or failed.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
"""


def round_from(start: str, *states: str) -> int:
    """Count the events of a way through these states that leads back to its start."""
    for name, following in itertools.pairwise((start, *states, start)):
        state = STATES[name]
        ways = [state, *state.get("Choices", []), *state.get("Catch", [])]
        assert following in {way.get(to) for way in ways for to in ("Next", "Default")}
    return sum(EVENTS[STATES[name]["Type"]] for name in (start, *states))


def seconds_of(name: str, started: datetime, entered: datetime) -> int:
    """Evaluate how long a state waits."""
    expression = STATES[name]["Seconds"].removeprefix("{%").removesuffix("%}")
    times = {"Execution": {"StartTime": instant_text(started)}, "State": {}}
    times["State"] = {"EnteredTime": instant_text(entered)}
    found = Jsonata(expression).evaluate(None, {"states": {"context": times}})
    assert float(found).is_integer()
    return int(found)


def events_while_another_runs(span: timedelta) -> int:
    events, started = 0, datetime.now(UTC)
    now = started
    while now - started < span:
        now += timedelta(seconds=seconds_of("WaitForOtherBatch", started, now))
        events += round_from("ReadBatch", "WaitForOtherBatch")
    return events


def events_while_requests_run(span: timedelta, clock: Clock) -> int:
    events, started = 0, clock.time
    batch: Batch = {
        "name": "monday",
        "file": "a.jsonl",
        "folder": "batches/monday",
        "startedAt": instant_text(started),
        "lastStart": instant_text(started + span),
        "toStart": 1,
    }
    waiting = PlannedLine(1, "CHG1", "content", [], "execution", [])
    nothing: Any = SimpleNamespace(get_many=lambda _: [])
    while clock.time - started < span:
        report = report_batch(
            batch, [waiting], records=nothing, approvals=nothing, state_machine_arn="arn"
        )
        assert not report.settled
        clock.move(seconds=report.wait_seconds)
        events += round_from("ReportBatch", "IsBatchSettled", "WaitForRequests")
    return events


def test_a_week_of_waiting_leaves_half_of_the_history(clock: Clock) -> None:
    assert events_while_another_runs(WEEK) < MOST_EVENTS / 20
    assert events_while_requests_run(WEEK, clock) < MOST_EVENTS / 2


def test_a_batch_can_wait_as_long_as_an_execution_can_run(clock: Clock) -> None:
    # Another batch first, and then its own requests.
    ways = events_while_another_runs(YEAR), events_while_requests_run(YEAR, clock)

    assert sum(ways) < MOST_EVENTS


def test_a_batch_notices_what_it_waits_for_within_a_twentieth_of_the_time() -> None:
    started = datetime.now(UTC)

    waits = [
        seconds_of("WaitForOtherBatch", started, started + timedelta(minutes=minutes))
        for minutes in (0, 20, 60, 7 * 24 * 60)
    ]

    assert waits == [60, 60, 180, 30_240]
