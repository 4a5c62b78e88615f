"""Faults of the venue itself: its clock, its instruments, its books, its willingness."""

from collections.abc import Callable
from random import Random

from engine.exchange.book import Side
from engine.exchange.commands import Command, ResetSequence, SetRefusals, SetState, SetTick, Shock
from engine.exchange.core import Core
from engine.exchange.events import Refused, StaleBook
from engine.exchange.face import Action, Face
from engine.exchange.faults_schedule import (
    CrashFault,
    DriftFault,
    Fault,
    Live,
    OneSidedFault,
    PartialFault,
    SkewFault,
    SpreadFault,
    StepFault,
    SymbolFault,
    SymbolWindow,
    TickFault,
)
from engine.exchange.terms import MarketState

LEVELS_KEPT = 5_000  # no answer tells more


class World:
    """Begins and ends such faults; `refused` hears what the core would not do."""

    def __init__(self, face: Face, dice: Random, refused: Callable[[Live, str], None]) -> None:
        self._face = face
        self._dice = dice
        self._refused = refused
        self._stepped_ns = 0
        self._clocks: dict[int, Live] = {}
        self._refusals: dict[int, Fault] = {}
        self._stale: dict[int, str] = {}  # symbols of live faults with stale snapshots, by number
        self._halts: dict[int, str] = {}  # and of those that halted one

    @property
    def is_idle(self) -> bool:
        """False: `run` must be called before every step."""
        return not self._clocks or not any(
            isinstance(live.fault, DriftFault) for live in self._clocks.values()
        )

    @property
    def core(self) -> Core:
        return self._face.core

    def run(self, t_ns: int) -> None:
        """The venue's clock at `t_ns`."""
        skew_ns = self._stepped_ns
        for _, fault, begin_ns, _ in self._clocks.values():
            if isinstance(fault, SkewFault):
                skew_ns += fault.by_ns
            elif isinstance(fault, DriftFault):
                skew_ns += int((t_ns - begin_ns) * fault.ppm / 1e6)
        self._face.skew_ns = skew_ns

    # -- BEGIN ---

    def begin(self, live: Live) -> list[Action]:
        fault, t_ns = live.fault, live.begin_ns
        if isinstance(fault, SkewFault | DriftFault):
            self._clocks[live.number] = live
            self.run(t_ns)
        elif isinstance(fault, StepFault):
            self._stepped_ns += fault.by_ns
            self.run(t_ns)
        elif fault.kind in ("cancel_all_partial", "revocation_refused"):
            self._refusals[live.number] = fault
            self._set_refusals(t_ns)
        elif fault.kind == "drop_all":
            return self._face.end_of_age(t_ns)
        elif fault.kind == "listen_key_expiry":
            return self._face.expire_user_streams(t_ns)
        elif isinstance(fault, SymbolFault | SymbolWindow):
            self._begin_of_symbol(live, fault)
        return []

    def _begin_of_symbol(self, live: Live, fault: SymbolFault | SymbolWindow) -> None:
        symbol = fault.symbol or self._dice.choice(sorted(self.core.markets))
        if symbol not in self.core.markets:
            self._refused(live, f"no symbol {symbol}")
        elif fault.kind == "stale_snapshot":
            market = self.core.markets[symbol]
            market.stale = StaleBook(market.instrument, market.snapshot(LEVELS_KEPT))
            self._stale[live.number] = symbol
        elif (
            fault.kind == "halt_instrument"
            and symbol in self._halts.values()
            and self.core.state(symbol) is MarketState.HALTED
        ):
            self._halts[live.number] = symbol  # until the last of them ends
        else:
            is_done = self._do(live, self._command(fault, symbol), live.begin_ns)
            if is_done and fault.kind == "halt_instrument":
                self._halts[live.number] = symbol

    def _command(self, fault: Fault, symbol: str) -> Command:
        if isinstance(fault, TickFault):
            return SetTick(symbol, fault.factor)
        if isinstance(fault, CrashFault):
            bid, _, ask, _ = self.core.markets[symbol].touch()
            ticks = int((ask or bid) * fault.percent / 100)
            return Shock(symbol, ticks=ticks, for_ns=fault.for_ns)
        if isinstance(fault, SpreadFault):
            return Shock(symbol, spread_ticks=fault.ticks, for_ns=fault.for_ns)
        if isinstance(fault, OneSidedFault):
            side = Side.BUY if fault.side == "buy" else Side.SELL
            return Shock(symbol, empty_side=side, for_ns=fault.for_ns)
        if fault.kind == "sequence_reset":
            return ResetSequence(symbol)
        delisted = fault.kind == "delist"
        return SetState(symbol, MarketState.DELISTED if delisted else MarketState.HALTED)

    # -- END ---

    def end(self, live: Live, t_ns: int) -> None:
        if self._clocks.pop(live.number, None) is not None:
            self.run(t_ns)
        elif self._refusals.pop(live.number, None) is not None:
            self._set_refusals(t_ns)
        symbol = self._stale.pop(live.number, "")
        if symbol and symbol not in self._stale.values():
            self.core.markets[symbol].stale = None
        symbol = self._halts.pop(live.number, "")
        is_last = symbol and symbol not in self._halts.values()
        if is_last and self.core.state(symbol) is MarketState.HALTED:
            self._do(live, SetState(symbol, MarketState.TRADING), t_ns)

    def operator_sets(self, symbol: str) -> None:
        """No fault's end may undo what the operator says of an instrument."""
        self._halts = {number: own for number, own in self._halts.items() if own != symbol}

    def _set_refusals(self, t_ns: int) -> None:
        partial = [f.max for f in self._refusals.values() if isinstance(f, PartialFault)]
        is_refused = any(fault.kind == "revocation_refused" for fault in self._refusals.values())
        self.core.operate(SetRefusals(is_refused, min(partial, default=0)), t_ns)

    def _do(self, live: Live, command: Command, t_ns: int) -> bool:
        answer = self.core.operate(command, t_ns)
        if isinstance(answer, Refused):
            self._refused(live, answer.reason.value)
        return not isinstance(answer, Refused)
