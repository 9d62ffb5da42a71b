/* Optimizers and learning-rate schedules. An optimizer keeps references to a module's parameters, so either may be
 * freed first. */
#ifndef TERN_OPTIM_H
#define TERN_OPTIM_H

#include "tern/module.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_optim tern_optim;

typedef struct tern_sgd_opts {
    double momentum;
    double dampening;
    double weight_decay;
    bool nesterov; /* needs momentum > 0 and no dampening */
} tern_sgd_opts;
typedef struct tern_adam_opts {
    double beta1;        /* 0.9 if zero; here and below, an explicit zero is any negative number */
    double beta2;        /* 0.999 if zero */
    double eps;          /* 1e-8 if zero */
    double weight_decay; /* adamw: 0.01 if zero; adam: none if zero */
} tern_adam_opts;
typedef tern_adam_opts tern_adamw_opts;

/* Optimizers over all parameters of m that ask for gradients now (a tied one once, by its first name); state is made at
 * a parameter's first update, in its dtype and on its device, and follows it if it is moved or cast. To be given back
 * with tern_optim_free. Errors: TERN_ERR_ARGUMENT, also if there is no such parameter. */
TERN_API tern_optim *tern_sgd_new(tern_module *m, double lr, tern_sgd_opts opts);
TERN_API tern_optim *tern_adam_new(tern_module *m, double lr, tern_adam_opts opts);
TERN_API tern_optim *tern_adamw_new(tern_module *m, double lr, tern_adamw_opts opts);
TERN_API void tern_optim_free(tern_optim *o);

/* ---- parameter groups: settings that differ by parameter --------------------------------------------------------- */

typedef struct tern_group_opts {
    double lr_scale;     /* the group's rate is lr x lr_scale; 1 if zero; freezes the group if negative */
    double weight_decay; /* the optimizer's own if zero, none if negative */
} tern_group_opts;
/* Moves the parameters whose full name matches a shell pattern ("*.bias", as in fnmatch) into a new group, before the
 * first step. Returns its number (1 and up), or -1: TERN_ERR_ARGUMENT if none matches. */
TERN_API int tern_optim_group(tern_optim *o, const char *pattern, tern_group_opts opts);
TERN_API int tern_optim_groups(const tern_optim *o);
/* Which group a parameter is in, by full name; -1 if it is not there (no error). */
TERN_API int tern_optim_group_of(const tern_optim *o, const char *name);

/* ---- steps ------------------------------------------------------------------------------------------------------- */

/* Updates every parameter that has a gradient, then drops the gradients (unless keep_grad was set). A parameter without
 * one is left alone, and its momentum, moments and count of updates with it: Adam's bias correction, and the start of
 * SGD's momentum, go by that parameter's own count, as in PyTorch. While an error is pending nothing changes and the
 * result is false; after TERN_ERR_MEMORY some parameters may have been updated. */
/* Under tern_graph_capture_begin the step counts, and takes its rate, at each replay; the state has to be there, so the
 * first step cannot be captured (TERN_ERR_UNSUPPORTED). */
TERN_API bool tern_optim_step(tern_optim *o);
TERN_API void tern_optim_zero_grad(tern_optim *o);
TERN_API void tern_optim_keep_grad(tern_optim *o, bool keep);
/* Lets the next step scale the gradients of all parameters that are not frozen so that their Euclidean norm is at most
 * max_norm: this call only reads the gradients, the step multiplies by the factor as it reads them, and they themselves
 * stay as they are. So call it between the last backward pass and the step; of several calls the last counts, and
 * tern_optim_zero_grad forgets it. A norm that is not finite shows in the parameters as NaN. Returns the norm, 0-dim on
 * the parameters' device (no waiting); NULL on errors. Source: Pascanu et al., arXiv 1211.5063. */
TERN_API tern_tensor *tern_optim_clip_norm(tern_optim *o, double max_norm);
TERN_API double tern_optim_lr(const tern_optim *o);
TERN_API bool tern_optim_set_lr(tern_optim *o, double lr);
/* Steps taken: calls of tern_optim_step that succeeded. */
TERN_API int64_t tern_optim_steps(const tern_optim *o);
/* "adamw". */
TERN_API const char *tern_optim_type(const tern_optim *o);

/* ---- state, for checkpoints -------------------------------------------------------------------------------------- */

typedef struct tern_optim_state {
    const char *name; /* "conv1.weight/exp_avg": the parameter's full name and PyTorch's name of the slot; owned by the
                         optimizer until its groups change */
    tern_tensor *tensor;
} tern_optim_state;
/* The i-th state tensor; makes all that are missing (zeros) first. Slots are momentum_buffer (SGD with momentum),
 * exp_avg and exp_avg_sq (Adam, AdamW), each followed by step: the parameter's count of updates, i64, 0-dim, on the
 * CPU. Frozen parameters have none. false past the end or on errors. */
TERN_API bool tern_optim_each(tern_optim *o, int i, tern_optim_state *out);
/* Sets the count of steps taken, which schedules go by, after the state tensors were filled. Errors: TERN_ERR_ARGUMENT
 * for a negative one. */
TERN_API bool tern_optim_set_steps(tern_optim *o, int64_t steps);

/* ---- schedules --------------------------------------------------------------------------------------------------- */
/* A plain value and a function of the step, so there is no state but the optimizer's own step count. */

typedef enum tern_schedule_kind {
    TERN_SCHEDULE_CONSTANT = 0,
    TERN_SCHEDULE_COSINE,
    TERN_SCHEDULE_STEP
} tern_schedule_kind;
typedef struct tern_schedule {
    tern_schedule_kind kind;
    double lr;         /* the highest rate */
    double min_lr;     /* cosine: where it ends */
    int64_t warmup;    /* steps of linear rise from lr / warmup to lr, before the rest */
    int64_t total;     /* cosine: steps in all, the warm-up included; the rate stays at min_lr after them */
    int64_t step_size; /* step: the rate is multiplied by gamma every step_size steps after the warm-up */
    double gamma;
} tern_schedule;
/* The rate for step 0, 1, ...; NaN for settings that make no sense. Source of the cosine: Loshchilov and Hutter, arXiv
 * 1608.03983. */
TERN_API double tern_schedule_lr(const tern_schedule *s, int64_t step);
/* Sets o's rate for its next step, by the steps that it has taken. Errors: TERN_ERR_ARGUMENT for settings that make no
 * sense. */
TERN_API bool tern_schedule_apply(const tern_schedule *s, tern_optim *o);

#ifdef __cplusplus
}
#endif
#endif
