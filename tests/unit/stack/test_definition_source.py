"""The source of the definition, and how it is rendered."""

import json
from pathlib import Path

import pytest
import yaml

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
    (tmp_path / "retries.yaml").write_text("x-common: {}\n")
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


def test_anchors_of_the_retries_are_known_in_every_source(folder: Path) -> None:
    (folder / "retries.yaml").write_text(
        "x-common: {once: &once {ErrorEquals: [States.Timeout]}}\n"
    )
    for name in ("one", "other"):
        (folder / f"{name}.yaml").write_text("States: {Ask: {Retry: [*once]}}\n")

    assert definition.main(["--write"]) == 0

    for name in ("one", "other"):
        rendered = json.loads((folder / f"{name}.asl.json").read_text())
        assert rendered["States"]["Ask"]["Retry"] == [{"ErrorEquals": ["States.Timeout"]}]
    assert not (folder / "retries.asl.json").exists()


@pytest.mark.parametrize("name", ["change_key_set", "provision_key"])
def test_a_definition_that_is_deployed_is_what_its_source_renders_to(name: str) -> None:
    source = definition.FOLDER / f"{name}.yaml"

    assert source in definition.sources()
    assert definition.render(definition.read(source)) == source.with_suffix(".asl.json").read_text()


def names(text: str, sign: str) -> set[str]:
    """Return the anchors (`&`) or the aliases (`*`) of a text of YAML."""
    kind = yaml.AnchorToken if sign == "&" else yaml.AliasToken
    return {token.value for token in yaml.scan(text) if isinstance(token, kind)}


@pytest.mark.parametrize("source", definition.sources(), ids=lambda path: path.stem)
def test_every_anchor_is_used_where_it_is_known(source: Path) -> None:
    retries = (definition.FOLDER / "retries.yaml").read_text()
    text = source.read_text()

    assert names(text, "&") <= names(text, "*")
    assert names(retries, "&") - names(retries, "*") <= names(text, "*")
    assert names(text, "&").isdisjoint(names(retries, "&"))
