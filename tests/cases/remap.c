/* flip, roll, rot90, repeat, repeat_interleave, repeat_interleave_by, pad, tril, triu: copies by an index rule. */
#include "../sweep.h"

/* out[i] = x[map(index of i)]; false: `fill` instead. */
typedef bool (*index_map)(const sweep_case *c, const array *x, const int64_t *at, int64_t *from);

static void gather_map(const array *x, const sweep_case *c, tern_shape shape, index_map map, double fill, array *out) {
    int64_t at[TERN_MAX_DIMS], from[TERN_MAX_DIMS], strides[TERN_MAX_DIMS];
    array_new(out, shape);
    array_strides(x->shape, strides);
    for (int64_t i = 0; i < out->n; i++) {
        array_index(shape, i, at);
        out->v[i] = fill;
        if (!map(c, x, at, from)) continue;
        int64_t p = 0;
        for (int d = 0; d < x->shape.ndim; d++) p += from[d] * strides[d];
        out->v[i] = x->v[p];
    }
}

static int64_t dim_of(const array *x, int64_t dim) { return dim < 0 ? dim + x->shape.ndim : dim; }
static int64_t modulo(int64_t a, int64_t n) { return ((a % n) + n) % n; }

/* ---- flip: arg = n, dims ------------------------------------------------------------------------------------------
 */

static tern_tensor *call_flip(tern_tensor *const *in, const sweep_case *c) {
    int dims[8];
    for (int i = 0; i < 8; i++) dims[i] = (int)c->arg[1 + i];
    return tern_flip(in[0], dims, (int)c->arg[0]);
}

static bool map_flip(const sweep_case *c, const array *x, const int64_t *at, int64_t *from) {
    for (int d = 0; d < x->shape.ndim; d++) {
        bool turned = c->arg[0] == 0;
        for (int i = 0; i < c->arg[0]; i++) turned = turned || dim_of(x, c->arg[1 + i]) == d;
        from[d] = turned ? x->shape.dim[d] - 1 - at[d] : at[d];
    }
    return true;
}

static void ref_flip(const array *in, const sweep_case *c, array *out) {
    gather_map(in, c, in->shape, map_flip, 0, out);
}

static const sweep_case flips[] = {
    {"all", {REAL(3, 4)}, .arg = {0}},
    {"rows", {REAL(3, 4)}, .arg = {1, 0}},
    {"columns", {REAL(3, 5)}, .arg = {1, -1}},
    {"outer two of three", {REAL(2, 3, 5)}, .arg = {2, 0, 1}},
    {"middle", {REAL(2, 3, 5)}, .arg = {1, 1}},
    {"0-dim", {SCALAR}, .arg = {0}},
    {"empty", {REAL(3, 0)}, .arg = {1, 0}},
    {"8-dim", {REAL(2, 1, 2, 1, 2, 2, 1, 2)}, .arg = {3, 0, 4, 7}},
    {"long", {REAL(3, 40009)}, .arg = {1, 1}},
    {"tall", {REAL(40009, 3)}, .arg = {1, 0}},
    {"twice", {REAL(3, 4)}, .arg = {2, 1, -1}, .code = TERN_ERR_ARGUMENT},
    {"no such dimension", {REAL(3, 4)}, .arg = {1, 2}, .code = TERN_ERR_SHAPE},
};
SWEEP(flip, flips, call_flip, ref_flip, SWEEP_INTS | SWEEP_BOOL, 1)
BENCH(flip, call_flip, "torch.flip(a, (1,))", {"[1024, 1024]", {REAL(1024, 1024)}, .arg = {1, 1}})

/* ---- roll: arg = n, shifts, dims ----------------------------------------------------------------------------------
 */

static tern_tensor *call_roll(tern_tensor *const *in, const sweep_case *c) {
    int dims[4];
    for (int i = 0; i < 4; i++) dims[i] = (int)c->arg[1 + c->arg[0] + i];
    return tern_roll(in[0], &c->arg[1], dims, (int)c->arg[0]);
}

static bool map_roll(const sweep_case *c, const array *x, const int64_t *at, int64_t *from) {
    for (int d = 0; d < x->shape.ndim; d++) {
        from[d] = at[d];
        for (int i = 0; i < c->arg[0]; i++)
            if (dim_of(x, c->arg[1 + c->arg[0] + i]) == d)
                from[d] = modulo(from[d] - c->arg[1 + i] % x->shape.dim[d], x->shape.dim[d]);
    }
    return true;
}

static void ref_roll(const array *in, const sweep_case *c, array *out) {
    gather_map(in, c, in->shape, map_roll, 0, out);
}

static const sweep_case rolls[] = {
    {"columns", {REAL(3, 5)}, .arg = {1, 2, 1}},
    {"backwards", {REAL(3, 5)}, .arg = {1, -2, -1}},
    {"rows", {REAL(4, 3)}, .arg = {1, 1, 0}},
    {"both, far", {REAL(4, 3)}, .arg = {2, 9, -7, 0, 1}},
    {"one dimension twice", {REAL(7)}, .arg = {2, 2, 3, 0, 0}},
    {"huge", {REAL(7)}, .arg = {1, INT64_MAX, 0}},
    {"none", {REAL(3, 5)}, .arg = {0}},
    {"empty", {REAL(0, 5)}, .arg = {1, 1, 0}},
    {"long", {REAL(2, 40009)}, .arg = {1, 17, 1}},
    {"no such dimension", {REAL(3, 5)}, .arg = {1, 2, 2}, .code = TERN_ERR_SHAPE},
    {"0-dim", {SCALAR}, .arg = {1, 1, 0}, .code = TERN_ERR_SHAPE},
    {"negative count", {REAL(3)}, .arg = {-1, 1, 0}, .code = TERN_ERR_ARGUMENT},
};
SWEEP(roll, rolls, call_roll, ref_roll, SWEEP_INTS | SWEEP_BOOL, 1)
BENCH(roll, call_roll, "torch.roll(a, 100, 1)", {"[1024, 1024]", {REAL(1024, 1024)}, .arg = {1, 100, 1}})

/* ---- rot90: arg = k, dim0, dim1 -----------------------------------------------------------------------------------
 */

static tern_tensor *call_rot90(tern_tensor *const *in, const sweep_case *c) {
    return tern_rot90(in[0], (int)c->arg[0], (int)c->arg[1], (int)c->arg[2]);
}

/* One quarter turn: out[i][j] = x[j][n - 1 - i]. */
static void ref_rot90(const array *in, const sweep_case *c, array *out) {
    const int64_t a = dim_of(in, c->arg[1]), b = dim_of(in, c->arg[2]);
    array x = {in->shape, in->n, in->v};
    array_new(out, in->shape);
    memcpy(out->v, in->v, sizeof(double) * (size_t)in->n);
    for (int64_t k = 0; k < modulo(c->arg[0], 4); k++) {
        array was = *out;
        tern_shape s = was.shape;
        int64_t at[TERN_MAX_DIMS], strides[TERN_MAX_DIMS];
        s.dim[a] = was.shape.dim[b];
        s.dim[b] = was.shape.dim[a];
        array_strides(was.shape, strides);
        array_new(out, s);
        for (int64_t i = 0; i < out->n; i++) {
            int64_t p = 0;
            array_index(s, i, at);
            for (int d = 0; d < s.ndim; d++)
                p += strides[d] * (d == a ? at[b] : d == b ? was.shape.dim[b] - 1 - at[a] : at[d]);
            out->v[i] = was.v[p];
        }
        free(was.v);
    }
    (void)x;
}

static const sweep_case rot90s[] = {
    {"one", {REAL(3, 4)}, .arg = {1, 0, 1}},
    {"two", {REAL(3, 4)}, .arg = {2, 0, 1}},
    {"back", {REAL(3, 4)}, .arg = {-1, 0, 1}},
    {"other way", {REAL(2, 3, 4)}, .arg = {1, 2, 0}},
    {"none", {REAL(3, 4)}, .arg = {4, 0, 1}},
    {"one dimension", {REAL(3, 4)}, .arg = {1, 1, -1}, .code = TERN_ERR_ARGUMENT},
    {"no such dimension", {REAL(3)}, .arg = {1, 0, 1}, .code = TERN_ERR_SHAPE},
};
SWEEP(rot90, rot90s, call_rot90, ref_rot90, SWEEP_INTS | SWEEP_BOOL, 1)

/* ---- repeat: arg = n, repeats -------------------------------------------------------------------------------------
 */

static tern_tensor *call_repeat(tern_tensor *const *in, const sweep_case *c) {
    return tern_repeat(in[0], tern_shape_of((int)c->arg[0], &c->arg[1]));
}

static bool map_repeat(const sweep_case *c, const array *x, const int64_t *at, int64_t *from) {
    const int more = (int)c->arg[0] - x->shape.ndim;
    for (int d = 0; d < x->shape.ndim; d++) from[d] = at[d + more] % x->shape.dim[d];
    return true;
}

static void ref_repeat(const array *in, const sweep_case *c, array *out) {
    tern_shape s = {(int)c->arg[0], {0}};
    const int more = s.ndim - in->shape.ndim;
    for (int d = 0; d < s.ndim; d++) s.dim[d] = c->arg[1 + d] * (d < more ? 1 : in->shape.dim[d - more]);
    gather_map(in, c, s, map_repeat, 0, out);
}

static const sweep_case repeats[] = {
    {"rows", {REAL(2, 3)}, .arg = {2, 3, 1}},
    {"columns", {REAL(2, 3)}, .arg = {2, 1, 3}},
    {"both", {REAL(2, 3)}, .arg = {2, 2, 2}},
    {"more dimensions", {REAL(3)}, .arg = {3, 2, 1, 2}},
    {"0-dim", {SCALAR}, .arg = {2, 2, 3}},
    {"0-dim, none", {SCALAR}, .arg = {0}},
    {"not at all", {REAL(2, 3)}, .arg = {2, 0, 2}},
    {"empty", {REAL(0, 3)}, .arg = {2, 2, 2}},
    {"one to many", {REAL(1, 1)}, .arg = {2, 5, 7}},
    {"long", {REAL(20011)}, .arg = {2, 2, 2}},
    {"too few", {REAL(2, 3)}, .arg = {1, 2}, .code = TERN_ERR_SHAPE},
    {"negative", {REAL(2, 3)}, .arg = {2, -1, 2}, .code = TERN_ERR_ARGUMENT},
    {"overflow", {REAL(2, 3)}, .arg = {2, INT64_MAX, 2}, .code = TERN_ERR_SHAPE},
};
SWEEP(repeat, repeats, call_repeat, ref_repeat, SWEEP_INTS | SWEEP_BOOL, 8)
BENCH(repeat, call_repeat, "a.repeat(4, 4)", {"[256, 256]", {REAL(256, 256)}, .arg = {2, 4, 4}})

/* ---- repeat_interleave: arg = repeats, dim ------------------------------------------------------------------------
 */

static tern_tensor *call_interleave(tern_tensor *const *in, const sweep_case *c) {
    return tern_repeat_interleave(in[0], c->arg[0], (int)c->arg[1]);
}

static bool map_interleave(const sweep_case *c, const array *x, const int64_t *at, int64_t *from) {
    for (int d = 0; d < x->shape.ndim; d++) from[d] = d == dim_of(x, c->arg[1]) ? at[d] / c->arg[0] : at[d];
    return true;
}

static void ref_interleave(const array *in, const sweep_case *c, array *out) {
    tern_shape s = in->shape;
    s.dim[dim_of(in, c->arg[1])] *= c->arg[0];
    gather_map(in, c, s, map_interleave, 0, out);
}

static const sweep_case interleaves[] = {
    {"rows", {REAL(3, 4)}, .arg = {2, 0}},
    {"columns", {REAL(3, 4)}, .arg = {3, -1}},
    {"middle", {REAL(2, 3, 4)}, .arg = {2, 1}},
    {"once", {REAL(3, 4)}, .arg = {1, 0}},
    {"not at all", {REAL(3, 4)}, .arg = {0, 0}},
    {"8-dim", {REAL(2, 1, 2, 1, 2, 1, 1, 2)}, .arg = {2, 2}},
    {"negative", {REAL(3, 4)}, .arg = {-1, 0}, .code = TERN_ERR_ARGUMENT},
    {"overflow", {REAL(3, 4)}, .arg = {INT64_MAX, 0}, .code = TERN_ERR_SHAPE},
    {"0-dim", {SCALAR}, .arg = {2, 0}, .code = TERN_ERR_SHAPE},
};
SWEEP(repeat_interleave, interleaves, call_interleave, ref_interleave, SWEEP_INTS | SWEEP_BOOL, 8)
BENCH(repeat_interleave, call_interleave, "a.repeat_interleave(4, 0)",
      {"[1024, 1024]", {REAL(1024, 1024)}, .arg = {4, 0}})

static tern_tensor *call_interleave_by(tern_tensor *const *in, const sweep_case *c) {
    return tern_repeat_interleave_by(in[0], in[1], (int)c->arg[0]);
}

static void ref_interleave_by(const array *in, const sweep_case *c, array *out) {
    int64_t outer, size, inner, total = 0, at = 0;
    array_split(&in[0], c->arg[0], &outer, &size, &inner);
    for (int64_t i = 0; i < in[1].n; i++) total += (int64_t)in[1].v[i];
    tern_shape s = in[0].shape;
    s.dim[dim_of(&in[0], c->arg[0])] = total;
    array_new(out, s);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < size; k++)
            for (int64_t r = 0; r < (int64_t)in[1].v[k]; r++)
                for (int64_t i = 0; i < inner; i++) out->v[at++] = in[0].v[(o * size + k) * inner + i];
}

static const sweep_case interleaves_by[] = {
    {"rows", {REAL(3, 4), INDEX(4, 3)}, .arg = {0}},
    {"columns, i32", {REAL(3, 4), INDEX32(3, 4)}, .arg = {1}},
    {"empty", {REAL(0, 4), INDEX(3, 0)}, .arg = {0}},
    {"negative",
     {REAL(3, 4), {.kind = IN_INDEX, .lo = -1, .hi = -1, .shape = SHAPE_OF(3)}},
     .arg = {0},
     .code = TERN_ERR_ARGUMENT},
    {"other size", {REAL(3, 4), INDEX(3, 4)}, .arg = {0}, .code = TERN_ERR_SHAPE},
    {"real", {REAL(3, 4), REAL(3)}, .arg = {0}, .code = TERN_ERR_DTYPE},
    {"no such dimension", {REAL(3, 4), INDEX(3, 3)}, .arg = {2}, .code = TERN_ERR_SHAPE},
};
SWEEP(repeat_interleave_by, interleaves_by, call_interleave_by, ref_interleave_by, SWEEP_INTS | SWEEP_BOOL, 8)

/* ---- pad: arg = mode, n, pads; number = value ---------------------------------------------------------------------
 */

static tern_tensor *call_pad(tern_tensor *const *in, const sweep_case *c) {
    return tern_pad(in[0], &c->arg[2], (int)c->arg[1], (tern_pad_opts){(tern_pad_mode)c->arg[0], c->number[0]});
}

static int64_t before_of(const sweep_case *c, const array *x, int d) {
    const int k = x->shape.ndim - 1 - d;
    return 2 * k < c->arg[1] ? c->arg[2 + 2 * k] : 0;
}

static bool map_pad(const sweep_case *c, const array *x, const int64_t *at, int64_t *from) {
    for (int d = 0; d < x->shape.ndim; d++) {
        const int64_t n = x->shape.dim[d];
        int64_t k = at[d] - before_of(c, x, d);
        if (k < 0 || k >= n) switch (c->arg[0]) {
                case TERN_PAD_CONSTANT:
                    return false;
                case TERN_PAD_REFLECT:
                    k = k < 0 ? -k : 2 * n - 2 - k;
                    break;
                case TERN_PAD_REPLICATE:
                    k = k < 0 ? 0 : n - 1;
                    break;
                default:
                    k = modulo(k, n);
            }
        from[d] = k;
    }
    return true;
}

static void ref_pad(const array *in, const sweep_case *c, array *out) {
    tern_shape s = in->shape;
    for (int i = 0; i < c->arg[1]; i++) s.dim[s.ndim - 1 - i / 2] += c->arg[2 + i];
    gather_map(in, c, s, map_pad, c->number[0], out);
}

static const sweep_case pads[] = {
    {"columns", {REAL(3, 4)}, .arg = {0, 2, 1, 2}, .number = {1}},
    {"both", {REAL(3, 4)}, .arg = {0, 4, 1, 0, 2, 1}},
    {"outer", {REAL(2, 3, 2)}, .arg = {0, 6, 0, 0, 0, 0, 1, 2}, .number = {1}},
    {"crop", {REAL(5, 6)}, .arg = {0, 4, -1, -2, 1, -2}, .number = {1}},
    {"crop to nothing", {REAL(3, 4)}, .arg = {0, 2, -2, -2}},
    {"cut off on one side", {REAL(3, 4)}, .arg = {0, 2, -6, 7}, .number = {1}},
    {"empty", {REAL(0, 2)}, .arg = {0, 4, 1, 1, 1, 0}, .number = {1}},
    {"0-dim", {SCALAR}, .arg = {0, 0}},
    {"long", {REAL(2, 40009)}, .arg = {0, 2, 3, 4}},
    {"reflect", {REAL(3, 5)}, .arg = {1, 2, 3, 4}},
    {"reflect both", {REAL(2, 3, 4)}, .arg = {1, 4, 2, 1, 2, 2}},
    {"reflect outer", {REAL(3, 2, 2)}, .arg = {1, 6, 0, 0, 0, 0, 2, 1}},
    {"reflect, crop", {REAL(3, 5)}, .arg = {1, 2, -1, 3}},
    {"replicate", {REAL(3, 4)}, .arg = {2, 2, 3, 6}},
    {"replicate three", {REAL(2, 2, 3)}, .arg = {2, 6, 1, 2, 3, 0, 0, 1}},
    {"circular", {REAL(3, 4)}, .arg = {3, 2, 2, 4}},
    {"circular both", {REAL(2, 3, 4)}, .arg = {3, 4, 1, 1, 3, 0}},
    {"circular, crop", {REAL(3, 4)}, .arg = {3, 2, 3, -1}},
    {"odd", {REAL(3, 4)}, .arg = {0, 1, 1}, .code = TERN_ERR_ARGUMENT},
    {"too many", {REAL(3)}, .arg = {0, 4, 1, 1, 1, 1}, .code = TERN_ERR_ARGUMENT},
    {"mode", {REAL(3)}, .arg = {4, 2, 1, 1}, .code = TERN_ERR_ARGUMENT},
    {"cropped away", {REAL(3, 4)}, .arg = {0, 2, -3, -2}, .code = TERN_ERR_SHAPE},
    {"overflow", {REAL(3, 4)}, .arg = {0, 2, INT64_MAX, 1}, .code = TERN_ERR_SHAPE},
    {"more than memory holds", {REAL(3, 4)}, .arg = {0, 2, INT64_MAX / 2, 1}, .code = TERN_ERR_SHAPE},
    {"reflect too far", {REAL(3, 4)}, .arg = {1, 2, 4, 0}, .code = TERN_ERR_SHAPE},
    {"circular too far", {REAL(3, 4)}, .arg = {3, 2, 5, 0}, .code = TERN_ERR_SHAPE},
    {"replicate nothing", {REAL(3, 0)}, .arg = {2, 2, 1, 0}, .code = TERN_ERR_SHAPE},
    {"value",
     {{.kind = IN_WHOLE, .lo = 0, .hi = 3, .shape = SHAPE_OF(3), .dtype = TERN_U8 + 1}},
     .arg = {0, 2, 1, 1},
     .number = {300},
     .code = TERN_ERR_ARGUMENT},
};
SWEEP(pad, pads, call_pad, ref_pad, SWEEP_INTS | SWEEP_BOOL, 8)
BENCH(pad, call_pad, "F.pad(a, (1, 1, 1, 1))", {"[32, 64, 28, 28]", {REAL(32, 64, 28, 28)}, .arg = {0, 4, 1, 1, 1, 1}})
BENCH(pad__reflect, call_pad, "F.pad(a, (1, 1, 1, 1), 'reflect')",
      {"[32, 64, 28, 28]", {REAL(32, 64, 28, 28)}, .arg = {1, 4, 1, 1, 1, 1}})

/* ---- tril, triu: arg = k ------------------------------------------------------------------------------------------
 */

static tern_tensor *call_tril(tern_tensor *const *in, const sweep_case *c) { return tern_tril(in[0], c->arg[0]); }
static tern_tensor *call_triu(tern_tensor *const *in, const sweep_case *c) { return tern_triu(in[0], c->arg[0]); }

static void ref_tri(const array *in, const sweep_case *c, array *out, bool upper) {
    const int64_t cols = in->shape.dim[in->shape.ndim - 1], rows = in->shape.dim[in->shape.ndim - 2];
    array_new(out, in->shape);
    for (int64_t p = 0; p < in->n; p++) {
        const __int128 over = (__int128)(p % cols) - p / cols % rows - c->arg[0];
        out->v[p] = (upper ? over >= 0 : over <= 0) ? in->v[p] : 0;
    }
}
static void ref_tril(const array *in, const sweep_case *c, array *out) { ref_tri(in, c, out, false); }
static void ref_triu(const array *in, const sweep_case *c, array *out) { ref_tri(in, c, out, true); }

static const sweep_case tris[] = {
    {"square", {REAL(4, 4)}, .arg = {0}},
    {"above", {REAL(4, 4)}, .arg = {1}},
    {"below", {REAL(4, 4)}, .arg = {-2}},
    {"wide", {REAL(3, 5)}, .arg = {1}},
    {"tall", {REAL(5, 3)}, .arg = {-1}},
    {"batch", {REAL(2, 3, 4, 3)}, .arg = {0}},
    {"all of it", {REAL(3, 4)}, .arg = {INT64_MAX}},
    {"none of it", {REAL(3, 4)}, .arg = {INT64_MIN}},
    {"empty", {REAL(3, 0)}, .arg = {0}},
    {"empty batch", {REAL(0, 3, 3)}, .arg = {0}},
    {"larger", {REAL(301, 203)}, .arg = {3}},
    {"1-dim", {REAL(3)}, .arg = {0}, .code = TERN_ERR_SHAPE},
};
SWEEP(tril, tris, call_tril, ref_tril, SWEEP_INTS | SWEEP_BOOL, 1)
SWEEP(triu, tris, call_triu, ref_triu, SWEEP_INTS | SWEEP_BOOL, 1)
BENCH(tril, call_tril, "torch.tril(a)", {"[1024, 1024]", {REAL(1024, 1024)}})
