/* Learning rates as functions of the step. */
#include <math.h>

#include "internal.h"

/* What is wrong with s; NULL if nothing is. */
static const char *fault(const tern_schedule *s) {
    if (!(s->lr >= 0 && isfinite(s->lr))) return "lr is no number of 0 or more";
    if (s->warmup < 0) return "warmup is negative";
    switch (s->kind) {
        case TERN_SCHEDULE_CONSTANT:
            return NULL;
        case TERN_SCHEDULE_COSINE:
            if (!(s->min_lr >= 0 && s->min_lr <= s->lr)) return "min_lr is not within 0 and lr";
            return s->total > s->warmup ? NULL : "total is not above warmup";
        case TERN_SCHEDULE_STEP:
            if (s->step_size < 1) return "step_size is below 1";
            return s->gamma >= 0 && isfinite(s->gamma) ? NULL : "gamma is no number of 0 or more";
    }
    return "there is no such kind";
}

double tern_schedule_lr(const tern_schedule *s, int64_t step) {
    if (!s || fault(s)) return (double)NAN;
    if (step < 0) step = 0;
    if (step < s->warmup) return s->lr * (double)(step + 1) / (double)s->warmup;
    const double after = (double)(step - s->warmup);
    switch (s->kind) {
        case TERN_SCHEDULE_COSINE: {
            if (step >= s->total) return s->min_lr;
            const double pi = 3.14159265358979323846, done = after / (double)(s->total - s->warmup);
            return s->min_lr + (s->lr - s->min_lr) * 0.5 * (1 + cos(pi * done));
        }
        case TERN_SCHEDULE_STEP:
            return s->lr * pow(s->gamma, floor(after / (double)s->step_size));
        default:
            return s->lr;
    }
}

bool tern_schedule_apply(const tern_schedule *s, tern_optim *o) {
    if (!terni_given(s, "schedule_apply", "s") || !terni_given(o, "schedule_apply", "o")) return false;
    const char *wrong = fault(s);
    if (wrong) return terni_fail(TERN_ERR_ARGUMENT, "schedule_apply: %s", wrong);
    return tern_optim_set_lr(o, tern_schedule_lr(s, tern_optim_steps(o)));
}
