/* embedding, embedding_bag, rotary. */
#include "../sweep.h"

/* ---- embedding; arg[0]: has_padding, arg[1]: padding --------------------------------------------------------------
 */

static tern_tensor *call_embedding(tern_tensor *const *in, const sweep_case *c) {
    return tern_embedding(in[0], in[1], (tern_embedding_opts){.has_padding = c->arg[0] != 0, .padding = c->arg[1]});
}
static void ref_embedding(const array *in, const sweep_case *c, array *out) {
    (void)c;
    const int64_t e = in[0].shape.dim[1];
    tern_shape s = in[1].shape;
    s.dim[s.ndim++] = e;
    array_new(out, s);
    for (int64_t i = 0; i < out->n; i++) out->v[i] = in[0].v[(int64_t)in[1].v[i / e] * e + i % e];
}
static const sweep_case embeddings[] = {
    {"1-dim", {REAL(5, 3), INDEX(5, 7)}},
    {"2-dim", {REAL(5, 3), INDEX(5, 2, 4)}},
    {"0-dim", {REAL(5, 3), {.kind = IN_INDEX, .hi = 4}}},
    {"i32", {REAL(4, 2), INDEX32(4, 3, 1, 2)}},
    {"one row", {REAL(1, 3), INDEX(1, 4)}},
    {"no indices", {REAL(5, 3), INDEX(1, 0, 2)}},
    {"no columns", {REAL(5, 0), INDEX(5, 3)}},
    {"outside", {REAL(2, 3), {.kind = IN_INDEX, .lo = 2, .hi = 3, .shape = SHAPE_OF(4)}}, .code = TERN_ERR_INDEX},
    {"weight", {REAL(5), INDEX(5, 2)}, .code = TERN_ERR_SHAPE, .text = "embedding"},
    {"padding", {REAL(5, 2), INDEX(5, 2)}, .arg = {1, 5}, .code = TERN_ERR_INDEX, .text = "embedding"},
    {"float index", {REAL(5, 2), REAL(2)}, .code = TERN_ERR_DTYPE, .text = "embedding"},
    {"integers", {TYPED(TERN_I32, 3, 2), INDEX(3, 2)}, .code = TERN_ERR_DTYPE, .text = "embedding"},
};
SWEEP(embedding, embeddings, call_embedding, ref_embedding, 0, 1)
BENCH(embedding, call_embedding, "F.embedding(b, a)", {"[50000, 768], 4096", {REAL(50000, 768), INDEX(50000, 4096)}})

/* The gradient leaves the row out, which differences would not: what the values are, and the gradient's own gradient,
 * is the table above's. */
TERN_TEST(sequence, embedding_padding_takes_no_gradient) {
    tern_tensor *w = tern_require_grad(tern_ones(TERN_SHAPE(3, 2), (tern_options){.device = test_device()}), true);
    const int64_t at[5] = {0, 2, 2, 1, 0};
    tern_tensor *i = tern_from(at, TERN_SHAPE(5), (tern_options){TERN_I64, test_device()});
    const tern_embedding_opts o = {.has_padding = true, .padding = -1};
    CHECK(tern_backward(tern_sum(tern_square(tern_embedding(w, i, o)), NULL, 0, false)));
    CHECK_VALUES(tern_grad_get(w), 4, 4, 2, 2, 0, 0);
    CHECK_OK();
}

/* ---- embedding_bag; arg[0]: mode, arg[1]: include_last_offset, arg[2]: padding + 1; offsets stand in arg[3] = count,
 * arg[4 ..]. Inputs weight, index, weights ------------------------------------------------------------------------- */

static tern_tensor *call_embedding_bag(tern_tensor *const *in, const sweep_case *c) {
    const tern_options whole = {TERN_I64, test_device()};
    tern_tensor *offsets = c->arg[3] ? tern_from(c->arg + 4, TERN_SHAPE(c->arg[3]), whole) : NULL;
    return tern_embedding_bag(in[0], in[1], offsets,
                              (tern_embedding_bag_opts){.mode = (tern_bag_mode)c->arg[0],
                                                        .include_last_offset = c->arg[1] != 0,
                                                        .has_padding = c->arg[2] != 0,
                                                        .padding = c->arg[2] - 1,
                                                        .weights = in[2]});
}
static void ref_embedding_bag(const array *in, const sweep_case *c, array *out) {
    const int64_t e = in[0].shape.dim[1], n = c->arg[3] ? c->arg[3] - c->arg[1] : in[1].shape.dim[0];
    array_make(out, n, e);
    for (int64_t b = 0; b < n; b++) {
        const int64_t len = c->arg[3] ? 0 : in[1].shape.dim[1];
        const int64_t from = c->arg[3] ? c->arg[4 + b] : b * len;
        const int64_t to = !c->arg[3] ? from + len : b + 1 < c->arg[3] ? c->arg[5 + b] : in[1].n;
        for (int64_t k = 0; k < e; k++) {
            double sum = 0, top = -(double)INFINITY, count = 0;
            for (int64_t i = from; i < to; i++) {
                if (c->arg[2] && (int64_t)in[1].v[i] == c->arg[2] - 1) continue;
                const double v = in[0].v[(int64_t)in[1].v[i] * e + k];
                sum += v * (in[2].v ? in[2].v[i] : 1);
                top = fmax(top, v);
                count++;
            }
            if (count > 0) out->v[b * e + k] = c->arg[0] == TERN_BAG_MAX ? top : c->arg[0] ? sum : sum / count;
        }
    }
}
#define BAG(what, ...) .code = TERN_ERR_##what, .text = "embedding_bag"
static const sweep_case bags[] = {
    {"mean of rows", {REAL(5, 3), INDEX(5, 2, 4), NONE}},
    {"sum of rows", {REAL(5, 3), INDEX(5, 2, 4), NONE}, .arg = {TERN_BAG_SUM}},
    {"max of rows", {REAL(5, 3), INDEX(5, 2, 3), NONE}, .arg = {TERN_BAG_MAX}},
    {"weighted", {REAL(5, 3), INDEX(5, 2, 4), REAL(2, 4)}, .arg = {TERN_BAG_SUM}},
    {"offsets", {REAL(5, 2), INDEX(5, 7), NONE}, .arg = {0, 0, 0, 4, 0, 2, 2, 5}},
    {"offsets, weighted", {REAL(5, 2), INDEX(5, 7), REAL(7)}, .arg = {TERN_BAG_SUM, 0, 0, 3, 0, 3, 4}},
    {"offsets, max", {REAL(5, 2), INDEX32(5, 7), NONE}, .arg = {TERN_BAG_MAX, 0, 0, 3, 0, 0, 4}},
    {"last offset", {REAL(5, 2), INDEX(5, 7), NONE}, .arg = {TERN_BAG_SUM, 1, 0, 3, 0, 3, 7}},
    {"padding", {REAL(3, 2), INDEX(3, 3, 4), NONE}, .arg = {0, 0, 1}},
    {"padding, max", {REAL(3, 2), INDEX(3, 3, 4), NONE}, .arg = {TERN_BAG_MAX, 0, 2}},
    {"empty bags", {REAL(3, 2), INDEX(3, 3, 0), NONE}},
    {"no bags", {REAL(3, 2), INDEX(3, 0, 4), NONE}},
    {"offsets fall", {REAL(5, 2), INDEX(5, 7), NONE}, .arg = {0, 0, 0, 3, 0, 4, 2}, BAG(ARGUMENT)},
    {"offsets begin late", {REAL(5, 2), INDEX(5, 7), NONE}, .arg = {0, 0, 0, 2, 1, 4}, BAG(ARGUMENT)},
    {"offsets too far", {REAL(5, 2), INDEX(5, 7), NONE}, .arg = {0, 0, 0, 2, 0, 9}, BAG(ARGUMENT)},
    {"weighted mean", {REAL(5, 3), INDEX(5, 2, 4), REAL(2, 4)}, BAG(ARGUMENT)},
    {"weights", {REAL(5, 3), INDEX(5, 2, 4), REAL(2, 3)}, .arg = {TERN_BAG_SUM}, BAG(SHAPE)},
    {"1-dim without offsets", {REAL(5, 3), INDEX(5, 4), NONE}, BAG(SHAPE)},
    {"outside", {REAL(2, 3), {.kind = IN_INDEX, .lo = 2, .hi = 3, .shape = SHAPE_OF(1, 4)}, NONE}, BAG(INDEX)},
};
SWEEP(embedding_bag, bags, call_embedding_bag, ref_embedding_bag, 0, 2)
BENCH(embedding_bag, call_embedding_bag, "F.embedding_bag(b, a)",
      {"[50000, 64], [512, 16]", {REAL(50000, 64), INDEX(50000, 512, 16), NONE}})

/* ---- rotary; arg[0]: interleaved. rotary_tables is checked below --------------------------------------------------
 */

static tern_tensor *call_rotary(tern_tensor *const *in, const sweep_case *c) {
    return tern_rotary(in[0], in[1], in[2], (tern_rotary_opts){.interleaved = c->arg[0] != 0});
}
static void ref_rotary(const array *in, const sweep_case *c, array *out) {
    const tern_shape s = in[0].shape;
    const int64_t e = s.dim[s.ndim - 1], r = in[1].shape.dim[in[1].shape.ndim - 1];
    tern_shape angles = s;
    angles.dim[s.ndim - 1] = r;
    array_new(out, s);
    for (int64_t i = 0; i < out->n; i++) out->v[i] = in[0].v[i];
    for (int64_t i = 0; e && i < out->n / e; i++)
        for (int64_t k = 0; k < r; k++) {
            const int64_t p = i * e + (c->arg[0] ? 2 * k : k), q = i * e + (c->arg[0] ? 2 * k + 1 : k + r);
            const double co = array_at(&in[1], angles, i * r + k), si = array_at(&in[2], angles, i * r + k);
            out->v[p] = in[0].v[p] * co - in[0].v[q] * si;
            out->v[q] = in[0].v[q] * co + in[0].v[p] * si;
        }
}
static const sweep_case rotaries[] = {
    {"halves", {REAL(3, 4), REAL(3, 2), REAL(3, 2)}},
    {"interleaved", {REAL(3, 4), REAL(3, 2), REAL(3, 2)}, .arg = {1}},
    {"heads", {REAL(2, 2, 3, 4), REAL(3, 2), REAL(3, 2)}},
    {"heads, interleaved", {REAL(2, 2, 3, 4), REAL(3, 2), REAL(3, 2)}, .arg = {1}},
    {"part of it", {REAL(2, 3, 7), REAL(3, 2), REAL(3, 2)}},
    {"part of it, interleaved", {REAL(2, 3, 7), REAL(3, 2), REAL(3, 2)}, .arg = {1}},
    {"by batch", {REAL(2, 3, 4), REAL(2, 1, 2), REAL(2, 1, 2)}},
    {"eight dimensions", {REAL(1, 1, 2, 1, 1, 1, 2, 5), REAL(2, 2), REAL(2, 2)}, .arg = {1}},
    {"1-dim", {REAL(4), REAL(2), REAL(2)}},
    {"no pairs", {REAL(3, 4), REAL(3, 0), REAL(3, 0)}},
    {"empty", {REAL(0, 4), REAL(1, 2), REAL(1, 2)}},
    {"too many pairs", {REAL(3, 4), REAL(3, 3), REAL(3, 3)}, .code = TERN_ERR_SHAPE, .text = "rotary"},
    {"two tables", {REAL(3, 4), REAL(3, 2), REAL(3, 1)}, .code = TERN_ERR_SHAPE, .text = "rotary"},
    {"length", {REAL(3, 4), REAL(2, 2), REAL(2, 2)}, .code = TERN_ERR_SHAPE, .text = "rotary"},
    {"integers",
     {TYPED(TERN_I32, 3, 4), TYPED(TERN_I32, 3, 2), TYPED(TERN_I32, 3, 2)},
     .code = TERN_ERR_DTYPE,
     .text = "rotary"},
};
SWEEP(rotary, rotaries, call_rotary, ref_rotary, 0, 4)
BENCH(rotary, call_rotary, "torch.cat((a[..., :32] * b - a[..., 32:] * c, a[..., 32:] * b + a[..., :32] * c), -1)",
      {"[4, 12, 512, 64]", {REAL(4, 12, 512, 64), REAL(512, 32), REAL(512, 32)}})

static tern_tensor *call_rotary_tables(tern_tensor *const *in, const sweep_case *c) {
    tern_tensor *sin, *cos = tern_rotary_tables(in[0], c->arg[0], c->number[0], TERN_F64, &sin);
    return cos ? tern_stack((tern_tensor *const[]){cos, sin}, 2, 0) : NULL;
}
static void ref_rotary_tables(const array *in, const sweep_case *c, array *out) {
    const int64_t r = c->arg[0] / 2;
    tern_shape s = {in[0].shape.ndim + 2, {2}};
    for (int i = 0; i < in[0].shape.ndim; i++) s.dim[i + 1] = in[0].shape.dim[i];
    s.dim[s.ndim - 1] = r;
    array_new(out, s);
    for (int64_t i = 0; i < out->n / 2; i++) {
        const double angle = in[0].v[i / r] / pow(c->number[0], 2.0 * (double)(i % r) / (double)c->arg[0]);
        out->v[i] = cos(angle);
        out->v[out->n / 2 + i] = sin(angle);
    }
}
static const sweep_case tables[] = {
    {"positions", {INDEX(100, 5)}, .arg = {6}, .number = {10000}},
    {"batch", {INDEX32(100, 2, 3)}, .arg = {2}, .number = {500}},
    {"odd", {INDEX(100, 5)}, .arg = {5}, .number = {10000}, .code = TERN_ERR_ARGUMENT, .text = "rotary_tables"},
    {"base", {INDEX(100, 5)}, .arg = {4}, .code = TERN_ERR_ARGUMENT, .text = "rotary_tables"},
    {"bool", {BOOLS(5)}, .arg = {4}, .number = {10}, .code = TERN_ERR_DTYPE, .text = "rotary_tables"},
};
SWEEP(rotary_tables, tables, call_rotary_tables, ref_rotary_tables, SWEEP_NO_GRAD | SWEEP_F64_ONLY, 1)
