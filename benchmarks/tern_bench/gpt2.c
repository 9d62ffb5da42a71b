/* GPT-2 124M, written against the public API as a program's own module would be: names and shapes are those of the
 * published weights, attention is one op, the output layer is the token embedding. Source: Radford et al., 2019. */
#include "bench.h"

enum { MAX_LAYERS = 12 };

typedef struct gpt2_config {
    int64_t vocabulary, context, layers, heads, width;
} gpt2_config;
static const gpt2_config SMALL = {50257, 1024, MAX_LAYERS, 12, 768}, TINY = {50, 16, 2, 2, 8};

typedef struct block {
    tern_module m;
    tern_module *ln_1, *c_attn, *c_proj, *ln_2, *fc, *proj;
    int64_t heads;
} block;

typedef struct gpt2 {
    tern_module m;
    tern_tensor *wte, *wpe;
    block *h[MAX_LAYERS];
    tern_module *ln_f;
    int64_t layers;
} gpt2;

/* [B, T, W] as [B, heads, T, W / heads]. */
static tern_tensor *heads_of(tern_tensor *qkv, int which, int64_t heads) {
    const int64_t b = tern_size(qkv, 0), t = tern_size(qkv, 1), width = tern_size(qkv, 2) / 3;
    tern_tensor *x = tern_narrow(qkv, 2, which * width, width);
    return tern_transpose(tern_reshape(x, TERN_SHAPE(b, t, heads, width / heads)), 1, 2);
}

static tern_tensor *block_forward(block *s, tern_tensor *x) {
    const int64_t b = tern_size(x, 0), t = tern_size(x, 1), width = tern_size(x, 2);
    const int scope = tern_scope_push(); /* what the tape does not want is gone after the block */
    tern_tensor *qkv = tern_forward(s->c_attn, tern_forward(s->ln_1, x));
    tern_tensor *y =
        tern_scaled_dot_product_attention(heads_of(qkv, 0, s->heads), heads_of(qkv, 1, s->heads),
                                          heads_of(qkv, 2, s->heads), NULL, (tern_attention_opts){.causal = true});
    y = tern_reshape(tern_transpose(y, 1, 2), TERN_SHAPE(b, t, width));
    x = tern_add(x, tern_forward(s->c_proj, y));
    y = tern_gelu_tanh(tern_forward(s->fc, tern_forward(s->ln_2, x)));
    return tern_scope_return(scope, tern_add(x, tern_forward(s->proj, y)));
}

static block *block_new(const gpt2_config *g) {
    block *s = TERN_MODULE_NEW(block);
    if (!s) return NULL;
    const tern_shape width = TERN_SHAPE(g->width);
    s->heads = g->heads;
    s->ln_1 = tern_module_add(&s->m, "ln_1", tern_layer_norm_new(width, (tern_norm_opts){0}));
    s->c_attn = tern_module_add(&s->m, "attn_c_attn", tern_linear_new(g->width, 3 * g->width, (tern_linear_opts){0}));
    s->c_proj = tern_module_add(&s->m, "attn_c_proj", tern_linear_new(g->width, g->width, (tern_linear_opts){0}));
    s->ln_2 = tern_module_add(&s->m, "ln_2", tern_layer_norm_new(width, (tern_norm_opts){0}));
    s->fc = tern_module_add(&s->m, "mlp_c_fc", tern_linear_new(g->width, 4 * g->width, (tern_linear_opts){0}));
    s->proj = tern_module_add(&s->m, "mlp_c_proj", tern_linear_new(4 * g->width, g->width, (tern_linear_opts){0}));
    return tern_module_done(s);
}

tern_module *bench_gpt2_new(bool tiny) {
    const gpt2_config *g = tiny ? &TINY : &SMALL;
    gpt2 *s = TERN_MODULE_NEW(gpt2);
    if (!s) return NULL;
    const int scope = tern_scope_push();
    const tern_options o = {.dtype = TERN_F32};
    s->layers = g->layers;
    s->wte = tern_module_param(&s->m, "wte", tern_randn(TERN_SHAPE(g->vocabulary, g->width), 0, 0.02, o));
    s->wpe = tern_module_param(&s->m, "wpe", tern_randn(TERN_SHAPE(g->context, g->width), 0, 0.02, o));
    for (int i = 0; i < (int)g->layers; i++) {
        char name[16];
        snprintf(name, sizeof name, "h%d", i);
        s->h[i] = tern_module_add(&s->m, name, block_new(g));
    }
    s->ln_f = tern_module_add(&s->m, "ln_f", tern_layer_norm_new(TERN_SHAPE(g->width), (tern_norm_opts){0}));
    tern_scope_pop(scope);
    return tern_module_done(s);
}

tern_tensor *bench_gpt2_forward(tern_module *m, tern_tensor *tokens) {
    gpt2 *s = (gpt2 *)m;
    tern_tensor *x = tern_add(tern_embedding(s->wte, tokens, (tern_embedding_opts){0}),
                              tern_narrow(s->wpe, 0, 0, tern_size(tokens, 1)));
    for (int64_t i = 0; i < s->layers; i++) x = block_forward(s->h[i], x);
    return tern_linear(tern_forward(s->ln_f, x), s->wte, NULL);
}

int64_t bench_gpt2_vocabulary(bool tiny) { return tiny ? TINY.vocabulary : SMALL.vocabulary; }

double bench_gpt2_flops(int64_t batch, int64_t tokens) {
    const gpt2_config *g = &SMALL;
    const double w = (double)g->width, layers = (double)g->layers;
    /* Multiply-adds of a token: the weights, and attention to the half of the tokens that stand before it. */
    const double weights = layers * 12 * w * w + (double)g->vocabulary * w, attention = layers * (double)tokens * w;
    return 3 * 2 * (double)(batch * tokens) * (weights + attention);
}
