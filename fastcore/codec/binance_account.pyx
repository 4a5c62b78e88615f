# cython: language_level=3
"""What the venue says about the account: what we hold of our instrument, and in its quote asset.

    {"e":"ACCOUNT_UPDATE","T":...,"E":...,"a":{"m":"ORDER","B":[{"a":"USDT","wb":"122624.12345678",
     ...}],"P":[{"s":"BTCUSDT","pa":"20","ps":"BOTH",...}]}}
    {"e":"outboundAccountPosition","E":...,"u":...,"B":[{"a":"ETH","f":"10000.00","l":"0.00"}]}
    {"e":"balanceUpdate","E":...,"a":"BTC","d":"100.00000000","T":...}

USD-M, COIN-M: the wallet balance (wb) of the quote asset, the position amount (pa) of our symbol.
We trade in one-way mode: a position that is LONG or SHORT and not 0 is E_RANGE, as we could not say
what we hold; at 0 it says nothing.
Spot: both are free + locked (f + l). The position is the base asset's whole lots: fees taken in it
leave less than a lot over, which can't be sold.
balanceUpdate tells a difference, not a balance: the event says only that something changed.
Sources: developers.binance.com, usds-margined-futures, user data streams (Event: Balance and
Position Update); binance-spot-api-docs, user-data-stream.md (Account Update, Balance Update).
"""
from libc.stdint cimport int64_t, uint8_t

from fastcore.codec.binance_frame cimport FC_BIT, Frame, Letters, Text, is_asset, same_text, text_is
from fastcore.codec.binance_order cimport E8_SCALE, letter_text, letter_units
from fastcore.codec.binance_read cimport first_name, next_name, read_name
from fastcore.fixed cimport parse_units
from fastcore.scan cimport fc_pow10, skip_space, skip_string, skip_value
from fastcore.types cimport E_MALFORMED, E_RANGE, OK, AccountEvent, Scale

cdef struct Entry:             # of B or P: values of its names, where they start; NULL: not there
    const uint8_t* of          # a or s
    const uint8_t* one         # wb, f or pa
    const uint8_t* two         # l or ps; NULL: not asked for


cdef inline bint is_text(const uint8_t* p, const uint8_t* end, Text* out) noexcept nogil:
    if p == NULL or p[0] != 34:
        return False
    out.at = p + 1
    out.size = skip_string(p + 1, end) - p - 2
    return True


cdef int units_at(
    const uint8_t* p, const uint8_t* end, const Scale* scale, int64_t* out
) noexcept nogil:
    """A decimal in a string."""
    cdef int code
    if p == NULL or p[0] != 34:
        return E_MALFORMED
    p += 1
    code = parse_units(&p, end, scale, out)
    return E_MALFORMED if code == E_MALFORMED or p[0] != 34 else code


cdef const uint8_t* read_entry(
    const uint8_t* p, const uint8_t* end, uint8_t of, const char* one, const char* two,
    Entry* entry,
) noexcept nogil:
    """One object of an array; p is after its opening brace. `one`, `two`: one or two letters."""
    cdef Text name
    cdef bint is_closed
    entry.of = entry.one = entry.two = NULL
    p = first_name(p, end, &is_closed)
    while not is_closed:
        p = read_name(p, end, &name)
        if p == NULL:
            return NULL
        if name.size == 1 and name.at[0] == of:
            if entry.of != NULL:
                return NULL
            entry.of = p
        elif text_is(&name, one, 2 if one[1] else 1):
            if entry.one != NULL:
                return NULL
            entry.one = p
        elif text_is(&name, two, 2 if two[1] else 1):
            if entry.two != NULL:
                return NULL
            entry.two = p
        p = skip_value(p, end)
        if p == NULL:
            return NULL
        p = next_name(p, end, &is_closed)
        if p == NULL:
            return NULL
    return p


cdef inline const uint8_t* next_entry(
    const uint8_t* p, const uint8_t* end, bint is_first, bint* is_closed
) noexcept nogil:
    """p is after an array's bracket or entry: after the next entry's brace. NULL: neither."""
    p = skip_space(p, end)
    is_closed[0] = p < end and p[0] == 93
    if is_closed[0]:
        return p
    if not is_first:
        if p >= end or p[0] != 44:
            return NULL
        p = skip_space(p + 1, end)
    return p + 1 if p < end and p[0] == 123 else NULL


# -- USD-M, COIN-M ---

cdef int read_positions(
    const Frame* frame, const uint8_t* p, AccountEvent* account
) noexcept nogil:
    """P; p is at its value."""
    cdef const uint8_t* end = frame.end
    cdef Entry entry
    cdef Text symbol, side
    cdef int64_t lots
    cdef bint is_closed = False
    cdef bint is_first = True
    cdef int code
    cdef int worst = OK
    if p[0] != 91:
        return E_MALFORMED
    p += 1
    while True:
        p = next_entry(p, end, is_first, &is_closed)
        if p == NULL or is_closed:
            return E_MALFORMED if p == NULL else worst
        is_first = False
        p = read_entry(p, end, c"s", b"pa", b"ps", &entry)
        if p == NULL or not is_text(entry.of, end, &symbol):
            return E_MALFORMED
        if not same_text(&symbol, &frame.own_symbol):
            continue
        code = units_at(entry.one, end, &frame.qty_scale, &lots)
        if code == E_MALFORMED or not is_text(entry.two, end, &side):
            return E_MALFORMED
        if not text_is(&side, b"BOTH", 4):
            if code != OK or lots != 0:
                worst = E_RANGE
            continue
        if account.has_position:
            return E_MALFORMED
        account.has_position = 1
        account.position_lots = lots if code == OK else 0
        worst = code if code != OK else worst


cdef int read_wallets(const Frame* frame, const uint8_t* p, AccountEvent* account) noexcept nogil:
    """B; p is at its value."""
    cdef const uint8_t* end = frame.end
    cdef Entry entry
    cdef Text asset
    cdef bint is_closed = False
    cdef bint is_first = True
    cdef int code
    cdef int worst = OK
    if p[0] != 91:
        return E_MALFORMED
    p += 1
    while True:
        p = next_entry(p, end, is_first, &is_closed)
        if p == NULL or is_closed:
            return E_MALFORMED if p == NULL else worst
        is_first = False
        p = read_entry(p, end, c"a", b"wb", b"cw", &entry)
        if p == NULL or not is_text(entry.of, end, &asset):
            return E_MALFORMED
        if not is_asset(&asset, &frame.quote_asset):
            continue
        if account.has_balance:
            return E_MALFORMED
        account.has_balance = 1
        code = units_at(entry.one, end, &E8_SCALE, &account.balance_e8)
        if code == E_MALFORMED:
            return E_MALFORMED
        worst = code if code != OK else worst


cdef int read_futures_account(const Frame* frame, AccountEvent* account) noexcept nogil:
    cdef const uint8_t* end = frame.end
    cdef const uint8_t* p
    cdef Text name
    cdef const uint8_t* wallets = NULL
    cdef const uint8_t* positions = NULL
    cdef bint is_closed = False
    cdef int code = OK
    cdef int worst = OK
    _nothing(account)
    if not frame.names.seen & FC_BIT(c"a") or frame.letters.at[c"a" & 63][0] != 123:
        return E_MALFORMED
    p = first_name(frame.letters.at[c"a" & 63] + 1, end, &is_closed)
    while not is_closed:
        p = read_name(p, end, &name)
        if p == NULL:
            return E_MALFORMED
        if text_is(&name, b"B", 1):
            if wallets != NULL:
                return E_MALFORMED
            wallets = p
        elif text_is(&name, b"P", 1):
            if positions != NULL:
                return E_MALFORMED
            positions = p
        p = skip_value(p, end)
        if p != NULL:
            p = next_name(p, end, &is_closed)
        if p == NULL:
            return E_MALFORMED
    if wallets != NULL:
        worst = read_wallets(frame, wallets, account)
    if positions != NULL and worst != E_MALFORMED:
        code = read_positions(frame, positions, account)
    return code if code != OK else worst


# -- SPOT ---

cdef int read_spot_account(const Frame* frame, AccountEvent* account) noexcept nogil:
    cdef const uint8_t* end = frame.end
    cdef const uint8_t* p
    cdef Entry entry
    cdef Text asset
    cdef int64_t free_e8, locked_e8
    cdef bint is_closed = False
    cdef bint is_first = True
    cdef bint is_quote
    cdef int free_code, locked_code
    cdef int worst = OK
    _nothing(account)
    p = frame.letters.at[c"B" & 63]
    if not frame.names.seen & FC_BIT(c"B") or p[0] != 91:
        return E_MALFORMED
    p += 1
    while True:
        p = next_entry(p, end, is_first, &is_closed)
        if p == NULL or is_closed:
            return E_MALFORMED if p == NULL else worst
        is_first = False
        p = read_entry(p, end, c"a", b"f", b"l", &entry)
        if p == NULL or not is_text(entry.of, end, &asset):
            return E_MALFORMED
        is_quote = is_asset(&asset, &frame.quote_asset)
        if not is_quote and not is_asset(&asset, &frame.base_asset):
            continue
        if account.has_balance if is_quote else account.has_position:
            return E_MALFORMED
        free_code = units_at(entry.one, end, &E8_SCALE, &free_e8)
        locked_code = units_at(entry.two, end, &E8_SCALE, &locked_e8)
        if free_code == E_MALFORMED or locked_code == E_MALFORMED:
            return E_MALFORMED
        if is_quote:
            account.has_balance = 1
        else:
            account.has_position = 1
        if free_code != OK or locked_code != OK or free_e8 < 0 or locked_e8 < 0:
            worst = E_RANGE
        elif is_quote:
            account.balance_e8 = free_e8 + locked_e8
        else:
            account.position_lots = whole_lots(free_e8 + locked_e8, &frame.qty_scale)
            if account.position_lots < 0:
                worst = E_RANGE


cdef int64_t whole_lots(int64_t amount_e8, const Scale* scale) noexcept nogil:
    """Lots in an amount, rounded down; -1: too many to count."""
    cdef int64_t most = 9223372036854775807
    cdef int64_t factor
    if scale.decimals > 8:
        factor = <int64_t> fc_pow10[scale.decimals - 8]
        return amount_e8 * factor // scale.step if amount_e8 <= most // factor else -1
    factor = <int64_t> fc_pow10[8 - scale.decimals]
    return amount_e8 // (scale.step * factor) if scale.step <= most // factor else 0


cdef int read_balance_change(const Frame* frame, AccountEvent* account) noexcept nogil:
    """a and d must be an asset and an amount."""
    cdef const Letters* letters = &frame.letters
    cdef Text asset
    cdef int64_t change_e8
    _nothing(account)
    if not frame.names.seen & FC_BIT(c"a") or not frame.names.seen & FC_BIT(c"d"):
        return E_MALFORMED
    if not letter_text(letters, c"a", &asset):
        return E_MALFORMED
    return letter_units(letters, c"d", &E8_SCALE, &change_e8)


cdef inline void _nothing(AccountEvent* account) noexcept nogil:
    account.has_position = account.has_balance = 0
    account.position_lots = account.balance_e8 = 0
