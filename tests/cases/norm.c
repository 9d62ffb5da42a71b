/* batch_norm, layer_norm, softmax, log_softmax. */
#include "../sweep.h"

/* ---- batch_norm; arg[0]: training. Inputs x, weight, bias, running mean, running variance
 * ---------------------------- */

static tern_tensor *call_batch_norm(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *mean = in[3], *var = in[4];
    if (c->arg[0] && mean) { /* training changes them: tests/norm.c looks at how */
        const bool was = tern_grad_mode(false);
        mean = tern_clone(mean);
        var = tern_clone(var);
        tern_grad_mode(was);
    }
    return tern_batch_norm(in[0], in[1], in[2], mean, var,
                           (tern_batch_norm_opts){.training = c->arg[0] != 0, .eps = c->number[0]});
}

static void ref_batch_norm(const array *in, const sweep_case *c, array *out) {
    const array *x = &in[0];
    const int64_t ch = x->shape.dim[1], n = x->shape.dim[0], inner = n && ch ? x->n / n / ch : 0;
    const double eps = c->number[0] > 0 ? c->number[0] : 1e-5, count = (double)(n * inner);
    array_new(out, x->shape);
    for (int64_t k = 0; k < ch; k++) {
        double mean = 0, var = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t i = 0; i < n * inner; i++) {
                const double v = x->v[(i / inner * ch + k) * inner + i % inner];
                if (pass == 0)
                    mean += v / count;
                else
                    var += (v - mean) * (v - mean) / count;
            }
        if (!c->arg[0]) {
            mean = in[3].v[k];
            var = in[4].v[k];
        }
        for (int64_t i = 0; i < n * inner; i++) {
            const int64_t at = (i / inner * ch + k) * inner + i % inner;
            out->v[at] = (x->v[at] - mean) / sqrt(var + eps) * (in[1].v ? in[1].v[k] : 1) + (in[2].v ? in[2].v[k] : 0);
        }
    }
}

#define POSITIVE(...) FIXED(0.5, 2, __VA_ARGS__)
static const sweep_case batch_norms[] = {
    {"training", {REAL(3, 2, 2, 3), REAL(2), REAL(2), NONE, NONE}, .arg = {1}},
    {"training, no weight", {REAL(3, 2, 2, 3), NONE, NONE, NONE, NONE}, .arg = {1}},
    {"training, no bias", {REAL(3, 2, 2), REAL(2), NONE, NONE, NONE}, .arg = {1}},
    {"training, running", {REAL(3, 2, 2, 2), REAL(2), REAL(2), FIXED(-1, 1, 2), POSITIVE(2)}, .arg = {1}},
    {"training, 2-dim", {REAL(7, 3), REAL(3), REAL(3), NONE, NONE}, .arg = {1}},
    {"training, eps", {REAL(5, 2, 3), REAL(2), REAL(2), NONE, NONE}, .arg = {1}, .number = {0.1}},
    {"training, larger", {REAL(8, 5, 13, 11), REAL(5), REAL(5), NONE, NONE}, .arg = {1}, .loosen = 4},
    {"evaluation", {REAL(3, 2, 2, 3), REAL(2), REAL(2), FIXED(-1, 1, 2), POSITIVE(2)}},
    {"evaluation, no weight", {REAL(3, 2, 4), NONE, NONE, FIXED(-1, 1, 2), POSITIVE(2)}},
    {"evaluation, one", {REAL(1, 2), REAL(2), REAL(2), FIXED(-1, 1, 2), POSITIVE(2)}},
    {"one value per channel", {REAL(1, 2), REAL(2), REAL(2), NONE, NONE}, .arg = {1}, .code = TERN_ERR_SHAPE},
    {"weight", {REAL(3, 2, 4), REAL(3), REAL(2), NONE, NONE}, .arg = {1}, .code = TERN_ERR_SHAPE},
    {"1-dim", {REAL(3), NONE, NONE, NONE, NONE}, .arg = {1}, .code = TERN_ERR_SHAPE},
    {"evaluation without statistics", {REAL(3, 2, 4), NONE, NONE, NONE, NONE}, .code = TERN_ERR_ARGUMENT},
    {"integers", {TYPED(TERN_I32, 3, 2), NONE, NONE, NONE, NONE}, .arg = {1}, .code = TERN_ERR_DTYPE},
};
SWEEP(batch_norm, batch_norms, call_batch_norm, ref_batch_norm, 0, 4)

/* ---- layer_norm; arg[0]: dimensions ---------------------------------------------------------------------------------
 */

static tern_tensor *call_layer_norm(tern_tensor *const *in, const sweep_case *c) {
    return tern_layer_norm(in[0], (int)c->arg[0], in[1], in[2], c->number[0]);
}

static void ref_layer_norm(const array *in, const sweep_case *c, array *out) {
    const array *x = &in[0];
    const double eps = c->number[0] > 0 ? c->number[0] : 1e-5;
    int64_t size = 1;
    for (int64_t d = x->shape.ndim - c->arg[0]; d < x->shape.ndim; d++) size *= x->shape.dim[d];
    array_new(out, x->shape);
    for (int64_t r = 0; r < x->n; r += size) {
        double mean = 0, var = 0;
        for (int64_t i = 0; i < size; i++) mean += x->v[r + i] / (double)size;
        for (int64_t i = 0; i < size; i++) var += pow(x->v[r + i] - mean, 2) / (double)size;
        for (int64_t i = 0; i < size; i++)
            out->v[r + i] =
                (x->v[r + i] - mean) / sqrt(var + eps) * (in[1].v ? in[1].v[i] : 1) + (in[2].v ? in[2].v[i] : 0);
    }
}

static const sweep_case layer_norms[] = {
    {"last", {REAL(3, 7), REAL(7), REAL(7)}, .arg = {1}},
    {"last two", {REAL(2, 3, 4), REAL(3, 4), REAL(3, 4)}, .arg = {2}},
    {"no weight", {REAL(3, 7), NONE, NONE}, .arg = {1}},
    {"no bias", {REAL(3, 7), REAL(7), NONE}, .arg = {1}},
    {"1-dim", {REAL(9), REAL(9), REAL(9)}, .arg = {1}},
    {"eps", {REAL(3, 5), REAL(5), REAL(5)}, .arg = {1}, .number = {0.1}},
    {"empty", {REAL(0, 5), REAL(5), REAL(5)}, .arg = {1}},
    {"larger", {REAL(37, 129), REAL(129), REAL(129)}, .arg = {1}, .loosen = 4},
    {"many rows", {REAL(161, 9), REAL(9), REAL(9)}, .arg = {1}, .loosen = 4, .flags = SWEEP_NO_SECOND},
    {"weight", {REAL(3, 7), REAL(6), REAL(7)}, .arg = {1}, .code = TERN_ERR_SHAPE},
    {"too many dimensions", {REAL(3, 7), NONE, NONE}, .arg = {3}, .code = TERN_ERR_SHAPE},
    {"integers", {TYPED(TERN_I32, 3, 2), NONE, NONE}, .arg = {1}, .code = TERN_ERR_DTYPE},
};
SWEEP(layer_norm, layer_norms, call_layer_norm, ref_layer_norm, 0, 4)
BENCH(layer_norm, call_layer_norm, "F.layer_norm(a, (768,), b, c)",
      {"[4096, 768]", {REAL(4096, 768), REAL(768), REAL(768)}, .arg = {1}})

/* ---- softmax, log_softmax; arg[0]: dimension
 * ------------------------------------------------------------------------- */

static tern_tensor *call_softmax(tern_tensor *const *in, const sweep_case *c) {
    return tern_softmax(in[0], (int)c->arg[0]);
}
static tern_tensor *call_log_softmax(tern_tensor *const *in, const sweep_case *c) {
    return tern_log_softmax(in[0], (int)c->arg[0]);
}

static void soft(const array *x, const sweep_case *c, bool log_of, array *out) {
    int64_t outer, size, inner;
    array_split(x, c->arg[0], &outer, &size, &inner);
    array_new(out, x->shape);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            const int64_t at = o * size * inner + i;
            double top = -(double)INFINITY, sum = 0;
            for (int64_t k = 0; k < size; k++) top = fmax(top, x->v[at + k * inner]);
            for (int64_t k = 0; k < size; k++) sum += exp(x->v[at + k * inner] - top);
            for (int64_t k = 0; k < size; k++) {
                const double l = x->v[at + k * inner] - top - log(sum);
                out->v[at + k * inner] = log_of ? l : exp(l);
            }
        }
}
static void ref_softmax(const array *in, const sweep_case *c, array *out) { soft(in, c, false, out); }
static void ref_log_softmax(const array *in, const sweep_case *c, array *out) { soft(in, c, true, out); }

static const sweep_case softmaxes[] = {
    {"rows", {REAL(3, 5)}, .arg = {-1}},
    {"columns", {REAL(3, 5)}, .arg = {0}},
    {"middle", {REAL(2, 5, 3)}, .arg = {1}},
    {"1-dim", {REAL(7)}, .arg = {0}},
    {"one", {REAL(3, 1)}, .arg = {1}},
    {"empty", {REAL(0, 5)}, .arg = {1}},
    {"large values", {RANGE(900, 1000, 3, 5)}, .arg = {1}, .flags = SWEEP_F64_ONLY},
    {"wide", {RANGE(-30, 30, 3, 17)}, .arg = {1}},
    {"long", {REAL(5, 1031)}, .arg = {1}},
    {"long columns", {REAL(1031, 5)}, .arg = {0}},
    {"no such dimension", {REAL(3, 5)}, .arg = {2}, .code = TERN_ERR_SHAPE},
    {"integers", {TYPED(TERN_I32, 3, 2)}, .arg = {1}, .code = TERN_ERR_DTYPE},
};
SWEEP(softmax, softmaxes, call_softmax, ref_softmax, 0, 4)
SWEEP(log_softmax, softmaxes, call_log_softmax, ref_log_softmax, 0, 4)
BENCH(softmax, call_softmax, "torch.softmax(a, -1)", {"[4096, 1000]", {REAL(4096, 1000)}, .arg = {-1}})
BENCH(softmax__short, call_softmax, "torch.softmax(a, -1)", {"[65536, 64]", {REAL(65536, 64)}, .arg = {-1}})
BENCH(softmax__inner, call_softmax, "torch.softmax(a, 1)", {"[16, 128, 1024]", {REAL(16, 128, 1024)}, .arg = {1}})
BENCH(log_softmax, call_log_softmax, "torch.log_softmax(a, -1)", {"[4096, 1000]", {REAL(4096, 1000)}, .arg = {-1}})
