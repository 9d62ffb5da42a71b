/* Writing text with a network. */
#ifndef GPT2_GENERATE_H
#define GPT2_GENERATE_H

#include "model.h"

typedef struct sampling {
    double temperature; /* 0: always the likeliest */
    int64_t top_k;      /* 0: all */
    double top_p;       /* 1: all */
    bool no_cache;      /* computes all positions anew for each token */
} sampling;

/* Continues prompt by up to n tokens, to stdout as they come; stops at a signal, and where the end token comes. false
 * after an error. */
bool generate(gpt2 *g, const tern_tokenizer *k, const char *prompt, int64_t n, sampling s);

#endif
