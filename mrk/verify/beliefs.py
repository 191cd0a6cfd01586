"""The beliefs about AWS of docs/beliefs.md, by their IDs: how each is asked, or why it cannot be.

A probe reads what the steps have left in the evidence, or asks KMS itself.
"""

import json
from typing import Any

from mrk.verify import requests
from mrk.verify.account import OPT_IN_REGIONS, TAGS_COUNT_AFTER, WAITS_FOR_DELETION, field_of
from mrk.verify.evidence import Answer, Evidence, NotAsked, Questions
from mrk.verify.key_sets import COMPLETE, IMPORTED, MISSING_ALIAS, NOT_ENABLED, ROLLED_BACK
from mrk.verify.policy_meaning import text_means
from mrk.verify.steps import (
    TAGGING_API,
    TAGS_COUNT,
    answer_of_region_not_enabled,
    watch_delays,
)

BELIEFS = Questions()

QUIET_PERIOD = 900
_REQUEST_BYTES = 128 * 1024
_TOKEN_BYTES = 3072
_REFUSED = "KMS_REQUEST_REFUSED"
_NOT_ENABLED_CODE = "UnrecognizedClientException"


@BELIEFS.add("alias-look-up-missing", "NotFoundException")
def _alias_look_up_missing(evidence: Evidence) -> Answer:
    seen = evidence.account.observe(
        "verify.describe-missing-alias",
        "DescribeKey",
        given="no alias of that name; the caller may describe key/* only",
        arrange=[],
        region=evidence.account.home,
        KeyId=MISSING_ALIAS,
    )
    return Answer(seen.code, holds=seen.code == "NotFoundException")


@BELIEFS.add("lockout-check-resource", "created with a policy, by a role that may PutKeyPolicy")
def _lockout_check_resource(evidence: Evidence) -> Answer:
    key = evidence.created(COMPLETE)
    return Answer(f"{1 + len(key['replicas'])} keys created with a policy", holds=True)


@BELIEFS.add("new-key-shows-no-foreign-tag", "created with tags, under a Deny on other stacks'")
def _new_key_shows_no_foreign_tag(evidence: Evidence) -> Answer:
    account = evidence.account
    primary = evidence.created(COMPLETE)["primary"]["arn"]
    account.observe(
        "verify.describe-primary",
        "DescribeKey",
        given="a primary and its replica, created with policy, description and tags",
        arrange=["primary", "replica"],
        region=account.home,
        key_arn=primary,
        show=(
            "AWSAccountId",
            "KeyId",
            "KeyState",
            "Enabled",
            "MultiRegion",
            "CurrentKeyMaterialId",
            "MultiRegionConfiguration.MultiRegionKeyType",
            "MultiRegionConfiguration.PrimaryKey.Region",
            "MultiRegionConfiguration.ReplicaKeys",
        ),
        absent=("ExpirationModel", "ValidTo", "DeletionDate"),
    )
    return Answer("the primary has its tags", holds=bool(account.tags(primary)))


@BELIEFS.add("new-key-has-no-aliases", "a key that has an alias is replicated")
def _new_key_has_no_aliases(evidence: Evidence) -> Answer:
    # The workflow gives the primary its alias before it replicates the key.
    primary = evidence.created(COMPLETE)["primary"]
    return Answer(f"replicated with {primary['alias']}", holds=bool(primary["alias"]))


@BELIEFS.add("replica-is-no-primary", "a replica, created by a role that may create no others")
def _replica_is_no_primary(evidence: Evidence) -> Answer:
    account = evidence.account
    seen = account.observe(
        "verify.describe-replica",
        "DescribeKey",
        given="a replica, created with policy, description and tags of its own",
        arrange=["primary", "replica"],
        region=account.other,
        key_arn=evidence.created(COMPLETE)["replicas"][0]["arn"],
        show=(
            "KeyId",
            "KeyState",
            "Enabled",
            "MultiRegion",
            "MultiRegionConfiguration.MultiRegionKeyType",
            "MultiRegionConfiguration.PrimaryKey.Region",
        ),
        absent=("ExpirationModel", "ValidTo", "DeletionDate"),
    )
    kind = field_of(seen.answer, "MultiRegionConfiguration.MultiRegionKeyType")
    return Answer(str(kind or seen.code), holds=kind == "REPLICA")


@BELIEFS.add("replica-request-tags", "a replica with tags of its own")
def _replica_request_tags(evidence: Evidence) -> Answer:
    tags = evidence.account.tags(evidence.created(COMPLETE)["replicas"][0]["arn"])
    return Answer(f"{len(tags)} tags", holds="part" in tags)


@BELIEFS.add("replica-ready-in-time", "Enabled within the workflow's polls")
def _replica_ready_in_time(evidence: Evidence) -> Answer:
    state = evidence.created(COMPLETE)["replicas"][0]["keyState"]
    return Answer(str(state), holds=state == "Enabled")


@BELIEFS.add("tags-count-in-time", f"at most {TAGS_COUNT_AFTER} s after creation")
def _tags_count_in_time(evidence: Evidence) -> Answer:
    return _delay(evidence, TAGS_COUNT, TAGS_COUNT_AFTER)


@BELIEFS.add("tagging-api-delay", f"less than the quiet period's {QUIET_PERIOD} s")
def _tagging_api_delay(evidence: Evidence) -> Answer:
    return _delay(evidence, TAGGING_API, QUIET_PERIOD)


def _delay(evidence: Evidence, what: str, limit: float) -> Answer:
    evidence.created(COMPLETE)
    if what not in evidence.delays:
        watch_delays(evidence)
    seconds = evidence.delays.get(what)
    if seconds is None:
        return Answer("not yet", holds=False)
    return Answer(f"at most {seconds:.0f} s", holds=seconds <= limit)


@BELIEFS.add("policy-rewritten", "the same meaning, however rewritten")
def _policy_rewritten(evidence: Evidence) -> Answer:
    account, key_arn = evidence.account, evidence.created(COMPLETE)["primary"]["arn"]
    put: Any = evidence.plans[COMPLETE][0]["policy"]
    got = account.call(account.home, "GetKeyPolicy", KeyId=key_arn)["Policy"]
    if json.loads(got) == put:
        return Answer("the document as it was put", holds=True)
    same = text_means(got, put, partition=account.partition)
    return Answer("rewritten, the same meaning" if same else "another meaning", holds=same)


@BELIEFS.add("region-not-enabled-answer", _NOT_ENABLED_CODE)
def _region_not_enabled_answer(evidence: Evidence) -> Answer:
    _, code = answer_of_region_not_enabled(evidence)
    return Answer(code, holds=code == _NOT_ENABLED_CODE)


@BELIEFS.add("disabled-region-refused", f"FAILED {_REFUSED}")
def _disabled_region_refused(evidence: Evidence) -> Answer:
    status = evidence.statuses.get(NOT_ENABLED)
    if status is None:
        raise NotAsked("No replica was asked for in a Region that is not enabled.")
    seen = requests.failure(status)
    return Answer(seen, holds=seen == f"FAILED {_REFUSED}")


@BELIEFS.add("opt-in-region-credentials", "the functions' credentials work in an opt-in Region")
def _opt_in_region_credentials(evidence: Evidence) -> Answer:
    account = evidence.account
    if account.other not in OPT_IN_REGIONS:
        raise NotAsked("Name an enabled opt-in Region with --replica-region.")
    evidence.created(COMPLETE)
    return Answer(f"a replica was created in {account.other}", holds=True)


@BELIEFS.add("import-condition-keys", "imported with a role that may for origin EXTERNAL only")
def _import_condition_keys(evidence: Evidence) -> Answer:
    key_arn = evidence.created(IMPORTED)["primary"]["arn"]
    seen = evidence.account.observe(
        "verify.describe-imported",
        "DescribeKey",
        given="a primary of origin EXTERNAL whose material expires",
        arrange=["external primary", "import material for 1 days"],
        region=evidence.account.home,
        key_arn=key_arn,
        show=("KeyId", "KeyState", "Enabled", "Origin", "ExpirationModel", "CurrentKeyMaterialId"),
        absent=("DeletionDate",),
    )
    state = seen.answer.get("KeyState", seen.code)
    return Answer(f"{state}, origin {seen.answer.get('Origin')}", holds=state == "Enabled")


@BELIEFS.add("rollback-by-tag", "deletion allowed by the tag of the new key")
def _rollback_by_tag(evidence: Evidence) -> Answer:
    key = evidence.statuses.get(ROLLED_BACK, {}).get("key")
    if not key:
        raise NotAsked("No key was rolled back.")
    state = evidence.account.describe(key["primary"]["arn"])["KeyState"]
    return Answer(str(state), holds=state in WAITS_FOR_DELETION)


@BELIEFS.add("send-task-success-on-state-machine", "the answer with key material is taken")
def _send_task_success_on_state_machine(evidence: Evidence) -> Answer:
    evidence.created(IMPORTED)
    return Answer("taken", holds=True)


@BELIEFS.add("import-token-size", f"at most {_TOKEN_BYTES} bytes")
def _import_token_size(evidence: Evidence) -> Answer:
    if not evidence.token_bytes:
        raise NotAsked("No key material was asked for.")
    holds = evidence.token_bytes <= _TOKEN_BYTES
    return Answer(f"{evidence.token_bytes} bytes", holds=holds)


@BELIEFS.add("denied-put-events", "refused as a whole, or the entry alone with an error code")
def _denied_put_events(evidence: Evidence) -> Answer:
    if evidence.event_refusal is None:
        raise NotAsked("The bus takes your events, or was not asked.")
    return Answer(evidence.event_refusal, holds=True)


@BELIEFS.add("eventbridge-hands-on-utf-8", "an event with 128 KB of such text becomes a request")
def _eventbridge_hands_on_utf_8(evidence: Evidence) -> Answer:
    if not evidence.events_taken:
        raise NotAsked("The bus takes no requests from you, or was not asked.")
    # A ticket may have 4 KB: whatever arrives is refused, and makes no key.
    request = evidence.key_sets.refused(_REQUEST_BYTES)
    evidence.stack.send_event(request)
    arrived = requests.arrived(evidence.stack, request["requestId"])
    return Answer("arrived and refused" if arrived else "did not arrive", holds=arrived)


_NOT_ASKED = {
    "lockout-check-and-new-tags": "It takes a role whose grant depends on the tag.",
    "new-key-visible-in-retries": "Only the last of the repeated calls is seen.",
    "generated-names": "It takes one more permission, for what nothing in AWS relies on.",
    "key-policy-condition-keys": "It takes kms:PutKeyPolicy; the stack refuses such a policy.",
    "key-policy-resource": "It takes kms:PutKeyPolicy; the stack refuses such a policy.",
    "lockout-check-context": "It takes kms:CreateKey; the stack refuses such a policy.",
    "not-principal-spares": "It takes kms:PutKeyPolicy.",
    "policy-spelling-kept": "It takes kms:PutKeyPolicy.",
    "empty-elements-are-none": "It takes kms:PutKeyPolicy.",
    "lambda-and-kms-clocks": "It takes a function's own clock.",
    "edwards-not-under-rsa-2048": "It takes a key of its own for one answer.",
    "leaving-key-shows-its-material": "A proof does not wait until key material has expired.",
    "bypass-key-absent": "It takes kms:CreateKey; nothing depends on it.",
    "large-event-is-a-dead-letter": "A dead letter sets off the stack's alarm.",
    "data-limit-is-caught-by-its-name": "It takes states:StartExecution.",
    "state-data-is-counted-compact": "A request of 128 KB has too many Regions for a proof.",
    "get-resources-shows-all": "Only the roles of functions can.",
    "refusal-creates-nothing": "Throttling takes the whole quota of the account.",
    "new-principal-visible": "It takes a new principal.",
    "query-authorised-on-index": "A sweep runs by the hour; its alarms say that it failed.",
    "put-events-mixed-entries": "It takes a forged event.",
    "runtime-botocore": "The stack does not say which SDK it runs on.",
    "kms-quotas-are-buckets": "Throttling takes the whole quota of the account.",
    "tagging-api-order": "A proof makes too few keys for a second page.",
    "tagging-api-rate": "It takes calls from a quota that others may need.",
    "tagging-api-old-keys": "It takes hours.",
    "replica-creation-date": "CreationDate alone does not say whose it is.",
    "promotion-outdated-after-six-minutes": "It takes a call that arrives late.",
    "rotation-shown-after-ten-minutes": "It takes a call that arrives late.",
    "rotation-joins-the-running-one": "A proof rotates no key on demand.",
    "description-follows-new-material": "A proof rotates no key on demand.",
    "keys-updating-after-promotion": "A proof promotes no key.",
    "promotion-context": "A proof promotes no key.",
    "change-by-tag": "A proof changes no key set.",
    "last-use-by-tag": "Its grant is that of PlanChange, whose role nobody verifies with.",
    "canceled-deletion-restores-rotation": "A proof restores no key.",
    "alias-look-up-is-the-keys": "One answer does not show whose moment it is of.",
}
for _id, _reason in _NOT_ASKED.items():
    BELIEFS.add_not_asked(_id, "", _reason)
