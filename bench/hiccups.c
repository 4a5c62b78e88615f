/* A busy loop that measures the machine: the shared library behind bench/hiccups.py. */
#include "common.h"

/* Spin for `duration_ns`; the longest gap of each millisecond goes to `samples_ns`, at most
 * `samples_max` of them. Returns how many. */
int64_t hiccups_spin(int64_t duration_ns, int64_t *samples_ns, int64_t samples_max) {
    Hiccups hiccups = {.samples_ns = samples_ns};
    int64_t now_ns = monotonic_ns();
    int64_t end_ns = now_ns + duration_ns;
    hiccups.window_end_ns = now_ns + HICCUP_WINDOW_NS;
    while (now_ns < end_ns && hiccups.count < samples_max) {
        hiccups_on_read(&hiccups, now_ns);
        now_ns = monotonic_ns();
    }
    return hiccups.count;
}
