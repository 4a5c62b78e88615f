"""Cores of the local exchange for tests: opening books that only users move, no sockets."""

from typing import Any

from engine.exchange.accounts import FeeRates
from engine.exchange.book import Side
from engine.exchange.commands import Place
from engine.exchange.core import Core
from engine.exchange.events import Accepted, OrderUpdate, Output, Refused
from engine.exchange.instruments import Listing, catalogue
from engine.exchange.market import AgentMarket
from engine.exchange.rules import rules_of
from engine.exchange.terms import Order, OrderType, Reason, Tif

LINEAR, SPOT = "linear/BTCUSDT", "spot/BTCUSDT"  # keys of a Bybit core


class QuietMarket(AgentMarket):
    """The opening book without the agents: only users move it."""

    def __init__(self, listing: Listing, seed: int, start_ns: int) -> None:
        super().__init__(listing, seed, start_ns, is_quiet=True)


def quiet_core(
    seed: int = 1,
    fees: FeeRates | None = None,
    venue: str = "binance_usdm",
    keys: tuple[str, ...] = ("BTCUSDT",),
) -> Core:
    listings = catalogue(venue)
    markets = [QuietMarket(listings[key], seed, 0) for key in keys]
    return Core(markets, seed, fees, rules_of(venue))


def place(account: int, side: Side, qty_lots: int, px_ticks: int, **fields: Any) -> Place:
    """A GTC limit order unless `fields` say otherwise."""
    order = {"order_type": OrderType.LIMIT, "tif": Tif.GTC, "symbol": "BTCUSDT", **fields}
    return Place(account=account, side=side, qty_lots=qty_lots, px_ticks=px_ticks, **order)


def accepted(outputs: list[Output]) -> Order:
    answer = outputs[0]
    assert isinstance(answer, Accepted), answer
    assert answer.order is not None
    return answer.order


def updates(outputs: list[Output]) -> list[OrderUpdate]:
    return [output for output in outputs if isinstance(output, OrderUpdate)]


def refusal(outputs: list[Output]) -> Reason:
    answer = outputs[0]
    assert isinstance(answer, Refused), answer
    assert len(outputs) == 1
    return answer.reason
