/* Attention with its projections. */
#include <inttypes.h>
#include <math.h>

#include "internal.h"
#include "tern/transformer.h"

typedef struct attention {
    tern_module m;
    int64_t dims, heads, size;          /* size: of a head */
    tern_multihead_attention_opts opts; /* nothing left to default */
    tern_tensor *in_proj;               /* [3 dims, dims], or NULL: then */
    tern_tensor *proj[3];               /* of q, k, v, or NULL: then */
    tern_module *part[3];               /* linear, grouped */
    tern_tensor *bias;                  /* [3 dims]; may be NULL; not grouped */
    tern_module *out_proj;
} attention;

/* ---- projections ------------------------------------------------------------------------------------------------- */

static tern_tensor *third(tern_tensor *t, int i, int64_t dims) { return tern_narrow(t, 0, i * dims, dims); }

static tern_tensor *project(attention *s, int i, tern_tensor *x) {
    if (s->part[i]) return tern_forward(s->part[i], x);
    terni_flops(&s->m, 2 * tern_numel(x) * s->dims);
    tern_tensor *w = s->in_proj ? third(s->in_proj, i, s->dims) : s->proj[i];
    return tern_linear(x, w, s->bias ? third(s->bias, i, s->dims) : NULL);
}

/* q, k, v of self-attention by one product. */
static bool project_packed(attention *s, tern_tensor *x, tern_tensor **p) {
    terni_flops(&s->m, 2 * 3 * tern_numel(x) * s->dims);
    return tern_chunk(tern_linear(x, s->in_proj, s->bias), 3, -1, p);
}

static bool project_all(attention *s, tern_tensor *const *x, tern_tensor **p) {
    if (s->in_proj && x[0] == x[1] && x[1] == x[2]) return project_packed(s, x[0], p);
    for (int i = 0; i < 3; i++) {
        p[i] = project(s, i, x[i]);
        if (!p[i]) return false;
    }
    return true;
}

/* [L, N, H size], [N, L, H size] or [L, H size] -> [N, H, L, size] or [H, L, size]. */
static tern_tensor *to_heads(const attention *s, tern_tensor *x) {
    x = tern_unflatten(x, -1, TERN_SHAPE(-1, s->size));
    if (tern_ndim(x) == 4 && !s->opts.batch_first) return tern_permute(x, (const int[]){1, 2, 0, 3}, 4);
    return tern_transpose(x, -3, -2);
}

static tern_tensor *from_heads(const attention *s, tern_tensor *y) {
    if (tern_ndim(y) == 4 && !s->opts.batch_first)
        y = tern_permute(y, (const int[]){2, 0, 1, 3}, 4);
    else
        y = tern_transpose(y, -3, -2);
    return tern_flatten(y, -2, -1);
}

/* By positions first, first + 1, ... */
static tern_tensor *turned(const attention *s, tern_tensor *x, int64_t first) {
    if (!s->opts.rotary || !x) return x;
    tern_tensor *sin = NULL;
    const double end = (double)(first + tern_size(x, -2));
    tern_tensor *at = tern_arange((double)first, end, (tern_options){TERN_I64, tern_device_of(x)});
    tern_tensor *cos = tern_rotary_tables(at, s->size, s->opts.rotary_base, tern_dtype_of(x), &sin);
    return tern_rotary(x, cos, sin, (tern_rotary_opts){s->opts.rotary_interleaved});
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* mask, or NULL for none, without what is false in `seen`. */
static tern_tensor *within(tern_tensor *mask, tern_tensor *seen) {
    if (!mask) return seen;
    if (tern_dtype_of(mask) == TERN_BOOL) return tern_logical_and(mask, seen);
    return tern_where(seen, mask,
                      tern_scalar(-(double)INFINITY, (tern_options){tern_dtype_of(mask), tern_device_of(mask)}));
}

/* One mask for both kinds; NULL for none, and after an error. */
static tern_tensor *mask_of(const tern_attend_opts *o) {
    if (!o->key_mask) return o->mask;
    tern_tensor *keys = o->key_mask;
    if (tern_dtype_of(keys) != TERN_BOOL)
        return terni_null(TERN_ERR_DTYPE, "multihead_attention: key_mask is %s; bool expected",
                          tern_dtype_name(tern_dtype_of(keys)));
    if (tern_ndim(keys) == 2) keys = tern_unsqueeze(tern_unsqueeze(keys, 1), 1);
    return within(o->mask, !o->mask && tern_ndim(keys) == 1 ? tern_unsqueeze(keys, 0) : keys);
}

/* [L, S]: queries at positions first, first + 1, ... see the keys at 0 to their own. */
static tern_tensor *seen_from(int64_t first, tern_tensor *q, tern_tensor *k) {
    const tern_options whole = {TERN_I64, tern_device_of(q)};
    tern_tensor *rows = tern_arange((double)first, (double)(first + tern_size(q, -2)), whole);
    return tern_ge(tern_unsqueeze(rows, 1), tern_arange(0, (double)tern_size(k, -2), whole));
}

static bool fits(const attention *s, tern_tensor *const *x) {
    static const char *const name[] = {"query", "key", "value"};
    const int64_t want[] = {s->dims, s->opts.kdim, s->opts.vdim};
    for (int i = 0; i < 3; i++) {
        const int n = tern_ndim(x[i]);
        if ((n == 2 || n == 3) && n == tern_ndim(x[0]) && tern_size(x[i], -1) == want[i]) continue;
        char shape[128];
        return terni_fail(TERN_ERR_SHAPE,
                          "multihead_attention: %s %s; [L, N, %" PRId64 "] expected, or without N, of all three",
                          name[i], tern_shape_text(tern_shape_get(x[i]), shape, sizeof shape), want[i]);
    }
    return true;
}

typedef struct sides {
    tern_tensor *q, *k, *v;
    int64_t first; /* position of the first query */
    bool self;     /* the queries' own keys */
} sides;

static bool same_length(const attention *s, tern_tensor *key, tern_tensor *kept) {
    const int64_t n = tern_size(key, tern_ndim(key) == 3 && !s->opts.batch_first ? 0 : -2), had = tern_size(kept, -2);
    return n == had ||
           terni_fail(TERN_ERR_SHAPE, "multihead_attention: %" PRId64 " keys where the cache has %" PRId64, n, had);
}

/* With keys and values that the cache has; false after an error. */
static bool make_sides(attention *s, tern_tensor *const *x, tern_kv_cache *c, sides *h) {
    tern_tensor *p[3];
    h->self = x[0] == x[1] && x[1] == x[2];
    h->first = terni_kv_seen(c, s);
    if (c && !h->self && terni_kv_kept(c, s, &h->k, &h->v)) {
        if (!same_length(s, x[1], h->k)) return false;
        h->q = turned(s, to_heads(s, project(s, 0, x[0])), h->first);
    } else {
        if (!project_all(s, x, p)) return false;
        h->q = turned(s, to_heads(s, p[0]), h->first);
        h->k = turned(s, to_heads(s, p[1]), h->self ? h->first : 0);
        h->v = to_heads(s, p[2]);
        if (c && h->self) h->k = tern_kv_cache_add(c, s, h->k, h->v, &h->v);
        if (c && !h->self && !terni_kv_keep(c, s, h->k, h->v)) return false;
    }
    if (c && !h->self && h->q) terni_kv_see(c, s, tern_size(h->q, -2));
    return h->q && h->k && h->v;
}

static tern_tensor *attend(attention *s, tern_tensor *const *x, const tern_attend_opts *o) {
    tern_tensor *mask = mask_of(o);
    sides h;
    if (!tern_ok() || !fits(s, x) || !make_sides(s, x, o->cache, &h)) return NULL;
    tern_attention_opts opts = {.causal = s->opts.causal || o->causal, .dropout = s->m.training ? s->opts.dropout : 0};
    if (opts.causal && h.first) { /* the op counts queries from 0 */
        opts.causal = false;
        if (!h.self || tern_size(h.q, -2) > 1) mask = within(mask, seen_from(h.first, h.q, h.k));
    }
    tern_tensor *y = tern_ok() ? tern_scaled_dot_product_attention(h.q, h.k, h.v, mask, opts) : NULL;
    if (y) terni_flops(&s->m, 4 * tern_numel(h.q) * tern_size(h.k, -2));
    return tern_forward(s->out_proj, from_heads(s, y));
}

static void describe(const tern_module *m, char *buf, size_t size);

tern_tensor *tern_multihead_attention_forward(tern_module *m, tern_tensor *query, tern_tensor *key, tern_tensor *value,
                                              tern_attend_opts opts) {
    static const char op[] = "multihead_attention_forward";
    if (!terni_given(m, op, "m") || !terni_given(query, op, "query")) return NULL;
    if (m->describe != describe) return terni_null(TERN_ERR_ARGUMENT, "%s: %s is no multihead_attention", op, m->type);
    const int scope = tern_scope_push();
    terni_kv_begin(opts.cache);
    tern_tensor *const q = terni_forward_begin(m, query);
    tern_tensor *const k = key ? key : q, *const v = value ? value : k;
    tern_tensor *y =
        q ? attend((attention *)m, (tern_tensor *const[]){q, k == query ? q : k, v == query ? q : v}, &opts) : NULL;
    return tern_scope_return(scope, terni_kv_end(opts.cache, terni_forward_end(m, q, y)));
}

static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    const int scope = tern_scope_push();
    return tern_scope_return(scope, attend((attention *)m, (tern_tensor *const[]){x, x, x}, &(tern_attend_opts){0}));
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

static void describe(const tern_module *m, char *buf, size_t size) {
    const attention *s = (const attention *)m;
    const tern_multihead_attention_opts *o = &s->opts;
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%" PRId64 ", heads %" PRId64, s->dims, s->heads);
    if (o->kv_heads != s->heads) terni_text_add(&t, ", kv heads %" PRId64, o->kv_heads);
    if (o->kdim != s->dims || o->vdim != s->dims)
        terni_text_add(&t, ", key %" PRId64 ", value %" PRId64, o->kdim, o->vdim);
    if (o->causal) terni_text_add(&t, ", causal");
    if (o->rotary) terni_text_add(&t, ", rotary");
    if (o->batch_first) terni_text_add(&t, ", batch first");
    if (o->no_bias) terni_text_add(&t, ", no bias");
    if (o->dropout > 0) terni_text_add(&t, ", dropout %g", o->dropout);
}

int64_t tern_multihead_attention_heads(const tern_module *m) {
    return m && m->describe == describe ? ((const attention *)m)->heads : -1;
}

static bool check(int64_t dims, int64_t heads, tern_multihead_attention_opts *o) {
    static const char op[] = "multihead_attention";
    if (!tern_ok()) return false;
    if (dims < 1 || heads < 1 || dims % heads || dims > INT32_MAX)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: %" PRId64 " heads do not divide %" PRId64 " dimensions", op, heads,
                          dims);
    if (o->kv_heads == 0) o->kv_heads = heads;
    if (o->kdim == 0) o->kdim = dims;
    if (o->vdim == 0) o->vdim = dims;
    if (o->rotary_base == 0) o->rotary_base = 10000;
    if (o->kv_heads < 1 || heads % o->kv_heads)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: %" PRId64 " kv_heads do not divide %" PRId64 " heads", op,
                          o->kv_heads, heads);
    if (o->kdim < 1 || o->vdim < 1)
        return terni_fail(TERN_ERR_ARGUMENT, "%s: kdim %" PRId64 ", vdim %" PRId64 "; 1 or more expected", op, o->kdim,
                          o->vdim);
    if (!(o->dropout >= 0 && o->dropout <= 1))
        return terni_fail(TERN_ERR_ARGUMENT, "%s: dropout is %g; [0, 1] expected", op, o->dropout);
    if (o->rotary && (dims / heads % 2 || !(o->rotary_base > 0)))
        return terni_fail(TERN_ERR_ARGUMENT,
                          "%s: rotary with heads of %" PRId64 " and base %g; even and above 0 expected", op,
                          dims / heads, o->rotary_base);
    return true;
}

static void make_grouped(attention *s) {
    static const char *const name[] = {"q_proj", "k_proj", "v_proj"};
    const int64_t in[] = {s->dims, s->opts.kdim, s->opts.vdim}, kv = s->opts.kv_heads * s->size;
    for (int i = 0; i < 3; i++)
        s->part[i] = tern_module_add(&s->m, name[i],
                                     tern_linear_new(in[i], i ? kv : s->dims, (tern_linear_opts){s->opts.no_bias}));
}

static void make_packed(attention *s) {
    static const char *const name[] = {"q_proj_weight", "k_proj_weight", "v_proj_weight"};
    const int64_t in[] = {s->dims, s->opts.kdim, s->opts.vdim};
    if (s->opts.kdim == s->dims && s->opts.vdim == s->dims) {
        s->in_proj = terni_param_new(&s->m, "in_proj_weight", TERN_SHAPE(3 * s->dims, s->dims));
        if (s->in_proj) (void)tern_init_xavier_uniform(s->in_proj, 1);
    } else {
        for (int i = 0; i < 3; i++) {
            s->proj[i] = terni_param_new(&s->m, name[i], TERN_SHAPE(s->dims, in[i]));
            if (s->proj[i]) (void)tern_init_xavier_uniform(s->proj[i], 1);
        }
    }
    if (!s->opts.no_bias)
        s->bias = tern_module_param(&s->m, "in_proj_bias", tern_zeros(TERN_SHAPE(3 * s->dims), (tern_options){0}));
}

tern_module *tern_multihead_attention_new(int64_t dims, int64_t heads, tern_multihead_attention_opts opts) {
    if (!check(dims, heads, &opts)) return NULL;
    attention *s = tern_module_alloc(sizeof *s, "multihead_attention");
    if (!s) return NULL;
    s->m.forward = forward;
    s->m.describe = describe;
    s->dims = dims;
    s->heads = heads;
    s->size = dims / heads;
    s->opts = opts;
    const int scope = tern_scope_push();
    if (opts.kv_heads != heads)
        make_grouped(s);
    else
        make_packed(s);
    s->out_proj = tern_module_add(&s->m, "out_proj", tern_linear_new(dims, dims, (tern_linear_opts){opts.no_bias}));
    if (s->out_proj && !opts.no_bias) (void)tern_init_zeros(tern_module_get(s->out_proj, "bias"));
    tern_scope_pop(scope);
    return tern_module_done(s);
}
