"""What an answer of Binance's says besides rows: errors, and the answers to a greeting.

Sources: binance-spot-api-docs (errors.md, rest-api.md: HTTP return codes, web-socket-api.md);
developers.binance.com, USD-M futures (Error Codes, General Info: HTTP return codes).
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from engine.venues.base import Failure, Said

TEXT_MAX = 200
# Codes; what other codes mean is not ours to decide on.
CREDENTIAL_CODES = frozenset({-1002, -1022, -2008, -2014, -2015})
CLOCK_CODES = frozenset({-1021, -5028})  # -5028: late for the matching engine itself
ORDERS_CODE = -1015  # too many new orders: the account's limit, whatever the status
THROTTLE_CODES = frozenset({-1003, ORDERS_CODE})
THROTTLE_STATUS = frozenset({418, 429})
FIREWALL_STATUS = 403  # in front of the venue, so without a code: its limit of an address
UNKNOWN_CODES = frozenset({-1006, -1007})
UNKNOWN_STATUS = 408  # the venue waited in vain for its own backend
# No such order: asked for, dead for 90 days without a fill, to be canceled (its text tells that
# from another refusal); no such listen key.
ABSENT_CODES = frozenset({-2013, -2026, -1125})
UNKNOWN_ORDER = (-2011, "Unknown order")
# Where the venue doesn't say: weight is counted by the minute, and the shortest ban is two; new
# orders by ten seconds; what is left is its overload.
RETRY_WEIGHT_S = 60.0
RETRY_BANNED_S = 120.0
RETRY_ORDERS_S = 10.0
RETRY_S = 1.0
RETRY_S_MAX = 3 * 86_400.0  # the longest ban
SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class Told5xx(NamedTuple):
    """Which of its 5xx a venue tells to have done nothing. Spot: none, all leave the fate open."""

    texts: tuple[str, ...] = ()  # starts of them
    throttle_codes: frozenset[int] = frozenset()


def failure_of(
    status: int, headers: Mapping[str, str], body: bytes, told: Told5xx
) -> Failure | None:
    """None: it worked. Of an error without a code of the venue's (HTML), the status tells."""
    if 200 <= status < 300:
        return None
    code, text = _code_of(body)
    is_throttled = status in THROTTLE_STATUS or code in THROTTLE_CODES | told.throttle_codes
    is_throttled |= status == FIREWALL_STATUS and code == 0
    # By the code where there is one: 429 is the status of an order limit, too.
    is_of_account = code == ORDERS_CODE or code in told.throttle_codes
    is_late = status >= 500 or status == UNKNOWN_STATUS or code in UNKNOWN_CODES
    return Failure(
        status=status,
        code=code,
        text=text,
        is_credential=status == 401 or code in CREDENTIAL_CODES,
        is_clock=code in CLOCK_CODES,
        is_throttled=is_throttled,
        retry_after_s=_retry_after_s(status, code, headers) if is_throttled else 0.0,
        is_of_address=is_throttled and (status == 418 or not is_of_account),
        is_unknown=is_late and not is_throttled and not text.startswith(told.texts),
        is_absent=code in ABSENT_CODES
        or (code == UNKNOWN_ORDER[0] and text.startswith(UNKNOWN_ORDER[1])),
    )


def _code_of(body: bytes) -> tuple[int, str]:
    """The venue's code and text; of what is no error of its own: 0, and what came instead."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return 0, f"no JSON ({len(body)} bytes)"
    code = document.get("code") if isinstance(document, dict) else None
    if type(code) is not int:
        return 0, f"no error code ({len(body)} bytes)"
    return code, str(document.get("msg", ""))[:TEXT_MAX]


def header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name), "")


def _retry_after_s(status: int, code: int, headers: Mapping[str, str]) -> float:
    """Whole seconds or, as RFC 9110 allows and proxies write, a date: by the answer's own."""
    text = header(headers, "retry-after").strip()
    if SECONDS.fullmatch(text):
        return min(math.ceil(float(text)), RETRY_S_MAX)
    try:
        until = parsedate_to_datetime(text)
        wait_s = (until - parsedate_to_datetime(header(headers, "date"))).total_seconds()
        return min(max(wait_s, RETRY_S), RETRY_S_MAX)
    except (TypeError, ValueError, OverflowError):
        pass  # neither, or no date to hold it against
    if status == 418:
        return RETRY_BANNED_S
    if code == ORDERS_CODE:
        return RETRY_ORDERS_S
    is_weight = status in (429, FIREWALL_STATUS) or code in THROTTLE_CODES
    return RETRY_WEIGHT_S if is_weight else RETRY_S


def reader(*ids: int | str, result_key: str = "") -> Callable[[bytes], tuple[Said, str]]:
    """Reads a greeting's answers: those with one of `ids`, and errors that have none."""

    def read(frame: bytes) -> tuple[Said, str]:
        try:
            document = json.loads(frame)
        except (ValueError, RecursionError):
            return Said.NOTHING, ""
        if not isinstance(document, dict) or "id" not in document:
            return Said.NOTHING, ""
        number, error = document["id"], document.get("error")
        if number not in ids and (number is not None or error is None):
            return Said.NOTHING, ""
        result = document.get("result")
        is_good = document.get("status", 200) == 200 and "result" in document and error is None
        if is_good and result_key:
            is_good = isinstance(result, dict) and type(result.get(result_key)) is int
        if is_good:
            return Said.GOOD, ""
        told = error if isinstance(error, dict) else document
        return Said.BAD, f"code {told.get('code')}: {str(told.get('msg', ''))[:TEXT_MAX]}"

    return read


def is_clock_refused(frame: bytes) -> bool:
    """Of a refusal over WebSocket: whether it is our time stamp that is refused."""
    try:
        return json.loads(frame)["error"]["code"] in CLOCK_CODES
    except (ValueError, RecursionError, KeyError, TypeError):
        return False


def retry_utc_ms(frame: bytes) -> int:
    """Of a refusal over WebSocket: until when the address is to keep away; 0: not told. Source:
    binance-spot-api-docs, web-socket-api.md, "IP limits" (error.data.retryAfter)."""
    try:
        document = json.loads(frame)
        error = document["error"]
        until_ms = error["data"]["retryAfter"]
        is_of_address = document.get("status") == 418 or error.get("code") != ORDERS_CODE
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return 0
    return until_ms if type(until_ms) is int and until_ms > 0 and is_of_address else 0
