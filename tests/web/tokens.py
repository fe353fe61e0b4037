"""Tokens as an issuer makes them, and as somebody does who wants in."""

import base64
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

SECRET = "a secret of the tests, long enough for each hash: 0123456789 0123456789"
NOW = 1_800_000_000.0
ISSUER, AUDIENCE = "https://issuer.example", "gateway"

RSA, OTHER_RSA = (rsa.generate_private_key(public_exponent=65_537, key_size=2_048) for _ in range(2))
WEAK_RSA = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)
EC = ec.generate_private_key(ec.SECP256R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()


def pem(private: Any) -> str:
    """The public half of a key, as a setting holds it."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    made: bytes = private.public_key().public_bytes(serialization.Encoding.PEM, form)
    return made.decode()


def jwk(private: Any, name: str | None = None, **more: Any) -> dict[str, Any]:
    """The public half of a key, as a set holds it."""
    algorithm: Any = {
        rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
        ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
        ed25519.Ed25519PrivateKey: jwt.algorithms.OKPAlgorithm,
    }[
        next(
            kind
            for kind in (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)
            if isinstance(private, kind)
        )
    ]
    made: dict[str, Any] = algorithm.to_jwk(private.public_key(), as_dict=True)
    return {**made, **({} if name is None else {"kid": name}), **more}


def claims(now: float = NOW, **changed: Any) -> dict[str, Any]:
    """What a good token says; None takes a claim out."""
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "scope": "accounts:read balances:read",
        "business_units": ["default"],
        "iat": int(now),
        "exp": int(now) + 600,
        **changed,
    }
    return {name: value for name, value in said.items() if value is not None}


def encoded(value: Any) -> str:
    """A segment: bytes as they are, anything else as JSON."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def signed(payload: Any, key: Any = SECRET, algorithm: str = "HS256", header: Any = None) -> str:
    """A token whose signature is right, whatever it says; `header` changes the usual one, bytes take its place."""
    if not isinstance(header, bytes):
        whole = {"alg": algorithm, "typ": "JWT", **(header or {})}
        header = {name: value for name, value in whole.items() if value is not None}
    signing = f"{encoded(header)}.{encoded(payload)}"
    way: Any = jwt.get_algorithm_by_name(algorithm)
    return f"{signing}.{encoded(way.sign(signing.encode(), way.prepare_key(key)))}"
