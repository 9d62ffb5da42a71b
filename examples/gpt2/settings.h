/* The options of gpt2 besides those that all training programs have. */
#ifndef GPT2_SETTINGS_H
#define GPT2_SETTINGS_H

#include "../common/trainer.h"

typedef struct settings {
    const char *size, *weights, *vocab, *merges, *save_weights, *adapter, *save_adapter, *logits, *prompt, *dtype;
    int64_t vocabulary, context, positions, layers, heads, width, accumulate, warmup, length, top_k, lora;
    double lora_alpha, dropout, weight_decay, temperature, top_p, peak;
    bool generate, evaluate, recompute, no_cache;
} settings;

/* The program's settings: what the options say, and what suits the size or is in the checkpoint where they are silent.
 */
extern settings set;

/* Adds the options to t, and what is to be done when they are read. */
void settings_add(trainer *t);
/* True if the command line has --name. */
bool settings_given(trainer *t, const char *name);

#endif
