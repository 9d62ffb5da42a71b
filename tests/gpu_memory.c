/* Running out of a device's memory, a thousand times: each time an error value that says what was held, nothing lost,
 * and the training that was interrupted goes on as if it had not been. The device is TERN_TEST_DEVICE, or cuda where
 * there is one; without one the test says that it is skipped. Its memory is capped by TERN_CUDA_MEMORY_LIMIT (bytes).
 */
#include "common.h"
#include "tern/data.h"
#include "tern/layers.h"
#include "tern/optim.h"

enum { ERRORS = 1000, STEPS = 12, KINDS = 4, LIMIT_MIB = 256, SIMULATED_MIB = 8, MOST_BLOCKS = 4096 };

static int64_t limit; /* bytes */

/* The device, with its memory capped before the first use; false after saying that there is none. */
static bool capped_device(tern_device *d) {
    char text[32], info[4096];
    const char *set = getenv("TERN_CUDA_MEMORY_LIMIT");
    *d = test_device();
    if (d->type == TERN_CPU) d->type = TERN_CUDA;
    if (!tern_device_available(*d)) {
        tern_error_clear();
        fprintf(stderr, "skipped: there is no device but the CPU\n");
        return false;
    }
    /* A simulated device computes slowly, and the work goes with the memory there is. */
    const bool simulated = strstr(tern_info(info, sizeof info), "simulation on the host") != NULL;
    limit = set && *set ? strtoll(set, NULL, 10) : (int64_t)(simulated ? SIMULATED_MIB : LIMIT_MIB) << 20;
    snprintf(text, sizeof text, "%" PRId64, limit);
    setenv("TERN_CUDA_MEMORY_LIMIT", text, 1);
    return true;
}

/* ---- four ways to run out of memory, each ends with an error pending --------------------------------------------- */

static void one_too_large(tern_device d) {
    tern_empty(TERN_SHAPE(limit / 4 + 1), (tern_options){.dtype = TERN_F32, .device = d});
}

/* The result is too large, the inputs are not. */
static void result_too_large(tern_device d) {
    const int64_t n = 1 + (int64_t)sqrt((double)limit / 4.0);
    const tern_options o = {.dtype = TERN_F32, .device = d};
    tern_mul(tern_ones(TERN_SHAPE(n, 1), o), tern_ones(TERN_SHAPE(1, n), o));
}

static int blocks; /* how many could be had, the last time */

static void many_blocks(tern_device d) {
    const int64_t bytes = limit / 64;
    for (blocks = 0; blocks < MOST_BLOCKS; blocks++)
        if (!tern_empty(TERN_SHAPE(bytes), (tern_options){.dtype = TERN_U8, .device = d})) return;
}

/* In the middle of a forward pass that is recorded: the tape holds what the ops made until then. */
static void long_tape(tern_device d) {
    tern_tensor *x = tern_full(TERN_SHAPE(limit / 128), 0.5, (tern_options){.dtype = TERN_F32, .device = d});
    tern_require_grad(x, true);
    for (int i = 0; i < MOST_BLOCKS && x; i++) x = tern_exp(tern_neg(x));
}

enum { MANY_BLOCKS = 2 };

static bool run_out(int kind, tern_device d) {
    static void (*const ways[KINDS])(tern_device) = {one_too_large, result_too_large, many_blocks, long_tape};
    const int64_t live = tern_memory_device(d).live;
    const int scope = tern_scope_push();
    check_case("way %d", kind);
    ways[kind](d);
    const bool expected = EXPECT_PENDING(TERN_ERR_MEMORY, "could not be had");
    tern_scope_pop(scope);
    const int64_t now = tern_memory_device(d).live;
    return CHECK(now == live, "%" PRId64 " bytes more are live than before", now - live) && expected;
}

/* ---- the training that is interrupted ---------------------------------------------------------------------------- */

typedef struct training {
    tern_dataset *data;
    tern_loader *loader;
    tern_module *net;
    tern_optim *optim;
} training;

static bool training_start(training *t, tern_device d) {
    tern_seed(5);
    t->data = tern_digits_new(true);
    t->loader = tern_loader_new(t->data, (tern_loader_opts){.batch = 32, .shuffle = true, .seed = 5, .device = d});
    t->net = tern_sequential(tern_flatten_new(), tern_linear_new(64, 32, (tern_linear_opts){0}), tern_relu_new(),
                             tern_linear_new(32, 10, (tern_linear_opts){0}), NULL);
    const bool moved = tern_module_to(t->net, d);
    t->optim = moved ? tern_adamw_new(t->net, 1e-2, (tern_adamw_opts){0}) : NULL;
    return CHECK(t->loader && t->optim, "%s", tern_error_message());
}

static void training_end(training *t) {
    tern_optim_free(t->optim);
    tern_module_free(t->net);
    tern_loader_free(t->loader);
    tern_dataset_free(t->data);
}

static bool training_step(training *t, double *loss) {
    const int scope = tern_scope_push();
    tern_batch b;
    tern_tensor *y = NULL;
    if (tern_loader_next(t->loader, &b) || tern_loader_next(t->loader, &b))
        y = tern_cross_entropy(tern_forward(t->net, b.x), b.y, (tern_cross_entropy_opts){0});
    const bool good = tern_backward(y) && tern_optim_step(t->optim);
    *loss = good ? tern_item(y) : (double)NAN;
    tern_scope_pop(scope);
    return CHECK(good && tern_ok(), "%s", tern_error_message());
}

/* STEPS steps; with errors of each kind between and after them where `errors` says how many. */
static bool train(tern_device d, int errors, double loss[STEPS], int *seen) {
    training t = {0};
    int room = 0; /* blocks that could be had at the first of the errors */
    bool good = training_start(&t, d);
    for (int i = 0; good && i < STEPS; i++) {
        check_case("step %d", i);
        good = training_step(&t, &loss[i]);
        /* The last step comes after all of them. */
        const int until = i == STEPS - 2 ? errors : errors / STEPS * (i + 1);
        for (; good && *seen < until; ++*seen) {
            good = run_out(*seen % KINDS, d);
            if (*seen == MANY_BLOCKS) room = blocks;
        }
    }
    /* An error that kept a piece of memory would show here, a thousand times over. */
    if (good && errors) {
        good = run_out(MANY_BLOCKS, d);
        CHECK(room > 8 && blocks >= room - 1, "%d blocks can be had after the errors, %d before", blocks, room);
    }
    training_end(&t);
    return good;
}

TERN_TEST(gpu_memory, a_thousand_errors_and_training_goes_on, .timeout = 900) {
    tern_device d;
    double plain[STEPS] = {0}, interrupted[STEPS] = {0};
    int none = 0, seen = 0;
    if (!capped_device(&d)) return;
    REQUIRE(train(d, 0, plain, &none));
    REQUIRE(train(d, ERRORS, interrupted, &seen));
    check_case("%s", "");
    CHECK(seen == ERRORS, "%d errors were caused", seen);
    CHECK(plain[STEPS - 1] < plain[0], "nothing was learned");
    for (int i = 0; i < STEPS; i++)
        CHECK(fabs(plain[i] - interrupted[i]) <= 1e-5 * (1 + fabs(plain[i])),
              "the loss of step %d is %.9g, and %.9g without errors before it", i, interrupted[i], plain[i]);
    CHECK(tern_sync(d));
    fprintf(stderr, "%d errors of memory within %" PRId64 " MiB; the loss went from %.4f to %.4f\n", seen, limit >> 20,
            interrupted[0], interrupted[STEPS - 1]);
}
