"""A Binance API key and what it signs: REST queries and requests of the WebSocket APIs.

HMAC-SHA256 in hex, or Ed25519 in base64 for a secret that is a PEM private key.
Source: binance-spot-api-docs (rest-api.md, web-socket-api.md: Signed request security); USD-M
signs the same way.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import NoReturn

from engine.errors import EXIT_USAGE, TickmakerError
from fastcore.codec.binance_rest import percent_encode

API_KEY_HEADER = "X-MBX-APIKEY"


class Credential:
    """A key and its secret; shown nowhere, not to be pickled."""

    __slots__ = ("_api_key", "_secret", "_sign", "is_ed25519")

    def __init__(self, api_key: str, secret: str) -> None:
        if not api_key or not secret:
            raise TickmakerError(
                "the API key or its secret is empty", "set both; see docs/run.md", EXIT_USAGE
            )
        self._api_key = api_key
        self._secret = secret.encode()
        self.is_ed25519 = "PRIVATE KEY" in secret
        self._sign = _ed25519(secret) if self.is_ed25519 else self._hmac

    def __repr__(self) -> str:
        return f"<Credential {'Ed25519' if self.is_ed25519 else 'HMAC'}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Credential holds a secret: it cannot be pickled or copied")

    def _hmac(self, text: bytes) -> str:
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()

    def headers(self) -> dict[str, str]:
        return {API_KEY_HEADER: self._api_key}

    def query(self, params: Mapping[str, str]) -> str:
        """The signed query of a REST request: as it goes out, the signature last."""
        text = query_text(params)
        return f"{text}&signature={percent_encode(self._sign(text.encode()))}"

    def ws_params(self, params: Mapping[str, str | int]) -> dict[str, str | int]:
        """Parameters of a WebSocket API request, with key and signature: it signs them sorted by
        name, and not percent-encoded."""
        named: dict[str, str | int] = {**params, "apiKey": self._api_key}
        text = "&".join(f"{name}={named[name]}" for name in sorted(named))
        return {**named, "signature": self._sign(text.encode())}

    def of_orders(self) -> tuple[bytes, bytes]:
        """What the core's encoder signs orders with: nothing after a session's logon."""
        return (b"", b"") if self.is_ed25519 else (self._api_key.encode(), self._secret)


def query_text(params: Mapping[str, str]) -> str:
    return "&".join(f"{name}={percent_encode(value)}" for name, value in params.items())


def _ed25519(pem: str) -> Callable[[bytes], str]:
    # Heavy to load; most keys are HMAC.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    # Environment variables often carry a PEM's line ends as the two characters \n.
    text = pem.replace("\\n", "\n").encode()
    try:
        key = load_pem_private_key(text, password=None)
    except (TypeError, ValueError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        # Outside the handler: what led to it may quote the key.
        raise TickmakerError(
            "the secret is a PEM, but no Ed25519 private key without a password",
            "make an Ed25519 key pair, or use an HMAC key",
            EXIT_USAGE,
        )
    private = key
    return lambda message: base64.b64encode(private.sign(message)).decode()
