# cython: language_level=3
"""What one object of a Bybit array says: a trade, an order, an execution, a position, a coin.

    {"category":"linear","symbol":"BTCUSDT","execFee":"26.3725275","execId":"0ab1bdf7-4219-438b-
     b30a-32ec863018f7","execPrice":"95900.1","execQty":"0.5","execType":"Trade","leavesQty":"0",
     "orderId":"9aac161b-...","orderLinkId":"","orderPrice":"94942.5","orderQty":"0.5",
     "side":"Sell","execTime":"1746270400353","isMaker":false,"feeCurrency":"USDT"}

Fills are told twice, by `execution` and by `order`. Here an execution is the trade (EXEC_TRADE,
last_px, last_qty and its fee), and an order is only state: while it lives and when it is filled
EXEC_STATUS, its last_qty 0; cum_qty says how much is executed, px and qty at which terms it stands
(nothing else tells of an amend carried out).

Fees and balances have more decimals than our 1e-8: a fee is rounded up (a cost is never booked too
low, a rebate never too high), a balance down. How ids become numbers: bybit_value.pxd.
Source: bybit-exchange.github.io/docs/v5, websocket: public trade; private order, execution, fast
execution, position, wallet; enum definitions.
"""
from libc.stdint cimport int32_t, int64_t

from fastcore.codec.binance_frame cimport Text, text_is
from fastcore.codec.bybit_frame cimport (
    NAME_BT, NAME_CATEGORY, NAME_COIN, NAME_CUM_EXEC_QTY, NAME_EXEC_FEE, NAME_EXEC_ID,
    NAME_EXEC_PRICE, NAME_EXEC_QTY, NAME_EXEC_TIME, NAME_EXEC_TYPE, NAME_FEE_CURRENCY, NAME_i,
    NAME_IS_MAKER, NAME_LEAVES_QTY, NAME_ORDER_ID, NAME_ORDER_LINK_ID, NAME_ORDER_PRICE,
    NAME_ORDER_QTY, NAME_ORDER_STATUS, NAME_p, NAME_POSITION_IDX, NAME_PRICE, NAME_QTY,
    NAME_REJECT_REASON, NAME_s, NAME_S, NAME_SIDE, NAME_SIZE, NAME_SYMBOL, NAME_T,
    NAME_UPDATED_TIME, NAME_v, NAME_WALLET_BALANCE, Item, Owner,
)
from fastcore.codec.bybit_value cimport (
    has_value, id_number, item_bool, item_e8, item_id, item_ms_text, item_side, item_text,
    item_uint, item_units, item_units_or_zero, ms_to_ns, same_text,
)
from fastcore.codec.text cimport client_intent
from fastcore.types cimport (
    E_MALFORMED, E_OTHER_SYMBOL, E_UNKNOWN, E_UNSUPPORTED, EXEC_CALCULATED, EXEC_CANCELED,
    EXEC_EXPIRED, EXEC_REJECTED, EXEC_STATUS, EXEC_TRADE, FEE_BASE, FEE_OTHER, FEE_QUOTE,
    INTENT_STRANGER, OK, ORD_CANCELED, ORD_EXPIRED, ORD_FILLED, ORD_NEW, ORD_PARTIALLY_FILLED,
    ORD_REJECTED, AccountEvent, OrderEvent, ReplyEvent, TradeEvent, seq_t,
)


# -- WHOSE IT IS ---

cdef int _is_ours(const Item* item, int name, const Text* own) noexcept nogil:
    """OK, E_OTHER_SYMBOL or E_MALFORMED."""
    cdef Text text
    if item_text(item, name, &text) != OK:
        return E_MALFORMED
    return OK if same_text(&text, own) else E_OTHER_SYMBOL


cdef int _is_our_instrument(const Item* item, const Owner* owner) noexcept nogil:
    """One account trades spot and linear under the same symbol: the category tells."""
    cdef int code = _is_ours(item, NAME_SYMBOL, &owner.symbol)
    cdef int category = _is_ours(item, NAME_CATEGORY, &owner.category)
    if code == E_MALFORMED or category == E_MALFORMED:
        return E_MALFORMED
    return code if code != OK else category


cdef int _intent(const Item* item, const Owner* owner, seq_t* out) noexcept nogil:
    """Intent of a client order id of this run, else INTENT_*."""
    cdef Text text
    out[0] = INTENT_STRANGER
    if item_text(item, NAME_ORDER_LINK_ID, &text) != OK:
        return E_MALFORMED
    out[0] = client_intent(text.at, text.size, owner.prefix.at, owner.prefix.size)
    return OK


# -- PUBLIC TRADE ---

cdef int read_trade(const Item* item, const Owner* owner, TradeEvent* trade) noexcept nogil:
    """{"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","i":"20f4","BT":false}

    S is the taker's side. A block trade (BT) was not made on the book: is_market 0. One against a
    retail-only order (RPI) was, though that order never shows in our feed: is_market 1.
    """
    cdef int32_t is_block = 0
    cdef int64_t ms = 0
    cdef int code = _is_ours(item, NAME_s, &owner.symbol)
    if code == OK:
        code = item_uint(item, NAME_T, &ms)
    if code == OK:
        code = ms_to_ns(ms, &trade.exch_ts_ns)
    if code == OK:
        code = item_side(item, NAME_S, &trade.aggressor)
    if code == OK:
        code = item_units(item, NAME_p, &owner.px_scale, &trade.px_ticks)
    if code == OK:
        code = item_units(item, NAME_v, &owner.qty_scale, &trade.qty_lots)
    if code == OK:
        code = item_id(item, NAME_i, &trade.trade_id)
    if code == OK:
        code = item_bool(item, NAME_BT, &is_block)
    trade.is_market = not is_block
    return code


# -- ORDERS ---

cdef int _order_state(const Text* status, const Text* reason, OrderEvent* order) noexcept nogil:
    """status and exec_type of orderStatus and rejectReason.

    Post-only that would take, IOC and FOK without a match: the venue's docs leave open whether the
    status reads Cancelled or Rejected, so the reason alone makes it EXPIRED, as at other venues.
    Deactivated is a conditional order cancelled before its trigger, Triggered one on its way to
    the book. Cancelled may come with an executed quantity (derivatives have no
    PartiallyFilledCanceled).
    """
    if (text_is(status, b"New", 3) or text_is(status, b"Untriggered", 11)
            or text_is(status, b"Triggered", 9)):
        order.status = ORD_NEW
        order.exec_type = EXEC_STATUS
    elif text_is(status, b"PartiallyFilled", 15):
        order.status = ORD_PARTIALLY_FILLED
        order.exec_type = EXEC_STATUS
    elif text_is(status, b"Filled", 6):
        order.status = ORD_FILLED
        order.exec_type = EXEC_STATUS      # the trades are told by `execution`
    elif text_is(status, b"Cancelled", 9) or text_is(status, b"Rejected", 8):
        if (text_is(reason, b"EC_PostOnlyWillTakeLiquidity", 28)
                or text_is(reason, b"EC_NoImmediateQtyToFill", 23)
                or text_is(reason, b"EC_CancelForNoFullFill", 22)):
            order.status = ORD_EXPIRED
            order.exec_type = EXEC_EXPIRED
        else:
            order.status = ORD_CANCELED if status.size == 9 else ORD_REJECTED
            order.exec_type = EXEC_CANCELED if status.size == 9 else EXEC_REJECTED
    elif text_is(status, b"PartiallyFilledCanceled", 23) or text_is(status, b"Deactivated", 11):
        order.status = ORD_CANCELED
        order.exec_type = EXEC_CANCELED
    else:
        return E_UNKNOWN
    return OK


cdef int read_order(const Item* item, const Owner* owner, OrderEvent* order) noexcept nogil:
    """An item of `order`: state only. A market order's price may be empty: 0."""
    cdef Text status, reason
    cdef int code = _is_our_instrument(item, owner)
    if code == OK:
        code = _intent(item, owner, &order.intent_id)
    if code == OK:
        code = item_id(item, NAME_ORDER_ID, &order.venue_order_id)
    if code == OK:
        code = item_side(item, NAME_SIDE, &order.side)
    if code == OK:
        code = item_text(item, NAME_ORDER_STATUS, &status)
    if code == OK:
        code = item_text(item, NAME_REJECT_REASON, &reason)
    if code == OK:
        code = _order_state(&status, &reason, order)
    if code == OK:
        code = item_units_or_zero(item, NAME_PRICE, &owner.px_scale, &order.px_ticks)
    if code == OK:
        code = item_units(item, NAME_QTY, &owner.qty_scale, &order.qty_lots)
    if code == OK:
        code = item_units(item, NAME_CUM_EXEC_QTY, &owner.qty_scale, &order.cum_qty_lots)
    if code == OK:
        code = item_ms_text(item, NAME_UPDATED_TIME, &order.exch_ts_ns)
    order.trade_id = -1
    order.is_maker = 0
    order.last_px_ticks = 0
    order.last_qty_lots = 0
    order.fee_e8 = 0
    order.fee_asset = FEE_QUOTE
    return code


cdef int _exec_type(const Item* item, OrderEvent* order) noexcept nogil:
    """OK, NOT_A_TRADE, E_UNKNOWN or E_MALFORMED. The fast topic has trades only, and no type.

    What the venue's own hand did to the position (liquidation, ADL, settlement, delivery), or we
    by other means than an order here (block, move, spread leg), is EXEC_CALCULATED.
    """
    cdef Text text
    order.exec_type = EXEC_TRADE
    if not has_value(item, NAME_EXEC_TYPE):
        return OK
    if item_text(item, NAME_EXEC_TYPE, &text) != OK:
        return E_MALFORMED
    if text_is(&text, b"Trade", 5):
        return OK
    if text_is(&text, b"Funding", 7):
        return NOT_A_TRADE
    order.exec_type = EXEC_CALCULATED
    if (text_is(&text, b"AdlTrade", 8) or text_is(&text, b"BustTrade", 9)
            or text_is(&text, b"Settle", 6) or text_is(&text, b"Delivery", 8)
            or text_is(&text, b"BlockTrade", 10) or text_is(&text, b"MovePosition", 12)
            or text_is(&text, b"FutureSpread", 12)):
        return OK
    return E_UNKNOWN


cdef int _fee(const Item* item, const Owner* owner, OrderEvent* order) noexcept nogil:
    """execFee in feeCurrency. Linear names none where it is the quote asset."""
    cdef Text asset
    order.fee_e8 = 0
    order.fee_asset = FEE_QUOTE
    if not has_value(item, NAME_EXEC_FEE):      # the fast topic
        return OK
    asset.at = NULL
    asset.size = 0
    if has_value(item, NAME_FEE_CURRENCY) and item_text(item, NAME_FEE_CURRENCY, &asset) != OK:
        return E_MALFORMED
    if asset.size == 0:
        order.fee_asset = FEE_QUOTE if text_is(&owner.category, b"linear", 6) else FEE_OTHER
    elif same_text(&asset, &owner.quote_asset):
        order.fee_asset = FEE_QUOTE
    elif same_text(&asset, &owner.base_asset):
        order.fee_asset = FEE_BASE
    else:
        order.fee_asset = FEE_OTHER
    return item_e8(item, NAME_EXEC_FEE, True, &order.fee_e8)


cdef int _executed(const Item* item, const Owner* owner, OrderEvent* order) noexcept nogil:
    """qty, cum_qty and status of orderQty and leavesQty; the fast topic has neither."""
    cdef int64_t leaves = 0
    cdef int code
    order.qty_lots = order.cum_qty_lots = 0
    order.status = ORD_PARTIALLY_FILLED
    if not (has_value(item, NAME_ORDER_QTY) or has_value(item, NAME_LEAVES_QTY)):
        return OK
    code = item_units(item, NAME_ORDER_QTY, &owner.qty_scale, &order.qty_lots)
    if code == OK:
        code = item_units(item, NAME_LEAVES_QTY, &owner.qty_scale, &leaves)
    if code == OK and leaves > order.qty_lots:
        return E_MALFORMED
    order.cum_qty_lots = order.qty_lots - leaves
    if leaves == 0:
        order.status = ORD_FILLED
    return code


cdef int read_execution(const Item* item, const Owner* owner, OrderEvent* order) noexcept nogil:
    """An item of `execution` or `execution.fast`: one trade with its fee."""
    cdef int code = _is_our_instrument(item, owner)
    if code == OK:
        code = _exec_type(item, order)
    if code == OK:
        code = _intent(item, owner, &order.intent_id)
    if code == OK:
        code = item_id(item, NAME_ORDER_ID, &order.venue_order_id)
    if code == OK:
        code = item_id(item, NAME_EXEC_ID, &order.trade_id)
    if code == OK:
        code = item_side(item, NAME_SIDE, &order.side)
    if code == OK:
        code = item_bool(item, NAME_IS_MAKER, &order.is_maker)
    if code == OK:
        code = item_units_or_zero(item, NAME_ORDER_PRICE, &owner.px_scale, &order.px_ticks)
    if code == OK:
        code = _executed(item, owner, order)
    if code == OK:
        code = item_units(item, NAME_EXEC_PRICE, &owner.px_scale, &order.last_px_ticks)
    if code == OK:
        code = item_units(item, NAME_EXEC_QTY, &owner.qty_scale, &order.last_qty_lots)
    if code == OK:
        code = _fee(item, owner, order)
    if code == OK:
        code = item_ms_text(item, NAME_EXEC_TIME, &order.exch_ts_ns)
    return code


# -- ACCOUNT ---

cdef int read_position(const Item* item, const Owner* owner, AccountEvent* account) noexcept nogil:
    """An item of `position`: `size` by `side` ("" when flat). Hedge mode is not supported."""
    cdef Text side
    cdef int64_t position_idx = 0
    cdef int code = _is_our_instrument(item, owner)
    if code == OK:
        code = item_uint(item, NAME_POSITION_IDX, &position_idx)
    if code == OK and position_idx != 0:
        return E_UNSUPPORTED
    if code == OK:
        code = item_text(item, NAME_SIDE, &side)
    if code == OK:
        code = item_units(item, NAME_SIZE, &owner.qty_scale, &account.position_lots)
    if code == OK:
        code = item_ms_text(item, NAME_UPDATED_TIME, &account.exch_ts_ns)
    if code != OK:
        return code
    account.has_position = 1
    account.has_balance = 0
    account.balance_e8 = 0
    if text_is(&side, b"Sell", 4):
        account.position_lots = -account.position_lots
    elif not text_is(&side, b"Buy", 3) and (side.size > 0 or account.position_lots != 0):
        return E_MALFORMED
    return OK


cdef int read_coin(const Item* item, const Owner* owner, AccountEvent* account) noexcept nogil:
    """A coin of an account of `wallet`: the wallet balance, where it is our quote asset's."""
    cdef int code = _is_ours(item, NAME_COIN, &owner.quote_asset)
    account.has_position = 0
    account.has_balance = 1
    account.position_lots = 0
    return item_e8(item, NAME_WALLET_BALANCE, False, &account.balance_e8) if code == OK else code


# -- REPLY ---

cdef int read_batch_order(const Item* item, const Owner* owner, ReplyEvent* reply) noexcept nogil:
    """One of data.list in the reply to a batch: whose order it was."""
    cdef Text text
    cdef int code = _intent(item, owner, &reply.intent_id)
    if code == OK:
        code = item_text(item, NAME_ORDER_ID, &text)
    if code == OK:
        reply.venue_order_id = id_number(&text)
    return code
