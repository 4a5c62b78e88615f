"""Start-up, step by step: nothing is quoted before the last of them.

Locks, then what each venue says (accounts at the same time), then cores and journals; then, an
account at a time or together, what it holds is made ours: the end of the run before, what happened
since, what the venue says now. Only then books are synced and cores let go.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from engine import clock
from engine.config_file import config_sha256, limits_sha256
from engine.errors import EXIT_UNSAFE, EXIT_USAGE, TickmakerError
from engine.execution import hedge_rules
from engine.gateway.budget import SNAPSHOT_SHARE
from engine.gateway.edge import pin
from engine.gateway.parent import STEP_BUILT, STEP_LOOKED_BACK
from engine.live import takeover
from engine.live.account import LiveAccount
from engine.live.coins import is_spot, shared_coins
from engine.live.facts import (
    check_size,
    held_s,
    read_facts,
    refuse_others,
    refuse_production,
    step_s,
)
from engine.live.hedging import refuse_first
from engine.live.instrument import LiveInstrument
from engine.live.lock import same_keys
from engine.live.reconciler import lots_of
from engine.live.stage import Stage, each, patient
from engine.recorder.opening import opening_of
from engine.runs import write_config
from engine.venues.base import TradeRow, Urgency
from fastcore.journal import JournalOrder
from fastcore.types import Command, Halt, Side

BOOK_DEADLINE_S = 15.0
LEFTOVERS_S = 60.0  # more, for as long as it goes on: a venue lets few cancels go a second
NS_PER_MS = 1_000_000
OPENING_TRIES = 10
PREVIOUS_MARGIN_NS = 300_000_000_000  # the run before may have missed trades before its last one


class StartUp:
    """`run` once; TickmakerError where it can't go on."""

    def __init__(
        self, stage: Stage, accounts: Sequence[LiveAccount], instruments: Sequence[LiveInstrument]
    ) -> None:
        self.stage = stage
        self.accounts = accounts
        self.instruments = instruments
        self.changed = asyncio.Event()  # something cold happened
        self.on_built: Callable[[], None] = lambda: None

    async def run(self) -> None:
        config = self.stage.config
        for account in self.accounts:
            a = account.config
            urls = [
                (f"{a.name}: rest_url", a.rest_url),
                *((f"{a.name}: ws_url.{kind}", url) for kind, url in a.ws_url.items()),
            ]
            refuse_production(urls)
            if config.kind == "paper":
                refuse_others(urls)
        if config.cpu is not None:
            pin(config.cpu)
        for instrument in self.instruments:
            instrument.compile()
        self._lock()
        await each([read_facts(account) for account in self.accounts])
        traded = {instrument.key: instrument.traded for instrument in self.instruments}
        for problem in hedge_rules.problems(config, traded):
            raise TickmakerError(f"Configuration: {problem}", "correct it", EXIT_USAGE)
        for account in self.accounts:
            refuse_shared_coins(account)
            self._look_back(account)
        self._build()
        self.on_built()
        await each([self._own(account) for account in self.accounts])
        refuse_first(config, self.instruments)
        await each([self._connect(account) for account in self.accounts])
        self._let_go()

    # -- BEFORE CORES ---

    def _lock(self) -> None:
        for problem in same_keys({account.name: account.lock.mark for account in self.accounts}):
            raise TickmakerError(f"Configuration: {problem}", "correct it", EXIT_USAGE)
        for account in self.accounts:
            started_ns = clock.monotonic_ns()
            account.lock.take()
            self.stage.say_step("account locked", started_ns, account=account.name)

    def _look_back(self, account: LiveAccount) -> None:
        """How the run before ended; its ledger is brought up to date for that."""
        started_ns = clock.monotonic_ns()
        previous = account.lock.previous()
        if previous is None:
            return
        keys = [instrument.key for instrument in account.instruments]
        account.unread = dict(previous.unread)
        account.before = opening_of(previous.run_dir, keys, previous.unread)
        for instrument in account.instruments:
            instrument.previous = account.before.instruments.get(instrument.key)
        if self.stage.log is not None:
            now_ns = clock.monotonic_ns()
            _must(self.stage.log.previous_run(now_ns, account.name, previous.run_dir))
        self.stage.say_step(
            f"{STEP_LOOKED_BACK} ({previous.run_dir.name})", started_ns,
            account=account.name,
        )  # fmt: skip

    def _build(self) -> None:
        """Journals, cores, roles: everything between REST and the first socket."""
        started_ns, config = clock.monotonic_ns(), self.stage.config
        wall_ns = clock.wall_minus_monotonic_ns()
        document = config.model_dump(mode="json")
        for row, instrument in zip(document["instruments"], self.instruments, strict=True):
            row["core"] = instrument.configure()
        write_config(config.run_dir, document | {
            "kind": config.kind, "wall_minus_monotonic_ns": wall_ns,
            "config_sha256": config_sha256(config), "limits_sha256": limits_sha256(config),
        })  # fmt: skip
        order = JournalOrder()
        shared = {account.name: account.core_account() for account in self.accounts}
        keys = {account.name: account.adapter.order_credential() for account in self.accounts}
        for instrument in self.instruments:
            name = instrument.config.account
            instrument.build(order, shared[name], keys[name], wall_ns)
        for account in self.accounts:
            account.build()
        self.stage.say_step(STEP_BUILT, started_ns)

    # -- WHAT THE ACCOUNT HOLDS ---

    async def _own(self, account: LiveAccount) -> None:
        step, name = self.stage.step, account.name
        await step("opening position known", self._open(account), step_s(account), account=name)
        await step("USER connection up", account.connect(account.user), account=name)
        await takeover.wait_out(account)
        await step(
            "leftover orders cancelled", self._pull_leftovers(account),
            step_s(account) + LEFTOVERS_S, account=name,
        )
        apart = await step(
            "account agreed with the venue", account.reconciler.agree(), step_s(account),
            account=name,
        )
        await step("balances read", self._read_balances(account), account=name)
        account.note_run({instrument.key: instrument.since_ns for instrument in apart})
        if account.dead_man is not None:
            await step("dead-man switch armed", account.arm(), step_s(account), account=name)

    async def _pull_leftovers(self, account: LiveAccount) -> None:
        await account.pull.leftovers()
        await takeover.pull_dropped(account)

    async def _open(self, account: LiveAccount) -> None:
        """What each instrument held before this run: by our own ledger, and at the first start
        of an instrument by the venue's word."""
        fresh = []
        for instrument in account.instruments:
            previous = instrument.previous
            if previous is None:
                fresh.append(instrument)
                continue
            instrument.known_trades = {(trade, Side(side)) for trade, side in previous.booked}
            # A run that did not trade it may lie between: then since the one that opened it began.
            since_ns = (previous.last_trade_ts_ns or previous.began_ns) - PREVIOUS_MARGIN_NS
            instrument.since_ns = min(since_ns, account.unread.get(instrument.key, since_ns))
            lots = previous.position_in(instrument.traded.lot)
            self._warn_of_size(instrument, lots)
            self.stage.hot.opening(instrument.number, lots)
            # A stream may yet tell of what that run had read over REST just before it died.
            self.stage.hot.known(instrument.number, previous.known)
            self._carry(instrument, previous.carried_in(instrument.traded.lot))
        if fresh:
            await self._adopt(account, fresh)
        account.is_opened = True

    def _warn_of_size(self, instrument: LiveInstrument, lots: int) -> None:
        """An earlier run traded it into that, so it is no reason to refuse; but the gate lets
        only orders pass that shrink it."""
        most = instrument.config.core.limits.position_lots_max
        if abs(lots) > most:
            self.stage.emit(
                "warning", what=f"{instrument.key}: the run before left {lots:+,} lots, over "
                f"limits.position_lots_max, {most:,}: only what shrinks it is let through",
                remedy="raise the limit if that was not meant", **instrument.where,
            )  # fmt: skip

    async def _adopt(self, account: LiveAccount, fresh: list[LiveInstrument]) -> None:
        """The venue's position less the trades that the reconciliation will book. Read between
        two looks at the trades, which say how many of them it can hold: where somebody trades
        all the time, several such readings leave one opening that fits them all."""
        since_ns = account.utc_ns()
        before: dict[str, list[TradeRow]] = {}  # none can be older than since_ns
        fits: dict[str, set[int]] = {}
        left = list(fresh)
        for _ in range(OPENING_TRIES):
            held = await patient(account.calls.positions)
            coins = await self._coins(account, left)
            after = await each([self._trades(account, i, since_ns) for i in left])
            agreed = {}
            for instrument, trades in zip(left, after, strict=True):
                key, lots = instrument.key, held.get(instrument.place, 0)
                found = possible_openings(lots, before.get(key, []), trades)
                fits[key] = fits.get(key, found) & found or found
                if len(fits[key]) == 1:
                    agreed[instrument] = min(fits[key])
                before[key] = trades
            for instrument, lots in agreed.items():
                refuse_too_much(instrument, lots)
                instrument.since_ns = since_ns
                instrument.adopted_ns = since_ns // NS_PER_MS * NS_PER_MS  # as venues tell time
                self.stage.hot.opening(instrument.number, lots)
                self._carry(instrument, dust_e8(instrument, held, coins))
                if lots:
                    self.stage.emit("adopted", position_lots=lots, **instrument.where)
            left = [instrument for instrument in left if instrument not in agreed]
            if not left:
                return
        raise TickmakerError(
            f"account {account.name}: somebody trades {', '.join(one.key for one in left)} all "
            f"the time: {OPENING_TRIES} readings did not tell with what a first run opens",
            "stop that, start the engine, and then let it go on: later starts go by our ledger",
        )

    def _carry(self, instrument: LiveInstrument, carried_e8: int) -> None:
        """Of the base asset beside the opening's lots: the parts of a lot of some runs, and their
        fees, grow to a lot."""
        instrument.carried_e8 = carried_e8
        if carried_e8 and self.stage.log is not None:
            name = instrument.config.account
            now_ns = clock.monotonic_ns()
            _must(self.stage.log.opening(now_ns, name, instrument.key, carried_e8))

    async def _coins(
        self, account: LiveAccount, instruments: list[LiveInstrument]
    ) -> dict[str, int]:
        """What the wallet holds, in 1e-8; of spot alone, whose positions it is made of."""
        if not any(is_spot(instrument.traded) for instrument in instruments):
            return {}
        return {row.asset: row.total_e8 for row in await patient(account.calls.balances)}

    async def _trades(
        self, account: LiveAccount, instrument: LiveInstrument, since_ns: int
    ) -> list[TradeRow]:
        return await patient(lambda: account.calls.trades_since(instrument.traded, since_ns))

    async def _read_balances(self, account: LiveAccount) -> None:
        rows = await account.calls.balances()
        if self.stage.log is not None:
            held = {row.asset: row.total_e8 for row in rows}
            self.stage.log.balances(clock.monotonic_ns(), account.name, held)

    # -- CONNECTIONS, BOOKS ---

    async def _connect(self, account: LiveAccount) -> None:
        step, name = self.stage.step, account.name
        await step("TRADE connection up", account.connect(account.trade), account=name)
        await step(
            "MARKET connection up", account.connect(*account.markets), step_s(account),
            account=name,
        )
        await step("book synced", self._synced(account), _books_s(account), account=name)
        for instrument in account.instruments:
            check_size(instrument)

    async def _synced(self, account: LiveAccount) -> None:
        while any(instrument.bits & Halt.BOOK for instrument in account.instruments):
            self.changed.clear()
            await self.changed.wait()

    def _let_go(self) -> None:
        """All of it stands: cores may quote, and what is lost from now on is brought back."""
        self.stage.is_active = True
        for account in self.accounts:
            account.start_keeping()
        for instrument in self.instruments:
            self.stage.hot.command(instrument.number, Command.START)
        for account in self.accounts:
            account.reconciler.want()
        self.stage.emit("started", instruments=len(self.instruments))


def _must(is_written: bool) -> None:
    """Of lines that the next start's opening hangs on: without them it would take what instruments
    of older runs hold for a first start's."""
    if not is_written:
        raise TickmakerError(
            "events.jsonl of the run folder can't be written",
            "free disk space, or see that the folder belongs to this user",
        )


def refuse_shared_coins(account: LiveAccount) -> None:
    traded = {instrument.key: instrument.traded for instrument in account.instruments}
    for problem in shared_coins(traded, account.config.wanted.fee_discount):
        raise TickmakerError(
            f"Configuration: {problem}", "trade them on accounts of their own", EXIT_USAGE
        )


def possible_openings(
    lots: int, before: Sequence[TradeRow], after: Sequence[TradeRow]
) -> set[int]:
    """With what it was opened, if a position that was read between two looks at its trades holds
    all of the first and some, the oldest, of what the second has beside them."""
    seen = {(row.trade_id, row.side) for row in before}
    fresh = sorted((row for row in after if (row.trade_id, row.side) not in seen),
                   key=lambda row: (row.exch_ts_ns, row.trade_id, row.side))  # fmt: skip
    least = lots - lots_of(before)
    return {least - lots_of(fresh[:count]) for count in range(len(fresh) + 1)}


def refuse_too_much(instrument: LiveInstrument, lots: int) -> None:
    """Of what is adopted: on spot it is the whole wallet, and what is over the limit would be sold
    as fast as quotes are filled. What an earlier run traded it into is its own matter."""
    most = instrument.config.core.limits.position_lots_max
    if abs(lots) > most:
        raise TickmakerError(
            f"{instrument.key}: the account holds {lots:+,} lots, which a first start takes for "
            f"its own: over limits.position_lots_max, {most:,}",
            "keep what it shall not trade in another account; or, if it may trade all of it, "
            "raise limits.position_lots_max and the strategy's own limit",
            EXIT_UNSAFE,
        )


def dust_e8(
    instrument: LiveInstrument, held: Mapping[tuple[str, str], int], coins: Mapping[str, int]
) -> int:
    """What a spot wallet holds of the base asset beside whole lots; 0 elsewhere."""
    lot_e8 = int(Decimal(instrument.traded.lot).scaleb(8))
    if not is_spot(instrument.traded) or lot_e8 < 1:
        return 0
    dust = coins.get(instrument.traded.base, 0) - held.get(instrument.place, 0) * lot_e8
    return dust if 0 <= dust < lot_e8 else 0


def _books_s(account: LiveAccount) -> float:
    """How long the books may take: snapshots have a share of the address's weight."""
    calls = [account.adapter.snapshot(one.traded, account.among) for one in account.instruments]
    weight = sum(call.weight for call in calls if call is not None)
    share = SNAPSHOT_SHARE * account.adapter.weight_per_min
    return BOOK_DEADLINE_S + 2 * 60.0 * weight / share + held_s(account, weight, Urgency.SNAPSHOT)
