"""The times that docs/scale.md tells, planned again."""

import re
from pathlib import Path

import pytest

from provisioner.batch.pace import _SLOW_START_SECONDS, KMS_QUOTAS, Pace, needs, parse_quotas
from tests.support.samples import request_of

HOME, REGIONS = "us-east-1", ["eu-west-1", "us-west-2", "ap-south-1"]
ROW = re.compile(r"\| ([\d,]+) \| (\d) \| ([^|]+) \| ([^|]+) \| ([\d.]+) \| (\d+):(\d\d) h \|")
ROWS = ROW.findall(Path("docs/scale.md").read_text())


def test_the_page_has_its_table() -> None:
    assert {row[0] for row in ROWS} == {"10,000", "100,000"}
    assert len(ROWS) == 9


@pytest.mark.no_cover  # Other tests take the same paths, and this is five times as slow.
@pytest.mark.parametrize("row", ROWS, ids=[" ".join(row[:4]) for row in ROWS])
def test_a_time_of_the_page_is_what_the_plan_comes_to(row: tuple[str, ...]) -> None:
    count, replicas, where, quotas, rate, hours, minutes = row
    raised = [f"{name}={10 * calls}" for name, calls in KMS_QUOTAS.items()]
    pace = Pace(parse_quotas([] if quotas == "default" else raised), 92, 25)
    there = needs(request_of(replicas=[{"region": r} for r in REGIONS[: int(replicas)]]))
    back = needs(request_of(primaryRegion=REGIONS[0], replicas=[{"region": HOME}]))
    kinds = [there, back] if "both ways" in where else [there]
    total = int(count.replace(",", ""))

    # A tenth says it all, as the plan is the same in every second but the first.
    tenth = max(pace.plan([kinds[n % len(kinds)] for n in range(total // 10)]))
    seconds = 10 * (tenth - _SLOW_START_SECONDS / 2) + _SLOW_START_SECONDS / 2

    assert total / seconds == pytest.approx(float(rate), rel=0.02)
    assert seconds / 3600 == pytest.approx(int(hours) + int(minutes) / 60, rel=0.02, abs=1 / 60)
