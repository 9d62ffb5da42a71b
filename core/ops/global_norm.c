#include "ops/update.h"

/* in: m tensors and a place for unscale. *factor is made if factor is not NULL. */
static tern_tensor *norm(const char *op, tern_tensor **in, int m, double max_norm, tern_tensor **factor) {
    tern_device device;
    tern_dtype dtype = TERN_F32;
    if (!terni_same_device(op, in, m + 1, &device)) return NULL;
    for (int i = 0; i < m; i++) {
        if (!tern_dtype_is_float(terni_dtype(in[i])))
            return terni_null(TERN_ERR_DTYPE, "%s: tensor %s is not a float", op, terni_describe(in[i]));
        if (terni_dtype(in[i]) == TERN_F64) dtype = TERN_F64;
    }
    tern_tensor *out[2] = {terni_new(tern_shape_scalar(), dtype, device), NULL};
    if (out[0] && factor) out[1] = *factor = terni_new(tern_shape_scalar(), dtype, device);
    if (!tern_ok()) return NULL;
    const int scope = tern_scope_push();
    bool ok = true;
    for (int i = 0; i < m && ok; i++) ok = (in[i] = terni_dense(in[i])) != NULL;
    const terni_norm_opts o = {m, max_norm};
    ok = ok && terni_run(TERNI_OP_global_norm, in, m + 1, out, 2, &o);
    tern_scope_pop(scope);
    return ok ? out[0] : NULL;
}

/* The norm of those of x that are there. */
static tern_tensor *norm_of(const char *op, tern_tensor *const *x, int n, const tern_grad_scale_opts *o,
                            tern_tensor **factor) {
    if (n < 0) return terni_null(TERN_ERR_ARGUMENT, "%s: n is %d", op, n);
    if (n > 0 && !terni_given(x, op, "x")) return NULL;
    if (!terni_update_number(op, o->unscale, "unscale")) return NULL;
    int m = 0;
    for (int i = 0; i < n; i++) m += x[i] != NULL;
    if (m == 0) {
        if (factor) *factor = o->unscale ? o->unscale : tern_ones(tern_shape_scalar(), (tern_options){0});
        return tern_zeros(tern_shape_scalar(), (tern_options){0});
    }
    const size_t bytes = (size_t)(m + 1) * sizeof(tern_tensor *);
    tern_tensor **in = terni_alloc(bytes);
    if (!in) return NULL;
    for (int i = 0, j = 0; i < n; i++)
        if (x[i]) in[j++] = x[i];
    in[m] = o->unscale;
    tern_tensor *t = norm(op, in, m, o->max_norm, factor);
    terni_free(in, bytes);
    return t;
}

tern_tensor *tern_global_norm(tern_tensor *const *x, int n) {
    const tern_grad_scale_opts none = {0};
    return tern_ok() ? norm_of("global_norm", x, n, &none, NULL) : NULL;
}

tern_tensor *tern_grad_scale(tern_tensor *const *grad, int n, tern_grad_scale_opts opts, tern_tensor **norm_out) {
    TERNI_NAMED("grad_scale");
    if (!tern_ok()) return NULL;
    if (!(opts.max_norm >= 0))
        return terni_null(TERN_ERR_ARGUMENT, "grad_scale: max_norm is %g; 0 or more expected", opts.max_norm);
    tern_tensor *factor = NULL, *t = norm_of("grad_scale", grad, n, &opts, &factor);
    if (norm_out) *norm_out = t;
    return t ? factor : NULL;
}
