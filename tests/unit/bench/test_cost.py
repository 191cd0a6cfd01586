"""What `make cost` works out: the bill of a month, its figures and their sources."""

from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from bench import cost, prices
from bench.cost import Line, Plan, Stack, bill
from provisioner.upkeep.recorded_keys import _STATUSES

USE = cost.measured_use(Path("docs/performance.md").read_text())
STACK = Stack(alarm_metrics=5, dashboards=1, secrets=2, polled_queues=2, starts_an_hour=9)
PAGE = """
| price | N = 0 | N = 1 | N = 3 |
| --- | ---: | ---: | ---: |
| Step Functions: 0.025 per 1,000 state transitions | 11: 0.2750 | 15: 0.3750 | 21: 0.5250 |
| Lambda: 0.2 per 1,000,000 requests | 5: 0.0010 | 8: 0.0016 | 12: 0.0024 |
| Lambda, x86_64: 0.0000166667 per GB-second | 0.1: 0.0021 | 0.2: 0.0045 | 0.5: 0.0082 |
| DynamoDB: 0.625 per 1,000,000 write units | 19: 0.0119 | 19: 0.0119 | 26: 0.0163 |
| DynamoDB, index: 0.625 per 1,000,000 write units | 2: 0.0013 | 2: 0.0013 | 2: 0.0013 |
| DynamoDB: 0.125 per 1,000,000 read units | 1: 0.0001 | 1: 0.0001 | 1: 0.0001 |
| EventBridge: 1 per 1,000,000 custom events | 2: 0.0020 | 2: 0.0020 | 2: 0.0020 |
| KMS: 0.03 per 10,000 requests | 3: 0.0090 | 8: 0.0240 | 16: 0.0480 |
| CloudWatch Logs: 0.5 per GB | 4.95e-06: 0.0025 | 7.9e-06: 0.0040 | 1.2e-05: 0.0060 |
| X-Ray, if sampled: 5 per 1,000,000 traces | 1: 0.0050 | 1: 0.0050 | 1: 0.0050 |
| together | 0.3098 | 0.4293 | 0.6142 |

| other | N = 0 |
| KMS: 0.03 per 10,000 requests | 3: 0.0090 |
"""


def dollars(lines: list[Line], service: str, what: str) -> float:
    return sum(line.dollars for line in lines if (line.service, line.what) == (service, what))


def a_bill(**fields: int) -> list[Line]:
    return bill(Plan(**{"key_sets": 0, "regions": 3, "requests": 0} | fields), USE, STACK)


def test_a_page_is_read_row_by_row() -> None:
    use = cost.measured_use(PAGE)

    assert use["Step Functions", "state transitions"] == {0: 11, 1: 15, 3: 21}
    assert use["Lambda", "GB-second"] == {0: 0.1, 1: 0.2, 3: 0.5}
    assert use["DynamoDB", "write units"] == {0: 21, 1: 21, 3: 28}
    assert use["CloudWatch Logs", "GB"][0] == 4.95e-06
    assert use["KMS", "requests"] == {0: 3, 1: 8, 3: 16}


@pytest.mark.parametrize("page", ["", PAGE.replace("KMS", "SQS"), PAGE.replace("per GB |", "|")])
def test_a_page_that_lacks_a_charge_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="charged for"):
        cost.measured_use(page)


@pytest.mark.parametrize(
    ("replicas", "units"), [(0, 11), (1, 15), (2, 18), (3, 21), (4, 24), (10, 42), (12, 48)]
)
def test_between_and_beyond_what_was_measured_units_are_on_a_line(
    replicas: int, units: float
) -> None:
    assert cost.units_of({0: 11, 1: 15, 3: 21, 10: 42}, replicas) == pytest.approx(units)


def test_each_key_of_each_region_is_paid_for() -> None:
    assert dollars(a_bill(key_sets=100, regions=3), "KMS", "keys") == 300


@pytest.mark.parametrize(("rotations", "usd"), [(0, 0), (1, 300), (2, 600), (3, 600), (25, 600)])
def test_two_rotations_of_a_key_are_charged_and_no_more(rotations: int, usd: float) -> None:
    lines = a_bill(key_sets=100, regions=3, rotations=rotations)

    assert dollars(lines, "KMS", "rotated key material") == usd


def test_the_sweep_asks_kms_twice_an_hour_for_each_key() -> None:
    lines = a_bill(key_sets=100, regions=3)

    assert dollars(lines, "KMS", "sweep") == pytest.approx(730 * 300 * 2 * 0.03 / 10_000)


def test_each_swept_region_reads_every_record() -> None:
    """docs/scale.md: 10,000 records in 17 Regions are 12 USD a month."""
    of_reads = next(
        line
        for line in a_bill(key_sets=10_000)
        if line.what == "sweep" and line.price is prices.READ_UNITS
    )

    assert of_reads.dollars == pytest.approx(11.6, abs=0.1)


def test_requests_cost_what_the_page_of_performance_says() -> None:
    """But for Lambda, which is x86_64's there, and the API, which is not there."""
    lines = [line for line in a_bill(requests=1_000, regions=4) if line.what == "requests"]
    counted = sum(line.dollars for line in lines if line.service not in {"Lambda", "API Gateway"})

    assert counted == pytest.approx(
        0.525 + 0.0163 + 0.0013 + 0.002 + 0.048 + 0.006 + 0.005, abs=1e-3
    )
    assert dollars(lines, "Step Functions", "requests") == pytest.approx(0.525)
    assert dollars(lines, "API Gateway", "requests") == pytest.approx(20 * 3.5 / 1_000)


def test_an_idle_stack_pays_for_what_it_has() -> None:
    lines = a_bill()

    assert dollars(lines, "CloudWatch", "alarms") == pytest.approx(0.5)
    assert dollars(lines, "CloudWatch", "dashboard") == 3
    assert dollars(lines, "Secrets Manager", "secrets") == pytest.approx(0.8)
    assert dollars(lines, "SQS", "polls") == pytest.approx(2 * 730 * 900 * 0.4 / 1_000_000)
    assert not any(dollars(lines, line.service, "requests") for line in lines)


def test_an_alarm_on_a_sum_costs_each_of_its_metrics() -> None:
    query: dict[str, Any] = {"MetricStat": {}}
    alarms = {
        "One": {"Type": "AWS::CloudWatch::Alarm", "Properties": {"MetricName": "Errors"}},
        "Sum": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {"Metrics": [{"Expression": "SUM(METRICS())"}, query, query, query]},
        },
    }

    assert cost.stack_of({"Resources": alarms}).alarm_metrics == 4


def test_schedules_are_read_by_the_hour() -> None:
    events = {
        name: {"Type": "Schedule", "Properties": {"Schedule": rate}}
        for name, rate in {"Hourly": "rate(1 hour)", "Often": "rate(15 minutes)"}.items()
    }
    function = {"Type": "AWS::Serverless::Function", "Properties": {"Events": events}}

    assert cost.stack_of({"Resources": {"Sweep": function}}).starts_an_hour == 5


def test_the_templates_are_counted() -> None:
    stack = cost.stack_of(*(yaml_parse(Path(name).read_text()) for name in cost.TEMPLATES))

    assert stack.alarm_metrics > 45
    assert (stack.dashboards, stack.secrets, stack.polled_queues) == (1, 2, 2)
    assert stack.starts_an_hour == 9


def test_the_metrics_of_an_hour_are_those_of_the_code() -> None:
    beside = ["PendingDeletions", "ApprovalsWaiting", "ChecksFailed", "OpenDrift"]
    assert len(_STATUSES) + len(beside) == cost.HOURLY_METRICS


def test_each_price_names_a_page_of_aws_and_how_it_was_seen() -> None:
    lines = a_bill(key_sets=1)

    assert all(line.price.page.startswith("https://aws.amazon.com/") for line in lines)
    assert all("/pricing/" in line.price.page and line.price.seen for line in lines)


def test_the_command_prints_the_bill(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["cost", "--key-sets", "100", "--regions", "3", "--requests", "20"]
    )

    cost.main()

    printed = capsys.readouterr().out
    assert "300.00" in printed
    assert "together" in printed
    assert "https://aws.amazon.com/kms/pricing/" in printed


@pytest.mark.parametrize("wrong", [["--key-sets", "-1"], ["--regions", "0"], ["--regions", "two"]])
def test_a_wrong_number_is_wrong_usage(
    wrong: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["cost", *wrong])

    with pytest.raises(SystemExit) as ended:
        cost.main()

    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err
