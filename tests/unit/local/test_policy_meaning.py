import json
from typing import Any

import pytest

from local.policy_meaning import meaning

READ: dict[str, Any] = {"Sid": "Read", "Effect": "Allow", "Action": ["kms:Get*", "kms:List*"]}
USE: dict[str, Any] = {"Sid": "Use", "Effect": "Deny", "Action": "kms:Decrypt"}
POLICY: dict[str, Any] = {"Version": "2012-10-17", "Statement": [READ, USE]}


@pytest.mark.parametrize(
    "same",
    [
        {**POLICY, "Statement": [USE, READ]},
        {**POLICY, "Statement": [USE, {**READ, "Action": ["kms:List*", "kms:Get*"]}]},
        {**POLICY, "Statement": [READ, {**USE, "Action": ["kms:Decrypt"]}]},
        json.loads(json.dumps(POLICY, sort_keys=True)),
    ],
)
def test_order_and_form_are_no_meaning(same: dict[str, Any]) -> None:
    assert meaning(same) == meaning(POLICY)


@pytest.mark.parametrize(
    "other",
    [
        {**POLICY, "Statement": [READ]},
        {**POLICY, "Statement": [READ, {**USE, "Effect": "Allow"}]},
        {**POLICY, "Statement": [READ, {**USE, "Action": "kms:Encrypt"}]},
    ],
)
def test_what_differs_in_meaning_differs(other: dict[str, Any]) -> None:
    assert meaning(other) != meaning(POLICY)
