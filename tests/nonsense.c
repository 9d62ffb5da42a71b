/* Random nonsense thrown at every public function of core: wrong ranks, shapes, dtypes, sizes that overflow, indices
 * outside, NULL, NaN. Nothing may crash; what fails says so with its own name; inputs stay as they were; nothing leaks.
 * The calls are written by tests/nonsense.py. Large requests fail, as if memory had run out: by a limit of the process,
 * with AddressSanitizer by ASAN_OPTIONS=max_allocation_size_mb=64, which ctest sets. TERN_TEST_NONSENSE sets the number
 * of calls a test (10,000). */
#include <sys/resource.h>
#include <unistd.h>

#include "common.h"

enum { POOL = 48, CALLS = 10000, SECONDS = 60 };

typedef struct source {
    uint64_t state;
    tern_tensor *pool[POOL];
    void *mine[64]; /* arrays of the call, exactly as long as the call is told */
    int n_mine;
    int used[64]; /* pool entries that the call was given */
    int n_used;
} source;

typedef struct target {
    const char *name;
    tern_tensor *(*call)(source *s);
    bool changes; /* its arguments */
} target;

static uint64_t next(source *s) { /* SplitMix64 */
    uint64_t z = s->state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}
static int below(source *s, int n) { return (int)(next(s) % (uint64_t)n); }

static bool any_bool(source *s) { return next(s) & 1; }
static int64_t any_i64(source *s) {
    static const int64_t odd[] = {INT64_MAX, INT64_MIN, (int64_t)1 << 40, -((int64_t)1 << 40),
                                  INT32_MAX, INT32_MIN, 1 << 20};
    const int k = below(s, 40);
    if (k < 7) return odd[k];
    return k < 14 ? below(s, 12) - 6 : below(s, 4);
}
static int any_int(source *s) {
    const int k = below(s, 40);
    return k == 0 ? INT32_MAX : k == 1 ? INT32_MIN : k < 20 ? below(s, 10) - 5 : below(s, 3);
}
static int any_enum(source *s, int n) { return below(s, 12) ? below(s, n) : below(s, 2) ? -1 : n + below(s, 3); }
static double any_double(source *s) {
    static const double v[] = {0,    -0.0, 1,   -1,   0.5,  2,     -2,  3,   1e-300,           1e300,
                               -1e9, 1e-5, 0.1, 1e18, 1e19, -1e19, 0.9, 100, (double)INFINITY, -(double)INFINITY};
    const int k = below(s, 22);
    return k < 20 ? v[k] : (double)NAN;
}
static tern_shape any_shape(source *s) {
    tern_shape r = {.ndim = below(s, 5)};
    if (!below(s, 12)) r.ndim = below(s, 14) - 3;
    for (int i = 0; i < TERN_MAX_DIMS; i++) r.dim[i] = below(s, 12) ? below(s, 5) : any_i64(s);
    return r;
}
static tern_device any_device(source *s) {
    const tern_device d = {(int16_t)(below(s, 8) ? 0 : below(s, 5) - 1), (int16_t)(below(s, 8) ? 0 : below(s, 5) - 1)};
    return d;
}
static const char *any_text(source *s) {
    static const char *const v[] = {
        "",   "ij,jk->ik", "ii", "...i,...i->...", "i->",   "ij->ji", "i,i,i",  "ij,jk",
        "->", "ij,",       "@",  "aab->ba",        "i->ij", "...",    "ij->ii", "a,b,c,d,e,f->fa"};
    return below(s, 20) ? v[below(s, 16)] : NULL;
}
static int any_count(source *s) { return below(s, 10) ? below(s, 6) : below(s, 14) - 3; }

/* The call's own array of n entries, NULL sometimes where that is allowed: reading beyond it is a sanitizer's report.
 */
static void *mine(source *s, int n, size_t each, bool optional) {
    if (n <= 0 || s->n_mine >= 64 || (optional && !below(s, 25))) return NULL;
    return s->mine[s->n_mine++] = calloc((size_t)n, each);
}
static const int *any_ints(source *s, int n, bool optional) {
    int *v = mine(s, n, sizeof *v, optional);
    for (int i = 0; v && i < n; i++) v[i] = any_int(s);
    return v;
}
static const int64_t *any_i64s(source *s, int n, bool optional) {
    int64_t *v = mine(s, n, sizeof *v, optional);
    for (int i = 0; v && i < n; i++) v[i] = any_i64(s);
    return v;
}
static const double *any_doubles(source *s, int n, bool optional) {
    double *v = mine(s, n, sizeof *v, optional);
    for (int i = 0; v && i < n; i++) v[i] = any_double(s);
    return v;
}
static tern_tensor *any_tensor(source *s) {
    const int k = below(s, POOL + 1);
    if (k == POOL) return NULL;
    if (s->n_used < 64) s->used[s->n_used++] = k;
    return s->pool[k];
}
static tern_tensor **any_tensors(source *s, int n) {
    tern_tensor **v = mine(s, n, sizeof *v, true);
    for (int i = 0; v && i < n; i++) v[i] = any_tensor(s);
    return v;
}
static tern_tensor **any_outs(source *s, int n) { return mine(s, n, sizeof(tern_tensor *), true); }
static tern_tensor **any_out(source *s) { return below(s, 6) ? mine(s, 64, sizeof(tern_tensor *), false) : NULL; }

#include "nonsense_table.inc"

enum { TARGETS = sizeof targets / sizeof *targets };

/* Small tensors of many ranks and dtypes: most f32, some strided, expanded, empty, special, with gradients. */
static void fill_pool(source *s) {
    static const tern_shape shapes[] = {{0},
                                        {1, {3}},
                                        {1, {4}},
                                        {2, {3, 4}},
                                        {2, {4, 4}},
                                        {2, {2, 3}},
                                        {3, {2, 3, 4}},
                                        {4, {1, 2, 4, 4}},
                                        {4, {2, 2, 3, 3}},
                                        {5, {1, 2, 3, 3, 3}},
                                        {2, {0, 4}},
                                        {8, {1, 2, 1, 2, 1, 2, 1, 2}}};
    for (int i = 0; i < POOL; i++) {
        const tern_shape shape = shapes[i % 12];
        const tern_dtype dtype = i < 24 ? TERN_F32 : (tern_dtype)((i / 3) % TERN_DTYPE_COUNT);
        tern_tensor *t = tern_cast(test_random(shape, i % 5 == 0 ? 0 : -3, 3, TERN_F64), dtype);
        if (i % 7 == 3 && shape.ndim >= 2) t = tern_transpose(t, 0, -1);
        if (i % 11 == 5)
            t = tern_expand(tern_unsqueeze(t, 0),
                            (tern_shape){shape.ndim < 8 ? shape.ndim + 1 : 9, {2, -1, -1, -1, -1, -1, -1, -1}});
        if (!tern_ok()) {
            tern_error_clear();
            t = tern_zeros(shape, (tern_options){.dtype = dtype});
        }
        if (i % 13 == 6 && tern_dtype_is_float(dtype)) t = tern_div_scalar(tern_detach(t), 0);
        if (i % 3 == 1 && tern_dtype_is_float(dtype)) t = tern_require_grad(tern_detach(t), true);
        s->pool[i] = tern_keep(t);
    }
    CHECK_OK();
}

static uint64_t digest(tern_tensor *t) {
    uint64_t h = 14695981039346656037u ^ (uint64_t)tern_numel(t) ^ (uint64_t)tern_dtype_of(t) << 32;
    const bool was = tern_grad_mode(false);
    const int scope = tern_scope_push();
    tern_tensor *c = tern_contiguous(tern_detach(t));
    const uint8_t *p = tern_data(c);
    const size_t n = (size_t)tern_numel(c) * tern_dtype_size(tern_dtype_of(c));
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x100000001B3u;
    tern_scope_pop(scope);
    tern_grad_mode(was);
    return h;
}

/* Reads every element of a result, and sends a gradient back through it. */
static void use(source *s, tern_tensor *y, bool changes) {
    const int64_t n = tern_numel(y);
    if (n > 100000) return;
    double *v = calloc((size_t)n + 1, sizeof *v);
    if (!v) return;
    (void)tern_to_doubles(y, v, n);
    free(v);
    if (!changes && tern_requires_grad(y) && below(s, 2)) {
        (void)tern_backward_from(y, tern_ones_like(tern_detach(y)),
                                 (tern_backward_opts){.create_graph = below(s, 3) == 0});
        tern_error_clear();
        for (int i = 0; i < POOL; i++)
            if (tern_is_leaf(s->pool[i]) && tern_requires_grad(s->pool[i])) (void)tern_grad_set(s->pool[i], NULL);
    }
}

static bool names(const char *message, const char *name) {
    char bare[64];
    snprintf(bare, sizeof bare, "%s", name);
    return strstr(message, bare) != NULL;
}

/* True if the call gave a result. */
static bool one_call(source *s, const target *t, int number, uint64_t *digests) {
    check_case("call %d: tern_%s", number, t->name);
    alarm(SECONDS); /* an op that loops over a size it was given ends here */
    s->n_mine = s->n_used = 0;
    const int scope = tern_scope_push();
    tern_tensor *y = t->call(s);
    const bool result = tern_ok();
    if (!result) {
        CHECK(names(tern_error_message(), t->name), "its error does not name it: %s", tern_error_message());
        CHECK(tern_error_code() != TERN_ERR_INTERNAL, "internal error: %s", tern_error_message());
        CHECK(y == NULL, "a result and an error: %s", tern_error_message());
        tern_error_clear();
    } else if (y) {
        use(s, y, t->changes);
    }
    CHECK(tern_ok(), "left an error: %s", tern_error_message());
    tern_error_clear();
    for (int i = 0; i < s->n_used; i++) {
        const int k = s->used[i];
        const uint64_t now = digest(s->pool[k]);
        if (!t->changes) CHECK(now == digests[k], "changed its input, pool tensor %d", k);
        digests[k] = now;
    }
    tern_scope_pop(scope);
    for (int i = 0; i < s->n_mine; i++) free(s->mine[i]);
    alarm(0);
    return result;
}

static void empty_pool(source *s) {
    for (int i = 0; i < POOL; i++) /* a gradient may be another's: a cycle */
        if (tern_grad_get(s->pool[i])) (void)tern_grad_set(s->pool[i], NULL);
    for (int i = 0; i < POOL; i++) tern_release(s->pool[i]);
}

static void throw_nonsense(uint64_t seed) {
    const char *text = getenv("TERN_TEST_NONSENSE"), *only = getenv("TERN_TEST_ONLY");
    const int calls = text ? atoi(text) : CALLS;
    struct rlimit limit = {(rlim_t)2 << 30, (rlim_t)2 << 30};
    if (!TEST_ASAN)
        setrlimit(RLIMIT_AS, &limit); /* the sanitizer's shadow is larger; its allocator has a limit of its own */
    source s = {.state = seed};
    uint64_t digests[POOL];
    int errors = 0, results = 0;
    for (int i = 0; i < calls; i++) {
        if (i % 500 == 0) { /* in-place ops wear the pool out */
            if (i) empty_pool(&s);
            const int scope = tern_scope_push();
            fill_pool(&s);
            tern_scope_pop(scope);
            for (int k = 0; k < POOL; k++) digests[k] = digest(s.pool[k]);
        }
        const target *t = &targets[below(&s, TARGETS)];
        if (only && strcmp(only, t->name)) continue;
        const int before = check_failures();
        results += one_call(&s, t, i, digests);
        errors += check_failures() > before;
    }
    if (calls > 0) empty_pool(&s);
    fprintf(stderr, "nonsense: %d calls of %d functions (%d left out), %d gave a result, %d failures\n", calls,
            (int)TARGETS, (int)LEFT_OUT, results, errors);
}

TERN_TEST(nonsense, part_0) { throw_nonsense(1000); }
TERN_TEST(nonsense, part_1) { throw_nonsense(1001); }
TERN_TEST(nonsense, part_2) { throw_nonsense(1002); }
TERN_TEST(nonsense, part_3) { throw_nonsense(1003); }
TERN_TEST(nonsense, part_4) { throw_nonsense(1004); }
TERN_TEST(nonsense, part_5) { throw_nonsense(1005); }
TERN_TEST(nonsense, part_6) { throw_nonsense(1006); }
TERN_TEST(nonsense, part_7) { throw_nonsense(1007); }
TERN_TEST(nonsense, part_8) { throw_nonsense(1008); }
TERN_TEST(nonsense, part_9) { throw_nonsense(1009); }
