/* What the optimizers share. An optimizer is a list of parameters with their state, in groups, and a rule (sgd.c,
 * adam.c) that updates many of them in one call. Schedules are plain functions of the step. Written against public
 * headers and core's memory door and errors. Private. */
#ifndef TERNI_OPTIM_INTERNAL_H
#define TERNI_OPTIM_INTERNAL_H

#include "door.h"
#include "tern/optim.h"

enum { TERNI_MAX_SLOTS = 2 };

/* Parameters that are alike in all that a fused update has once: group, dtype, device, updates so far. */
typedef struct terni_bucket {
    int n;
    tern_tensor **param, **grad, **slot[TERNI_MAX_SLOTS];
    double lr, weight_decay;
    int64_t step;               /* of this update: 1 at the first */
    tern_tensor *scale, *rates; /* of the gradients; for a captured update what the rule's rates give; or NULL */
} terni_bucket;

typedef struct terni_rule {
    const char *type;
    const char *slot[TERNI_MAX_SLOTS]; /* PyTorch's names of the state tensors, which are like the parameter */
    bool (*update)(const tern_optim *o, const terni_bucket *b);
    int n_rates; /* numbers of an update that differ from step to step */
    void (*rates)(const tern_optim *o, double lr, int64_t step, double *rates);
} terni_rule;

typedef struct terni_optim_param {
    char *name;
    tern_tensor *tensor; /* kept */
    int group;
    bool done;                               /* in this step */
    tern_tensor *state[TERNI_MAX_SLOTS + 1]; /* slots, then the count of updates (i64, 0-dim, on the CPU); kept */
} terni_optim_param;

typedef struct terni_optim_group {
    bool frozen;
    double lr_scale, weight_decay;
} terni_optim_group;

struct tern_optim {
    const terni_rule *rule;
    int n_slots; /* of this optimizer: SGD without momentum has none; with slots, a parameter counts its updates too */
    union {
        tern_sgd_opts sgd;
        tern_adam_opts adam;
    } opts;
    double lr, weight_decay;
    int64_t steps;
    bool keep_grad;
    tern_tensor *scale;              /* of the next step's gradients, from clipping; kept; NULL: 1 */
    struct terni_captured *captured; /* its steps in captured graphs (captured.c) */
    terni_optim_param *params;
    int n_params;
    terni_optim_group *groups;
    int n_groups;
    tern_tensor **work; /* (2 + TERNI_MAX_SLOTS) x n_params, for buckets */

    /* The list that tern_optim_each shows (state.c); NULL until it is asked for. */
    tern_optim_state *list;
    char *text;
    int n_list;
};

/* An optimizer over m's parameters, without rule; NULL after an error. op is the function's name for messages. */
tern_optim *terni_optim_new(tern_module *m, const char *op, double lr, double weight_decay);
/* Makes what state the parameter lacks, and lets state follow a parameter that was moved or cast. */
bool terni_state_ready(const tern_optim *o, terni_optim_param *p);
/* The parameter's count of updates, in place; NULL if there is none. */
int64_t *terni_state_count(const tern_optim *o, const terni_optim_param *p);
/* ---- steps in captured graphs (captured.c) ----------------------------------------------------------------------- */

typedef struct terni_captured terni_captured;
/* A step under capture begins; NULL after an error. It belongs to the graph. */
terni_captured *terni_captured_new(tern_optim *o);
/* Takes a bucket, of parameters of this group, into the step, and gives it rates. */
bool terni_captured_add(terni_captured *c, int group, terni_bucket *b);
/* params[i] is updated with the bucket added last. */
void terni_captured_param(terni_captured *c, int i);
/* The optimizer is being freed. */
void terni_captured_orphan(tern_optim *o);

/* Forgets the list of tern_optim_each. */
void terni_state_unlist(tern_optim *o);

#endif
