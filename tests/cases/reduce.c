/* sum, mean, max, min, argmax, sum_to. arg: number of dims, keepdim, the dims. */
#include "../sweep.h"

typedef enum kind { SUM, MEAN, MAX, MIN } kind;

static void reduce(const array *x, const sweep_case *c, kind k, array *out) {
    bool gone[TERN_MAX_DIMS] = {0};
    for (int i = 0; i < c->arg[0]; i++) gone[c->arg[2 + i] < 0 ? c->arg[2 + i] + x->shape.ndim : c->arg[2 + i]] = true;
    tern_shape kept = x->shape, shape = {0};
    for (int d = 0; d < kept.ndim; d++) {
        if (c->arg[0] == 0) gone[d] = true;
        if (gone[d]) kept.dim[d] = 1;
        if (!gone[d] || c->arg[1]) shape.dim[shape.ndim++] = kept.dim[d];
    }
    array_new(out, shape);
    const int64_t each = out->n ? x->n / out->n : 0;
    int64_t strides[TERN_MAX_DIMS], index[TERN_MAX_DIMS];
    array_strides(kept, strides);
    for (int64_t i = 0; i < out->n; i++) out->v[i] = k == MAX ? -(double)INFINITY : k == MIN ? (double)INFINITY : 0;
    for (int64_t i = 0; i < x->n; i++) {
        int64_t at = 0;
        array_index(x->shape, i, index);
        for (int d = 0; d < kept.ndim; d++) at += gone[d] ? 0 : index[d] * strides[d];
        double *o = &out->v[at];
        *o = k == MAX ? fmax(*o, x->v[i]) : k == MIN ? fmin(*o, x->v[i]) : *o + x->v[i];
    }
    for (int64_t i = 0; i < out->n && k == MEAN; i++) out->v[i] /= (double)each;
}

#define REDUCTION(name, kind)                                                      \
    static tern_tensor *call_##name(tern_tensor *const *in, const sweep_case *c) { \
        int dims[TERN_MAX_DIMS];                                                   \
        for (int i = 0; i < c->arg[0]; i++) dims[i] = (int)c->arg[2 + i];          \
        return tern_##name(in[0], dims, (int)c->arg[0], c->arg[1] != 0);           \
    }                                                                              \
    static void ref_##name(const array *in, const sweep_case *c, array *out) { reduce(&in[0], c, kind, out); }
REDUCTION(sum, SUM)
REDUCTION(mean, MEAN)
REDUCTION(max, MAX)
REDUCTION(min, MIN)

#define SHARED_CASES                                                                                  \
    {"all", {REAL(3, 5, 7)}, .arg = {0, 0}}, {"all, keepdim", {REAL(3, 5, 7)}, .arg = {0, 1}},        \
        {"last", {REAL(3, 5, 7)}, .arg = {1, 0, -1}}, {"first", {REAL(3, 5, 7)}, .arg = {1, 0, 0}},   \
        {"middle, keepdim", {REAL(3, 5, 7)}, .arg = {1, 1, 1}},                                       \
        {"first and last", {REAL(3, 5, 7)}, .arg = {2, 0, 0, -1}},                                    \
        {"last two", {REAL(2, 3, 4, 5)}, .arg = {2, 0, 2, 3}},                                        \
        {"channels", {REAL(2, 3, 2, 3)}, .arg = {3, 1, 0, 2, 3}}, {"0-dim", {SCALAR}, .arg = {0, 0}}, \
        {"size 1", {REAL(3, 1)}, .arg = {1, 0, 1}},                                                   \
        {"odd", {REAL(17, 33)}, .arg = {1, 0, 1}, .flags = SWEEP_NO_SECOND},                          \
        {"odd, first", {REAL(17, 33)}, .arg = {1, 0, 0}, .flags = SWEEP_NO_SECOND},                   \
        {"long", {REAL(3, 40013)}, .arg = {1, 0, 1}, .loosen = 20},                                   \
        {"long, first", {REAL(40013, 3)}, .arg = {1, 0, 0}, .loosen = 20},                            \
        {"long, all", {REAL(120011)}, .arg = {0, 0}, .loosen = 40},                                   \
        {"8-dim", {REAL(2, 1, 2, 2, 1, 2, 2, 2)}, .arg = {4, 0, 0, 3, 4, 7}},                         \
        {"empty beside", {REAL(0, 3)}, .arg = {1, 0, 1}},                                             \
        {"dimension out of range", {REAL(2, 3)}, .arg = {1, 0, 2}, .code = TERN_ERR_SHAPE}, {         \
        "dimension twice", {REAL(2, 3)}, .arg = {2, 0, 1, -1}, .code = TERN_ERR_ARGUMENT              \
    }

static const sweep_case sums[] = {
    SHARED_CASES,
    {"nothing", {REAL(0)}, .arg = {0, 0}},
    {"nothing in rows", {REAL(2, 0)}, .arg = {1, 0, 1}},
};
static const sweep_case means[] = {
    SHARED_CASES,
    {"an integer", {TYPED(TERN_I32, 3)}, .arg = {0, 0}, .code = TERN_ERR_DTYPE},
};
static const sweep_case extremes[] = {
    SHARED_CASES,
    {"nothing", {REAL(0)}, .arg = {0, 0}, .code = TERN_ERR_SHAPE},
    {"nothing in rows", {REAL(2, 0)}, .arg = {1, 0, 1}, .code = TERN_ERR_SHAPE},
};

/* The gradient of a broadcast input is a sum like this. */
static tern_tensor *call_sum_expanded(tern_tensor *const *in, const sweep_case *c) {
    return tern_sum(tern_expand(in[0], TERN_SHAPE(-1, c->arg[0])), (int[]){1}, 1, false);
}
static void ref_sum_expanded(const array *in, const sweep_case *c, array *out) {
    array_make(out, in[0].n);
    for (int64_t i = 0; i < out->n; i++) out->v[i] = in[0].v[i] * (double)c->arg[0];
}
static const sweep_case sums_expanded[] = {
    {"of equal terms", {REAL(12, 1)}, .arg = {434}},
    {"of many", {REAL(12, 1)}, .arg = {1000}},
};
SWEEP(sum__expanded, sums_expanded, call_sum_expanded, ref_sum_expanded, 0, 1)
SWEEP(sum, sums, call_sum, ref_sum, SWEEP_INTS | SWEEP_BOOL, 1)
SWEEP(mean, means, call_mean, ref_mean, 0, 1)
SWEEP(max, extremes, call_max, ref_max, SWEEP_INTS | SWEEP_BOOL, 1)
SWEEP(min, extremes, call_min, ref_min, SWEEP_INTS | SWEEP_BOOL, 1)
BENCH(sum, call_sum, "torch.sum(a, 1)", {"[1024, 1024]", {REAL(1024, 1024)}, .arg = {1, 0, 1}})
BENCH(sum__columns, call_sum, "torch.sum(a, 0)", {"[1024, 1024]", {REAL(1024, 1024)}, .arg = {1, 0, 0}})
BENCH(mean__short, call_mean, "torch.mean(a, 1)", {"[65536, 49]", {REAL(65536, 49)}, .arg = {1, 0, 1}})
BENCH(max__short, call_max, "torch.amax(a, 1)", {"[65536, 49]", {REAL(65536, 49)}, .arg = {1, 0, 1}})

/* ---- argmax
 * ---------------------------------------------------------------------------------------------------------- */

static tern_tensor *call_argmax(tern_tensor *const *in, const sweep_case *c) {
    return tern_argmax(in[0], (int)c->arg[0], c->arg[1] != 0);
}

static void ref_argmax(const array *in, const sweep_case *c, array *out) {
    int64_t outer, size, inner;
    const int dim = (int)(c->arg[0] < 0 ? c->arg[0] + in->shape.ndim : c->arg[0]);
    array_split(in, dim, &outer, &size, &inner);
    tern_shape s = {0};
    for (int d = 0; d < in->shape.ndim; d++) {
        if (d != dim)
            s.dim[s.ndim++] = in->shape.dim[d];
        else if (c->arg[1])
            s.dim[s.ndim++] = 1;
    }
    array_new(out, s);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            int64_t best = 0;
            for (int64_t k = 1; k < size; k++)
                if (in->v[(o * size + k) * inner + i] > in->v[(o * size + best) * inner + i]) best = k;
            out->v[o * inner + i] = (double)best;
        }
}

static const sweep_case argmaxes[] = {
    {"last", {REAL(3, 5)}, .arg = {-1, 0}},
    {"first", {REAL(3, 5)}, .arg = {0, 0}},
    {"middle, keepdim", {REAL(3, 5, 2)}, .arg = {1, 1}},
    {"ties", {WHOLE(0, 2, 4, 9)}, .arg = {1, 0}},
    {"long", {REAL(3, 5003)}, .arg = {1, 0}},
    {"dimension out of range", {REAL(3, 5)}, .arg = {2, 0}, .code = TERN_ERR_SHAPE},
    {"nothing", {REAL(3, 0)}, .arg = {1, 0}, .code = TERN_ERR_SHAPE},
};
SWEEP(argmax, argmaxes, call_argmax, ref_argmax, SWEEP_INTS | SWEEP_BOOL | SWEEP_NO_GRAD, 1)

/* ---- sum_to
 * ---------------------------------------------------------------------------------------------------------- */

static tern_shape shape_arg(const sweep_case *c) { return tern_shape_of((int)c->arg[0], &c->arg[1]); }

static tern_tensor *call_sum_to(tern_tensor *const *in, const sweep_case *c) {
    return tern_sum_to(in[0], shape_arg(c));
}

static void ref_sum_to(const array *in, const sweep_case *c, array *out) {
    int64_t index[TERN_MAX_DIMS], strides[TERN_MAX_DIMS];
    array_new(out, shape_arg(c));
    array_strides(out->shape, strides);
    for (int64_t i = 0; i < in->n; i++) {
        int64_t at = 0;
        array_index(in->shape, i, index);
        for (int d = 0; d < out->shape.ndim; d++)
            at += out->shape.dim[d] == 1 ? 0 : strides[d] * index[d + in->shape.ndim - out->shape.ndim];
        out->v[at] += in->v[i];
    }
}

static const sweep_case sum_tos[] = {
    {"row", {REAL(4, 3)}, .arg = {1, 3}},         {"column", {REAL(4, 3)}, .arg = {2, 4, 1}},
    {"0-dim", {REAL(4, 3)}, .arg = {0}},          {"itself", {REAL(4, 3)}, .arg = {2, 4, 3}},
    {"inner", {REAL(2, 4, 3)}, .arg = {2, 4, 1}}, {"does not fit", {REAL(4, 3)}, .arg = {1, 2}, .code = TERN_ERR_SHAPE},
};
SWEEP(sum_to, sum_tos, call_sum_to, ref_sum_to, 0, 1)
