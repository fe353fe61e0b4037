"""Keys that tokens are checked with, and which algorithms each is good for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import HMACAlgorithm

SECRET_BYTES_MIN = 32
RSA_BITS_MIN = 2_048
KEYS_MAX = 100
"""Keys of one published set."""
NAME_MAX = 255

_OF_SECRETS = {"HS256": 32, "HS384": 48, "HS512": 64}
"""How many bytes a secret needs for each: as many as the hash has (RFC 7518, section 3.2)."""
_OF_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_OF_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_OF_EDWARDS = "EdDSA"

PUBLIC_ALGORITHMS = frozenset({*_OF_RSA, *_OF_CURVES.values(), _OF_EDWARDS})
ALGORITHMS = PUBLIC_ALGORITHMS | _OF_SECRETS.keys()


@dataclass(frozen=True, slots=True)
class Key:
    """One key. It shows itself nowhere."""

    material: Any = field(repr=False)
    algorithms: frozenset[str]

    @property
    def is_secret(self) -> bool:
        """Whether who checks with it can sign with it too."""
        return isinstance(self.material, bytes)


class Keys(Protocol):
    """Finds the key that a token says it is signed with."""

    async def find(self, algorithm: str, name: str | None, now: float) -> Key | None:
        """The key of a name for an algorithm; None where there is none. Raises Refusal(UNAVAILABLE)."""


class OneKey:
    """The configured key, whatever name a token gives it. Whether it is good for the algorithm, its user looks."""

    def __init__(self, key: Key) -> None:
        self._key = key

    async def find(self, algorithm: str, name: str | None, now: float) -> Key | None:  # noqa: ARG002 - as every Keys.
        return self._key


def key_from(text: str) -> Key:
    """The key that a setting holds: a PEM public key, else a secret. Raises ValueError with a sentence."""
    if "-----BEGIN" not in text:
        return _secret(text.encode())
    try:
        # Environment variables often hold line breaks escaped.
        public = load_pem_public_key(text.replace("\\n", "\n").encode())
    except Exception:  # noqa: BLE001 - whatever is wrong with it, the key stays out of the message.
        raise ValueError("give a PEM public key (BEGIN PUBLIC KEY); a certificate or a private key is none") from None
    algorithms = algorithms_of(public)
    if not algorithms:
        raise ValueError(f"give an RSA key of at least {RSA_BITS_MIN} bits, or one of P-256, P-384, P-521 or Ed25519")
    return Key(public, algorithms)


def _secret(secret: bytes) -> Key:
    if len(secret) < SECRET_BYTES_MIN:
        raise ValueError(f"give a secret of at least {SECRET_BYTES_MIN} bytes, or a PEM public key")
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except jwt.InvalidKeyError:
        raise ValueError("give a secret or a PEM public key; this looks like a key in another form") from None
    return Key(secret, frozenset(name for name, size in _OF_SECRETS.items() if len(secret) >= size))


def algorithms_of(public: Any) -> frozenset[str]:
    """What a public key is good for; nothing where it is weak, private, or of a kind that is not taken."""
    match public:
        case rsa.RSAPublicKey():
            return _OF_RSA if public.key_size >= RSA_BITS_MIN else frozenset()
        case ec.EllipticCurvePublicKey():
            found = _OF_CURVES.get(public.curve.name)
            return frozenset() if found is None else frozenset({found})
        case ed25519.Ed25519PublicKey():
            return frozenset({_OF_EDWARDS})
        case _:
            return frozenset()


def published(members: Any, allowed: frozenset[str]) -> Mapping[tuple[str | None, str], Key]:
    """The keys of a JWK set by name and algorithm. A broken one is left out, and the others stay.

    A key without a name is found by tokens that name none; so is the only one for an algorithm. Raises ValueError
    where it is no JWK set.
    """
    keys = members.get("keys") if isinstance(members, dict) else None
    if not isinstance(keys, list):
        raise ValueError("it is no JWK set")  # noqa: TRY004 - it is what was sent that is wrong.
    found: dict[tuple[str | None, str], Key] = {}
    alone: dict[str, Key | None] = {}
    for member in keys[:KEYS_MAX]:
        name, key = _published_key(member)
        for algorithm in key.algorithms & allowed:
            found.setdefault((name, algorithm), key)
            alone[algorithm] = None if algorithm in alone else key
    for algorithm, only in alone.items():
        if only is not None:
            found.setdefault((None, algorithm), only)
    return found


_NO_KEY = Key(None, frozenset())


def _published_key(member: Any) -> tuple[str | None, Key]:
    """A key's name and the key; one that is good for nothing where it is broken or not for signatures."""
    try:
        name, algorithm = member.get("kid"), member.get("alg")
        if member.get("use", "sig") != "sig" or "verify" not in member.get("key_ops", ["verify"]):
            return None, _NO_KEY
        # Secrets and private keys have no place in what is published, and the algorithm is the key's own.
        if member.get("kty") == "oct" or "d" in member or not isinstance(name, str | None):
            return None, _NO_KEY
        own = {each: value for each, value in member.items() if each != "alg"}
        public = jwt.PyJWK(own).key
        usable = algorithms_of(public)
        return name, Key(public, usable if algorithm is None else usable & {algorithm})
    except Exception:  # noqa: BLE001 - one key that nobody can read must not take the others with it.
        return None, _NO_KEY
