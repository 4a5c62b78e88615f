"""Outputs in a finer tick: what was caused before a tick change, and is told after it."""

from engine.exchange.events import (
    AccountUpdate,
    BestChange,
    DepthChange,
    MarkUpdate,
    OrderUpdate,
    Output,
    Trade,
)


def in_finer_ticks(output: Output, symbol: str, factor: int) -> Output:
    """The same prices; orders themselves have been rescaled already (they are shared)."""
    if isinstance(output, OrderUpdate) and output.order.symbol == symbol:
        return output._replace(
            cum_cost=output.cum_cost * factor, last_px_ticks=output.last_px_ticks * factor
        )
    if isinstance(output, AccountUpdate):
        position = output.position
        if position is None or position.symbol != symbol:
            return output
        return output._replace(position=position._replace(cost=position.cost * factor))
    if getattr(output, "symbol", "") != symbol:
        return output
    if isinstance(output, DepthChange):
        changes = [change._replace(px_ticks=change.px_ticks * factor) for change in output.changes]
        return output._replace(changes=changes)
    if isinstance(output, BestChange):
        bid, bid_lots, ask, ask_lots = output.touch
        return output._replace(touch=(bid * factor, bid_lots, ask * factor, ask_lots))
    if isinstance(output, Trade):
        return output._replace(px_ticks=output.px_ticks * factor)
    if isinstance(output, MarkUpdate):
        return output._replace(
            mark_px_ticks=output.mark_px_ticks * factor,
            index_px_ticks=output.index_px_ticks * factor,
        )
    return output
