"""What the owner of the stack allows in requests, by the stack's parameters.

template.yaml repeats in IAM what IAM can hold: Regions, key specs and aliases. Required tag keys,
principals and tickets are beyond it, so there these rules are the only ones.
"""

from collections.abc import Iterator, Mapping

from provisioner.domain import key_policy, wildcards
from provisioner.errors import Problem, new_problem
from provisioner.settings import Settings


def key_spec_problems(key_spec: str, settings: Settings) -> Iterator[Problem]:
    """Find a key spec that is not among `AllowedKeySpecs`."""
    if not any(wildcards.matches(key_spec, allowed) for allowed in settings.allowed_key_specs):
        text = f"{key_spec} is not among the key specs this stack allows (AllowedKeySpecs)."
        yield new_problem("keySpec", "KEY_SPEC_NOT_ALLOWED", text)


def alias_problems(path: str, alias: str, settings: Settings) -> Iterator[Problem]:
    """Find an alias that begins with none of `AliasPrefixes`."""
    if not alias.startswith(settings.alias_prefixes):
        begin = ", ".join(settings.alias_prefixes)
        text = f"This stack makes aliases that begin with {begin} only (AliasPrefixes)."
        yield new_problem(path, "ALIAS_NOT_ALLOWED", text)


def tags_problems(path: str, tags: Mapping[str, object], settings: Settings) -> Iterator[Problem]:
    """Find tags that lack one of `RequiredTagKeys`."""
    if missing := [key for key in settings.required_tag_keys if key not in tags]:
        text = f"This stack requires the tags {', '.join(missing)} as well (RequiredTagKeys)."
        yield new_problem(path, "TAG_REQUIRED", text)


def ticket_problems(ticket: Mapping[str, object] | None, settings: Settings) -> Iterator[Problem]:
    """Find that `RequireTicket` holds, and the ticket is missing or says nothing."""
    if settings.require_ticket and not ticket:
        text = "This stack takes no request without a ticket (RequireTicket)."
        yield new_problem("ticket", "TICKET_REQUIRED", text)


def principal_problems(path: str, name: str, settings: Settings) -> Iterator[Problem]:
    """Find a principal that a key policy must not give access to, by `AllowedPrincipals`.

    A pattern describes the principal's ARN, or its account: whoever lets an account in leaves it to
    that account which of its principals come. The stack's own account is always allowed, as no key
    policy may lock it out.

    Parameters
    ----------
    name
        An ARN, an account ID, or `*` for everyone.
    """
    account = name if ":" not in name else name.split(":")[4]
    own_root = f"arn:{settings.partition}:iam::{settings.account_id}:root"
    arn = f"arn:{settings.partition}:iam::{account}:root" if name.isdigit() else name
    if arn == own_root or any(
        wildcards.matches(said, allowed)
        for allowed in settings.allowed_principals
        for said in (arn, account)
    ):
        return
    text = f"{name} is not among the principals this stack allows (AllowedPrincipals)."
    yield new_problem(path, "PRINCIPAL_NOT_ALLOWED", text)


def document_problems(
    path: str, document: key_policy.Policy, settings: Settings
) -> Iterator[Problem]:
    """Find every principal to which a given key policy must not give access."""
    for where, name in key_policy.principals_let_in(document, path):
        if name == "*" or key_policy.is_principal(name, settings.partition):
            yield from principal_problems(where, name, settings)
