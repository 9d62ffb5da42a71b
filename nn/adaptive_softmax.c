/* Log-probabilities of many classes, the rare ones in clusters that are computed for the samples that need them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "tern/criteria.h"

typedef struct adaptive {
    tern_module m;
    int64_t in, classes, *cutoffs; /* cutoffs: n and then classes */
    int n;                         /* clusters beside the head's own classes */
    tern_adaptive_log_softmax_opts opts;
    tern_module *head, *tail;
} adaptive;

static size_t room(const adaptive *s) { return ((size_t)s->n + 1) * sizeof *s->cutoffs; }

static void drop(tern_module *m) {
    adaptive *s = (adaptive *)m;
    terni_mfree(s->cutoffs);
}
static bool copied(tern_module *copy, const tern_module *from) {
    adaptive *s = (adaptive *)copy;
    s->cutoffs = terni_malloc(room(s));
    if (s->cutoffs) memcpy(s->cutoffs, ((const adaptive *)from)->cutoffs, room(s));
    return s->cutoffs != NULL;
}

static void describe(const tern_module *m, char *buf, size_t size) {
    const adaptive *s = (const adaptive *)m;
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%" PRId64 " -> %" PRId64 ", cutoffs", s->in, s->classes);
    for (int i = 0; i < s->n; i++) terni_text_add(&t, " %" PRId64, s->cutoffs[i]);
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* [N, head's own classes + n]. */
static tern_tensor *head_of(adaptive *s, tern_tensor *x) { return tern_log_softmax(tern_forward(s->head, x), 1); }

/* Within cluster i: [N, its classes]. */
static tern_tensor *cluster(adaptive *s, int i, tern_tensor *x) {
    return tern_log_softmax(tern_forward(tern_module_child_at(s->tail, i, NULL), x), 1);
}

static tern_tensor *at_least(tern_tensor *classes, double v) {
    return tern_ge(classes, tern_scalar(v, (tern_options){TERN_I64, tern_cpu()}));
}

/* The rows where mask is true: [n] of i64. */
static tern_tensor *rows_of(tern_tensor *mask) {
    tern_tensor *at = tern_nonzero(mask);
    return at ? tern_squeeze(at, 1) : NULL;
}

static tern_tensor *all_log_prob(adaptive *s, tern_tensor *x, tern_tensor *head) {
    tern_tensor **part = terni_malloc(((size_t)s->n + 1) * sizeof *part), *y = NULL;
    if (!part) return NULL;
    const int64_t own = s->cutoffs[0];
    bool ok = (part[0] = tern_narrow(head, 1, 0, own)) != NULL;
    for (int i = 0; ok && i < s->n; i++) {
        part[i + 1] = tern_add(cluster(s, i, x), tern_narrow(head, 1, own + i, 1));
        ok = part[i + 1] != NULL;
    }
    if (ok) y = tern_cat(part, s->n + 1, 1);
    terni_mfree(part);
    return y;
}

/* [N]: where the head has each target's class, or its cluster. */
static tern_tensor *places(const adaptive *s, tern_tensor *target) {
    tern_tensor *at = target;
    for (int i = 0; i < s->n; i++) {
        const double place = (double)(s->cutoffs[0] + i);
        at = at ? tern_masked_fill(at, at_least(target, (double)s->cutoffs[i]), place) : NULL;
    }
    return at;
}

static tern_tensor *of_targets(adaptive *s, tern_tensor *x, tern_tensor *target) {
    tern_tensor *at = places(s, target), *y = at ? tern_gather(head_of(s, x), 1, tern_unsqueeze(at, 1)) : NULL;
    y = y ? tern_squeeze(y, 1) : NULL;
    for (int i = 0; y && i < s->n; i++) {
        const double lo = (double)s->cutoffs[i], hi = (double)s->cutoffs[i + 1];
        tern_tensor *mask = at_least(target, lo);
        if (i + 1 < s->n)
            mask = tern_logical_and(mask, tern_logical_not(at_least(target, hi))); /* the last refuses what is beyond */
        tern_tensor *rows = rows_of(mask);
        if (!rows) return NULL;
        if (tern_numel(rows) == 0) continue;
        tern_tensor *within = tern_sub_scalar(tern_index_select(target, 0, rows), lo);
        tern_tensor *all = cluster(s, i, tern_index_select(x, 0, rows));
        tern_tensor *own = within && all ? tern_gather(all, 1, tern_unsqueeze(within, 1)) : NULL;
        y = own ? tern_index_add(y, 0, rows, tern_squeeze(own, 1)) : NULL;
    }
    return y;
}

/* m as one, with x [N, in] or [in]; NULL after an error. */
static adaptive *as(tern_module *m, const char *op, tern_tensor *x) {
    if (!terni_given(m, op, "m") || !terni_given(x, op, "x")) return NULL;
    if (m->describe != describe) return terni_null(TERN_ERR_ARGUMENT, "%s: %s is no adaptive_log_softmax", op, m->type);
    adaptive *s = (adaptive *)m;
    const int n = tern_ndim(x);
    if ((n == 1 || n == 2) && tern_size(x, -1) == s->in) return s;
    char shape[128];
    return terni_null(TERN_ERR_SHAPE, "%s: x %s; [N, %" PRId64 "] expected, or without N", op,
                      tern_shape_text(tern_shape_get(x), shape, sizeof shape), s->in);
}

static tern_tensor *rows_form(tern_tensor *x, int n) { return x && tern_ndim(x) < n ? tern_unsqueeze(x, 0) : x; }

tern_tensor *tern_adaptive_log_softmax_forward(tern_module *m, tern_tensor *x, tern_tensor *target,
                                               tern_tensor **loss) {
    static const char op[] = "adaptive_log_softmax_forward";
    if (loss) *loss = NULL;
    adaptive *s = as(m, op, x);
    if (!s || !terni_given(target, op, "target")) return NULL;
    const bool alone = tern_ndim(x) == 1;
    const tern_dtype d = tern_dtype_of(target);
    if (tern_ndim(target) != tern_ndim(x) - 1 || tern_numel(target) != (alone ? 1 : tern_size(x, 0)))
        return terni_null(TERN_ERR_SHAPE, "%s: %" PRId64 " targets of %d dimensions; one for each row of x expected",
                          op, tern_numel(target), tern_ndim(target));
    if (d != TERN_I64 && d != TERN_I32)
        return terni_null(TERN_ERR_DTYPE, "%s: target is %s; i64 or i32 expected", op, tern_dtype_name(d));
    const int scope = tern_scope_push();
    x = terni_forward_begin(m, x);
    tern_tensor *y = x ? of_targets(s, rows_form(x, 2), rows_form(tern_cast(target, TERN_I64), 1)) : NULL;
    tern_tensor *mean = y && loss ? tern_keep(tern_neg(tern_mean(y, NULL, 0, false))) : NULL;
    if (y && alone) y = tern_squeeze(y, 0);
    y = tern_scope_return(scope, terni_forward_end(m, x, loss && !mean ? NULL : y));
    if (mean) mean = tern_give(mean);
    if (y && loss) *loss = mean;
    return y;
}

static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    adaptive *s = as(m, "adaptive_log_softmax", x);
    if (!s) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *rows = rows_form(x, 2), *head = head_of(s, rows), *y = head ? all_log_prob(s, rows, head) : NULL;
    return tern_scope_return(scope, y && tern_ndim(x) == 1 ? tern_squeeze(y, 0) : y);
}

tern_tensor *tern_adaptive_log_softmax_predict(tern_module *m, tern_tensor *x) {
    adaptive *s = as(m, "adaptive_log_softmax_predict", x);
    if (!s) return NULL;
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false), alone = tern_ndim(x) == 1;
    x = rows_form(x, 2);
    tern_tensor *head = head_of(s, x), *y = head ? tern_argmax(head, 1, false) : NULL;
    tern_tensor *rows = y ? rows_of(at_least(y, (double)s->cutoffs[0])) : NULL;
    if (rows &&
        tern_numel(rows) > 0) { /* a cluster may hold the best class, but its best may be worse than the head's */
        tern_tensor *all = all_log_prob(s, tern_index_select(x, 0, rows), tern_index_select(head, 0, rows));
        y = all ? tern_index_copy(y, 0, rows, tern_argmax(all, 1, false)) : NULL;
    }
    y = y && rows && alone ? tern_squeeze(y, 0) : rows ? y : NULL;
    tern_grad_mode(was);
    return tern_scope_return(scope, y);
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

static bool check(int64_t in, int64_t classes, const int64_t *cutoffs, int n, tern_adaptive_log_softmax_opts *o) {
    static const char op[] = "adaptive_log_softmax";
    if (!terni_given(cutoffs, op, "cutoffs")) return false;
    if (in < 1 || n < 1 || n > 1000)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: %" PRId64 " -> %" PRId64 " with %d cutoffs; 1 to 1000 expected", op,
                          in, classes, n);
    for (int i = 0; i < n; i++)
        if (cutoffs[i] <= (i ? cutoffs[i - 1] : 0) || cutoffs[i] >= classes)
            return terni_fail(TERN_ERR_ARGUMENT, "%s: cutoff %" PRId64 "; they rise, between 0 and %" PRId64 " classes",
                              op, cutoffs[i], classes);
    if (o->div_value == 0) o->div_value = 4;
    return o->div_value > 0 || terni_fail(TERN_ERR_ARGUMENT, "%s: div_value is %g; above 0 expected", op, o->div_value);
}

static tern_module *tail_new(const adaptive *s) {
    tern_module *tail = tern_list_new(NULL, 0);
    double width = (double)s->in;
    for (int i = 0; tail && i < s->n; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        width /= s->opts.div_value;
        const int64_t between = (int64_t)width;
        tern_module *const two[2] = {
            tern_linear_new(s->in, between, (tern_linear_opts){.no_bias = true}),
            tern_linear_new(between, s->cutoffs[i + 1] - s->cutoffs[i], (tern_linear_opts){.no_bias = true})};
        (void)tern_module_add(tail, name, tern_sequential_of((void *const[]){two[0], two[1]}, 2));
    }
    return tern_module_done(tail);
}

tern_module *tern_adaptive_log_softmax_new(int64_t in, int64_t classes, const int64_t *cutoffs, int n,
                                           tern_adaptive_log_softmax_opts opts) {
    if (!tern_ok() || !check(in, classes, cutoffs, n, &opts)) return NULL;
    adaptive *s = tern_module_alloc(sizeof *s, "adaptive_log_softmax");
    if (!s) return NULL;
    s->n = n;
    s->m.drop = drop;
    s->m.copied = copied;
    s->m.forward = forward;
    s->m.describe = describe;
    s->in = in;
    s->classes = classes;
    s->opts = opts;
    s->cutoffs = terni_malloc(room(s));
    if (!s->cutoffs) return tern_module_done(s); /* the error is pending: it is freed */
    memcpy(s->cutoffs, cutoffs, (size_t)n * sizeof *cutoffs);
    s->cutoffs[n] = classes;
    s->head = tern_module_add(&s->m, "head", tern_linear_new(in, cutoffs[0] + n, (tern_linear_opts){!opts.head_bias}));
    s->tail = tern_module_add(&s->m, "tail", tail_new(s));
    return tern_module_done(s);
}
