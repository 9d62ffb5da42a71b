/* Learning-rate schedules: functions of the step. */
#include <math.h>

#include "internal.h"

double tern_schedule_lr(const tern_schedule *s, int64_t step) {
    if (!s) return 0;
    if (step < s->warmup) return s->lr * (double)(step + 1) / (double)s->warmup;
    const int64_t at = step - s->warmup;
    switch (s->kind) {
        case TERN_SCHEDULE_COSINE: {
            const int64_t span = s->total - s->warmup;
            const double t = span <= 0 || at >= span ? 1 : (double)at / (double)span;
            return s->min_lr + 0.5 * (s->lr - s->min_lr) * (1 + cos(3.14159265358979323846 * t));
        }
        case TERN_SCHEDULE_STEP:
            return s->lr * pow(s->gamma, s->step_size > 0 ? (double)(at / s->step_size) : 0);
        default:
            return s->lr;
    }
}

static bool sensible(const tern_schedule *s) {
    const bool known =
        s->kind == TERN_SCHEDULE_CONSTANT || s->kind == TERN_SCHEDULE_COSINE || s->kind == TERN_SCHEDULE_STEP;
    if (!known) return terni_fail(TERN_ERR_ARGUMENT, "schedule: %d is no kind of schedule", (int)s->kind);
    if (!(s->lr >= 0) || !isfinite(s->lr) || !(s->min_lr >= 0) || s->warmup < 0)
        return terni_fail(TERN_ERR_ARGUMENT, "schedule: lr %g, min_lr %g, warmup %lld; expected 0 or more", s->lr,
                          s->min_lr, (long long)s->warmup);
    if (s->kind == TERN_SCHEDULE_COSINE && s->total < s->warmup)
        return terni_fail(TERN_ERR_ARGUMENT, "schedule: a total of %lld steps is less than the warm-up of %lld",
                          (long long)s->total, (long long)s->warmup);
    if (s->kind == TERN_SCHEDULE_STEP && (s->step_size < 1 || !(s->gamma > 0)))
        return terni_fail(TERN_ERR_ARGUMENT, "schedule: step_size %lld, gamma %g; expected 1 or more, and more than 0",
                          (long long)s->step_size, s->gamma);
    return true;
}

bool tern_schedule_apply(const tern_schedule *s, tern_optim *o) {
    if (!terni_given(s, "schedule_apply", "schedule") || !terni_given(o, "schedule_apply", "optimizer")) return false;
    return sensible(s) && tern_optim_set_lr(o, tern_schedule_lr(s, tern_optim_steps(o)));
}
