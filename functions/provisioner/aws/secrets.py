"""Adapter of Secrets Manager: one secret, read as it is needed and kept for a minute."""

from collections.abc import Callable
from time import monotonic

from botocore.exceptions import BotoCoreError, ClientError

from provisioner.aws.client_types import SecretsManagerClient
from provisioner.errors import DependencyUnavailable

LIFETIME_SECONDS = 60
"""How long a value that was changed may still count: a new one needs no deployment."""


class Secret[T]:
    """The current value of a secret, as `read` understands it.

    Its text is never in a message: what cannot be understood is `read`'s to report.
    """

    def __init__(self, client: SecretsManagerClient, arn: str, read: Callable[[str], T]) -> None:
        self._client = client
        self._arn = arn
        self._read = read
        self._kept: tuple[T, float] | None = None

    def value(self) -> T:
        """Return what the secret says, at most a minute late.

        Raises
        ------
        DependencyUnavailable
            Secrets Manager refused the call or did not answer. A value that is older than a minute
            is not used then: it may be one that somebody has just withdrawn.
        """
        if self._kept is None or monotonic() - self._kept[1] >= LIFETIME_SECONDS:
            began = monotonic()
            self._kept = self._read(self._text()), began
        return self._kept[0]

    def _text(self) -> str:
        try:
            # Without a version it is the current one.
            # https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
            answer = self._client.get_secret_value(SecretId=self._arn)
        except (BotoCoreError, ClientError) as error:
            text = f"Secrets Manager did not do GetSecretValue: {error}."
            raise DependencyUnavailable(text) from error
        # A binary secret has no text, and is none that anybody can read here.
        return answer.get("SecretString", "")
