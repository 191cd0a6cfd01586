"""Makes one execution the one that carries an operation out."""

from provisioner.aws import executions
from provisioner.aws.client_types import SFNClient
from provisioner.aws.executions import Progress
from provisioner.aws.operations import KnownOperation, Operations
from provisioner.aws.records import Record, Records, Status
from provisioner.creation.claim import Claim, Decision
from provisioner.creation.correction import check_managed
from provisioner.domain.operation import Kind, Operation, is_for
from provisioner.domain.plan import KeySetRequest, content_hash, revision_of
from provisioner.domain.provenance import Provenance
from provisioner.errors import OperationRefused, RequestNotFound

_MAY_BEGIN = (Status.CREATED, Status.UPDATED)


def claim_operation(
    request: KeySetRequest,
    operation: Operation,
    execution_arn: str,
    *,
    records: Records,
    operations: Operations,
    step_functions: SFNClient,
    provenance: Provenance | None = None,
) -> Claim:
    """Claim a key set for an operation, or say why it has nothing to do.

    Returns
    -------
    Claim
        PROCEED, or PUBLISH where the operation has ended and only its outcome is not published yet:
        the execution holds the key set. ALREADY_CREATED where the outcome is published,
        ANOTHER_RUN_IS_ACTIVE where another execution carries it out.

    Raises
    ------
    Released
        Nothing manages the key set.
    OperationRefused
        The key set is not as it was when the operation was asked for, or somebody works on it.
    RequestNotFound
        There is no record of the request.
    DependencyUnavailable
        DynamoDB or Step Functions did not answer.
    """
    record = records.get(request["requestId"])
    if record is None:
        raise RequestNotFound(f"There is no request {request['requestId']}.")
    known = operations.get(record.request_id, operation["operationId"])
    decision = decide_operation(
        request, operation, execution_arn, record=record, known=known, step_functions=step_functions
    )
    if decision != Decision.PROCEED:
        return Claim(decision, record)
    claimed, after = records.claim_operation(
        operation, execution_arn, seen=record, provenance=provenance
    )
    if not claimed:
        known = operations.get(record.request_id, operation["operationId"])
        decision = decide_operation(
            request,
            operation,
            execution_arn,
            record=after,
            known=known,
            step_functions=step_functions,
        )
        if decision == Decision.PROCEED:
            raise OperationRefused(f"Request {record.request_id} has changed while it was claimed.")
        return Claim(decision, after)
    is_done = after.operation is not None and after.operation["ended"]
    return Claim(Decision.PUBLISH if is_done else Decision.PROCEED, after)


def decide_operation(
    request: KeySetRequest,
    operation: Operation,
    execution_arn: str,
    *,
    record: Record,
    known: KnownOperation | None,
    step_functions: SFNClient,
) -> Decision:
    """Decide whether an operation has to be carried out; nothing is claimed.

    Parameters
    ----------
    known
        What is kept of the operation, if anything.

    Returns
    -------
    Decision
        PROCEED, ALREADY_CREATED or ANOTHER_RUN_IS_ACTIVE, as in `claim_operation`.

    Raises
    ------
    Released, OperationRefused, DependencyUnavailable
        As in `claim_operation`.
    """
    is_mine = is_for(record.operation, operation["operationId"])
    if known and known.ended and not is_mine:
        return Decision.ALREADY_CREATED
    check_declared(record, request)
    if not is_mine:
        check_free(record)
        check_managed_for(record, operation)
        return Decision.PROCEED
    if record.execution_arn != execution_arn:
        progress = executions.progress(step_functions, str(record.execution_arn))
        if progress == Progress.RUNNING:
            return Decision.ANOTHER_RUN_IS_ACTIVE
    return Decision.PROCEED


def check_declared(record: Record, request: KeySetRequest) -> None:
    """Check that a key set is declared as it was when an operation was asked for.

    Raises
    ------
    OperationRefused
        It was changed since.
    """
    is_same = record.content_hash == content_hash(request)
    if not is_same or record.revision != revision_of(request):
        raise OperationRefused(
            f"Request {record.request_id} has revision {record.revision} now, and the operation "
            f"was asked for at revision {revision_of(request)}."
        )


def check_managed_for(record: Record, operation: Operation) -> None:
    """Check that a set is managed, or is not where it is to be adopted.

    A set that was released may be released again, which goes on where a release has failed.

    Raises
    ------
    Released, OperationRefused
        It is not so, or another adoption was asked for since.
    """
    kind = operation["operation"]
    if kind not in (Kind.ADOPT, Kind.RELEASE):
        check_managed(record)
    if kind != Kind.ADOPT:
        return
    wanted = record.adoption["operationId"] if record.adoption else None
    if record.released_at is None or wanted != operation["operationId"]:
        raise OperationRefused(
            f"Request {record.request_id} was adopted meanwhile, or another adoption of it was "
            "asked for."
        )


def check_free(record: Record) -> None:
    """Check that a key set is finished and nobody works on it.

    Raises
    ------
    OperationRefused
        It is not.
    """
    name = record.request_id
    if held := record.operation:
        raise OperationRefused(
            f"{held['operation']} {held['operationId']} is under way on request {name}."
        )
    if record.status not in _MAY_BEGIN or not record.published:
        raise OperationRefused(f"Request {name} is {record.status}. {_first(record)}")


def _first(record: Record) -> str:
    match record.status:
        case Status.UPDATE_FAILED:
            return "Finish its change first: send the same revision again, or the next one."
        case Status.FAILED | Status.REJECTED:
            return "Its key set was never finished: send the request again first."
        case Status.DECOMMISSIONED:
            return "Restore its keys first, with the next revision."
    return "Wait for its outcome first."
