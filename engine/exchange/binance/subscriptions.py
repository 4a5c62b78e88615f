"""Which streams a market connection has asked for, and what is said to it about them."""

from collections.abc import Callable

from engine.exchange.binance.conns import Conn
from engine.exchange.binance.control import ControlError, ControlRequest, parse_control
from engine.exchange.binance.streams import MarketStreams


class Subscriptions:
    """`is_served(conn, name)`: whether a stream pushes anything on that connection; others are
    taken all the same, and stay silent."""

    def __init__(
        self,
        streams: MarketStreams,
        streams_max: int,
        is_served: Callable[[Conn, str], bool],
    ) -> None:
        self._streams = streams
        self._streams_max = streams_max
        self._is_served = is_served

    def subscribe(self, conn: Conn, names: list[str], t_ns: int) -> None:
        conn.names |= dict.fromkeys(names)
        served = [name for name in names if self._is_served(conn, name)]
        self._streams.subscribe(conn.number, conn.is_combined, served, t_ns)

    def forget(self, conn: Conn) -> None:
        self._streams.unsubscribe(conn.number, conn.names)

    def reply(self, conn: Conn, text: str, t_ns: int) -> str:
        """The answer to a message on a market stream."""
        try:
            return self._obey(conn, parse_control(text), t_ns)
        except ControlError as error:
            return error.reply

    def _obey(self, conn: Conn, request: ControlRequest, t_ns: int) -> str:
        if request.method == "SUBSCRIBE":
            if len(conn.names | dict.fromkeys(request.names)) > self._streams_max:
                text = f"Invalid request: too many streams, at most {self._streams_max}"
                # unverified
                raise ControlError(2, text, request.request_id)
            self.subscribe(conn, request.names, t_ns)
        elif request.method == "UNSUBSCRIBE":
            self._streams.unsubscribe(conn.number, request.names)
            for name in request.names:
                conn.names.pop(name, None)
        elif request.method == "LIST_SUBSCRIPTIONS":
            return request.reply(list(conn.names))
        elif request.method == "GET_PROPERTY":
            return request.reply(conn.is_combined)
        else:
            conn.is_combined = bool(request.values[1])
            self.subscribe(conn, list(conn.names), t_ns)
        return request.reply()
