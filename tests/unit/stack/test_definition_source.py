"""The source of the definition, and how it is rendered."""

import json
from pathlib import Path

import pytest

from checks import definition

SOURCE = """
x-retry:
  slowly: &slowly {ErrorEquals: [KmsThrottled], IntervalSeconds: 60}
  quickly: &quickly {ErrorEquals: [KmsUnavailable], IntervalSeconds: 1}
  both: &both [*slowly, *quickly]
StartAt: Ask
States:
  Ask: {Type: Task, Retry: [*both, *slowly], Output: "{% 'Schlüssel' %}"}
"""
SLOWLY = {"ErrorEquals": ["KmsThrottled"], "IntervalSeconds": 60}
QUICKLY = {"ErrorEquals": ["KmsUnavailable"], "IntervalSeconds": 1}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(definition, "FOLDER", tmp_path)
    (tmp_path / "machine.yaml").write_text(SOURCE)
    return tmp_path


def test_policies_stand_where_they_are_named_and_nowhere_else() -> None:
    rendered = json.loads(definition.render(SOURCE))

    assert rendered.keys() == {"StartAt", "States"}
    assert rendered["States"]["Ask"]["Retry"] == [SLOWLY, QUICKLY, SLOWLY]


def test_text_is_rendered_as_it_is_written() -> None:
    assert "{% 'Schlüssel' %}" in definition.render(SOURCE)


def test_a_definition_that_was_not_rendered_again_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert definition.main([]) == 1
    assert definition.main(["--write"]) == 0
    assert definition.main([]) == 0

    (folder / "machine.yaml").write_text(SOURCE.replace("60", "61"))

    assert definition.main([]) == 1
    assert "run 'make definition'" in capsys.readouterr().err


def test_the_definition_that_is_deployed_has_a_source() -> None:
    source = definition.FOLDER / "provision_key.yaml"

    assert definition.render(source.read_text()) == source.with_suffix(".asl.json").read_text()
