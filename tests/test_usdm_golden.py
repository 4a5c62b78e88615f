"""Binance USD-M: what the face says against the venue's documented samples and captures.

Field names, their JSON types, the form of decimals, and where two samples agree the order too.
Fields that the documents name only in text are listed as extras.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support_usdm import ORDER, START_NS, Usdm

DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
TAKE = {"price": "60000.10", "timeInForce": "IOC", "quantity": "0.001"}

SAMPLES = json.loads((Path(__file__).parent / "data" / "binance_usdm_samples.json").read_text())
STREAMS, USER, REST = SAMPLES["streams"], SAMPLES["user"], SAMPLES["rest"]
EXTRAS = {"pm", "gtd", "er"}  # of ORDER_TRADE_UPDATE, in the documents' text


def check(sample: Any, ours: Any, extras: frozenset[str] = frozenset(), where: str = "") -> None:
    """`ours` has the sample's fields in its order, and of its JSON types."""
    assert type(ours) is type(sample), (where, sample, ours)
    if isinstance(sample, dict):
        assert [name for name in ours if name not in extras] == list(sample), where
        for name in sample:
            check(sample[name], ours[name], extras, f"{where}.{name}")
    elif isinstance(sample, list) and sample and isinstance(sample[0], dict | list):
        assert ours, where
        check(sample[0], ours[0], extras, where + "[]")
    elif isinstance(sample, str) and DECIMAL.fullmatch(sample):
        assert DECIMAL.fullmatch(ours), (where, ours)
    elif isinstance(sample, int) and sample > 10**12 and where[-1:] in "ETCO":
        assert abs(ours - START_NS // 10**6) < 9 * 3_600_000, (where, ours)


@pytest.fixture
def venue() -> Usdm:
    return Usdm()


@pytest.mark.parametrize("name", STREAMS)
def test_market_streams(venue: Usdm, name: str) -> None:
    root = "/public" if name.split("@")[1] in ("depth", "bookTicker", "trade") else "/market"
    conn = venue.open(f"{root}/ws/{name}")
    venue.order(**TAKE)
    venue.order(price="60000.00", timeInForce="GTX")
    venue.after(1.2)
    frames = venue.read(conn)
    frames = [f for f in frames if f.get("b", 1)]  # with levels on the side looked at
    check(STREAMS[name], {**frames[0], "a": frames[0].get("a") or [["1", "1"]]}
          if name.startswith("btcusdt@depth") else frames[0])  # fmt: skip


@pytest.mark.parametrize("event", USER)
def test_user_events(venue: Usdm, event: str) -> None:
    conn = venue.user_stream()
    venue.order(**TAKE, selfTradePreventionMode="EXPIRE_TAKER", newClientOrderId="TEST")
    algo = {"algoType": "CONDITIONAL", "side": "SELL", "type": "TAKE_PROFIT", "price": "61000"}
    venue.good("POST", "algoOrder", **algo, symbol="BTCUSDT", quantity="0.010",
               triggerPrice="61000.00")  # fmt: skip
    frames = [frame for frame in venue.read(conn) if frame["e"] == event]
    sample = USER[event]
    extras = EXTRAS if event == "ORDER_TRADE_UPDATE" else set()
    check(sample, frames[-1], frozenset(extras))


@pytest.mark.parametrize("face", ["rest", "websocket"])
def test_orders(venue: Usdm, face: str) -> None:
    if face == "rest":
        _, placed = venue.order()
    else:
        reply = venue.api(venue.open("/ws-fapi/v1"), "order.place", **ORDER)
        assert list(reply) == ["id", "status", "result", "rateLimits"]
        placed = reply["result"]
    sample = SAMPLES["placed"]
    check(sample, placed)
    by_id = {"symbol": "BTCUSDT", "orderId": placed["orderId"]}
    found = venue.good("GET", "order", **by_id)
    check(sample, found, frozenset({"avgPrice", "cumQuote", "time"}))
    assert {name: found[name] for name in placed} == placed
    check(sample, venue.good("DELETE", "order", **by_id))


@pytest.mark.parametrize("path", REST)
def test_answers(venue: Usdm, path: str) -> None:
    venue.order(**TAKE)
    venue.after(1)
    check(REST[path], venue.good("GET", path, symbol="BTCUSDT"))


def test_conditional_orders(venue: Usdm) -> None:
    algo = {"algoType": "CONDITIONAL", "side": "SELL", "type": "TAKE_PROFIT", "price": "61000"}
    algo |= {"symbol": "BTCUSDT", "quantity": "0.010", "triggerPrice": "61000.00"}
    placed = venue.good("POST", "algoOrder", **algo)
    check(SAMPLES["algo_placed"], placed)
    check(SAMPLES["algo"], venue.good("GET", "algoOrder", algoId=placed["algoId"]))
    [row] = venue.good("GET", "openAlgoOrders", symbol="BTCUSDT")
    check(SAMPLES["algo"], row)


def test_rate_limits_of_an_answer(venue: Usdm) -> None:
    reply = venue.api(venue.open("/ws-fapi/v1"), "order.place", **ORDER)
    assert reply["rateLimits"] == [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300,
         "count": 1},
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200,
         "count": 1},
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1,
         "limit": 2400, "count": 5},
    ]  # fmt: skip


def test_exchange_information(venue: Usdm) -> None:
    info = venue.get("exchangeInfo")
    assert list(info) == [
        "timezone", "serverTime", "futuresType", "rateLimits", "exchangeFilters", "assets",
        "symbols",
    ]  # fmt: skip
    assert [(row["interval"], row["intervalNum"], row["limit"]) for row in info["rateLimits"]] == [
        ("MINUTE", 1, 2400), ("MINUTE", 1, 1200), ("SECOND", 10, 300),
    ]  # fmt: skip
    documented = (
        "symbol pair contractType deliveryDate onboardDate status maintMarginPercent "
        "requiredMarginPercent baseAsset quoteAsset marginAsset pricePrecision "
        "quantityPrecision baseAssetPrecision quotePrecision underlyingType underlyingSubType "
        "settlePlan triggerProtect liquidationFee marketTakeBound filters orderTypes timeInForce"
    )
    [symbol] = info["symbols"]
    assert list(symbol) == documented.split()
    filters = {row.pop("filterType"): row for row in symbol["filters"]}
    assert filters == {
        "PRICE_FILTER": {"minPrice": "0.10", "maxPrice": "4529484.00", "tickSize": "0.10"},
        "LOT_SIZE": {"minQty": "0.001", "maxQty": "1000.000", "stepSize": "0.001"},
        "MARKET_LOT_SIZE": {"minQty": "0.001", "maxQty": "1000.000", "stepSize": "0.001"},
        "MAX_NUM_ORDERS": {"limit": 200},
        "MAX_NUM_ALGO_ORDERS": {"limit": 10},
        "MIN_NOTIONAL": {"notional": "5"},
        "PERCENT_PRICE": {
            "multiplierUp": "1.0500", "multiplierDown": "0.9500", "multiplierDecimal": "4",
        },
    }  # fmt: skip


# -- ACCOUNT ---


def test_account_answers_agree(venue: Usdm) -> None:
    venue.order(**TAKE)
    venue.order(venue.key(1), side="SELL", price="60005.00")
    venue.after(1)
    account = venue.good("GET", "/fapi/v3/account")
    conn = venue.open("/ws-fapi/v1")
    assert account == venue.api(conn, "v2/account.status")["result"]
    [risk] = venue.good("GET", "/fapi/v3/positionRisk", symbol="BTCUSDT")
    [position] = account["positions"]
    assert risk["positionAmt"] == position["positionAmt"] == "0.001"
    assert risk["entryPrice"] == "60000.10000"
    assert risk["unRealizedProfit"] == position["unrealizedProfit"]
    assert risk["notional"] == position["notional"] == "60.00000000"
    [trade] = venue.good("GET", "userTrades", symbol="BTCUSDT")
    assert (trade["qty"], trade["price"], trade["maker"]) == ("0.001", "60000.10", False)
    wallet = account["totalWalletBalance"]
    assert float(wallet) == pytest.approx(100_000 - float(trade["commission"]))
    [balance] = venue.good("GET", "/fapi/v3/balance")
    assert (balance["balance"], balance["asset"]) == (wallet, "USDT")
    incomes = venue.good("GET", "income")
    assert [(row["incomeType"], row["income"]) for row in incomes] == [
        ("COMMISSION", "-" + trade["commission"])
    ]
    wide = venue.good("GET", "/fapi/v2/positionRisk", venue.key(1))
    assert (wide[0]["positionAmt"], wide[0]["leverage"]) == ("0.000", "20")
    assert venue.good("GET", "/fapi/v3/positionRisk", venue.key(1))[0]["positionAmt"] == "0.000"


def test_open_orders_hold_margin(venue: Usdm) -> None:
    def money() -> tuple[float, ...]:
        asset = venue.good("GET", "/fapi/v3/account")["assets"][0]
        names = ("availableBalance", "positionInitialMargin", "openOrderInitialMargin")
        return tuple(float(asset[name]) for name in names)

    assert money() == (100_000, 0, 0)
    assert venue.good("GET", "/fapi/v3/account")["assets"][0]["updateTime"]  # 0: ccxt skips it
    venue.order()
    wanted = 0.010 * 59_990 / 20
    assert money() == pytest.approx((100_000 - wanted, 0, wanted))
    venue.order(side="SELL", price="60010.00", quantity="0.004")  # the other side is worse
    assert money() == pytest.approx((100_000 - wanted, 0, wanted))
    venue.good("DELETE", "allOpenOrders", symbol="BTCUSDT")
    venue.order(**TAKE)
    free, held, ordered = money()
    assert (held, ordered) == pytest.approx((0.001 * 60_000 / 20, 0))
    venue.order(side="SELL", price="60010.00", quantity="0.001")  # it would only close
    assert money()[2] == pytest.approx(0.001 * 10 / 20)  # its price is above the mark
    assert free < 100_000 - held


def test_modes_that_do_not_change(venue: Usdm) -> None:
    assert venue.good("GET", "positionSide/dual") == {"dualSidePosition": False}
    assert venue.good("GET", "multiAssetsMargin") == {"multiAssetsMargin": False}
    dual = {"dualSidePosition": "true"}
    assert venue.signed("POST", "positionSide/dual", **dual)[1]["code"] == -4068
    venue.order()
    assert venue.signed("POST", "positionSide/dual", **dual)[1]["code"] == -4067
    same = {"dualSidePosition": "false"}
    assert venue.signed("POST", "positionSide/dual", **same)[1]["code"] == -4059
    crossed = {"symbol": "BTCUSDT", "marginType": "CROSSED"}
    assert venue.signed("POST", "marginType", **crossed)[1]["code"] == -4046
    assert venue.good("GET", "symbolConfig", symbol="BTCUSDT")[0]["marginType"] == "CROSSED"
    assert venue.good("GET", "fundingRate", symbol="BTCUSDT", limit=3)[-1]["fundingTime"] <= (
        venue.now_ms
    )


def test_what_ccxt_loads_first(venue: Usdm) -> None:
    assert venue.good("GET", "/sapi/v1/capital/config/getall") == []
    assert venue.rest("GET", "/sapi/v1/margin/allPairs", key=venue.key()) == (200, [])


def test_trades_are_asked_for_by_a_week_at_most_or_by_id(venue: Usdm) -> None:
    """ "Account Trade List"."""
    week_ms = 7 * 86_400_000
    venue.order(price="60000.10", type="LIMIT")
    [trade] = venue.good("GET", "userTrades", symbol="BTCUSDT")
    start = {"symbol": "BTCUSDT", "startTime": trade["time"]}
    assert venue.good("GET", "userTrades", **start, endTime=trade["time"] + week_ms) == [trade]
    code = venue.signed("GET", "userTrades", **start, endTime=trade["time"] + week_ms + 1)[1]
    assert code["code"] == -1127
    code = venue.signed("GET", "userTrades", **start, fromId=trade["id"])[1]
    assert code["code"] == -1128
    venue.after(8 * 86_400)
    assert venue.good("GET", "userTrades", symbol="BTCUSDT") == []  # of the last week
    assert venue.good("GET", "userTrades", symbol="BTCUSDT", fromId=trade["id"]) == [trade]
    assert venue.good("GET", "userTrades", **start) == [trade]


def test_fees_are_never_in_bnb(venue: Usdm) -> None:
    assert venue.good("GET", "feeBurn") == {"feeBurn": False}
    assert venue.good("POST", "feeBurn", feeBurn="false") == {"code": 200, "msg": "success"}
    assert venue.signed("POST", "feeBurn", feeBurn="true")[1]["code"] == -1020
    assert venue.signed("POST", "feeBurn", feeBurn="no")[1]["code"] == -1130
