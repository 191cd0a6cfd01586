"""Parallel states in JSONata: their arguments, their output, and variables for each branch.

The emulator gives every branch the state's input and the very context of the state, so branches
would see each other's variables and names; and it knows `Output` and `Assign` of other states only.

https://docs.aws.amazon.com/step-functions/latest/dg/state-parallel.html
https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html
"""

import contextvars
import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ministack.services import stepfunctions


def install() -> None:
    """Put our function in the place of the emulator's."""
    stepfunctions._run_parallel_branches = _run_parallel_branches


def _run_parallel_branches(
    state: dict[str, Any], raw_input: Any, execution: dict[str, Any], context: dict[str, Any]
) -> tuple[Any, str | None]:
    given = stepfunctions._apply_jsonata_arguments(state, raw_input, context)

    def run(branch: dict[str, Any]) -> Any:
        return stepfunctions._run_sub_machine(
            branch["States"], branch["StartAt"], given, execution, copy.deepcopy(context)
        )

    branches = state["Branches"]
    with ThreadPoolExecutor(len(branches)) as pool:
        # A context of its own each, as two threads cannot be in one.
        running = [pool.submit(contextvars.copy_context().run, run, one) for one in branches]
    results = [branch.result() for branch in running]
    output = stepfunctions._apply_jsonata_output(
        state, raw_input, context, result=results, default=results
    )
    stepfunctions._apply_state_assign(state, raw_input, context, result=results)
    return output, stepfunctions._next_or_end(state)
