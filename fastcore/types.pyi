"""Python's view of the enums in types.pxd: same values, checked by tests/test_types.py."""

from enum import IntEnum, IntFlag

class Side(IntEnum):
    BUY = 0
    SELL = 1

class Code(IntEnum):
    """Result codes of the compiled core; negative means refused or broken."""

    OK = 0
    MALFORMED = -1
    RANGE = -2
    FULL = -3
    GAP = -4
    CROSSED = -5
    STALE = -6
    UNKNOWN = -7
    OTHER_SYMBOL = -8
    STATE = -9
    JOURNAL = -10
    UNSUPPORTED = -11

class Conn(IntEnum):
    MARKET = 0
    TRADE = 1
    USER = 2

class EventKind(IntEnum):
    NONE = 0
    BEST = 1
    DEPTH = 2
    TRADE = 3
    ORDER = 4
    REPLY = 5
    SNAPSHOT = 6
    IGNORED = 7
    LISTEN_KEY_EXPIRED = 8
    ACCOUNT = 9
    SESSION = 10
    VENUE_SHUTDOWN = 11
    AGG_TRADE = 12

class OrderState(IntEnum):
    FREE = 0
    PENDING_NEW = 1
    NEW = 2
    PARTIALLY_FILLED = 3
    PENDING_CANCEL = 4
    FILLED = 5
    CANCELED = 6
    REJECTED = 7
    EXPIRED = 8
    UNKNOWN = 9
    PENDING_REPLACE = 10

class ExecType(IntEnum):
    NEW = 0
    CANCELED = 1
    TRADE = 2
    EXPIRED = 3
    AMENDMENT = 4
    CALCULATED = 5
    REJECTED = 6
    STATUS = 7

class Verb(IntEnum):
    PLACE = 1
    CANCEL = 2
    STATUS = 3
    CANCEL_ALL = 4
    MODIFY = 5
    REPLACE = 6
    BATCH = 7

class OrderFlag(IntFlag):
    """How an order is to be placed; none: a GTC limit order."""

    POST_ONLY = 1
    REDUCE_ONLY = 2
    IOC = 4

class FeeAsset(IntEnum):
    QUOTE = 0
    BASE = 1
    OTHER = 2

class SendOutcome(IntEnum):
    SENT = 0
    LATE = 1
    PARTIAL = 2
    FAILED = 3

class SyncState(IntEnum):
    EMPTY = 0
    ANCHORING = 1
    SYNCED = 2
    GAP = 3

class SyncRule(IntEnum):
    FUTURES = 0
    SPOT = 1
    BYBIT = 2
    PARTIAL = 3

class Halt(IntFlag):
    """Reasons in the state word; NONE is RUNNING."""

    NONE = 0
    BOOK = 1
    FEED_STALE = 2
    USER_STREAM = 4
    LATENCY = 8
    CLOCK = 16
    RATE_LIMIT = 32
    RECONCILING = 64
    JOURNAL = 128
    STRATEGY = 256
    OPERATOR = 512
    SHUTDOWN = 1024
    TRADE_STREAM = 2048
    SPREAD = 4096
    TOXICITY = 8192
    REPEATED_EXECUTION = 16384
    ONE_SIDED_FILLS = 32768
    LEG = 65536
    DEAD_MAN = 131072
    VENUE = 262144
    LINK = 524288

class FillOwner(IntEnum):
    """Whose order an execution is of."""

    RUN = 0
    EARLIER = 1
    STRANGER = 2

class FillVia(IntEnum):
    """By which way an execution came."""

    STREAM = 0
    REST = 1

class Command(IntEnum):
    START = 1
    HALT = 2
    RESUME = 3
    SHUTDOWN = 4
    RESYNC = 5
