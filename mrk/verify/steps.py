"""What the stack is asked to do, and whether KMS then has it: each step is one row of the table.

A feature that is to be proved in an account adds a step here, and a request or a change to
`key_sets`.
"""

import base64
import os
from contextlib import suppress
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from mrk.errors import MrkError
from mrk.stack import EventRefused
from mrk.verify import requests
from mrk.verify.account import (
    REQUEST_ID_TAG,
    TAGS_COUNT_AFTER,
    WAITS_FOR_DELETION,
    field_of,
    region_of,
    seconds_since,
)
from mrk.verify.evidence import Answer, Evidence, NotAsked, Questions
from mrk.verify.key_sets import (
    BY_EVENT,
    COMPLETE,
    IMPORTED,
    MATERIAL_BYTES,
    MISSING_ALIAS,
    NOT_ENABLED,
    ROLLED_BACK,
    ROTATION_DAYS,
)
from mrk.verify.policy_meaning import text_means
from mrk.waiting import wait_for

STEPS = Questions()

TAGGING_API, TAGS_COUNT = "tagging API", "tags count"
_SYMMETRIC_BYTES = 32


@STEPS.add("create", "CREATED, with every setting that a key can have")
def _create(evidence: Evidence) -> Answer:
    requests.send(evidence, COMPLETE, evidence.key_sets.requests()[COMPLETE])
    status = requests.follow(evidence, COMPLETE, watch=lambda: watch_delays(evidence))
    if status["status"] != requests.CREATED:
        return Answer(requests.failure(status), holds=False)
    _await_delays(evidence)
    wrong = [
        f"{key['region']}: {name}"
        for key, planned in zip(_keys(status["key"]), evidence.plans[COMPLETE], strict=True)
        for name in _differences(evidence, key["arn"], planned)
    ]
    if wrong:
        return Answer(f"CREATED, but not as planned: {', '.join(wrong)}", holds=False)
    return Answer("CREATED, every Region as planned", holds=True)


@STEPS.add("send-again", "accepted, the same key, no second one")
def _send_again(evidence: Evidence) -> Answer:
    before = evidence.created(COMPLETE)["keyId"]
    requests.send(evidence, COMPLETE, evidence.key_sets.requests()[COMPLETE])
    status = requests.follow(evidence, COMPLETE)
    found = _tagged(evidence, COMPLETE)
    same = status["status"] == requests.CREATED and status["key"]["keyId"] == before
    return Answer(
        f"{status['status']}, {'the same key' if same else 'another key'}, {len(found)} tagged",
        holds=same and len(found) <= 1,
    )


@STEPS.add("send-other-content", "409 REQUEST_CONFLICT")
def _send_other_content(evidence: Evidence) -> Answer:
    evidence.created(COMPLETE)
    other = evidence.key_sets.requests()[COMPLETE] | {"description": "Something else"}
    reply = evidence.stack.call("POST", "/keys", other)
    codes = [error["code"] for error in reply.body.get("errors", [])]
    return Answer(
        f"{reply.status} {', '.join(codes)}".strip(),
        holds=reply.status == HTTPStatus.CONFLICT and codes == ["REQUEST_CONFLICT"],
    )


@STEPS.add("create-by-event", "the event becomes a request, CREATED")
def _create_by_event(evidence: Evidence) -> Answer:
    request = evidence.key_sets.requests()[BY_EVENT]
    try:
        _send_event(evidence, request)
    except NotAsked:
        requests.send(evidence, BY_EVENT, request)
        status = requests.follow(evidence, BY_EVENT)
        if status["status"] == requests.CREATED:
            raise
    else:
        status = requests.follow(evidence, BY_EVENT)
    return Answer(requests.failure(status), holds=status["status"] == requests.CREATED)


def _send_event(evidence: Evidence, request: dict[str, Any]) -> None:
    """Send a request as an event.

    Raises
    ------
    NotAsked
        This caller may send none.
    MrkError
        The event was taken and did not become a request.
    """
    if evidence.stack.event_bus is None:
        raise NotAsked("The bus is known by --stack only. Sent through the API instead.")
    evidence.sent.append(BY_EVENT)
    try:
        evidence.stack.send_event(request)
    except EventRefused as refused:
        evidence.event_refusal = refused.how
        raise NotAsked(f"{refused} Sent through the API instead.") from refused
    evidence.events_taken = True
    if not requests.arrived(evidence.stack, request["requestId"]):
        raise MrkError("EventBridge took the event, and no request came of it.")


@STEPS.add("roll-back", "FAILED KEY_POLICY_REFUSED, the key waits for its deletion")
def _roll_back(evidence: Evidence) -> Answer:
    evidence.created(COMPLETE)
    requests.send(evidence, ROLLED_BACK, evidence.key_sets.requests()[ROLLED_BACK])
    status = requests.follow(evidence, ROLLED_BACK)
    states = _states(evidence, status)
    return Answer(
        f"{requests.failure(status)}, {', '.join(states) or 'no key'}",
        holds=requests.failure(status) == "FAILED KEY_POLICY_REFUSED"
        and bool(states)
        and set(states) <= set(WAITS_FOR_DELETION),
    )


@STEPS.add("import", "CREATED, material that expires when it should")
def _import(evidence: Evidence) -> Answer:
    size = MATERIAL_BYTES.get(evidence.account.partition, _SYMMETRIC_BYTES)
    evidence.material = os.urandom(size)
    return _imported(evidence, evidence.key_sets.imported(evidence.key_sets.valid_to))


@STEPS.add("renew", "the same request with a later validTo, the same material until then")
def _renew(evidence: Evidence) -> Answer:
    evidence.created(IMPORTED)
    later = evidence.key_sets.valid_to + timedelta(days=1)
    return _imported(evidence, evidence.key_sets.imported(later))


def _imported(evidence: Evidence, request: dict[str, Any]) -> Answer:
    requests.send(evidence, IMPORTED, request)
    asked = (requests.WAITING_FOR_MATERIAL, requests.FAILED, "REJECTED")
    status = requests.follow(evidence, IMPORTED, until=asked)
    if status["status"] != requests.WAITING_FOR_MATERIAL:
        return Answer(requests.failure(status), holds=False)
    sizes = [len(base64.b64decode(asked["importToken"])) for asked in status["materials"]]
    evidence.token_bytes = max(evidence.token_bytes, *sizes)
    requests.provide_material(evidence, status, evidence.material)
    status = requests.follow(evidence, IMPORTED)
    if status["status"] != requests.CREATED:
        return Answer(requests.failure(status), holds=False)
    valid_to = evidence.account.describe(status["key"]["primary"]["arn"]).get("ValidTo")
    seen = f"{valid_to:%Y-%m-%dT%H:%M:%SZ}" if valid_to else "never"
    wanted = request["keyMaterial"]["validTo"]
    return Answer(f"CREATED, expires {seen}", holds=seen == wanted)


@STEPS.add("region-not-enabled", "FAILED, the key waits for its deletion")
def _region_not_enabled(evidence: Evidence) -> Answer:
    region, code = answer_of_region_not_enabled(evidence)
    if code == "AccessDeniedException":
        raise NotAsked(f"You may not ask KMS in {region}.")
    request = evidence.key_sets.requests()[NOT_ENABLED]
    requests.send(evidence, NOT_ENABLED, request)
    status = requests.follow(evidence, NOT_ENABLED)
    states = _states(evidence, status)
    return Answer(
        f"{requests.failure(status)}, {', '.join(states) or 'no key'}",
        holds=status["status"] == requests.FAILED and set(states) <= set(WAITS_FOR_DELETION),
    )


def answer_of_region_not_enabled(evidence: Evidence) -> tuple[str, str]:
    """Ask KMS in the Region that is not enabled; return the Region and the code of its answer.

    Raises
    ------
    NotAsked
        No such Region was named, or KMS answers there.
    """
    region = evidence.key_sets.not_enabled_region
    if region is None:
        raise NotAsked("Name a Region that the account has not enabled: --not-enabled-region.")
    code = evidence.account.ask(region, "DescribeKey", KeyId=MISSING_ALIAS).code
    if code in ("Success", "NotFoundException"):
        raise NotAsked(f"KMS answers {code} in {region}: the Region is enabled.")
    return region, code


def watch_delays(evidence: Evidence) -> None:
    """Note when the tagging API shows the complete set's primary, and when its tags count."""
    account, delays = evidence.account, evidence.delays
    if {TAGGING_API, TAGS_COUNT} <= delays.keys():
        return
    found = _tagged(evidence, COMPLETE)
    if found and TAGGING_API not in delays:
        delays[TAGGING_API] = seconds_since(account.describe(found[0])["CreationDate"])
    key = evidence.statuses.get(COMPLETE, {}).get("key")
    arn = key["primary"]["arn"] if key else next(iter(found), None)
    if arn and TAGS_COUNT not in delays:
        seen = account.ask(account.home, "ListResourceTags", KeyId=arn)
        if seen.code == "Success":
            delays[TAGS_COUNT] = seconds_since(account.describe(arn)["CreationDate"])


def _await_delays(evidence: Evidence) -> None:
    """Go on watching what has not been seen yet, as long as tags may take to count."""

    def seen() -> bool | None:
        watch_delays(evidence)
        return {TAGGING_API, TAGS_COUNT} <= evidence.delays.keys() or None

    # What is not seen by then is the answer of a belief, not a failure of this step.
    with suppress(MrkError):
        wait_for(seen, "the tags", timeout=TAGS_COUNT_AFTER)


def _tagged(evidence: Evidence, name: str) -> list[str]:
    """List the keys in the stack's Region that the tagging API shows for a request."""
    request_id = evidence.key_sets.request_id(name)
    tagged = evidence.account.tagged(evidence.account.home, evidence.key_sets.run)
    return [arn for arn, tags in tagged.items() if tags.get(REQUEST_ID_TAG) == request_id]


def _keys(key: dict[str, Any]) -> list[dict[str, Any]]:
    return [key["primary"], *key["replicas"]]


def _states(evidence: Evidence, status: dict[str, Any]) -> list[str]:
    key = status["key"]
    return [
        str(evidence.account.describe(one["arn"])["KeyState"])
        for one in (_keys(key) if key else [])
    ]


def _differences(evidence: Evidence, key_arn: str, planned: dict[str, Any]) -> list[str]:
    """List the settings in which a key is not as planned."""
    account = evidence.account
    metadata, tags = account.describe(key_arn), account.tags(key_arn)
    region = region_of(key_arn)
    policy = account.call_patiently(region, "GetKeyPolicy", KeyId=key_arn)["Policy"]
    rotation = account.call_patiently(region, "GetKeyRotationStatus", KeyId=key_arn)
    right = {
        "region": region == planned["region"],
        "state": metadata["KeyState"] == "Enabled",
        "description": metadata["Description"] == planned["description"],
        "alias": account.aliases(key_arn) == [planned["alias"]],
        "tags": planned["tags"].items() <= tags.items(),
        "policy": text_means(policy, planned["policy"], partition=account.partition),
        "rotation": field_of(rotation, "RotationPeriodInDays") == ROTATION_DAYS,
    }
    return [name for name, is_right in right.items() if not is_right]
