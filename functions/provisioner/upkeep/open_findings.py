"""Publishes a finding once, and again only when it has changed or has come back.

What is open is kept in the sweep's table. A finding is written down after its event was taken, so
an event may come twice and is never lost. It is counted in each sweep that finds it, so that its
alarm stays on.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable

from provisioner import json_text
from provisioner.aws.client_types import EventBridgeClient
from provisioner.aws.sweep_table import SweepTable
from provisioner.outcomes import findings
from provisioner.outcomes.findings import Finding, Kind


class OpenFindings:
    """The findings of one Region. Only the worker that holds the Region changes them."""

    def __init__(
        self, table: SweepTable, region: str, *, events: EventBridgeClient, bus: str
    ) -> None:
        """Read what is open.

        Raises
        ------
        DependencyUnavailable
            DynamoDB did not answer.
        """
        self._table = table
        self._region = region
        self._events = events
        self._bus = bus
        self._counts: Counter[Kind] = Counter()
        self._open: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for subject, digest in table.open_findings(region).items():
            about, _, kind = subject.rpartition("#")
            self._open[about][kind] = digest

    def abouts(self) -> list[str]:
        """List what there are open findings about: keys by their ARNs, or the Region."""
        return [about for about, kinds in self._open.items() if kinds]

    def settle(self, about: str, found: Iterable[Finding]) -> None:
        """Take what was found about a key or the Region: publish what is new, close the rest.

        Raises
        ------
        DependencyUnavailable, EventNotPublished
            EventBridge or DynamoDB did not take it; the next sweep tries again.
        """
        kinds = set()
        for finding in found:
            kinds.add(str(finding.kind))
            self._counts[finding.kind] += 1
            self._publish_if_new(about, finding)
        if about in self._open:
            for kind in self._open[about].keys() - kinds:
                self.close(about, kind)

    def close(self, about: str, kind: str) -> None:
        """Forget a finding of one kind, if it is open.

        Raises
        ------
        DependencyUnavailable
            DynamoDB did not take it; the next sweep tries again.
        """
        if about in self._open and kind in self._open[about]:
            self._table.close_finding(self._region, f"{about}#{kind}")
            del self._open[about][kind]

    def count(self) -> None:
        """Emit how many of each kind were found since the last count."""
        for kind, number in self._counts.items():
            findings.count(kind, number)
        self._counts.clear()

    def _publish_if_new(self, about: str, finding: Finding) -> None:
        text = json_text.text(findings.detail_of(finding))
        digest = hashlib.sha256(text.encode()).hexdigest()
        if about in self._open and self._open[about].get(finding.kind) == digest:
            return
        findings.publish(finding, events=self._events, bus=self._bus)
        self._table.keep_finding(self._region, f"{about}#{finding.kind}", digest, text)
        self._open[about][finding.kind] = digest
