/* Keras's weights: stored files of Keras's own, round trips through both formats, what does not fit, damaged files.
 * tests/reference/keras_check.py does it with Keras itself, for more models and both ways. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zlib.h>

#include "common.h"
#include "tern/checkpoint.h"
#include "tern/keras.h"
#include "tern/layers.h"
#include "tern/lora.h"
#include "tern/recurrent.h"
#include "tern/reparametrize.h"
#include "tern/transformer.h"

#define LIST(...) \
    { __VA_ARGS__ }
#define KERAS(name, bytes, packed, x, y)                      \
    static const unsigned char packed_##name[] = LIST packed; \
    enum { bytes_##name = bytes };                            \
    static const double x_##name[] = LIST x, y_##name[] = LIST y;
#include "reference/keras.def"
#undef KERAS

#define COUNT(a)  (int64_t)(sizeof(a) / sizeof *(a))
#define OPTS(...) ((tern_keras_opts){__VA_ARGS__})
static const tern_norm_opts keras_eps = {.eps = 1e-3};

static const char *write_file(const char *name, const void *data, size_t bytes) {
    const char *path = test_path(name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0) FAIL("cannot write %s", path);
    return path;
}

static const char *unpack(const char *name, const unsigned char *packed, size_t n, size_t bytes) {
    unsigned char *p = malloc(bytes);
    uLongf size = (uLongf)bytes;
    CHECK(p && uncompress(p, &size, packed, (uLong)n) == Z_OK && size == bytes);
    const char *path = write_file(name, p, bytes);
    free(p);
    return path;
}

/* ---- stored files ------------------------------------------------------------------------------------------------ */

static tern_module *image(void) {
    return tern_sequential(tern_conv2d_rect_new(2, 3, (const int64_t[]){2, 3}, (tern_conv2d_opts){0}), tern_relu_new(),
                           tern_batch_norm_new(3, keras_eps), tern_conv2d_new(3, 6, 2, (tern_conv2d_opts){.groups = 3}),
                           tern_conv_transpose2d_new(6, 2, 2, (tern_conv_transpose2d_opts){.stride = {2, 2}}),
                           tern_flatten_new(), tern_linear_new(2 * 6 * 6, 3, (tern_linear_opts){0}));
}
static const tern_keras_order image_orders[] = {{"6", 2, 0}};

/* [N, T, C] <-> [N, C, T], for a batch_norm among recurrent layers. */
typedef struct swap {
    tern_module m;
} swap;
static tern_tensor *swap_forward(tern_module *m, tern_tensor *x) {
    (void)m;
    return tern_transpose(x, 1, 2);
}
static tern_module *swap_new(void) {
    swap *s = TERN_MODULE_NEW(swap);
    if (s) s->m.forward = swap_forward;
    return tern_module_done(s);
}

static tern_module *sequence(void) {
    const tern_recurrent_opts one = {.batch_first = true}, two = {.batch_first = true, .bidirectional = true};
    return tern_sequential(tern_embedding_new(11, 3, (tern_embedding_opts){0}), tern_lstm_new(3, 2, two),
                           tern_gru_new(4, 3, one),
                           tern_sequential(tern_rnn_new(3, 2, one), swap_new(), tern_batch_norm_new(2, keras_eps),
                                           swap_new(), tern_linear_new(2, 2, (tern_linear_opts){0})));
}

typedef struct attending {
    tern_module m;
    tern_module *attention, *norm, *dense;
} attending;
static tern_tensor *attending_forward(tern_module *m, tern_tensor *x) {
    attending *s = (attending *)m;
    return tern_forward(s->dense, tern_forward(s->norm, tern_add(x, tern_forward(s->attention, x))));
}
static tern_module *attention(void) {
    attending *s = TERN_MODULE_NEW(attending);
    if (!s) return NULL;
    s->m.forward = attending_forward;
    s->attention = tern_module_add(
        &s->m, "a", tern_multihead_attention_new(8, 2, (tern_multihead_attention_opts){.batch_first = true}));
    s->norm = tern_module_add(&s->m, "b", tern_layer_norm_new(TERN_SHAPE(8), keras_eps));
    s->dense = tern_module_add(&s->m, "c", tern_linear_new(8, 3, (tern_linear_opts){0}));
    return tern_module_done(s);
}

/* A SeparableConv2D is a sequential of two; one batch_norm without scale, one without center. */
static tern_module *pair_new(int64_t in, int64_t between, const int64_t *kernel, int64_t out, bool bias) {
    return tern_sequential(tern_conv2d_rect_new(in, between, kernel, (tern_conv2d_opts){.groups = in, .no_bias = true}),
                           tern_conv2d_new(between, out, 1, (tern_conv2d_opts){.no_bias = !bias}));
}
static tern_module *separable(void) {
    return tern_sequential(pair_new(2, 4, (const int64_t[]){2, 2}, 3, false), tern_batch_norm_new(3, keras_eps),
                           tern_relu_new(), pair_new(3, 3, (const int64_t[]){1, 2}, 2, true),
                           tern_batch_norm_new(2, keras_eps), tern_flatten_new(),
                           tern_linear_new(2 * 3 * 3, 2, (tern_linear_opts){0}));
}
static const tern_keras_order separable_orders[] = {{"6", 2, 0}};
static const tern_keras_norm separable_norms[] = {{"1", .no_scale = true}, {"4", .no_center = true}};
static const tern_keras_name separable_names[] = {{"0", "separable_conv2d"}, {"3", "separable_conv2d_1"}};

static const struct stored {
    const char *name;
    const unsigned char *packed;
    size_t n_packed, bytes;
    const double *x, *y;
    int64_t n_y;
    tern_shape x_shape;
    tern_dtype x_dtype;
    tern_module *(*make)(void);
    tern_keras_opts opts;
} stored[] = {
#define ROW(f, ...) \
    { #f, packed_##f, sizeof packed_##f, bytes_##f, x_##f, y_##f, COUNT(y_##f), __VA_ARGS__ }
    ROW(image_new, {4, {2, 2, 5, 6}}, TERN_F32, image, {.orders = image_orders, .n_orders = 1}),
    ROW(image_older, {4, {2, 2, 5, 6}}, TERN_F32, image, {.orders = image_orders, .n_orders = 1}),
    ROW(sequence_new, {2, {2, 7}}, TERN_I64, sequence, {0}),
    ROW(sequence_older, {2, {2, 7}}, TERN_I64, sequence, {0}),
    ROW(separable_new, {4, {2, 2, 4, 5}}, TERN_F32, separable,
        {.orders = separable_orders, .n_orders = 1, .norms = separable_norms, .n_norms = 2}),
    ROW(separable_older, {4, {2, 2, 4, 5}}, TERN_F32, separable,
        {.orders = separable_orders, .n_orders = 1, .norms = separable_norms, .n_norms = 2}),
    ROW(attention_new, {3, {2, 5, 8}}, TERN_F32, attention, {0}),
    ROW(attention_older, {3, {2, 5, 8}}, TERN_F32, attention, {0}),
};

static const char *stored_file(const struct stored *s) { return unpack(s->name, s->packed, s->n_packed, s->bytes); }

static void check_output(const struct stored *s, tern_module *m) {
    tern_module_train(m, false);
    CHECK_CLOSE(tern_forward(m, test_tensor(s->x, s->x_shape, s->x_dtype)), s->y, s->n_y, ((tolerance){1e-5, 1e-5}));
}

TERN_TEST(io_keras, files_of_keras) {
    for (size_t i = 0; i < sizeof stored / sizeof *stored; i++) {
        const struct stored *s = &stored[i];
        check_case("%s", s->name);
        tern_module *m = s->make();
        CHECK(tern_keras_load(stored_file(s), m, s->opts));
        check_output(s, m);
        for (int older = 0; older < 2; older++) { /* and what Tern makes of it says the same */
            const char *path = test_path(older ? "again.h5" : "again.weights.h5");
            tern_module *other = s->make();
            CHECK(tern_keras_save(path, m, s->opts) && tern_keras_load(path, other, s->opts));
            check_output(s, other);
            tern_module_free(other);
        }
        CHECK_OK();
        tern_module_free(m);
    }
}

/* ---- round trips ------------------------------------------------------------------------------------------------- */

/* One of each layer that has weights; those with two biases that become one have zeros in the second. */
static tern_module *zoo(void) {
    const tern_recurrent_opts deep = {.layers = 2, .bidirectional = true}, bare = {.no_bias = true};
    tern_module *m = tern_sequential(
        tern_linear_new(4, 3, (tern_linear_opts){.no_bias = true}),
        tern_conv1d_new(4, 6, 3, (tern_conv1d_opts){.groups = 2}),
        tern_conv1d_new(4, 8, 3, (tern_conv1d_opts){.groups = 4}), tern_conv3d_new(2, 3, 2, (tern_conv3d_opts){0}),
        tern_conv_transpose1d_new(2, 3, 2, (tern_conv_transpose1d_opts){0}),
        tern_conv_transpose3d_new(2, 3, 2, (tern_conv_transpose3d_opts){.no_bias = true}),
        tern_batch_norm_new(3, (tern_norm_opts){.no_affine = true}), tern_batch_norm_new(5, (tern_norm_opts){0}),
        tern_layer_norm_new(TERN_SHAPE(7), (tern_norm_opts){.no_affine = true}),
        tern_layer_norm_new(TERN_SHAPE(4), (tern_norm_opts){.no_bias = true}),
        tern_rms_norm_new(TERN_SHAPE(5), (tern_norm_opts){0}), tern_group_norm_new(2, 6, (tern_norm_opts){0}),
        tern_instance_norm_new(5, (tern_norm_opts){.affine = true}), tern_prelu_new(3, 0.25), tern_dropout_new(0.5),
        tern_lstm_new(2, 3, deep), tern_gru_new(2, 3, deep), tern_rnn_new(2, 3, bare),
        tern_sequential(tern_lstm_cell_new(2, 3, (tern_cell_opts){0}), tern_gru_cell_new(2, 3, (tern_cell_opts){0}),
                        tern_sequential(tern_rnn_cell_new(2, 3, (tern_cell_opts){0}))),
        tern_multihead_attention_new(6, 3, (tern_multihead_attention_opts){.kdim = 4, .vdim = 5, .no_bias = true}),
        tern_transformer_encoder_layer_new(6, 2, (tern_transformer_opts){.ff = 8}));
    tern_named e;
    for (int i = 0; tern_module_each(m, i, &e); i++) {
        const bool second =
            strstr(e.name, "bias_hh") && strncmp(e.name, "16.", 3) != 0 && strncmp(e.name, "18.1.", 5) != 0;
        if (strstr(e.name, "num_batches")) continue;
        if (second)
            tern_init_zeros(e.tensor);
        else
            tern_init_uniform(e.tensor, 0.5, 2);
    }
    return m;
}

TERN_TEST(io_keras, there_and_back) {
    const tern_keras_opts opts[] = {{.channels_first = true},
                                    {.channels_first = true, .flat = true},
                                    {.channels_first = true, .format = TERN_KERAS_LEGACY},
                                    {.channels_first = true, .format = TERN_KERAS_LEGACY, .flat = true}};
    tern_module *a = zoo();
    for (int i = 0; i < 4; i++)
        for (int cast = 0; cast < 2; cast++) {
            check_case("options %d, f64 %d", i, cast);
            tern_module *b = zoo();
            const char *path = test_path("zoo.weights.h5");
            if (cast) CHECK(tern_module_cast(a, TERN_F64));
            CHECK(tern_keras_save(path, a, opts[i]) && tern_keras_load(path, b, OPTS(.channels_first = true)));
            tern_named x, y;
            for (int e = 0; tern_module_each(a, e, &x) && CHECK(tern_module_each(b, e, &y)); e++)
                if (!strstr(x.name, "num_batches")) CHECK_SAME(y.tensor, x.tensor, ((tolerance){0, 0}));
            CHECK_OK();
            tern_module_free(b);
            if (cast) CHECK(tern_module_cast(a, TERN_F32));
        }
    tern_module_free(a);
}

/* An lstm's biases: Keras's is their sum. Halves and a device's dtype do not matter. */
TERN_TEST(io_keras, sums_and_halves) {
    tern_module *a = tern_lstm_new(2, 2, (tern_recurrent_opts){0}), *b = tern_lstm_new(2, 2, (tern_recurrent_opts){0});
    const char *path = test_path("l.weights.h5");
    CHECK(tern_keras_save(path, a, (tern_keras_opts){0}) && tern_module_cast(b, TERN_F16) &&
          tern_keras_load(path, b, (tern_keras_opts){0}));
    CHECK_SAME(tern_module_get(b, "bias_ih_l0"),
               tern_cast(tern_add(tern_module_get(a, "bias_ih_l0"), tern_module_get(a, "bias_hh_l0")), TERN_F16),
               ((tolerance){0, 0}));
    CHECK_VALUES(tern_module_get(b, "bias_hh_l0"), 0, 0, 0, 0, 0, 0, 0, 0);
    CHECK(tern_requires_grad(tern_module_get(b, "bias_ih_l0")));
    tern_module_free(a);
    tern_module_free(b);
}

TERN_TEST(io_keras, settings_of_layers) {
    tern_module *conv = tern_conv2d_new(4, 8, 3, (tern_conv2d_opts){.groups = 2}),
                *heads = tern_multihead_attention_new(6, 3, (tern_multihead_attention_opts){0});
    CHECK(tern_conv_groups(conv) == 2 && tern_conv_groups(heads) == -1 && tern_conv_groups(NULL) == -1);
    CHECK(tern_multihead_attention_heads(heads) == 3 && tern_multihead_attention_heads(conv) == -1 &&
          tern_multihead_attention_heads(NULL) == -1);
    tern_module_free(conv);
    tern_module_free(heads);
}

/* ---- what does not fit ------------------------------------------------------------------------------------------- */

static tern_module *two(int64_t a, int64_t b, int64_t c) {
    return tern_sequential(tern_linear_new(a, b, (tern_linear_opts){0}), tern_linear_new(b, c, (tern_linear_opts){0}));
}

TERN_TEST(io_keras, other_layers) {
    tern_module *saved = two(3, 4, 2), *shape = two(3, 4, 5), *fewer = tern_linear_new(3, 4, (tern_linear_opts){0}),
                *kind = tern_sequential(tern_linear_new(3, 4, (tern_linear_opts){0}),
                                        tern_layer_norm_new(TERN_SHAPE(4), (tern_norm_opts){0})),
                *bare = tern_sequential(tern_linear_new(3, 4, (tern_linear_opts){.no_bias = true}),
                                        tern_linear_new(4, 2, (tern_linear_opts){0}));
    for (int older = 0; older < 2; older++) {
        check_case("older %d", older);
        const char *path = test_path(older ? "two.h5" : "two.weights.h5");
        CHECK(tern_keras_save(path, saved, (tern_keras_opts){0}));
        tern_tensor *before = tern_clone(tern_module_get(shape, "0.weight"));
        EXPECT_ERROR(tern_keras_load(path, shape, (tern_keras_opts){0}), TERN_ERR_SHAPE,
                     "[4, 2] instead of [4, 5] for 1, a linear");
        CHECK_SAME(tern_module_get(shape, "0.weight"), before, ((tolerance){0, 0}));
        EXPECT_ERROR(tern_keras_load(path, fewer, (tern_keras_opts){0}), TERN_ERR_SHAPE, "unexpected");
        EXPECT_ERROR(tern_keras_load(path, kind, (tern_keras_opts){0}), TERN_ERR_SHAPE, "for 1, a layer_norm");
        EXPECT_ERROR(tern_keras_load(path, bare, (tern_keras_opts){0}), TERN_ERR_SHAPE, "unexpected");
        CHECK(tern_keras_load(path, fewer, OPTS(.not_strict = true)));
        CHECK_SAME(tern_module_get(fewer, "weight"), tern_module_get(saved, "0.weight"), ((tolerance){0, 0}));
        const tern_keras_name second = {"", older ? "dense_1" : "layers/dense_1"};
        EXPECT_ERROR(tern_keras_load(path, fewer, OPTS(.names = &second, .n_names = 1, .not_strict = true)),
                     TERN_ERR_SHAPE, "[4, 2] instead of [3, 4] for the root");
        CHECK(tern_keras_save(path, fewer, (tern_keras_opts){0}));
        EXPECT_ERROR(tern_keras_load(path, saved, (tern_keras_opts){0}), TERN_ERR_SHAPE, "missing");
        CHECK(tern_keras_load(path, saved, OPTS(.not_strict = true)));
    }
    tern_module *all[] = {saved, shape, fewer, kind, bare};
    for (int i = 0; i < 5; i++) tern_module_free(all[i]);
}

static void make_positive(tern_module *m) {
    tern_named e;
    for (int i = 0; tern_module_each(m, i, &e); i++)
        if (!strstr(e.name, "num_batches") && strcmp(e.name, "1.weight") != 0 && strcmp(e.name, "4.bias") != 0)
            tern_init_uniform(e.tensor, 0.5, 2);
}

/* Where memory runs out there is an error, whatever was under way. */
static void without_memory(const char *path, tern_keras_opts opts) {
    bool ok = false;
    for (int64_t k = 1; !ok && k < 3000; k++) {
        tern_module *m = separable();
        tern_memory_fail_at(k);
        ok = tern_keras_load(path, m, opts);
        tern_memory_fail_at(0);
        CHECK(ok == tern_ok(), "allocation %lld", (long long)k);
        tern_error_clear();
        tern_module_free(m);
    }
    CHECK(ok);
}

/* Saved as Keras's SeparableConv2D where .names says so, else as a Sequential of two; what the file has is known when
 * it is read, but for names that are not by order. */
TERN_TEST(io_keras, separable_convolutions) {
    tern_module *a = separable();
    make_positive(a);
    for (int older = 0; older < 2; older++)
        for (int named = 0; named < 3; named++) {
            check_case("older %d, named %d", older, named);
            const char *path = test_path(older ? "s.h5" : "s.weights.h5");
            tern_module *b = separable();
            tern_keras_name names[2] = {separable_names[0], separable_names[1]};
            if (!older) names[0].layer = "layers/separable_conv2d", names[1].layer = "layers/separable_conv2d_1";
            tern_keras_opts opts = {.names = names,
                                    .n_names = named ? 2 : 0,
                                    .norms = separable_norms,
                                    .n_norms = 2,
                                    .channels_first = true};
            CHECK(tern_keras_save(path, a, opts));
            if (named == 2) opts.n_names = 0;
            CHECK(tern_keras_load(path, b, opts));
            if (!older && named == 1) without_memory(path, opts);
            tern_named x, y;
            for (int e = 0; tern_module_each(a, e, &x) && CHECK(tern_module_each(b, e, &y)); e++)
                if (!strstr(x.name, "num_batches")) CHECK_SAME(y.tensor, x.tensor, ((tolerance){0, 0}));
            const tern_keras_name within = {"0.0", older ? "separable_conv2d" : "layers/separable_conv2d"};
            opts.names = &within, opts.n_names = 1;
            if (named) EXPECT_ERROR(tern_keras_load(path, b, opts), TERN_ERR_SHAPE, "for 0");
            CHECK_OK();
            tern_module_free(b);
        }
    tern_module_free(a);
}

TERN_TEST(io_keras, positions_behind_a_branch) {
    const char *path = test_path("b.weights.h5");
    const tern_conv2d_opts o = {0};
    const tern_linear_opts l = {0};
    tern_module *branch = tern_sequential(tern_conv2d_new(1, 8, 3, o), tern_linear_new(8, 2, l),
                                          tern_linear_new(2, 8, l), tern_linear_new(128, 3, l)),
                *pooled = tern_sequential(tern_conv2d_new(1, 8, 3, o), tern_linear_new(8, 64, l),
                                          tern_batch_norm_new(64, keras_eps), tern_linear_new(64, 3, l)),
                *behind = tern_sequential(tern_conv2d_new(1, 4, 3, o),
                                          tern_rms_norm_new(TERN_SHAPE(4, 4, 4), (tern_norm_opts){0})),
                *front = tern_sequential(tern_layer_norm_new(TERN_SHAPE(4, 4, 4), (tern_norm_opts){0}),
                                         tern_conv2d_new(4, 4, 3, o));
    const tern_keras_order told = {"3", 8, 0};
    EXPECT_ERROR(tern_keras_save(path, branch, (tern_keras_opts){0}), TERN_ERR_ARGUMENT, "16 flattened positions");
    CHECK(tern_keras_save(path, branch, OPTS(.orders = &told, .n_orders = 1)));
    CHECK(tern_keras_save(path, pooled, (tern_keras_opts){0}));
    EXPECT_ERROR(tern_keras_save(path, behind, (tern_keras_opts){0}), TERN_ERR_UNSUPPORTED, "behind a conv");
    EXPECT_ERROR(tern_keras_save(path, front, (tern_keras_opts){0}), TERN_ERR_UNSUPPORTED, "in front of a conv");
    tern_module *all[] = {branch, pooled, behind, front};
    for (int i = 0; i < 4; i++) tern_module_free(all[i]);
}

TERN_TEST(io_keras, flattened_positions) {
    const char *path = test_path("f.weights.h5");
    const tern_conv2d_opts o = {0};
    tern_module *behind =
                    tern_sequential(tern_conv2d_new(1, 4, 3, o), tern_batch_norm_new(4, keras_eps), tern_relu_new(),
                                    tern_flatten_new(), tern_linear_new(4 * 9, 2, (tern_linear_opts){0})),
                *ahead = tern_sequential(tern_linear_new(2, 12, (tern_linear_opts){0}),
                                         tern_batch_norm_new(12, keras_eps), tern_conv2d_new(3, 1, 2, o)),
                *pooled = tern_sequential(tern_conv2d_new(1, 4, 3, o), tern_linear_new(4, 2, (tern_linear_opts){0}));
    const tern_keras_order four = {"4", 4, 0}, seven = {"4", 7, 0}, other = {"3", 4, 0}, half = {"1", 3, 0},
                           both[] = {{"0", 0, 3}, {"1", 3, 0}};
    EXPECT_ERROR(tern_keras_save(path, behind, (tern_keras_opts){0}), TERN_ERR_ARGUMENT,
                 "4 (linear) seems to have 9 flattened positions of 4 channels");
    CHECK(tern_keras_save(path, behind, OPTS(.channels_first = true)));
    CHECK(tern_keras_save(path, behind, OPTS(.orders = &four, .n_orders = 1)));
    EXPECT_ERROR(tern_keras_save(path, behind, OPTS(.orders = &seven, .n_orders = 1)), TERN_ERR_ARGUMENT, "7 channels");
    EXPECT_ERROR(tern_keras_save(path, behind, OPTS(.orders = &other, .n_orders = 1)), TERN_ERR_ARGUMENT, "3 is no");
    EXPECT_ERROR(tern_keras_save(path, ahead, (tern_keras_opts){0}), TERN_ERR_ARGUMENT,
                 "1 (batch_norm) seems to have 4 flattened positions of 3 channels for");
    EXPECT_ERROR(tern_keras_save(path, ahead, OPTS(.orders = &half, .n_orders = 1)), TERN_ERR_ARGUMENT, "0 (linear)");
    CHECK(tern_keras_save(path, ahead, OPTS(.orders = both, .n_orders = 2)));
    CHECK(tern_keras_save(path, pooled, (tern_keras_opts){0}));
    tern_module_free(behind);
    tern_module_free(ahead);
    tern_module_free(pooled);
}

typedef struct owner {
    tern_module m;
} owner;
static tern_module *with_parameter(void) {
    owner *s = TERN_MODULE_NEW(owner);
    if (s) tern_module_param(&s->m, "scale", tern_ones(TERN_SHAPE(2), (tern_options){0}));
    return tern_module_done(s);
}

TERN_TEST(io_keras, what_keras_has_not) {
    tern_module *adapted = tern_sequential(tern_linear_new(3, 4, (tern_linear_opts){0})),
                *normed = tern_sequential(tern_linear_new(3, 4, (tern_linear_opts){0}));
    CHECK(tern_lora_attach(adapted, "*", (tern_lora_opts){.rank = 2}) == 1);
    CHECK(tern_weight_norm(tern_module_child(normed, "0"), "weight", 0));
    const struct {
        tern_module *m;
        const char *want;
    } cases[] = {
        {tern_sequential(tern_bilinear_new(2, 3, 4, (tern_linear_opts){0})), "0 (bilinear) has weight"},
        {with_parameter(), "(owner) has scale"},
        {adapted, "0 (linear) has parameters besides"},
        {normed, "0 (linear) has"},
        {tern_batch_norm_new(3, (tern_norm_opts){.no_running = true}), "no running statistics"},
        {tern_instance_norm_new(3, (tern_norm_opts){.affine = true, .running = true}), "running statistics"},
        {tern_conv_transpose1d_new(4, 4, 2, (tern_conv_transpose1d_opts){.groups = 2}), "has groups"},
        {tern_multihead_attention_new(8, 4, (tern_multihead_attention_opts){.kv_heads = 2}), "heads for keys"},
    };
    const char *path = test_path("u.weights.h5");
    tern_module *plain = two(3, 4, 2);
    CHECK(tern_keras_save(path, plain, (tern_keras_opts){0}));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case("%s", cases[i].want);
        EXPECT_ERROR(tern_keras_save(path, cases[i].m, (tern_keras_opts){0}), TERN_ERR_UNSUPPORTED, cases[i].want);
        EXPECT_ERROR(tern_keras_load(path, cases[i].m, OPTS(.not_strict = true)), TERN_ERR_UNSUPPORTED, cases[i].want);
        tern_module_free(cases[i].m);
    }
    tern_module *empty = tern_relu_new();
    EXPECT_ERROR(tern_keras_save(path, empty, (tern_keras_opts){0}), TERN_ERR_ARGUMENT, "no weights");
    tern_module_free(empty);
    CHECK(tern_keras_load(path, plain, (tern_keras_opts){0})); /* the file is as it was */
    tern_module_free(plain);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static unsigned char whole[1 << 17], bad[1 << 17];
static char said[300]; /* the last error */

static size_t read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    const size_t n = f ? fread(whole, 1, sizeof whole, f) : 0;
    if (f) fclose(f);
    CHECK(n > 1000 && n < sizeof whole, "%zu bytes", n);
    return n;
}

/* Loads what is in `bad`: a result, or an error of a kind that a file can give. */
static bool survives(const char *name, size_t n, tern_module *m, tern_keras_opts opts) {
    const bool ok = tern_keras_load(write_file(name, bad, n), m, opts);
    CHECK(ok ? tern_ok() : tern_error_code() == TERN_ERR_FORMAT || tern_error_code() == TERN_ERR_SHAPE, "%s",
          tern_error_message());
    CHECK(ok || strstr(tern_error_message(), name), "%s", tern_error_message());
    snprintf(said, sizeof said, "%s", ok ? "" : tern_error_message());
    tern_error_clear();
    return ok;
}

TERN_TEST(io_keras, damaged_files) {
    for (int i = 0; i < 2; i++) {
        const struct stored *s = &stored[i];
        check_case("%s", s->name);
        tern_module *m = s->make();
        const size_t n = read_file(stored_file(s));
        int errors = 0, tried = 0;
        memcpy(bad, whole, n);
        for (size_t cut = 0; cut < n; cut += 1 + n / 60, tried++) errors += !survives("cut.h5", cut, m, s->opts);
        CHECK(errors == tried, "%d of %d cut files were refused", errors, tried);
        errors = 0;
        for (int flip = 0; flip < 120; flip++) { /* where there is something: such a file has much empty space */
            memcpy(bad, whole, n);
            size_t at = (size_t)test_uniform(0, (double)n);
            while (!bad[at]) at = (at + 1) % n;
            bad[at] = (unsigned char)(bad[at] ^ (1 << flip % 8));
            errors += !survives("bad.h5", n, m, s->opts);
        }
        CHECK(errors > 10, "%d errors", errors);
        tern_module_free(m);
    }
}

/* A dataset of [7, 11] says that it is larger. */
TERN_TEST(io_keras, huge_sizes) {
    tern_module *m = tern_linear_new(7, 11, (tern_linear_opts){0});
    static const unsigned char dims[16] = {7, 0, 0, 0, 0, 0, 0, 0, 11};
    int told = 0;
    for (int older = 0; older < 2; older++)
        for (int bits = 20; bits < 64; bits += 6) {
            const char *path = test_path(older ? "h.h5" : "h.weights.h5");
            CHECK(tern_keras_save(path, m, (tern_keras_opts){0}));
            const size_t n = read_file(path);
            int found = 0;
            memcpy(bad, whole, n);
            for (size_t at = 0; at + 16 <= n; at++)
                if (memcmp(whole + at, dims, 16) == 0) {
                    bad[at + (size_t)bits / 8] = (unsigned char)(bad[at + (size_t)bits / 8] | 1 << bits % 8);
                    found++;
                }
            CHECK(found > 0);
            const int64_t before = test_live();
            CHECK(!survives("huge.h5", n, m, (tern_keras_opts){0}) && test_live() == before);
            told += strstr(said, "larger than a file of its size can hold") != NULL;
        }
    CHECK(told > 0, "%d; %s", told, said);
    tern_module_free(m);
}

TERN_TEST(io_keras, other_files) {
    tern_module *m = two(3, 4, 2);
    const tern_keras_opts none = {0};
    const char *path = test_path("x.h5");
    EXPECT_ERROR(tern_keras_load("/nonexistent", m, none), TERN_ERR_IO, "No such file");
    EXPECT_ERROR(tern_keras_load("/", m, none), TERN_ERR_IO, "not a file");
    EXPECT_ERROR(tern_keras_load(write_file("e.h5", "", 0), m, none), TERN_ERR_FORMAT, "no HDF5 file");
    EXPECT_ERROR(tern_keras_load(write_file("t.h5", "PK\3\4 text", 9), m, none), TERN_ERR_FORMAT, "no HDF5 file");
    EXPECT_ERROR(tern_keras_load(NULL, m, none), TERN_ERR_ARGUMENT, "path");
    EXPECT_ERROR(tern_keras_load(path, NULL, none), TERN_ERR_ARGUMENT, "m is NULL");
    EXPECT_ERROR(tern_keras_save(NULL, m, none), TERN_ERR_ARGUMENT, "path");
    EXPECT_ERROR(tern_keras_save("/proc/none/x.h5", m, none), TERN_ERR_IO, "/proc/none");
    CHECK(tern_checkpoint_save(path, &(tern_checkpoint){.model = m}));
    EXPECT_ERROR(tern_keras_load(path, m, none), TERN_ERR_FORMAT, "not one of Keras's");
    EXPECT_ERROR(tern_keras_load(path, m, OPTS(.format = TERN_KERAS_LEGACY)), TERN_ERR_FORMAT, "no layer_names");
    if (geteuid() != 0) { /* root may read all */
        CHECK(chmod(path, 0) == 0);
        EXPECT_ERROR(tern_keras_load(path, m, none), TERN_ERR_IO, "Permission denied");
    }
    tern_module_free(m);
}

/* ---- the process that reads -------------------------------------------------------------------------------------- */

/* Sends the first child of a thread that shows a signal. */
typedef struct killing {
    long thread;
    int signal;
} killing;
static void *kill_child(void *arg) {
    const killing *k = arg;
    char path[100];
    snprintf(path, sizeof path, "/proc/self/task/%ld/children", k->thread);
    for (int i = 0; i < 5000; i++) {
        FILE *f = fopen(path, "r");
        int pid = 0;
        const bool found = f && fscanf(f, "%d", &pid) == 1 && pid > 1;
        if (f) fclose(f);
        if (found && kill(pid, k->signal) == 0) return arg;
        usleep(1000);
    }
    return NULL;
}

/* Whoever opens a file that is leased waits until the lease is given back, which it is not. */
TERN_TEST(io_keras, a_reader_that_hangs_or_dies) {
    tern_module *m = two(3, 4, 2);
    const char *path = test_path("l.weights.h5");
    CHECK(tern_keras_save(path, m, (tern_keras_opts){0}));
    signal(SIGIO, SIG_IGN);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fcntl(fd, F_SETLEASE, F_WRLCK) != 0) {
        printf("skipped: this file system lends no leases\n");
    } else {
        EXPECT_ERROR(tern_keras_load(path, m, OPTS(.seconds = 1)), TERN_ERR_FORMAT, "given up after 1 seconds");
        for (int i = TEST_ASAN ? 1 : 0; i < 2; i++) { /* a sanitizer would report a SIGSEGV */
            killing k = {syscall(SYS_gettid), i ? SIGKILL : SIGSEGV};
            pthread_t killer;
            void *killed = NULL;
            CHECK(pthread_create(&killer, NULL, kill_child, &k) == 0);
            EXPECT_ERROR(tern_keras_load(path, m, OPTS(.seconds = 20)), i ? TERN_ERR_MEMORY : TERN_ERR_FORMAT,
                         i ? "signal 9" : "crashed the HDF5 library");
            CHECK(pthread_join(killer, &killed) == 0 && killed);
        }
        CHECK(fcntl(fd, F_SETLEASE, F_UNLCK) == 0);
    }
    if (fd >= 0) close(fd);
    CHECK(tern_keras_load(path, m, (tern_keras_opts){0}));
    tern_module_free(m);
}
