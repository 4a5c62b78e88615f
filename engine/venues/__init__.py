"""Venue adapters: requests and how answers read, addresses, error codes. No sockets, no clock."""

from collections.abc import Mapping
from typing import Protocol

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
    if account.venue == "binance_usdm":
        from engine.venues.binance_usdm import BinanceUsdm as Made
    elif account.venue == "binance_spot":
        from engine.venues.binance_spot import BinanceSpot as Made
    elif account.venue == "bybit":
        from engine.venues.bybit import Bybit

        return Bybit(
            api_key,
            secret,
            rest_url=account.rest_url,
            ws_url=account.ws_url,
            recv_window_ms=account.recv_window_ms,
            dead_man_s=account.dead_man_s,
        )
    else:
        raise TickmakerError(
            f"no adapter for venue {account.venue!r}",
            "known: binance_usdm, binance_spot, bybit",
            EXIT_USAGE,
        )
    return Made(
        api_key,
        secret,
        rest_url=account.rest_url,
        ws_url=account.ws_url,
        recv_window_ms=account.recv_window_ms,
    )
