"""Why a change to a key set is refused, and what is to be known before it is carried out.

What can hurt is confirmed with a word in the request's `confirm`.
"""

from collections.abc import Iterator

from provisioner.domain.change import (
    Change,
    ObservedSet,
    is_leaving,
    observed_as_declared,
    plan_change,
    state_by_then,
)
from provisioner.domain.key_specs import Origin
from provisioner.domain.key_states import PENDING_DELETION_STATES
from provisioner.domain.lost_principals import lost_principals
from provisioner.domain.plan import (
    STACK_TAG,
    KeySetRequest,
    confirmed_words,
    deletion_window,
    is_decommissioned,
    plan_key,
    regions,
    tag_command,
)
from provisioner.domain.policy_meaning import gone_principals
from provisioner.errors import Problem, new_problem
from provisioner.settings import Settings

_NEVER_CHANGES = ("keySpec", "keyUsage", "origin")
_PASSES = ("Enabled", "Creating", "Updating")
"""States of a key that is enabled, or will be in a moment."""
_MOST_NAMED = 3
"""Principals, in one message."""
_NEEDS_ENABLED = {
    "ReplicateKey": "is replicated",
    "UpdatePrimaryRegion": "takes part in a promotion",
    "EnableKeyRotation": "gets another rotation",
    "DisableKeyRotation": "gets another rotation",
}
"""https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html#key-state-table"""


def change_problems(
    applied: KeySetRequest,
    declared: KeySetRequest,
    changes: list[Change],
    observed: ObservedSet,
) -> list[Problem]:
    """Find what no word makes possible: `IMMUTABLE` and `CHANGE_NOT_SUPPORTED`."""
    return [
        *_immutable(applied, declared),
        *_gone(declared, changes, observed),
        *_without_material(declared, changes),
        *_disabled_keys(declared, changes, observed),
    ]


def lost_principal_problems(
    applied: KeySetRequest,
    declared: KeySetRequest,
    changes: list[Change],
    settings: Settings,
) -> Iterator[Problem]:
    """Refuse to write the name of a principal that is gone: it may be another one's by now.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
    """
    for change in changes:
        region = change["region"]
        if change["call"] != "PutKeyPolicy" or region not in regions(applied):
            continue
        put = plan_key(applied, region, settings).policy
        if lost := lost_principals(change["from"], put, change["to"]):
            text = (
                f"The key policy in {region} shows that a principal was deleted "
                f"({_some(gone_principals(change['from']))}), and the declared one names it still: "
                f"{_some(lost)}. Leave that out of the policy. To let in who has the name now, add "
                "it in the revision after that."
            )
            yield new_problem(_path_of(declared, change), "POLICY_PRINCIPAL_GONE", text)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{', '.join(names[:_MOST_NAMED])}{more}"


def gone_set_problem(declared: KeySetRequest) -> Problem:
    """Return why a set of which KMS has no key any more cannot be changed."""
    text = (
        f"Every key of request {declared['requestId']} is deleted for good, so the key set cannot "
        "be changed any more. Request another key set with another requestId."
    )
    return new_problem("requestId", "CHANGE_NOT_SUPPORTED", text)


def _immutable(applied: KeySetRequest, declared: KeySetRequest) -> Iterator[Problem]:
    """https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html ."""
    was: dict[str, object] = {**applied}
    now: dict[str, object] = {**declared}
    for field in _NEVER_CHANGES:
        if was[field] != now[field]:
            text = (
                f"The {field} of a key never changes, and this key set has {was[field]}. Leave it "
                "as it is, or request another key set with another requestId and another alias."
            )
            yield new_problem(field, "IMMUTABLE", text)


def _gone(
    declared: KeySetRequest, changes: list[Change], observed: ObservedSet
) -> Iterator[Problem]:
    if changes and observed["primaryRegion"] not in observed["keys"]:
        text = (
            f"The primary key of request {declared['requestId']} in {observed['primaryRegion']} "
            "is deleted for good, so the key set cannot be changed any more. Request another key "
            "set with another requestId."
        )
        yield new_problem("requestId", "CHANGE_NOT_SUPPORTED", text)


def _without_material(declared: KeySetRequest, changes: list[Change]) -> Iterator[Problem]:
    """Find a replica key that would be made again in a Region that the set had before.

    https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-import.html
    """
    if declared["origin"] != Origin.EXTERNAL:
        return
    imports = regions_of_imports(changes)
    for change in changes:
        region = change["region"]
        if change["call"] == "ReplicateKey" and region not in imports:
            text = (
                f"The key in {region} is deleted for good, and a new one would have no key "
                "material. Leave the Region out of this revision, and add it in the next one: then "
                "its key material is asked for."
            )
            yield new_problem(_path(declared, region, "region"), "CHANGE_NOT_SUPPORTED", text)


def regions_of_imports(changes: list[Change]) -> list[str]:
    """List the Regions in which a change asks for key material."""
    return [change["region"] for change in changes if change["call"] == "ImportKeyMaterial"]


def rotated_material_problems(
    declared: KeySetRequest, changes: list[Change], primary_arn: str, materials: int | None
) -> Iterator[Problem]:
    """Refuse to add a Region to a set that has more than one key material.

    The key there can be used only once it has all of them, and one is asked for.
    https://docs.aws.amazon.com/kms/latest/APIReference/API_ImportKeyMaterial.html

    Parameters
    ----------
    materials
        How many the primary key has, one that waits for a rotation included; None where that is
        not known, since it waits for its deletion.
    """
    if materials is not None and materials <= 1:
        return
    for region in regions_of_imports(changes):
        if materials is None:
            text = (
                f"{primary_arn} waits for its deletion, and it is not known which key material a "
                f"key in {region} needs. Restore the key set in this revision, and add the Region "
                "in the next one."
            )
        else:
            text = (
                f"{primary_arn} has {materials} key materials, since it was rotated or is about to "
                f"be. A key in {region} needs all of them, and a change asks for one. Leave the "
                "Region out; or replicate the key by hand, import all of its key material there, "
                "and send this revision then. docs/imported-key-material.md has the commands."
            )
        yield new_problem(_path(declared, region, "region"), "CHANGE_NOT_SUPPORTED", text)


def _disabled_keys(
    declared: KeySetRequest, changes: list[Change], observed: ObservedSet
) -> Iterator[Problem]:
    """Find calls that KMS refuses because of the state that a key will have by then."""
    for change in changes:
        path, source = _path_of(declared, change), observed["primaryRegion"]
        involved = {
            "ReplicateKey": [source],
            "UpdatePrimaryRegion": [source, change["region"]],
        }.get(change["call"], [change["region"]])
        for region in involved if change["call"] in _NEEDS_ENABLED else []:
            key = observed["keys"].get(region)
            state = state_by_then(region, changes, key) if key else "Creating"
            if state not in _PASSES:
                what = f"The key in {region} is {state}, and only an enabled key"
                now = key["keyState"] if key else state
                text = f"{what} {_NEEDS_ENABLED[change['call']]}. {_way_out(region, state, now)}"
                yield new_problem(path, "CHANGE_NOT_SUPPORTED", text)
        if change["call"] == "DisableKey" and change["from"] == "PendingImport":
            text = f"The key in {change['region']} is PendingImport and cannot be disabled."
            now = observed["keys"][change["region"]]["keyState"]
            text = f"{text} {_way_out(change['region'], 'PendingImport', now)}"
            yield new_problem(path, "CHANGE_NOT_SUPPORTED", text)


def _way_out(region: str, state: str, now: str) -> str:
    if state == "PendingImport" and now in PENDING_DELETION_STATES:
        return (
            f"Restore the key in {region} first, enabled, and send that revision a second time, so "
            "that its key material is imported; then send this change as the next."
        )
    if state == "PendingImport":
        return "Send the last revision again, so that its key material is imported first."
    verb = "enables" if state == "Disabled" else "restores"
    return f"Send a revision first that {verb} the key in {region}, then this change as the next."


def word_problems(
    applied: KeySetRequest,
    declared: KeySetRequest,
    changes: list[Change],
    observed: ObservedSet,
    settings: Settings,
    *,
    resumed: bool = False,
) -> list[Problem]:
    """Find words that are missing and words that nothing needs.

    The codes are `CONFIRMATION_REQUIRED` and `CONFIRMATION_UNUSED`. A word is used as well where
    only the applied declaration makes it necessary, and KMS is changed already.

    Parameters
    ----------
    resumed
        The same revision was claimed before, so that what a word is for may be done already: no
        word counts as unused.
    """
    needed = {change["confirm"]: change for change in changes if change["confirm"]}
    words = confirmed_words(declared)
    problems = [
        _missing_word(applied, declared, change, observed)
        for word, change in needed.items()
        if word not in words
    ]
    if resumed:
        return problems
    as_applied = observed_as_declared(applied, settings)
    once_needed = {
        change["confirm"] for change in plan_change(applied, declared, as_applied, settings)
    }
    for index, word in enumerate(words):
        if word not in needed and word not in once_needed:
            others = f"The steps need {', '.join(needed)}." if needed else "They need no word."
            text = f"No step needs {word}; leave it out. {others}"
            problems.append(new_problem(f"confirm[{index}]", "CONFIRMATION_UNUSED", text))
    return problems


def _missing_word(
    applied: KeySetRequest, declared: KeySetRequest, change: Change, observed: ObservedSet
) -> Problem:
    text = f"{_consequence(declared, change)} Add {change['confirm']} to confirm, if that is meant."
    if other := _other_way(applied, change, observed):
        text = f"{text} {other}"
    return new_problem(_path_of(declared, change), "CONFIRMATION_REQUIRED", text)


def _consequence(declared: KeySetRequest, change: Change) -> str:
    region = change["region"]
    match change["call"]:
        case "UpdatePrimaryRegion":
            return f"The primary key would move from {change['from']} to {region}."
        case "DisableKey":
            return f"The key in {region} would be disabled and could not be used any more."
        case "CancelKeyDeletion":
            return f"The key in {region} is {change['from']} and would be restored."
        case "UpdateAlias":
            return (
                f"{change['to']} in {region} points to {change['from']}, and would point to the "
                "key of this set."
            )
    days = deletion_window(declared)
    if change["confirm"] == "DECOMMISSION":
        return f"Every key of the set would be scheduled for deletion, {days} days ahead."
    return f"The key in {region} would be scheduled for deletion, {days} days ahead."


def _other_way(applied: KeySetRequest, change: Change, observed: ObservedSet) -> str | None:
    """Say what can be declared instead where KMS is not as it was declared."""
    region = change["region"]
    match change["call"]:
        case "UpdatePrimaryRegion" if observed["primaryRegion"] != applied["primaryRegion"]:
            return (
                "Somebody has moved the primary key; to leave it where it is, declare "
                f"primaryRegion {observed['primaryRegion']} and {region} as a replica."
            )
        case "CancelKeyDeletion" if not is_decommissioned(applied):
            return f"To let it go, leave {region} out of the request."
        case "UpdateAlias":
            return "Or choose another alias."
    return None


def change_warnings(
    applied: KeySetRequest,
    declared: KeySetRequest,
    changes: list[Change],
    observed: ObservedSet,
) -> list[Problem]:
    """List what is to be known before a change that is carried out all the same.

    These are replica keys that no declaration names, keys without the stack's tag, key material
    that is asked for, keys that are restored without theirs, and key policies in which KMS shows
    that a principal is gone.
    """
    return [
        *_undeclared_keys(applied, declared, changes, observed),
        *_without_our_tag(declared, changes, observed),
        *_material_to_provide(declared, changes),
        *_restored_without_material(declared, changes),
        *_gone_principals(declared, changes),
    ]


def _undeclared_keys(
    applied: KeySetRequest,
    declared: KeySetRequest,
    changes: list[Change],
    observed: ObservedSet,
) -> Iterator[Problem]:
    changed = [change["region"] for change in changes]
    named = {*regions(applied), *regions(declared), *changed}
    for region in sorted(observed["keys"].keys() - named):
        if is_leaving(observed["keys"][region]):
            continue
        text = f"This set has a key in {region} that no declaration names; it stays as it is."
        if is_decommissioned(declared):
            text = f"{text} The primary key is not deleted as long as it exists."
        else:
            text = f"{text} To manage it, name {region} among the replicas."
        yield new_problem("replicas", "KEY_NOT_DECLARED", text)


def _without_our_tag(
    declared: KeySetRequest, changes: list[Change], observed: ObservedSet
) -> Iterator[Problem]:
    """Find keys that the stack's roles may not change: they act on keys with its tag alone.

    https://docs.aws.amazon.com/kms/latest/developerguide/abac.html
    """
    for change in changes:
        key = observed["keys"].get(change["region"])
        if key is None or change["property"] != f"tags.{STACK_TAG}":
            continue
        region = change["region"]
        text = (
            f"The key in {region} does not have the tag {STACK_TAG} of this stack, which may not "
            "change it without, so the change would fail. Somebody else has made the key, or taken "
            f"the tag away. To add it: {tag_command(key['arn'], change['to'])}. Then wait five "
            "minutes, since KMS may take as long to go by a tag. A tag of the last minutes may "
            "only not be shown yet."
        )
        yield new_problem(_path(declared, region, "region"), "KEY_TAG_MISSING", text)


def _material_to_provide(declared: KeySetRequest, changes: list[Change]) -> Iterator[Problem]:
    wanted = declared.get("keyMaterial")
    days = wanted["deadlineInDays"] if wanted else 0
    for region in regions_of_imports(changes):
        text = (
            f"The change asks for the key material of this key set in {region}, waits for it as "
            f"WAITING_FOR_MATERIAL, and fails after {days} days without it. Have whoever holds the "
            "key material ready."
        )
        yield new_problem(_path(declared, region, "region"), "KEY_MATERIAL_REQUIRED", text)


def _restored_without_material(declared: KeySetRequest, changes: list[Change]) -> Iterator[Problem]:
    for change in changes:
        if change["call"] == "CancelKeyDeletion" and change["to"] == "PendingImport":
            path = _path(declared, change["region"], "region")
            yield missing_material_warning(path, change["region"])


def missing_material_warning(path: str, region: str) -> Problem:
    """Return what is to be known of a key whose key material has expired or was deleted."""
    text = (
        f"The key in {region} has no key material, so it is PendingImport once this revision is "
        "finished. Send the same revision again then: the material is asked for and imported."
    )
    return new_problem(path, "KEY_MATERIAL_MISSING", text)


def _gone_principals(declared: KeySetRequest, changes: list[Change]) -> Iterator[Problem]:
    """Find principals that were deleted: KMS shows their unique IDs.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
    """
    for change in changes:
        gone = gone_principals(change["from"]) if change["call"] == "PutKeyPolicy" else []
        if gone:
            text = (
                f"The key policy in {change['region']} shows that principals were deleted: "
                f"{_some(gone)}. The declared policy lets in whoever has now a name that it has."
            )
            yield new_problem(_path_of(declared, change), "POLICY_PRINCIPAL_GONE", text)


def lasting_warnings(
    declared: KeySetRequest, changes: list[Change], observed: ObservedSet
) -> list[Problem]:
    """List what is to be known after a change as well: policies whose gone principals stay."""
    written = {change["region"] for change in changes if change["call"] == "PutKeyPolicy"}
    found: list[Problem] = []
    for region in regions(declared):
        key = observed["keys"].get(region)
        gone = gone_principals(key["policy"]) if key and region not in written else []
        if gone:
            text = (
                f"The key policy in {region} shows that principals were deleted: {_some(gone)}. It "
                "stays as it is, so that nobody new of that name is let in. Leave the name out of "
                "the next revision; to let in who has it now, add it in the one after."
            )
            path = _path(declared, region, "policy", inherited=True)
            found.append(new_problem(path, "POLICY_PRINCIPAL_GONE", text))
    return found


def _path_of(declared: KeySetRequest, change: Change) -> str:
    """Return the path of the field that asks for a change."""
    region, what = change["region"], change["property"]
    if change["call"] == "ScheduleKeyDeletion":
        return "desiredState" if is_decommissioned(declared) else "replicas"
    if what == "region" or change["call"] == "CancelKeyDeletion":
        return _path(declared, region, "region")
    if what == "keyState":
        return _path(declared, region, "enabled")
    if what in ("alias", "policy"):
        return _path(declared, region, what, inherited=True)
    return what


def _path(declared: KeySetRequest, region: str, field: str, *, inherited: bool = False) -> str:
    """Return the path of a field of one key, or of the primary key's from which it has it."""
    for index, replica in enumerate(declared["replicas"]):
        if replica["region"] == region and (field in replica or not inherited):
            return f"replicas[{index}].{field}"
    return "primaryRegion" if field == "region" else field
