/* Optimizers; tern/schedule.h has their learning rates. An optimizer keeps references to a module's parameters, so
 * either may be freed first. */
#ifndef TERN_OPTIM_H
#define TERN_OPTIM_H

#include "tern/module.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_optim tern_optim;

/* ---- optimizers -------------------------------------------------------------------------------------------------- *
 * Over all parameters of m that ask for gradients now (a tied one once, by its first name). State is made at a
 * parameter's first update, in its dtype and on its device, and follows it if it is moved or cast. To be given back
 * with tern_optim_free. Errors: TERN_ERR_ARGUMENT, also if there is no such parameter.
 *
 * In all options zero means the default; where that is not zero, an explicit zero is any negative number. In all:
 *   weight_decay    none by default. It is added to the gradient, x the parameter, as PyTorch does it; with
 * `decoupled`, and in AdamW, Lion, Adafactor and Muon, the parameter itself shrinks by lr x weight_decay maximize
 * climbs instead of descending master_weights  f16 and bf16 parameters get a master in f32 (state "master_weight"),
 * which is updated in their place and rounded into them; their other state is f32 as well. A parameter that the program
 * changes in place is taken over by its master at the next step outside of a captured graph. All agree with PyTorch's
 * optimizers of the same name; Lion has its paper's form. */

typedef struct tern_sgd_opts {
    double momentum;
    double dampening;
    double weight_decay;
    bool nesterov; /* needs momentum > 0 and no dampening */
    bool maximize, master_weights;
} tern_sgd_opts;
typedef struct tern_adam_opts {
    double beta1;        /* 0.9 if zero */
    double beta2;        /* 0.999 if zero */
    double eps;          /* 1e-8 if zero */
    double weight_decay; /* adamw: 0.01 if zero */
    bool amsgrad;        /* by the largest second moment so far */
    bool maximize, master_weights;
} tern_adam_opts;
typedef tern_adam_opts tern_adamw_opts;
typedef struct tern_adamax_opts {
    double beta1, beta2, eps; /* 0.9, 0.999, 1e-8 if zero */
    double weight_decay;
    bool maximize, master_weights;
} tern_adamax_opts;
typedef struct tern_nadam_opts {
    double beta1, beta2, eps; /* 0.9, 0.999, 1e-8 if zero */
    double weight_decay;
    double momentum_decay; /* 4e-3 if zero */
    bool decoupled;
    bool maximize, master_weights;
} tern_nadam_opts;
typedef struct tern_radam_opts {
    double beta1, beta2, eps; /* 0.9, 0.999, 1e-8 if zero */
    double weight_decay;
    bool decoupled;
    bool maximize, master_weights;
} tern_radam_opts;
typedef struct tern_rmsprop_opts {
    double alpha; /* 0.99 if zero */
    double eps;   /* 1e-8 if zero */
    double weight_decay;
    double momentum;
    bool centered; /* by the variance instead of the mean square */
    bool maximize, master_weights;
} tern_rmsprop_opts;
typedef struct tern_adagrad_opts {
    double lr_decay;
    double weight_decay;
    double initial_accumulator;
    double eps; /* 1e-10 if zero */
    bool maximize, master_weights;
} tern_adagrad_opts;
typedef struct tern_adadelta_opts {
    double rho; /* 0.9 if zero */
    double eps; /* 1e-6 if zero */
    double weight_decay;
    bool maximize, master_weights;
} tern_adadelta_opts;
typedef struct tern_rprop_opts {
    double shorter, longer; /* what a step is multiplied by: 0.5 and 1.2 if zero */
    double least, most;     /* sizes of a step: 1e-6 and 50 if zero */
    bool maximize, master_weights;
} tern_rprop_opts;
typedef struct tern_asgd_opts {
    double lambd, alpha, t0; /* 1e-4, 0.75, 1e6 if zero */
    double weight_decay;
    bool maximize, master_weights;
} tern_asgd_opts;
typedef struct tern_lion_opts {
    double beta1, beta2; /* 0.9, 0.99 if zero */
    double weight_decay;
    bool maximize, master_weights;
} tern_lion_opts;

typedef struct tern_lamb_opts {
    double beta1, beta2, eps; /* 0.9, 0.999, 1e-6 if zero */
    double weight_decay;      /* added to Adam's direction */
    bool maximize, master_weights;
} tern_lamb_opts;
typedef struct tern_adafactor_opts {
    /* PyTorch's form: the rate is max(eps2, RMS(p)) min(lr, 1 / sqrt(t)); the estimate of a matrix is cut from below at
     * eps1^2, and what it is divided by at eps1. The paper's: the same rate, and eps1 is added to the squares. */
    bool paper;
    bool fixed_step;    /* with paper: the rate is lr */
    double beta2_decay; /* -0.8 if zero: 1 - beta2 is t^beta2_decay */
    double eps1;        /* the dtype's epsilon, with paper 1e-30, if zero */
    double eps2;        /* 1e-3 if zero */
    double clip;        /* updates have at most this RMS; 1 if zero */
    double weight_decay;
    bool maximize, master_weights;
} tern_adafactor_opts;
typedef enum tern_muon_adjust {
    TERN_MUON_ORIGINAL = 0, /* lr x sqrt(max(1, rows / columns)) */
    TERN_MUON_MATCH_RMS,    /* lr x 0.2 sqrt(max(rows, columns)): AdamW's rates fit */
    TERN_MUON_SPECTRAL      /* lr x sqrt(rows / columns) */
} tern_muon_adjust;
typedef struct tern_muon_opts {
    double momentum;     /* 0.95 if zero */
    bool plain;          /* not Nesterov's */
    double weight_decay; /* 0.1 if zero */
    tern_muon_adjust adjust;
    int ns_steps;            /* 5 if zero */
    double ns_a, ns_b, ns_c; /* 3.4445, -4.7750, 2.0315 if all are zero */
    double eps;              /* 1e-7 if zero */
    bool bf16;               /* iterates in bf16, as PyTorch does; else in f32 or f64 */
    /* What is no matrix, and what has a name like the shell pattern `adamw`, goes by AdamW with this rate (which
     * follows lr); with none, that is an error. */
    double adamw_lr;
    const char *adamw;              /* read at making only */
    double beta1, beta2, adamw_eps; /* 0.9, 0.999, 1e-8 if zero */
    bool maximize, master_weights;
} tern_muon_opts;
typedef struct tern_lbfgs_opts {
    int max_iter;            /* iterations of a step: 20 if zero */
    int max_eval;            /* calls of the closure in a step: max_iter x 5 / 4 if zero */
    double tolerance_grad;   /* the largest element of the gradient that is optimal: 1e-7 if zero */
    double tolerance_change; /* 1e-9 if zero */
    int history;             /* pairs that are remembered, room for which is made at once: 100 if zero */
    bool strong_wolfe;       /* a line search by the strong Wolfe conditions; else steps of lr */
    bool maximize;
} tern_lbfgs_opts;

TERN_API tern_optim *tern_sgd_new(tern_module *m, double lr, tern_sgd_opts opts);
TERN_API tern_optim *tern_adam_new(tern_module *m, double lr, tern_adam_opts opts);
TERN_API tern_optim *tern_adamw_new(tern_module *m, double lr, tern_adamw_opts opts);
/* Source: Kingma and Ba, arXiv 1412.6980, section 7.1. */
TERN_API tern_optim *tern_adamax_new(tern_module *m, double lr, tern_adamax_opts opts);
/* Source: Dozat, ICLR workshop 2016. */
TERN_API tern_optim *tern_nadam_new(tern_module *m, double lr, tern_nadam_opts opts);
/* Source: Liu et al., arXiv 1908.03265. */
TERN_API tern_optim *tern_radam_new(tern_module *m, double lr, tern_radam_opts opts);
/* Source: Hinton, lecture 6e; centred: Graves, arXiv 1308.0850. */
TERN_API tern_optim *tern_rmsprop_new(tern_module *m, double lr, tern_rmsprop_opts opts);
/* Source: Duchi et al., JMLR 12 (2011). */
TERN_API tern_optim *tern_adagrad_new(tern_module *m, double lr, tern_adagrad_opts opts);
/* Usually with a rate of 1. Source: Zeiler, arXiv 1212.5701. */
TERN_API tern_optim *tern_adadelta_new(tern_module *m, double lr, tern_adadelta_opts opts);
/* For whole batches. lr is the size of the first step, and no more. Source: Riedmiller and Braun, ICNN 1993. */
TERN_API tern_optim *tern_rprop_new(tern_module *m, double lr, tern_rprop_opts opts);
/* The averages are state ("ax"). Source: Polyak and Juditsky, SIAM J. Control Optim. 30 (1992). */
TERN_API tern_optim *tern_asgd_new(tern_module *m, double lr, tern_asgd_opts opts);
/* Source: Chen et al., arXiv 2302.06675. */
TERN_API tern_optim *tern_lion_new(tern_module *m, double lr, tern_lion_opts opts);
/* Source: You et al., arXiv 1904.00962, algorithm 2. */
TERN_API tern_optim *tern_lamb_new(tern_module *m, double lr, tern_lamb_opts opts);
/* Errors: TERN_ERR_ARGUMENT, also for fixed_step without paper. Source: Shazeer and Stern, arXiv 1804.04235. */
TERN_API tern_optim *tern_adafactor_new(tern_module *m, double lr, tern_adafactor_opts opts);
/* Errors: TERN_ERR_ARGUMENT, also for a parameter that is no matrix without adamw_lr. Source: K. Jordan et al., Muon:
 * an optimizer for hidden layers in neural networks (2024). */
TERN_API tern_optim *tern_muon_new(tern_module *m, double lr, tern_muon_opts opts);
/* For whole batches; its steps need a closure, tern_optim_step_with, and wait for the device. One group; all parameters
 * of one dtype, f32 or f64, on one device. Its state is the first parameter's. Usually with a rate of 1. Source:
 * Nocedal and Wright, Numerical Optimization (2006), algorithms 7.4, 3.5 and 3.6, in PyTorch's form. */
TERN_API tern_optim *tern_lbfgs_new(tern_module *m, double lr, tern_lbfgs_opts opts);
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

/* Gradients accumulate over backward passes until a step, so a large batch can be taken in k parts: k backward passes
 * of loss / k, then one step.
 *
 * Updates every parameter that has a gradient, then drops the gradients (unless keep_grad was set). A parameter without
 * one is left alone, and its momentum, moments and count of updates with it: Adam's bias correction, and the start of
 * SGD's momentum, go by that parameter's own count, as in PyTorch. While an error is pending nothing changes and the
 * result is false; after TERN_ERR_MEMORY some parameters may have been updated.
 *
 * Under tern_graph_capture_begin the step counts, and takes its rate and momentum, at each replay; the state has to be
 * there, so the first step cannot be captured (TERN_ERR_UNSUPPORTED), nor can optimizers that are not one kernel. */
TERN_API bool tern_optim_step(tern_optim *o);
/* Computes the loss and its gradients (a backward pass; the gradients are 0 before), and returns the loss. */
typedef tern_tensor *(*tern_closure)(void *user);
/* Drops the gradients, calls closure(user), and takes a step. Returns the loss; NULL on errors. */
TERN_API tern_tensor *tern_optim_step_with(tern_optim *o, tern_closure closure, void *user);
TERN_API void tern_optim_zero_grad(tern_optim *o);
TERN_API void tern_optim_keep_grad(tern_optim *o, bool keep);
/* Lets the next step scale the gradients of all parameters that are not frozen so that their Euclidean norm is at most
 * max_norm: this call only reads the gradients, the step multiplies by the factor as it reads them, and they themselves
 * stay as they are. So call it between the last backward pass and the step; of several calls the last counts, and
 * tern_optim_zero_grad forgets it. A norm that is not finite shows in the parameters as NaN. Returns the norm, 0-dim on
 * the parameters' device (no waiting); NULL on errors. Source: Pascanu et al., arXiv 1211.5063. */
TERN_API tern_tensor *tern_optim_clip_norm(tern_optim *o, double max_norm);
/* Lets the next step cut each element of the gradients, after the factor above, to [-value, value]; forgotten as that
 * is. Errors: TERN_ERR_ARGUMENT. */
TERN_API bool tern_optim_clip_value(tern_optim *o, double value);
TERN_API double tern_optim_lr(const tern_optim *o);
TERN_API bool tern_optim_set_lr(tern_optim *o, double lr);
/* The momentum, or beta1, as schedules change it; 0 where there is neither (SGD and RMSprop without, Rprop, ...).
 * Errors: TERN_ERR_ARGUMENT where there is neither, and for what is not within [0, 1). */
TERN_API bool tern_optim_has_momentum(const tern_optim *o);
TERN_API double tern_optim_momentum(const tern_optim *o);
TERN_API bool tern_optim_set_momentum(tern_optim *o, double momentum);
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
/* The i-th state tensor; makes all that are missing, as they are before a first update. Slots have PyTorch's names
 * (momentum_buffer; exp_avg, exp_avg_sq; ...), then come master_weight, numbers that PyTorch keeps (mu_product; eta,
 * mu), f64, and step: the parameter's count of updates, i64, both 0-dim, on the CPU. Frozen parameters have none, nor
 * has SGD without momentum. false past the end or on errors. */
TERN_API bool tern_optim_each(tern_optim *o, int i, tern_optim_state *out);
/* Sets the count of steps taken, which schedules go by, after the state tensors were filled. Errors: TERN_ERR_ARGUMENT
 * for a negative one. */
TERN_API bool tern_optim_set_steps(tern_optim *o, int64_t steps);

#ifdef __cplusplus
}
#endif
#endif
