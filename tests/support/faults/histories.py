"""How many random histories a state machine of hypothesis plays, and how long each is."""

import os

from hypothesis import HealthCheck, Phase, settings

_ASKED = os.environ.get("FAULTS_EXAMPLES")


def histories(in_ci: int, *, steps: int) -> settings:
    """Return the settings of a machine: the same histories each time, unless others are asked for.

    Parameters
    ----------
    in_ci
        How many are played where FAULTS_EXAMPLES does not say it.
    steps
        How many steps each has at most.
    """
    return settings(
        max_examples=int(_ASKED or in_ci),
        stateful_step_count=steps,
        deadline=None,
        derandomize=_ASKED is None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
