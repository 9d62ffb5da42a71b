/* Parameters that are computed before each forward from others: weight_norm and spectral_norm. Names are those of
 * torch.nn.utils.parametrizations.
 *
 * The computed parameter is no parameter of the module any more. Its tensor itself becomes the one it is computed from,
 * so that an optimizer that holds it goes on with that; pointers to it in the module's struct see the computed one
 * during a forward, and an empty tensor otherwise. A module can have it that is called through tern_forward, or a
 * bundled layer's own forward function, and that keeps the parameter in its struct. */
#ifndef TERN_REPARAMETRIZE_H
#define TERN_REPARAMETRIZE_H

#include "tern/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* w = g v / |v|, norms over all dimensions but dim (0 is usual; -1: over all, g 0-dim), of m's own parameter `name`:
 * parametrizations.NAME.original0 is g, original1 is v; nothing changes in what m computes. Errors: TERN_ERR_ARGUMENT
 * (no such parameter, or dimension), TERN_ERR_UNSUPPORTED (a module that cannot have it: see above). Source: Salimans
 * and Kingma, arXiv 1602.07868. */
TERN_API bool tern_weight_norm(tern_module *m, const char *name, int dim);

typedef struct tern_spectral_norm_opts {
    int64_t iterations; /* of the power method at each forward in training; 1 if zero */
    double eps;         /* 1e-12 if zero */
    int dim;            /* that of the outputs: 0, of a transposed convolution's weight 1 */
} tern_spectral_norm_opts;
/* w divided by its largest singular value, as a matrix [size of dim, the rest], which the power method estimates:
 * parametrizations.NAME.original is w; buffers parametrizations.NAME.0._u, _v are the singular vectors, which 15
 * iterations start. Errors: as above; TERN_ERR_ARGUMENT for a parameter of fewer than 2 dimensions. Source: Miyato et
 * al., arXiv 1802.05957. */
TERN_API bool tern_spectral_norm(tern_module *m, const char *name, tern_spectral_norm_opts opts);

/* Makes `name` a plain parameter again, in its old place, with the value that a forward in evaluation would use.
 * Errors: TERN_ERR_ARGUMENT if m has none of this name that is computed. */
TERN_API bool tern_parametrization_remove(tern_module *m, const char *name);

#ifdef __cplusplus
}
#endif
#endif
