/* SHA-256 compression (FIPS 180-4 section 6.2.2), two ways: portable C, and the x86 SHA extensions.
 *
 * Both take the eight-word state and whole 64-byte blocks, and give the same state: which one runs
 * is chosen once, at run time. Included by sha256.pyx alone (everything is static).
 *
 * Sources: NIST FIPS 180-4, "Secure Hash Standard"; S. Gulley et al., "Intel SHA Extensions: New
 * Instructions Supporting the Secure Hash Algorithm on Intel Architecture Processors", 2013;
 * Intel SDM volume 2, SHA256RNDS2, SHA256MSG1, SHA256MSG2.
 */
#ifndef FC_SHA256_IMPL_H
#define FC_SHA256_IMPL_H
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define FC_SHA256_X86 1
#include <cpuid.h>
#include <immintrin.h>
#else
#define FC_SHA256_X86 0
#endif

/* Section 4.2.2: first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t fc_sha256_k[64] __attribute__((aligned(64))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* Section 5.3.3: first 32 bits of the fractional parts of the square roots of the first 8 primes. */
static const uint32_t fc_sha256_start[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

/* ---- PORTABLE ---------------------------------------------------------------------------- */

static inline uint32_t fc_load_be32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint32_t fc_rotr32(uint32_t word, int count) {
    return word >> count | word << (32 - count);
}

static void fc_sha256_compress_portable(uint32_t *state, const uint8_t *data, int64_t block_count) {
    uint32_t w[64];
    for (; block_count > 0; block_count--, data += 64) {
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
        for (int t = 0; t < 16; t++) {
            w[t] = fc_load_be32(data + 4 * t);
        }
        for (int t = 16; t < 64; t++) {
            uint32_t x = w[t - 15], y = w[t - 2];
            uint32_t sigma0 = fc_rotr32(x, 7) ^ fc_rotr32(x, 18) ^ x >> 3;
            uint32_t sigma1 = fc_rotr32(y, 17) ^ fc_rotr32(y, 19) ^ y >> 10;
            w[t] = sigma1 + w[t - 7] + sigma0 + w[t - 16];
        }
        for (int t = 0; t < 64; t++) {
            uint32_t sum1 = fc_rotr32(e, 6) ^ fc_rotr32(e, 11) ^ fc_rotr32(e, 25);
            uint32_t t1 = h + sum1 + ((e & f) ^ (~e & g)) + fc_sha256_k[t] + w[t];
            uint32_t sum0 = fc_rotr32(a, 2) ^ fc_rotr32(a, 13) ^ fc_rotr32(a, 22);
            uint32_t t2 = sum0 + ((a & b) ^ (a & c) ^ (b & c));
            h = g, g = f, f = e, e = d + t1;
            d = c, c = b, b = a, a = t1 + t2;
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d;
        state[4] += e, state[5] += f, state[6] += g, state[7] += h;
    }
}

/* One 32-bit word as eight lowercase hexadecimal digits, most significant first, all at once:
 * nibbles are spread one to a byte, then 10..15 jump over the gap from '9' + 1 to 'a'. */
static inline void fc_hex8(uint8_t *out, uint32_t word) {
    uint64_t x = word;
    x = (x << 16 | x) & 0x0000ffff0000ffffULL;
    x = (x << 8 | x) & 0x00ff00ff00ff00ffULL;
    x = (x << 4 | x) & 0x0f0f0f0f0f0f0f0fULL;
    uint64_t is_letter = (x + 0x0606060606060606ULL) >> 4 & 0x0101010101010101ULL;
    x += 0x3030303030303030ULL + is_letter * ('a' - '0' - 10);
#if __BYTE_ORDER__ != __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    memcpy(out, &x, 8);
}

static inline void fc_store_be32(uint8_t *at, uint32_t word) {
    at[0] = (uint8_t)(word >> 24), at[1] = (uint8_t)(word >> 16);
    at[2] = (uint8_t)(word >> 8), at[3] = (uint8_t)word;
}

/* The outer half of HMAC (RFC 2104): `outer`, the state after the key's block, takes the inner
 * digest, whose words stand in `inner`; the result as 64 lowercase hexadecimal digits. */
#define FC_HMAC_OUTER_BITS ((64 + 32) * 8)
static void fc_sha256_outer_portable(const uint32_t *outer, const uint32_t *inner,
                                     uint8_t *out64) {
    uint8_t block[64] = {0};
    uint32_t state[8];
    for (int i = 0; i < 8; i++) {
        fc_store_be32(block + 4 * i, inner[i]);
    }
    block[32] = 0x80;
    fc_store_be32(block + 60, FC_HMAC_OUTER_BITS);
    memcpy(state, outer, sizeof state);
    fc_sha256_compress_portable(state, block, 1);
    for (int i = 0; i < 8; i++) {
        fc_hex8(out64 + 8 * i, state[i]);
    }
}

/* ---- SHA EXTENSIONS ---------------------------------------------------------------------- */

#if FC_SHA256_X86

/* Does this machine have SHA and SSE4.1? (CPUID leaf 7: EBX bit 29; leaf 1: ECX bit 19. Asked
 * directly, since gcc 12's __builtin_cpu_supports does not know "sha".) */
static int fc_sha256_has_ni(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b >> 29 & 1)) {
        return 0;
    }
    return __get_cpuid(1, &a, &b, &c, &d) && (c >> 19 & 1);
}

/* The instructions hold the state as two vectors, high word first: {A,B,E,F} and {C,D,G,H}; one
 * SHA256RNDS2 does two rounds, taking w+k of both from its third operand's low half. m[] holds
 * the last 16 schedule words, four a vector: group g of four rounds uses m[g & 3], and makes the
 * words of group g + 4 in the same place:
 *     MSG1 adds sigma0, the aligned add brings w[t - 7], MSG2 adds sigma1. */
#define FC_NI __attribute__((target("sha,sse4.1")))

/* The state in the order of the instructions, and back. */
typedef struct {
    __m128i abef, cdgh;
} fc_sha256_ni;

FC_NI static inline fc_sha256_ni fc_sha256_load_ni(const uint32_t *state) {
    __m128i dcba = _mm_loadu_si128((const __m128i *)state);
    __m128i hgfe = _mm_loadu_si128((const __m128i *)(state + 4));
    /* Vectors are named from their high lane down. */
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
    __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    fc_sha256_ni s = {_mm_alignr_epi8(cdab, efgh, 8), _mm_blend_epi16(efgh, cdab, 0xf0)};
    return s;
}

FC_NI static inline void fc_sha256_words_ni(fc_sha256_ni s, __m128i *dcba, __m128i *hgfe) {
    const __m128i feba = _mm_shuffle_epi32(s.abef, 0x1b);
    const __m128i dchg = _mm_shuffle_epi32(s.cdgh, 0xb1);
    *dcba = _mm_blend_epi16(feba, dchg, 0xf0);
    *hgfe = _mm_alignr_epi8(dchg, feba, 8);
}

/* One block, its 16 words in m[], low lane first. */
FC_NI static inline fc_sha256_ni fc_sha256_block_ni(fc_sha256_ni s, __m128i *m) {
    const fc_sha256_ni before = s;
#pragma GCC unroll 16
    for (int g = 0; g < 16; g++) {
        const __m128i k = _mm_load_si128((const __m128i *)(fc_sha256_k + 4 * g));
        const __m128i wk = _mm_add_epi32(m[g & 3], k);
        s.cdgh = _mm_sha256rnds2_epu32(s.cdgh, s.abef, wk);
        s.abef = _mm_sha256rnds2_epu32(s.abef, s.cdgh, _mm_shuffle_epi32(wk, 0x0e));
        if (g < 12) {
            const __m128i m1 = m[(g + 1) & 3], m2 = m[(g + 2) & 3], m3 = m[(g + 3) & 3];
            __m128i next = _mm_sha256msg1_epu32(m[g & 3], m1);
            next = _mm_add_epi32(next, _mm_alignr_epi8(m3, m2, 4));
            m[g & 3] = _mm_sha256msg2_epu32(next, m3);
        }
    }
    s.abef = _mm_add_epi32(s.abef, before.abef);
    s.cdgh = _mm_add_epi32(s.cdgh, before.cdgh);
    return s;
}

FC_NI static void fc_sha256_compress_ni(uint32_t *state, const uint8_t *data,
                                        int64_t block_count) {
    const __m128i to_big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i dcba, hgfe;
    fc_sha256_ni s = fc_sha256_load_ni(state);
    for (; block_count > 0; block_count--, data += 64) {
        __m128i m[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            m[i] = _mm_loadu_si128((const __m128i *)(data + 16 * i));
            m[i] = _mm_shuffle_epi8(m[i], to_big_endian);
        }
        s = fc_sha256_block_ni(s, m);
    }
    fc_sha256_words_ni(s, &dcba, &hgfe);
    _mm_storeu_si128((__m128i *)state, dcba);
    _mm_storeu_si128((__m128i *)(state + 4), hgfe);
}

/* 16 bytes as 32 lowercase hexadecimal digits. */
FC_NI static inline void fc_hex16_ni(uint8_t *out, __m128i bytes) {
    const __m128i digits = _mm_setr_epi8('0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a',
                                         'b', 'c', 'd', 'e', 'f');
    const __m128i low = _mm_set1_epi8(0x0f);
    const __m128i high_nibbles = _mm_and_si128(_mm_srli_epi16(bytes, 4), low);
    const __m128i low_nibbles = _mm_and_si128(bytes, low);
    const __m128i first = _mm_unpacklo_epi8(high_nibbles, low_nibbles);
    const __m128i second = _mm_unpackhi_epi8(high_nibbles, low_nibbles);
    _mm_storeu_si128((__m128i *)out, _mm_shuffle_epi8(digits, first));
    _mm_storeu_si128((__m128i *)(out + 16), _mm_shuffle_epi8(digits, second));
}

/* The outer half of HMAC. The inner digest's words are the block's words: between the two halves
 * and the digits nothing goes through memory, where each load would wait for smaller stores. */
FC_NI static void fc_sha256_outer_ni(const uint32_t *outer, const uint32_t *inner, uint8_t *out64) {
    const __m128i to_big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i dcba, hgfe;
    __m128i m[4] = {
        _mm_loadu_si128((const __m128i *)inner), _mm_loadu_si128((const __m128i *)(inner + 4)),
        _mm_set_epi32(0, 0, 0, (int)0x80000000u), _mm_set_epi32(FC_HMAC_OUTER_BITS, 0, 0, 0),
    };
    fc_sha256_words_ni(fc_sha256_block_ni(fc_sha256_load_ni(outer), m), &dcba, &hgfe);
    fc_hex16_ni(out64, _mm_shuffle_epi8(dcba, to_big_endian));
    fc_hex16_ni(out64 + 32, _mm_shuffle_epi8(hgfe, to_big_endian));
}

#else

static int fc_sha256_has_ni(void) {
    return 0;
}

static void fc_sha256_compress_ni(uint32_t *state, const uint8_t *data, int64_t block_count) {
    fc_sha256_compress_portable(state, data, block_count);
}

static void fc_sha256_outer_ni(const uint32_t *outer, const uint32_t *inner, uint8_t *out64) {
    fc_sha256_outer_portable(outer, inner, out64);
}

#endif

/* ---- SHARED ------------------------------------------------------------------------------- */

static inline void fc_sha256_compress(int use_ni, uint32_t *state, const uint8_t *data,
                                      int64_t block_count) {
    if (use_ni) {
        fc_sha256_compress_ni(state, data, block_count);
    } else {
        fc_sha256_compress_portable(state, data, block_count);
    }
}

/* HMAC's outer half; see fc_sha256_outer_portable. */
static inline void fc_sha256_outer(int use_ni, const uint32_t *outer, const uint32_t *inner,
                                   uint8_t *out64) {
    if (use_ni) {
        fc_sha256_outer_ni(outer, inner, out64);
    } else {
        fc_sha256_outer_portable(outer, inner, out64);
    }
}

/* Zero memory that held a secret: through volatile, so that no optimiser finds it dead. */
static void fc_wipe(void *at, int64_t size) {
    volatile uint8_t *byte = (volatile uint8_t *)at;
    for (int64_t i = 0; i < size; i++) {
        byte[i] = 0;
    }
}

#endif
