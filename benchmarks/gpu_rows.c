/* The rows of bench-gpu: each is a call, its inputs, what it has to move or to compute at least, and PyTorch's name for
 * it. Lower bounds: every input is read once and every output written once; a backward pass reads the gradient that
 * comes, what forward kept, and writes one. */
#include "gpu_rows.h"

#define I(k) in[k]
#define CALL(name, expression) \
    static tern_tensor *call_##name(tern_tensor *const *in) { return (expression); }

CALL(copy, tern_copy_(I(0), I(1)))
CALL(add, tern_add(I(0), I(1)))
CALL(add_in_place, tern_add_(I(0), I(1)))
CALL(relu, tern_relu(I(0)))
CALL(gelu, tern_gelu(I(0)))
CALL(exp, tern_exp(I(0)))
CALL(bias, tern_add(I(0), I(1)))
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
CALL(conv1, tern_conv2d(I(0), I(1), NULL, (tern_conv2d_opts){0}))
CALL(conv3, tern_conv2d(I(0), I(1), NULL, (tern_conv2d_opts){.pad = {1}}))
CALL(conv3_halved, tern_conv2d(I(0), I(1), NULL, (tern_conv2d_opts){.stride = {2}, .pad = {1}}))
CALL(conv7, tern_conv2d(I(0), I(1), NULL, (tern_conv2d_opts){.stride = {2}, .pad = {3}}))
CALL(attention, tern_scaled_dot_product_attention(I(0), I(1), I(2), NULL, (tern_attention_opts){0}))
CALL(causal, tern_scaled_dot_product_attention(I(0), I(1), I(2), NULL, (tern_attention_opts){.causal = true}))

static double matmul_flops(int64_t d[BENCH_INPUTS][BENCH_DIMS]) {
    return 2.0 * (double)d[0][0] * (double)d[0][1] * (double)d[1][1];
}
static double linear_flops(int64_t d[BENCH_INPUTS][BENCH_DIMS]) {
    return 2.0 * (double)d[0][0] * (double)d[0][1] * (double)d[1][0];
}
static double conv_flops(int64_t d[BENCH_INPUTS][BENCH_DIMS], int64_t stride) {
    const int64_t height = (d[0][2] + stride - 1) / stride, width = (d[0][3] + stride - 1) / stride;
    return 2.0 * (double)(d[0][0] * height * width) * (double)(d[1][0] * d[1][1] * d[1][2] * d[1][3]);
}
static double conv_flops_1(int64_t d[BENCH_INPUTS][BENCH_DIMS]) { return conv_flops(d, 1); }
static double conv_flops_2(int64_t d[BENCH_INPUTS][BENCH_DIMS]) { return conv_flops(d, 2); }
static double attention_flops(int64_t d[BENCH_INPUTS][BENCH_DIMS]) {
    return 4.0 * (double)d[0][0] * (double)d[0][1] * (double)d[0][2] * (double)d[1][2] * (double)d[0][3];
}
static double causal_flops(int64_t d[BENCH_INPUTS][BENCH_DIMS]) { return attention_flops(d) / 2; }

/* name of the row: OP_DTYPE, with what tells it from others of the op between them. */
#define MOVES(op, type, call_name, torch_text, forward, both, ...) \
    {.name = #op "_" #type,                                        \
     .group = "memory",                                            \
     .kind = BENCH_BYTES,                                          \
     .dtype = TYPE_##type,                                         \
     .torch = torch_text,                                          \
     .in = {__VA_ARGS__},                                          \
     .call = call_##call_name,                                     \
     .moves = (forward),                                           \
     .moves_both = (both)},
#define COMPUTES(op, type, group_name, call_name, torch_text, flops_fn, both, ...) \
    {.name = #op "_" #type,                                                        \
     .group = group_name,                                                          \
     .kind = BENCH_FLOPS,                                                          \
     .dtype = TYPE_##type,                                                         \
     .torch = torch_text,                                                          \
     .in = {__VA_ARGS__},                                                          \
     .call = call_##call_name,                                                     \
     .flops = flops_fn,                                                            \
     .flops_both = (both)},
#define TYPE_f32  TERN_F32
#define TYPE_f16  TERN_F16
#define TYPE_bf16 TERN_BF16

#define BIG                     \
    {                           \
        .dim = { 16384, 16384 } \
    } /* 1 GiB of f32 */
#define ROWS                   \
    {                          \
        .dim = { 65536, 4096 } \
    } /* 512 MiB of bf16 */
#define WEIGHT          \
    {                   \
        .dim = { 4096 } \
    }
#define IMAGES                       \
    {                                \
        .dim = { 256, 64, 112, 112 } \
    }
#define CHANNELS      \
    {                 \
        .dim = { 64 } \
    }

#define SQUARE(n, type)                                                                                  \
    COMPUTES(matmul_##n, type, "matmul", matmul, "torch.matmul(a, b)", matmul_flops, 0, {.dim = {n, n}}, \
             {.dim = {n, n}})
#define SQUARE_TF32(n)                         \
    {.name = "matmul_" #n "_tf32",             \
     .group = "matmul",                        \
     .kind = BENCH_FLOPS,                      \
     .dtype = TERN_F32,                        \
     .tf32 = true,                             \
     .torch = "torch.matmul(a, b)",            \
     .in = {{.dim = {n, n}}, {.dim = {n, n}}}, \
     .call = call_matmul,                      \
     .flops = matmul_flops},
#define CONV(what, call_name, expression, flops_fn, c, o, hw, k)                                       \
    COMPUTES(conv_##what, bf16, "conv", call_name, expression, flops_fn, 3, {.dim = {256, c, hw, hw}}, \
             {.dim = {o, c, k, k}, .scale = 0.05})
#define ATTENTION(what, call_name, flops_fn, tail, b, h, t, e)                                                  \
    COMPUTES(attention_##what, bf16, "attention", call_name, "F.scaled_dot_product_attention(a, b, c" tail ")", \
             flops_fn, 3.5, {.dim = {b, h, t, e}}, {.dim = {b, h, t, e}}, {.dim = {b, h, t, e}})

static const bench_row rows[] = {
#include "gpu_rows.def"
};

const bench_row *bench_rows(int *n) {
    *n = (int)(sizeof rows / sizeof *rows);
    return rows;
}
