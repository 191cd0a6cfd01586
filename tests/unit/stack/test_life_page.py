"""The diagram of docs/life-of-a-key-set.md, held against the statuses of the code."""

import re
from pathlib import Path

from provisioner.aws.records import FINISHED, UNDER_WAY, Status

DIAGRAM = Path("docs/life-of-a-key-set.md").read_text().split("```mermaid\n")[1].split("```")[0]
SHOWN_AS = {alias: name for name, alias in re.findall(r'state "(\w+)" as (\w+)', DIAGRAM)}
ENDS = "[*]"


def arrows() -> list[tuple[str, str]]:
    found = re.findall(r"^ *(\S+) --> ([^\s:]+)", DIAGRAM, re.MULTILINE)
    return [(SHOWN_AS.get(begin, begin), SHOWN_AS.get(end, end)) for begin, end in found]


def test_no_status_is_missing_and_none_is_invented() -> None:
    drawn = {state for arrow in arrows() for state in arrow} - {ENDS}

    assert drawn == {*Status}


def test_whatever_is_under_way_ends_and_what_has_ended_goes_on_by_being_sent() -> None:
    for status in Status:
        ways = {end for begin, end in arrows() if begin == status}
        assert ways, f"no way leads out of {status}"
        if status not in UNDER_WAY and status != Status.WAITING_FOR_APPROVAL:
            assert ways <= {*UNDER_WAY, ENDS}


def test_what_is_finished_comes_of_work_alone() -> None:
    assert {begin for begin, end in arrows() if end in FINISHED} == {Status.IN_PROGRESS}
