"""Whether what a configuration asks for can be kept within what its venues allow: pure.

A venue limits orders by the account, requests and connections by the address; some switches are
kept alive for each symbol. The limits of the configuration are divided over instruments by whoever
wrote it: here the sums are held against the account's limits, and those against the venue's.

What an engine asks for all the time (comparisons, clock, dead-man switch) must leave most of an
address's weight free, because when every connection is lost at once all of it is asked for again.
That costs a known sum, and a time that is stated, with the longest that is still acceptable.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine.config import AccountConfig, EngineConfig, InstrumentConfig
from engine.venues.base import Adapter, Call, Instrument
from engine.venues.bybit_rows import OPEN_ORDERS_MAX, ORDERS_PER_S_MAX
from engine.venues.hosts import host_of

COMPARE_EVERY_S = 30.0  # every instrument with its venue (live/reconciler.py), or seldomer:
COMPARE_SHARE = 0.2  # it may spend so much of an address's weight
COMPARE_S_MAX = 300.0  # a divergence that stays unseen for longer is no comparison
DEAD_MAN_RENEW_SHARE = 1 / 3  # of its time, from one renewal to the next (gateway/deadman.py)
CLOCK_WEIGHT_PER_MIN = 10.0  # five samples every 30 s (gateway/clocksync.py)
FEEDS_MAX = 8  # market connections of an account and category: more instruments share them
# Of an address's weight (gateway/budget.py): most of it is for what is urgent; and of snapshots.
STEADY_SHARE = 0.5
SNAPSHOT_SHARE = 1 / 3
RECONCILE_PASSES = 3  # until both sides agree, in a bad hour
RECOVERY_MIN_MAX = 10.0  # after a loss of everything: longer is no recovery
# Handshakes that an address may begin in 5 minutes. Binance: "300 connections per attempt every 5
# minutes per IP" (of spot; taken for USD-M as well, unverified). Bybit: 500 per 5 minutes.
ATTEMPTS_PER_5_MIN = {"binance_usdm": 300, "binance_spot": 300, "bybit": 500}
# Until the venue was asked (its exchangeInfo tells): "LIMITS" of either documentation's samples.
_DOCUMENTED = {
    "binance_usdm": {
        "orders_per_10s_max": 300, "orders_per_min_max": 1_200, "open_orders_max": 200,
    },
    "binance_spot": {"orders_per_10s_max": 50, "open_orders_max": 200},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class VenueFacts:
    """What one account costs its address. All weights are of all its instruments together."""

    weight_per_min: int  # of the address
    snapshot_weight: int  # a snapshot of each; 0: they come in the stream
    reconcile_weight: int  # one pass: open orders, trades, positions
    cancel_weight: int  # cancel all of each
    dead_man_weight: int  # one renewal
    has_dead_man: bool
    market_instruments_max: int  # of one connection
    recovery_s: float  # a cancel of all and the passes after it, by the account's own limits


@dataclass(frozen=True, slots=True)
class Row:
    """Something that is used up: of whom, how much is wanted, how much there is."""

    what: str
    of: str  # an account's, an address's or an instrument's name
    wanted: float
    there_is: float | None  # None: nobody limits it, or it was not told; a fact to know
    remedy: str = ""

    @property
    def is_kept(self) -> bool:
        return self.there_is is None or self.wanted <= self.there_is

    @property
    def problem(self) -> str:
        return (
            f"{self.of}: {self.what}: {_number(self.wanted)} wanted, there are "
            f"{_number(self.there_is or 0)}. {self.remedy}"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    rows: tuple[Row, ...]
    problems: tuple[str, ...]  # none: it can be kept

    def as_dict(self) -> dict[str, Any]:
        return {
            "rows": [
                {"what": row.what, "of": row.of, "wanted": row.wanted, "there_is": row.there_is,
                 "is_kept": row.is_kept}
                for row in self.rows
            ],
            "problems": list(self.problems),
        }  # fmt: skip


def plan(
    config: EngineConfig,
    instruments: Mapping[str, Instrument],  # by InstrumentConfig.key
    facts: Mapping[str, VenueFacts],  # by account's name
) -> Plan:
    """Every row, and a problem for each that is not kept."""
    rows: list[Row] = []
    problems: list[str] = []
    for account in config.accounts:
        own = [one for one in config.instruments if one.account == account.name]
        rows += _order_rows(account, own, instruments)
        rows.append(Row(
            "seconds of a recovery, at the venue's pace", account.name,
            facts[account.name].recovery_s, 60 * RECOVERY_MIN_MAX,
            "Trade fewer instruments on this account.",
        ))  # fmt: skip
        for one in own:
            rows += _instrument_rows(one, instruments[one.key], len(own))
        if account.dead_man_s and not facts[account.name].has_dead_man:
            problems.append(
                f"{account.name}: {account.venue} has no dead-man switch. Set dead_man_s = 0, and "
                "know that orders rest when this host dies."
            )
        quotes = {instruments[one.key].quote for one in own}
        if len(quotes) > 1:
            problems.append(
                f"{account.name}: its instruments are worth {' and '.join(sorted(quotes))}, but "
                "its exposure is one sum. Use an account for each."
            )
    for address, accounts in _addresses(config.accounts).items():
        rows += _address_rows(address, accounts, config, facts)
    problems += [row.problem for row in rows if not row.is_kept]
    return Plan(tuple(rows), tuple(problems))


def among(config: EngineConfig, account: AccountConfig) -> int:
    """Instruments that share the weight of the account's address."""
    sharing = {
        one.name for one in config.accounts
        if (one.venue, host_of(one.rest_url)) == (account.venue, host_of(account.rest_url))
    }  # fmt: skip
    return sum(one.account in sharing for one in config.instruments)


def venue_facts(
    adapter: Adapter, instruments: Sequence[Instrument], among_all: int = 0
) -> VenueFacts:
    """What the adapter's calls weigh, for these instruments of its account; `among_all`
    instruments share its address's weight (0: these)."""
    snapshot_weight = dead_man_weight = 0
    asked: list[Call[Any]] = []
    pulled: list[Call[None]] = []
    for venue in sorted({instrument.venue for instrument in instruments}):
        alike = [instrument for instrument in instruments if instrument.venue == venue]
        asked.append(adapter.positions(alike))
        if adapter.has_dead_man:
            dead_man_weight += sum(call.weight for call in adapter.dead_man(alike, 60_000))
    for instrument in instruments:
        conditional = adapter.open_conditional(instrument)
        snapshot = adapter.snapshot(instrument, among_all or len(instruments))
        asked += [adapter.open_orders(instrument), adapter.trades(instrument, 0)]
        asked += [] if conditional is None else [conditional]
        snapshot_weight += 0 if snapshot is None else snapshot.weight
        pulled += adapter.cancel_all(instrument)
    reconcile_weight = sum(call.weight for call in asked)
    cancel_weight = sum(call.weight for call in pulled)
    return VenueFacts(
        weight_per_min=adapter.weight_per_min, snapshot_weight=snapshot_weight,
        reconcile_weight=reconcile_weight, cancel_weight=cancel_weight,
        dead_man_weight=dead_man_weight, has_dead_man=adapter.has_dead_man,
        market_instruments_max=adapter.market_instruments_max,
        recovery_s=_paced_s([*pulled, *RECONCILE_PASSES * asked]),
    )  # fmt: skip


def _paced_s(calls: Iterable[Call[Any]]) -> float:
    """How long the account's own limits make them take: kinds go side by side."""
    counts: Counter[tuple[str, int]] = Counter()
    for call in calls:
        if call.limit is not None:
            counts[call.limit.name, call.limit.per_s] += call.limit.count
    return max((count / per_s for (_, per_s), count in counts.items()), default=0.0)


def orders_per_s_each(instrument: Instrument, instrument_count: int) -> float:
    """Orders a second that the venue's limits leave each of n instruments of one account, for
    as long as one likes; infinite where the venue told of no limit."""
    return min(_venue_orders_per_s(instrument)) / instrument_count


def documented(venue: str, symbol: str) -> Instrument:
    """An instrument before its venue was asked: its documented limits, and a grid of ones, which
    stands for nothing. `venue` is the codec's."""
    if venue.startswith("bybit_"):
        category = venue.removeprefix("bybit_")
        limits: dict[str, int] = {
            "orders_per_s_max": ORDERS_PER_S_MAX[category], "open_orders_max": OPEN_ORDERS_MAX,
        }  # fmt: skip
    else:
        limits = _DOCUMENTED[venue]
    return Instrument(venue, symbol, "1", "1", Decimal(1), Decimal(2**32), Decimal(0), symbol, "",
                      **limits)  # type: ignore[arg-type]  # fmt: skip


def _venue_orders_per_s(instrument: Instrument) -> Iterator[float]:
    for count, window_s in (
        (instrument.orders_per_s_max, 1.0),
        (instrument.orders_per_10s_max, 10.0),
        (instrument.orders_per_min_max, 60.0),
    ):
        yield math.inf if count is None else count / window_s


# -- ORDERS OF AN ACCOUNT ---


def _order_rows(
    account: AccountConfig, own: Sequence[InstrumentConfig], instruments: Mapping[str, Instrument]
) -> Iterator[Row]:
    """Instruments' limits against their account's, and those against the venue's."""
    name = account.name
    of_account = own[0].core.limits  # account_* are the same in each
    for what, key in (
        ("orders in 10 s", "orders_per_10s_max"),
        ("orders in a minute", "orders_per_min_max"),
        ("messages in 1 s", "messages_per_s_max"),
        ("messages in a minute", "messages_per_min_max"),
    ):
        yield Row(
            f"{what}, all instruments", name,
            sum(getattr(one.core.limits, key) for one in own),
            getattr(of_account, f"account_{key}"),
            f"Lower the instruments' limits.{key}, or trade fewer.",
        )  # fmt: skip
    for what, key, told in (
        ("orders in 10 s, at the venue", "orders_per_10s_max",
         _least(instruments[one.key].orders_per_10s_max for one in own)),
        ("orders in a minute, at the venue", "orders_per_min_max",
         _least(instruments[one.key].orders_per_min_max for one in own)),
        # The venue counts new orders, amends and cancels apart: no second holds more of each.
        ("messages in 1 s, at the venue", "messages_per_s_max",
         _least(instruments[one.key].orders_per_s_max for one in own)),
    ):  # fmt: skip
        yield Row(
            what, name, getattr(of_account, f"account_{key}"), told,
            f"Lower the account's limits.{key} to what the venue allows.",
        )  # fmt: skip
    yield Row(
        "cancels to pull every order", name,
        sum(one.core.limits.open_orders_max for one in own), of_account.account_cancel_reserve,
        "Raise the account's limits.cancel_reserve, or lower open_orders_max.",
    )  # fmt: skip
    for what, key in (("messages kept for cancels", "cancel_reserve"),
                      ("orders kept for exits", "exit_reserve")):  # fmt: skip
        yield Row(
            what, name, max(getattr(one.core.limits, key) for one in own),
            getattr(of_account, f"account_{key}"),
            f"Raise the account's limits.{key} to the largest of its instruments'.",
        )  # fmt: skip


def _instrument_rows(
    one: InstrumentConfig, instrument: Instrument, instrument_count: int
) -> Iterator[Row]:
    limits = one.core.limits
    yield Row(
        "open orders, at the venue", one.key, limits.open_orders_max, instrument.open_orders_max,
        "Lower limits.open_orders_max.",
    )  # fmt: skip
    yield Row(
        "quoting messages in 1 s", one.key, one.core.quoting.messages_per_s_max,
        limits.messages_per_s_max, "Lower quoting.messages_per_s_max: the gate would deny them.",
    )  # fmt: skip
    capacity = orders_per_s_each(instrument, instrument_count)
    if math.isfinite(capacity):
        yield Row("orders a second that the venue leaves it", one.key, capacity, None)


def _least(counts: Iterable[int | None]) -> int | None:
    return min((count for count in counts if count is not None), default=None)


# -- WHAT AN ADDRESS CARRIES ---


def _addresses(accounts: Iterable[AccountConfig]) -> dict[str, list[AccountConfig]]:
    """Accounts by the host that they ask: it counts them all as one."""
    addresses: dict[str, list[AccountConfig]] = {}
    for account in accounts:
        addresses.setdefault(f"{account.venue} {host_of(account.rest_url)}", []).append(account)
    return addresses


def _address_rows(
    address: str, accounts: Sequence[AccountConfig], config: EngineConfig,
    facts: Mapping[str, VenueFacts],
) -> Iterator[Row]:  # fmt: skip
    of = [(account, facts[account.name]) for account in accounts]
    weight_per_min = min(fact.weight_per_min for _, fact in of)
    renewals = sum(
        fact.dead_man_weight * 60.0 / (account.dead_man_s * DEAD_MAN_RENEW_SHARE)
        for account, fact in of if account.dead_man_s
    )  # fmt: skip
    a_pass = sum(fact.reconcile_weight for _, fact in of)
    compares = min(a_pass * 60.0 / COMPARE_EVERY_S, weight_per_min * COMPARE_SHARE)
    clocks = CLOCK_WEIGHT_PER_MIN * len(of)
    fewer = "Trade fewer instruments from this address, or spread them over addresses."
    yield Row("weight a minute of dead-man renewals", address, renewals,
              weight_per_min * SNAPSHOT_SHARE, f"Raise dead_man_s. {fewer}")  # fmt: skip
    yield Row("weight a minute while it trades", address, renewals + compares + clocks,
              weight_per_min * STEADY_SHARE, fewer)  # fmt: skip
    yield Row("seconds between comparisons", address, a_pass * 60.0 / compares, COMPARE_S_MAX,
              fewer)  # fmt: skip
    snapshots = sum(fact.snapshot_weight for _, fact in of)
    rest = sum(fact.cancel_weight + RECONCILE_PASSES * fact.reconcile_weight for _, fact in of)
    yield Row("weight of a reconnect of everything", address, snapshots + rest, None)
    minutes = max(snapshots / SNAPSHOT_SHARE, snapshots + rest) / weight_per_min
    yield Row("minutes that its weight takes", address, minutes, RECOVERY_MIN_MAX, fewer)
    connections = sum(_connections(account, fact, config) for account, fact in of)
    yield Row("connections, opened at once", address, connections,
              ATTEMPTS_PER_5_MIN[accounts[0].venue], fewer)  # fmt: skip


def _connections(account: AccountConfig, fact: VenueFacts, config: EngineConfig) -> int:
    """Order entry, user data, and what market data takes."""
    counts: dict[str, int] = {}  # by category
    for one in config.instruments:
        if one.account == account.name:
            counts[one.core.venue] = counts.get(one.core.venue, 0) + 1
    market = sum(
        math.ceil(count / min(math.ceil(count / FEEDS_MAX), fact.market_instruments_max))
        for count in counts.values()
    )
    return 2 + account.feeds * market


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
