"""How long the retriers of a definition wait, and which errors of Lambda AWS says to retry."""

from typing import Any

LAMBDA_ERRORS_TO_RETRY = {
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
}
"""https://docs.aws.amazon.com/step-functions/latest/dg/bp-lambda-serviceexception.html

It names `Lambda.TooManyRequestsException` apart, for Lambda at its limit of concurrent executions.
"""
TOO_MANY = "Lambda.TooManyRequestsException"


def retrier_of(state: dict[str, Any], error: str) -> dict[str, Any] | None:
    """Return the first retrier that names an error, which is the one that counts."""
    return next((rule for rule in state.get("Retry", []) if error in rule["ErrorEquals"]), None)


def least_seconds(state: dict[str, Any], error: str) -> float:
    """Return how long an error is retried at least; full jitter promises nothing.

    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
    """
    retrier = retrier_of(state, error)
    if retrier is None or retrier.get("JitterStrategy", "NONE") != "NONE":
        return 0
    delays = [
        retrier["IntervalSeconds"] * retrier["BackoffRate"] ** tried
        for tried in range(retrier["MaxAttempts"])
    ]
    return float(sum(min(delay, retrier["MaxDelaySeconds"]) for delay in delays))
