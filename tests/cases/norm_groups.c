/* rms_norm, group_norm, instance_norm, local_response_norm, normalize, softmin. */
#include "../sweep.h"

static double or_else(double v, double other) { return v > 0 ? v : other; }

/* ---- rms_norm; arg[0]: dimensions, number[0]: eps ---------------------------------------------------------------- */

static tern_tensor *call_rms_norm(tern_tensor *const *in, const sweep_case *c) {
    return tern_rms_norm(in[0], (int)c->arg[0], in[1], c->number[0]);
}

static void ref_rms_norm(const array *in, const sweep_case *c, array *out) {
    const array *x = &in[0];
    int64_t size = 1;
    for (int64_t d = x->shape.ndim - c->arg[0]; d < x->shape.ndim; d++) size *= x->shape.dim[d];
    array_new(out, x->shape);
    for (int64_t r = 0; r < x->n; r += size) {
        double sum = 0;
        for (int64_t i = 0; i < size; i++) sum += x->v[r + i] * x->v[r + i];
        for (int64_t i = 0; i < size; i++)
            out->v[r + i] =
                x->v[r + i] / sqrt(sum / (double)size + or_else(c->number[0], 1e-12)) * (in[1].v ? in[1].v[i] : 1);
    }
}

static const sweep_case rms_norms[] = {
    {"last", {REAL(3, 7), REAL(7)}, .arg = {1}, .number = {1e-5}},
    {"last two", {REAL(2, 3, 4), REAL(3, 4)}, .arg = {2}, .number = {1e-5}},
    {"no weight", {REAL(3, 7), NONE}, .arg = {1}, .number = {1e-5}},
    {"default eps", {REAL(4, 9), REAL(9)}, .arg = {1}},
    {"1-dim", {REAL(9), REAL(9)}, .arg = {1}, .number = {0.1}},
    {"four", {REAL(2, 1, 2, 5), REAL(5)}, .arg = {1}, .number = {1e-5}},
    {"empty", {REAL(0, 5), REAL(5)}, .arg = {1}},
    {"empty rows", {REAL(3, 0), REAL(0)}, .arg = {1}},
    {"larger", {REAL(37, 129), REAL(129)}, .arg = {1}, .loosen = 4},
    {"weight", {REAL(3, 7), REAL(6)}, .arg = {1}, .code = TERN_ERR_SHAPE, .text = "rms_norm"},
    {"too many dimensions", {REAL(3, 7), NONE}, .arg = {3}, .code = TERN_ERR_SHAPE, .text = "rms_norm"},
    {"no dimensions", {REAL(3, 7), NONE}, .arg = {0}, .code = TERN_ERR_SHAPE, .text = "rms_norm"},
    {"eps", {REAL(3, 7), NONE}, .arg = {1}, .number = {-1}, .code = TERN_ERR_ARGUMENT, .text = "rms_norm"},
    {"integers", {TYPED(TERN_I32, 3, 2), NONE}, .arg = {1}, .code = TERN_ERR_DTYPE, .text = "rms_norm"},
};
SWEEP(rms_norm, rms_norms, call_rms_norm, ref_rms_norm, 0, 4)
BENCH(rms_norm, call_rms_norm, "F.rms_norm(a, (768,), b, 1e-6)",
      {"[4096, 768]", {REAL(4096, 768), REAL(768)}, .arg = {1}, .number = {1e-6}})

/* ---- group_norm; arg[0]: groups. instance_norm: inputs as batch_norm, arg[0]: use_running ------------------------ */

static tern_tensor *call_group_norm(tern_tensor *const *in, const sweep_case *c) {
    return tern_group_norm(in[0], c->arg[0], in[1], in[2], c->number[0]);
}
static tern_tensor *call_instance_norm(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *mean = in[3], *var = in[4];
    if (!c->arg[0] && mean) { /* they are changed */
        const bool was = tern_grad_mode(false);
        mean = tern_clone(mean);
        var = var ? tern_clone(var) : NULL;
        tern_grad_mode(was);
    }
    return tern_instance_norm(in[0], in[1], in[2], mean, var,
                              (tern_instance_norm_opts){.use_running = c->arg[0] != 0, .eps = c->number[0]});
}

static void grouped(const array *in, int64_t groups, bool running, double eps, array *out) {
    const array *x = &in[0];
    const int64_t n = x->shape.dim[0], ch = x->shape.dim[1];
    array_new(out, x->shape);
    if (!x->n) return;
    const int64_t d = ch / groups, inner = x->n / n / ch;
    for (int64_t g = 0; g < n * groups; g++) {
        const int64_t size = d * inner;
        const double *v = x->v + g * size;
        double mean = 0, var = 0;
        for (int64_t i = 0; i < size; i++) mean += v[i] / (double)size;
        for (int64_t i = 0; i < size; i++) var += (v[i] - mean) * (v[i] - mean) / (double)size;
        for (int64_t i = 0; i < size; i++) {
            const int64_t k = g % groups * d + i / inner;
            if (running) {
                mean = in[3].v[k];
                var = in[4].v[k];
            }
            out->v[g * size + i] =
                (v[i] - mean) / sqrt(var + eps) * (in[1].v ? in[1].v[k] : 1) + (in[2].v ? in[2].v[k] : 0);
        }
    }
}
static void ref_group_norm(const array *in, const sweep_case *c, array *out) {
    grouped(in, c->arg[0], false, or_else(c->number[0], 1e-5), out);
}
static void ref_instance_norm(const array *in, const sweep_case *c, array *out) {
    grouped(in, in[0].shape.dim[1], c->arg[0] != 0, or_else(c->number[0], 1e-5), out);
}

static const sweep_case group_norms[] = {
    {"two groups", {REAL(2, 4, 3), REAL(4), REAL(4)}, .arg = {2}},
    {"one group", {REAL(2, 3, 2, 2), REAL(3), REAL(3)}, .arg = {1}},
    {"a group a channel", {REAL(2, 3, 5), REAL(3), REAL(3)}, .arg = {3}},
    {"no weight", {REAL(2, 6, 2), NONE, NONE}, .arg = {3}},
    {"no bias", {REAL(2, 6, 2), REAL(6), NONE}, .arg = {3}},
    {"no axes", {REAL(3, 6), REAL(6), REAL(6)}, .arg = {2}},
    {"eps", {REAL(2, 4, 3), REAL(4), REAL(4)}, .arg = {2}, .number = {0.1}},
    {"five dimensions", {REAL(1, 4, 2, 1, 3), REAL(4), REAL(4)}, .arg = {2}},
    {"empty batch", {REAL(0, 4, 3), REAL(4), REAL(4)}, .arg = {2}},
    {"empty axis", {REAL(2, 4, 0), REAL(4), REAL(4)}, .arg = {2}},
    {"larger", {REAL(3, 12, 13, 11), REAL(12), REAL(12)}, .arg = {4}, .loosen = 4},
    {"groups", {REAL(2, 4, 3), NONE, NONE}, .arg = {3}, .code = TERN_ERR_ARGUMENT, .text = "group_norm"},
    {"no groups", {REAL(2, 4, 3), NONE, NONE}, .arg = {0}, .code = TERN_ERR_ARGUMENT, .text = "group_norm"},
    {"weight", {REAL(2, 4, 3), REAL(3), NONE}, .arg = {2}, .code = TERN_ERR_SHAPE, .text = "group_norm"},
    {"1-dim", {REAL(4), NONE, NONE}, .arg = {2}, .code = TERN_ERR_SHAPE, .text = "group_norm"},
    {"integers", {TYPED(TERN_I32, 3, 2), NONE, NONE}, .arg = {1}, .code = TERN_ERR_DTYPE, .text = "group_norm"},
};
SWEEP(group_norm, group_norms, call_group_norm, ref_group_norm, 0, 4)
BENCH(group_norm, call_group_norm, "F.group_norm(a, 32, b, c)",
      {"[64, 256, 14, 14]", {REAL(64, 256, 14, 14), REAL(256), REAL(256)}, .arg = {32}})

#define POSITIVE(...) FIXED(0.5, 2, __VA_ARGS__)
static const sweep_case instance_norms[] = {
    {"plain", {REAL(2, 3, 4), NONE, NONE, NONE, NONE}},
    {"weighted", {REAL(2, 3, 2, 3), REAL(3), REAL(3), NONE, NONE}},
    {"running kept", {REAL(2, 3, 4), REAL(3), REAL(3), FIXED(-1, 1, 3), POSITIVE(3)}},
    {"running used", {REAL(2, 3, 4), REAL(3), REAL(3), FIXED(-1, 1, 3), POSITIVE(3)}, .arg = {1}},
    {"eps", {REAL(2, 2, 5), REAL(2), NONE, NONE, NONE}, .number = {0.1}},
    {"empty", {REAL(0, 3, 4), NONE, NONE, NONE, NONE}},
    {"no channels", {REAL(2, 0, 4), NONE, NONE, NONE, NONE}},
    {"one value", {REAL(2, 3, 1), NONE, NONE, NONE, NONE}, .code = TERN_ERR_SHAPE, .text = "instance_norm"},
    {"2-dim", {REAL(2, 3), NONE, NONE, NONE, NONE}, .code = TERN_ERR_SHAPE, .text = "instance_norm"},
    {"half of it",
     {REAL(2, 3, 4), NONE, NONE, FIXED(-1, 1, 3), NONE},
     .code = TERN_ERR_ARGUMENT,
     .text = "instance_norm"},
    {"nothing to use",
     {REAL(2, 3, 4), NONE, NONE, NONE, NONE},
     .arg = {1},
     .code = TERN_ERR_ARGUMENT,
     .text = "instance_norm"},
    {"weight", {REAL(2, 3, 4), REAL(2), NONE, NONE, NONE}, .code = TERN_ERR_SHAPE, .text = "instance_norm"},
};
SWEEP(instance_norm, instance_norms, call_instance_norm, ref_instance_norm, 0, 4)
BENCH(instance_norm, call_instance_norm, "F.instance_norm(a, None, None, b, c)",
      {"[16, 64, 56, 56]", {REAL(16, 64, 56, 56), REAL(64), REAL(64), NONE, NONE}})

/* ---- local_response_norm; arg[0]: size ----------------------------------------------------------------------------
 */

static tern_tensor *call_local_response_norm(tern_tensor *const *in, const sweep_case *c) {
    return tern_local_response_norm(in[0], c->arg[0],
                                    (tern_local_response_norm_opts){.alpha = c->number[0], .beta = c->number[1]});
}
static void ref_local_response_norm(const array *in, const sweep_case *c, array *out) {
    const array *x = &in[0];
    array_new(out, x->shape);
    if (!x->n) return;
    const int64_t ch = x->shape.dim[1], inner = x->n / x->shape.dim[0] / ch, size = c->arg[0];
    for (int64_t i = 0; i < x->n; i++) {
        const int64_t k = i / inner % ch;
        double sum = 0;
        for (int64_t j = k - size / 2; j <= k + (size - 1) / 2; j++)
            if (j >= 0 && j < ch) sum += pow(x->v[i + (j - k) * inner], 2);
        out->v[i] = x->v[i] / pow(1 + or_else(c->number[0], 1e-4) * sum / (double)size, or_else(c->number[1], 0.75));
    }
}
static const sweep_case responses[] = {
    {"three", {REAL(2, 5, 3)}, .arg = {3}, .number = {0.5}},
    {"even", {REAL(2, 5, 2, 2)}, .arg = {4}, .number = {0.5, 0.5}},
    {"one", {REAL(2, 5)}, .arg = {1}, .number = {0.5}},
    {"wider than the channels", {REAL(2, 3, 2)}, .arg = {7}, .number = {2, 1.5}},
    {"defaults", {REAL(1, 5, 3)}, .arg = {5}},
    {"empty", {REAL(0, 5, 3)}, .arg = {3}},
    {"size", {REAL(2, 5, 3)}, .arg = {0}, .code = TERN_ERR_ARGUMENT, .text = "local_response_norm"},
    {"1-dim", {REAL(5)}, .arg = {3}, .code = TERN_ERR_SHAPE, .text = "local_response_norm"},
    {"integers", {TYPED(TERN_I32, 3, 2)}, .arg = {3}, .code = TERN_ERR_DTYPE, .text = "local_response_norm"},
};
/* f16 and bf16 round between the steps: the mean, the scale and its power. */
SWEEP(local_response_norm, responses, call_local_response_norm, ref_local_response_norm, 0, 4)
BENCH(local_response_norm, call_local_response_norm, "F.local_response_norm(a, 5)",
      {"[32, 64, 28, 28]", {REAL(32, 64, 28, 28)}, .arg = {5}})

/* ---- normalize; arg[0]: dim, number[0]: p, number[1]: eps ------------------------------------------------------- */

static tern_tensor *call_normalize(tern_tensor *const *in, const sweep_case *c) {
    return tern_normalize(in[0], (int)c->arg[0], (tern_normalize_opts){.p = c->number[0], .eps = c->number[1]});
}
static void ref_normalize(const array *in, const sweep_case *c, array *out) {
    int64_t outer, size, inner;
    const double p = or_else(c->number[0], 2);
    array_split(&in[0], c->arg[0], &outer, &size, &inner);
    array_new(out, in[0].shape);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            double norm = 0;
            for (int64_t k = 0; k < size; k++) {
                const double v = fabs(in[0].v[(o * size + k) * inner + i]);
                norm = isinf(p) ? fmax(norm, v) : norm + pow(v, p);
            }
            norm = fmax(isinf(p) ? norm : pow(norm, 1 / p), or_else(c->number[1], 1e-12));
            for (int64_t k = 0; k < size; k++)
                out->v[(o * size + k) * inner + i] = in[0].v[(o * size + k) * inner + i] / norm;
        }
}
static const sweep_case normalizes[] = {
    {"rows", {REAL(3, 5)}, .arg = {-1}},
    {"columns", {REAL(3, 5)}, .arg = {0}},
    {"middle", {REAL(2, 5, 3)}, .arg = {1}},
    {"p 1", {RANGE(0.3, 2, 3, 5)}, .arg = {1}, .number = {1}},
    {"p 3", {RANGE(0.3, 2, 3, 5)}, .arg = {1}, .number = {3}},
    {"p infinity", {REAL(3, 5)}, .arg = {1}, .number = {(double)INFINITY}},
    {"below eps", {RANGE(0.01, 0.02, 3, 5)}, .arg = {1}, .number = {2, 1}},
    {"1-dim", {REAL(7)}, .arg = {0}},
    {"empty", {REAL(0, 5)}, .arg = {1}},
    {"empty rows", {REAL(5, 0)}, .arg = {1}},
    {"no such dimension", {REAL(3, 5)}, .arg = {2}, .code = TERN_ERR_SHAPE, .text = "normalize"},
    {"p", {REAL(3, 5)}, .arg = {1}, .number = {-1}, .code = TERN_ERR_ARGUMENT, .text = "normalize"},
    {"integers", {TYPED(TERN_I32, 3, 2)}, .arg = {1}, .code = TERN_ERR_DTYPE, .text = "normalize"},
};
/* f16 and bf16 round the sum and its root. */
SWEEP(normalize, normalizes, call_normalize, ref_normalize, 0, 4)
BENCH(normalize, call_normalize, "F.normalize(a, dim=-1)", {"[4096, 768]", {REAL(4096, 768)}, .arg = {-1}})

/* ---- softmin; arg[0]: dimension ---------------------------------------------------------------------------------- */

static tern_tensor *call_softmin(tern_tensor *const *in, const sweep_case *c) {
    return tern_softmin(in[0], (int)c->arg[0]);
}
static void ref_softmin(const array *in, const sweep_case *c, array *out) {
    int64_t outer, size, inner;
    array_split(&in[0], c->arg[0], &outer, &size, &inner);
    array_new(out, in[0].shape);
    for (int64_t i = 0; i < outer * inner; i++) {
        const int64_t at = i / inner * size * inner + i % inner;
        double sum = 0;
        for (int64_t k = 0; k < size; k++) sum += exp(-in[0].v[at + k * inner]);
        for (int64_t k = 0; k < size; k++) out->v[at + k * inner] = exp(-in[0].v[at + k * inner]) / sum;
    }
}
static const sweep_case softmins[] = {
    {"rows", {REAL(3, 5)}, .arg = {-1}},
    {"middle", {REAL(2, 5, 3)}, .arg = {1}},
    {"empty", {REAL(0, 5)}, .arg = {1}},
    {"no such dimension", {REAL(3, 5)}, .arg = {2}, .code = TERN_ERR_SHAPE, .text = "softmin"},
    {"integers", {TYPED(TERN_I32, 3, 2)}, .arg = {1}, .code = TERN_ERR_DTYPE, .text = "softmin"},
};
SWEEP(softmin, softmins, call_softmin, ref_softmin, 0, 4)
BENCH(softmin, call_softmin, "F.softmin(a, -1)", {"[1024, 1000]", {REAL(1024, 1000)}, .arg = {-1}})

/* ---- the random ones: one seed, so that they are functions; their values are looked at in tests/norm.c. arg[0]:
 * which, number[0]: p or tau
 * ------------------------------------------------------------------------------------------------ */

static tern_tensor *call_gumbel_softmax(tern_tensor *const *in, const sweep_case *c) {
    tern_seed(5);
    return tern_gumbel_softmax(in[0], (int)c->arg[0], c->number[0], false);
}
static const sweep_case gumbels[] = {
    {"rows", {REAL(3, 5)}, .arg = {-1}, .number = {1}},
    {"columns, cooler", {REAL(3, 5)}, .arg = {0}, .number = {0.7}},
    {"empty", {REAL(0, 5)}, .arg = {1}, .number = {1}},
    {"tau", {REAL(3, 5)}, .arg = {1}, .code = TERN_ERR_ARGUMENT, .text = "gumbel_softmax"},
    {"no such dimension", {REAL(3, 5)}, .arg = {2}, .number = {1}, .code = TERN_ERR_SHAPE, .text = "gumbel_softmax"},
};
/* Noise is drawn in f32 below f64, so values differ by dtype. */
SWEEP(gumbel_softmax, gumbels, call_gumbel_softmax, NULL, SWEEP_F64_ONLY, 0)

#define DROPOUT(op)                                                              \
    static tern_tensor *call_##op(tern_tensor *const *in, const sweep_case *c) { \
        tern_seed(5);                                                            \
        return tern_##op(in[0], c->number[0]);                                   \
    }
DROPOUT(dropout1d)
DROPOUT(dropout2d)
DROPOUT(dropout3d)
DROPOUT(alpha_dropout)
DROPOUT(feature_alpha_dropout)

#define DROPOUT_ERRORS(op)                                                                        \
    {"p", {REAL(2, 3, 2, 2, 2)}, .number = {1.5}, .code = TERN_ERR_ARGUMENT, .text = #op}, {      \
        "integers", {TYPED(TERN_I32, 3, 2)}, .number = {0.5}, .code = TERN_ERR_DTYPE, .text = #op \
    }
static const sweep_case dropouts1[] = {
    {"batch", {REAL(3, 4, 2)}, .number = {0.5}},
    {"one sample", {REAL(4, 3)}, .number = {0.3}},
    {"all", {REAL(2, 3, 2)}, .number = {1}},
    {"none", {REAL(2, 3, 2)}, .number = {0}},
    {"empty", {REAL(0, 3, 2)}, .number = {0.5}},
    {"4-dim", {REAL(2, 3, 2, 2)}, .number = {0.5}, .code = TERN_ERR_SHAPE, .text = "dropout1d"},
    DROPOUT_ERRORS(dropout1d)};
SWEEP(dropout1d, dropouts1, call_dropout1d, NULL, 0, 0)
static const sweep_case dropouts2[] = {{"batch", {REAL(3, 4, 2, 2)}, .number = {0.5}},
                                       {"one sample", {REAL(4, 3, 2)}, .number = {0.3}},
                                       DROPOUT_ERRORS(dropout2d)};
SWEEP(dropout2d, dropouts2, call_dropout2d, NULL, 0, 0)
static const sweep_case dropouts3[] = {{"batch", {REAL(3, 4, 2, 1, 2)}, .number = {0.5}},
                                       {"one sample", {REAL(4, 3, 2, 2)}, .number = {0.3}},
                                       DROPOUT_ERRORS(dropout3d)};
SWEEP(dropout3d, dropouts3, call_dropout3d, NULL, 0, 0)
static const sweep_case alphas[] = {{"matrix", {REAL(5, 7)}, .number = {0.5}},
                                    {"0-dim", {SCALAR}, .number = {0.5}},
                                    {"all", {REAL(2, 3)}, .number = {1}},
                                    {"empty", {REAL(0, 3)}, .number = {0.2}},
                                    DROPOUT_ERRORS(alpha_dropout)};
SWEEP(alpha_dropout, alphas, call_alpha_dropout, NULL, 0, 0)
static const sweep_case feature_alphas[] = {
    {"batch", {REAL(3, 4, 2)}, .number = {0.5}},
    {"1-dim", {REAL(4)}, .number = {0.5}, .code = TERN_ERR_SHAPE, .text = "feature_alpha_dropout"},
    DROPOUT_ERRORS(feature_alpha_dropout)};
SWEEP(feature_alpha_dropout, feature_alphas, call_feature_alpha_dropout, NULL, 0, 0)
BENCH(alpha_dropout, call_alpha_dropout, "F.alpha_dropout(a, 0.1, True)",
      {"[4096, 1024]", {REAL(4096, 1024)}, .number = {0.1}})
BENCH(dropout2d, call_dropout2d, "F.dropout2d(a, 0.1)", {"[64, 128, 28, 28]", {REAL(64, 128, 28, 28)}, .number = {0.1}})
