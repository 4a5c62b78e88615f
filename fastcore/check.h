/* FC_DCHECK: what only our own bug can break. Aborts in the safe build, costs nothing in release.
 * (A Cython `assert` inside a noexcept function would be swallowed; this is not.) */
#ifndef FC_CHECK_H
#define FC_CHECK_H
#include <stdio.h>
#include <stdlib.h>
#ifdef FASTCORE_SAFE
#define FC_DCHECK(cond)                                                          \
    do {                                                                         \
        if (!(cond)) {                                                           \
            fprintf(stderr, "FC_DCHECK failed: %s (%s:%d)\n", #cond, __FILE__, __LINE__); \
            abort();                                                             \
        }                                                                        \
    } while (0)
#define FC_IS_SAFE 1
#else
#define FC_DCHECK(cond) ((void)(cond))
#define FC_IS_SAFE 0
#endif
#define fc_likely(x) __builtin_expect(!!(x), 1)
#define fc_unlikely(x) __builtin_expect(!!(x), 0)
#endif
