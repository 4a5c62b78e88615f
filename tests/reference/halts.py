"""The halts with whole histories kept: every answer is worked out anew from what happened."""

import math

from fastcore.types import Halt

MS = 1_000_000


def edge(spread):
    """A spread as the median sees it: exact to 127 ticks, then its seven highest bits."""
    drop = max(0, min(spread, 2**31 - 1).bit_length() - 7)
    return min(spread, 2**31 - 1) >> drop << drop


class Halts:
    def __init__(self, settings, feed_stale_after_ns):
        self.set_of = settings
        self.stale_ns = feed_stale_after_ns
        self.reasons = set()
        self.markets, self.touches, self.fills = [], [], []
        self.samples = []  # (ns, spread)
        self.resumed_at = 0  # fills before it are forgiven
        self.rate_limit_until = 0
        self.nonsense_count = 0

    @property
    def bits(self):
        return sum(self.reasons)

    def set(self, reason):
        self.reasons |= {bit for bit in Halt if bit & reason}

    def clear(self, reason):
        self.reasons -= {bit for bit in Halt if bit & reason}

    def on_market(self, now_ns):
        self.markets.append(now_ns)
        since = len(self.markets) - 1
        while since and self.markets[since] - self.markets[since - 1] <= self.stale_ns:
            since -= 1
        if now_ns - self.markets[since] >= self.stale_ns // 4:
            self.clear(Halt.FEED_STALE)

    # -- SPREAD ---

    def median_ticks(self):
        window = self.set_of["spread_median_window"]
        spreads = [spread for _, spread in self.samples]
        if not self.set_of["spread_factor"] or len(spreads) < window:
            return -1
        return sorted(map(edge, spreads[-window:]))[(window - 1) // 2]

    def on_touch(self, bid, ask, now_ns):
        if bid <= 0 or ask <= bid:
            self.touches.append((now_ns, 0, None))
            return
        median, most = self.median_ticks(), self.set_of["spread_ticks_max"]
        is_wide = bool(most and ask - bid > most)
        if median >= 0:
            factor = round(self.set_of["spread_factor"] * 1000)
            is_wide |= 1000 * (ask - bid) > factor * median
        self.touches.append((now_ns, ask - bid, is_wide))
        self._sample_spread(now_ns)
        self._look_at_spread(now_ns)

    def _sample_spread(self, now_ns):
        due_ns = self.samples[-1][0] + self.set_of["spread_sample_ms"] * MS if self.samples else 0
        if self.touches and self.touches[-1][1] > 0 and now_ns >= due_ns:
            self.samples.append((now_ns, self.touches[-1][1]))

    def _look_at_spread(self, now_ns):
        run = []  # the last touches that are all as wide, or as calm, as the last
        for at, _, is_wide in reversed(self.touches):
            if is_wide is None or is_wide != self.touches[-1][2]:
                break
            run.append(at)
        if not run:
            return
        age_ns = now_ns - run[-1]
        if self.touches[-1][2]:
            count, ms = self.set_of["spread_updates_min"], self.set_of["spread_ms_min"]
            if (count and len(run) >= count) or (ms and age_ns >= ms * MS):
                self.set(Halt.SPREAD)
        elif age_ns >= self.set_of["spread_clear_ms"] * MS:
            self.clear(Halt.SPREAD)

    # -- FLOW ---

    def on_vpin(self, vpin, now_ns):
        if self.set_of["vpin_max"]:
            if math.isnan(vpin) or vpin > self.set_of["vpin_max"]:
                self.set(Halt.TOXICITY)
            elif vpin < self.set_of["vpin_clear"]:
                self.clear(Halt.TOXICITY)

    def on_fill(self, side, qty, now_ns):
        if qty <= 0:
            return
        self.fills.append((now_ns, side))

        def young(fills, ms):
            return sum(at > now_ns - ms * MS for at, _ in fills)

        most = self.set_of["repeated_fills_max"]
        fills = self.fills[self.resumed_at :]
        if most and young(fills, self.set_of["repeated_ms"]) > most:
            self.set(Halt.REPEATED_EXECUTION)
        run = len(self.fills)
        while run and self.fills[run - 1][1] == side:
            run -= 1
        most = self.set_of["one_sided_fills_max"]
        if most and young(self.fills[run:], self.set_of["one_sided_ms"]) > most:
            self.set(Halt.ONE_SIDED_FILLS)

    # -- TIME AND PEOPLE ---

    def on_timer(self, now_ns):
        if self.markets and now_ns - self.markets[-1] > self.stale_ns:
            self.set(Halt.FEED_STALE)
        if now_ns >= self.rate_limit_until:
            self.clear(Halt.RATE_LIMIT)
        if self.set_of["spread_sample_ms"]:
            self._sample_spread(now_ns)
        self._look_at_spread(now_ns)
        last = self.fills[-1][0] if self.fills else 0
        if now_ns - last >= self.set_of["one_sided_ms"] * MS:
            self.clear(Halt.ONE_SIDED_FILLS)

    def on_rate_limit(self, until_ns):
        self.rate_limit_until = max(self.rate_limit_until, until_ns)
        self.set(Halt.RATE_LIMIT)

    def on_nonsense(self):
        self.nonsense_count += 1
        if self.nonsense_count >= self.set_of["nonsense_max"]:
            self.set(Halt.STRATEGY)

    def on_resume(self):
        self.clear(Halt.OPERATOR | Halt.STRATEGY | Halt.REPEATED_EXECUTION)
        self.nonsense_count = 0
        self.resumed_at = len(self.fills)
