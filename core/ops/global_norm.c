#include "internal.h"

static tern_tensor *norm(tern_tensor **in, int m) {
    tern_device device;
    tern_dtype dtype = TERN_F32;
    if (!terni_same_device("global_norm", in, m, &device)) return NULL;
    for (int i = 0; i < m; i++) {
        if (!tern_dtype_is_float(terni_dtype(in[i])))
            return terni_null(TERN_ERR_DTYPE, "global_norm: tensor %s is not a float", terni_describe(in[i]));
        if (terni_dtype(in[i]) == TERN_F64) dtype = TERN_F64;
        if (!(in[i] = terni_dense(in[i]))) return NULL;
    }
    tern_tensor *out = terni_new(tern_shape_scalar(), dtype, device);
    return out && terni_run(TERNI_OP_global_norm, in, m, &out, 1, NULL) ? out : NULL;
}

tern_tensor *tern_global_norm(tern_tensor *const *x, int n) {
    if (!tern_ok()) return NULL;
    if (n < 0) return terni_null(TERN_ERR_ARGUMENT, "global_norm: n is %d", n);
    if (n > 0 && !terni_given(x, "global_norm", "x")) return NULL;
    int m = 0;
    for (int i = 0; i < n; i++) m += x[i] != NULL;
    if (m == 0) return tern_zeros(tern_shape_scalar(), (tern_options){0});
    const size_t bytes = (size_t)m * sizeof(tern_tensor *);
    tern_tensor **in = terni_alloc(bytes);
    if (!in) return NULL;
    for (int i = 0, j = 0; i < n; i++)
        if (x[i]) in[j++] = x[i];
    const int scope = tern_scope_push();
    tern_tensor *t = tern_scope_return(scope, norm(in, m));
    terni_free(in, bytes);
    return t;
}
