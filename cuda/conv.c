/* The rows conv, conv_input_grad and conv_weight_grad: what a library is asked for, what Tern's own kernels do, and the
 * library's plans, which are kept.
 *
 * The library gets what has elements and is not depthwise (for NCHW cuDNN has only its generic engine for most of
 * those, and a product with one row gains nothing from tensor cores). One axis is two, of which one has size 1. Padding
 * after an axis follows from the sizes; where it would be negative, as with a transposed convolution whose output_pad
 * reaches a further step, or where the library has no plan, the own kernels do it. Plans are kept (plans.h). */
#include "conv.h"

#include <string.h>

#include "library_conv.h"
#include "plans.h"

enum { WORKSPACE_SHIFT = 4 }; /* a workspace has at most a 16th of the device's memory */
static const size_t workspace_most = (size_t)1 << 30;

static bool plan_new(const void *problem, size_t most, void **plan, size_t *workspace) {
    return terni_cuda_library_conv.plan_new(problem, most, plan, workspace);
}
static void plan_free(void *plan) { terni_cuda_library_conv.plan_free(plan); }

static terni_conv_problem problems[TERNI_PLANS];
static terni_plans plans = TERNI_PLANS_OF(problems, plan_new, plan_free);

/* ---- problems
 * --------------------------------------------------------------------------------------------------------------- */

typedef struct call {
    terni_conv_kind kind;
    const terni_view *x, *w, *y, *b;
    const terni_view *out; /* one of x, w, y */
    const terni_conv_opts *o;
} call;

/* The zeros after axis i of x: as many as before if that gives the result's size, else no more than needed. -1 if fewer
 * than none would be. */
static int64_t pad_after(const call *c, int i) {
    const int64_t in = c->x->shape[2 + i], out = c->y->shape[2 + i], stride = c->o->stride[i], before = c->o->pad[i];
    const int64_t reach = c->o->dilation[i] * (c->w->shape[2 + i] - 1) + 1;
    const int64_t room = in + 2 * before - reach;
    if (room >= 0 && room / stride + 1 == out) return before;
    const int64_t needed = (out - 1) * stride + reach - in - before;
    return needed >= 0 ? needed : needed > -stride ? 0 : -1;
}

/* False if the library cannot do it. */
static bool problem_of(const call *c, int device, terni_conv_problem *p) {
    const bool flat = c->x->shape[2] == 1 && c->w->shape[2] == 1 && c->y->shape[2] == 1 && c->o->pad[0] == 0;
    const int skip = flat ? 1 : 0;
    memset(p, 0, sizeof *p);
    p->kind = (int32_t)c->kind;
    p->dtype = c->x->dtype;
    p->tf32 = p->dtype == TERN_F32 && terni_cuda_host->allow_tf32();
    p->device = device;
    p->axes = 3 - skip;
    p->accumulate = c->b != NULL;
    p->groups = c->o->groups;
    p->align_x = terni_plans_alignment(c->x);
    p->align_w = terni_plans_alignment(c->w);
    p->align_y = terni_plans_alignment(c->y);
    for (int i = 0; i < 2 + p->axes; i++) {
        const int from = i < 2 ? i : i + skip;
        p->x[i] = c->x->shape[from];
        p->w[i] = c->w->shape[from];
        p->y[i] = c->y->shape[from];
    }
    for (int i = 0; i < p->axes; i++) {
        p->before[i] = c->o->pad[i + skip];
        p->after[i] = pad_after(c, i + skip);
        p->stride[i] = c->o->stride[i + skip];
        p->dilation[i] = c->o->dilation[i + skip];
        if (p->after[i] < 0) return false;
    }
    return true;
}

/* ---- the rows
 * ------------------------------------------------------------------------------------------------------------------ */

static bool own(terni_cuda_device *d, const call *c) {
    switch (c->kind) {
        case TERNI_CONV_FORWARD:
            return terni_cuda_conv_own(d, c->o, c->x, c->w, c->b, c->y);
        case TERNI_CONV_INPUT_GRAD:
            return terni_cuda_conv_input_grad_own(d, c->o, c->y, c->w, c->b, c->x);
        default:
            return terni_cuda_conv_weight_grad_own(d, c->o, c->y, c->x, c->w);
    }
}

static bool run(terni_cuda_device *d, const call *c, const terni_kept_plan *k) {
    void *workspace = k->workspace ? terni_cuda_scratch(d, k->workspace) : NULL;
    if (k->workspace && !workspace) return false;
    const bool ok = (!c->b || terni_cuda_conv_put_bias(d, c->out, c->b)) &&
                    terni_cuda_library_conv.run(k->plan, d, c->x->data, c->w->data, c->y->data, workspace);
    terni_cuda_scratch_free(d, workspace);
    return ok;
}

static bool convolve(const terni_call *t, const call *c) {
    terni_conv_problem p;
    bool full = false;
    if (terni_cuda_count(c->out) == 0) return true;
    terni_cuda_device *d = terni_cuda_use(t->device);
    if (!d) return false;
    const bool depthwise = c->w->shape[1] == 1 && c->w->shape[0] == c->o->groups;
    const bool any = terni_cuda_count(c->x) && terni_cuda_count(c->w) && terni_cuda_count(c->y);
    if (!any || depthwise || terni_cuda_own_kernels() || !terni_cuda_library_conv.open(NULL, 0) ||
        !problem_of(c, d->index, &p))
        return own(d, c);
    const size_t share = d->properties.bytes >> WORKSPACE_SHIFT;
    terni_kept_plan *k = terni_plans_take(&plans, &p, share < workspace_most ? share : workspace_most, &full);
    if (!k) return full && own(d, c);
    const bool ok = k->plan ? run(d, c, k) : own(d, c);
    terni_plans_give(&plans, k);
    return ok;
}

bool terni_cuda_conv(const terni_call *t) {
    const call c = {TERNI_CONV_FORWARD, t->in[0], t->in[1], t->out[0], t->in[2], t->out[0], t->opts};
    return convolve(t, &c);
}

bool terni_cuda_conv_input_grad(const terni_call *t) {
    const call c = {TERNI_CONV_INPUT_GRAD, t->out[0], t->in[1], t->in[0], t->in[2], t->out[0], t->opts};
    return convolve(t, &c);
}

bool terni_cuda_conv_weight_grad(const terni_call *t) {
    const call c = {TERNI_CONV_WEIGHT_GRAD, t->in[1], t->out[0], t->in[0], NULL, t->out[0], t->opts};
    return convolve(t, &c);
}
