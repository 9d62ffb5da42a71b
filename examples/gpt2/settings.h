/* The options of gpt2. */
#ifndef GPT2_SETTINGS_H
#define GPT2_SETTINGS_H

#include "../common/program.h"

typedef struct settings {
    const char *data, *size, *weights, *vocab, *merges, *out, *resume, *save_weights, *adapter, *save_adapter, *logits,
        *prompt, *device_text, *dtype;
    int64_t vocabulary, context, layers, heads, width, batch, accumulate, steps, warmup, seed, threads, eval_every,
        length, top_k, checkpoint_every, stop_after, lora;
    double lora_alpha, lr, dropout, weight_decay, temperature, top_p, peak;
    bool help, generate, evaluate, recompute, no_cache;
    tern_device device;
} settings;

/* The program's settings: what the options say, and what suits the size where they are silent. */
extern settings set;

/* Reads the command line. Returns EXIT_OK, or EXIT_USAGE after the reason was printed. */
int settings_read(int argc, char **argv);
/* True if the command line has --name. */
bool settings_given(const char *name);
void settings_help(void);

#endif
