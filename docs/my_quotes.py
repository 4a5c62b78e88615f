"""A first strategy of your own: `tickmaker demo --strategy docs/my_quotes.py:my_quotes`.

Both sides of a fair value that leans with order flow and against the position. The same formula
as the built-in `spread`; docs/user_strategies.md walks through it.
"""

from fastcore.user import QUOTE, STAND_ASIDE, quote_ask, quote_bid, strategy


@strategy(
    signals=["microprice", "ofi"],
    params={
        "half_spread_ticks": 2.0,
        "qty_lots": 10.0,
        "inventory_skew_ticks": 1.0,
        "ofi_skew_ticks": 1.0,
        "position_lots_max": 60.0,
    },
)
def my_quotes(view, params, state, target):
    if view.bid_count == 0 or view.ask_count == 0:
        return STAND_ASIDE
    qty = params.qty_lots
    fair = (
        view.signals.microprice_ticks
        + params.ofi_skew_ticks * view.signals.ofi_norm
        - params.inventory_skew_ticks * view.position_lots / qty
    )
    # Post-only: a quote that would take is turned into one that joins or improves.
    if view.position_lots + qty <= params.position_lots_max:
        bid = fair - params.half_spread_ticks
        quote_bid(target, min(bid, view.asks[0].px_ticks - 1), qty)
    if view.position_lots - qty >= -params.position_lots_max:
        ask = fair + params.half_spread_ticks
        quote_ask(target, max(ask, view.bids[0].px_ticks + 1), qty)
    return QUOTE
