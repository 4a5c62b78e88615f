"""The engine of a simulated run: what it trades at each venue, and how it is configured.

Sizes are so much money, so that instruments of any lot trade alike; limits are as wide as a run
needs and as tight as the venue's own (deploy/examples say them for a person).
"""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from engine.config import EngineConfig, demo_core, load, ws_url_of
from engine.exchange.face import Face
from engine.exchange.instruments import Grid, Instrument, Kind, Listing, catalogue
from engine.live.local import DEAD_MAN_S, local_engine
from engine.sim.outcome import PACE, SYMBOLS, Scenario

STRATEGY = "spread"
WORTH = 600  # of a quote, in the quote asset
PURSE_WORTH = 1_000_000  # more than any account of the exchange begins with of one asset
COARSE_PX_TICKS = 600_000  # distances are chosen for such a grid; a finer one multiplies them
URL_KINDS = ("public", "private", "ws_api", "market", "linear", "spot", "trade")
STRANGERS = ("leave", "cancel")
RECV_WINDOW_MS = 1_000
DEAD_MAN_S_EACH = 3


class _Pace(NamedTuple):
    """What a venue lets an account send; requote_ms and half_spread are the strategy's."""

    orders_10s: int
    orders_min: int
    messages_s: int
    messages_min: int
    requote_ms: int
    modify: bool


PACES = {
    "binance_usdm": _Pace(300, 1_200, 200, 4_000, 50, True),
    "binance_spot": _Pace(50, 300, 40, 1_200, 100, False),
    "bybit": _Pace(95, 570, 10, 600, 200, True),
}


def listings_of(seed: int, scenario: Scenario) -> list[Listing]:
    """What is traded: mostly one instrument (both kinds at Bybit), else more; `instruments` of
    the scenario are so many, made up where the venue's own are not enough."""
    known = catalogue(scenario.venue)
    keys = list(SYMBOLS[scenario.venue])
    count = scenario.instruments or _drawn(seed, len(keys))
    keys += [key for key in known if key not in keys]
    listings = [known[key] for key in keys[:count]]
    made_of = [known[key] for key in SYMBOLS[scenario.venue]]
    while len(listings) < count:
        number = len(listings)
        listings.append(_made_up(made_of[number % len(made_of)], number))
    return listings


def _drawn(seed: int, least: int) -> int:
    return least + Random(f"sim instruments/{seed}").choice((0, 0, 0, 0, 0, 1, 1, 2))


def _made_up(listing: Listing, number: int) -> Listing:
    """An instrument like `listing` under another name."""
    like = listing.instrument
    base = f"X{number:02d}"
    symbol = f"{base}{like.quote}"
    made = Instrument(
        symbol, base, like.quote, Grid(like.px.step, like.px.decimals), like.qty,
        like.min_notional, like.qty_lots_max, like.px_ticks_max, like.qty_lots_min, like.kind,
        like.key.replace(like.symbol, symbol),
    )  # fmt: skip
    return Listing(made, listing.start_px_ticks)


def policy_of(seed: int) -> str:
    """What the engine does about orders that are not its own."""
    return Random(f"sim strangers/{seed}").choice(STRANGERS)


def config_of(
    seed: int, life: int, scenario: Scenario, listings: Sequence[Listing], urls: dict[str, Any],
    run_dir: Path, state_dir: Path,
) -> EngineConfig:  # fmt: skip
    """Of the engine's life number `life`: client ids are unique over all of them."""
    cores = [
        _core(seed, life, scenario, listing, len(listings)) for listing in listings
    ]
    return load(local_engine(
        run_dir, cores, urls["rest_url"], urls["ws_url"], seed=seed, state_dir=state_dir,
        strangers=policy_of(seed), dead_man_s=_dead_man_s(scenario.venue, len(cores)),
    ))  # fmt: skip


def _dead_man_s(venue: str, count: int) -> int:
    """A switch of each instrument is renewed at a third of its time: of many at thirty seconds
    the renewals alone would be more than the venue lets an address ask."""
    return max(DEAD_MAN_S, DEAD_MAN_S_EACH * count) if venue == "binance_usdm" else 0


def _core(
    seed: int, life: int, scenario: Scenario, listing: Listing, count: int
) -> dict[str, Any]:
    instrument = listing.instrument
    is_spot = instrument.kind is Kind.SPOT
    run_tag = f"{(seed & 0xFFFFFF) << 8 | life & 0xFF:08x}"
    core = demo_core(instrument.symbol, scenario.strategy or STRATEGY, run_tag, seed)
    pace = PACES[scenario.venue]
    px, lot = instrument.px.step * listing.start_px_ticks, instrument.qty.step
    qty_lots = max(1, int(Decimal(WORTH) / (px * lot)))
    # Spot holds its purse from the start: no quote may be held back for that.
    most_lots = 6 * qty_lots + is_spot * int(PURSE_WORTH / (px * lot))
    core["venue"] = _venue_of(scenario.venue, is_spot)
    core["recv_window_ms"] = RECV_WINDOW_MS
    core["fees"] = {"maker_bp": 10.0, "taker_bp": 10.0}  # at least what any venue takes
    core["params"] |= {"qty_lots": float(qty_lots)}
    if "position_lots_max" in core["params"]:
        core["params"]["position_lots_max"] = float(most_lots)
    if is_spot:  # what is held is no inventory to get rid of
        core["params"] |= {
            name: 0.0 for name in core["params"] if name == "inventory_skew_ticks"
        }
    finer = max(1, round(listing.start_px_ticks / COARSE_PX_TICKS))
    core["params"] |= {
        name: core["params"][name] * finer
        for name in ("half_spread_ticks",) if name in core["params"]
    }  # fmt: skip
    core["quoting"] |= {
        "requote_ticks": finer, "requote_ms": pace.requote_ms, "modify": pace.modify,
        "messages_per_s_max": max(1, pace.messages_s // count),
    }  # fmt: skip
    core["halts"]["spread_ticks_max"] *= finer
    core["limits"] |= _limits(pace, finer, qty_lots, most_lots, listing.start_px_ticks)
    # A market in slow motion is not a stale one.
    slower = max(1.0, PACE / scenario.pace)
    core["limits"]["book_age_ms_max"] = round(core["limits"]["book_age_ms_max"] * slower)
    return core


def _limits(
    pace: _Pace, finer: int, qty_lots: int, most_lots: int, px_ticks: int
) -> dict[str, int]:
    most = (most_lots + 10 * qty_lots) * px_ticks * 4
    return {
        "price_collar_ticks": 2_000 * finer,
        "qty_lots_max": 5 * qty_lots,
        "position_lots_max": most_lots + 10 * qty_lots,
        "notional_max": 5 * qty_lots * px_ticks * 4,
        "exposure_max": most,
        "orders_per_10s_max": pace.orders_10s,
        "orders_per_min_max": pace.orders_min,
        "messages_per_s_max": pace.messages_s,
        "messages_per_min_max": pace.messages_min,
        "cancel_reserve": max(2, pace.messages_s // 4),
        "exit_reserve": max(1, pace.messages_s // 10),
        "account_exposure_e8_max": 10**18,
        "account_orders_per_10s_max": pace.orders_10s,
        "account_orders_per_min_max": pace.orders_min,
        "account_messages_per_s_max": pace.messages_s,
        "account_messages_per_min_max": pace.messages_min,
        "account_cancel_reserve": max(2, pace.messages_s // 4),
        "account_exit_reserve": max(1, pace.messages_s // 10),
    }


def _venue_of(venue: str, is_spot: bool) -> str:
    if venue != "bybit":
        return venue
    return "bybit_spot" if is_spot else "bybit_linear"


def urls_of(face: Face) -> dict[str, Any]:
    """Where the adapters find what the exchange has; the network dials none of it."""
    urls = face.urls("http://127.0.0.1:1", "ws://127.0.0.1:2")
    ws_url = ws_url_of(urls["ws_url"])
    return {
        "rest_url": urls["rest_url"],
        "ws_url": {kind: url for kind, url in ws_url.items() if kind in URL_KINDS},
    }
