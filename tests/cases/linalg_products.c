/* Products: mm .. matrix_power, einsum, tensordot. */
#include "../sweep.h"

/* c [m, n] = a [m, k] b [k, n], at the end of the arrays' rows. */
static void product(const double *a, const double *b, double *c, int64_t m, int64_t k, int64_t n) {
    for (int64_t i = 0; i < m * n; i++) {
        c[i] = 0;
        for (int64_t l = 0; l < k; l++) c[i] += a[i / n * k + l] * b[l * n + i % n];
    }
}

/* ---- mm, bmm, mv, dot; the reference takes b's vector as a column ------------------------------------------------ */

static tern_tensor *call_mm(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_mm(in[0], in[1]);
}
static tern_tensor *call_bmm(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_bmm(in[0], in[1]);
}
static tern_tensor *call_mv(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_mv(in[0], in[1]);
}
static tern_tensor *call_dot(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_dot(in[0], in[1]);
}

static void products(const array *a, const array *b, array *out) {
    const int na = a->shape.ndim, nb = b->shape.ndim;
    const int64_t batch = na == 3 ? a->shape.dim[0] : 1, m = na == 1 ? 1 : a->shape.dim[na - 2];
    const int64_t k = a->shape.dim[na - 1], n = nb == 1 ? 1 : b->shape.dim[nb - 1];
    tern_shape s = a->shape;
    s.ndim = na - 1;
    if (nb > 1) s.dim[s.ndim++] = n;
    array_new(out, s);
    for (int64_t i = 0; i < batch; i++) product(a->v + i * m * k, b->v + i * k * n, out->v + i * m * n, m, k, n);
}
static void ref_products(const array *in, const sweep_case *c, array *out) {
    (void)c;
    products(&in[0], &in[1], out);
}

static const sweep_case mms[] = {
    {"2-dim", {REAL(3, 4), REAL(4, 5)}},
    {"inner 0", {REAL(3, 0), REAL(0, 2)}},
    {"odd", {REAL(9, 17), REAL(17, 5)}, .loosen = 2},
    {"batched", {REAL(2, 3, 4), REAL(2, 4, 5)}, .code = TERN_ERR_SHAPE, .text = "mm: "},
    {"inner sizes", {REAL(3, 4), REAL(5, 4)}, .code = TERN_ERR_SHAPE, .text = "mm: "},
    {"dtypes", {REAL(2, 3), TYPED(TERN_F64, 3, 2)}, .code = TERN_ERR_DTYPE, .text = "mm: "},
};
SWEEP(mm, mms, call_mm, ref_products, 0, 4)
static const sweep_case bmms[] = {
    {"3-dim", {REAL(2, 3, 4), REAL(2, 4, 2)}},
    {"batch 0", {REAL(0, 3, 4), REAL(0, 4, 2)}},
    {"many small", {REAL(33, 2, 1), REAL(33, 1, 2)}},
    {"many of them", {REAL(300, 3, 4), REAL(300, 4, 5)}},
    {"batch of larger", {REAL(3, 40, 60), REAL(3, 60, 50)}, .loosen = 8},
    {"batches", {REAL(2, 3, 4), REAL(1, 4, 2)}, .code = TERN_ERR_SHAPE, .text = "bmm: "},
    {"2-dim", {REAL(3, 4), REAL(4, 2)}, .code = TERN_ERR_SHAPE, .text = "bmm: "},
};
SWEEP(bmm, bmms, call_bmm, ref_products, 0, 4)
BENCH(bmm, call_bmm, "torch.bmm(a, b)", {"[10000, 8, 8]", {REAL(10000, 8, 8), REAL(10000, 8, 8)}})
static const sweep_case mvs[] = {
    {"2-dim", {REAL(3, 4), REAL(4)}},
    {"empty", {REAL(0, 4), REAL(4)}},
    {"sizes", {REAL(3, 4), REAL(3)}, .code = TERN_ERR_SHAPE, .text = "mv: "},
    {"matrix", {REAL(3, 4), REAL(4, 1)}, .code = TERN_ERR_SHAPE, .text = "mv: "},
};
SWEEP(mv, mvs, call_mv, ref_products, 0, 4)
static const sweep_case dot_cases[] = {
    {"1-dim", {REAL(7), REAL(7)}},
    {"empty", {REAL(0), REAL(0)}},
    {"sizes", {REAL(3), REAL(4)}, .code = TERN_ERR_SHAPE, .text = "dot: "},
    {"matrix", {REAL(3, 4), REAL(4)}, .code = TERN_ERR_SHAPE, .text = "dot: "},
};
SWEEP(dot, dot_cases, call_dot, ref_products, 0, 4)

/* ---- addmm, baddbmm, addmv; number: beta, alpha ------------------------------------------------------------------ */

static tern_tensor *call_addmm(tern_tensor *const *in, const sweep_case *c) {
    return tern_addmm(in[0], in[1], in[2], c->number[0], c->number[1]);
}
static tern_tensor *call_baddbmm(tern_tensor *const *in, const sweep_case *c) {
    return tern_baddbmm(in[0], in[1], in[2], c->number[0], c->number[1]);
}
static tern_tensor *call_addmv(tern_tensor *const *in, const sweep_case *c) {
    return tern_addmv(in[0], in[1], in[2], c->number[0], c->number[1]);
}
static void ref_add(const array *in, const sweep_case *c, array *out) {
    products(&in[1], &in[2], out);
    for (int64_t i = 0; i < out->n; i++)
        out->v[i] = c->number[1] * out->v[i] + c->number[0] * array_at(&in[0], out->shape, i);
}
static const sweep_case addmms[] = {
    {"plain", {REAL(3, 5), REAL(3, 4), REAL(4, 5)}, .number = {1, 1}},
    {"row", {REAL(5), REAL(3, 4), REAL(4, 5)}, .number = {1, 1}},
    {"row, one", {REAL(1), REAL(3, 4), REAL(4, 5)}, .number = {1, 1}},
    {"0-dim", {SCALAR, REAL(3, 4), REAL(4, 5)}, .number = {1, 1}},
    {"column", {REAL(3, 1), REAL(3, 4), REAL(4, 5)}, .number = {0.5, 2}},
    {"factors", {REAL(3, 5), REAL(3, 4), REAL(4, 5)}, .number = {-1.5, 0.25}},
    {"beta 0", {REAL(3, 5), REAL(3, 4), REAL(4, 5)}, .number = {0, 1}},
    {"inner 0", {REAL(3, 5), REAL(3, 0), REAL(0, 5)}, .number = {1, 1}},
    {"wide c", {REAL(1, 3, 5), REAL(3, 4), REAL(4, 5)}, .number = {1, 1}, .code = TERN_ERR_SHAPE, .text = "addmm: c"},
    {"c", {REAL(4), REAL(3, 4), REAL(4, 5)}, .number = {1, 1}, .code = TERN_ERR_SHAPE, .text = "addmm: c"},
    {"sizes", {REAL(5), REAL(3, 4), REAL(3, 5)}, .number = {1, 1}, .code = TERN_ERR_SHAPE, .text = "addmm: "},
    {"dtypes",
     {TYPED(TERN_F64, 5), TYPED(TERN_F32, 3, 4), TYPED(TERN_F32, 4, 5)},
     .number = {1, 1},
     .code = TERN_ERR_DTYPE,
     .text = "addmm: "},
};
/* f16 and bf16: the product is rounded before c is added, so what cancels is as wrong as that. */
SWEEP(addmm, addmms, call_addmm, ref_add, 0, 60)
BENCH(addmm, call_addmm, "torch.addmm(a, b, c, beta=0.5, alpha=2)",
      {"512", {REAL(512, 512), REAL(512, 512), REAL(512, 512)}, .number = {0.5, 2}})
static const sweep_case baddbmms[] = {
    {"plain", {REAL(2, 3, 2), REAL(2, 3, 4), REAL(2, 4, 2)}, .number = {1, 1}},
    {"broadcast", {REAL(3, 1), REAL(2, 3, 4), REAL(2, 4, 2)}, .number = {2, -1}},
    {"row", {REAL(2), REAL(2, 3, 4), REAL(2, 4, 2)}, .number = {1, 1}},
    {"sizes", {REAL(2), REAL(3, 4), REAL(4, 2)}, .number = {1, 1}, .code = TERN_ERR_SHAPE, .text = "baddbmm: "},
};
SWEEP(baddbmm, baddbmms, call_baddbmm, ref_add, 0, 60)
static const sweep_case addmvs[] = {
    {"plain", {REAL(3), REAL(3, 4), REAL(4)}, .number = {1, 1}},
    {"factors", {REAL(1), REAL(3, 4), REAL(4)}, .number = {2, -1}},
    {"sizes", {REAL(4), REAL(3, 4), REAL(4)}, .number = {1, 1}, .code = TERN_ERR_SHAPE, .text = "addmv: c"},
};
SWEEP(addmv, addmvs, call_addmv, ref_add, 0, 60)

/* ---- einsum, and what it can say; opts: the equation ------------------------------------------------------------- */

static int operands(const sweep_case *c) {
    int n = 0;
    while (n < SWEEP_INPUTS && c->in[n].kind != IN_END) n++;
    return n;
}
static tern_tensor *call_einsum(tern_tensor *const *in, const sweep_case *c) {
    return tern_einsum(c->opts, in, operands(c));
}

enum { LABELS = 128 };

/* Writes a term's labels; "..." becomes '1' for the last dimension, '2' for the one before it, ... */
static int labels(const char *p, const char *end, int dots, char *out) {
    int n = 0;
    for (; p < end; p++) {
        if (*p == '.') {
            for (int i = dots; i > 0; i--) out[n++] = (char)('0' + i);
            p += 2;
        } else if (*p != ' ') {
            out[n++] = *p;
        }
    }
    return n;
}

/* Adds up the product of the operands over every assignment of indices to labels. */
static void einsum(const char *equation, const array *in, int count, array *out) {
    char term[SWEEP_INPUTS][16], result[16], all[LABELS];
    int64_t size[LABELS] = {0}, at[LABELS] = {0};
    int terms[SWEEP_INPUTS] = {0}, n_result = 0, n_all = 0, dots = 0;
    const char *p = equation, *arrow = strstr(equation, "->"), *stop = arrow ? arrow : equation + strlen(equation);
    for (int k = 0; k < count; k++) {
        const char *comma = p;
        while (comma < stop && *comma != ',') comma++;
        const int letters = labels(p, comma, 0, term[k]), own = in[k].shape.ndim - letters;
        if (own > dots) dots = own;
        terms[k] = labels(p, comma, own, term[k]);
        for (int i = 0; i < terms[k]; i++) {
            const int l = term[k][i];
            if (size[l] == 0 && !memchr(all, l, (size_t)n_all)) all[n_all++] = (char)l;
            if (size[l] <= 1) size[l] = in[k].shape.dim[i];
        }
        p = comma + 1;
    }
    if (arrow) {
        n_result = labels(arrow + 2, arrow + strlen(arrow), dots, result);
    } else {
        for (int i = dots; i > 0; i--) result[n_result++] = (char)('0' + i);
        for (int l = 'A'; l <= 'z'; l++) {
            int times = 0;
            for (int k = 0; k < count; k++)
                for (int i = 0; i < terms[k]; i++) times += term[k][i] == l;
            if (times == 1) result[n_result++] = (char)l;
        }
    }
    tern_shape s = {n_result, {0}};
    int64_t total = 1;
    for (int i = 0; i < n_result; i++) s.dim[i] = size[(int)result[i]];
    array_new(out, s);
    for (int i = 0; i < n_all; i++) total *= size[(int)all[i]];
    for (int64_t step = 0; step < total; step++) {
        int64_t rest = step, to = 0;
        double value = 1;
        for (int i = 0; i < n_all; i++) {
            at[(int)all[i]] = rest % size[(int)all[i]];
            rest /= size[(int)all[i]];
        }
        for (int k = 0; k < count; k++) {
            int64_t from = 0;
            for (int i = 0; i < terms[k]; i++)
                from = from * in[k].shape.dim[i] + (in[k].shape.dim[i] == 1 ? 0 : at[(int)term[k][i]]);
            value *= in[k].v[from];
        }
        for (int i = 0; i < n_result; i++) to = to * s.dim[i] + at[(int)result[i]];
        out->v[to] += value;
    }
}
static void ref_einsum(const array *in, const sweep_case *c, array *out) { einsum(c->opts, in, operands(c), out); }

static const sweep_case einsums[] = {
    {"matmul", {REAL(3, 4), REAL(4, 2)}, .opts = "ij,jk->ik"},
    {"implicit", {REAL(3, 4), REAL(4, 2)}, .opts = "ij,jk"},
    {"implicit transpose", {REAL(3, 4)}, .opts = "ba"},
    {"implicit, capitals", {REAL(3, 4), REAL(2)}, .opts = "aB,C"},
    {"transposed result", {REAL(3, 4), REAL(4, 2)}, .opts = "ij,jk->ki"},
    {"spaces", {REAL(3, 4), REAL(4, 2)}, .opts = " i j , j k -> k i "},
    {"sum", {REAL(3, 4)}, .opts = "ij->"},
    {"row sums", {REAL(3, 4)}, .opts = "ij->i"},
    {"trace", {REAL(4, 4)}, .opts = "ii"},
    {"diagonal", {REAL(4, 4)}, .opts = "ii->i"},
    {"diagonal of three", {REAL(3, 3, 3, 2)}, .opts = "iiij->ji"},
    {"two diagonals", {REAL(3, 2, 3, 2)}, .opts = "ijij->ij"},
    {"diagonal in a product", {REAL(3, 3, 2), REAL(2, 3)}, .opts = "iij,ji->i"},
    {"outer", {REAL(3), REAL(4)}, .opts = "i,j->ij"},
    {"outer, transposed", {REAL(3), REAL(4)}, .opts = "i,j->ji"},
    {"elements", {REAL(3, 4), REAL(4, 3)}, .opts = "ij,ji->ij"},
    {"dot", {REAL(5), REAL(5)}, .opts = "i,i->"},
    {"dots of rows", {REAL(3, 5), REAL(3, 5)}, .opts = "bi,bi->b"},
    {"all summed", {REAL(3, 4), REAL(3, 4)}, .opts = "ij,ij->"},
    {"alone summed", {REAL(3, 4), REAL(5, 2)}, .opts = "ij,kl->il"},
    {"batched", {REAL(2, 3, 4), REAL(2, 4, 2)}, .opts = "bij,bjk->bik"},
    {"attention", {REAL(2, 3, 2, 4), REAL(2, 2, 2, 4)}, .opts = "bqhd,bkhd->bhqk"},
    {"two summed", {REAL(2, 3, 4), REAL(4, 3, 2)}, .opts = "aij,jib->ab"},
    {"bilinear", {REAL(2, 3), REAL(4, 3, 2), REAL(2, 2)}, .opts = "bn,anm,bm->ba"},
    {"three", {REAL(2, 3), REAL(3, 4), REAL(4, 2)}, .opts = "ij,jk,kl->il"},
    {"four", {REAL(2, 3), REAL(3, 2), REAL(2, 3), REAL(3)}, .opts = "ij,jk,kl,l->i"},
    {"one label in three", {REAL(3), REAL(3), REAL(3, 2)}, .opts = "i,i,ij->j"},
    {"ellipsis", {REAL(2, 3, 4), REAL(2, 4, 2)}, .opts = "...ij,...jk->...ik"},
    {"ellipsis, broadcast", {REAL(2, 1, 3, 2), REAL(3, 2, 2)}, .opts = "...ij,...jk->...ik"},
    {"ellipsis, implicit", {REAL(2, 3, 4), REAL(4)}, .opts = "...j,j"},
    {"ellipsis in the middle", {REAL(3, 2, 4), REAL(3)}, .opts = "i...j,i->j..."},
    {"ellipsis of nothing", {REAL(3, 4), REAL(4)}, .opts = "i...j,...j->...i"},
    {"size 1 broadcast", {REAL(1, 4), REAL(3, 4)}, .opts = "ij,ij->ij"},
    {"size 1 summed", {REAL(3, 1), REAL(4, 2)}, .opts = "ij,jk->ik"},
    {"0-dim", {SCALAR, REAL(3)}, .opts = ",i->i"},
    {"size 0", {REAL(3, 0), REAL(0, 2)}, .opts = "ij,jk->ik"},
    {"8 labels", {REAL(1, 2, 1, 2, 1, 2, 1, 2), REAL(2, 2)}, .opts = "abcdefgh,hb->abcdefg"},
    {"7 in both", {REAL(1, 2, 1, 2, 1, 2, 1, 3), REAL(3, 1, 2, 1, 2, 1, 2, 1)}, .opts = "abcdefgi,iabcdefg->gabcdef"},
    {"unknown in the result", {REAL(3)}, .opts = "i->j", .code = TERN_ERR_ARGUMENT, .text = "einsum: "},
    {"twice in the result", {REAL(3)}, .opts = "i->ii", .code = TERN_ERR_ARGUMENT, .text = "einsum: "},
    {"too few labels", {REAL(3, 4)}, .opts = "i", .code = TERN_ERR_SHAPE, .text = "einsum: "},
    {"too many labels", {REAL(3, 4)}, .opts = "...ijk", .code = TERN_ERR_ARGUMENT, .text = "einsum: "},
    {"too few terms", {REAL(3), REAL(3)}, .opts = "i->i", .code = TERN_ERR_ARGUMENT, .text = "einsum: "},
    {"too many terms", {REAL(3)}, .opts = "i,i->i", .code = TERN_ERR_ARGUMENT, .text = "einsum: "},
    {"sizes", {REAL(3, 4), REAL(3, 2)}, .opts = "ij,jk", .code = TERN_ERR_SHAPE, .text = "einsum: "},
    {"diagonal of a rectangle", {REAL(3, 4)}, .opts = "ii", .code = TERN_ERR_SHAPE, .text = "einsum: "},
    {"no letter", {REAL(3)}, .opts = "1", .code = TERN_ERR_ARGUMENT, .text = "einsum: "},
    {"two dots", {REAL(3)}, .opts = "..i", .code = TERN_ERR_ARGUMENT, .text = "einsum: "},
    {"two ellipses", {REAL(3)}, .opts = "......", .code = TERN_ERR_ARGUMENT, .text = "einsum: "},
    {"9 labels", {REAL(3)}, .opts = "abcdefghi", .code = TERN_ERR_ARGUMENT, .text = "einsum: "},
    {"9-dim result", {REAL(1, 1, 1, 1, 1), REAL(1, 1, 1, 1)}, .opts = "abcde,fghi", .code = TERN_ERR_ARGUMENT},
    {"9 dimensions on the way",
     {REAL(2, 1, 1, 1, 1), REAL(1, 1, 1, 1), REAL(2)},
     .opts = "abcde,fghi,a->bcdefgh",
     .flags = 0},
    {"integers", {TYPED(TERN_I32, 3), TYPED(TERN_I32, 3)}, .opts = "i,i", .code = TERN_ERR_DTYPE, .text = "einsum: "},
};
SWEEP(einsum, einsums, call_einsum, ref_einsum, 0, 8)
BENCH(einsum, call_einsum, "torch.einsum('bqhd,bkhd->bhqk', a, b)",
      {"attention", {REAL(8, 128, 8, 64), REAL(8, 128, 8, 64)}, .opts = "bqhd,bkhd->bhqk"})

/* The others are told by an equation, which the reference takes. */

static tern_tensor *call_outer(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_outer(in[0], in[1]);
}
static const sweep_case outers[] = {
    {"1-dim", {REAL(3), REAL(4)}, .opts = "i,j->ij"},
    {"empty", {REAL(0), REAL(4)}, .opts = "i,j->ij"},
    {"matrix", {REAL(3, 1), REAL(4)}, .code = TERN_ERR_SHAPE, .text = "outer: "},
};
SWEEP(outer, outers, call_outer, ref_einsum, SWEEP_INTS | SWEEP_WRAPS, 2)

static tern_tensor *call_inner(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_inner(in[0], in[1]);
}
static const sweep_case inners[] = {
    {"1-dim", {REAL(3), REAL(3)}, .opts = "i,i->"},
    {"2-dim", {REAL(2, 3), REAL(4, 3)}, .opts = "ai,bi->ab"},
    {"3-dim", {REAL(2, 2, 3), REAL(3)}, .opts = "abi,i->ab"},
    {"0-dim", {SCALAR, REAL(3)}, .opts = ",i->i"},
    {"sizes", {REAL(2, 3), REAL(3, 2)}, .code = TERN_ERR_SHAPE, .text = "inner: "},
};
SWEEP(inner, inners, call_inner, ref_einsum, 0, 4)

static tern_tensor *call_vecdot(tern_tensor *const *in, const sweep_case *c) {
    return tern_vecdot(in[0], in[1], (int)c->arg[0]);
}
static const sweep_case vecdots[] = {
    {"1-dim", {REAL(3), REAL(3)}, .opts = "i,i->", .arg = {-1}},
    {"first", {REAL(3, 2), REAL(3, 2)}, .opts = "ib,ib->b", .arg = {0}},
    {"broadcast", {REAL(2, 3), REAL(3)}, .opts = "bi,i->b", .arg = {-1}},
    {"long, whose products f16 would round",
     {RANGE(0.5, 2, 8, 300), RANGE(-2, 2, 8, 300)},
     .opts = "bi,bi->b",
     .arg = {-1}},
    {"dimension", {REAL(3), REAL(3)}, .arg = {1}, .code = TERN_ERR_SHAPE, .text = "vecdot: "},
    {"sizes", {REAL(3), REAL(2)}, .arg = {0}, .code = TERN_ERR_SHAPE, .text = "vecdot: "},
};
SWEEP(vecdot, vecdots, call_vecdot, ref_einsum, 0, 4)

/* arg: n, then dims of a, then dims of b; n < 0: the last and the first -n. */
static tern_tensor *call_tensordot(tern_tensor *const *in, const sweep_case *c) {
    int dims[2][4] = {{0}};
    const int n = (int)(c->arg[0] < 0 ? -c->arg[0] : c->arg[0]);
    for (int i = 0; i < n && c->arg[0] > 0; i++) {
        dims[0][i] = (int)c->arg[1 + i];
        dims[1][i] = (int)c->arg[1 + n + i];
    }
    return c->arg[0] > 0 ? tern_tensordot(in[0], in[1], dims[0], dims[1], n)
                         : tern_tensordot(in[0], in[1], NULL, NULL, n);
}
static const sweep_case tensordots[] = {
    {"last of a, first of b", {REAL(2, 3, 2), REAL(3, 2, 4)}, .opts = "aij,ijb->ab", .arg = {-2}},
    {"none", {REAL(2, 3), REAL(2)}, .opts = "ij,k->ijk", .arg = {0}},
    {"lists", {REAL(2, 3, 4), REAL(3, 2, 4)}, .opts = "aij,ibj->ab", .arg = {2, 1, 2, 0, -1}},
    {"crossed", {REAL(2, 3, 4), REAL(4, 3)}, .opts = "aij,ji->a", .arg = {2, 1, 2, 1, 0}},
    {"all", {REAL(2, 3), REAL(2, 3)}, .opts = "ij,ij->", .arg = {-2}},
    {"empty", {REAL(2, 0), REAL(0, 3)}, .opts = "ij,jk->ik", .arg = {-1}},
    {"sizes", {REAL(2, 3), REAL(2, 3)}, .arg = {-1}, .code = TERN_ERR_SHAPE, .text = "tensordot: "},
    {"too many", {REAL(2, 3), REAL(2)}, .arg = {-2}, .code = TERN_ERR_ARGUMENT, .text = "tensordot: "},
    {"twice", {REAL(2, 2), REAL(2, 2)}, .arg = {2, 0, 0, 0, 1}, .code = TERN_ERR_ARGUMENT, .text = "tensordot: "},
    {"dimension", {REAL(2, 2), REAL(2, 2)}, .arg = {1, 2, 0}, .code = TERN_ERR_SHAPE, .text = "tensordot: "},
    {"9-dim", {REAL(1, 1, 1, 1, 1), REAL(1, 1, 1, 1)}, .arg = {0}, .code = TERN_ERR_SHAPE, .text = "tensordot: "},
};
SWEEP(tensordot, tensordots, call_tensordot, ref_einsum, 0, 4)

static tern_tensor *call_trace(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_trace(in[0]);
}
static void ref_trace(const array *in, const sweep_case *c, array *out) {
    (void)c;
    const int n = in[0].shape.ndim;
    const int64_t rows = in[0].shape.dim[n - 2], cols = in[0].shape.dim[n - 1];
    tern_shape s = in[0].shape;
    s.ndim -= 2;
    array_new(out, s);
    for (int64_t i = 0; i < out->n; i++)
        for (int64_t k = 0; k < rows && k < cols; k++) out->v[i] += in[0].v[(i * rows + k) * cols + k];
}
static const sweep_case traces[] = {
    {"square", {REAL(4, 4)}},   {"batched", {REAL(2, 3, 3)}},
    {"wide", {REAL(2, 4)}},     {"tall", {REAL(4, 2)}},
    {"empty", {REAL(2, 0, 3)}}, {"1-dim", {REAL(4)}, .code = TERN_ERR_SHAPE, .text = "trace: "},
};
SWEEP(trace, traces, call_trace, ref_trace, SWEEP_INTS, 2)

/* ---- kron, cross ------------------------------------------------------------------------------------------------- */

static tern_tensor *call_kron(tern_tensor *const *in, const sweep_case *c) {
    (void)c;
    return tern_kron(in[0], in[1]);
}
static void ref_kron(const array *in, const sweep_case *c, array *out) {
    (void)c;
    const int n = in[0].shape.ndim > in[1].shape.ndim ? in[0].shape.ndim : in[1].shape.ndim;
    tern_shape s[2] = {{n, {0}}, {n, {0}}}, all = {n, {0}};
    for (int k = 0; k < 2; k++)
        for (int d = 0; d < n; d++) {
            const int own = d - (n - in[k].shape.ndim);
            s[k].dim[d] = own < 0 ? 1 : in[k].shape.dim[own];
        }
    for (int d = 0; d < n; d++) all.dim[d] = s[0].dim[d] * s[1].dim[d];
    array_new(out, all);
    for (int64_t i = 0; i < out->n; i++) {
        int64_t index[TERN_MAX_DIMS], a = 0, b = 0;
        array_index(all, i, index);
        for (int d = 0; d < n; d++) {
            a = a * s[0].dim[d] + index[d] / s[1].dim[d];
            b = b * s[1].dim[d] + index[d] % s[1].dim[d];
        }
        out->v[i] = in[0].v[a] * in[1].v[b];
    }
}
static const sweep_case krons[] = {
    {"2-dim", {REAL(2, 3), REAL(3, 2)}},
    {"1-dim", {REAL(3), REAL(2)}},
    {"0-dim", {SCALAR, REAL(2, 2)}},
    {"3-dim and 2-dim", {REAL(2, 1, 3), REAL(2, 2)}},
    {"empty", {REAL(0, 3), REAL(2, 2)}},
    {"5-dim", {REAL(1, 1, 1, 1, 2), REAL(2)}, .code = TERN_ERR_SHAPE, .text = "kron: "},
};
SWEEP(kron, krons, call_kron, ref_kron, SWEEP_INTS | SWEEP_WRAPS, 2)

static tern_tensor *call_cross(tern_tensor *const *in, const sweep_case *c) {
    return tern_cross(in[0], in[1], (int)c->arg[0]);
}
static void ref_cross(const array *in, const sweep_case *c, array *out) {
    const tern_shape s = array_broadcast(in[0].shape, in[1].shape);
    int64_t outer, size, inner;
    array_new(out, s);
    array_split(out, c->arg[0], &outer, &size, &inner);
    for (int64_t i = 0; i < out->n; i++) {
        const int64_t k = i / inner % 3, base = i - k * inner, p = base + (k + 1) % 3 * inner,
                      q = base + (k + 2) % 3 * inner;
        out->v[i] = array_at(&in[0], s, p) * array_at(&in[1], s, q) - array_at(&in[0], s, q) * array_at(&in[1], s, p);
    }
}
static const sweep_case crosses[] = {
    {"1-dim", {REAL(3), REAL(3)}, .arg = {0}},
    {"last", {REAL(2, 3), REAL(2, 3)}, .arg = {-1}},
    {"first", {REAL(3, 2), REAL(3, 2)}, .arg = {0}},
    {"broadcast", {REAL(2, 1, 3), REAL(4, 3)}, .arg = {-1}},
    {"empty", {REAL(0, 3), REAL(0, 3)}, .arg = {-1}},
    {"size 2", {REAL(2), REAL(2)}, .arg = {0}, .code = TERN_ERR_SHAPE, .text = "cross: "},
    {"size 1", {REAL(3), REAL(1)}, .arg = {0}, .code = TERN_ERR_SHAPE, .text = "cross: "},
    {"dimension of one alone", {REAL(3, 2), REAL(2)}, .arg = {0}, .code = TERN_ERR_SHAPE, .text = "cross: "},
    {"no such dimension", {REAL(3), REAL(3)}, .arg = {1}, .code = TERN_ERR_SHAPE, .text = "cross: "},
};
/* f16 and bf16: both products are rounded before one is taken from the other. */
SWEEP(cross, crosses, call_cross, ref_cross, SWEEP_INTS | SWEEP_WRAPS, 60)

/* ---- multi_dot, matrix_power ------------------------------------------------------------------------------------- */

static tern_tensor *call_multi_dot(tern_tensor *const *in, const sweep_case *c) {
    return tern_multi_dot(in, operands(c));
}
static const sweep_case multi_dots[] = {
    {"one", {REAL(2, 3)}, .opts = "ij->ij"},
    {"two", {REAL(2, 3), REAL(3, 2)}, .opts = "ij,jk->ik"},
    {"three", {REAL(2, 5), REAL(5, 2), REAL(2, 3)}, .opts = "ij,jk,kl->il"},
    {"four", {REAL(1, 4), REAL(4, 2), REAL(2, 3), REAL(3, 2)}, .opts = "ij,jk,kl,lm->im"},
    {"vectors", {REAL(4), REAL(4, 2), REAL(2)}, .opts = "j,jk,k->"},
    {"row", {REAL(4), REAL(4, 2)}, .opts = "j,jk->k"},
    {"sizes", {REAL(2, 3), REAL(2, 3)}, .code = TERN_ERR_SHAPE, .text = "multi_dot: "},
    {"vector within", {REAL(2, 3), REAL(3), REAL(3, 2)}, .code = TERN_ERR_SHAPE, .text = "multi_dot: "},
};
SWEEP(multi_dot, multi_dots, call_multi_dot, ref_einsum, 0, 8)

static tern_tensor *call_matrix_power(tern_tensor *const *in, const sweep_case *c) {
    return tern_matrix_power(in[0], c->arg[0]);
}
static void ref_matrix_power(const array *in, const sweep_case *c, array *out) {
    array_new(out, in[0].shape);
    const int64_t n = in[0].shape.dim[in[0].shape.ndim - 1], each = n * n;
    double *p = calloc((size_t)each + 1, sizeof *p);
    for (int64_t m = 0; p && each && m < out->n / each; m++) {
        double *y = out->v + m * each;
        for (int64_t i = 0; i < each; i++) y[i] = i / n == i % n;
        for (int64_t k = 0; k < c->arg[0]; k++) {
            product(y, in[0].v + m * each, p, n, n, n);
            memcpy(y, p, (size_t)each * sizeof *p);
        }
    }
    free(p);
}
#define UNIT(...) RANGE(-1, 1, __VA_ARGS__)
static const sweep_case matrix_powers[] = {
    {"0", {UNIT(2, 3, 3)}, .arg = {0}, .flags = SWEEP_NO_GRAD}, /* constant */
    {"1", {UNIT(3, 3)}, .arg = {1}},
    {"2", {UNIT(2, 3, 3)}, .arg = {2}},
    {"5", {UNIT(3, 3)}, .arg = {5}, .loosen = 4},
    {"8", {UNIT(2, 2)}, .arg = {8}, .loosen = 4},
    {"empty", {UNIT(2, 0, 0)}, .arg = {3}},
    {"wide", {UNIT(2, 3)}, .arg = {2}, .code = TERN_ERR_SHAPE, .text = "matrix_power: "},
    {"integers", {TYPED(TERN_I32, 2, 2)}, .arg = {2}, .code = TERN_ERR_DTYPE, .text = "matrix_power: "},
};
SWEEP(matrix_power, matrix_powers, call_matrix_power, ref_matrix_power, 0, 8)
