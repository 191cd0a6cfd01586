"""The beliefs about AWS of docs/beliefs.md, by their IDs: how each is asked, or why it cannot be.

A probe reads what the steps have left in the evidence, or asks KMS itself.
"""

import json
from typing import Any

from mrk.verify.account import OPT_IN_REGIONS, TAGS_COUNT_AFTER, WAITS_FOR_DELETION
from mrk.verify.evidence import Answer, Evidence, NotAsked, Questions
from mrk.verify.key_sets import COMPLETE, IMPORTED, MISSING_ALIAS, ROLLED_BACK
from mrk.verify.steps import (
    TAGGING_API,
    TAGS_COUNT,
    answer_of_region_not_enabled,
    canonical,
    watch_delays,
)

BELIEFS = Questions()

QUIET_PERIOD = 900
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


@BELIEFS.add("lockout-check-passes", "created with a policy, by a role that may PutKeyPolicy")
def _lockout_check_passes(evidence: Evidence) -> Answer:
    key = evidence.created(COMPLETE)
    return Answer(f"{1 + len(key['replicas'])} keys created with a policy", holds=True)


@BELIEFS.add("tagging-while-creating", "created with tags, under Denies on what a key shows")
def _tagging_while_creating(evidence: Evidence) -> Answer:
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


@BELIEFS.add("replica-creation-context", "created by ReplicateKey, with tags of its own")
def _replica_creation_context(evidence: Evidence) -> Answer:
    account = evidence.account
    replica = evidence.created(COMPLETE)["replicas"][0]["arn"]
    seen = account.observe(
        "verify.describe-replica",
        "DescribeKey",
        given="a replica, created with policy, description and tags of its own",
        arrange=["primary", "replica"],
        region=account.other,
        key_arn=replica,
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
    tags = account.tags(replica)
    return Answer(
        f"{seen.answer.get('KeyState', seen.code)}, {len(tags)} tags",
        holds=seen.answer.get("KeyState") == "Enabled" and "part" in tags,
    )


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


@BELIEFS.add("key-policy-reads-back", "the same meaning, however rewritten")
def _key_policy_reads_back(evidence: Evidence) -> Answer:
    account, key_arn = evidence.account, evidence.created(COMPLETE)["primary"]["arn"]
    put: Any = evidence.plans[COMPLETE][0]["policy"]
    got = json.loads(account.call(account.home, "GetKeyPolicy", KeyId=key_arn)["Policy"])
    if got == put:
        return Answer("the document as it was put", holds=True)
    same = canonical(got) == canonical(put)
    return Answer("rewritten, the same meaning" if same else "another meaning", holds=same)


@BELIEFS.add("region-not-enabled-answer", _NOT_ENABLED_CODE)
def _region_not_enabled_answer(evidence: Evidence) -> Answer:
    _, code = answer_of_region_not_enabled(evidence)
    return Answer(code, holds=code == _NOT_ENABLED_CODE)


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


BELIEFS.add_not_asked(
    "lockout-check-and-new-tags",
    "unknown",
    "It takes a role whose PutKeyPolicy depends on the new key's tag; the stack has none.",
)
BELIEFS.add_not_asked(
    "new-key-visible-in-retries",
    "within the workflow's retries",
    "The stack repeats calls about a key that KMS does not show yet; from outside only the last "
    "answer is seen. Failed requests say KMS_KEY_NOT_FOUND.",
)
