# cython: language_level=3
"""The cores of a hot loop: their inputs, what these cause, and what Python is to hear of it.

Every input of a live core goes through here, so that what it causes is sent (or refused, as late)
before its next. hotsocket.pyx brings what arrives on sockets; see there.

What a send outcome is. SENT: every byte is with the kernel. LATE: past its deadline, or held up
by bytes that the kernel did not take; nothing of it left. PARTIAL: some or all of its bytes are in
our queue and will leave later, because half a frame can't be taken back and a cancel must go out.
FAILED: nothing left, and nothing will.

A core sends on the youngest live slot of its TRADE role. What was queued on an older one leaves
when that can send again; what is lost with it the core finds out by its acknowledgement timeout,
as it does not hear of the loss while another slot is live.
"""
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from engine.gateway.hotconn cimport (
    CLOSE_NONE,
    HotConn,
    hs_monotonic_ns,
    hs_set_virtual,
)
from engine.gateway.hotrole cimport Role
from engine.gateway.hotroute cimport NUMBER_MAX
from fastcore.check cimport fc_likely, fc_unlikely
from fastcore.core cimport Core
from fastcore.latency cimport Histogram
from fastcore.types cimport (
    CONN_MARKET,
    CONN_TRADE,
    CONN_USER,
    OUT_MAX,
    SEND_FAILED,
    SEND_LATE,
    SEND_PARTIAL,
    SEND_SENT,
    VERB_STATUS,
    Out,
    ns_t,
)


cdef class HotSend:
    """Base of HotLoop."""

    def __cinit__(self):
        self._cores = []
        self._roles = []
        self.tick_to_order = Histogram()

    def __dealloc__(self):
        free(self.seats)
        free(self.role_at)

    # -- SENDING ---

    cdef void _after_input(self, int number) noexcept nogil:
        """Due after each input of a core, once: its messages go out, its changes are seen."""
        self._send_outs(number)
        self._look(number)

    cdef void _send_outs(self, int number) noexcept nogil:
        if (<Core>self.seats[number].core).out_count > 0:
            self._send_each(<Core>self.seats[number].core, self.seats[number].trade)

    cdef void _send_each(self, Core core, PyObject* trade) noexcept nogil:
        """Send what the last input caused, each message's age checked at the very send.

        One send() for each run of messages that are in time and contiguous: one, as a rule.
        The core hears of each outcome before its next input.
        """
        cdef int outcomes[OUT_MAX]
        cdef int count = core.out_count
        cdef int first = 0, last
        cdef int64_t size
        cdef ns_t begin_ns
        while first < count:
            begin_ns = hs_monotonic_ns()
            last = first
            size = 0
            while last < count and self._may_join(core, first, last, begin_ns):
                size += core.outs[last].size
                last += 1
            if fc_unlikely(last == first):
                outcomes[first] = SEND_LATE
                last = first + 1
            elif fc_unlikely(trade == NULL or not _has_sender(<Role>trade)):
                _fill(outcomes, first, last, SEND_FAILED)
            else:
                self._send_run(core, <HotConn>(<Role>trade).conn_at[(<Role>trade).sender], first,
                               last, size, outcomes)
            self._tell_sent(core, first, last, outcomes, begin_ns)
            first = last

    cdef void _tell_sent(self, Core core, int first, int last, int* outcomes,
                         ns_t begin_ns) noexcept nogil:
        cdef ns_t end_ns = hs_monotonic_ns()
        cdef const Out* out
        cdef int i
        for i in range(first, last):
            out = &core.outs[i]
            if outcomes[i] == SEND_SENT and out.cause_ts_ns != 0 and out.verb != VERB_STATUS:
                self.tick_to_order.record(end_ns - out.cause_ts_ns)
            core.on_send(core.outs[i].out_seq, outcomes[i], begin_ns, end_ns, end_ns)

    cdef bint _may_join(self, Core core, int first, int index, ns_t begin_ns) noexcept nogil:
        """In time, and adjacent to the run that starts at `first`."""
        cdef const Out* out = &core.outs[index]
        if out.deadline_ns != 0 and begin_ns > out.deadline_ns:
            return False
        return index == first or (out - 1).data + (out - 1).size == out.data

    cdef void _send_run(self, Core core, HotConn trade, int first, int last, int64_t size,
                        int* outcomes) noexcept nogil:
        """One send() of outs [first, last), `size` bytes; what the kernel did not take is queued
        if its frame is begun or must go out, else it is late."""
        cdef const Out* out
        cdef int64_t sent = 0
        cdef int i
        if fc_likely(trade.flush()):
            sent = trade.send_bytes(core.outs[first].data, size)
            if fc_unlikely(sent == size and trade.is_queued()):
                # TLS: encrypted as one, and some of it has yet to leave.
                _fill(outcomes, first, last, SEND_PARTIAL)
                return
        for i in range(first, last):
            out = &core.outs[i]
            if fc_likely(sent >= out.size):
                outcomes[i] = SEND_SENT
                sent -= out.size
                continue
            if sent < 0 or not trade.is_live():
                outcomes[i] = SEND_FAILED
            elif sent == 0 and out.deadline_ns != 0:
                outcomes[i] = SEND_LATE
            elif trade.enqueue(out.data + sent, out.size - sent) or sent > 0:
                outcomes[i] = SEND_PARTIAL
                sent = 0
            else:
                outcomes[i] = SEND_FAILED

    # -- WHAT PYTHON IS TO HEAR ---

    cdef void _look(self, int number) noexcept nogil:
        """Cold bits of what the last input changed."""
        self._compare(&self.seats[number], <Core>self.seats[number].core)

    cdef void _compare(self, Seat* seat, Core core) noexcept nogil:
        cdef uint32_t bits = core.halts.bits
        cdef bint is_working = core.orders.active_count != 0
        cdef int cold = 0
        if fc_unlikely(core.sync.snapshot_wanted != seat.was_snapshot_wanted):
            seat.was_snapshot_wanted = core.sync.snapshot_wanted
            if seat.was_snapshot_wanted and seat.market != NULL and (<Role>seat.market).live > 0:
                cold |= COLD_SNAPSHOT
        if fc_unlikely(bits != seat.last_bits):
            seat.last_bits = bits
            cold |= COLD_STATE
        if fc_unlikely(bits != 0) and seat.was_working and not is_working:
            cold |= COLD_FLAT
        seat.was_working = is_working
        if fc_unlikely(cold != 0):
            seat.cold |= cold
            self.has_cold = True

    cdef void _settle(self) noexcept nogil:
        """Tell the cores of sockets that failed, until none is left: what that causes may break
        another. Orders first, as their fate is at stake."""
        cdef int i
        while fc_unlikely(self.noted.has_failed):
            self.noted.has_failed = False
            for i in range(self.role_count):
                self._settle_role(<Role>self.role_at[i], CONN_TRADE)
            for i in range(self.role_count):
                self._settle_role(<Role>self.role_at[i], CONN_USER)
            for i in range(self.role_count):
                self._settle_role(<Role>self.role_at[i], CONN_MARKET)

    cdef void _settle_role(self, Role role, int kind) noexcept nogil:
        cdef int slot
        if role.kind == kind:
            for slot in range(role.slots):
                self._tell_failed(role, <HotConn>role.conn_at[slot])

    cdef void _tell_failed(self, Role role, HotConn hot) noexcept nogil:
        if hot.fd < 0 or hot.close_reason == CLOSE_NONE or hot.is_told:
            return
        hot.is_told = hot.is_cold = True
        self.has_cold = True
        self._forget(hot)
        role.choose_sender()
        role.live -= 1
        if role.live == 0:
            self._tell_conn(role, False)

    cdef void _tell_conn(self, Role role, bint is_up) noexcept nogil:
        cdef int i, number
        for i in range(role.count):
            number = role.cores[i]
            (<Core>self.seats[number].core).on_conn(role.kind, is_up, hs_monotonic_ns())
            self._after_input(number)

    cdef void _forget(self, HotConn hot) noexcept nogil:
        """HotLoop's: the socket is polled no more."""

    # -- COLD ---

    def add_core(self, Core core not None) -> int:
        """Take a core in; its number, which its intents begin with."""
        cdef int number = self.core_count
        cdef Seat* seats
        if core.config.get("number", number) != number:
            raise ValueError(f"Expected the core of number {number}")
        if number > NUMBER_MAX:
            raise ValueError(f"Expected at most {NUMBER_MAX + 1} cores")
        seats = <Seat*>realloc(self.seats, (number + 1) * sizeof(Seat))
        if seats == NULL:
            raise MemoryError()
        self.seats = seats
        memset(&seats[number], 0, sizeof(Seat))
        seats[number].core = <PyObject*>core
        seats[number].last_bits = core.halts.bits
        self._cores.append(core)
        self.core_count += 1
        self._on_core_added(number)
        return number

    def _on_core_added(self, int number):
        """HotLoop's: its timer is due from now on."""

    def _add_role(self, Role role):
        cdef PyObject** role_at
        for i in range(role.count):
            if self._role_of(&self.seats[role.cores[i]], role.kind)[0] != NULL:
                raise ValueError(f"Core {role.cores[i]} has a role of kind {role.kind} already")
        role_at = <PyObject**>realloc(self.role_at, (self.role_count + 1) * sizeof(PyObject*))
        if role_at == NULL:
            raise MemoryError()
        self.role_at = role_at
        role_at[self.role_count] = <PyObject*>role
        self._roles.append(role)
        self.role_count += 1
        for i in range(role.count):
            self._role_of(&self.seats[role.cores[i]], role.kind)[0] = <PyObject*>role
        for hot in role._conns:
            (<HotConn>hot).noted = &self.noted

    cdef PyObject** _role_of(self, Seat* seat, int kind) noexcept nogil:
        if kind == CONN_MARKET:
            return &seat.market
        return &seat.trade if kind == CONN_TRADE else &seat.user

    cdef Core _core(self, number):
        if not 0 <= number < self.core_count:
            raise ValueError(f"Expected a core's number below {self.core_count}, was {number}")
        return self._cores[number]

    def command(self, int number, int command) -> int:
        """CMD_* to the core; messages caused, or a negative Code."""
        return self._after(number, self._core(number).on_command(command, hs_monotonic_ns()))

    def snapshot(self, int number, bytes body not None) -> int:
        """A REST depth snapshot's body."""
        return self._after(number, self._core(number).on_snapshot(
            <const uint8_t*>body, len(body), hs_monotonic_ns()))

    def clock(self, int number, int64_t utc_minus_monotonic_ns) -> int:
        """The venue's UTC less our monotonic clock."""
        return self._after(number, self._core(number).on_clock(
            utc_minus_monotonic_ns, hs_monotonic_ns()))

    def account(self, int number, int64_t position_lots, int64_t open_orders) -> int:
        """What the venue says that we hold and have working."""
        return self._after(number, self._core(number).on_account(
            position_lots, open_orders, hs_monotonic_ns()))

    # Rare, and by the core's Python face, whose names must not be taken for its C attributes.

    def opening(self, int number, int64_t position_lots) -> int:
        """What the account held before this run's first event."""
        core = <object>self._core(number)
        return self._after(number, core.opening(position_lots, hs_monotonic_ns()))

    def known(self, int number, trades) -> int:
        """(trade id, our side, venue's UTC ns) each, which earlier runs have booked."""
        core = <object>self._core(number)
        return self._after(number, core.known(trades, hs_monotonic_ns()))

    def fill_row(self, int number, **row) -> int:
        """An execution read over REST: 1 booked, 0 known already."""
        core = <object>self._core(number)
        return self._after(number, core.fill_row(now_ns=hs_monotonic_ns(), **row))

    def query(self, int number, **answer) -> int:
        """What a REST query says of one of our orders."""
        core = <object>self._core(number)
        return self._after(number, core.query(now_ns=hs_monotonic_ns(), **answer))

    def params(self, int number, values) -> int:
        """The strategy's parameters from now on, checked by the caller."""
        core = <object>self._core(number)
        return self._after(number, core.params(list(values), hs_monotonic_ns()))

    def take(self, int number, int side, int64_t px_ticks, int64_t qty_lots, int reason) -> int:
        """An immediate-or-cancel order; messages caused, 0: the core or its gate won't."""
        core = <object>self._core(number)
        return self._after(number, core.take(side, px_ticks, qty_lots, reason, hs_monotonic_ns()))

    def condition(self, int number, int bit, bint is_on) -> int:
        """A reason of the edge's own to stand aside (HALT_*), or its end."""
        core = <object>self._core(number)
        return self._after(number, core.condition(bit, is_on, hs_monotonic_ns()))

    cdef int _after(self, int number, int code) noexcept:
        self._after_input(number)
        self._settle()
        return code

    def core(self, number) -> Core:
        return self._core(number)

    @property
    def cores(self) -> list[Core]:
        return list(self._cores)

    @property
    def roles(self) -> list[Role]:
        return list(self._roles)

    def bits(self, int number) -> int:
        """The core's halt reasons in force; 0: running."""
        return self._core(number).halts.bits

    def is_snapshot_wanted(self, int number) -> bool:
        """Whether the core wants a depth snapshot, and has the feed that it would belong to."""
        cdef Core core = self._core(number)
        cdef PyObject* market = self.seats[number].market
        return core.sync.snapshot_wanted and market != NULL and (<Role>market).live > 0


cdef inline bint _has_sender(Role role) noexcept nogil:
    """Whether orders can leave; a slot that has just failed makes way for another."""
    if fc_unlikely(role.sender < 0 or not (<HotConn>role.conn_at[role.sender]).is_live()):
        role.choose_sender()
    return role.sender >= 0


cdef inline void _fill(int* outcomes, int first, int last, int outcome) noexcept nogil:
    cdef int i
    for i in range(first, last):
        outcomes[i] = outcome


cdef void set_virtual_time_of_sends(int64_t monotonic_ns, int64_t wall_ns) noexcept nogil:
    """This module's copy of the simulator's time; 0: the clocks again."""
    hs_set_virtual(monotonic_ns, wall_ns)
