"""How KMS refuses a request."""


class KmsRefusedError(Exception):
    """KMS refuses the request.

    Parameters
    ----------
    code
        The exception's name in the KMS API reference.
    message
        KMS's own words.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> KmsRefusedError:
    """Refuse a parameter."""
    return KmsRefusedError("ValidationException", message)


def invalid_value(parameter: str, value: object, constraint: str) -> KmsRefusedError:
    """Refuse a parameter that does not fit the API's own model.

    Parameters
    ----------
    parameter
        Its name as in the message, such as `aliasName`.
    constraint
        What it must be, as in "Member must …".
    """
    return invalid(
        f"1 validation error detected: Value '{value}' at '{parameter}' failed to satisfy "
        f"constraint: Member must {constraint}"
    )


def not_found(arn: str) -> KmsRefusedError:
    """Refuse because there is no such key."""
    return KmsRefusedError("NotFoundException", f"Key '{arn}' does not exist")


def unsupported(message: str) -> KmsRefusedError:
    """Refuse what KMS has not got for this key."""
    return KmsRefusedError("UnsupportedOperationException", message)
