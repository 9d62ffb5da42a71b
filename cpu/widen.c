#include "widen.h"

#include <string.h>

#include "internal.h"

enum { INLINE_VIEWS = 16, GRAIN = 16384 };

static bool is_half(const terni_view *v) { return v && terni_cpu_is_half(v->dtype); }

typedef struct conversion {
    const terni_view *half, *wide;
} conversion;

static void up(void *arg, int64_t begin, int64_t end) {
    const conversion *c = arg;
    terni_cpu_from_half(c->half->dtype, (const uint16_t *)c->half->data + begin, 1, (float *)c->wide->data + begin,
                        end - begin);
}

static void down(void *arg, int64_t begin, int64_t end) {
    const conversion *c = arg;
    terni_cpu_to_half(c->half->dtype, (const float *)c->wide->data + begin, (uint16_t *)c->half->data + begin, 1,
                      end - begin);
}

/* The views of one side; copies[] and list[] have room for them. Fails if memory does. */
static bool widen_views(const terni_view *const *v, int n, terni_view *copies, const terni_view **list) {
    for (int i = 0; i < n; i++) {
        list[i] = v[i];
        if (!is_half(v[i])) continue;
        const int64_t elements = terni_cpu_count(v[i]);
        copies[i] = *v[i];
        copies[i].dtype = TERN_F32;
        copies[i].data = terni_cpu_host->alloc((size_t)(elements ? elements : 1) * sizeof(float));
        if (!copies[i].data) return false;
        list[i] = &copies[i];
        conversion c = {v[i], &copies[i]};
        terni_cpu_parallel(elements, GRAIN, up, &c);
    }
    return true;
}

static void free_copies(const terni_view *const *v, int n, terni_view *copies) {
    for (int i = 0; i < n; i++) {
        if (!is_half(v[i]) || !copies[i].data) continue;
        const int64_t elements = terni_cpu_count(v[i]);
        terni_cpu_host->free(copies[i].data, (size_t)(elements ? elements : 1) * sizeof(float));
    }
}

bool terni_cpu_widen(const terni_call *c, terni_kernel kernel) {
    const int n = c->n_in + c->n_out;
    bool any = false;
    for (int i = 0; i < c->n_in; i++) any |= is_half(c->in[i]);
    for (int i = 0; i < c->n_out; i++) any |= is_half(c->out[i]);
    if (!any) return kernel(c);
    terni_view small[INLINE_VIEWS], *copies = small;
    const terni_view *small_list[INLINE_VIEWS], **list = small_list;
    const size_t bytes = (size_t)n * (sizeof(terni_view) + sizeof(terni_view *));
    if (n > INLINE_VIEWS) {
        copies = terni_cpu_host->alloc(bytes);
        if (!copies) return false;
        list = (const terni_view **)(copies + n);
    }
    memset(copies, 0, (size_t)n * sizeof(terni_view));
    bool ok =
        widen_views(c->in, c->n_in, copies, list) && widen_views(c->out, c->n_out, copies + c->n_in, list + c->n_in);
    if (ok) {
        const terni_call wide = {.in = list,
                                 .out = list + c->n_in,
                                 .n_in = c->n_in,
                                 .n_out = c->n_out,
                                 .opts = c->opts,
                                 .device = c->device};
        ok = kernel(&wide);
    }
    for (int i = 0; ok && i < c->n_out; i++) {
        if (!is_half(c->out[i])) continue;
        conversion v = {c->out[i], list[c->n_in + i]};
        terni_cpu_parallel(terni_cpu_count(c->out[i]), GRAIN, down, &v);
    }
    free_copies(c->in, c->n_in, copies);
    free_copies(c->out, c->n_out, copies + c->n_in);
    if (n > INLINE_VIEWS) terni_cpu_host->free(copies, bytes);
    return ok;
}
