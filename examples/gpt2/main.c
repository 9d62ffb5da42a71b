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
    gpt2 *g; /* the trainer's model */
} run;

static tern_dtype dtype(void) {
    return strcmp(set.dtype, "bf16") == 0 ? TERN_BF16 : strcmp(set.dtype, "f16") == 0 ? TERN_F16 : TERN_F32;
}

/* OUT.vocab.json, OUT.merges.txt */
static const char *beside(const char *path, const char *what, char *buf, size_t size) {
    snprintf(buf, size, "%s.%s", path, what);
    return buf;
}

static bool saving(trainer *t) {
    const run *r = t->user;
    char vocab[4096], merges[4096];
    return tern_tokenizer_save(r->tokens, beside(t->out, "vocab.json", vocab, sizeof vocab),
                               beside(t->out, "merges.txt", merges, sizeof merges));
}

static tern_tokenizer *tokenizer_new(const trainer *t, const char *text, size_t bytes) {
    char vocab[4096], merges[4096];
    if (set.vocab) return tern_tokenizer_load(set.vocab, set.merges);
    if (t->resume)
        return tern_tokenizer_load(beside(t->resume, "vocab.json", vocab, sizeof vocab),
                                   beside(t->resume, "merges.txt", merges, sizeof merges));
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

/* Those that are trained must be what adapters_new makes of the rank and alpha that a checkpoint holds. */
static bool adapters_load(gpt2 *g) {
    tern_lora_opts o = {0};
    int n = 0;
    if (!tern_adapter_load(set.adapter, &g->m, as_published)) return false;
    if (set.generate || set.evaluate) return true;
    while (tern_lora_each(&g->m, n, NULL, 0)) n++;
    bool plain = n == 2 * g->config.layers;
    for (int64_t i = 0; plain && i < g->config.layers; i++)
        plain = tern_lora_settings(g->h[i]->c_attn, &o) && !o.rank_stable && !(o.dropout > 0);
    if (!plain)
        return tern_error_set(TERN_ERR_UNSUPPORTED,
                              "%s: adapters that are trained on are those of all h.*.attn.c_attn and no others, "
                              "without use_rslora and lora_dropout: a checkpoint holds no more of them",
                              set.adapter);
    set.lora = o.rank;
    set.lora_alpha = o.alpha;
    return tern_lora_train_only(&g->m);
}

/* What the weights' file says of the network goes into the settings; options must not say otherwise. */
static bool settings_from_weights(trainer *t) {
    gpt2_config c = {0};
    if (!gpt2_config_from_weights(set.weights, &c)) return false;
    const struct {
        const char *name;
        int64_t *value, is;
    } all[] = {{"vocabulary", &set.vocabulary, c.vocabulary},
               {"positions", &set.positions, c.context},
               {"layers", &set.layers, c.layers},
               {"width", &set.width, c.width}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (settings_given(t, all[i].name) && *all[i].value != all[i].is)
            return tern_error_set(TERN_ERR_ARGUMENT, "%s: its %s is %" PRId64 "; --%s asks for %" PRId64, set.weights,
                                  all[i].name, all[i].is, all[i].name, *all[i].value);
        *all[i].value = all[i].is;
    }
    if (!settings_given(t, "heads")) set.heads = c.heads;
    if (set.context > set.positions && settings_given(t, "context"))
        return tern_error_set(TERN_ERR_ARGUMENT,
                              "%s: its network tells %" PRId64 " positions apart; --context asks for %" PRId64,
                              set.weights, set.positions, set.context);
    if (set.context > set.positions) set.context = set.positions;
    return set.width % set.heads == 0 ||
           tern_error_set(TERN_ERR_ARGUMENT, "--heads does not divide the weights' width");
}

/* The network, with the tokens that it knows, on its device. */
static bool network_new(trainer *t, run *r) {
    if (set.weights && !settings_from_weights(t)) return false;
    if (set.vocab && !set.weights && !t->resume) set.vocabulary = tern_tokenizer_size(r->tokens);
    if (set.vocabulary < tern_tokenizer_size(r->tokens))
        return tern_error_set(TERN_ERR_SHAPE, "the network knows %" PRId64 " tokens; the vocabulary has %" PRId64,
                              set.vocabulary, tern_tokenizer_size(r->tokens));
    r->g = gpt2_new((gpt2_config){.vocabulary = set.vocabulary,
                                  .context = set.positions,
                                  .layers = set.layers,
                                  .heads = set.heads,
                                  .width = set.width,
                                  .dropout = set.dropout,
                                  .recompute = set.recompute});
    t->model = r->g ? &r->g->m : NULL;
    if (!r->g || (set.weights && !gpt2_load_weights(r->g, set.weights))) return false;
    const bool later = set.adapter && t->resume; /* the checkpoint's weights first */
    if (set.adapter ? !later && !adapters_load(r->g) : set.lora && !adapters_new(r->g)) return false;
    return tern_module_to(&r->g->m, t->device);
}

static bool optimizer_new(trainer *t) {
    t->optim =
        tern_adamw_new(t->model, t->lr,
                       (tern_adamw_opts){.beta2 = 0.95, .weight_decay = set.weight_decay > 0 ? set.weight_decay : -1});
    if (!t->optim) return false;
    if (dtype() == TERN_F16 && !(t->scaler = tern_scaler_new((tern_scaler_opts){0}))) return false;
    t->clip = 1;
    t->schedule = (tern_schedule){.kind = TERN_SCHEDULE_COSINE,
                                  .lr = t->lr,
                                  .min_lr = t->lr / 10,
                                  .warmup = set.warmup,
                                  .total = t->steps > 0 ? t->steps : 1};
    const tern_group_opts plain = {.weight_decay = -1};
    if (set.lora) return true; /* adapters have neither norms nor biases */
    return tern_optim_group(t->optim, "*.bias", plain) > 0 && tern_optim_group(t->optim, "*ln_*.weight", plain) > 0;
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The weights are f32; their products, and what else can be, are computed in --dtype. */
static tern_tensor *loss_of(gpt2 *g, tern_tensor *x, tern_tensor *y, tern_device device) {
    const int cast = tern_autocast_push((tern_device_type)device.type, dtype());
    tern_tensor *logits = gpt2_forward(g, x, NULL);
    const int64_t n = tern_numel(y);
    tern_tensor *loss = tern_cross_entropy(tern_reshape(logits, TERN_SHAPE(n, g->config.vocabulary)),
                                           tern_reshape(y, TERN_SHAPE(n)), (tern_cross_entropy_opts){0});
    tern_autocast_pop(cast);
    return loss;
}

/* The mean loss over the validation text, or over most pieces from all over it, which a signal does not cut short: a
 * curve without its point would not be a straight run's. NaN if there are none, the user stops it, or an error is met.
 */
static double validate(const trainer *t, const run *r, int64_t most) {
    const int64_t all = corpus_validation_pieces(&r->text, set.context), n = all < most ? all : most;
    double sum = n > 0 ? 0 : (double)NAN;
    const bool was = tern_inference_mode(true);
    tern_module_train(t->model, false);
    for (int64_t i = 0; i < n && !isnan(sum); i++) {
        const int scope = tern_scope_push();
        tern_tensor *x, *y;
        const bool ok = !(most == INT64_MAX && interrupt_seen()) &&
                        corpus_validation(&r->text, i * all / n, set.context, t->device, &x, &y);
        sum += ok ? tern_item(loss_of(r->g, x, y, t->device)) : (double)NAN;
        tern_scope_pop(scope);
    }
    tern_module_train(t->model, true);
    tern_inference_mode(was);
    return sum / (double)n;
}

/* One step of --accumulate passes; the mean of their losses in *loss where that is due (reading it waits for the
 * device). */
static bool train_step(trainer *t, const run *r, double *loss) {
    const int scope = tern_scope_push();
    tern_tensor *sum = NULL;
    bool ok = true;
    for (int64_t i = 0; ok && i < set.accumulate; i++) {
        tern_tensor *x, *y;
        ok = corpus_batch(&r->text, t->batch, set.context, t->device, &x, &y);
        tern_tensor *l = ok ? tern_mul_scalar(loss_of(r->g, x, y, t->device), 1 / (double)set.accumulate) : NULL;
        const bool last = i + 1 == set.accumulate;
        ok = l && (last ? trainer_update(t, l) : tern_backward(t->scaler ? tern_scaler_scale(t->scaler, l) : l));
        sum = ok && sum ? tern_add(sum, tern_detach(l)) : ok ? tern_detach(l) : NULL;
    }
    if (ok && trainer_due(t)) *loss = tern_item(sum);
    tern_scope_pop(scope);
    return ok && tern_ok();
}

static void report(const trainer *t, const run *r, double loss, double held, double per_second) {
    const double flops = gpt2_flops_per_token(r->g, set.context) * per_second;
    printf("step %5" PRId64 " of %" PRId64
           "  loss %.4f  validation %.4f (%.4f a byte)  lr %.2e  %.0f tokens/s, %.2f TFLOP/s",
           t->step + 1, t->steps, loss, held, held / r->text.bytes_per_token, tern_optim_lr(t->optim), per_second,
           flops * 1e-12);
    if (set.peak > 0) printf(", MFU %.1f %%", 100 * flops * 1e-12 / set.peak);
    if (t->scaler)
        printf("  scale %g, %" PRId64 " steps skipped", tern_scaler_value(t->scaler),
               tern_scaler_tell(t->scaler).skipped);
    printf("\n");
    fflush(stdout);
}

/* After a step that is due: the validation text, the line and the curves. */
static bool look(trainer *t, const run *r, double loss, double per_second) {
    const double held = validate(t, r, LOOK_PIECES);
    if (!tern_ok()) return false;
    plot_add(&t->plot, "training", (double)(t->step + 1), loss);
    plot_add(&t->plot, "validation", (double)(t->step + 1), held);
    report(t, r, loss, held, per_second);
    return trainer_finite(t, "loss", loss);
}

static bool train(trainer *t, const run *r) {
    double began = seconds(), loss = (double)NAN;
    int64_t since = 0;
    while (trainer_more(t)) {
        if (!train_step(t, r, &loss)) return false;
        since++;
        if (trainer_due(t)) {
            const int64_t tokens = since * t->batch * set.accumulate * set.context;
            if (!look(t, r, loss, (double)tokens / (seconds() - began))) return false;
            began = seconds();
            since = 0;
        }
        if (!trainer_next(t)) return false;
    }
    return trainer_end(t);
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static bool write_logits(const trainer *t, const run *r) {
    const int scope = tern_scope_push();
    const bool was = tern_inference_mode(true);
    tern_module_train(t->model, false);
    tern_tensor *x =
        tern_tokenizer_encode_tensor(r->tokens, set.prompt, strlen(set.prompt), (tern_encode_opts){.special = true});
    tern_tensor *y = gpt2_forward(r->g, tern_unsqueeze(tern_to(x, t->device), 0), NULL);
    const bool ok = y && tern_npy_save(set.logits, tern_cast(tern_select(y, 0, 0), TERN_F32));
    tern_inference_mode(was);
    tern_scope_pop(scope);
    return ok;
}

static bool write_on(const run *r) {
    const sampling how = {set.temperature, set.top_k, set.top_p, set.no_cache};
    return generate(r->g, r->tokens, set.prompt, set.length, how);
}

static bool evaluate(const trainer *t, const run *r) {
    const double loss = validate(t, r, INT64_MAX);
    if (!tern_ok() || interrupt_seen()) return false;
    if (isnan(loss) && corpus_validation_pieces(&r->text, set.context) == 0)
        return tern_error_set(TERN_ERR_ARGUMENT, "the last tenth of the text has no %" PRId64 " tokens and their next",
                              set.context);
    printf("validation %.4f (%.4f a byte) over %" PRId64 " tokens\n", loss, loss / r->text.bytes_per_token,
           corpus_validation_pieces(&r->text, set.context) * set.context);
    return true;
}

/* The text, if the task is about it, and the network. */
static bool prepare(trainer *t, run *r) {
    size_t bytes = 0;
    char *text = set.generate ? NULL : text_read(t->data, &bytes);
    r->tokens = text || set.generate ? tokenizer_new(t, text, bytes) : NULL;
    const bool ok = r->tokens && (set.generate || corpus_new(&r->text, r->tokens, text, bytes));
    free(text);
    return ok && network_new(t, r);
}

/* --generate and --evaluate: of a checkpoint the network alone. */
static bool only_look(trainer *t, run *r) {
    if (!prepare(t, r)) return false;
    tern_checkpoint c = {.no_random = true, .model = t->model};
    if (t->resume && !(tern_checkpoint_load(t->resume, &c) && (!set.adapter || adapters_load(r->g)))) return false;
    tern_seed((uint64_t)t->seed);
    interrupt_catch();
    if (set.evaluate) return evaluate(t, r);
    return tern_module_cast(t->model, dtype()) && (set.logits ? write_logits(t, r) : write_on(r));
}

static bool save_results(const run *r) {
    if (set.save_adapter && !tern_adapter_save(set.save_adapter, &r->g->m, as_published)) return false;
    if (!set.save_weights) return true;
    return (!set.lora || (tern_lora_merge(&r->g->m) && tern_lora_detach(&r->g->m))) &&
           gpt2_save_weights(r->g, set.save_weights);
}

static bool train_and_write(trainer *t, run *r) {
    char device[32];
    if (!prepare(t, r) || !optimizer_new(t) || !trainer_start(t)) return false;
    printf("GPT-2: %" PRId64 " parameters, %" PRId64 " layers, %" PRId64 " heads, width %" PRId64 ", context %" PRId64
           ", %s on %s\ntext: %" PRId64 " bytes, %" PRId64 " tokens of %" PRId64 "; a tenth is for validation\n",
           tern_module_count(t->model, false), r->g->config.layers, r->g->config.heads, r->g->config.width, set.context,
           set.dtype, tern_device_name(t->device, device, sizeof device), r->text.bytes, r->text.n,
           r->g->config.vocabulary);
    fflush(stdout);
    if (!train(t, r) || !save_results(r)) return false;
    if (t->steps > 0) printf("checkpoint: %s, curves: %s. ", t->out, t->plot_path);
    printf("It writes:\n\n");
    return write_on(r);
}

static bool work(trainer *t) {
    run r = {0};
    t->user = &r;
    t->saving = saving;
    const bool ok = set.generate || set.evaluate ? only_look(t, &r) : train_and_write(t, &r);
    tern_tokenizer_free(r.tokens);
    corpus_free(&r.text);
    return ok;
}

int main(int argc, char **argv) {
    static trainer t = {.name = "gpt2",
                        .about =
                            "Trains GPT-2 on text, from scratch or from published weights, and writes with it. "
                            "Its tokens go beside the\ncheckpoint.",
                        .data_help = "text to train on; Tern's own headers without it",
                        .eval_every = 100,
                        .checkpoint_every = 500,
                        .zero_steps = true,
                        .plot = {.y_title = "nats per token"}};
    settings_add(&t);
    return trainer_main(&t, argc, argv, work);
}
