#include "internal.h"
#include "tern/ops.h" /* tern_reduction */
#include "widen.h"

enum { GRAIN = 4096, ALWAYS_IGNORED = -100 };

static inline int64_t target_at(const terni_view *t, int64_t i) {
    return t->dtype == TERN_I64 ? ((const int64_t *)t->data)[i] : ((const int32_t *)t->data)[i];
}

static inline bool ignored(const terni_cross_entropy_opts *o, int64_t t) {
    return t == ALWAYS_IGNORED || t == o->ignore_index;
}

/* Counts the targets that are not ignored; fails at the first that is no class. */
static bool check_targets(const terni_view *target, int64_t n, int64_t classes, const terni_cross_entropy_opts *o,
                          int64_t *count) {
    *count = 0;
    for (int64_t p = 0; p < n; p++) {
        const int64_t t = target_at(target, p);
        if (ignored(o, t)) continue;
        if (t < 0 || t >= classes)
            return terni_cpu_fail(TERN_ERR_INDEX, "cross_entropy: target %lld at position %lld is outside [0, %lld)",
                                  (long long)t, (long long)p, (long long)classes);
        ++*count;
    }
    return true;
}

#define TERNI_TEMPLATE "cross_entropy.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(cross_entropy)
TERNI_FLOAT_KERNEL(cross_entropy_grad)
