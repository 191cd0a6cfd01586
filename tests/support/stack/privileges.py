"""What the deployed roles are granted, and what of it was used."""

import re
from dataclasses import dataclass
from typing import Any

from local.settings import STACK_NAME
from local.stack.stack import Stack

COPY = "-copy"
"""Ends the name of a role that has the policies of the one whose name comes before."""


@dataclass(frozen=True, order=True)
class Grant:
    """One action on one resource that an Allow statement of a role names."""

    role: str
    """The role's name in the deployed template."""
    action: str
    resource: str

    def covers(self, action: str, resource: str) -> bool:
        """Say whether the grant's patterns match; its condition is not looked at."""
        return _matches(self.action.lower(), action.lower()) and _matches(self.resource, resource)


@dataclass(frozen=True)
class Privileges:
    """The roles of a deployed stack.

    `roles` maps each role's name in the template to its name in IAM; `statements` and `managed`
    hold what is in its own policies, and the names of AWS's managed ones.
    """

    roles: dict[str, str]
    statements: dict[str, list[dict[str, Any]]]
    managed: dict[str, list[str]]
    names: dict[str, str]
    """Physical names of the stack's resources with their names in the template."""

    def grants(self) -> list[Grant]:
        """List every grant of every role's own policies."""
        found = {
            Grant(role, action, resource)
            for role, statements in self.statements.items()
            for statement in statements
            if statement["Effect"] == "Allow"
            for action in _list(statement["Action"])
            for resource in _list(statement["Resource"])
        }
        return sorted(found)

    def roles_by_name(self) -> list[str]:
        """List the roles by their names in the template."""
        return sorted(self.roles)

    def role_at(self, principal: str) -> str:
        """Return the name in the template of the role whose session a principal's ARN names.

        Of a role that is not the stack's, its own name.
        """
        physical = principal.split("/")[1].removesuffix(COPY)
        return next((role for role, name in self.roles.items() if name == physical), physical)

    def readable(self, resource: str) -> str:
        """Shorten a resource's ARN, with the names of the template in it."""
        short = resource.split(":", 5)[5] if resource.startswith("arn:") else resource
        if short.startswith("secret:"):
            # Secrets Manager ends the ARN of a secret with six characters of its own.
            short = short[:-7]
        for physical in sorted(self.names, key=len, reverse=True):
            short = short.replace(physical, self.names[physical])
        return short


def read_privileges(stack: Stack) -> Privileges:
    """Read the stack's roles and their policies from IAM."""
    iam = stack.client("iam")
    pages = stack.client("cloudformation").get_paginator("list_stack_resources")
    resources = [
        resource
        for page in pages.paginate(StackName=STACK_NAME)
        for resource in page["StackResourceSummaries"]
    ]
    roles = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for resource in resources
        if resource["ResourceType"] == "AWS::IAM::Role"
    }
    statements: dict[str, list[dict[str, Any]]] = {}
    managed = {}
    for role, name in sorted(roles.items()):
        statements[role] = [
            statement
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
            for statement in _list(
                iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]["Statement"]
            )
        ]
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        managed[role] = [policy["PolicyName"] for policy in attached]
    names = {
        re.split("[/:]", resource["PhysicalResourceId"])[-1]: resource["LogicalResourceId"]
        for resource in resources
        if resource["ResourceType"]
        in (
            "AWS::DynamoDB::Table",
            "AWS::Lambda::Function",
            "AWS::S3::Bucket",
            "AWS::SQS::Queue",
            "AWS::SecretsManager::Secret",
        )
    }
    return Privileges(roles, statements, managed, names)


def used(grant: Grant, privileges: Privileges, asked: list[dict[str, Any]]) -> bool:
    """Say whether a grant allowed something that was asked for.

    One for every key must have allowed something about a key that is not a multi-Region one: if
    not, one for `mrk-*` would do.
    """
    too_wide = grant.resource.removesuffix("*") + "mrk-*" if grant.resource.endswith("/*") else ""
    return any(
        permission["allowed"]
        and privileges.role_at(permission["principal"]) == grant.role
        and grant.covers(permission["action"], permission["resource"])
        and not _matches(too_wide, permission["resource"])
        for permission in asked
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _matches(pattern: str, value: str) -> bool:
    parts = (re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(".*".join(parts), value) is not None
