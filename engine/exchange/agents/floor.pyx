# cython: language_level=3
"""The trading floor: the book, the dice, the fair value, and the ways in which an agent may act.

An agent is a function of the floor (noise.pyx, makers.pyx, directional.pyx); crowd.pyx decides who
acts when. All of a floor's randomness is its own dice, so that a market is a function of its seed
and of the users' orders. Agents' orders are numbers in the book and no Python objects.

The fair value is the price that the informed know. Quotes on its wrong side by more than
`patience_ticks` are stale: somebody takes or pulls them. That is what moves the price.
"""
cimport cython
from libc.math cimport ceil, exp, floor as round_down

from engine.exchange.agents.dice cimport below, gauss, uniform
from fastcore.limit_book cimport PriceLevel
from fastcore.types cimport SIDE_BUY, SIDE_SELL

FIRST_AGENT_ORDER_ID = 1 << 61         # users' ids never meet the agents'

cdef double SIZE_SIGMA = 1.2           # of the logarithm of sizes
cdef int OPENING_LEVELS = 200
cdef double KEPT_SHARE = 0.75          # of the distance that a shock asks for: nearer is pulled


cdef void load(Settings* into, settings) except *:
    into.sigma_ticks, into.reach_ticks = settings.sigma_ticks, settings.reach_ticks
    into.taker_lots, into.maker_lots = settings.taker_lots, settings.maker_lots
    into.lots_max, into.patience_ticks = settings.lots_max, settings.patience_ticks
    into.take_rate, into.quote_rate = settings.take_rate, settings.quote_rate
    into.make_rate, into.react_rate = settings.make_rate, settings.react_rate
    for index in range(KERNELS):
        into.kernel_tau[index] = settings.kernel_tau[index]
        into.kernel_branching[index] = settings.kernel_branching[index]
    for index in range(2):
        into.vol_tau[index] = settings.vol_tau[index]
        into.vol_sigma[index] = settings.vol_sigma[index]
    into.news_rate, into.news_sigmas = settings.news_rate, settings.news_sigmas
    into.reversion_tau, into.levels_min = settings.reversion_tau, settings.levels_min
    into.orders_count = settings.orders_count
    into.maker_count = min(settings.maker_count, MAKERS_MAX)


@cython.final
cdef class Floor:
    """Floor(log, settings, words, px_ticks_max): `words` are four 64-bit numbers, the seed."""

    def __cinit__(self, MarketLog log not None, settings, words, int64_t px_ticks_max):
        self.log = log
        self.book = log.book
        load(&self.settings, settings)
        for index in range(4):
            self.dice.words[index] = words[index]
        self.fair_ticks = self.start_ticks = settings.start_px_ticks
        self.px_max = px_ticks_max
        self.last_id = FIRST_AGENT_ORDER_ID
        self.empty_side = -1

    # -- WHAT AGENTS DO ---

    cdef seq_t quote(self, int side, double px_ticks, qty_t qty_lots,
                     int32_t account) noexcept nogil:
        """Rest at a price, moved back so that it takes nothing; its id, 0: there is no such price
        now."""
        cdef double limit, sign = 1.0 if side == SIDE_BUY else -1.0
        cdef px_t other = self.book.best_px(side ^ 1)
        if not self.may_quote(side):
            return 0
        if self.keep_ticks > 0.0:
            limit = self.fair_ticks - sign * self.keep_ticks
            px_ticks = min(px_ticks, limit) if side == SIDE_BUY else max(px_ticks, limit)
        if other > 0:
            limit = other - sign
            px_ticks = min(px_ticks, limit) if side == SIDE_BUY else max(px_ticks, limit)
        px_ticks = round_down(px_ticks) if side == SIDE_BUY else ceil(px_ticks)
        if not 1.0 <= px_ticks <= self.px_max:
            return 0
        self.last_id += 1
        self.log.place(self.last_id, side, <px_t>px_ticks, qty_lots, account, True, True,
                       self.now_ns)
        return self.last_id

    cdef void take(self, int side, px_t px_ticks, qty_t qty_lots, int32_t account,
                   bint rests) noexcept nogil:
        """Match up to a price (0: any); what is left rests there if `rests` and quotes may."""
        self.last_id += 1
        self.log.place(self.last_id, side, px_ticks, qty_lots, account,
                       rests and self.may_quote(side) and self.keep_ticks == 0.0, True,
                       self.now_ns)

    cdef bint cancel(self, seq_t order_id) noexcept nogil:
        return self.log.cancel(order_id, self.now_ns)

    # -- WHAT THEY SEE ---

    cdef qty_t lots(self, double median) noexcept nogil:
        """A lognormal size."""
        cdef double size = median * exp(SIZE_SIGMA * gauss(&self.dice))
        return <qty_t>max(1.0, min(size, <double>self.settings.lots_max))

    cdef bint may_quote(self, int side) noexcept nogil:
        return side != self.empty_side

    cdef bint is_stale(self, int side) noexcept nogil:
        """The best quote is on the wrong side of fair value, or too near while quotes keep off."""
        cdef px_t best = self.book.best_px(side)
        cdef double past = best - self.fair_ticks if side == SIDE_BUY else self.fair_ticks - best
        if self.keep_ticks > 0.0:
            return best > 0 and past > -KEPT_SHARE * self.keep_ticks
        return best > 0 and past >= self.settings.patience_ticks

    cdef bint is_wide(self) noexcept nogil:
        """More than a tick, or a side missing, though quotes might stand closer."""
        cdef px_t bid = self.book.best_px(SIDE_BUY), ask = self.book.best_px(SIDE_SELL)
        if bid == 0 or ask == 0:
            return self.empty_side < 0 or self.book.best_px(self.empty_side ^ 1) == 0
        if self.keep_ticks > 0.0 or self.empty_side >= 0:
            return False
        return ask - bid > 1

    # -- THE OPENING, AND SHOCKS ---

    cdef void open(self) noexcept nogil:
        """A full book round the fair value."""
        cdef int side, level, _order
        cdef double px_ticks, sign, step
        for side in range(2):
            sign = 1.0 if side == SIDE_BUY else -1.0
            px_ticks = round_down(self.fair_ticks + 0.5) - sign
            for level in range(OPENING_LEVELS):
                for _order in range(1 + <int>below(&self.dice, 3)):
                    self.quote(side, px_ticks, self.lots(self.settings.maker_lots), NOISE)
                step = 3.0 if level < 20 else self.settings.reach_ticks / 40.0
                px_ticks -= sign * (1.0 + round_down(max(3.0, step) * uniform(&self.dice)
                                                     * uniform(&self.dice)))

    cdef void cancel_worst(self, int side) noexcept nogil:
        """The newest agents' order of the level furthest from the touch."""
        cdef const PriceLevel* level = self.book.level_at(side, self.book.level_count(side) - 1)
        if level != NULL and self.book.orders[level.tail].account < 0:
            self.cancel(self.book.orders[level.tail].order_id)

    cdef void sweep(self) noexcept nogil:
        """What a shock does at once: the informed take all that is past the new fair value, then
        agents pull every quote that may not stand."""
        cdef double fair = self.fair_ticks
        cdef int side
        cdef int32_t slot
        cdef px_t px_ticks
        cdef double past
        cdef qty_t lots
        for side in range(2):
            px_ticks = <px_t>(ceil(fair) if side == SIDE_SELL else round_down(fair))
            lots = self.book.fillable_lots(side, px_ticks, 1 << 60)
            if lots > 0:
                self.take(side, px_ticks, lots, INFORMED, False)
        for slot in range(<int32_t>self.book.pool_size):
            if self.book.orders[slot].order_id == 0 or self.book.orders[slot].account >= 0:
                continue
            side = self.book.orders[slot].side
            past = self.book.orders[slot].px_ticks - fair
            past = past if side == SIDE_BUY else -past
            if side == self.empty_side or (self.keep_ticks > 0.0 and past > -self.keep_ticks):
                self.cancel(self.book.orders[slot].order_id)

    cdef void calm(self) noexcept nogil:
        """End the shocks that are over."""
        if 0 < self.until_ns[SHOCK_JUMP] <= self.now_ns:
            self.fair_ticks = min(max(self.fair_ticks - self.jump_ticks, 2.0), self.px_max - 1.0)
            self.jump_ticks = 0.0
            self.until_ns[SHOCK_JUMP] = 0
        if 0 < self.until_ns[SHOCK_SPREAD] <= self.now_ns:
            self.keep_ticks = 0.0
            self.until_ns[SHOCK_SPREAD] = 0
        if 0 < self.until_ns[SHOCK_SIDE] <= self.now_ns:
            self.empty_side = -1
            self.until_ns[SHOCK_SIDE] = 0
        self._find_calm()

    cdef void _find_calm(self) noexcept nogil:
        cdef int kind
        self.calm_ns = 0
        for kind in range(SHOCKS):
            if self.until_ns[kind] != 0 and (
                    self.calm_ns == 0 or self.until_ns[kind] < self.calm_ns):
                self.calm_ns = self.until_ns[kind]

    cdef void pause(self, ns_t for_ns) noexcept nogil:
        cdef int kind
        self.now_ns += for_ns
        for kind in range(SHOCKS):
            if self.until_ns[kind] != 0:
                self.until_ns[kind] += for_ns
        self._find_calm()

    # -- COLD ---

    def disturb(self, int64_t ticks, int64_t spread_ticks, int empty_side, int64_t for_ns,
                int64_t now_ns):
        """See events.Shock; `empty_side` -1: none. What is 0 or -1 leaves an earlier shock of that
        kind as it is; what does not last is done once."""
        cdef double before = self.fair_ticks, kept = self.keep_ticks
        cdef int side = self.empty_side
        self.now_ns = now_ns
        self.fair_ticks = min(max(before + ticks, 2.0), self.px_max - 1.0)
        if ticks and for_ns:
            self.jump_ticks += self.fair_ticks - before
            self.until_ns[SHOCK_JUMP] = now_ns + for_ns
        if spread_ticks:
            self.keep_ticks = spread_ticks
        if empty_side >= 0:
            self.empty_side = empty_side
        self.sweep()
        if spread_ticks and for_ns:
            self.until_ns[SHOCK_SPREAD] = now_ns + for_ns
        elif spread_ticks:
            self.keep_ticks = kept
        if empty_side >= 0 and for_ns:
            self.until_ns[SHOCK_SIDE] = now_ns + for_ns
        elif empty_side >= 0:
            self.empty_side = side
        self._find_calm()

    def impact(self, int side, int64_t qty_lots):
        """A user took `qty_lots`: somebody thinks that he knows something."""
        share = min(1.0, qty_lots / (4.0 * self.settings.maker_lots))
        self.fair_ticks += (1.0 if side == SIDE_BUY else -1.0) * share * (
            self.settings.patience_ticks)

    def rescale(self, settings, int64_t factor, int64_t px_ticks_max):
        """The tick is `factor` times finer; `settings` are in the new ticks."""
        load(&self.settings, settings)
        self.log.rescale(factor)
        self.fair_ticks *= factor
        self.keep_ticks *= factor
        self.jump_ticks *= factor
        self.start_ticks = settings.start_px_ticks
        self.px_max = px_ticks_max

    def withdraw(self, int64_t now_ns):
        """Every agent cancels all that it has in the book."""
        cdef int64_t slot
        self.now_ns = now_ns
        for slot in range(self.book.pool_size):
            if self.book.orders[slot].order_id != 0 and self.book.orders[slot].account < 0:
                self.cancel(self.book.orders[slot].order_id)
