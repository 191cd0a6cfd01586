from typing import Any

import pytest

from local.emulator.kms import trail

MOMENT = 1_605_662_958


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({"KeyId": "1"}, {"keyId": "1"}),
        ({"AWSAccountId": "1"}, {"aWSAccountId": "1"}),
        (
            {"Tags": [{"TagKey": "A", "TagValue": "B"}]},
            {"tags": [{"tagKey": "A", "tagValue": "B"}]},
        ),
        ({"CreationDate": MOMENT}, {"creationDate": "Nov 18, 2020, 1:29:18 AM"}),
        ({"ValidTo": MOMENT + 12 * 3600}, {"validTo": "Nov 18, 2020, 1:29:18 PM"}),
        ({"DeletionDate": MOMENT - 5400}, {"deletionDate": "Nov 17, 2020, 11:59:18 PM"}),
        ({"PendingWindowInDays": 7}, {"pendingWindowInDays": 7}),
    ],
)
def test_names_and_dates_are_written_as_cloudtrail_does(
    given: dict[str, Any], written: dict[str, Any]
) -> None:
    assert trail.camel(given) == written


def test_nothing_is_noted_while_nobody_wants_events() -> None:
    assert trail.note("DisableKey", {"KeyId": "1"}, {}) is None
