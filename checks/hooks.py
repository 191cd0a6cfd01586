"""Hold the sample of a GitHub delivery against the schema that GitHub publishes of it.

    python -m checks.hooks api.github.com.json

The argument is the file of that name in the npm package `@octokit/openapi-webhooks`.
"""

import json
import sys
from pathlib import Path

from jsonschema import Draft202012Validator

SAMPLE = Path("events/hooks/github.json")
EVENT = "webhook-issues-labeled"


def faults_of(sample: object, schemas: dict[str, object]) -> list[str]:
    """Say where a delivery is not as GitHub's schema of its event has it."""
    validator = Draft202012Validator({"$ref": f"#/components/schemas/{EVENT}", **schemas})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(sample)]


def main() -> int:
    """Print every fault; return 1 if there is one."""
    faults = faults_of(json.loads(SAMPLE.read_text()), json.loads(Path(sys.argv[1]).read_text()))
    for fault in faults:
        print(f"{SAMPLE}: {fault}", file=sys.stderr)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
