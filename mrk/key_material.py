"""Wrap imported key material for every Region of a key set, where the material is.

Whoever holds the material runs this, on a machine that needs no network and no AWS credentials:

    mrk wrap --request event.json --material key.bin --answer answer.json

The request is the event `Multi-Region Key Material Required` (whole, or its `detail`), or the
status that `GET /keys/{requestId}` answers. The answer is the body of
`POST /keys/{requestId}/material` and the detail of `Multi-Region Key Material Provided`; it holds
ciphertext only. The material itself is neither printed nor sent nor written anywhere.

Before anything is wrapped, the material is checked against the key spec: KMS says little about
material that it does not take, and a key that took the wrong one cannot be given another in its
place.

| key spec | material |
|---|---|
| `SYMMETRIC_DEFAULT` | 32 bytes; 16 in the China Regions |
| `HMAC_224`, `HMAC_256`, `HMAC_384`, `HMAC_512` | 28, 32, 48, 64 bytes |
| `RSA_*`, `ECC_*` | an unencrypted private key of that size or curve, in DER or PEM |

KMS takes private keys as PKCS#8 in DER. PEM, PKCS#1 and SEC1 are re-encoded to that, and so is
PKCS#8 itself: every form of one key gives the same bytes, with a named curve, as KMS demands.

Exit codes: 0 the answer is written, 1 it is refused, 2 wrong usage. Where `mrk` is not installed,
this file runs alone (`python key_material.py`), with Python 3.13 and `cryptography`:

    pip install --require-hashes -r key_material.txt

https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-conceptual.html
https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-encrypt-key-material.html
"""

import argparse
import base64
import binascii
import json
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeGuard

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)

REFUSED = 1
STANDARD_OUTPUT = "-"

_OAEP, _AES_KEY_WRAP = "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_256"
_AES_KEY_BYTES = 32
_WRAPPING_KEY_BITS = {"RSA_2048": 2048, "RSA_3072": 3072, "RSA_4096": 4096}

_BYTES = {"SYMMETRIC_DEFAULT": 32, "HMAC_224": 28, "HMAC_256": 32, "HMAC_384": 48, "HMAC_512": 64}
_CHINA_BYTES = _BYTES | {"SYMMETRIC_DEFAULT": 16}
_CURVES = {
    "secp256r1": "ECC_NIST_P256",
    "secp384r1": "ECC_NIST_P384",
    "secp521r1": "ECC_NIST_P521",
    "secp256k1": "ECC_SECG_P256K1",
}
_EDWARDS = "ECC_NIST_EDWARDS25519"
_NOT_DIRECTLY_UNDER_RSA_2048 = ("ECC_NIST_P521", _EDWARDS)
_RSA_KEYS = ("RSA_2048", "RSA_3072", "RSA_4096")
_KEY_SPECS = (*_BYTES, *_RSA_KEYS, *_CURVES.values(), _EDWARDS)

_PEM = b"-----BEGIN "
_TO_PKCS8 = "openssl pkcs8 -topk8 -nocrypt -outform der"
_TEXTS: tuple[tuple[str, str, Callable[[bytes], bytes]], ...] = (
    ("hex", "xxd -r -p", binascii.unhexlify),
    ("base64", "base64 -d", lambda text: binascii.a2b_base64(text, strict_mode=True)),
)


class MaterialRefused(Exception):
    """The key material, or the document that asks for it, is not one to wrap.

    Attributes
    ----------
    problems : list[str]
        Every one that was found, a sentence each. None repeats any of the material.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class _Region:
    """What one Region's key gave to wrap its material with."""

    name: str
    algorithm: str
    public_key: RSAPublicKey
    import_token: str


def wrap_key_material(
    document: dict[str, Any], material: bytes, *, key_spec: str | None = None, now: datetime
) -> dict[str, Any]:
    """Check key material and wrap it for every Region that a document asks it for.

    Parameters
    ----------
    document
        The event `Multi-Region Key Material Required`, its detail, or a request's status.
    material
        As its file holds it: raw bytes, or a private key in DER or PEM.
    key_spec
        The KMS key's spec, for documents whose materials have no `keySpec`.
    now
        With a time zone; what was valid until then is refused.

    Returns
    -------
    dict
        `{"requestId", "materials": [{"region", "importToken", "encryptedKeyMaterial"}]}`

    Raises
    ------
    MaterialRefused
        The document or the material is not as it has to be.
    """
    detail = document.get("detail", document)
    materials = _materials(detail)
    problems = [] if _is_text(detail.get("requestId")) else ["The document has no requestId."]
    regions, spec = [], None
    try:
        spec = _key_spec(materials, key_spec)
        importable = _importable(material, spec, _in_china(materials))
    except MaterialRefused as refused:
        problems += refused.problems
    for index, entry in enumerate(materials):
        try:
            regions.append(_region(entry, _label(entry, index), spec, now))
        except MaterialRefused as refused:
            problems += refused.problems
    if problems:
        raise MaterialRefused(problems)
    return {
        "requestId": detail["requestId"],
        "materials": [
            {
                "region": region.name,
                "importToken": region.import_token,
                "encryptedKeyMaterial": base64.b64encode(_wrapped(importable, region)).decode(),
            }
            for region in regions
        ],
    }


def _wrapped(importable: bytes, region: _Region) -> bytes:
    oaep = padding.OAEP(mgf=padding.MGF1(SHA256()), algorithm=SHA256(), label=None)
    if region.algorithm == _OAEP:
        return region.public_key.encrypt(importable, oaep)
    # A key of its own for every Region: whoever opens one Region's answer opens no other.
    aes_key = secrets.token_bytes(_AES_KEY_BYTES)
    return region.public_key.encrypt(aes_key, oaep) + aes_key_wrap_with_padding(aes_key, importable)


# The document.


def _materials(detail: object) -> list[Any]:
    if not isinstance(detail, dict):
        raise MaterialRefused(["The event's detail is not a JSON object."])
    materials = detail.get("materials") or []
    if not isinstance(materials, list):
        raise MaterialRefused(["The document's materials are not a list."])
    if not materials:
        status = f"; the request is {_told(detail['status'])}" if "status" in detail else ""
        raise MaterialRefused([f"There is nothing to wrap: no materials are listed{status}."])
    return materials


def _label(entry: object, index: int) -> str:
    region = entry.get("region") if isinstance(entry, dict) else None
    return str(region) if _is_region(region) else f"materials[{index}]"


def _in_china(materials: list[Any]) -> bool:
    return any(_label(entry, index).startswith("cn-") for index, entry in enumerate(materials))


def _key_spec(materials: list[Any], key_spec: str | None) -> str:
    named = [entry.get("keySpec") for entry in materials if isinstance(entry, dict)]
    specs = sorted({_told(spec) for spec in [*named, key_spec] if spec})
    if not specs:
        raise MaterialRefused(["The materials have no keySpec: give it with --key-spec."])
    if len(specs) > 1:
        raise MaterialRefused([f"One key has one key spec, and here are {' and '.join(specs)}."])
    if specs[0] not in _KEY_SPECS:
        raise MaterialRefused([f"The key spec is {specs[0]}, not one of {', '.join(_KEY_SPECS)}."])
    return specs[0]


def _region(entry: object, label: str, key_spec: str | None, now: datetime) -> _Region:
    if not isinstance(entry, dict):
        raise MaterialRefused([f"{label}: it is not a JSON object."])
    public_key = _public_key(entry)
    problems = [
        f"{label}: {problem}."
        for problem in (
            *_missing_fields(entry),
            *_algorithm_problems(entry, key_spec),
            *_public_key_problems(entry, public_key),
            *_token_problems(entry, now),
        )
    ]
    if problems or public_key is None:
        raise MaterialRefused(problems)
    return _Region(entry["region"], entry["wrappingAlgorithm"], public_key, entry["importToken"])


def _missing_fields(entry: dict[str, Any]) -> Iterator[str]:
    for field in ("publicKey", "importToken", "validUntil"):
        if not _is_text(entry.get(field)):
            yield f"{field} is missing"
    if not _is_region(entry.get("region")):
        yield "region is not a Region's name"


def _algorithm_problems(entry: dict[str, Any], key_spec: str | None) -> Iterator[str]:
    algorithm, wrapping_spec = entry.get("wrappingAlgorithm"), entry.get("wrappingKeySpec")
    if algorithm not in (_OAEP, _AES_KEY_WRAP):
        yield f"wrappingAlgorithm is {_told(algorithm)}, not {_OAEP} or {_AES_KEY_WRAP}"
    not_under = key_spec in _NOT_DIRECTLY_UNDER_RSA_2048 and wrapping_spec == "RSA_2048"
    if algorithm == _OAEP and (key_spec in _RSA_KEYS or not_under):
        yield (
            f"KMS takes no private key of {key_spec} by {_OAEP} with {_told(wrapping_spec)}; "
            f"ask for parameters with {_AES_KEY_WRAP}"
        )
    if algorithm == _AES_KEY_WRAP and _in_china([entry]):
        yield f"KMS in the China Regions does not take {_AES_KEY_WRAP}; ask for {_OAEP}"


def _public_key_problems(entry: dict[str, Any], public_key: RSAPublicKey | None) -> Iterator[str]:
    spec = _told(entry.get("wrappingKeySpec"))
    if spec not in _WRAPPING_KEY_BITS:
        yield f"wrappingKeySpec is {spec}, not {' or '.join(_WRAPPING_KEY_BITS)}"
    elif public_key and public_key.key_size != _WRAPPING_KEY_BITS[spec]:
        yield f"publicKey has {public_key.key_size} bits, and wrappingKeySpec is {spec}"
    if public_key is None and _is_text(entry.get("publicKey")):
        yield "publicKey is not an RSA public key, in DER and base64"


def _token_problems(entry: dict[str, Any], now: datetime) -> Iterator[str]:
    token, valid_until = entry.get("importToken"), entry.get("validUntil")
    if _is_text(token) and _from_base64(token) is None:
        yield "importToken is not base64"
    if not _is_text(valid_until):
        return
    end = _time(valid_until)
    if end is None:
        yield "validUntil is not a time in UTC, as in 2026-11-24T20:00:00Z"
    elif end <= now:
        yield (
            f"the public key and the import token were valid until {valid_until}; "
            "ask for new parameters for this Region and wrap the material again"
        )


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    # Without an offset it would be anybody's hour.
    return time if time.tzinfo else None


def _public_key(entry: dict[str, Any]) -> RSAPublicKey | None:
    der = _from_base64(entry.get("publicKey"))
    public_key = _loaded_public_key(load_der_public_key, der) if der else None
    return public_key if isinstance(public_key, RSAPublicKey) else None


# The material. No sentence about it may repeat any of it.


def _importable(material: bytes, spec: str, in_china: bool) -> bytes:
    """Return the bytes that KMS imports, of material that fits the key spec."""
    lengths = _CHINA_BYTES if in_china else _BYTES
    if spec not in lengths:
        return _private_key(material, spec).private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
        )
    if len(material) != lengths[spec]:
        hint = _text_hint(material, lambda decoded: len(decoded) == lengths[spec])
        raise MaterialRefused(
            [hint or f"The file holds {len(material)} bytes, and {spec} needs {lengths[spec]}."]
        )
    return material


def _private_key(material: bytes, spec: str) -> PrivateKeyTypes:
    key = _loaded_private_key(material)
    if key is None:
        raise MaterialRefused([_no_private_key(material)])
    if _spec_of(key) != spec:
        raise MaterialRefused(
            [f"The file holds a private key of {_spec_of(key)}, and the KMS key is {spec}."]
        )
    return key


def _loaded_private_key(material: bytes) -> PrivateKeyTypes | None:
    load = load_pem_private_key if _PEM in material else load_der_private_key
    try:
        return load(material, password=None)
    except (ValueError, UnsupportedAlgorithm):
        return None
    except TypeError:
        # What `cryptography` raises for a private key that needs a password.
        raise MaterialRefused(
            [f"The file holds an encrypted private key; decrypt it: {_TO_PKCS8}."]
        ) from None


def _no_private_key(material: bytes) -> str:
    load = load_pem_public_key if _PEM in material else load_der_public_key
    if _loaded_public_key(load, material):
        return "The file holds a public key; KMS needs the private key and derives the public one."
    return (
        _text_hint(material, lambda decoded: _loaded_private_key(decoded) is not None)
        or f"The file holds no private key that can be read; KMS needs PKCS#8 in DER: {_TO_PKCS8}."
    )


def _loaded_public_key(
    load: Callable[[bytes], PublicKeyTypes], material: bytes
) -> PublicKeyTypes | None:
    try:
        return load(material)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _spec_of(key: PrivateKeyTypes) -> str:
    if isinstance(key, RSAPrivateKey):
        return f"RSA_{key.key_size}"
    if isinstance(key, EllipticCurvePrivateKey):
        return _CURVES.get(key.curve.name, key.curve.name)
    return _EDWARDS if isinstance(key, Ed25519PrivateKey) else "another kind"


def _text_hint(material: bytes, fits: Callable[[bytes], bool]) -> str | None:
    """Say that the material is text, if what the text stands for would fit."""
    for form, command, decoded in _decoded_texts(material):
        if fits(decoded):
            return f"The file holds {form} text; KMS needs the raw bytes: {command}."
    return None


def _decoded_texts(material: bytes) -> Iterator[tuple[str, str, bytes]]:
    text = b"".join(material.split())
    for form, command, decode in _TEXTS:
        try:
            yield form, command, decode(text)
        except ValueError:
            continue


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value != ""


def _is_region(value: object) -> bool:
    return (
        isinstance(value, str)
        and re.fullmatch("[a-z]{2,8}(-[a-z0-9]{1,12}){2,3}", value) is not None
    )


def _told(value: object) -> str:
    # Only names are repeated: what stands where a name belongs might be anything.
    if value in (None, ""):
        return "missing"
    named = isinstance(value, str) and re.fullmatch("[A-Z][A-Z0-9]*(_[A-Z0-9]{1,12})*", value)
    return str(value) if named else "unreadable"


def _from_base64(value: object) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except ValueError:
        return None


# The command.


def main(argv: list[str] | None = None, program: str | None = None) -> int:
    """Wrap the material of the files that the command line names.

    Returns
    -------
    int
        The exit code: 0, or 1 for a refusal, whose problems are on standard error.

    Raises
    ------
    SystemExit
        The command line is not one of this command's (code 2), or asks for help (code 0).
    """
    arguments = _arguments(argv, program)
    try:
        document, material = _inputs(arguments)
        answer = wrap_key_material(
            document, material, key_spec=arguments.key_spec, now=datetime.now(UTC)
        )
        _write(answer, arguments.answer)
    except MaterialRefused as refused:
        print("Refused; there is no answer:", file=sys.stderr)
        for problem in refused.problems:
            print(f"- {problem}", file=sys.stderr)
        return REFUSED
    regions = ", ".join(entry["region"] for entry in answer["materials"])
    print(f"Wrapped for {regions}.", file=sys.stderr)
    form = next((form for form, _, _ in _decoded_texts(material)), None)
    if form:
        # Not refused, because material may be text by right, as some HMAC keys are.
        print(
            f"The file's bytes are {form} text and were wrapped as they are: if the key is what "
            "the text stands for, do not send this answer.",
            file=sys.stderr,
        )
    return 0


def _arguments(argv: list[str] | None, program: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Wrap imported key material for every Region that asks for it. Works offline; "
        "the material is neither printed nor sent nor written anywhere.",
        epilog="Exit codes: 0 the answer is written, 1 it is refused and standard error says why, "
        "2 wrong usage.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--request",
        type=Path,
        required=True,
        metavar="FILE",
        help="the event `Multi-Region Key Material Required`, or the status from GET /keys/{id}",
    )
    parser.add_argument(
        "--material",
        type=Path,
        required=True,
        metavar="FILE",
        help="the key material: raw bytes, or for RSA and ECC an unencrypted private key in DER "
        "or PEM",
    )
    parser.add_argument(
        "--answer",
        default=STANDARD_OUTPUT,
        metavar="FILE",
        help="where the answer goes, for POST /keys/{id}/material (default: standard output)",
    )
    parser.add_argument(
        "--key-spec",
        metavar="SPEC",
        help=f"the KMS key's spec, if the request does not say it: {', '.join(_KEY_SPECS)}",
    )
    arguments, others = parser.parse_known_args(argv)
    if others:
        # argparse would repeat them, and what was pasted here might be the material.
        parser.error("there are arguments that this command does not have")
    return arguments


def _inputs(arguments: argparse.Namespace) -> tuple[dict[str, Any], bytes]:
    problems: list[str] = []
    request = _read(arguments.request, "request", problems)
    material = _read(arguments.material, "material", problems)
    for name, source in (("request", arguments.request), ("material", arguments.material)):
        if _is_same_file(arguments.answer, source):
            problems.append(f"The answer would overwrite the {name}.")
    document: Any = {}
    if request is not None:
        try:
            document = json.loads(request)
        except (ValueError, RecursionError):
            # Without the parser's own words: if the files were mixed up, this is the material.
            problems.append("The request is not JSON.")
    if not isinstance(document, dict):
        problems.append("The request is not a JSON object.")
    if problems or material is None:
        raise MaterialRefused(problems)
    return document, material


def _read(path: Path, name: str, problems: list[str]) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError as error:
        problems.append(f"The {name} cannot be read: {error.strerror}.")
        return None


def _is_same_file(answer: str, source: Path) -> bool:
    try:
        return answer != STANDARD_OUTPUT and source.samefile(answer)
    except OSError:
        return False


def _write(answer: dict[str, Any], target: str) -> None:
    text = json.dumps(answer, indent=2) + "\n"
    if target == STANDARD_OUTPUT:
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text)
    except OSError as error:
        raise MaterialRefused([f"The answer cannot be written: {error.strerror}."]) from error


if __name__ == "__main__":
    sys.exit(main())
