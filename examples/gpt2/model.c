#include "model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- a block ----------------------------------------------------------------------------------------------------- */

static tern_module *group_new(const char *first, tern_module **a, int64_t in_a, int64_t out_a, const char *second,
                              tern_module **b, int64_t in_b, int64_t out_b) {
    tern_module *m = TERN_MODULE_NEW(tern_module);
    if (!m) return NULL;
    *a = tern_module_add(m, first, tern_linear_new(in_a, out_a, (tern_linear_opts){0}));
    *b = tern_module_add(m, second, tern_linear_new(in_b, out_b, (tern_linear_opts){0}));
    return tern_module_done(m);
}

static bool initialise(tern_module *linear, double std) {
    return tern_init_normal(tern_module_get(linear, "weight"), 0, std) &&
           tern_init_zeros(tern_module_get(linear, "bias"));
}

static gpt2_block *block_new(const gpt2_config *c) {
    gpt2_block *s = TERN_MODULE_NEW(gpt2_block);
    if (!s) return NULL;
    const int64_t w = c->width;
    const double std = 0.02, out_std = 0.02 / sqrt(2.0 * (double)c->layers);
    s->config = c;
    s->ln_1 = tern_module_add(&s->m, "ln_1", tern_layer_norm_new(TERN_SHAPE(w), (tern_norm_opts){0}));
    s->attn = tern_module_add(&s->m, "attn", group_new("c_attn", &s->c_attn, w, 3 * w, "c_proj", &s->c_proj, w, w));
    s->ln_2 = tern_module_add(&s->m, "ln_2", tern_layer_norm_new(TERN_SHAPE(w), (tern_norm_opts){0}));
    s->mlp = tern_module_add(&s->m, "mlp", group_new("c_fc", &s->c_fc, w, 4 * w, "c_proj", &s->mlp_proj, 4 * w, w));
    if (tern_ok() && initialise(s->c_attn, std) && initialise(s->c_fc, std) && initialise(s->c_proj, out_std))
        (void)initialise(s->mlp_proj, out_std);
    return tern_module_done(s);
}

static tern_tensor *drop(const gpt2_block *s, tern_tensor *x) {
    return s->m.training && s->config->dropout > 0 ? tern_dropout(x, s->config->dropout) : x;
}

/* qkv's part `which`, [B, T, width], as [B, heads, T, width / heads]. */
static tern_tensor *heads_of(const gpt2_block *s, tern_tensor *qkv, int which) {
    const int64_t b = tern_size(qkv, 0), t = tern_size(qkv, 1), w = s->config->width, heads = s->config->heads;
    tern_tensor *x = tern_narrow(qkv, 2, which * w, w);
    return tern_transpose(tern_reshape(x, TERN_SHAPE(b, t, heads, w / heads)), 1, 2);
}

static tern_tensor *block_forward(gpt2_block *s, tern_tensor *x, tern_kv_cache *cache) {
    const int scope = tern_scope_push();
    tern_tensor *qkv = tern_forward(s->c_attn, tern_forward(s->ln_1, x));
    tern_tensor *q = heads_of(s, qkv, 0), *k = heads_of(s, qkv, 1), *v = heads_of(s, qkv, 2);
    if (cache) k = tern_kv_cache_add(cache, s, k, v, &v);
    /* One position after others sees all of them; several start at the beginning, and see what stands before. */
    const tern_attention_opts o = {.causal = !cache || tern_size(x, 1) > 1,
                                   .dropout = s->m.training ? s->config->dropout : 0};
    tern_tensor *y = tern_scaled_dot_product_attention(q, k, v, NULL, o);
    y = tern_reshape(tern_transpose(y, 1, 2), tern_shape_get(x));
    x = tern_add(x, drop(s, tern_forward(s->c_proj, y)));
    y = tern_gelu_tanh(tern_forward(s->c_fc, tern_forward(s->ln_2, x)));
    return tern_scope_return(scope, tern_add(x, drop(s, tern_forward(s->mlp_proj, y))));
}

static tern_tensor *block_again(tern_tensor *const *x, int n, void *user) {
    (void)n;
    return block_forward(user, x[0], NULL);
}

/* ---- the network ------------------------------------------------------------------------------------------------- */

gpt2 *gpt2_new(gpt2_config config) {
    gpt2 *g = TERN_MODULE_NEW(gpt2);
    if (!g) return NULL;
    g->config = config;
    g->wte =
        tern_module_add(&g->m, "wte", tern_embedding_new(config.vocabulary, config.width, (tern_embedding_opts){0}));
    g->wpe = tern_module_add(&g->m, "wpe", tern_embedding_new(config.context, config.width, (tern_embedding_opts){0}));
    tern_module *h = tern_module_add(&g->m, "h", tern_list_new(NULL, 0));
    for (int i = 0; i < (int)config.layers; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        g->h[i] = tern_module_add(h, name, block_new(&g->config));
    }
    g->ln_f = tern_module_add(&g->m, "ln_f", tern_layer_norm_new(TERN_SHAPE(config.width), (tern_norm_opts){0}));
    if (tern_ok() && tern_init_normal(tern_module_get(g->wte, "weight"), 0, 0.02))
        (void)tern_init_normal(tern_module_get(g->wpe, "weight"), 0, 0.02);
    return tern_module_done(g);
}

tern_tensor *gpt2_forward(gpt2 *g, tern_tensor *tokens, tern_kv_cache *cache) {
    const int64_t t = tern_size(tokens, 1), first = tern_kv_cache_length(cache);
    if (tern_ok() && (first + t > g->config.context || (first > 0 && t != 1)))
        (void)tern_error_set(TERN_ERR_SHAPE, "gpt2: %lld tokens behind %lld; the context has %lld", (long long)t,
                             (long long)first, (long long)g->config.context);
    const int scope = tern_scope_push();
    tern_tensor *x =
        tern_add(tern_forward(g->wte, tokens), tern_narrow(tern_module_get(g->wpe, "weight"), 0, first, t));
    if (g->m.training && g->config.dropout > 0) x = tern_dropout(x, g->config.dropout);
    for (int i = 0; i < (int)g->config.layers; i++)
        x = g->config.recompute && g->m.training ? tern_recompute(block_again, &x, 1, g->h[i])
                                                 : block_forward(g->h[i], x, cache);
    if (cache) x = tern_narrow(x, 1, t - 1, 1);
    return tern_scope_return(scope, tern_linear(tern_forward(g->ln_f, x), tern_module_get(g->wte, "weight"), NULL));
}

double gpt2_flops_per_token(const gpt2 *g, int64_t context) {
    const double w = (double)g->config.width, layers = (double)g->config.layers;
    const double weights = 12 * layers * w * w + (double)g->config.vocabulary * w;
    return 3 * 2 * (weights + layers * w * (double)context); /* attention looks at half of the context, twice */
}

/* ---- published weights ------------------------------------------------------------------------------------------- */

/* Some files say "transformer.wte.weight", some "wte.weight". */
static const char *prefix_of(tern_archive *a) {
    return tern_archive_find(a, "transformer.wte.weight") ? "transformer." : "";
}

static tern_tensor *find(tern_archive *a, const char *name) {
    char full[100];
    snprintf(full, sizeof full, "%s%s", prefix_of(a), name);
    return tern_archive_get(a, full);
}

static bool read_config(tern_archive *a, gpt2_config *c) {
    tern_tensor *wte = find(a, "wte.weight"), *wpe = wte ? find(a, "wpe.weight") : NULL;
    if (!wpe) return false;
    c->vocabulary = tern_size(wte, 0);
    c->width = tern_size(wte, 1);
    c->context = tern_size(wpe, 0);
    c->heads = c->width % 64 ? 1 : c->width / 64;
    for (c->layers = 0; c->layers < GPT2_LAYERS_MOST; c->layers++) {
        char name[100];
        snprintf(name, sizeof name, "%sh.%lld.ln_1.weight", prefix_of(a), (long long)c->layers);
        if (!tern_archive_find(a, name)) break;
    }
    return c->layers > 0 || tern_error_set(TERN_ERR_FORMAT, "there is no tensor h.0.ln_1.weight: not GPT-2's weights");
}

bool gpt2_config_from_weights(const char *path, gpt2_config *config) {
    tern_archive *a = tern_safetensors_load(path, (tern_safetensors_opts){0});
    const bool ok = a && read_config(a, config);
    tern_archive_free(a);
    return ok;
}

/* The linear layers', which are stored [in, out]. */
static bool is_turned(const char *name) {
    const size_t n = strlen(name);
    return strstr(name, ".c_") && n > 7 && strcmp(name + n - 7, ".weight") == 0;
}

/* Takes out what is no parameter (old files hold the causal mask, and the output layer beside the embedding), and turns
 * the linear layers' weights. */
static bool adapt(tern_archive *a) {
    tern_archive_entry e;
    for (int64_t i = tern_archive_count(a) - 1; i >= 0 && tern_archive_each(a, i, &e); i--) {
        const size_t n = strlen(e.name);
        const bool mask = n > 10 && (strcmp(e.name + n - 10, ".attn.bias") == 0 || strstr(e.name, ".attn.masked_bias"));
        char name[300];
        snprintf(name, sizeof name, "%s", e.name);
        if (mask || strcmp(name, "lm_head.weight") == 0)
            tern_archive_remove(a, name);
        else if (is_turned(name) && !tern_archive_put(a, name, tern_transpose(e.tensor, 0, 1)))
            return false;
    }
    return tern_ok();
}

bool gpt2_load_weights(gpt2 *g, const char *path) {
    const int scope = tern_scope_push();
    tern_archive *a = tern_safetensors_load(path, (tern_safetensors_opts){0});
    const bool ok =
        a && adapt(a) && tern_archive_apply(a, &g->m, (tern_archive_apply_opts){.prefix = prefix_of(a)}) > 0;
    tern_archive_free(a);
    tern_scope_pop(scope);
    return ok;
}

bool gpt2_save_weights(gpt2 *g, const char *path) {
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    tern_archive *a = tern_archive_new();
    const bool ok = a && tern_archive_module(a, &g->m, "transformer.") && adapt(a) &&
                    tern_archive_set_text(a, "format", "pt") &&
                    tern_safetensors_save(path, a, (tern_safetensors_opts){0});
    tern_archive_free(a);
    tern_grad_mode(was);
    tern_scope_pop(scope);
    return ok;
}
