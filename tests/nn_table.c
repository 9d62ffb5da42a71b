/* One table of all bundled layers: names and shapes of the state, outputs, the gradients of inputs and parameters, and
 * buffers afterwards, against what PyTorch gave (reference/nn_layers.py), in f64 and f32, on TERN_TEST_DEVICE. A
 * constructor of nn's headers without a row is a failure. */
#include "common.h"
#include "tern/autocast.h"
#include "tern/archive.h"
#include "tern/criteria.h"
#include "tern/layers.h"
#include "tern/lora.h"
#include "tern/onnx.h"
#include "tern/recurrent.h"
#include "tern/reparametrize.h"
#include "tern/transformer.h"

enum { MAX_IN = 6, MAX_OUT = 4 };

/* ---- what PyTorch gave ------------------------------------------------------------------------------------------- */

typedef struct input {
    char kind; /* f: drawn from [lo, hi); i: i64, b: bool, with these values */
    tern_shape shape;
    double lo, hi;
    const double *values;
} input;

typedef struct reference {
    const char *name;
    bool training;
    const char *state; /* "weight[3, 5] count[]i" */
    int n_inputs;
    input inputs[MAX_IN];
    const char *outputs; /* "[2, 3]" */
    int n;
    const double *values;
} reference;

static const reference references[] = {
#include "reference/nn_layers.def"
};

/* SplitMix64 from the case's name, as reference/nn_layers.py has it. */
typedef struct stream {
    uint64_t state;
} stream;

static stream stream_of(const char *name) {
    stream s = {0xCBF29CE484222325u};
    for (; *name; name++) s.state = (s.state ^ (unsigned char)*name) * 0x100000001B3u;
    return s;
}

static double draw(stream *s, double lo, double hi) {
    uint64_t z = s->state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return lo + (hi - lo) * ((double)(z >> 11) / 9007199254740992.0);
}

static tern_tensor *drawn(stream *s, tern_shape shape, double lo, double hi, tern_dtype dtype) {
    const int64_t n = shape_numel(shape);
    double *v = malloc((size_t)(n ? n : 1) * sizeof *v);
    for (int64_t i = 0; i < n; i++) v[i] = draw(s, lo, hi);
    tern_tensor *t = test_tensor(v, shape, dtype);
    free(v);
    return t;
}

/* ---- how a module is called: writes its outputs, returns how many -------------------------------------------------
 */

typedef int caller(tern_module *m, tern_tensor **x, int n, tern_tensor **y);

static int one(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    (void)n;
    y[0] = tern_forward(m, x[0]);
    return 1;
}
/* Running statistics go on. */
static int thrice(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    (void)n;
    for (int i = 0; i < 3; i++) y[0] = tern_forward(m, x[0]);
    return 1;
}
static int bilinear(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    (void)n;
    y[0] = tern_bilinear_forward(m, x[0], x[1]);
    return 1;
}
static int bag(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    y[0] = n == 1 ? tern_forward(m, x[0]) : tern_embedding_bag_forward(m, x[0], x[1], n > 2 ? x[2] : NULL);
    return 1;
}
/* The indices are those of the maxima: they find them again. */
static int max_pool(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    (void)n;
    tern_tensor *indices = NULL;
    y[0] = tern_max_pool_forward(m, x[0], &indices);
    CHECK_SAME(tern_gather(tern_flatten(x[0], 2, -1), 2, tern_flatten(indices, 2, -1)), tern_flatten(y[0], 2, -1),
               ((tolerance){0, 0}));
    return 1;
}
static int unpool(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    tern_tensor *indices = NULL;
    const int axes = tern_ndim(x[0]) - 2;
    tern_module *pool = axes == 1   ? tern_max_pool1d_new(2, (tern_pool1d_opts){0})
                        : axes == 2 ? tern_max_pool2d_new(2, (tern_pool2d_opts){0})
                                    : tern_max_pool3d_new(2, (tern_pool3d_opts){0});
    tern_tensor *pooled = tern_max_pool_forward(pool, x[0], &indices);
    const int64_t size[3] = {tern_size(x[0], 2), tern_size(x[0], 3), tern_size(x[0], 4)};
    y[0] = tern_max_unpool_forward(m, pooled, indices, n > 1 ? size : NULL);
    tern_module_free(pool);
    return 1;
}

/* The children of a list or a dict, one after the other. */
static int in_order(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    (void)n;
    y[0] = x[0];
    for (int i = 0; i < tern_module_children(m); i++) y[0] = tern_forward(tern_module_child_at(m, i, NULL), y[0]);
    return 1;
}

static int recurrent(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    y[0] = tern_rnn_forward(m, x[0], n > 1 ? x[1] : NULL, NULL, &y[1]);
    return 2;
}
static int lstm(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    y[0] = tern_lstm_forward(m, x[0], n > 1 ? x[1] : NULL, n > 2 ? x[2] : NULL, NULL, &y[1], &y[2]);
    return 3;
}
static int lstm_packed(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    (void)n;
    y[0] = tern_lstm_forward(m, x[0], NULL, NULL, (const int64_t[]){2, 4, 1}, &y[1], &y[2]);
    return 3;
}
static int cell(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    y[0] = tern_rnn_cell_forward(m, x[0], n > 1 ? x[1] : NULL);
    return 1;
}
static int lstm_cell(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    (void)n;
    y[0] = tern_lstm_cell_forward(m, x[0], x[1], x[2], &y[1]);
    return 2;
}

static const tern_attend_opts all_seen;

static int attention(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    y[0] = tern_multihead_attention_forward(m, x[0], n > 1 ? x[1] : NULL, n > 2 ? x[2] : NULL, all_seen);
    return 1;
}
/* query, keys and values, mask, key_mask; the bool masks are PyTorch's, where true is left out. */
static int attention_masked(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    (void)n;
    const tern_attend_opts o = {.mask = tern_logical_not(x[2]), .key_mask = tern_logical_not(x[3])};
    y[0] = tern_multihead_attention_forward(m, x[0], x[1], NULL, o);
    return 1;
}
static int attention_added(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    (void)n;
    const tern_attend_opts o = {.mask = x[2], .key_mask = tern_logical_not(x[3]), .causal = true};
    y[0] = tern_multihead_attention_forward(m, x[0], x[1], NULL, o);
    return 1;
}
static int encoder(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    const tern_attend_opts o = {.key_mask = n > 1 ? tern_logical_not(x[1]) : NULL};
    y[0] = tern_transformer_encoder_forward(m, x[0], o);
    return 1;
}
static int decoder(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    (void)n;
    y[0] = tern_transformer_decoder_forward(m, x[0], x[1], all_seen, all_seen);
    return 1;
}
static int decoder_masked(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    (void)n;
    const tern_attend_opts cross = {.key_mask = tern_logical_not(x[2])};
    y[0] = tern_transformer_decoder_forward(m, x[0], x[1], (tern_attend_opts){.causal = true}, cross);
    return 1;
}
static int transformer(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    (void)n;
    y[0] = tern_transformer_forward(m, x[0], x[1], all_seen, all_seen, all_seen);
    return 1;
}
static int positions(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    (void)n;
    y[0] = tern_positions_forward(m, x[0], 3);
    return 1;
}

static int loss(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    (void)n;
    y[0] = tern_loss_forward(m, x[0], x[1]);
    return 1;
}

static int fractional(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    (void)n;
    y[0] = tern_fractional_max_pool_forward(m, x[0], x[1], NULL);
    return 1;
}
static int adaptive(tern_module *m, tern_tensor **x, int n, tern_tensor **y) {
    (void)n;
    y[0] = tern_adaptive_log_softmax_forward(m, x[0], x[1], &y[1]);
    return 2;
}

/* ---- what is put upon a module ------------------------------------------------------------------------------------
 */

static tern_module *if_done(tern_module *m, bool done) {
    if (done) return m;
    tern_module_free(m);
    return NULL;
}
static tern_module *adapted(tern_module *m) {
    return if_done(m, tern_lora_attach(m, "", (tern_lora_opts){.rank = 2, .alpha = 3}) == 1);
}
static tern_module *weight_normed(tern_module *m, const char *name, int dim) {
    return if_done(m, tern_weight_norm(m, name, dim));
}
static tern_module *spectral_normed(tern_module *m, tern_spectral_norm_opts o) {
    return if_done(m, tern_spectral_norm(m, "weight", o));
}

/* ---- the rows ---------------------------------------------------------------------------------------------------- */

typedef struct row {
    const char *name;
    caller *call;
    tern_module *(*make)(void);
    const char *made_by; /* the constructor's text */
} row;

#define ROW(name, call, ...) \
    static tern_module *make_##name(void) { return __VA_ARGS__; }
#include "nn_rows.def"
#undef ROW
#define ROW(name, call, ...) {#name, call, make_##name, #__VA_ARGS__},
static const row rows[] = {
#include "nn_rows.def"
};
#undef ROW
enum { ROWS = sizeof rows / sizeof *rows, REFERENCES = sizeof references / sizeof *references };

/* ---- the comparison ---------------------------------------------------------------------------------------------- */

/* Writes "weight[3, 5] ..." into text and fills the state from the stream. */
static void fill_state(tern_module *m, stream *s, char *text, size_t size) {
    tern_named e;
    size_t n = 0;
    text[0] = 0;
    const bool was = tern_grad_mode(false);
    for (int i = 0; tern_module_each(m, i, &e); i++) {
        char shape[128];
        const bool is_float = tern_dtype_is_float(tern_dtype_of(e.tensor));
        n += (size_t)snprintf(text + n, size - n, "%s%s%s%s", i ? " " : "", e.name,
                              tern_shape_text(tern_shape_get(e.tensor), shape, sizeof shape), is_float ? "" : "i");
        if (n >= size) n = size - 1;
        if (is_float)
            tern_copy_(e.tensor, drawn(s, tern_shape_get(e.tensor), e.is_param ? -0.5 : 0.5, e.is_param ? 0.5 : 1.5,
                                       tern_dtype_of(e.tensor)));
    }
    tern_grad_mode(was);
}

/* Compares t (NULL: zeros) with the next of r's values, relative to the largest of them. Returns how many. */
static int64_t compare(const char *what, tern_tensor *t, tern_shape shape, const double *want, double rtol) {
    const int64_t n = shape_numel(shape);
    double scale = 1;
    for (int64_t i = 0; i < n; i++) scale = fmax(scale, fabs(want[i]));
    if (!t) t = tern_zeros(shape, (tern_options){0});
    check_close(__FILE__, __LINE__, what, t, want, n, (tolerance){rtol, rtol * scale});
    return n;
}

static int make_inputs(const reference *r, stream *s, tern_dtype dtype, tern_tensor **x) {
    for (int i = 0; i < r->n_inputs; i++) {
        const input *in = &r->inputs[i];
        if (in->kind == 'f')
            x[i] = tern_require_grad(drawn(s, in->shape, in->lo, in->hi, dtype), true);
        else
            x[i] = test_tensor(in->values, in->shape, in->kind == 'b' ? TERN_BOOL : TERN_I64);
    }
    return r->n_inputs;
}

static void compare_all(const reference *r, tern_module *m, tern_tensor **x, tern_tensor **y, int n_y, double rtol) {
    int64_t n = 0;
    for (int i = 0; i < n_y; i++) n += compare("output", y[i], tern_shape_get(y[i]), r->values + n, rtol);
    for (int i = 0; i < r->n_inputs; i++)
        if (r->inputs[i].kind == 'f')
            n += compare("gradient of an input", tern_grad_get(x[i]), tern_shape_get(x[i]), r->values + n, rtol);
    tern_named e;
    for (int i = 0; tern_module_each(m, i, &e); i++)
        if (e.is_param) n += compare(e.name, tern_grad_get(e.tensor), tern_shape_get(e.tensor), r->values + n, rtol);
    for (int i = 0; tern_module_each(m, i, &e); i++)
        if (!e.is_param) n += compare(e.name, e.tensor, tern_shape_get(e.tensor), r->values + n, rtol);
    CHECK(n == r->n, "%" PRId64 " of %d values", n, r->n);
}

/* The outputs' shapes and gradients that reach them; false where the shapes are others. */
static bool make_seeds(const reference *r, stream *s, tern_tensor **y, int n_y, tern_tensor **seed) {
    char text[256] = "", shape[128];
    for (int i = 0; i < n_y; i++) {
        if (!CHECK(y[i] != NULL, "output %d: %s", i, tern_error_message())) return false;
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "",
                 tern_shape_text(tern_shape_get(y[i]), shape, sizeof shape));
        seed[i] = drawn(s, tern_shape_get(y[i]), -1, 1, tern_dtype_of(y[i]));
    }
    return CHECK(strcmp(text, r->outputs) == 0, "outputs %s, %s expected", text, r->outputs);
}

/* low: what autocast has; TERN_F32 for none. */
static void run_case(const reference *r, const row *c, tern_dtype dtype, tern_dtype low) {
    check_case("%s, %s, %s, autocast %s", r->name, r->training ? "training" : "evaluation", tern_dtype_name(dtype),
               tern_dtype_name(low));
    const int scope = tern_scope_push();
    tern_module *m = c->make();
    REQUIRE(m != NULL, "%s", tern_error_message());
    CHECK(tern_module_cast(m, dtype) && tern_module_to(m, test_device()));
    tern_module_train(m, r->training);
    stream s = stream_of(r->name);
    char state[4000];
    fill_state(m, &s, state, sizeof state);
    tern_tensor *x[MAX_IN] = {NULL}, *y[MAX_OUT] = {NULL}, *seed[MAX_OUT] = {NULL};
    if (CHECK(strcmp(state, r->state) == 0, "state %s, %s expected", state, r->state)) {
        const int n = make_inputs(r, &s, dtype, x);
        const int cast = tern_autocast_push((tern_device_type)test_device().type, low);
        const int n_y = c->call(m, x, n, y);
        tern_autocast_pop(cast);
        if (make_seeds(r, &s, y, n_y, seed)) {
            tern_backward_opts opts = {.allow_unused = true};
            CHECK(tern_backwards(y, seed, n_y, opts));
            compare_all(r, m, x, y, n_y, low != TERN_F32 ? 0.05 : dtype == TERN_F64 ? 1e-12 : 1e-5);
        }
    }
    CHECK_OK();
    tern_module_free(m);
    tern_scope_pop(scope);
}

static const row *row_of(const char *name) {
    for (int i = 0; i < ROWS; i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
}

TERN_TEST(nn_table, as_pytorch) {
    for (int i = 0; i < REFERENCES; i++) {
        const row *c = row_of(references[i].name);
        if (!CHECK(c != NULL, "%s has no row", references[i].name)) continue;
        run_case(&references[i], c, TERN_F64, TERN_F32);
        run_case(&references[i], c, TERN_F32, TERN_F32);
    }
}

/* What layers make of bf16 and f32 side by side goes together, and is near. */
TERN_TEST(nn_table, under_autocast) {
    for (int i = 0; i < REFERENCES; i++) {
        const row *c = row_of(references[i].name);
        if (c) run_case(&references[i], c, TERN_F32, TERN_BF16);
    }
}

/* Causal layers, a position at a time with a cache, against what PyTorch gave for the whole sequence. */
static tern_tensor *with_cache(const reference *r, tern_module *m, tern_tensor **x) {
    tern_kv_cache *cache = tern_kv_cache_new(1);
    const tern_attend_opts self = {.causal = true, .cache = cache};
    tern_tensor *part[8];
    const int n = (int)tern_size(x[0], 1);
    CHECK(n <= 8);
    for (int i = 0; i < n; i++) {
        tern_tensor *at = tern_narrow(x[0], 1, i, 1);
        const tern_attend_opts cross = {.key_mask = r->n_inputs > 2 ? tern_logical_not(x[2]) : NULL, .cache = cache};
        part[i] = r->n_inputs > 1                         ? tern_transformer_decoder_forward(m, at, x[1], self, cross)
                  : strncmp(r->name, "attention", 9) == 0 ? tern_multihead_attention_forward(m, at, NULL, NULL, self)
                                                          : tern_transformer_encoder_forward(m, at, self);
    }
    tern_kv_cache_free(cache);
    return tern_cat(part, n, 1);
}

TERN_TEST(nn_table, with_a_cache) {
    static const char *const causal[] = {"attention_self", "attention_grouped", "encoder_layer_first",
                                         "decoder_layer_first"};
    int found = 0;
    const bool was = tern_grad_mode(false);
    for (int i = 0; i < REFERENCES; i++) {
        const reference *r = &references[i];
        for (size_t k = 0; k < sizeof causal / sizeof *causal; k++) {
            if (strcmp(r->name, causal[k]) != 0) continue;
            check_case("%s", r->name);
            const int scope = tern_scope_push();
            tern_module *m = row_of(r->name)->make();
            CHECK(tern_module_cast(m, TERN_F64) && tern_module_to(m, test_device()));
            stream s = stream_of(r->name);
            char state[4000];
            fill_state(m, &s, state, sizeof state);
            tern_tensor *x[MAX_IN] = {NULL};
            make_inputs(r, &s, TERN_F64, x);
            tern_tensor *y = with_cache(r, m, x);
            compare("output", y, tern_shape_get(x[0]), r->values, 1e-12);
            CHECK_OK();
            tern_module_free(m);
            tern_scope_pop(scope);
            found++;
        }
    }
    tern_grad_mode(was);
    CHECK(found == 4, "%d cases", found);
}

/* ---- all layers have a row, and all rows a case --------------------------------------------------------------------
 */

static const char *const constructors[] = {
#include "nn_constructors.inc"
};

TERN_TEST(nn_table, is_complete) {
    for (int i = 0; i < ROWS; i++) {
        bool found = false;
        for (int k = 0; k < REFERENCES; k++) found |= strcmp(rows[i].name, references[k].name) == 0;
        CHECK(found, "%s is not in reference/nn_layers.def", rows[i].name);
    }
    const int n = (int)(sizeof constructors / sizeof *constructors);
    for (int i = 0; i < n; i++) {
        bool found = false;
        for (int k = 0; k < ROWS; k++) found |= strstr(rows[k].made_by, constructors[i]) != NULL;
        CHECK(found, "%s) has no row in nn_rows.def", constructors[i]);
    }
}

/* ---- every request for memory fails once ---------------------------------------------------------------------------
 * While a layer is made, and while it is called: there is an error and no leak (check_end looks). */

static void run_quietly(const reference *r, const row *c, tern_module *m) {
    stream s = stream_of(r->name);
    tern_tensor *x[MAX_IN] = {NULL}, *y[MAX_OUT] = {NULL};
    (void)c->call(m, x, make_inputs(r, &s, TERN_F32, x), y);
    if (tern_ok()) CHECK(y[0] != NULL);
}

static void fail_each(const reference *r, const row *c) {
    for (int64_t n = 1; n < 3000; n++) {
        check_case("%s, request %" PRId64, c->name, n);
        const int scope = tern_scope_push();
        tern_memory_fail_at(n);
        tern_module *m = c->make();
        if (m && r) run_quietly(r, c, m);
        const bool done = tern_memory_requests() < n;
        tern_memory_fail_at(0);
        CHECK(done ? m != NULL && tern_ok() : tern_error_code() == TERN_ERR_MEMORY, "%s", tern_error_message());
        tern_error_clear();
        tern_module_free(m);
        tern_scope_pop(scope);
        if (done) return;
    }
    FAIL("it does not end");
}

TERN_TEST(nn_table, without_memory) {
    if (test_device().type != TERN_CPU) return; /* a device's allocator tries again */
    for (int i = 0; i < ROWS; i++) {
        const reference *r = NULL;
        for (int k = 0; k < REFERENCES && rows[i].call != one && rows[i].call != unpool && rows[i].call != max_pool;
             k++)
            if (strcmp(references[k].name, rows[i].name) == 0) r = &references[k];
        fail_each(r, &rows[i]);
    }
}

/* ---- ONNX: every layer in evaluation mode is exported, or refused for a reason that stands here. The models and what
 * went in and came out are left in TERN_ONNX_DIR, if that is set, for tests/onnx/export.py to run in onnxruntime.
 * ------- */

static const struct {
    const char *name, *why;
} refused[] = {
    {"embedding_bag_offsets", "reads"},      {"embedding_bag_weights", "reads"},
    {"max_unpool1d", "indices of max_pool"}, {"max_unpool2d", "indices of max_pool"},
    {"max_unpool3d", "indices of max_pool"}, {"lstm_packed", "sequences of several lengths"},
    {"adaptive_softmax", "reads"},           {"adaptive_softmax_head", "reads"},
    {"adaptive_softmax_alone", "reads"},
};

static bool by_row(tern_module *m, tern_tensor *const *x, int n, tern_tensor **y, int n_y, void *user) {
    tern_tensor *in[MAX_IN] = {NULL}, *out[MAX_OUT] = {NULL};
    for (int i = 0; i < n; i++) in[i] = x[i];
    const int made = ((const row *)user)->call(m, in, n, out);
    for (int i = 0; i < n_y && i < made; i++) y[i] = out[i];
    return tern_ok();
}

static void save_all(const char *dir, const char *name, const char *kind, tern_tensor **t, int n) {
    for (int i = 0; i < n; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s.%s_%d.npy", dir, name, kind, i);
        CHECK(tern_npy_save(path, t[i]));
    }
}

static void export_case(const reference *r, const row *c, const char *dir, bool keep) {
    check_case("%s", r->name);
    const char *why = NULL;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (strcmp(refused[i].name, r->name) == 0) why = refused[i].why;
    const int scope = tern_scope_push();
    tern_module *m = c->make();
    stream s = stream_of(r->name);
    char state[4000], path[512];
    fill_state(m, &s, state, sizeof state);
    tern_module_train(m, false);
    tern_tensor *x[MAX_IN] = {NULL}, *y[MAX_OUT] = {NULL};
    make_inputs(r, &s, TERN_F32, x);
    const bool was = tern_grad_mode(false);
    const int n_y = c->call(m, x, r->n_inputs, y);
    tern_grad_mode(was);
    snprintf(path, sizeof path, "%s/%s.onnx", dir, r->name);
    const tern_onnx_opts o = {.forward = by_row, .user = (void *)(uintptr_t)c, .outputs = n_y};
    const bool ok = tern_onnx_export(path, m, x, r->n_inputs, o);
    CHECK(ok == !why, "%s", tern_error_message());
    if (why) CHECK(strstr(tern_error_message(), why) != NULL, "%s", tern_error_message());
    if (why) tern_error_clear();
    if (keep) save_all(dir, r->name, "in", x, ok ? r->n_inputs : 0);
    if (keep) save_all(dir, r->name, "out", y, ok ? n_y : 0);
    CHECK_OK();
    tern_module_free(m);
    tern_scope_pop(scope);
}

TERN_TEST(nn_table, to_onnx) {
    if (test_device().type != TERN_CPU) return;
    char folder[] = "/tmp/tern-onnx-XXXXXX", command[64];
    const char *kept = getenv("TERN_ONNX_DIR");
    REQUIRE(kept || mkdtemp(folder));
    for (int i = 0; i < REFERENCES; i++) {
        const row *c = row_of(references[i].name);
        const bool again = i > 0 && strcmp(references[i].name, references[i - 1].name) == 0; /* in the other mode */
        if (c && !again && c->call != loss && c->call != max_pool)
            export_case(&references[i], c, kept ? kept : folder, kept != NULL);
    }
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (!kept) CHECK(system(command) == 0);
}
