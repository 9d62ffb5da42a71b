/* For h5py_check.py: saves a checkpoint with every dtype to the path that is given, and prints what is in it, a line
 * for each tensor: name, dtype, kind, sizes joined by "x" ("-" for none), bytes in hexadecimal ("-" for none). */
#include <stdio.h>
#include <stdlib.h>

#include "tern/tern.h"

typedef struct holder {
    tern_module m;
    tern_module *conv, *norm, *linear;
} holder;

static void *model(void) {
    static const tern_shape shapes[] = {{0}, {1, {7}}, {2, {3, 0}}, {3, {2, 3, 5}}, {2, {300, 1000}}};
    holder *h = TERN_MODULE_NEW(holder);
    if (!h) return NULL;
    h->conv = tern_module_add(&h->m, "conv", tern_conv2d_new(1, 4, 3, (tern_conv2d_opts){0}));
    h->norm = tern_module_add(&h->m, "norm", tern_batch_norm_new(4, (tern_norm_opts){0}));
    h->linear = tern_module_add(&h->m, "linear", tern_linear_new(4 * 6 * 6, 10, (tern_linear_opts){0}));
    if (h->linear) tern_module_param(h->linear, "tied", tern_module_get(&h->m, "linear.weight"));
    for (int d = 0; d < TERN_DTYPE_COUNT; d++)
        for (int s = 0; s < 5; s++) {
            char name[40];
            snprintf(name, sizeof name, "%s_%d", tern_dtype_name((tern_dtype)d), s);
            tern_tensor *t = tern_randn(shapes[s], 0, 2, (tern_options){.dtype = TERN_F64});
            tern_module_buffer(&h->m, name, tern_cast(d == TERN_U8 ? tern_abs(t) : t, (tern_dtype)d));
        }
    return tern_module_done(h);
}

static tern_tensor *forward(holder *h, tern_tensor *x) {
    tern_tensor *y = tern_relu(tern_forward(h->norm, tern_forward(h->conv, x)));
    return tern_forward(h->linear, tern_reshape(y, TERN_SHAPE(tern_size(x, 0), 4 * 6 * 6)));
}

static void print(const char *group, const char *name, const char *kind, tern_tensor *t) {
    const size_t bytes = (size_t)tern_numel(t) * tern_dtype_size(tern_dtype_of(t));
    unsigned char *p = malloc(bytes + 1);
    if (!p || !tern_to_host(t, p, bytes)) exit(1);
    printf("%s/%s %s %s ", group, name, tern_dtype_name(tern_dtype_of(t)), kind);
    for (int i = 0; i < tern_ndim(t); i++) printf("%s%lld", i ? "x" : "", (long long)tern_size(t, i));
    printf("%s ", tern_ndim(t) ? "" : "-");
    for (size_t i = 0; i < bytes; i++) printf("%02x", p[i]);
    printf("%s\n", bytes ? "" : "-");
    free(p);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    tern_seed(3);
    const int scope = tern_scope_push();
    holder *h = model();
    tern_optim *o = tern_adamw_new(&h->m, 1e-3, (tern_adamw_opts){0});
    tern_dataset *d = tern_digits_new(true);
    tern_loader *l = tern_loader_new(d, (tern_loader_opts){.batch = 30, .shuffle = true, .seed = UINT64_MAX});
    tern_batch b;
    for (int i = 0; i < 5 && tern_loader_next(l, &b); i++) {
        tern_backward(tern_cross_entropy(forward(h, b.x), b.y, (tern_cross_entropy_opts){0}));
        tern_optim_step(o);
    }
    tern_checkpoint_user user[] = {{.name = "note", .text = "\xc3\xa4 text"}, {.name = "best", .number = 0.25}};
    const bool ok = tern_checkpoint_save(
        argv[1],
        &(tern_checkpoint){.model = &h->m, .optim = o, .loader = l, .epoch = 2, .step = 5, .user = user, .n_user = 2});
    tern_named e;
    tern_optim_state s;
    for (int i = 0; ok && tern_module_each(&h->m, i, &e); i++)
        print("/model", e.name, e.is_param ? "param" : "buffer", e.tensor);
    for (int i = 0; ok && tern_optim_each(o, i, &s); i++) print("/optim", s.name, "-", s.tensor);
    tern_loader_free(l);
    tern_dataset_free(d);
    tern_optim_free(o);
    tern_module_free(h);
    tern_scope_pop(scope);
    return ok ? 0 : 1;
}
