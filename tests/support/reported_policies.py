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

GITHUB = "https://github.com"
KMS = "https://docs.aws.amazon.com/kms/latest/developerguide"
IAM = "https://docs.aws.amazon.com/IAM/latest/UserGuide"
REPOST = "https://repost.aws/knowledge-center"

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
        f"{GITHUB}/terraform-aws-modules/terraform-aws-kms/issues/22",
        [{**_OURS, "Action": _MANAGEMENT}],
        refused=_LOCKED,
        fields={"replicas": _REPLICA},
    ),
    ReportedPolicy(
        "list-of-actions-for-a-lone-key",
        f"{GITHUB}/aws/aws-cdk/issues/9618",
        [{**_OURS, "Action": _MANAGEMENT}],
        # A correction untags, and so does a change.
        warned=_at(("", "REPAIR_IMPOSSIBLE"), ("", "CHANGE_IMPOSSIBLE")),
        fields={"rotation": {"periodInDays": 365}},
    ),
    ReportedPolicy(
        "list-of-actions-without-rotation",
        f"{GITHUB}/aws/aws-cdk/issues/9618, with less in the list",
        [{**_OURS, "Action": [a for a in _MANAGEMENT if a != "kms:Enable*"]}],
        refused=_LOCKED,
        fields={"rotation": {"periodInDays": 365}},
    ),
    ReportedPolicy(
        "list-of-actions-without-import",
        f"{GITHUB}/aws/aws-cdk/issues/9618, with less in the list",
        [{**_OURS, "Action": _MANAGEMENT}],
        refused=_LOCKED,
        fields={"origin": "EXTERNAL"},
    ),
    ReportedPolicy(
        "nobody-but-named-arns",
        f"{GITHUB}/k9securityio/k9-cdk, src/kms.ts, DenyEveryoneElse without its Bool conditions",
        [_OURS, _deny(Condition={"ArnNotLike": {"aws:PrincipalArn": [ROOT, KEY_ADMIN]}})],
        refused=_at((".Statement[1]", "POLICY_LOCKS_OUT")),
    ),
    ReportedPolicy(
        "nobody-but-named-principals",
        f"{IAM}/reference_policies_elements_notprincipal.html",
        [_OURS, _deny(Principal=None, NotPrincipal={"AWS": [KEY_ADMIN, ROOT]})],
        refused=_at((".Statement[1]", "POLICY_LOCKS_OUT")),
    ),
    ReportedPolicy(
        "nobody-but-named-user-ids",
        "https://aws.amazon.com/blogs/security/"
        "how-to-restrict-amazon-s3-bucket-access-to-a-specific-iam-role/, for a key",
        [_OURS, _deny(Condition={"StringNotLike": {"aws:userId": ["AROAEXAMPLEEXAMPLE00:*"]}})],
        refused=_at((".Statement[1]", "POLICY_LOCKS_OUT")),
    ),
    ReportedPolicy(
        "nobody-outside-the-network",
        f"{KMS}/vpce-policy-condition.html, as a Deny of everything",
        [_OURS, _deny(Condition={"StringNotEquals": {"aws:sourceVpce": "vpce-1234abcdf5678c90a"}})],
        refused=_at((".Statement[1]", "POLICY_LOCKS_OUT")),
    ),
    ReportedPolicy(
        "nobody-else-deletes",
        f"{GITHUB}/k9securityio/k9-cdk, src/kms.ts, DenyEveryoneElse for deletion alone",
        [
            _OURS,
            _deny(
                Action="kms:ScheduleKeyDeletion",
                Condition={"ArnNotLike": {"aws:PrincipalArn": KEY_ADMIN}},
            ),
        ],
        warned=_at(
            (".Statement[1]", "ROLLBACK_IMPOSSIBLE"), (".Statement[1]", "CHANGE_IMPOSSIBLE")
        ),
        fields={"onFailure": "ROLL_BACK"},
    ),
    ReportedPolicy(
        "tls-only",
        f"{GITHUB}/aws-samples/resource-control-policy-examples, HTTPS connections only",
        [_OURS, _deny(Condition={"Bool": {"aws:SecureTransport": "false"}})],
    ),
    ReportedPolicy(
        "organisation-only",
        f"{GITHUB}/aws-samples/data-perimeter-policy-examples/issues/17, the organisation alone",
        [_OURS, _deny(Condition={"StringNotEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}})],
        warned=_at((".Statement[1]", "POLICY_DEPENDS_ON_CALL")),
    ),
    ReportedPolicy(
        "no-such-services",
        f"{GITHUB}/awslabs/landing-zone-accelerator-on-aws/issues/1054 for KMS's answer",
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
        f"{REPOST}/kms-policy-error-invalid-principals",
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
        f"{GITHUB}/Netflix-Skunkworks/policyuniverse/issues/106",
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
        f"{GITHUB}/terraform-aws-modules/terraform-aws-kms/issues/44",
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
        f"{GITHUB}/cloud-custodian/cloud-custodian/issues/10500, without its organisation",
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
        f"{GITHUB}/ministryofjustice/analytical-platform/issues/7691, AWS's notice",
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
        f"{GITHUB}/ministryofjustice/modernisation-platform/issues/7870, with a replica",
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
        "not reported: many sound forms, put together",
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
    ReportedPolicy(
        "list-of-actions-without-tags",
        f"{GITHUB}/ministryofjustice/cloud-platform/issues/5606",
        [{**_OURS, "Action": [a for a in _MANAGEMENT if a != "kms:TagResource"]}],
        warned=_at(("", "REPAIR_IMPOSSIBLE"), ("", "CHANGE_IMPOSSIBLE")),
    ),
    ReportedPolicy(
        "the-root-user-alone-by-its-arn",
        f"{GITHUB}/aws/aws-cdk/issues/8977",
        [
            {
                **_OURS,
                "Action": _MANAGEMENT,
                "Condition": {"ArnLike": {"aws:PrincipalArn": ROOT}},
            }
        ],
        refused=_LOCKED,
    ),
    ReportedPolicy(
        "the-root-user-alone-by-its-type",
        f"{GITHUB}/schubergphilis/terraform-aws-mcaf-landing-zone/pull/137",
        [
            {**_OURS, "Condition": {"StringEquals": {"aws:PrincipalType": "Account"}}},
            _allow(KEY_ADMIN, _MANAGEMENT),
        ],
        refused=_LOCKED,
    ),
    ReportedPolicy(
        "administrators-without-the-account",
        f"{GITHUB}/aws/aws-cdk/issues/24523, as its reporter wants it",
        [_allow(KEY_ADMIN, _MANAGEMENT)],
        refused=_LOCKED,
    ),
    ReportedPolicy(
        "nobody-else-but-services-and-grants",
        f"{GITHUB}/k9securityio/k9-cdk, src/kms.ts, DenyEveryoneElse with its Bool conditions",
        [
            _OURS,
            _deny(
                Condition={
                    # Only calls about grants have the second key, so only these are denied.
                    "Bool": {
                        "aws:PrincipalIsAWSService": ["false"],
                        "kms:GrantIsForAWSResource": ["false"],
                    },
                    "ArnNotEquals": {"aws:PrincipalArn": [ROOT, KEY_ADMIN]},
                }
            ),
        ],
        fields={"replicas": _REPLICA},
    ),
    ReportedPolicy(
        "organisation-or-named-accounts-only",
        f"{GITHUB}/aws-samples/data-perimeter-policy-examples/issues/17",
        [
            _OURS,
            _deny(
                Condition={
                    "StringNotEqualsIfExists": {
                        "aws:PrincipalOrgID": "o-a1b2c3d4e5",
                        "aws:PrincipalAccount": [ACCOUNT, "444455556666"],
                    },
                    "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
                }
            ),
        ],
    ),
    ReportedPolicy(
        "a-role-of-every-account-of-the-organisation",
        f"{GITHUB}/cloud-custodian/cloud-custodian/pull/9287",
        [
            _OURS,
            _allow(
                {"AWS": "*"},
                "kms:DescribeKey",
                Condition={
                    "StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"},
                    "StringLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*-lambda-role"},
                },
            ),
        ],
    ),
    ReportedPolicy(
        "a-service-for-callers-of-this-account",
        f"{GITHUB}/Netflix/security_monkey/issues/373",
        [
            _OURS,
            _allow(
                {"AWS": "*"},
                "kms:Decrypt",
                Condition={
                    "StringEquals": {
                        "kms:ViaService": "rds.us-east-1.amazonaws.com",
                        "kms:CallerAccount": ACCOUNT,
                    }
                },
            ),
        ],
    ),
    ReportedPolicy(
        "a-role-of-a-service-in-its-own-account",
        f"{GITHUB}/k9securityio/k9-cdk, src/kms.ts, CloudFrontOACReadAccessGenerator",
        [
            _OURS,
            _allow(
                "*",
                "kms:Decrypt",
                Condition={
                    "ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::444455556666:role/Origin"}
                },
            ),
        ],
        warned=_at((".Statement[1].Principal", "POLICY_LETS_IN_ACCOUNT")),
    ),
    ReportedPolicy(
        "group",
        f"{GITHUB}/hashicorp/terraform/issues/11822",
        [_OURS, _allow(f"arn:aws:iam::{ACCOUNT}:group/admins", _MANAGEMENT)],
        refused=_at((".Statement[1].Principal", "POLICY_PRINCIPAL_INVALID")),
    ),
    ReportedPolicy(
        "role-with-a-wildcard",
        f"{GITHUB}/ministryofjustice/modernisation-platform-environments/pull/17017",
        [_OURS, _allow(f"arn:aws:iam::{ACCOUNT}:role/AWSReservedSSO_*", "kms:Decrypt")],
        refused=_at((".Statement[1].Principal", "POLICY_PRINCIPAL_INVALID")),
    ),
    ReportedPolicy(
        "account-without-iam-in-its-arn",
        f"{GITHUB}/cloudposse/terraform-aws-vpc-flow-logs-s3-bucket/pull/27",
        [{**_OURS, "Principal": {"AWS": f"arn:aws::{ACCOUNT}:root"}}],
        refused=_at((".Statement[0].Principal", "POLICY_PRINCIPAL_INVALID")),
    ),
    ReportedPolicy(
        "id-of-a-user-who-is-gone",
        f"{REPOST}/kms-policy-error-invalid-principals",
        [_OURS, _allow([KEY_ADMIN, "AIDACKCEVSQ6C2EXAMPLE"], _MANAGEMENT)],
        refused=_at((".Statement[1].Principal", "POLICY_PRINCIPAL_INVALID")),
    ),
    ReportedPolicy(
        "no-principals-in-the-list",
        f"{GITHUB}/terraform-aws-modules/terraform-aws-eks/pull/2163",
        [_OURS, _allow([], _MANAGEMENT)],
        refused=_at((".Statement[1].Principal", "POLICY_MALFORMED")),
    ),
    ReportedPolicy(
        "only-resource-is-a-table",
        f"{GITHUB}/ministryofjustice/modernisation-platform/pull/1046",
        [{**_OURS, "Resource": ["arn:aws:dynamodb:*"]}],
        refused=_at((".Statement[0].Resource", "POLICY_RESOURCE_IGNORED")),
    ),
    ReportedPolicy(
        "no-resource",
        f"{GITHUB}/ministryofjustice/modernisation-platform-environments/pull/658",
        [{name: value for name, value in _OURS.items() if name != "Resource"}],
        refused=_at((".Statement[0]", "POLICY_STATEMENT_WITHOUT_RESOURCE")),
    ),
    ReportedPolicy(
        "equals-sign-in-an-action",
        f"{GITHUB}/Azure/Azure-Sentinel/issues/12242",
        [_OURS, _allow({"Service": "cloudtrail.amazonaws.com"}, "kms=GenerateDataKey*")],
        refused=_at((".Statement[1].Action", "POLICY_ACTION_NOT_KMS")),
    ),
    ReportedPolicy(
        "service-of-another-region",
        f"{GITHUB}/awslabs/landing-zone-accelerator-on-aws/issues/1054",
        [_OURS, _allow({"Service": "logs.ap-southeast-4.amazonaws.com"}, "kms:Decrypt")],
        warned=_at((".Statement[1].Principal.Service", "POLICY_NAMES_OTHER_REGION")),
    ),
]
