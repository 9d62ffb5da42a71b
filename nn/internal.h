/* What nn's own files share. Modules live here: the tree, its names, the bundled layers, the initialisers. Everything
 * is written against core's public headers and its memory door and errors; what an op computes belongs into core.
 * Private. */
#ifndef TERNI_NN_INTERNAL_H
#define TERNI_NN_INTERNAL_H

#include "door.h"
#include "tern/layers.h"
#include "tern/lora.h"
#include "tern/module.h"
#include "tern/transformer.h"

/* A parameter or buffer under its name in its own module. The tensor is kept. */
typedef struct terni_slot {
    char *name;
    tern_tensor *tensor;
} terni_slot;

typedef struct terni_child {
    char *name;
    tern_module *module;
} terni_child;

typedef struct terni_hook {
    int number;
    tern_hook_point point;
    tern_module_hook hook;
    void *user;
} terni_hook;

/* A parameter that is computed before each forward from others (reparametrize.c). Words of the module's struct that
 * pointed to the parameter point to the placeholder, and during a forward to what was computed. */
typedef struct terni_computed {
    struct terni_computed *next;
    const struct terni_computed_rule *rule;
    tern_module *holder;      /* of the parameters it is computed from; a descendant of the module */
    tern_tensor *placeholder; /* kept */
    char *name;               /* the parameter's */
    int place;                /* where it stood among the module's parameters before any became computed */
    int dim;
    int64_t iterations;
    double eps;
    int n;
    size_t offset[4];
} terni_computed;

typedef struct terni_computed_rule {
    const char *name; /* "weight_norm" */
    tern_tensor *(*compute)(const terni_computed *c, bool training);
} terni_computed_rule;

struct tern_module_parts {
    size_t size; /* of the struct that starts with the module */
    tern_module *parent;
    bool failed; /* a part could not be made: tern_module_done frees all */

    terni_slot *params, *buffers;
    terni_child *children;
    int n_params, n_buffers, n_children;
    int cap_params, cap_buffers, cap_children;
    /* A hash table of the parts' names (theirs, not copies), where they are many: current while it holds as many as
     * there are parts (module.c). */
    const char **names;
    int64_t names_size; /* a power of 2 */
    int n_names;

    /* All parameters and buffers of the tree below with their full names (names.c); made anew when it is asked for and
     * the tree has changed. */
    bool listed;
    tern_named *list;
    bool *repeated; /* the same tensor came earlier in the list */
    char *text;     /* the names */
    int n_list;

    /* What call.c does around the forward: around is true if there is anything. */
    bool around;
    bool enters; /* without a forward, but its own function goes through call.c */
    terni_hook *hooks;
    int n_hooks, cap_hooks, last_hook;
    terni_computed *computed;

    uint64_t modes; /* that tern_module_mode_pop gives back, a bit each, the last lowest, below a 1; 0: none */

    /* The summary's dry run (summary.c): call.c notes the output's shape, and adds up m's own FLOPs. */
    bool was_training, noting, noted;
    tern_shape input, output;
    int64_t flops;
};

/* linear.c; lora.c attaches adapters to it. */
typedef struct terni_linear {
    tern_module m;
    int64_t in, out;
    tern_tensor *weight, *bias;   /* bias may be NULL */
    tern_module *lora_A, *lora_B; /* both or neither */
    tern_lora_opts lora;          /* nothing left to default */
    double scale;
    bool merged; /* weight has the adapter in it */
    bool fresh;  /* while adapters are being attached: this is one of them */
} terni_linear;
/* m as a linear; NULL, without an error, if it is none. */
terni_linear *terni_as_linear(tern_module *m);

/* kv_cache.c, for attention: positions of queries that owner has seen; the keys and values that were kept whole (false:
 * none are, or gradients are on), to be kept so, and n more positions of queries that saw them. */
int64_t terni_kv_seen(const tern_kv_cache *c, const void *owner);
bool terni_kv_kept(const tern_kv_cache *c, const void *owner, tern_tensor **k, tern_tensor **v);
bool terni_kv_keep(tern_kv_cache *c, const void *owner, tern_tensor *k, tern_tensor *v);
void terni_kv_see(tern_kv_cache *c, const void *owner, int64_t n);
/* Around whatever adds to c (may be NULL), one within another: where the outermost ends without a result, y, c is as it
 * was when that began. The end returns y. */
void terni_kv_begin(tern_kv_cache *c);
tern_tensor *terni_kv_end(tern_kv_cache *c, tern_tensor *y);

/* To be called before the name of a part of m goes. */
void terni_names_forget(tern_module *m);
/* Frees this child of m. Cannot fail. */
void terni_child_remove(tern_module *m, tern_module *child);
/* Room for one more item of this size: p or its replacement, NULL after an error. */
void *terni_grown(void *p, int n, int *cap, size_t size);
/* Sets parts->around. */
void terni_around(tern_module *m);
/* Lets c's words in m's struct point to t. */
void terni_point_to(tern_module *m, const terni_computed *c, tern_tensor *t);
/* Frees c, its name and placeholder. */
void terni_computed_free(terni_computed *c);

/* Makes m's list if the tree has changed. From the root down it also gives the tensors their full names, so that error
 * messages name them. False after an error. */
bool terni_module_list(tern_module *m);
/* Says that the tree below m has changed: m's list and its ancestors'. */
void terni_module_changed(tern_module *m);

/* Around a module's forward, whatever its form (call.c): begin takes the first input and returns the one to work on,
 * NULL after an error; end takes the (first) output, NULL after an error, and returns what goes on. Each begin is
 * followed by its end. */
tern_tensor *terni_forward_begin(tern_module *m, tern_tensor *x);
tern_tensor *terni_forward_end(tern_module *m, tern_tensor *x, tern_tensor *y);

/* Adds to m's FLOPs, if the summary is counting: for a forward whose own are not given by its first input and output.
 */
void terni_flops(tern_module *m, int64_t n);
/* Elements of a shape that a tensor has. */
int64_t terni_numel(const tern_shape *s);

/* A contiguous f32 parameter of this shape on the CPU, not initialised; NULL after an error. */
tern_tensor *terni_param_new(tern_module *m, const char *name, tern_shape shape);
/* As PyTorch initialises linear and conv2d: w uniform by kaiming_uniform of slope sqrt(5), b (may be NULL) uniform
 * within 1/sqrt(fan_in). */
bool terni_init_affine(tern_tensor *w, tern_tensor *b);

/* Text into a buffer of a fixed size, cut; always closed by a 0 if size is not 0. */
typedef struct terni_text {
    char *buf;
    size_t size, n; /* n: what was written, without the 0 */
} terni_text;
void terni_text_add(terni_text *t, const char *format, ...) TERN_PRINTF(2, 3);
/* "what 3x3": as options mean it, a 0 beyond the first repeats the one before, -1 is 0 (of a size: x's own). */
void terni_text_axes(terni_text *t, const char *what, const int64_t *v, int axes);

#endif
