"""API keys of the local exchange, derived from its seed; their deletion; signatures.

They open nothing but a local exchange, so a run can be verified later without anybody having
stored a secret. Sans-IO.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from engine.exchange.truth import KeyRecord, Truth

ACCOUNT_COUNT = 2
KEYS_PER_ACCOUNT = 2
TRADING = frozenset({"read", "trade"})
# RFC 8410: the fixed part of a PKCS #8 Ed25519 private key, before its 32 bytes.
PKCS8_ED25519 = bytes.fromhex("302e020100300506032b657004220420")


class KeyKind(Enum):
    HMAC = "hmac"
    ED25519 = "ed25519"


@dataclass(frozen=True)
class Key:
    """`secret`: of HMAC, the text that signs; of Ed25519, the private key's 32 bytes in hex.
    `ips` empty: from anywhere. `account` -1: manages keys, owns nothing."""

    api_key: str
    secret: str = field(repr=False)
    kind: KeyKind
    account: int
    permissions: frozenset[str]
    ips: tuple[str, ...] = ()

    @property
    def private_key_pem(self) -> str:
        """Of an Ed25519 key, as a client library wants to read it."""
        text = base64.b64encode(PKCS8_ED25519 + bytes.fromhex(self.secret)).decode()
        return f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"

    def verifies(self, payload: str, signature: str) -> bool:
        """Whether `signature` (hex of HMAC-SHA-256, base64 of Ed25519) is this key's."""
        if self.kind is KeyKind.HMAC:
            expected = sign(self.secret, payload)
            return hmac.compare_digest(
                expected.encode(), signature.lower().encode(errors="replace")
            )
        # Heavy to load, and most runs use HMAC only.
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        public = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self.secret)).public_key()
        try:
            public.verify(base64.b64decode(signature, validate=True), payload.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class AccountKeys:
    """The keys of one account; `keys` are its HMAC trading keys."""

    name: str
    keys: tuple[Key, ...]
    ed25519: Key


def _digits(seed: int, *label: object) -> str:
    text = "/".join(map(str, ("tickmaker local exchange", seed, *label)))
    return hashlib.sha256(text.encode()).hexdigest()


def derive_keys(seed: int) -> list[AccountKeys]:
    """The accounts of a local exchange started with `seed`: public, worthless constants."""

    def key(account: int, which: object, kind: KeyKind) -> Key:
        api_key, secret = (_digits(seed, account, which, what) for what in ("api_key", "secret"))
        return Key(api_key, secret, kind, account, TRADING)

    return [
        AccountKeys(
            f"account{account}",
            tuple(key(account, which, KeyKind.HMAC) for which in range(KEYS_PER_ACCOUNT)),
            key(account, "ed25519", KeyKind.ED25519),
        )
        for account in range(ACCOUNT_COUNT)
    ]


def derive_management_key(seed: int) -> Key:
    """The one key that may delete others; it can't trade."""
    api_key, secret = (_digits(seed, "management", what) for what in ("api_key", "secret"))
    return Key(api_key, secret, KeyKind.HMAC, -1, frozenset({"read", "manage"}))


class Keyring:
    """Which keys exist now; the truth hears of every change."""

    def __init__(self, accounts: Iterable[AccountKeys], management: Key, truth: Truth) -> None:
        self._truth = truth
        self.management = management
        self._keys = {management.api_key: management}
        for account in accounts:
            self._keys |= {key.api_key: key for key in (*account.keys, account.ed25519)}

    def find(self, api_key: str) -> Key | None:
        """None: never was, or deleted."""
        return self._keys.get(api_key)

    def of_account(self, account: int) -> list[Key]:
        return [key for key in self._keys.values() if key.account == account]

    def replace(self, key: Key, t_ns: int) -> None:
        """The key of that name, with other permissions or addresses."""
        self._keys[key.api_key] = key
        may = tuple(sorted(key.permissions))
        self._truth.add(KeyRecord(t_ns, key.account, key.api_key[:6], False, may, key.ips))

    def delete(self, api_key: str, t_ns: int) -> Key | None:
        """The deleted key; None: there was none, or it is the management key, which stays."""
        if api_key == self.management.api_key:
            return None
        key = self._keys.pop(api_key, None)
        if key is not None:
            self._truth.add(KeyRecord(t_ns, key.account, api_key[:6]))
        return key


def sign(secret: str, text: str) -> str:
    """HMAC-SHA256 in lowercase hex, as the venues want it."""
    return hmac.digest(secret.encode(), text.encode(errors="replace"), "sha256").hex()
