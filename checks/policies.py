"""Lint the statements of the roles' policies with parliament.

    python -m checks.policies STATEMENTS

reads what `checks.template` wrote. parliament knows the resources and condition keys of every
action of AWS, so it sees a misspelt key, which would make an Allow useless and a Deny harmless.

Exit codes: 0 nothing is left, 1 something is.
"""

import json
import sys
from pathlib import Path
from typing import Any

import parliament

UNKNOWN = "UNKNOWN_CONDITION_FOR_ACTION"
# https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html
DOCUMENTED = "IAM's reference leaves it out; KMS has it for every operation on a key."
# What parliament finds and we leave: the statement's Sid (or its role, where it has none), the kind
# of problem, and what has it; with the reason. So narrow, an exception for one condition key does
# not hide another that is misspelt.
EXCEPTIONS = {
    ("ReadAndSetOurKeys", "RESOURCE_MISMATCH", "kms:CreateAlias"): "The alias is NameOurKeys's.",
    ("NameOurKeys", "RESOURCE_MISMATCH", "kms:CreateAlias"): "The key is ReadAndSetOurKeys's.",
    ("ReadAndSetOurKeys", "RESOURCE_MISMATCH", "kms:DeleteAlias"): "The alias is NameOurKeys's.",
    ("NameOurKeys", "RESOURCE_MISMATCH", "kms:DeleteAlias"): "The key is ReadAndSetOurKeys's.",
    ("RemoveOurKeys", "RESOURCE_MISMATCH", "kms:DeleteAlias"): "The alias is FreeAliases's.",
    ("FreeAliases", "RESOURCE_MISMATCH", "kms:DeleteAlias"): "The key is RemoveOurKeys's.",
    ("MoveAliases", "RESOURCE_MISMATCH", "kms:UpdateAlias"): "The alias is MovePermittedAliases's.",
    ("MovePermittedAliases", "RESOURCE_MISMATCH", "kms:UpdateAlias"): "The keys are MoveAliases's.",
    ("AskForExecutions", "RESOURCE_MISMATCH", "states:DescribeExecution"): (
        "It takes a standard execution or an express one; ours are standard."
    ),
    ("WatchItems", "RESOURCE_MISMATCH", "states:DescribeExecution"): (
        "It takes a standard execution or an express one; an item's are standard."
    ),
    ("SeeWhetherTheBatchRuns", "RESOURCE_MISMATCH", "states:DescribeExecution"): (
        "It takes a standard execution or an express one; ours are standard."
    ),
    ("FindOtherBatches", "RESOURCE_MISMATCH", "states:ListExecutions"): (
        "It lists what a state machine or what a Map Run executes; we ask for a state machine."
    ),
    # https://github.com/aws/aws-cdk/pull/8486 tried it.
    ("AnswerTheWorkflow", "RESOURCE_MISMATCH", "states:SendTaskSuccess"): (
        "IAM's reference names no resource, but Step Functions authorises it on the state machine."
    ),
    ("AnswerThatWaits", "RESOURCE_MISMATCH", "states:SendTaskSuccess"): (
        "IAM's reference names no resource, but Step Functions authorises it on the state machine."
    ),
    ("WakeTheWorkflow", "RESOURCE_MISMATCH", "states:SendTaskFailure"): (
        "IAM's reference names no resource, but Step Functions authorises it on the state machine."
    ),
    # https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyLastUsage.html
    ("SeeWhenOurKeysWereUsed", "UNKNOWN_ACTION", "Unknown action kms:GetKeyLastUsage"): (
        "KMS's reference has it; it is newer than parliament's data."
    ),
    ("AskHowToImport", UNKNOWN, "kms:KeyOrigin for action kms:GetParametersForImport"): DOCUMENTED,
    ("ImportIntoOurKeys", UNKNOWN, "kms:KeyOrigin for action kms:ImportKeyMaterial"): DOCUMENTED,
    ("ReplicateOurKeys", UNKNOWN, "kms:KeySpec for action kms:ReplicateKey"): DOCUMENTED,
    ("NeverChangeKeysWithAnAlias", UNKNOWN, "kms:ResourceAliases for action kms:TagResource"): (
        DOCUMENTED
    ),
    ("NeverChangeKeysWithAnAlias", UNKNOWN, "kms:ResourceAliases for action kms:PutKeyPolicy"): (
        DOCUMENTED
    ),
}


def findings(statements: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """Return what parliament finds, in the form of EXCEPTIONS."""
    found = set()
    for one in statements:
        [statement] = one["policy"]["Statement"]
        where = statement.get("Sid", one["role"])
        for finding in parliament.analyze_policy_string(json.dumps(one["policy"])).findings:
            details = finding.detail if isinstance(finding.detail, list) else [finding.detail]
            for detail in details:
                what = detail["action"] if isinstance(detail, dict) else str(detail or "")
                found.add((where, finding.issue, what.removeprefix("Unknown condition ")))
    return found


def main(path: Path) -> int:
    """Print what is left, and exceptions that are no longer needed."""
    statements = json.loads(path.read_text())
    found = findings(statements)
    left = sorted(found - EXCEPTIONS.keys())
    stale = sorted(EXCEPTIONS.keys() - found)
    for finding in left:
        print(*finding, sep=": ")
    for finding in stale:
        print(*finding, "no longer found; remove it from EXCEPTIONS", sep=": ")
    print(f"{len(statements)} statements, {len(left)} findings, {len(EXCEPTIONS)} exceptions")
    return 1 if left or stale else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
