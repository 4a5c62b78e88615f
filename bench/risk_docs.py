"""docs/gate.md and docs/halts.md, made of the tables that the engine runs on.

python -m bench.risk_docs           write both; `python -m bench.halt_plots DATA` draws
"""

from collections.abc import Sequence
from pathlib import Path

from bench.halt_plots import DOCS
from fastcore.account import LIMITS
from fastcore.core_stats import halt_names
from fastcore.gate import CODES, HALT_BARS_EXIT
from fastcore.halts import REASONS, SETTINGS
from fastcore.types import Halt

RTS = "RTS 6 art. "
SEC = "SEC 15c3-5 (c)(1)"
# What asks for each check; a code without a row here is an error.
WHY = {
    "STATE": RTS + "12, 15(3)",
    "RANGE": SEC + "(ii)",
    "NOT_POST_ONLY": "a quote that takes is a loss, not a quote",
    "QTY": RTS + "15(1)(c); the venue's filter",
    "NOTIONAL": RTS + "15(1)(b); the venue's filter",
    "TICK_AGE": "an order on old news is picked off",
    "BOOK": "no price without a book",
    "STALE": "FIA: heartbeats; a silent feed looks alive",
    "REFERENCE": RTS + "15(1)(a): no collar without its reference",
    "PRICE": RTS + "15(1)(a)",
    "POST_ONLY": "a quote that takes is a loss, not a quote",
    "RATE": RTS + "15(1)(d)",
    "MESSAGES": RTS + "15(1)(d)",
    "ACCOUNT_RATE": RTS + "15(1)(d); venues count by account",
    "ACCOUNT_MESSAGES": RTS + "15(1)(d); venues count by account",
    "SELF_CROSS": "wash trades",
    "DUPLICATE": SEC + "(ii)",
    "REPLACES": "an amendment of an order that is gone becomes a new one at some venues",
    "REDUCE_ONLY": RTS + "12: what closes a position must not open one",
    "OPEN_ORDERS": RTS + "15(1)(c)",
    "POSITION": RTS + "15(2), 15(4), 17(4)",
    "EXPOSURE": RTS + "15(4)",
    "ACCOUNT_EXPOSURE": SEC + "(i): in the aggregate",
}

GATE = """\
# The gate

*Made by `python -m bench.risk_docs` from `fastcore/gate.pyx` and `fastcore/account.pyx`; a test
compares. Edit those.*

Every order passes the gate in the compiled core, right before it is encoded. The strategy can't
reach it, limits can't be changed while it runs, and there is no override. The first reason found,
in the order of the table, is counted under its code, and journaled when it differs from the last.

{checks}

Each check has a test at its limit, one under it and one over (`tests/test_gate.py`).

## What counts

- Everything sent counts from the send on, whether or not the venue has answered; an order whose
  fate is unknown counts in full. An amended order counts at the greater of its two sizes and may
  meet us at either of its prices until the answer is in.
- *Position* and *exposure* are at the worst: every open order of the order's side filled, none of
  the other. Exposure is valued at the ask, or at the order's own price where that is higher.
  An order that adds nothing to its instrument's worst case passes the account's exposure limit,
  whatever the account holds: else a position could not be quoted down.
- *Cancels and queries* are counted as messages and never denied. Orders stop at a message limit
  less `cancel_reserve`, and at an order limit less `exit_reserve`.
- *Exits* are orders that are both reduce-only and immediate-or-cancel, as stops send them. They
  may use both reserves, never count as open orders, and may be of any value under `notional_max`.
  The sum of exits in flight never exceeds the position, so they can't flip it.
- Before an exit is judged it is cut to `qty_lots_max` and `notional_max`; the rest of the position
  goes with the next one, and no rest under `qty_lots_min` is left behind. Its limit price is drawn
  into the collar, but never past the touch. Exits denied all the same are counted apart, as
  `exits_denied`: a position that should close and does not.
- While an exit waits for nothing but other exits, a reduce-only quote counts every open order of
  its side.

## While halted

Nothing passes but exits, and those do not pass either under {barred}: where we stand, or
what the venue last said, is then not known, or the instrument does not trade.

## Limits

All are required; there are no defaults. Values are whole numbers.

{limits}
"""

HALTS = """\
# Halts

*Made by `python -m bench.risk_docs` from `fastcore/halts.pyx`; a test compares. Edit that.*

Reasons are bits of one word, read before every send; any bit pulls the quotes. Cancels always
leave. What clears itself does so with hysteresis.

{reasons}

## Settings

All are required, in the section `halts`.

{settings}

## Pictures

Drawn by `python -m bench.halt_plots DATA` from a recorded tape (BTCUSDT perpetual, Binance,
8 August 2024, 345 s); what the tape does not have is put in, and said so. Red: the halt is in
force.

**SPREAD**, with a blow-out of 80 ticks put in; the tape's own spikes last too short.
![spread](halt_spread.svg)

**TOXICITY**, all the tape's own; the thresholds are set so that this tape crosses them.
![toxicity](halt_toxicity.svg)

**REPEATED_EXECUTION**: we did not trade on this tape, so each of its trades is taken as a fill of
ours, with limits to match. Resuming in a market that still runs halts again.
![repeated execution](halt_repeated_execution.svg)

**ONE_SIDED_FILLS**, likewise.
![one-sided fills](halt_one_sided_fills.svg)

**The others**, on a core that quotes on the tape's frames while things are done to it. The venue
accepts every order and never fills; a stream that is up again is reconciled at once.
![core](halt_core.svg)

SPREAD, TOXICITY, REPEATED_EXECUTION, ONE_SIDED_FILLS, LATENCY, LEG and DEAD_MAN, where nothing
else is raised, leave the strategy its hedges and those of its takes that shrink the position: they
say that quoting is dear, or that nothing may be left resting, not that we don't know where we
stand.

LATENCY, LEG, DEAD_MAN, VENUE and LINK are raised from outside of the core's own chain; STRATEGY
only by a strategy whose calls are refused, which those of the built-in ones are not. They have no
picture.

HALT and RESUME are commands of the core (`fastcore.types.Command`): `tickmaker halt RUN` and
`tickmaker resume RUN` give them to an engine that runs, a demo's too. A replay of a tape takes
none: latched, it stays so to its end.
"""


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def gate() -> str:
    checks = [(str(code), f"`{name}`", text, WHY[name]) for code, (name, text) in CODES.items()]
    limits = [
        (f"`{key}`", f"{lowest} .. {highest}", text)
        for key, (lowest, highest, text) in LIMITS.items()
    ]
    return GATE.format(
        checks=table(("code", "name", "denied", "asked for by"), checks),
        limits=table(("limits.", "range", "meaning"), limits),
        barred=", ".join(f"`{name}`" for name in halt_names(HALT_BARS_EXIT)),
    )


def halts() -> str:
    reasons = [
        (str(bit), f"`{Halt(bit).name}`", raised, cleared, "no" if bit & HALT_BARS_EXIT else "yes")
        for bit, (raised, cleared) in REASONS.items()
    ]
    settings = [
        (f"`{key}`", f"0 .. {highest:,.0f}", "whole" if is_whole else "number", text)
        for key, (is_whole, highest, text) in SETTINGS.items()
    ]
    return HALTS.format(
        reasons=table(("bit", "reason", "raised by", "cleared by", "exits pass"), reasons),
        settings=table(("halts.", "range", "kind", "meaning"), settings),
    )


PAGES = {"gate.md": gate, "halts.md": halts}


def main() -> None:
    for name, page in PAGES.items():
        (Path(DOCS) / name).write_text(page(), encoding="utf-8")
        print(f"docs/{name}")


if __name__ == "__main__":
    main()
