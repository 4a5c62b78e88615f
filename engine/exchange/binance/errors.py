"""An error answer of Binance's, and the texts that its venues share.

Codes: spot "Errors", USD-M "Error Code". A venue's own texts stand in its own table, since
several numbers mean different things at different venues (-2021, -2022).
"""

import json
from collections.abc import Mapping
from typing import ClassVar

SHARED_TEXTS: Mapping[int, str] = {
    -1000: "An unknown error occurred while processing the request.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution"
    " status unknown.",
    -1015: "Too many new orders; current limit is {} orders per {}.",
    -1020: "This operation is not supported.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -1022: "Signature for this request is not valid.",
    -1100: "Illegal characters found in parameter '{}'.",
    -1101: "Duplicate values for parameter '{}'.",  # as it was seen; the documents differ
    -1102: "Mandatory parameter '{}' was not sent, was empty/null, or malformed.",
    -1106: "Parameter '{}' sent when not required.",
    -1115: "Invalid timeInForce.",
    -1116: "Invalid orderType.",
    -1117: "Invalid side.",
    -1121: "Invalid symbol.",
    -1130: "Data sent for parameter '{}' is not valid.",
    -1131: "recvWindow must be less than 60000",
    -1135: "Invalid JSON Request",
    -1120: "Invalid interval.",
    -1127: "Lookup interval is too big.",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2014: "API-key format invalid.",
    -2015: "Invalid API-key, IP, or permissions for action.",
}
HTTP_STATUS = {-1003: 429, -1015: 429, -2014: 401, -2015: 401}  # all others 400


class VenueError(Exception):
    """An answer of the venue's own: HTTP status, code and text; raised by handlers.

    `data`: JSON text of the error's `data`; `ws_data`: one that only the WebSocket API tells.
    `retry_after_s`: a header of REST.
    """

    texts: ClassVar[Mapping[int, str]] = SHARED_TEXTS

    def __init__(
        self,
        code: int,
        *words: object,
        text: str = "",
        status: int = 0,
        data: str = "",
        ws_data: str = "",
        retry_after_s: int = 0,
    ) -> None:
        self.code = code
        self.text = text or self.texts[code].format(*words)
        self.status = status or HTTP_STATUS.get(code, 400)
        self.data = data
        self.ws_data = ws_data
        self.retry_after_s = retry_after_s
        super().__init__(self.text)

    def json(self, is_ws: bool = False) -> str:
        """The body; the text may quote what the client sent."""
        data = self.data or (self.ws_data if is_ws else "")
        data = f',"data":{data}' if data else ""
        return f'{{"code":{self.code},"msg":{text_json(self.text)}{data}}}'


def text_json(text: str) -> str:
    """`text` as JSON text, in ASCII whatever a client put into it; what can't be printed is
    replaced, since logs and terminals show it."""
    return json.dumps("".join(char if char.isprintable() else "?" for char in text))
