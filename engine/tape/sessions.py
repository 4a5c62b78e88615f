"""Session logs as captures: JSON lines of everything that passed over a client's connections.

    {"t":"header","format":2,"exchange":"BYBIT",..}
    {"t":"http","conn":"BINANCE.http.0","ts":1633998512.3206,"url":"https://..","data":"{..}"}
    {"t":"connect","conn":"BYBIT.ws.2","ts":1786310818.2235,"addr":"wss://../v5/public/linear"}
    {"t":"recv","conn":"BYBIT.ws.2","ts":1786310818.9,"data":"{\\"topic\\":..}"}

Frames received count, and REST depth, which tells its symbol in its address alone: the name is
put into its body, as COIN-M has it there itself.
"""

import json
from urllib.parse import parse_qs, urlsplit

SESSION_HEAD = b'{"t":"header"'


class SessionLog:
    """Reads line by line, since a connection's address stands in a line of its own."""

    def __init__(self, product: str = "") -> None:
        self._product = product
        self._is_wanted: dict[str, bool] = {}  # by connection

    def read(self, line: bytes) -> tuple[int, bytes] | None:
        """(recv_ts_ns, frame), None for a line that holds none. ValueError, KeyError, TypeError
        for a line that is no record."""
        record = json.loads(line)
        kind = record["t"]
        if kind == "connect":
            path = urlsplit(record["addr"]).path
            self._is_wanted[record["conn"]] = path.endswith("/" + self._product)
        elif kind == "recv":
            if not self._product or self._is_wanted.get(record["conn"], False):
                return round(record["ts"] * 1e6) * 1000, record["data"].encode() + b"\n"
        elif kind == "http":
            url = urlsplit(record["url"])
            body = record["data"]
            if url.path.endswith("/depth") and body.startswith('{"lastUpdateId"'):
                symbol = parse_qs(url.query).get("symbol", [""])[0]
                named = f'{{"symbol":{json.dumps(symbol)},{body[1:]}\n'
                return round(record["ts"] * 1e6) * 1000, named.encode()
        return None
