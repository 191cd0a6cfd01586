"""Which execution goes on with an operation that is asked for again."""

from provisioner.aws import executions
from provisioner.aws.client_types import SFNClient
from provisioner.aws.executions import Progress
from provisioner.aws.operations import KnownOperation
from provisioner.aws.records import Record
from provisioner.domain.operation import is_for


def execution_for(known: KnownOperation, record: Record, step_functions: SFNClient) -> str | None:
    """Return the execution to start for an operation that has not ended; None where one runs.

    Raises
    ------
    DependencyUnavailable
        Step Functions did not answer.
    """
    is_held = is_for(record.operation, known.operation["operationId"])
    arn = str(record.execution_arn) if is_held else known.execution_arn
    for _ in range(2):
        progress = executions.progress(step_functions, arn)
        if progress == Progress.RUNNING:
            return None
        if progress == Progress.NOT_STARTED:
            return arn
        machine = executions.machine_of(arn)
        arn = executions.successor_arn(machine, known.request_id, arn)
    # Its successor has died as well, before it could claim the key set.
    return executions.new_execution_arn(machine, known.request_id)
