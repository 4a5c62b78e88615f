"""The ticker of one instrument, as Bybit v5's topic and REST show it.

Field order of the topic: as recorded from the venue; of REST: samples of "Get Tickers". Open
interest is the users' own: the market's agents hold no positions that anybody could count.
"""

from typing import Any

from engine.exchange.bybit import texts
from engine.exchange.bybit.history import History
from engine.exchange.bybit.venue import Venue
from engine.exchange.events import Market
from engine.exchange.instruments import Kind

PAIRS = {"bid1Price": "bid1Size", "ask1Price": "ask1Size"}
FUNDING_CAP = "0.005"
REST_LINEAR = (
    "symbol", "lastPrice", "indexPrice", "markPrice", "prevPrice24h", "price24hPcnt",
    "highPrice24h", "lowPrice24h", "prevPrice1h", "openInterest", "openInterestValue",
    "turnover24h", "volume24h", "fundingRate", "nextFundingTime", "predictedDeliveryPrice",
    "basisRate", "deliveryFeeRate", "deliveryTime", "ask1Size", "bid1Price", "ask1Price",
    "bid1Size", "basis", "preOpenPrice", "preQty", "curPreListingPhase", "fundingIntervalHour",
    "fundingCap",
)  # fmt: skip
REST_SPOT = (
    "symbol", "bid1Price", "bid1Size", "ask1Price", "ask1Size", "lastPrice", "prevPrice24h",
    "price24hPcnt", "highPrice24h", "lowPrice24h", "turnover24h", "volume24h", "usdIndexPrice",
)  # fmt: skip


def topic_fields(venue: Venue, market: Market, history: History) -> dict[str, str]:
    """`data` of a snapshot of `tickers.{symbol}`."""
    instrument = market.instrument
    day = history.day()
    last = market.last_px_ticks() or history.last_px_ticks or _mid(market)
    opened = day.opened or last
    shown = {
        "lastPrice": texts.price(instrument, last),
        "highPrice24h": texts.price(instrument, day.high or last),
        "lowPrice24h": texts.price(instrument, day.low or last),
        "prevPrice24h": texts.price(instrument, opened),
        "volume24h": texts.quantity(instrument, day.lots),
        "turnover24h": texts.money(day.cost * instrument.notional_e8),
        "price24hPcnt": _fraction(last - opened, opened, 4),
    }
    if instrument.kind is Kind.SPOT:
        usd = texts.price(instrument, last)
        return {"symbol": instrument.symbol, **shown, "usdIndexPrice": usd}
    fields = _linear_fields(venue, market, shown, last, opened, day.hour_ago or opened)
    return {**fields, "tickDirection": history.direction}


def _linear_fields(
    venue: Venue, market: Market, shown: dict[str, str], last: int, opened: int, hour_ago: int
) -> dict[str, str]:
    instrument = market.instrument
    bid, bid_lots, ask, ask_lots = market.touch()
    mark = venue.core.mark(instrument.key)
    mark_ticks = mark.mark_px_ticks if mark else last
    index_ticks = mark.index_px_ticks if mark else last
    open_lots = sum(
        abs(account.positions[instrument.key].lots)
        for account in venue.core.accounts
        if instrument.key in account.positions
    )
    interest = texts.quantity(instrument, open_lots)
    value = texts.money(open_lots * mark_ticks * instrument.notional_e8)
    hours = venue.core.rules.funding_every_ns // 3_600_000_000_000
    return {
        "symbol": instrument.symbol,
        "tickDirection": "PlusTick",
        "price24hPcnt": _fraction(last - opened, opened, 6),
        "lastPrice": shown["lastPrice"],
        "prevPrice24h": shown["prevPrice24h"],
        "highPrice24h": shown["highPrice24h"],
        "lowPrice24h": shown["lowPrice24h"],
        "prevPrice1h": texts.price(instrument, hour_ago),
        "markPrice": texts.price(instrument, mark_ticks),
        "indexPrice": texts.price(instrument, index_ticks),
        "openInterest": interest,
        "openInterestValue": value,
        "turnover24h": shown["turnover24h"],
        "volume24h": shown["volume24h"],
        "fundingIntervalHour": str(hours),
        "fundingCap": FUNDING_CAP,
        "singleOpenInterest": interest,
        "singleOpenInterestValue": value,
        "nextFundingTime": str(venue.ms(mark.next_funding_ns)) if mark else "0",
        "fundingRate": texts.money(mark.funding_rate_e8) if mark else "0",
        "bid1Price": texts.price(instrument, bid),
        "bid1Size": texts.quantity(instrument, bid_lots),
        "ask1Price": texts.price(instrument, ask),
        "ask1Size": texts.quantity(instrument, ask_lots),
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
    }


def rest_row(venue: Venue, market: Market, history: History) -> dict[str, Any]:
    """One of GET /v5/market/tickers."""
    instrument = market.instrument
    bid, bid_lots, ask, ask_lots = market.touch()
    fields = {
        **topic_fields(venue, market, history),
        "bid1Price": texts.price(instrument, bid),
        "bid1Size": texts.quantity(instrument, bid_lots),
        "ask1Price": texts.price(instrument, ask),
        "ask1Size": texts.quantity(instrument, ask_lots),
    }
    names = REST_SPOT if instrument.kind is Kind.SPOT else REST_LINEAR
    row = {name: fields.get(name, "") for name in names}
    if "deliveryTime" in row:
        row["deliveryTime"] = "0"
    return row


def changed_fields(old: dict[str, str], new: dict[str, str]) -> dict[str, str]:
    """For a delta: the symbol and what differs; a price and its size go together, as recorded."""
    names = {name for name in new if old.get(name) != new[name]}
    for px_name, qty_name in PAIRS.items():
        if names & {px_name, qty_name}:
            names |= {px_name, qty_name}
    if not names:
        return {}
    return {name: value for name, value in new.items() if name in names or name == "symbol"}


def _mid(market: Market) -> int:
    bid, _, ask, _ = market.touch()
    return (bid + ask) // 2


def _fraction(part: int, whole: int, decimals: int) -> str:
    """part / whole, cut off."""
    scaled = abs(part) * 10**decimals // whole if whole else 0
    sign = "-" if part < 0 and scaled else ""
    return texts.trimmed(f"{sign}{scaled // 10**decimals}.{scaled % 10**decimals:0{decimals}d}")
