"""Names that CloudFormation makes up, cut as it cuts them.

A name is the stack's name, the resource's in the template and twelve random characters, with
hyphens between them. Where that is longer than the service takes, AWS cuts the stack's name and the
resource's to a half each of what is left; the emulator keeps the beginning of both together. AWS
documents no rule: this one gives all names that were seen of stacks with long names.
https://github.com/KensioSoftware/yulin/issues/1113
"""

from ministack.services.cloudformation import provisioners

_SUFFIX = 12
_LONGER_THAN_ANY = 1024

_emulator_physical_name = provisioners._physical_name


def install() -> None:
    """Put our names in the place of the emulator's."""
    provisioners._physical_name = physical_name


def physical_name(
    stack_name: str,
    logical_id: str,
    *,
    lowercase: bool = False,
    max_len: int = 128,
    seeded: bool = True,
) -> str:
    """Stand in for the emulator's: the same characters at the end, one fewer as in AWS."""
    whole: str = _emulator_physical_name(
        stack_name, logical_id, lowercase=lowercase, max_len=_LONGER_THAN_ANY, seeded=seeded
    )
    suffix = whole[-_SUFFIX:]
    room = max_len - len("--") - _SUFFIX
    if len(stack_name) + len(logical_id) > room:
        stack_name, logical_id = stack_name[: (room + 1) // 2], logical_id[: room // 2]
    start = f"{stack_name}-{logical_id}-"
    return (start.lower() if lowercase else start) + suffix
