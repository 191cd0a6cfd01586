"""Which metrics the functions really emit, in CloudWatch's embedded metric format.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
from collections.abc import Iterable
from typing import NamedTuple


class Metric(NamedTuple):
    """A metric as CloudWatch tells it from others: every dimension belongs to its identity."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]


def metrics_in(lines: Iterable[str]) -> dict[Metric, list[float]]:
    """Return every metric that CloudWatch reads from lines of a log, with its values."""
    found: dict[Metric, list[float]] = {}
    for line in lines:
        if not line.startswith('{"_aws"'):
            continue
        document = json.loads(line)
        for group in document["_aws"]["CloudWatchMetrics"]:
            for names in group["Dimensions"]:
                dimensions = frozenset((name, document[name]) for name in names)
                for described in group["Metrics"]:
                    metric = Metric(group["Namespace"], described["Name"], dimensions)
                    found.setdefault(metric, []).extend(document[described["Name"]])
    return found
