"""Whether a key set takes more in an account that has many keys already."""

from dataclasses import dataclass
from typing import Any

from bench import measure
from bench.contenders.workflow import Workflow
from bench.measure import Cell
from local.settings import STACK_NAME
from local.stack.stack import Stack

FEW = 10
REPLICAS = 3
_KEYS_AT_A_TIME = 500
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
_ITEMS_AT_A_TIME = 25


@dataclass(frozen=True)
class Growth:
    """The same request with few keys in the account, and with many."""

    existing_few: int
    existing_many: int
    few: Cell
    many: Cell


def measure_growth(stack: Stack, existing: int, runs: int) -> Growth:
    """Measure in a new account, and again after it got more keys, aliases and requests.

    Raises
    ------
    BenchError
        A key set was not made.
    """
    workflow = Workflow(stack)
    measure.warm_up(stack, workflow, REPLICAS)
    record = any_record(stack)
    _fill(stack, record, 0, FEW)
    few = measure.measure_cell(stack, workflow, REPLICAS, runs)
    _fill(stack, record, FEW, existing)
    many = measure.measure_cell(stack, workflow, REPLICAS, runs)
    return Growth(FEW, existing, few, many)


def any_record(stack: Stack) -> dict[str, Any]:
    """Return the item of any request that the stack has."""
    items = stack.client("dynamodb").scan(TableName=stack.outputs["RequestsTableName"])["Items"]
    record: dict[str, Any] = items[0]
    return record


def _fill(stack: Stack, record: dict[str, Any], first: int, count: int) -> None:
    """Add keys with this stack's tags and an alias, and a finished request for each."""
    for start in range(first, count, _KEYS_AT_A_TIME):
        more = min(_KEYS_AT_A_TIME, count - start)
        stack.add_existing_keys(more, start, {"mrk:stack": STACK_NAME})
    dynamodb, table = stack.client("dynamodb"), stack.outputs["RequestsTableName"]
    for start in range(first, count, _ITEMS_AT_A_TIME):
        numbers = range(start, min(count, start + _ITEMS_AT_A_TIME))
        items = [{**record, "requestId": {"S": f"existing-{number}"}} for number in numbers]
        puts = [{"PutRequest": {"Item": item}} for item in items]
        dynamodb.batch_write_item(RequestItems={table: puts})
