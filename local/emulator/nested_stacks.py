"""Updates of nested stacks, in which resources that stay as they are keep their attributes.

The emulator's update of a nested stack forgets them, so that an unchanged alarm has no `Arn` any
more for the dashboard that refers to it. Its update of a stack by itself passes them.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-stack.html
"""

from typing import Any

from ministack.services.cloudformation import _stacks, provisioners

_WITHOUT_ATTRIBUTES = 5

_emulator_update_resource = provisioners._update_resource


def install() -> None:
    """Put our update of a resource in the place of the one that nested stacks use."""
    provisioners._update_resource = update_resource


def update_resource(kind: str, *details: Any) -> Any:
    """Stand in for the emulator's, with the attributes that the stack has of the resource.

    After `kind` it takes the physical ID, the old and the new properties, the stack's name, the
    logical ID and, where the caller has them, the attributes.
    """
    if len(details) == _WITHOUT_ATTRIBUTES:
        *_, stack_name, logical_id = details
        resources = _stacks.get(stack_name, {}).get("_resources", {})
        details = (*details, resources.get(logical_id, {}).get("Attributes"))
    return _emulator_update_resource(kind, *details)
