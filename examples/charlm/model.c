#include "model.h"

#include <stdio.h>
#include <string.h>

#include "../common/interrupt.h"

charlm *charlm_new(int64_t vocabulary, int64_t hidden, int64_t layers, double dropout, bool lstm) {
    charlm *g = TERN_MODULE_NEW(charlm);
    if (!g) return NULL;
    const int64_t width = hidden < 128 ? hidden : 128; /* of what stands for a character */
    const tern_recurrent_opts o = {.layers = layers, .batch_first = true, .dropout = layers > 1 ? dropout : 0};
    const int scope = tern_scope_push();
    g->lstm = lstm;
    g->embedding = tern_module_add(&g->m, "embedding", tern_embedding_new(vocabulary, width, (tern_embedding_opts){0}));
    g->recurrent = tern_module_add(&g->m, "recurrent", (lstm ? tern_lstm_new : tern_gru_new)(width, hidden, o));
    g->dropout = tern_module_add(&g->m, "dropout", tern_dropout_new(dropout));
    g->head = tern_module_add(&g->m, "head", tern_linear_new(hidden, vocabulary, (tern_linear_opts){0}));
    g->characters =
        tern_module_buffer(&g->m, "characters", tern_zeros(TERN_SHAPE(vocabulary), (tern_options){.dtype = TERN_U8}));
    tern_scope_pop(scope);
    return tern_module_done(g);
}

tern_tensor *charlm_forward(charlm *g, tern_tensor *x, charlm_state *state) {
    tern_tensor *h = NULL, *c = NULL;
    tern_tensor *e = tern_forward(g->embedding, x);
    tern_tensor *y = g->lstm ? tern_lstm_forward(g->recurrent, e, state->h, state->c, NULL, &h, &c)
                             : tern_rnn_forward(g->recurrent, e, state->h, NULL, &h);
    state->h = tern_detach(h);
    state->c = g->lstm ? tern_detach(c) : NULL;
    return tern_forward(g->head, tern_forward(g->dropout, y));
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* The number of a byte; -1 for one that the text to learn from did not have. */
static int64_t number_of(const uint8_t *characters, int64_t n, uint8_t byte) {
    for (int64_t i = 0; i < n; i++) {
        if (characters[i] == byte) return i;
    }
    return -1;
}

/* The character that comes after number: the likeliest at temperature 0, else drawn. */
static int64_t next(charlm *g, int64_t number, double temperature, charlm_state *state) {
    const tern_device device = tern_device_of(g->characters);
    tern_tensor *x = tern_to(tern_from(&number, TERN_SHAPE(1, 1), (tern_options){.dtype = TERN_I64}), device);
    tern_tensor *logits = tern_select(tern_select(charlm_forward(g, x, state), 0, 0), 0, 0);
    if (temperature <= 0) return tern_item_i64(tern_argmax(logits, 0, false));
    return tern_item_i64(tern_multinomial(tern_softmax(tern_mul_scalar(logits, 1 / temperature), 0), 1, true));
}

/* As above, keeping nothing but the state. */
static int64_t step(charlm *g, int64_t number, double temperature, charlm_state *state) {
    const int scope = tern_scope_push();
    charlm_state new = *state;
    const int64_t drawn = next(g, number, temperature, &new);
    tern_keep(new.h);
    tern_keep(new.c);
    tern_scope_pop(scope);
    tern_release(state->h);
    tern_release(state->c);
    *state = new;
    return drawn;
}

bool charlm_write(charlm *g, const char *prompt, int64_t n, double temperature) {
    uint8_t characters[256];
    const int64_t v = tern_numel(g->characters);
    charlm_state state = {0};
    int64_t number = -1;
    if (v > 256 || !tern_to_host(g->characters, characters, (size_t)v)) return false;
    const bool was = tern_inference_mode(true);
    tern_module_train(&g->m, false);
    for (const char *c = prompt; *c && tern_ok(); c++) {
        const int64_t known = number_of(characters, v, (uint8_t)*c);
        if (known < 0)
            tern_error_set(TERN_ERR_ARGUMENT, "the prompt has a character that the text has not: \"%c\"", *c);
        else
            number = step(g, known, temperature, &state);
        putchar(*c);
    }
    if (number < 0) tern_error_set(TERN_ERR_ARGUMENT, "the prompt is empty");
    for (int64_t i = 0; i < n && tern_ok() && !interrupt_seen(); i++) {
        putchar(characters[number]);
        number = step(g, number, temperature, &state);
    }
    putchar('\n');
    tern_release(state.h);
    tern_release(state.c);
    tern_inference_mode(was);
    return tern_ok();
}
