"""New key material goes into the primary key first, then into the replica keys, each time anew."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from provisioner.aws.records import Status
from provisioner.domain.change import ObservedSet
from provisioner.domain.operation import Operation
from provisioner.domain.plan import arn_in
from provisioner.errors import Cancelled, KeySetIncomplete, OperationRefused
from provisioner.operation import new_material
from provisioner.operation.new_material import NewMaterial, import_new_key_material
from provisioner.operation.rotation import mark_of
from provisioner.operation.rotation_waves import rotation_waves
from tests.support.faults.aws import Call
from tests.support.faults.holder import wrapped_for
from tests.support.faults.key_material import Materials
from tests.support.key_sets import REQUEST, KeySet
from tests.support.samples import SETTINGS

ME = "arn:aws:states:us-east-1:111122223333:execution:mrk-change-key-set:me"
HOME, EUROPE, WEST = REGIONS = ("us-east-1", "eu-west-1", "us-west-2")
OLD, NEW, OTHER = b"old material", b"new material", b"something else"
VALID_TO = "2027-06-01T00:00:00Z"
WANTED = {
    "expires": False,
    "validTo": None,
    "wrappingAlgorithm": "RSAES_OAEP_SHA_256",
    "wrappingKeySpec": "RSA_4096",
    "deadlineInDays": 7,
}
DECLARED: dict[str, Any] = {**REQUEST, "origin": "EXTERNAL", "keyMaterial": WANTED}


class Hidden(KeySet):
    """A set with imported material whose KMS may list key material late.

    `late` says, by Region, how often ListKeyRotations returns what it did before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.late: dict[str, int] = {}
        self._before: dict[str, Any] = {}
        for region in REGIONS:
            key = self.key(region)
            key.facts["origin"], key.material = "EXTERNAL", OLD
        self.aws.kms.materials[self.key(HOME).key_id] = OLD
        self.cancelled_at: datetime | None = None

    def carry(self, call: Call, effect: Callable[[], Any]) -> Any:
        answer = super().carry(call, effect)
        if call.operation != "ListKeyRotations":
            return answer
        if self.late.get(call.region):
            self.late[call.region] -= 1
            return self._before.get(call.region, {"Rotations": []})
        self._before[call.region] = answer
        return answer

    @property
    def materials(self) -> Materials:
        return self.aws.kms.materials_of(self.key(HOME))

    def get(self, request_id: str) -> Any:
        """Return the record, as the requests table would."""
        return SimpleNamespace(
            request_id=request_id,
            execution_arn=ME,
            status=Status.WAITING_FOR_MATERIAL,
            revision=1,
            cancelled_at=self.cancelled_at,
        )

    def imports(self) -> list[str]:
        return [call.removeprefix("ImportKeyMaterial ") for call in self.writes()]


@pytest.fixture
def key_set(monkeypatch: pytest.MonkeyPatch) -> Hidden:
    key_set = Hidden()
    monkeypatch.setattr(new_material, "now", lambda: datetime.fromtimestamp(key_set.aws.time, UTC))
    return key_set


def look(
    key_set: Hidden, answers: list[Any], operation_id: str = "op-1", **more: Any
) -> NewMaterial:
    request, records = {**DECLARED, **more}, key_set
    return import_new_key_material(
        *(request, operation_id, ME),  # type: ignore[arg-type]
        [{"region": one, "arn": arn_in(one, key_set.arn), "calls": {}} for one in REGIONS],
        answers,
        records=records,  # type: ignore[arg-type]
        kms_for=key_set.kms_for,
        settings=SETTINGS,
    )


def given(state: NewMaterial, material: bytes = NEW, *regions: str) -> list[Any]:
    """Answer for the Regions that are asked for, or for some."""
    asked: list[Any] = [*state["materials"]]
    return [wrapped_for(one, material) for one in asked if one["region"] in (regions or REGIONS)]


def asked_in(state: NewMaterial) -> list[str]:
    return [one["region"] for one in state["materials"]]


def codes(problems: list[Any]) -> list[str]:
    return [problem["code"] for problem in problems]


def test_all_regions_are_asked_for_at_once_and_imported_in_order(key_set: Hidden) -> None:
    state = look(key_set, [])

    assert asked_in(state) == [*REGIONS]
    assert (state["problems"], codes(state["warnings"])) == ([], ["ROTATION_IS_FINAL"])
    done = look(key_set, given(state))
    assert done == {"materials": [], "problems": [], "warnings": []}
    assert key_set.imports() == [*REGIONS]
    assert look(key_set, given(state)) == done
    assert key_set.imports() == [*REGIONS]
    [_, new] = key_set.materials.all
    assert (new.secret, new.state, new.description) == (
        NEW,
        "PENDING_ROTATION",
        "mrk:CHG0031337/op-1",
    )


def test_a_region_that_was_not_answered_for_is_asked_for_alone(key_set: Hidden) -> None:
    state = look(key_set, [])

    state = look(key_set, given(state, NEW, HOME, WEST))

    assert asked_in(state) == [EUROPE]
    assert look(key_set, given(state))["materials"] == []


def test_nothing_goes_into_a_replica_before_the_primary_has_it(key_set: Hidden) -> None:
    state = look(key_set, given(look(key_set, []), NEW, EUROPE, WEST))

    assert asked_in(state) == [*REGIONS]
    assert key_set.writes() == []


def test_material_that_the_set_has_is_no_new_one(key_set: Hidden) -> None:
    state = look(key_set, given(look(key_set, []), OLD))

    assert codes(state["problems"]) == ["INCORRECT_KEY_MATERIAL"]
    assert "waits for a rotation" not in state["problems"][0]["message"]
    assert asked_in(state) == [*REGIONS]


def test_a_replica_takes_no_other_material_than_the_primary(key_set: Hidden) -> None:
    asked = look(key_set, [])
    answers = [*given(asked, NEW, HOME), *given(asked, OTHER, EUROPE), *given(asked, NEW, WEST)]

    state = look(key_set, answers)

    assert asked_in(state) == [EUROPE]
    assert [(one["path"], one["code"]) for one in state["problems"]] == [
        ("replicas[0].region", "INCORRECT_KEY_MATERIAL")
    ]


def test_material_that_is_not_wrapped_as_asked_is_asked_for_again(key_set: Hidden) -> None:
    [one, *others] = given(look(key_set, []))
    broken = {**one, "encryptedKeyMaterial": base64.b64encode(b"?").decode()}

    state = look(key_set, [broken, *others])

    assert codes(state["problems"]) == ["KEY_MATERIAL_UNREADABLE"]
    assert asked_in(state) == [*REGIONS]


def test_material_of_another_operation_is_given_again_and_becomes_this_ones(
    key_set: Hidden,
) -> None:
    look(key_set, given(look(key_set, [])))

    state = look(key_set, [], "op-2")
    assert codes(state["warnings"]) == ["ROTATION_IS_FINAL", "OTHER_MATERIAL_STAGED"]
    # The replicas are asked for as well, since it may be other material in the end.
    assert asked_in(state) == [*REGIONS]
    wrong = look(key_set, given(state, OTHER), "op-2")
    assert codes(wrong["problems"]) == ["INCORRECT_KEY_MATERIAL"]
    assert "aws kms delete-imported-key-material" in wrong["problems"][0]["message"]

    assert look(key_set, given(state), "op-2")["materials"] == []
    assert key_set.materials.all[1].description == mark_of("CHG0031337", "op-2")
    assert len(key_set.materials.all) == 2


def test_material_that_somebody_has_rotated_to_is_nothing_to_ask_for(key_set: Hidden) -> None:
    look(key_set, given(look(key_set, [])))
    key_set.materials.rotate(key_set.aws.time, "ON_DEMAND")

    assert look(key_set, []) == {"materials": [], "problems": [], "warnings": []}


def test_material_that_has_expired_while_it_waits_is_asked_for_again(key_set: Hidden) -> None:
    expiring: dict[str, Any] = {"keyMaterial": {**WANTED, "expires": True, "validTo": VALID_TO}}
    state = look(key_set, [], **expiring)
    assert codes(state["warnings"]) == ["ROTATION_IS_FINAL", "NEW_MATERIAL_EXPIRES"]
    assert look(key_set, given(state), **expiring)["materials"] == []

    key_set.aws.time = datetime.fromisoformat(VALID_TO).timestamp() + 1

    assert asked_in(look(key_set, [], **expiring)) == [*REGIONS]


@pytest.mark.parametrize(
    ("region", "calls", "text"),
    [
        (HOME, (2, 1), "the new key material of .*:us-east-1:"),
        (EUROPE, (0, 1), "the new key material to .*:eu-west-1:"),
        (EUROPE, (1, 1), "the new key material of .*:eu-west-1:"),
        (HOME, (3, 1), "can be rotated"),
    ],
)
def test_what_kms_lists_late_is_looked_for_again(
    key_set: Hidden, region: str, calls: tuple[int, int], text: str
) -> None:
    """Let a Region list, after that many answers, what it did before."""
    answers = given(look(key_set, []))
    skip, times = calls
    carry = key_set.carry

    def late(call: Call, effect: Callable[[], Any]) -> Any:
        nonlocal skip
        if (call.operation, call.region) == ("ListKeyRotations", region):
            if skip == 0:
                key_set.late[region] = times
            skip -= 1
        return carry(call, effect)

    key_set.carry = late  # type: ignore[method-assign]

    with pytest.raises(KeySetIncomplete, match=text):
        look(key_set, answers)

    assert look(key_set, answers)["materials"] == []
    assert len(key_set.materials.all) == 2


def test_a_cancelled_operation_imports_nothing(key_set: Hidden) -> None:
    answers = given(look(key_set, []))
    key_set.cancelled_at = datetime.fromtimestamp(key_set.aws.time, UTC)

    with pytest.raises(Cancelled):
        look(key_set, answers)

    assert key_set.writes() == []


def planned(kind: str, *, announced: str | None = None, **states: str | None) -> list[Any]:
    """Plan a rotation of keys in these states, by Region; `-` stands as `_`."""
    arn = "arn:aws:kms:us-east-1:111122223333:key/mrk-1"
    found = dict.fromkeys(REGIONS, "Enabled") | {
        name.replace("_", "-"): state for name, state in states.items()
    }
    observed: Any = {
        "primaryRegion": HOME,
        "keys": {
            region: {"region": region, "arn": arn_in(region, arn), "keyState": state}
            for region, state in found.items()
            if state
        },
    }
    rotation = {"operationId": announced} if announced else None
    record: Any = SimpleNamespace(request_id="CHG0031337", rotation=rotation)
    operation: Operation = {"operationId": "op-1", "operation": kind, "confirm": []}
    declared: Any = DECLARED
    observed_set: ObservedSet = observed
    waves = rotation_waves(operation, record, declared, observed_set)
    return [(one["wave"], [work["region"] for work in one["work"]]) for one in waves]


def test_a_rotation_is_one_wave_and_one_of_imported_material_two() -> None:
    assert planned("ROTATE", us_west_2="Disabled") == [("ROTATE", [])]
    assert planned("ROTATE_MATERIAL") == [("NEW_MATERIAL", [HOME, EUROPE, WEST]), ("ROTATE", [])]


@pytest.mark.parametrize("kind", ["ROTATE", "ROTATE_MATERIAL"])
def test_a_rotation_that_is_announced_is_only_looked_for(kind: str) -> None:
    assert planned(kind, announced="op-1", us_east_1="PendingDeletion") == [("ROTATE", [])]


@pytest.mark.parametrize(
    ("kind", "states", "text"),
    [
        ("ROTATE", {"us_east_1": "Disabled"}, "is Disabled"),
        ("ROTATE", {"us_east_1": None}, "no key in us-east-1"),
        ("ROTATE_MATERIAL", {"us_west_2": "PendingImport"}, "is PendingImport"),
        ("ROTATE_MATERIAL", {"us_west_2": None}, "no key in us-west-2"),
        ("ROTATE_MATERIAL", {"sa_east_1": "Enabled"}, "keys in sa-east-1 as well"),
    ],
)
def test_a_rotation_that_kms_would_not_do_is_refused_before_anything_is_done(
    kind: str, states: dict[str, Any], text: str
) -> None:
    with pytest.raises(OperationRefused, match=text):
        planned(kind, announced="another", **states)
