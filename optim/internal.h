/* optim: optimizers and schedules, written against public headers (and core's memory door and errors). The arithmetic
 * of an update is a fused op of core; what lives here is which tensors take part, their state, and settings. */
#ifndef TERNI_OPTIM_INTERNAL_H
#define TERNI_OPTIM_INTERNAL_H

#include "door.h"
#include "tern/optim.h"
#include "tern/random.h"

enum { TERNI_SLOTS = 2 };

typedef struct terni_param {
    char *name;
    tern_tensor *tensor;
    int group;
    tern_tensor *step;              /* 0-dim i64 on the CPU: updates of this parameter, counted as PyTorch does */
    tern_tensor *slot[TERNI_SLOTS]; /* like tensor; NULL until the first step */
} terni_param;

typedef struct terni_group {
    double lr_scale, weight_decay;
} terni_group;

/* What differs between optimizers. */
typedef struct terni_rule {
    const char *type;
    const char *slots[TERNI_SLOTS]; /* PyTorch's names; NULL: not used */
    /* One fused update of n tensors of one group, dtype, device and step count (1 at the first update). */
    bool (*update)(tern_optim *o, const terni_group *g, tern_tensor *const *param, tern_tensor *const *grad,
                   tern_tensor *const *const *slot, int n, int64_t step);
} terni_rule;

struct tern_optim {
    const terni_rule *rule;
    double lr, weight_decay;
    bool keep_grad;
    int64_t steps;
    tern_sgd_opts sgd;
    tern_adam_opts adam;
    bool decoupled;
    terni_param *param;
    int n_params;
    terni_group *group;
    int n_groups;
    tern_tensor **row; /* room for one call's arrays: parameters, gradients, slots */
    bool *done;
};

/* The parts that are alike for all. NULL after an error. */
tern_optim *terni_optim_new(const terni_rule *rule, tern_module *m, double lr, double weight_decay);
/* Makes the state of parameter i. */
bool terni_optim_state(tern_optim *o, int i);

#endif
