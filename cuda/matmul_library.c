/* matmul through the library: the ways that were chosen are kept, a plan each, and a product goes the first way that
 * the library has. */
#include <pthread.h>
#include <string.h>

#include "matmul.h"

/* ---- ways, by plan: 1024 of them at most, in sets of 8, of which the one that was not used for longest goes */

enum { SETS = 128, SET = 8 };

static struct entry {
    terni_matmul_plan plan;
    terni_matmul_way way;
    uint64_t used; /* 0: empty */
} ways[SETS][SET];
static uint64_t now;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* FNV-1a over words. */
static struct entry *set_of(const terni_matmul_plan *plan) {
    uint64_t h = 14695981039346656037u, word;
    for (size_t i = 0; i + sizeof word <= sizeof *plan; i += sizeof word) {
        memcpy(&word, (const char *)plan + i, sizeof word);
        h = (h ^ word) * 1099511628211u;
    }
    return ways[(h ^ h >> 32) % SETS];
}
_Static_assert(sizeof(terni_matmul_plan) % 8 == 0 && sizeof(terni_matmul_plan) == 9 * 8 + 12 * 4, "no padding");

static bool find(const terni_matmul_plan *plan, terni_matmul_way *way) {
    struct entry *set = set_of(plan);
    bool found = false;
    pthread_mutex_lock(&lock);
    for (int i = 0; !found && i < SET; i++)
        if (set[i].used && memcmp(&set[i].plan, plan, sizeof *plan) == 0) {
            *way = set[i].way;
            set[i].used = ++now;
            found = true;
        }
    pthread_mutex_unlock(&lock);
    return found;
}

static void keep(const terni_matmul_plan *plan, const terni_matmul_way *way) {
    struct entry *set = set_of(plan), *to = &set[0];
    pthread_mutex_lock(&lock);
    for (int i = 1; i < SET; i++)
        if (set[i].used < to->used) to = &set[i];
    *to = (struct entry){*plan, *way, ++now};
    pthread_mutex_unlock(&lock);
}

/* Two threads may choose for one plan at once: both get the same. */
static bool choose(const terni_matmul_plan *plan, const terni_matmul_data *data, size_t workspace,
                   terni_matmul_way *way) {
    if (find(plan, way)) return true;
    memset(way, 0, sizeof *way);
    if (!terni_cuda_matmul_library.choose(plan, data, workspace, way)) return false;
    keep(plan, way);
    return true;
}

/* ---- epilogues */

static int32_t alignment_of(const void *p) {
    const uintptr_t bits = (uintptr_t)p | 256;
    return (int32_t)(bits & (~bits + 1));
}

static int activation_of(const terni_call *c) {
    const terni_matmul_opts *o = c->opts;
    return o ? o->activation : TERNI_ACTIVATION_NONE;
}

/* What of the epilogue the library is asked to do, the best first. What it leaves is done by the elementwise kernels; a
 * bias that they add to f16 or bf16 would find the product rounded, so there Tern's kernel does it all. */
typedef enum stage { STAGE_ALL, STAGE_BIAS, STAGE_NONE } stage;

/* Puts that much into the job. False if this library could not read it: a second output has rows of whole 8 elements,
 * and comes from one call. */
static bool with_epilogue(const terni_call *c, stage s, const void *bias, terni_matmul_job *job) {
    const terni_view *y = c->out[0], *z = c->n_out > 1 ? c->out[1] : NULL;
    const int activation = activation_of(c);
    terni_matmul_plan *p = &job->plan;
    if (bias && s != STAGE_NONE) {
        p->epilogue |= TERNI_EPILOGUE_BIAS;
        p->align_bias = alignment_of(bias);
        job->data.bias = bias;
    }
    if (s == STAGE_NONE && bias && y->dtype != TERN_F32 && y->dtype != TERN_F64) return false;
    if (s != STAGE_ALL) {
        if (z) {
            job->data.d = z->data;
            p->align_d = alignment_of(z->data) < p->align_d ? alignment_of(z->data) : p->align_d;
        }
        return true;
    }
    if (activation == TERNI_ACTIVATION_RELU) p->epilogue |= TERNI_EPILOGUE_RELU;
    if (activation == TERNI_ACTIVATION_GELU_TANH) p->epilogue |= TERNI_EPILOGUE_GELU;
    if (z) {
        if (p->ldd % 8 || p->stride_d % 8 || job->calls > 1) return false;
        p->epilogue |= TERNI_EPILOGUE_AUX;
        p->align_aux = alignment_of(z->data);
        job->data.aux = z->data;
    }
    return true;
}

/* y = f(x), elementwise, through a kernel of the table. */
static bool apply(terni_kernel kernel, const terni_call *c, const terni_view *a, const terni_view *b,
                  const terni_view *y) {
    const terni_view *const in[2] = {a, b};
    const terni_call call = {in, &y, b ? 2 : 1, 1, NULL, c->device};
    return kernel(&call);
}

bool terni_cuda_matmul_finish(const terni_call *c, bool add_bias) {
    const terni_view *y = c->out[0], *z = c->n_out > 1 && c->out[1] ? c->out[1] : y, *bias = c->in[2];
    const int activation = activation_of(c);
    if (add_bias && bias) {
        terni_view wide = *z;
        for (int i = 0; i < z->ndim; i++) wide.strides[i] = 0;
        wide.strides[z->ndim - 1] = bias->strides[0];
        wide.data = bias->data;
        if (!apply(terni_cuda_add, c, z, &wide, z)) return false;
    }
    if (activation == TERNI_ACTIVATION_RELU) return apply(terni_cuda_relu, c, z, NULL, y);
    if (activation == TERNI_ACTIVATION_GELU_TANH) return apply(terni_cuda_gelu_tanh, c, z, NULL, y);
    return true;
}

/* ---- running */

/* A copy of v without gaps, with the batch's dimensions of stride 0 kept. */
static void *copy_of(terni_cuda_device *d, const terni_call *c, const terni_view *v, const terni_matmul_operand *o) {
    terni_view from = *v, to = *v;
    int64_t n = v->shape[v->ndim - 2] * v->shape[v->ndim - 1];
    to.strides[v->ndim - 1] = 1;
    to.strides[v->ndim - 2] = o->ld;
    for (int i = 0; i < v->ndim - 2; i++) {
        to.strides[i] = o->stride[i];
        if (o->stride[i] == 0) from.shape[i] = to.shape[i] = 1;
        n *= to.shape[i];
    }
    to.data = terni_cuda_scratch(d, (size_t)n * terni_cuda_size(v->dtype));
    if (!to.data || apply(terni_cuda_copy, c, &from, NULL, &to)) return to.data;
    terni_cuda_scratch_free(d, to.data);
    return NULL;
}

/* The calls of a job, one for each place in its outer dimensions. */
static bool run(terni_cuda_device *d, const terni_matmul_job *job, const terni_matmul_way *way, void *workspace) {
    const size_t size = terni_cuda_size(job->plan.dtype);
    for (int64_t i = 0; i < job->calls; i++) {
        terni_matmul_data data = job->data;
        int64_t rest = i, a = 0, b = 0, y = 0;
        for (int k = 0; k < job->outer_ndim; k++) {
            const int64_t at = rest % job->outer[k];
            a += at * job->outer_a[k];
            b += at * job->outer_b[k];
            y += at * job->outer_d[k];
            rest /= job->outer[k];
        }
        data.a = (const char *)data.a + (size_t)b * size; /* the library's A is our b */
        data.b = (const char *)data.b + (size_t)a * size;
        data.d = (char *)data.d + (size_t)y * size;
        if (!terni_cuda_matmul_library.run(d, &job->plan, way, &data, workspace)) return false;
    }
    return true;
}

/* Copies what has to be copied, and runs the way. */
static bool carry_out(terni_cuda_device *d, const terni_call *c, terni_matmul_job *job, const terni_matmul_way *way) {
    void *a = NULL, *b = NULL, *workspace = NULL;
    bool ok = true;
    if (job->a.copied) ok = (job->data.b = a = copy_of(d, c, c->in[0], &job->a)) != NULL;
    if (ok && job->b.copied) ok = (job->data.a = b = copy_of(d, c, c->in[1], &job->b)) != NULL;
    if (ok && way->workspace) ok = (workspace = terni_cuda_scratch(d, way->workspace)) != NULL;
    ok = ok && run(d, job, way, workspace);
    terni_cuda_scratch_free(d, workspace);
    terni_cuda_scratch_free(d, b);
    terni_cuda_scratch_free(d, a);
    return ok;
}

/* The first stage that the library has a way for. */
static terni_matmul_result by_stages(terni_cuda_device *d, const terni_call *c, const terni_matmul_job *plain,
                                     const void *bias) {
    const size_t workspace = d->properties.major >= 9 ? (size_t)32 << 20 : (size_t)8 << 20;
    const bool activates = activation_of(c) != TERNI_ACTIVATION_NONE;
    for (stage s = STAGE_ALL; s <= STAGE_NONE; s++) {
        terni_matmul_job job = *plain;
        terni_matmul_way way;
        if ((s == STAGE_BIAS && !activates) || (s == STAGE_NONE && !bias)) continue; /* as the stage before */
        if (!with_epilogue(c, s, bias, &job)) continue;
        if (!choose(&job.plan, &job.data, workspace, &way)) return TERNI_MATMUL_FAILED;
        if (!way.possible) continue;
        const bool ok = carry_out(d, c, &job, &way) && (s == STAGE_ALL || terni_cuda_matmul_finish(c, s == STAGE_NONE));
        return ok ? TERNI_MATMUL_DONE : TERNI_MATMUL_FAILED;
    }
    return TERNI_MATMUL_DECLINED;
}

terni_matmul_result terni_cuda_matmul_by_library(terni_cuda_device *d, const terni_call *c) {
    const terni_view *bias = c->in[2];
    terni_matmul_job plain;
    if (terni_cuda_own_kernels() || !terni_cuda_matmul_library.usable() || !terni_cuda_matmul_plan(c, &plain))
        return TERNI_MATMUL_DECLINED;
    if (!bias || bias->strides[0] == 1 || bias->shape[0] == 1) return by_stages(d, c, &plain, bias ? bias->data : NULL);
    /* the library reads a bias without gaps */
    terni_view packed = *bias;
    packed.strides[0] = 1;
    packed.data = terni_cuda_scratch(d, (size_t)bias->shape[0] * terni_cuda_size(bias->dtype));
    const terni_matmul_result r = packed.data && apply(terni_cuda_copy, c, bias, NULL, &packed)
                                      ? by_stages(d, c, &plain, packed.data)
                                      : TERNI_MATMUL_FAILED;
    terni_cuda_scratch_free(d, packed.data);
    return r;
}
