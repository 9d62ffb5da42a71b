#include "settings.h"

#include <stdio.h>
#include <string.h>

#include "model.h"

settings set = {.size = "tiny",
                .out = "gpt2.h5",
                .prompt = "/* The ",
                .device_text = "auto",
                .dtype = "f32",
                .accumulate = 1,
                .warmup = -1,
                .seed = 1,
                .eval_every = 100,
                .length = 200,
                .checkpoint_every = 500,
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

static const option own[] = {
    {.name = "data",
     .kind = OPTION_TEXT,
     .argument = "FILE",
     .value = &set.data,
     .help = "text to train on; Tern's own headers without it"},
    {.name = "size",
     .kind = OPTION_CHOICE,
     .argument = "tiny|10m|124m|355m|774m|1558m",
     .value = &set.size,
     .help = "the network and settings that suit it"},
    {.name = "weights",
     .kind = OPTION_TEXT,
     .argument = "FILE",
     .value = &set.weights,
     .help = "start from these (safetensors, as published)"},
    {.name = "vocab",
     .kind = OPTION_TEXT,
     .argument = "FILE",
     .value = &set.vocab,
     .help = "vocab.json, for --weights"},
    {.name = "merges",
     .kind = OPTION_TEXT,
     .argument = "FILE",
     .value = &set.merges,
     .help = "merges.txt, for --weights"},
    {.name = "vocabulary",
     .kind = OPTION_INT,
     .argument = "N",
     .value = &set.vocabulary,
     .min = 256,
     .max = 1 << 20,
     .help = "tokens to learn from the text; 256: bytes"},
    {.name = "context",
     .kind = OPTION_INT,
     .argument = "N",
     .value = &set.context,
     .min = 2,
     .max = 1 << 16,
     .help = "tokens that the network sees"},
    {.name = "layers",
     .kind = OPTION_INT,
     .argument = "N",
     .value = &set.layers,
     .min = 1,
     .max = GPT2_LAYERS_MOST,
     .help = "blocks"},
    {.name = "heads",
     .kind = OPTION_INT,
     .argument = "N",
     .value = &set.heads,
     .min = 1,
     .max = 256,
     .help = "heads of attention; they divide the width"},
    {.name = "width",
     .kind = OPTION_INT,
     .argument = "N",
     .value = &set.width,
     .min = 8,
     .max = 1 << 14,
     .help = "numbers that stand for a token"},
    {.name = "dropout",
     .kind = OPTION_REAL,
     .argument = "P",
     .value = &set.dropout,
     .min = -1,
     .max = 0.9,
     .help = "share that is dropped in training"},
    {.name = "accumulate",
     .kind = OPTION_INT,
     .argument = "N",
     .value = &set.accumulate,
     .min = 1,
     .max = 1 << 16,
     .help = "passes in a step"},
    {.name = "steps",
     .kind = OPTION_INT,
     .argument = "N",
     .value = &set.steps,
     .min = 0,
     .max = 1e9,
     .help = "steps in all"},
    {.name = "warmup",
     .kind = OPTION_INT,
     .argument = "N",
     .value = &set.warmup,
     .min = 0,
     .max = 1e9,
     .help = "steps of linear rise; a twentieth of all without it"},
    {.name = "weight-decay",
     .kind = OPTION_REAL,
     .argument = "W",
     .value = &set.weight_decay,
     .min = -1,
     .max = 1,
     .help = "of matrices; norms and biases have none"},
    {.name = "recompute",
     .kind = OPTION_FLAG,
     .value = &set.recompute,
     .help = "blocks are computed twice instead of kept"},
    {.name = "dtype",
     .kind = OPTION_CHOICE,
     .argument = "f32|bf16|f16",
     .value = &set.dtype,
     .help = "of arithmetic; the weights that are trained are f32"},
    {.name = "peak",
     .kind = OPTION_REAL,
     .argument = "TFLOPS",
     .value = &set.peak,
     .min = 0,
     .max = 1e9,
     .help = "the device's most in this dtype, to print the share of it\nthat is used (MFU)"},
    {.name = "eval-every",
     .kind = OPTION_INT,
     .argument = "N",
     .value = &set.eval_every,
     .min = 1,
     .max = 1e9,
     .help = "steps between looks at the validation text"},
    {.name = "evaluate",
     .kind = OPTION_FLAG,
     .value = &set.evaluate,
     .help = "print the loss over all of the validation text instead of\ntraining"},
    {.name = "save-weights",
     .kind = OPTION_TEXT,
     .argument = "FILE",
     .value = &set.save_weights,
     .help = "write the weights as safetensors at the end"},
    {.name = "lora",
     .kind = OPTION_INT,
     .argument = "RANK",
     .value = &set.lora,
     .min = 1,
     .max = 1024,
     .help = "train low-rank adapters of the attention's inputs only"},
    {.name = "lora-alpha",
     .kind = OPTION_REAL,
     .argument = "A",
     .value = &set.lora_alpha,
     .min = 0,
     .max = 1e6,
     .help = "their scale is A / RANK; twice the rank without it"},
    {.name = "adapter",
     .kind = OPTION_TEXT,
     .argument = "FOLDER",
     .value = &set.adapter,
     .help = "load adapters (PEFT's files)"},
    {.name = "save-adapter",
     .kind = OPTION_TEXT,
     .argument = "FOLDER",
     .value = &set.save_adapter,
     .help = "write the adapters at the end"},
    {.name = "generate", .kind = OPTION_FLAG, .value = &set.generate, .help = "write text instead of training"},
    {.name = "prompt",
     .kind = OPTION_TEXT,
     .argument = "TEXT",
     .value = &set.prompt,
     .help = "what the text begins with"},
    {.name = "length",
     .kind = OPTION_INT,
     .argument = "N",
     .value = &set.length,
     .min = 1,
     .max = 1e6,
     .help = "tokens to write"},
    {.name = "temperature",
     .kind = OPTION_REAL,
     .argument = "T",
     .value = &set.temperature,
     .min = -1e-9,
     .max = 100,
     .help = "0: always the likeliest"},
    {.name = "top-k",
     .kind = OPTION_INT,
     .argument = "K",
     .value = &set.top_k,
     .min = 0,
     .max = 1e6,
     .help = "draw from the K likeliest"},
    {.name = "top-p",
     .kind = OPTION_REAL,
     .argument = "P",
     .value = &set.top_p,
     .min = 0,
     .max = 1,
     .help = "draw from the fewest that have P together"},
    {.name = "logits",
     .kind = OPTION_TEXT,
     .argument = "FILE",
     .value = &set.logits,
     .help = "with --generate: the prompt's logits [tokens, vocabulary]\nas .npy, instead of text"},
    {.name = "no-cache", .kind = OPTION_FLAG, .value = &set.no_cache, .help = "compute all positions for each token"},
};

enum { OWN = sizeof own / sizeof *own, ROWS = OWN + COMMON_OPTIONS };
static option rows[ROWS];

bool settings_given(const char *name) { return options_find(rows, ROWS, name)->given; }

static int wrong_usage(const char *why) { return program_wrong_usage("gpt2", why); }

int settings_read(int argc, char **argv) {
    memcpy(rows, own, sizeof own);
    program_options(rows + OWN,
                    (common_options){&set.batch, &set.seed, &set.threads, &set.checkpoint_every, &set.stop_after,
                                     &set.lr, &set.device_text, &set.out, &set.resume, &set.help, "step"});
    if (!options_parse("gpt2", rows, ROWS, argc, argv)) return EXIT_USAGE;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (strcmp(set.size, sizes[i].name) != 0) continue;
        if (!settings_given("vocabulary")) set.vocabulary = sizes[i].vocabulary;
        if (!settings_given("context")) set.context = sizes[i].context;
        if (!settings_given("layers")) set.layers = sizes[i].layers;
        if (!settings_given("heads")) set.heads = sizes[i].heads;
        if (!settings_given("width")) set.width = sizes[i].width;
        if (!settings_given("batch")) set.batch = sizes[i].batch;
        if (!settings_given("steps")) set.steps = sizes[i].steps;
        if (!settings_given("lr")) set.lr = sizes[i].lr;
        if (!settings_given("dropout")) set.dropout = sizes[i].dropout;
    }
    if (!settings_given("warmup")) set.warmup = set.steps / 20;
    if (!program_device("gpt2", set.device_text, &set.device)) return EXIT_USAGE;
    if (set.width % set.heads) return wrong_usage("--heads does not divide --width");
    if (set.dropout < 0 || set.weight_decay < 0 || set.temperature < 0) return wrong_usage("a setting is negative");
    if ((set.vocab != NULL) != (set.merges != NULL)) return wrong_usage("--vocab and --merges go together");
    if (set.weights && !set.vocab) return wrong_usage("--weights needs --vocab and --merges");
    if (set.weights && set.resume) return wrong_usage("--weights and --resume are two beginnings");
    if (set.save_adapter && !set.lora && !set.adapter && !set.resume)
        return wrong_usage("--save-adapter needs --lora or --adapter");
    if (set.lora && set.adapter) return wrong_usage("--lora begins new adapters, --adapter loads some");
    if (set.logits && !set.generate) return wrong_usage("--logits goes with --generate");
    if (set.generate && set.evaluate) return wrong_usage("--generate and --evaluate are two tasks");
    if (set.generate && !set.weights && !set.resume) return wrong_usage("--generate needs --weights or --resume");
    if (set.evaluate && !set.weights && !set.resume) return wrong_usage("--evaluate needs --weights or --resume");
    return EXIT_OK;
}

void settings_help(void) {
    printf(
        "Trains GPT-2 on text, from scratch or from published weights, and writes with it. Its tokens go beside the\n"
        "checkpoint.\n\n"
        "usage: gpt2 [OPTION...]\n\n");
    options_help(rows, ROWS);
}
