/* One case: its inputs are made, it is warmed up, and batches of calls are timed until their median stays. Work on a
 * GPU is asynchronous, so a time is that of many calls in a row with one wait at the end; for what is submitted
 * (`submit`) the wait comes after the clock has stopped. */
#include <math.h>
#include <time.h>

#include "bench.h"

enum { WARM_CALLS = 3, MIN_ROUNDS = 9, LONG_ROUNDS = 5, MOST_CALLS = 50000, MOST_SUBMITTED = 500 };
static const double BATCH_SECONDS = 2e-3, WARM_SECONDS = 0.1, STABLE = 0.01;

double bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *v, int n) {
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

static tern_tensor *input_new(const bench_spec *s, tern_device device) {
    const tern_options o = {.dtype = TERN_F32, .device = device};
    if (s->source == BENCH_NONE) return NULL;
    const int scope = tern_scope_push();
    tern_tensor *x;
    if (s->source == BENCH_NORMAL)
        x = tern_randn(s->shape, 0, s->hi, o);
    else if (s->source == BENCH_UNIFORM)
        x = tern_rand(s->shape, s->lo, s->hi, o);
    else /* a cast cuts off towards 0, and the shift keeps that from rounding up below it */
        x = tern_add_scalar(
            tern_cast(tern_rand(s->shape, 0, s->hi - s->lo + 1, (tern_options){.dtype = TERN_F64, .device = device}),
                      TERN_I64),
            s->lo);
    return tern_scope_return(scope, tern_cast(x, s->dtype));
}

static bool once(const bench_job *j) {
    const bench_case *c = j->c;
    const int scope = tern_scope_push();
    tern_tensor *g[BENCH_INPUTS];
    bool ok;
    if (c->model)
        ok = c->model->step(j->state);
    else if (j->y)
        ok = tern_grad(j->y, j->leaf, j->n_leaves, j->seed, (tern_backward_opts){.retain_graph = true}, g);
    else {
        tern_tensor *y = c->call(c, j->in);
        ok = y != NULL;
        if (ok && c->pass == BENCH_BOTH)
            ok = tern_grad(y, j->leaf, j->n_leaves, j->seed, (tern_backward_opts){.allow_unused = true}, g);
    }
    tern_scope_pop(scope);
    return ok && tern_ok();
}

static double batch(const bench_job *j, int64_t calls) {
    if (!tern_sync(j->c->device)) return -1;
    double seconds = 0;
    bool ok = true;
    const double start = bench_now();
    for (int64_t i = 0; ok && i < calls; i++) ok = once(j);
    if (j->c->submit) seconds = bench_now() - start;
    ok = tern_sync(j->c->device) && ok;
    if (!j->c->submit) seconds = bench_now() - start;
    return ok ? seconds / (double)calls / (j->c->ops ? j->c->ops : 1) : -1;
}

double bench_batch(const bench_job *j) { return batch(j, j->calls); }

void bench_close(bench_job *j) {
    if (j->state) j->c->model->close(j->state);
    tern_release(j->seed);
    tern_release(j->y);
    tern_scope_pop(j->scope);
    tern_error_clear();
    tern_sync(j->c->device);
    if (j->c->device.type != TERN_CPU || j->c->model) tern_memory_trim(); /* others want the memory */
    *j = (bench_job){0};
}

/* The forward pass that a backward pass needs: seeds, and for a gradient alone the graph itself. */
static bool graph_open(bench_job *j) {
    const bench_case *c = j->c;
    if (c->pass == BENCH_FORWARD) return true;
    for (int i = 0; i < BENCH_INPUTS; i++)
        if (j->in[i] && c->in[i].grad && (c->pass == BENCH_BOTH || i == (c->pass == BENCH_WEIGHT)))
            j->leaf[j->n_leaves++] = tern_require_grad(j->in[i], true);
    const int scope = tern_scope_push();
    tern_tensor *y = c->call(c, j->in);
    if (y && (!j->n_leaves || !tern_requires_grad(y)))
        tern_error_set(TERN_ERR_UNSUPPORTED, "%s takes no gradient in %s", c->name, tern_dtype_name(c->dtype));
    j->seed = tern_keep(tern_ones_like(y));
    if (c->pass != BENCH_BOTH) j->y = tern_keep(y);
    tern_scope_pop(scope);
    return tern_ok();
}

bool bench_open(bench_job *j, const bench_case *c, double seconds) {
    *j = (bench_job){.c = c, .scope = tern_scope_push(), .calls = 1};
    tern_seed(1);
    tern_allow_tf32(c->tf32);
    if (c->model) {
        j->state = c->model->open(c->device, c->tiny, c->model->size);
        if (!j->state) return false;
    } else {
        for (int i = 0; i < BENCH_INPUTS; i++) j->in[i] = input_new(&c->in[i], c->device);
        if (!tern_ok() || !graph_open(j)) return false;
    }
    /* The first calls load kernels, make plans and fill free lists; then as many as fill the time. */
    double each = batch(j, 1);
    if (each < 0) return false;
    if (!(seconds > 0)) return true;
    const double warm = bench_now() + WARM_SECONDS;
    for (int i = 0; i < WARM_CALLS || (bench_now() < warm && i < MOST_CALLS); i++) {
        const double t = batch(j, 1);
        if (t < 0) return false;
        if (t < each) each = t;
        if (t > 1) break;
    }
    each *= c->ops ? c->ops : 1;
    j->calls = (int64_t)(seconds / (each + 1e-9)) + 1;
    const int64_t most = c->submit ? MOST_SUBMITTED : MOST_CALLS; /* the queue of launches is finite */
    if (j->calls > most) j->calls = most;
    return true;
}

/* ---- repeating --------------------------------------------------------------------------------------------------- */

/* The median of all rounds and that of the later half are the same. */
static bool stable(const double *times, int n) {
    double all[BENCH_TIMES], late[BENCH_TIMES];
    memcpy(all, times, (size_t)n * sizeof *all);
    memcpy(late, times + n / 2, (size_t)(n - n / 2) * sizeof *late);
    const double m = bench_median(all, n);
    return fabs(bench_median(late, n - n / 2) - m) < STABLE * m;
}

bench_result bench_measure(const bench_case *c, const bench_options *o) {
    bench_result r = {0};
    bench_job j;
    double times[BENCH_TIMES];
    const double limit = o->seconds > 0 ? o->seconds : c->model ? 5 : 1;
    const int least = c->model && c->model->long_step ? LONG_ROUNDS : MIN_ROUNDS;
    bool ok = bench_open(&j, c, o->quick ? 0 : BATCH_SECONDS);
    r.calls = j.calls;
    const double start = bench_now();
    while (ok && r.rounds < BENCH_TIMES) {
        const double t = bench_batch(&j);
        ok = t >= 0;
        if (ok) times[r.rounds++] = t;
        if (o->quick) break;
        if (r.rounds >= least && (bench_now() - start > limit || (r.rounds % 4 == 1 && stable(times, r.rounds)))) break;
        if (r.rounds >= 3 && bench_now() - start > 6 * limit) break;
    }
    if (!ok) {
        const tern_code code = tern_error_code();
        snprintf(r.error, sizeof r.error, "%s", tern_error_message());
        r.refused = code == TERN_ERR_DTYPE || code == TERN_ERR_UNSUPPORTED;
    }
    if (ok && r.rounds > 0) {
        r.median = bench_median(times, r.rounds);
        r.min = times[0];
        r.max = times[r.rounds - 1];
    }
    bench_close(&j);
    return r;
}
