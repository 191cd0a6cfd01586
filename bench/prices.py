"""What AWS charges for a key set: published prices of us-east-1, and the arithmetic.

The free tiers are left out, and so are the stack's alarms and storage, which cost the same with and
without requests.
"""

from dataclasses import dataclass

from bench.use import Use


@dataclass(frozen=True)
class Price:
    """A price as AWS publishes it."""

    dollars: float
    per: int
    """For how many units that is."""
    unit: str


# https://aws.amazon.com/step-functions/pricing/: Standard workflows
STATE_TRANSITIONS = Price(0.025, 1_000, "state transitions")
# https://aws.amazon.com/lambda/pricing/
LAMBDA_REQUESTS = Price(0.20, 1_000_000, "requests")
LAMBDA_COMPUTE = {
    "arm64": Price(0.0000133334, 1, "GB-second"),
    "x86_64": Price(0.0000166667, 1, "GB-second"),
}
# https://aws.amazon.com/dynamodb/pricing/on-demand/
WRITE_UNITS = Price(0.625, 1_000_000, "write units")
READ_UNITS = Price(0.125, 1_000_000, "read units")
# https://aws.amazon.com/eventbridge/pricing/
CUSTOM_EVENTS = Price(1.00, 1_000_000, "custom events")
# https://aws.amazon.com/kms/pricing/
KMS_REQUESTS = Price(0.03, 10_000, "requests")
KEYS = Price(1.00, 1, "key a month")
# https://aws.amazon.com/cloudwatch/pricing/: standard logs, as they come in
LOGS = Price(0.50, 1, "GB")
# https://aws.amazon.com/xray/pricing/: traces recorded
TRACES = Price(5.00, 1_000_000, "traces")

KEY_SETS = 1_000
# An execution is one trace, if it is sampled at all.
_TRACES = 1
_BYTES_OF_A_GIGABYTE = 1024**3
_MEGABYTES_OF_A_GIGABYTE = 1024


@dataclass(frozen=True)
class Charge:
    """One line of the bill."""

    what: str
    quantity: float
    """Units for one key set."""
    price: Price

    @property
    def dollars(self) -> float:
        """What 1,000 key sets cost."""
        return KEY_SETS * self.quantity * self.price.dollars / self.price.per


def charges(use: Use, kms_calls: int) -> list[Charge]:
    """Return what one key set is charged, without its keys."""
    seconds = use.billed_milliseconds / 1_000
    gigabyte_seconds = seconds * use.memory_megabytes / _MEGABYTES_OF_A_GIGABYTE
    return [
        Charge("Step Functions", use.transitions, STATE_TRANSITIONS),
        Charge("Lambda", use.invocations, LAMBDA_REQUESTS),
        Charge(f"Lambda, {use.architecture}", gigabyte_seconds, LAMBDA_COMPUTE[use.architecture]),
        Charge("DynamoDB", use.write_units, WRITE_UNITS),
        Charge("DynamoDB, index", use.index_write_units, WRITE_UNITS),
        Charge("DynamoDB", use.read_units, READ_UNITS),
        Charge("EventBridge", use.events, CUSTOM_EVENTS),
        Charge("KMS", kms_calls, KMS_REQUESTS),
        Charge("CloudWatch Logs", use.log_bytes / _BYTES_OF_A_GIGABYTE, LOGS),
        Charge("X-Ray, if sampled", _TRACES, TRACES),
    ]


def total(lines: list[Charge]) -> float:
    """Return what 1,000 key sets cost, in dollars, without their keys."""
    return sum(line.dollars for line in lines)


def keys_a_month(replicas: int) -> float:
    """Return what the keys of 1,000 key sets cost a month, in dollars."""
    return KEY_SETS * (1 + replicas) * KEYS.dollars / KEYS.per
