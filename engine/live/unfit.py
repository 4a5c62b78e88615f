"""What a start refuses of a venue's word on account and instruments; `tickmaker check` says the
same before. Pure; the remedies' first letters are small, as in every error of a start."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from engine.config import AccountConfig, Fees, InstrumentConfig, WantedAccount
from engine.errors import EXIT_UNSAFE, EXIT_USAGE, TickmakerError
from engine.venues.base import AccountFacts, Adapter, FeeRates, Instrument, KeyFacts, Wanted
from engine.venues.hosts import is_local

UNBOUND = "is not bound to an address"
PPM_PER_BP = 100


def refuse(problems: Iterable[TickmakerError]) -> None:
    """The first of them, if there is one."""
    for problem in problems:
        raise problem


def of_key(account: AccountConfig, facts: KeyFacts) -> Iterator[TickmakerError]:
    """A local exchange's keys are worth nothing, so there they need no address."""
    told = (
        ("may withdraw", facts.can_withdraw),
        ("may not trade", facts.can_trade is False),
        (UNBOUND, facts.is_address_bound is False and not is_local(account.rest_url)),
    )
    for what, is_so in told:
        if is_so:
            yield TickmakerError(
                f"the key of account {account.name} {what}",
                "make a key that may trade and read, may not withdraw, and is bound to this "
                "host's address",
                EXIT_UNSAFE,
            )


def of_account(name: str, facts: AccountFacts) -> Iterator[TickmakerError]:
    if not facts.can_trade:
        yield TickmakerError(
            f"account {name} may not trade", "see its state at the venue", EXIT_UNSAFE
        )
    if facts.position_mode not in (None, "one_way"):
        yield TickmakerError(
            f"account {name} is in {facts.position_mode} mode",
            "close its positions and switch it to one-way mode",
            EXIT_USAGE,
        )


def wanted_of(wanted: WantedAccount) -> Wanted:
    return Wanted(wanted.margin_mode, wanted.leverage, wanted.fee_discount, wanted.stp)


def of_settings(
    adapter: Adapter, wanted: WantedAccount, traded: Iterable[Instrument]
) -> Iterator[TickmakerError]:
    """What the venue can't be brought to; the adapter has been told of the instruments."""
    for instrument in traded:
        try:
            adapter.settings(wanted_of(wanted), instrument)
        except TickmakerError as error:
            yield error


def of_instrument(one: InstrumentConfig, traded: Instrument) -> Iterator[TickmakerError]:
    """Our limits must lie inside the venue's: refuse what could only fail later."""
    if not traded.is_trading:
        yield TickmakerError(
            f"symbol {traded.symbol} is not trading at {traded.venue}",
            "choose another symbol, or wait until the venue trades it",
        )
    limits = one.core.limits
    pairs = (
        ("qty_lots_max", limits.qty_lots_max, int(traded.qty_max / Decimal(traded.lot))),
        ("orders_per_10s_max", limits.orders_per_10s_max, traded.orders_per_10s_max),
        ("orders_per_min_max", limits.orders_per_min_max, traded.orders_per_min_max),
        ("messages_per_s_max", limits.messages_per_s_max, traded.orders_per_s_max),
        ("open_orders_max", limits.open_orders_max, traded.open_orders_max),
    )
    for name, ours, theirs in pairs:
        if theirs is not None and ours > theirs:
            yield TickmakerError(
                f"Configuration: {one.key}: limits.{name} is {ours}, over the venue's {theirs}",
                f"lower limits.{name}",
                EXIT_USAGE,
            )


def of_fees(key: str, fees: Fees, rates: FeeRates) -> Iterator[TickmakerError]:
    """What the strategy reckons with must not be better than what the venue takes."""
    for name, ours_bp, theirs_ppm in (
        ("maker_bp", fees.maker_bp, rates.maker_ppm),
        ("taker_bp", fees.taker_bp, rates.taker_ppm),
    ):
        if round(ours_bp * PPM_PER_BP) < theirs_ppm:
            theirs_bp = f"{theirs_ppm / PPM_PER_BP:g}"
            yield TickmakerError(
                f"Configuration: {key}: fees.{name} is {ours_bp:g}, but the venue takes "
                f"{theirs_bp}",
                f"raise fees.{name} to {theirs_bp}",
                EXIT_USAGE,
            )
