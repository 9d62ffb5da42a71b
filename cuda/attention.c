/* The rows attention and attention_grad: what a library is asked for, and what Tern's own kernels do.
 *
 * The library gets f16 and bf16 without a mask other than causal and without dropout, which would draw other numbers
 * than Tern's. Where it has no plan, the own kernels do it. The rows' logsumexp means the same to both, so that either
 * may go backward after the other. Of the gradients the library makes all three: those that are not wanted go to
 * scratch memory. Plans are kept (plans.h). */
#include "attention.h"

#include <string.h>

#include "library_attention.h"
#include "plans.h"

/* A workspace has at most an eighth of the device's memory: backward it holds two bytes for each score. */
enum { WORKSPACE_SHIFT = 3 };

static bool plan_new(const void *problem, size_t most, void **plan, size_t *workspace) {
    return terni_cuda_library_attention.plan_new(problem, most, plan, workspace);
}
static void plan_free(void *plan) { terni_cuda_library_attention.plan_free(plan); }

static terni_attention_problem problems[TERNI_PLANS];
static terni_plans plans = TERNI_PLANS_OF(problems, plan_new, plan_free);

typedef struct call {
    const terni_view *v[TERNI_ATTENTION_TENSORS]; /* gradients that are not wanted: NULL */
    const terni_view *stats;                      /* or NULL */
    const terni_attention_opts *o;
    bool backward;
} call;

/* Strides with a meaning where the size is 1, too. False if rows lie on each other. */
static bool strides_of(terni_attention_problem *p, int t, const terni_view *v) {
    int64_t shape[4], reach;
    terni_attention_shape(p, t, shape);
    reach = shape[3];
    for (int i = 2; i >= 0; i--) {
        const bool one = shape[i] == 1 || !v;
        const int64_t step = one ? reach : v->strides[i];
        if (step <= 0) return false;
        p->stride[t][i] = step;
        if (step * shape[i] > reach) reach = step * shape[i];
    }
    return true;
}

/* False if the library cannot do it. */
static bool problem_of(const call *c, int device, terni_attention_problem *p) {
    const terni_view *q = c->v[TERNI_ATTENTION_Q], *k = c->v[TERNI_ATTENTION_K], *v = c->v[TERNI_ATTENTION_V];
    const int last = c->backward ? TERNI_ATTENTION_TENSORS : TERNI_ATTENTION_GY;
    memset(p, 0, sizeof *p);
    p->backward = c->backward;
    p->dtype = q->dtype;
    p->device = device;
    p->causal = c->o->causal;
    p->stats = c->stats != NULL;
    p->B = q->shape[0], p->H = q->shape[1], p->L = q->shape[2], p->E = q->shape[3];
    p->K = k->shape[1], p->S = k->shape[2], p->V = v->shape[3];
    p->align = 16;
    for (int t = 0; t < last; t++) {
        const int32_t align = c->v[t] ? terni_plans_alignment(c->v[t]) : 16;
        if (align < p->align) p->align = align;
        if (!strides_of(p, t, c->v[t])) return false;
    }
    return (p->dtype == TERN_F16 || p->dtype == TERN_BF16) && c->o->dropout == 0 && p->B * p->H * p->L > 0 &&
           p->S > 0 && p->E > 0 && p->V > 0;
}

static bool run(terni_cuda_device *d, const call *c, const terni_attention_problem *p, const terni_kept_plan *k) {
    void *data[TERNI_ATTENTION_TENSORS] = {NULL}, *own[TERNI_ATTENTION_TENSORS] = {NULL};
    void *workspace = k->workspace ? terni_cuda_scratch(d, k->workspace) : NULL;
    bool ok = !k->workspace || workspace;
    for (int t = 0; ok && t < (c->backward ? TERNI_ATTENTION_TENSORS : TERNI_ATTENTION_GY); t++) {
        int64_t shape[4];
        terni_attention_shape(p, t, shape);
        if (!c->v[t])
            ok = (own[t] = terni_cuda_scratch(d, (size_t)(shape[0] * p->stride[t][0]) * terni_cuda_size(p->dtype)));
        data[t] = c->v[t] ? c->v[t]->data : own[t];
    }
    ok = ok &&
         terni_cuda_library_attention.run(k->plan, d, data, c->stats ? c->stats->data : NULL, c->o->scale, workspace);
    for (int t = 0; t < TERNI_ATTENTION_TENSORS; t++) terni_cuda_scratch_free(d, own[t]);
    terni_cuda_scratch_free(d, workspace);
    return ok;
}

/* False in *done if the own kernels are to do it. */
static bool by_library(int device, const call *c, bool *done) {
    terni_attention_problem p;
    *done = false;
    terni_cuda_device *d = terni_cuda_use(device);
    if (!d) return false;
    if (terni_cuda_own_kernels() || !problem_of(c, d->index, &p) || !terni_cuda_library_attention.open(NULL, 0))
        return true;
    bool full = false;
    terni_kept_plan *k = terni_plans_take(&plans, &p, d->properties.bytes >> WORKSPACE_SHIFT, &full);
    if (!k) return full;
    const bool ok = !k->plan || run(d, c, &p, k);
    *done = k->plan != NULL;
    terni_plans_give(&plans, k);
    return ok;
}

bool terni_cuda_attention(const terni_call *t) {
    const call c = {{t->in[0], t->in[1], t->in[2], t->out[0]}, t->out[1], t->opts, false};
    bool done = false;
    if (!t->in[3] && !by_library(t->device, &c, &done)) return false;
    return done || terni_cuda_attention_own(t);
}

bool terni_cuda_attention_grad(const terni_call *t) {
    const call c = {
        {t->in[1], t->in[2], t->in[3], t->in[4], t->in[0], t->out[0], t->out[1], t->out[2]}, t->in[5], t->opts, true};
    bool done = false;
    if (!t->in[6] && !by_library(t->device, &c, &done)) return false;
    return done || terni_cuda_attention_grad_own(t);
}
