"""The parts of an exchange put together by name: markets, core, the venue's face, faults."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.errors import EXIT_USAGE, TickmakerError
from engine.exchange.accounts import FeeRates
from engine.exchange.agents.settings import settings_of
from engine.exchange.core import Core
from engine.exchange.events import Market
from engine.exchange.face import Face
from engine.exchange.instruments import (
    SYNTHETIC_SYMBOL,
    Listing,
    catalogue,
    synthetic_one,
)
from engine.exchange.market import AgentMarket
from engine.exchange.rules import rules_of

VENUES = ("binance_usdm", "binance_spot", "bybit")
DEFAULT_SYMBOL = "BTCUSDT"
SYNTHETIC_PACE = 0.05  # of a synthetic market: some twenty messages a second to a subscriber


def make_face(venue: str, core: Core, limit_factor: int = 1) -> Face:
    """The face of `venue` over `core`, its rate limits so many times the venue's; only its own
    modules are loaded."""
    if venue == "binance_usdm":
        from engine.exchange.binance.usdm import BinanceUsdm

        return BinanceUsdm(core, limit_factor)
    if venue == "binance_spot":
        from engine.exchange.binance.spot import BinanceSpot

        return BinanceSpot(core, limit_factor)
    from engine.exchange.bybit.face import Bybit

    return Bybit(core, limit_factor)


def make_core(
    venue: str, markets: Sequence[Market], seed: int, fees: FeeRates | None = None, **rules: Any
) -> Core:
    """`rules`: where they are not the venue's own."""
    return Core(markets, seed, fees, replace(rules_of(venue), **rules))


def agent_markets(
    venue: str, symbols: Sequence[str], seed: int, start_ns: int
) -> list[Market]:
    """TickmakerError for a symbol that the agents don't trade. SYM000USDT to SYM999USDT are
    synthetic: alike, and slow enough that one process can have many of them."""
    listings = catalogue(venue)
    chosen: dict[str, Listing] = {}
    if not symbols:
        raise TickmakerError("--symbols names no symbol", "Pass one, as BTCUSDT.", EXIT_USAGE)
    for symbol in symbols:
        if SYNTHETIC_SYMBOL.fullmatch(symbol.upper()):
            listing = synthetic_one(venue, symbol.upper())
            chosen[listing.instrument.key] = listing
            continue
        found = {
            key: listing for key, listing in listings.items()
            if symbol.upper() in (key.upper(), listing.instrument.symbol)
        }  # fmt: skip
        if not found:
            raise TickmakerError(
                f"--symbols: the agent market has no {symbol!r}",
                f"Pass some of {', '.join(listings)}, or a tape of it.",
                EXIT_USAGE,
            )
        chosen |= found
    return [_agent_market(listing, seed, start_ns) for listing in chosen.values()]


def _agent_market(listing: Listing, seed: int, start_ns: int) -> AgentMarket:
    settings = None
    if SYNTHETIC_SYMBOL.fullmatch(listing.instrument.symbol):
        settings = settings_of(listing, pace=SYNTHETIC_PACE)
    return AgentMarket(listing, seed, start_ns, settings=settings)


def tape_markets(
    paths: Sequence[Path], venue: str, symbols: Sequence[str], speed: float
) -> list[Market]:
    """TickmakerError for a file that can't be served, or no speed."""
    # Arrow is heavy to load, and agents don't need it.
    from engine.exchange.tape.recording import open_markets

    if not 0 < speed < math.inf:
        raise TickmakerError(f"--speed is {speed}", "Pass a number above 0.", EXIT_USAGE)
    return [*open_markets(paths, venue, symbols, speed)]
