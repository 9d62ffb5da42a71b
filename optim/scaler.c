/* Loss scaling. The scale is a host's number, in f32 as PyTorch keeps it: a step has to know anyway whether it is
 * skipped, as counts of updates are the host's. */
#include "tern/scaler.h"

#include <float.h>
#include <math.h>

#include "internal.h"
#include "tern/graph.h"

/* What was done for an optimizer since the last update. */
typedef struct turn {
    const tern_optim *o; /* to be told apart only */
    tern_tensor *factor; /* kept; 0-dim, on the device: NaN if a gradient is not finite */
    bool stepped, found;
} turn;

struct tern_scaler {
    bool off;
    double growth, backoff, scale;
    int64_t interval, tracker, skipped;
    turn *turns;
    int n, cap;
};

/* v as f32 has it. */
static double narrow(double v) { return (double)(float)v; }

tern_scaler *tern_scaler_new(tern_scaler_opts opts) {
    const double init = opts.scale != 0.0 ? opts.scale : 65536, growth = opts.growth != 0.0 ? opts.growth : 2;
    const double backoff = opts.backoff != 0.0 ? opts.backoff : 0.5;
    if (!tern_ok()) return NULL;
    if (!(init > 0 && init <= (double)FLT_MAX))
        return terni_null(TERN_ERR_ARGUMENT, "scaler: scale is %g; a number above 0 expected", init);
    if (!(growth > 1 && isfinite(growth)))
        return terni_null(TERN_ERR_ARGUMENT, "scaler: growth is %g; a number above 1 expected", growth);
    if (!(backoff > 0 && backoff < 1))
        return terni_null(TERN_ERR_ARGUMENT, "scaler: backoff is %g; between 0 and 1 expected", backoff);
    if (opts.interval < 0)
        return terni_null(TERN_ERR_ARGUMENT, "scaler: interval is %lld; 1 or more expected", (long long)opts.interval);
    tern_scaler *s = terni_calloc(sizeof *s);
    if (!s) return NULL;
    s->off = opts.off;
    s->scale = narrow(init);
    s->growth = growth;
    s->backoff = backoff;
    s->interval = opts.interval ? opts.interval : 2000;
    return s;
}

static void forget(tern_scaler *s) {
    for (int i = 0; i < s->n; i++) tern_release(s->turns[i].factor);
    s->n = 0;
}

void tern_scaler_free(tern_scaler *s) {
    if (!s) return;
    forget(s);
    terni_mfree(s->turns);
    terni_free(s, sizeof *s);
}

tern_tensor *tern_scaler_scale(tern_scaler *s, tern_tensor *loss) {
    TERNI_NAMED("scaler_scale");
    if (!terni_given(s, "scaler_scale", "s") || !terni_given(loss, "scaler_scale", "loss")) return NULL;
    return s->off ? loss : tern_mul_scalar(loss, s->scale);
}

static turn *turn_of(const tern_scaler *s, const tern_optim *o) {
    for (int i = 0; i < s->n; i++)
        if (s->turns[i].o == o) return &s->turns[i];
    return NULL;
}

static turn *turn_new(tern_scaler *s, const tern_optim *o) {
    if (s->n == s->cap) {
        const int cap = s->cap ? 2 * s->cap : 4;
        turn *more = terni_resize(s->turns, (size_t)cap * sizeof *more);
        if (!more) return NULL;
        s->turns = more;
        s->cap = cap;
    }
    s->turns[s->n] = (turn){.o = o};
    return &s->turns[s->n++];
}

bool tern_scaler_unscale(tern_scaler *s, tern_optim *o) {
    TERNI_NAMED("scaler_unscale");
    if (!terni_given(s, "scaler_unscale", "s") || !terni_given(o, "scaler_unscale", "o")) return false;
    if (s->off) return true;
    if (tern_graph_capturing())
        return terni_fail(TERN_ERR_UNSUPPORTED, "scaler_unscale: a scale that changes by itself cannot be captured");
    if (turn_of(s, o))
        return terni_fail(TERN_ERR_ARGUMENT, "scaler_unscale: a second time for this optimizer since the last update");
    const int scope = tern_scope_push();
    tern_tensor *factor = terni_optim_unscale(o, narrow(1 / s->scale));
    turn *t = factor ? turn_new(s, o) : NULL;
    if (t) t->factor = tern_keep(factor);
    tern_scope_pop(scope);
    return t != NULL;
}

static bool any_gradient(const tern_optim *o) {
    for (int i = 0; i < o->n_params; i++)
        if (!o->groups[o->params[i].group].frozen && tern_grad_get(o->params[i].tensor)) return true;
    return false;
}

bool tern_scaler_step(tern_scaler *s, tern_optim *o) {
    TERNI_NAMED("scaler_step");
    if (!terni_given(s, "scaler_step", "s") || !terni_given(o, "scaler_step", "o")) return false;
    if (s->off) return tern_optim_step(o);
    if (o->rule->solve)
        return terni_fail(TERN_ERR_UNSUPPORTED, "scaler_step: %s calls its closure several times", o->rule->type);
    turn *t = turn_of(s, o);
    if (!t && tern_scaler_unscale(s, o)) t = turn_of(s, o);
    if (!t) return false;
    if (t->stepped)
        return terni_fail(TERN_ERR_ARGUMENT, "scaler_step: a second time for this optimizer since the last update");
    if (!o->unscale && any_gradient(o))
        return terni_fail(TERN_ERR_ARGUMENT, "scaler_step: gradients came or were dropped since they were unscaled");
    t->found = !isfinite(tern_item(t->factor));
    if (!tern_ok()) return false;
    if (!t->found) return t->stepped = tern_optim_step(o); /* what failed can be tried again */
    t->stepped = true;
    s->skipped++;
    terni_optim_skip(o);
    return true;
}

/* As _amp_update_scale_: a scale that would be infinite stays. Here one that would lose digits, and at last be 0, stays
 * too: it could not grow again. */
static void adapt(tern_scaler *s, bool found) {
    if (found) {
        const double backed = narrow(s->scale * s->backoff);
        if (backed >= (double)FLT_MIN) s->scale = backed;
        s->tracker = 0;
    } else if (++s->tracker >= s->interval) {
        const double grown = narrow(s->scale * s->growth);
        if (grown <= (double)FLT_MAX) s->scale = grown;
        s->tracker = 0;
    }
}

bool tern_scaler_update(tern_scaler *s) {
    TERNI_NAMED("scaler_update");
    if (!terni_given(s, "scaler_update", "s")) return false;
    if (s->off) return true;
    if (!s->n)
        return terni_fail(TERN_ERR_ARGUMENT, "scaler_update: no optimizer was unscaled or stepped since the last");
    bool found = false;
    for (int i = 0; i < s->n; i++) { /* those that were only unscaled count as well */
        turn *t = &s->turns[i];
        found = found || (t->stepped ? t->found : !isfinite(tern_item(t->factor)));
    }
    if (!tern_ok()) return false;
    adapt(s, found);
    forget(s);
    return true;
}

double tern_scaler_value(const tern_scaler *s) { return !s ? 0 : s->off ? 1 : s->scale; }

tern_scaler_state tern_scaler_tell(const tern_scaler *s) {
    return s ? (tern_scaler_state){s->scale, s->tracker, s->skipped} : (tern_scaler_state){0};
}

bool tern_scaler_seek(tern_scaler *s, tern_scaler_state state) {
    if (!terni_given(s, "scaler_seek", "s")) return false;
    const double scale = narrow(state.scale);
    if (!(scale > 0 && scale <= (double)FLT_MAX) || state.growth_tracker < 0 || state.skipped < 0)
        return terni_fail(TERN_ERR_ARGUMENT, "scaler_seek: scale %g, growth_tracker %lld, skipped %lld", state.scale,
                          (long long)state.growth_tracker, (long long)state.skipped);
    s->scale = scale;
    s->tracker = state.growth_tracker;
    s->skipped = state.skipped;
    return true;
}
