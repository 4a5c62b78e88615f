"""Bybit v5, linear and spot of one unified account. The signatures come first; code follows."""

from collections.abc import Mapping


class Bybit:
    """The Adapter of one account; see engine.venues.base."""

    name = "bybit"

    def __init__(
        self,
        ws_url: Mapping[str, str],  # "linear", "spot" (public), "private", "trade"
        api_key: str,
        secret: str,
        recv_window_ms: int,
        dead_man_s: int = 0,  # 0: not wanted; else 3 to 300
    ) -> None:
        raise NotImplementedError


def is_production(url: str) -> bool:
    """Is this host one that trades real money?"""
    raise NotImplementedError
