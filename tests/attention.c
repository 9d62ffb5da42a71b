/* Attention beyond one block of rows and keys: the fused kernels, forward and backward, against the same in public ops,
 * with every kind of mask and with dropout; that no L x S array is held; where the result lies in memory. */
#include "common.h"

typedef struct sizes {
    const char *what;
    int64_t b, h, k, l, s, e, v;
    bool causal, grouped_mask;
    enum { NO_MASK, BOOL_MASK, ADDED, ADDED_ROW } mask;
    double dropout;
} sizes;

static tern_tensor *weights_of(tern_tensor *s, tern_tensor *mask, const sizes *z) {
    const tern_options whole = {TERN_I64, test_device()};
    tern_tensor *row = tern_unsqueeze(tern_arange(0, (double)z->l, whole), -1);
    if (z->causal) s = tern_masked_fill(s, tern_lt(row, tern_arange(0, (double)z->s, whole)), -(double)INFINITY);
    if (z->mask == BOOL_MASK) s = tern_masked_fill(s, tern_logical_not(mask), -(double)INFINITY);
    if (z->mask == ADDED || z->mask == ADDED_ROW) s = tern_add(s, mask);
    return tern_softmax(s, -1);
}

/* In public ops, with every head's own k and v. */
static tern_tensor *composed(tern_tensor *const *x, const sizes *z) {
    tern_tensor *wide[3] = {x[0]};
    for (int i = 1; i < 3; i++) {
        const int64_t last = i == 1 ? z->e : z->v;
        tern_tensor *t = tern_expand(tern_unsqueeze(x[i], 2), TERN_SHAPE(z->b, z->k, z->h / z->k, z->s, last));
        wide[i] = tern_reshape(t, TERN_SHAPE(z->b, z->h, z->s, last));
    }
    tern_tensor *s = tern_mul_scalar(tern_matmul(wide[0], tern_transpose(wide[1], -2, -1)), 1 / sqrt((double)z->e));
    tern_tensor *p = weights_of(s, x[3], z);
    return tern_matmul(z->dropout > 0 ? tern_dropout(p, z->dropout) : p, wide[2]);
}
static tern_tensor *fused(tern_tensor *const *x, const sizes *z) {
    const tern_attention_opts o = {.causal = z->causal, .dropout = z->dropout};
    return tern_scaled_dot_product_attention(x[0], x[1], x[2], x[3], o);
}

static tern_tensor *mask_of(const sizes *z) {
    if (z->mask == NO_MASK) return NULL;
    const int64_t heads = z->grouped_mask ? z->h : 1, rows = z->mask == ADDED_ROW ? 1 : z->l;
    tern_tensor *m = test_random(TERN_SHAPE(heads, rows, z->s), -1, 1, TERN_F64);
    if (z->mask != BOOL_MASK) return tern_require_grad(m, true);
    /* every row keeps its first key, which causal leaves it too */
    tern_tensor *first = tern_lt(tern_arange(0, (double)z->s, (tern_options){TERN_I64, test_device()}),
                                 tern_scalar(1, (tern_options){TERN_I64, test_device()}));
    return tern_logical_or(tern_gt(m, tern_zeros_like(m)), first);
}

static void compare(const sizes *z) {
    const tolerance close = {1e-11, 1e-11};
    const int scope = tern_scope_push();
    check_case("%s", z->what);
    tern_tensor *x[4] = {test_random(TERN_SHAPE(z->b, z->h, z->l, z->e), -2, 2, TERN_F64),
                         test_random(TERN_SHAPE(z->b, z->k, z->s, z->e), -2, 2, TERN_F64),
                         test_random(TERN_SHAPE(z->b, z->k, z->s, z->v), -2, 2, TERN_F64), mask_of(z)};
    for (int i = 0; i < 3; i++) x[i] = tern_require_grad(x[i], true);
    const int n = x[3] && z->mask != BOOL_MASK ? 4 : 3;
    tern_tensor *gy = test_random(TERN_SHAPE(z->b, z->h, z->l, z->v), -1, 1, TERN_F64);
    tern_tensor *got[4] = {NULL}, *want[4] = {NULL}, *twice[4] = {NULL};
    tern_seed(5);
    tern_tensor *y = fused(x, z);
    const uint64_t drawn = tern_random_get().position;
    tern_seed(5);
    tern_tensor *reference = composed(x, z);
    CHECK(tern_random_get().position == drawn);
    if (CHECK(y && reference, "%s", tern_error_message())) {
        CHECK_SAME(y, reference, close);
        CHECK(tern_grad(y, x, n, gy, (tern_backward_opts){.retain_graph = true}, got));
        CHECK(tern_grad(reference, x, n, gy, (tern_backward_opts){0}, want));
        CHECK(tern_grad(y, x, n, gy, (tern_backward_opts){.create_graph = true}, twice)); /* the rule in public ops */
        for (int i = 0; i < n && tern_ok(); i++) {
            check_case("%s, gradient %d", z->what, i);
            CHECK_SAME(got[i], want[i], close);
            CHECK_SAME(twice[i], want[i], close);
        }
    }
    CHECK_OK();
    tern_scope_pop(scope);
}

TERN_TEST(attention, blocks) {
    static const sizes cases[] = {
        {"plain", 1, 2, 2, 150, 300, 9, 5, .mask = NO_MASK},
        {"few heads, chunks of keys", 1, 1, 1, 40, 530, 3, 3, .mask = NO_MASK},
        {"causal, grouped", 2, 4, 2, 140, 140, 5, 7, .causal = true},
        {"causal, more keys", 1, 2, 1, 130, 270, 3, 4, .causal = true},
        {"causal, fewer keys", 1, 1, 1, 270, 70, 3, 4, .causal = true},
        {"bool mask", 1, 2, 1, 65, 259, 4, 3, .mask = BOOL_MASK},
        {"bool mask of heads, causal", 1, 3, 3, 66, 66, 4, 3, .causal = true, .grouped_mask = true, .mask = BOOL_MASK},
        {"added mask, shared by heads", 2, 2, 1, 129, 131, 4, 3, .mask = ADDED},
        {"added mask of heads", 2, 2, 2, 33, 65, 4, 3, .mask = ADDED, .grouped_mask = true, .causal = true},
        {"added mask of keys", 2, 2, 2, 33, 65, 4, 3, .mask = ADDED_ROW},
        {"dropout", 2, 2, 1, 67, 261, 5, 3, .dropout = 0.3},
        {"dropout, causal, mask", 1, 2, 2, 131, 131, 5, 3, .dropout = 0.6, .causal = true, .mask = ADDED},
        {"wide", 1, 2, 1, 35, 37, 70, 150, .causal = true},
        {"wide q", 1, 1, 1, 33, 34, 160, 1, .mask = NO_MASK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) compare(&cases[i]);
    check_case("%s", "");
}

/* f16 and bf16, which libraries take: close to the same in f64, forward and backward, whichever of q, k and v want a
 * gradient and however they lie in memory. */
static void compare_halves(const sizes *z, tern_dtype dtype, unsigned wants, bool turned) {
    const tolerance close = dtype == TERN_F16 ? (tolerance){1e-2, 4e-3} : (tolerance){4e-2, 3e-2};
    const int scope = tern_scope_push();
    check_case("%s, %s, gradients %u%s", z->what, tern_dtype_name(dtype), wants, turned ? ", turned" : "");
    tern_tensor *low[4] = {NULL}, *high[4] = {NULL}, *gl[3], *gh[3], *ask_low[3], *ask_high[3];
    int n = 0;
    for (int i = 0; i < 3; i++) {
        const int64_t heads = i ? z->k : z->h, rows = i ? z->s : z->l, columns = i == 2 ? z->v : z->e;
        tern_tensor *t = turned
                             ? tern_transpose(test_random(TERN_SHAPE(z->b, rows, heads, columns), -1, 1, dtype), 1, 2)
                             : test_random(TERN_SHAPE(z->b, heads, rows, columns), -1, 1, dtype);
        low[i] = tern_require_grad(t, wants >> i & 1);
        high[i] = tern_require_grad(tern_cast(tern_detach(t), TERN_F64), wants >> i & 1);
        if (!(wants >> i & 1)) continue;
        ask_low[n] = low[i];
        ask_high[n++] = high[i];
    }
    tern_tensor *gy = test_random(TERN_SHAPE(z->b, z->h, z->l, z->v), -1, 1, dtype);
    tern_tensor *y = fused(low, z), *want = composed(high, z);
    if (CHECK(y && want, "%s", tern_error_message())) {
        CHECK_SAME(tern_cast(y, TERN_F64), want, close);
        CHECK(tern_grad(y, ask_low, n, gy, (tern_backward_opts){0}, gl));
        CHECK(tern_grad(want, ask_high, n, tern_cast(gy, TERN_F64), (tern_backward_opts){0}, gh));
        for (int i = 0; i < n && tern_ok(); i++) CHECK_SAME(tern_cast(gl[i], TERN_F64), gh[i], close);
    }
    CHECK_OK();
    tern_scope_pop(scope);
}

TERN_TEST(attention, halves) {
    static const sizes cases[] = {
        {"plain", 2, 2, 2, 9, 17, 16, 8, .mask = NO_MASK},
        {"causal, grouped", 2, 4, 2, 19, 19, 8, 16, .causal = true},
        {"causal, more keys", 1, 2, 1, 5, 21, 8, 8, .causal = true},
        {"causal, fewer keys", 1, 1, 1, 18, 6, 8, 8, .causal = true},
        {"one row", 1, 3, 1, 1, 12, 8, 8, .mask = NO_MASK},
        {"odd sizes", 2, 2, 2, 7, 5, 5, 3, .causal = true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int turned = 0; turned < 2; turned++) {
            compare_halves(&cases[i], TERN_F16, 7, turned);
            compare_halves(&cases[i], TERN_BF16, 7, !turned);
        }
    for (unsigned wants = 1; wants < 7; wants++) compare_halves(&cases[1], TERN_F16, wants, false);
    check_case("%s", "");
}

/* Keys and values that all batches share, without a copy. */
TERN_TEST(attention, halves_expanded) {
    const tern_shape whole = TERN_SHAPE(3, 2, 6, 8);
    tern_tensor *q = test_random(whole, -1, 1, TERN_F16), *k = test_random(TERN_SHAPE(1, 2, 6, 8), -1, 1, TERN_F16);
    tern_tensor *wide = tern_expand(k, whole);
    tern_tensor *y = tern_scaled_dot_product_attention(q, wide, wide, NULL, (tern_attention_opts){.causal = true});
    tern_tensor *kept = tern_contiguous(wide);
    tern_tensor *z = tern_scaled_dot_product_attention(q, kept, kept, NULL, (tern_attention_opts){.causal = true});
    CHECK_SAME(y, z, ((tolerance){2e-3, 1e-3}));
}

/* At 512 x 512 one matrix of weights would take 1 MiB a head. */
TERN_TEST(attention, holds_no_matrix) {
    if (test_device().type != TERN_CPU) return; /* its kernels' scratch is counted there */
    enum { H = 8, L = 512, E = 4 };
    tern_tensor *x[3], *g[3];
    for (int i = 0; i < 3; i++) x[i] = tern_require_grad(test_random(TERN_SHAPE(H, L, E), -1, 1, TERN_F32), true);
    const int64_t threads = tern_threads() > 4 ? 4 : tern_threads();
    tern_set_threads((int)threads);
    tern_tensor *gy = tern_ones(TERN_SHAPE(H, L, E), (tern_options){TERN_F32, test_device()});
    tern_memory_reset_peak();
    const int64_t live = tern_memory_device(test_device()).live, host = tern_memory_host().live;
    tern_tensor *y = tern_scaled_dot_product_attention(x[0], x[1], x[2], NULL, (tern_attention_opts){.causal = true});
    CHECK(tern_grad(y, x, 3, gy, (tern_backward_opts){0}, g));
    const int64_t used = tern_memory_device(test_device()).peak - live, beside = tern_memory_host().peak - host;
    CHECK(used + beside < H * L * L * (int64_t)sizeof(float) / 4 + threads * 300000,
          "%" PRId64 " bytes of tensors, %" PRId64 " beside them", used, beside);
}

TERN_TEST(attention, lies_as_its_inputs_do) {
    tern_tensor *x = tern_transpose(test_random(TERN_SHAPE(2, 5, 3, 4), -1, 1, TERN_F32), 1, 2);
    tern_tensor *y = tern_scaled_dot_product_attention(x, x, x, NULL, (tern_attention_opts){0});
    CHECK_SHAPE(y, 2, 3, 5, 4);
    CHECK(tern_is_contiguous(tern_transpose(y, 1, 2)));
    tern_tensor *plain = tern_contiguous(x);
    tern_tensor *z = tern_scaled_dot_product_attention(plain, x, x, NULL, (tern_attention_opts){0});
    CHECK(tern_is_contiguous(z));
    CHECK_SAME(y, z, ((tolerance){1e-6, 1e-6}));
}

/* A row that the added mask leaves no key is 0, and so are its gradients. */
TERN_TEST(attention, rows_without_keys) {
    enum { L = 70, S = 300 };
    double values[L];
    for (int i = 0; i < L; i++) values[i] = i % 3 ? 0 : -(double)INFINITY;
    tern_tensor *mask = tern_require_grad(test_tensor(values, TERN_SHAPE(L, 1), TERN_F32), true);
    tern_tensor *x[4] = {NULL, NULL, NULL, mask}, *g[4];
    for (int i = 0; i < 3; i++) x[i] = tern_require_grad(test_random(TERN_SHAPE(i ? S : L, 6), -1, 1, TERN_F32), true);
    tern_tensor *y = tern_scaled_dot_product_attention(x[0], x[1], x[2], mask, (tern_attention_opts){0});
    if (!CHECK(y && tern_grad(y, x, 4, tern_ones_like(y), (tern_backward_opts){0}, g))) return;
    double row[6];
    for (int i = 0; i < L; i++)
        for (int which = 0; which < 2; which++) {
            CHECK(tern_to_doubles(tern_select(which ? g[0] : y, 0, i), row, 6));
            bool zero = true, finite = true;
            for (int t = 0; t < 6; t++) {
                zero = zero && row[t] == 0;
                finite = finite && isfinite(row[t]);
            }
            CHECK(finite && zero == (i % 3 == 0), "row %d of %s", i, which ? "gq" : "y");
        }
    CHECK(tern_item(tern_all(tern_isfinite(g[3]), NULL, 0, false)) == 1);
}
