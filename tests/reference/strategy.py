"""Slow, obvious twins of the built-in strategies, of their two formulas and of check_target.

A strategy is a function of (view, params, state, want), of plain dicts, so that each line reads as
its formula. Operations stand in the order of the fast ones: the doubles are identical.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fastcore.strategy import Quotes

QUOTE, ASIDE, NOT_WARM = 1, 0, 2
OK, RANGE = 0, -2
BUY, SELL = 0, 1
LIMIT, TOUCH_LIMIT = 1 << 52, 1 << 51  # no price or size above the first, no touch above the other
SCALARS = ("now_ns", "position_lots", "entry_px_ticks", "entry_ns", "maker_fee_ticks",
           "ref_position_lots", "ref_open_lots", "ref_lots_per_lot")  # fmt: skip

Level = tuple[int, int]
Take = tuple[int, int, int, int]


class Want:
    """A Target."""

    def __init__(self) -> None:
        self.bids: list[Level] = []
        self.asks: list[Level] = []
        self.take: Take | None = None
        self.hedge: Take | None = None


class View:
    """A View: what is not given is 0."""

    def __init__(self, given: dict[str, Any]) -> None:
        for name in SCALARS:
            setattr(self, name, given.get(name, 0))
        self.bids: list[Level] = given.get("bids", [])
        self.asks: list[Level] = given.get("asks", [])
        self.ref_bid: Level = given.get("ref_bid", (0, 0))
        self.ref_ask: Level = given.get("ref_ask", (0, 0))
        self.signals: dict[str, float] = given.get("signals", {})

    def __getattr__(self, name: str) -> float:
        return self.signals.get(name, 0.0)

    @property
    def has_touch(self) -> bool:
        if not self.bids or not self.asks:
            return False
        return 0 < self.bids[0][0] < self.asks[0][0] <= TOUCH_LIMIT

    @property
    def mid(self) -> float:
        return 0.5 * (self.bids[0][0] + self.asks[0][0])


# -- FORMULAS --------------------------------------------------------------------------------


def _log_over(u: float) -> float:
    return math.log1p(u) / u if u > 0 else 1.0


def _c2(gamma: float, kappa: float, intensity: float, qty: float) -> float:
    u = gamma * qty / kappa
    power = math.exp(math.log1p(u) + _log_over(u))
    return math.sqrt(gamma / (2.0 * intensity * qty * kappa) * power)


def avellaneda_stoikov_quotes(
    mid: float, inventory: float, gamma: float, sigma: float, kappa: float, time_left: float
) -> tuple[float, float, float]:
    reservation = mid - inventory * (gamma * sigma * sigma * time_left)
    half = 0.5 * (gamma * sigma * sigma * time_left) + _log_over(gamma / kappa) / kappa
    return reservation, reservation - half, reservation + half


def glft_quotes(
    mid: float,
    inventory: float,
    gamma: float,
    sigma: float,
    kappa: float,
    intensity: float,
    order_qty: float,
) -> tuple[float, float, float]:
    skew = sigma * _c2(gamma, kappa, intensity, order_qty)
    reservation = mid - inventory * skew
    half = _log_over(gamma * order_qty / kappa) / kappa + 0.5 * skew * order_qty
    return reservation, reservation - half, reservation + half


# -- QUOTING ---------------------------------------------------------------------------------


def _pair(view: View, p: dict[str, float], fair: float, half: float, want: Want) -> int:
    """fair -+ half, widened to the fee, outward, post-only, within the position limit."""
    if p["edge_min_ticks"] > 0:
        least = view.maker_fee_ticks + p["edge_min_ticks"]
        half = half if half >= least else least
    if not abs(fair) <= LIMIT or not 0 <= half <= LIMIT:
        return ASIDE
    bid, ask = math.floor(fair - half), math.ceil(fair + half)
    if bid == ask and view.position_lots < 0:
        ask += 1
    elif bid == ask:
        bid -= 1
    bid = min(bid, view.asks[0][0] - 1)
    ask = max(ask, view.bids[0][0] + 1)
    qty, most = p["qty_lots"], p["position_lots_max"]
    if view.position_lots + qty <= most and bid > 0:
        want.bids = [(bid, int(qty))]
    if view.position_lots - qty >= -most and 0 < ask <= LIMIT:
        want.asks = [(ask, int(qty))]
    return QUOTE


def spread(view: View, p: dict[str, float], state: dict[str, float], want: Want) -> int:
    if not view.has_touch:
        return ASIDE
    fair = (
        view.microprice_ticks
        + p["ofi_skew_ticks"] * view.ofi_norm
        - p["inventory_skew_ticks"] * view.position_lots / p["qty_lots"]
    )
    return _pair(view, p, fair, p["half_spread_ticks"], want)


def avellaneda_stoikov(
    view: View, p: dict[str, float], state: dict[str, float], want: Want
) -> int:
    if not view.has_touch:
        return ASIDE
    sigma = p["sigma_ticks"] or view.volatility_ticks
    if not sigma > 0:
        return NOT_WARM
    tau = p["horizon_s"]
    if not p["rolling"]:
        start = state.setdefault("start_ns", float(view.now_ns))
        tau = min(max(tau - (view.now_ns - start) * 1e-9, 0.0), tau)
    skew = p["gamma"] * sigma * sigma * tau
    qty = p["qty_lots"]
    half = 0.5 * skew * qty + _log_over(p["gamma"] * qty / p["kappa"]) / p["kappa"]
    code = _pair(view, p, view.mid - view.position_lots * skew, half, want)
    if tau == 0:
        want.bids = want.bids if view.position_lots < 0 else []
        want.asks = want.asks if view.position_lots > 0 else []
    return code


def glft(view: View, p: dict[str, float], state: dict[str, float], want: Want) -> int:
    if not view.has_touch:
        return ASIDE
    sigma = p["sigma_ticks"] or view.volatility_ticks
    if not sigma > 0:
        return NOT_WARM
    qty = p["qty_lots"]
    skew = sigma * _c2(p["gamma"], p["kappa"], p["intensity_per_s"], qty)
    half = _log_over(p["gamma"] * qty / p["kappa"]) / p["kappa"] + 0.5 * skew * qty
    return _pair(view, p, view.mid - view.position_lots * skew, half, want)


def ofi_skew(view: View, p: dict[str, float], state: dict[str, float], want: Want) -> int:
    if not view.has_touch:
        return ASIDE
    fair = (
        view.microprice_ticks
        + p["ofi_skew_ticks"] * view.ofi_norm
        + p["tfi_skew_ticks"] * view.tfi
        - p["inventory_skew_ticks"] * view.position_lots / p["qty_lots"]
    )
    half = (
        p["half_spread_ticks"]
        + p["widen_ticks"] * abs(view.ofi_norm)
        + p["vpin_widen_ticks"] * view.vpin
    )
    code = _pair(view, p, fair, half, want)
    pull = p["pull_ofi_norm"]
    if pull > 0 and view.ofi_norm <= -pull:
        want.bids = []
    if pull > 0 and view.ofi_norm >= pull:
        want.asks = []
    return code


# -- MEAN REVERSION --------------------------------------------------------------------------

ENTRY, STOP, TARGET, TIME, BACK = 1, 2, 3, 4, 5


def _reach(view: View, side: int, slippage: float, is_reference: bool = False) -> int:
    bid, ask = (view.ref_bid, view.ref_ask) if is_reference else (view.bids[0], view.asks[0])
    return ask[0] + int(slippage) if side == BUY else max(bid[0] - int(slippage), 1)


def _take(
    view: View, p: dict[str, float], state: dict[str, float], order: tuple[int, int, int]
) -> Take | None:
    """The take (side, quantity, reason), unless one was asked for just now."""
    asked = state.get("asked_ns")
    if asked is not None and float(view.now_ns) - asked < p["retry_ms"] * 1e6:
        return None
    state["asked_ns"] = float(view.now_ns)
    side, qty, reason = order
    return side, _reach(view, side, p["slippage_ticks"]), qty, reason


def mean_reversion(view: View, p: dict[str, float], state: dict[str, float], want: Want) -> int:
    if not view.has_touch:
        return ASIDE
    x = view.keltner_position if p["use_keltner"] else view.ewma_z
    sign = (view.position_lots > 0) - (view.position_lots < 0)
    if sign != state.get("sign", 0):
        if state.get("reason") == STOP:
            state["stopped_ns"] = float(view.now_ns)
        state["sign"] = sign
        state.pop("reason", None)
        state.pop("asked_ns", None)
    if sign:
        return _hold(view, p, state, x, want)
    if "stopped_ns" in state:
        cold = float(view.now_ns) - state["stopped_ns"] < p["cooldown_ms"] * 1e6
        if cold or not abs(x) < p["entry_z"]:
            return ASIDE
        del state["stopped_ns"]
    if not abs(x) >= p["entry_z"]:
        return ASIDE
    qty = int(p["qty_lots"])
    side = SELL if x > 0 else BUY
    if not p["passive"]:
        want.take = _take(view, p, state, (side, qty, ENTRY))
    elif side == BUY:
        want.bids = [(view.bids[0][0], qty)]
    else:
        want.asks = [(view.asks[0][0], qty)]
    return QUOTE


def _hold(view: View, p: dict[str, float], state: dict[str, float], x: float, want: Want) -> int:
    is_long = view.position_lots > 0
    sign = 1.0 if is_long else -1.0
    gain = sign * ((view.bids[0][0] if is_long else view.asks[0][0]) - view.entry_px_ticks)
    held_ns = float(view.now_ns) - float(view.entry_ns)
    qty = min(abs(view.position_lots), LIMIT)
    if "reason" not in state:
        if not gain > -p["stop_ticks"]:
            state["reason"] = STOP
        elif p["hold_ms_max"] > 0 and held_ns >= p["hold_ms_max"] * 1e6:
            state["reason"] = TIME
        elif not p["passive"] and p["target_ticks"] > 0 and gain >= p["target_ticks"]:
            state["reason"] = TARGET
        elif not p["passive"] and sign * x >= -p["exit_z"]:
            state["reason"] = BACK
    if "reason" in state:
        side = SELL if is_long else BUY
        want.take = _take(view, p, state, (side, qty, int(state["reason"])))
    elif p["passive"]:
        _rest(view, p, is_long, qty, want)
    return QUOTE


def _rest(view: View, p: dict[str, float], is_long: bool, qty: int, want: Want) -> None:
    mean = view.keltner_mid_ticks if p["use_keltner"] else view.ewma_mean_ticks
    target, entry = p["target_ticks"], view.entry_px_ticks
    if is_long:
        px = min(mean, entry + target) if target > 0 else mean
        sound = view.asks[0][0] < px <= LIMIT
        want.asks = [(math.ceil(px) if sound else view.asks[0][0], qty)]
    else:
        px = max(mean, entry - target) if target > 0 else mean
        sound = 1 <= px < view.bids[0][0]
        want.bids = [(math.floor(px) if sound else view.bids[0][0], qty)]


# -- PAIRS -----------------------------------------------------------------------------------


def stat_arb(view: View, p: dict[str, float], state: dict[str, float], want: Want) -> int:
    if not view.has_touch:
        return ASIDE
    h = view.ref_lots_per_lot
    has_ratio = 0 < h <= 1e12
    naked = float(view.position_lots)
    if has_ratio:
        naked += view.ref_position_lots / h
    left = naked + (view.ref_open_lots / h if has_ratio else 0.0)
    bid, ask = view.ref_bid, view.ref_ask
    has_reference = min(bid[1], ask[1]) > 0 and 0 < bid[0] < ask[0] <= TOUCH_LIMIT
    if abs(naked) * (h if has_ratio else 1.0) < 0.5:
        state.clear()
    else:
        since = state.setdefault("naked_ns", float(view.now_ns))
        too_long = float(view.now_ns) - since >= p["unhedged_ms_max"] * 1e6
        if abs(naked) > p["unhedged_lots_max"] or too_long:
            state["unwinding"] = 1.0
    if "unwinding" in state:
        if not _unwind(view, p, state, left, want) and has_ratio and has_reference:
            _hedge(view, p, state, left * h, 2, want)
        return QUOTE
    if not has_ratio or not has_reference:
        return ASIDE
    _hedge(view, p, state, left * h, 1, want)
    z, half_life = abs(view.pair_z), view.pair_half_life_s
    is_sound = z > 0 and (p["z_max"] == 0 or z <= p["z_max"])
    if is_sound and (p["half_life_s_max"] == 0 or 0 < half_life <= p["half_life_s_max"]):
        lean = p["inventory_skew_ticks"] * view.position_lots / p["qty_lots"]
        _pair(view, p, view.mid - view.pair_spread_ticks - lean, p["half_spread_ticks"], want)
        if naked + p["qty_lots"] > p["unhedged_lots_max"]:
            want.bids = []
        if naked - p["qty_lots"] < -p["unhedged_lots_max"]:
            want.asks = []
    return QUOTE


def _unwind(
    view: View, p: dict[str, float], state: dict[str, float], left: float, want: Want
) -> bool:
    lots = min(math.floor(abs(left) + 0.5), abs(view.position_lots))
    if not 1 <= lots <= LIMIT or left * view.position_lots <= 0:
        return False
    now = float(view.now_ns)
    if "take_ns" not in state or now - state["take_ns"] >= p["retry_ms"] * 1e6:
        state["take_ns"] = now
        side = SELL if left > 0 else BUY
        want.take = (side, _reach(view, side, p["unwind_slippage_ticks"]), int(lots), 1)
    return True


def _hedge(
    view: View, p: dict[str, float], state: dict[str, float], left: float, reason: int, want: Want
) -> None:
    now, lots = float(view.now_ns), math.floor(abs(left) + 0.5)
    if not 1 <= lots <= LIMIT:
        return
    held = float(view.position_lots), float(view.ref_position_lots)
    is_new = "hedge_ns" not in state or (state["hedged_lots"], state["hedged_ref"]) != held
    if is_new or now - state["hedge_ns"] >= p["retry_ms"] * 1e6:
        state["hedge_ns"], (state["hedged_lots"], state["hedged_ref"]) = now, held
        side = SELL if left > 0 else BUY
        px = _reach(view, side, p["hedge_slippage_ticks"], is_reference=True)
        want.hedge = (side, px, lots, reason)


def hold(view: View, p: dict[str, float], state: dict[str, float], want: Want) -> int:
    return QUOTE if view.has_touch else ASIDE


# -- FACES -----------------------------------------------------------------------------------

Strategy = Callable[[View, dict[str, float], dict[str, float], Want], int]
STRATEGIES: dict[str, Strategy] = {
    f.__name__: f
    for f in (spread, avellaneda_stoikov, glft, ofi_skew, mean_reversion, stat_arb, hold)
}


def quotes_of(
    name: str, view: dict[str, Any], params: dict[str, float], state: dict[str, float]
) -> Quotes:
    """`params` complete. `state`: a dict that the strategy keeps as it likes."""
    want = Want()
    code = STRATEGIES[name](View(view), params, state, want)
    check = target_code(want.bids, want.asks, want.take or (0, 0, 0), want.hedge or (0, 0, 0))
    return Quotes(code, want.bids, want.asks, want.take, want.hedge, check)


def target_code(
    bids: list[Level],
    asks: list[Level],
    take: tuple[int, ...] = (0, 0, 0),
    hedge: tuple[int, ...] = (0, 0, 0),
) -> int:
    orders = [*bids, *asks, *(o[1:3] for o in (take, hedge) if o[2] != 0)]
    if any(not 0 < px <= LIMIT or not 0 < qty <= LIMIT for px, qty in orders):
        return RANGE
    if any(o[0] not in (BUY, SELL) for o in (take, hedge) if o[2] != 0):
        return RANGE
    if any(min(o[3:], default=0) < 0 for o in (take, hedge) if o[2] != 0):
        return RANGE
    if bids and asks and max(bids)[0] >= min(asks)[0]:
        return RANGE
    return OK
