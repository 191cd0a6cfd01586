"""Coverage of branches by `sys.monitoring`, which coverage.py has from Python 3.14 on.

Its tracer slows down whatever runs, botocore and moto too; a monitor slows down what is measured.
Python 3.13 has one event for both ways of a branch, and switching it off for one way does so for
both, so it stays on until both were taken.
https://docs.python.org/3.13/library/sys.monitoring.html
https://coverage.readthedocs.io/en/latest/config.html#config-run-core
"""

import sys
from collections import defaultdict
from types import CodeType
from typing import Any

from coverage import core, env, sysmon


class BranchMonitor(sysmon.SysMonitor):
    """coverage.py's monitor, with the event for branches that Python 3.13 has."""

    def __init__(self) -> None:
        super().__init__()
        self._taken: defaultdict[tuple[int, int], set[int]] = defaultdict(set)

    def stop(self) -> None:
        """Stop, with the events of each function, which outlive the monitor in Python 3.13."""
        if self.sysmon_on:
            for code in self.code_objects:
                if self.code_infos[id(code)].tracing:
                    sys.monitoring.set_local_events(self.myid, code, 0)
        super().stop()

    def sysmon_branch_either(
        self, code: CodeType, instruction_offset: int, destination_offset: int
    ) -> Any:
        """Record a way of a branch when it is taken for the first time."""
        taken = self._taken[id(code), instruction_offset]
        if destination_offset not in taken:
            taken.add(destination_offset)
            super().sysmon_branch_either(code, instruction_offset, destination_offset)
        return sys.monitoring.DISABLE if len(taken) > 1 else None


class _Events:
    BRANCH_LEFT = BRANCH_RIGHT = sys.monitoring.events.BRANCH

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.monitoring.events, name)


class _Monitoring:
    events = _Events()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.monitoring, name)


class _Sys:
    monitoring = _Monitoring()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


def measure_branches_by_monitoring() -> None:
    """Let every measurement that starts from now on use the monitor."""
    if env.PYBEHAVIOR.branch_right_left:
        return
    env.SYSMON_DEFAULT = True
    env.PYBEHAVIOR.branch_right_left = True
    vars(core)["SysMonitor"] = BranchMonitor
    vars(sysmon)["sys"] = _Sys()
