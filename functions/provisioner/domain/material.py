"""Imported key material as it is asked for and answered: one entry for each Region's key."""

from typing import TypedDict


class Material(TypedDict):
    """What a person needs to wrap the key material for one Region; texts, base64 as named."""

    region: str
    keyArn: str
    keySpec: str
    wrappingAlgorithm: str
    wrappingKeySpec: str
    publicKey: str
    importToken: str
    validUntil: str


class WrappedMaterial(TypedDict):
    """The answer for one Region: key material that only KMS can unwrap, in base64."""

    region: str
    importToken: str
    encryptedKeyMaterial: str


class Answer(TypedDict):
    """An answer for some or all of the Regions that were asked for."""

    requestId: str
    materials: list[WrappedMaterial]
