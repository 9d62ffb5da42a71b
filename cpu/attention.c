/* attention and its gradient: blocks of scores, softmax with a running maximum. Sources: Dao et al., arXiv 2205.14135;
 * Dao, arXiv 2307.08691. */
#include <stdatomic.h>
#include <string.h>

#include "draw.h"
#include "internal.h"
#include "philox.h"

/* ITEMS: about as many shares of the work as a large machine has use for; not its number of threads, on which no sum
 * may depend. */
enum { ROWS_BLOCK = 128, KEYS_BLOCK = 256, ITEMS = 48, GRAIN_WORK = 1 << 15 };

typedef struct attention_sizes {
    int64_t B, H, K, L, S, E, V, group;
} attention_sizes;

static attention_sizes sizes_of(const terni_view *q, const terni_view *k, const terni_view *v) {
    const attention_sizes z = {.B = q->shape[0],
                               .H = q->shape[1],
                               .K = k->shape[1],
                               .L = q->shape[2],
                               .S = k->shape[2],
                               .E = q->shape[3],
                               .V = v->shape[3],
                               .group = k->shape[1] ? q->shape[1] / k->shape[1] : 1};
    return z;
}

/* Blocks that one thread should at least take. */
static int64_t grain(const attention_sizes *z) {
    const int64_t rows = z->L < ROWS_BLOCK ? z->L : ROWS_BLOCK;
    const int64_t work = rows * (z->E + z->V + 8) * (z->S < 4096 ? z->S : 4096);
    return GRAIN_WORK / (work + 1) + 1;
}

/* Rows [r0, r0 + rows) of head h, keys [k0, k0 + n). */
typedef struct block {
    int64_t b, h, r0, rows, k0, n;
} block;

#define TERNI_TEMPLATE "attention.inc"
#include "each_float.h"
#define TERNI_TEMPLATE "attention_grad.inc"
#include "each_float.h"

/* ---- f16 and bf16: through dense copies in f32
 * ---------------------------------------------------------------------------- */

enum { VIEWS = 11 };

static size_t dense_bytes(const terni_view *v) {
    const int64_t n = terni_cpu_count(v);
    return (size_t)(n ? n : 1) * sizeof(float);
}

static bool copy(const terni_view *from, const terni_view *to) {
    const terni_call c = {&from, &to, 1, 1, NULL, 0};
    return terni_cpu_copy(&c);
}

static bool widened(const terni_call *c, int masks, terni_kernel kernel) {
    terni_view room[VIEWS];
    const terni_view *list[VIEWS];
    const int n = c->n_in + c->n_out;
    bool ok = true;
    for (int i = 0; i < n; i++) {
        const terni_view *v = list[i] = i < c->n_in ? c->in[i] : c->out[i - c->n_in];
        if (!ok || !v || i == masks || !terni_cpu_is_half(v->dtype)) continue;
        terni_view wide = *v;
        wide.dtype = TERN_F32;
        int64_t step = 1;
        for (int d = v->ndim - 1; d >= 0; d--) {
            wide.strides[d] = step;
            step *= v->shape[d];
        }
        wide.data = terni_cpu_host->alloc(dense_bytes(v));
        ok = wide.data != NULL;
        if (!ok) continue;
        room[i] = wide;
        list[i] = &room[i];
        if (i < c->n_in) ok = copy(v, &room[i]);
    }
    const terni_call wide = {list, list + c->n_in, c->n_in, c->n_out, c->opts, c->device};
    ok = ok && kernel(&wide);
    for (int i = 0; i < n; i++) {
        if (list[i] != &room[i]) continue;
        if (ok && i >= c->n_in) ok = copy(&room[i], c->out[i - c->n_in]);
        terni_cpu_host->free(room[i].data, dense_bytes(&room[i]));
    }
    return ok;
}

bool terni_cpu_attention(const terni_call *c) {
    if (c->in[0]->dtype == TERN_F64) return attention_f64(c);
    return c->in[0]->dtype == TERN_F32 ? attention_f32(c) : widened(c, 3, attention_f32);
}

bool terni_cpu_attention_grad(const terni_call *c) {
    if (c->in[0]->dtype == TERN_F64) return attention_grad_f64(c);
    return c->in[0]->dtype == TERN_F32 ? attention_grad_f32(c) : widened(c, 6, attention_grad_f32);
}
