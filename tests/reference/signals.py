"""Slow, obvious twin of fastcore.signals: the formulas one by one over what has been seen, in the
same order of operations so that the doubles are identical."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from typing import Any

from fastcore.signals_settings import check_settings

NAMES_OF = {
    "ofi": 1, "queue_imbalance": 2, "microprice": 4, "ewma_z": 8, "ofi_window": 16,
    "ofi_levels": 32, "stoikov": 64, "keltner": 128, "volatility": 256, "tfi": 512, "vpin": 1024,
    "spread_stats": 2048, "pair": 4096,
}  # fmt: skip
PERISHABLE = (
    "mid_ticks", "microprice_ticks", "queue_imbalance", "ofi", "ofi_norm", "ewma_mean_ticks",
    "ewma_z", "spread_ticks", "ofi_event", "ofi_window", "ofi_levels", "ofi_levels_valid",
    "ewma_sd_ticks", "stoikov_ticks", "keltner_position", "pair_spread_ticks", "pair_z",
)  # fmt: skip
LASTING = (
    "keltner_mid_ticks", "keltner_atr_ticks", "volatility_ticks", "tfi", "vpin",
    "spread_mean_ticks", "spread_sd_ticks", "pair_beta", "pair_half_life_s",
)  # fmt: skip
WINDOW_EVENTS_MAX = 8192
BUY = 0

with localcontext() as context:
    context.prec = 50
    LN2 = Decimal(2).ln()
    STEPS = [float((-LN2 * i / 32).exp()) for i in range(32)]
    STEP = LN2 / 32
    _MANTISSA, _EXPONENT = math.frexp(float(STEP))
    STEP_HIGH = math.ldexp(int(_MANTISSA * 2**40), _EXPONENT - 40)
    STEP_LOW = float(STEP - Decimal(STEP_HIGH))
    STEPS_PER_UNIT = float(1 / STEP)


def decay(x: float) -> tuple[float, float]:
    """(e^-x, 1 - e^-x), x >= 0: range reduction to ln2 / 32, then the series."""
    if x >= 40.0:
        return 0.0, 1.0
    n = int(x * STEPS_PER_UNIT + 0.5)
    r = (x - n * STEP_HIGH) - n * STEP_LOW
    r2 = r * r
    inner = (1 / 24 - r * (1 / 120)) + r2 * (1 / 720)
    p = r2 * ((0.5 - r * (1 / 6)) + r2 * inner) - r
    s = STEPS[n % 32] * 0.5 ** (n // 32)
    return s + s * p, (1.0 - s) - s * p


def power(base: float, n: int) -> float:
    result = 1.0
    while n:
        result *= base if n & 1 else 1.0
        base *= base
        n >>= 1
    return result


def touch_flow(new: tuple[int, ...], old: tuple[int, ...]) -> int:
    bid, bid_qty, ask, ask_qty = new
    old_bid, old_bid_qty, old_ask, old_ask_qty = old
    return (
        bid_qty * (bid >= old_bid)
        - old_bid_qty * (bid <= old_bid)
        - ask_qty * (ask <= old_ask)
        + old_ask_qty * (ask >= old_ask)
    )


def clip(x: float) -> float:
    return max(-3.0, min(3.0, x))


class Moments:
    """EWMA mean and population variance."""

    def __init__(self) -> None:
        self.mean: float | None = None
        self.variance = 0.0

    def update(self, x: float, keep: float, alpha: float) -> None:
        if self.mean is None:
            self.mean = x
            return
        d = x - self.mean
        self.mean = self.mean + alpha * d
        self.variance = keep * (self.variance + alpha * d * d)


class Volatility:
    def __init__(self, grid_ns: int, tau_ns: int) -> None:
        self.grid_ns, self.keep = grid_ns, decay(grid_ns / tau_ns)[0]
        self.returns, self.variance, self.past, self.sigma = 0, 0.0, 1.0, 0.0
        self.hole()

    def hole(self) -> None:
        self.mid: float | None = None
        self.sample: float | None = None

    def on_mid(self, mid: float, now: int) -> None:
        if self.mid is None:
            self.next = -(-now // self.grid_ns) * self.grid_ns
        elif now > self.next:
            passed = (now - 1 - self.next) // self.grid_ns + 1  # grid times in [next, now)
            if self.sample is not None:
                change = self.mid - self.sample
                squared = change * change / (self.grid_ns / 1e9)
                self.variance = self.keep * self.variance + (1.0 - self.keep) * squared
                self.past *= self.keep
                self.returns += passed
                if passed > 1:
                    self.variance *= power(self.keep, passed - 1)
                    self.past *= power(self.keep, passed - 1)
            self.sample = self.mid
            self.next += passed * self.grid_ns
            if self.returns >= 10:
                self.sigma = math.sqrt(self.variance / (1.0 - self.past))
        self.mid = mid


class Line:
    """Mean of the first n values, then level + keep * (line - level); None before."""

    def __init__(self, n: int, keep: float) -> None:
        self.n, self.keep, self.count, self.line = n, keep, 0, 0.0

    def add(self, level: float, times: int = 1) -> None:
        seeding = min(times, max(self.n - self.count, 0))
        if seeding:
            self.line += seeding * level
            if self.count + seeding == self.n:
                self.line /= self.n
        if times > seeding:
            self.line = level + power(self.keep, times - seeding) * (self.line - level)
        self.count += times

    @property
    def value(self) -> float | None:
        return self.line if self.count >= self.n else None


class Keltner:
    def __init__(self, bar_ns: int, ema_bars: int, atr_bars: int) -> None:
        self.bar_ns = bar_ns
        self.ema = Line(ema_bars, 1.0 - 2.0 / (ema_bars + 1))
        self.atr = Line(atr_bars, 1.0 - 1.0 / atr_bars)
        self.bar: tuple[int, list[float]] | None = None  # which one, its mids
        self.close: float | None = None

    def on_mid(self, mid: float, now: int) -> None:
        index = now // self.bar_ns
        if self.bar is not None and index > self.bar[0]:
            mids = self.bar[1]
            high, low = max(mids), min(mids)
            true_range = high - low
            if self.close is not None:
                true_range = max(true_range, abs(high - self.close), abs(low - self.close))
            self.close = mids[-1]
            self.ema.add(self.close)
            self.atr.add(true_range)
            empty = index - self.bar[0] - 1
            if empty:
                self.ema.add(self.close, empty)
                self.atr.add(0.0, empty)
            self.bar = None
        if self.bar is None:
            self.bar = (index, [])
        self.bar[1].append(mid)


class Vpin:
    """One lot at a time."""

    def __init__(self, bucket_lots: int, buckets: int) -> None:
        self.bucket_lots, self.buckets = bucket_lots, buckets
        self.open: list[tuple[int, int]] = []
        self.closed: list[int] = []

    def on_trade(self, sign: int, qty: int) -> float:
        while qty > 0:
            part = min(qty, self.bucket_lots - sum(q for _, q in self.open))
            self.open.append((sign, part))
            qty -= part
            if sum(q for _, q in self.open) == self.bucket_lots:
                self.closed.append(abs(sum(s * q for s, q in self.open)))
                self.open = []
        if len(self.closed) < self.buckets:
            return 0.0
        return sum(self.closed[-self.buckets :]) / (float(self.buckets) * self.bucket_lots)


class Pair:
    def __init__(self, settings: dict[str, Any]) -> None:
        self.grid_ns = ns(settings["pair_grid_ms"])
        tau_ns = ns(settings["pair_tau_ms"])
        self.keep, self.alpha = decay(self.grid_ns / tau_ns)
        self.steps_min = 3 * tau_ns // self.grid_ns
        self.w = settings["pair_drift"] / (1.0 - settings["pair_drift"])
        self.v = settings["pair_noise_var"]
        self.own: float | None = None
        self.reference: float | None = None
        self.first: list[float | None] = [None, None]
        self.steps, self.theta, self.p = 0, (1.0, 0.0), ((1.0, 0.0), (0.0, 1.0))
        self.moments, self.covariance, self.half_life = Moments(), 0.0, 0.0
        self.next: int | None = None
        self.last: float | None = None  # spread one grid step ago
        self.last_spread = 0.0

    def legs(self) -> tuple[float, float]:
        own, reference = self.first
        assert self.own
        assert self.reference
        assert own
        assert reference
        return (self.own - own) / own, (self.reference - reference) / reference

    def spread(self) -> float:
        y, x = self.legs()
        assert self.first[0]
        return (y - (self.theta[0] * x + self.theta[1])) * self.first[0]

    def until(self, now: int) -> None:
        if self.own is None or self.reference is None:
            self.next = self.last = None
        elif self.next is None:
            self.next = -(-now // self.grid_ns) * self.grid_ns
        elif now > self.next:
            passed = (now - 1 - self.next) // self.grid_ns + 1
            self.next += passed * self.grid_ns
            self.sample()
            if passed > 1:
                self.last = None

    def sample(self) -> None:
        spread = self.spread()
        mean = self.moments.mean
        if mean is not None and self.last is not None:
            self.covariance = self.keep * (
                self.covariance + self.alpha * (self.last - mean) * (spread - mean)
            )
        self.moments.update(spread, self.keep, self.alpha)
        self.last = spread
        self.steps += 1
        self.half_life = 0.0
        if self.steps > self.steps_min and self.moments.variance > 0.0:
            slope = self.covariance / self.moments.variance
            if 0.0 < slope < 1.0:
                self.half_life = -math.log(2) / math.log(slope) * (self.grid_ns * 1e-9)
        self.learn()

    def learn(self) -> None:
        """P' = A R A' + v K K', A = I - K H, written out."""
        y, x = self.legs()
        (p00, p01), (_, p11) = self.p
        r00, r01, r11 = p00 + self.w, p01, p11 + self.w
        g0, g1 = r00 * x + r01, r01 * x + r11
        q = g0 * x + g1 + self.v
        k0, k1 = g0 / q, g1 / q
        e = y - (self.theta[0] * x + self.theta[1])
        a00, a01, a10, a11 = 1.0 - k0 * x, -k0, -(k1 * x), 1.0 - k1
        b00, b01 = a00 * r00 + a01 * r01, a00 * r01 + a01 * r11
        b10, b11 = a10 * r00 + a11 * r01, a10 * r01 + a11 * r11
        cross = b00 * a10 + b01 * a11 + self.v * k0 * k1
        self.p = (
            (b00 * a00 + b01 * a01 + self.v * k0 * k0, cross),
            (cross, b10 * a10 + b11 * a11 + self.v * k1 * k1),
        )
        self.theta = (self.theta[0] + k0 * e, self.theta[1] + k1 * e)


def ns(ms: float) -> int:
    return max(round(ms * 1e6), 1)


class Signals:
    def __init__(self, mask: int, settings: dict[str, Any] | None = None) -> None:
        self.mask, self.settings = mask, check_settings(settings or {})
        self.rate = {
            name: 1.0 / ns(self.settings[f"{name}_tau_ms"])
            for name in ("ofi", "z", "spread", "tfi")
        }
        self.clear()

    def has(self, name: str) -> bool:
        return bool(self.mask & NAMES_OF[name])

    def clear(self) -> None:
        given = self.settings
        self.values = dict.fromkeys(PERISHABLE + LASTING, 0.0)
        self.volatility = Volatility(
            ns(given["volatility_grid_ms"]), ns(given["volatility_tau_ms"])
        )
        self.keltner = Keltner(
            ns(given["keltner_bar_ms"]), given["keltner_ema_bars"], given["keltner_atr_bars"]
        )
        self.vpin = Vpin(given["vpin_bucket_lots"], given["vpin_buckets"])
        self.spread = Moments()
        self.trades: tuple[int, float, float] | None = None
        self.pair = Pair(given)
        self.reset()

    def reset(self) -> None:
        self.touch: tuple[int, int, int, int] | None = None
        self.last_ns = 0
        self.values.update(dict.fromkeys(PERISHABLE, 0.0))
        self.z = Moments()
        self.flows: list[tuple[int, int]] = []
        self.levels: tuple[int, list[tuple[int, ...]], float] | None = None
        self.volatility.hole()
        self.pair.own = self.pair.next = self.pair.last = None

    @property
    def is_valid(self) -> bool:
        return self.touch is not None

    def to_dict(self) -> dict[str, float]:
        return dict(self.values)

    def on_touch(self, bid: int, bid_qty: int, ask: int, ask_qty: int, now_ns: int) -> None:
        if min(bid, bid_qty, ask_qty) <= 0 or bid >= ask:
            self.reset()
            return
        now = max(now_ns, self.last_ns)
        if self.touch is None:
            self.first_ns = self.last_ns = now
        dt, self.last_ns = float(now - self.last_ns), now
        touch, new = (bid, bid_qty, ask, ask_qty), self.values
        mid = new["mid_ticks"] = 0.5 * (bid + ask)
        imbalance = bid_qty / (bid_qty + ask_qty)
        if self.has("queue_imbalance"):
            new["queue_imbalance"] = (bid_qty - ask_qty) / (bid_qty + ask_qty)
        if self.has("microprice"):
            new["microprice_ticks"] = bid + (ask - bid) * imbalance
        if self.has("stoikov"):
            new["stoikov_ticks"] = mid + self._table_ticks(imbalance, ask - bid)
        flow = touch_flow(touch, self.touch) if self.touch else 0
        if self.has("ofi") or self.has("ofi_window"):
            new["ofi_event"] = float(flow)
        if self.has("ofi"):
            self._ofi(touch, flow, dt)
        if self.has("ofi_window"):
            self.flows = [*self.flows, (now, flow)][-WINDOW_EVENTS_MAX:]
            gone = now - ns(self.settings["ofi_window_ms"])
            new["ofi_window"] = float(sum(f for at, f in self.flows if at > gone))
        if self.has("ewma_z"):
            self._z(new["microprice_ticks"] if self.has("microprice") else mid, dt, now)
        if self.has("spread_stats"):
            if self.spread.mean is None:
                self.spread.update(float(ask - bid), 0.0, 1.0)
            elif self.touch and dt > 0.0:
                self.spread.update(new["spread_ticks"], *decay(dt * self.rate["spread"]))
            new["spread_mean_ticks"] = self.spread.mean or 0.0
            new["spread_sd_ticks"] = math.sqrt(self.spread.variance)
        new["spread_ticks"] = float(ask - bid)
        if self.has("volatility"):
            self.volatility.on_mid(mid, now)
            new["volatility_ticks"] = self.volatility.sigma
        if self.has("keltner"):
            self._keltner(mid, now)
        self.touch = touch
        if self.has("pair"):
            self.pair.until(now)
            self.pair.own = mid
            self.pair.first[0] = self.pair.first[0] or mid
            self._tell_pair()

    def _ofi(self, touch: tuple[int, int, int, int], flow: int, dt: float) -> None:
        if self.touch is None:
            self.depth = 0.5 * (touch[1] + touch[3])
        elif dt > 0.0:
            keep, alpha = decay(dt * self.rate["ofi"])
            self.depth += alpha * (0.5 * (self.touch[1] + self.touch[3]) - self.depth)
            self.values["ofi"] *= keep
        self.values["ofi"] += flow
        self.values["ofi_norm"] = clip(self.values["ofi"] / self.depth)

    def _z(self, x: float, dt: float, now: int) -> None:
        mean, variance = self.z.mean, self.z.variance
        if mean is not None:
            is_warm = now - self.first_ns >= 3 * ns(self.settings["z_tau_ms"])
            told = is_warm and variance > 1e-12
            self.values["ewma_z"] = (x - mean) / math.sqrt(variance) if told else 0.0
        if mean is None or dt > 0.0:
            self.z.update(x, *decay(dt * self.rate["z"]))
        self.values["ewma_mean_ticks"] = self.z.mean or 0.0
        self.values["ewma_sd_ticks"] = math.sqrt(self.z.variance)

    def _table_ticks(self, imbalance: float, spread: int) -> float:
        table = self.settings["stoikov_table"]
        if spread > len(table):
            return 0.0
        row = table[spread - 1]
        at = imbalance * len(row) - 0.5
        if at <= 0:
            return row[0]
        if at >= len(row) - 1:
            return row[-1]
        return row[int(at)] + (at - int(at)) * (row[int(at) + 1] - row[int(at)])

    def _keltner(self, mid: float, now: int) -> None:
        self.keltner.on_mid(mid, now)
        ema, atr = self.keltner.ema.value, self.keltner.atr.value
        if ema is not None:
            self.values["keltner_mid_ticks"] = ema
        if ema is not None and atr is not None:
            self.values["keltner_atr_ticks"] = atr
            width = self.settings["keltner_mult"] * atr
            self.values["keltner_position"] = (mid - ema) / width if atr > 0.0 else 0.0

    def apply_levels(self, bids: Any, asks: Any, now_ns: int) -> None:
        if not self.has("ofi_levels"):
            return
        depth = self.settings["ofi_levels_count"]
        new = self.values
        if self.touch is None or len(bids) < depth or len(asks) < depth:
            self.levels = None
            new["ofi_levels"] = new["ofi_levels_valid"] = 0.0
            return
        rows = [(*bid, *ask) for bid, ask in zip(bids[:depth], asks[:depth], strict=True)]
        queue = 0.5 * sum(row[1] + row[3] for row in rows) / depth
        if self.levels is None:
            self.levels_ofi, self.queue = 0.0, queue
        else:
            last_ns, old, old_queue = self.levels
            if now_ns > last_ns:
                keep, alpha = decay((now_ns - last_ns) * self.rate["ofi"])
                self.levels_ofi *= keep
                self.queue += alpha * (old_queue - self.queue)
            now_ns = max(now_ns, last_ns)
            self.levels_ofi += sum(touch_flow(a, b) for a, b in zip(rows, old, strict=True))
        self.levels = (now_ns, rows, queue)
        new["ofi_levels"] = clip(self.levels_ofi / (depth * self.queue))
        new["ofi_levels_valid"] = 1.0

    def on_trade(self, aggressor: int, px: int, qty: int, now_ns: int) -> None:
        if qty <= 0 or aggressor not in (0, 1):
            return
        sign = 1 if aggressor == BUY else -1
        if self.has("tfi"):
            at, signed, total = self.trades or (now_ns, 0.0, 0.0)
            if now_ns > at:
                keep, _ = decay((now_ns - at) * self.rate["tfi"])
                signed, total = signed * keep, total * keep
            self.trades = (max(at, now_ns), signed + sign * qty, total + qty)
            self.values["tfi"] = self.trades[1] / self.trades[2]
        if self.has("vpin"):
            self.values["vpin"] = self.vpin.on_trade(sign, qty)

    def on_reference(self, mid: float, now_ns: int) -> None:
        if not self.has("pair"):
            return
        self.pair.until(max(now_ns, self.last_ns))
        self.pair.reference = mid if mid > 0.0 else None
        self.pair.first[1] = self.pair.first[1] or self.pair.reference
        self._tell_pair()

    def _tell_pair(self) -> None:
        pair, new = self.pair, self.values
        new["pair_spread_ticks"] = new["pair_z"] = 0.0
        if pair.own and pair.reference and pair.steps > 0 and pair.moments.mean is not None:
            new["pair_spread_ticks"] = pair.spread()
            if pair.steps > pair.steps_min and pair.moments.variance > 1e-12:
                distance = new["pair_spread_ticks"] - pair.moments.mean
                new["pair_z"] = distance / math.sqrt(pair.moments.variance)
            new["pair_beta"], new["pair_half_life_s"] = pair.theta[0], pair.half_life
