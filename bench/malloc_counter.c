/* Counts every malloc, calloc and realloc of the process that it is preloaded into (LD_PRELOAD). */
#include <stddef.h>

static long count;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

long tickmaker_allocations(void) { return __atomic_load_n(&count, __ATOMIC_SEQ_CST); }

static void one(void) { __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST); }

void *malloc(size_t size) {
    one();
    return __libc_malloc(size);
}

void *calloc(size_t items, size_t size) {
    one();
    return __libc_calloc(items, size);
}

void *realloc(void *old, size_t size) {
    one();
    return __libc_realloc(old, size);
}
