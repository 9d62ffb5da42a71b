/* PEFT's adapter_config.json by Jansson; its tensors by archive and safetensors. */
#include "tern/adapter.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"
#include "json.h"
#include "replace.h"
#include "tern/archive.h"

static const char front[] = "base_model.model.";
enum { NAME = 1024, CONFIG_MOST = 1 << 20 };

static bool path_in(const char *folder, const char *file, char *buf, size_t size) {
    const int n = snprintf(buf, size, "%s/%s", folder, file);
    return (n > 0 && (size_t)n < size) || terni_fail(TERN_ERR_IO, "adapter: \"%.60s...\" is no usable path", folder);
}

/* "base_model.model.NAME.lora_A.weight" with the other side's prefix behind the front. */
static bool foreign_name(const char *name, const char *prefix, char *buf) {
    const int n = snprintf(buf, NAME, "%s%s%s", front, prefix ? prefix : "", name + strlen(front));
    return (n > 0 && n < NAME) || terni_fail(TERN_ERR_ARGUMENT, "adapter: the name %.60s... is too long", name);
}

/* NAME's last part, for target_modules: "h.0.attn.c_attn" is a "c_attn". */
static const char *last_part(const char *linear) {
    const char *dot = strrchr(linear, '.');
    return dot ? dot + 1 : linear;
}

/* The linear's own name in m, from the name of its tensor. */
static bool linear_name(const char *tensor, char *buf) {
    const char *end = strstr(tensor, ".lora_");
    const size_t skip = strlen(front);
    if (strncmp(tensor, front, skip) != 0 || !end || (size_t)(end - tensor) < skip || end - tensor >= NAME)
        return false;
    snprintf(buf, NAME, "%.*s", (int)(end - tensor - (ptrdiff_t)skip), tensor + skip);
    return true;
}

/* ---- saving ------------------------------------------------------------------------------------------------------ */

typedef struct writing {
    tern_archive *a;
    json_t *targets;
    tern_lora_opts settings;
} writing;

static bool same_settings(tern_lora_opts a, tern_lora_opts b) {
    return a.rank == b.rank && fabs(a.alpha - b.alpha) < 1e-12 && a.rank_stable == b.rank_stable &&
           fabs(a.dropout - b.dropout) < 1e-12;
}

static bool add_target(json_t *targets, const char *name) {
    size_t i;
    json_t *v;
    json_array_foreach(targets, i, v) if (strcmp(json_string_value(v), name) == 0) return true;
    return json_array_append_new(targets, json_string(name)) == 0 ||
           terni_fail(TERN_ERR_MEMORY, "adapter: no memory for the settings");
}

static bool gather(writing *w, tern_module *m, const char *prefix) {
    char name[NAME], linear[NAME], full[NAME];
    tern_tensor *t;
    for (int i = 0; (t = tern_lora_each(m, i, name, sizeof name)); i++) {
        tern_lora_opts o;
        if (!linear_name(name, linear)) return terni_fail(TERN_ERR_INTERNAL, "adapter: %s is no adapter's name", name);
        tern_module *l = tern_module_child(m, linear);
        if (!l || !tern_lora_settings(l, &o)) return false;
        if (i == 0) w->settings = o;
        if (!same_settings(o, w->settings))
            return terni_fail(TERN_ERR_ARGUMENT,
                              "adapter: %s has other settings than the first; PEFT's file has one set", linear);
        if (!foreign_name(name, prefix, full) || !tern_archive_put(w->a, full, t) ||
            !add_target(w->targets, last_part(linear)))
            return false;
    }
    return tern_ok() &&
           (tern_archive_count(w->a) > 0 || terni_fail(TERN_ERR_ARGUMENT, "adapter: there are none in the module"));
}

static bool save_config(const char *path, const writing *w, tern_adapter_opts o) {
    json_t *root =
        json_pack("{s:s, s:I, s:f, s:f, s:b, s:b, s:s, s:b, s:O, s:s?, s:s?, s:{}, s:{}}", "peft_type", "LORA", "r",
                  (json_int_t)w->settings.rank, "lora_alpha", w->settings.alpha, "lora_dropout", w->settings.dropout,
                  "use_rslora", w->settings.rank_stable, "fan_in_fan_out", o.fan_in_fan_out, "bias", "none",
                  "inference_mode", 1, "target_modules", w->targets, "base_model_name_or_path", o.base_model,
                  "task_type", o.task, "rank_pattern", "alpha_pattern");
    char *text = terni_json_text("adapter", root, JSON_INDENT(2), 0);
    json_decref(root);
    if (!text) return false;
    terni_replace r;
    const bool ok =
        terni_replace_begin(&r, "adapter", path) && terni_replace_end(&r, terni_replace_write(&r, text, strlen(text)));
    terni_mfree(text);
    return ok;
}

bool tern_adapter_save(const char *folder, tern_module *m, tern_adapter_opts opts) {
    char path[PATH_MAX];
    if (!terni_given(folder, "adapter", "folder") || !terni_given(m, "adapter", "m")) return false;
    writing w = {.a = tern_archive_new(), .targets = json_array()};
    bool ok = w.a && w.targets && gather(&w, m, opts.prefix) && tern_archive_set_text(w.a, "format", "pt");
    if (ok && mkdir(folder, 0777) != 0 && errno != EEXIST)
        ok = terni_fail(TERN_ERR_IO, "adapter: the folder %s cannot be made: %s", folder, strerror(errno));
    ok = ok && path_in(folder, "adapter_model.safetensors", path, sizeof path) &&
         tern_safetensors_save(path, w.a, (tern_safetensors_opts){0}) &&
         path_in(folder, "adapter_config.json", path, sizeof path) && save_config(path, &w, opts);
    tern_archive_free(w.a);
    json_decref(w.targets);
    return ok;
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

/* What a setting must be, or be left out as, for Tern to do the same. */
static bool is_plain(const json_t *root, const char *key) {
    const json_t *v = json_object_get(root, key);
    if (!v || json_is_null(v) || json_is_false(v)) return true;
    if (json_is_object(v)) return json_object_size(v) == 0;
    if (json_is_array(v)) return json_array_size(v) == 0;
    return json_is_string(v) && strcmp(json_string_value(v), "none") == 0;
}

/* Other beginnings than these (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) also change the weight that the adapter is added
 * to, when PEFT makes it and again when it loads it. */
static bool keeps_weight(const json_t *root) {
    static const char *const names[] = {"gaussian", "orthogonal", "eva"};
    const char *name = json_string_value(json_object_get(root, "init_lora_weights"));
    bool ok = !name; /* true, false, or left out */
    for (size_t i = 0; !ok && i < sizeof names / sizeof *names; i++) ok = strcmp(name, names[i]) == 0;
    return ok;
}

static bool read_settings(const char *path, const json_t *root, tern_lora_opts *o) {
    static const char *const others[] = {"rank_pattern", "alpha_pattern",     "bias",
                                         "use_dora",     "lora_bias",         "modules_to_save",
                                         "use_qalora",   "layer_replication", "alora_invocation_tokens"};
    const json_t *type = json_object_get(root, "peft_type"), *r = json_object_get(root, "r"),
                 *alpha = json_object_get(root, "lora_alpha"), *drop = json_object_get(root, "lora_dropout");
    if (!json_is_string(type) || strcmp(json_string_value(type), "LORA") != 0)
        return terni_fail(TERN_ERR_UNSUPPORTED, "adapter: %s: peft_type is not LORA", path);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!is_plain(root, others[i]))
            return terni_fail(TERN_ERR_UNSUPPORTED, "adapter: %s: %s is set; Tern has no such adapters", path,
                              others[i]);
    if (!keeps_weight(root))
        return terni_fail(
            TERN_ERR_UNSUPPORTED,
            "adapter: %s: init_lora_weights is \"%.40s\", which changes the weights themselves; convert it "
            "with save_pretrained(path_initial_model_for_weight_conversion)",
            path, json_string_value(json_object_get(root, "init_lora_weights")));
    if (!json_is_integer(r) || json_integer_value(r) < 1 || json_integer_value(r) > 1 << 20 || !json_is_number(alpha) ||
        !(json_number_value(alpha) > 0))
        return terni_fail(TERN_ERR_FORMAT, "adapter: %s: there are no sensible r and lora_alpha", path);
    const double p = json_is_number(drop) ? json_number_value(drop) : 0;
    if (!(p >= 0 && p < 1)) return terni_fail(TERN_ERR_FORMAT, "adapter: %s: lora_dropout is %g", path, p);
    *o = (tern_lora_opts){.rank = json_integer_value(r),
                          .alpha = json_number_value(alpha),
                          .dropout = p,
                          .rank_stable = json_is_true(json_object_get(root, "use_rslora"))};
    return true;
}

static bool load_config(const char *path, tern_lora_opts *o) {
    void *text;
    size_t n;
    if (!terni_file_read("adapter", path, CONFIG_MOST, &text, &n)) return false;
    json_error_t e;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
    terni_mfree(text);
    if (!root) return terni_fail(TERN_ERR_FORMAT, "adapter: %s is not JSON: %s at byte %d", path, e.text, e.position);
    const bool ok = read_settings(path, root, o);
    json_decref(root);
    return ok;
}

/* The tensor's name in m: without the other side's prefix. */
static bool own_name(const char *name, const char *prefix, char *buf) {
    const size_t skip = strlen(front), more = prefix ? strlen(prefix) : 0;
    if (strncmp(name, front, skip) != 0 || (more && strncmp(name + skip, prefix, more) != 0)) return false;
    const int n = snprintf(buf, NAME, "%s%s", front, name + skip + more);
    return n > 0 && n < NAME;
}

/* The half of an adapter that a tensor's name is, 'A' or 'B'; 0 for another name. */
static char half_of(const char *name) {
    const char *end = strstr(name, ".lora_");
    if (end && strcmp(end, ".lora_A.weight") == 0) return 'A';
    return end && strcmp(end, ".lora_B.weight") == 0 ? 'B' : 0;
}

/* Whether a layer can have such an adapter. */
static bool layer_fits(const char *path, const char *linear, tern_module *l, tern_lora_opts o) {
    tern_lora_opts is;
    if (strcmp(l->type, "linear") != 0)
        return terni_fail(TERN_ERR_ARGUMENT, "adapter: %s has an adapter for %s, which is a %s, no linear", path,
                          linear, l->type);
    return !tern_lora_settings(l, &is) || same_settings(is, o) ||
           terni_fail(TERN_ERR_ARGUMENT, "adapter: %s has an adapter of other settings than %s", linear, path);
}

/* A tensor of the adapter of l: rank and width are right, and the other half is there. */
static bool half_fits(tern_archive *a, const char *path, const tern_archive_entry *e, tern_module *l, char half,
                      int64_t rank) {
    char other[NAME], sa[128], sb[128];
    tern_named w;
    tern_tensor *weight = NULL;
    snprintf(other, sizeof other, "%.*s%c.weight", (int)(strlen(e->name) - strlen("A.weight")), e->name,
             half == 'A' ? 'B' : 'A');
    if (!tern_archive_find(a, other))
        return terni_fail(TERN_ERR_FORMAT, "adapter: %s: there is no %s beside %s", path, other, e->name);
    for (int i = 0; !weight && tern_module_each(l, i, &w); i++) /* or, of the same shape, what it is computed from */
        if (strcmp(w.name, "weight") == 0 || strcmp(w.name, "parametrizations.weight.original") == 0 ||
            strcmp(w.name, "parametrizations.weight.original1") == 0)
            weight = w.tensor;
    if (!weight) return true; /* the adapter's own shape will tell */
    const tern_shape is = tern_shape_get(e->tensor), want = half == 'A' ? TERN_SHAPE(rank, tern_size(weight, 1))
                                                                        : TERN_SHAPE(tern_size(weight, 0), rank);
    return tern_shape_equal(is, want) ||
           terni_fail(TERN_ERR_SHAPE, "adapter: %s has shape %s; expected %s", e->name,
                      tern_shape_text(is, sa, sizeof sa), tern_shape_text(want, sb, sizeof sb));
}

/* All that the file says is compared with m before anything is made or changed. */
static bool check(tern_archive *a, const char *path, tern_module *m, tern_lora_opts o, const char *prefix) {
    tern_archive_entry e;
    char name[NAME], linear[NAME];
    for (int64_t i = 0; tern_archive_each(a, i, &e); i++) {
        const char half = half_of(e.name);
        if (!half || !own_name(e.name, prefix, name) || !linear_name(name, linear))
            return terni_fail(TERN_ERR_FORMAT, "adapter: %s: %s is no adapter's tensor%s%s", path, e.name,
                              prefix ? " under " : "", prefix ? prefix : "");
        tern_module *l = tern_module_child(m, linear);
        if (!l || !layer_fits(path, linear, l, o) || !half_fits(a, path, &e, l, half, o.rank)) return false;
    }
    return tern_archive_count(a) > 0 || terni_fail(TERN_ERR_FORMAT, "adapter: %s holds no tensors", path);
}

/* Every layer that the archive has something for gets an adapter, if it has none. */
static bool attach(tern_archive *a, tern_module *m, tern_lora_opts o, const char *prefix) {
    tern_archive_entry e;
    char name[NAME], linear[NAME];
    for (int64_t i = 0; tern_archive_each(a, i, &e); i++) {
        tern_lora_opts is;
        tern_module *l =
            own_name(e.name, prefix, name) && linear_name(name, linear) ? tern_module_child(m, linear) : NULL;
        if (!l || (!tern_lora_settings(l, &is) && tern_lora_attach(l, "", o) < 0)) return false;
    }
    return true;
}

/* Shapes are compared once more, for weights that are computed. What was merged is taken off again: the weight has the
 * old adapter in it. */
static bool fill(tern_archive *a, tern_module *m, const char *prefix) {
    tern_archive_entry e;
    char name[NAME], linear[NAME], sa[128], sb[128];
    bool ok = true;
    for (int pass = 0; ok && pass < 2; pass++)
        for (int64_t i = 0; ok && tern_archive_each(a, i, &e); i++) {
            const int scope = tern_scope_push();
            tern_tensor *t = own_name(e.name, prefix, name) ? tern_lora_get(m, name) : NULL;
            ok = t != NULL;
            if (ok && pass == 0 && !tern_shape_equal(tern_shape_get(t), tern_shape_get(e.tensor)))
                ok = terni_fail(TERN_ERR_SHAPE, "adapter: %s has shape %s; expected %s", e.name,
                                tern_shape_text(tern_shape_get(e.tensor), sa, sizeof sa),
                                tern_shape_text(tern_shape_get(t), sb, sizeof sb));
            if (ok && pass == 1)
                ok = linear_name(name, linear) && tern_lora_unmerge(tern_module_child(m, linear)) &&
                     tern_copy_(t, tern_to(tern_cast(e.tensor, tern_dtype_of(t)), tern_device_of(t))) != NULL;
            tern_scope_pop(scope);
        }
    return ok;
}

/* The tensors; says so where they are in the form that is not read. */
static tern_archive *load_tensors(const char *folder, char *path) {
    if (!path_in(folder, "adapter_model.bin", path, PATH_MAX)) return NULL;
    const bool pickle = access(path, F_OK) == 0;
    if (!path_in(folder, "adapter_model.safetensors", path, PATH_MAX)) return NULL;
    if (pickle && access(path, F_OK) != 0)
        return terni_null(TERN_ERR_UNSUPPORTED,
                          "adapter: %s holds a PyTorch pickle (adapter_model.bin), which can run code when it is read; "
                          "save it from Python with safe_serialization=True",
                          folder);
    return tern_safetensors_load(path, (tern_safetensors_opts){0});
}

bool tern_adapter_load(const char *folder, tern_module *m, tern_adapter_opts opts) {
    char path[PATH_MAX];
    tern_lora_opts settings;
    if (!terni_given(folder, "adapter", "folder") || !terni_given(m, "adapter", "m")) return false;
    if (!path_in(folder, "adapter_config.json", path, sizeof path) || !load_config(path, &settings)) return false;
    tern_archive *a = load_tensors(folder, path);
    const bool was = tern_grad_mode(false);
    const bool ok =
        a && check(a, path, m, settings, opts.prefix) && attach(a, m, settings, opts.prefix) && fill(a, m, opts.prefix);
    tern_grad_mode(was);
    tern_archive_free(a);
    return ok;
}
