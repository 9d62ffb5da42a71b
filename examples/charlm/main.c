/* Trains an LSTM or a GRU to tell the next character of a text, and writes with it. README.md tells how. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/text_file.h"
#include "../common/trainer.h"
#include "model.h"

static struct {
    const char *cell, *prompt;
    int64_t hidden, layers, length, sample;
    double dropout, temperature;
    bool generate;
} set = {.cell = "lstm", .hidden = 128, .layers = 1, .length = 64, .sample = 400, .temperature = 0.6};

/* ---- text -------------------------------------------------------------------------------------------------------- */

/* The text as numbers of its characters, of which there are n; the last tenth is for validation. */
typedef struct corpus {
    uint8_t *number, characters[256];
    char start[16]; /* of its first line: what the writing begins with if nothing else is said */
    int64_t n, n_train, vocabulary;
} corpus;

static bool corpus_new(corpus *c, const char *path, int64_t length) {
    size_t bytes;
    int64_t number[256];
    c->number = (uint8_t *)text_read(path, &bytes);
    if (!c->number) return false;
    c->n = (int64_t)bytes;
    c->n_train = c->n - c->n / 10;
    if (c->n / 10 <= length + 1)
        return tern_error_set(TERN_ERR_ARGUMENT,
                              "the text has %" PRId64 " characters; a --length of %" PRId64 " needs more", c->n,
                              length);
    for (int i = 0; i < 256; i++) {
        number[i] = c->vocabulary;
        c->characters[c->vocabulary] = (uint8_t)i;
        if (memchr(c->number, i, bytes)) c->vocabulary++;
    }
    snprintf(c->start, sizeof c->start, "%.*s", (int)(sizeof c->start - 1), (const char *)c->number);
    c->start[1 + strcspn(c->start + 1, "\n")] = '\0';
    for (const char *p = set.prompt ? set.prompt : ""; *p; p++) {
        if (!memchr(c->number, *p, bytes))
            return tern_error_set(TERN_ERR_ARGUMENT, "--prompt has a character that the text has not: \"%c\"", *p);
    }
    for (int64_t i = 0; i < c->n; i++) c->number[i] = (uint8_t)number[c->number[i]];
    return true;
}

/* x and y [batch, length] i64 on device, y the characters that follow x's, from the given places. */
static bool pieces(const corpus *c, const int64_t *from, int64_t batch, int64_t length, tern_device device,
                   tern_tensor **x, tern_tensor **y) {
    *x = tern_empty(TERN_SHAPE(batch, length), (tern_options){.dtype = TERN_I64});
    *y = tern_empty(TERN_SHAPE(batch, length), (tern_options){.dtype = TERN_I64});
    if (!*x || !*y) return false;
    int64_t *px = tern_data(*x), *py = tern_data(*y);
    for (int64_t i = 0; i < batch * length; i++) {
        px[i] = c->number[from[i / length] + i % length];
        py[i] = c->number[from[i / length] + i % length + 1];
    }
    *x = tern_to(*x, device);
    *y = tern_to(*y, device);
    return *y != NULL;
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

static tern_tensor *loss_of(charlm *g, tern_tensor *x, tern_tensor *y, charlm_state *state) {
    const int64_t n = tern_numel(y);
    tern_tensor *logits = tern_reshape(charlm_forward(g, x, state), TERN_SHAPE(n, tern_numel(g->characters)));
    return tern_cross_entropy(logits, tern_reshape(y, TERN_SHAPE(n)), (tern_cross_entropy_opts){0});
}

/* The mean loss over the validation text, read from its beginning in `lanes` places at once, the state carried on; NaN
 * after an error. */
static double validate(charlm *g, const corpus *c, int64_t length, tern_device device) {
    enum { LANES = 16 };
    int64_t from[LANES];
    const int64_t room = (c->n - c->n_train - 1) / length, lanes = room < LANES ? room : LANES, n = room / lanes;
    for (int64_t i = 0; i < lanes; i++) from[i] = c->n_train + i * n * length;
    const bool was = tern_inference_mode(true);
    charlm_state state = {0};
    double sum = 0;
    tern_module_train(&g->m, false);
    for (int64_t k = 0; k < n && tern_ok(); k++) {
        const int scope = tern_scope_push();
        const charlm_state old = state;
        tern_tensor *x, *y;
        if (pieces(c, from, lanes, length, device, &x, &y)) sum += tern_item(loss_of(g, x, y, &state));
        tern_keep(state.h);
        tern_keep(state.c);
        tern_scope_pop(scope);
        tern_release(old.h);
        tern_release(old.c);
        for (int64_t i = 0; i < lanes; i++) from[i] += length;
    }
    tern_release(state.h);
    tern_release(state.c);
    tern_module_train(&g->m, true);
    tern_inference_mode(was);
    return tern_ok() ? sum / (double)n : (double)NAN;
}

/* A step on random pieces of the training text, each read from an empty state. */
static bool train_step(trainer *t, const corpus *c, double *loss) {
    const int scope = tern_scope_push();
    charlm_state state = {0};
    tern_tensor *x, *y;
    tern_tensor *from =
        tern_randint(TERN_SHAPE(t->batch), 0, c->n_train - set.length, (tern_options){.dtype = TERN_I64});
    bool ok = from && pieces(c, tern_data(from), t->batch, set.length, t->device, &x, &y);
    tern_tensor *l = ok ? loss_of((charlm *)t->model, x, y, &state) : NULL;
    ok = trainer_update(t, l);
    if (ok && trainer_due(t)) *loss = tern_item(l);
    tern_scope_pop(scope);
    return ok && tern_ok();
}

static bool train(trainer *t, const corpus *c) {
    double loss = (double)NAN;
    while (trainer_more(t)) {
        const bool due = trainer_due(t);
        if (!train_step(t, c, &loss)) return false;
        if (due) {
            const double held = validate((charlm *)t->model, c, set.length, t->device);
            if (!tern_ok()) return false;
            plot_add(&t->plot, "training", (double)(t->step + 1), loss);
            plot_add(&t->plot, "validation", (double)(t->step + 1), held);
            printf("step %5" PRId64 " of %" PRId64 "  loss %.4f  validation %.4f nats a character\n", t->step + 1,
                   t->steps, loss, held);
            fflush(stdout);
            if (!trainer_finite(t, "loss", loss)) return false;
        }
        if (!trainer_next(t)) return false;
    }
    return trainer_end(t);
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static bool network_new(trainer *t, const corpus *c) {
    charlm *g = charlm_new(c->vocabulary, set.hidden, set.layers, set.dropout, strcmp(set.cell, "lstm") == 0);
    t->model = g ? &g->m : NULL;
    if (!g) return false;
    memcpy(tern_data(g->characters), c->characters, (size_t)c->vocabulary);
    if (!tern_module_to(t->model, t->device)) return false;
    t->optim = tern_adamw_new(t->model, t->lr, (tern_adamw_opts){.weight_decay = 0.01});
    t->clip = 1;
    t->schedule = (tern_schedule){
        .kind = TERN_SCHEDULE_COSINE, .lr = t->lr, .min_lr = t->lr / 20, .warmup = t->steps / 20, .total = t->steps};
    return t->optim != NULL;
}

/* A checkpoint numbers the characters of its own text. */
static bool same_characters(charlm *g, const corpus *c) {
    uint8_t characters[256];
    if (!tern_to_host(g->characters, characters, (size_t)c->vocabulary)) return false;
    return memcmp(characters, c->characters, (size_t)c->vocabulary) == 0 ||
           tern_error_set(TERN_ERR_ARGUMENT, "the checkpoint was trained on a text of other characters");
}

static bool run(trainer *t, corpus *c) {
    char device[32];
    if (!corpus_new(c, t->data, set.length) || !network_new(t, c) || !trainer_start(t)) return false;
    if (!same_characters((charlm *)t->model, c)) return false;
    if (set.generate) {
        tern_seed((uint64_t)t->seed);
    } else {
        printf("%s of %" PRId64 " units, %" PRId64 " layers: %" PRId64 " parameters on %s\ntext: %" PRId64
               " characters, %" PRId64 " different ones; a tenth is for validation\n",
               set.cell, set.hidden, set.layers, tern_module_count(t->model, false),
               tern_device_name(t->device, device, sizeof device), c->n, c->vocabulary);
        fflush(stdout);
        if (!train(t, c)) return false;
        printf("checkpoint: %s, curves: %s. It writes:\n\n", t->out, t->plot_path);
    }
    return charlm_write((charlm *)t->model, set.prompt ? set.prompt : c->start, set.sample, set.temperature);
}

static bool work(trainer *t) {
    corpus c = {0};
    const bool ok = run(t, &c);
    free(c.number);
    return ok;
}

/* To write with a network the seed is free, and nothing is saved. */
static void parsed(trainer *t) {
    t->only_reads = set.generate;
    if (set.generate) options_find(t->options, t->n_options, "seed")->in_checkpoint = false;
}

static const char *wrong(const trainer *t) { return set.generate && !t->resume ? "--generate needs --resume" : NULL; }

static void options(trainer *t) {
    trainer_option(t, (option){"cell", OPTION_CHOICE, "lstm|gru", &set.cell, .help = "the recurrent layer",
                               .in_checkpoint = true});
    trainer_option(
        t, (option){"hidden", OPTION_INT, "N", &set.hidden, 1, 1 << 14, .help = "its units", .in_checkpoint = true});
    trainer_option(t, (option){"layers", OPTION_INT, "N", &set.layers, 1, 16, .help = "how many, one on the other",
                               .in_checkpoint = true});
    trainer_option(t, (option){"dropout", OPTION_REAL, "P", &set.dropout, -1e-9, 0.9,
                               "share of the layers' output that is dropped", .in_checkpoint = true});
    trainer_option(t, (option){"length", OPTION_INT, "N", &set.length, 2, 1 << 16,
                               "characters that gradients go back through", .in_checkpoint = true});
    trainer_option(t, (option){"generate", OPTION_FLAG, .value = &set.generate,
                               .help = "write with --resume's network instead of training"});
    trainer_option(t, (option){"prompt", OPTION_TEXT, "TEXT", &set.prompt,
                               .help = "what the text begins with; the corpus's first line without it"});
    trainer_option(t, (option){"sample", OPTION_INT, "N", &set.sample, 1, 1e6, .help = "characters to write"});
    trainer_option(
        t, (option){"temperature", OPTION_REAL, "T", &set.temperature, -1e-9, 100, .help = "0: always the likeliest"});
}

int main(int argc, char **argv) {
    static trainer t = {.name = "charlm",
                        .about = "Trains an LSTM or a GRU to tell the next character of a text, and writes with it.",
                        .data_help = "text to train on; Tern's own headers without it",
                        .steps = 500,
                        .batch = 32,
                        .lr = 4e-3,
                        .eval_every = 50,
                        .checkpoint_every = 200,
                        .wrong = wrong,
                        .parsed = parsed,
                        .plot = {.y_title = "nats per character"}};
    options(&t);
    return trainer_main(&t, argc, argv, work);
}
