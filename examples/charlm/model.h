/* The network of charlm: characters in, the next one's logits out. */
#ifndef CHARLM_MODEL_H
#define CHARLM_MODEL_H

#include <tern/tern.h>

typedef struct charlm {
    tern_module m; /* first: a charlm is a module */
    tern_module *embedding, *dropout, *recurrent, *head;
    tern_tensor *characters; /* [vocabulary] u8: the byte of each number */
    bool lstm;               /* else a gru */
} charlm;

/* h and c of all layers; c is NULL for a gru, both are NULL at the beginning of a text. */
typedef struct charlm_state {
    tern_tensor *h, *c;
} charlm_state;

/* NULL after an error. For tern_module_free(&g->m). */
charlm *charlm_new(int64_t vocabulary, int64_t hidden, int64_t layers, double dropout, bool lstm);
/* x [B, T] i64 -> logits [B, T, vocabulary]. Goes on from *state and leaves the new one there, without its graph. */
tern_tensor *charlm_forward(charlm *g, tern_tensor *x, charlm_state *state);
/* Writes n characters to stdout, drawn one by one, after the prompt. */
bool charlm_write(charlm *g, const char *prompt, int64_t n, double temperature);

#endif
