"""engine.venues.bybit without an exchange: documented samples, requests byte by byte, errors, and
executions of any distribution in time, oldest first."""

import hashlib
import hmac
import json
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support_bybit import LINEAR, SAMPLES
from support_bybit_adapter import URLS

from engine.venues import adapter, hosts
from engine.venues import bybit_rows as rows
from engine.venues.base import (
    AccountFacts,
    BalanceRow,
    FeeRates,
    Instrument,
    KeyFacts,
    OrderRow,
    PositionRow,
    Wanted,
)
from engine.venues.bybit import Bybit
from engine.venues.bybit_trades import PAGE_MAX, SPAN_MS, Window
from fastcore.codec.bybit_decode import BybitDecoder
from fastcore.codec.bybit_id import id_number
from fastcore.types import FeeAsset, OrderState, Side

KEY, SECRET = "XXXXXXXXXX", "keep-me"
BYBIT = Bybit(KEY, SECRET, ws_url=URLS, recv_window_ms=5_000)
DAY_MS = 86_400_000


def instrument(category: str = "linear", symbol: str = "BTCUSDT", **more: Any) -> Instrument:
    steps = ("0.10", "0.001") if category == "linear" else ("0.1", "0.000001")
    fields: dict[str, Any] = {"tick": steps[0], "lot": steps[1], "base": "BTC", "quote": "USDT"}
    fields |= {"qty_min": Decimal(1), "qty_max": Decimal(1), "notional_min": Decimal(5)}
    return Instrument(venue=f"bybit_{category}", symbol=symbol, **(fields | more))


def body(*found: Any, cursor: str = "", **more: Any) -> dict[str, Any]:
    result = {"list": list(found), "nextPageCursor": cursor, "category": "linear"}
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1, **more}


# -- DOCUMENTED SAMPLES ---

LINEAR_ROW = json.loads(
    '{"symbol":"BTCUSDT","contractType":"LinearPerpetual","status":"Trading","baseCoin":"BTC",'
    '"quoteCoin":"USDT","launchTime":"1585526400000","deliveryTime":"0","priceScale":"2",'
    '"priceFilter":{"minPrice":"0.10","maxPrice":"1999999.80","tickSize":"0.10"},'
    '"lotSizeFilter":{"maxOrderQty":"1190.000","minOrderQty":"0.001","qtyStep":"0.001",'
    '"postOnlyMaxOrderQty":"1190.000","maxMktOrderQty":"500.000","minNotionalValue":"5"},'
    '"settleCoin":"USDT"}'
)
SPOT_ROW = json.loads(
    '{"symbol":"BTCUSDT","baseCoin":"BTC","quoteCoin":"USDT","innovation":"0","status":"Trading",'
    '"lotSizeFilter":{"basePrecision":"0.000001","quotePrecision":"0.0000001","minOrderQty":'
    '"0.000011","maxOrderQty":"83","minOrderAmt":"5","maxOrderAmt":"8000000","maxLimitOrderQty":'
    '"71.7","maxMarketOrderQty":"41.5"},"priceFilter":{"tickSize":"0.1"}}'
)
ORDER = json.loads(
    '{"orderId":"fd4300ae-7847-404e-b947-b46980a4d140","orderLinkId":"test-000005",'
    '"blockTradeId":"","symbol":"ETHUSDT","price":"1600.00","qty":"0.10","side":"Buy",'
    '"isLeverage":"","positionIdx":1,"orderStatus":"New","cancelType":"UNKNOWN","rejectReason":'
    '"EC_NoError","avgPrice":"0","leavesQty":"0.10","leavesValue":"160","cumExecQty":"0.00",'
    '"cumExecValue":"0","cumExecFee":"0","timeInForce":"GTC","orderType":"Limit","stopOrderType":'
    '"UNKNOWN","triggerPrice":"0.00","reduceOnly":false,"createdTime":"1684738540559"}'
)
EXECUTION = json.loads(
    '{"symbol":"ETHPERP","orderType":"Market","orderLinkId":"","side":"Buy","orderId":'
    '"8c065341-7b52-4ca9-ac2c-37e31ac55c94","stopOrderType":"UNKNOWN","leavesQty":"0","execTime":'
    '"1672282722429","feeCurrency":"","isMaker":false,"execFee":"0.071409","feeRate":"0.0006",'
    '"execId":"e0cbe81d-0f18-5866-9415-cf319b5dab3b","execPrice":"1190.15","orderQty":"0.1",'
    '"orderPrice":"1236.9","execValue":"119.015","execType":"Trade","execQty":"0.1","seq":'
    "4688002127}"
)
POSITION = json.loads(
    '{"positionIdx":0,"riskId":1,"symbol":"BTCUSDT","side":"Sell","size":"0.299","avgPrice":'
    '"30000","positionValue":"8970","tradeMode":0,"positionStatus":"Normal","leverage":"10"}'
)
KEY_INFO = json.loads(
    '{"id":"13770661","note":"readwrite api key","apiKey":"XXXXXX","readOnly":0,"secret":"",'
    '"permissions":{"ContractTrade":["Order","Position"],"Spot":["SpotTrade"],"Wallet":'
    '["AccountTransfer","SubMemberTransfer"],"Options":["OptionsTrade"],"Derivatives":[]},"ips":'
    '["*"],"type":1,"uta":1}'
)


def test_instruments_of_the_documents() -> None:
    linear = rows.instrument_of(LINEAR_ROW, "linear", 1)
    assert (linear.tick, linear.lot, linear.base, linear.quote) == ("0.10", "0.001", "BTC", "USDT")
    assert (linear.qty_min, linear.qty_max) == (Decimal("0.001"), Decimal(1190))
    assert linear.notional_min == 5
    assert linear.is_trading
    spot = rows.instrument_of(SPOT_ROW, "spot", 1)
    assert (spot.tick, spot.lot, spot.qty_max) == ("0.1", "0.000001", Decimal("71.7"))
    assert (spot.qty_min, spot.notional_min) == (Decimal("0.000011"), Decimal(5))


def test_delisted_is_not_trading_from_its_time_on() -> None:
    row = {**LINEAR_ROW, "deliveryTime": "1700000000000"}
    assert rows.instrument_of(row, "linear", 1_699_999_999_999).is_trading
    assert not rows.instrument_of(row, "linear", 1_700_000_000_000).is_trading
    assert not rows.instrument_of({**LINEAR_ROW, "status": "Closed"}, "linear", 1).is_trading


@pytest.mark.parametrize(
    "wrong",
    [
        {"priceFilter": {}},
        {"priceFilter": {"tickSize": "0"}},
        {"priceFilter": {"tickSize": "x"}},
        {"priceFilter": {"tickSize": "NaN"}},
        {"lotSizeFilter": None},
        {"baseCoin": 7},
    ],
)
def test_instrument_that_is_not_as_documented(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        rows.instrument_of({**LINEAR_ROW, **wrong}, "linear", 1)


def test_order_of_the_documents() -> None:
    ether = instrument(symbol="ETHUSDT", tick="0.01", lot="0.01")
    found, cursor = BYBIT.open_orders(ether).read(
        body(ORDER, cursor="page_args%3Dfd4300ae%26symbol%3D6%26")
    )
    text = "fd4300ae-7847-404e-b947-b46980a4d140"
    assert found == [
        OrderRow(
            "ETHUSDT", "test-000005", id_number(text), Side.BUY, OrderState.NEW, 160_000, 10, 0,
            text,
        )
    ]  # fmt: skip
    assert cursor == ""  # the page isn't full, whatever the venue says
    _, cursor = BYBIT.open_orders(ether).read(body(*[ORDER] * 50, cursor="a%3D1%26"))
    signed = BYBIT.sign(BYBIT.open_orders(ether, cursor), 1)
    assert signed.target.endswith("&limit=50&cursor=a%3D1%26")


@pytest.mark.parametrize(
    ("status", "reason", "state"),
    [
        ("New", "EC_NoError", OrderState.NEW),
        ("Untriggered", "EC_NoError", OrderState.NEW),
        ("PartiallyFilled", "EC_NoError", OrderState.PARTIALLY_FILLED),
        ("Filled", "EC_NoError", OrderState.FILLED),
        ("Cancelled", "EC_PerCancelRequest", OrderState.CANCELED),
        ("PartiallyFilledCanceled", "EC_PerCancelRequest", OrderState.CANCELED),
        ("PartiallyFilledCanceled", "EC_CancelForNoFullFill", OrderState.CANCELED),
        ("Filled", "EC_CancelForNoFullFill", OrderState.FILLED),
        ("Deactivated", "EC_PerCancelRequest", OrderState.CANCELED),
        ("Rejected", "EC_Others", OrderState.REJECTED),
        ("Cancelled", "EC_PostOnlyWillTakeLiquidity", OrderState.EXPIRED),
        ("Rejected", "EC_PostOnlyWillTakeLiquidity", OrderState.EXPIRED),
        ("Cancelled", "EC_NoImmediateQtyToFill", OrderState.EXPIRED),
    ],
)
def test_states_are_the_decoder_s(status: str, reason: str, state: OrderState) -> None:
    row = {**ORDER, "symbol": "BTCUSDT", "orderStatus": status, "rejectReason": reason}
    assert rows.order_row(row, instrument()).state is state
    frame = {"topic": "order", "id": "1", "creationTime": 1, "data": [
        {**row, "category": "linear", "updatedTime": "1"}]}  # fmt: skip
    _, event = BybitDecoder(*LINEAR).decode_bytes(json.dumps(frame).encode())
    assert event["status"] == state


def test_market_order_for_money_counts_what_it_bought() -> None:
    row = {**ORDER, "symbol": "BTCUSDT", "orderType": "Market", "price": "", "qty": "100.5"}
    row |= {"marketUnit": "quoteCoin", "cumExecQty": "0.0016"}
    found = rows.order_row(row, instrument("spot"))
    assert (found.px_ticks, found.qty_lots, found.cum_qty_lots) == (0, 1_600, 1_600)


def test_order_off_the_grid_or_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match=r"multiple of 0\.001"):
        rows.order_row({**ORDER, "qty": "0.0001"}, instrument())
    with pytest.raises(ValueError, match="known orderStatus"):
        rows.order_row({**ORDER, "orderStatus": "Dreaming"}, instrument())
    with pytest.raises(ValueError, match="Buy or Sell"):
        rows.order_row({**ORDER, "side": ""}, instrument())


@pytest.mark.parametrize("wrong", [{"qty": "0.0001"}, {"price": "1600.05"},
                                   {"orderStatus": "Dreaming"}, {"side": ""}])  # fmt: skip
def test_an_order_that_cannot_be_read_hides_no_other_and_can_be_canceled(
    wrong: dict[str, str],
) -> None:
    good = {**ORDER, "symbol": "BTCUSDT"}
    (part, whole), _ = BYBIT.open_orders(instrument()).read(body({**good, **wrong}, good))
    text = ORDER["orderId"]
    assert part == OrderRow(
        "BTCUSDT", "test-000005", id_number(text), Side.BUY, OrderState.NEW, 0, 0, 0, text,
        is_whole=False,
    )  # fmt: skip
    assert whole.is_whole
    assert BYBIT.cancel(instrument(), part).params["orderId"] == text
    with pytest.raises(ValueError, match="Expected"):
        BYBIT.order(instrument(), "test-000005").read(body({**good, **wrong}))
    with pytest.raises(ValueError, match="text in orderId"):
        BYBIT.open_orders(instrument()).read(body({**good, **wrong, "orderId": 1}))


def test_execution_of_the_documents() -> None:
    ether = instrument(symbol="ETHPERP", tick="0.01", lot="0.01", base="ETH", quote="USDC")
    (found,), cursor = Window(0, SPAN_MS).read(body(EXECUTION), ether)
    assert cursor == ""
    assert found.trade_id == id_number("e0cbe81d-0f18-5866-9415-cf319b5dab3b")
    assert (found.px_ticks, found.qty_lots, found.fee_e8) == (119_015, 10, 7_140_900)
    assert (found.fee_asset, found.is_maker) == (FeeAsset.QUOTE, False)
    assert found.exch_ts_ns == 1_672_282_722_429_000_000


@pytest.mark.parametrize(
    ("fee", "fee_e8"),
    [("0.071409", 7_140_900), ("0.000000001", 1), ("-0.000000001", 0), ("-0.5", -50_000_000),
     ("0.123456789", 12_345_679), ("0", 0)],
)  # fmt: skip
def test_fee_is_never_too_low_as_in_the_decoder(fee: str, fee_e8: int) -> None:
    row = {**EXECUTION, "execFee": fee, "symbol": "BTCUSDT", "execPrice": "95900.1"}
    assert rows.trade_row(row, instrument()).fee_e8 == fee_e8
    sample = SAMPLES["execution"].replace(b"26.3725275", fee.encode())
    assert BybitDecoder(*LINEAR).decode_bytes(sample)[1]["fee_e8"] == fee_e8


@pytest.mark.parametrize(
    ("category", "coin", "asset"),
    [
        ("linear", "", FeeAsset.QUOTE), ("linear", "USDT", FeeAsset.QUOTE),
        ("spot", "", FeeAsset.OTHER), ("spot", "USDT", FeeAsset.QUOTE),
        ("spot", "BTC", FeeAsset.BASE), ("spot", "MNT", FeeAsset.OTHER),
    ],
)  # fmt: skip
def test_fee_assets(category: str, coin: str, asset: FeeAsset) -> None:
    row = {**EXECUTION, "feeCurrency": coin, "execPrice": "95900.1"}
    assert rows.trade_row(row, instrument(category)).fee_asset is asset


@pytest.mark.parametrize("change", [{"execPrice": "95900.15"}, {"execQty": "0.0005"}])
def test_a_trade_of_before_the_grid_changed_can_be_known_again(change: dict[str, str]) -> None:
    row = {**EXECUTION, "symbol": "BTCUSDT", "execPrice": "95900.1", **change}
    (part,), _ = Window(0, SPAN_MS).read(body(row), instrument())
    assert (part.is_whole, part.px_ticks, part.qty_lots) == (False, 0, 0)
    assert part.trade_id == id_number(EXECUTION["execId"])
    with pytest.raises(ValueError, match="a number in exec"):
        rows.trade_row({**row, **dict.fromkeys(change, "x")}, instrument())


def test_what_moves_no_position_is_no_trade() -> None:
    ours = {**EXECUTION, "symbol": "BTCUSDT", "execPrice": "95900.1"}
    found, _ = Window(0, SPAN_MS).read(
        body({**ours, "execType": "Funding"}, {**ours, "execType": "BustTrade"},
             {**ours, "symbol": "ETHUSDT"}),
        instrument(),
    )  # fmt: skip
    assert len(found) == 1  # a liquidation does move it


def test_positions_are_signed_and_hedge_mode_is_refused() -> None:
    btc = instrument()
    assert rows.position_rows(body(POSITION), [btc]) == [PositionRow("BTCUSDT", -299)]
    empty = {**POSITION, "side": "", "size": "0"}
    assert rows.position_rows(body(empty), [btc]) == [PositionRow("BTCUSDT", 0)]
    with pytest.raises(ValueError, match="hedge mode"):
        rows.position_rows(body({**empty, "positionIdx": 2}), [btc])
    with pytest.raises(ValueError, match="fewer than 200"):
        BYBIT.positions([btc]).read(body(*[POSITION] * 200))


def test_balances_are_never_too_high() -> None:
    coins = {"coin": [{"coin": "BTC", "walletBalance": "0.1234567891"},
                      {"coin": "USDT", "walletBalance": "-1.000000001"}]}  # fmt: skip
    assert BYBIT.balances().read(body(coins)) == [
        BalanceRow("BTC", 12_345_678), BalanceRow("USDT", -100_000_001),
    ]  # fmt: skip
    spot = BYBIT.positions([instrument("spot"), instrument("spot", "ETHUSDT", base="ETH")])
    assert spot.read(body(coins)) == [PositionRow("BTCUSDT", 123_456), PositionRow("ETHUSDT", 0)]


def test_key_and_account_of_the_documents() -> None:
    assert rows.key_facts({"result": KEY_INFO}) == KeyFacts(True, False, False)
    wallet = {**KEY_INFO["permissions"], "Wallet": ["Withdraw"], "Spot": []}
    own = {**KEY_INFO, "permissions": wallet, "ips": ["1.2.3.4"], "readOnly": 1}
    assert rows.key_facts({"result": own}) == KeyFacts(False, True, True)
    info = {"marginMode": "ISOLATED_MARGIN", "unifiedMarginStatus": 5}
    assert rows.account_facts({"result": info}) == AccountFacts(None, "isolated", True)
    with pytest.raises(ValueError, match="classic account"):
        rows.account_facts({"result": {**info, "unifiedMarginStatus": 1}})


def test_fee_rates_of_the_documents() -> None:
    row = {"symbol": "BTCUSDT", "takerFeeRate": "0.00055", "makerFeeRate": "-0.0001"}
    assert rows.fee_rates(body(row), instrument()) == FeeRates(-100, 550)
    with pytest.raises(ValueError, match="whole millionths"):
        rows.fee_rates(body({**row, "takerFeeRate": "0.00000055"}), instrument())
    with pytest.raises(ValueError, match="fee rates of BTCUSDT"):
        rows.fee_rates(body(), instrument())


@pytest.mark.parametrize("wrong", [None, [], {}, {"result": 1}, {"result": {}},
                                   {"result": {"list": [1]}}])  # fmt: skip
def test_answers_of_another_shape_are_refused(wrong: Any) -> None:
    for call in (
        BYBIT.time(), BYBIT.balances(), BYBIT.open_orders(instrument()),
        BYBIT.order(instrument(), "x"), BYBIT.trades(instrument(), 1), BYBIT.fees(instrument()),
        BYBIT.positions([instrument()]), BYBIT.instruments(["BTCUSDT"], "linear"),
        BYBIT.key_facts(), BYBIT.account_facts(), BYBIT.best(instrument()),
        BYBIT.place(instrument(), "x", Side.BUY, 1, 1, is_ioc=True, is_reduce_only=False),
    ):  # fmt: skip
        assert call is not None
        with pytest.raises(ValueError, match="Expected"):
            call.read(wrong)


# -- REQUESTS ---


def test_get_is_signed_over_the_query_as_sent() -> None:
    signed = BYBIT.sign(BYBIT.order(instrument(), "tm0123abcd-01-00000000002a"), 1_672_219_525_810)
    query = "category=linear&symbol=BTCUSDT&orderLinkId=tm0123abcd-01-00000000002a"
    text = f"1672219525810{KEY}5000{query}"
    assert signed.target == f"/v5/order/realtime?{query}"
    assert signed.body == b""
    assert signed.headers == {
        "X-BAPI-API-KEY": KEY,
        "X-BAPI-TIMESTAMP": "1672219525810",
        "X-BAPI-RECV-WINDOW": "5000",
        "X-BAPI-SIGN": hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest(),
    }


def test_post_is_signed_over_the_body_as_sent() -> None:
    call = BYBIT.place(
        instrument(), "c-1", Side.SELL, 163_401, 10, is_ioc=True, is_reduce_only=True
    )
    signed = BYBIT.sign(call, 7)
    assert signed.body == (
        b'{"category":"linear","symbol":"BTCUSDT","side":"Sell","orderType":"Limit","qty":"0.010",'
        b'"price":"16340.10","timeInForce":"IOC","orderLinkId":"c-1","reduceOnly":true}'
    )
    text = f"7{KEY}5000".encode() + signed.body
    assert signed.headers["X-BAPI-SIGN"] == hmac.new(SECRET.encode(), text, "sha256").hexdigest()
    assert signed.headers["Content-Type"] == "application/json"
    assert signed.target == "/v5/order/create"


def test_public_calls_carry_no_key() -> None:
    signed = BYBIT.sign(BYBIT.time(), 1)
    assert (signed.target, dict(signed.headers), signed.body) == ("/v5/market/time", {}, b"")


@given(value=st.text(max_size=20))
def test_values_of_a_query_come_back_as_they_were(value: str) -> None:
    if "%" in value or not value.isprintable():
        return
    call = BYBIT.open_orders(instrument(), value)
    query = BYBIT.sign(call, 1).target.partition("?")[2]
    assert dict(parse_qsl(query)).get("cursor", "") == value


# -- ERRORS ---


def said(code: int, text: str = "x", status: int = 200, **headers: str) -> Any:
    answer = {"retCode": code, "retMsg": text, "result": {}, "time": 1_000_000}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return BYBIT.failure(status, named, json.dumps(answer).encode())


def test_success_is_no_failure() -> None:
    assert said(0) is None


@pytest.mark.parametrize(
    ("codes", "flag"),
    [
        ((10003, 10004, 10005, 10010, 33004), "is_credential"),
        ((10002,), "is_clock"),
        ((10006, 10018, 10429, 170222), "is_throttled"),
        ((10000, 10016), "is_unknown"),
        ((110001, 170213, 110010), "is_absent"),
        ((110007, 110094, 170140, 10001), ""),
    ],
)
def test_kinds_of_codes(codes: tuple[int, ...], flag: str) -> None:
    flags = ("is_credential", "is_clock", "is_throttled", "is_unknown", "is_absent")
    for code in codes:
        failure = said(code)
        assert failure.code == code
        assert [name for name in flags if getattr(failure, name)] == ([flag] if flag else [])


def test_throttled_says_when_to_come_again() -> None:
    assert said(10006, X_Bapi_Limit_Reset_Timestamp="1000250").retry_after_s == 0.25
    assert said(10006, x_bapi_limit_reset_timestamp="999000").retry_after_s == 1.0
    assert said(10006, X_Bapi_Limit_Reset_Timestamp="soon").retry_after_s == 1.0
    assert said(110007).retry_after_s == 0.0


@pytest.mark.parametrize(
    ("code", "status", "is_of_address", "wait_s"),
    [(10006, 200, False, 1.0), (20003, 200, False, 1.0), (170222, 200, False, 1.0),
     (10429, 429, False, 1.0), (10018, 200, True, 5.0), (10403, 200, True, 5.0),
     (10018, 403, True, 600.0), (110007, 200, False, 0.0)],
)  # fmt: skip
def test_one_calls_limit_is_not_the_addresss(
    code: int, status: int, is_of_address: bool, wait_s: float
) -> None:
    failure = said(code, status=status)
    assert (failure.is_of_address, failure.retry_after_s) == (is_of_address, wait_s)
    for before in (403, 429):
        assert BYBIT.failure(before, {}, b"slow down").is_of_address


@pytest.mark.parametrize(
    ("status", "text", "flag", "wait_s"),
    [
        (403, b"access too frequent, please try again in 10 minutes", "is_throttled", 600.0),
        (403, b"The distribution is configured to block access from your country.",
         "is_credential", 0.0),
        (401, b"", "is_credential", 0.0),
        (429, b"slow down", "is_throttled", 1.0),
        (502, b"<html>", "is_unknown", 0.0),
        (504, b"", "is_unknown", 0.0),
        (200, b"not json", "is_unknown", 0.0),
        (200, b"[]", "is_unknown", 0.0),
        (404, b"", "", 0.0),
    ],
)  # fmt: skip
def test_answers_from_before_the_venue(status: int, text: bytes, flag: str, wait_s: float) -> None:
    failure = BYBIT.failure(status, {}, text)
    assert failure is not None
    flags = ("is_credential", "is_clock", "is_throttled", "is_unknown", "is_absent")
    assert [name for name in flags if getattr(failure, name)] == ([flag] if flag else [])
    assert failure.retry_after_s == wait_s


def test_the_key_that_the_venue_repeats_is_not_shown() -> None:
    failure = said(10004, f"error sign! origin_string[1672219525810{KEY}5000symbol=BTCUSDT]")
    assert failure.text == "error sign!"


# -- IDS ---


WORDS = st.from_regex(r"[0-9a-zA-Z_-]{1,40}", fullmatch=True)


@given(text=WORDS | st.integers(0, 1 << 65).map(str))
def test_ids_are_the_decoder_s(text: str) -> None:
    sample = SAMPLES["execution"].replace(b"0ab1bdf7-4219-438b-b30a-32ec863018f7", text.encode())
    assert BybitDecoder(*LINEAR).decode_bytes(sample)[1]["trade_id"] == id_number(text)


def test_no_id_is_minus_one() -> None:
    assert id_number("") == -1


# -- EXECUTIONS IN TIME ---


class Venue:
    """Gives the newest first, a page and a window of 7 days at most."""

    def __init__(self, times_ms: list[int], now_ms: int) -> None:
        self.rows = sorted(
            ((ms, number) for number, ms in enumerate(sorted(times_ms))), reverse=True
        )
        self.now_ms = now_ms
        self.calls = 0

    def answer(self, params: dict[str, str]) -> dict[str, Any]:
        self.calls += 1
        first = int(params["startTime"])
        last = int(params.get("endTime", first + SPAN_MS))
        assert last - first <= SPAN_MS
        found = [own for own in self.rows if first <= own[0] <= last]
        if cursor := params.get("cursor"):
            found = [own for own in found if own[1] < int(cursor)]
        limit = int(params["limit"])
        page = [
            {**EXECUTION, "symbol": "BTCUSDT", "execPrice": "95900.1", "execTime": str(ms),
             "execId": str(number), "seq": number}
            for ms, number in found[:limit]
        ]  # fmt: skip
        return body(*page, cursor=page[-1]["execId"] if page else "", time=self.now_ms)

    def all_since(self, since_ms: int) -> list[int]:
        found: list[int] = []
        cursor = ""
        for _ in range(3_000):
            call = BYBIT.trades(instrument(), since_ms * 1_000_000, cursor)
            page, cursor = call.read(self.answer(dict(call.params)))
            found += [row.trade_id for row in page]
            if not cursor:
                return found
        raise AssertionError("no end")


@given(
    clusters=st.lists(
        st.tuples(
            st.integers(0, 30 * DAY_MS), st.integers(1, 250), st.sampled_from([0, 1, 1_000, 9**7])
        ),
        max_size=4,
    ),
    since_ms=st.integers(0, 10 * DAY_MS),
)
def test_every_execution_once_oldest_first(
    clusters: list[tuple[int, int, int]], since_ms: int
) -> None:
    """Clusters within a millisecond, seconds, days; long quiet times between them. Within one
    millisecond of more than a page, pages come as the venue has them: the newest first."""
    start_ms, now_ms = 1_700_000_000_000, 1_700_000_000_000 + 31 * DAY_MS
    times = [start_ms + at + i * step for at, count, step in clusters for i in range(count)]
    venue = Venue([ms for ms in times if ms <= now_ms], now_ms)
    found = venue.all_since(start_ms + since_ms)
    wanted = [(ms, number) for ms, number in reversed(venue.rows) if ms >= start_ms + since_ms]
    assert sorted(found) == [number for _, number in wanted]
    time_of = {number: ms for ms, number in venue.rows}
    assert [time_of[number] for number in found] == [ms for ms, _ in wanted]
    crowded = any(times.count(ms) > PAGE_MAX for ms in set(times))
    assert crowded or found == sorted(found)


def test_few_executions_are_one_call_and_many_not_many_more() -> None:
    now_ms = 1_700_000_000_000
    venue = Venue([now_ms - 1_000 * i for i in range(99)], now_ms)
    assert len(venue.all_since(now_ms - DAY_MS)) == 99
    assert venue.calls == 1
    venue = Venue([now_ms - 1_000 * i for i in range(5_000)], now_ms)
    assert len(venue.all_since(now_ms - DAY_MS)) == 5_000
    assert venue.calls <= 3 * 5_000 // PAGE_MAX


def test_executions_of_one_sequence_are_turned_round() -> None:
    """One order that met several: same time, same seq, and the venue gives the last one first."""
    ours = {**EXECUTION, "symbol": "BTCUSDT", "execPrice": "95900.1", "seq": 7}
    found, _ = Window(0, SPAN_MS).read(
        body(*({**ours, "execId": str(number)} for number in (3, 2, 1))), instrument()
    )
    assert [row.trade_id for row in found] == [1, 2, 3]


def test_long_ago_starts_where_the_venue_s_memory_does() -> None:
    now_ms = 1_700_000_000_000
    venue = Venue([now_ms - 5], now_ms)
    assert len(venue.all_since(0)) == 1
    assert venue.calls < 110  # two years of weeks


def test_cursor_goes_on_where_the_answer_before_it_ended() -> None:
    window = Window.of(0, "100/2000/")
    assert window == Window(100, 2_000, "")
    assert BYBIT.trades(instrument(), 1, "100/100/a%3A2").params == {
        "category": "linear", "symbol": "BTCUSDT", "startTime": "100", "endTime": "100",
        "limit": "100", "cursor": "a%3A2",
    }  # fmt: skip


# -- PLACES ---


class Account:
    venue = "bybit"
    rest_url = "http://127.0.0.1:1"
    ws_url = URLS
    recv_window_ms = 5_000
    dead_man_s = 10


def test_account_of_bybit_gets_this_adapter() -> None:
    made = adapter(Account(), "key", "secret")
    assert isinstance(made, Bybit)
    assert "dcp.future" in made.user_plan("", 1).texts[1]
    assert made.settings(Wanted(None, None, None), instrument("spot")) == ()


@pytest.mark.parametrize(
    ("url", "is_real"),
    [
        ("https://api.bybit.com", True),
        ("https://api.bytick.com/v5", True),
        ("wss://stream.bybit.nl/v5/private", True),
        ("https://api-testnet.bybit.com", False),
        ("wss://stream-testnet.bybit.com/v5/trade", False),
        ("wss://stream-demo.bybit.com/v5/private", False),
        ("https://api-testnet.bybit.com.evil.example", True),
        ("http://127.0.0.1:8080", False),
    ],
)
def test_what_is_real_money(url: str, is_real: bool) -> None:
    assert hosts.is_production(url) is is_real
