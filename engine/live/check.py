"""What `tickmaker check` finds out: would this configuration start, and can it be kept?

Without asking anybody: every core's own check, and the plan against documented limits. Asking the
venues as a start-up would, and opening each kind of connection once, it changes nothing there:
settings are left as they are.
"""

import asyncio
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.config import AccountConfig, InstrumentConfig
from engine.config_file import LoadedConfig, config_sha256, limits_sha256
from engine.errors import TickmakerError
from engine.execution import advice, hedge_rules
from engine.execution.planner import VenueFacts, among, documented, plan, venue_facts
from engine.gateway.budget import Hosts
from engine.gateway.clocksync import ClockSync
from engine.gateway.listing import listed
from engine.gateway.rest import RestClient, UnreachableError
from engine.live import try_links, unfit
from engine.live.coins import shared_coins
from engine.live.lock import is_held, key_mark, same_keys
from engine.strategies import compiled, configured
from engine.venues import adapter as adapter_of
from engine.venues.base import AccountFacts, Adapter, FeeRates, Instrument, KeyFacts
from engine.venues.hosts import host_of, is_local
from fastcore.core_config import VENUES, check

ACCOUNT_DEADLINE_S = 30.0
AS_THE_VENUE = "Write it as the venue does, such as BTCUSDT."
_NOBODY = "offline"  # key and secret of an adapter that is asked for weights only


@dataclass(slots=True)
class Asked:
    """What one account's venue said; nothing of it where nobody asked."""

    instruments: dict[str, Instrument] = field(default_factory=dict)  # by InstrumentConfig.key
    fees: dict[str, FeeRates] = field(default_factory=dict)
    key: KeyFacts | None = None
    account: AccountFacts | None = None
    round_trip_ms: float | None = None
    problems: list[str] = field(default_factory=list)


def check_offline(loaded: LoadedConfig) -> dict[str, Any]:
    """As a document for people and programs; `problems` is empty where it can be kept."""
    config = loaded.config
    asked = {
        account.name: Asked({
            one.key: documented(one.core.venue, one.core.symbol)
            for one in config.instruments_of(account)
        })
        for account in config.accounts
    }  # fmt: skip
    return _document(loaded, asked, is_offline=True)


def check_online(loaded: LoadedConfig) -> dict[str, Any]:
    """The same with the venues' word. TickmakerError where one can't be asked."""
    return asyncio.run(_check_online(loaded))


async def _check_online(loaded: LoadedConfig) -> dict[str, Any]:
    config, shared = loaded.config, Hosts()
    asked = {}
    for account in config.accounts:  # one after the other: of one host they share its weight
        credential = loaded.credentials[account.name]
        adapter = adapter_of(account, credential.api_key, credential.secret)
        rng = random.Random(account.name)
        budget = shared.budget(account.rest_url, adapter)
        rest = RestClient(adapter, account.rest_url, budget, rng=rng, ca_file=account.ca_file)
        try:
            async with asyncio.timeout(ACCOUNT_DEADLINE_S):
                await rest.open()
                told = await _ask(rest, adapter, account, config.instruments_of(account), rng)
                asked[account.name] = told
                told.problems += await try_links.problems_of(
                    account, (credential.api_key, credential.secret), rest,
                    list(told.instruments.values()),
                )
        except UnreachableError as error:
            if is_local(account.rest_url):
                raise TickmakerError(
                    f"account {account.name}: {error.what}",
                    "The local exchange may still be starting, or is not running at all: it "
                    "listens when it has written its ready line.",
                ) from None
            error.name_account(account.name)
            raise
        except TickmakerError as error:
            error.name_account(account.name)
            raise
        except TimeoutError:
            raise TickmakerError(
                f"account {account.name}: {host_of(account.rest_url)} did not answer all in "
                f"{ACCOUNT_DEADLINE_S:.0f} s",
                "Try again; if it stays so, look at the network.",
            ) from None
        finally:
            await rest.close()
        if is_held(config.state_dir, account.name):
            asked[account.name].problems.append(
                f"{account.name}: another engine holds this account. Stop that one first: `run` "
                "would be refused."
            )
    return _document(loaded, asked, is_offline=False)


# -- THE VENUE'S WORD ---


async def _ask(
    rest: RestClient, adapter: Adapter, account: AccountConfig, own: Sequence[InstrumentConfig],
    rng: random.Random,
) -> Asked:  # fmt: skip
    asked = Asked()
    clock = ClockSync(rest, adapter, lambda _: None, rng=rng, emit=lambda *_, **__: None)
    await clock.sync()
    asked.round_trip_ms = round(clock.round_trip_ns / 1e6, 3)
    for category in sorted({VENUES[one.core.venue].category for one in own}):
        members = [one for one in own if VENUES[one.core.venue].category == category]
        hints: dict[str, str] = {}
        symbols = [one.core.symbol for one in members]
        told = await listed(rest, adapter, symbols, category, hints)
        for one in members:
            if one.core.symbol in told:
                asked.instruments[one.key] = told[one.core.symbol]
            else:
                asked.problems.append(f"{one.key}: {one.core.venue} has no {one.core.symbol}. "
                                      + hints.get(one.core.symbol, AS_THE_VENUE))
    settings = unfit.of_settings(adapter, account.wanted, asked.instruments.values())
    asked.problems += [f"{account.name}: {_text(error)}" for error in settings]
    for key, instrument in asked.instruments.items():
        asked.fees[key] = await rest.call(adapter.fees(instrument))
    if (key_call := adapter.key_facts()) is not None:
        asked.key = await rest.call(key_call)
    if (account_call := adapter.account_facts()) is not None:
        asked.account = await rest.call(account_call)
    return asked


def _told_problems(account: AccountConfig, own: Sequence[InstrumentConfig],
                   asked: Asked) -> Iterator[str]:  # fmt: skip
    """What a start-up would refuse of what the venue said."""
    yield from asked.problems
    refused: list[TickmakerError] = []
    if asked.key is not None:
        refused += unfit.of_key(account, asked.key)
    if asked.account is not None:
        refused += unfit.of_account(account.name, asked.account)
    for one in own:
        if one.key in asked.instruments:
            refused += unfit.of_instrument(one, asked.instruments[one.key])
        if one.key in asked.fees:
            refused += unfit.of_fees(one.key, one.core.fees, asked.fees[one.key])
    yield from map(_text, refused)


def _text(error: TickmakerError) -> str:
    what = error.what.removeprefix("Configuration: ")
    return f"{what}. {error.remedy[:1].upper()}{error.remedy[1:]}."


# -- WHAT FOLLOWS ---


def _document(
    loaded: LoadedConfig, asked: Mapping[str, Asked], *, is_offline: bool
) -> dict[str, Any]:
    config, keys = loaded.config, loaded.credentials
    problems = same_keys({
        one.name: key_mark(one.venue, one.rest_url, keys[one.name].api_key)
        for one in config.accounts if one.name in keys
    })  # fmt: skip
    if config.cpu is not None and config.cpu not in (cpus := os.sched_getaffinity(0)):
        told = ", ".join(map(str, sorted(cpus)))
        problems.append(f"cpu is {config.cpu}, but this process may use {told}. Take one of them.")
    traded: dict[str, Instrument] = {}
    facts: dict[str, VenueFacts] = {}
    for account in config.accounts:
        of_account, own = asked[account.name], config.instruments_of(account)
        problems += list(_told_problems(account, own, of_account))
        problems += shared_coins(of_account.instruments, account.wanted.fee_discount)
        traded |= of_account.instruments
        known = [of_account.instruments[one.key] for one in own
                 if one.key in of_account.instruments]  # fmt: skip
        adapter = adapter_of(account, _NOBODY, _NOBODY)
        facts[account.name] = venue_facts(adapter, known, among(config, account))
    problems += [text for one in config.instruments if one.key in traded
                 for text in _core_problems(one, traded[one.key])]  # fmt: skip
    problems += hedge_rules.problems(config, traded)
    planned = None
    if len(traded) == len(config.instruments):
        planned = plan(config, traded, facts)
        problems += planned.problems
    problems += [f"{one.key}: {text}" for one in config.instruments
                 for text in advice.problems_of_params(one.core.limits, one.core.params)]
    return {
        "is_kept": not problems,
        "problems": problems,
        "warnings": advice.warnings(config),
        "is_offline": is_offline,
        "config_sha256": config_sha256(config),
        "limits_sha256": limits_sha256(config),
        "accounts": [_account_row(account, asked[account.name]) for account in config.accounts],
        "instruments": [
            _instrument_row(one, traded.get(one.key), asked[one.account].fees.get(one.key),
                            is_offline) for one in config.instruments
        ],
        "plan": None if planned is None else planned.as_dict(),
    }  # fmt: skip


def _core_problems(one: InstrumentConfig, instrument: Instrument) -> Iterator[str]:
    """The core's own check, with what only the venue can tell."""
    table = one.core.model_dump(exclude_none=True) | {
        "tick": instrument.tick, "lot": instrument.lot,
        "assets": {"base": instrument.base, "quote": instrument.quote},
    }  # fmt: skip
    user = None
    try:
        if one.strategy_file is not None:
            user = compiled(one.core.strategy, one.strategy_file)
            table = configured(table, user)
        check(table, user)
    except ValueError as e:
        yield f"{one.key}: {e}"


def _account_row(account: AccountConfig, asked: Asked) -> dict[str, Any]:
    key, facts = asked.key, asked.account
    return {
        "name": account.name,
        "venue": account.venue,
        "host": host_of(account.rest_url),
        "key_from": account.credential["kind"],
        "round_trip_ms": asked.round_trip_ms,
        "key_may_trade": None if key is None else key.can_trade,
        "key_may_withdraw": None if key is None else key.can_withdraw,
        "key_is_address_bound": None if key is None else key.is_address_bound,
        "position_mode": None if facts is None else facts.position_mode,
        "margin_mode": None if facts is None else facts.margin_mode,
    }


def _instrument_row(
    one: InstrumentConfig, instrument: Instrument | None, rates: FeeRates | None, is_offline: bool
) -> dict[str, Any]:
    row: dict[str, Any] = {"key": one.key, "strategy": one.core.strategy}
    if not is_offline and instrument is not None:
        row |= {"tick": instrument.tick, "lot": instrument.lot,
                "is_trading": instrument.is_trading}  # fmt: skip
    if rates is not None:
        row |= {"maker_bp": rates.maker_ppm / 100, "taker_bp": rates.taker_ppm / 100}
    return row
