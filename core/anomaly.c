/* Anomaly mode: a backward pass stops at the first NaN and says which op's rule made it. Costs a reduction and a wait
 * for the device per gradient. */
#include <math.h>
#include <stdio.h>

#include "tape.h"
#include "thread.h"

bool tern_anomaly_mode(bool on) {
    const bool was = terni_self.anomaly;
    terni_self.anomaly = on;
    return was;
}

bool tern_anomaly_mode_get(void) { return terni_self.anomaly; }

/* 1 if t has a NaN, 0 if not, -1 after an error. */
static int has_nan(tern_tensor *t) {
    const unsigned char off = terni_self.off;
    terni_self.off |= TERNI_OFF_MODE;
    const int scope = tern_scope_push();
    tern_tensor *n = tern_sum(tern_cast(tern_ne(t, t), TERN_F32), NULL, 0, false);
    const double count = n ? tern_item(n) : (double)NAN;
    tern_scope_pop(scope);
    terni_self.off = off;
    return !n || !tern_ok() ? -1 : count > 0;
}

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

bool terni_anomaly_in(const terni_node *n, tern_tensor *const *gin) {
    for (int i = 0; i < n->n_in; i++) {
        if (!gin[i] || !n->edge[i].node || !n->edge[i].node->turn.needed) continue;
        const int nan = has_nan(gin[i]);
        if (nan < 0) return false;
        if (!nan) continue;
        const char *name = input_name(n, i);
        return terni_fail(TERN_ERR_AUTOGRAD,
                          "anomaly: the backward rule of %s made NaN in the gradient of its input %d%s%s%s, %s %s",
                          n->fn->name, i, *name ? " \"" : "", name, *name ? "\"" : "",
                          terni_shape_str(n->edge[i].shape), tern_dtype_name(n->edge[i].dtype));
    }
    return true;
}

bool terni_anomaly_out(const terni_node *n) {
    for (int o = 0; o < n->n_out; o++) {
        const int nan = n->turn.grad[o] ? has_nan(n->turn.grad[o]) : 0;
        if (nan < 0) return false;
        if (nan)
            return terni_fail(
                TERN_ERR_AUTOGRAD,
                "anomaly: the gradient that reaches output %d of %s has NaN, which no backward rule made: it "
                "comes from a seed, a hook, or a sum of infinities",
                o, n->fn ? n->fn->name : terni_describe(n->leaf));
    }
    return true;
}
