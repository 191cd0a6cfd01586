from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from provisioner.aws.clients import client
from provisioner.aws.records import Records, Status
from provisioner.aws.sweep_table import Position
from provisioner.clock import instant_text
from provisioner.errors import DependencyUnavailable
from provisioner.upkeep import sweep_region
from tests.support.answering import answer, calls_of, forget_answers, kms_for, on, refusal
from tests.support.clock import Clock
from tests.support.emitted_metrics import metrics_in
from tests.support.published import published_on
from tests.support.samples import EXECUTION, SETTINGS, key_arn, request_of
from tests.support.sweeping import HOME, LONG_AGO, region_sweeper, sweep_table
from tests.support.tagged_keys import make_key, show

QUIET = SETTINGS.quiet_period_seconds
TAGGING: Final = "resourcegroupstaggingapi"
Findings = list[tuple[str, str, dict[str, Any]]]


@pytest.fixture
def published(aws: None) -> Findings:  # noqa: ARG001
    return published_on(client("events"))


@pytest.fixture
def key(records: Records, clock: Clock) -> dict[str, Any]:
    """Return the key of a created request, which has its alias, and is not young any more."""
    return created(records, clock)


def created(records: Records, clock: Clock, request_id: str = "CHG1") -> dict[str, Any]:
    request, key = request_of(requestId=request_id), make_key(request_id=request_id)
    records.claim(request, EXECUTION)
    records.announce_attempt(request_id, EXECUTION, 1, "token")
    records.close_attempt(request_id, 1, key["Arn"])
    records.finish(request, execution_arn=EXECUTION, status=Status.CREATED, key=None, errors=[])
    records.mark_published(request_id, EXECUTION)
    if request_id == "CHG1":
        kms_for(HOME).create_alias(AliasName="alias/cards", TargetKeyId=key["KeyId"])
    clock.move(seconds=QUIET)
    return key


def work(records: Records, *, begin: bool = True, **options: Any) -> Position:
    position = region_sweeper(records, **options).sweep("worker", begin=begin)
    assert position
    return position


def kinds(published: Findings) -> list[str]:
    return [detail["kind"] for _, _, detail in published]


def pages_of(keys: list[dict[str, Any]], *expired: int) -> list[str]:
    """Let the tagging API list one key a page; give a list that grows with the tokens asked for."""
    tagging, asked = client(TAGGING, HOME), list[str]()
    tags = client(TAGGING, HOME).get_resources(ResourceTypeFilters=["kms:key"])
    by_arn = {one["ResourceARN"]: one for one in tags["ResourceTagMappingList"]}

    def note(params: dict[str, Any], **_: Any) -> None:
        asked.append(params.get("PaginationToken", ""))

    on(tagging, f"provide-client-params.{TAGGING}.GetResources", note)
    on(
        tagging,
        "before-call.resource-groups-tagging-api.GetResources",
        lambda **_: _page(asked, keys, by_arn, expired),
    )
    return asked


def _page(
    asked: list[str], keys: list[dict[str, Any]], by_arn: dict[str, Any], expired: tuple[int, ...]
) -> tuple[Any, dict[str, Any]]:
    number = int(asked[-1] or 0)
    if len(asked) - 1 in expired:
        parsed = refusal("PaginationTokenExpiredException")
    else:
        token = str(number + 1) if number + 1 < len(keys) else ""
        mapping = [by_arn[keys[number]["Arn"]]]
        parsed = {"ResourceTagMappingList": mapping, "PaginationToken": token}
    status = parsed.get("ResponseMetadata", {}).get("HTTPStatusCode", 200)
    return _Answer(status), {"ResponseMetadata": {"HTTPStatusCode": status}, **parsed}


class _Answer:
    def __init__(self, status: int) -> None:
        self.status_code = status


def looked_at() -> list[str]:
    """Return a list that grows with every key that KMS is asked about."""
    asked: list[str] = []
    on(
        client("kms", HOME),
        "provide-client-params.kms.DescribeKey",
        lambda params, **_: asked.append(params["KeyId"]),
    )
    return asked


def stray(count: int, clock: Clock) -> list[dict[str, Any]]:
    keys = [make_key(request_id=f"CHG{number}") for number in range(10, 10 + count)]
    clock.move(seconds=QUIET)
    return keys


def times(number: int) -> Callable[[], bool]:
    """Return a clock that has time for this many pages, counted with the one before the first."""
    left = iter([True] * number + [False])
    return lambda: next(left)


def test_every_page_is_looked_at_and_the_position_is_written_down(
    records: Records, published: Findings, clock: Clock
) -> None:
    keys = stray(3, clock)
    asked = pages_of(keys)
    saved: list[Position] = []
    on(
        client("dynamodb"),
        "after-call.dynamodb.UpdateItem",
        lambda **_: saved.append(sweep_table().positions([HOME])[HOME]),
    )

    position = work(records)

    assert asked == ["", "1", "2"]
    assert [detail["keyArn"] for _, _, detail in published] == [key["Arn"] for key in keys]
    # Taken, begun, three pages, released.
    assert [one.looked for one in saved] == [0, 0, 1, 2, 3, 3]
    assert [one.is_under_way for one in saved] == [False, True, True, True, False, False]
    assert position == saved[-1]
    assert (position.keys, position.failed, position.earlier) == (3, 0, 0)
    assert position.ended_at == clock.time.isoformat()


def test_a_worker_without_time_leaves_the_rest_to_the_next(records: Records, clock: Clock) -> None:
    keys = stray(3, clock)
    asked, seen = pages_of(keys), looked_at()

    first = region_sweeper(records).sweep("first", begin=True, has_time=times(2))
    second = region_sweeper(records).sweep("second", begin=False)

    assert first
    assert second
    assert (first.is_under_way, first.looked) == (True, 2)
    assert (second.is_under_way, second.looked, second.keys) == (False, 3, 3)
    assert second.begun_at == first.begun_at
    assert asked == ["", "1", "2"]
    assert seen == [key["Arn"] for key in keys]


@pytest.mark.parametrize("begin", [True, False])
def test_a_worker_that_is_killed_is_followed_by_one_that_goes_on_where_it_was(
    begin: bool, records: Records, clock: Clock
) -> None:
    keys = stray(5, clock)
    asked, seen = pages_of(keys), looked_at()

    def killed(**_: Any) -> None:
        if len(seen) == 4:
            raise KeyboardInterrupt

    on(client("kms", HOME), "before-call.kms.DescribeKey", killed)
    # Nothing is tidied up where a process is killed: not even its hold on the Region.
    on(client("dynamodb"), "provide-client-params.dynamodb.UpdateItem", keep_the_lease)
    with pytest.raises(KeyboardInterrupt):
        region_sweeper(records).sweep("killed", begin=True)
    at_once = region_sweeper(records).sweep("too early", begin=begin)
    clock.move(seconds=sweep_region.WORKER_SECONDS + 1)

    position = work(records, begin=begin)

    assert at_once is None
    assert asked == ["", "1", "2", "3", "3", "4"]
    arns = [key["Arn"] for key in keys]
    assert seen == [*arns[:4], *arns[3:]]
    assert (position.is_under_way, position.keys) == (False, 5)


def keep_the_lease(params: dict[str, Any], **_: Any) -> dict[str, Any]:
    if params["UpdateExpression"] == "REMOVE leasedUntil":
        return {**params, "UpdateExpression": "SET killed = :me"}
    return params


def test_a_region_that_was_looked_through_is_left_until_a_sweep_begins(
    records: Records, published: Findings, clock: Clock
) -> None:
    work(records)
    stray(1, clock)

    left = work(records, begin=False)
    kinds_before = kinds(published)
    begun = work(records, begin=True)

    assert (left.keys, kinds_before) == (0, [])
    assert (begun.keys, kinds(published)) == (1, ["SURPLUS_KEY"])


def test_a_region_is_one_workers_at_a_time(records: Records, clock: Clock) -> None:
    stray(1, clock)
    assert sweep_table().take(HOME, "other", 900) == Position()
    seen = looked_at()

    assert region_sweeper(records).sweep("me", begin=True) is None

    assert seen == []


def test_a_worker_that_lost_its_region_stops(records: Records, clock: Clock) -> None:
    keys = stray(3, clock)
    asked = pages_of(keys)

    def take_over(**_: Any) -> None:
        clock.move(seconds=sweep_region.WORKER_SECONDS + 1)
        assert sweep_table().take(HOME, "other", 900)

    on(client("kms", HOME), "before-call.kms.DescribeKey", take_over)

    assert region_sweeper(records).sweep("me", begin=True) is None

    assert asked == [""]
    assert sweep_table().take(HOME, "third", 900) is None


def test_a_token_that_has_expired_costs_no_second_look_at_a_key(
    records: Records, published: Findings, clock: Clock
) -> None:
    keys = stray(4, clock)
    asked, seen = pages_of(keys, 3), looked_at()

    position = work(records)

    assert asked == ["", "1", "2", "3", "", "1", "2", "3"]
    assert seen == [key["Arn"] for key in keys]
    assert len(published) == 4
    assert (position.looked, position.keys, position.is_under_way) == (4, 4, False)


def test_a_region_that_does_not_answer_is_counted_and_gone_on_with_later(
    records: Records, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    stray(1, clock)
    answer(client(TAGGING, HOME), "GetResources", refusal("UnrecognizedClientException"))

    broken = work(records)
    forget_answers()
    repaired = work(records, begin=False)

    assert (broken.is_under_way, repaired.is_under_way, repaired.keys) == (True, False, 1)
    assert capsys.readouterr().out.count('"ChecksFailed":[1.0]') == 1


def test_a_table_that_does_not_say_what_is_open_leaves_the_region_to_the_next(
    records: Records, clock: Clock
) -> None:
    stray(1, clock)
    answer(client("dynamodb"), "Query", refusal("InternalServerError"))
    work(records)
    forget_answers()

    assert work(records).keys == 1


def test_calls_keep_to_a_twentieth_of_kms_quotas(
    records: Records, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = clock.time
    monkeypatch.setattr(sweep_region, "sleep", lambda seconds: clock.move(seconds=seconds))
    keys: dict[str, Any] = {key_arn(key_id=f"mrk-{number}"): {} for number in range(1_000)}
    sweeper = region_sweeper(records)
    kms = client("kms", HOME)
    answer(kms, "DescribeKey", refusal("NotFoundException"))
    described = calls_of(kms)

    answers = dict(sweeper._describe(keys))
    seconds = (clock.time - began).total_seconds()

    assert answers.keys() == keys.keys()
    assert len(described) == 1_000
    assert 1_000 / seconds == pytest.approx(2_000 * 0.05)


def test_aliases_are_listed_once_and_keep_to_a_twentieth_of_the_quota(
    records: Records, published: Findings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [created(records, clock, f"CHG{number}") for number in range(1, 4)]
    waits: list[float] = []
    monkeypatch.setattr(sweep_region, "sleep", waits.append)
    aliases = [
        {"AliasName": f"alias/{number}", "TargetKeyId": keys[0]["KeyId"]} for number in range(5)
    ]
    aliases[4]["AliasName"] = "alias/cards"
    pages: list[dict[str, Any]] = [
        {"Aliases": [alias], "Truncated": True, "NextMarker": alias["AliasName"]}
        for alias in aliases
    ]
    answer(client("kms", HOME), "ListAliases", *pages, {"Aliases": [{"AliasName": "alias/aws/x"}]})
    calls = calls_of(client("kms", HOME))

    work(records)

    listed = [parameters for name, parameters in calls if name == "ListAliases"]
    assert [parameters["Limit"] for parameters in listed] == [100] * 6
    assert sum(wait == pytest.approx(1 / 25) for wait in waits) == 6
    # The other two requests want the same alias; only they need a look of their own.
    assert [name for name, _ in calls].count("DescribeKey") == 3 + 2
    assert kinds(published) == ["ALIAS_ELSEWHERE"] * 2


def test_pages_are_asked_for_once_a_second(
    records: Records, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages_of(stray(5, clock))
    began = clock.time
    monkeypatch.setattr(sweep_region, "sleep", lambda seconds: clock.move(seconds=seconds))

    work(records)

    # Nothing has to wait for a page after the last one.
    assert (clock.time - began).total_seconds() == pytest.approx(4 + 1 / 100)


@pytest.mark.parametrize(("seconds", "wait"), [(0, 0.2), (0.05, 0.15), (0.2, 0), (3, 0)])
def test_a_pause_is_what_is_left_of_the_time_that_calls_may_take(
    seconds: float, wait: float
) -> None:
    assert sweep_region.pause(20, 100, seconds) == pytest.approx(wait)


def test_a_finding_is_published_once_and_counted_in_each_sweep(
    key: dict[str, Any], records: Records, published: Findings, capsys: pytest.CaptureFixture[str]
) -> None:
    show(key, KeyState="PendingImport")

    for _ in range(3):
        work(records)

    assert kinds(published) == ["KEY_NOT_ENABLED"]
    counted = [
        metric
        for line in capsys.readouterr().out.splitlines()
        for metric in metrics_in([line])
        if metric.name == "Findings"
    ]
    assert len(counted) == 3


def test_a_finding_that_has_changed_is_published_again(
    key: dict[str, Any], records: Records, published: Findings
) -> None:
    for state in ("PendingImport", "Unavailable", "Unavailable"):
        show(key, KeyState=state)
        work(records)

    assert [detail["message"].split()[2] for _, _, detail in published] == [
        "PendingImport,",
        "Unavailable,",
    ]


def test_a_finding_that_comes_back_is_published_again(
    key: dict[str, Any], records: Records, published: Findings
) -> None:
    for state in ("PendingImport", "Enabled", "PendingImport"):
        show(key, KeyState=state)
        work(records)

    assert kinds(published) == ["KEY_NOT_ENABLED"] * 2


def test_one_finding_about_a_key_does_not_hide_another(
    key: dict[str, Any], records: Records, published: Findings, clock: Clock
) -> None:
    show(key, ValidTo=clock.time + timedelta(days=3))
    work(records)
    kms_for(HOME).delete_alias(AliasName="alias/cards")
    work(records)
    show(key, ValidTo=clock.time + timedelta(days=300))
    work(records)

    assert kinds(published) == ["MATERIAL_EXPIRES", "ALIAS_ELSEWHERE"]
    assert [*sweep_table().open_findings(HOME)] == [f"{key['Arn']}#ALIAS_ELSEWHERE"]


def test_an_open_finding_can_be_read_by_a_person(
    key: dict[str, Any], records: Records, published: Findings, clock: Clock
) -> None:
    show(key, KeyState="Unavailable")
    work(records)

    items = client("dynamodb").scan(TableName="sweep")["Items"]

    (item,) = [one for one in items if one["subject"]["S"] != "position"]
    assert item["place"]["S"] == HOME
    assert published[0][2]["message"] in item["finding"]["S"]
    assert datetime.fromisoformat(item["publishedAt"]["S"]) == clock.time


def test_a_finding_that_the_bus_refused_is_published_by_the_next_sweep(
    key: dict[str, Any], records: Records, published: Findings
) -> None:
    show(key, KeyState="Unavailable")
    refused = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
    answer(client("events"), "PutEvents", refused)

    first = work(records)
    forget_answers()
    show(key, KeyState="Unavailable")
    published = published_on(client("events"))
    second = work(records)

    assert (first.failed, second.failed) == (1, 0)
    assert kinds(published) == ["KEY_NOT_ENABLED"]


def test_what_is_open_about_a_deleted_key_is_closed(
    records: Records, published: Findings, clock: Clock
) -> None:
    (key,) = stray(1, clock)
    work(records)
    before = sweep_table().open_findings(HOME)
    answer(client("kms", HOME), "DescribeKey", refusal("NotFoundException"))

    work(records)

    assert [*before] == [f"{key['Arn']}#SURPLUS_KEY"]
    assert sweep_table().open_findings(HOME) == {}
    assert len(published) == 1


def test_a_deletion_is_reported_once_and_that_the_key_is_gone_once(
    key: dict[str, Any], records: Records, published: Findings, clock: Clock
) -> None:
    date = clock.time + timedelta(days=7)
    show(key, KeyState="PendingDeletion", DeletionDate=date)
    work(records)
    work(records)
    before = sweep_table().open_findings(HOME)
    answer(client("kms", HOME), "DescribeKey", *[refusal("NotFoundException")] * 3)
    for _ in range(3):
        work(records)

    assert [*before] == [f"{key['Arn']}#KEY_NOT_ENABLED"]
    assert [*sweep_table().open_findings(HOME)] == [f"{key['Arn']}#KEY_MISSING"]
    assert kinds(published) == ["KEY_NOT_ENABLED", "KEY_MISSING"]
    assert f"KMS deletes it at {instant_text(date)}." in published[0][2]["message"]
    assert f"KMS does not know {key['Arn']} any more" in published[1][2]["message"]


def test_what_is_open_about_a_key_that_cannot_be_looked_at_stays_open(
    key: dict[str, Any], records: Records
) -> None:
    show(key, KeyState="Unavailable")
    work(records)
    before = sweep_table().open_findings(HOME)
    answer(client("kms", HOME), "DescribeKey", refusal("AccessDeniedException"))

    position = work(records)

    assert position.failed == 1
    assert sweep_table().open_findings(HOME) == before


def test_a_healthy_key_costs_one_call_of_kms_and_a_hundredth_of_the_others(
    records: Records, clock: Clock
) -> None:
    for number in range(1, 4):
        created(records, clock, f"CHG{number}")
    records.get("CHG2")
    kms_for(HOME)
    dynamodb, kms = calls_of(client("dynamodb")), calls_of(client("kms", HOME))
    answer(
        client("kms", HOME),
        "ListAliases",
        {"Aliases": []},
    )

    work(records)

    names = [name for name, _ in dynamodb]
    assert names.count("BatchGetItem") == 1
    assert "GetItem" not in names
    assert [name for name, _ in kms].count("ListAliases") == 1


@pytest.mark.parametrize("may_delete", [True, False])
def test_keys_older_than_the_table_are_one_finding_and_are_never_deleted(
    may_delete: bool, records: Records, published: Findings, clock: Clock
) -> None:
    keys = stray(3, clock)
    settings = replace(SETTINGS, sweeper_may_delete=may_delete)

    for _ in range(2):
        position = work(records, settings=settings, table_made_at=clock.time)

    ((_, _, detail),) = published
    assert position.earlier == 3
    assert detail["kind"] == "KEYS_OF_AN_EARLIER_DEPLOYMENT"
    assert (detail["requestId"], detail["keyArn"], detail["region"]) == (None, None, HOME)
    assert detail["message"].startswith(f"3 keys in {HOME} carry the tags of mrk-provisioner")
    assert "ExistingRequestsTable" in detail["message"]
    states = {
        client("kms", HOME).describe_key(KeyId=key["Arn"])["KeyMetadata"]["KeyState"]
        for key in keys
    }
    assert states == {"Enabled"}


def test_keys_of_an_earlier_deployment_are_no_finding_once_their_table_is_taken_over(
    records: Records, published: Findings, clock: Clock
) -> None:
    created(records, clock)
    work(records, table_made_at=LONG_AGO)

    assert published == []


def test_a_key_whose_record_a_restored_table_lost_is_never_deleted(
    records: Records, published: Findings, clock: Clock
) -> None:
    request = request_of()
    records.claim(request, EXECUTION)
    records.finish(request, execution_arn=EXECUTION, status=Status.FAILED, key=None, errors=[])
    key = make_key()
    clock.move(seconds=QUIET)
    settings = replace(SETTINGS, sweeper_may_delete=True)

    work(records, settings=settings, table_made_at=clock.time)

    assert kinds(published) == ["KEYS_OF_AN_EARLIER_DEPLOYMENT"]
    state = client("kms", HOME).describe_key(KeyId=key["Arn"])["KeyMetadata"]["KeyState"]
    assert state == "Enabled"


def changed_meanwhile(records: Records) -> Iterator[Callable[[str], None]]:
    """Yield what may have happened to a surplus key and its request since they were listed."""
    request = request_of()

    def claimed(_arn: str) -> None:
        records.claim(request, EXECUTION)

    def recorded(arn: str) -> None:
        records.claim(request, EXECUTION)
        records.announce_attempt("CHG1", EXECUTION, 1, "token")
        records.close_attempt("CHG1", 1, arn)
        records.finish(request, execution_arn=EXECUTION, status=Status.FAILED, key=None, errors=[])

    def attempted(_arn: str) -> None:
        records.claim(request, EXECUTION)
        records.announce_attempt("CHG1", EXECUTION, 1, "token")
        records.finish(request, execution_arn=EXECUTION, status=Status.FAILED, key=None, errors=[])

    def left(arn: str) -> None:
        kms_for(HOME).schedule_key_deletion(KeyId=arn, PendingWindowInDays=30)

    yield from (claimed, recorded, attempted, left)


@pytest.mark.parametrize("which", range(4))
def test_a_key_is_deleted_only_if_what_is_read_right_before_still_allows_it(
    which: int, records: Records, published: Findings, clock: Clock
) -> None:
    key = make_key()
    clock.move(seconds=QUIET)
    change = [*changed_meanwhile(records)][which]
    settings = replace(SETTINGS, sweeper_may_delete=True)
    done: list[None] = []

    def meanwhile(**_: Any) -> None:
        if not done:
            done.append(None)
            change(key["Arn"])

    # Aliases are listed after the records and the key were read.
    on(client("kms", HOME), "before-call.kms.ListAliases", meanwhile)
    calls = calls_of(client("kms", HOME))

    work(records, settings=settings)

    assert done
    assert published == []
    scheduled = [p for name, p in calls if name == "ScheduleKeyDeletion"]
    assert all(p["PendingWindowInDays"] == 30 for p in scheduled)


def test_a_worker_that_cannot_take_its_region_fails(records: Records) -> None:
    answer(client("dynamodb"), "UpdateItem", refusal("InternalServerError"))

    with pytest.raises(DependencyUnavailable, match="DynamoDB did not do UpdateItem"):
        region_sweeper(records).sweep("me", begin=True)
