"""The one logger and the one metrics sink of all functions.

Whoever counts something flushes it at once: most invocations have nothing to count.

Neither ever sees a policy, a ticket or key material. Names come from the environment:
POWERTOOLS_SERVICE_NAME and POWERTOOLS_METRICS_NAMESPACE.
"""

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

logger = Logger()
metrics = Metrics()


def count_new_key() -> None:
    """Count a key that KMS made just now, primary or replica, whatever becomes of its request."""
    metrics.add_metric("NewKeys", MetricUnit.Count, 1)
    metrics.flush_metrics()


def take_expected_error_off() -> None:
    """Take one off the errors of steps that StepErrorsAlarm adds up: this one is part of the work.

    Lambda counts every error that a step ends with, also where Step Functions is to call it again.
    """
    metrics.add_metric("ExpectedErrors", MetricUnit.Count, -1)
    metrics.flush_metrics()


def count_broken_hooks(number: int) -> None:
    """Count the entries of the webhooks' secret that cannot be used, whenever it was read."""
    metrics.add_metric("BrokenHooks", MetricUnit.Count, number)
    metrics.flush_metrics()
