#include "model.h"

typedef struct forecaster {
    tern_module m;
    tern_module *embedding, *positions, *body, *head; /* the LSTM has but the last two */
    int64_t patch;
} forecaster;

static tern_tensor *last_of(tern_tensor *x) { return tern_narrow(x, 1, tern_size(x, 1) - 1, 1); }

static tern_tensor *lstm_forward(tern_module *m, tern_tensor *x) {
    forecaster *f = (forecaster *)m;
    tern_tensor *last = last_of(x), *h;
    x = tern_unsqueeze(tern_sub(x, last), 2);
    h = tern_forward(f->body, x); /* [N, context, width] */
    h = tern_reshape(last_of(h), TERN_SHAPE(tern_size(h, 0), tern_size(h, 2)));
    return tern_add(last, tern_forward(f->head, h));
}

static tern_tensor *transformer_forward(tern_module *m, tern_tensor *x) {
    forecaster *f = (forecaster *)m;
    tern_tensor *last = last_of(x);
    const int64_t n = tern_size(x, 0), context = tern_size(x, 1);
    x = tern_reshape(tern_sub(x, last), TERN_SHAPE(n, context / f->patch, f->patch));
    tern_tensor *h = tern_forward(f->body, tern_forward(f->positions, tern_forward(f->embedding, x)));
    h = tern_reshape(h, TERN_SHAPE(n, tern_numel(h) / (n ? n : 1)));
    return tern_add(last, tern_forward(f->head, h));
}

tern_module *lstm_forecaster_new(int64_t horizon, int64_t width, int64_t layers, double dropout) {
    forecaster *f = TERN_MODULE_NEW(forecaster);
    if (!f) return NULL;
    const tern_recurrent_opts o = {.layers = layers, .batch_first = true, .dropout = layers > 1 ? dropout : 0};
    f->body = tern_module_add(&f->m, "lstm", tern_lstm_new(1, width, o));
    f->head = tern_module_add(&f->m, "head", tern_linear_new(width, horizon, (tern_linear_opts){0}));
    f->m.forward = lstm_forward;
    f = tern_module_done(f);
    return f ? &f->m : NULL;
}

tern_module *transformer_forecaster_new(int64_t context, int64_t horizon, int64_t patch, int64_t width, int64_t heads,
                                        int64_t layers, double dropout) {
    forecaster *f = TERN_MODULE_NEW(forecaster);
    if (!f) return NULL;
    const tern_transformer_opts o = {
        .ff = 2 * width, .dropout = dropout, .gelu = true, .batch_first = true, .norm_first = true};
    f->patch = patch;
    f->embedding = tern_module_add(&f->m, "embedding", tern_linear_new(patch, width, (tern_linear_opts){0}));
    f->positions = tern_module_add(&f->m, "positions",
                                   tern_sinusoidal_positions_new(width, (tern_positions_opts){.batch_first = true}));
    f->body =
        tern_module_add(&f->m, "encoder",
                        tern_transformer_encoder_new(tern_transformer_encoder_layer_new(width, heads, o), (int)layers,
                                                     tern_layer_norm_new(TERN_SHAPE(width), (tern_norm_opts){0})));
    f->head = tern_module_add(&f->m, "head", tern_linear_new(context / patch * width, horizon, (tern_linear_opts){0}));
    f->m.forward = transformer_forward;
    f = tern_module_done(f);
    return f ? &f->m : NULL;
}
