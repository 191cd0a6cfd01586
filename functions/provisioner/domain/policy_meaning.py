"""What a key policy means: whether two policies are the same, however they are written.

KMS returns a policy in another form than the one that was put, and not the same one each time.
https://github.com/hashicorp/terraform-provider-aws/issues/39788
https://github.com/aws/aws-cli/issues/9456

These make no difference, by what AWS says of them:

| what | where |
|---|---|
| one value or a list of it, one statement or a list of it; order of elements | GRAMMAR |
| `true` and `"true"`, `300` and `"300"`, in a condition | GRAMMAR |
| order and repetition of principals, of which one has to match | PRINCIPAL |
| an account's ID and the ARN of its root, of the same partition | PRINCIPAL |
| case of actions; order and repetition, since each action is matched by itself | ACTION |
| case of condition keys, those of an encryption context included | CONDITION, KMS |
| order and repetition of a condition's values, and of conditions | LOGIC |
| order and repetition of statements | EVALUATION |
| an empty `Condition`, `Sid` or `Id` and none | EQUIVALENCE, docs/beliefs.md |

- GRAMMAR: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
- PRINCIPAL: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
- ACTION: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_action.html
- CONDITION: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition.html
- KMS: https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-encryption-context-case
- LOGIC: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-logic-multiple-context-keys-or-values.html
- EVALUATION: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
- EQUIVALENCE: https://github.com/hashicorp/awspolicyequivalence

Everything else is a difference, even where AWS calls it none for some callers, such as `"*"` and
`{"AWS": "*"}`: a policy wrongly taken for the same one lets in whom nobody let in, and one wrongly
taken for another costs a call. So is what people read, a statement's `Sid` and the policy's `Id`.

`mrk/verify` has a copy of this module, since the command is installed without the package.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_UNIQUE_ID = re.compile(r"A[A-Z]{3}[A-Z0-9]{12,}")
_EMPTY: dict[str, Any] = {"Sid": "", "Condition": {}}


def canonical(policy: object, *, partition: str) -> str:
    """Write a policy so that all policies of the same meaning become the same text.

    The text is JSON. What is no policy, or no element of one, stays as it is.

    Parameters
    ----------
    policy
        A JSON value.
    partition
        That of the key, such as `aws-cn`.

    Raises
    ------
    RecursionError
        The value has many hundreds of levels, and so is no policy.
    """
    return _written(_policy(policy, partition))


def same_meaning(one: object, other: object, *, partition: str) -> bool:
    """Say whether two policies, as JSON values, mean the same; in doubt they do not."""
    try:
        return canonical(one, partition=partition) == canonical(other, partition=partition)
    except RecursionError:
        return False


def text_means(text: str, policy: object, *, partition: str) -> bool:
    """Say whether a text, such as the answer of GetKeyPolicy, means the same as a policy.

    A text that is not JSON, or in which a name stands twice in one object, means nothing.
    """
    try:
        written = json.loads(text, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError):
        return False
    return same_meaning(written, policy, partition=partition)


def gone_principals(policy: object) -> list[str]:
    """List the unique IDs of principals that a policy, as KMS returns it, names and are gone.

    KMS shows the ID of a user (`AIDA…`) or a role (`AROA…`) that was deleted in place of its ARN. A
    new one of that name is somebody else: to write the ARN again lets them in, and to write the ID
    again is refused.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
    https://repost.aws/knowledge-center/kms-policy-error-invalid-principals
    """
    return [*dict.fromkeys(filter(_UNIQUE_ID.fullmatch, _aws_principals(policy)))]


def _aws_principals(policy: object) -> Iterator[str]:
    listed = policy.get("Statement") if isinstance(policy, dict) else None
    for statement in listed if isinstance(listed, list) else [listed]:
        elements = statement if isinstance(statement, dict) else {}
        for principal in (elements.get("Principal"), elements.get("NotPrincipal")):
            named = principal.get("AWS") if isinstance(principal, dict) else None
            names = named if isinstance(named, list) else [named]
            yield from (name for name in names if isinstance(name, str))


def _policy(policy: object, partition: str) -> object:
    if not isinstance(policy, dict):
        return policy
    form = {name: value for name, value in policy.items() if (name, value) != ("Id", "")}
    listed = form.get("Statement")
    statements = [listed] if isinstance(listed, dict) else listed
    if isinstance(statements, list):
        forms = [_statement(statement, partition) for statement in statements]
        by_text = {_written(one): one for one in forms}
        form["Statement"] = [by_text[text] for text in sorted(by_text)]
    return form


def _statement(statement: object, partition: str) -> object:
    if not isinstance(statement, dict):
        return statement
    return {
        name: _element(name, value, partition)
        for name, value in statement.items()
        if not (name in _EMPTY and value == _EMPTY[name])
    }


def _element(name: str, value: object, partition: str) -> object:
    match name:
        case "Principal" | "NotPrincipal":
            return _principal(value, partition)
        case "Action" | "NotAction":
            return _set(value, _lower)
        case "Resource" | "NotResource":
            return _set(value, str)
        case "Condition" if isinstance(value, dict):
            return {operator: _condition_keys(keys) for operator, keys in value.items()}
    return value


def _principal(value: object, partition: str) -> object:
    if not isinstance(value, dict):
        return value

    def as_arn(name: str) -> str:
        return f"arn:{partition}:iam::{name}:root" if _ACCOUNT_ID.fullmatch(name) else name

    return {kind: _set(names, as_arn if kind == "AWS" else str) for kind, names in value.items()}


def _condition_keys(keys: object) -> object:
    if not isinstance(keys, dict):
        return keys
    # Of two keys that differ in case alone, nobody says whether both count.
    is_clear = len({_lower(key) for key in keys}) == len(keys)
    return {(_lower(key) if is_clear else key): _values(value) for key, value in keys.items()}


def _values(value: object) -> object:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str | int | float) for one in values):
        return value
    return _set([one if isinstance(one, str) else _written(one) for one in values], str)


def _set(value: object, form: Callable[[str], str]) -> object:
    """Return a text or a list of texts as a sorted list, without repetition."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return value
    return sorted({form(text) for text in texts})


def _lower(text: str) -> str:
    """Lower A to Z alone: a Kelvin sign is no K."""
    return text.lower() if text.isascii() else text


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("A name stands twice in one object.")
    return fields


def _written(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
