#include "first.h"

#include <inttypes.h>
#include <stdio.h>

#include "../digits/model.h"

static bool train(const char *checkpoint) {
    tern_checkpoint_user u[2] = {{.name = "dataset", .text = "digits"}, {.name = "model", .text = "mlp"}};
    tern_dataset *data = tern_digits_new(true);
    tern_seed(1);
    tern_module *m = data ? digits_mlp_new() : NULL;
    tern_optim *o = m ? tern_adamw_new(m, 3e-3, (tern_adamw_opts){0}) : NULL;
    const tern_checkpoint c = {.model = m, .no_random = true, .user = u, .n_user = 2};
    const bool ok = o && tern_checkpoint_try(checkpoint) &&
                    tern_fit(m, o, (tern_fit_opts){.data = data, .batch = 32, .epochs = 30, .seed = 1}) &&
                    tern_checkpoint_save(checkpoint, &c);
    tern_optim_free(o);
    tern_module_free(m);
    tern_dataset_free(data);
    return ok;
}

/* The first test image of each digit. */
static bool write_pictures(char path[FIRST_PICTURES][FIRST_PATH]) {
    float x[DIGITS_SIZE * DIGITS_SIZE];
    bool written[FIRST_PICTURES] = {false};
    tern_dataset *test = tern_digits_new(false);
    bool ok = test != NULL;
    for (int64_t i = 0, digit; ok && i < test->length; i++) {
        ok = test->get(test, i, x, &digit);
        if (!ok || written[digit]) continue;
        const int scope = tern_scope_push();
        snprintf(path[digit], FIRST_PATH, "inference-%" PRId64 ".png", digit);
        ok = tern_picture_save(path[digit], tern_from(x, TERN_SHAPE(DIGITS_SIZE, DIGITS_SIZE), (tern_options){0}));
        tern_scope_pop(scope);
        written[digit] = true;
    }
    tern_dataset_free(test);
    return ok;
}

bool first_make(const char *checkpoint, char path[FIRST_PICTURES][FIRST_PATH]) {
    printf(
        "No network and no pictures were given: this trains a small one on the digits that come with Tern, writes it\n"
        "to %s, and ten test digits to inference-0.png ... inference-9.png. The same by hand:\n\n"
        "    inference --checkpoint %s inference-*.png\n\n",
        checkpoint, checkpoint);
    fflush(stdout);
    return train(checkpoint) && write_pictures(path);
}
