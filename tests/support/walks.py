"""Says which errors a test walks to their end, for the test that no error is left out."""

from collections.abc import Callable

type Test[**P] = Callable[P, None]


def walks[**P](*_errors: str) -> Callable[[Test[P]], Test[P]]:
    """Mark a test that meets these errors, does what their `next_step` says, and sees it work."""
    return lambda test: test
