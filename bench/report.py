"""What was measured, as tables."""

from bench import prices
from bench.contenders.parallel import Parallel
from bench.contenders.terraform import Terraform
from bench.contenders.workflow import Workflow
from bench.grids import Grid
from bench.growth import Growth
from bench.measure import Run, Table
from bench.targets import Target, as_grid
from bench.use import Use

_NOTHING = "-"
_SHORTEST_STATE_SECONDS = 0.01


def grids(tables: list[Table], growth: Growth | None, targets: list[Target]) -> list[Grid]:
    """Return all tables, in the order in which they are read."""
    first = tables[0]
    own = {size: run for size in first.sizes() if (run := first.find(Workflow.name, size))}
    uses = {size: run.use for size, run in own.items() if run.use}
    shown = [_comparison(table) for table in tables]
    if uses:
        shown += [_states(uses), _uses(uses), _dollars(own, uses)]
    if growth:
        shown.append(_growth(growth))
    return [*shown, as_grid(targets)]


def _comparison(table: Table) -> Grid:
    rows = []
    for size in table.sizes():
        for name in table.contenders():
            run = table.find(name, size)
            if run:
                calls = (run.calls.writes, run.calls.reads, run.calls.depth)
                rows.append((str(size), name, *_times(table, size, run.seconds), *map(str, calls)))
            if run and run.creating_seconds:
                times = _times(table, size, run.creating_seconds)
                rows.append((str(size), f"{name}, without start and plan", *times, "", "", ""))
    title = (
        f"KMS takes {1000 * table.latency_seconds:g} ms a call, "
        f"a replica is Creating for {table.creating_seconds:g} s"
    )
    columns = (
        *("N", "made by", "seconds", "to the floor", "to Terraform"),
        *("KMS writes", "KMS reads", "in sequence"),
    )
    return Grid(title, columns, tuple(rows), left=2)


def _times(table: Table, size: int, seconds: float) -> tuple[str, str, str]:
    floor, terraform = (table.seconds(other.name, size) for other in (Parallel, Terraform))
    return f"{seconds:.2f}", _ratio(seconds, floor), _ratio(seconds, terraform)


def _ratio(seconds: float, other: float | None) -> str:
    return f"{seconds / other:.2f} x" if other else _NOTHING


def _by_size(title: str, head: str, sizes: list[int], rows: list[tuple[str, ...]]) -> Grid:
    columns = (head, *(f"N = {size}" for size in sizes))
    return Grid(title, columns, tuple(rows))


def _states(uses: dict[int, Use]) -> Grid:
    names = dict.fromkeys(name for use in uses.values() for name in use.state_seconds)
    rows = [
        (name, *(f"{use.state_seconds.get(name, 0):.2f}" for use in uses.values()))
        for name in names
        if max(use.state_seconds.get(name, 0) for use in uses.values()) >= _SHORTEST_STATE_SECONDS
    ]
    return _by_size("Seconds in each state, warm", "state", list(uses), rows)


def _uses(uses: dict[int, Use]) -> Grid:
    rows = [
        ("state transitions", *(str(use.transitions) for use in uses.values())),
        ("Lambda invocations", *(str(use.invocations) for use in uses.values())),
        ("of these, cold starts", *(str(use.cold_starts) for use in uses.values())),
        ("billed milliseconds", *(f"{use.billed_milliseconds:,}" for use in uses.values())),
    ]
    names = dict.fromkeys(name for use in uses.values() for name in use.dynamodb_requests)
    for name in names:
        counts = (str(use.dynamodb_requests.get(name, 0)) for use in uses.values())
        rows.append((f"DynamoDB {name}", *counts))
    rows.append(("bytes logged", *(f"{use.log_bytes:,}" for use in uses.values())))
    return _by_size("What one request uses, warm", "what", list(uses), rows)


def _dollars(own: dict[int, Run], uses: dict[int, Use]) -> Grid:
    bills = [
        prices.charges(use, own[size].calls.reads + own[size].calls.writes)
        for size, use in uses.items()
    ]
    rows = [
        (
            f"{lines[0].what}: {prices.phrased(lines[0].price)}",
            *(_arithmetic(line) for line in lines),
        )
        for lines in zip(*bills, strict=True)
    ]
    rows.append(("together", *(f"{prices.total(bill):.4f}" for bill in bills)))
    months = (f"{prices.keys_a_month(size):,.0f} a month" for size in uses)
    rows.append(("the keys themselves", *months))
    title = f"US dollars for {prices.KEY_SETS:,} key sets: {prices.KEY_SETS:,} x units x price"
    return _by_size(title, "price", list(uses), rows)


def _arithmetic(line: prices.Charge) -> str:
    return f"{line.quantity:.4g}: {line.dollars:.4f}"


def _growth(growth: Growth) -> Grid:
    few, many = growth.few.typical, growth.many.typical
    rows = [
        ("seconds", *_both(few.seconds, many.seconds, ".2f")),
        ("seconds of KMS a call", *_both(few.calls.mean_seconds, many.calls.mean_seconds, ".4f")),
    ]
    counts = [("KMS", few.calls.operations, many.calls.operations)]
    if few.use and many.use:
        counts.append(("DynamoDB", few.use.dynamodb_requests, many.use.dynamodb_requests))
    for service, one, other in counts:
        for name in dict.fromkeys([*one, *other]):
            rows.append((f"{service} {name}", *_both(one.get(name, 0), other.get(name, 0), "d")))
    title = f"The same request, N = {growth.few.replicas}, in an account that has keys already"
    heads = (f"{count:,} keys" for count in (growth.existing_few, growth.existing_many))
    return Grid(title, ("what", *heads, "ratio"), tuple(rows))


def _both(few: float, many: float, form: str) -> tuple[str, str, str]:
    return f"{few:{form}}", f"{many:{form}}", f"{many / few:.2f} x" if few else _NOTHING
