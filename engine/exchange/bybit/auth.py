"""Who signed: HMAC-SHA256 over the bytes as they came. "Authentication" of the v5 documents.

REST: timestamp + key + receive window + (GET: the query; POST: the body). WebSocket: the text
`GET/realtime` + expiry. Ed25519 is not documented, so such a key signs nothing here.
"""

import re
from typing import Any

from engine.exchange.bybit.errors import VenueError
from engine.exchange.bybit.venue import Venue
from engine.exchange.face import HttpRequest
from engine.exchange.keys import Key, KeyKind

RECV_WINDOW_MS = 5_000
AHEAD_MS_MAX = 1_000  # a client's clock may run this far ahead
STAMP = re.compile(r"[0-9]{1,18}", re.ASCII)


def check_time(venue: Venue, stamp: str, window: str) -> None:
    """Accepted if now - window <= stamp < now + 1000 ms."""
    window = window or str(RECV_WINDOW_MS)
    if not STAMP.fullmatch(stamp) or not STAMP.fullmatch(window):
        raise VenueError(10001)
    now_ms = venue.now_ms
    if not now_ms - int(window) <= int(stamp) < now_ms + AHEAD_MS_MAX:
        raise VenueError(
            10002,
            "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{stamp}],server_timestamp[{now_ms}],recv_window[{window}]",
        )


def signer_of(venue: Venue, request: HttpRequest) -> Key:
    """The key of a signed request. VenueError: key, time, signature, address, in this order."""
    headers = request.headers
    api_key = headers.get("x-bapi-api-key", "")
    stamp, window = headers.get("x-bapi-timestamp", ""), headers.get("x-bapi-recv-window", "")
    if not api_key or not stamp:
        raise VenueError(10003, status=401)  # unverified
    key = venue.core.keyring.find(api_key)
    if key is None:
        raise VenueError(10003)
    check_time(venue, stamp, window)
    payload = request.query if request.method == "GET" else request.body
    origin = f"{stamp}{api_key}{window}{payload}"
    if not _is_signed(key, origin, headers.get("x-bapi-sign", "")):
        raise VenueError(10004, f"error sign! origin_string[{origin}]")
    _check_address(key, request.ip)
    return key


def session_key_of(venue: Venue, args: list[Any], ip: str) -> Key:
    """The key of `{"op":"auth","args":[key, expiry, signature]}`."""
    if len(args) != 3:
        raise VenueError(10001, "Params Error")
    api_key, expires, signature = args
    is_number = isinstance(expires, int) and not isinstance(expires, bool)
    text = str(expires) if is_number else expires
    if not all(isinstance(part, str) for part in (api_key, text, signature)):
        raise VenueError(10001, "Params Error")
    if not STAMP.fullmatch(text) or int(text) <= venue.now_ms:
        raise VenueError(10001, "Params Error")
    key = venue.core.keyring.find(api_key)
    if key is None:
        raise VenueError(10003, "Invalid apikey")
    if not _is_signed(key, f"GET/realtime{text}", signature):
        raise VenueError(10004, "Invalid sign")  # unverified
    _check_address(key, ip)
    return key


def key_now(venue: Venue, key: Key, ip: str) -> Key:
    """The key of a logon as it is by now: it may be gone, bound to other addresses, read-only."""
    found = venue.core.keyring.find(key.api_key)
    if found is None:
        raise VenueError(10003)  # unverified
    _check_address(found, ip)
    return found


def may(key: Key, permission: str) -> None:
    if permission not in key.permissions:
        raise VenueError(10005)


def account_of(key: Key) -> int:
    """The management key owns no orders and no money."""
    if key.account < 0:
        raise VenueError(10005)
    return key.account


def _is_signed(key: Key, payload: str, signature: str) -> bool:
    return key.kind is KeyKind.HMAC and key.verifies(payload, signature)


def _check_address(key: Key, ip: str) -> None:
    if key.ips and ip not in key.ips:
        raise VenueError(10010)
