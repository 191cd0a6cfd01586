"""What exactly-once costs where nothing goes wrong: a creation with two replicas."""

from collections import Counter

from tests.support.faults.aws import Call
from tests.support.faults.scenario import REQUEST, Scenario

REPLICAS = len(REQUEST["replicas"])


def sent() -> list[Call]:
    """Return every call of a creation, those that go side by side as well."""
    scenario = Scenario()
    scenario.deliver()
    return scenario.network.sent


def test_kms_is_called_as_little_as_a_key_set_needs() -> None:
    calls = Counter((call.operation, call.is_read) for call in sent() if call.service == "kms")

    writes = {operation: times for (operation, is_read), times in calls.items() if not is_read}
    assert writes == {
        "CreateKey": 1,
        "ReplicateKey": REPLICAS,
        "CreateAlias": 1 + REPLICAS,
    }
    # Whether each alias is free, side by side; each replica once, and the finished key set.
    assert {o: n for (o, is_read), n in calls.items() if is_read} == {
        "DescribeKey": 1 + REPLICAS + REPLICAS + 1
    }


def test_the_workflow_makes_no_more_transitions_than_a_key_set_needs() -> None:
    transitions = Scenario().play().aws.transitions

    # Six up to both branches, two in them, three for each replica, and three to the end. Step
    # Functions charges for the start as well.
    assert transitions == 11 + 3 * REPLICAS


def test_a_key_that_is_alone_is_not_read_back() -> None:
    scenario = Scenario(document={**REQUEST, "replicas": []})
    scenario.deliver()

    kms = [c.operation for c in scenario.network.sent if c.service == "kms"]
    assert kms == ["DescribeKey", "CreateKey", "CreateAlias"]
    assert scenario.aws.transitions == 10
    key = scenario.aws.events[-1].detail["key"]
    assert key["keyMetadata"]["Arn"] == key["primary"]["arn"]


def test_dynamodb_is_called_ten_times() -> None:
    calls = Counter(c.operation for c in Scenario().play().calls if c.service == "dynamodb")

    # Whether it waits for approval, claim, read, announce, close, finish, keep the outcome, mark
    # published; and Powertools' two around the last.
    assert calls == {"UpdateItem": 7, "GetItem": 2, "PutItem": 1}


def test_nothing_else_is_called_but_the_tagging_api_once_and_the_event_bus_once() -> None:
    calls = Scenario().play().calls

    others = [c.operation for c in calls if c.service not in ("kms", "dynamodb")]
    # Whether an earlier deployment made the key; the outcome.
    assert others == ["GetResources", "PutEvents"]


def test_a_request_that_is_sent_again_writes_nothing_and_tells_nothing() -> None:
    scenario = Scenario()
    scenario.deliver()
    events, before = list(scenario.aws.events), len(scenario.network.calls)
    table = {key: dict(item) for key, item in scenario.aws.dynamodb.tables["requests"].items()}

    scenario.deliver()

    # Whether it waits for approval; the claim that is refused already shows the record.
    assert [str(call) for call in scenario.network.calls[before:]] == [
        "dynamodb GetItem in us-east-1",
        "dynamodb UpdateItem in us-east-1",
    ]
    assert scenario.aws.events == events
    assert scenario.aws.dynamodb.tables["requests"] == table


def test_other_content_under_the_same_id_is_refused_and_touches_nothing() -> None:
    scenario = Scenario()
    scenario.deliver()
    before = len(scenario.network.calls)
    table = {key: dict(item) for key, item in scenario.aws.dynamodb.tables["requests"].items()}

    scenario.run(scenario.aws.new_execution({**REQUEST, "description": "Something else"}))

    assert {c.service for c in scenario.network.calls[before:]} == {"dynamodb", "events"}
    assert scenario.aws.dynamodb.tables["requests"] == table
    assert scenario.aws.events[-1].detail["errors"][0]["code"] == "REQUEST_CONFLICT"
