"""Scan every tracked file for secrets with detect-secrets.

    python -m checks.no_secrets [FILE ...]

Without network: nothing that looks like a secret is tried out.

Exit codes: 0 nothing is left, 1 something is.
"""

import subprocess
import sys
from pathlib import Path

from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import default_settings, get_plugins

# Hashes of packages, which look like secrets; `make check-lock` compares them with their inputs.
LOCKS = ("functions/requirements.txt", "mrk/key_material.txt", "requirements-dev.txt")

SAMPLE = "A sample of what KMS hands out: made up, and of no use anywhere."
# What looks like a secret and is none, by file and kind, with the reason.
EXCEPTIONS = {
    ("docs/contracts/openapi.json", "Base64 High Entropy String"): SAMPLE,
    ("functions/keys_api/openapi.json", "Base64 High Entropy String"): SAMPLE,
    ("events/api-post-material.json", "Base64 High Entropy String"): SAMPLE,
    ("events/ask-for-key-material.json", "Base64 High Entropy String"): SAMPLE,
    ("events/update-ticket.json", "Base64 High Entropy String"): SAMPLE,
    ("events/import-key-material.json", "Base64 High Entropy String"): SAMPLE,
    ("events/import-new-key-material.json", "Base64 High Entropy String"): SAMPLE,
    ("events/receive-key-material.json", "Base64 High Entropy String"): SAMPLE,
    ("events/look-at-keys.json", "Base64 High Entropy String"): SAMPLE,
    ("events/api-post-keys-change.json", "Hex High Entropy String"): "The ID of a plan, a hash.",
    ("tests/unit/domain/test_plan.py", "Hex High Entropy String"): "Hashes of sample requests.",
    ("tests/unit/local/test_cloudformation_names.py", "Base64 High Entropy String"): (
        "A name that CloudFormation made."
    ),
    ("tests/support/environment.py", "Secret Keyword"): 'The word "testing", for moto.',
    ("events/hooks/jira.json", "Hex High Entropy String"): "The ID of an account of nobody's.",
    ("checks/template.py", "Secret Keyword"): "The name of a type of resource.",
    ("template.yaml", "Secret Keyword"): "The ARN of a secret.",
    ("tests/unit/handlers/test_receive_hook.py", "Hex High Entropy String"): "A ticket's ID.",
    ("tests/workflow/test_from_ticket_to_key.py", "Hex High Entropy String"): "A ticket's ID.",
    **{
        ("tests/unit/hooks/test_schemes.py", kind): "Examples that standards publish."
        for kind in ("Base64 High Entropy String", "Hex High Entropy String", "Secret Keyword")
    },
    (
        "tests/unit/mrk/test_key_material.py",
        "Private Key",
    ): "A broken one, to be refused.",
}


def findings(files: list[str]) -> dict[tuple[str, str], list[int]]:
    """Return the lines of what looks like a secret, by file and kind."""
    collection = SecretsCollection()
    with default_settings():
        modules = [file for file in files if file.endswith(".py")]
        others = [file for file in files if not file.endswith(".py")]
        collection.scan_files(*others, *worth_scanning(modules))
    found: dict[tuple[str, str], list[int]] = {}
    for file, secret in collection:
        found.setdefault((file, secret.type), []).append(secret.line_number)
    return found


def worth_scanning(modules: list[str]) -> list[str]:
    """Name the Python modules that have a line in which a detector sees something.

    A scan passes each line of a module through every filter and every detector, and says nothing of
    a line in which no detector sees anything. Most lines are in many modules, and are looked at
    once here, by the detectors alone. Files of other kinds are taken apart before they are scanned.
    """
    detectors, seen = list(get_plugins()), dict[str, bool]()

    def is_seen(module: str, line: str) -> bool:
        if line not in seen:
            given = {"filename": module, "line": line, "line_number": 1}
            seen[line] = any(detector.analyze_line(**given) for detector in detectors)
        return seen[line]

    return [
        module
        for module in modules
        if any(is_seen(module, line.rstrip()) for line in Path(module).read_text().splitlines())
    ]


def tracked_files() -> list[str]:
    """Name what git tracks, without the locks."""
    listed = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True)
    return [file for file in listed.stdout.split("\0") if file and file not in LOCKS]


def main(given: list[str]) -> int:
    """Print what is left, and exceptions that are no longer needed."""
    files = given or tracked_files()
    found = findings(files)
    left = sorted(found.keys() - EXCEPTIONS.keys())
    stale = sorted(key for key in EXCEPTIONS.keys() - found.keys() if key[0] in files or not given)
    for file, kind in left:
        print(f"{file}:{','.join(map(str, sorted(found[file, kind])))}: {kind}")
    for file, kind in stale:
        print(file, kind, "no longer found; remove it from EXCEPTIONS", sep=": ")
    print(f"{len(files)} files, {len(left)} findings, {len(EXCEPTIONS)} exceptions")
    return 1 if left or stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
