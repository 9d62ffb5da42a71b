/* A line search by the strong Wolfe conditions. Source: Nocedal and Wright, Numerical Optimization (2006),
 * algorithms 3.5 and 3.6, with cubic interpolation (3.59), as PyTorch has it. */
#include <math.h>

#include "lbfgs.h"

static const double C1 = 1e-4, C2 = 0.9;

/* Where the cubic through a and b with their slopes is lowest, within [low, high]. */
static double lowest(const terni_lbfgs_point *a, const terni_lbfgs_point *b, double low, double high) {
    const double d1 = a->slope + b->slope - 3 * (a->f - b->f) / (a->t - b->t), square = d1 * d1 - a->slope * b->slope;
    if (!(square >= 0)) return (low + high) / 2;
    const double d2 = sqrt(square);
    const double t = a->t <= b->t ? b->t - (b->t - a->t) * ((b->slope + d2 - d1) / (b->slope - a->slope + 2 * d2))
                                  : a->t - (a->t - b->t) * ((a->slope + d2 - d1) / (a->slope - b->slope + 2 * d2));
    return fmin(fmax(t, low), high);
}

typedef struct search {
    terni_lbfgs *l;
    terni_lbfgs_point start, bracket[2];
    int tries, most;
    bool done;
} search;

static bool too_high(const search *s, const terni_lbfgs_point *p) {
    return p->f > s->start.f + C1 * p->t * s->start.slope;
}
static bool flat_enough(const search *s, const terni_lbfgs_point *p) { return fabs(p->slope) <= -C2 * s->start.slope; }

/* Longer and longer steps, until a bracket holds what is looked for. */
static bool widen(search *s, double t) {
    terni_lbfgs_point before = s->start, now;
    if (!terni_lbfgs_at(s->l, t, &now)) return false;
    for (; s->tries < s->most; s->tries++) {
        s->bracket[0] = before;
        s->bracket[1] = now;
        if (too_high(s, &now) || (s->tries > 1 && now.f >= before.f)) return true;
        if (flat_enough(s, &now)) {
            s->bracket[0] = now;
            s->done = true;
            return true;
        }
        if (now.slope >= 0) return true;
        t = lowest(&before, &now, now.t + 0.01 * (now.t - before.t), now.t * 10);
        before = now;
        if (!terni_lbfgs_at(s->l, t, &now)) return false;
    }
    s->bracket[0] = s->start;
    s->bracket[1] = now;
    return true;
}

/* A step between the bracket's ends; *near remembers that one was close to an end. */
static double between(const search *s, bool *near) {
    const terni_lbfgs_point *a = &s->bracket[0], *b = &s->bracket[1];
    const double low = fmin(a->t, b->t), high = fmax(a->t, b->t), margin = 0.1 * (high - low);
    const double t = lowest(a, b, low, high);
    if (!(fmin(high - t, t - low) < margin)) {
        *near = false;
        return t;
    }
    if (!*near && t < high && t > low) {
        *near = true;
        return t;
    }
    *near = false;
    return fabs(t - high) < fabs(t - low) ? high - margin : low + margin;
}

/* Narrows the bracket; its end k is the lower one. */
static bool zoom(search *s, double length, double tolerance, int *k) {
    bool near = false;
    *k = s->bracket[0].f <= s->bracket[1].f ? 0 : 1;
    while (!s->done && s->tries < s->most) {
        terni_lbfgs_point *low = &s->bracket[*k], *high = &s->bracket[1 - *k], p;
        if (fabs(high->t - low->t) * length < tolerance) break;
        if (!terni_lbfgs_at(s->l, between(s, &near), &p)) return false;
        s->tries++;
        if (too_high(s, &p) || p.f >= low->f) {
            *high = p;
            *k = s->bracket[0].f <= s->bracket[1].f ? 0 : 1;
            continue;
        }
        if (flat_enough(s, &p))
            s->done = true;
        else if (p.slope * (high->t - low->t) >= 0)
            *high = *low;
        *low = p;
    }
    return true;
}

bool terni_lbfgs_search(terni_lbfgs *l, terni_lbfgs_point *p, int most) {
    search s = {.l = l, .start = *p, .most = most};
    s.start.t = 0;
    const double length = tern_item(tern_max(tern_abs(l->d), NULL, 0, false));
    int k = 0;
    if (!widen(&s, p->t) || (!s.done && !zoom(&s, length, 1e-9, &k))) return false;
    *p = s.bracket[k];
    return tern_ok();
}
