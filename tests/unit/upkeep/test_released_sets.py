"""Events about the keys of a released set: nothing is done, unless another request has them."""

from typing import Any

from provisioner.aws.records import Records
from provisioner.domain.adoption import Adoption
from provisioner.domain.provenance import UNKNOWN
from provisioner.upkeep.looking import Looker
from provisioner.upkeep.owners import Owners
from tests.support.clock import Clock
from tests.support.finished_sets import CREATED, create
from tests.support.samples import EXECUTION, KEY_ID, OTHER_EXECUTION, SETTINGS, key_arn, request_of


class NoLookYet:
    """A table of drift that may be asked whether a look is due, and for nothing else."""

    def leave_to_next_look(self, _request_id: str, _events: object) -> bool:
        return False


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


def test_a_released_set_is_not_looked_at(records: Records) -> None:
    release(records, "CHG1")
    unused: Any = None
    table: Any = NoLookYet()
    looker = Looker(
        records=records,
        operations=unused,
        table=table,
        queue=unused,
        kms_for=unused,
        events=unused,
        step_functions=unused,
        role=unused,
        repairs=True,
        settings=SETTINGS,
    )

    looker.look("CHG1", [])


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
