/* ONNX import: what comes back from an exported model, damaged and foreign files, and messages. What the ops mean is
 * checked by tests/onnx/load.py. */
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "onnx_file.h"
#include "tern/layers.h"
#include "tern/onnx.h"

static char path[64]; /* each process has its own */
__attribute__((constructor)) static void name_path(void) {
    snprintf(path, sizeof path, "/tmp/tern-onnx-load-%d.onnx", (int)getpid());
}

typedef struct file {
    unsigned char *data;
    size_t n;
} file;

static file read_file(void) {
    file f = {malloc(1 << 20), 0};
    FILE *s = fopen(path, "rb");
    if (CHECK(s != NULL)) f.n = fread(f.data, 1, 1 << 20, s);
    if (s) fclose(s);
    return f;
}
static void write_file(const void *data, size_t n) {
    FILE *s = fopen(path, "wb");
    CHECK(s && fwrite(data, 1, n, s) == n);
    if (s) fclose(s);
}

static tern_module *net(void) {
    return tern_sequential(tern_conv1d_new(2, 3, 3, (tern_conv1d_opts){.pad = 1}),
                           tern_batch_norm_new(3, (tern_norm_opts){0}), tern_silu_new(), tern_flatten_new(),
                           tern_linear_new(12, 2, (tern_linear_opts){0}), NULL);
}
static tern_tensor *example(int64_t n) { return tern_randn(TERN_SHAPE(n, 2, 4), 0, 1, (tern_options){0}); }

/* The module's outputs and gradients come back, under its names. */
TERN_TEST(io_onnx_load, round_trip) {
    tern_seed(3);
    tern_module *m = net();
    tern_tensor *x = example(2), *y[2], *g[2];
    tern_module_train(m, false);
    REQUIRE(tern_onnx_export(path, m, &x, 1, (tern_onnx_opts){.dynamic_batch = true}), "%s", tern_error_message());
    tern_module *back = tern_onnx_load(path);
    REQUIRE(back != NULL, "%s", tern_error_message());
    CHECK(tern_onnx_inputs(back) == 1 && tern_onnx_outputs(back) == 1);
    CHECK(strcmp(tern_onnx_input_name(back, 0), "input") == 0 && strcmp(tern_onnx_output_name(back, 0), "output") == 0);
    CHECK(!tern_onnx_input_name(back, 1) && !tern_onnx_output_name(back, -1) && !tern_onnx_inputs(m));
    x = example(3);
    for (int i = 0; i < 2; i++) {
        tern_module *one = i ? back : m;
        y[i] = tern_forward(one, x);
        tern_module_zero_grad(one);
        CHECK(tern_backward(tern_sum(tern_square(y[i]), NULL, 0, false)));
        g[i] = tern_grad_get(tern_module_get(one, "0.weight"));
    }
    CHECK_SAME(y[1], y[0], ((tolerance){1e-5, 1e-6}));
    CHECK_SAME(g[1], g[0], ((tolerance){1e-5, 1e-6}));
    CHECK(tern_requires_grad(tern_module_get(back, "4.bias")) &&
          !tern_requires_grad(tern_module_get(back, "1.running_mean")));
    tern_tensor *out[1];
    CHECK(!tern_onnx_run(back, &x, 2, out, 1) && tern_error_code() == TERN_ERR_ARGUMENT);
    tern_error_clear();
    CHECK(!tern_onnx_run(m, &x, 1, out, 1) && tern_error_code() == TERN_ERR_ARGUMENT);
    tern_error_clear();
    CHECK(!tern_module_clone(back) && tern_error_code() == TERN_ERR_UNSUPPORTED);
    tern_error_clear();
    tern_module_free(m);
    tern_module_free(back);
    unlink(path);
}

/* y = op(x), or what the case changes about it. */
typedef struct model {
    const char *op, *domain, *attribute, *input, *output;
    unsigned opset, type, dims;
    const void *value; /* the attribute's fields, instead of i = 1 */
    size_t value_size;
    bool no_output;
} model;

static void write_model(model m) {
    bytes node = {0}, attribute = {0}, graph = {0}, tensor = {0};
    put_text(&node, 1, m.input ? m.input : "x");
    if (!m.no_output) put_text(&node, 2, m.output ? m.output : "y");
    put_text(&node, 3, "first");
    put_text(&node, 4, m.op ? m.op : "Relu");
    if (m.domain) put_text(&node, 7, m.domain);
    if (m.attribute) {
        put_text(&attribute, 1, m.attribute);
        if (m.value) {
            put_raw(&attribute, m.value, m.value_size);
        } else {
            put_number(&attribute, 3, 1);
            put_number(&attribute, 20, 2);
        }
        put_part(&node, 5, &attribute);
    }
    put_part(&graph, 1, &node);
    if (m.type) {
        if (m.dims) put_number(&tensor, 1, m.dims);
        put_number(&tensor, 2, m.type);
        put_text(&tensor, 8, "w");
        put(&tensor, 9, "\0\0\0\0", 4);
        put_part(&graph, 5, &tensor);
    }
    put_info(&graph, 11, "x");
    put_info(&graph, 12, "y");
    write_onnx(path, &graph, m.opset ? m.opset : 18);
}

/* Many nodes, most of which no output needs; one value that is taken again at the end. */
static bool long_forward(tern_module *m, tern_tensor *const *x, int n_x, tern_tensor **y, int n_y, void *user) {
    (void)m;
    (void)n_x;
    (void)n_y;
    (void)user;
    tern_tensor *t = x[0], *unused = x[0], *early = NULL;
    for (int i = 0; i < 1000; i++) {
        t = tern_mul_scalar(tern_sin(t), 1 + 1e-3 * i);
        unused = tern_exp(t);
        if (i == 3) early = t;
    }
    y[0] = tern_add(t, early);
    return unused && y[0];
}

TERN_TEST(io_onnx_load, many_nodes) {
    tern_module *m = net();
    tern_tensor *x = example(1), *y;
    REQUIRE(tern_onnx_export(path, m, &x, 1, (tern_onnx_opts){.forward = long_forward}), "%s", tern_error_message());
    file f = read_file();
    int names = 0; /* what is not needed is not written */
    for (size_t i = 0; i + 3 <= f.n; i++) names += memcmp(f.data + i, "Exp", 3) == 0;
    CHECK(names == 0, "%d", names);
    free(f.data);
    tern_module *back = tern_onnx_load(path);
    REQUIRE(back != NULL, "%s", tern_error_message());
    const bool was = tern_grad_mode(false);
    CHECK(long_forward(m, &x, 1, &y, 1, NULL));
    CHECK_SAME(tern_forward(back, x), y, ((tolerance){1e-5, 1e-5}));
    tern_grad_mode(was);
    tern_module_free(m);
    tern_module_free(back);
}

TERN_TEST(io_onnx_load, says_what_it_refuses) {
    static const struct {
        model m;
        tern_code code;
        const char *why;
    } cases[] = {{{.op = "Foo"}, TERN_ERR_UNSUPPORTED, "node first is of type Foo"},
                 {{.attribute = "slope"}, TERN_ERR_UNSUPPORTED, "node first, Relu: the attribute slope"},
                 {{.domain = "com.example"}, TERN_ERR_UNSUPPORTED, "com.example"},
                 {{.opset = 5}, TERN_ERR_UNSUPPORTED, "opset 5"},
                 {{.opset = 29}, TERN_ERR_UNSUPPORTED, "opset 29"},
                 {{.input = "z"}, TERN_ERR_FORMAT, "nothing makes its input z"},
                 {{.output = "z"}, TERN_ERR_FORMAT, "nothing makes the output y"},
                 {{.output = "x"}, TERN_ERR_FORMAT, "is there already"},
                 {{.op = "Add"}, TERN_ERR_FORMAT, "1 inputs"},
                 {{.input = ""}, TERN_ERR_FORMAT, "input 0 is missing"},
                 {{.type = 1, .dims = 2}, TERN_ERR_FORMAT, "2 f32 has 4 bytes"},
                 {{.type = 3, .dims = 4}, TERN_ERR_UNSUPPORTED, "data type 3"},
                 {{.type = 9, .dims = 3}, TERN_ERR_FORMAT, "3 bool has 4 bytes"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case("%s", cases[i].why);
        write_model(cases[i].m);
        CHECK(!tern_onnx_load(path) && tern_error_code() == cases[i].code, "%s", tern_code_name(tern_error_code()));
        CHECK(strstr(tern_error_message(), cases[i].why) != NULL, "%s", tern_error_message());
        tern_error_clear();
    }
    write_model((model){.type = 1, .dims = 1}); /* what the cases change is what they fail by */
    tern_module *m = tern_onnx_load(path);
    tern_tensor *x = tern_full(TERN_SHAPE(2), -3, (tern_options){0}), *y = tern_forward(m, x);
    CHECK_VALUES(y, 0, 0);
    tern_module_free(m);
    CHECK(!tern_onnx_load("/nonexistent") && tern_error_code() == TERN_ERR_IO);
    tern_error_clear();
    CHECK(!tern_onnx_load(NULL) && tern_error_code() == TERN_ERR_ARGUMENT);
    tern_error_clear();
    unlink(path);
}

/* Lists whose parts come one by one, in time that grows as they do. */
TERN_TEST(io_onnx_load, long_lists_of_single_parts) {
    enum { N = 150000 };
    static const unsigned char part[3][5] = {{7 << 3 | 5, 0, 0, 128, 63}, {8 << 3, 1}, {9 << 3 | 2, 3, 'a', 'b', 'c'}};
    static const size_t size[3] = {5, 2, 5};
    unsigned char *value = malloc((size_t)N * 5);
    for (int k = 0; value && k < 3; k++) {
        for (size_t i = 0; i < N; i++) memcpy(value + i * size[k], part[k], size[k]);
        write_model((model){.attribute = "list", .value = value, .value_size = N * size[k]});
        const clock_t from = clock();
        CHECK(!tern_onnx_load(path));
        EXPECT_PENDING(TERN_ERR_UNSUPPORTED, "the attribute list");
        const double seconds = (double)(clock() - from) / CLOCKS_PER_SEC;
        CHECK(seconds < 2, "list %d took %.1f s", k, seconds);
    }
    free(value);
    unlink(path);
}

/* Attributes that hold something else than their node reads, or several things; a node that makes nothing. */
TERN_TEST(io_onnx_load, attributes_of_other_kinds) {
    unsigned char strings[115] = {3 << 3, 0xCE, 255, 255, 255,        255, 255,
                                  255,    255,  255, 1,   9 << 3 | 2, 100}; /* i: -50 */
    static const unsigned char both[] = {7 << 3 | 5, 0, 0, 128, 63, 8 << 3, 1}, reals[] = {7 << 3 | 5, 0, 0, 128, 63};
    memset(strings + 13, 'a', 100);
    write_model((model){.op = "Squeeze", .attribute = "axes", .value = strings, .value_size = 113});
    for (int i = 0; i < 2; i++) {
        tern_module *m = tern_onnx_load(path);
        REQUIRE(m != NULL, "%s", tern_error_message());
        CHECK(!tern_forward(m, tern_ones(TERN_SHAPE(1), (tern_options){0})));
        EXPECT_PENDING(TERN_ERR_FORMAT, "node first, Squeeze: the attribute axes has no whole numbers");
        tern_module_free(m);
        write_model((model){.op = "Squeeze", .attribute = "axes", .value = reals, .value_size = sizeof reals});
    }
    write_model((model){.op = "Squeeze", .attribute = "axes", .value = both, .value_size = sizeof both});
    CHECK(!tern_onnx_load(path));
    EXPECT_PENDING(TERN_ERR_FORMAT, "an attribute is damaged");
    write_model((model){.op = "Split", .no_output = true});
    CHECK(!tern_onnx_load(path));
    EXPECT_PENDING(TERN_ERR_FORMAT, "1 inputs and 0 outputs");
    unlink(path);
}

/* A node's own error names it. */
TERN_TEST(io_onnx_load, says_what_fails) {
    write_model((model){.op = "GlobalMaxPool"});
    tern_module *m = tern_onnx_load(path);
    CHECK(!tern_forward(m, tern_ones(TERN_SHAPE(2), (tern_options){0})));
    CHECK(strstr(tern_error_message(), "node first, GlobalMaxPool") != NULL, "%s", tern_error_message());
    tern_error_clear();
    tern_module_free(m);
    unlink(path);
}

static void make_file(void) {
    tern_module *m = net();
    tern_tensor *x = example(1);
    CHECK(tern_onnx_export(path, m, &x, 1, (tern_onnx_opts){.dynamic_batch = true}), "%s", tern_error_message());
    tern_module_free(m);
}

/* Cut off anywhere: an error, or a model where only what follows the graph is gone. */
TERN_TEST(io_onnx_load, truncated) {
    make_file();
    const file f = read_file();
    int loaded = 0;
    for (size_t n = 0; n < f.n; n++) {
        write_file(f.data, n);
        tern_module *m = tern_onnx_load(path);
        loaded += m != NULL;
        if (!m)
            CHECK(tern_error_code() == TERN_ERR_FORMAT || tern_error_code() == TERN_ERR_UNSUPPORTED, "%d bytes: %s",
                  (int)n, tern_error_message());
        tern_error_clear();
        tern_module_free(m);
    }
    CHECK(loaded == 0, "%d", loaded);
    free(f.data);
    unlink(path);
}

TERN_TEST(io_onnx_load, flipped) {
    make_file();
    const file f = read_file();
    int refused = 0;
    for (size_t n = 0; n < f.n; n++) {
        f.data[n] ^= (unsigned char)(1 << n % 8);
        write_file(f.data, f.n);
        f.data[n] ^= (unsigned char)(1 << n % 8);
        tern_module *m = tern_onnx_load(path);
        refused += !m;
        if (!m)
            CHECK(tern_error_code() == TERN_ERR_FORMAT || tern_error_code() == TERN_ERR_UNSUPPORTED ||
                      tern_error_code() == TERN_ERR_SHAPE,
                  "byte %d: %s", (int)n, tern_error_message());
        tern_error_clear();
        tern_module_free(m);
    }
    CHECK(refused > 100, "%d", refused);
    free(f.data);
    unlink(path);
}

TERN_TEST(io_onnx_load, without_memory) {
    make_file();
    tern_tensor *x = example(2);
    for (int64_t n = 1; n < 5000; n++) {
        const int scope = tern_scope_push();
        tern_memory_fail_at(n);
        tern_module *m = tern_onnx_load(path);
        if (m) (void)tern_forward(m, x);
        const bool done = tern_memory_requests() < n;
        tern_memory_fail_at(0);
        CHECK(done ? m && tern_ok() : tern_error_code() == TERN_ERR_MEMORY, "request %d: %s", (int)n,
              tern_error_message());
        tern_error_clear();
        tern_module_free(m);
        tern_scope_pop(scope);
        if (done) {
            unlink(path);
            return;
        }
    }
    FAIL("it does not end");
}
