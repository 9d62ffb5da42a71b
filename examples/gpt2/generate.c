#include "generate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/interrupt.h"

typedef struct candidate {
    double p;
    int32_t id;
} candidate;

static int likelier(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    return x->p != y->p ? (x->p > y->p ? -1 : 1) : (x->id > y->id) - (x->id < y->id);
}

/* A token drawn by logits; r is the stream. */
static int32_t draw(const double *logits, candidate *c, int64_t n, sampling s, tern_random *r) {
    for (int64_t i = 0; i < n; i++) c[i] = (candidate){logits[i], (int32_t)i};
    qsort(c, (size_t)n, sizeof *c, likelier);
    if (s.temperature == 0) return c[0].id;
    const int64_t k = s.top_k > 0 && s.top_k < n ? s.top_k : n;
    double sum = 0, best = c[0].p;
    for (int64_t i = 0; i < k; i++) sum += c[i].p = exp((c[i].p - best) / s.temperature);
    double within = 0; /* the fewest that have top_p of the probability together */
    int64_t m = 0;
    while (m < k && within < s.top_p * sum) within += c[m++].p;
    double u = tern_random_double(r) * within;
    for (int64_t i = 0; i < m; i++)
        if ((u -= c[i].p) < 0) return c[i].id;
    return c[m > 0 ? m - 1 : 0].id;
}

typedef struct writer {
    gpt2 *g;
    int32_t *ids; /* the context's tokens */
    double *logits;
    candidate *candidates;
    tern_kv_cache *cache;
    int64_t n;
} writer;

/* The logits after the tokens so far, on the host. */
static bool look(writer *w, bool no_cache) {
    const int scope = tern_scope_push();
    const tern_device device = tern_device_of(tern_module_get(w->g->wte, "weight"));
    const int64_t first = no_cache ? 0 : tern_kv_cache_length(w->cache), t = w->n - first;
    tern_tensor *x = tern_empty(TERN_SHAPE(1, t), (tern_options){.dtype = TERN_I64});
    int64_t *p = tern_data(x);
    for (int64_t i = 0; p && i < t; i++) p[i] = w->ids[first + i];
    tern_tensor *y = gpt2_forward(w->g, tern_to(x, device), no_cache ? NULL : w->cache);
    y = tern_select(tern_select(y, 1, -1), 0, 0);
    const bool ok = tern_to_doubles(y, w->logits, w->g->config.vocabulary);
    tern_scope_pop(scope);
    return ok;
}

/* Makes room for another token where the context is full: its older half goes, and the cache with it. */
static void slide(writer *w) {
    if (w->n < w->g->config.context) return;
    const int64_t keep = w->g->config.context / 2;
    memmove(w->ids, w->ids + w->n - keep, (size_t)keep * sizeof *w->ids);
    w->n = keep;
    (void)tern_kv_cache_set_length(w->cache, 0);
}

static bool write_token(const tern_tokenizer *k, int32_t id) {
    size_t bytes;
    const char *p = tern_tokenizer_token(k, id, &bytes);
    if (p) fwrite(p, 1, bytes, stdout);
    return fflush(stdout) == 0;
}

static bool write_on(writer *w, const tern_tokenizer *k, int64_t n, sampling s) {
    tern_random r = tern_random_get();
    const int64_t end = tern_tokenizer_id(k, "<|endoftext|>");
    bool ok = true;
    for (int64_t i = 0; ok && i < n && !interrupt_seen(); i++) {
        ok = look(w, s.no_cache);
        if (!ok) break;
        const int32_t id = draw(w->logits, w->candidates, w->g->config.vocabulary, s, &r);
        if (id == end) break;
        ok = write_token(k, id);
        w->ids[w->n++] = id;
        slide(w);
    }
    tern_random_set(r);
    return ok;
}

bool generate(gpt2 *g, const tern_tokenizer *k, const char *prompt, int64_t n, sampling s) {
    const int64_t most = g->config.context, vocabulary = g->config.vocabulary;
    writer w = {.g = g};
    const size_t bytes = strlen(prompt);
    int32_t *all = malloc((bytes + 1) * sizeof *all);
    w.ids = malloc((size_t)(most + 1) * sizeof *w.ids);
    w.logits = malloc((size_t)vocabulary * sizeof *w.logits);
    w.candidates = malloc((size_t)vocabulary * sizeof *w.candidates);
    bool ok = (all && w.ids && w.logits && w.candidates) || tern_error_set(TERN_ERR_MEMORY, "no memory to write with");
    const int64_t count =
        ok ? tern_tokenizer_encode(k, prompt, bytes, (tern_encode_opts){.special = true}, all, (int64_t)bytes) : -1;
    ok = count > 0 || (count == 0 && tern_error_set(TERN_ERR_ARGUMENT, "the prompt is empty"));
    const bool training = g->m.training, was = tern_inference_mode(true);
    tern_module_train(&g->m, false);
    if (ok) {
        w.n = count < most ? count : most - 1; /* of a long prompt the end */
        memcpy(w.ids, all + count - w.n, (size_t)w.n * sizeof *w.ids);
        for (int64_t i = 0; i < count; i++) ok = ok && write_token(k, all[i]);
        w.cache = tern_kv_cache_new(most);
        ok = w.cache && write_on(&w, k, n, s);
        tern_kv_cache_free(w.cache);
        putchar('\n');
    }
    tern_module_train(&g->m, training);
    tern_inference_mode(was);
    free(all);
    free(w.ids);
    free(w.logits);
    free(w.candidates);
    return ok;
}
