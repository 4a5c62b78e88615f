"""What a venue says of an account before anything is built on it, and what is refused then."""

import difflib
from collections.abc import Iterable
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

from engine import clock
from engine.errors import EXIT_UNSAFE, EXIT_USAGE, TickmakerError
from engine.gateway.rest import VenueError
from engine.live import unfit
from engine.live.instrument import LiveInstrument
from engine.live.stage import STEP_DEADLINE_S, each, patient
from engine.venues.base import Call, Instrument, Setting, Urgency
from engine.venues.hosts import host_of, is_loopback, is_production
from fastcore.core_config import VENUES

if TYPE_CHECKING:
    from engine.live.account import LiveAccount

T = TypeVar("T")
FEES_AT_START = 8  # instruments of each kind
S_EACH = 2.0  # more of a step's deadline for every instrument: the address's budget holds us back


def step_s(account: "LiveAccount") -> float:
    """A deadline for a step that begins now."""
    return STEP_DEADLINE_S + S_EACH * len(account.instruments) + held_s(account, 1)


def held_s(account: "LiveAccount", weight: int, urgency: Urgency = Urgency.NORMAL) -> float:
    """How long the address's budget holds us back already: a start soon after another finds most
    of it spent, and need not fail for that."""
    return account.rest.budget.wait_ns(weight, urgency, clock.monotonic_ns()) / 1e9


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
                f"{name} is {host_of(url)}, a production address: refused, no guardian process "
                "runs beside the engine",
                "use the local exchange, or the venue's testnet or demo",
                EXIT_UNSAFE,
            )


def refuse_others(urls: Iterable[tuple[str, str]]) -> None:
    """Of a paper run: nothing that it sends may leave this host."""
    for name, url in urls:
        if not is_loopback(url):
            raise TickmakerError(
                f"{name} is {host_of(url)}: a paper run trades on this host only",
                "start it with tickmaker run --paper", EXIT_UNSAFE,
            )  # fmt: skip


async def read_facts(account: "LiveAccount") -> None:
    """Clock, instruments, fees, key, settings: in this order, each a visible step."""
    step, name = account.stage.step, account.name
    await account.rest.open()
    await step("clock in step with the venue", account.clock.sync(), account=name)
    await step("instrument filters read", _read_instruments(account), step_s(account),
               account=name)  # fmt: skip
    await step("fees read", _read_fees(account), step_s(account), account=name)
    await step("key rights checked", _check_key(account), step_s(account), account=name)
    await step("account set up", _set_up(account), step_s(account), account=name)


# -- INSTRUMENTS, FEES ---


async def _read_instruments(account: "LiveAccount") -> None:
    """Per category of the venue; unknown ones are named with their neighbours."""

    def category(instrument: LiveInstrument) -> str:
        return VENUES[instrument.config.core.venue].category

    for key, members in groupby(sorted(account.instruments, key=category), key=category):
        group = list(members)
        call = account.adapter.instruments([instrument.symbol for instrument in group], key)
        told = await _asked(account, call)
        for instrument in group:
            if instrument.symbol not in told:
                raise _unknown(instrument, told)
            instrument.traded = told[instrument.symbol]
            unfit.refuse(unfit.of_instrument(instrument.config, instrument.traded))


def _unknown(instrument: LiveInstrument, told: dict[str, Instrument]) -> TickmakerError:
    near = difflib.get_close_matches(instrument.symbol, told, n=3, cutoff=0.5)
    return TickmakerError(
        f"symbol {instrument.symbol!r} is unknown at {instrument.config.core.venue}",
        f"did you mean {', '.join(near)}?" if near else "the venue lists no similar name",
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
    rates = await _asked(account, call)
    unfit.refuse(unfit.of_fees(instrument.key, instrument.config.core.fees, rates))


async def _asked(account: "LiveAccount", call: Call[T]) -> T:
    return await patient(lambda: account.rest.call(call))


# -- KEY, ACCOUNT ---


async def _check_key(account: "LiveAccount") -> None:
    call = account.adapter.key_facts()
    if call is None:
        return
    facts = await _asked(account, call)
    unfit.refuse(unfit.of_key(account.config, facts))
    # A paper exchange's key was made up for this run.
    if facts.is_address_bound is False and account.stage.config.kind != "paper":
        account.emit(
            "warning", what=f"the key of account {account.name} {unfit.UNBOUND}",
            remedy="a local exchange's keys are worth nothing; a venue's would be refused",
        )  # fmt: skip


async def _set_up(account: "LiveAccount") -> None:
    adapter, wanted = account.adapter, account.config.wanted
    call = adapter.account_facts()
    if call is not None:
        unfit.refuse(unfit.of_account(account.name, await _asked(account, call)))
    asked = unfit.wanted_of(wanted)
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
        await _asked(account, setting.call)
    except VenueError as error:
        if not setting.is_done(error.failure):
            raise TickmakerError(
                f"account {account.name}: {setting.what}: {error.what}", error.remedy
            ) from None
    account.stage.say_step(setting.what, started_ns, account=account.name)
