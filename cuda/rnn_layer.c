/* The rows rnn_layer and rnn_layer_grad, by a library alone: what it is asked for, and the weights as it wants them.
 * Where it declines, core goes step by step, with the rows matmul and rnn_step.
 *
 * A call has one layer, since core drops out between layers with draws of its own. All sequences have T steps: lengths
 * are left to core, as cuDNN takes no empty sequence and does not say what a gradient holds beyond a sequence's end.
 * The library's results may differ in the last bits from run to run: cuDNN computes on several streams with one cuBLAS
 * handle, which then takes buffers, and with them kernels, as they happen to be free. With CUBLAS_WORKSPACE_CONFIG
 * naming one size there is no choice.
 *
 * The weights are packed anew for each call, one copy for each weight where the library has its gates one after
 * another; kept ones would have to notice every change of a weight. Backward works on a copy of the reserve, which it
 * overwrites, since a graph may be walked again. */
#include <stdlib.h>
#include <string.h>

#include "library_rnn.h"
#include "plans.h"

/* A workspace has at most an eighth of the device's memory. */
enum { WORKSPACE_SHIFT = 3 };

static bool plan_new(const void *problem, size_t most, void **plan, size_t *workspace) {
    terni_rnn_plan *made = NULL;
    const bool ok = terni_cuda_library_rnn.plan_new(problem, most, &made, workspace);
    *plan = made;
    return ok;
}
static void plan_free(void *plan) { terni_cuda_library_rnn.plan_free(plan); }

static terni_rnn_problem problems[TERNI_PLANS];
static terni_plans plans = TERNI_PLANS_OF(problems, plan_new, plan_free);

/* in: the row rnn_layer's. */
static terni_rnn_problem problem_of(const terni_view *const *in, const terni_rnn_layer_opts *o, int device) {
    const terni_view *x = in[0], *w_hh = in[TERNI_RNN_FORWARD_FIRST + 1];
    terni_rnn_problem p;
    memset(&p, 0, sizeof p);
    p.kind = o->kind;
    p.dirs = o->dirs;
    p.dtype = x->dtype;
    p.device = device;
    p.keep = o->keep;
    p.tf32 = p.dtype == TERN_F32 && o->tf32;
    p.T = x->shape[0], p.N = x->shape[1], p.I = x->shape[2], p.H = w_hh->shape[1];
    for (int i = 0; i < 4 * o->dirs; i++) p.biases |= i % 4 > 1 && in[TERNI_RNN_FORWARD_FIRST + i];
    return p;
}

/* cuDNN's products on several streams repeat themselves only with buffers of one size, ":SIZE:COUNT". */
static bool repeats(void) {
    const char *text = getenv("CUBLAS_WORKSPACE_CONFIG");
    int colons = 0;
    for (const char *c = text; c && *c; c++) colons += *c == ':';
    return colons == 2;
}

static terni_kept_plan *take(terni_cuda_device *d, const terni_rnn_problem *p, bool *full) {
    return terni_plans_take(&plans, p, d->properties.bytes >> WORKSPACE_SHIFT, full);
}

static bool ask(terni_cuda_device *d, const terni_rnn_problem *p, const terni_rnn_layer_opts *o) {
    bool full = false;
    *o->ask = -1;
    if (p->T * p->N == 0 || p->I == 0 || p->H == 0 || terni_cuda_own_kernels() || (o->same && !repeats()) ||
        !terni_cuda_library_rnn.open(NULL, 0))
        return true;
    terni_kept_plan *k = take(d, p, &full);
    if (!k) return full;
    const terni_rnn_plan *plan = k->plan;
    if (plan) *o->ask = o->keep ? (int64_t)plan->reserve : 0;
    terni_plans_give(&plans, k);
    return true;
}

/* ---- weights
 * ---------------------------------------------------------------------------------------------------------------- */

/* The piece among the library's weights, or rows of the weight v. */
static terni_view place_of(const terni_rnn_piece *s, const terni_view *v, void *packed) {
    const bool bias = v->ndim == 1;
    terni_view part = {.ndim = 2, .dtype = v->dtype, .shape = {s->rows, s->columns}, .strides = {s->columns, 1}};
    if (packed) {
        part.data = (char *)packed + s->at;
        return part;
    }
    part.strides[0] = v->strides[0];
    part.strides[1] = bias ? 1 : v->strides[1];
    part.data = (char *)v->data + (size_t)(s->row * v->strides[0]) * terni_cuda_size(v->dtype);
    return part;
}

/* Between the weights w, of which some are NULL, and the library's, which then hold zeros there or are not read. */
static bool carry(const terni_rnn_plan *plan, int device, const terni_view *const *w, void *packed, bool pack) {
    for (int i = 0; i < plan->n; i++) {
        const terni_rnn_piece *s = &plan->piece[i];
        if (!w[s->weight]) continue;
        const terni_view ours = place_of(s, w[s->weight], NULL), theirs = place_of(s, w[s->weight], packed);
        const terni_view *const from = pack ? &ours : &theirs, *const to = pack ? &theirs : &ours;
        const terni_call c = {&from, &to, 1, 1, NULL, device};
        if (!terni_cuda_copy(&c)) return false;
    }
    return true;
}

static void *zeros(terni_cuda_device *d, size_t bytes) {
    void *p = terni_cuda_scratch(d, bytes);
    if (!p || TERNI_CUDA_OK(terni_cuda_driver->fill(p, 0, bytes, d->stream))) return p;
    terni_cuda_scratch_free(d, p);
    return NULL;
}

static void *packed_weights(terni_cuda_device *d, const terni_rnn_plan *plan, int device, const terni_view *const *w) {
    void *p = zeros(d, plan->weights);
    if (!p || carry(plan, device, w, p, true)) return p;
    terni_cuda_scratch_free(d, p);
    return NULL;
}

/* ---- the rows
 * ------------------------------------------------------------------------------------------------------------------ */

static void *data_of(const terni_view *v) { return v ? v->data : NULL; }

static size_t bytes_of(const terni_view *v) { return (size_t)terni_cuda_count(v) * terni_cuda_size(v->dtype); }

bool terni_cuda_rnn_layer(const terni_call *c) {
    const terni_rnn_layer_opts *o = c->opts;
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const terni_rnn_problem p = problem_of(c->in, o, d->index);
    if (o->ask) return ask(d, &p, o);
    bool full = false;
    terni_kept_plan *k = take(d, &p, &full);
    if (!k && !full) return false;
    if (!k || !k->plan) {
        if (k) terni_plans_give(&plans, k);
        return terni_cuda_fail(TERN_ERR_INTERNAL, "rnn_layer: the library's plan is gone");
    }
    terni_rnn_data data = {.x = c->in[0]->data,
                           .h0 = data_of(c->in[1]),
                           .c0 = data_of(c->in[2]),
                           .y = c->out[0]->data,
                           .hn = c->out[1]->data,
                           .cn = data_of(c->out[2]),
                           .reserve = data_of(c->out[3]),
                           .workspace = terni_cuda_scratch(d, k->workspace)};
    void *weights = data.workspace ? packed_weights(d, k->plan, c->device, c->in + TERNI_RNN_FORWARD_FIRST) : NULL;
    data.weights = weights;
    const bool ok = weights && terni_cuda_library_rnn.forward(k->plan, d, &data);
    terni_cuda_scratch_free(d, weights);
    terni_cuda_scratch_free(d, data.workspace);
    terni_plans_give(&plans, k);
    return ok;
}

/* Memory of a backward call, and its steps. */
typedef struct space {
    void *workspace, *weights, *reserve, *gy, *gx, *gweights;
} space;

static bool space_of(terni_cuda_device *d, const terni_call *c, const terni_kept_plan *k, space *s) {
    const terni_view *const *in = c->in + TERNI_RNN_BACKWARD_FIRST - TERNI_RNN_FORWARD_FIRST;
    const terni_rnn_plan *plan = k->plan;
    const terni_rnn_layer_opts *o = c->opts;
    bool weights = false;
    for (int i = 0; i < 4 * o->dirs; i++) weights |= c->out[TERNI_RNN_FORWARD_FIRST + i] != NULL;
    return (s->workspace = terni_cuda_scratch(d, k->workspace)) &&
           (s->weights = packed_weights(d, plan, c->device, in + TERNI_RNN_FORWARD_FIRST)) &&
           (s->reserve = terni_cuda_scratch(d, plan->reserve)) &&
           TERNI_CUDA_OK(
               terni_cuda_driver->copy(s->reserve, c->in[4]->data, plan->reserve, TERNI_COPY_WITHIN, d->stream)) &&
           (c->in[0] || (s->gy = zeros(d, bytes_of(c->in[3])))) &&
           (c->out[0] || (s->gx = terni_cuda_scratch(d, bytes_of(in[0])))) &&
           (!weights || (s->gweights = zeros(d, plan->weights)));
}

static bool run_backward(terni_cuda_device *d, const terni_call *c, const terni_kept_plan *k, const space *s) {
    const terni_view *const *in = c->in + TERNI_RNN_BACKWARD_FIRST - TERNI_RNN_FORWARD_FIRST;
    const terni_rnn_data data = {.x = in[0]->data,
                                 .h0 = data_of(in[1]),
                                 .c0 = data_of(in[2]),
                                 .weights = s->weights,
                                 .y = c->in[3]->data,
                                 .reserve = s->reserve,
                                 .workspace = s->workspace,
                                 .gy = s->gy ? s->gy : c->in[0]->data,
                                 .ghn = data_of(c->in[1]),
                                 .gcn = data_of(c->in[2]),
                                 .gx = s->gx ? s->gx : c->out[0]->data,
                                 .gh0 = data_of(c->out[1]),
                                 .gc0 = data_of(c->out[2]),
                                 .gweights = s->gweights};
    return terni_cuda_library_rnn.backward(k->plan, d, &data) &&
           (!s->gweights || carry(k->plan, c->device, c->out + TERNI_RNN_FORWARD_FIRST, s->gweights, false));
}

bool terni_cuda_rnn_layer_grad(const terni_call *c) {
    terni_cuda_device *d = terni_cuda_use(c->device);
    if (!d) return false;
    const terni_rnn_problem p =
        problem_of(c->in + TERNI_RNN_BACKWARD_FIRST - TERNI_RNN_FORWARD_FIRST, c->opts, d->index);
    bool full = false;
    terni_kept_plan *k = take(d, &p, &full);
    if (!k && !full) return false;
    space s = {NULL, NULL, NULL, NULL, NULL, NULL};
    bool ok = k && k->plan && (int64_t)((terni_rnn_plan *)k->plan)->reserve == c->in[4]->shape[0];
    if (!ok)
        terni_cuda_fail(TERN_ERR_INTERNAL, "rnn_layer_grad: the library's plan is gone");
    else
        ok = space_of(d, c, k, &s) && run_backward(d, c, k, &s);
    void *const made[] = {s.gweights, s.gx, s.gy, s.reserve, s.weights, s.workspace};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) terni_cuda_scratch_free(d, made[i]);
    if (k) terni_plans_give(&plans, k);
    return ok;
}
