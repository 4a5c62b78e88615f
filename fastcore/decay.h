/* e^-x and 1 - e^-x for x >= 0, from sums and products alone.
 *
 * libm's exp differs in the last bit between C libraries and between processors with and without
 * fused multiply-add. IEEE 754 fixes every operation here (compiled with -ffp-contract=off), so
 * the core, its Numba twin and its Python twin agree bit for bit on every machine.
 *
 * x = n ln2/32 + r, |r| <= ln2/64; e^-x = 2^-(n/32) (1 + p), p = e^-r - 1 by its series: the first
 * term left out is under 4e-16 of p. While n = 0 the answer 1 - e^-x = -p keeps all its digits,
 * where 1 - exp(-x) would lose them. e^-x is within 2 ulp of the true value, 1 - e^-x too while
 * n = 0 and within 2^-53 from there (tested). */
#ifndef FC_DECAY_H
#define FC_DECAY_H

#define FC_DECAY_GONE 40.0                      /* e^-40 is under an ulp of 1 by far */
#define FC_DECAY_STEPS_PER_UNIT 0x1.71547652b82fep+5    /* 32 / ln2 */
#define FC_DECAY_STEP_HIGH 0x1.62e42fefa2000p-6 /* ln2 / 32: 40 bits, so that n * HIGH is exact */
#define FC_DECAY_STEP_LOW 0x1.9ef35793c7673p-46 /* ... and the rest */

typedef struct {
    double keep;                                /* e^-x: what is left of the past */
    double alpha;                               /* 1 - e^-x: weight of the present */
} fc_decay_t;

static const double fc_decay_steps[32] = {      /* 2^-(i/32), correctly rounded */
    0x1.0000000000000p+0, 0x1.f50765b6e4540p-1, 0x1.ea4afa2a490dap-1, 0x1.dfc97337b9b5fp-1,
    0x1.d5818dcfba487p-1, 0x1.cb720dcef9069p-1, 0x1.c199bdd85529cp-1, 0x1.b7f76f2fb5e47p-1,
    0x1.ae89f995ad3adp-1, 0x1.a5503b23e255dp-1, 0x1.9c49182a3f090p-1, 0x1.93737b0cdc5e5p-1,
    0x1.8ace5422aa0dbp-1, 0x1.82589994cce13p-1, 0x1.7a11473eb0187p-1, 0x1.71f75e8ec5f74p-1,
    0x1.6a09e667f3bcdp-1, 0x1.6247eb03a5585p-1, 0x1.5ab07dd485429p-1, 0x1.5342b569d4f82p-1,
    0x1.4bfdad5362a27p-1, 0x1.44e086061892dp-1, 0x1.3dea64c123422p-1, 0x1.371a7373aa9cbp-1,
    0x1.306fe0a31b715p-1, 0x1.29e9df51fdee1p-1, 0x1.2387a6e756238p-1, 0x1.1d4873168b9aap-1,
    0x1.172b83c7d517bp-1, 0x1.11301d0125b51p-1, 0x1.0b5586cf9890fp-1, 0x1.059b0d3158574p-1,
};

static const double fc_decay_halves[64] = {     /* 2^-i */
    0x1p-0,  0x1p-1,  0x1p-2,  0x1p-3,  0x1p-4,  0x1p-5,  0x1p-6,  0x1p-7,
    0x1p-8,  0x1p-9,  0x1p-10, 0x1p-11, 0x1p-12, 0x1p-13, 0x1p-14, 0x1p-15,
    0x1p-16, 0x1p-17, 0x1p-18, 0x1p-19, 0x1p-20, 0x1p-21, 0x1p-22, 0x1p-23,
    0x1p-24, 0x1p-25, 0x1p-26, 0x1p-27, 0x1p-28, 0x1p-29, 0x1p-30, 0x1p-31,
    0x1p-32, 0x1p-33, 0x1p-34, 0x1p-35, 0x1p-36, 0x1p-37, 0x1p-38, 0x1p-39,
    0x1p-40, 0x1p-41, 0x1p-42, 0x1p-43, 0x1p-44, 0x1p-45, 0x1p-46, 0x1p-47,
    0x1p-48, 0x1p-49, 0x1p-50, 0x1p-51, 0x1p-52, 0x1p-53, 0x1p-54, 0x1p-55,
    0x1p-56, 0x1p-57, 0x1p-58, 0x1p-59, 0x1p-60, 0x1p-61, 0x1p-62, 0x1p-63,
};

static inline fc_decay_t fc_decay(double x) {
    fc_decay_t result = {0.0, 1.0};
    if (x < FC_DECAY_GONE) {
        int n = (int) (x * FC_DECAY_STEPS_PER_UNIT + 0.5);
        double r = (x - n * FC_DECAY_STEP_HIGH) - n * FC_DECAY_STEP_LOW;
        double r2 = r * r;
        double p = r2 * ((0.5 - r * (1.0 / 6.0))
                         + r2 * ((1.0 / 24.0 - r * (1.0 / 120.0)) + r2 * (1.0 / 720.0))) - r;
        double s = fc_decay_steps[n & 31] * fc_decay_halves[n >> 5];
        result.keep = s + s * p;
        result.alpha = (1.0 - s) - s * p;
    }
    return result;
}

/* base^n for 0 <= base <= 1, n >= 0, by squaring: a silence of any length costs 63 steps at most. */
static inline double fc_power(double base, long long n) {
    double result = 1.0;
    while (n > 0 && base > 0.0) {
        if (n & 1)
            result *= base;
        base *= base;
        n >>= 1;
    }
    return result;
}
#endif
