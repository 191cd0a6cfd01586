"""Plans a rotation: what KMS has to have for it, and the waves in which it is carried out."""

from provisioner.aws.records import Record
from provisioner.change.work import WaveWork, Work
from provisioner.domain.change import ObservedSet
from provisioner.domain.operation import Kind, Operation
from provisioner.domain.plan import KeySetRequest, regions
from provisioner.errors import OperationRefused

NEW_MATERIAL = "NEW_MATERIAL"
ROTATE = "ROTATE"


def rotation_waves(
    operation: Operation, record: Record, request: KeySetRequest, observed: ObservedSet
) -> list[WaveWork]:
    """Return the waves of a rotation: new key material, if it is imported, then the rotation.

    One that this operation has announced before is only looked for, whatever has become of the
    keys since.

    Raises
    ------
    OperationRefused
        KMS rotates a key while it is Enabled. To imported material it rotates once every key of
        the set has that, and a key takes none while it is disabled or waits for its deletion.
    """
    rotate: WaveWork = {"wave": ROTATE, "work": []}
    rotation = record.rotation
    if rotation and rotation["operationId"] == operation["operationId"]:
        return [rotate]
    home = observed["primaryRegion"]
    if operation["operation"] == Kind.ROTATE:
        _check_enabled(observed, [home])
        return [rotate]
    declared, present = {*regions(request)}, sorted(observed["keys"])
    if strangers := [region for region in present if region not in declared]:
        raise OperationRefused(
            f"The key set has keys in {', '.join(strangers)} as well, which request "
            f"{record.request_id} does not declare, and KMS rotates imported key material only "
            "once every key of the set has it. Declare them with the next revision, or wait until "
            "they are deleted."
        )
    if missing := sorted(declared - {*present}):
        raise OperationRefused(
            f"There is no key in {', '.join(missing)}. Bring it back first: ask for REPAIR."
        )
    _check_enabled(observed, present)
    members = [home, *(region for region in present if region != home)]
    keys = observed["keys"]
    work: list[Work] = [{"region": one, "arn": keys[one]["arn"], "calls": {}} for one in members]
    return [{"wave": NEW_MATERIAL, "work": work}, rotate]


def _check_enabled(observed: ObservedSet, in_regions: list[str]) -> None:
    for region in in_regions:
        key = observed["keys"].get(region)
        if key is None:
            raise OperationRefused(f"There is no key in {region} any more.")
        if key["keyState"] != "Enabled":
            raise OperationRefused(
                f"{key['arn']} is {key['keyState']}, and KMS rotates key material only while it is "
                "Enabled. Bring it back with the next revision, or ask for REPAIR, first."
            )
