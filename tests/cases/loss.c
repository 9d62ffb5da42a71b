/* cross_entropy with its fused kernel. arg[0]: reduction. The other losses: loss_values.c, loss_classes.c. */
#include "../sweep.h"

static tern_tensor *call_cross_entropy(tern_tensor *const *in, const sweep_case *c) {
    return tern_cross_entropy(in[0], in[1],
                              (tern_cross_entropy_opts){.reduction = (tern_reduction)c->arg[0],
                                                        .label_smoothing = c->number[0],
                                                        .has_ignore_index = c->arg[1] != 0,
                                                        .ignore_index = c->arg[2]});
}

static void ref_cross_entropy(const array *in, const sweep_case *c, array *out) {
    const array *x = &in[0], *t = &in[1];
    const int64_t classes = x->shape.dim[1], n = x->shape.dim[0], inner = n ? t->n / n : 0;
    const double smooth = c->number[0];
    double total = 0, count = 0;
    if (c->arg[0] == TERN_REDUCE_NONE)
        array_new(out, t->shape);
    else
        array_new(out, tern_shape_scalar());
    for (int64_t i = 0; i < t->n; i++) {
        const int64_t want = (int64_t)t->v[i];
        if (want == -100 || (c->arg[1] && want == c->arg[2])) continue;
        const double *row = x->v + i / inner * classes * inner + i % inner;
        double top = -(double)INFINITY, sum = 0, all = 0;
        for (int64_t k = 0; k < classes; k++) top = fmax(top, row[k * inner]);
        for (int64_t k = 0; k < classes; k++) sum += exp(row[k * inner] - top);
        for (int64_t k = 0; k < classes; k++) all += top + log(sum) - row[k * inner];
        const double loss = (1 - smooth) * (top + log(sum) - row[want * inner]) + smooth * all / (double)classes;
        if (c->arg[0] == TERN_REDUCE_NONE) out->v[i] = loss;
        total += loss;
        count++;
    }
    if (c->arg[0] == TERN_REDUCE_MEAN) out->v[0] = total / count;
    if (c->arg[0] == TERN_REDUCE_SUM) out->v[0] = total;
}

static const sweep_case cross_entropies[] = {
    {"mean", {REAL(4, 5), INDEX(5, 4)}},
    {"sum", {REAL(4, 5), INDEX(5, 4)}, .arg = {TERN_REDUCE_SUM}},
    {"none", {REAL(4, 5), INDEX(5, 4)}, .arg = {TERN_REDUCE_NONE}},
    {"i32 targets", {REAL(4, 5), INDEX32(5, 4)}},
    {"one class", {REAL(3, 1), INDEX(1, 3)}},
    {"smoothing", {REAL(4, 5), INDEX(5, 4)}, .number = {0.1}},
    {"smoothing, sum", {REAL(4, 5), INDEX(5, 4)}, .arg = {TERN_REDUCE_SUM}, .number = {0.3}},
    {"smoothing 1, none", {REAL(4, 5), INDEX(5, 4)}, .arg = {TERN_REDUCE_NONE}, .number = {1}},
    {"ignored", {REAL(9, 3), INDEX(3, 9)}, .arg = {TERN_REDUCE_MEAN, 1, 1}},
    {"ignored, none, smoothing", {REAL(9, 3), INDEX(3, 9)}, .arg = {TERN_REDUCE_NONE, 1, 0}, .number = {0.2}},
    {"more dimensions", {REAL(2, 3, 4), INDEX(3, 2, 4)}},
    {"images, none", {REAL(2, 3, 2, 3), INDEX(3, 2, 2, 3)}, .arg = {TERN_REDUCE_NONE}},
    {"images, ignored, smoothing",
     {REAL(2, 3, 2, 3), INDEX(3, 2, 2, 3)},
     .arg = {TERN_REDUCE_MEAN, 1, 2},
     .number = {0.1}},
    {"large scores", {RANGE(-1000, 1000, 4, 5), INDEX(5, 4)}, .flags = SWEEP_F64_ONLY},
    {"batch", {REAL(65, 10), INDEX(10, 65)}, .flags = SWEEP_NO_SECOND},
    {"target outside",
     {REAL(4, 5), {.kind = IN_INDEX, .lo = 5, .hi = 5, .shape = SHAPE_OF(4)}},
     .code = TERN_ERR_INDEX,
     .text = "5"},
    {"target negative",
     {REAL(4, 5), {.kind = IN_INDEX, .lo = -1, .hi = -1, .shape = SHAPE_OF(4)}},
     .code = TERN_ERR_INDEX},
    {"target's shape", {REAL(4, 5), INDEX(5, 3)}, .code = TERN_ERR_SHAPE},
    {"target's ndim", {REAL(4, 5), INDEX(5, 4, 1)}, .code = TERN_ERR_SHAPE},
    {"real targets", {REAL(4, 5), TYPED(TERN_F32, 4)}, .code = TERN_ERR_DTYPE},
    {"integer scores", {TYPED(TERN_I32, 4, 5), INDEX(2, 4)}, .code = TERN_ERR_DTYPE},
    {"smoothing above 1", {REAL(4, 5), INDEX(5, 4)}, .number = {1.5}, .code = TERN_ERR_ARGUMENT},
};
SWEEP(cross_entropy, cross_entropies, call_cross_entropy, ref_cross_entropy, 0, 4)

BENCH(cross_entropy, call_cross_entropy, "F.cross_entropy(a, b)",
      {"[4096, 1000]", {REAL(4096, 1000), INDEX(1000, 4096)}})
BENCH(cross_entropy__vocabulary, call_cross_entropy, "F.cross_entropy(a, b)",
      {"[32, 50257]", {REAL(32, 50257), INDEX(50257, 32)}})
