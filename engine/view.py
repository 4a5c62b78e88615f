"""What a person sees in the terminal while a run goes on; its end is in report/terminal.py.

`render` is pure: a status in, something rich can draw out. LiveView adds what takes two looks
(rates, events), and without a terminal writes one plain line a second. Fits 80 x 24; wider
terminals get wider bars.
"""

from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Self

from rich.box import ROUNDED
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from engine.report.bench_terminal import print_bench
from engine.report.terminal import (
    BAD,
    EDGE,
    GOOD,
    SOFT,
    print_result,
    print_summary,
    rows_table,
    summary,
    tone,
)
from engine.report.text import NONE, fee_text, money, plain, quantity, quote_name, us

__all__ = [
    "LiveView", "of_instrument", "plain_line", "print_bench", "print_result", "print_summary",
    "render", "summary",
]  # fmt: skip

LEVELS = 5  # of each side of the book
EVENTS_SHOWN = 3
BUY, SELL, OWN = "dodger_blue1", "dark_orange", "bold yellow"
_SILENT_S = 1.0  # an engine that shows nothing new for longer is said to be silent


def of_instrument(status: dict[str, Any], key: str = "") -> dict[str, Any]:
    """What an engine's status page says of one instrument: `key`'s, or the first one's."""
    instruments = status.get("instruments") or {}
    chosen = key if key in instruments else next(iter(instruments), "")
    return dict(instruments.get(chosen, {}))


def render(
    status: dict[str, Any], elapsed_s: float, total_s: float, events: Sequence[str] = ()
) -> RenderableType:
    """The whole screen from one status of the engine; keys as in the status page."""
    body = Table.grid(expand=True, padding=0)
    body.add_column(ratio=11)
    body.add_column(ratio=9)
    quote = quote_name(str(status.get("symbol", "")))
    right = Group(_position_panel(status, quote), _latency_panel(status))
    body.add_row(_book_panel(status, quote), right)
    lines = [
        Text(line, overflow="ellipsis", no_wrap=True) for line in list(events)[-EVENTS_SHOWN:]
    ]
    lines += [Text()] * (EVENTS_SHOWN - len(lines))
    return Group(
        _header(status, elapsed_s, total_s),
        body,
        _panel("counters", _counters(status, elapsed_s)),
        *lines,
    )


def state_words(status: dict[str, Any]) -> tuple[str, str]:
    """(words, style) of what the engine is doing."""
    if "state" not in status:
        return "STARTING", SOFT
    reasons = list(status["state"])
    code = status.get("strategy_code", 1)
    if not reasons and code != 1 and not status.get("own"):
        return f"STANDS ASIDE (code {code})", "bold yellow"
    if not reasons:
        return "QUOTING", f"bold {GOOD}"
    if "SHUTDOWN" in reasons:
        return "SHUTTING DOWN", "bold yellow"
    return "HALTED " + ", ".join(reasons), f"bold {BAD}"


def plain_line(status: dict[str, Any], elapsed_s: float, total_s: float) -> str:
    """The same in one line, for a log or a pipe."""
    pnl, latency = status.get("pnl", {}), status.get("tick_to_order", {})
    symbol = str(status.get("symbol", ""))
    return (
        f"{elapsed_s:5.1f} of {total_s:.0f} s  {state_words(status)[0]}  "
        f"orders {plain(status.get('orders_sent'))}  fills {plain(status.get('fills'))}  "
        f"position {plain(status.get('position_lots'))} lots  "
        f"P&L {money(pnl.get('total'))} {quote_name(symbol)}  "
        f"tick-to-order p50 {us(latency.get('p50_us'))} p99 {us(latency.get('p99_us'))} "
        f"p99.9 {us(latency.get('p999_us'))} n {plain(latency.get('n'))}"
    )


class LiveView:
    """Draws statuses as they come; a context manager. Not a thread: draws when updated."""

    def __init__(self, console: Console, total_s: float) -> None:
        self.console = console
        self.total_s = total_s
        self._noted = ""
        self.events: deque[str] = deque(maxlen=50)
        self._live: Live | None = None
        self._previous: dict[str, Any] = {}
        self._changed_s = 0.0  # when the status last was a new one
        self._rate_from = (0.0, 0)  # elapsed_s, frames
        self._frames_per_s = 0.0
        self._next_line_s = 0.0

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live = Live(
                console=self.console, auto_refresh=False, transient=True, vertical_overflow="crop"
            )
            self._live.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def note(self, line: dict[str, Any]) -> None:
        """One progress line of the engine, {"event": .., ..}, in words; each once in a row."""
        event = line.get("event")
        if event == "state":
            text = "halted: " + ", ".join(line["state"]) if line["state"] else "quoting"
        elif event == "connection":
            why = f" ({line['why']})" if line.get("why") else ""
            text = f"{line['name']} connection {line['state']}{why}"
        elif event == "warning":
            text = f"{line['what']}\n    {line['remedy']}"
        else:
            text = " ".join(
                [str(event), *(f"{key} {value}" for key, value in line.items() if key != "event")]
            )
        if text != self._noted:
            self._noted = text
            self._say(text)

    def update(self, status: dict[str, Any], elapsed_s: float) -> None:
        """Draw `status`; it is also compared with the one before, for events and rates."""
        self._watch(status, elapsed_s)
        shown = status | {"frames_per_s": self._frames_per_s}
        if elapsed_s - self._changed_s > _SILENT_S:
            shown["silent_s"] = elapsed_s - self._changed_s
        if self._live is not None:
            self._live.update(
                render(shown, elapsed_s, self.total_s, list(self.events)), refresh=True
            )
        elif elapsed_s >= self._next_line_s:
            self._next_line_s = int(elapsed_s) + 1.0
            self._print(plain_line(shown, elapsed_s, self.total_s))

    def _watch(self, status: dict[str, Any], elapsed_s: float) -> None:
        before = self._previous
        if before and status.get("now_ns") != before.get("now_ns"):
            self._changed_s = elapsed_s
        if before:
            self._notice(before, status, elapsed_s)
        else:
            self._changed_s = elapsed_s
            self._rate_from = (elapsed_s, int(status.get("frames", 0)))
        since_s, since_frames = self._rate_from
        if elapsed_s - since_s >= 1.0:
            frames = int(status.get("frames", 0))
            self._frames_per_s = (frames - since_frames) / (elapsed_s - since_s)
            self._rate_from = (elapsed_s, frames)
        self._previous = status

    def _notice(self, before: dict[str, Any], now: dict[str, Any], elapsed_s: float) -> None:
        at = f"{elapsed_s:6.1f} s  "
        filled = int(now.get("fills", 0)) - int(before.get("fills", 0))
        if filled > 0:
            moved = int(now.get("position_lots", 0)) - int(before.get("position_lots", 0))
            self._say(
                f"{at}{filled} fill{'s' * (filled > 1)}, {moved:+,} lots, "
                f"position {plain(now.get('position_lots'))} lots"
            )
        if now.get("state") != before.get("state"):
            self._say(f"{at}{state_words(now)[0].lower()}")
        late = int(now.get("late", 0)) - int(before.get("late", 0))
        if late > 0:
            self._say(f"{at}{late} late, not sent")

    def _say(self, text: str) -> None:
        self.events.append(text)
        if self._live is None:
            self._print(text)

    def _print(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


# -- parts of the screen ---


def _panel(title: str, body: RenderableType) -> Panel:
    return Panel(
        body, title=title, title_align="left", box=ROUNDED, border_style=EDGE, padding=(0, 1)
    )


def _header(status: dict[str, Any], elapsed_s: float, total_s: float) -> RenderableType:
    words, style = state_words(status)
    left = Text.assemble(
        (str(status.get("symbol", NONE)), "bold"),
        "  ",
        (str(status.get("strategy", NONE)), ""),
        "  ",
        (words, style),
        overflow="ellipsis",
        no_wrap=True,
    )
    if status.get("silent_s"):
        left.append(f"  engine silent for {status['silent_s']:.1f} s", f"bold {BAD}")
    remaining_s = max(total_s - elapsed_s, 0.0)
    cells = 12
    done = round(cells * min(elapsed_s / total_s, 1.0)) if total_s > 0 else cells
    right = Text.assemble(
        f"{elapsed_s:.0f} s, {remaining_s:.0f} s left ",
        ("━" * done, GOOD),
        ("━" * (cells - done), SOFT),
    )
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_column(justify="right", no_wrap=True)
    grid.add_row(left, right)
    return grid


def _ladder(
    levels: Sequence[Sequence[int]], own: dict[int, int], is_bid: bool
) -> list[tuple[int, int, int]]:
    """(px, market qty, own qty) of at most LEVELS rows, best first; own quotes always among them.

    The last rows give way to own quotes that stand deeper than the book is shown.
    """
    sizes = {int(px): int(qty) for px, qty in levels}
    prices = sorted({*sizes, *own}, reverse=is_bid)
    shown = prices[:LEVELS]
    hidden = [px for px in prices[LEVELS:] if px in own]
    for px in hidden[:1]:
        shown[-1] = px
    return [(px, sizes.get(px, 0), own.get(px, 0)) for px in shown]


def _own(status: dict[str, Any], side: str) -> dict[int, int]:
    """Our open lots by price; an order counts with what is left of it."""
    lots: dict[int, int] = {}
    for order in status.get("own", []):
        leaves = int(order.get("leaves_lots", order.get("qty_lots", 0)))
        if order["side"] == side and leaves > 0:
            lots[int(order["px_ticks"])] = lots.get(int(order["px_ticks"]), 0) + leaves
    return lots


def _book_panel(status: dict[str, Any], quote: str) -> Panel:
    tick, lot = Decimal(status.get("tick", "1")), Decimal(status.get("lot", "1"))
    asks = _ladder(status.get("levels_ask", []), _own(status, "SELL"), is_bid=False)
    bids = _ladder(status.get("levels_bid", []), _own(status, "BUY"), is_bid=True)
    largest = max((qty for _, qty, _ in (*asks, *bids)), default=0) or 1
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(ratio=1, no_wrap=True)
    table.add_row(*(Text(head, SOFT) for head in (f"price, {quote}", "size", "ours", "")))

    def add(rows: list[tuple[int, int, int]], colour: str) -> None:
        for px, qty, ours in rows:
            table.add_row(
                Text(f"{px * tick:,}", colour),
                Text(quantity(qty, lot) if qty else ""),
                Text(f"◆ {quantity(ours, lot)}" if ours else "", OWN),
                _Bar(qty / largest, colour),
            )

    for _ in range(LEVELS - len(asks)):
        table.add_row("")
    add(asks[::-1], SELL)
    table.add_row(*_spread_row(status, tick))
    add(bids, BUY)
    for _ in range(LEVELS - len(bids)):
        table.add_row("")
    return _panel(f"book, {status.get('book', NONE)}", table)


def _spread_row(status: dict[str, Any], tick: Decimal) -> list[Text]:
    bid, ask = status.get("bid_px_ticks", 0), status.get("ask_px_ticks", 0)
    if not bid or not ask:
        return [Text("no two-sided book", SOFT)]
    ticks = ask - bid
    return [
        Text(f"{(bid + ask) * tick / 2:,}", "bold"),
        Text("mid", SOFT),
        Text(""),
        Text(f"spread {ticks} tick{'s' * (ticks != 1)}", SOFT),
    ]


class _Bar:
    """A bar as long as its share of the column."""

    def __init__(self, share: float, colour: str) -> None:
        self.share = share
        self.colour = colour

    def __rich_console__(self, _console: Console, options: Any) -> Any:
        cells = round(self.share * options.max_width)
        yield Text("▆" * max(cells, 1 if self.share > 0 else 0), self.colour, no_wrap=True)


def _position_panel(status: dict[str, Any], quote: str) -> Panel:
    pnl = status.get("pnl", {})
    lots = status.get("position_lots", 0)
    amount = quantity(lots, Decimal(status.get("lot", "1")))
    rows = [("position", f"{amount} ({plain(lots)} lots)", "bold")]
    rows.append(("total", f"{money(pnl.get('total'))} {quote}", f"bold {tone(pnl.get('total'))}"))
    for key in ("spread", "fees", "inventory"):
        rows.append((key, f"{money(pnl.get(key))} {quote}", ""))
    for key, asset in (("fees_base_e8", "base"), ("fees_other_e8", "other")):
        if status.get(key):
            rows.append((f"fees, {asset}", fee_text(status[key], asset), ""))
    return _panel("position and P&L", rows_table(rows))


def _latency_panel(status: dict[str, Any]) -> Panel:
    latency = status.get("tick_to_order", {})
    rows = [
        (name, us(latency.get(key)), "bold" if key == "p50_us" else "")
        for name, key in (
            ("p50", "p50_us"),
            ("p99", "p99_us"),
            ("p99.9", "p999_us"),
            ("max", "max_us"),
        )
    ]
    rows.append(("n", plain(latency.get("n", 0)), ""))
    return _panel("tick-to-order", rows_table(rows))


def _counters(status: dict[str, Any], elapsed_s: float) -> Table:
    frames = int(status.get("frames", 0))
    rate = status.get("frames_per_s") or (frames / elapsed_s if elapsed_s > 0 else 0.0)
    denies = status.get("denies", {})
    cells = [
        ("orders", plain(status.get("orders_sent", 0)), ""),
        ("amends", plain(status.get("modifies_sent", 0)), ""),
        ("cancels", plain(status.get("cancels_sent", 0)), ""),
        ("fills", plain(status.get("fills", 0)), "bold"),
        ("frames/s", f"{rate:,.0f}", ""),
        ("denies", plain(sum(denies.values())), ""),
        ("late", plain(status.get("late", 0)), BAD if status.get("late") else ""),
        ("gaps", plain(status.get("gaps", 0)), BAD if status.get("gaps") else ""),
        ("malformed", plain(status.get("malformed", 0)), BAD if status.get("malformed") else ""),
    ]
    table = Table.grid(expand=True, padding=(0, 2))
    for _ in range(5):
        table.add_column(ratio=1, no_wrap=True)
    texts = [Text.assemble((f"{name} ", SOFT), (value, style)) for name, value, style in cells]
    table.add_row(*texts[:5])
    table.add_row(*texts[5:])
    return table
