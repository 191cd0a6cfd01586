"""What a nested stack does not change keeps its attributes, as in CloudFormation."""

import pytest
from ministack.services.cloudformation import _stacks

from local.emulator.nested_stacks import update_resource

ALARM = "AWS::CloudWatch::Alarm"


def test_an_unchanged_resource_keeps_its_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"ExecutionsFailedAlarm": {"Attributes": {"Arn": "arn:of-the-alarm"}}}
    monkeypatch.setitem(_stacks, "nested", {"_resources": known})
    properties = {"MetricName": "ExecutionsFailed"}

    updated = update_resource(
        ALARM, "alarm", properties, properties, "nested", "ExecutionsFailedAlarm"
    )

    assert updated == ("alarm", {"Arn": "arn:of-the-alarm"})
