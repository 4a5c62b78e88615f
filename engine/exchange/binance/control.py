"""What clients say on a market stream: SUBSCRIBE and its like, read and answered.

"Live subscribing/unsubscribing to streams" of the spot and USD-M documents. The documents show
errors bare, clients know them nested under `error`: nested is what is sent here.  # unverified
"""

import json
from typing import Any, NamedTuple

from engine.exchange.binance.errors import text_json

METHODS = (
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "LIST_SUBSCRIPTIONS",
    "SET_PROPERTY",
    "GET_PROPERTY",
)
ID_LENGTH_MAX = 36
INT64_MAX = (1 << 63) - 1
NAME_LENGTH_MAX = 128


class ControlError(Exception):
    """The answer to a message that can't be obeyed."""

    def __init__(self, code: int, text: str, request_id: object = None) -> None:
        super().__init__(text)
        identity = "" if request_id is None else f',"id":{json.dumps(request_id)}'
        self.reply = f'{{"error":{{"code":{code},"msg":{text_json(text)}}}{identity}}}'


class ControlRequest(NamedTuple):
    method: str
    names: list[str]  # of SUBSCRIBE and UNSUBSCRIBE
    values: list[Any]  # of properties
    request_id: int | str | None

    def reply(self, result: object = None) -> str:
        """The acknowledgement."""
        result_json = json.dumps(result, separators=(",", ":"))
        return f'{{"result":{result_json},"id":{json.dumps(self.request_id)}}}'


def parse_control(text: str) -> ControlRequest:
    """ControlError, which holds the answer, for what the venue would not accept."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise ControlError(3, "Invalid JSON: expected value at line 1 column 1") from None
    if not isinstance(message, dict):
        raise ControlError(3, "Invalid JSON: expected a request")
    request_id = message.get("id")
    is_number = isinstance(request_id, int) and not isinstance(request_id, bool)
    is_text = isinstance(request_id, str) and len(request_id) <= ID_LENGTH_MAX
    if is_number and not -INT64_MAX - 1 <= message["id"] <= INT64_MAX:
        raise ControlError(2, "Invalid request: request ID is out of range")
    if not (request_id is None or is_number or is_text):
        raise ControlError(2, "Invalid request: request ID must be an integer or a short string")
    if "method" not in message:
        raise ControlError(2, "Invalid request: missing field `method`", request_id)
    method = message["method"]
    if method not in METHODS:
        expected = ", ".join(f"`{name}`" for name in METHODS)
        text = f"Invalid request: unknown variant {method}, expected one of {expected}"
        raise ControlError(2, text, request_id)
    params = message.get("params", [])
    if not isinstance(params, list):
        raise ControlError(2, "Invalid request: invalid type, expected a sequence", request_id)
    if method.endswith("SUBSCRIBE"):
        if not all(isinstance(name, str) and len(name) <= NAME_LENGTH_MAX for name in params):
            raise ControlError(2, "Invalid request: invalid stream", request_id)
        return ControlRequest(method, params, [], request_id)
    expected_count = {"LIST_SUBSCRIPTIONS": 0, "SET_PROPERTY": 2, "GET_PROPERTY": 1}[method]
    if len(params) > expected_count:
        raise ControlError(2, "Invalid request: too many parameters", request_id)
    if len(params) < expected_count:
        raise ControlError(2, "Invalid request: too few parameters", request_id)
    if expected_count and params[0] != "combined":
        raise ControlError(0, "Unknown property", request_id)
    if method == "SET_PROPERTY" and not isinstance(params[1], bool):
        raise ControlError(1, "Invalid value type: expected Boolean", request_id)
    return ControlRequest(method, [], params, request_id)
