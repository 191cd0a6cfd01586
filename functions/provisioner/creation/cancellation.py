"""Cancels a request that is under way.

The request is not stopped: its record says that it is cancelled, and whoever holds it notices that
before it creates a key, asks for key material or records an outcome. It then ends the request as
one that failed, so that what exists is kept or rolled back as the request asks.
"""

from dataclasses import replace

from provisioner.aws import executions
from provisioner.aws.client_types import SFNClient
from provisioner.aws.executions import Progress
from provisioner.aws.records import UNDER_WAY, Record, Records, refuse_if_cancelled
from provisioner.domain.operation import asked_for
from provisioner.errors import Cancelled
from provisioner.intake.envelope import resumed


def cancel(
    request_id: str, *, records: Records, step_functions: SFNClient, state_machine_arn: str
) -> Record:
    """Cancel a request; whoever holds it ends it.

    An execution that waits for key material is woken. Where none runs, one is started; calling
    again starts no other.

    Returns
    -------
    Record
        The request's, with the execution that ends it. Of a request that was cancelled before and
        has ended, as it is.

    Raises
    ------
    RequestNotFound
        There is no such request.
    NotUnderWay
        The request has ended otherwise.
    DependencyUnavailable
        DynamoDB or Step Functions did not answer; calling again is safe.
    """
    record = records.cancel(request_id)
    if record.status not in UNDER_WAY:
        return record
    if record.task_token:
        try:
            refuse_if_cancelled(record)
        except Cancelled as reason:
            executions.fail_task(step_functions, record.task_token, reason)
    holder = str(record.execution_arn)
    progress = executions.progress(step_functions, holder)
    if progress == Progress.RUNNING:
        return record
    if progress == Progress.ENDED:
        machine = executions.machine_of(holder) if record.operation else state_machine_arn
        holder = executions.successor_arn(machine, request_id, holder)
    # What was not started yet is started under its own name: whoever is about to start it finds it.
    document = resumed(record.request, record.provenance["via"], asked_for(record.operation))
    executions.start(step_functions, executions.machine_of(holder), holder, document)
    return replace(record, execution_arn=holder)
