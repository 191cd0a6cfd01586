"""Key policies after public reports, each with what has to become of a request that gives it.

Written anew and made small. `refused` holds path and code below `policy.document`, `warned` the
same for the warnings of a plan.
"""

from dataclasses import dataclass, field
from typing import Any

ACCOUNT = "111122223333"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
KEY_ADMIN = f"arn:aws:iam::{ACCOUNT}:role/KeyAdmin"
APPLICATION = f"arn:aws:iam::{ACCOUNT}:role/CardService"

_OURS = {
    "Sid": "Owner",
    "Effect": "Allow",
    "Principal": {"AWS": ROOT},
    "Action": "kms:*",
    "Resource": "*",
}
_MANAGEMENT = [
    *("kms:Create*", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*", "kms:Update*"),
    *("kms:Revoke*", "kms:Disable*", "kms:Get*", "kms:Delete*", "kms:ScheduleKeyDeletion"),
    *("kms:CancelKeyDeletion", "kms:TagResource"),
]
_LOCKED = frozenset({("", "POLICY_LOCKS_OUT")})
_REPLICA = [{"region": "eu-west-1"}]


@dataclass(frozen=True)
class ReportedPolicy:
    """One policy, the rest of its request, and what becomes of it."""

    name: str
    source: str
    statements: list[dict[str, Any]]
    refused: frozenset[tuple[str, str]] = frozenset()
    warned: frozenset[tuple[str, str]] = frozenset()
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        """The request."""
        policy = {"document": {"Version": "2012-10-17", "Statement": self.statements}}
        return {"requestId": self.name, "alias": f"alias/{self.name}", "policy": policy} | (
            self.fields
        )


def _allow(principal: Any, action: str | list[str], **elements: Any) -> dict[str, Any]:
    named = principal if isinstance(principal, dict) or principal == "*" else {"AWS": principal}
    return {"Effect": "Allow", "Principal": named, "Action": action, "Resource": "*", **elements}


def _deny(**elements: Any) -> dict[str, Any]:
    usual = {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "kms:*", "Resource": "*"}
    return {name: value for name, value in {**usual, **elements}.items() if value is not None}


def _at(*problems: tuple[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(problems)


REPORTED_POLICIES = [
    ReportedPolicy(
        "list-of-actions-without-replication",
        "terraform-aws-modules/terraform-aws-kms issue 22",
        [{**_OURS, "Action": _MANAGEMENT}],
        refused=_LOCKED,
        fields={"replicas": _REPLICA},
    ),
    ReportedPolicy(
        "list-of-actions-for-a-lone-key",
        "aws/aws-cdk issues 8977 and 9618",
        [{**_OURS, "Action": _MANAGEMENT}],
        warned=frozenset({("", "REPAIR_IMPOSSIBLE")}),  # A correction untags.
        fields={"rotation": {"periodInDays": 365}},
    ),
    ReportedPolicy(
        "list-of-actions-without-rotation",
        "aws/aws-cdk issue 9618",
        [{**_OURS, "Action": [a for a in _MANAGEMENT if a != "kms:Enable*"]}],
        refused=_LOCKED,
        fields={"rotation": {"periodInDays": 365}},
    ),
    ReportedPolicy(
        "list-of-actions-without-import",
        "aws/aws-cdk issue 9618",
        [{**_OURS, "Action": _MANAGEMENT}],
        refused=_LOCKED,
        fields={"origin": "EXTERNAL"},
    ),
    ReportedPolicy(
        "nobody-but-named-arns",
        "k9securityio/k9-cdk, src/kms.ts, DenyEveryoneElse",
        [_OURS, _deny(Condition={"ArnNotLike": {"aws:PrincipalArn": [ROOT, KEY_ADMIN]}})],
        refused=_at((".Statement[1]", "POLICY_LOCKS_OUT")),
    ),
    ReportedPolicy(
        "nobody-but-named-principals",
        "AWS, IAM User Guide, NotPrincipal",
        [_OURS, _deny(Principal=None, NotPrincipal={"AWS": [KEY_ADMIN, ROOT]})],
        refused=_at((".Statement[1]", "POLICY_LOCKS_OUT")),
    ),
    ReportedPolicy(
        "nobody-but-named-user-ids",
        "AWS Security Blog on restricting a bucket to one role, with aws:userId",
        [_OURS, _deny(Condition={"StringNotLike": {"aws:userId": ["AROAEXAMPLEEXAMPLE00:*"]}})],
        refused=_at((".Statement[1]", "POLICY_LOCKS_OUT")),
    ),
    ReportedPolicy(
        "nobody-outside-the-network",
        "AWS KMS guide, VPC endpoints, aws:sourceVpce",
        [_OURS, _deny(Condition={"StringNotEquals": {"aws:sourceVpce": "vpce-1234abcdf5678c90a"}})],
        refused=_at((".Statement[1]", "POLICY_LOCKS_OUT")),
    ),
    ReportedPolicy(
        "nobody-else-deletes",
        "k9securityio/k9-cdk, reduced to deletion",
        [
            _OURS,
            _deny(
                Action="kms:ScheduleKeyDeletion",
                Condition={"ArnNotLike": {"aws:PrincipalArn": KEY_ADMIN}},
            ),
        ],
        warned=_at((".Statement[1]", "ROLLBACK_IMPOSSIBLE")),
        fields={"onFailure": "ROLL_BACK"},
    ),
    ReportedPolicy(
        "tls-only",
        "AWS Config rules and many landing zones: Deny on aws:SecureTransport",
        [_OURS, _deny(Condition={"Bool": {"aws:SecureTransport": "false"}})],
    ),
    ReportedPolicy(
        "organisation-only",
        "AWS data perimeter examples: Deny on aws:PrincipalOrgID",
        [_OURS, _deny(Condition={"StringNotEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}})],
        warned=_at((".Statement[1]", "POLICY_DEPENDS_ON_CALL")),
    ),
    ReportedPolicy(
        "no-such-services",
        "awslabs/landing-zone-accelerator-on-aws issue 1054",
        [
            _OURS,
            _allow({"Service": "cloudtrail.amazon.com"}, "kms:Decrypt"),
            _allow(
                {"Service": f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/x.amazonaws.com/Role"},
                "kms:Decrypt",
            ),
        ],
        refused=_at(
            (".Statement[1].Principal", "POLICY_PRINCIPAL_INVALID"),
            (".Statement[2].Principal", "POLICY_PRINCIPAL_INVALID"),
        ),
    ),
    ReportedPolicy(
        "sessions-and-paths-without-a-name",
        "AWS re:Post on MalformedPolicyDocumentException",
        [
            _OURS,
            _allow(f"arn:aws:sts::{ACCOUNT}:assumed-role/CardService", "kms:Decrypt"),
            _allow([APPLICATION, f"{APPLICATION}/"], "kms:Decrypt"),
        ],
        refused=_at(
            (".Statement[1].Principal", "POLICY_PRINCIPAL_INVALID"),
            (".Statement[2].Principal", "POLICY_PRINCIPAL_INVALID"),
        ),
    ),
    ReportedPolicy(
        "organisational-unit",
        "Netflix-Skunkworks/policyuniverse issue 106",
        [
            _OURS,
            _allow(
                "*",
                ["kms:Decrypt", "kms:DescribeKey"],
                Condition={
                    "ForAnyValue:StringLike": {
                        "aws:PrincipalOrgPaths": ["o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/*"]
                    }
                },
            ),
        ],
        fields={"replicas": _REPLICA},
    ),
    ReportedPolicy(
        "permission-set",
        "terraform-aws-modules/terraform-aws-kms issue 44",
        [
            _OURS,
            _allow(
                {"AWS": "*"},
                "kms:Decrypt",
                Condition={
                    "ArnLike": {
                        "aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/"
                        "sso.amazonaws.com/*/AWSReservedSSO_Developers_*"
                    }
                },
            ),
            _allow(
                {"AWS": "*"},
                "kms:Decrypt",
                Condition={"StringLike": {"aws:userId": ["AROAEXAMPLEEXAMPLE00:*", ACCOUNT]}},
            ),
        ],
    ),
    ReportedPolicy(
        "permission-set-of-any-account",
        "cloud-custodian/cloud-custodian issue 10500",
        [
            _OURS,
            _allow(
                {"AWS": "*"},
                "kms:Decrypt",
                Condition={"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/Developers"}},
            ),
        ],
        refused=_at((".Statement[1].Principal", "POLICY_OPEN_TO_ALL")),
    ),
    ReportedPolicy(
        "resources-that-are-not-this-key",
        "ministryofjustice/analytical-platform issue 7691, modernisation-platform PR 1046",
        [
            _OURS,
            _allow(APPLICATION, "kms:Decrypt", Resource="arn:aws:s3:::cards/*"),
            _allow(APPLICATION, "kms:Decrypt", Resource=f"arn:aws:kms:us-east-1:{ACCOUNT}:key/*"),
        ],
        refused=_at(
            (".Statement[1].Resource", "POLICY_RESOURCE_IGNORED"),
            (".Statement[2].Resource", "POLICY_RESOURCE_IGNORED"),
        ),
    ),
    ReportedPolicy(
        "logs-of-one-region",
        "AWS CloudWatch Logs guide, encrypting log data, copied for a replica",
        [
            _OURS,
            _allow({"Service": "logs.us-east-1.amazonaws.com"}, ["kms:Encrypt*", "kms:Decrypt*"]),
            _allow(
                APPLICATION,
                "kms:Decrypt",
                Condition={"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}},
            ),
        ],
        warned=_at(
            (".Statement[1].Principal.Service", "POLICY_NAMES_OTHER_REGION"),
            (".Statement[2].Condition.StringEquals.kms:ViaService", "POLICY_NAMES_OTHER_REGION"),
        ),
        fields={"replicas": _REPLICA},
    ),
    ReportedPolicy(
        "everything-that-is-right",
        "shapes of terraform-aws-modules/terraform-aws-kms and aws/aws-cdk, put together",
        [
            {**_OURS, "Action": ["kms:*"], "Resource": ["*"]},
            _allow(
                {"Service": ["cloudtrail.amazonaws.com", "delivery.logs.amazonaws.com"]},
                "kms:GenerateDataKey*",
                Condition={
                    "StringEquals": {"aws:SourceAccount": [ACCOUNT, "444455556666"]},
                    "StringLike": {"kms:EncryptionContext:aws:cloudtrail:arn": "arn:aws:*:trail/*"},
                },
            ),
            _allow(
                ["444455556666", f"arn:aws:iam::{ACCOUNT}:user/team/build.agent@example.com"],
                "kms:Decrypt",
                Condition={
                    "StringLike": {"kms:ViaService": ["s3.*.amazonaws.com", "sqs.*.amazonaws.com"]},
                    "NumericLessThan": {"aws:MultiFactorAuthAge": 3600},
                },
            ),
            _allow(
                f"arn:aws:sts::{ACCOUNT}:assumed-role/CardService/i-0123456789abcdef0",
                ["kms:CreateGrant", "kms:ListGrants"],
                Condition={"Bool": {"kms:GrantIsForAWSResource": True}},
            ),
            _allow({"Federated": "cognito-identity.amazonaws.com"}, "kms:Decrypt"),
            _deny(Action=None, NotAction="kms:*"),
        ],
        warned=_at((".Statement[2].Principal.AWS[0]", "POLICY_LETS_IN_ACCOUNT")),
        fields={"replicas": _REPLICA},
    ),
]
