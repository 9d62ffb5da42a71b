/* Kernels whose work is known, and so how near they come to what the machine can do. A row gives the call and what
 * PyTorch calls it, the inputs in terms of a size, the sizes for the CPU and for a GPU, and what has to be moved or
 * computed at least: every input is read once and every output written once; a backward pass reads the gradient that
 * comes, what forward kept, and writes one. --sizes gives a row other sizes: the side of a square matrix, the elements
 * of what is elementwise or normalised, else the batch. */
#include "bench.h"

enum { DIMS = 4, CHAIN = 64, TINY = 16, SIZE = -1 };

typedef struct row_input {
    int64_t dim[DIMS]; /* -k: the size divided by k, 1 at least; the first 0 ends */
    int64_t below;     /* not 0: indices from 0 to below - 1, i64 */
    bool no_grad;
    double scale; /* standard deviation; 1 if zero */
} row_input;

typedef struct row {
    const char *name, *group;
    unsigned dtypes[2]; /* on the CPU, on a GPU */
    int64_t sizes[2][BENCH_SIZES];
    tern_tensor *(*call)(const bench_case *c, tern_tensor *const *in);
    const char *torch;
    row_input in[4];
    double moves[2]; /* forward, both: how often the bytes of the first input have to cross the memory's wires */
    double (*flops)(const bench_case *c);
    double flops_both; /* of forward and backward, by forward's */
    unsigned passes;   /* forward, and both if its work is known, if zero */
    int ops;
    tern_conv2d_opts conv;
    bool tf32, submit;
} row;

#define ON(x) (1u << (x))
#define F32   ON(TERN_F32)
#define F16   ON(TERN_F16)
#define BF16  ON(TERN_BF16)
#define S(...) \
    { __VA_ARGS__ }
#define MOVES(f, b) .moves = {(f), (b)}
#define FLOPS(f, b) .flops = (f), .flops_both = (b)

/* ---- calls ------------------------------------------------------------------------------------------------------- */

#define I(k) in[k]
#define CALL(name, expression)                                                     \
    static tern_tensor *call_##name(const bench_case *c, tern_tensor *const *in) { \
        (void)c;                                                                   \
        return (expression);                                                       \
    }
CALL(copy, tern_copy_(I(0), I(1)))
CALL(add, tern_add(I(0), I(1)))
CALL(add_in_place, tern_add_(I(0), I(1)))
CALL(mul, tern_mul(I(0), I(1)))
CALL(relu, tern_relu(I(0)))
CALL(gelu, tern_gelu(I(0)))
CALL(gelu_tanh, tern_gelu_tanh(I(0)))
CALL(exp, tern_exp(I(0)))
CALL(where, tern_where(tern_gt(I(0), I(1)), I(0), I(1)))
CALL(sum_rows, tern_sum(I(0), (const int[]){1}, 1, false))
CALL(sum_all, tern_sum(I(0), NULL, 0, false))
CALL(transpose, tern_clone(tern_transpose(I(0), 0, 1)))
CALL(layer_norm, tern_layer_norm(I(0), 1, I(1), I(2), 1e-5))
CALL(rms_norm, tern_rms_norm(I(0), 1, I(1), 1e-5))
CALL(batch_norm, tern_batch_norm(I(0), I(1), I(2), NULL, NULL, (tern_batch_norm_opts){.training = true}))
CALL(group_norm, tern_group_norm(I(0), 8, I(1), I(2), 1e-5))
CALL(softmax, tern_softmax(I(0), -1))
CALL(log_softmax, tern_log_softmax(I(0), -1))
CALL(cross_entropy, tern_cross_entropy(I(0), I(1), (tern_cross_entropy_opts){0}))
CALL(matmul, tern_matmul(I(0), I(1)))
CALL(linear, tern_linear(I(0), I(1), I(2)))
CALL(conv, tern_conv2d(I(0), I(1), NULL, ((const row *)c->row)->conv))
CALL(depthwise, tern_conv2d(I(0), I(1), NULL, (tern_conv2d_opts){.pad = {1}, .groups = tern_size(I(1), 0)}))
CALL(attention, tern_scaled_dot_product_attention(I(0), I(1), I(2), NULL, (tern_attention_opts){0}))
CALL(causal, tern_scaled_dot_product_attention(I(0), I(1), I(2), NULL, (tern_attention_opts){.causal = true}))

static tern_tensor *call_chain(const bench_case *c, tern_tensor *const *in) {
    (void)c;
    tern_tensor *x = in[0];
    for (int i = 0; i < CHAIN; i++) x = tern_mul(x, in[1]);
    return x;
}

/* ---- work -------------------------------------------------------------------------------------------------------- */

static double dim(const bench_case *c, int i, int d) { return (double)c->in[i].shape.dim[d]; }

static double matmul_flops(const bench_case *c) { return 2 * dim(c, 0, 0) * dim(c, 0, 1) * dim(c, 1, 1); }
static double linear_flops(const bench_case *c) { return 2 * dim(c, 0, 0) * dim(c, 0, 1) * dim(c, 1, 0); }
static double conv_out(double side, double kernel, const tern_conv2d_opts *o) {
    const double stride = o->stride[0] ? (double)o->stride[0] : 1;
    return (double)(int64_t)((side + 2 * (double)o->pad[0] - kernel) / stride) + 1;
}
static double conv_flops_of(const bench_case *c, const tern_conv2d_opts *o) {
    const double out = conv_out(dim(c, 0, 2), dim(c, 1, 2), o) * conv_out(dim(c, 0, 3), dim(c, 1, 3), o);
    return 2 * dim(c, 0, 0) * out * dim(c, 1, 0) * dim(c, 1, 1) * dim(c, 1, 2) * dim(c, 1, 3);
}
static double conv_flops(const bench_case *c) { return conv_flops_of(c, &((const row *)c->row)->conv); }
static double conv_flops_1(const bench_case *c) { return conv_flops_of(c, &(tern_conv2d_opts){.pad = {1}}); }
static double attention_flops(const bench_case *c) {
    return 4 * dim(c, 0, 0) * dim(c, 0, 1) * dim(c, 0, 2) * dim(c, 1, 2) * dim(c, 0, 3);
}
static double causal_flops(const bench_case *c) { return attention_flops(c) / 2; }

/* ---- the table --------------------------------------------------------------------------------------------------- */

#define BIG             \
    {                   \
        .dim = { SIZE } \
    }
#define SQUARE                \
    {                         \
        .dim = { SIZE, SIZE } \
    }
#define ROWS_OF(n)           \
    {                        \
        .dim = { -(n), (n) } \
    }
#define VECTOR(n)     \
    {                 \
        .dim = {(n) } \
    }
#define LABELS(n, k) \
    { .dim = {-(n)}, .below = (k) }
#define IMAGES                      \
    {                               \
        .dim = { SIZE, 64, 56, 56 } \
    }
#define CONV_PASSES .passes = ON(BENCH_FORWARD) | ON(BENCH_INPUT) | ON(BENCH_WEIGHT) | ON(BENCH_BOTH)

#define ROW(n, g, cpu, gpu, cpu_sizes, gpu_sizes, ...) \
    {.name = #n, .group = (g), .dtypes = {(cpu), (gpu)}, .sizes = {cpu_sizes, gpu_sizes}, __VA_ARGS__},
#define LINEAR(i, o, ...)                                                                     \
    ROW(linear_##i##_##o, "matmul", F32, BF16, S(__VA_ARGS__), S(16384), .call = call_linear, \
        .torch = "F.linear(a, b, c)", FLOPS(linear_flops, 3),                                 \
        .in = {{.dim = {SIZE, i}}, {.dim = {o, i}, .scale = 0.05}, {.dim = {o}}})
#define CONV(n, c, o, side, k, s, p, cpu, gpu)                                              \
    ROW(conv_##n, "conv", F32, BF16, S(cpu), S(gpu), .call = call_conv,                     \
        .torch = "F.conv2d(a, b, None, " #s ", " #p ")", FLOPS(conv_flops, 3), CONV_PASSES, \
        .conv = {.stride = {s}, .pad = {p}},                                                \
        .in = {{.dim = {SIZE, c, side, side}}, {.dim = {o, c, k, k}, .scale = 0.05}})
#define ATTENTION(n, fn, work, tail, cpu, gpu, h, t, e)                               \
    ROW(attention_##n, "attention", F32, BF16, S(cpu), S(gpu), .call = fn,            \
        .torch = "F.scaled_dot_product_attention(a, b, c" tail ")", FLOPS(work, 3.5), \
        .in = {{.dim = {SIZE, h, t, e}}, {.dim = {SIZE, h, t, e}}, {.dim = {SIZE, h, t, e}}})

static const row rows[] = {
#include "rows.def"
};

static void fill_inputs(bench_case *c, const row *r, tern_dtype dtype, int64_t size) {
    for (int i = 0; i < 4 && r->in[i].dim[0]; i++) {
        const row_input *in = &r->in[i];
        bench_spec *s = &c->in[i];
        *s = (bench_spec){.source = in->below ? BENCH_INTEGERS : BENCH_NORMAL,
                          .dtype = in->below ? TERN_I64 : dtype,
                          .hi = in->below       ? 0
                                : in->scale > 0 ? in->scale
                                                : 1,
                          .grad = !in->below && !in->no_grad};
        int64_t below = in->below;
        for (int d = 0; d < DIMS && in->dim[d]; d++) {
            int64_t n = in->dim[d] > 0 ? in->dim[d] : size / -in->dim[d] > 0 ? size / -in->dim[d] : 1;
            if (c->tiny && n > TINY) n = TINY;
            s->shape.dim[s->shape.ndim++] = n;
        }
        if (c->tiny && below > TINY) below = TINY;
        if (in->below) s->hi = (double)(below - 1);
    }
}

static void fill(bench_case *c, const row *r, tern_dtype dtype, bench_pass pass, int64_t size, const bench_options *o) {
    *c = (bench_case){.group = r->group,
                      .torch = r->torch,
                      .pass = pass,
                      .dtype = dtype,
                      .device = o->device,
                      .tf32 = r->tf32,
                      .submit = r->submit && o->device.type != TERN_CPU,
                      .tiny = o->quick,
                      .ops = r->ops,
                      .row = r,
                      .call = r->call};
    snprintf(c->name, sizeof c->name, "%s/%s/%lld", r->group, r->name, (long long)size);
    fill_inputs(c, r, dtype, size);
    double bytes = (double)tern_dtype_size(dtype);
    for (int d = 0; d < c->in[0].shape.ndim; d++) bytes *= dim(c, 0, d);
    c->bytes = bytes * (pass == BENCH_FORWARD ? r->moves[0] : pass == BENCH_BOTH ? r->moves[1] : 0);
    if (r->flops) c->flops = r->flops(c) * (pass == BENCH_BOTH ? r->flops_both : 1);
}

static bool add_size(bench_list *list, const row *r, int64_t size, const bench_options *o) {
    unsigned dtypes = o->dtype ? ON(o->dtype - 1) : r->dtypes[o->device.type != TERN_CPU];
    const unsigned passes =
        r->passes ? r->passes : ON(BENCH_FORWARD) | (r->moves[1] > 0 || r->flops_both > 0 ? ON(BENCH_BOTH) : 0);
    for (int t = 0; t < TERN_DTYPE_COUNT; t++) {
        for (int p = 0; p < BENCH_PASSES; p++) {
            bench_case c;
            if (!(dtypes & ON(t)) || !(passes & ON(p))) continue;
            fill(&c, r, (tern_dtype)t, (bench_pass)p, size, o);
            if (!bench_wanted(o, c.name)) continue;
            bench_case *at = bench_add(list);
            if (!at) return false;
            *at = c;
        }
    }
    return true;
}

bool bench_rows_add(bench_list *list, const bench_options *o) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const int64_t *own = rows[i].sizes[o->device.type != TERN_CPU], *sizes = o->n_sizes ? o->sizes : own;
        if (!own[0]) continue;
        for (int k = 0; k < (o->n_sizes ? o->n_sizes : BENCH_SIZES) && sizes[k]; k++)
            if (!add_size(list, &rows[i], sizes[k], o)) return false;
    }
    return true;
}
