/* A physics-informed network: u'' + u = 0, u(0) = 0, u'(0) = 1, whose solution is sin. The loss holds second
 * derivatives of the network with respect to its input, and is itself differentiated with respect to the parameters. */
#include "common.h"
#include "tern/layers.h"
#include "tern/module.h"
#include "tern/optim.h"

enum { POINTS = 24, HIDDEN = 20, STEPS = 1500 };
#define F64 ((tern_options){.dtype = TERN_F64})

static const tern_backward_opts recorded = {.create_graph = true};

static tern_tensor *total(tern_tensor *t) { return tern_sum(t, NULL, 0, false); }
static tern_tensor *mean_square(tern_tensor *t) { return tern_mean(tern_square(t), NULL, 0, false); }

/* mean (u'' + u)^2 over the points, and the two conditions at 0. */
static tern_tensor *physics(tern_module *net, tern_tensor *points) {
    tern_tensor *x = tern_require_grad(tern_detach(points), true), *du = NULL, *ddu = NULL, *d0 = NULL;
    tern_tensor *zero = tern_require_grad(tern_zeros(TERN_SHAPE(1, 1), F64), true);
    tern_tensor *u = tern_forward(net, x), *u0 = tern_forward(net, zero);
    if (!u || !u0 || !tern_grad(total(u), &x, 1, NULL, recorded, &du) ||
        !tern_grad(total(du), &x, 1, NULL, recorded, &ddu) || !tern_grad(total(u0), &zero, 1, NULL, recorded, &d0))
        return NULL;
    tern_tensor *start = tern_add(mean_square(u0), mean_square(tern_add_scalar(d0, -1)));
    return tern_add(mean_square(tern_add(ddu, u)), start);
}

static tern_module *net_new(void) {
    tern_module *net = tern_sequential(tern_linear_new(1, HIDDEN, (tern_linear_opts){0}), tern_tanh_new(),
                                       tern_linear_new(HIDDEN, HIDDEN, (tern_linear_opts){0}), tern_tanh_new(),
                                       tern_linear_new(HIDDEN, 1, (tern_linear_opts){0}), NULL);
    CHECK(net && tern_module_cast(net, TERN_F64));
    return net;
}

static tern_tensor *points(void) { return tern_reshape(tern_linspace(0, 3, POINTS, F64), TERN_SHAPE(POINTS, 1)); }

static double loss_at(tern_module *net, tern_tensor *x) {
    const int scope = tern_scope_push();
    const double loss = tern_item(physics(net, x));
    tern_scope_pop(scope);
    return loss;
}

TERN_TEST(pinn, the_loss_s_gradient_agrees_with_differences) {
    tern_module *net = net_new();
    tern_tensor *x = points();
    REQUIRE(tern_backward(physics(net, x)), "%s", tern_error_message());
    const char *const names[] = {"0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias"};
    for (int i = 0; i < 6; i++) {
        tern_tensor *p = tern_module_get(net, names[i]);
        double g[HIDDEN * HIDDEN] = {0};
        tern_tensor *grad = tern_grad_get(p);
        /* u'' and u' do not see the last bias, but u does. */
        REQUIRE(grad && tern_to_doubles(grad, g, tern_numel(p)), "%s", names[i]);
        for (int64_t k = 0; k < tern_numel(p); k += 7) {
            double *v = tern_data(p);
            const double was = v[k], eps = 1e-5;
            v[k] = was + eps;
            const double up = loss_at(net, x);
            v[k] = was - eps;
            const double down = loss_at(net, x);
            v[k] = was;
            CHECK_NUMBER(g[k], (up - down) / (2 * eps), 1e-6);
        }
    }
    tern_module_free(net);
}

TERN_TEST(pinn, it_learns_the_sine, .timeout = 60) {
    tern_module *net = net_new();
    tern_optim *adam = tern_adam_new(net, 5e-3, (tern_adam_opts){0});
    tern_tensor *x = points();
    const double first = loss_at(net, x);
    for (int i = 0; i < STEPS && tern_ok(); i++) {
        const int scope = tern_scope_push();
        tern_optim_zero_grad(adam);
        if (i == STEPS * 2 / 3) tern_optim_set_lr(adam, 5e-4);
        if (tern_backward(physics(net, x))) tern_optim_step(adam);
        tern_scope_pop(scope);
    }
    CHECK_OK();
    const double last = loss_at(net, x);
    CHECK(last < first * 1e-3, "the loss went from %g to %g", first, last);
    double u[POINTS] = {0}, at[POINTS] = {0};
    CHECK(tern_to_doubles(tern_detach(tern_forward(net, x)), u, POINTS) && tern_to_doubles(x, at, POINTS));
    for (int i = 0; i < POINTS; i++) CHECK_NUMBER(u[i], sin(at[i]), 0.02);
    tern_optim_free(adam);
    tern_module_free(net);
}
