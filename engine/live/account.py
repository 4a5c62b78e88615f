"""One account: its credential, its REST client, its private connections, and what keeps them."""

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import groupby

from engine import clock, venues
from engine.config import AccountConfig
from engine.errors import EXIT_USAGE, TickmakerError
from engine.execution.planner import FEEDS_MAX, among
from engine.gateway.account_calls import AccountCalls
from engine.gateway.clocksync import ClockSync
from engine.gateway.deadman import DeadMan
from engine.gateway.hotrole import Role
from engine.gateway.keeper import Keeper
from engine.gateway.link import Link
from engine.gateway.liveness import Conditions, MarketWatch
from engine.gateway.market import Snapshots
from engine.gateway.rest import RestClient
from engine.gateway.venue_watch import VenueWatch
from engine.live.facts import read_fee
from engine.live.instrument import LiveInstrument
from engine.live.late import LateWatch
from engine.live.lock import AccountLock, key_mark
from engine.live.pull import Pull
from engine.live.reconciler import Reconciler
from engine.live.stage import Stage, cancelled
from engine.recorder.opening import Opening
from engine.venues.base import Instrument
from fastcore.account import Account as CoreAccount
from fastcore.types import Conn, Halt

FEES_EVERY_S = 5.0


class LiveAccount:
    """`instruments` are those of the configuration that name it."""

    def __init__(
        self, stage: Stage, config: AccountConfig, credential: tuple[str, str],
        instruments: Sequence[LiveInstrument],
    ) -> None:  # fmt: skip
        self.stage = stage
        self.config = config
        self.name = config.name
        self.instruments = instruments
        self.adapter = venues.adapter(config, *credential)
        self.lock = AccountLock(
            stage.config.state_dir, config.name,
            key_mark(config.venue, config.rest_url, credential[0]), stage.edge.locks_dir,
        )  # fmt: skip
        hosts = stage.hosts
        self.rest = RestClient(
            self.adapter, config.rest_url, hosts.budget(config.rest_url, self.adapter),
            rng=stage.rng, ca_file=config.ca_file, connect=stage.edge.connect_http,
        )  # fmt: skip
        self.emit = partial(stage.emit, account=config.name)
        self.clock = ClockSync(
            self.rest, self.adapter, self._apply_clock, rng=stage.rng, emit=self.emit
        )
        self.before: Opening | None = None  # how the account's run before this one ended
        self.is_waited_out = False  # no order of that run can arrive any more
        self.unread: dict[str, int] = {}  # instruments that have not agreed yet, since when
        self._noted_ns = 0
        self.is_opened = False  # the journals hold what the run began with
        self.is_let_go = False
        self.is_built = False
        self.calls: AccountCalls
        self.reconciler: Reconciler
        self.pull: Pull
        self.epoch = 0  # losses of a private connection: what was read before one proves nothing
        self.dead_man: DeadMan | None = None
        self.trade: Keeper
        self.user: Keeper
        self.markets: list[Keeper] = []
        self.fees_left: list[LiveInstrument] = []
        self.watch: VenueWatch
        self._watches: list[MarketWatch] = []
        self.snapshots: Snapshots
        self.trade_lost_ns: int | None = None  # last, with a place on its way: it may arrive yet
        self._trade_seen_ns: int | None = None  # last loss of TRADE that was looked at
        self._roles: dict[int, Role] = {}
        self._keepers: dict[int, Keeper] = {}
        self._conditions = Conditions(stage.hot.condition)
        self._resync: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"LiveAccount({self.name!r})"

    # -- CLOCK ---

    def _apply_clock(self, offset_ns: int) -> None:
        if self.is_built:
            for instrument in self.instruments:
                self.stage.hot.clock(instrument.number, offset_ns)

    def utc_ns(self) -> int:
        """The venue's time."""
        return clock.monotonic_ns() + self.clock.offset_ns

    # -- WIRING ---

    def build(self) -> None:
        """Cores exist: roles, keepers, and what works beside them."""
        stage, config, hot = self.stage, self.config, self.stage.hot
        traded = [instrument.traded for instrument in self.instruments]
        self.calls = AccountCalls(self.rest, self.adapter, traded, rng=stage.rng)
        link = Link(
            config.name, self.adapter, self.rest, hot, stage.transport,
            stage.hosts.attempts(config.rest_url, self.adapter), stage.rng, stage.emit,
            stage.on_fault,
        )  # fmt: skip
        numbers = [instrument.number for instrument in self.instruments]
        trade = hot.add_role(Conn.TRADE, numbers)
        user = hot.add_role(Conn.USER, numbers)
        self.trade = Keeper.trade(
            link, trade, on_change=self._on_trade_change, on_doubt=self._on_trade_doubt,
            doubt=self._conditions.of(numbers, Halt.LINK, "trade"),
        )  # fmt: skip
        self.user = Keeper.user(
            link, user, on_change=self._on_user_change,
            doubt=self._conditions.of(numbers, Halt.LINK, "user"),
        )  # fmt: skip
        self._keep_role(trade, self.trade)
        self._keep_role(user, self.user)
        self.snapshots = Snapshots(link, self.among)
        for group in feed_groups(self.instruments, self.adapter.market_instruments_max):
            self._build_feed(link, group)
        if config.dead_man_s and self.adapter.has_dead_man:
            self.dead_man = DeadMan(
                self.rest, self.adapter, traded, config.dead_man_s,
                self._conditions.of(numbers, Halt.DEAD_MAN, "switch"), rng=stage.rng,
                emit=self.emit,
            )  # fmt: skip
        self.watch = VenueWatch(
            self.rest, self.adapter, {i.number: i.traded for i in self.instruments},
            self._on_trading, self._on_filters, rng=stage.rng, emit=self.emit,
        )  # fmt: skip
        self.reconciler = Reconciler(self)
        self.pull = Pull(self)
        self.is_built = True
        self._apply_clock(self.clock.offset_ns)
        stage.spawn(self.clock.keep())

    def _build_feed(self, link: Link, group: list[LiveInstrument]) -> None:
        """One MARKET role: the connections that carry these instruments' streams."""
        hot = self.stage.hot
        numbers = [instrument.number for instrument in group]
        role = hot.add_role(Conn.MARKET, numbers)
        keeper = Keeper.market(
            link, role, [instrument.traded for instrument in group], copies=self.config.feeds,
            doubt=self._conditions.of(numbers, Halt.LINK, "market"),
        )  # fmt: skip
        self._keep_role(role, keeper)
        self.markets.append(keeper)
        for instrument in group:
            self.snapshots.add(instrument.number, instrument.traded, keeper)
        watched = {instrument.number: instrument.traded for instrument in group}
        self._watches.append(MarketWatch(link, keeper, watched, self._on_silent))

    def _keep_role(self, role: Role, keeper: Keeper) -> None:
        self._roles[role.index] = role
        self.stage.transport.trust(role, self.config.ca_file)
        self._keepers[role.index] = keeper

    def core_account(self) -> CoreAccount:
        """Capital and send budget that the account's cores share."""
        return CoreAccount(self.instruments[0].config.core.limits.model_dump())

    @property
    def among(self) -> int:
        """Instruments that share the address's weight."""
        return among(self.stage.config, self.config)

    # -- CONDITIONS: the edge's own reasons to stand aside ---

    def _on_silent(self, number: int, is_on: bool) -> None:
        """An instrument's market data may have stopped, whatever its connection says."""
        self._conditions.set(number, Halt.LINK, "silent", is_on)

    def _on_late(self, number: int, is_on: bool) -> None:
        self._conditions.set(number, Halt.LATENCY, "late", is_on)

    def _on_trading(self, number: int, is_off: bool) -> None:
        self._conditions.set(number, Halt.VENUE, "trading", is_off)

    def _on_filters(self, number: int, told: Instrument) -> None:
        """Tick or lot are not what the core was built with: nothing of it is right any more."""
        instrument = next(i for i in self.instruments if i.number == number)
        self._conditions.set(number, Halt.VENUE, "filters", True)
        self.emit(
            "warning",
            what=f"{instrument.key}: the venue's tick and lot are {told.tick}, {told.lot} now",
            remedy="quotes stay pulled; start again to trade on them",
            instrument=instrument.key, core=number,
        )  # fmt: skip

    def is_user_doubted(self, number: int) -> bool:
        """Up as it may be, fills may go untold."""
        return self._conditions.is_on(number, Halt.LINK, "user")

    # -- CONNECTIONS ---

    @property
    def is_trade_up(self) -> bool:
        return self.trade.role.is_open

    @property
    def is_user_up(self) -> bool:
        return self.user.role.is_open

    @property
    def is_private_up(self) -> bool:
        return self.is_built and self.is_trade_up and self.is_user_up

    @property
    def reconnects(self) -> int:
        return sum(keeper.reconnects for keeper in self._keepers.values())

    def has_role(self, role_index: int) -> bool:
        return role_index in self._roles

    def on_closed(self, role_index: int, slot: int) -> None:
        self._keepers[role_index].on_closed(slot)

    def _on_trade_change(self) -> None:
        if self.trade.lost_ns != self._trade_seen_ns:
            self._trade_seen_ns = self.trade.lost_ns
            if any(instrument.is_any_on_its_way() for instrument in self.instruments):
                self.trade_lost_ns = self.trade.lost_ns
        if not self.is_trade_up:
            self.epoch += 1
            self.pull.on_trade_lost()
        self.reconciler.want()

    def _on_trade_doubt(self) -> None:
        """Up, but it does not answer: what rests can't be pulled on it, though REST may work."""
        self.pull.on_trade_doubt()

    def _on_user_change(self) -> None:
        if not self.is_user_up:
            self.epoch += 1
            self.pull.on_user_lost()
        if self.dead_man is not None:
            self.dead_man.on_user(self.is_user_up)
        self.reconciler.want()

    def on_state(self, instrument: LiveInstrument) -> None:
        """The state word of a core changed: see whether anything of it is ours to clear."""
        bits = instrument.bits
        if bits & Halt.USER_STREAM and self.is_user_up:
            # The listen key has expired, or orders go unreported: the stream is dead.
            self.user.on_user_halt()
        if bits & Halt.CLOCK and (self._resync is None or self._resync.done()):
            self._resync = self.stage.spawn(self.clock.clear(
                lambda: any(i.bits & Halt.CLOCK for i in self.instruments)))
        if bits & Halt.RATE_LIMIT:
            # A ban told over TRADE is the whole address's: REST must not knock, either.
            self.rest.keep_away_until(instrument.core.retry_utc_ms)
        if bits & Halt.RECONCILING:
            self.reconciler.want()

    async def read_other_fees(self) -> None:
        """Of the instruments that start-up did not ask for; one whose fees are worse than its
        configuration says is not quoted."""
        for instrument in self.fees_left:
            await asyncio.sleep(FEES_EVERY_S)
            try:
                await read_fee(self, instrument)
            except TickmakerError as error:
                if error.exit_code == EXIT_USAGE:
                    self._conditions.set(instrument.number, Halt.VENUE, "fees", True)
                self.stage.warn(error, **instrument.where)

    def note_run(self, unread: dict[str, int]) -> None:
        """From here on this run's journals say what the account holds; of `unread` (by instrument)
        they may lack trades since then. What an earlier run left unread of an instrument that is
        not traded now stays so: it may be named again."""
        ours = {instrument.key for instrument in self.instruments}
        left = {key: ns for key, ns in self.unread.items() if key not in ours}
        self.unread, self._noted_ns = left | unread, self.utc_ns()
        self.lock.note(self.stage.config.run_dir, self._noted_ns, self.unread)

    def on_agreed(self, instrument: LiveInstrument) -> None:
        """Trades of it are read to the end: the next start need not go back for them."""
        if self._noted_ns and self.unread.pop(instrument.key, None) is not None:
            self.lock.note(self.stage.config.run_dir, self._noted_ns, self.unread)

    async def connect(self, *keepers: Keeper) -> None:
        """Each once; from then on it is kept, however long the rest of the start-up takes."""
        for keeper in keepers:
            await keeper.connect()
            keeper.start()

    async def arm(self) -> None:
        """The dead-man switch, confirmed and from then on renewed."""
        if self.dead_man is not None:
            await self.dead_man.arm()
            self.stage.spawn(self.dead_man.keep())

    def start_keeping(self) -> None:
        """Start-up is over: look after what else may change."""
        self.is_let_go = True
        spawn = self.stage.spawn
        for watch in self._watches:
            spawn(watch.keep())
        spawn(self.reconciler.keep())
        spawn(LateWatch(self.instruments, self.config.late_per_min_max, self._on_late).keep())
        spawn(self.watch.keep())
        spawn(self.snapshots.keep())
        spawn(self.read_other_fees())

    # -- END ---

    async def stop_keeping(self) -> None:
        """No connection is made any more; those that are up stay."""
        if self.is_built:
            await self.reconciler.close()
            await self.pull.close()
            await asyncio.gather(*(keeper.close() for keeper in self._keepers.values()))
            await self.snapshots.close()
            if self._resync is not None:
                await cancelled(self._resync)

    async def close(self) -> None:
        for role in self._roles.values():
            for slot in range(role.slots):
                self.stage.transport.disconnect(role, slot)
        await self.rest.close()


def feed_groups(
    instruments: Sequence[LiveInstrument], most: int
) -> list[list[LiveInstrument]]:
    """Instruments that share a market-data connection: of one codec, alone as long as there are
    few. A venue limits connections, and each is one more socket to poll."""
    groups = []
    by_codec = sorted(instruments, key=lambda i: (i.config.core.venue, i.number))
    for _, members in groupby(by_codec, key=lambda i: i.config.core.venue):
        alike = list(members)
        size = min(-(-len(alike) // FEEDS_MAX), most)
        groups += [alike[at : at + size] for at in range(0, len(alike), size)]
    return groups
