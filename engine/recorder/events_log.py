"""events.jsonl: what happened to a run that is no input of a core, one JSON object a line.

The session writes, the recorder reads; what a line says is told nowhere else. A line is one
write(2) at the file's end, so that a kill leaves whole lines and at most one torn last one, which
the recorder leaves alone. Nothing here waits for a disk, and nothing here stops an engine: a line
that can't be written is counted in `lost`. Never give it a key, a secret or a signed address.

What the lines say (any other kind is kept and shown as it is, too):

    kind            fields besides ts_ns, account, core, text
    step            name, ms                a step of the start-up that is done
    previous_run    run_dir                 the account's run before this one: openings are its end
    opening         instrument, carried_e8  parts of a lot held beside the opening (spot)
    adopted         position_lots           an instrument's first run opens with the venue's word
    started         instruments             so many are free to quote
    connection      name, slot, state       up, or down and text says why; name: MARKET, ...
    venue           symbol, state           the venue halted it, or trades it again
    reconciled      rounds, ms              both sides agree again
    fill_recovered  trade_id, side, qty_lots, owner     booked as REST told of it
    settled_order   intent_id, how          what an order of unknown fate turned out to be
    doubt                                   what differed twice while it quoted: text; a halt
    divergence                              what can't be explained: text; a halt until it is
    operator        command                 what a person told it
    balances        assets {asset: total_e8}    as the venue tells them
    warning, error  remedy                  text is the line's `what`
    router          plan, hedge, net, low, high     a taker's plan; of a hedge its name and its
                                            position, and what that may be by orders on their way
    hedged          hedge, net              inside its band again, after a warning
    stopped         in_order                the shutdown's end: cancels proved, nothing open
"""

import json
import os
from pathlib import Path
from typing import Any

EVENTS_FILE = "events.jsonl"
LINE_BYTES_MAX = 1 << 16


class EventsLog:
    """The only writer of one run's events.jsonl."""

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / EVENTS_FILE
        self.lost = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            self._fd = os.open(self.path, flags, 0o644)
        except OSError:
            self._fd = -1

    def say(
        self,
        kind: str,
        ts_ns: int,
        *,
        account: str | None = None,
        core: int | None = None,
        text: str = "",
        **detail: Any,
    ) -> bool:
        """One line; False where it is lost. `ts_ns` is monotonic, as a core's input."""
        line = {"ts_ns": ts_ns, "kind": kind, "account": account, "core": core, "text": text}
        data = json.dumps(line | detail, default=str).encode() + b"\n"
        if len(data) > LINE_BYTES_MAX:
            line["text"] = text[:1000]
            data = json.dumps(line | {"cut": len(data)}).encode() + b"\n"
        if not self._write(data):
            self.lost += 1
            return False
        return True

    def previous_run(self, ts_ns: int, account: str, run_dir: Path) -> bool:
        """Where this run's opening comes from; to be written before anything is traded."""
        return self.say("previous_run", ts_ns, account=account, run_dir=str(run_dir))

    def opening(self, ts_ns: int, account: str, instrument: str, carried_e8: int) -> bool:
        """What of the base asset is held beside the lots of the core's opening, in 1e-8: less
        than a lot (InstrumentOpening.carried_in)."""
        return self.say(
            "opening", ts_ns, account=account, instrument=instrument, carried_e8=carried_e8
        )

    def balances(self, ts_ns: int, account: str, assets: dict[str, int]) -> bool:
        """What the account holds, in 1e-8 of each asset, as the venue tells it."""
        return self.say("balances", ts_ns, account=account, assets=assets)

    def stopped(self, ts_ns: int, *, in_order: bool, text: str = "") -> bool:
        """The last line: did the shutdown prove that nothing of ours is open?"""
        return self.say("stopped", ts_ns, text=text, in_order=in_order)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, data: bytes) -> bool:
        """All of it. A line that a full disk cut is ended, so that the next one stands alone."""
        if self._fd < 0:
            return False
        try:
            count = os.write(self._fd, data)
            if count < len(data):
                os.write(self._fd, b"\n")
            return count == len(data)
        except OSError:
            return False
