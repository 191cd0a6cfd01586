"""Events about the keys of a released set: nothing is done, unless another request has them."""

from typing import Any

from provisioner.aws.clients import client
from provisioner.aws.drift_table import DriftTable, Watched
from provisioner.aws.records import Records
from provisioner.domain.operation import Adoption, Operation
from provisioner.domain.provenance import UNKNOWN
from provisioner.upkeep.looking import Looker
from provisioner.upkeep.owners import Owners
from tests.support.clock import Clock
from tests.support.finished_sets import CREATED, create
from tests.support.samples import EXECUTION, KEY_ID, OTHER_EXECUTION, SETTINGS, key_arn, request_of
from tests.support.sweeping import Looks


def release(records: Records, request_id: str, execution: str = EXECUTION) -> None:
    """Write the record of a set that nothing manages."""
    adoption: Adoption = {
        "operationId": "adopt-1",
        "keyArn": key_arn(),
        "unmanaged": [],
        "takeOver": False,
    }
    request = {**CREATED, "requestId": request_id}
    assert records.adopt(
        request,  # type: ignore[arg-type]
        execution,
        key_arn=key_arn(),
        adoption=adoption,
        seen=None,
        provenance=UNKNOWN,
    )[0]


def looker(records: Records, looks: Looks) -> Looker:
    """Return what looks at key sets, and can read no key."""
    unused: Any = None
    return Looker(
        records=records,
        operations=unused,
        approvals=unused,
        table=DriftTable(client("dynamodb"), "sweep"),
        queue=looks,
        kms_for=unused,
        events=unused,
        step_functions=unused,
        role=unused,
        repairs=True,
        settings=SETTINGS,
    )


def test_a_released_set_is_not_looked_at_and_has_no_difference(records: Records) -> None:
    release(records, "CHG1")
    table = DriftTable(client("dynamodb"), "sweep")
    assert table.take("CHG1", "before", 120)
    table.save("CHG1", "before", Watched(published={"us-east-1 alias": "digest"}))
    assert table.open_sets() == ["CHG1"]

    looker(records, Looks()).look("CHG1", [])

    assert table.open_sets() == []


def test_a_set_that_is_being_adopted_is_looked_at_afterwards(records: Records) -> None:
    release(records, "CHG1")
    seen, looks = records.get("CHG1"), Looks()
    assert seen
    adopt: Operation = {"operationId": "adopt-1", "operation": "ADOPT", "confirm": []}
    assert records.claim_operation(adopt, OTHER_EXECUTION, seen=seen)[0]

    looker(records, looks).look("CHG1", [])

    assert looks.asked == ["CHG1"]


def test_an_event_is_about_the_request_that_has_adopted_the_keys(
    records: Records, clock: Clock
) -> None:
    create(records, request_of(requestId="NEW"), OTHER_EXECUTION)
    release(records, "OLD")
    owners = Owners(records, lambda _: None, SETTINGS)  # type: ignore[arg-type,return-value]
    event: Any = {
        "region": "us-east-1",
        "keyIds": [KEY_ID],
        "aliases": [],
        "at": clock.time.isoformat(),
    }

    assert owners.by_records(event) == {"NEW"}
