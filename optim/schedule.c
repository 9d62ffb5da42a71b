/* Learning rates as functions of the step. */
#include "tern/schedule.h"

#include <math.h>

#include "internal.h"

enum { DEEPEST = 4 }; /* parts within parts */

static double usual(double given, double otherwise) { return given > 0 ? given : otherwise; }

/* ---- one kind each: the rate at step t after the warm-up, for T steps ----------------------------------------------
 */

static double cosine(double high, double low, double done) {
    const double pi = 3.14159265358979323846;
    return low + (high - low) * 0.5 * (1 + cos(pi * done));
}

static double restarts(const tern_schedule *s, double lr, int64_t step) {
    double t = (double)step, length = (double)s->period;
    if (s->growth > 1)
        for (; t >= length; length *= (double)s->growth) t -= length;
    return cosine(lr, s->min_lr, fmod(t, length) / length);
}

/* Between a, b, c, [a,] d at the ends of the phases of a cycle. */
static double one_cycle(const tern_schedule *s, double t, double length, double low, double high, double last) {
    const double rise = usual(s->rise, 0.3) * length;
    const double end[] = {0, rise - 1, s->three_phase ? 2 * rise - 2 : length - 1, length - 1};
    const double value[] = {low, high, s->three_phase ? low : last, last};
    int k = 1;
    while (k < (s->three_phase ? 3 : 2) && t > end[k]) k++;
    const double done = end[k] > end[k - 1] ? fmin(1, (t - end[k - 1]) / (end[k] - end[k - 1])) : 1;
    return s->linear ? value[k - 1] + (value[k] - value[k - 1]) * done : cosine(value[k - 1], value[k], done);
}

/* How far up the wave is: 0 to 1. */
static double wave(const tern_schedule *s, double t) {
    const double up = s->up > 0 ? (double)s->up : 2000, down = s->down > 0 ? (double)s->down : up;
    const double ratio = up / (up + down), cycle = floor(1 + t / (up + down)), x = 1 + t / (up + down) - cycle;
    const double height = x <= ratio ? x / ratio : (x - 1) / (ratio - 1);
    switch (s->wave) {
        case TERN_WAVE_TRIANGULAR2:
            return height / pow(2, cycle - 1);
        case TERN_WAVE_EXP_RANGE:
            return height * pow(s->gamma, t);
        default:
            return height;
    }
}

static int64_t passed(const tern_schedule *s, int64_t t) {
    int64_t n = 0;
    while (n < s->n_milestones && s->milestones[n] <= t) n++;
    return n;
}

static double rate(const tern_schedule *s, double lr, int64_t step);

static double sequential(const tern_schedule *s, double lr, int64_t t) {
    const int64_t k = passed(s, t);
    return rate(&s->parts[k], lr, k ? t - s->milestones[k - 1] : t);
}

static double chained(const tern_schedule *s, double lr, int64_t t) {
    for (int64_t k = 0; k < s->n_parts; k++) {
        tern_schedule part = s->parts[k];
        part.lr = 1;
        lr *= rate(&part, 1, t);
    }
    return lr;
}

/* After the warm-up. */
static double rest(const tern_schedule *s, double lr, int64_t step) {
    const double t = (double)step, length = (double)(s->total - s->warmup), done = fmin(1, t / length);
    switch (s->kind) {
        case TERN_SCHEDULE_COSINE:
            return step >= s->total - s->warmup ? s->min_lr : cosine(lr, s->min_lr, done);
        case TERN_SCHEDULE_STEP:
            return lr * pow(s->gamma, floor(t / (double)s->step_size));
        case TERN_SCHEDULE_MULTI_STEP:
            return lr * pow(s->gamma, (double)passed(s, step));
        case TERN_SCHEDULE_EXPONENTIAL:
            return lr * pow(s->gamma, t);
        case TERN_SCHEDULE_LINEAR: {
            const double from = usual(s->start_factor, 1.0 / 3), to = terni_setting(s->end_factor, 1);
            return lr * (from + (to - from) * done);
        }
        case TERN_SCHEDULE_POLYNOMIAL:
            return lr * pow(1 - done, usual(s->power, 1));
        case TERN_SCHEDULE_RESTARTS:
            return restarts(s, lr, step);
        case TERN_SCHEDULE_ONE_CYCLE: {
            const double low = lr / usual(s->div, 25);
            return one_cycle(s, t, length, low, lr, low / usual(s->final_div, 1e4));
        }
        case TERN_SCHEDULE_CYCLIC:
            return s->min_lr + (lr - s->min_lr) * wave(s, t);
        case TERN_SCHEDULE_PLATEAU:
            return s->plateau.begun ? s->plateau.lr : lr;
        case TERN_SCHEDULE_SEQUENTIAL:
            return sequential(s, lr, step);
        case TERN_SCHEDULE_CHAINED:
            return chained(s, lr, step);
        case TERN_SCHEDULE_FUNCTION:
            return lr * s->function(step, s->user);
        case TERN_SCHEDULE_CONSTANT:
            break;
    }
    return s->total > 0 && done < 1 ? lr * usual(s->start_factor, 1.0 / 3) : lr;
}

/* lr: the whole's. */
static double rate(const tern_schedule *s, double lr, int64_t step) {
    if (s->lr > 0) lr = s->lr;
    return step < s->warmup ? lr * (double)(step + 1) / (double)s->warmup : rest(s, lr, step - s->warmup);
}

/* ---- what makes no sense ------------------------------------------------------------------------------------------
 */

static const char *fault_of_parts(const tern_schedule *s, int depth);

static bool positive(double v) { return v > 0 && isfinite(v); }

static const char *fault_of_kind(const tern_schedule *s, int depth) {
    switch (s->kind) {
        case TERN_SCHEDULE_CONSTANT:
        case TERN_SCHEDULE_PLATEAU:
            return s->plateau.factor < 1 ? NULL : "plateau.factor is not below 1";
        case TERN_SCHEDULE_STEP:
            if (s->step_size < 1) return "step_size is below 1";
            return s->gamma >= 0 && isfinite(s->gamma) ? NULL : "gamma is no number of 0 or more";
        case TERN_SCHEDULE_MULTI_STEP:
        case TERN_SCHEDULE_EXPONENTIAL:
            return s->gamma >= 0 && isfinite(s->gamma) ? NULL : "gamma is no number of 0 or more";
        case TERN_SCHEDULE_COSINE:
        case TERN_SCHEDULE_LINEAR:
        case TERN_SCHEDULE_POLYNOMIAL:
            return s->total > s->warmup ? NULL : "total is not above warmup";
        case TERN_SCHEDULE_RESTARTS:
            return s->period >= 1 && s->growth >= 0 ? NULL : "period is below 1, or growth negative";
        case TERN_SCHEDULE_ONE_CYCLE:
            if (!(s->rise < 1)) return "rise is not below 1";
            return s->total > s->warmup + 1 ? NULL : "total is not 2 or more above warmup";
        case TERN_SCHEDULE_CYCLIC:
            if (s->wave == TERN_WAVE_EXP_RANGE && !positive(s->gamma)) return "gamma is not above 0";
            return s->wave >= TERN_WAVE_TRIANGULAR && s->wave <= TERN_WAVE_EXP_RANGE ? NULL : "there is no such wave";
        case TERN_SCHEDULE_SEQUENTIAL:
        case TERN_SCHEDULE_CHAINED:
            return fault_of_parts(s, depth);
        case TERN_SCHEDULE_FUNCTION:
            return s->function ? NULL : "function is NULL";
    }
    return "there is no such kind";
}

/* What is wrong with s; NULL if nothing is. lr: the whole's. */
static const char *fault(const tern_schedule *s, double lr, int depth) {
    if (s->lr > 0 || s->lr != s->lr) lr = s->lr;
    if (!(s->lr >= 0 && isfinite(lr))) return "lr is no number of 0 or more";
    if (!(s->min_lr >= 0 && s->min_lr <= lr)) return "min_lr is not within 0 and lr";
    if (s->warmup < 0) return "warmup is negative";
    if (s->n_milestones < 0 || s->n_milestones > TERN_SCHEDULE_MILESTONES) return "there are too many milestones";
    for (int64_t k = 1; k < s->n_milestones; k++)
        if (s->milestones[k] < s->milestones[k - 1]) return "the milestones do not rise";
    if (s->cycle_momentum && !(s->low_momentum < 1 && s->high_momentum < 1)) return "a momentum is not below 1";
    return fault_of_kind(s, depth);
}

static const char *fault_of_parts(const tern_schedule *s, int depth) {
    if (depth == DEEPEST) return "the parts have parts too deep";
    if (!s->parts || s->n_parts < 1) return "there are no parts";
    const bool chain = s->kind == TERN_SCHEDULE_CHAINED;
    if (!chain && s->n_parts != s->n_milestones + 1) return "there is not one part more than milestones";
    for (int64_t k = 0; k < s->n_parts; k++) {
        const tern_schedule *part = &s->parts[k];
        if (chain && (part->min_lr > 0 || part->kind == TERN_SCHEDULE_PLATEAU))
            return "a chained part has a min_lr, or is a plateau";
        const char *wrong = fault(part, chain ? 1 : s->lr, depth + 1);
        if (wrong) return wrong;
    }
    return NULL;
}

/* ---- the public side --------------------------------------------------------------------------------------------- */

double tern_schedule_lr(const tern_schedule *s, int64_t step) {
    return !s || fault(s, 0, 0) ? (double)NAN : rate(s, 0, step > 0 ? step : 0);
}

double tern_schedule_momentum(const tern_schedule *s, int64_t step) {
    if (!s || fault(s, 0, 0)) return (double)NAN;
    if (s->kind == TERN_SCHEDULE_SEQUENTIAL) {
        const int64_t t = step > s->warmup ? step - s->warmup : 0, k = passed(s, t);
        return tern_schedule_momentum(&s->parts[k], k ? t - s->milestones[k - 1] : t);
    }
    const bool one = s->kind == TERN_SCHEDULE_ONE_CYCLE;
    if (!s->cycle_momentum || (!one && s->kind != TERN_SCHEDULE_CYCLIC)) return (double)NAN;
    const double low = terni_setting(s->low_momentum, one ? 0.85 : 0.8);
    const double high = terni_setting(s->high_momentum, one ? 0.95 : 0.9);
    const int64_t t = step > s->warmup ? step - s->warmup : 0;
    if (one) return one_cycle(s, (double)t, (double)(s->total - s->warmup), high, low, high);
    return high - (high - low) * wave(s, (double)t);
}

bool tern_schedule_apply(const tern_schedule *s, tern_optim *o) {
    if (!terni_given(s, "schedule_apply", "s") || !terni_given(o, "schedule_apply", "o")) return false;
    const char *wrong = fault(s, 0, 0);
    if (wrong) return terni_fail(TERN_ERR_ARGUMENT, "schedule_apply: %s", wrong);
    const double momentum = tern_schedule_momentum(s, tern_optim_steps(o));
    if (momentum == momentum && !tern_optim_set_momentum(o, momentum)) return false;
    return tern_optim_set_lr(o, tern_schedule_lr(s, tern_optim_steps(o)));
}

static bool better(const tern_schedule_plateau *p, double metric) {
    const double margin = terni_setting(p->threshold, 1e-4);
    if (p->absolute) return p->highest ? metric > p->best + margin : metric < p->best - margin;
    return p->highest ? metric > p->best * (1 + margin) : metric < p->best * (1 - margin);
}

bool tern_schedule_metric(tern_schedule *s, double metric) {
    if (!terni_given(s, "schedule_metric", "s")) return false;
    const char *wrong = fault(s, s->lr, 0);
    if (wrong || s->kind != TERN_SCHEDULE_PLATEAU)
        return terni_fail(TERN_ERR_ARGUMENT, "schedule_metric: %s", wrong ? wrong : "this is no plateau schedule");
    tern_schedule_plateau *p = &s->plateau;
    const int64_t patience = p->patience ? p->patience : 10;
    if (!p->begun) {
        p->lr = s->lr;
        p->best = p->highest ? -(double)INFINITY : (double)INFINITY;
        p->begun = true;
    }
    const bool good = better(p, metric);
    if (good) p->best = metric;
    p->bad = good ? 0 : p->bad + 1;
    if (p->resting > 0) {
        p->resting--;
        p->bad = 0;
    }
    if (p->bad > (patience > 0 ? patience : 0)) {
        const double less = fmax(p->lr * usual(p->factor, 0.1), s->min_lr);
        if (p->lr - less > terni_setting(p->eps, 1e-8)) p->lr = less;
        p->resting = p->cooldown;
        p->bad = 0;
    }
    return true;
}
