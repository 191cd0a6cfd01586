"""What AWS charges: published prices of us-east-1, and the arithmetic for a key set.

The free tiers are left out. What the stack costs without requests is in `bench.cost`.
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
    page: str
    """Where AWS publishes it."""
    seen: str
    """How the figure was seen on `READ_ON`. AWS's pages fill their tables in by script, so a copy
    of one may lack it."""


READ_ON = "2026-11-27"
_STATED = "seen in an undated copy of AWS's own text"
_PRICE_LIST = "as others quote AWS's page and price list in September 2026"
_QUOTED = "as others wrote in 2026; not seen in AWS's own text"

STATE_TRANSITIONS = Price(
    0.025, 1_000, "state transitions", "https://aws.amazon.com/step-functions/pricing/", _STATED
)
_LAMBDA = "https://aws.amazon.com/lambda/pricing/"
LAMBDA_REQUESTS = Price(0.20, 1_000_000, "requests", _LAMBDA, _QUOTED)
LAMBDA_COMPUTE = {
    "arm64": Price(0.0000133334, 1, "GB-second", _LAMBDA, _QUOTED),
    "x86_64": Price(0.0000166667, 1, "GB-second", _LAMBDA, _QUOTED),
}
_DYNAMODB = "https://aws.amazon.com/dynamodb/pricing/on-demand/"
_NOT_SEEN = "not seen; the figure that this project has used so far"
WRITE_UNITS = Price(0.625, 1_000_000, "write units", _DYNAMODB, _NOT_SEEN)
READ_UNITS = Price(0.125, 1_000_000, "read units", _DYNAMODB, _NOT_SEEN)
CUSTOM_EVENTS = Price(
    1.00, 1_000_000, "custom events", "https://aws.amazon.com/eventbridge/pricing/", _QUOTED
)
_KMS = "https://aws.amazon.com/kms/pricing/"
KMS_REQUESTS = Price(0.03, 10_000, "requests", _KMS, _PRICE_LIST)
KEYS = Price(1.00, 1, "key a month", _KMS, _PRICE_LIST)
# The first two rotations of a key add as much again, each; later ones add nothing.
ROTATIONS = Price(1.00, 1, "rotation of a key a month", _KMS, _PRICE_LIST)
CHARGED_ROTATIONS = 2
_CLOUDWATCH = "https://aws.amazon.com/cloudwatch/pricing/"
# Standard logs, as they come in.
LOGS = Price(0.50, 1, "GB", _CLOUDWATCH, _PRICE_LIST)
ALARM_METRICS = Price(0.10, 1, "metric of an alarm a month", _CLOUDWATCH, _PRICE_LIST)
CUSTOM_METRICS = Price(0.30, 1, "metric a month", _CLOUDWATCH, _PRICE_LIST)
DASHBOARDS = Price(3.00, 1, "dashboard a month", _CLOUDWATCH, _QUOTED)
TRACES = Price(5.00, 1_000_000, "traces", "https://aws.amazon.com/xray/pricing/", _NOT_SEEN)
SECRETS = Price(
    0.40, 1, "secret a month", "https://aws.amazon.com/secrets-manager/pricing/", _PRICE_LIST
)
QUEUE_REQUESTS = Price(0.40, 1_000_000, "requests", "https://aws.amazon.com/sqs/pricing/", _QUOTED)
API_CALLS = Price(3.50, 1_000_000, "calls", "https://aws.amazon.com/api-gateway/pricing/", _STATED)

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


def phrased(price: Price) -> str:
    """Return a price as tables have it: `0.03 per 10,000 requests`."""
    many = f"{price.per:,} " if price.per > 1 else ""
    dollars = f"{price.dollars:.10f}".rstrip("0").rstrip(".")
    return f"{dollars} per {many}{price.unit}"


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
