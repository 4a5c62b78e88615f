"""Who signed a request of Binance's, and what the key may do.

Order of the checks is the venue's: key, address, permissions, time, signature. Deleted keys are
gone from the core's keyring, so that they fail here like keys that never were.
"""

import re
from enum import Enum

from engine.exchange.binance.errors import VenueError
from engine.exchange.binance.params import Params, integer, mandatory
from engine.exchange.keys import Key, Keyring

API_KEY = re.compile(r"[A-Za-z0-9]{64}", re.ASCII)
DECIMAL_MS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?", re.ASCII)
RECV_WINDOW_US = 5_000_000
RECV_WINDOW_US_MAX = 60_000_000
AHEAD_US_MAX = 1_000_000  # a client clock may run this far ahead
MICROSECONDS_FROM = 100_000_000_000_000  # a stamp this big is in microseconds, else in milli-


class Security(Enum):
    """What a call wants: nobody; a key alone, anyone's (KEY) or an account's (STREAM); an
    account's session (SESSION); a key's signature of the key itself (SELF); or a signature with
    a permission, which but for MANAGE is an account's too."""

    NONE = ""
    KEY = "key"
    STREAM = "stream"
    SESSION = "session"
    SELF = "self"
    READ = "read"
    TRADE = "trade"
    MANAGE = "manage"


UNSIGNED = frozenset({Security.NONE, Security.KEY, Security.STREAM, Security.SESSION})
ANYBODYS = frozenset({Security.NONE, Security.KEY, Security.SELF, Security.MANAGE})
# What has no permission of its own name wants this one; a key alone wants none.
PERMISSION = {Security.SESSION: "read", Security.SELF: "read"}
WITHOUT_PERMISSION = frozenset({Security.NONE, Security.KEY, Security.STREAM})


def known_key(keyring: Keyring, api_key: str, ip: str) -> Key:
    """The key, if it exists and may be used from `ip`."""
    key = keyring.find(api_key)
    if key is None:
        raise VenueError(-2015 if API_KEY.fullmatch(api_key) else -2014)
    if key.ips and ip not in key.ips:
        raise VenueError(-2015)
    return key


def check_permission(key: Key, security: Security) -> None:
    """The management key owns no account: what is an account's is not for it."""
    if key.account < 0 and security not in ANYBODYS:
        raise VenueError(-2015)
    if security in WITHOUT_PERMISSION:
        return
    if PERMISSION.get(security, security.value) not in key.permissions:
        raise VenueError(-2015)


def check_time(params: Params, now_ns: int) -> None:
    """`timestamp` in milli- or microseconds; `recvWindow` in ms with up to three decimals."""
    stamp = integer(params, "timestamp")
    stamp_us = stamp if stamp >= MICROSECONDS_FROM else stamp * 1_000
    window_us = RECV_WINDOW_US
    if text := params.get("recvWindow"):
        if not DECIMAL_MS.fullmatch(text):
            raise VenueError(-1102, "recvWindow")
        whole, _, part = text.partition(".")
        window_us = int(whole) * 1_000 + int(part.ljust(3, "0"))
        if window_us > RECV_WINDOW_US_MAX:
            raise VenueError(-1131)
    now_us = now_ns // 1_000
    if stamp_us >= now_us + AHEAD_US_MAX:
        text = "Timestamp for this request was 1000ms ahead of the server's time."
        raise VenueError(-1021, text=text)
    if now_us - stamp_us > window_us:
        raise VenueError(-1021)


def check_signature(key: Key, params: Params, signed_text: str) -> None:
    """`signature` in `params` must be the key's of `signed_text`."""
    if not key.verifies(signed_text, mandatory(params, "signature")):
        raise VenueError(-1022)


def sorted_payload(params: Params) -> str:
    """What the WebSocket API signs: every parameter but the signature, by name."""
    return "&".join([f"{name}={params[name]}" for name in sorted(params) if name != "signature"])
