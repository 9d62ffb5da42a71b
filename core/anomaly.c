/* Anomaly mode: a backward pass stops at the first NaN and says which op's rule made it. The NaN watch does so for the
 * results of ops too, and can take infinities as well. Either costs a reduction and a wait for the device per tensor.
 */
#include <math.h>
#include <stdio.h>

#include "casting.h"
#include "tape.h"
#include "trace_fields.h"

bool tern_anomaly_mode(bool on) {
    const bool was = tern_anomaly_mode_get();
    terni_self.anomaly = (unsigned char)((terni_self.anomaly & ~TERNI_ANOMALY_MODE) | (on ? TERNI_ANOMALY_MODE : 0));
    return was;
}

bool tern_anomaly_mode_get(void) { return terni_self.anomaly & TERNI_ANOMALY_MODE; }

tern_watch tern_nan_watch_get(void) {
    if (!(terni_self.anomaly & TERNI_ANOMALY_WATCH)) return TERN_WATCH_OFF;
    return terni_self.anomaly & TERNI_ANOMALY_INFINITE ? TERN_WATCH_NOT_FINITE : TERN_WATCH_NAN;
}

tern_watch tern_nan_watch(tern_watch what) {
    const tern_watch was = tern_nan_watch_get();
    const int bits = (what != TERN_WATCH_OFF ? TERNI_ANOMALY_WATCH : 0) |
                     (what == TERN_WATCH_NOT_FINITE ? TERNI_ANOMALY_INFINITE : 0);
    terni_self.anomaly = (unsigned char)((terni_self.anomaly & TERNI_ANOMALY_MODE) | bits);
    if (was == TERN_WATCH_OFF) terni_self.passes = 0;
    terni_listening_set();
    return was;
}

/* ---- looking at tensors ------------------------------------------------------------------------------------------ */

/* For ops that look: seen by nobody, recorded nowhere, and cast by nothing. */
typedef struct aside {
    unsigned char off;
    int scope, cast;
} aside;

static aside step_aside(void) {
    const aside a = {terni_self.off, tern_scope_push(), terni_autocast_off()};
    terni_self.off |= TERNI_OFF_MODE;
    terni_trace_enter();
    return a;
}
static void step_back(const aside *a) {
    terni_trace_leave();
    terni_autocast_on(a->cast);
    tern_scope_pop(a->scope);
    terni_self.off = a->off;
}

/* 1 where t has what is looked for, of the same shape, f32. */
static tern_tensor *marks(tern_tensor *t) {
    const bool infinite = terni_self.anomaly & TERNI_ANOMALY_INFINITE;
    return tern_cast(infinite ? tern_logical_not(tern_isfinite(t)) : tern_isnan(t), TERN_F32);
}

/* 1 if t has it, 0 if not, -1 after an error. */
static int is_bad(tern_tensor *t) {
    if (!t || !tern_dtype_is_float(terni_dtype(t)) || !t->numel) return 0;
    const aside a = step_aside();
    tern_tensor *n = tern_sum(marks(t), NULL, 0, false);
    const double count = n ? tern_item(n) : (double)NAN;
    step_back(&a);
    return !n || !tern_ok() ? -1 : count > 0;
}

/* "nan at [0, 3]": the first one of t, which has one. False after an error. */
static bool describe_bad(tern_tensor *t, char *text, size_t size) {
    const aside a = step_aside();
    tern_tensor *first = tern_argmax(tern_reshape(marks(t), TERN_SHAPE(t->numel)), 0, false);
    int64_t at = first ? (int64_t)tern_item(first) : 0;
    tern_tensor *flat = tern_reshape(t, TERN_SHAPE(t->numel));
    const double v = tern_ok() ? tern_item(tern_cast(tern_select(flat, 0, at), TERN_F64)) : 0;
    const bool ok = tern_ok();
    step_back(&a);
    tern_shape index = terni_shape(t);
    for (int d = index.ndim - 1; d >= 0; d--) {
        const int64_t dim = index.dim[d];
        index.dim[d] = at % dim;
        at /= dim;
    }
    snprintf(text, size, "%s at %s",
             isnan(v) ? "NaN"
             : v > 0  ? "an infinity"
                      : "a negative infinity",
             terni_shape_str(index));
    return ok;
}

/* " "fc.weight"" or "". */
static const char *quoted(const char *name, char *text, size_t size) {
    if (*name)
        snprintf(text, size, " \"%s\"", name);
    else
        *text = 0;
    return text;
}

/* ---- results of ops ---------------------------------------------------------------------------------------------- */

static bool input_had_it(const char *op, tern_tensor *t, int i) {
    char what[200];
    if (!describe_bad(t, what, sizeof what)) return false;
    return terni_fail(TERN_ERR_ARGUMENT, "nan_watch: %s was given %s of its input %d, %s, after %lld backward passes",
                      op, what, i, terni_describe(t), (long long)terni_self.passes);
}

bool terni_watch_op(const char *op, tern_tensor *const *in, int n, tern_tensor *const *out, int n_out) {
    if (!(terni_self.anomaly & TERNI_ANOMALY_WATCH) || terni_self.inside) return true;
    for (int o = 0; o < n_out; o++) {
        const int bad = is_bad(out[o]);
        if (bad < 0) return false;
        if (!bad) continue;
        for (int i = 0; i < n; i++) {
            const int given = is_bad(in[i]);
            if (given) return given > 0 && input_had_it(op, in[i], i);
        }
        char what[200];
        if (!describe_bad(out[o], what, sizeof what)) return false;
        return terni_fail(TERN_ERR_ARGUMENT, "nan_watch: %s made %s of its output %d, %s, after %lld backward passes",
                          op, what, o, terni_describe(out[o]), (long long)terni_self.passes);
    }
    return true;
}

/* ---- gradients --------------------------------------------------------------------------------------------------- */

/* The name of the tensor that input i was, where it is known: a leaf's, or that of what was saved. "" if not. */
static const char *input_name(const terni_node *n, int i) {
    const terni_edge *e = &n->edge[i];
    if (e->leaf) return tern_name(e->leaf);
    for (int k = 0; k < n->n_saved; k++) {
        const tern_tensor *s = n->saved[k].t;
        if (s && s->node == e->node && s->out_index == e->out) return tern_name(s);
    }
    return "";
}

static bool watching(void) { return terni_self.anomaly & TERNI_ANOMALY_WATCH; }

bool terni_anomaly_in(const terni_node *n, tern_tensor *const *gin) {
    for (int i = 0; i < n->n_in; i++) {
        if (!gin[i] || !n->edge[i].node || !n->edge[i].node->turn.needed) continue;
        const int bad = is_bad(gin[i]);
        if (bad < 0) return false;
        if (!bad) continue;
        char what[200], name[200];
        quoted(input_name(n, i), name, sizeof name);
        const char *shape = terni_shape_str(n->edge[i].shape), *dtype = tern_dtype_name(n->edge[i].dtype);
        if (!watching())
            return terni_fail(TERN_ERR_AUTOGRAD,
                              "anomaly: the backward rule of %s made NaN in the gradient of its input %d%s, %s %s",
                              n->fn->name, i, name, shape, dtype);
        return describe_bad(gin[i], what, sizeof what) &&
               terni_fail(TERN_ERR_ARGUMENT,
                          "nan_watch: the backward rule of %s made %s of the gradient of its input %d%s, %s %s, in "
                          "backward pass %lld",
                          n->fn->name, what, i, name, shape, dtype, (long long)terni_self.passes);
    }
    return true;
}

bool terni_anomaly_out(const terni_node *n) {
    for (int o = 0; o < n->n_out; o++) {
        const int bad = is_bad(n->turn.grad[o]);
        if (bad < 0) return false;
        if (!bad) continue;
        const char *of = n->fn ? n->fn->name : terni_describe(n->leaf);
        static const char no_rule[] =
            "which no backward rule made: it comes from a seed, a hook, or a sum of infinities";
        if (!watching())
            return terni_fail(TERN_ERR_AUTOGRAD, "anomaly: the gradient that reaches output %d of %s has NaN, %s", o,
                              of, no_rule);
        char what[200];
        return describe_bad(n->turn.grad[o], what, sizeof what) &&
               terni_fail(TERN_ERR_ARGUMENT,
                          "nan_watch: the gradient that reaches output %d of %s has %s, in backward pass %lld, %s", o,
                          of, what, (long long)terni_self.passes, no_rule);
    }
    return true;
}
