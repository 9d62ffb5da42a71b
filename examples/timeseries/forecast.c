#include "forecast.h"

#include <math.h>

bool forecast_network(tern_module *net, const series *s, int64_t origin, int64_t context, int64_t horizon,
                      tern_device device, double *out) {
    const int scope = tern_scope_push();
    const bool was = tern_inference_mode(true);
    tern_module_train(net, false);
    tern_tensor *x = tern_from_doubles(s->value + origin - context, TERN_SHAPE(1, context), (tern_options){0});
    x = tern_mul_scalar(tern_add_scalar(x, -s->mean), 1 / s->std);
    const bool ok = tern_to_doubles(tern_forward(net, tern_to(x, device)), out, horizon);
    for (int64_t k = 0; ok && k < horizon; k++) out[k] = out[k] * s->std + s->mean;
    tern_inference_mode(was);
    tern_scope_pop(scope);
    return ok;
}

double forecast_simple(const series *s, forecast_kind kind, int64_t period, int64_t origin, int64_t step) {
    return s->value[kind == FORECAST_NAIVE ? origin - 1 : origin - period + step % period];
}

double error_network(tern_module *net, tern_dataset *windows, tern_device device) {
    double sum = 0;
    tern_loader *l = tern_loader_new(windows, (tern_loader_opts){.batch = 256, .device = device});
    const bool was = tern_inference_mode(true);
    tern_module_train(net, false);
    for (bool more = l != NULL; more;) {
        const int scope = tern_scope_push();
        tern_batch b;
        more = tern_loader_next(l, &b);
        if (more) sum += tern_item(tern_l1_loss(tern_forward(net, b.x), b.y, TERN_REDUCE_MEAN)) * (double)b.n;
        tern_scope_pop(scope);
    }
    tern_inference_mode(was);
    tern_loader_free(l);
    return tern_ok() ? sum / (double)windows->length : (double)NAN;
}

double error_simple(const series *s, forecast_kind kind, int64_t period, int64_t context, int64_t horizon) {
    double sum = 0;
    int64_t n = 0;
    for (int64_t at = windows_origin(s, context, false, 0); at + horizon <= s->n; at++) {
        for (int64_t k = 0; k < horizon; k++) sum += fabs(s->value[at + k] - forecast_simple(s, kind, period, at, k));
        n += horizon;
    }
    return sum / (double)n;
}

double error_scale(const series *s, int64_t period) {
    double sum = 0;
    for (int64_t i = period; i < s->n_train; i++) sum += fabs(s->value[i] - s->value[i - period]);
    return sum / (double)(s->n_train - period);
}
