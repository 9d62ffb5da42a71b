/* The engine of the sweep; see sweep.h. */
#include <unistd.h>

#include "layout.h"

static const tern_dtype swept[] = {TERN_F64, TERN_F32, TERN_F16, TERN_BF16, TERN_I64, TERN_I32, TERN_U8, TERN_BOOL};

enum { PLAN_MIXED = LAYOUT_KINDS, PLANS, GRADCHECK_LIMIT = 260, SECOND_LIMIT = 130, LARGE = 8192 };

/* One call's inputs. */
typedef struct inputs {
    int n;
    bool strided; /* the plan changes something */
    tern_tensor *base[SWEEP_INPUTS];
    layout lay[SWEEP_INPUTS];
    buffer buf[SWEEP_INPUTS];
    array values[SWEEP_INPUTS];
    bool grad[SWEEP_INPUTS];
} inputs;

typedef struct run {
    const sweep_op *op;
    const sweep_case *c;
    tern_dtype dtype;
    int plan;
    int64_t count;
} run;

/* ---- arrays ---------------------------------------------------------------------------------------------------------
 */

void array_new(array *out, tern_shape shape) {
    out->shape = shape;
    out->n = shape_numel(shape);
    out->v = calloc((size_t)out->n + 1, sizeof(double));
    if (!out->v) abort();
}

void array_copy(const array *x, array *out) {
    array_new(out, x->shape);
    memcpy(out->v, x->v, sizeof(double) * (size_t)x->n);
}

double array_at(const array *a, tern_shape s, int64_t i) {
    int64_t index[TERN_MAX_DIMS], strides[TERN_MAX_DIMS], at = 0;
    array_index(s, i, index);
    array_strides(a->shape, strides);
    for (int d = 0; d < a->shape.ndim; d++)
        if (a->shape.dim[d] != 1) at += strides[d] * index[d + s.ndim - a->shape.ndim];
    return a->v[at];
}

tern_shape array_broadcast(tern_shape a, tern_shape b) {
    tern_shape big = a.ndim >= b.ndim ? a : b;
    const tern_shape small = a.ndim >= b.ndim ? b : a;
    for (int d = 0; d < small.ndim; d++) {
        int64_t *to = &big.dim[d + big.ndim - small.ndim];
        if (*to == 1) *to = small.dim[d];
    }
    return big;
}

void array_split(const array *x, int64_t dim, int64_t *outer, int64_t *size, int64_t *inner) {
    if (dim < 0) dim += x->shape.ndim;
    *outer = *inner = 1;
    for (int d = 0; d < x->shape.ndim; d++) {
        if (d < dim) *outer *= x->shape.dim[d];
        if (d > dim) *inner *= x->shape.dim[d];
    }
    *size = x->shape.ndim ? x->shape.dim[dim] : 1;
}

/* ---- inputs ---------------------------------------------------------------------------------------------------------
 */

static uint64_t hash(const char *s, uint64_t h) {
    while (*s) h = (h ^ (uint8_t)*s++) * 0x100000001B3u;
    return h;
}

static tern_dtype input_dtype(const input *in, tern_dtype dtype) {
    if (in->dtype) return (tern_dtype)(in->dtype - 1);
    return in->kind == IN_INDEX ? TERN_I64 : in->kind == IN_BOOL ? TERN_BOOL : dtype;
}

static void draw(const input *in, tern_dtype dtype, array *a) {
    const bool whole = in->kind != IN_REAL || !tern_dtype_is_float(dtype);
    double lo = in->lo, hi = in->hi;
    if (whole) {
        lo = ceil(lo);
        hi = floor(hi);
        if (dtype == TERN_U8 && lo < 0) lo = 0;
        if (dtype == TERN_BOOL) lo = 0, hi = 1;
    }
    array_new(a, in->shape);
    for (int64_t i = 0; i < a->n; i++) a->v[i] = whole ? floor(test_uniform(lo, hi + 1)) : test_uniform(lo, hi);
}

/* Builds the inputs in `dtype`, with values as `rounded` holds them. */
static bool open_inputs(const run *r, tern_dtype dtype, tern_dtype rounded, inputs *in) {
    *in = (inputs){0};
    for (int i = 0; i < SWEEP_INPUTS && r->c->in[i].kind != IN_END; i++) {
        const input *spec = &r->c->in[i];
        in->n = i + 1;
        if (spec->kind == IN_NONE) continue;
        const layout_kind kind = (layout_kind)(r->plan == PLAN_MIXED ? (i + 1) % LAYOUT_KINDS : r->plan);
        const tern_dtype own = input_dtype(spec, dtype), values = input_dtype(spec, rounded);
        if (!layout_of(kind, spec->shape, &in->lay[i])) layout_of(LAYOUT_CONTIGUOUS, spec->shape, &in->lay[i]);
        in->strided |= in->lay[i].kind != LAYOUT_CONTIGUOUS;
        test_seed(hash(r->c->what, hash(r->op->name, 14695981039346656037u)) + (uint64_t)i);
        draw(spec, values, &in->values[i]);
        for (int64_t k = 0; k < in->values[i].n; k++) in->values[i].v[k] = round_to(in->values[i].v[k], values);
        in->base[i] = buffer_open(&in->buf[i], &in->lay[i], own, in->values[i].v);
        if (!in->base[i]) return FAIL("input %d cannot be made: %s", i, tern_error_message());
        in->grad[i] = spec->kind == IN_REAL && !spec->fixed && tern_dtype_is_float(own);
    }
    return true;
}

static void close_inputs(inputs *in) {
    for (int i = 0; i < in->n; i++) {
        if (!buffer_intact(&in->buf[i])) FAIL("input %d, or memory beside it, was written to", i);
        buffer_close(&in->buf[i]);
        free(in->values[i].v);
    }
}

/* Views of the bases, in the case's shapes and strides. */
static bool make_views(const inputs *in, tern_tensor *const *base, tern_tensor **view) {
    for (int i = 0; i < in->n; i++) {
        view[i] = base[i] ? layout_apply(&in->lay[i], base[i]) : NULL;
        if (base[i] && !view[i]) return false;
        for (int d = 0; d < in->lay[i].shape.ndim && view[i]; d++)
            if (tern_size(view[i], d) != in->lay[i].shape.dim[d] ||
                (tern_numel(view[i]) > 0 && tern_size(view[i], d) > 1 &&
                 tern_stride(view[i], d) != in->lay[i].strides[d]))
                FAIL("view of input %d: dimension %d has size %" PRId64 " and stride %" PRId64, i, d,
                     tern_size(view[i], d), tern_stride(view[i], d));
    }
    return true;
}

static tern_tensor *call_on(const run *r, const inputs *in, tern_tensor *const *base) {
    tern_tensor *view[SWEEP_INPUTS] = {0};
    return make_views(in, base, view) ? r->op->call(view, r->c) : NULL;
}

/* ---- forward
 * --------------------------------------------------------------------------------------------------------- */

static double scale_of(const run *r) {
    return (r->op->loosen > 0 ? r->op->loosen : 1) * (r->c->loosen > 0 ? r->c->loosen : 1);
}

static void wrap_integers(array *a, tern_dtype dtype) {
    for (int64_t i = 0; i < a->n; i++)
        if (dtype == TERN_U8) a->v[i] = (double)((int64_t)a->v[i] & 255);
}

static void check_forward(run *r, const inputs *in) {
    tern_tensor *y = call_on(r, in, in->base);
    if (!CHECK_OK() || !CHECK(y != NULL, "returned NULL without an error") || !r->op->reference) return;
    const int before = check_failures();
    array want = {0};
    r->op->reference(in->values, r->c, &want);
    if ((r->op->flags & SWEEP_WRAPS) && !tern_dtype_is_float(r->dtype)) wrap_integers(&want, r->dtype);
    for (int64_t i = 0; i < want.n && tern_dtype_is_float(r->dtype); i++) /* what overflows */
        if (isinf(round_to(want.v[i], tern_dtype_of(y)))) want.v[i] = round_to(want.v[i], tern_dtype_of(y));
    tolerance tol = tolerance_of(tern_dtype_of(y));
    tol.rtol *= scale_of(r);
    tol.atol *= scale_of(r);
    if (check_shape(__FILE__, __LINE__, "the result", y, want.shape))
        check_close(__FILE__, __LINE__, "the result", y, want.v, want.n, tol);
    free(want.v);
    r->count++;
    if (check_failures() == before) sweep_covers(r->op->name, r->dtype, "forward");
}

/* ---- gradients
 * ------------------------------------------------------------------------------------------------------- */

/* Gradients of sum(seed * y) with respect to the views, as doubles, one after the other. */
static double *gradients(const run *r, inputs *in, tern_dtype seed_dtype, int64_t *count) {
    tern_tensor *leaf[SWEEP_INPUTS], *view[SWEEP_INPUTS] = {0}, *grad[SWEEP_INPUTS] = {0};
    int m = 0;
    *count = 0;
    for (int i = 0; i < in->n; i++)
        if (in->grad[i]) tern_require_grad(in->base[i], true);
    tern_tensor *y = make_views(in, in->base, view) ? r->op->call(view, r->c) : NULL;
    for (int i = 0; i < in->n; i++)
        if (in->grad[i]) {
            leaf[m++] = view[i];
            *count += tern_numel(view[i]);
        }
    double *out = calloc((size_t)*count + 1, sizeof(double)), *at = out;
    if (!y || !out) return out;
    const int64_t n = tern_numel(y);
    double *seed = calloc((size_t)n + 1, sizeof(double));
    test_seed(7);
    for (int64_t i = 0; seed && i < n; i++) seed[i] = round_to(test_uniform(-1, 1), seed_dtype);
    tern_tensor *s = seed ? test_tensor(seed, tern_shape_get(y), tern_dtype_of(y)) : NULL;
    free(seed);
    if (tern_requires_grad(y) && tern_grad(y, leaf, m, s, (tern_backward_opts){.allow_unused = true}, grad))
        for (int i = 0; i < m; at += tern_numel(leaf[i++]))
            if (grad[i]) (void)tern_to_doubles(grad[i], at, tern_numel(leaf[i]));
    return out;
}

/* The gradients in r's dtype against those in f64 for the same values. */
static void check_gradients(run *r, inputs *in) {
    inputs wide;
    const int before = check_failures();
    int64_t n = 0, m = 0;
    double *want = NULL, *got = gradients(r, in, r->dtype, &n);
    if (open_inputs(r, TERN_F64, r->dtype, &wide)) want = gradients(r, &wide, r->dtype, &m);
    CHECK_OK();
    double largest = 0;
    for (int64_t i = 0; want && i < m; i++)
        if (fabs(want[i]) > largest) largest = fabs(want[i]);
    const tolerance tol = tolerance_of(r->dtype);
    for (int64_t i = 0; got && want && i < n && i < m; i++) {
        /* The seeds are up to 1, and a slope's own rounding may be as large as its terms: hence the third part. */
        const double allowed = scale_of(r) * (tol.atol + 8 * tol.rtol * (fabs(want[i]) + largest) + tol.rtol);
        if (fabs(got[i] - want[i]) <= allowed) continue;
        FAIL("gradient element %" PRId64 " of %" PRId64 " is %.9g; in f64 %.9g (allowed %.3g)", i, n, got[i], want[i],
             allowed);
        break;
    }
    free(got);
    free(want);
    close_inputs(&wide);
    r->count++;
    if (n > 0 && check_failures() == before) sweep_covers(r->op->name, r->dtype, "grad");
}

typedef struct closure {
    const run *r;
    const inputs *in;
} closure;

static tern_tensor *call_closure(tern_tensor *const *x, int n, void *user) {
    (void)n;
    const closure *c = user;
    return call_on(c->r, c->in, x);
}

static void check_slopes(run *r, inputs *in) {
    int64_t n = 0;
    bool any = false;
    for (int i = 0; i < in->n; i++)
        if (in->grad[i]) {
            tern_require_grad(in->base[i], true);
            n += tern_numel(in->base[i]);
            any = true;
        }
    closure c = {r, in};
    if (!any || n > GRADCHECK_LIMIT) return;
    const int before = check_failures();
    gradcheck("gradcheck", call_closure, in->base, in->n, &c);
    r->count++;
    if (n > 0 && check_failures() == before) sweep_covers(r->op->name, r->dtype, "grad");
    if ((r->op->flags | r->c->flags) & SWEEP_NO_SECOND || n > SECOND_LIMIT) return;
    if (r->plan != LAYOUT_CONTIGUOUS && r->plan != PLAN_MIXED) return;
    gradgradcheck("gradgradcheck", call_closure, in->base, in->n, &c);
    r->count++;
    if (n > 0 && check_failures() == before) sweep_covers(r->op->name, r->dtype, "second");
}

/* ---- runs ----------------------------------------------------------------------------------------------------------
 */

static void run_once(run *r) {
    static const char *const mixed = "mixed layouts";
    check_case("%s %s, %s, %s", r->op->name, r->c->what, tern_dtype_name(r->dtype),
               r->plan == PLAN_MIXED ? mixed : layout_name((layout_kind)r->plan));
    const int64_t live = test_live(), damaged = tern_memory_damaged();
    const int scope = tern_scope_push();
    inputs in;
    if (open_inputs(r, r->dtype, r->dtype, &in) && (in.strided || r->plan == LAYOUT_CONTIGUOUS)) {
        check_forward(r, &in);
        if (tern_dtype_is_float(r->dtype) && !((r->op->flags | r->c->flags) & SWEEP_NO_GRAD)) {
            if (r->dtype == TERN_F64)
                check_slopes(r, &in);
            else
                check_gradients(r, &in);
        }
    }
    CHECK_OK();
    tern_scope_pop(scope);
    close_inputs(&in);
    const int64_t now = test_live();
    CHECK(now == live, "%" PRId64 " bytes of tensors leaked", now - live);
    CHECK(tern_memory_damaged() == damaged, "memory was written to beyond the end of a block");
}

/* Every op passes NULL on, and does nothing while an error is pending. */
static void check_refusals(run *r) {
    r->dtype = TERN_F32;
    r->plan = LAYOUT_CONTIGUOUS;
    const int scope = tern_scope_push();
    inputs in;
    check_case("%s %s, refusals", r->op->name, r->c->what);
    if (open_inputs(r, TERN_F32, TERN_F32, &in)) {
        tern_tensor *const first = in.base[0];
        in.base[0] = NULL;
        CHECK(r->op->call(in.base, r->c) == NULL, "takes NULL");
        tern_error_clear();
        in.base[0] = first;
        tern_error_set(TERN_ERR_IO, "an earlier error");
        CHECK(r->op->call(in.base, r->c) == NULL, "runs while an error is pending");
        EXPECT_PENDING(TERN_ERR_IO, "an earlier error");
        r->count += 2;
    }
    tern_scope_pop(scope);
    close_inputs(&in);
}

static void check_refused_case(run *r) {
    r->dtype = TERN_F32;
    r->plan = LAYOUT_CONTIGUOUS;
    check_case("%s %s, error", r->op->name, r->c->what);
    const int scope = tern_scope_push();
    inputs in;
    if (open_inputs(r, TERN_F32, TERN_F32, &in)) {
        tern_tensor *y = r->op->call(in.base, r->c);
        char name[64]; /* without the variant's */
        snprintf(name, sizeof name, "%s", r->op->name);
        char *const variant = strstr(name, "__");
        if (variant) *variant = 0;
        check_error(__FILE__, __LINE__, "the call", y != NULL, r->c->code, r->c->text ? r->c->text : name);
        r->count++;
    }
    tern_scope_pop(scope);
    close_inputs(&in);
}

static bool takes(const run *r, tern_dtype dtype) {
    const unsigned flags = r->op->flags | r->c->flags;
    if (flags & SWEEP_F64_ONLY) return dtype == TERN_F64;
    if ((flags & SWEEP_NO_HALF) && (dtype == TERN_F16 || dtype == TERN_BF16)) return false;
    if (tern_dtype_is_float(dtype)) return true;
    return dtype == TERN_BOOL ? (flags & SWEEP_BOOL) != 0 : (flags & SWEEP_INTS) != 0;
}

/* Large cases are there for the edges between blocks and threads: beside the contiguous one each dtype takes a layout
 * of its own turn, else they would be most of the sweep's time. */
static bool left_out(const run *r, size_t turn) {
    if ((r->op->flags | r->c->flags) & SWEEP_NO_LAYOUTS) return r->plan != LAYOUT_CONTIGUOUS;
    int64_t n = 0;
    for (int i = 0; i < SWEEP_INPUTS && r->c->in[i].kind; i++)
        if (r->c->in[i].kind != IN_NONE) n += shape_numel(r->c->in[i].shape);
    return n > LARGE && r->plan != LAYOUT_CONTIGUOUS && r->plan != 1 + (int)(turn % (PLANS - 1));
}

void sweep_run(const sweep_op *op, const sweep_case *cases, size_t n) {
    run r = {.op = op};
    bool refused = false;
    if (op->flags & SWEEP_NO_GRAD) sweep_covers(op->name, TERN_F64, "no-grad");
    if (op->flags & SWEEP_NO_SECOND) sweep_covers(op->name, TERN_F64, "no-second");
    for (size_t k = 0; k < n; k++) {
        r.c = &cases[k];
        if (r.c->code) {
            check_refused_case(&r);
            continue;
        }
        if (!refused) check_refusals(&r);
        refused = true;
        for (size_t d = 0; d < sizeof swept / sizeof *swept; d++) {
            r.dtype = swept[d];
            if (!takes(&r, r.dtype)) continue;
            for (r.plan = 0; r.plan < PLANS; r.plan++)
                if (!left_out(&r, d)) run_once(&r);
        }
    }
    check_case("%s", "");
    sweep_count(r.count);
}

void sweep_count(int64_t n) {
    const char *path = getenv("TERN_SWEEP_COUNT");
    FILE *f = path ? fopen(path, "a") : NULL;
    if (!f) return;
    fprintf(f, "%" PRId64 "\n", n);
    fclose(f);
}

/* TERN_COVERAGE names a folder: a line a note in a file of this process. */
void sweep_covers(const char *op, tern_dtype dtype, const char *what) {
    const char *folder = getenv("TERN_COVERAGE");
    if (!folder) return;
    char path[512];
    snprintf(path, sizeof path, "%s/%ld", folder, (long)getpid());
    FILE *f = fopen(path, "a");
    if (!f) {
        FAIL("%s cannot be written", path);
        return;
    }
    fprintf(f, "%s %s %s\n", op, tern_dtype_name(dtype), what);
    fclose(f);
}
