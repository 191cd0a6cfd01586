"""What botocore's errors mean to a person at a terminal."""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    SSOError,
    UnauthorizedSSOTokenError,
)

_SIGN_IN = "Sign in again, as with `aws sso login`, and repeat the command."


def phrased(error: Exception) -> str:
    """Say what happened and what to do; raise an error that is not botocore's again."""
    text = f"{error}".rstrip(".")
    match error:
        case EndpointConnectionError() | ConnectTimeoutError():
            return f"AWS cannot be reached: {text}. Check the network, then repeat the command."
        case NoCredentialsError():
            return "There are no AWS credentials. Name a profile with --profile."
        case UnauthorizedSSOTokenError() | SSOError() | CredentialRetrievalError():
            return f"The profile yields no AWS credentials: {text}. {_SIGN_IN}"
        case ClientError() if "expired" in error.response["Error"]["Code"].lower():
            return f"Your AWS credentials have expired. {_SIGN_IN}"
        case ClientError():
            return f"AWS refuses this: {text}. Check the role's permissions."
        case BotoCoreError():
            return f"{text}."
    raise error
