"""Which of some instruments a venue lists: one that is gone must not hide the others.

Binance Spot refuses a whole question for one unknown name in it, without saying which (-1121);
USD-M lists everything, and its adapter refuses the name; Bybit leaves it out. So where a list is
refused, each is asked for by itself.
"""

from collections.abc import Sequence

from engine.errors import EXIT_USAGE, TickmakerError
from engine.gateway.rest import RestClient, VenueError
from engine.venues.base import Adapter, Instrument


async def listed(
    rest: RestClient, adapter: Adapter, symbols: Sequence[str], category: str
) -> dict[str, Instrument]:
    """By symbol, those that the venue has. TickmakerError: it could not be asked."""
    try:
        return await rest.call(adapter.instruments(symbols, category))
    except TickmakerError as error:
        if not _is_refused(error):
            raise
    if len(symbols) == 1:
        return {}
    found: dict[str, Instrument] = {}
    for symbol in symbols:
        found |= await listed(rest, adapter, [symbol], category)
    return found


def _is_refused(error: TickmakerError) -> bool:
    """For what was asked, by the venue's own code; not for who asks, how often, or when."""
    if isinstance(error, VenueError):
        return error.failure.is_plain
    return error.exit_code == EXIT_USAGE
