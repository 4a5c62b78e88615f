"""A whole core on a fuzzed day: frames, answers, time, lost connections, commands, in any order.

The first byte chooses a configuration, each later byte an input; few bytes more say which. The
venue of this day may lie: fill what we never sent, repeat itself, contradict itself, send
rubbish. What must hold whatever it says:

- no order leaves while a halt is in force, but an exit that the gate lets pass;
- an order that leaves respects each limit: size, price, worth, position and open orders with all
  that is in flight at full size, orders and messages in a window;
- it does not meet an own order on the other side;
- every message is a well-formed masked frame with well-formed JSON;
- the journal replayed gives the same bytes.
"""

import json
from collections import deque
from typing import Any

from engine.config import demo_core
from engine.replay.verify import Record, _apply
from fastcore.core import Core
from fastcore.gate import HALT_BARS_EXIT
from fastcore.journal import INPUT_LAST, JournalWriter, read_segment
from fastcore.types import Command, Conn, OrderState, Side, Verb
from tests.fuzz.guard import Dice, exact

API_KEY, SECRET = b"K" * 64, b"S" * 64
MS = 1_000_000
UTC_OFFSET_NS = 1_700_000_000_000 * MS
STEPS_MAX = 160
REPLAYED_ONE_OF = 3  # a second core costs as much as the day
PX_MIN = 100  # ticks: a day's prices stay a book's
WAITS_MS = (0, 1, 1, 2, 10, 50, 100, 250, 600, 1_001, 2_001, 5_000, 10_001, 60_001)
STATUSES = (200, 200, 400, 400, 429, 418, 503, 409)
ERRORS = (-2011, -2013, -5022, -2019, -1003, -1015, -1021, -2010, -1007, -5021, -4028, 0)
EXECUTIONS = ("NEW", "CANCELED", "EXPIRED", "AMENDMENT", "CALCULATED", "REJECTED", "TRADE")
STATES = ("NEW", "CANCELED", "EXPIRED", "PARTIALLY_FILLED", "FILLED", "REJECTED")
PLAIN = {OrderState.PENDING_NEW, OrderState.NEW, OrderState.PARTIALLY_FILLED,
         OrderState.PENDING_CANCEL}  # fmt: skip
TIGHT = {
    "price_collar_ticks": 40, "qty_lots_max": 10, "notional_max": 10 * 700_000,
    "position_lots_max": 25, "exposure_max": 25 * 620_000, "open_orders_max": 3,
    "orders_per_10s_max": 12, "orders_per_min_max": 30, "messages_per_s_max": 14,
    "cancel_reserve": 4, "exit_reserve": 2,
}  # fmt: skip
CORES: tuple[dict[str, Any], ...] = (
    {},
    {"quoting": {"modify": True}, "limits": TIGHT | {"exposure_max": 200_000_000}},
    {"stops": {"stop_ticks": 2, "target_ticks": 3, "hold_ms_max": 500, "slippage_ticks": 5},
     "limits": TIGHT},
    {"quoting": {"modify": True, "requote_ticks": 1, "requote_ms": 50},
     "stops": {"stop_ticks": 4, "target_ticks": 0, "hold_ms_max": 0, "slippage_ticks": 1},
     "limits": {"reference_age_ms_max": 500, "qty_lots_min": 5}},
)  # fmt: skip


def core_config(which: int) -> dict[str, Any]:
    config = demo_core("BTCUSDT", "spread", "0a1b2c3d", seed=1)
    config |= {"tick": "0.10", "lot": "0.001", "assets": {"base": "BTC", "quote": "USDT"}}
    config["quoting"] |= {"requote_ticks": 0, "requote_ms": 0, "modify": False}
    for section, values in CORES[which % len(CORES)].items():
        config[section] |= values
    return config


def core(data: bytes) -> None:
    dice = Dice(data)
    head = dice.byte()
    day = Day(core_config(head), 8_192 if head & 128 else 1 << 18)
    if head & 64 == 0:
        day.open()
    steps = 0
    while dice and steps < STEPS_MAX:
        day.step(dice)
        steps += 1
    day.core.stats(day.now_ns)
    if sum(data) % REPLAYED_ONE_OF == 0:
        day.replay()


class Day:
    """One core, its clock, what it has sent, and the rules that it is held to."""

    def __init__(self, config: dict[str, Any], journal_size: int) -> None:
        self.config, self.limits = config, config["limits"]
        self.segment = bytearray(journal_size)
        self.core = Core(config, API_KEY, SECRET, JournalWriter(self.segment))
        self.now_ns = 1_000 * MS
        self.update_id, self.trade_id, self.mid = 100, 5_000, 600_000
        self.sent: deque[dict[str, Any]] = deque(maxlen=16)  # messages, the newest last
        self.placed: deque[dict[str, Any]] = deque(maxlen=16)
        self.filled: dict[str, int] = {}
        self.outcome = 0
        self.orders_ns: deque[int] = deque()
        self.messages_ns: deque[int] = deque()
        self.last_frame = b"{}"
        self.has_said_key = False

    def open(self) -> None:
        """Everything up, book synced, started: quoting."""
        self.give(self.core.clock, UTC_OFFSET_NS)
        for conn in Conn:
            self.give(self.core.conn, conn, True)
        self.snapshot([[self.px(-1), "1.000"]], [[self.px(1), "1.000"]])
        self.depth([], [], self.update_id)
        self.trade(self.px(0), 1)
        self.give(self.core.account, 0, 0)
        self.give(self.core.command, Command.START)

    # -- INPUTS ---

    def step(self, dice: Dice) -> None:
        """The next input: one byte says which, low bits often, so that the usual is usual."""
        verb = dice.byte()
        if verb & 128:
            self.now_ns += WAITS_MS[(verb >> 3 & 15) % len(WAITS_MS)] * MS
        steps = (
            self.on_best, self.on_fill, self.on_reply, self.on_timer, self.on_depth,
            self.on_update, self.on_rare, self.mend,
        )  # fmt: skip
        steps[verb & 7](dice)

    def give(self, call: Any, *args: Any) -> None:
        """One input, then what it made the core put out: checked, sent, reported."""
        before = self.core.halt_bits
        call(*args, self.now_ns)
        outs = self.core.outgoing()
        if outs:
            self.check(outs, before & self.core.halt_bits)
        for out_seq, _, _, verb, data, _, _ in outs:
            message = unmask(data)
            self.sent.append(message["params"] | {"id": message["id"], "verb": verb})
            if verb == Verb.PLACE:
                self.placed.append(self.sent[-1])
            code = self.core.send(out_seq, self.outcome, self.now_ns, self.now_ns, self.now_ns)
            assert code >= 0

    def frame(self, conn: int, payload: bytes) -> None:
        self.last_frame = payload
        self.has_said_key |= b"KKKK" in payload  # a mutation's own
        now_ns = self.now_ns
        self.give(lambda now: self.core.frame(conn, exact(payload), now_ns, now))

    def say(self, conn: int, message: dict[str, Any]) -> None:
        self.frame(conn, json.dumps(message, separators=(",", ":")).encode())

    def px(self, off: int) -> str:
        ticks = max(PX_MIN, self.mid + off)
        return f"{ticks // 10}.{ticks % 10}0"

    def snapshot(self, bids: list[Any], asks: list[Any]) -> None:
        body = {"lastUpdateId": self.update_id, "E": 1, "T": 1, "bids": bids, "asks": asks}
        self.give(self.core.snapshot, exact(json.dumps(body).encode()))

    def depth(self, bids: list[Any], asks: list[Any], prev: int) -> None:
        self.update_id += 1
        self.say(Conn.MARKET, {
            "e": "depthUpdate", "E": 1, "T": 1, "s": "BTCUSDT", "U": self.update_id,
            "u": self.update_id, "pu": prev, "b": bids, "a": asks,
        })  # fmt: skip

    def trade(self, px: str, qty_lots: int) -> None:
        self.say(Conn.MARKET, {
            "e": "trade", "E": 1, "T": 1, "s": "BTCUSDT", "t": 7, "p": px, "q": lots(qty_lots),
            "X": "MARKET", "m": bool(qty_lots & 1),
        })  # fmt: skip

    # -- STEPS ---

    def on_best(self, dice: Dice) -> None:
        move = dice.byte()
        self.mid = max(PX_MIN, self.mid + (move & 63) - 32)
        self.update_id += 1
        self.say(Conn.MARKET, {
            "e": "bookTicker", "u": self.update_id, "s": "BTCUSDT", "b": self.px(-1 - (move >> 7)),
            "B": lots(1 + dice.byte()), "a": self.px(move >> 6 & 1), "A": "1.000", "T": 1, "E": 1,
        })  # fmt: skip

    def on_depth(self, dice: Dice) -> None:
        counts = dice.byte()
        sides = []
        for sign, count in ((-1, counts & 3), (1, counts >> 2 & 3)):
            sides.append([[self.px(sign * (dice.byte() - 16)), lots(dice.byte() % 4)]
                          for _ in range(count)])  # fmt: skip
        if counts & 64:
            self.snapshot(*sides)
        else:
            self.depth(*sides, self.update_id - (counts >> 7))

    def pick(self, among: deque[dict[str, Any]], which: int) -> dict[str, Any]:
        """A message of ours, the newest first; or one that never was."""
        if among and which < 250:
            return among[-1 - which % len(among)]
        return {"id": f"1{which:012x}", "newClientOrderId": f"tm0a1b2c3d-01-{which:012x}"}

    def on_reply(self, dice: Dice) -> None:
        """Low bytes: the answer that is due. High ones: any."""
        params, what = self.pick(self.sent, dice.byte()), dice.byte()
        status = STATUSES[what & 7] if what >= 128 else 200
        message: dict[str, Any] = {"id": params["id"], "status": status}
        if status == 200:
            is_cancel = params.get("verb") == Verb.CANCEL
            done = self.filled.get(client_id(params), 0)
            state = "CANCELED" if is_cancel else "NEW"
            if what >= 128:
                state = STATES[(what >> 3) % len(STATES)]
            message["result"] = {
                "orderId": 900, "status": state,
                "executedQty": lots(dice.byte() % 16 if what >= 192 else done),
                "price": params.get("price", "60000.0"),
                "origQty": params.get("quantity", "0.010"),
            }  # fmt: skip
        else:
            message["error"] = {"code": ERRORS[(what >> 3) % len(ERRORS)], "msg": "no"}
        self.say(Conn.TRADE, message)

    def on_fill(self, dice: Dice) -> None:
        """Low bytes: a fill that can be. High ones: too much, twice, or of a stranger."""
        params, what = self.pick(self.placed, dice.byte()), dice.byte()
        whole, name = ticks_of(params.get("quantity", "0.010"), 3), client_id(params)
        done, last = self.filled.get(name, 0), 1 + (what & 15)
        if what < 192:
            last = min(last, whole - done)
            if last <= 0:
                return
        done += last
        self.filled[name] = done
        self.trade_id += what != 255
        self.update(params, "TRADE", "FILLED" if done >= whole else "PARTIALLY_FILLED",
                    l=lots(last), z=lots(done), L=params.get("price", self.px(0)),
                    n="0.01", N="USDT", t=self.trade_id)  # fmt: skip

    def on_update(self, dice: Dice) -> None:
        params, what = self.pick(self.placed, dice.byte()), dice.byte()
        if what < 128:
            what = 0
        self.update(params, EXECUTIONS[what % len(EXECUTIONS)], STATES[(what >> 4) % len(STATES)])

    def update(self, params: dict[str, Any], execution: str, status: str, **fields: Any) -> None:
        order = {
            "s": "BTCUSDT", "c": client_id(params), "S": params.get("side", "BUY"), "o": "LIMIT",
            "f": "GTX", "q": params.get("quantity", "0.010"), "p": params.get("price", "60000.0"),
            "ap": "0", "sp": "0", "x": execution, "X": status, "i": 900, "l": "0", "z": "0",
            "L": "0", "T": 1, "t": 0, "b": "0", "a": "0", "m": True, "R": False, "ps": "BOTH",
            "rp": "0",
        } | fields  # fmt: skip
        self.say(Conn.USER, {"e": "ORDER_TRADE_UPDATE", "T": 1, "E": 1, "o": order})

    def on_timer(self, dice: Dice) -> None:
        self.now_ns += WAITS_MS[dice.byte() % len(WAITS_MS)] * MS
        self.give(self.core.timer)

    def mend(self, dice: Dice) -> None:
        """What an edge and a person do after a halt: all up, a snapshot, the account, go on."""
        if dice.byte() & 128:
            self.on_raw(dice)
            return
        for conn in (Conn.TRADE, Conn.USER):
            self.give(self.core.conn, conn, True)
        self.give(self.core.clock, UTC_OFFSET_NS)
        if self.core.snapshot_wanted:
            self.snapshot([[self.px(-1), "1.000"]], [[self.px(1), "1.000"]])
            self.depth([], [], self.update_id)
        self.give(self.core.account, self.core.numbers()["position_lots"], 0)
        self.give(self.core.command, Command.RESUME)
        self.give(self.core.command, Command.START)

    def on_rare(self, dice: Dice) -> None:
        which, what = dice.byte(), dice.byte()
        if which % 8 == 0:
            self.give(self.core.conn, what % 3, bool(what & 4))
        elif which % 8 == 1:
            self.give(self.core.command, 1 + what % len(Command))
        elif which % 8 == 2:
            own = self.core.numbers()["position_lots"]
            self.give(self.core.account, own if what & 3 else own + (what >> 2), what >> 6)
        elif which % 8 == 3:
            self.give(self.core.clock, UTC_OFFSET_NS + (what - 128) * MS)
        elif which % 8 == 4:
            self.outcome = what & 3 if what & 4 else 0
        elif which % 8 == 5:
            self.trade(self.px(what - 128), 1 + dice.byte())
        elif which % 8 == 6:
            px_ticks = max(1, self.mid + what - 128)
            self.give(self.core.take, which >> 7, px_ticks, 1 + dice.byte() % 16, 1)
        else:  # what an account's push may say: a position, a balance, or neither
            self.say(Conn.USER, {
                "e": "ACCOUNT_UPDATE", "T": 1, "E": 1, "a": {"m": "ORDER", "B": [], "P": [
                    {"s": "BTCUSDT", "pa": lots(what - 128), "ps": "BOTH"}]},
            })  # fmt: skip

    def on_raw(self, dice: Dice) -> None:
        """Bytes of the fuzzer's, or the last frame with one of its bytes changed, or cut."""
        what = dice.byte()
        if what & 128:
            self.frame(what % 3, dice.take(dice.byte()))
            return
        changed, at = bytearray(self.last_frame), dice.word()
        if at < len(changed):
            changed[at] = dice.byte()
        self.frame(what % 3, bytes(changed[: len(changed) - (what >> 4)]))

    # -- RULES ---

    def check(self, outs: list[Any], halted: int) -> None:
        """What has just been put out, against the state that the core says it is in."""
        numbers = self.core.numbers()
        placed = 0
        for _, intent_id, conn, verb, data, _, _ in outs:
            assert conn == Conn.TRADE
            self.messages_ns.append(self.now_ns)
            if verb not in (Verb.PLACE, Verb.MODIFY):
                assert verb in (Verb.CANCEL, Verb.STATUS), verb
                continue
            params = unmask(data)["params"]
            is_exit = params.get("timeInForce") == "IOC" and params.get("reduceOnly") == "true"
            assert not halted or (is_exit and not halted & HALT_BARS_EXIT), (halted, params)
            self.orders_ns.append(self.now_ns)
            placed += verb == Verb.PLACE and params.get("timeInForce") != "IOC"
            self.check_order(numbers, intent_id, params, is_exit)
        limits = self.limits
        if placed:
            assert len(numbers["own"]) <= limits["open_orders_max"] + len(outs) - placed + sum(
                order["state"] not in PLAIN for order in numbers["own"]
            ), numbers["own"]
        if self.orders_ns and self.orders_ns[-1] == self.now_ns:
            while self.now_ns - self.orders_ns[0] >= 10_000 * MS:
                self.orders_ns.popleft()
            assert len(self.orders_ns) <= limits["orders_per_10s_max"]

    def check_order(
        self, numbers: dict[str, Any], intent_id: int, params: dict[str, Any], is_exit: bool
    ) -> None:
        limits = self.limits
        side = Side[params["side"]]
        sign = 1 if side == Side.BUY else -1
        px = ticks_of(params["price"], 1)
        qty = ticks_of(params["quantity"], 3)
        assert limits["qty_lots_min"] <= qty <= limits["qty_lots_max"], params
        assert px * qty <= limits["notional_max"], params
        off = 2 * px - numbers["bid_px_ticks"] - numbers["ask_px_ticks"]
        assert abs(off) <= 2 * limits["price_collar_ticks"], (params, off)
        if params.get("timeInForce") == "GTX":
            touch = numbers["ask_px_ticks"] if sign > 0 else numbers["bid_px_ticks"]
            assert sign * (touch - px) > 0, (params, touch)
        own = sum(order["leaves_lots"] for order in numbers["own"] if order["side"] == side)
        worst = sign * numbers["position_lots"] + own
        if not is_exit:
            assert worst <= limits["position_lots_max"], (worst, params, numbers["own"])
            mark = max(numbers["ask_px_ticks"], px)
            assert worst * mark <= limits["exposure_max"], (worst, mark, params)
        for order in numbers["own"]:
            if order["side"] != side and order["state"] in PLAIN:
                assert sign * (order["px_ticks"] - px) > 0, (params, numbers["own"])
            assert order["intent_id"] != intent_id or order["side"] == side

    def replay(self) -> None:
        """The journal's inputs into a new core: its journal must be the same, byte for byte."""
        assert self.has_said_key or API_KEY not in self.segment
        again = bytearray(len(self.segment))
        other = Core(self.config, API_KEY, SECRET, JournalWriter(again))
        for record in list(read_segment(self.segment))[1:]:
            if record[1] <= INPUT_LAST:
                _apply(other, Record("fuzz", *record[:6], bytes(record[6])))
        assert again == self.segment


def client_id(params: dict[str, Any]) -> str:
    """Of the order that a message is about; "web_1": of a stranger."""
    return str(params.get("newClientOrderId") or params.get("origClientOrderId", "web_1"))


def lots(count: int) -> str:
    sign = "-" if count < 0 else ""
    return f"{sign}{abs(count) // 1000}.{abs(count) % 1000:03}"


def ticks_of(text: str, decimals: int) -> int:
    """Decimal text in units of its last wanted decimal."""
    whole, _, part = text.partition(".")
    assert not part[decimals:].strip("0"), text
    return int(whole + part[:decimals].ljust(decimals, "0"))


def unmask(frame: bytes) -> dict[str, Any]:
    """The JSON of a masked client text frame (RFC 6455 section 5.2)."""
    assert frame[0] == 0x81
    assert frame[1] & 0x80
    size, at = frame[1] & 0x7F, 2
    if size == 126:
        size, at = int.from_bytes(frame[2:4], "big"), 4
    body = frame[at + 4 :]
    assert len(body) == size
    key = (frame[at : at + 4] * (size // 4 + 1))[:size]
    mixed = int.from_bytes(body, "big") ^ int.from_bytes(key, "big")
    message: dict[str, Any] = json.loads(mixed.to_bytes(size, "big"))
    return message
