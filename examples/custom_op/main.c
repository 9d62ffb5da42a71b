/* A differentiable function of one's own in a network: its gradients checked, and what it is good for. README.md tells
 * more. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../common/trainer.h"
#include "snake.h"

enum { UNITS = 64, POINTS = 512 };

static const char *chosen = "snake"; /* the activation */

/* ---- the gradients ----------------------------------------------------------------------------------------------- */

static tern_tensor *call(tern_tensor *const *x, int n, void *user) {
    (void)n;
    (void)user;
    return snake(x[0], x[1]);
}

/* In f64, against central differences: backward's kernel, then its derivative. */
static bool check(tern_device device) {
    const tern_options f64 = {.dtype = TERN_F64, .device = device};
    tern_tensor *x[2] = {tern_require_grad(tern_randn(TERN_SHAPE(7, 3), 0, 2, f64), true),
                         tern_require_grad(tern_rand(TERN_SHAPE(3), 0.5, 2, f64), true)};
    return tern_gradcheck(call, x, 2, NULL, (tern_gradcheck_opts){0}) &&
           tern_gradgradcheck(call, x, 2, NULL, (tern_gradcheck_opts){0});
}

/* ---- the network ------------------------------------------------------------------------------------------------- */

static tern_module *activation(void) {
    return strcmp(chosen, "snake") == 0  ? snake_new(UNITS)
           : strcmp(chosen, "tanh") == 0 ? tern_tanh_new()
                                         : tern_relu_new();
}

static tern_module *net_new(void) {
    return tern_sequential(tern_linear_new(1, UNITS, (tern_linear_opts){0}), activation(),
                           tern_linear_new(UNITS, UNITS, (tern_linear_opts){0}), activation(),
                           tern_linear_new(UNITS, 1, (tern_linear_opts){0}), NULL);
}

/* A rhythm on a slope, as of yearly sales. */
static tern_tensor *truth(tern_tensor *x) { return tern_add(tern_sin(tern_mul_scalar(x, 2)), tern_mul_scalar(x, 0.2)); }

/* The root of the mean square error over points spread evenly from lo to hi. */
static double error_from_to(const trainer *t, double lo, double hi) {
    const bool recorded = tern_grad_mode(false);
    tern_tensor *x = tern_linspace(lo, hi, POINTS, (tern_options){.device = t->device});
    x = tern_reshape(x, TERN_SHAPE(POINTS, 1));
    const double e = sqrt(tern_item(tern_mse_loss(tern_forward(t->model, x), truth(x), TERN_REDUCE_MEAN)));
    tern_grad_mode(recorded);
    return e;
}

/* A step; every --eval-every'th is shown. */
static bool step(trainer *t) {
    tern_tensor *x = tern_rand(TERN_SHAPE(t->batch, 1), -6, 6, (tern_options){.device = t->device});
    tern_tensor *loss = tern_mse_loss(tern_forward(t->model, x), truth(x), TERN_REDUCE_MEAN);
    if (!trainer_update(t, loss)) return false;
    if (!trainer_due(t)) return true;
    const double l = tern_item(loss);
    plot_add(&t->plot, "loss", (double)(t->step + 1), l);
    printf("step %6" PRId64 " of %" PRId64 "  loss %.6f\n", t->step + 1, t->steps, l);
    fflush(stdout);
    return trainer_finite(t, "loss", l);
}

static bool train(trainer *t) {
    while (trainer_more(t)) {
        const int scope = tern_scope_push();
        const bool ok = step(t);
        tern_scope_pop(scope);
        if (!ok || !trainer_next(t)) return false;
    }
    return trainer_end(t);
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static bool work(trainer *t) {
    char device[32];
    if (!check(t->device)) return false;
    printf("gradients of snake and their gradients agree with differences\n");
    tern_seed((uint64_t)t->seed);
    t->model = net_new();
    if (!t->model || !tern_module_to(t->model, t->device)) return false;
    t->optim = tern_adam_new(t->model, t->lr, (tern_adam_opts){0});
    t->schedule = (tern_schedule){.kind = TERN_SCHEDULE_POLYNOMIAL, .lr = t->lr, .power = 1, .total = t->steps};
    if (!t->optim || !trainer_start(t)) return false;
    printf("%s on %s\n", chosen, tern_device_name(t->device, device, sizeof device));
    fflush(stdout);
    if (!train(t)) return false;
    const double within = error_from_to(t, -6, 6), beyond = error_from_to(t, 6, 12);
    printf("error within the data %.4f, beyond %.4f\n", within, beyond);
    if (strcmp(chosen, "snake") == 0 && tern_ok()) {
        tern_tensor *a = tern_module_get(t->model, "1.a");
        printf("a from %.3f to %.3f\n", tern_item(tern_min(a, NULL, 0, false)), tern_item(tern_max(a, NULL, 0, false)));
    }
    return tern_ok();
}

int main(int argc, char **argv) {
    static trainer t = {.name = "custom_op",
                        .about = "A differentiable function with a CUDA kernel of its own, in a network.",
                        .steps = 3000,
                        .batch = 64,
                        .lr = 1e-2,
                        .eval_every = 500,
                        .checkpoint_every = 1000,
                        .plot = {.log_y = true}};
    trainer_option(&t, (option){"activation", OPTION_CHOICE, "snake|tanh|relu", &chosen,
                                .help = "of the network's hidden layers", .in_checkpoint = true});
    return trainer_main(&t, argc, argv, work);
}
