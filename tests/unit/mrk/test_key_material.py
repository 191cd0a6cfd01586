import base64
import json
import secrets
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from mrk import cli, key_material
from mrk.key_material import MaterialRefused, main, wrap_key_material

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
REGIONS = ("us-east-1", "eu-west-1")
OAEP, AES = "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_256"
TOKEN = base64.b64encode(b"import token").decode()
LENGTHS = {
    "SYMMETRIC_DEFAULT": 32,
    "HMAC_224": 28,
    "HMAC_256": 32,
    "HMAC_384": 48,
    "HMAC_512": 64,
}
CURVES: dict[str, ec.EllipticCurve] = {
    "ECC_NIST_P256": ec.SECP256R1(),
    "ECC_NIST_P384": ec.SECP384R1(),
    "ECC_NIST_P521": ec.SECP521R1(),
    "ECC_SECG_P256K1": ec.SECP256K1(),
}
RSA_SPECS = ("RSA_2048", "RSA_3072", "RSA_4096")
PKCS8, TRADITIONAL = PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL
DER, PEM = Encoding.DER, Encoding.PEM


@cache
def private_key(spec: str) -> PrivateKeyTypes:
    if spec.startswith("RSA"):
        return rsa.generate_private_key(65537, int(spec.removeprefix("RSA_")))
    if spec in CURVES:
        return ec.generate_private_key(CURVES[spec])
    return ed25519.Ed25519PrivateKey.generate()


def wrapping_key(spec: str) -> rsa.RSAPrivateKey:
    key = private_key(spec)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def encoded(
    key: PrivateKeyTypes,
    encoding: Encoding = DER,
    form: PrivateFormat = PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(encoding, form, encryption or NoEncryption())


def public(key: PrivateKeyTypes, encoding: Encoding = DER) -> bytes:
    return key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)


def material_of(spec: str) -> bytes:
    return (
        secrets.token_bytes(LENGTHS[spec]) if spec in LENGTHS else encoded(private_key(spec), DER)
    )


def entry(region: str = "us-east-1", **changes: Any) -> dict[str, Any]:
    wrapping_spec = changes.get("wrappingKeySpec", "RSA_2048")
    known = wrapping_spec if wrapping_spec in RSA_SPECS else "RSA_2048"
    fields = {
        "region": region,
        "keyArn": f"arn:aws:kms:{region}:111122223333:key/mrk-1",
        "keySpec": "SYMMETRIC_DEFAULT",
        "wrappingAlgorithm": OAEP,
        "wrappingKeySpec": wrapping_spec,
        "publicKey": base64.b64encode(public(private_key(known))).decode(),
        "importToken": TOKEN,
        "validUntil": "2026-11-24T20:00:00Z",
    }
    return {field: value for field, value in (fields | changes).items() if value is not ...}


def status(*regions: str, **changes: Any) -> dict[str, Any]:
    materials = [entry(region, **changes) for region in regions or REGIONS]
    return {"requestId": "CHG1", "status": "WAITING_FOR_MATERIAL", "materials": materials}


def unwrapped(wrapped: dict[str, str], algorithm: str, wrapping_spec: str) -> bytes:
    key = wrapping_key(wrapping_spec)
    oaep = padding.OAEP(mgf=padding.MGF1(SHA256()), algorithm=SHA256(), label=None)
    encrypted = base64.b64decode(wrapped["encryptedKeyMaterial"], validate=True)
    if algorithm == OAEP:
        return key.decrypt(encrypted, oaep)
    rsa_part, aes_part = encrypted[: key.key_size // 8], encrypted[key.key_size // 8 :]
    aes_key = key.decrypt(rsa_part, oaep)
    assert len(aes_key) == 32
    return aes_key_unwrap_with_padding(aes_key, aes_part)


def problems_of(document: Any, material: bytes, key_spec: str | None = None) -> list[str]:
    with pytest.raises(MaterialRefused) as refused:
        wrap_key_material(document, material, key_spec=key_spec, now=NOW)
    assert str(refused.value) == " ".join(refused.value.problems)
    return refused.value.problems


@pytest.mark.parametrize("wrapping_spec", RSA_SPECS)
@pytest.mark.parametrize("algorithm", [OAEP, AES])
def test_every_region_can_unwrap_the_material(algorithm: str, wrapping_spec: str) -> None:
    material = material_of("SYMMETRIC_DEFAULT")
    document = status(wrappingAlgorithm=algorithm, wrappingKeySpec=wrapping_spec)

    answer = wrap_key_material(document, material, now=NOW)

    assert answer.keys() == {"requestId", "materials"}
    assert answer["requestId"] == "CHG1"
    assert [wrapped["region"] for wrapped in answer["materials"]] == list(REGIONS)
    for wrapped in answer["materials"]:
        assert wrapped.keys() == {"region", "importToken", "encryptedKeyMaterial"}
        assert wrapped["importToken"] == TOKEN
        assert unwrapped(wrapped, algorithm, wrapping_spec) == material


@pytest.mark.parametrize("wrapping_spec", RSA_SPECS)
@pytest.mark.parametrize("algorithm", [OAEP, AES])
@pytest.mark.parametrize("spec", [*LENGTHS, *RSA_SPECS, *CURVES, "ECC_NIST_EDWARDS25519"])
def test_every_key_spec_is_wrapped_unless_kms_does_not_take_it_so(
    spec: str, algorithm: str, wrapping_spec: str
) -> None:
    material = material_of(spec)
    document = status(keySpec=spec, wrappingAlgorithm=algorithm, wrappingKeySpec=wrapping_spec)
    not_under = spec in ("ECC_NIST_P521", "ECC_NIST_EDWARDS25519") and wrapping_spec == "RSA_2048"
    if algorithm == OAEP and (spec in RSA_SPECS or not_under):
        assert problems_of(document, material) == [
            f"{region}: KMS takes no private key of {spec} by {OAEP} with {wrapping_spec}; "
            f"ask for parameters with {AES}."
            for region in REGIONS
        ]
    else:
        answer = wrap_key_material(document, material, now=NOW)
        assert unwrapped(answer["materials"][1], algorithm, wrapping_spec) == material


def test_regions_may_differ_in_how_they_are_wrapped() -> None:
    material = material_of("HMAC_384")
    materials = [
        entry("us-east-1", keySpec="HMAC_384"),
        entry("eu-west-1", keySpec="HMAC_384", wrappingAlgorithm=AES, wrappingKeySpec="RSA_3072"),
    ]

    answer = wrap_key_material({"requestId": "CHG1", "materials": materials}, material, now=NOW)

    assert unwrapped(answer["materials"][0], OAEP, "RSA_2048") == material
    assert unwrapped(answer["materials"][1], AES, "RSA_3072") == material


@pytest.mark.parametrize("encoding", [DER, PEM])
@pytest.mark.parametrize("form", [PKCS8, TRADITIONAL])
@pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_P384"])
def test_every_form_of_a_private_key_is_wrapped_as_pkcs8(
    spec: str, form: PrivateFormat, encoding: Encoding
) -> None:
    key = private_key(spec)
    document = status(keySpec=spec, wrappingAlgorithm=AES)

    answer = wrap_key_material(document, encoded(key, encoding, form), now=NOW)

    assert unwrapped(answer["materials"][0], AES, "RSA_2048") == encoded(key)


def test_events_their_detail_and_the_status_are_read() -> None:
    material = material_of("SYMMETRIC_DEFAULT")
    detail = {"requestId": "CHG1", "ticket": {}, "materials": [entry()]}
    event = {"detail-type": "Multi-Region Key Material Required", "detail": detail}

    for document in (event, detail, status("us-east-1")):
        answer = wrap_key_material(document, material, now=NOW)

        assert answer["requestId"] == "CHG1"
        assert unwrapped(answer["materials"][0], OAEP, "RSA_2048") == material


@pytest.mark.parametrize("named", [..., None, "HMAC_224"])
def test_the_key_spec_can_be_given(named: Any) -> None:
    material = material_of("HMAC_224")

    answer = wrap_key_material(status(keySpec=named), material, key_spec="HMAC_224", now=NOW)

    assert unwrapped(answer["materials"][0], OAEP, "RSA_2048") == material


def test_in_the_china_regions_nothing_is_wrapped_with_aes() -> None:
    document = status("cn-north-1", keySpec="ECC_NIST_P256", wrappingAlgorithm=AES)

    assert problems_of(document, material_of("ECC_NIST_P256")) == [
        f"cn-north-1: KMS in the China Regions does not take {AES}; ask for {OAEP}."
    ]


def test_symmetric_keys_of_the_china_regions_have_16_bytes() -> None:
    document, material = status("cn-north-1", "cn-northwest-1"), secrets.token_bytes(16)

    answer = wrap_key_material(document, material, now=NOW)

    assert unwrapped(answer["materials"][0], OAEP, "RSA_2048") == material
    assert problems_of(document, secrets.token_bytes(32)) == [
        "The file holds 32 bytes, and SYMMETRIC_DEFAULT needs 16."
    ]


# Refused material.


@pytest.mark.parametrize("change", [-1, 1])
@pytest.mark.parametrize("spec", LENGTHS)
def test_a_wrong_length_is_refused(spec: str, change: int) -> None:
    length = LENGTHS[spec] + change
    # Not printable, so that it is surely no text.
    assert problems_of(status(keySpec=spec), b"\xff" * length) == [
        f"The file holds {length} bytes, and {spec} needs {LENGTHS[spec]}."
    ]


def test_no_material_is_refused() -> None:
    assert problems_of(status(), b"") == ["The file holds 0 bytes, and SYMMETRIC_DEFAULT needs 32."]
    assert "no private key that can be read" in problems_of(status(keySpec="ECC_NIST_P256"), b"")[0]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("spec", [*LENGTHS, "ECC_NIST_P256", "ECC_NIST_EDWARDS25519"])
def test_material_as_text_is_refused_with_what_decodes_it(spec: str, end: bytes) -> None:
    document, material = status(keySpec=spec, wrappingKeySpec="RSA_3072"), material_of(spec)

    assert problems_of(document, material.hex().encode() + end) == [
        "The file holds hex text; KMS needs the raw bytes: xxd -r -p."
    ]
    assert problems_of(document, base64.encodebytes(material).strip() + end) == [
        "The file holds base64 text; KMS needs the raw bytes: base64 -d."
    ]


def test_a_key_of_another_kind_size_or_curve_is_refused() -> None:
    def problem(needed: str, key: PrivateKeyTypes) -> str:
        document = status(keySpec=needed, wrappingAlgorithm=AES)
        (problem,) = problems_of(document, encoded(key))
        return problem

    held = "The file holds a private key of"
    other_curve = ec.generate_private_key(ec.SECP224R1())
    assert problem("RSA_3072", private_key("RSA_2048")) == (
        f"{held} RSA_2048, and the KMS key is RSA_3072."
    )
    assert problem("ECC_NIST_P256", private_key("ECC_SECG_P256K1")) == (
        f"{held} ECC_SECG_P256K1, and the KMS key is ECC_NIST_P256."
    )
    assert problem("ECC_NIST_P256", private_key("RSA_2048")).startswith(f"{held} RSA_2048,")
    assert problem("RSA_2048", private_key("ECC_NIST_P256")).startswith(f"{held} ECC_NIST_P256,")
    assert problem("ECC_NIST_P256", private_key("ED25519")).startswith(
        f"{held} ECC_NIST_EDWARDS25519,"
    )
    assert problem("ECC_NIST_P256", other_curve).startswith(f"{held} secp224r1,")
    assert problem("ECC_NIST_EDWARDS25519", x25519.X25519PrivateKey.generate()).startswith(
        f"{held} another kind,"
    )


@pytest.mark.parametrize("encoding", [DER, PEM])
def test_a_public_key_is_refused(encoding: Encoding) -> None:
    material = public(private_key("ECC_NIST_P256"), encoding)

    assert problems_of(status(keySpec="ECC_NIST_P256"), material) == [
        "The file holds a public key; KMS needs the private key and derives the public one."
    ]


@pytest.mark.parametrize(
    ("encoding", "form"), [(DER, PKCS8), (PEM, PKCS8), (PEM, TRADITIONAL)], ids=str
)
def test_an_encrypted_private_key_is_refused(encoding: Encoding, form: PrivateFormat) -> None:
    encryption = BestAvailableEncryption(b"password")
    material = encoded(private_key("ECC_NIST_P256"), encoding, form, encryption)

    assert problems_of(status(keySpec="ECC_NIST_P256"), material) == [
        "The file holds an encrypted private key; decrypt it: "
        "openssl pkcs8 -topk8 -nocrypt -outform der."
    ]


@pytest.mark.parametrize(
    "material",
    [
        b"\xff" * 32,
        encoded(private_key("ECC_NIST_P256"))[:-1],
        encoded(private_key("ECC_NIST_P256")) + b"\n",
        b"-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\nMIGH\n-----END CERTIFICATE-----\n",
    ],
    ids=["noise", "cut short", "with a line feed", "broken PEM", "certificate"],
)
def test_what_is_no_private_key_is_refused(material: bytes) -> None:
    assert problems_of(status(keySpec="ECC_NIST_P256"), material) == [
        "The file holds no private key that can be read; KMS needs PKCS#8 in DER: "
        "openssl pkcs8 -topk8 -nocrypt -outform der."
    ]


# Refused documents.


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"publicKey": ...}, "publicKey is missing"),
        ({"importToken": ""}, "importToken is missing"),
        ({"validUntil": None}, "validUntil is missing"),
        ({"wrappingAlgorithm": ...}, f"wrappingAlgorithm is missing, not {OAEP} or {AES}"),
        (
            {"wrappingAlgorithm": "RSAES_OAEP_SHA_1"},
            f"wrappingAlgorithm is RSAES_OAEP_SHA_1, not {OAEP} or {AES}",
        ),
        ({"wrappingAlgorithm": [1]}, f"wrappingAlgorithm is unreadable, not {OAEP} or {AES}"),
        (
            {"wrappingKeySpec": "SM2"},
            "wrappingKeySpec is SM2, not RSA_2048 or RSA_3072 or RSA_4096",
        ),
        *[
            ({"publicKey": key}, "publicKey is not an RSA public key, in DER and base64")
            for key in (TOKEN, "=not base64", "ä")
        ],
        ({"publicKey": 1}, "publicKey is missing"),
        ({"importToken": "=not base64"}, "importToken is not base64"),
        *[
            (
                {"validUntil": time},
                "validUntil is not a time in UTC, as in 2026-11-24T20:00:00Z",
            )
            for time in ("soon", "2026-11-24T20:00:00", "2026-11-24")
        ],
        *[
            (
                {"validUntil": time},
                f"the public key and the import token were valid until {time}; ask for new "
                "parameters for this Region and wrap the material again",
            )
            for time in ("2026-11-24T12:00:00Z", "2026-11-24T13:30:00+02:00")
        ],
    ],
)
def test_what_a_region_lacks_is_told_with_its_name(changes: dict[str, Any], problem: str) -> None:
    document = status("us-east-1")
    document["materials"].append(entry("eu-west-1", **changes))

    assert problems_of(document, material_of("SYMMETRIC_DEFAULT")) == [f"eu-west-1: {problem}."]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("RSA_3072", "publicKey has 3072 bits, and wrappingKeySpec is RSA_2048"),
        ("ECC_NIST_P256", "publicKey is not an RSA public key, in DER and base64"),
    ],
)
def test_a_public_key_of_another_size_or_kind_is_refused(spec: str, problem: str) -> None:
    public_key = base64.b64encode(public(private_key(spec))).decode()
    document = status("us-east-1", publicKey=public_key)

    assert problems_of(document, material_of("SYMMETRIC_DEFAULT")) == [f"us-east-1: {problem}."]


@pytest.mark.parametrize("region", [..., None, "", 1, "Frankfurt", "us-east-1\n"])
def test_a_material_without_a_region_is_told_by_its_place(region: Any) -> None:
    document = status("us-east-1")
    document["materials"].append(entry() | {"region": region})

    assert problems_of(document, material_of("SYMMETRIC_DEFAULT")) == [
        "materials[1]: region is not a Region's name."
    ]


def test_a_material_that_is_no_object_is_refused() -> None:
    document = status("us-east-1")
    document["materials"].append("eu-west-1")

    assert problems_of(document, material_of("SYMMETRIC_DEFAULT")) == [
        "materials[1]: it is not a JSON object."
    ]


@pytest.mark.parametrize("request_id", [None, "", 1])
def test_a_document_without_a_request_id_is_refused(request_id: Any) -> None:
    document = status() | {"requestId": request_id}

    assert problems_of(document, material_of("SYMMETRIC_DEFAULT")) == [
        "The document has no requestId."
    ]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (
            {"requestId": "CHG1", "status": "CREATED"},
            "There is nothing to wrap: no materials are listed; the request is CREATED.",
        ),
        (
            {"detail": {"requestId": "CHG1", "status": "CREATED", "materials": []}},
            "There is nothing to wrap: no materials are listed; the request is CREATED.",
        ),
        ({}, "There is nothing to wrap: no materials are listed."),
        ({"detail": "text"}, "The event's detail is not a JSON object."),
        ({"materials": {"us-east-1": {}}}, "The document's materials are not a list."),
    ],
)
def test_a_document_that_asks_for_nothing_is_refused(
    document: dict[str, Any], problem: str
) -> None:
    assert problems_of(document, material_of("SYMMETRIC_DEFAULT")) == [problem]


def test_the_key_spec_has_to_be_known_and_one_for_all() -> None:
    material = material_of("HMAC_256")
    mixed = status("us-east-1")
    mixed["materials"].append(entry("eu-west-1", keySpec="HMAC_256"))

    assert problems_of(status(keySpec=...), material) == [
        "The materials have no keySpec: give it with --key-spec."
    ]
    (unknown,) = problems_of(status(keySpec="SM2"), material)
    assert unknown.startswith("The key spec is SM2, not one of SYMMETRIC_DEFAULT, HMAC_224,")
    (unreadable,) = problems_of(status(keySpec={"not": "a name"}), material)
    assert unreadable.startswith("The key spec is unreadable, not one of")
    assert problems_of(mixed, material) == [
        "One key has one key spec, and here are HMAC_256 and SYMMETRIC_DEFAULT."
    ]
    assert problems_of(status(), material, key_spec="HMAC_256") == [
        "One key has one key spec, and here are HMAC_256 and SYMMETRIC_DEFAULT."
    ]


def test_every_problem_is_told() -> None:
    document = status("us-east-1", wrappingAlgorithm="RSAES_PKCS1_V1_5", importToken="?")
    document["materials"].append(entry("eu-west-1", validUntil="2026-11-24T11:59:59Z"))
    document["requestId"] = ""

    told = problems_of(document, b"\xff")

    assert [problem.split(" ")[:3] for problem in told] == [
        ["The", "document", "has"],
        ["The", "file", "holds"],
        ["us-east-1:", "wrappingAlgorithm", "is"],
        ["us-east-1:", "importToken", "is"],
        ["eu-west-1:", "the", "public"],
    ]


# The command line.


type Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(document: Any, material: bytes, *options: str) -> tuple[int, str, str]:
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        (tmp_path / "event.json").write_bytes(text)
        (tmp_path / "key.bin").write_bytes(material)
        files = ("--request", f"{tmp_path / 'event.json'}", "--material", f"{tmp_path / 'key.bin'}")
        code = main([*files, *options])
        assert (tmp_path / "key.bin").read_bytes() == material
        assert (tmp_path / "event.json").read_bytes() == text
        out, err = capsys.readouterr()
        return code, out, err

    return run


def current(*regions: str, **changes: Any) -> dict[str, Any]:
    return status(*regions, validUntil="2999-01-01T00:00:00Z", **changes)


def test_the_command_writes_the_answer(run: Run, tmp_path: Path) -> None:
    material, answer = b"\xff" * 32, tmp_path / "answer.json"

    assert run(current(), material, "--answer", str(answer)) == (
        0,
        "",
        "Wrapped for us-east-1, eu-west-1.\n",
    )

    (wrapped, _) = json.loads(answer.read_text())["materials"]
    assert unwrapped(wrapped, OAEP, "RSA_2048") == material
    assert {file.name for file in tmp_path.iterdir()} == {"event.json", "key.bin", "answer.json"}


def test_the_command_answers_on_standard_output(run: Run) -> None:
    code, out, _ = run(current(keySpec=...), b"\xff" * 48, "--key-spec", "HMAC_384")

    (wrapped, _) = json.loads(out)["materials"]
    assert code == 0
    assert unwrapped(wrapped, OAEP, "RSA_2048") == b"\xff" * 48


def test_the_command_says_when_wrapped_bytes_are_text(run: Run) -> None:
    code, _, err = run(current(keySpec="HMAC_512"), secrets.token_hex(32).encode())

    assert code == 0
    assert err.splitlines()[1:] == [
        "The file's bytes are hex text and were wrapped as they are: if the key is what the text "
        "stands for, do not send this answer."
    ]


def test_the_command_refuses_with_every_problem(run: Run, tmp_path: Path) -> None:
    answer = tmp_path / "answer.json"
    document = current(wrappingAlgorithm="ROT13")

    code, out, err = run(document, b"\xff", "--answer", str(answer))

    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "Refused; there is no answer:",
        "- The file holds 1 bytes, and SYMMETRIC_DEFAULT needs 32.",
        f"- us-east-1: wrappingAlgorithm is ROT13, not {OAEP} or {AES}.",
        f"- eu-west-1: wrappingAlgorithm is ROT13, not {OAEP} or {AES}.",
    ]
    assert not answer.exists()


@pytest.mark.parametrize("document", [b"{", b"\xff\xff", b"[" * 100_000])
def test_the_command_refuses_what_is_not_json(run: Run, document: bytes) -> None:
    code, _, err = run(document, b"\xff" * 32)

    assert code == 1
    assert "- The request is not JSON.\n" in err


def test_the_command_refuses_json_that_is_no_object(run: Run) -> None:
    code, _, err = run(b'"text"', b"\xff" * 32)

    assert code == 1
    assert "- The request is not a JSON object.\n" in err


@pytest.mark.parametrize("link", ["key.bin", "symlink", "hardlink"])
def test_the_command_does_not_overwrite_the_material(run: Run, tmp_path: Path, link: str) -> None:
    (tmp_path / "key.bin").touch()
    if link == "symlink":
        (tmp_path / link).symlink_to(tmp_path / "key.bin")
    if link == "hardlink":
        (tmp_path / link).hardlink_to(tmp_path / "key.bin")

    code, _, err = run(current(), b"\xff" * 32, "--answer", str(tmp_path / link))

    assert code == 1
    assert "- The answer would overwrite the material.\n" in err


def test_the_command_does_not_overwrite_the_request(run: Run, tmp_path: Path) -> None:
    code, _, err = run(current(), b"\xff" * 32, "--answer", str(tmp_path / "event.json"))

    assert code == 1
    assert "- The answer would overwrite the request.\n" in err


def test_the_command_says_which_files_it_cannot_use(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = str(tmp_path / "nowhere" / "answer.json")
    code, _, err = run(current(), b"\xff" * 32, "--answer", nowhere)
    assert code == 1
    assert "- The answer cannot be written: No such file or directory.\n" in err

    assert main(["--request", str(tmp_path), "--material", nowhere]) == 1
    assert capsys.readouterr().err.splitlines()[1:] == [
        "- The request cannot be read: Is a directory.",
        "- The material cannot be read: No such file or directory.",
    ]


def test_the_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])

    assert left.value.code == 0
    assert "--material FILE" in capsys.readouterr().out


# The secret stays secret, and the command offline.


def spoken_forms(material: bytes) -> list[bytes]:
    text = base64.b64encode(material)
    return [
        material,
        material.hex().encode(),
        material.hex().upper().encode(),
        text,
        base64.urlsafe_b64encode(material),
        # Some of it is a leak as well.
        material[:8].hex().encode(),
        text[:16],
    ]


SYMMETRIC, ECC = secrets.token_bytes(32), encoded(private_key("ECC_NIST_P256"))
# By name: the workers of a parallel run have to agree on the names of the cases.
HELD = {
    "symmetric": SYMMETRIC,
    "symmetric in hex": SYMMETRIC.hex().encode(),
    "symmetric in base64": base64.b64encode(SYMMETRIC),
    "ECC": ECC,
    "ECC in PEM": encoded(private_key("ECC_NIST_P256"), PEM),
    "ECC cut short": ECC[:-1],
    "ECC in hex": ECC.hex().encode(),
}


@pytest.mark.parametrize(
    ("spec", "held", "code"),
    [
        ("SYMMETRIC_DEFAULT", "symmetric", 0),
        ("SYMMETRIC_DEFAULT", "symmetric in hex", 1),
        ("SYMMETRIC_DEFAULT", "symmetric in base64", 1),
        ("SYMMETRIC_DEFAULT", "ECC in PEM", 1),
        ("HMAC_256", "symmetric", 0),
        ("HMAC_384", "symmetric", 1),
        ("HMAC_512", "symmetric in hex", 0),
        ("ECC_NIST_P256", "ECC", 0),
        ("ECC_NIST_P256", "ECC in PEM", 0),
        ("ECC_NIST_P256", "ECC cut short", 1),
        ("ECC_NIST_P256", "ECC in hex", 1),
        ("ECC_NIST_P256", "symmetric", 1),
        ("ECC_NIST_P384", "ECC", 1),
        ("UNKNOWN", "symmetric", 1),
    ],
)
@pytest.mark.parametrize("algorithm", [OAEP, AES])
def test_the_material_is_never_told(
    run: Run, spec: str, held: str, code: int, algorithm: str
) -> None:
    exit_code, out, err = run(current(keySpec=spec, wrappingAlgorithm=algorithm), HELD[held])

    assert exit_code == code
    assert ("encryptedKeyMaterial" in out) == (code == 0)
    for secret in (HELD[held], SYMMETRIC, ECC):
        assert not [form for form in spoken_forms(secret) if form in (out + err).encode()]


@pytest.mark.parametrize("text", ["{}", '"{}"', '{{"{}"', '{{"k": "{}"}}', '{{"status": "{}"}}'])
def test_files_that_were_mixed_up_are_not_told(run: Run, text: str) -> None:
    secret = secrets.token_hex(32)

    code, out, err = run(text.format(secret).encode(), json.dumps(current()).encode())

    assert code == 1
    assert secret not in out + err


@pytest.mark.parametrize("option", ["--material", "--request", "--key-spec", "--answer", "--other"])
def test_material_on_the_command_line_is_not_told(
    run: Run, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    secret = secrets.token_hex(32)
    told: tuple[Any, str, str]
    try:
        told = run(current(), SYMMETRIC, option, f"{secret}/file")
    except SystemExit as left:
        told = (left.code, *capsys.readouterr())

    assert told[0] in (1, 2)
    assert secret not in told[1] + told[2]


@pytest.mark.parametrize("arguments", [["--other"], ["--material"], []])
def test_the_command_is_one_of_mrk_and_repeats_no_argument(arguments: list[str]) -> None:
    secret = secrets.token_hex(32)

    refused = CliRunner().invoke(cli.main, ["wrap", *arguments, secret])
    explained = CliRunner().invoke(cli.main, ["wrap", "--help"])

    assert refused.exit_code == 2
    assert secret not in refused.output
    assert explained.exit_code == 0
    assert "usage: mrk wrap" in explained.output


def test_the_command_runs_alone_and_loads_nothing_that_speaks_to_a_network(tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text(json.dumps(current()))
    (tmp_path / "key.bin").write_bytes(SYMMETRIC)
    tool = key_material.__file__
    script = (
        "import runpy, sys\n"
        "present = set(sys.modules)\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally: print(*set(sys.modules) - present, file=sys.stderr)\n"
    )

    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.argv = sys.argv[1:]\n{script}", tool,
         "--request", "event.json", "--material", "key.bin", "--answer", "answer.json"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, "")
    assert json.loads((tmp_path / "answer.json").read_text())["requestId"] == "CHG1"
    modules = set(done.stderr.split())
    assert "argparse" in modules
    assert not modules & {"socket", "ssl", "http", "urllib.request", "boto3", "botocore", "logging"}
