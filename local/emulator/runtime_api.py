"""Lambda's Runtime API without the wait of 40 ms that the emulator's has in every invocation.

The emulator sends the head and the body of an answer apart. TCP keeps the second one back until the
first is acknowledged (Nagle), and the runtime's side acknowledges late, as there is nothing to send
with it.
https://www.rfc-editor.org/rfc/rfc1122#page-96
"""

from typing import Any

from ministack.core import lambda_runtime

_worker = lambda_runtime.ProvidedWorker
_emulator_build_handler_class = _worker._build_handler_class


def install() -> None:
    """Let the handlers that the emulator makes send at once."""
    _worker._build_handler_class = _build_handler_class


def _build_handler_class(worker: Any, *details: Any) -> Any:
    handler = _emulator_build_handler_class(worker, *details)
    handler.disable_nagle_algorithm = True
    return handler
