"""GetKeyPolicy, which returns another text than the one that was put.

https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyPolicy.html

KMS keeps what a policy means. Seen in the trackers of tools that compare policies: a list of one
comes back as a string, the order changes even between two reads, the ID of an account becomes the
ARN of its root, booleans and numbers become strings, and a principal that is gone shows as its
unique ID.
https://github.com/hashicorp/terraform-provider-aws/issues/39788
"""

import itertools
import json
from typing import Any

from ministack.core.responses import json_response

from local.emulator.kms import principals as kms_principals
from local.emulator.kms.keys import Key, find
from local.emulator.kms.settings import current

_reads = itertools.count()


def get_key_policy(parameters: dict[str, Any]) -> Any:
    """Serve GetKeyPolicy.

    Raises
    ------
    KmsRefusedError
        There is no such key.
    """
    key = find("GetKeyPolicy", parameters.get("KeyId", ""))
    text = _rewritten(key) if current().rewrites_policies else key["Policy"]
    return json_response({"Policy": text, "PolicyName": "default"})


def note_principals(key: Key) -> None:
    """Note which principals a new policy is about, whatever later has their names."""
    policy = json.loads(key["Policy"])
    statements = policy["Statement"]
    named = {
        arn
        for statement in (statements if isinstance(statements, list) else [statements])
        for element in ("Principal", "NotPrincipal")
        for arn in _aws_principals(statement.get(element))
    }
    ids = {arn: kms_principals.unique_id(arn) for arn in named}
    key["_unique_ids"] = {arn: id_ for arn, id_ in ids.items() if id_}


def _aws_principals(principal: Any) -> list[str]:
    named = principal.get("AWS", []) if isinstance(principal, dict) else []
    return named if isinstance(named, list) else [named]


def _rewritten(key: Key) -> str:
    policy = json.loads(key["Policy"])
    statements = policy["Statement"]
    statements = statements if isinstance(statements, list) else [statements]
    turn = next(_reads)
    policy["Statement"] = _turned([_statement(key, one, turn) for one in statements], turn)
    return json.dumps(policy, indent=2, separators=(",", " : "))


def _statement(key: Key, statement: dict[str, Any], turn: int) -> dict[str, Any]:
    rewritten = {name: _value(value, turn) for name, value in statement.items()}
    for element in ("Principal", "NotPrincipal"):
        if isinstance(statement.get(element), dict):
            shown = [_shown(key, one) for one in _aws_principals(statement[element])]
            rewritten[element] |= {"AWS": _value(shown, turn)} if shown else {}
    return rewritten


def _shown(key: Key, principal: str) -> str:
    noted = key.get("_unique_ids", {}).get(principal)
    is_gone = noted is not None and kms_principals.unique_id(principal) != noted
    return str(noted) if is_gone else kms_principals.as_arn(principal)


def _value(value: Any, turn: int) -> Any:
    if isinstance(value, dict):
        return {name: _value(one, turn) for name, one in value.items()}
    if isinstance(value, list):
        values = _turned([_value(one, turn) for one in value], turn)
        return values[0] if len(values) == 1 else values
    return json.dumps(value) if isinstance(value, bool | int | float) else value


def _turned(values: list[Any], turn: int) -> list[Any]:
    first = turn % len(values) if values else 0
    return values[first:] + values[:first]
