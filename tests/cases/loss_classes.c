/* Losses over rows of classes or of features. arg[0]: reduction. References are PyTorch's formulas, in double. */
#include "../sweep.h"

#define R(c) ((tern_reduction)(c)->arg[0])

/* Reduces `each` in place into out; `count` is what the mean divides by. */
static void reduce(array *each, int64_t how, double count, array *out) {
    double sum = 0;
    for (int64_t i = 0; i < each->n; i++) sum += each->v[i];
    if (how == TERN_REDUCE_NONE) {
        *out = *each;
        return;
    }
    array_new(out, tern_shape_scalar());
    out->v[0] = how == TERN_REDUCE_SUM ? sum : sum / count;
    free(each->v);
}

/* ---- nll_loss, cross_entropy with weights and with probabilities
 * ------------------------------------------------------ in: input, target, weight. arg[1]: has_ignore_index; arg[2]:
 * it. number[0]: smoothing. */

static tern_tensor *call_nll_loss(tern_tensor *const *in, const sweep_case *c) {
    return tern_nll_loss(
        in[0], in[1],
        (tern_nll_loss_opts){
            .reduction = R(c), .has_ignore_index = c->arg[1] != 0, .ignore_index = c->arg[2], .weight = in[2]});
}

static tern_tensor *call_cross_entropy(tern_tensor *const *in, const sweep_case *c) {
    return tern_cross_entropy(in[0], in[1],
                              (tern_cross_entropy_opts){.reduction = R(c),
                                                        .label_smoothing = c->number[0],
                                                        .has_ignore_index = c->arg[1] != 0,
                                                        .ignore_index = c->arg[2],
                                                        .weight = in[2]});
}

static void classes_of(const array *x, int64_t *n, int64_t *classes, int64_t *inner) {
    const bool row = x->shape.ndim == 1;
    *n = row ? 1 : x->shape.dim[0];
    *classes = x->shape.dim[row ? 0 : 1];
    *inner = x->n > 0 ? x->n / (*n * *classes) : 1;
}

static double log_sum(const double *row, int64_t classes, int64_t step) {
    double s = 0;
    for (int64_t k = 0; k < classes; k++) s += exp(row[k * step]);
    return log(s);
}

static void ref_classes(const array *in, const sweep_case *c, bool scores, array *out) {
    int64_t n, classes, inner;
    const bool weighted = c->in[2].kind != IN_NONE, soft = c->in[1].kind == IN_REAL;
    array each;
    classes_of(&in[0], &n, &classes, &inner);
    tern_shape s = {in[0].shape.ndim > 0 ? in[0].shape.ndim - 1 : 0, {0}};
    for (int d = 0, k = 0; d < in[0].shape.ndim; d++)
        if (d != (in[0].shape.ndim == 1 ? 0 : 1)) s.dim[k++] = in[0].shape.dim[d];
    array_new(&each, s);
    double count = 0;
    for (int64_t i = 0; i < each.n; i++) {
        const int64_t at = i / inner * classes * inner + i % inner;
        const double *x = in[0].v + at, lse = scores ? log_sum(x, classes, inner) : 0;
        const int64_t t = soft ? -1 : (int64_t)in[1].v[i];
        if (!soft && (t == -100 || (c->arg[1] && t == c->arg[2]))) continue;
        for (int64_t k = 0; k < classes; k++) {
            const double given = soft ? in[1].v[at + k * inner] : k == t, w = weighted ? in[2].v[k] : 1;
            const double wanted = given * (1 - c->number[0]) + c->number[0] / (double)classes;
            each.v[i] -= w * wanted * (x[k * inner] - lse);
        }
        count += soft || !weighted ? 1 : in[2].v[t];
    }
    reduce(&each, c->arg[0], count, out);
}

static void ref_nll_loss(const array *in, const sweep_case *c, array *out) { ref_classes(in, c, false, out); }
static void ref_cross_entropy(const array *in, const sweep_case *c, array *out) { ref_classes(in, c, true, out); }

#define CLASSES(named)                                                                                          \
    {"weight", {REAL(4, 5), INDEX(5, 4), RANGE(0.5, 2, 5)}},                                                    \
        {"weight, sum", {REAL(4, 5), INDEX(5, 4), RANGE(0.5, 2, 5)}, .arg = {TERN_REDUCE_SUM}},                 \
        {"weight, none", {REAL(4, 5), INDEX32(5, 4), RANGE(0.5, 2, 5)}, .arg = {TERN_REDUCE_NONE}},             \
        {"weight, ignored",                                                                                     \
         {REAL(9, 3), INDEX(3, 9), RANGE(0.5, 2, 3)},                                                           \
         .arg = {0, 1, 1},                                                                                      \
         .flags = SWEEP_NO_LAYOUTS /* expanded, all could be ignored */},                                       \
        {"images", {REAL(2, 3, 2, 3), INDEX(3, 2, 2, 3), RANGE(0.5, 2, 3)}, .arg = {TERN_REDUCE_NONE, 1, 0}},   \
        {"a row", {REAL(5), {.kind = IN_INDEX, .lo = 0, .hi = 4}, NONE}},                                       \
        {"a row, none, weight",                                                                                 \
         {REAL(5), {.kind = IN_INDEX, .lo = 0, .hi = 4}, RANGE(0.5, 2, 5)},                                     \
         .arg = {TERN_REDUCE_NONE}},                                                                            \
        {"no rows", {REAL(0, 5), INDEX(5, 0), RANGE(0.5, 2, 5)}, .arg = {TERN_REDUCE_SUM}},                     \
        {"weight's size", {REAL(4, 5), INDEX(5, 4), REAL(4)}, .code = TERN_ERR_SHAPE, .text = named},           \
        {"target's shape", {REAL(4, 5), INDEX(5, 3), REAL(5)}, .code = TERN_ERR_SHAPE, .text = named},          \
        {"target outside",                                                                                      \
         {REAL(4, 5), {.kind = IN_INDEX, .lo = 5, .hi = 5, .shape = SHAPE_OF(4)}, REAL(5)},                     \
         .code = TERN_ERR_INDEX,                                                                                \
         .text = named},                                                                                        \
    {                                                                                                           \
        "target negative", {REAL(4, 5), {.kind = IN_INDEX, .lo = -1, .hi = -1, .shape = SHAPE_OF(4)}, REAL(5)}, \
            .code = TERN_ERR_INDEX, .text = named                                                               \
    }

static const sweep_case nll_losses[] = {
    {"mean", {REAL(4, 5), INDEX(5, 4), NONE}},
    {"more dimensions", {REAL(2, 3, 4), INDEX(3, 2, 4), NONE}, .arg = {TERN_REDUCE_SUM}},
    {"integer input", {TYPED(TERN_I32, 4, 5), INDEX(2, 4), NONE}, .code = TERN_ERR_DTYPE},
    CLASSES("nll_loss: "),
};
SWEEP(nll_loss, nll_losses, call_nll_loss, ref_nll_loss, 0, 8)
BENCH(nll_loss, call_nll_loss, "F.nll_loss(a, b)", {"[4096, 1000]", {REAL(4096, 1000), INDEX(1000, 4096), NONE}})

static const sweep_case cross_entropies[] = {
    CLASSES("cross_entropy: "),
    {"weight, smoothing", {REAL(4, 5), INDEX(5, 4), RANGE(0.5, 2, 5)}, .number = {0.1}},
    {"weight, smoothing, ignored, none",
     {REAL(9, 3), INDEX(3, 9), RANGE(0.5, 2, 3)},
     .arg = {TERN_REDUCE_NONE, 1, 2},
     .number = {0.3}},
    {"probabilities", {REAL(4, 5), RANGE(0, 1, 4, 5), NONE}},
    {"probabilities, weight, smoothing", {REAL(4, 5), RANGE(0, 1, 4, 5), RANGE(0.5, 2, 5)}, .number = {0.2}},
    {"probabilities, none, images", {REAL(2, 3, 4), RANGE(0, 1, 2, 3, 4), NONE}, .arg = {TERN_REDUCE_NONE}},
    {"probabilities of a row", {REAL(5), RANGE(0, 1, 5), NONE}, .arg = {TERN_REDUCE_SUM}},
};
SWEEP(cross_entropy__weighted, cross_entropies, call_cross_entropy, ref_cross_entropy, 0, 8)
BENCH(cross_entropy__weighted, call_cross_entropy, "F.cross_entropy(a, b, c)",
      {"[4096, 1000]", {REAL(4096, 1000), INDEX(1000, 4096), FIXED(0.5, 2, 1000)}})

/* ---- margins over classes: number[0] is the margin less 1, arg[1] p less 1
 * ---------------------------------------------
 */

static tern_tensor *call_multi_margin_loss(tern_tensor *const *in, const sweep_case *c) {
    return tern_multi_margin_loss(in[0], in[1], (int)c->arg[1] + 1, c->number[0] + 1,
                                  (tern_multi_margin_opts){.reduction = R(c), .weight = in[2]});
}

static void ref_multi_margin_loss(const array *in, const sweep_case *c, array *out) {
    int64_t n, classes, inner;
    array each;
    classes_of(&in[0], &n, &classes, &inner);
    array_new(&each, in[1].shape);
    for (int64_t i = 0; i < n; i++) {
        const double *x = in[0].v + i * classes;
        const int64_t t = (int64_t)in[1].v[i];
        for (int64_t k = 0; k < classes; k++) {
            const double over = fmax(0, c->number[0] + 1 - x[t] + x[k]);
            if (k != t) each.v[i] += (c->arg[1] ? over * over : over) / (double)classes;
        }
        if (c->in[2].kind != IN_NONE) each.v[i] *= in[2].v[t];
    }
    reduce(&each, c->arg[0], (double)each.n, out);
}

static const sweep_case multi_margin_losses[] = {
    {"mean", {REAL(4, 5), INDEX(5, 4), NONE}},
    {"squares, sum", {REAL(4, 5), INDEX32(5, 4), NONE}, .arg = {TERN_REDUCE_SUM, 1}},
    {"weight, margin, none",
     {REAL(4, 5), INDEX(5, 4), RANGE(0.5, 2, 5)},
     .arg = {TERN_REDUCE_NONE, 1},
     .number = {-0.6}},
    {"a row", {REAL(5), {.kind = IN_INDEX, .lo = 0, .hi = 4}, NONE}, .arg = {TERN_REDUCE_NONE}},
    {"no rows", {REAL(0, 5), INDEX(5, 0), NONE}, .arg = {TERN_REDUCE_SUM}},
    {"p 3", {REAL(4, 5), INDEX(5, 4), NONE}, .arg = {0, 2}, .code = TERN_ERR_ARGUMENT},
    {"target's shape", {REAL(4, 5), INDEX(5, 3), NONE}, .code = TERN_ERR_SHAPE},
    {"input's ndim", {REAL(4, 5, 2), INDEX(5, 4), NONE}, .code = TERN_ERR_SHAPE},
    {"target outside",
     {REAL(4, 5), {.kind = IN_INDEX, .lo = 5, .hi = 5, .shape = SHAPE_OF(4)}, NONE},
     .code = TERN_ERR_INDEX},
};
SWEEP(multi_margin_loss, multi_margin_losses, call_multi_margin_loss, ref_multi_margin_loss, 0, 8)

static tern_tensor *call_multilabel_margin_loss(tern_tensor *const *in, const sweep_case *c) {
    return tern_multilabel_margin_loss(in[0], in[1], R(c));
}

static void ref_multilabel_margin_loss(const array *in, const sweep_case *c, array *out) {
    int64_t n, classes, inner;
    array each;
    classes_of(&in[0], &n, &classes, &inner);
    array_new(&each, in[0].shape.ndim == 1 ? tern_shape_scalar() : tern_shape_of(1, &n));
    for (int64_t i = 0; i < n; i++) {
        const double *x = in[0].v + i * classes, *t = in[1].v + i * classes;
        for (int64_t j = 0; j < classes && t[j] >= 0; j++)
            for (int64_t k = 0; k < classes; k++) {
                bool target = false;
                for (int64_t q = 0; q < classes && t[q] >= 0; q++) target |= (int64_t)t[q] == k;
                if (!target) each.v[i] += fmax(0, 1 - x[(int64_t)t[j]] + x[k]) / (double)classes;
            }
    }
    reduce(&each, c->arg[0], (double)n, out);
}

#define LABELS(...) \
    { .kind = IN_INDEX, .lo = -1, .hi = 4, .shape = SHAPE_OF(__VA_ARGS__) }
static const sweep_case multilabel_margin_losses[] = {
    {"mean", {REAL(6, 5), LABELS(6, 5)}},
    {"none", {REAL(7, 5), LABELS(7, 5)}, .arg = {TERN_REDUCE_NONE}},
    {"a row", {REAL(5), LABELS(5)}, .arg = {TERN_REDUCE_SUM}},
    {"no rows", {REAL(0, 5), INDEX(5, 0, 5)}, .arg = {TERN_REDUCE_SUM}},
    {"shapes", {REAL(4, 5), LABELS(4, 4)}, .code = TERN_ERR_SHAPE},
    {"target outside",
     {REAL(4, 5), {.kind = IN_INDEX, .lo = 5, .hi = 5, .shape = SHAPE_OF(4, 5)}},
     .code = TERN_ERR_INDEX},
};
SWEEP(multilabel_margin_loss, multilabel_margin_losses, call_multilabel_margin_loss, ref_multilabel_margin_loss, 0, 8)

static tern_tensor *call_multilabel_soft_margin_loss(tern_tensor *const *in, const sweep_case *c) {
    return tern_multilabel_soft_margin_loss(in[0], in[1], in[2], R(c));
}

static void ref_multilabel_soft_margin_loss(const array *in, const sweep_case *c, array *out) {
    int64_t outer, classes, inner;
    array each;
    array_split(&in[0], -1, &outer, &classes, &inner);
    tern_shape s = in[0].shape;
    s.ndim--;
    array_new(&each, s);
    for (int64_t i = 0; i < in[0].n; i++) {
        const double x = in[0].v[i], t = in[1].v[i], w = c->in[2].kind == IN_NONE ? 1 : in[2].v[i % classes];
        each.v[i / classes] += w * (t * log1p(exp(-x)) + (1 - t) * log1p(exp(x))) / (double)classes;
    }
    reduce(&each, c->arg[0], (double)each.n, out);
}

static const sweep_case multilabel_soft_margin_losses[] = {
    {"mean", {REAL(4, 5), RANGE(0, 1, 4, 5), NONE}},
    {"weight, none", {REAL(4, 5), RANGE(0, 1, 4, 5), RANGE(0.5, 2, 5)}, .arg = {TERN_REDUCE_NONE}},
    {"more dimensions, sum", {REAL(2, 3, 4), RANGE(0, 1, 2, 3, 4), NONE}, .arg = {TERN_REDUCE_SUM}},
    {"a row", {REAL(5), RANGE(0, 1, 5), NONE}},
    {"0-dim", {SCALAR, SCALAR, NONE}, .code = TERN_ERR_SHAPE},
    {"shapes", {REAL(4, 5), REAL(4, 4), NONE}, .code = TERN_ERR_SHAPE},
};
SWEEP(multilabel_soft_margin_loss, multilabel_soft_margin_losses, call_multilabel_soft_margin_loss,
      ref_multilabel_soft_margin_loss, 0, 8)

/* ---- embeddings
 * ------------------------------------------------------------------------------------------------------ */

static tern_tensor *call_cosine_embedding_loss(tern_tensor *const *in, const sweep_case *c) {
    return tern_cosine_embedding_loss(in[0], in[1], in[2], c->number[0], R(c));
}

static void ref_cosine_embedding_loss(const array *in, const sweep_case *c, array *out) {
    const int64_t size = in[0].shape.dim[in[0].shape.ndim - 1];
    array each;
    array_new(&each, in[2].shape);
    for (int64_t i = 0; i < each.n; i++) {
        double ab = 0, aa = 1e-12, bb = 1e-12;
        for (int64_t k = 0; k < size; k++) {
            const double a = in[0].v[i * size + k], b = in[1].v[i * size + k];
            ab += a * b;
            aa += a * a;
            bb += b * b;
        }
        const double cos = ab / sqrt(aa * bb);
        each.v[i] = in[2].v[i] == 1 ? 1 - cos : in[2].v[i] == -1 ? fmax(0, cos - c->number[0]) : 0;
    }
    reduce(&each, c->arg[0], (double)each.n, out);
}

static const sweep_case cosine_embedding_losses[] = {
    {"mean", {REAL(6, 3), REAL(6, 3), WHOLE(-1, 1, 6)}},
    {"margin, none", {REAL(6, 3), REAL(6, 3), WHOLE(-1, 1, 6)}, .arg = {TERN_REDUCE_NONE}, .number = {0.2}},
    {"whole targets, sum",
     {REAL(6, 3), REAL(6, 3), {.kind = IN_INDEX, .lo = -1, .hi = 1, .shape = SHAPE_OF(6)}},
     .arg = {TERN_REDUCE_SUM}},
    {"a row", {REAL(4), REAL(4), {.kind = IN_WHOLE, .lo = 1, .hi = 1}}},
    {"target's shape", {REAL(6, 3), REAL(6, 3), WHOLE(-1, 1, 5)}, .code = TERN_ERR_SHAPE},
    {"shapes", {REAL(6, 3), REAL(6, 4), WHOLE(-1, 1, 6)}, .code = TERN_ERR_SHAPE},
};
SWEEP(cosine_embedding_loss, cosine_embedding_losses, call_cosine_embedding_loss, ref_cosine_embedding_loss, 0, 8)

/* arg[1]: swap; number[0]: p; number[1]: margin. */
static tern_tensor *call_triplet_margin_loss(tern_tensor *const *in, const sweep_case *c) {
    return tern_triplet_margin_loss(
        in[0], in[1], in[2], c->number[1],
        (tern_triplet_margin_opts){.reduction = R(c), .p = c->number[0], .swap = c->arg[1] != 0});
}

static double distance(const array *a, const array *b, tern_shape s, int64_t row, double p) {
    const int64_t size = s.dim[s.ndim - 1];
    double sum = 0;
    for (int64_t k = 0; k < size; k++)
        sum += pow(fabs(array_at(a, s, row * size + k) - array_at(b, s, row * size + k) + 1e-6), p);
    return pow(sum, 1 / p);
}

static void ref_triplet_margin_loss(const array *in, const sweep_case *c, array *out) {
    const tern_shape s = array_broadcast(array_broadcast(in[0].shape, in[1].shape), in[2].shape);
    const double p = c->number[0] > 0 ? c->number[0] : 2;
    tern_shape rows = s;
    rows.ndim--;
    array each;
    array_new(&each, rows);
    for (int64_t i = 0; i < each.n; i++) {
        double far = distance(&in[0], &in[2], s, i, p);
        if (c->arg[1]) far = fmin(far, distance(&in[1], &in[2], s, i, p));
        each.v[i] = fmax(0, distance(&in[0], &in[1], s, i, p) - far + c->number[1]);
    }
    reduce(&each, c->arg[0], (double)each.n, out);
}

static const sweep_case triplet_margin_losses[] = {
    {"mean", {REAL(4, 3), REAL(4, 3), REAL(4, 3)}, .number = {0, 1}},
    {"swap, sum", {REAL(4, 3), REAL(4, 3), REAL(4, 3)}, .arg = {TERN_REDUCE_SUM, 1}, .number = {0, 0.5}},
    {"p 1, none", {REAL(4, 3), REAL(4, 3), REAL(4, 3)}, .arg = {TERN_REDUCE_NONE}, .number = {1, 2}},
    {"p 3, broadcast", {REAL(4, 3), REAL(3), REAL(1, 3)}, .number = {3, 1}},
    {"p below 0", {REAL(4, 3), REAL(4, 3), REAL(4, 3)}, .number = {-1, 1}, .code = TERN_ERR_ARGUMENT},
    {"shapes", {REAL(4, 3), REAL(4, 2), REAL(4, 3)}, .number = {0, 1}, .code = TERN_ERR_SHAPE},
};
SWEEP(triplet_margin_loss, triplet_margin_losses, call_triplet_margin_loss, ref_triplet_margin_loss, 0, 8)
