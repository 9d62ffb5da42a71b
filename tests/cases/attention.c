/* scaled_dot_product_attention. */
#include "../sweep.h"

/* arg[0]: causal, number[0]: scale, number[1]: dropout; inputs q, k, v, mask */
static tern_tensor *call_attention(tern_tensor *const *in, const sweep_case *c) {
    const tern_attention_opts o = {.causal = c->arg[0] != 0, .scale = c->number[0], .dropout = c->number[1]};
    return tern_scaled_dot_product_attention(in[0], in[1], in[2], in[3], o);
}
static double score(const array *in, const sweep_case *c, tern_shape scores, int64_t row, int64_t krow, int64_t j) {
    const int n = scores.ndim;
    const int64_t e = in[0].shape.dim[n - 1], keys = scores.dim[n - 1];
    if (c->arg[0] && j > row % scores.dim[n - 2]) return -(double)INFINITY;
    double sum = 0;
    for (int64_t t = 0; t < e; t++) sum += in[0].v[row * e + t] * in[1].v[(krow + j) * e + t];
    sum *= c->number[0] != 0 ? c->number[0] : 1 / sqrt((double)e);
    if (!in[3].v) return sum;
    const double m = array_at(&in[3], scores, row * keys + j);
    return c->in[3].kind == IN_BOOL ? (m != 0 ? sum : -(double)INFINITY) : sum + m;
}
static void ref_attention(const array *in, const sweep_case *c, array *out) {
    const int n = in[0].shape.ndim;
    tern_shape s = in[0].shape, scores = s;
    const int64_t ev = in[2].shape.dim[n - 1], keys = in[1].shape.dim[n - 2], len = s.dim[n - 2];
    const int64_t g = n > 2 && in[1].shape.dim[n - 3] ? s.dim[n - 3] / in[1].shape.dim[n - 3] : 1;
    s.dim[n - 1] = ev;
    scores.dim[n - 1] = keys;
    array_new(out, s);
    for (int64_t row = 0; ev && row < out->n / ev; row++) {
        const int64_t krow = row / len / g * keys;
        double top = -(double)INFINITY, sum = 0;
        for (int64_t j = 0; j < keys; j++) top = fmax(top, score(in, c, scores, row, krow, j));
        for (int64_t j = 0; isfinite(top) && j < keys; j++) {
            const double w = exp(score(in, c, scores, row, krow, j) - top);
            sum += w;
            for (int64_t t = 0; t < ev; t++) out->v[row * ev + t] += w * in[2].v[(krow + j) * ev + t];
        }
        for (int64_t t = 0; sum > 0 && t < ev; t++) out->v[row * ev + t] /= sum;
    }
}
#define BAD(what) .code = TERN_ERR_##what, .text = "scaled_dot_product_attention"
static const sweep_case attentions[] = {
    {"heads", {REAL(2, 2, 3, 4), REAL(2, 2, 5, 4), REAL(2, 2, 5, 3), NONE}},
    {"causal", {REAL(2, 3, 4), REAL(2, 3, 4), REAL(2, 3, 2), NONE}, .arg = {1}},
    {"causal, more keys", {REAL(2, 2, 3), REAL(2, 4, 3), REAL(2, 4, 3), NONE}, .arg = {1}},
    {"causal, more rows", {REAL(1, 4, 3), REAL(1, 2, 3), REAL(1, 2, 3), NONE}, .arg = {1}},
    {"no heads", {REAL(3, 2), REAL(4, 2), REAL(4, 3), NONE}},
    {"scale", {REAL(2, 3, 2), REAL(2, 4, 2), REAL(2, 4, 3), NONE}, .number = {0.3}},
    {"grouped", {REAL(2, 4, 3, 2), REAL(2, 2, 4, 2), REAL(2, 2, 4, 3), NONE}},
    {"causal, in blocks", {REAL(140, 2), REAL(140, 2), REAL(140, 2), NONE}, .arg = {1}, .flags = SWEEP_NO_SECOND},
    {"causal, in blocks, fewer keys",
     {REAL(140, 2), REAL(9, 2), REAL(9, 2), NONE},
     .arg = {1},
     .flags = SWEEP_NO_SECOND},
    {"more than a block", {REAL(1, 2, 133, 3), REAL(1, 1, 261, 3), REAL(1, 1, 261, 2), NONE}, .flags = SWEEP_NO_SECOND},
    {"more than a block, causal, added mask",
     {REAL(67, 3), REAL(260, 3), REAL(260, 2), RANGE(-1, 1, 67, 260)},
     .arg = {1},
     .flags = SWEEP_NO_SECOND},
    {"wide", {REAL(2, 3, 131), REAL(2, 5, 131), REAL(2, 5, 67), NONE}, .number = {0.1}, .flags = SWEEP_NO_SECOND},
    /* Widths that NVIDIA's library takes in half precision. */
    {"widths of 8 and 16", {REAL(2, 2, 3, 8), REAL(2, 2, 5, 8), REAL(2, 2, 5, 16), NONE}, .flags = SWEEP_NO_SECOND},
    {"width 16, causal, grouped",
     {REAL(1, 4, 6, 16), REAL(1, 2, 6, 16), REAL(1, 2, 6, 16), NONE},
     .arg = {1},
     .flags = SWEEP_NO_SECOND},
    {"width 64, more than a block",
     {REAL(1, 2, 70, 64), REAL(1, 2, 130, 64), REAL(1, 2, 130, 64), NONE},
     .flags = SWEEP_NO_SECOND},
    {"one key head, causal", {REAL(3, 3, 2), REAL(1, 3, 2), REAL(1, 3, 2), NONE}, .arg = {1}},
    {"grouped, mask of a head", {REAL(1, 4, 2, 2), REAL(1, 2, 3, 2), REAL(1, 2, 3, 2), REAL(4, 1, 3)}},
    {"added mask", {REAL(2, 2, 3, 2), REAL(2, 2, 4, 2), REAL(2, 2, 4, 2), REAL(3, 4)}},
    {"bool mask", {REAL(2, 2, 3, 2), REAL(2, 2, 4, 2), REAL(2, 2, 4, 2), BOOLS(2, 1, 3, 4)}},
    {"rows without a key", {REAL(2, 5, 2), REAL(2, 2, 2), REAL(2, 2, 2), BOOLS(2, 5, 2)}},
    {"mask of one key, causal", {REAL(2, 4, 2), REAL(2, 4, 2), REAL(2, 4, 2), BOOLS(4)}, .arg = {1}},
    {"seven dimensions", {REAL(1, 1, 2, 1, 2, 2, 2), REAL(1, 1, 2, 1, 1, 3, 2), REAL(1, 1, 2, 1, 1, 3, 1), NONE}},
    {"no keys", {REAL(2, 3, 2), REAL(2, 0, 2), REAL(2, 0, 3), NONE}},
    {"no keys, mask", {REAL(2, 3, 2), REAL(2, 0, 2), REAL(2, 0, 3), BOOLS(3, 0)}, .arg = {1}},
    {"no rows", {REAL(2, 0, 2), REAL(2, 3, 2), REAL(2, 3, 3), NONE}},
    {"no batch", {REAL(0, 2, 3, 2), REAL(0, 1, 3, 2), REAL(0, 1, 3, 2), NONE}},
    {"heads not a multiple", {REAL(3, 2, 2), REAL(2, 2, 2), REAL(2, 2, 2), NONE}, BAD(SHAPE)},
    {"widths differ", {REAL(2, 2), REAL(2, 3), REAL(2, 2), NONE}, BAD(SHAPE)},
    {"lengths differ", {REAL(2, 2), REAL(3, 2), REAL(2, 2), NONE}, BAD(SHAPE)},
    {"1-dim", {REAL(2), REAL(2), REAL(2), NONE}, BAD(SHAPE)},
    {"mask", {REAL(2, 2), REAL(3, 2), REAL(3, 2), REAL(2, 2)}, BAD(SHAPE)},
    {"mask of integers", {REAL(2, 2), REAL(3, 2), REAL(3, 2), INDEX(2, 2, 3)}, BAD(DTYPE)},
    {"dropout", {REAL(2, 2), REAL(3, 2), REAL(3, 2), NONE}, .number = {0, 2}, BAD(ARGUMENT)},
};
SWEEP(scaled_dot_product_attention, attentions, call_attention, ref_attention, 0, 8)
#define SIZES REAL(4, 12, 512, 64), REAL(4, 12, 512, 64), REAL(4, 12, 512, 64), NONE
BENCH(scaled_dot_product_attention, call_attention, "F.scaled_dot_product_attention(a, b, c)",
      {"[4, 12, 512, 64]", {SIZES}})
BENCH(scaled_dot_product_attention__causal, call_attention, "F.scaled_dot_product_attention(a, b, c, is_causal=True)",
      {"[4, 12, 512, 64], causal", {SIZES}, .arg = {1}})
