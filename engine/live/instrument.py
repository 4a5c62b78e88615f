"""One instrument: its core and journal, what its venue says of it, what we believe of it."""

from collections.abc import Container, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

from engine import clock
from engine.config import InstrumentConfig
from engine.errors import EXIT_USAGE, TickmakerError
from engine.execution.belief import Belief, BookFill, Owner, OwnOrder, SettleOrder
from engine.gateway import hotsocket
from engine.live.params import changed
from engine.live.stage import Stage
from engine.recorder.opening import InstrumentOpening
from engine.recorder.segments import Segments, journal_dir
from engine.strategies import OwnStrategy, aside, configured
from engine.venues.base import Instrument, TradeRow
from fastcore.account import Account as CoreAccount
from fastcore.core import Core
from fastcore.core_config import client_prefix
from fastcore.core_stats import halt_names
from fastcore.journal import JournalOrder, JournalWriter
from fastcore.types import FillOwner, Halt, OrderState, Side

MIB = 1 << 20
JOURNALS_BYTES = 128 * MIB  # of all segments being written; as many again are kept ready
FREE_NS = 3_000_000_000  # free to quote: a strategy that waits for its moment is announced, too
ON_ITS_WAY = (OrderState.PENDING_NEW, OrderState.UNKNOWN)
_OWNERS = {
    Owner.RUN: FillOwner.RUN, Owner.EARLIER: FillOwner.EARLIER, Owner.STRANGER: FillOwner.STRANGER,
}  # fmt: skip


def segment_bytes(most: int, count: int) -> int:
    """Of each of `count` journals; never under a megabyte, whole pages."""
    return min(most, max(JOURNALS_BYTES // count // MIB, 1) * MIB)


class LiveInstrument:
    """`number` is that of its core in the run, and in the hot loop."""

    def __init__(self, stage: Stage, config: InstrumentConfig, number: int) -> None:
        self.stage = stage
        self.config = config
        self.number = number
        self.key = config.key
        self.symbol = config.core.symbol
        self.traded: Instrument
        self.core: Core
        self.core_config: dict[str, Any] = {}
        self.params: dict[str, float] = {}  # in force
        self.own: OwnStrategy | None = None
        self.previous: InstrumentOpening | None = None
        self.known_trades: set[tuple[int, Side]] = set()  # booked by an earlier run
        self.carried_e8 = 0  # spot: held beside the opening's lots
        self.since_ns = 0  # venue's UTC: every earlier trade is booked
        self.adopted_ns = 0  # venue's UTC: earlier trades are in a first run's opening
        self._journal: JournalWriter
        self._segments: Segments | None = None
        self._free_since_ns = 0

    @property
    def is_built(self) -> bool:
        return hasattr(self, "core")

    def __repr__(self) -> str:
        return f"LiveInstrument({self.key!r})"

    @property
    def where(self) -> dict[str, Any]:
        """Of what an output line speaks."""
        return {"account": self.config.account, "instrument": self.key, "core": self.number}

    @property
    def place(self) -> tuple[str, str]:
        """Where its position stands among the account's (AccountCalls.positions)."""
        return self.traded.venue, self.symbol

    @property
    def bits(self) -> Halt:
        return Halt(self.stage.hot.bits(self.number))

    # -- BEFORE THE FIRST BYTE ---

    def compile(self) -> None:
        """A strategy of the user's own, before anything is connected."""
        if self.config.strategy_file is None:
            return
        started_ns, stage = clock.monotonic_ns(), self.stage
        name, file = self.config.core.strategy, self.config.strategy_file
        self.own = OwnStrategy(name, file, stage.config.run_dir)
        stage.say_step(f"{self.own.user.name} compiled", started_ns, instrument=self.key)

    def build(
        self, order: JournalOrder, account: CoreAccount, keys: tuple[bytes, bytes],
        wall_minus_monotonic_ns: int,
    ) -> None:  # fmt: skip
        """Journal and core: everything between REST and the first socket."""
        stage, user = self.stage, None if self.own is None else self.own.user
        size_bytes = segment_bytes(stage.edge.segment_bytes, len(stage.config.instruments))
        segments = Segments(journal_dir(stage.config.run_dir, self.key), size_bytes)
        self._segments = segments
        self._journal = JournalWriter(segments.next(), wall_minus_monotonic_ns, order)
        self._journal.add_segment(segments.next())
        try:
            core = Core(self.core_config, *keys, self._journal, user, account)
        except ValueError as error:
            raise TickmakerError(
                f"Configuration: {self.key}: {error}", "correct it", EXIT_USAGE
            ) from None
        core.set_ticks(hotsocket.tick_capsule(), hotsocket.ns_per_tick())
        self.core = core
        self.params = dict(self.core_config["params"])
        added = stage.hot.add_core(core)
        assert added == self.number

    def configure(self) -> dict[str, Any]:
        """The core's table with what only the venue can tell."""
        table = self.config.core.model_dump(exclude_none=True)
        table |= {
            "number": self.number, "tick": self.traded.tick, "lot": self.traded.lot,
            "assets": {"base": self.traded.base, "quote": self.traded.quote},
        }  # fmt: skip
        self.core_config = table if self.own is None else configured(table, self.own.user)
        return self.core_config

    # -- RUNNING ---

    def prepare_segment(self, budget_bytes: int) -> bool:
        """One small step towards the next journal segment; False when none is needed."""
        if self._segments is None or not self._journal.needs_segment:
            return False
        if self._segments.prepare(budget_bytes):
            self._journal.add_segment(self._segments.next())
        return True

    def announce(self) -> bool:
        """Tell of the first quote, once; False: not yet."""
        if self.bits:
            self._free_since_ns = 0
            return False
        now_ns = clock.monotonic_ns()
        self._free_since_ns = self._free_since_ns or now_ns
        if not self.core.working_count and now_ns - self._free_since_ns < FREE_NS:
            return False
        self.stage.emit("quoting", **self.where, **aside(self.core))
        return True

    def tell_of_failure(self) -> None:
        if self.own is not None and (told := self.own.first_failure(self.core)):
            self.stage.emit("warning", **told, **self.where)

    def tell_state(self) -> None:
        self.tell_of_failure()
        self.stage.emit("state", state=halt_names(self.bits), **self.where)

    def set_params(self, changes: Any) -> dict[str, float]:
        """New strategy parameters, journaled; TickmakerError, and nothing changed, if wrong."""
        user = None if self.own is None else self.own.user
        wanted, values = changed(self.core_config, self.params, changes, user)
        self.stage.hot.params(self.number, values)
        self.params = wanted
        return wanted

    # -- BELIEF ---

    def belief(self, *, is_waited: bool = False) -> Belief:
        """`is_waited`: what was on its way has had its time, whatever the core still awaits."""
        numbers = self.core.numbers()
        own = tuple(_own_order(row) for row in numbers["own"])
        return Belief(
            symbol=self.symbol,
            client_prefix=client_prefix(self.core_config),
            position_lots=numbers["position_lots"],
            orders=own,
            is_quiet=bool(numbers["halt_bits"]) and (is_waited or numbers["is_quiet"]),
            booked=_Booked(self.core, self.known_trades),
            base_fees_e8=numbers["fees_base_e8"],
            lot_e8=max(1, int(Decimal(self.traded.lot) * 10**8)),
            carried_e8=self.carried_e8,
            fills=numbers["fills"],
        )

    def unforgotten(self, trades: Sequence[TradeRow]) -> Sequence[TradeRow]:
        """Without those that the core's memory has let go of, as they were booked long ago, and
        those that the opening holds: a reading goes back beyond the last one, to be sure."""
        after_ns = max(self.core.forgotten_ts_ns, self.adopted_ns - 1)
        return [row for row in trades if row.exch_ts_ns > after_ns]

    def is_any_on_its_way(self) -> bool:
        """A place that may not have reached the venue yet. One that has its number there has,
        whatever became of its cancel."""
        return any(
            own["state"] in ON_ITS_WAY and own["venue_order_id"] == -1
            for own in self.core.numbers()["own"]
        )

    def book(self, fill: BookFill) -> bool:
        """False: the core had booked that trade already."""
        row = fill.row
        return bool(self.stage.hot.fill_row(
            self.number, trade_id=row.trade_id, venue_order_id=row.venue_order_id,
            intent_id=fill.intent_id, owner=_OWNERS[fill.owner], side=row.side,
            px_ticks=row.px_ticks, qty_lots=row.qty_lots, fee_e8=row.fee_e8,
            fee_asset=row.fee_asset, is_maker=row.is_maker, exch_ts_ns=row.exch_ts_ns,
        ))  # fmt: skip

    def settle(self, told: SettleOrder, asked_ns: int) -> None:
        self.stage.hot.query(
            self.number, intent_id=told.intent_id, is_absent=told.is_absent,
            order_status=told.state, venue_order_id=told.venue_order_id,
            px_ticks=told.px_ticks, qty_lots=told.qty_lots, cum_qty_lots=told.cum_qty_lots,
            asked_ns=asked_ns,
        )  # fmt: skip

    def close(self) -> None:
        if self._segments is not None:
            self._segments.close()


class _Booked:
    """Trades that need not be booked any more: (trade id, our side)."""

    def __init__(self, core: Core, earlier: Container[tuple[int, Side]]) -> None:
        self._core = core
        self._earlier = earlier

    def __contains__(self, key: object) -> bool:
        trade_id, side = cast(tuple[int, Side], key)
        return key in self._earlier or self._core.has_booked(trade_id, side)


def _own_order(row: Mapping[str, Any]) -> OwnOrder:
    return OwnOrder(
        intent_id=row["intent_id"], client_id=row["client_id"],
        venue_order_id=row["venue_order_id"], side=Side(row["side"]),
        state=OrderState(row["state"]), px_ticks=row["px_ticks"], qty_lots=row["qty_lots"],
        cum_qty_lots=row["cum_qty_lots"], sent_ns=row["sent_ns"],
        placed_ns=row["placed_ns"],
    )  # fmt: skip
