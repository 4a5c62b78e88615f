"""Order parameters of USD-M ("New Order", "Modify Order", "New Algo Order") to core commands."""

from collections.abc import Mapping

from engine.exchange.binance.errors import VenueError
from engine.exchange.binance.params import (
    CLIENT_ID,
    Params,
    boolean,
    integer,
    mandatory,
    units,
)
from engine.exchange.binance.usdm_errors import UsdmError
from engine.exchange.book import Side
from engine.exchange.commands import Cancel, CancelTrigger, Modify, Place, PlaceTrigger
from engine.exchange.instruments import Grid, Instrument
from engine.exchange.terms import OrderType, Stp, Tif

GTD = "GTD"
GTD_AHEAD_S_MIN = 600
GTD_MS_MAX = 253_402_300_799_000
RESP_TYPES = ("ACK", "RESULT")
WORKING_TYPES = ("CONTRACT_PRICE", "MARK_PRICE")
# Conditional types: those of a limit order, and whether a BUY waits for a rise.
CONDITIONAL = {
    "STOP": (OrderType.LIMIT, True),
    "STOP_MARKET": (OrderType.MARKET, True),
    "TAKE_PROFIT": (OrderType.LIMIT, False),
    "TAKE_PROFIT_MARKET": (OrderType.MARKET, False),
}
TIFS = {tif.name: tif for tif in Tif} | {GTD: Tif.GTC}
STPS = {stp.name: stp for stp in Stp}
ORDER_TYPES = {"LIMIT": OrderType.LIMIT, "MARKET": OrderType.MARKET}
SIDES = {side.name: side for side in Side}


def client_id(params: Params, name: str) -> str:
    text = params.get(name)
    if not text:
        return ""
    if not CLIENT_ID.fullmatch(text):
        raise UsdmError(-4015)
    return text


def steps(params: Params, name: str, grid: Grid, step_code: int) -> int:
    """Ticks or lots."""
    try:
        return grid.recorded_units(params[name])  # in the venue's own decimals: the quick way
    except (KeyError, ValueError):
        return units(params, name, grid, UsdmError(-1111), UsdmError(step_code))


def is_reducing(params: Params) -> bool:
    text = params.get("reduceOnly")
    return False if text is None else boolean(params, "reduceOnly")


def side_of(params: Params) -> Side:
    side = SIDES.get(params.get("side", ""))
    if side is None:
        mandatory(params, "side")
        raise VenueError(-1117)
    return side


def check_one_way(params: Params) -> None:
    """This exchange's accounts are in one-way mode."""
    position_side = params.get("positionSide", "BOTH")
    if position_side != "BOTH":
        raise UsdmError(-4061 if position_side in ("LONG", "SHORT") else -4060)


def stp_of(params: Params) -> Stp:
    """Mandatory since 2024-12-10: EXPIRE_MAKER where nothing is said, and none at all refused
    (announcement "Self-Trade Prevention mandatory on Binance Futures")."""
    text = params.get("selfTradePreventionMode")
    if not text:
        return Stp.EXPIRE_MAKER
    if text not in STPS:
        raise VenueError(-1130, "selfTradePreventionMode")
    if STPS[text] is Stp.NONE:
        raise UsdmError(-4402)
    return STPS[text]


def tif_of(params: Params, now_ns: int) -> tuple[Tif, int]:
    """(time in force, good-till date in ns of the venue's clock)."""
    name = params.get("timeInForce", "")
    tif = TIFS.get(name)
    if tif is None:
        mandatory(params, "timeInForce")
        raise VenueError(-1115)
    if name != GTD:
        return tif, 0
    date_ms = integer(params, "goodTillDate")
    date_ns = date_ms * 1_000_000
    if date_ms > GTD_MS_MAX or date_ns < now_ns + GTD_AHEAD_S_MIN * 1_000_000_000:
        raise VenueError(-1102, "goodTillDate")
    return tif, date_ns // 1_000_000_000 * 1_000_000_000


def order_type_of(params: Params) -> OrderType:
    order_type = ORDER_TYPES.get(params.get("type", ""))
    if order_type is not None:
        return order_type
    if mandatory(params, "type").startswith(("STOP", "TAKE_PROFIT", "TRAILING")):
        raise UsdmError(-4120)
    raise VenueError(-1116)


def place_of(
    params: Params, account: int, instrument: Instrument, now_ns: int, skew_ns: int
) -> Place:
    """order.place / POST order. `now_ns` is the venue's clock; dates leave it for the core's."""
    order_type = order_type_of(params)
    side = side_of(params)
    if "positionSide" in params:
        check_one_way(params)
    if params.get("newOrderRespType", "ACK") not in RESP_TYPES:
        raise UsdmError(-1136)
    if params.get("priceMatch", "NONE") != "NONE":
        raise VenueError(-1020)  # not built
    px_ticks, tif, gtd_ns = 0, Tif.GTC, 0
    if order_type is OrderType.LIMIT:
        tif, gtd_ns = tif_of(params, now_ns)
        px_ticks = steps(params, "price", instrument.px, -4014)
        if px_ticks <= 0:
            raise UsdmError(-4013)
    else:
        for name in ("timeInForce", "price"):
            if name in params:
                raise VenueError(-1106, name)
    return Place(
        account=account,
        symbol=instrument.key,
        side=side,
        order_type=order_type,
        tif=tif,
        qty_lots=steps(params, "quantity", instrument.qty, -4023),
        px_ticks=px_ticks,
        client_order_id=client_id(params, "newClientOrderId"),
        reduce_only=is_reducing(params),
        stp=stp_of(params),
        gtd_ns=gtd_ns - skew_ns if gtd_ns else 0,
    )


def order_ids_of(params: Params) -> tuple[int, str]:
    """orderId and origClientOrderId, one of which must be there."""
    order_id = integer(params, "orderId", 0)
    name = client_id(params, "origClientOrderId")
    if not order_id and not name:
        raise VenueError(-1102, "orderId")
    return order_id, name


def cancel_of(params: Params, account: int, instrument: Instrument) -> Cancel:
    return Cancel(account, instrument.key, *order_ids_of(params))


def modify_of(params: Params, account: int, instrument: Instrument) -> Modify:
    """An amended order prevents no self-trades any more ("Self Trade Prevention FAQ")."""
    order_id, name = order_ids_of(params)
    px_ticks = steps(params, "price", instrument.px, -4014)
    qty_lots = steps(params, "quantity", instrument.qty, -4023)
    if qty_lots <= 0:
        raise UsdmError(-4003)
    if px_ticks <= 0:
        raise UsdmError(-4013)
    return Modify(
        stp=Stp.NONE,
        account=account,
        symbol=instrument.key,
        side=side_of(params),
        qty_lots=qty_lots,
        px_ticks=px_ticks,
        order_id=order_id,
        client_order_id=name,
    )


# -- CONDITIONAL ORDERS ---


def check_amounts(place: Place, instrument: Instrument) -> None:
    """What an order that waits must fulfil at once; an order that doesn't is checked by the core.
    How far the price is from the market is seen when it triggers.  # unverified"""
    if not place.closes_position:
        if place.qty_lots <= 0:
            raise UsdmError(-4003)
        if place.qty_lots < instrument.qty_lots_min:
            raise UsdmError(-4004)
        if place.qty_lots > instrument.qty_lots_max:
            raise UsdmError(-4005)
    if place.order_type is OrderType.LIMIT:
        if place.px_ticks <= 0:
            raise UsdmError(-4013)
        if place.px_ticks > instrument.px_ticks_max:
            raise UsdmError(-4002)


def trigger_px_of(params: Params, instrument: Instrument) -> int:
    px_ticks = steps(params, "triggerPrice", instrument.px, -4014)
    if px_ticks <= 0:
        raise UsdmError(-4006)
    if px_ticks > instrument.px_ticks_max:
        raise UsdmError(-4007)
    return px_ticks


def closes_position(params: Params, kind: str, side: Side, position_lots: int) -> bool:
    """`closePosition`: the order is as large as the position when it triggers. One that would
    close nothing now is refused (in words that clients report, not the documents)."""
    if not boolean(params, "closePosition"):
        return False
    if CONDITIONAL[kind][0] is not OrderType.MARKET:
        raise UsdmError(-4136, kind)
    if "quantity" in params:
        raise UsdmError(-4137)
    if "reduceOnly" in params:
        raise VenueError(-1106, "reduceonly")
    if side.sign * position_lots >= 0:
        raise UsdmError(-4509)
    return True


def trigger_of(
    params: Params,
    account: int,
    instrument: Instrument,
    now_ns: int,
    skew_ns: int,
    position_lots: int,
) -> PlaceTrigger:
    """algoOrder. `position_lots`: of the account, now; the clocks as in `place_of`."""
    if mandatory(params, "algoType") != "CONDITIONAL":
        raise VenueError(-1130, "algoType")
    kind = mandatory(params, "type")
    if kind not in CONDITIONAL:
        raise VenueError(-1116)  # trailing stops are not built
    order_type, is_rising_buy = CONDITIONAL[kind]
    side = side_of(params)
    check_one_way(params)
    working_type = params.get("workingType", "CONTRACT_PRICE")
    if working_type not in WORKING_TYPES:
        raise UsdmError(-4031, working_type)
    tif, px_ticks, gtd_ns = Tif.GTC, 0, 0
    if order_type is OrderType.LIMIT:
        tif, gtd_ns = tif_of({"timeInForce": "GTC", **params}, now_ns)
        px_ticks = steps(params, "price", instrument.px, -4014)
    closes = closes_position(params, kind, side, position_lots)
    trigger_px_ticks = trigger_px_of(params, instrument)
    echo: Mapping[str, str] = {
        "type": kind,
        "workingType": working_type,
        "closePosition": "true" if closes else "false",
        "stopPrice": instrument.px.text(trigger_px_ticks),
        "timeInForce": params.get("timeInForce", "GTC"),
    }
    place = Place(
        account=account,
        symbol=instrument.key,
        side=side,
        order_type=order_type,
        tif=tif,
        qty_lots=0 if closes else steps(params, "quantity", instrument.qty, -4023),
        px_ticks=px_ticks,
        client_order_id=client_id(params, "clientAlgoId"),
        reduce_only=closes or is_reducing(params),
        stp=stp_of(params),
        gtd_ns=gtd_ns - skew_ns if gtd_ns else 0,
        closes_position=closes,
        echo=echo,
    )
    check_amounts(place, instrument)
    return PlaceTrigger(
        place,
        trigger_px_ticks=trigger_px_ticks,
        is_rising=is_rising_buy is (side is Side.BUY),
        by_mark=working_type == "MARK_PRICE",
    )


def trigger_ids_of(params: Params) -> tuple[int, str]:
    """algoId and clientAlgoId, one of which must be there."""
    trigger_id = integer(params, "algoId", 0)
    name = client_id(params, "clientAlgoId")
    if not trigger_id and not name:
        raise VenueError(-1102, "algoId")
    return trigger_id, name


def cancel_trigger_of(params: Params, account: int, symbol: str) -> CancelTrigger:
    return CancelTrigger(account, symbol, *trigger_ids_of(params))
