"""Whose connection is opened, told to a face that can't see it from the address."""

from typing import Any

from engine.exchange.face import Action, ConnKind, Event, Face, WsOpen

USER_MARK = "#user"  # ends the target of a user stream, which may share its address with others


class Named:
    """A face that is told whose connection is opened: at Binance spot a user stream and order
    entry have one address, and faults are of one of them."""

    _face: Face

    def __init__(self, face: Face) -> None:
        object.__setattr__(self, "_face", face)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._face, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._face, name, value)

    def kind_of(self, target: str) -> ConnKind:
        if target.endswith(USER_MARK):
            return ConnKind.USER
        return self._face.kind_of(target)

    def step(self, event: Event, t_ns: int) -> list[Action]:
        if isinstance(event, WsOpen):
            event = event._replace(target=event.target.removesuffix(USER_MARK))
        return self._face.step(event, t_ns)
