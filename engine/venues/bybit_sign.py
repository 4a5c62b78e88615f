"""Bybit v5: signatures of REST requests, its errors in our terms, greetings of its connections.

What is signed is timestamp + key + receive window + (GET: the query as sent; POST: the body as
sent); on a connection "GET/realtime" + the time until which it is good. HMAC-SHA-256, hexadecimal.
Business errors come with HTTP status 200 and a retCode of their own.
Source: bybit-exchange.github.io/docs/v5: integration guidance, error codes, rate limits,
websocket connect.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from engine.venues.base import Call, ConnPlan, Failure, Said, Signed
from fastcore.sha256 import Hmac

# Values of bodies that are JSON already, not texts.
RAW_FIELDS = frozenset({"request", "reduceOnly", "mode", "timeWindow"})
PLAIN = frozenset(
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
    b"%"  # cursors come escaped and go back as they are
)
AUTH_MS = 10_000  # how long a logon may be under way
PING_TEXT = '{"op":"ping"}'
PING_EVERY_S = 20.0
TEXT_SIZE_MAX = 200

MILLISECONDS = re.compile(r"[0-9]{1,15}")
CODE_CLOCK = 10002
# Key, signature, permission, address, expiry; 10007: of the retired login, 10024: compliance.
CODES_CREDENTIAL = frozenset({10003, 10004, 10005, 10007, 10009, 10010, 10024, 33004})
CODES_THROTTLED = frozenset({10006, 10018, 10403, 10429, 20003, 170005, 170222})
CODES_THROTTLED_ADDRESS = frozenset({10018, 10403})
CODES_UNKNOWN = frozenset({10000, 10016})
# Not there, and for a cancel as good: filled or cancelled before.
CODES_ABSENT = frozenset({110001, 170213, 110008, 110010, 170139, 170142, 170143})
BAN_S = 600.0  # of an address with over 600 requests in 5 seconds
WAIT_S = 1.0  # limits are by the second
WAIT_ADDRESS_S = 5.0  # those of an address by five


# -- REQUESTS ---


def sign(call: Call[Any], utc_ms: int, api_key: str, hmac: Hmac, window_ms: int) -> Signed:
    is_get = call.method == "GET"
    payload = _query_of(call.params) if is_get else _body_of(call.params)
    headers = {} if is_get else {"Content-Type": "application/json"}
    if call.is_signed:
        text = f"{utc_ms}{api_key}{window_ms}{payload}".encode()
        headers |= {
            "X-BAPI-API-KEY": api_key,
            "X-BAPI-TIMESTAMP": str(utc_ms),
            "X-BAPI-RECV-WINDOW": str(window_ms),
            "X-BAPI-SIGN": hmac.hexdigest(text).decode(),
        }
    target = f"{call.path}?{payload}" if is_get and payload else call.path
    return Signed(call.method, target, headers, b"" if is_get else payload.encode())


def _query_of(params: Mapping[str, str]) -> str:
    return "&".join(f"{name}={_escaped(value)}" for name, value in params.items())


def _escaped(value: str) -> str:
    return "".join(chr(b) if b in PLAIN else f"%{b:02X}" for b in value.encode())


def _body_of(params: Mapping[str, str]) -> str:
    fields = (
        f"{json.dumps(name)}:{value if name in RAW_FIELDS else json.dumps(value)}"
        for name, value in params.items()
    )
    return "{" + ",".join(fields) + "}"


# -- ERRORS ---


def failure(status: int, headers: Mapping[str, str], body: bytes) -> Failure | None:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("retCode"), int):
        return _without_code(status, body)
    code = answer["retCode"]
    if status == 200 and code == 0:
        return None
    is_throttled = code in CODES_THROTTLED or status in (403, 429)
    return Failure(
        status,
        code,
        _shown(str(answer.get("retMsg", ""))),
        is_credential=code in CODES_CREDENTIAL or status == 401,
        is_clock=code == CODE_CLOCK,
        is_throttled=is_throttled,
        retry_after_s=_retry_after_s(status, headers, answer) if is_throttled else 0.0,
        is_of_address=_is_of_address(status, code),
        is_unknown=code in CODES_UNKNOWN or status >= 500 or status == 408,
        is_absent=code in CODES_ABSENT,
    )


def _without_code(status: int, body: bytes) -> Failure:
    """From before the venue's application: an address's ban or a refused country (both 403), a
    proxy's error page. A success that can't be read may have been carried out."""
    text = body[:4096].decode(errors="replace")
    is_refused = status == 401 or (status == 403 and "country" in text.lower())
    is_throttled = status in (403, 429) and not is_refused
    return Failure(
        status,
        0,
        _shown(text),
        is_credential=is_refused,
        is_throttled=is_throttled,
        retry_after_s=(BAN_S if status == 403 else WAIT_S) if is_throttled else 0.0,
        is_of_address=is_throttled,  # it was refused before anybody looked at the call
        is_unknown=status < 300 or status >= 500 or status == 408,
    )


def _is_of_address(status: int, code: int) -> bool:
    """All other limits are an account's of one kind of call: 10006, 20003, 170222."""
    return status == 403 or code in CODES_THROTTLED_ADDRESS


def _retry_after_s(
    status: int, headers: Mapping[str, str], answer: Mapping[str, Any]
) -> float:
    """Until the account's limit of that call is whole again, by the venue's own clock."""
    if _is_of_address(status, answer["retCode"]):
        return BAN_S if status == 403 else WAIT_ADDRESS_S
    told = {name.lower(): value for name, value in headers.items()}
    reset = told.get("x-bapi-limit-reset-timestamp", "")
    now_ms = answer.get("time")
    if MILLISECONDS.fullmatch(reset) and isinstance(now_ms, int):
        wait_ms = min(max(int(reset) - now_ms, 0), int(BAN_S * 1_000))
        return wait_ms / 1_000 or WAIT_S
    return WAIT_S


def _shown(text: str) -> str:
    """Of 10004 the venue repeats what was signed, which holds the key: cut off there."""
    return text.split("origin_string", 1)[0][:TEXT_SIZE_MAX].strip(" ,[.")


# -- CONNECTIONS ---


def auth_text(api_key: str, hmac: Hmac, utc_ms: int) -> str:
    expires_ms = utc_ms + AUTH_MS
    signature = hmac.hexdigest(f"GET/realtime{expires_ms}".encode()).decode()
    return json.dumps({"op": "auth", "args": [api_key, expires_ms, signature]})


def subscribe_texts(topics: list[str], topics_max: int) -> list[str]:
    """As many requests as it takes at `topics_max` each."""
    return [
        json.dumps({"op": "subscribe", "args": topics[at : at + topics_max]})
        for at in range(0, len(topics), topics_max)
    ]


def plan(url: str, texts: list[str]) -> ConnPlan:
    return ConnPlan(url, tuple(texts), len(texts), read_greeting, PING_TEXT, PING_EVERY_S,
                    is_clock=is_logon_refused)  # fmt: skip


def is_logon_refused(frame: bytes) -> bool:
    """Which code a logon gets that has expired is not documented: a clock that is off may be
    behind any."""
    try:
        answer = json.loads(frame)
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("op") == "auth"


def read_greeting(frame: bytes) -> tuple[Said, str]:
    """Answers of auth, subscribe and a private connection's ping; trade connections tell success
    by retCode, others by name."""
    if b'"op"' not in frame:
        return Said.NOTHING, ""
    try:
        answer = json.loads(frame)
    except (ValueError, RecursionError):
        return Said.NOTHING, ""  # the core says what is wrong with it
    op = answer.get("op") if isinstance(answer, dict) else None
    if op not in ("auth", "subscribe", "pong") or "topic" in answer:
        return Said.NOTHING, ""
    code = answer.get("retCode", 0)
    if code == 0 and answer.get("success", True) is True:
        return Said.GOOD, ""
    text = _shown(str(answer.get("ret_msg") or answer.get("retMsg") or "refused"))
    return Said.BAD, f"{op}: {text} ({code})" if code else f"{op}: {text}"
