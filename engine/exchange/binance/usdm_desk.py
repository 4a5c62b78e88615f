"""What the handlers of USD-M share: instruments by parameter, and the core's refusals in words."""

from engine.exchange.binance.calls import Call
from engine.exchange.binance.errors import VenueError
from engine.exchange.binance.params import Params, mandatory
from engine.exchange.binance.stamp import Stamp
from engine.exchange.binance.usdm_errors import REFUSAL_CODE, UsdmError
from engine.exchange.binance.usdm_frames import UsdmFrames
from engine.exchange.commands import Command, PlaceTrigger
from engine.exchange.core import Core
from engine.exchange.events import Accepted, Refused
from engine.exchange.instruments import Instrument
from engine.exchange.terms import MarketState, Order, Reason

WEEK_NS = 7 * 86_400 * 1_000_000_000


class UsdmDesk:
    """One core, one venue's clock, one set of frames."""

    def __init__(self, core: Core, stamp: Stamp) -> None:
        self.core = core
        self.stamp = stamp
        self.frames = UsdmFrames(stamp)

    # -- INSTRUMENTS ---

    def instrument(self, params: Params) -> Instrument:
        market = self.core.markets.get(mandatory(params, "symbol"))
        if market is None:
            raise VenueError(-1121)
        return market.instrument

    def instruments(self, params: Params) -> list[Instrument]:
        """The one named, or all."""
        if params.get("symbol"):
            return [self.instrument(params)]
        return [market.instrument for market in self.core.markets.values()]

    def touched(self, account: int) -> list[Instrument]:
        """Where the account has a position or open orders: what v3 answers are about."""
        positions = self.core.accounts[account].positions
        return [
            market.instrument
            for symbol, market in self.core.markets.items()
            if (symbol in positions and positions[symbol].lots)
            or self.core.open_orders(account, symbol)
        ]

    # -- COMMANDS ---

    def step(self, command: Command, call: Call) -> Accepted:
        answer, *effects = self.core.step(command, call.t_ns)
        if isinstance(answer, Refused):
            raise self.refusal(answer, command)
        assert isinstance(answer, Accepted)
        call.out += effects
        return answer

    def order_of(self, accepted: Accepted) -> Order:
        assert accepted.order is not None
        return accepted.order

    def refusal(self, refused: Refused, command: Command) -> VenueError:
        reason = refused.reason
        symbol = getattr(command, "symbol", "")
        if isinstance(command, PlaceTrigger):
            symbol = command.place.symbol
        if reason is Reason.CLOSED and self.core.state(symbol) is MarketState.DELISTED:
            return UsdmError(-4141)
        if reason is Reason.NOTIONAL_MIN:
            return UsdmError(-4164, self.core.markets[symbol].instrument.min_notional)
        if reason is Reason.LEVERAGE:
            return UsdmError(-4028, getattr(command, "leverage", 0))
        if reason is Reason.NO_KEY:
            return UsdmError(-1130, "subAccountApiKey")
        code = REFUSAL_CODE.get(reason)
        return UsdmError(code) if code else UsdmError(-1000)
