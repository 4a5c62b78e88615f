"""Venue adapters: requests and how answers read, addresses, error codes. No sockets, no clock."""

from collections.abc import Mapping
from typing import Any, Protocol

from engine.errors import EXIT_USAGE, TickmakerError
from engine.venues.base import Adapter


class AccountLike(Protocol):
    """What an adapter wants to know of an account (engine.config.AccountConfig has it)."""

    @property
    def venue(self) -> str: ...
    @property
    def rest_url(self) -> str: ...
    @property
    def ws_url(self) -> Mapping[str, str]: ...
    @property
    def recv_window_ms(self) -> int: ...
    @property
    def dead_man_s(self) -> int: ...


def adapter(account: AccountLike, api_key: str, secret: str) -> Adapter:
    """The adapter of an account's venue; imported only when asked for."""
    options: dict[str, Any] = {
        "rest_url": account.rest_url,
        "ws_url": account.ws_url,
        "recv_window_ms": account.recv_window_ms,
    }
    if account.venue == "binance_usdm":
        from engine.venues.binance_usdm import BinanceUsdm

        return BinanceUsdm(api_key, secret, **options)
    if account.venue == "binance_spot":
        from engine.venues.binance_spot import BinanceSpot

        return BinanceSpot(api_key, secret, **options)
    if account.venue == "bybit":
        from engine.venues.bybit import Bybit

        return Bybit(api_key, secret, dead_man_s=account.dead_man_s, **options)
    raise TickmakerError(
        f"no adapter for venue {account.venue!r}",
        "known: binance_usdm, binance_spot, bybit",
        EXIT_USAGE,
    )
