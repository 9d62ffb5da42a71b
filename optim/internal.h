/* What the optimizers share. An optimizer is a list of parameters with their state, in groups, and a rule (sgd.c,
 * adam.c, ...) that updates many of them in one call: most are rows of core/update.def, for which the rule only says
 * which numbers a step has; the others are made of tensor ops. Schedules are plain functions of the step. Written
 * against public headers and core's memory door and errors. Private. */
#ifndef TERNI_OPTIM_INTERNAL_H
#define TERNI_OPTIM_INTERNAL_H

#include "door.h"
#include "tern/ops.h"
#include "tern/optim.h"

/* What is kept of a parameter: tensors like it, its f32 form, numbers (f64, 0-dim, on the CPU), its count of updates
 * (i64, 0-dim, on the CPU). */
enum {
    TERNI_SLOTS = 3,
    TERNI_SCALARS = 6,
    TERNI_NUMBERS = 9,
    TERNI_MASTER = TERNI_SLOTS,
    TERNI_SCALAR,
    TERNI_COUNT = TERNI_SCALAR + TERNI_SCALARS,
    TERNI_STATES
};

typedef struct terni_optim_param {
    char *name;
    tern_tensor *tensor; /* kept */
    int group;
    int kind;                         /* what the rule tells its parameters apart by */
    bool done;                        /* in this step */
    tern_tensor *state[TERNI_STATES]; /* kept; NULL: not made, or not there */
    const void *data;                 /* with a master: where the parameter was after the last update, */
    uint32_t version, master_version; /* and what both were then */
} terni_optim_param;

/* One update of parameters that are alike in all of this. */
typedef struct terni_moment {
    double lr, weight_decay;
    int64_t step; /* 1 at the first */
    double scalar[TERNI_SCALARS];
    int kind;
} terni_moment;

typedef struct terni_bucket {
    int n;
    tern_tensor **param, **grad, **slot[TERNI_SLOTS]; /* param: the masters where there are some */
    terni_moment now;
    double number[TERNI_NUMBERS]; /* a row's */
    tern_update_opts opts;
} terni_bucket;

typedef struct terni_rule {
    const char *type;
    const char *slot[TERNI_SLOTS];     /* PyTorch's names of the state tensors */
    const char *scalar[TERNI_SCALARS]; /* likewise; NULL: none */
    tern_update_rule row;
    /* The row's numbers; changes scalar[] to what it is after the update. */
    void (*numbers)(const tern_optim *o, terni_moment *m, double *number);
    /* In place of a row; cannot be captured. */
    bool (*update)(const tern_optim *o, terni_bucket *b);
    /* All of a step, with a closure; in place of both. */
    tern_tensor *(*solve)(tern_optim *o, tern_closure closure, void *user);
    /* State k of p at first, owned by the scope; NULL: zeros. */
    tern_tensor *(*make)(const tern_optim *o, const terni_optim_param *p, int k);
    double (*scalar_start)(const tern_optim *o, const terni_optim_param *p, int k);
    /* Has p state k? NULL: it has. */
    bool (*has)(const tern_optim *o, const terni_optim_param *p, int k);
} terni_rule;

typedef struct terni_optim_group {
    bool frozen;
    double lr_scale, weight_decay;
} terni_optim_group;

struct tern_optim {
    const terni_rule *rule;
    unsigned slots; /* bit k: this optimizer has slot k */
    union {
        tern_sgd_opts sgd;
        tern_adam_opts adam;
        tern_adamax_opts adamax;
        tern_nadam_opts nadam;
        tern_radam_opts radam;
        tern_rmsprop_opts rmsprop;
        tern_adagrad_opts adagrad;
        tern_adadelta_opts adadelta;
        tern_rprop_opts rprop;
        tern_asgd_opts asgd;
        tern_lion_opts lion;
        tern_lamb_opts lamb;
        tern_adafactor_opts adafactor;
        tern_muon_opts muon;
        tern_lbfgs_opts lbfgs;
    } opts;
    double lr, first_lr, weight_decay;
    double *momentum; /* in opts: the momentum or beta1; NULL: none */
    bool maximize, master;
    int64_t steps;
    bool keep_grad;
    tern_tensor *scale;              /* of the next step's gradients, from clipping; kept; NULL: 1 */
    tern_tensor *unscale;            /* the same, of a loss scale; scale has it in it; kept; NULL: 1 */
    double clip_value;               /* of the next step; 0: none */
    struct terni_captured *captured; /* its steps in captured graphs (captured.c) */
    terni_optim_param *params;
    int n_params;
    terni_optim_group *groups;
    int n_groups;
    tern_tensor **work; /* (3 + TERNI_SLOTS) x n_params, for buckets */

    /* The list that tern_optim_each shows (state.c); NULL until it is asked for. */
    tern_optim_state *list;
    char *text;
    int n_list;
};

/* What every constructor hands on. */
typedef struct terni_optim_made {
    const terni_rule *rule;
    unsigned slots;
    double lr, weight_decay;
    bool maximize, master;
} terni_optim_made;
/* An optimizer over m's parameters, whose options are still to be set; NULL after an error. */
tern_optim *terni_optim_new(tern_module *m, terni_optim_made made);
/* The next step multiplies gradients by `by`, and clipping before it goes by that. Returns the factor, 0-dim, on the
 * device, of the scope: NaN if a gradient is not finite; NULL after an error. */
tern_tensor *terni_optim_unscale(tern_optim *o, double by);
/* In place of a step: what was prepared for it is forgotten, and the gradients are dropped. */
void terni_optim_skip(tern_optim *o);
/* Options: zero means the default, a negative number zero. */
double terni_setting(double given, double usual);
/* The update of b by its rule's row with number[]. */
bool terni_update_row(const tern_optim *o, terni_bucket *b, tern_update_rule row);

/* ---- for rules made of tensor ops (direct.c) -----------------------------------------------------------------------
 */

/* Gradient i as the update is to see it: scaled, turned, cut; f32 or f64. */
tern_tensor *terni_gradient(const terni_bucket *b, int i);
/* param[i] = shrink param[i] - step, and what is rounded from it. */
bool terni_step(const terni_bucket *b, int i, tern_tensor *step, double shrink);
/* t, outside of autograd, in f32 if it is f16 or bf16. */
tern_tensor *terni_wide(tern_tensor *t);

/* ---- state (state.c) --------------------------------------------------------------------------------------------- */

/* Makes what state the parameter lacks, and lets state follow a parameter that was moved or cast. */
bool terni_state_ready(const tern_optim *o, terni_optim_param *p);
/* True if nothing is left for terni_state_ready to make. */
bool terni_state_made(const tern_optim *o, const terni_optim_param *p);
/* The parameter was updated: its master and it agree. */
void terni_state_agree(terni_optim_param *p);
/* The parameter's count of updates, in place; NULL if there is none. */
int64_t *terni_state_count(const tern_optim *o, const terni_optim_param *p);
/* Its numbers, from and to the state. */
void terni_state_scalars(const terni_optim_param *p, double *scalar);
void terni_state_set_scalars(const terni_optim_param *p, const double *scalar);
/* Forgets the list of tern_optim_each. */
void terni_state_unlist(tern_optim *o);

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

#endif
