/* Trains GPT-2 on text, from scratch or from published weights, and writes with it. README.md tells how. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../common/interrupt.h"
#include "../common/text_file.h"
#include "generate.h"
#include "settings.h"
#include "text.h"

enum { LOOK_PIECES = 100 }; /* of the validation text, while it trains */

/* ---- a run ------------------------------------------------------------------------------------------------------- */

typedef struct run {
    tern_tokenizer *tokens;
    corpus text;
    gpt2 *g;
    tern_optim *opt;
    tern_scaler *scaler; /* for f16; else NULL */
    tern_schedule schedule;
    int64_t step;
    double best; /* validation loss */
} run;

static tern_dtype dtype(void) {
    return strcmp(set.dtype, "bf16") == 0 ? TERN_BF16 : strcmp(set.dtype, "f16") == 0 ? TERN_F16 : TERN_F32;
}

enum { LAYERS, HEADS, WIDTH, CONTEXT, VOCABULARY, DROPOUT, BATCH, ACCUMULATE, LORA, LORA_ALPHA, LR, BEST, ATTRIBUTES };
static const char *const attributes[ATTRIBUTES] = {"layers",     "heads",      "width", "context",
                                                   "vocabulary", "dropout",    "batch", "accumulate",
                                                   "lora",       "lora_alpha", "lr",    "best"};

static void name_attributes(tern_checkpoint_user *u) {
    for (int i = 0; i < ATTRIBUTES; i++) u[i] = (tern_checkpoint_user){.name = attributes[i]};
}

/* OUT.vocab.json, OUT.merges.txt */
static const char *beside(const char *path, const char *what, char *buf, size_t size) {
    snprintf(buf, size, "%s.%s", path, what);
    return buf;
}

static bool save(run *r) {
    char vocab[4096], merges[4096];
    const gpt2_config *c = &r->g->config;
    tern_checkpoint_user u[ATTRIBUTES];
    name_attributes(u);
    const double v[ATTRIBUTES] = {(double)c->layers,
                                  (double)c->heads,
                                  (double)c->width,
                                  (double)c->context,
                                  (double)c->vocabulary,
                                  c->dropout,
                                  (double)set.batch,
                                  (double)set.accumulate,
                                  (double)set.lora,
                                  set.lora_alpha,
                                  set.lr,
                                  r->best};
    for (int i = 0; i < ATTRIBUTES; i++) u[i].number = v[i];
    const tern_checkpoint point = {.model = &r->g->m,
                                   .optim = r->opt,
                                   .scaler = r->scaler,
                                   .schedule = &r->schedule,
                                   .step = r->step,
                                   .user = u,
                                   .n_user = ATTRIBUTES};
    return tern_tokenizer_save(r->tokens, beside(set.out, "vocab.json", vocab, sizeof vocab),
                               beside(set.out, "merges.txt", merges, sizeof merges)) &&
           tern_checkpoint_save(set.out, &point);
}

/* What the network is comes from the checkpoint, whatever the options say. */
static bool settings_from_checkpoint(run *r) {
    tern_checkpoint_user u[ATTRIBUTES];
    name_attributes(u);
    tern_checkpoint c = {.no_random = true, .user = u, .n_user = ATTRIBUTES};
    if (!tern_checkpoint_load(set.resume, &c)) return false;
    const double *limit =
        (const double[]){GPT2_LAYERS_MOST, 256, 1 << 14, 1 << 16, 1 << 20, 0.9, 1 << 20, 1 << 16, 1024, 1e6, 10};
    for (int i = 0; i < BEST; i++)
        if (!(u[i].number >= (i == DROPOUT || i == LORA || i == LORA_ALPHA ? 0
                              : i == LR                                    ? 1e-300
                                                                           : 1) &&
              u[i].number <= limit[i]))
            return tern_error_set(TERN_ERR_FORMAT, "%s: %s is %g", set.resume, attributes[i], u[i].number);
    set.layers = (int64_t)u[LAYERS].number;
    set.heads = (int64_t)u[HEADS].number;
    set.width = (int64_t)u[WIDTH].number;
    set.context = (int64_t)u[CONTEXT].number;
    set.vocabulary = (int64_t)u[VOCABULARY].number;
    set.dropout = u[DROPOUT].number;
    set.batch = (int64_t)u[BATCH].number;
    set.accumulate = (int64_t)u[ACCUMULATE].number;
    set.lora = (int64_t)u[LORA].number;
    set.lora_alpha = u[LORA_ALPHA].number;
    if (!settings_given("lr")) set.lr = u[LR].number;
    r->best = u[BEST].number;
    return set.width % set.heads == 0 ||
           tern_error_set(TERN_ERR_FORMAT, "%s: heads do not divide the width", set.resume);
}

static tern_tokenizer *tokenizer_new(const char *text, size_t bytes) {
    char vocab[4096], merges[4096];
    if (set.vocab) return tern_tokenizer_load(set.vocab, set.merges);
    if (set.resume)
        return tern_tokenizer_load(beside(set.resume, "vocab.json", vocab, sizeof vocab),
                                   beside(set.resume, "merges.txt", merges, sizeof merges));
    const char *const special[] = {"<|endoftext|>"};
    const bool only_bytes = set.vocabulary <= 256;
    return tern_tokenizer_train(
        text, bytes, set.vocabulary,
        (tern_tokenizer_opts){.special = only_bytes ? NULL : special, .n_special = !only_bytes});
}

/* As the published weights' other library has them. */
static const tern_adapter_opts as_published = {.prefix = "transformer.", .task = "CAUSAL_LM", .fan_in_fan_out = true};

static bool adapters_new(gpt2 *g) {
    const tern_lora_opts o = {.rank = set.lora, .alpha = set.lora_alpha > 0 ? set.lora_alpha : 2 * (double)set.lora};
    return tern_lora_attach(&g->m, "h.*.attn.c_attn", o) > 0 && tern_lora_train_only(&g->m);
}

static bool adapters_load(gpt2 *g) {
    tern_lora_opts o;
    if (!tern_adapter_load(set.adapter, &g->m, as_published)) return false;
    if (tern_lora_settings(g->h[0]->c_attn, &o)) { /* for the checkpoint */
        set.lora = o.rank;
        set.lora_alpha = o.alpha;
    }
    return tern_lora_train_only(&g->m);
}

/* The network, with the tokens that it knows, on its device. */
static bool network_new(run *r) {
    gpt2_config c = {.vocabulary = tern_tokenizer_size(r->tokens),
                     .context = set.context,
                     .layers = set.layers,
                     .heads = set.heads,
                     .width = set.width,
                     .dropout = set.dropout,
                     .recompute = set.recompute};
    if (set.weights && !gpt2_config_from_weights(set.weights, &c)) return false;
    if (settings_given("heads")) c.heads = set.heads;
    if (c.width % c.heads) return tern_error_set(TERN_ERR_ARGUMENT, "--heads does not divide the weights' width");
    if (c.vocabulary < tern_tokenizer_size(r->tokens))
        return tern_error_set(TERN_ERR_SHAPE, "the network knows %" PRId64 " tokens; the vocabulary has %" PRId64,
                              c.vocabulary, tern_tokenizer_size(r->tokens));
    r->g = gpt2_new(c);
    if (!r->g || (set.weights && !gpt2_load_weights(r->g, set.weights))) return false;
    if (set.context > c.context) set.context = c.context;
    if (set.adapter ? !adapters_load(r->g) : set.lora && !adapters_new(r->g)) return false;
    return tern_module_to(&r->g->m, set.device);
}

static bool optimizer_new(run *r) {
    const bool adapters = set.lora || set.adapter;
    if (adapters && !tern_lora_train_only(&r->g->m)) return false;
    r->opt =
        tern_adamw_new(&r->g->m, set.lr,
                       (tern_adamw_opts){.beta2 = 0.95, .weight_decay = set.weight_decay > 0 ? set.weight_decay : -1});
    if (!r->opt) return false;
    if (dtype() == TERN_F16 && !(r->scaler = tern_scaler_new((tern_scaler_opts){0}))) return false;
    r->schedule = (tern_schedule){.kind = TERN_SCHEDULE_COSINE,
                                  .lr = set.lr,
                                  .min_lr = set.lr / 10,
                                  .warmup = set.warmup,
                                  .total = set.steps > 0 ? set.steps : 1};
    const tern_group_opts plain = {.weight_decay = -1};
    if (adapters) return true; /* they have neither norms nor biases */
    return tern_optim_group(r->opt, "*.bias", plain) > 0 && tern_optim_group(r->opt, "*ln_*.weight", plain) > 0;
}

static bool load(run *r) {
    const int64_t total = r->schedule.total;
    tern_checkpoint c = {.model = &r->g->m,
                         .optim = r->opt,
                         .scaler = r->scaler,
                         .schedule = r->opt ? &r->schedule : NULL,
                         .no_random = !r->opt};
    if (!r->opt) c.not_strict = true; /* to write with: the optimizer's part is left alone */
    if (!tern_checkpoint_load(set.resume, &c)) return false;
    r->step = c.step;
    if (settings_given("steps")) r->schedule.total = total;
    set.steps = r->schedule.total;
    return true;
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The weights are f32; their products, and what else can be, are computed in --dtype. */
static tern_tensor *loss_of(gpt2 *g, tern_tensor *x, tern_tensor *y) {
    const int cast = tern_autocast_push((tern_device_type)set.device.type, dtype());
    tern_tensor *logits = gpt2_forward(g, x, NULL);
    const int64_t n = tern_numel(y);
    tern_tensor *loss = tern_cross_entropy(tern_reshape(logits, TERN_SHAPE(n, g->config.vocabulary)),
                                           tern_reshape(y, TERN_SHAPE(n)), (tern_cross_entropy_opts){0});
    tern_autocast_pop(cast);
    return loss;
}

/* The mean loss over the validation text, or over most pieces from all over it; NaN if there are none, the user stops
 * it, or an error is met. */
static double validate(run *r, int64_t most) {
    const int64_t all = corpus_validation_pieces(&r->text, set.context), n = all < most ? all : most;
    double sum = n > 0 ? 0 : (double)NAN;
    const bool was = tern_inference_mode(true);
    tern_module_train(&r->g->m, false);
    for (int64_t i = 0; i < n && !isnan(sum); i++) {
        const int scope = tern_scope_push();
        tern_tensor *x, *y;
        const bool ok = !interrupt_seen() && corpus_validation(&r->text, i * all / n, set.context, set.device, &x, &y);
        sum += ok ? tern_item(loss_of(r->g, x, y)) : (double)NAN;
        tern_scope_pop(scope);
    }
    tern_module_train(&r->g->m, true);
    tern_inference_mode(was);
    return sum / (double)n;
}

static bool evaluate(run *r) {
    interrupt_catch();
    const double loss = validate(r, INT64_MAX);
    if (!tern_ok() || interrupt_seen()) return false;
    if (isnan(loss) && corpus_validation_pieces(&r->text, set.context) == 0)
        return tern_error_set(TERN_ERR_ARGUMENT, "the last tenth of the text has no %" PRId64 " tokens and their next",
                              set.context);
    printf("validation %.4f (%.4f a byte) over %" PRId64 " tokens\n", loss, loss / r->text.bytes_per_token,
           corpus_validation_pieces(&r->text, set.context) * set.context);
    return true;
}

/* Clips the gradients and takes the step; with a scaler, unless they overflowed. */
static bool update(run *r) {
    tern_scaler *s = r->scaler;
    if (s && !tern_scaler_unscale(s, r->opt)) return false;
    if (!tern_optim_clip_norm(r->opt, 1)) return false;
    return s ? tern_scaler_step(s, r->opt) && tern_scaler_update(s) : tern_optim_step(r->opt);
}

/* One step; the loss of its passes' mean in *loss, if that is not NULL (reading it waits for the device). */
static bool train_step(run *r, double *loss) {
    const int scope = tern_scope_push();
    tern_tensor *sum = NULL;
    bool ok = true;
    for (int64_t i = 0; ok && i < set.accumulate; i++) {
        tern_tensor *x, *y;
        ok = corpus_batch(&r->text, set.batch, set.context, set.device, &x, &y);
        tern_tensor *l = ok ? tern_mul_scalar(loss_of(r->g, x, y), 1 / (double)set.accumulate) : NULL;
        ok = l && tern_backward(r->scaler ? tern_scaler_scale(r->scaler, l) : l);
        sum = ok && sum ? tern_add(sum, tern_detach(l)) : ok ? tern_detach(l) : NULL;
    }
    ok = ok && tern_schedule_apply(&r->schedule, r->opt) && update(r);
    if (ok && loss) *loss = tern_item(sum);
    tern_scope_pop(scope);
    return ok && tern_ok();
}

static void report(const run *r, double loss, double val, double per_second) {
    const double flops = gpt2_flops_per_token(r->g, set.context) * per_second;
    printf("step %5" PRId64 " of %" PRId64
           "  loss %.4f  validation %.4f (%.4f a byte)  lr %.2e  %.0f tokens/s, %.2f TFLOP/s",
           r->step, set.steps, loss, val, val / r->text.bytes_per_token, tern_optim_lr(r->opt), per_second,
           flops * 1e-12);
    if (set.peak > 0) printf(", MFU %.1f %%", 100 * flops * 1e-12 / set.peak);
    if (r->scaler)
        printf("  scale %g, %" PRId64 " steps skipped", tern_scaler_value(r->scaler),
               tern_scaler_tell(r->scaler).skipped);
    printf("\n");
    fflush(stdout);
}

static bool train(run *r) {
    double began = seconds(), loss = (double)NAN;
    int64_t since = 0;
    interrupt_catch();
    const int64_t end = set.stop_after && set.stop_after < set.steps ? set.stop_after : set.steps;
    while (r->step < end && !interrupt_seen()) {
        const bool look = (r->step + 1) % set.eval_every == 0 || r->step + 1 == set.steps;
        if (!train_step(r, look ? &loss : NULL)) return false;
        r->step++;
        since++;
        if (look) {
            const double rate = (double)(since * set.batch * set.accumulate * set.context) / (seconds() - began);
            const double val = validate(r, LOOK_PIECES);
            if (!tern_ok()) return false;
            if (val < r->best) r->best = val;
            if (!interrupt_seen()) report(r, loss, val, rate);
            if (!isfinite(loss))
                return tern_error_set(TERN_ERR_ARGUMENT, "the loss is %g: a lower --lr may help", loss);
            began = seconds();
            since = 0;
        }
        if ((r->step % set.checkpoint_every == 0 || r->step == set.steps) && !save(r)) return false;
    }
    if (r->step == set.steps) return true;
    printf("%s after step %" PRId64 ": to go on, gpt2 --resume %s\n", interrupt_seen() ? interrupt_name() : "Stopped",
           r->step, set.out);
    return save(r);
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static bool prepare(run *r) {
    size_t bytes = 0;
    char *text = NULL;
    bool ok = !set.resume || settings_from_checkpoint(r);
    if (ok && !set.generate) ok = (text = text_read(set.data, &bytes)) != NULL;
    r->tokens = ok ? tokenizer_new(text, bytes) : NULL;
    ok = r->tokens && (set.generate || corpus_new(&r->text, r->tokens, text, bytes));
    free(text);
    ok = ok && network_new(r) && (set.generate || set.evaluate || optimizer_new(r)) && (!set.resume || load(r));
    return ok && (!set.generate || tern_module_cast(&r->g->m, dtype()));
}

static bool write_logits(run *r) {
    const int scope = tern_scope_push();
    const bool was = tern_inference_mode(true);
    tern_module_train(&r->g->m, false);
    tern_tensor *x =
        tern_tokenizer_encode_tensor(r->tokens, set.prompt, strlen(set.prompt), (tern_encode_opts){.special = true});
    tern_tensor *y = gpt2_forward(r->g, tern_unsqueeze(tern_to(x, set.device), 0), NULL);
    const bool ok = y && tern_npy_save(set.logits, tern_cast(tern_select(y, 0, 0), TERN_F32));
    tern_inference_mode(was);
    tern_scope_pop(scope);
    return ok;
}

static bool work(run *r) {
    if (!prepare(r)) return false;
    const sampling how = {set.temperature, set.top_k, set.top_p, set.no_cache};
    if (set.generate) {
        tern_seed((uint64_t)set.seed);
        interrupt_catch();
        if (set.logits) return write_logits(r);
        return generate(r->g, r->tokens, set.prompt, set.length, how);
    }
    if (set.evaluate) return evaluate(r);
    char device[32];
    printf("GPT-2: %" PRId64 " parameters, %" PRId64 " layers, %" PRId64 " heads, width %" PRId64 ", context %" PRId64
           ", %s on %s\ntext: %" PRId64 " bytes, %" PRId64 " tokens of %" PRId64 "; a tenth is for validation\n",
           tern_module_count(&r->g->m, false), r->g->config.layers, r->g->config.heads, r->g->config.width, set.context,
           set.dtype, tern_device_name(set.device, device, sizeof device), r->text.bytes, r->text.n,
           r->g->config.vocabulary);
    fflush(stdout);
    if (!tern_checkpoint_try(set.out) || !train(r)) return false;
    if (set.save_adapter && !tern_adapter_save(set.save_adapter, &r->g->m, as_published)) return false;
    if (set.save_weights && !((!set.lora && !set.adapter) || (tern_lora_merge(&r->g->m) && tern_lora_detach(&r->g->m))))
        return false;
    if (set.save_weights && !gpt2_save_weights(r->g, set.save_weights)) return false;
    if (r->step < set.steps) return !interrupt_seen();
    printf("checkpoint: %s. It writes:\n\n", set.out);
    return generate(r->g, r->tokens, set.prompt, set.length, how);
}

int main(int argc, char **argv) {
    tern_on_error(NULL, NULL); /* errors are printed once, here */
    int code = settings_read(argc, argv);
    if (code != EXIT_OK) return code;
    if (set.help) {
        settings_help();
        return EXIT_OK;
    }
    run r = {.best = (double)INFINITY};
    tern_seed((uint64_t)set.seed);
    if (!tern_set_threads((int)set.threads) || !work(&r)) code = EXIT_FAILED;
    tern_optim_free(r.opt);
    tern_scaler_free(r.scaler);
    tern_module_free(r.g ? &r.g->m : NULL);
    tern_tokenizer_free(r.tokens);
    corpus_free(&r.text);
    tern_scope_pop(0);
    return program_end("gpt2", code);
}
