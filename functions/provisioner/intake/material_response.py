"""Answers with wrapped key material, as they come from outside."""

import base64
import binascii
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic.functional_validators import AfterValidator
from pydantic_core import PydanticCustomError

from provisioner.domain import plan
from provisioner.domain.material import Answer
from provisioner.errors import RequestRejected
from provisioner.intake import documents
from provisioner.intake.documents import Fields

MAX_ANSWER_BYTES = 96 * 1024
"""Fits into Step Functions' 256 KB beside a request; several answers can share the Regions."""
_MAX_BASE64 = 8_192
"""Of 6,144 bytes: https://docs.aws.amazon.com/kms/latest/APIReference/API_ImportKeyMaterial.html"""


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise PydanticCustomError("bad_format", "This is not base64.") from None
    return text


Base64 = Annotated[str, Field(min_length=1, max_length=_MAX_BASE64), AfterValidator(_base64)]


class WrappedMaterialFields(Fields):
    """Wrapped key material for one Region, with the import token it was wrapped for."""

    region: str
    importToken: Base64
    encryptedKeyMaterial: Base64


class AnswerFields(Fields):
    """An answer for some or all of the Regions that were asked for."""

    requestId: str = Field(pattern=f"^{plan.REQUEST_ID_PATTERN}$")
    materials: list[WrappedMaterialFields] = Field(min_length=1)


def parse_answer(document: object) -> Answer:
    """Check an answer with wrapped key material.

    Raises
    ------
    RequestRejected
        It is not valid; carries every problem.
    """
    if problem := documents.unreadable(document, "answer", MAX_ANSWER_BYTES):
        raise RequestRejected([problem])
    try:
        fields = AnswerFields.model_validate(document)
    except ValidationError as error:
        problems = documents.problems_from(error.errors(include_url=False), AnswerFields)
        raise RequestRejected(documents.bounded(problems)) from error
    return {
        "requestId": fields.requestId,
        "materials": [
            {
                "region": one.region,
                "importToken": one.importToken,
                "encryptedKeyMaterial": one.encryptedKeyMaterial,
            }
            for one in fields.materials
        ],
    }
