/* ONNX: models that are exported with a batch of any size, and what is refused. With TERN_ONNX_DIR set, the models and
 * what goes in and comes out are left there for tests/onnx/export.py. */
#include <sys/stat.h>
#include <unistd.h>

#include "common.h"
#include "tern/archive.h"
#include "tern/layers.h"
#include "tern/onnx.h"
#include "tern/recurrent.h"
#include "tern/transformer.h"

static char folder[64];
static bool kept;

static const char *in_folder(const char *name) {
    static char path[512];
    const char *dir = getenv("TERN_ONNX_DIR");
    kept = dir != NULL;
    if (!kept && !folder[0]) {
        strcpy(folder, "/tmp/tern-onnx-XXXXXX");
        CHECK(mkdtemp(folder) != NULL);
    }
    snprintf(path, sizeof path, "%s/%s", kept ? dir : folder, name);
    return path;
}
static void done_with(const char *path) {
    if (kept) return;
    unlink(path);
    rmdir(folder);
    folder[0] = 0;
}

static bool holds(const char *path, const char *text) {
    FILE *f = fopen(path, "rb");
    if (!CHECK(f != NULL)) return false;
    static char all[1 << 20];
    const size_t n = fread(all, 1, sizeof all, f);
    fclose(f);
    return memmem(all, n, text, strlen(text)) != NULL;
}

/* ---- models ------------------------------------------------------------------------------------------------------ */

static tern_module *cnn(void) {
    tern_module *block = tern_sequential(tern_conv2d_new(8, 8, 3, (tern_conv2d_opts){.pad = {1}, .no_bias = true}),
                                         tern_batch_norm_new(8, (tern_norm_opts){0}), tern_relu_new(), NULL);
    return tern_sequential(tern_conv2d_new(1, 8, 3, (tern_conv2d_opts){.stride = {2}, .pad = {1}}),
                           tern_batch_norm_new(8, (tern_norm_opts){0}), tern_relu_new(), tern_residual_new(block, NULL),
                           tern_max_pool2d_new(2, (tern_pool2d_opts){0}), tern_dropout_new(0.5),
                           tern_adaptive_avg_pool2d_new((const int64_t[]){2, 2}), tern_flatten_new(),
                           tern_linear_new(32, 10, (tern_linear_opts){0}), tern_log_softmax_new(-1), NULL);
}

static tern_module *encoder(void) {
    const tern_transformer_opts o = {.ff = 16, .batch_first = true, .gelu = true};
    return tern_transformer_encoder_new(tern_transformer_encoder_layer_new(8, 2, o), 2,
                                        tern_layer_norm_new(TERN_SHAPE(8), (tern_norm_opts){0}));
}

static tern_module *lstm(void) {
    return tern_lstm_new(5, 6, (tern_recurrent_opts){.layers = 2, .bidirectional = true, .batch_first = true});
}

/* A decoder as GPT-2 has it: token and position embeddings, blocks of masked attention, logits by the embedding. */
typedef struct gpt {
    tern_module m;
    tern_module *wte, *wpe, *blocks;
} gpt;
static tern_tensor *gpt_forward(tern_module *m, tern_tensor *tokens) {
    gpt *s = (gpt *)m;
    tern_tensor *at = tern_arange(0, (double)tern_size(tokens, 1), (tern_options){.dtype = TERN_I64});
    tern_tensor *x = tern_add(tern_forward(s->wte, tokens), tern_forward(s->wpe, at));
    return tern_matmul(tern_forward(s->blocks, x), tern_transpose(tern_module_get(s->wte, "weight"), 0, 1));
}
static tern_module *gpt_new(void) {
    gpt *s = TERN_MODULE_NEW(gpt);
    if (!s) return NULL;
    const tern_transformer_opts o = {.ff = 32, .batch_first = true, .gelu = true, .norm_first = true, .causal = true};
    s->wte = tern_module_add(&s->m, "wte", tern_embedding_new(11, 8, (tern_embedding_opts){0}));
    s->wpe = tern_module_add(&s->m, "wpe", tern_embedding_new(6, 8, (tern_embedding_opts){0}));
    s->blocks = tern_module_add(&s->m, "h",
                                tern_transformer_encoder_new(tern_transformer_encoder_layer_new(8, 2, o), 2,
                                                             tern_layer_norm_new(TERN_SHAPE(8), (tern_norm_opts){0})));
    s->m.forward = gpt_forward;
    return tern_module_done(s);
}

static const struct {
    const char *name;
    tern_module *(*make)(void);
    tern_shape x; /* but for the batch */
    bool tokens;
    const char *parameter;
} models[] = {{"model_cnn", cnn, {3, {1, 12, 12}}, false, "3.body.1.running_var"},
              {"model_encoder", encoder, {2, {4, 8}}, false, "layers.1.linear1.weight"},
              {"model_lstm", lstm, {2, {7, 5}}, false, "weight_ih_l1_reverse"},
              {"model_gpt", gpt_new, {1, {6}}, true, "wte.weight"}};
enum { MODELS = sizeof models / sizeof *models };

static tern_tensor *example(int i, int64_t batch) {
    tern_shape s = {.ndim = models[i].x.ndim + 1, .dim = {batch}};
    for (int d = 1; d < s.ndim; d++) s.dim[d] = models[i].x.dim[d - 1];
    return models[i].tokens ? tern_randint(s, 0, 11, (tern_options){.dtype = TERN_I64})
                            : tern_randn(s, 0, 1, (tern_options){0});
}

TERN_TEST(io_onnx, exports_models) {
    tern_seed(5);
    for (int i = 0; i < MODELS; i++) {
        check_case("%s", models[i].name);
        const int scope = tern_scope_push();
        char file[64], data[64];
        tern_module *m = models[i].make();
        REQUIRE(m != NULL, "%s", tern_error_message());
        snprintf(file, sizeof file, "%s.onnx", models[i].name);
        tern_tensor *x = example(i, 2);
        CHECK(tern_onnx_export(in_folder(file), m, &x, 1, (tern_onnx_opts){.dynamic_batch = true}), "%s",
              tern_error_message());
        CHECK(m->training);
        CHECK(holds(in_folder(file), models[i].parameter) && holds(in_folder(file), "batch"));
        x = example(i, 5);
        tern_module_train(m, false);
        tern_tensor *y = tern_forward(m, x);
        for (int k = 0; kept && k < 2; k++) {
            snprintf(data, sizeof data, "%s.%s_0.npy", models[i].name, k ? "out" : "in");
            CHECK(tern_npy_save(in_folder(data), k ? y : x));
        }
        tern_module_free(m);
        done_with(in_folder(file));
        tern_scope_pop(scope);
    }
}

/* ---- what is refused --------------------------------------------------------------------------------------------- */

static tern_tensor *reads(tern_module *m, tern_tensor *x) {
    (void)m;
    return tern_item(tern_sum(x, NULL, 0, false)) > 0 ? tern_neg(x) : x;
}
static tern_tensor *solves(tern_module *m, tern_tensor *x) {
    (void)m;
    return tern_det(x);
}
static tern_tensor *special(tern_module *m, tern_tensor *x) {
    (void)m;
    return tern_lgamma(x);
}
static tern_tensor *by_batch(tern_module *m, tern_tensor *x) {
    (void)m;
    return tern_mul_scalar(x, (double)tern_size(x, 0));
}
static tern_tensor *counted(tern_module *m, tern_tensor *x) {
    (void)m;
    return tern_add(
        x, tern_reshape(tern_arange(0, (double)tern_size(x, 0), (tern_options){0}), TERN_SHAPE(tern_size(x, 0), 1)));
}
static tern_tensor *otherwise(tern_module *m, tern_tensor *x) {
    (void)m;
    return tern_size(x, 0) > 2 ? tern_exp(x) : tern_neg(x);
}
static tern_tensor *gone(tern_module *m, tern_tensor *x) {
    (void)m;
    return tern_sum(x, NULL, 0, false);
}

TERN_TEST(io_onnx, refuses) {
    static const struct {
        tern_tensor *(*forward)(tern_module *m, tern_tensor *x);
        const char *why;
        bool dynamic;
    } cases[] = {{reads, "tern_item", false},
                 {solves, "det", false},
                 {special, "lgamma", false},
                 {by_batch, "depends on the batch size", true},
                 {counted, "depends on the batch size", true},
                 {otherwise, "something else", true},
                 {gone, "batch first", true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case("%s", cases[i].why);
        const int scope = tern_scope_push();
        tern_module *m = tern_module_alloc(sizeof(tern_module), "test");
        REQUIRE(m != NULL);
        m->forward = cases[i].forward;
        tern_tensor *x = tern_ones(TERN_SHAPE(2, 2), (tern_options){0});
        const char *path = in_folder("refused.onnx");
        CHECK(!tern_onnx_export(path, m, &x, 1, (tern_onnx_opts){.dynamic_batch = cases[i].dynamic}));
        CHECK(strstr(tern_error_message(), cases[i].why) && access(path, F_OK) != 0, "%s", tern_error_message());
        tern_error_clear();
        tern_module_free(m);
        done_with(path);
        tern_scope_pop(scope);
    }
}

TERN_TEST(io_onnx, arguments) {
    tern_module *m = tern_linear_new(2, 2, (tern_linear_opts){0});
    tern_tensor *x = tern_ones(TERN_SHAPE(2, 2), (tern_options){0});
    CHECK(!tern_onnx_export("/nonexistent/x.onnx", m, &x, 1, (tern_onnx_opts){0}) && tern_error_code() == TERN_ERR_IO);
    tern_error_clear();
    CHECK(!tern_onnx_export(NULL, m, &x, 1, (tern_onnx_opts){0}) && tern_error_code() == TERN_ERR_ARGUMENT);
    tern_error_clear();
    CHECK(!tern_onnx_export("x.onnx", m, &x, 1, (tern_onnx_opts){.outputs = 2}) &&
          tern_error_code() == TERN_ERR_ARGUMENT);
    tern_error_clear();
    tern_module_free(m);
}

TERN_TEST(io_onnx, without_memory) {
    tern_module *m = tern_sequential(tern_linear_new(3, 2, (tern_linear_opts){0}), tern_silu_new(), NULL);
    tern_tensor *x = tern_ones(TERN_SHAPE(2, 3), (tern_options){0});
    const char *path = in_folder("short.onnx");
    for (int64_t n = 1;; n++) {
        tern_memory_fail_at(n);
        const bool ok = tern_onnx_export(path, m, &x, 1, (tern_onnx_opts){.dynamic_batch = true});
        const bool done = tern_memory_requests() < n;
        tern_memory_fail_at(0);
        CHECK(done ? ok : !ok && tern_error_code() == TERN_ERR_MEMORY, "request %d: %s", (int)n, tern_error_message());
        tern_error_clear();
        if (done || !CHECK(n < 3000)) break;
    }
    tern_module_free(m);
    done_with(path);
}
