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

# What parliament finds and we leave, by the statement's Sid (or its role, where it
# has none), with the reason.
EXCEPTIONS = {
    ("ReadAndSetOurKeys", "RESOURCE_MISMATCH"): "CreateAlias's alias is NameOurKeys's.",
    ("NameOurKeys", "RESOURCE_MISMATCH"): "CreateAlias's key is ReadAndSetOurKeys's.",
    ("RemoveOurKeys", "RESOURCE_MISMATCH"): "DeleteAlias's alias is FreeAliases's.",
    ("FreeAliases", "RESOURCE_MISMATCH"): "DeleteAlias's key is RemoveOurKeys's.",
    ("AskForExecutions", "RESOURCE_MISMATCH"): (
        "DescribeExecution takes a standard execution or an express one; ours are standard."
    ),
    # https://github.com/aws/aws-cdk/pull/8486 tried it.
    ("AnswerTheWorkflow", "RESOURCE_MISMATCH"): (
        "IAM's reference names no resource for SendTaskSuccess, but Step Functions authorises it "
        "on the state machine of the task."
    ),
    # https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html
    ("AskHowToImport", "UNKNOWN_CONDITION_FOR_ACTION"): (
        "IAM's reference has kms:KeyOrigin for CreateKey alone; KMS has it for every operation "
        "on a key."
    ),
    ("ImportIntoOurKeys", "UNKNOWN_CONDITION_FOR_ACTION"): "As for AskHowToImport.",
    ("ReplicateOurKeys", "UNKNOWN_CONDITION_FOR_ACTION"): "As for AskHowToImport: kms:KeySpec.",
    ("NeverTagKeysWithAnAlias", "UNKNOWN_CONDITION_FOR_ACTION"): (
        "As for AskHowToImport: kms:ResourceAliases."
    ),
    ("NeverTagSingleRegionKeys", "UNKNOWN_CONDITION_FOR_ACTION"): (
        "As for AskHowToImport: kms:MultiRegion."
    ),
}


def findings(statements: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """Give what parliament finds, by the statement's Sid or role and the kind of problem."""
    found = {}
    for one in statements:
        [statement] = one["policy"]["Statement"]
        analysed = parliament.analyze_policy_string(json.dumps(one["policy"]))
        for finding in analysed.findings:
            where = statement.get("Sid", one["role"])
            found[where, finding.issue] = f"{one['role']}: {finding.detail or statement}"
    return found


def main(path: Path) -> int:
    """Print what is left, and exceptions that are no longer needed."""
    statements = json.loads(path.read_text())
    found = findings(statements)
    left = sorted(found.keys() - EXCEPTIONS.keys())
    stale = sorted(EXCEPTIONS.keys() - found.keys())
    for where, issue in left:
        print(f"{where}: {issue}: {found[where, issue]}")
    for where, issue in stale:
        print(f"{where}: {issue}: no longer found; remove it from EXCEPTIONS in {__file__}.")
    print(f"{len(statements)} statements, {len(left)} findings, {len(EXCEPTIONS)} exceptions")
    return 1 if left or stale else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
