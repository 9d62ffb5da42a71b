/* A differentiable function of one's own in a network: its gradients checked, and what it is good for. README.md tells
 * more. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../common/example.h"
#include "../common/interrupt.h"
#include "../common/options.h"
#include "snake.h"

enum { UNITS = 64, POINTS = 512, SHOWN = 500 };

static struct {
    const char *activation, *device_text, *out, *resume;
    int64_t steps, batch, seed, threads, stop_after;
    double lr;
    bool help;
    tern_device device;
} set = {.activation = "snake",
         .device_text = "auto",
         .out = "custom_op.h5",
         .steps = 3000,
         .batch = 64,
         .seed = 1,
         .lr = 1e-2};

static option rows[] = {
    {.name = "activation",
     .kind = OPTION_CHOICE,
     .argument = "snake|tanh|relu",
     .value = &set.activation,
     .help = "of the network's hidden layers"},
    {.name = "steps",
     .kind = OPTION_INT,
     .argument = "N",
     .value = &set.steps,
     .min = 1,
     .max = 1e9,
     .help = "of Adam"},
    {.name = "batch",
     .kind = OPTION_INT,
     .argument = "N",
     .value = &set.batch,
     .min = 1,
     .max = 1e6,
     .help = "points a step"},
    {.name = "lr",
     .kind = OPTION_REAL,
     .argument = "LR",
     .value = &set.lr,
     .min = 0,
     .max = 10,
     .help = "learning rate at first"},
    {.name = "out", .kind = OPTION_TEXT, .argument = "FILE", .value = &set.out, .help = "the checkpoint at the end"},
    {.name = "resume",
     .kind = OPTION_TEXT,
     .argument = "FILE",
     .value = &set.resume,
     .help = "goes on from a checkpoint of the same options"},
    {.name = "stop-after",
     .kind = OPTION_INT,
     .argument = "N",
     .value = &set.stop_after,
     .min = 1,
     .max = 1e9,
     .help = "stop after that step, as a signal would"},
    {.name = "device",
     .kind = OPTION_TEXT,
     .argument = "DEVICE",
     .value = &set.device_text,
     .help = "auto, cpu, cuda, cuda:1"},
    {.name = "seed",
     .kind = OPTION_INT,
     .argument = "N",
     .value = &set.seed,
     .min = 0,
     .max = 1e15,
     .help = "of all that is random"},
    {.name = "threads",
     .kind = OPTION_INT,
     .argument = "N",
     .value = &set.threads,
     .min = 0,
     .max = 1024,
     .help = "of the CPU; 0: all"},
    {.name = "help", .kind = OPTION_FLAG, .value = &set.help, .help = "this"},
};
enum { ROWS = sizeof rows / sizeof *rows };

/* ---- the gradients ----------------------------------------------------------------------------------------------- */

static tern_tensor *call(tern_tensor *const *x, int n, void *user) {
    (void)n;
    (void)user;
    return snake(x[0], x[1]);
}

/* In f64, against central differences: backward's kernel, then its derivative. */
static bool check(void) {
    const tern_options f64 = {.dtype = TERN_F64, .device = set.device};
    tern_tensor *x[2] = {tern_require_grad(tern_randn(TERN_SHAPE(7, 3), 0, 2, f64), true),
                         tern_require_grad(tern_rand(TERN_SHAPE(3), 0.5, 2, f64), true)};
    return tern_gradcheck(call, x, 2, NULL, (tern_gradcheck_opts){0}) &&
           tern_gradgradcheck(call, x, 2, NULL, (tern_gradcheck_opts){0});
}

/* ---- the network ------------------------------------------------------------------------------------------------- */

static tern_module *activation(void) {
    return strcmp(set.activation, "snake") == 0  ? snake_new(UNITS)
           : strcmp(set.activation, "tanh") == 0 ? tern_tanh_new()
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
static double error_from_to(tern_module *net, double lo, double hi) {
    const bool recorded = tern_grad_mode(false);
    tern_tensor *x = tern_linspace(lo, hi, POINTS, (tern_options){.device = set.device});
    x = tern_reshape(x, TERN_SHAPE(POINTS, 1));
    const double e = sqrt(tern_item(tern_mse_loss(tern_forward(net, x), truth(x), TERN_REDUCE_MEAN)));
    tern_grad_mode(recorded);
    return e;
}

static tern_tensor *step(tern_module *net, tern_optim *opt) {
    tern_tensor *x = tern_rand(TERN_SHAPE(set.batch, 1), -6, 6, (tern_options){.device = set.device});
    tern_tensor *loss = tern_mse_loss(tern_forward(net, x), truth(x), TERN_REDUCE_MEAN);
    return tern_backward(loss) && tern_optim_step(opt) ? loss : NULL;
}

static bool train(tern_module *net, tern_optim *opt, tern_checkpoint *point) {
    bool ok = true;
    while (ok && point->step < set.steps && (!set.stop_after || point->step < set.stop_after) && !interrupt_seen()) {
        const int scope = tern_scope_push();
        point->step++;
        tern_optim_set_lr(opt, set.lr * (1 - (double)(point->step - 1) / (double)set.steps));
        tern_tensor *loss = step(net, opt);
        ok = loss != NULL;
        if (ok && point->step % SHOWN == 0) {
            printf("step %6lld of %lld  loss %.6f\n", (long long)point->step, (long long)set.steps, tern_item(loss));
            fflush(stdout);
        }
        tern_scope_pop(scope);
    }
    return ok && tern_ok() && tern_checkpoint_save(set.out, point);
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static bool work(tern_module *net, tern_optim *opt) {
    char device[32];
    const bool own = strcmp(set.activation, "snake") == 0;
    tern_checkpoint point = {.model = net, .optim = opt};
    if (!net || !opt || !tern_module_to(net, set.device)) return false;
    if (set.resume && !tern_checkpoint_load(set.resume, &point)) return false;
    if (!tern_checkpoint_try(set.out)) return false;
    printf("%s on %s\n", set.activation, tern_device_name(set.device, device, sizeof device));
    interrupt_catch();
    if (!train(net, opt, &point)) return false;
    if (point.step < set.steps) {
        printf("Stopped after step %lld; --resume %s goes on\n", (long long)point.step, set.out);
        return true;
    }
    const double within = error_from_to(net, -6, 6), beyond = error_from_to(net, 6, 12);
    printf("error within the data %.4f, beyond %.4f\n", within, beyond);
    if (own && tern_ok()) {
        tern_tensor *a = tern_module_get(net, "1.a");
        printf("a from %.3f to %.3f\n", tern_item(tern_min(a, NULL, 0, false)), tern_item(tern_max(a, NULL, 0, false)));
    }
    return tern_ok();
}

int main(int argc, char **argv) {
    if (!options_parse("custom_op", rows, ROWS, argc, argv)) return EXIT_USAGE;
    if (set.help) {
        printf(
            "usage: custom_op [options]\nA differentiable function with a CUDA kernel of its own, in a network.\n\n");
        options_help(rows, ROWS);
        return EXIT_OK;
    }
    tern_on_error(NULL, NULL); /* errors are printed once, here */
    if (!tern_device_parse(set.device_text, &set.device)) {
        fprintf(stderr, "custom_op: %s\n", tern_error_message());
        return EXIT_USAGE;
    }
    if (set.threads) tern_set_threads((int)set.threads);
    tern_seed((uint64_t)set.seed);
    const int scope = tern_scope_push();
    bool ok = check();
    if (ok) {
        printf("gradients of snake and their gradients agree with differences\n");
        tern_seed((uint64_t)set.seed);
        tern_module *net = net_new();
        tern_optim *opt = tern_adam_new(net, set.lr, (tern_adam_opts){0});
        ok = work(net, opt);
        tern_optim_free(opt);
        tern_module_free(net);
    }
    if (!ok) fprintf(stderr, "custom_op: %s\n", tern_error_message());
    tern_scope_pop(scope);
    return ok ? EXIT_OK : EXIT_FAILED;
}
