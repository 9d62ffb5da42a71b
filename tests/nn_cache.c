/* The key-value cache: a sequence that goes through attention in pieces gives what it gives whole, for every setting
 * and every cut; the same through stacks of layers; what is refused, what memory it takes, what happens without. */
#include "common.h"
#include "tern/layers.h"
#include "tern/transformer.h"

enum { LENGTH = 7, DIMS = 8, BATCH = 2 };

static tern_tensor *noise(tern_shape shape) { return test_random(shape, -1, 1, TERN_F64); }

static tern_module *ready(tern_module *m) {
    CHECK(m && tern_module_cast(m, TERN_F64) && tern_module_to(m, test_device()), "%s", tern_error_message());
    tern_module_train(m, false);
    return m;
}

typedef struct setting {
    const char *name;
    tern_multihead_attention_opts opts;
    bool batched, mask, keys; /* an added mask, a key_mask */
} setting;

static const setting settings[] = {
    {"causal", {.batch_first = true, .causal = true}, true, false, false},
    {"sequence first", {.causal = true}, true, false, false},
    {"no batch", {.causal = true, .rotary = true}, false, false, false},
    {"rotary", {.batch_first = true, .causal = true, .rotary = true}, true, false, false},
    {"grouped", {.kv_heads = 2, .batch_first = true, .causal = true}, true, false, false},
    {"grouped, interleaved",
     {.kv_heads = 1, .causal = true, .rotary = true, .rotary_interleaved = true},
     true,
     false,
     false},
    {"masks", {.batch_first = true, .causal = true, .no_bias = true}, true, true, true},
    {"padding", {.batch_first = true, .causal = true, .rotary = true}, true, false, true},
};
enum { SETTINGS = sizeof settings / sizeof *settings };

static const int cuts[][LENGTH + 1] = {{7}, {1, 1, 1, 1, 1, 1, 1}, {3, 1, 1, 1, 1}, {2, 3, 2}, {1, 6}, {4, 3}};
enum { CUTS = sizeof cuts / sizeof *cuts };

static int axis_of(const setting *s) { return s->batched && s->opts.batch_first ? 1 : 0; }

static tern_tensor *pieces(const setting *s, tern_module *m, tern_tensor *x, const int *cut, tern_kv_cache *cache,
                           tern_tensor *mask, tern_tensor *keys) {
    tern_tensor *part[LENGTH];
    int n = 0;
    for (int64_t at = 0; cut[n] && n < LENGTH; at += cut[n++]) {
        const int64_t end = at + cut[n];
        const tern_attend_opts o = {.mask = s->mask ? tern_slice(tern_slice(mask, 0, at, end, 1), 1, 0, end, 1) : NULL,
                                    .key_mask = s->keys ? tern_slice(keys, 1, 0, end, 1) : NULL,
                                    .cache = cache};
        CHECK(tern_kv_cache_length(cache) == at);
        part[n] = tern_multihead_attention_forward(m, tern_narrow(x, axis_of(s), at, cut[n]), NULL, NULL, o);
    }
    return tern_cat(part, n, axis_of(s));
}

TERN_TEST(nn_cache, pieces_are_the_whole) {
    const bool was = tern_grad_mode(false);
    for (int i = 0; i < SETTINGS; i++) {
        const setting *s = &settings[i];
        tern_module *m = ready(tern_multihead_attention_new(DIMS, 4, s->opts));
        tern_tensor *x = noise(!s->batched           ? TERN_SHAPE(LENGTH, DIMS)
                               : s->opts.batch_first ? TERN_SHAPE(BATCH, LENGTH, DIMS)
                                                     : TERN_SHAPE(LENGTH, BATCH, DIMS));
        tern_tensor *mask = noise(TERN_SHAPE(LENGTH, LENGTH));
        tern_tensor *keys = test_values(TERN_BOOL, TERN_SHAPE(BATCH, LENGTH), 1, 0, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1);
        const tern_attend_opts all = {.mask = s->mask ? mask : NULL, .key_mask = s->keys ? keys : NULL};
        tern_tensor *want = tern_multihead_attention_forward(m, x, NULL, NULL, all);
        for (int k = 0; k < CUTS; k++) {
            check_case("%s, cut %d", s->name, k);
            tern_kv_cache *cache = tern_kv_cache_new(k % 2 ? 2 : 0);
            CHECK_SAME(pieces(s, m, x, cuts[k], cache, mask, keys), want, ((tolerance){1e-12, 1e-12}));
            /* The same again after the last part was forgotten, and after everything. */
            CHECK(tern_kv_cache_set_length(cache, 3) && tern_kv_cache_length(cache) == 3);
            CHECK(tern_kv_cache_set_length(cache, 0));
            CHECK_SAME(pieces(s, m, x, cuts[1], cache, mask, keys), want, ((tolerance){1e-12, 1e-12}));
            CHECK_OK();
            tern_kv_cache_free(cache);
        }
        tern_module_free(m);
    }
    tern_grad_mode(was);
}

/* One cache for a whole decoder: its own keys grow, those of memory are computed once. */
static void through_a_decoder(tern_transformer_opts o, bool stack) {
    tern_module *m = tern_transformer_decoder_layer_new(DIMS, 2, o);
    if (stack) m = tern_transformer_decoder_new(m, 3, tern_layer_norm_new(TERN_SHAPE(DIMS), (tern_norm_opts){0}));
    m = ready(m);
    tern_tensor *x = noise(TERN_SHAPE(BATCH, LENGTH, DIMS)), *memory = noise(TERN_SHAPE(BATCH, 5, DIMS));
    const tern_attend_opts none = {0};
    tern_tensor *want = tern_transformer_decoder_forward(m, x, memory, none, none), *part[LENGTH];
    for (int k = 0; k < CUTS; k++) {
        int n = 0;
        tern_kv_cache *cache = tern_kv_cache_new(1);
        const tern_attend_opts with = {.cache = cache};
        for (int64_t at = 0; cuts[k][n] && n < LENGTH; at += cuts[k][n++]) {
            /* After the first time memory is not looked at. */
            tern_tensor *given =
                n ? tern_full(TERN_SHAPE(BATCH, 5, DIMS), (double)NAN, (tern_options){TERN_F64, test_device()})
                  : memory;
            part[n] = tern_transformer_decoder_forward(m, tern_narrow(x, 1, at, cuts[k][n]), given, with, with);
        }
        CHECK_SAME(tern_cat(part, n, 1), want, ((tolerance){1e-12, 1e-12}));
        CHECK(tern_kv_cache_length(cache) == LENGTH);
        EXPECT_ERROR(tern_transformer_decoder_forward(m, x, tern_narrow(memory, 1, 0, 4), with, with), TERN_ERR_SHAPE,
                     "4 keys where the cache has 5");
        /* Emptied, it takes another memory. */
        CHECK(tern_kv_cache_set_length(cache, 0));
        tern_tensor *other = noise(TERN_SHAPE(BATCH, 3, DIMS));
        CHECK_SAME(tern_transformer_decoder_forward(m, x, other, with, with),
                   tern_transformer_decoder_forward(m, x, other, none, none), ((tolerance){1e-12, 1e-12}));
        tern_kv_cache_free(cache);
    }
    tern_module_free(m);
}

TERN_TEST(nn_cache, decoders) {
    const bool was = tern_grad_mode(false);
    for (int i = 0; i < 4; i++) {
        check_case("decoder %d", i);
        through_a_decoder(
            (tern_transformer_opts){
                .ff = 5, .causal = true, .batch_first = true, .rotary = i % 2, .norm_first = i > 1, .kv_heads = i % 2},
            i > 0);
    }
    tern_grad_mode(was);
}

/* A causal encoder, as language models have it. */
TERN_TEST(nn_cache, encoders) {
    const bool was = tern_grad_mode(false);
    const tern_transformer_opts o = {.ff = 5, .causal = true, .rotary = true};
    tern_module *m = ready(tern_transformer_encoder_new(tern_transformer_encoder_layer_new(DIMS, 2, o), 2, NULL));
    tern_tensor *x = noise(TERN_SHAPE(LENGTH, BATCH, DIMS)), *part[LENGTH];
    tern_kv_cache *cache = tern_kv_cache_new(0);
    for (int i = 0; i < LENGTH; i++)
        part[i] = tern_transformer_encoder_forward(m, tern_narrow(x, 0, i, 1), (tern_attend_opts){.cache = cache});
    CHECK_SAME(tern_cat(part, LENGTH, 0), tern_forward(m, x), ((tolerance){1e-12, 1e-12}));
    tern_kv_cache_free(cache);
    tern_module_free(m);
    tern_grad_mode(was);
}

/* Attention to others that is causal and turned by positions goes on where it was. */
TERN_TEST(nn_cache, positions_of_queries) {
    const bool was = tern_grad_mode(false);
    tern_module *m = ready(tern_multihead_attention_new(
        DIMS, 2, (tern_multihead_attention_opts){.batch_first = true, .causal = true, .rotary = true}));
    tern_tensor *x = noise(TERN_SHAPE(BATCH, 4, DIMS)), *y = noise(TERN_SHAPE(BATCH, 6, DIMS)), *part[4];
    tern_tensor *want = tern_multihead_attention_forward(m, x, y, NULL, (tern_attend_opts){0});
    tern_kv_cache *cache = tern_kv_cache_new(0);
    for (int i = 0; i < 4; i++)
        part[i] =
            tern_multihead_attention_forward(m, tern_narrow(x, 1, i, 1), y, NULL, (tern_attend_opts){.cache = cache});
    CHECK_SAME(tern_cat(part, 4, 1), want, ((tolerance){1e-12, 1e-12}));
    EXPECT_ERROR(tern_multihead_attention_forward(m, x, NULL, NULL, (tern_attend_opts){.cache = cache}),
                 TERN_ERR_ARGUMENT, "keys of another sequence");
    tern_grad_mode(true); /* keys that are kept have no gradients either */
    EXPECT_ERROR(tern_multihead_attention_forward(m, x, y, NULL, (tern_attend_opts){.cache = cache}),
                 TERN_ERR_UNSUPPORTED, "gradients do not pass a cache");
    tern_grad_mode(false);
    tern_kv_cache_free(cache);
    cache = tern_kv_cache_new(0);
    (void)tern_multihead_attention_forward(m, x, NULL, NULL, (tern_attend_opts){.cache = cache});
    EXPECT_ERROR(tern_multihead_attention_forward(m, x, y, NULL, (tern_attend_opts){.cache = cache}), TERN_ERR_ARGUMENT,
                 "keys of the queries' sequence");
    tern_kv_cache_free(cache);
    tern_module_free(m);
    tern_grad_mode(was);
}

/* A program's own attention; views of the same buffers until they are too small. */
TERN_TEST(nn_cache, added_by_hand) {
    const bool was = tern_grad_mode(false);
    tern_kv_cache *cache = tern_kv_cache_new(3);
    tern_tensor *k = noise(TERN_SHAPE(2, 8, 4)), *v = noise(TERN_SHAPE(2, 8, 6)), *values[8], *keys[8];
    int a = 0, b = 0; /* their addresses tell two attentions apart */
    for (int i = 0; i < 8; i++) {
        keys[i] = tern_kv_cache_add(cache, &a, tern_narrow(k, 1, i, 1), tern_narrow(v, 1, i, 1), &values[i]);
        CHECK_SAME(keys[i], tern_narrow(k, 1, 0, i + 1), ((tolerance){0, 0}));
        CHECK_SAME(values[i], tern_narrow(v, 1, 0, i + 1), ((tolerance){0, 0}));
        if (test_device().type != TERN_CPU || !i) continue;
        CHECK((tern_data(keys[i]) == tern_data(keys[i - 1])) == (i != 3 && i != 6)); /* room for 3, 6, 12 */
    }
    CHECK(tern_kv_cache_length(cache) == 8);
    CHECK(tern_kv_cache_add(cache, &b, k, v, &values[0]) && tern_kv_cache_length(cache) == 8);
    /* Where one attention is behind, the others can be brought back to it. */
    CHECK(tern_kv_cache_add(cache, &a, k, v, &values[0]) && tern_kv_cache_length(cache) == 8);
    CHECK(tern_kv_cache_set_length(cache, 8) && tern_kv_cache_set_length(cache, 5));
    keys[0] = tern_kv_cache_add(cache, &a, tern_narrow(k, 1, 5, 3), tern_narrow(v, 1, 5, 3), &values[0]);
    CHECK_SAME(keys[0], k, ((tolerance){0, 0}));
    tern_kv_cache_free(cache);
    tern_grad_mode(was);
}

TERN_TEST(nn_cache, refuses) {
    tern_kv_cache *cache = tern_kv_cache_new(2);
    tern_tensor *k = noise(TERN_SHAPE(2, 3, 4)), *out;
    int a = 0;
    EXPECT_ERROR(tern_kv_cache_new(-1) ? k : NULL, TERN_ERR_ARGUMENT, "capacity -1");
    EXPECT_ERROR(tern_kv_cache_add(cache, &a, k, k, &out), TERN_ERR_UNSUPPORTED, "gradients do not pass a cache");
    tern_module *m = ready(tern_multihead_attention_new(4, 2, (tern_multihead_attention_opts){.batch_first = true}));
    const tern_attend_opts with = {.cache = cache};
    EXPECT_ERROR(tern_multihead_attention_forward(m, k, NULL, NULL, with), TERN_ERR_UNSUPPORTED, "gradients");
    EXPECT_ERROR(tern_multihead_attention_forward(m, k, tern_clone(k), NULL, with), TERN_ERR_UNSUPPORTED, "gradients");
    const bool was = tern_grad_mode(false);
    EXPECT_ERROR(tern_kv_cache_add(NULL, &a, k, k, &out), TERN_ERR_ARGUMENT, "c is NULL");
    EXPECT_ERROR(tern_kv_cache_add(cache, &a, NULL, k, &out), TERN_ERR_ARGUMENT, "k is NULL");
    EXPECT_ERROR(tern_kv_cache_add(cache, &a, k, k, NULL), TERN_ERR_ARGUMENT, "values is NULL");
    EXPECT_ERROR(tern_kv_cache_add(cache, &a, k, tern_narrow(k, 1, 0, 2), &out), TERN_ERR_SHAPE, "as many positions");
    CHECK(tern_kv_cache_length(cache) == 0 && tern_kv_cache_length(NULL) == 0);
    CHECK(tern_kv_cache_add(cache, &a, k, k, &out) != NULL);
    EXPECT_ERROR(tern_kv_cache_add(cache, &a, tern_narrow(k, 0, 0, 1), tern_narrow(k, 0, 0, 1), &out), TERN_ERR_SHAPE,
                 "k f64 [1, 3, 4] behind f64 [2, -1, 4]");
    EXPECT_ERROR(tern_kv_cache_add(cache, &a, tern_cast(k, TERN_F32), tern_cast(k, TERN_F32), &out), TERN_ERR_SHAPE,
                 "k f32 [2, 3, 4] behind f64");
    EXPECT_ERROR(tern_kv_cache_set_length(cache, 4) ? k : NULL, TERN_ERR_ARGUMENT, "0 to the 3 there are");
    EXPECT_ERROR(tern_kv_cache_set_length(cache, -1) ? k : NULL, TERN_ERR_ARGUMENT, "-1");
    EXPECT_ERROR(tern_kv_cache_set_length(NULL, 0) ? k : NULL, TERN_ERR_ARGUMENT, "c is NULL");
    CHECK(tern_kv_cache_length(cache) == 3);
    tern_grad_mode(was);
    tern_module_free(m);
    tern_kv_cache_free(cache);
    tern_kv_cache_free(NULL);
}

static tern_tensor *output_fails(tern_module *m, tern_tensor *t, void *user) {
    if (*(bool *)user) tern_error_set(TERN_ERR_ARGUMENT, "%s: no", m->type);
    return *(bool *)user ? NULL : t;
}

/* Calls that fail, early and late, on an empty cache and behind other positions, leave it as it was, and what comes
 * after them is what comes without them. */
TERN_TEST(nn_cache, failed_forwards_leave_it_as_it_was) {
    const bool was = tern_grad_mode(false);
    bool fails = false;
    const tern_transformer_opts o = {.ff = 5, .causal = true, .norm_first = true};
    tern_module *m = ready(tern_transformer_decoder_new(tern_transformer_decoder_layer_new(DIMS, 2, o), 2, NULL));
    tern_module *second = tern_module_child_at(tern_module_child(m, "layers"), 1, NULL);
    CHECK(tern_module_hook_add(second, TERN_HOOK_OUTPUT, output_fails, &fails) >= 0);
    tern_tensor *x = noise(TERN_SHAPE(5, BATCH, DIMS)), *memory = noise(TERN_SHAPE(4, BATCH, DIMS)), *part[2];
    tern_tensor *narrow = noise(TERN_SHAPE(4, BATCH, DIMS - 2)), *mask = noise(TERN_SHAPE(3, 9));
    tern_tensor *want = tern_transformer_decoder_forward(m, x, memory, (tern_attend_opts){0}, (tern_attend_opts){0});
    tern_kv_cache *cache = tern_kv_cache_new(0);
    const tern_attend_opts with = {.cache = cache}, masked = {.cache = cache, .mask = mask};
    for (int i = 0; i < 2; i++) {
        tern_tensor *piece = tern_narrow(x, 0, i ? 2 : 0, i ? 3 : 2);
        check_case("piece %d", i);
        EXPECT_ERROR(tern_transformer_decoder_forward(m, piece, i ? tern_narrow(memory, 0, 0, 1) : narrow, with, with),
                     TERN_ERR_SHAPE, i ? "1 keys where the cache has 4" : "key [4, 2, 6]");
        CHECK(tern_kv_cache_length(cache) == (i ? 2 : 0));
        EXPECT_ERROR(tern_transformer_decoder_forward(m, piece, memory, masked, with), TERN_ERR_SHAPE, "9");
        CHECK(tern_kv_cache_length(cache) == (i ? 2 : 0));
        fails = true;
        EXPECT_ERROR(tern_transformer_decoder_forward(m, piece, memory, with, with), TERN_ERR_ARGUMENT, "layer: no");
        fails = false;
        CHECK(tern_kv_cache_length(cache) == (i ? 2 : 0) && tern_kv_cache_set_length(cache, i ? 2 : 0));
        part[i] = tern_transformer_decoder_forward(m, piece, memory, with, with);
    }
    CHECK_SAME(tern_cat(part, 2, 0), want, ((tolerance){1e-12, 1e-12}));
    tern_kv_cache_free(cache);
    tern_module_free(m);
    tern_grad_mode(was);
}

/* The encoder's positions go too when the decoder fails. */
TERN_TEST(nn_cache, failed_transformers_leave_it_as_it_was) {
    const bool was = tern_grad_mode(false);
    tern_module *m = ready(tern_transformer_new(DIMS, 2, 1, 1, (tern_transformer_opts){.ff = 5}));
    tern_tensor *x = noise(TERN_SHAPE(3, 1, DIMS)), *mask = noise(TERN_SHAPE(3, 9));
    tern_kv_cache *source = tern_kv_cache_new(0), *target = tern_kv_cache_new(0);
    const tern_attend_opts a = {.cache = source}, b = {.cache = target}, bad = {.mask = mask, .cache = target};
    EXPECT_ERROR(tern_transformer_forward(m, x, x, a, b, bad), TERN_ERR_SHAPE, "9");
    CHECK(tern_kv_cache_length(source) == 0 && tern_kv_cache_length(target) == 0);
    const tern_attend_opts none = {0};
    CHECK_SAME(tern_transformer_forward(m, x, x, a, b, b), tern_transformer_forward(m, x, x, none, none, none),
               ((tolerance){1e-12, 1e-12}));
    tern_kv_cache_free(source);
    tern_kv_cache_free(target);
    tern_module_free(m);
    tern_grad_mode(was);
}

/* Filled in inference mode, also beyond its room, it goes on outside, and the other way round. */
TERN_TEST(nn_cache, in_and_out_of_inference_mode) {
    const bool was = tern_grad_mode(false);
    tern_module *m = ready(tern_transformer_decoder_layer_new(
        DIMS, 2, (tern_transformer_opts){.ff = 5, .causal = true, .batch_first = true}));
    tern_tensor *x = noise(TERN_SHAPE(BATCH, LENGTH, DIMS)), *memory = noise(TERN_SHAPE(BATCH, 5, DIMS));
    tern_tensor *want = tern_transformer_decoder_forward(m, x, memory, (tern_attend_opts){0}, (tern_attend_opts){0});
    for (int first = 0; first < 2; first++) {
        tern_tensor *part[LENGTH];
        tern_kv_cache *cache = tern_kv_cache_new(1);
        const tern_attend_opts with = {.cache = cache};
        for (int i = 0; i < LENGTH; i++) {
            const bool inference = tern_inference_mode(i % 2 == first);
            part[i] = tern_transformer_decoder_forward(m, tern_narrow(x, 1, i, 1), memory, with, with);
            tern_inference_mode(inference);
        }
        CHECK_SAME(tern_cat(part, LENGTH, 1), want, ((tolerance){1e-12, 1e-12}));
        tern_kv_cache_free(cache);
    }
    tern_module_free(m);
    tern_grad_mode(was);
}

/* Every request for memory fails once: an error, no leak, and the cache is as it was before the call that failed. */
TERN_TEST(nn_cache, without_memory) {
    if (test_device().type != TERN_CPU) return; /* a device's allocator tries again */
    const bool was = tern_grad_mode(false);
    tern_module *m =
        ready(tern_transformer_decoder_layer_new(DIMS, 2, (tern_transformer_opts){.ff = 3, .causal = true}));
    tern_tensor *x = noise(TERN_SHAPE(5, 1, DIMS)), *memory = noise(TERN_SHAPE(2, 1, DIMS));
    tern_tensor *want = tern_transformer_decoder_forward(m, x, memory, (tern_attend_opts){0}, (tern_attend_opts){0});
    for (int64_t n = 1; n < 1000; n++) {
        check_case("request %" PRId64, n);
        const int scope = tern_scope_push();
        tern_memory_fail_at(n);
        tern_kv_cache *cache = tern_kv_cache_new(1);
        const tern_attend_opts with = {.cache = cache};
        tern_tensor *y[2] = {NULL, NULL};
        for (int i = 0; i < 2; i++) /* the second does nothing after an error */
            y[i] = tern_transformer_decoder_forward(m, tern_narrow(x, 0, i ? 2 : 0, i ? 3 : 2), memory, with, with);
        const bool done = tern_memory_requests() < n;
        tern_memory_fail_at(0);
        CHECK(done ? tern_ok() : tern_error_code() == TERN_ERR_MEMORY, "%s", tern_error_message());
        tern_error_clear();
        if (cache) { /* where it broke off it goes on */
            CHECK(tern_kv_cache_length(cache) == (done ? 5 : y[0] ? 2 : 0));
            for (int i = 0; i < 2; i++)
                if (!y[i])
                    y[i] = tern_transformer_decoder_forward(m, tern_narrow(x, 0, i ? 2 : 0, i ? 3 : 2), memory, with,
                                                            with);
            CHECK_SAME(tern_cat(y, 2, 0), want, ((tolerance){1e-12, 1e-12}));
        }
        tern_kv_cache_free(cache);
        tern_scope_pop(scope);
        if (done) break;
    }
    tern_module_free(m);
    tern_grad_mode(was);
}
