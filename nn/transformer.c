/* Transformer layers and stacks. */
#include "tern/transformer.h"

#include <inttypes.h>

#include "internal.h"

/* ---- a layer ----------------------------------------------------------------------------------------------------- */

typedef struct layer {
    tern_module m;
    int64_t dims, heads;
    tern_transformer_opts opts; /* ff and eps are not 0 */
    bool decoder;
    tern_module *self_attn, *cross_attn, *linear1, *linear2, *norm[3]; /* cross_attn, norm[2]: the decoder's */
} layer;

static tern_tensor *drop(const layer *s, tern_tensor *x) {
    return s->m.training && s->opts.dropout > 0 ? tern_dropout(x, s->opts.dropout) : x;
}

typedef struct inputs {
    tern_tensor *memory; /* the decoder's */
    tern_attend_opts self, cross;
} inputs;

/* One of the layer's parts, without norm and sum: attention to itself, to memory (decoder), feed forward. */
static tern_tensor *part(layer *s, int i, tern_tensor *x, const inputs *in) {
    if (i == 0) return drop(s, tern_multihead_attention_forward(s->self_attn, x, NULL, NULL, in->self));
    if (i == 1 && s->decoder)
        return drop(s, tern_multihead_attention_forward(s->cross_attn, x, in->memory, NULL, in->cross));
    tern_tensor *h = tern_forward(s->linear1, x);
    h = s->opts.gelu ? tern_gelu(h) : tern_relu(h);
    return drop(s, tern_forward(s->linear2, drop(s, h)));
}

static tern_tensor *run(layer *s, tern_tensor *x, const inputs *in) {
    const int scope = tern_scope_push(), parts = s->decoder ? 3 : 2;
    for (int i = 0; x && i < parts; i++) {
        const int inner = tern_scope_push();
        tern_tensor *y = part(s, i, s->opts.norm_first ? tern_forward(s->norm[i], x) : x, in);
        y = tern_add(x, y);
        x = tern_scope_return(inner, s->opts.norm_first ? y : tern_forward(s->norm[i], y));
    }
    return tern_scope_return(scope, x);
}

static tern_tensor *layer_forward(tern_module *m, tern_tensor *x) { return run((layer *)m, x, &(inputs){0}); }

/* ---- a stack of layers ------------------------------------------------------------------------------------------- */

typedef struct stack {
    tern_module m;
    bool decoder;
    tern_module *layers, *norm; /* norm may be NULL */
} stack;

static void layer_describe(const tern_module *m, char *buf, size_t size);
static void stack_describe(const tern_module *m, char *buf, size_t size);

static bool is_layer(const tern_module *m) { return m->describe == layer_describe; }
static bool is_stack(const tern_module *m) { return m->describe == stack_describe; }
static bool is_decoder(const tern_module *m) {
    return is_layer(m) ? ((const layer *)m)->decoder : is_stack(m) && ((const stack *)m)->decoder;
}

static tern_tensor *call(tern_module *m, tern_tensor *x, const inputs *in);

static tern_tensor *run_stack(stack *s, tern_tensor *x, const inputs *in) {
    const int scope = tern_scope_push();
    for (int i = 0; x && i < tern_module_children(s->layers); i++)
        x = tern_scope_return(scope, call(tern_module_child_at(s->layers, i, NULL), x, in));
    return s->norm ? tern_scope_return(scope, tern_forward(s->norm, x)) : x;
}

static tern_tensor *call(tern_module *m, tern_tensor *x, const inputs *in) {
    x = terni_forward_begin(m, x);
    tern_tensor *y = NULL;
    if (x) y = is_layer(m) ? run((layer *)m, x, in) : run_stack((stack *)m, x, in);
    return terni_forward_end(m, x, y);
}

static tern_tensor *stack_forward(tern_module *m, tern_tensor *x) { return run_stack((stack *)m, x, &(inputs){0}); }

tern_tensor *tern_transformer_encoder_forward(tern_module *m, tern_tensor *x, tern_attend_opts self) {
    static const char op[] = "transformer_encoder_forward";
    if (!terni_given(m, op, "m") || !terni_given(x, op, "x")) return NULL;
    if ((!is_layer(m) && !is_stack(m)) || is_decoder(m))
        return terni_null(TERN_ERR_ARGUMENT, "%s: %s is no encoder", op, m->type);
    terni_kv_begin(self.cache);
    return terni_kv_end(self.cache, call(m, x, &(inputs){NULL, self, {0}}));
}

tern_tensor *tern_transformer_decoder_forward(tern_module *m, tern_tensor *x, tern_tensor *memory,
                                              tern_attend_opts self, tern_attend_opts cross) {
    static const char op[] = "transformer_decoder_forward";
    if (!terni_given(m, op, "m") || !terni_given(x, op, "x") || !terni_given(memory, op, "memory")) return NULL;
    if (!is_decoder(m)) return terni_null(TERN_ERR_ARGUMENT, "%s: %s is no decoder", op, m->type);
    terni_kv_begin(self.cache);
    terni_kv_begin(cross.cache);
    tern_tensor *y = call(m, x, &(inputs){memory, self, cross});
    return terni_kv_end(self.cache, terni_kv_end(cross.cache, y));
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

static void layer_describe(const tern_module *m, char *buf, size_t size) {
    const layer *s = (const layer *)m;
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%" PRId64 ", heads %" PRId64 ", ff %" PRId64 ", %s%s", s->dims, s->heads, s->opts.ff,
                   s->opts.gelu ? "gelu" : "relu", s->opts.norm_first ? ", norm first" : "");
    if (s->opts.dropout > 0) terni_text_add(&t, ", dropout %g", s->opts.dropout);
}

static void stack_describe(const tern_module *m, char *buf, size_t size) {
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%d layers", tern_module_children(((const stack *)m)->layers));
}

static tern_module *attention_of(const layer *s, bool self) {
    const tern_transformer_opts *o = &s->opts;
    tern_multihead_attention_opts a = {.batch_first = o->batch_first, .no_bias = o->no_bias, .dropout = o->dropout};
    if (self) {
        a.causal = o->causal;
        a.rotary = o->rotary;
        a.kv_heads = o->kv_heads;
    }
    return tern_multihead_attention_new(s->dims, s->heads, a);
}

static tern_module *layer_new(const char *type, bool decoder, int64_t dims, int64_t heads, tern_transformer_opts o) {
    static const char *const norms[] = {"norm1", "norm2", "norm3"};
    if (!tern_ok()) return NULL;
    if (o.ff < 0 || !(o.eps >= 0))
        return terni_null(TERN_ERR_ARGUMENT, "%s: ff %" PRId64 ", eps %g; 0 or more expected", type, o.ff, o.eps);
    layer *s = tern_module_alloc(sizeof *s, type);
    if (!s) return NULL;
    if (!o.ff) o.ff = 2048;
    if (!(o.eps > 0)) o.eps = 1e-5;
    s->m.forward = decoder ? NULL : layer_forward;
    s->m.describe = layer_describe;
    s->dims = dims;
    s->heads = heads;
    s->opts = o;
    s->decoder = decoder;
    const tern_linear_opts bias = {o.no_bias};
    s->self_attn = tern_module_add(&s->m, "self_attn", attention_of(s, true));
    if (decoder) s->cross_attn = tern_module_add(&s->m, "multihead_attn", attention_of(s, false));
    s->linear1 = tern_module_add(&s->m, "linear1", tern_linear_new(dims, o.ff, bias));
    s->linear2 = tern_module_add(&s->m, "linear2", tern_linear_new(o.ff, dims, bias));
    for (int i = 0; i < (decoder ? 3 : 2); i++)
        s->norm[i] = tern_module_add(
            &s->m, norms[i],
            tern_layer_norm_new(TERN_SHAPE(dims), (tern_norm_opts){.eps = o.eps, .no_bias = o.no_bias}));
    return tern_module_done(s);
}

tern_module *tern_transformer_encoder_layer_new(int64_t dims, int64_t heads, tern_transformer_opts opts) {
    return layer_new("transformer_encoder_layer", false, dims, heads, opts);
}
tern_module *tern_transformer_decoder_layer_new(int64_t dims, int64_t heads, tern_transformer_opts opts) {
    return layer_new("transformer_decoder_layer", true, dims, heads, opts);
}

/* Takes the first and n - 1 copies of it. */
static tern_module *copies(tern_module *first, int n) {
    tern_module **all = terni_malloc((size_t)n * sizeof *all);
    if (!all) {
        tern_module_free(first);
        return NULL;
    }
    all[0] = first;
    for (int i = 1; i < n; i++) all[i] = tern_module_clone(first);
    tern_module *list = tern_list_new((void *const *)all, n);
    terni_mfree(all);
    return list;
}

static tern_module *stack_new(const char *type, bool decoder, tern_module *first, int n, tern_module *norm) {
    bool ok = terni_given(first, type, "layer");
    if (ok && n < 1) ok = terni_fail(TERN_ERR_ARGUMENT, "%s: %d layers; 1 or more expected", type, n);
    if (ok && (!is_layer(first) || is_decoder(first) != decoder))
        ok = terni_fail(TERN_ERR_ARGUMENT, "%s: %s is no layer for it", type, first->type);
    stack *s = ok ? tern_module_alloc(sizeof *s, type) : NULL;
    if (!s) {
        tern_module_free(first);
        tern_module_free(norm);
        return NULL;
    }
    s->m.forward = decoder ? NULL : stack_forward;
    s->m.describe = stack_describe;
    s->decoder = decoder;
    s->layers = tern_module_add(&s->m, "layers", copies(first, n));
    if (norm) s->norm = tern_module_add(&s->m, "norm", norm);
    return tern_module_done(s);
}

tern_module *tern_transformer_encoder_new(void *first, int n, void *norm) {
    return stack_new("transformer_encoder", false, first, n, norm);
}
tern_module *tern_transformer_decoder_new(void *first, int n, void *norm) {
    return stack_new("transformer_decoder", true, first, n, norm);
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

typedef struct transformer {
    tern_module m;
    tern_module *encoder, *decoder;
} transformer;

static void transformer_describe(const tern_module *m, char *buf, size_t size) {
    (void)m;
    if (size) buf[0] = 0;
}

tern_tensor *tern_transformer_forward(tern_module *m, tern_tensor *source, tern_tensor *target,
                                      tern_attend_opts source_self, tern_attend_opts target_self,
                                      tern_attend_opts cross) {
    static const char op[] = "transformer_forward";
    if (!terni_given(m, op, "m") || !terni_given(source, op, "source") || !terni_given(target, op, "target"))
        return NULL;
    if (m->describe != transformer_describe)
        return terni_null(TERN_ERR_ARGUMENT, "%s: %s is no transformer", op, m->type);
    const transformer *s = (const transformer *)m;
    tern_kv_cache *const caches[] = {source_self.cache, target_self.cache, cross.cache};
    for (int i = 0; i < 3; i++) terni_kv_begin(caches[i]);
    const int scope = tern_scope_push();
    source = terni_forward_begin(m, source);
    tern_tensor *memory = source ? tern_transformer_encoder_forward(s->encoder, source, source_self) : NULL;
    tern_tensor *y = memory ? tern_transformer_decoder_forward(s->decoder, target, memory, target_self, cross) : NULL;
    y = tern_scope_return(scope, terni_forward_end(m, source, y));
    for (int i = 0; i < 3; i++) (void)terni_kv_end(caches[i], y);
    return y;
}

static bool glorot(tern_module *m) {
    tern_named e;
    for (int i = 0; tern_module_each(m, i, &e); i++)
        if (e.is_param && tern_ndim(e.tensor) > 1 && !tern_init_xavier_uniform(e.tensor, 1)) return false;
    return tern_ok();
}

tern_module *tern_transformer_new(int64_t dims, int64_t heads, int encoder_layers, int decoder_layers,
                                  tern_transformer_opts opts) {
    transformer *s = TERN_MODULE_NEW(transformer);
    if (!s) return NULL;
    s->m.describe = transformer_describe;
    const tern_norm_opts norm = {.eps = opts.eps, .no_bias = opts.no_bias};
    tern_transformer_opts encoder = opts;
    encoder.causal = false;
    s->encoder =
        tern_module_add(&s->m, "encoder",
                        tern_transformer_encoder_new(tern_transformer_encoder_layer_new(dims, heads, encoder),
                                                     encoder_layers, tern_layer_norm_new(TERN_SHAPE(dims), norm)));
    s->decoder =
        tern_module_add(&s->m, "decoder",
                        tern_transformer_decoder_new(tern_transformer_decoder_layer_new(dims, heads, opts),
                                                     decoder_layers, tern_layer_norm_new(TERN_SHAPE(dims), norm)));
    if (tern_ok()) (void)glorot(&s->m);
    return tern_module_done(s);
}
