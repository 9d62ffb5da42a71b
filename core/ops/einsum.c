/* einsum and tensordot. Each term becomes a tensor with one dimension a label; pairs are contracted by one matmul over
 * dimensions [labels of both that stay, a's own, those summed] x [both, summed, b's own], which are views of the
 * operands wherever their strides allow it. */
#include <string.h>

#include "casting.h"
#include "ops/matrices.h"

/* Labels: A .. Z, a .. z, then those of "...", counted from the last dimension. */
enum { LETTERS = 52, LABELS = LETTERS + TERN_MAX_DIMS };

typedef struct term {
    tern_tensor *x;
    int n;
    signed char label[TERN_MAX_DIMS];
} term;

static uint64_t bits(const term *t) {
    uint64_t b = 0;
    for (int i = 0; i < t->n; i++) b |= UINT64_C(1) << t->label[i];
    return b;
}
static bool has(uint64_t set, int label) { return set >> label & 1; }
static int place(const term *t, int label) {
    for (int i = 0; i < t->n; i++)
        if (t->label[i] == label) return i;
    return -1;
}

/* ---- steps on one term ------------------------------------------------------------------------------------------- */

static bool permute(term *t, const term *order) {
    int dims[TERN_MAX_DIMS];
    bool same = true;
    for (int i = 0; i < order->n; i++) {
        dims[i] = place(t, order->label[i]);
        same = same && dims[i] == i;
    }
    if (!same) t->x = tern_permute(t->x, dims, t->n);
    memcpy(t->label, order->label, sizeof t->label);
    return t->x != NULL;
}

static void drop(term *t, int at) {
    t->n--;
    memmove(t->label + at, t->label + at + 1, (size_t)(t->n - at));
}

/* Sums over the labels that are not in keep. */
static bool sum_out(term *t, uint64_t keep) {
    int dims[TERN_MAX_DIMS], n = 0;
    for (int i = 0; i < t->n; i++)
        if (!has(keep, t->label[i])) dims[n++] = i;
    if (n == 0) return true;
    t->x = tern_sum(t->x, dims, n, false);
    for (int i = n - 1; i >= 0; i--) drop(t, dims[i]);
    return t->x != NULL;
}

/* A label that occurs twice is left once, at the end, as the diagonal. */
static bool diagonals(term *t) {
    for (int i = 0; i < t->n; i++)
        for (int j = i + 1; j < t->n; j++) {
            if (t->label[i] != t->label[j]) continue;
            const signed char label = t->label[i];
            if (!(t->x = tern_diagonal(t->x, 0, i, j))) return false;
            drop(t, j);
            drop(t, i);
            t->label[t->n++] = label;
            i--;
            break;
        }
    return true;
}

/* ---- a pair ------------------------------------------------------------------------------------------------------ */

typedef struct group { /* of labels, with the product of their sizes */
    int n;
    signed char label[TERN_MAX_DIMS];
    int64_t size;
} group;

static void append(group *g, const term *t, int i) {
    g->label[g->n++] = t->label[i];
    g->size *= t->x->v.shape[i];
}

/* Where one has size 1 and the other has not, that one's goes; a label that is summed is summed alone first. */
static bool meet(term *a, term *b, uint64_t keep) {
    for (int i = a->n - 1; i >= 0; i--) {
        const int j = place(b, a->label[i]);
        if (j < 0 || a->x->v.shape[i] == b->x->v.shape[j]) continue;
        term *one = a->x->v.shape[i] == 1 ? a : b;
        const int at = one == a ? i : j;
        if (!(one->x = tern_squeeze(one->x, at))) return false;
        drop(one, at);
    }
    return sum_out(a, keep | bits(b)) && sum_out(b, keep | bits(a));
}

/* t's labels in the order both, first, second, with first and second as one dimension each. */
static tern_tensor *fold(term *t, const group *both, const group *first, const group *second) {
    const group *const parts[3] = {both, first, second};
    term order = {.n = 0};
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < parts[k]->n; i++) order.label[order.n++] = parts[k]->label[i];
    if (!permute(t, &order)) return NULL;
    if (first->n == 1 && second->n == 1) return t->x;
    tern_shape s = {0};
    if (both->n + 2 > TERN_MAX_DIMS)
        s.dim[s.ndim++] = both->size;
    else
        for (int i = 0; i < both->n; i++) s.dim[s.ndim++] = t->x->v.shape[i];
    s.dim[s.ndim++] = first->size;
    s.dim[s.ndim++] = second->size;
    return tern_reshape(t->x, s);
}

/* Without anything to sum: a product of elements, dimensions in the order of `order`. */
static tern_tensor *spread(term *t, const term *order) {
    term own = {.n = 0};
    tern_shape s = {.ndim = order->n};
    for (int i = 0; i < order->n; i++) {
        const int at = place(t, order->label[i]);
        s.dim[i] = at < 0 ? 1 : t->x->v.shape[at];
        if (at >= 0) own.label[own.n++] = order->label[i];
    }
    return permute(t, &own) ? tern_reshape(t->x, s) : NULL;
}

static bool contract(const char *op, term *a, term *b, uint64_t keep, term *y) {
    if (!meet(a, b, keep)) return false;
    group both = {.size = 1}, left = both, right = both, summed = both;
    for (int i = 0; i < a->n; i++)
        append(place(b, a->label[i]) < 0 ? &left : has(keep, a->label[i]) ? &both : &summed, a, i);
    for (int i = 0; i < b->n; i++)
        if (place(a, b->label[i]) < 0) append(&right, b, i);
    if (both.n + left.n + right.n > TERN_MAX_DIMS)
        return terni_fail(TERN_ERR_SHAPE, "%s: the product of %s and %s has more than %d dimensions", op,
                          terni_describe(a->x), terni_describe(b->x), TERN_MAX_DIMS);
    const group *const parts[3] = {&both, &left, &right};
    tern_shape s = {0};
    y->n = 0;
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < parts[k]->n; i++) {
            const int label = parts[k]->label[i];
            const term *from = k < 2 ? a : b;
            s.dim[s.ndim++] = from->x->v.shape[place(from, label)];
            y->label[y->n++] = (signed char)label;
        }
    if (summed.n == 0) {
        tern_tensor *p = spread(a, y), *q = spread(b, y);
        y->x = p && q ? tern_mul(p, q) : NULL;
        return y->x != NULL;
    }
    tern_tensor *p = fold(a, &both, &left, &summed), *q = fold(b, &both, &summed, &right);
    y->x = p && q ? tern_matmul(p, q) : NULL;
    if (y->x && !tern_shape_equal(terni_shape(y->x), s)) y->x = tern_reshape(y->x, s);
    return y->x != NULL;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

/* Elements of a and b's product, less those of a and b: what greedy search makes small. */
static double growth(const term *a, const term *b, uint64_t keep) {
    double size = 1;
    for (int i = 0; i < a->n; i++)
        if (has(keep, a->label[i])) size *= (double)a->x->v.shape[i];
    for (int i = 0; i < b->n; i++) {
        const int at = place(a, b->label[i]);
        if (!has(keep, b->label[i])) continue;
        if (at < 0 || a->x->v.shape[at] == 1) size *= (double)b->x->v.shape[i];
    }
    return size - (double)a->x->numel - (double)b->x->numel;
}

/* Labels of the output and of all terms but i and j. */
static uint64_t needed(const term *t, int n, int i, int j, uint64_t out) {
    for (int k = 0; k < n; k++)
        if (k != i && k != j) out |= bits(&t[k]);
    return out;
}

static bool contract_all(const char *op, term *t, int n, const term *out) {
    for (; n > 1; n--) {
        int first = 0, second = 1;
        double best = 0;
        for (int i = 0; n > 2 && i < n; i++)
            for (int j = i + 1; j < n; j++) {
                const double cost = growth(&t[i], &t[j], needed(t, n, i, j, bits(out)));
                if ((i == 0 && j == 1) || cost < best) best = cost, first = i, second = j;
            }
        term y;
        if (!contract(op, &t[first], &t[second], needed(t, n, first, second, bits(out)), &y)) return false;
        t[first] = y;
        memmove(&t[second], &t[second + 1], (size_t)(n - second - 1) * sizeof *t);
    }
    return sum_out(t, bits(out)) && permute(t, out);
}

/* ---- notation ---------------------------------------------------------------------------------------------------- */

typedef struct notation {
    const char *text, *at;
    int count[LABELS]; /* of occurrences among the inputs */
    int dots;          /* dimensions that "..." stands for, the most of all terms */
    int64_t size[LABELS];
} notation;

static bool bad(const notation *e, const char *what) {
    return terni_fail(TERN_ERR_ARGUMENT, "einsum: \"%.100s\": %s", e->text, what);
}

static int letter(char c) { return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : -1; }

/* Labels up to `end` characters; "..." becomes the last `dots` of its labels (dots < 0: as many as x has over). */
static bool read_term(notation *e, const char *end, int ndim, int dots, term *t) {
    int letters = 0;
    bool seen = false;
    for (const char *p = e->at; p < end; p++)
        if (letter(*p) >= 0) letters++;
    if (dots < 0) dots = ndim - letters;
    t->n = 0;
    for (const char *p = e->at; p < end; p++) {
        if (*p == ' ') continue;
        if (*p == '.') {
            if (end - p < 3 || p[1] != '.' || p[2] != '.' || seen) return bad(e, "expected \"...\", once in a term");
            seen = true;
            p += 2;
            if (dots < 0 || t->n + dots > TERN_MAX_DIMS)
                return bad(e, "a term has not as many labels as its tensor dimensions");
            for (int i = 0; i < dots; i++) t->label[t->n++] = (signed char)(LETTERS + dots - 1 - i);
            continue;
        }
        if (letter(*p) < 0) return bad(e, "expected letters, \"...\", \",\" and \"->\"");
        if (t->n == TERN_MAX_DIMS) return bad(e, "a term has more labels than tensors have dimensions");
        t->label[t->n++] = (signed char)letter(*p);
    }
    if (seen && dots > e->dots) e->dots = dots;
    return true;
}

/* Sizes of one label agree, or are 1. */
static bool note_sizes(notation *e, const term *t, int number) {
    for (int i = 0; i < t->n; i++) {
        int64_t *size = &e->size[(int)t->label[i]];
        const int64_t own = t->x->v.shape[i];
        e->count[(int)t->label[i]]++;
        for (int j = 0; j < i; j++)
            if (t->label[j] == t->label[i] && t->x->v.shape[j] != own)
                return terni_fail(TERN_ERR_SHAPE, "einsum: \"%.100s\": a label of x[%d] %s stands for two sizes",
                                  e->text, number, terni_describe(t->x));
        if (*size > 1 && own != 1 && own != *size)
            return terni_fail(TERN_ERR_SHAPE, "einsum: \"%.100s\": a label of x[%d] %s is %lld elsewhere", e->text,
                              number, terni_describe(t->x), (long long)*size);
        if (*size < 0 || *size == 1) *size = own;
        if (*size == 0 && own > 1)
            return terni_fail(TERN_ERR_SHAPE, "einsum: \"%.100s\": a label of x[%d] %s is 0 elsewhere", e->text, number,
                              terni_describe(t->x));
    }
    return true;
}

static bool read_inputs(notation *e, tern_tensor *const *x, int n, term *t) {
    const char *arrow = strstr(e->text, "->"), *end = arrow ? arrow : e->text + strlen(e->text);
    for (int i = 0; i < n; i++) {
        const char *comma = memchr(e->at, ',', (size_t)(end - e->at));
        if ((i < n - 1) != (comma != NULL)) return bad(e, "another number of terms than of tensors");
        t[i].x = x[i];
        if (!read_term(e, comma ? comma : end, x[i]->v.ndim, -1, &t[i])) return false;
        if (t[i].n != x[i]->v.ndim)
            return terni_fail(TERN_ERR_SHAPE, "einsum: \"%.100s\": x[%d] %s has not as many dimensions as labels",
                              e->text, i, terni_describe(x[i]));
        if (!note_sizes(e, &t[i], i)) return false;
        e->at = comma ? comma + 1 : arrow ? arrow + 2 : NULL;
    }
    return true;
}

static bool read_output(notation *e, term *out) {
    if (e->at) {
        if (!read_term(e, e->at + strlen(e->at), 0, e->dots, out)) return false;
        for (int i = 0; i < out->n; i++) {
            if (e->count[(int)out->label[i]] == 0) return bad(e, "the result has a label that no term has");
            for (int j = 0; j < i; j++)
                if (out->label[j] == out->label[i]) return bad(e, "the result has a label twice");
        }
        return true;
    }
    out->n = 0;
    for (int i = 0; i < e->dots; i++) out->label[out->n++] = (signed char)(LETTERS + e->dots - 1 - i);
    for (int l = 0; l < LETTERS; l++) {
        if (e->count[l] != 1) continue;
        if (out->n == TERN_MAX_DIMS) return bad(e, "the result has too many dimensions");
        out->label[out->n++] = (signed char)l;
    }
    return true;
}

static bool given(const char *equation, tern_tensor *const *x, int n) {
    if (!terni_given(equation, "einsum", "the equation") || !terni_given(x, "einsum", "x")) return false;
    if (n < 1) return terni_fail(TERN_ERR_ARGUMENT, "einsum: %d tensors, expected 1 or more", n);
    for (int i = 0; i < n; i++)
        if (!terni_given(x[i], "einsum", "a tensor")) return false;
    return terni_same_float("einsum", x, n) && terni_same_device("einsum", x, n, NULL);
}

tern_tensor *tern_einsum(const char *equation, tern_tensor *const *x, int n) {
    TERNI_AUTOCAST_LIST(LOW, x, n, NULL);
    if (!given(equation, x, n)) return NULL;
    notation e = {.text = equation, .at = equation};
    for (int i = 0; i < LABELS; i++) e.size[i] = -1;
    term *t = terni_calloc((size_t)n * sizeof *t), out = {0};
    if (!t) return NULL;
    bool ok = read_inputs(&e, x, n, t) && read_output(&e, &out);
    for (int i = 0; ok && i < n; i++) ok = diagonals(&t[i]);
    tern_tensor *y = ok && contract_all("einsum", t, n, &out) ? t[0].x : NULL;
    terni_free(t, (size_t)n * sizeof *t);
    return y;
}

/* ---- tensordot --------------------------------------------------------------------------------------------------- */

tern_tensor *tern_tensordot(tern_tensor *a, tern_tensor *b, const int *dims_a, const int *dims_b, int n) {
    TERNI_AUTOCAST(WIDEST, &a, &b);
    if (!terni_factors("tensordot", a, b)) return NULL;
    if (n < 0 || n > a->v.ndim || n > b->v.ndim || (dims_a == NULL) != (dims_b == NULL))
        return terni_null(TERN_ERR_ARGUMENT, "tensordot: %d dimensions of a %s and b %s", n, terni_describe(a),
                          terni_describe(b));
    term t[2] = {{.x = a, .n = a->v.ndim}, {.x = b, .n = b->v.ndim}}, y;
    for (int i = 0; i < TERN_MAX_DIMS; i++) {
        t[0].label[i] = (signed char)i;
        t[1].label[i] = (signed char)(TERN_MAX_DIMS + i);
    }
    for (int i = 0; i < n; i++) {
        const int da = dims_a ? terni_dim("tensordot", dims_a[i], a->v.ndim) : a->v.ndim - n + i;
        const int db = dims_b ? terni_dim("tensordot", dims_b[i], b->v.ndim) : i;
        if (da < 0 || db < 0) return NULL;
        if (place(&t[1], da) >= 0 || t[1].label[db] < TERN_MAX_DIMS)
            return terni_null(TERN_ERR_ARGUMENT, "tensordot: a dimension is named twice");
        if (a->v.shape[da] != b->v.shape[db])
            return terni_null(TERN_ERR_SHAPE, "tensordot: a %s, b %s: dimensions %d and %d differ in size",
                              terni_describe(a), terni_describe(b), da, db);
        t[1].label[db] = (signed char)da;
    }
    const uint64_t keep = bits(&t[0]) ^ bits(&t[1]);
    return contract("tensordot", &t[0], &t[1], keep, &y) ? y.x : NULL;
}
