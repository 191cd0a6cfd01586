"""Says which errors a test walks to their end, for the test that no error is left out."""

from collections.abc import Callable
from functools import wraps
from unittest import mock

from provisioner.errors import ProvisionerError
from provisioner.outcomes import failures
from provisioner.outcomes.failures import error_code

type Test[**P] = Callable[P, None]


def walks[**P](*errors: str) -> Callable[[Test[P]], Test[P]]:
    """Mark a test that meets these errors, does what their `next_step` says, and sees it work.

    The test fails if it does not meet all of them. One that is parametrized by the error, be it by
    its class or by its code, has to meet that one each time.
    """

    def mark(test: Test[P]) -> Test[P]:
        @wraps(test)
        def walk(*args: P.args, **kwargs: P.kwargs) -> None:
            given = [value for value in kwargs.values() if isinstance(value, str)]
            expected = {one for one in errors if {one, error_code(one)} & {*given}} or {*errors}
            met: set[str] = set()
            make = ProvisionerError.__init__

            def note_raised(error: ProvisionerError, what_happened: str) -> None:
                met.add(type(error).__name__)
                make(error, what_happened)

            def note_reported(name: str) -> str:
                met.add(name)
                return error_code(name)

            with (
                mock.patch.object(ProvisionerError, "__init__", note_raised),
                # The definition itself makes some, whose class no function raises.
                mock.patch.object(failures, "error_code", note_reported),
            ):
                test(*args, **kwargs)
            assert expected <= met, f"{expected - met} did not happen"

        return walk

    return mark
