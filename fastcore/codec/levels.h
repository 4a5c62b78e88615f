/* Levels of a book as Binance spells them, two numbers by one chain of vector multiplications.
 *
 *     ["61800.20","2.507"],["61800.10","12.000"],...
 *
 * A mask of what is no digit, over 32 bytes, tells where both numbers and their points stand. A row
 * of a table, chosen by the digits before and behind the point, brings a number's digits to fixed
 * places (missing decimals become zeros): the price's into the low eight bytes of a register, the
 * quantity's into the high eight. Then three multiply-and-adds (SSSE3, SSE4.1) make both values.
 * All is looked at: whatever is not exactly so ends the run, and is left to the general reader.
 * The rows hold at most eight digits in all, so no value can overflow.
 */
#ifndef FC_LEVELS_H
#define FC_LEVELS_H
#include <stdint.h>
#include <string.h>

#define FC_ROWS 8                      /* digits before the point 0..7, decimals used 0..7 */
#define FC_LEVEL_ROOM 56               /* bytes that must follow a level's start */

typedef struct {
    int decimals;                      /* of the scale; -1: not to be read here */
    int whole_max;                     /* digits before the point */
    uint8_t rows[FC_ROWS][FC_ROWS][16];
} FcRows;

/* `high`: the digits go to bytes 8..15. */
static inline void fc_rows_lay_down(FcRows *rows, int decimals, int64_t step, int high) {
    int whole, used, i;
    memset(rows, 0x80, sizeof(*rows));
    rows->decimals = step == 1 && decimals < FC_ROWS ? decimals : -1;
    rows->whole_max = 8 - decimals < FC_ROWS - 1 ? 8 - decimals : FC_ROWS - 1;
    for (whole = 1; rows->decimals >= 0 && whole <= rows->whole_max; whole++) {
        for (used = 0; used <= decimals; used++) {
            uint8_t *row = rows->rows[whole][used] + 8 * high;
            for (i = 0; i < whole; i++) {
                row[8 - decimals - whole + i] = (uint8_t) i;
            }
            for (i = 0; i < used; i++) {
                row[8 - decimals + i] = (uint8_t) (whole + 1 + i);
            }
        }
    }
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(FC_PORTABLE)
#include <smmintrin.h>

static inline int fc_has_rows(void) {
    return __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3");
}

/* Levels from the [ at p, each followed by another or by the closing ]: after the last one
 * read and its comma. `end`: of the message. `*count` grows to `max` at most. */
__attribute__((target("sse4.1"), unused)) static const uint8_t *fc_read_levels(
    const uint8_t *p, const uint8_t *end, const FcRows *px, const FcRows *qty, int64_t *levels,
    int64_t max, int64_t *count) {
    const __m128i bias = _mm_set1_epi8(128 - 48), nine = _mm_set1_epi8(9 - 128);
    const __m128i zero = _mm_set1_epi8(48), bracket = _mm_set1_epi8(']');
    const __m128i tens = _mm_set1_epi16(0x010A), hundreds = _mm_set1_epi32(0x00010064);
    const __m128i myriads = _mm_set1_epi32(0x00012710);
    const int px_decimals = px->decimals, qty_decimals = qty->decimals;
    const uint8_t *last = end - FC_LEVEL_ROOM;
    int64_t filled = *count;
    while (p < last && p[0] == '[' && filled < max) {
        const uint8_t *text = p + 2;
        __m128i a = _mm_loadu_si128((const __m128i *) text);
        __m128i b = _mm_loadu_si128((const __m128i *) (text + 16));
        uint32_t others = (uint32_t) _mm_movemask_epi8(_mm_cmpgt_epi8(_mm_add_epi8(a, bias), nine))
            | (uint32_t) _mm_movemask_epi8(_mm_cmpgt_epi8(_mm_add_epi8(b, bias), nine)) << 16
            | 0x80000000u;
        /* Where the level closes: the next one's start hangs on these few steps alone. */
        int closing = __builtin_ctz(
            (uint32_t) _mm_movemask_epi8(_mm_cmpeq_epi8(a, bracket))
            | (uint32_t) _mm_movemask_epi8(_mm_cmpeq_epi8(b, bracket)) << 16 | 0x80000000u);
        int whole = __builtin_ctz(others), px_end = whole, part = 0, used;
        int start, qty_whole, qty_end, qty_part = 0, qty_used;
        uint32_t word;
        __m128i digits;
        others &= others - 1;
        if (__builtin_expect(text[whole] == '.', 1)) {
            px_end = __builtin_ctz(others | 0x80000000u);
            others &= others - 1;
            part = px_end - whole - 1;
            if (part == 0) {
                break;
            }
        }
        memcpy(&word, text + px_end, 4);
        if ((word & 0xFFFFFFu) != 0x222C22u || p[1] != '"') {
            break;                     /* not "," */
        }
        others &= others - 1;
        others &= others - 1;
        start = px_end + 3;
        qty_whole = __builtin_ctz(others | 0x80000000u);
        qty_end = qty_whole;
        if (__builtin_expect(text[qty_whole] == '.', 1)) {
            others &= others - 1;
            qty_end = __builtin_ctz(others | 0x80000000u);
            qty_part = qty_end - qty_whole - 1;
            if (qty_part == 0) {
                break;
            }
        }
        memcpy(&word, text + closing - 1, 4);
        if (qty_end != closing - 1 || qty_end >= 30 || (word != 0x5B2C5D22u && (word & 0xFFFFFFu) != 0x5D5D22u)) {
            break;                     /* neither "],[ nor "]] */
        }
        qty_whole -= start;
        if ((unsigned) (whole - 1) >= (unsigned) px->whole_max
            || (unsigned) (qty_whole - 1) >= (unsigned) qty->whole_max
            || (text[0] == '0' && whole > 1) || (text[start] == '0' && qty_whole > 1)) {
            break;
        }
        used = part < px_decimals ? part : px_decimals;
        qty_used = qty_part < qty_decimals ? qty_part : qty_decimals;
        if (part > used || qty_part > qty_used) {      /* digits beyond the grid must be zeros */
            uint32_t zeros = (uint32_t) _mm_movemask_epi8(_mm_cmpeq_epi8(a, zero))
                | (uint32_t) _mm_movemask_epi8(_mm_cmpeq_epi8(b, zero)) << 16;
            uint32_t beyond = (1u << px_end) - (1u << (px_end - part + used))
                + (1u << qty_end) - (1u << (qty_end - qty_part + qty_used));
            if (beyond & ~zeros) {
                break;
            }
        }
        digits = _mm_or_si128(
            _mm_shuffle_epi8(_mm_sub_epi8(a, zero),
                _mm_loadu_si128((const __m128i *) px->rows[whole][used])),
            _mm_shuffle_epi8(
                _mm_sub_epi8(_mm_loadu_si128((const __m128i *) (text + start)), zero),
                _mm_loadu_si128((const __m128i *) qty->rows[qty_whole][qty_used])));
        digits = _mm_madd_epi16(_mm_maddubs_epi16(digits, tens), hundreds);
        digits = _mm_madd_epi16(_mm_packus_epi32(digits, digits), myriads);
        _mm_storeu_si128((__m128i *) (levels + 2 * filled), _mm_cvtepu32_epi64(digits));
        filled++;
        p = text + closing + 2;
        if (__builtin_expect(word != 0x5B2C5D22u, 0)) {
            p--;                       /* at the array's ] */
            break;
        }
    }
    *count = filled;
    return p;
}
#else
static inline int fc_has_rows(void) {
    return 0;
}
static inline const uint8_t *fc_read_levels(
    const uint8_t *p, const uint8_t *end, const FcRows *px, const FcRows *qty, int64_t *levels,
    int64_t max, int64_t *count) {
    (void) end, (void) px, (void) qty, (void) levels, (void) max, (void) count;
    return p;
}
#endif
#endif
