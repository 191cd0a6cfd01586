"""The environment of a function, as template.yaml and Lambda set it."""

import os

from provisioner.domain.key_access import KEY_ROLES

ENVIRONMENT = {
    "STACK_NAME": "mrk-provisioner",
    "PARTITION": "aws",
    "ACCOUNT_ID": "111122223333",
    "ALLOWED_REGIONS": "*",
    "ALLOWED_KEY_SPECS": "*",
    "REQUIRED_TAG_KEYS": "",
    "ALIAS_PREFIXES": "alias/",
    "ALLOWED_PRINCIPALS": "111122223333",
    "REQUIRE_TICKET": "false",
    "REQUESTS_TABLE": "requests",
    "IDEMPOTENCY_TABLE": "idempotency",
    "EVENT_BUS": "keys",
    "STATE_MACHINE_ARN": "arn:aws:states:us-east-1:111122223333:stateMachine:provision-key",
    "DELETION_WINDOW_DAYS": "7",
    "QUIET_PERIOD_SECONDS": "900",
    "SWEEPER_MAY_DELETE": "false",
    "KEY_ROLE_NAMES": ",".join(f"mrk-provisioner-{name}FunctionRole-Ab1" for name in KEY_ROLES),
    "KEY_ROLE_IDS": ",".join(f"AROA{number:017}" for number, _ in enumerate(KEY_ROLES)),
    "SWEEP_TABLE": "sweep",
    "SWEEP_REGION_FUNCTION": "sweep-region",
    "PUBLISH_OUTCOME_FUNCTION": "publish-outcome",
    "BATCHES_BUCKET": "batches",
    "BATCH_STATE_MACHINE_ARN": "arn:aws:states:us-east-1:111122223333:stateMachine:provision-batch",
    "BATCH_KMS_QUOTAS": "",
    "BATCH_QUOTA_PERCENT": "90",
    "BATCH_STARTS_PER_SECOND": "25",
    "POWERTOOLS_SERVICE_NAME": "mrk-provisioner",
    "POWERTOOLS_METRICS_NAMESPACE": "MultiRegionKeys",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
