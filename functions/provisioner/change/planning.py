"""Plans the change of a finished key set: its record, what KMS has, and the new declaration."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from provisioner.aws import kms
from provisioner.aws.client_types import KMSClient, TaggingClient
from provisioner.aws.records import Record
from provisioner.change.claim import failed_names
from provisioner.change.observe import read_key_set
from provisioner.change.work import size_problems, waves
from provisioner.domain.change import (
    Change,
    ObservedSet,
    is_leaving,
    plan_change,
    plan_id,
)
from provisioner.domain.change_problems import (
    change_problems,
    change_warnings,
    gone_set_problem,
    lasting_warnings,
    lost_principal_problems,
    regions_of_imports,
    rotated_material_problems,
    word_problems,
)
from provisioner.domain.plan import (
    KeySetRequest,
    arn_in,
    content_hash,
    key_id_of,
    region_of,
    revision_of,
)
from provisioner.errors import KmsKeyNotFound, Problem
from provisioner.settings import Settings


@dataclass(frozen=True)
class ChangePlan:
    """What a request would change, and why it may not.

    `is_resumed` says that the revision was claimed before, so that its confirmation words may be
    used up, and a refusal of it is the failure of a change. `lasting` are those `warnings` that the
    outcome has as well. `version` is the record's. `metadata`
    is KMS's KeyMetadata of the primary key.
    """

    plan_id: str
    changes: list[Change]
    problems: list[Problem]
    warnings: list[Problem]
    lasting: list[Problem]
    observed: ObservedSet
    metadata: kms.Metadata
    is_resumed: bool
    version: str


def plan_of_change(
    record: Record,
    request: KeySetRequest,
    *,
    settings: Settings,
    kms_for: Callable[[str], KMSClient],
    tagging_for: Callable[[str], TaggingClient],
    is_resumed: bool | None = None,
) -> ChangePlan:
    """Plan the change of a key set that was finished once; nothing is written.

    Parameters
    ----------
    record
        The request's; it has a primary key and an applied declaration.
    is_resumed
        Whether this was claimed before; None where the record says it by its revision.
    kms_for, tagging_for
        Return the clients of a Region.

    Raises
    ------
    KmsError, PromotionUnderWay
        KMS does not say what the key set is.
    DependencyUnavailable
        The tagging API did not answer.
    RequestConflict
        More names of failed revisions are to be taken away than a record can keep.
    """
    applied, key_arn = record.applied, record.key_arn
    if applied is None or key_arn is None:
        raise RuntimeError(f"The key set of request {record.request_id} was never finished.")
    names = failed_names(record, request)
    read = read_key_set(
        applied, request, key_arn, superseded=names, kms_for=kms_for, tagging_for=tagging_for
    )
    if is_resumed is None:
        is_resumed = (
            record.is_of_a_change
            and record.content_hash == content_hash(request)
            and record.revision == revision_of(request)
        )
    if read is None:
        if is_resumed:  # It is claimed, so that it has to fail.
            raise KmsKeyNotFound(f"No Region of its key set has {key_arn}.")
        return _of_a_gone_set(record, request, key_arn)
    observed, metadata = read
    changes = plan_change(applied, request, observed, settings, names)
    lasting = lasting_warnings(request, changes, observed)
    return ChangePlan(
        plan_id=plan_id(record.revision, request, changes),
        changes=changes,
        problems=[
            *change_problems(applied, request, changes, observed),
            *lost_principal_problems(applied, request, changes, settings),
            *_rotated_material(request, changes, observed, key_arn, kms_for),
            *size_problems(request, waves(changes, observed, settings.partition)),
            *word_problems(applied, request, changes, observed, settings, resumed=is_resumed),
        ],
        warnings=[*change_warnings(applied, request, changes, observed), *lasting],
        lasting=lasting,
        observed=observed,
        metadata=metadata,
        is_resumed=is_resumed,
        version=record.version,
    )


def _rotated_material(
    request: KeySetRequest,
    changes: list[Change],
    observed: ObservedSet,
    key_arn: str,
    kms_for: Callable[[str], KMSClient],
) -> Iterator[Problem]:
    """Ask KMS for the key material of the primary key, where a change imports it elsewhere.

    It is not asked of a key that waits for its deletion.
    """
    home = observed["primaryRegion"]
    primary, primary_arn = observed["keys"].get(home), arn_in(home, key_arn)
    if primary is None or not regions_of_imports(changes):
        return
    if request["keySpec"] != "SYMMETRIC_DEFAULT":
        return  # The key material of other keys never changes.
    materials = (
        None if is_leaving(primary) else len(kms.list_key_materials(kms_for(home), primary_arn))
    )
    yield from rotated_material_problems(request, changes, primary_arn, materials)


def _of_a_gone_set(record: Record, request: KeySetRequest, key_arn: str) -> ChangePlan:
    """Refuse whatever is declared for a set of which KMS has no key any more."""
    return ChangePlan(
        plan_id=plan_id(record.revision, request, []),
        changes=[],
        problems=[gone_set_problem(request)],
        warnings=[],
        lasting=[],
        observed={"primaryRegion": region_of(key_arn), "keys": {}},
        metadata={"KeyId": key_id_of(key_arn)},
        is_resumed=False,
        version=record.version,
    )
