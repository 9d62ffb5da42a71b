/* Learning-rate schedules. A schedule is a plain value and a function of the step, so it has no state but the
 * optimizer's own step count; only TERN_SCHEDULE_PLATEAU, which goes by a metric, keeps some in itself. The rates are
 * those of PyTorch's lr_scheduler classes, one step for each of their calls of step().
 *
 *     tern_schedule s = {.kind = TERN_SCHEDULE_COSINE, .lr = 0.1, .warmup = 500, .total = 10000};
 *     while (...) {
 *         tern_schedule_apply(&s, opt);            before each step (or each epoch, with a count of one's own)
 *         ...
 *         tern_optim_step(opt);
 *     } */
#ifndef TERN_SCHEDULE_H
#define TERN_SCHEDULE_H

#include "tern/optim.h"

#ifdef __cplusplus
extern "C" {
#endif

/* t is the step after the warm-up, T total - warmup. */
typedef enum tern_schedule_kind {
    TERN_SCHEDULE_CONSTANT = 0, /* lr; with total, lr x start_factor (1/3) for T steps, then lr: ConstantLR */
    TERN_SCHEDULE_COSINE,       /* half a cosine from lr to min_lr at T, where it stays: CosineAnnealingLR */
    TERN_SCHEDULE_STEP,         /* x gamma every step_size steps: StepLR */
    TERN_SCHEDULE_MULTI_STEP,   /* x gamma at each of n_milestones milestones: MultiStepLR */
    TERN_SCHEDULE_EXPONENTIAL,  /* x gamma each step: ExponentialLR */
    TERN_SCHEDULE_LINEAR,       /* a line from lr x start_factor (1/3) to lr x end_factor (1) at T: LinearLR */
    TERN_SCHEDULE_POLYNOMIAL,   /* lr x (1 - t / T)^power: PolynomialLR */
    TERN_SCHEDULE_RESTARTS,     /* cosines from lr to min_lr, the first of period steps, each growth times as long as
                                   the one before: CosineAnnealingWarmRestarts */
    TERN_SCHEDULE_ONE_CYCLE, /* from lr / div up to lr within rise x T, then down to lr / div / final_div: OneCycleLR */
    TERN_SCHEDULE_CYCLIC,    /* from min_lr to lr in `up` steps, and back in `down`: CyclicLR */
    TERN_SCHEDULE_PLATEAU,   /* x plateau.factor when a metric no longer gets better: ReduceLROnPlateau */
    TERN_SCHEDULE_SEQUENTIAL, /* part 0 up to milestone 0, then part 1, which starts at its step 0, and so on:
                                 SequentialLR */
    TERN_SCHEDULE_CHAINED,    /* lr x what all parts make of 1: ChainedScheduler */
    TERN_SCHEDULE_FUNCTION    /* lr x function(t, user): LambdaLR */
} tern_schedule_kind;

typedef enum tern_schedule_wave {
    TERN_WAVE_TRIANGULAR = 0,
    TERN_WAVE_TRIANGULAR2, /* each cycle half as high as the one before */
    TERN_WAVE_EXP_RANGE    /* x gamma^t */
} tern_schedule_wave;

typedef struct tern_schedule_plateau {
    double factor;    /* 0.1 if zero */
    int64_t patience; /* calls without improvement that are borne: 10 if zero, none if negative */
    double threshold; /* what counts as better: 1e-4 if zero, none if negative */
    bool absolute;    /* the threshold is a difference, not a share */
    bool highest;     /* the metric is to rise */
    int64_t cooldown; /* calls after a cut that are not counted */
    double eps;       /* smaller cuts are left out; 1e-8 if zero */
    /* State, all zero at first. */
    bool begun;
    double lr, best;
    int64_t bad, resting;
} tern_schedule_plateau;

enum { TERN_SCHEDULE_MILESTONES = 16 };

typedef struct tern_schedule {
    tern_schedule_kind kind;
    double lr;                       /* the highest rate; of parts: the whole's if zero */
    double min_lr;                   /* cosine, restarts, cyclic, plateau: the lowest */
    int64_t warmup;                  /* steps of linear rise from lr / warmup to lr, before the rest */
    int64_t total;                   /* steps in all, the warm-up included */
    int64_t step_size;               /* step */
    double gamma;                    /* step, multi-step, exponential, and cyclic with exp_range */
    double start_factor, end_factor; /* linear, constant: 1/3 and 1 if zero */
    double power;                    /* polynomial: 1 if zero */
    int64_t period, growth;          /* restarts; growth: 1 if zero */
    int64_t milestones[TERN_SCHEDULE_MILESTONES];
    int64_t n_milestones;
    double div, final_div, rise; /* one-cycle: 25, 1e4, 0.3 if zero */
    bool linear, three_phase;    /* one-cycle: lines instead of cosines; a third phase for the last fall */
    int64_t up, down;            /* cyclic: 2000 and `up` if zero */
    tern_schedule_wave wave;     /* cyclic */
    bool cycle_momentum;         /* one-cycle, cyclic: the momentum, or beta1, goes the other way, between */
    double low_momentum;         /*   0.85 (cyclic: 0.8) if zero */
    double high_momentum;        /*   0.95 (cyclic: 0.9) if zero */
    tern_schedule_plateau plateau;
    struct tern_schedule *parts; /* sequential, chained: the program's */
    int64_t n_parts;
    double (*function)(int64_t step, void *user);
    void *user;
} tern_schedule;

/* The rate for step 0, 1, ...; NaN for settings that make no sense. Sources: Loshchilov and Hutter, arXiv 1608.03983
 * (cosine, restarts); Smith, arXiv 1506.01186 (cyclic); Smith and Topin, arXiv 1708.07120 (one-cycle). */
TERN_API double tern_schedule_lr(const tern_schedule *s, int64_t step);
/* The momentum for step 0, 1, ...; NaN where s does not cycle it. */
TERN_API double tern_schedule_momentum(const tern_schedule *s, int64_t step);
/* Sets o's rate, and momentum if s cycles it, for its next step, by the steps that it has taken. Errors:
 * TERN_ERR_ARGUMENT for settings that make no sense, and for an optimizer without momentum where it is cycled. */
TERN_API bool tern_schedule_apply(const tern_schedule *s, tern_optim *o);
/* Tells a plateau schedule the metric of an epoch, which may be NaN. Errors: TERN_ERR_ARGUMENT for other kinds. */
TERN_API bool tern_schedule_metric(tern_schedule *s, double metric);

/* ---- for checkpoints --------------------------------------------------------------------------------------------- */

/* The i-th number of s, its settings and state and those of its parts ("gamma", "part1_lr"), whose name is cut to
 * `size`; false past the end. */
TERN_API bool tern_schedule_get(const tern_schedule *s, int i, char *name, size_t size, double *value);
/* Sets it, but for n_parts: the parts are the program's. Nothing is checked before the schedule is used. false past the
 * end. */
TERN_API bool tern_schedule_set(tern_schedule *s, int i, double value);

#ifdef __cplusplus
}
#endif
#endif
