"""The one logger and the one metrics sink of all functions.

Whoever counts something flushes it at once: most invocations have nothing to count.

Neither ever sees a policy, a ticket or key material. Names come from the environment:
POWERTOOLS_SERVICE_NAME and POWERTOOLS_METRICS_NAMESPACE.
"""

from aws_lambda_powertools import Logger, Metrics

logger = Logger()
metrics = Metrics()
