"""What the real KMS was seen to answer, and how a KMS is held against it.

`kms_observed.json` holds the rows and says where they are from.
"""

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

from tests.support.stack.kms_arrangement import (
    PRIMARY_REGION,
    REPLICA_REGION,
    SERVICE_LINKED_ROLE,
    Arrangement,
)

Row = dict[str, Any]

ROWS: list[Row] = json.loads(Path(__file__).with_name("kms_observed.json").read_text())["rows"]

_NAMED_VALUE = re.compile(r"\{(\w+)\}")
_FROM_NOW = re.compile(r"now \+ (\d+) days")
_FROM_DELETION = re.compile(r"\{replicaDeletion\} \+ ([\d.]+) seconds")
_TOLERANCE = dt.timedelta(seconds=60)


def assert_answers_as_kms_did(
    arrangement: Arrangement, row: Row, parameters: dict[str, Any]
) -> None:
    """Make the call of a row, and compare what is answered, and what is there afterwards."""
    for step in row.get("arrange", []):
        arrangement.take(step)
    region = row["region"]
    values = arrangement.named_values(region) | {
        name: value for name, value in parameters.items() if isinstance(value, str)
    }
    values["number"] = values.get("KeySpec", "").rpartition("_")[2]
    if "Policy" in parameters:
        values["policy"] = arrangement.kms(region).get_key_policy(KeyId=values["arn"])["Policy"]
    given = {name: filled(value, values) for name, value in parameters.items()}
    if "ValidTo" in given:
        given["ValidTo"] = moment(given["ValidTo"], arrangement)

    client = arrangement.emulator.client(row.get("service", "kms"), region)
    code, message, answer = call(client, row["call"], given)

    expected_message = filled(row["message"], values) if "message" in row else message
    assert (code, message) == (row["code"], expected_message)
    for name, expected in row.get("result", {}).items():
        assert_value(name, field_of(answer, name), filled(expected, values), arrangement)
    for name in row.get("absent", []):
        assert field_of(answer, name) is None, name
    for place, fields in row.get("then", {}).items():
        seen = look(arrangement, place)
        for name, expected in fields.items():
            assert_value(name, field_of(seen, name), filled(expected, values), arrangement)


def call(
    client: Any, operation: str, parameters: dict[str, Any]
) -> tuple[str, str, dict[str, Any]]:
    """Make a call; give its code, message and the part of the answer that is about the key."""
    try:
        answer = getattr(client, xform_name(operation))(**parameters)
    except ClientError as error:
        refused = error.response["Error"]
        return refused["Code"], refused["Message"], {}
    return "Success", "", answer.get("KeyMetadata", answer.get("ReplicaKeyMetadata", answer))


def filled(value: Any, values: dict[str, Any]) -> Any:
    """Put the arrangement's values in the place of the names in braces."""
    if isinstance(value, list):
        return [filled(item, values) for item in value]
    if not isinstance(value, str) or _FROM_DELETION.fullmatch(value):
        return value
    whole = _NAMED_VALUE.fullmatch(value)
    if whole:
        return values[whole[1]]
    return _NAMED_VALUE.sub(lambda found: str(values[found[1]]), value)


def field_of(answer: Any, name: str) -> Any:
    """Return the field of an answer, by its dotted name; a Region stands for a replica."""
    found = answer
    for part in name.split("."):
        found = dict(enumerate(found)) if isinstance(found, list) else found
        found = found.get(int(part) if part.isdigit() else part)
        if found is None:
            return None
    if name.endswith(".ReplicaKeys"):
        return [replica["Region"] for replica in found]
    return found


def assert_value(name: str, found: Any, expected: Any, arrangement: Arrangement) -> None:
    """Compare a field with what a row says of it."""
    if expected == "*":
        assert found, name
    elif expected == "mrk-*":
        assert found.startswith("mrk-")
    elif isinstance(expected, str) and _FROM_NOW.fullmatch(expected):
        assert abs(found - moment(expected, arrangement)) < 2 * _TOLERANCE, name
    elif isinstance(expected, str) and (seconds := _FROM_DELETION.fullmatch(expected)):
        expected = arrangement.values["replicaDeletion"] + dt.timedelta(seconds=float(seconds[1]))
        assert abs(found - expected) < _TOLERANCE, name
    else:
        assert found == expected, name


def moment(text: str, arrangement: Arrangement) -> dt.datetime:
    """Return the time that is some days from now on KMS's clock."""
    days = _FROM_NOW.fullmatch(text)
    assert days, text
    return arrangement.now() + dt.timedelta(days=int(days[1]))


def look(arrangement: Arrangement, place: str) -> dict[Any, Any]:
    """Read a Region's key, or what else a row's `then` names."""
    if place.endswith("history"):
        region = REPLICA_REGION if place.startswith("replica") else PRIMARY_REGION
        return dict(
            arrangement.kms(region).list_key_rotations(
                KeyId=arrangement.key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL"
            )
        )
    if place == "policies":
        iam = arrangement.emulator.client("iam")
        return dict(iam.list_attached_role_policies(RoleName=SERVICE_LINKED_ROLE))
    if place == "polls":
        return dict(enumerate(arrangement.values["polls"]))
    if place == "rotation":
        status = arrangement.kms().get_key_rotation_status(KeyId=arrangement.key_id)
        return dict(status)
    described = arrangement.kms(place).describe_key(KeyId=arrangement.key_id)
    return dict(described["KeyMetadata"])
