"""The rules that let events about keys through say what the code reads."""

from collections.abc import Callable
from typing import Any

import pytest

from provisioner.upkeep.key_events import PATTERN
from tests.support.template import load_region_template, load_template


def rules(template: dict[str, Any]) -> list[Any]:
    resources = template["Resources"].values()
    found = [one["Properties"] for one in resources if one["Type"] == "AWS::Events::Rule"]
    return [one for one in found if one["EventPattern"].get("source") == ["aws.kms"]]


@pytest.mark.parametrize(("load", "count"), [(load_template, 2), (load_region_template, 1)])
def test_the_rules_of_every_region_let_the_same_events_through(
    load: Callable[[], dict[str, Any]], count: int
) -> None:
    found = [_as_events_write_it(rule["EventPattern"]) for rule in rules(load())]
    wanted = _as_events_write_it(PATTERN)
    assert found == [wanted] * count


def _as_events_write_it(pattern: Any) -> Any:
    if isinstance(pattern, dict):
        return {name: _as_events_write_it(value) for name, value in pattern.items()}
    return sorted(pattern, key=str)
