"""What a venue says of an account before anything is built on it, and what is refused then."""

import difflib
from collections.abc import Iterable
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, Any

from engine import clock
from engine.errors import EXIT_UNSAFE, EXIT_USAGE, TickmakerError
from engine.gateway.rest import VenueError
from engine.live.instrument import LiveInstrument
from engine.live.stage import STEP_DEADLINE_S, each, patient
from engine.venues.base import Instrument, KeyFacts, Setting, Wanted
from engine.venues.hosts import is_local, is_loopback, is_production
from fastcore.core_config import VENUES

if TYPE_CHECKING:
    from engine.live.account import LiveAccount

UNBOUND = "is not bound to an address"
FEES_AT_START = 8  # instruments of each kind
S_EACH = 2.0  # more of a step's deadline for every instrument: the address's budget holds us back


def step_s(account: "LiveAccount") -> float:
    return STEP_DEADLINE_S + S_EACH * len(account.instruments)


def refuse_production(urls: Iterable[tuple[str, str]]) -> None:
    """`urls` are (name, URL). Real money needs a guardian process beside the engine."""
    for name, url in urls:
        try:
            is_refused = is_production(url)
        except ValueError as error:
            raise TickmakerError(
                f"Configuration: {name}: {error}", "correct it", EXIT_USAGE
            ) from None
        if is_refused:
            raise TickmakerError(
                f"{name} is {_host(url)}, a production address: refused, no guardian process "
                "runs beside the engine",
                "use the local exchange, or the venue's testnet or demo",
                EXIT_UNSAFE,
            )


def refuse_others(urls: Iterable[tuple[str, str]]) -> None:
    """Of a paper run: nothing that it sends may leave this host."""
    for name, url in urls:
        if not is_loopback(url):
            raise TickmakerError(
                f"{name} is {_host(url)}: a paper run trades on this host only",
                "start it with tickmaker run --paper", EXIT_UNSAFE,
            )  # fmt: skip


def _host(url: str) -> str:
    from engine.venues.hosts import host_of

    return host_of(url)


async def read_facts(account: "LiveAccount") -> None:
    """Clock, instruments, fees, key, settings: in this order, each a visible step."""
    step, name = account.stage.step, account.name
    await account.rest.open()
    account.is_rest_up = True
    seconds = step_s(account)
    await step("clock in step with the venue", account.clock.sync(), account=name)
    await step("instrument filters read", _read_instruments(account), seconds, account=name)
    await step("fees read", _read_fees(account), seconds, account=name)
    await step("key rights checked", _check_key(account), account=name)
    await step("account set up", _set_up(account), seconds, account=name)


# -- INSTRUMENTS, FEES ---


async def _read_instruments(account: "LiveAccount") -> None:
    """Per category of the venue; unknown ones are named with their neighbours."""

    def category(instrument: LiveInstrument) -> str:
        return VENUES[instrument.config.core.venue].category

    for key, members in groupby(sorted(account.instruments, key=category), key=category):
        group = list(members)
        told = await account.rest.call(
            account.adapter.instruments([instrument.symbol for instrument in group], key)
        )
        for instrument in group:
            if instrument.symbol not in told:
                raise _unknown(instrument, told)
            instrument.traded = told[instrument.symbol]
            _check_traded(instrument)


def _unknown(instrument: LiveInstrument, told: dict[str, Instrument]) -> TickmakerError:
    near = difflib.get_close_matches(instrument.symbol, told, n=3, cutoff=0.5)
    return TickmakerError(
        f"symbol {instrument.symbol!r} is unknown at {instrument.config.core.venue}",
        f"did you mean {', '.join(near)}?" if near else "the venue lists no similar name",
        EXIT_USAGE,
    )


def _check_traded(instrument: LiveInstrument) -> None:
    """Our limits must lie inside the venue's: refuse what could only fail later."""
    traded, limits = instrument.traded, instrument.config.core.limits
    if not traded.is_trading:
        raise TickmakerError(
            f"symbol {traded.symbol} is not trading at {traded.venue}",
            "choose another symbol, or wait until the venue trades it",
        )
    pairs = (
        ("qty_lots_max", limits.qty_lots_max, int(traded.qty_max / Decimal(traded.lot))),
        ("orders_per_10s_max", limits.orders_per_10s_max, traded.orders_per_10s_max),
        ("orders_per_min_max", limits.orders_per_min_max, traded.orders_per_min_max),
        ("messages_per_s_max", limits.messages_per_s_max, traded.orders_per_s_max),
        ("open_orders_max", limits.open_orders_max, traded.open_orders_max),
    )
    for name, ours, theirs in pairs:
        if theirs is not None and ours > theirs:
            raise TickmakerError(
                f"Configuration: {instrument.key}: core.limits.{name} is {ours}, over the "
                f"venue's {theirs}",
                f"lower core.limits.{name}",
                EXIT_USAGE,
            )


def check_size(instrument: LiveInstrument) -> None:
    """Would the venue refuse an order of the configured size as too small? Needs a book."""
    traded, qty_lots = instrument.traded, instrument.config.core.params.get("qty_lots")
    if qty_lots is None:
        return
    px_ticks = instrument.core.numbers()["bid_px_ticks"]
    qty = Decimal(qty_lots) * Decimal(traded.lot)
    notional = qty * px_ticks * Decimal(traded.tick)
    if qty < traded.qty_min or notional < traded.notional_min:
        raise TickmakerError(
            f"Configuration: {instrument.key}: params.qty_lots is {qty_lots:g}, {notional:.2f} in "
            f"the quote asset: {traded.symbol} orders are {traded.qty_min} and "
            f"{traded.notional_min} up",
            "raise params.qty_lots",
            EXIT_USAGE,
        )


async def _read_fees(account: "LiveAccount") -> None:
    """Of some instruments of each kind: rates are an account's, seldom a symbol's, and a question
    is dear (Binance: weight 20). The others are asked for while it trades."""
    kinds: dict[tuple[str, str], list[LiveInstrument]] = {}
    for instrument in account.instruments:
        kind = instrument.traded.venue, instrument.traded.quote
        kinds.setdefault(kind, []).append(instrument)
    first = [instrument for group in kinds.values() for instrument in group[:FEES_AT_START]]
    await each([read_fee(account, instrument) for instrument in first])
    account.fees_left = [i for i in account.instruments if i not in first]


async def read_fee(account: "LiveAccount", instrument: LiveInstrument) -> None:
    """TickmakerError where the strategy reckons with better fees than the venue's."""
    call = account.adapter.fees(instrument.traded)
    instrument.check_fees(await patient(lambda: account.rest.call(call)))


# -- KEY, ACCOUNT ---


async def _check_key(account: "LiveAccount") -> None:
    call = account.adapter.key_facts()
    if call is None:
        return
    facts = await account.rest.call(call)
    problem = _key_problem(facts)
    if not problem or (problem == UNBOUND and account.stage.config.kind == "paper"):
        return  # a paper exchange's key was made up for this run
    if problem != UNBOUND or not is_local(account.config.rest_url):
        raise TickmakerError(
            f"the key of account {account.name} {problem}",
            "make a key that may trade and read, may not withdraw, and is bound to this host's "
            "address",
            EXIT_UNSAFE,
        )
    account.emit("warning", what=f"the key of account {account.name} {problem}",
                 remedy="a local exchange's keys are worth nothing; a venue's would be refused")


def _key_problem(facts: KeyFacts) -> str:
    if facts.can_withdraw:
        return "may withdraw"
    if facts.can_trade is False:
        return "may not trade"
    if facts.is_address_bound is False:
        return UNBOUND
    return ""


async def _set_up(account: "LiveAccount") -> None:
    adapter, rest, wanted = account.adapter, account.rest, account.config.wanted
    call = adapter.account_facts()
    if call is not None:
        facts = await rest.call(call)
        if not facts.can_trade:
            raise TickmakerError(
                f"account {account.name} may not trade", "see its state at the venue", EXIT_UNSAFE
            )
        if facts.position_mode not in (None, "one_way"):
            raise TickmakerError(
                f"account {account.name} is in {facts.position_mode} mode",
                "close its positions and switch it to one-way mode",
                EXIT_USAGE,
            )
        if facts.is_multi_assets:
            raise TickmakerError(
                f"account {account.name} is in multi-assets mode: one margin of several assets, "
                "while limits and exposure are counted in the quote asset alone",
                "close its positions and switch it to single-asset mode",
                EXIT_USAGE,
            )
    asked = Wanted(wanted.margin_mode, wanted.leverage, wanted.fee_discount, wanted.stp)
    done: set[Any] = set()
    for instrument in account.instruments:
        for setting in adapter.settings(asked, instrument.traded):
            mark = setting.call.method, setting.call.path, tuple(setting.call.params.items())
            if mark not in done:
                done.add(mark)
                await _bring_about(account, setting)


async def _bring_about(account: "LiveAccount", setting: Setting) -> None:
    started_ns = clock.monotonic_ns()
    try:
        await account.rest.call(setting.call)
    except VenueError as error:
        if not setting.is_done(error.failure):
            raise TickmakerError(
                f"account {account.name}: {setting.what}: {error.what}", error.remedy
            ) from None
    account.stage.say_step(setting.what, started_ns, account=account.name)
