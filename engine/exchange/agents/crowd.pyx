# cython: language_level=3
"""Who acts when: arrivals, the fair value's path, and the dispatch to the agents.

Takers arrive by a Hawkes process: each raises the rate of the next through three exponential
kernels (a twentieth of a second to twenty seconds), whose sum is close to the power law that is
measured. The others' rates follow the takers' activity, and while a quote is stale or the spread
wide somebody reacts within milliseconds. Rates only fall between two acts, so the next arrival
is drawn by thinning (Ogata 1981): exactly, without stepping time.

The fair value moves a little all the time, and mostly with the takers' arrivals: each brings an
increment of its own (not of the taker's side, or returns would remember as order flow does), so
volatility clusters as arrivals do; slow factors multiply it. News makes it jump and wakes
everybody.
"""
cimport cython
from libc.math cimport exp, fmax, sqrt
from libc.stdint cimport int64_t

from engine.exchange.agents.dice cimport exponential, gauss, uniform
from fastcore.types cimport SIDE_BUY, SIDE_SELL, ns_t

cdef double NS = 1e9
cdef double VOL_STEP_S = 0.25          # the slow factors move so often
cdef double STEADY_SHARE = 0.15        # of the variance; the rest comes with takers
cdef double MOMENTUM_SHARE = 0.15      # of takers who look for a trend
cdef double PULL_SHARE = 0.60          # of stale quotes that are pulled before they are taken
cdef double NEWS_TAKERS = 6.0          # by so many a second news excites the takers, per kernel


@cython.final
cdef class Crowd:
    """Crowd(floor, start_ns): the book is opened; the first act is due soon after `start_ns`."""

    def __cinit__(self, Floor floor not None, int64_t start_ns):
        branching = sum([floor.settings.kernel_branching[index] for index in range(KERNELS)])
        if not branching < 1.0:
            raise ValueError(f"branching ratio {branching}: takers would excite one another "
                             "without end; it must be below 1")
        self.floor = floor
        self._noise, self._makers = Noise(floor), Makers(floor)
        self._directional = Directional(floor)
        self._take_mean = floor.settings.take_rate / (1.0 - branching)
        for index in range(KERNELS):
            self._excited[index] = self._take_mean * floor.settings.kernel_branching[index]
        floor.now_ns = self.due_ns = start_ns
        floor.open()
        self._schedule()

    def advance(self, int64_t until_ns, int64_t acts_max):
        """Act while the next act is due, at most so often; returns how often."""
        return self.run(until_ns, acts_max)

    def pause(self, int64_t for_ns):
        """Time stood still for so long."""
        self.due_ns += for_ns
        self.floor.pause(for_ns)
        self._directional.pause(for_ns)

    def rescale(self, settings, int64_t factor, int64_t px_ticks_max):
        """The tick is `factor` times finer."""
        self.floor.rescale(settings, factor, px_ticks_max)
        self._directional.rescale(factor)

    cdef int64_t run(self, ns_t until_ns, int64_t acts_max) noexcept nogil:
        cdef int64_t count = 0
        while count < acts_max and self.due_ns <= until_ns:
            self._act()
            self._schedule()
            count += 1
        self.acts += count
        return count

    cdef void _act(self) noexcept nogil:
        cdef double takes = self._take_rate(), activity = self._activity(), draw
        self.floor.now_ns = self.due_ns
        if self.floor.calm_ns != 0 and self.floor.now_ns >= self.floor.calm_ns:
            self.floor.calm()
        draw = uniform(&self.floor.dice) * (
            takes + activity * (self.floor.settings.quote_rate + self.floor.settings.make_rate)
            + self._react_rate())
        if draw < takes:
            self._take()
            return
        draw -= takes
        if draw < activity * self.floor.settings.quote_rate:
            self._noise.quote_or_cancel()
        elif draw < activity * (self.floor.settings.quote_rate + self.floor.settings.make_rate):
            self._makers.requote()
        else:
            self._react()

    cdef void _take(self) noexcept nogil:
        cdef int index
        self._directional.look()
        self._jump(sqrt((1.0 - STEADY_SHARE) / self._take_mean))
        if uniform(&self.floor.dice) >= MOMENTUM_SHARE or not self._directional.follow():
            self._noise.take()
        for index in range(KERNELS):
            self._excited[index] += (
                self.floor.settings.kernel_branching[index]
                / self.floor.settings.kernel_tau[index])

    cdef void _react(self) noexcept nogil:
        cdef int side
        for side in range(2):
            if self.floor.is_stale(side):
                if self.floor.keep_ticks > 0.0 or uniform(&self.floor.dice) < PULL_SHARE:
                    self._makers.pull(side)
                else:
                    self._directional.correct(side)
                return
        if self.floor.is_wide():
            self._makers.close_gap()

    # -- RATES ---

    cdef double _take_rate(self) noexcept nogil:
        return (self.floor.settings.take_rate
                + self._excited[0] + self._excited[1] + self._excited[2])

    cdef double _activity(self) noexcept nogil:
        """1 in the mean."""
        return 0.5 + 0.5 * self._take_rate() / self._take_mean

    cdef double _react_rate(self) noexcept nogil:
        if self.floor.is_wide() or self.floor.is_stale(SIDE_BUY) or self.floor.is_stale(SIDE_SELL):
            return self.floor.settings.react_rate
        return 0.0

    cdef void _schedule(self) noexcept nogil:
        """Draw the next arrival, and move excitation and fair value there."""
        cdef double quotes = self.floor.settings.quote_rate + self.floor.settings.make_rate
        cdef double reacts = self._react_rate(), bound, rate, gap_s, passed_s = 0.0
        cdef int index
        while True:
            bound = self._take_rate() + quotes * self._activity() + reacts
            gap_s = exponential(&self.floor.dice, 1.0 / bound)
            passed_s += gap_s
            for index in range(KERNELS):
                self._excited[index] *= exp(-gap_s / self.floor.settings.kernel_tau[index])
            rate = self._take_rate() + quotes * self._activity() + reacts
            if uniform(&self.floor.dice) * bound < rate:
                break
        self.due_ns += <ns_t>fmax(1.0, passed_s * NS)
        self._move_fair(passed_s)

    # -- FAIR VALUE ---

    cdef void _move_fair(self, double gap_s) noexcept nogil:
        """What time alone does to it."""
        cdef int index
        self._vol_age_s += gap_s
        if self._vol_age_s >= VOL_STEP_S:
            self._move_volatility()
        self._jump(sqrt(STEADY_SHARE * gap_s))
        self.floor.fair_ticks += (
            (self.floor.start_ticks - self.floor.fair_ticks) * gap_s
            / self.floor.settings.reversion_tau)
        if uniform(&self.floor.dice) < self.floor.settings.news_rate * gap_s:
            self._jump(self.floor.settings.news_sigmas)
            for index in range(KERNELS):
                self._excited[index] += NEWS_TAKERS

    cdef void _jump(self, double scale) noexcept nogil:
        """A normal increment of so many standard deviations of a second."""
        cdef double fair = self.floor.fair_ticks + (
            scale * self.floor.settings.sigma_ticks * exp(self._vol[0] + self._vol[1])
            * gauss(&self.floor.dice))
        self.floor.fair_ticks = min(max(fair, 2.0), self.floor.px_max - 1.0)

    cdef void _move_volatility(self) noexcept nogil:
        """Two Ornstein-Uhlenbeck factors; the mean keeps that of the variance at 1."""
        cdef double decay, sigma
        cdef int index
        for index in range(2):
            sigma = self.floor.settings.vol_sigma[index]
            decay = exp(-self._vol_age_s / self.floor.settings.vol_tau[index])
            self._vol[index] = -sigma * sigma + decay * (self._vol[index] + sigma * sigma) + (
                sigma * sqrt(1.0 - decay * decay) * gauss(&self.floor.dice))
        self._vol_age_s = 0.0
