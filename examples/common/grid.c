#include "grid.h"

bool grid_save(const char *path, tern_tensor *images, int columns, int scale) {
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    const tern_device cpu = {0};
    tern_tensor *x = tern_to(tern_cast(images, TERN_F32), cpu);
    if (scale > 1) x = tern_interpolate(x, (tern_interpolate_opts){.scale_factor = {scale, scale}});
    const bool ok = tern_picture_save(path, tern_picture_grid(x, columns, 2));
    tern_grad_mode(was);
    tern_scope_pop(scope);
    return ok;
}
