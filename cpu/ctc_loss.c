/* The sum over all alignments of a sequence's labels, forward and backward, in logarithms of doubles. */
#include <math.h>

#include "formulas.h"
#include "internal.h"
#include "widen.h"

typedef struct ctc {
    int64_t t, n, c, l, blank; /* l: the longest lattice's width */
    const void *log_probs;
    const int64_t *target, *start, *input_length, *target_length;
    void *loss, *grad; /* grad may be NULL */
    double *room;
    int64_t room_each;
} ctc;

static bool check(const terni_call *c, ctc *j) {
    const int64_t count = terni_cpu_count(c->in[1]);
    for (int64_t n = 0; n < j->n; n++) {
        const int64_t inputs = j->input_length[n], targets = j->target_length[n];
        if (inputs < 0 || inputs > j->t)
            return terni_cpu_fail(TERN_ERR_INDEX, "ctc_loss: input length %lld of sequence %lld, expected 0 to %lld",
                                  (long long)inputs, (long long)n, (long long)j->t);
        const int64_t left = j->start[n] < 0 ? 0 : count - j->start[n];
        const int64_t own = n + 1 < j->n ? j->start[n + 1] - j->start[n] : left, room = own < left ? own : left;
        if (targets < 0 || targets > room)
            return terni_cpu_fail(TERN_ERR_INDEX, "ctc_loss: target length %lld of sequence %lld, expected 0 to %lld",
                                  (long long)targets, (long long)n, (long long)(room < 0 ? 0 : room));
        for (int64_t s = 0; s < targets; s++) {
            const int64_t k = j->target[j->start[n] + s];
            if (k < 0 || k >= j->c)
                return terni_cpu_fail(TERN_ERR_INDEX, "ctc_loss: target %lld of sequence %lld is outside [0, %lld)",
                                      (long long)k, (long long)n, (long long)j->c);
        }
        if (2 * targets + 1 > j->l) j->l = 2 * targets + 1;
    }
    return true;
}

static bool run(const terni_call *c, void (*part)(void *, int64_t, int64_t)) {
    const terni_view *x = c->in[0];
    const terni_ctc_opts *o = c->opts;
    ctc j = {.t = x->shape[0], .n = x->shape[1], .c = x->shape[2], .l = 1, .blank = o->blank, .log_probs = x->data};
    j.target = c->in[1]->data;
    j.start = c->in[2]->data;
    j.input_length = c->in[3]->data;
    j.target_length = c->in[4]->data;
    j.loss = c->out[0]->data;
    j.grad = c->out[1] ? c->out[1]->data : NULL;
    if (!check(c, &j)) return false;
    if (j.n == 0) return true;
    j.room_each = (j.t + 2) * j.l;
    const size_t bytes = (size_t)(j.n * j.room_each) * sizeof(double);
    j.room = terni_cpu_host->alloc(bytes);
    if (!j.room) return false;
    terni_cpu_parallel(j.n, 1, part, &j);
    terni_cpu_host->free(j.room, bytes);
    return true;
}

#define TERNI_TEMPLATE "ctc_loss.inc"
#include "each_float.h"

TERNI_FLOAT_KERNEL(ctc_loss)
