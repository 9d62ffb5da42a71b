/* What happens around a module's forward. */
#include "internal.h"

tern_tensor *terni_forward_begin(tern_module *m, tern_tensor *x) {
    (void)m;
    return x;
}

tern_tensor *terni_forward_end(tern_module *m, tern_tensor *x, tern_tensor *y) {
    (void)x;
    if (m->parts->noting && y) {
        m->parts->output = tern_shape_get(y);
        m->parts->noted = true;
    }
    return y;
}

tern_tensor *tern_forward(tern_module *m, tern_tensor *x) {
    if (!terni_given(m, "forward", "m") || !terni_given(x, "forward", "x")) return NULL;
    if (!m->forward)
        return terni_null(TERN_ERR_UNSUPPORTED, "forward: %s has no forward of one tensor to one tensor", m->type);
    x = terni_forward_begin(m, x);
    return terni_forward_end(m, x, x ? m->forward(m, x) : NULL);
}
