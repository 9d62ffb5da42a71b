#include "settings.h"

#include <stdio.h>
#include <string.h>

#include "model.h"

settings set = {.size = "tiny",
                .prompt = "/* The ",
                .dtype = "f32",
                .accumulate = 1,
                .warmup = -1,
                .length = 200,
                .weight_decay = 0.1,
                .temperature = 0.8,
                .top_p = 1};

/* The settings of a size; the options' own win. */
static const struct {
    const char *name;
    int64_t vocabulary, context, layers, heads, width, batch, steps;
    double lr, dropout;
} sizes[] = {
    {"tiny", 512, 64, 2, 4, 128, 16, 400, 3e-3, 0},           {"10m", 256, 256, 6, 6, 384, 64, 5000, 1e-3, 0.2},
    {"124m", 50257, 1024, 12, 12, 768, 8, 20000, 6e-4, 0},    {"355m", 50257, 1024, 24, 16, 1024, 8, 20000, 3e-4, 0},
    {"774m", 50257, 1024, 36, 20, 1280, 4, 20000, 2.5e-4, 0}, {"1558m", 50257, 1024, 48, 25, 1600, 4, 20000, 2e-4, 0}};

static option text(const char *name, const char *argument, const char **value, const char *help) {
    return (option){name, OPTION_TEXT, argument, value, .help = help};
}
static option whole(const char *name, int64_t *value, double least, double most, const char *help) {
    return (option){name, OPTION_INT, "N", value, least, most, .help = help};
}
/* What least is not allowed itself. */
static option real(const char *name, const char *argument, double *value, double least, double most, const char *help) {
    return (option){name, OPTION_REAL, argument, value, least, most, .help = help};
}
static option flag(const char *name, bool *value, const char *help) {
    return (option){name, OPTION_FLAG, .value = value, .help = help};
}

/* What a resumed run takes from its checkpoint. */
static void add_kept(trainer *t) {
    const double below = -1e-9;
    option kept[] = {
        {"size", OPTION_CHOICE, "tiny|10m|124m|355m|774m|1558m", &set.size,
         .help = "the network and settings that suit it"},
        {"dtype", OPTION_CHOICE, "f32|bf16|f16", &set.dtype,
         .help = "of arithmetic; the weights that are trained are f32"},
        whole("vocabulary", &set.vocabulary, 1, 1 << 20, "tokens to learn from the text; 256: bytes"),
        whole("context", &set.context, 2, 1 << 16, "tokens that the network sees"),
        whole("positions", &set.positions, 2, 1 << 16, "that it can tell apart; as many as the context without it"),
        whole("layers", &set.layers, 1, GPT2_LAYERS_MOST, "blocks"),
        whole("heads", &set.heads, 1, 256, "heads of attention; they divide the width"),
        whole("width", &set.width, 1, 1 << 14, "numbers that stand for a token"),
        real("dropout", "P", &set.dropout, below, 0.9, "share that is dropped in training"),
        whole("accumulate", &set.accumulate, 1, 1 << 16, "passes in a step"),
        whole("warmup", &set.warmup, 0, 1e9, "steps of linear rise; a twentieth of all without it"),
        real("weight-decay", "W", &set.weight_decay, below, 1, "of matrices; norms and biases have none"),
        whole("lora", &set.lora, 0, 1024,
              "rank of low-rank adapters of the attention's inputs, which alone are\ntrained"),
        real("lora-alpha", "A", &set.lora_alpha, below, 1e6, "their scale is A / rank; twice the rank without it")};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        kept[i].in_checkpoint = true;
        trainer_option(t, kept[i]);
    }
}

static void add_others(trainer *t) {
    const option others[] = {
        text("weights", "FILE", &set.weights, "start from these (safetensors, as published)"),
        text("vocab", "FILE", &set.vocab, "vocab.json, for --weights"),
        text("merges", "FILE", &set.merges, "merges.txt, for --weights"),
        flag("recompute", &set.recompute, "blocks are computed twice instead of kept"),
        real("peak", "TFLOPS", &set.peak, 0, 1e9,
             "the device's most in this dtype, to print the share of it\nthat is used (MFU)"),
        text("save-weights", "FILE", &set.save_weights, "write the weights as safetensors at the end"),
        text("adapter", "FOLDER", &set.adapter, "load adapters (PEFT's files)"),
        text("save-adapter", "FOLDER", &set.save_adapter, "write the adapters at the end"),
        flag("evaluate", &set.evaluate, "print the loss over all of the validation text instead of\ntraining"),
        flag("generate", &set.generate, "write text instead of training"),
        text("prompt", "TEXT", &set.prompt, "what the text begins with"),
        whole("length", &set.length, 1, 1e6, "tokens to write"),
        real("temperature", "T", &set.temperature, -1e-9, 100, "0: always the likeliest"),
        whole("top-k", &set.top_k, 0, 1e6, "draw from the N likeliest; 0: from all"),
        real("top-p", "P", &set.top_p, 0, 1, "draw from the fewest that have P together"),
        text("logits", "FILE", &set.logits,
             "with --generate: the prompt's logits [tokens, vocabulary]\nas .npy, instead of text"),
        flag("no-cache", &set.no_cache, "compute all positions for each token")};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) trainer_option(t, others[i]);
}

bool settings_given(trainer *t, const char *name) { return options_find(t->options, t->n_options, name)->given; }

static void default_int(trainer *t, const char *name, int64_t *value, int64_t otherwise) {
    if (!settings_given(t, name)) *value = otherwise;
}

/* What the size says. To write with a network, or to look at it, its dtype and the seed are free. */
static void parsed(trainer *t) {
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (strcmp(set.size, sizes[i].name) != 0) continue;
        default_int(t, "vocabulary", &set.vocabulary, sizes[i].vocabulary);
        default_int(t, "context", &set.context, sizes[i].context);
        default_int(t, "layers", &set.layers, sizes[i].layers);
        default_int(t, "heads", &set.heads, sizes[i].heads);
        default_int(t, "width", &set.width, sizes[i].width);
        default_int(t, "batch", &t->batch, sizes[i].batch);
        default_int(t, "steps", &t->steps, sizes[i].steps);
        if (!settings_given(t, "lr")) t->lr = sizes[i].lr;
        if (!settings_given(t, "dropout")) set.dropout = sizes[i].dropout;
    }
    default_int(t, "warmup", &set.warmup, t->steps / 20);
    default_int(t, "positions", &set.positions, set.context);
    if (set.lora > 0 && !settings_given(t, "lora-alpha")) set.lora_alpha = 2 * (double)set.lora;
    for (int i = 0; (set.generate || set.evaluate) && i < 2; i++)
        options_find(t->options, t->n_options, i ? "seed" : "dtype")->in_checkpoint = false;
}

static const char *wrong(const trainer *t) {
    if (!set.weights && set.width % set.heads) return "--heads does not divide --width";
    if (set.positions < set.context) return "--positions is below --context";
    if ((set.vocab != NULL) != (set.merges != NULL)) return "--vocab and --merges go together";
    if (!set.vocab && !t->resume && set.vocabulary < 256) return "--vocabulary: expected 256 or more";
    if (set.weights && !set.vocab) return "--weights needs --vocab and --merges";
    if (set.weights && t->resume) return "--weights and --resume are two beginnings";
    if (set.save_adapter && !set.lora && !set.adapter) return "--save-adapter needs --lora or --adapter";
    if (set.lora && set.adapter) return "there are adapters (--lora, or the checkpoint's); --adapter loads others";
    if (set.adapter && t->resume && !set.generate && !set.evaluate)
        return "--adapter and --resume are two beginnings; --save-weights makes weights of a checkpoint";
    if (set.logits && !set.generate) return "--logits goes with --generate";
    if (set.generate && set.evaluate) return "--generate and --evaluate are two tasks";
    if (set.generate && !set.weights && !t->resume) return "--generate needs --weights or --resume";
    if (set.evaluate && !set.weights && !t->resume) return "--evaluate needs --weights or --resume";
    return NULL;
}

void settings_add(trainer *t) {
    add_kept(t);
    add_others(t);
    t->parsed = parsed;
    t->wrong = wrong;
}
