/* A physics-informed neural network: solves Burgers' equation without any data of the solution. README.md tells how. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../common/trainer.h"
#include "burgers.h"

static struct {
    double viscosity;
    int64_t width, layers;
} set = {.viscosity = 0.05, .width = 32, .layers = 3};

/* ---- the solution as a network ----------------------------------------------------------------------------------- */

static tern_module *network_new(void) {
    void *part[2 * 16 + 1];
    int n = 0;
    for (int64_t i = 0; i < set.layers; i++) {
        tern_module *linear = tern_linear_new(i ? set.width : 2, set.width, (tern_linear_opts){0});
        if (linear) tern_init_xavier_normal(tern_module_get(linear, "weight"), 5.0 / 3);
        part[n++] = linear;
        part[n++] = tern_tanh_new();
    }
    part[n++] = tern_linear_new(set.width, 1, (tern_linear_opts){0});
    return tern_sequential_of(part, n);
}

/* u at t and x, both [N, 1]. The beginning and the edges hold by form, so that only the equation is left to learn:
 * u = -sin(pi x) + t (1 - x^2) network(t, x). */
static tern_tensor *solution(tern_module *net, tern_tensor *t, tern_tensor *x) {
    tern_tensor *y = tern_forward(net, tern_cat((tern_tensor *[]){t, x}, 2, 1));
    tern_tensor *first = tern_neg(tern_sin(tern_mul_scalar(x, 3.14159265358979323846)));
    tern_tensor *inside = tern_mul(t, tern_add_scalar(tern_neg(tern_square(x)), 1));
    return tern_add(first, tern_mul(inside, y));
}

/* d y / d x, itself differentiable. y's elements depend each on its own x alone, so that the sum's gradient has them.
 */
static tern_tensor *derivative(tern_tensor *y, tern_tensor *x) {
    tern_tensor *out = NULL;
    tern_grad(tern_sum(y, NULL, 0, false), &x, 1, NULL, (tern_backward_opts){.create_graph = true}, &out);
    return out;
}

/* The mean square of u_t + u u_x - viscosity u_xx over random points. */
static tern_tensor *residual(tern_module *net, int64_t n, tern_device device) {
    const tern_options f32 = {TERN_F32, device};
    tern_tensor *t = tern_require_grad(tern_rand(TERN_SHAPE(n, 1), 0, 1, f32), true);
    tern_tensor *x = tern_require_grad(tern_rand(TERN_SHAPE(n, 1), -1, 1, f32), true);
    tern_tensor *u = solution(net, t, x);
    tern_tensor *ut = derivative(u, t), *ux = derivative(u, x), *uxx = derivative(ux, x);
    tern_tensor *r = tern_sub(tern_add(ut, tern_mul(u, ux)), tern_mul_scalar(uxx, set.viscosity));
    return tern_mean(tern_square(r), NULL, 0, false);
}

/* ---- how far it is from the truth -------------------------------------------------------------------------------- */

enum { TIMES = 21, PLACES = 81, GRID = TIMES * PLACES };

/* The exact solution at t = 0 ... 1, x = -1 ... 1, and where that is. */
typedef struct grid {
    double t[GRID], x[GRID], u[GRID];
} grid;

static void grid_fill(grid *g) {
    for (int i = 0; i < GRID; i++) {
        g->t[i] = (double)(i / PLACES) / (TIMES - 1);
        g->x[i] = 2.0 * (i % PLACES) / (PLACES - 1) - 1;
        g->u[i] = burgers_exact(g->t[i], g->x[i], set.viscosity);
    }
}

typedef struct errors {
    double relative, largest; /* |u - exact| / |exact| over the grid, and the largest difference */
} errors;

static bool compare(tern_module *net, const grid *g, tern_device device, errors *e) {
    const int scope = tern_scope_push();
    const bool was = tern_inference_mode(true);
    double u[GRID], sum = 0, all = 0;
    const tern_options f32 = {TERN_F32, tern_cpu()};
    tern_tensor *t = tern_to(tern_from_doubles(g->t, TERN_SHAPE(GRID, 1), f32), device);
    tern_tensor *x = tern_to(tern_from_doubles(g->x, TERN_SHAPE(GRID, 1), f32), device);
    const bool ok = tern_to_doubles(solution(net, t, x), u, GRID);
    tern_inference_mode(was);
    tern_scope_pop(scope);
    if (!ok) return false;
    *e = (errors){0};
    for (int i = 0; i < GRID; i++) {
        const double d = u[i] - g->u[i];
        sum += d * d;
        all += g->u[i] * g->u[i];
        e->largest = fmax(e->largest, fabs(d));
    }
    e->relative = sqrt(sum / all);
    return true;
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

static bool train_step(trainer *t, double *loss) {
    const int scope = tern_scope_push();
    tern_tensor *l = residual(t->model, t->batch, t->device);
    const bool ok = trainer_update(t, l);
    if (ok && trainer_due(t)) *loss = tern_item(l);
    tern_scope_pop(scope);
    return ok && tern_ok();
}

static bool train(trainer *t, const grid *g, errors *e) {
    double loss = (double)NAN;
    while (trainer_more(t)) {
        const bool due = trainer_due(t);
        if (!train_step(t, &loss) || (due && !compare(t->model, g, t->device, e))) return false;
        if (due) {
            plot_add(&t->plot, "residual", (double)(t->step + 1), loss);
            plot_add(&t->plot, "relative error", (double)(t->step + 1), e->relative);
            printf("step %5" PRId64 " of %" PRId64 "  residual %.3e  relative error %.3e  largest %.3e\n", t->step + 1,
                   t->steps, loss, e->relative, e->largest);
            fflush(stdout);
            if (!trainer_finite(t, "residual", loss)) return false;
        }
        if (!trainer_next(t)) return false;
    }
    return trainer_end(t);
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static bool work(trainer *t) {
    char device[32];
    static grid g;
    errors e;
    t->model = network_new();
    if (!t->model || !tern_module_to(t->model, t->device)) return false;
    t->optim = tern_adam_new(t->model, t->lr, (tern_adam_opts){0});
    t->schedule = (tern_schedule){.kind = TERN_SCHEDULE_COSINE, .lr = t->lr, .min_lr = t->lr / 100, .total = t->steps};
    if (!t->optim || !trainer_start(t)) return false;
    grid_fill(&g);
    printf("Burgers' equation, viscosity %g: %" PRId64 " parameters, %" PRId64 " points a step, on %s\n", set.viscosity,
           tern_module_count(t->model, false), t->batch, tern_device_name(t->device, device, sizeof device));
    fflush(stdout);
    if (!train(t, &g, &e)) return false;
    if (!compare(t->model, &g, t->device, &e)) return false;
    printf("checkpoint: %s, curves: %s\nAgainst the exact solution: relative error %.3e, largest %.3e\n", t->out,
           t->plot_path, e.relative, e.largest);
    return true;
}

int main(int argc, char **argv) {
    static trainer t = {
        .name = "pinn",
        .about =
            "Solves Burgers' equation, u_t + u u_x = viscosity u_xx, with a network that is trained to\n"
            "fulfil it, and compares with the exact solution.",
        .steps = 5000,
        .batch = 512,
        .lr = 5e-3,
        .eval_every = 250,
        .checkpoint_every = 1000,
        .plot = {.title = "pinn: Burgers' equation", .log_y = true}};
    trainer_option(&t, (option){"viscosity", OPTION_REAL, "V", &set.viscosity, 0.003, 1,
                                "the smaller, the steeper the wave", .in_checkpoint = true});
    trainer_option(&t, (option){"width", OPTION_INT, "N", &set.width, 1, 4096, .help = "of the hidden layers",
                                .in_checkpoint = true});
    trainer_option(
        &t, (option){"layers", OPTION_INT, "N", &set.layers, 1, 16, .help = "hidden layers", .in_checkpoint = true});
    return trainer_main(&t, argc, argv, work);
}
