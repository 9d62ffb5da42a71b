#include "model.h"

static tern_module *block(int64_t in, int64_t out) {
    const tern_conv2d_opts same = {.pad = {1, 1}, .no_bias = true}; /* batch_norm has a bias of its own */
    return tern_sequential(tern_conv2d_new(in, out, 3, same), tern_batch_norm_new(out, (tern_norm_opts){0}),
                           tern_relu_new(), tern_conv2d_new(out, out, 3, same),
                           tern_batch_norm_new(out, (tern_norm_opts){0}), tern_relu_new(), NULL);
}

/* Down: blocks, each at half the size of the one before. Up: twice the size, beside what the same level saw on the way
 * down, and a block that joins them. */
static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    static const int64_t half[2] = {2, 2};
    unet *u = (unet *)m;
    tern_tensor *seen[UNET_LEVELS];
    for (int i = 0; i < UNET_LEVELS; i++) {
        seen[i] = tern_forward(u->down[i], x);
        x = tern_max_pool2d(seen[i], half, (tern_pool2d_opts){0});
    }
    x = tern_forward(u->bottom, x);
    for (int i = UNET_LEVELS - 1; i >= 0; i--) {
        tern_tensor *both[2] = {seen[i], tern_forward(u->up[i], x)};
        x = tern_forward(u->merge[i], tern_cat(both, 2, 1));
    }
    return tern_forward(u->head, x);
}

unet *unet_new(int64_t in, int64_t classes, int64_t width) {
    static const char *const down[UNET_LEVELS] = {"down0", "down1"}, *const up[UNET_LEVELS] = {"up0", "up1"},
                             *const merge[UNET_LEVELS] = {"merge0", "merge1"};
    unet *u = TERN_MODULE_NEW(unet);
    if (!u) return NULL;
    u->m.forward = forward;
    int64_t w = width;
    for (int i = 0; i < UNET_LEVELS; i++, w *= 2)
        u->down[i] = tern_module_add(&u->m, down[i], block(i == 0 ? in : w / 2, w));
    u->bottom = tern_module_add(&u->m, "bottom", block(w / 2, w));
    for (int i = UNET_LEVELS - 1; i >= 0; i--, w /= 2) {
        u->up[i] = tern_module_add(
            &u->m, up[i], tern_conv_transpose2d_new(w, w / 2, 2, (tern_conv_transpose2d_opts){.stride = {2, 2}}));
        u->merge[i] = tern_module_add(&u->m, merge[i], block(w, w / 2));
    }
    u->head = tern_module_add(&u->m, "head", tern_conv2d_new(width, classes, 1, (tern_conv2d_opts){0}));
    return tern_module_done(u);
}
