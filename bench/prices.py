"""What AWS charges for a key set: prices of us-east-1, and the arithmetic.

The free tiers are left out, and so are the stack's alarms and storage, which cost the same with and
without requests.
"""

from dataclasses import dataclass

from bench.use import Use

# https://aws.amazon.com/step-functions/pricing/: Standard workflows
STATE_TRANSITION = 0.025 / 1_000
# https://aws.amazon.com/lambda/pricing/
LAMBDA_REQUEST = 0.20 / 1_000_000
LAMBDA_GIGABYTE_SECOND = {"arm64": 0.0000133334, "x86_64": 0.0000166667}
# https://aws.amazon.com/dynamodb/pricing/on-demand/
WRITE_UNIT = 0.625 / 1_000_000
READ_UNIT = 0.125 / 1_000_000
# https://aws.amazon.com/eventbridge/pricing/: custom events
CUSTOM_EVENT = 1.00 / 1_000_000
# https://aws.amazon.com/kms/pricing/
KMS_REQUEST = 0.03 / 10_000
KEY_MONTH = 1.00
# https://aws.amazon.com/cloudwatch/pricing/: standard logs, ingested
LOG_GIGABYTE = 0.50
# https://aws.amazon.com/xray/pricing/: traces recorded
TRACE = 5.00 / 1_000_000

KEY_SETS = 1_000
# An execution is one trace, if it is sampled at all.
_TRACES = 1
_BYTES_OF_A_GIGABYTE = 1024**3
_MEGABYTES_OF_A_GIGABYTE = 1024


@dataclass(frozen=True)
class Charge:
    """One line of the bill for a key set."""

    what: str
    quantity: float
    """For one key set."""
    unit: str
    price: float
    """Dollars for one unit."""

    @property
    def dollars(self) -> float:
        """What 1,000 key sets cost."""
        return KEY_SETS * self.quantity * self.price


def charges(use: Use, kms_calls: int) -> list[Charge]:
    """Give what one key set is charged, without its keys."""
    gigabyte_seconds = (
        use.billed_milliseconds / 1_000 * use.memory_megabytes / _MEGABYTES_OF_A_GIGABYTE
    )
    compute = LAMBDA_GIGABYTE_SECOND[use.architecture]
    return [
        Charge("Step Functions", use.transitions, "state transitions", STATE_TRANSITION),
        Charge("Lambda requests", use.invocations, "requests", LAMBDA_REQUEST),
        Charge(f"Lambda {use.architecture}", gigabyte_seconds, "GB-seconds", compute),
        Charge("DynamoDB writes", use.write_units, "write units", WRITE_UNIT),
        Charge("DynamoDB index writes", use.index_write_units, "write units", WRITE_UNIT),
        Charge("DynamoDB reads", use.read_units, "read units", READ_UNIT),
        Charge("EventBridge", use.events, "custom events", CUSTOM_EVENT),
        Charge("KMS requests", kms_calls, "requests", KMS_REQUEST),
        Charge("CloudWatch Logs", use.log_bytes / _BYTES_OF_A_GIGABYTE, "GB", LOG_GIGABYTE),
        Charge("X-Ray, at most", _TRACES, "traces", TRACE),
    ]


def total(lines: list[Charge]) -> float:
    """Give what 1,000 key sets cost, in dollars, without their keys."""
    return sum(line.dollars for line in lines)


def keys_a_month(replicas: int) -> float:
    """Give what the keys of one key set cost a month, in dollars."""
    return KEY_MONTH * (1 + replicas)
