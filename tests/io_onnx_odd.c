/* ONNX import: nodes whose inputs are numbers that make no sense, and graphs of tens of thousands of nodes. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "common.h"
#include "onnx_file.h"
#include "tern/onnx.h"

static char path[64]; /* each process has its own */
__attribute__((constructor)) static void name_path(void) {
    snprintf(path, sizeof path, "/tmp/tern-onnx-odd-%d.onnx", (int)getpid());
}

enum { INPUTS = 4 };

/* An input: up to four numbers, or ones where the shape has more; absent if dtype is. */
typedef struct given {
    bool there;
    tern_dtype dtype;
    tern_shape shape;
    double v[4];
} given;
#define NUMBER(type, x)                \
    {                                  \
        true, type, {.ndim = 0}, { x } \
    }
#define LIST(type, n, ...)                                   \
    {                                                        \
        true, type, {.ndim = 1, .dim = {n}}, { __VA_ARGS__ } \
    }
#define ONES(type, n, ...)                                            \
    {                                                                 \
        true, type, {.ndim = n, .dim = {__VA_ARGS__}}, { 1, 1, 1, 1 } \
    }

typedef struct odd {
    const char *op;
    given in[INPUTS];
    const char *why; /* NULL: it works, and makes the numbers y */
    int n;
    double y[4];
    const char *number, *text, *list; /* attributes */
    int64_t number_is, list_is[3];
    const char *text_is;
    int n_list;
    unsigned opset;
} odd;

static void put_attributes(bytes *node, const odd *c) {
    bytes a = {0};
    if (c->number) {
        put_text(&a, 1, c->number);
        put_number(&a, 3, (uint64_t)c->number_is);
        put_number(&a, 20, 2);
        put_part(node, 5, &a);
    }
    if (c->text) {
        put_text(&a, 1, c->text);
        put_text(&a, 4, c->text_is);
        put_number(&a, 20, 3);
        put_part(node, 5, &a);
    }
    if (c->list) {
        put_text(&a, 1, c->list);
        for (int i = 0; i < c->n_list; i++) put_number(&a, 8, (uint64_t)c->list_is[i]);
        put_number(&a, 20, 7);
        put_part(node, 5, &a);
    }
}

static void write_odd(const odd *c) {
    static const char *const names[INPUTS] = {"a", "b", "c", "d"};
    bytes graph = {0}, node = {0};
    int n = INPUTS;
    while (n > 0 && !c->in[n - 1].there) n--;
    for (int i = 0; i < n; i++) put_text(&node, 1, c->in[i].there ? names[i] : "");
    put_text(&node, 2, "y");
    put_text(&node, 3, "first");
    put_text(&node, 4, c->op);
    put_attributes(&node, c);
    put_part(&graph, 1, &node);
    for (int i = 0; i < n; i++)
        if (c->in[i].there) put_info(&graph, 11, names[i]);
    put_info(&graph, 12, "y");
    write_onnx(path, &graph, c->opset ? c->opset : 18);
}

static tern_tensor *tensor(const given *g) {
    int64_t n = 1;
    for (int d = 0; d < g->shape.ndim; d++) n *= g->shape.dim[d];
    const tern_options o = {.dtype = g->dtype};
    return n <= 4 ? tern_from_doubles(g->v, g->shape, o) : tern_ones(g->shape, o);
}

static void check_odd(const odd *c) {
    check_case("%s: %s", c->op, c->why ? c->why : "works");
    write_odd(c);
    tern_module *m = tern_onnx_load(path);
    REQUIRE(m != NULL, "%s", tern_error_message());
    tern_tensor *x[INPUTS], *y;
    int n = 0;
    for (int i = 0; i < INPUTS; i++)
        if (c->in[i].there) x[n++] = tensor(&c->in[i]);
    const bool ok = tern_onnx_run(m, x, n, &y, 1);
    if (c->why) {
        char label[64];
        snprintf(label, sizeof label, "onnx: node first, %s: ", c->op);
        CHECK(!ok && tern_error_code() != TERN_ERR_MEMORY && tern_error_code() != TERN_ERR_INTERNAL, "%s",
              tern_error_message());
        CHECK(strstr(tern_error_message(), label) == tern_error_message(), "%s", tern_error_message());
        CHECK(strstr(tern_error_message(), c->why) != NULL, "%s", tern_error_message());
        tern_error_clear();
    } else {
        double v[16] = {0};
        REQUIRE(ok && tern_numel(y) == c->n && tern_to_doubles(y, v, c->n), "%s", tern_error_message());
        for (int i = 0; i < c->n; i++) CHECK(v[i] == c->y[i], "%d: %g", i, v[i]);
    }
    tern_module_free(m);
    unlink(path);
}
#define CHECK_ODD(cases) \
    for (size_t i = 0; i < sizeof(cases) / sizeof *(cases); i++) check_odd(&(cases)[i])

#define RANGE(type, a, b, c) \
    "Range", { NUMBER(type, a), NUMBER(type, b), NUMBER(type, c) }
TERN_TEST(io_onnx_odd, range) {
    const double nan = (double)NAN, inf = (double)INFINITY;
    const odd cases[] = {
        {RANGE(TERN_F32, 0, 3, 0), "a delta of 0"},
        {RANGE(TERN_I64, 0, 3, 0), "a delta of 0"},
        {RANGE(TERN_F32, 0, nan, 1), "input 1 is nan"},
        {RANGE(TERN_F64, nan, 1, 1), "input 0 is nan"},
        {RANGE(TERN_F32, 0, 1, nan), "input 2 is nan"},
        {RANGE(TERN_F32, 0, inf, 1), "input 1 is inf"},
        {RANGE(TERN_F32, 0, 1e30, 1e-30), "elements"},
        {RANGE(TERN_F64, -1e308, 1e308, 1), "inf elements"},
        {RANGE(TERN_I64, 0, 0x1p60, 1), "1152921504606846976 elements"},
        {RANGE(TERN_I64, -0x1p63, 0x1p62, 1), "13835058055282163712 elements"},
        {RANGE(TERN_I64, 0x1p62, -0x1p63, -1), "13835058055282163712 elements"},
        {"Range", {LIST(TERN_F32, 2, 0, 1), NUMBER(TERN_F32, 3), NUMBER(TERN_F32, 1)}, "2 numbers in input 0"},
        {"Range", {NUMBER(TERN_F32, 0), LIST(TERN_F32, 0, 0), NUMBER(TERN_F32, 1)}, "no number in input 1"},
        {"Range", {NUMBER(TERN_I64, 0), LIST(TERN_I64, 0, 0), NUMBER(TERN_I64, 1)}, "no number in input 1"},
        {"Range", {NUMBER(TERN_I64, 0), NUMBER(TERN_F32, 3), NUMBER(TERN_I64, 1)}, "inputs of different types"},
        {RANGE(TERN_BOOL, 0, 1, 1), "expected a whole number"},
        {RANGE(TERN_F32, 1, 2.5, 0.5), NULL, 3, {1, 1.5, 2}},
        {RANGE(TERN_F32, 1, 0, 1), NULL, 0},
        {RANGE(TERN_I64, 5, 0, -2), NULL, 3, {5, 3, 1}},
        {RANGE(TERN_I64, 5, 5, -2), NULL, 0},
        {RANGE(TERN_I32, 0, 4, 3), NULL, 2, {0, 3}},
        {RANGE(TERN_I64, -0x1p63, 0x1p62, 0x1p62), NULL, 3, {-0x1p63, -0x1p62, 0}},
    };
    CHECK_ODD(cases);
}

TERN_TEST(io_onnx_odd, range_beyond_doubles) {
    const int64_t v[3] = {(INT64_C(1) << 60) + 1, (INT64_C(1) << 60) + 6, 2};
    int64_t y[3] = {0};
    const odd c = {RANGE(TERN_I64, 0, 0, 0), NULL, 0};
    write_odd(&c);
    tern_module *m = tern_onnx_load(path);
    tern_tensor *x[3], *t;
    for (int i = 0; i < 3; i++) x[i] = tern_from(&v[i], tern_shape_scalar(), (tern_options){.dtype = TERN_I64});
    REQUIRE(tern_onnx_run(m, x, 3, &t, 1) && tern_numel(t) == 3 && tern_to_host(t, y, sizeof y), "%s",
            tern_error_message());
    for (int i = 0; i < 3; i++) CHECK(y[i] == v[0] + 2 * i, "%lld", (long long)y[i]);
    tern_module_free(m);
    unlink(path);
}

#define AXIS(i) .number = "axis", .number_is = i
TERN_TEST(io_onnx_odd, concat) {
    const odd cases[] = {
        {"Concat", {ONES(TERN_F32, 2, 2, 2), ONES(TERN_F32, 1, 2)}, "x[1] [2]", AXIS(0)},
        {"Concat", {ONES(TERN_F32, 2, 2, 2), ONES(TERN_F32, 2, 3, 1)}, "x[1] [3, 1]", AXIS(0)},
        {"Concat", {ONES(TERN_F32, 1, 2), ONES(TERN_F32, 1, 2)}, "axis 1 of 1", AXIS(1)},
        {"Concat", {ONES(TERN_F32, 1, 2), ONES(TERN_F32, 1, 2)}, "axis -2 of 1", AXIS(-2)},
        {"Concat", {ONES(TERN_F32, 1, 2), ONES(TERN_F32, 1, 2)}, "axis 4294967296 of 1", AXIS(INT64_C(1) << 32)},
        {"Concat", {NUMBER(TERN_F32, 2), NUMBER(TERN_F32, 2)}, "axis 0 of 0", AXIS(0)},
        {"Concat", {ONES(TERN_F32, 1, 2), ONES(TERN_F32, 1, 2)}, "no axis"},
        {"Concat", {ONES(TERN_F32, 1, 2), ONES(TERN_I64, 1, 2)}, "i64", AXIS(0)},
        {"Concat", {ONES(TERN_F32, 1, 2), {0}, ONES(TERN_F32, 1, 2)}, "input 1 is missing", AXIS(0)},
        {"Concat", {LIST(TERN_I64, 2, 1, 2), LIST(TERN_I64, 1, 3)}, NULL, 3, {1, 2, 3}, AXIS(-1)},
    };
    CHECK_ODD(cases);
}

#define SQUARE                                                     \
    {                                                              \
        true, TERN_F32, {.ndim = 2, .dim = {2, 2}}, { 1, 2, 3, 4 } \
    }
TERN_TEST(io_onnx_odd, trilu) {
    const odd cases[] = {
        {"Trilu", {LIST(TERN_F32, 2, 1, 2)}, "1 dimensions"},
        {"Trilu", {NUMBER(TERN_F32, 2), NUMBER(TERN_I64, 0)}, "0 dimensions"},
        {"Trilu", {SQUARE, LIST(TERN_I64, 2, 0, 1)}, "2 numbers"},
        {"Trilu", {SQUARE, LIST(TERN_I64, 0, 0)}, "no number in input 1"},
        {"Trilu", {SQUARE, NUMBER(TERN_F32, (double)NAN)}, "expected a whole number"},
        {"Trilu", {SQUARE, NUMBER(TERN_I64, 1)}, NULL, 4, {0, 2, 0, 0}},
        {"Trilu", {SQUARE, NUMBER(TERN_I64, 0x1p62)}, NULL, 4, {0, 0, 0, 0}},
        {"Trilu", {SQUARE, NUMBER(TERN_I64, -0x1p63)}, NULL, 4, {1, 2, 3, 4}},
        {"Trilu", {SQUARE, NUMBER(TERN_I64, -0x1p63)}, NULL, 4, {0, 0, 0, 0}, .number = "upper", .number_is = 0},
        {"Trilu", {SQUARE, NUMBER(TERN_I64, 0x1p62)}, NULL, 4, {1, 2, 3, 4}, .number = "upper", .number_is = 0},
    };
    CHECK_ODD(cases);
}

#define MODE(name, value) .text = name, .text_is = value
#define LINE              LIST(TERN_F32, 2, 1, 2)
TERN_TEST(io_onnx_odd, resize) {
    const double nan = (double)NAN, inf = (double)INFINITY;
    const odd cases[] = {
        {"Resize", {LINE, {0}, LIST(TERN_F32, 1, 2), LIST(TERN_I64, 1, 4)}, "both scales and sizes"},
        {"Resize", {LINE}, "neither scales nor sizes"},
        {"Resize", {LINE, {0}, LIST(TERN_F32, 0, 0), LIST(TERN_I64, 0, 0)}, "neither scales nor sizes"},
        {"Resize", {LINE, {0}, LIST(TERN_F32, 2, 2, 2)}, "2 scales for 1 axes"},
        {"Resize", {LINE, {0}, {0}, LIST(TERN_I64, 3, 2, 2, 2)}, "3 sizes for 1 axes"},
        {"Resize", {LINE, {0}, LIST(TERN_F32, 1, -2)}, "a scale of -2"},
        {"Resize", {LINE, {0}, LIST(TERN_F32, 1, 0)}, "a scale of 0"},
        {"Resize", {LINE, {0}, LIST(TERN_F32, 1, nan)}, "a scale of nan"},
        {"Resize", {LINE, {0}, LIST(TERN_F32, 1, inf)}, "a scale of inf"},
        {"Resize", {LINE, {0}, LIST(TERN_F32, 1, 1e30)}, "axis 0 would have 2e+30 elements"},
        {"Resize", {LINE, {0}, {0}, LIST(TERN_I64, 1, -4)}, "a size of -4"},
        {"Resize", {LINE, {0}, {0}, LIST(TERN_I64, 1, 0x1p62)}, "axis 0 would have"},
        {"Resize", {ONES(TERN_F32, 1, 0), {0}, {0}, LIST(TERN_I64, 1, 4)}, "axis 0 of 0 elements"},
        {"Resize", {LINE, {0}, LIST(TERN_F32, 1, 2)}, "axis 1 of 1", .list = "axes", .list_is = {1}, .n_list = 1},
        {"Resize",
         {ONES(TERN_F32, 2, 1, 1), {0}, LIST(TERN_F32, 2, 2, 2)},
         "axis 1 twice",
         .list = "axes",
         .list_is = {1, -1},
         .n_list = 2},
        {"Resize", {LINE, {0}, LIST(TERN_F32, 1, 2)}, "nearest_mode is up", MODE("nearest_mode", "up")},
        {"Resize", {LINE, {0}, LIST(TERN_F32, 1, 2)}, "mode is cubic", MODE("mode", "cubic")},
        {"Resize", {LIST(TERN_I64, 2, 1, 9), {0}, LIST(TERN_F32, 1, 2)}, "linear, of i64", MODE("mode", "linear")},
        {"Resize", {LINE, LIST(TERN_F32, 2, 2, 2)}, "2 scales for 1 axes", .opset = 10},
        {"Resize", {LINE, {0}, LIST(TERN_F32, 0, 0), LIST(TERN_I64, 1, 4)}, NULL, 4, {1, 1, 2, 2}},
        {"Resize", {LINE, {0}, LIST(TERN_F32, 1, 1e-30)}, NULL, 0},
        {"Resize", {LINE, LIST(TERN_F32, 1, 2)}, NULL, 4, {1, 1, 2, 2}, .opset = 10},
    };
    CHECK_ODD(cases);
}

/* Other numbers that a node takes as they come. */
TERN_TEST(io_onnx_odd, others) {
    const odd cases[] = {
        {"CumSum", {LINE, NUMBER(TERN_I64, 0x1p62)}, "axis 4611686018427387904 of 1"},
        {"CumSum", {LINE, NUMBER(TERN_F32, (double)NAN)}, "expected a whole number"},
        {"CumSum", {LINE, NUMBER(TERN_I64, 0)}, NULL, 2, {1, 3}},
        {"TopK", {LINE, LIST(TERN_I64, 1, 3)}, "topk"},
        {"TopK", {LINE, LIST(TERN_I64, 1, -0x1p63)}, "topk"},
        {"DepthToSpace",
         {ONES(TERN_F32, 4, 1, 4, 1, 1)},
         "blocksize 4294967296",
         .number = "blocksize",
         .number_is = INT64_C(1) << 32},
    };
    CHECK_ODD(cases);
}

/* ---- size ----------------------------------------------------------------------------------------------------------
 */

/* A chain of 20,000 additions, each of its own initializer: what is cubic in them would take hours, what is quadratic
 * minutes. Their names differ, or the letters that a module's name takes are the same for all. */
static void check_large(const char *stem) {
    enum { NODES = 20000 };
    static const float one = 1;
    bytes graph = {0}, node = {0}, tensor = {0};
    char name[200], before[200] = "x", after[32];
    for (int i = 0; i < NODES; i++) {
        snprintf(name, sizeof name, "%s%d", stem, i);
        snprintf(after, sizeof after, i < NODES - 1 ? "y%d" : "y", i);
        put_text(&node, 1, before);
        put_text(&node, 1, name);
        put_text(&node, 2, after);
        put_text(&node, 4, "Add");
        put_part(&graph, 1, &node);
        put_number(&tensor, 1, 1);
        put_number(&tensor, 2, 1);
        put_text(&tensor, 8, name);
        put(&tensor, 9, &one, sizeof one);
        put_part(&graph, 5, &tensor);
        snprintf(before, sizeof before, "%s", after);
    }
    put_info(&graph, 11, "x");
    put_info(&graph, 12, "y");
    write_onnx(path, &graph, 18);
    tern_module *m = tern_onnx_load(path);
    REQUIRE(m != NULL, "%s", tern_error_message());
    CHECK(tern_module_count(m, true) == NODES);
    tern_named last;
    CHECK(tern_module_each(m, NODES - 1, &last) && !tern_module_each(m, NODES, &last));
    const bool was = tern_grad_mode(false);
    CHECK_VALUES(tern_forward(m, tern_zeros(TERN_SHAPE(1), (tern_options){0})), NODES);
    tern_grad_mode(was);
    tern_module_free(m);
    unlink(path);
}

TERN_TEST(io_onnx_odd, large) {
    char same[140];
    memset(same, 'w', sizeof same - 1);
    same[sizeof same - 1] = 0;
    check_large("onnx::Add_");
    check_large("layer.");
    check_large(same);
}

/* Names of which one is the beginning of others: a parameter, and beside it a module for the rest. */
TERN_TEST(io_onnx_odd, names_that_begin_alike) {
    static const char *const names[] = {"a", "a.w", "a.b", "a_2", "c/d", "c:d", "."};
    static const char *const wanted[] = {"a", "a_2_2", "c_d", "c_d_2", "_", "a_2.w", "a_2.b"};
    static const float one = 1;
    bytes graph = {0}, node = {0}, tensor = {0};
    put_text(&node, 1, "x");
    put_text(&node, 2, "y");
    put_text(&node, 4, "Relu");
    put_part(&graph, 1, &node);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        put_number(&tensor, 1, 1);
        put_number(&tensor, 2, 1);
        put_text(&tensor, 8, names[i]);
        put(&tensor, 9, &one, sizeof one);
        put_part(&graph, 5, &tensor);
    }
    put_info(&graph, 11, "x");
    put_info(&graph, 12, "y");
    write_onnx(path, &graph, 18);
    tern_module *m = tern_onnx_load(path);
    REQUIRE(m != NULL, "%s", tern_error_message());
    tern_named e;
    for (int i = 0; i < (int)(sizeof wanted / sizeof *wanted); i++)
        CHECK(tern_module_each(m, i, &e) && strcmp(e.name, wanted[i]) == 0, "%d: %s", i, e.name);
    tern_module_free(m);
    unlink(path);
}
