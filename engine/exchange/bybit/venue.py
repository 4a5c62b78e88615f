"""What every part of the Bybit face needs: the core, its instruments by category, the clock
that clients see, and one way to command the core.
"""

from engine.exchange.bybit.errors import VenueError, refusal
from engine.exchange.bybit.texts import MS
from engine.exchange.commands import Command
from engine.exchange.core import Core
from engine.exchange.events import Accepted, Market, Output, Refused
from engine.exchange.instruments import Instrument, Kind
from engine.exchange.terms import Reason

CATEGORIES = {"linear": Kind.LINEAR, "spot": Kind.SPOT}
# Categories of the venue that this exchange lists nothing of.
EMPTY_CATEGORIES = ("inverse", "option")
FIRST_UID = 24_617_700  # of account 0; the master account is one below


class Venue:
    """`outputs` gathers what commands caused, until the face publishes it."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.skew_ns = 0
        self.now_ns = 0  # the core's time of the event being handled
        self.outputs: list[Output] = []
        self._keys = {
            (market.instrument.kind, market.instrument.symbol): key
            for key, market in core.markets.items()
        }

        self._ranks = {key: rank for rank, key in enumerate(core.markets)}

    # -- TIME AS CLIENTS SEE IT ---

    def ms(self, t_ns: int) -> int:
        return (t_ns + self.skew_ns) // MS

    @property
    def now_ms(self) -> int:
        return (self.now_ns + self.skew_ns) // MS

    # -- INSTRUMENTS ---

    def key(self, kind: Kind, symbol: str) -> str:
        """Empty: not listed."""
        return self._keys.get((kind, symbol), "")

    def market(self, kind: Kind, symbol: str) -> Market:
        key = self.key(kind, symbol)
        if not key:
            raise refusal(kind, Reason.UNKNOWN_SYMBOL, {})
        return self.core.markets[key]

    def instrument(self, key: str) -> Instrument:
        return self.core.markets[key].instrument

    def keys(self, kind: Kind) -> list[str]:
        return [key for (own, _), key in self._keys.items() if own is kind]

    def rank(self, key: str) -> int:
        """A number of the instrument's own."""
        return self._ranks[key]

    def kinds_of(self, symbol: str) -> list[Kind]:
        return [kind for kind, own in self._keys if own == symbol]

    # -- COMMANDS ---

    def do(self, kind: Kind, command: Command, **words: object) -> Accepted:
        """VenueError when the core refuses."""
        answer, *effects = self.core.step(command, self.now_ns)
        self.outputs += effects
        if isinstance(answer, Refused):
            raise refusal(kind, answer.reason, words)
        assert isinstance(answer, Accepted)
        return answer

    def take_outputs(self) -> list[Output]:
        outputs, self.outputs = self.outputs, []
        return outputs


def kind_of(category: object) -> Kind:
    """VenueError for a category that is none, or none of ours."""
    kind = CATEGORIES.get(category) if isinstance(category, str) else None
    if kind is None:
        raise VenueError(10001, "Illegal category")
    return kind
