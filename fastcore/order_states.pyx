# cython: language_level=3
"""What an order becomes by what is said of it: one row a state, one column a word.

Words of the venue (NEW, PART.FILLED, FILLED, CANCELED, REJECTED, EXPIRED) come by two connections,
in no order, late or twice; the others are what we did or fear: `placed`, `cancel sent`, `amend
sent`, `in doubt`, and `works`: the last message is answered, or did not leave.

A cell is the next state; `.`: stays, old or repeated news; `!`: can't be, counted and ignored. A
terminal state is never left (reliability.md I-13). Where a cell says NEW and a fill is booked, it
is PARTIALLY_FILLED. Whether an order that lives though we hold it for dead demands a
reconciliation is decided in orders.pyx.

REJECTED after NEW: Bybit accepts a request before its book does. NEW from UNKNOWN, though an
amend may be open: orders.pyx asks the table only when it is not. A cancel of an order
in doubt leaves it there: only an answer, or a query, ends the doubt.
"""
from fastcore.types import OrderState

_SHORT = {
    "FREE": OrderState.FREE, "PNEW": OrderState.PENDING_NEW, "NEW": OrderState.NEW,
    "PART": OrderState.PARTIALLY_FILLED, "PCXL": OrderState.PENDING_CANCEL,
    "FILL": OrderState.FILLED, "CANC": OrderState.CANCELED, "REJ": OrderState.REJECTED,
    "EXP": OrderState.EXPIRED, "UNKN": OrderState.UNKNOWN, "PREP": OrderState.PENDING_REPLACE,
}
WORDS = ("works", "placed", "NEW", "PART.FILLED", "cancel sent", "FILLED", "CANCELED", "REJECTED",
         "EXPIRED", "in doubt", "amend sent")

_TABLE = """
said:  works  placed  NEW   PART  cxl-sent  FILLED  CANCELED  REJECTED  EXPIRED  doubt  amd-sent
FREE   !      PNEW    !     !     !         !       !         !         !        !      !
PNEW   NEW    !       NEW   PART  !         FILL    CANC      REJ       EXP      UNKN   !
NEW    .      !       .     PART  PCXL      FILL    CANC      REJ       EXP      UNKN   PREP
PART   .      !       .     .     PCXL      FILL    CANC      !         EXP      UNKN   PREP
PCXL   NEW    !       .     .     !         FILL    CANC      REJ       EXP      UNKN   !
FILL   .      !       .     .     !         .       !         !         !        .      !
CANC   .      !       .     .     !         !       .         !         !        .      !
REJ    .      !       .     .     !         !       !         .         !        .      !
EXP    .      !       .     .     !         !       !         !         .        .      !
UNKN   NEW    !       NEW   PART  .         FILL    CANC      REJ       EXP      .      !
PREP   NEW    !       .     .     PCXL      FILL    CANC      REJ       EXP      UNKN   !
"""


def next_state(int state, int said) -> OrderState | None:
    """The next state; the same one where it stays; None where it can't be.

    ValueError: `state` or `said` is no OrderState (said FREE: works; PENDING_NEW: placed; and so
    on, in the order of WORDS).
    """
    if not 0 <= state < ORDER_STATES or not 0 <= said < ORDER_STATES:
        raise ValueError(f"Expected two order states, was {state}, {said}")
    following = ORDER_NEXT[state][said]
    if following == ORDER_NEVER:
        return None
    return OrderState(state if following == ORDER_STAYS else following)


def table_markdown() -> str:
    """The table as docs/orders.md shows it."""
    lines = ["| state | " + " | ".join(WORDS) + " |", "|---" * (len(WORDS) + 1) + "|"]
    for state in OrderState:
        cells = []
        for said in range(ORDER_STATES):
            following = ORDER_NEXT[<int>state][<int>said]
            cells.append("." if following == ORDER_STAYS else
                         "!" if following == ORDER_NEVER else OrderState(following).name)
        lines.append(f"| {state.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


cdef int _fill_table() except -1:
    cells = {".": ORDER_STAYS, "!": ORDER_NEVER} | _SHORT
    rows = [line.split() for line in _TABLE.strip().splitlines()[1:]]
    if len(rows) != ORDER_STATES:
        raise ValueError("a state without a row")
    for name, *row in rows:
        for said, cell in enumerate(row):
            ORDER_NEXT[<int>_SHORT[name]][<int>said] = cells[cell]
        if len(row) != ORDER_STATES:
            raise ValueError(f"row {name} does not decide every word")
    return 0


_fill_table()
