/* The loader: order, batches, workers. The order of an epoch depends on seed and epoch alone; workers claim batches in
 * that order and put them into a ring, from which they are handed out in the same order. */
#include "tern/data.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

typedef struct slot {
    bool ready;
    tern_tensor *x, *y; /* kept */
    tern_code code;     /* of the error that came instead */
    char message[400];
} slot;

struct tern_loader {
    tern_dataset *d;
    tern_loader_opts o;
    int64_t batches;
    size_t x_bytes, y_bytes; /* of one sample */
    tern_loader_state state;
    int64_t *order; /* of the epoch */
    pthread_mutex_t lock;
    pthread_cond_t made, room;
    pthread_t *worker;
    int n_workers;
    slot *ring;
    int64_t capacity, next; /* next: the first batch that nobody has claimed */
    int busy;               /* workers that are making one */
    bool paused, stop;
};

/* ---- order
 * --------------------------------------------------------------------------------------------------------------- */

static void shuffle(tern_loader *l) {
    for (int64_t i = 0; i < l->d->length; i++) l->order[i] = i;
    if (!l->o.shuffle) return;
    tern_random r = {l->state.seed, (uint64_t)l->state.epoch << 40};
    for (int64_t i = l->d->length - 1; i > 0; i--) {
        const int64_t j = (int64_t)tern_random_below(&r, (uint64_t)i + 1), t = l->order[i];
        l->order[i] = l->order[j];
        l->order[j] = t;
    }
}

static int64_t batch_size(const tern_loader *l, int64_t b) {
    const int64_t rest = l->d->length - b * l->o.batch;
    return rest < l->o.batch ? rest : l->o.batch;
}

/* ---- making a batch
 * ---------------------------------------------------------------------------------------------------------- */

static tern_tensor *empty_batch(int64_t n, tern_shape sample, tern_dtype dtype) {
    tern_shape s = {.ndim = sample.ndim + 1, .dim = {n}};
    for (int i = 0; i < sample.ndim; i++) s.dim[i + 1] = sample.dim[i];
    return tern_empty(s, (tern_options){.dtype = dtype});
}

/* Fills kept tensors on the CPU; on failure the calling thread has the error. */
static bool make(tern_loader *l, int64_t b, tern_tensor **x, tern_tensor **y) {
    const int64_t n = batch_size(l, b);
    const int scope = tern_scope_push();
    *x = empty_batch(n, l->d->x_shape, l->d->x_dtype);
    *y = *x ? empty_batch(n, l->d->y_shape, l->d->y_dtype) : NULL;
    bool ok = *y != NULL;
    for (int64_t i = 0; ok && i < n; i++) {
        const int64_t sample = l->order[b * l->o.batch + i];
        ok = l->d->get(l->d, sample, (char *)tern_data(*x) + (size_t)i * l->x_bytes,
                       (char *)tern_data(*y) + (size_t)i * l->y_bytes);
        if (!ok) {
            char why[300];
            const tern_code code = tern_error_code();
            snprintf(why, sizeof why, "%s", tern_ok() ? "no reason given" : tern_error_message());
            tern_error_clear();
            terni_fail(code == TERN_OK ? TERN_ERR_IO : code, "loader: sample %lld: %s", (long long)sample, why);
        }
    }
    if (ok) {
        tern_keep(*x);
        tern_keep(*y);
    } else {
        *x = *y = NULL;
    }
    tern_scope_pop(scope);
    return ok;
}

static void *work(void *p) {
    tern_loader *l = p;
    terni_error_mute(true); /* the thread that asks for the batch reports it */
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!l->stop && (l->paused || l->next >= l->batches || l->next >= l->state.batch + l->capacity))
            pthread_cond_wait(&l->room, &l->lock);
        if (l->stop) break;
        const int64_t b = l->next++;
        l->busy++;
        pthread_mutex_unlock(&l->lock);
        slot s = {.ready = true};
        if (!make(l, b, &s.x, &s.y)) {
            s.code = tern_error_code();
            snprintf(s.message, sizeof s.message, "%s", tern_error_message());
            tern_error_clear();
        }
        pthread_mutex_lock(&l->lock);
        l->ring[b % l->capacity] = s;
        l->busy--;
        pthread_cond_broadcast(&l->made);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* ---- life
 * ---------------------------------------------------------------------------------------------------------------------
 */

static bool check(const tern_dataset *d, tern_loader_opts *o) {
    if (!d->get || d->length < 1)
        return terni_fail(TERN_ERR_ARGUMENT, "loader: the dataset has %lld samples%s", (long long)d->length,
                          d->get ? "; expected 1 or more" : " and no get");
    if (o->batch == 0) o->batch = 32;
    if (o->prefetch == 0) o->prefetch = 2;
    if (o->batch < 1 || o->workers < 0 || o->workers > 256 || o->prefetch < 1 || o->prefetch > 4096)
        return terni_fail(TERN_ERR_ARGUMENT,
                          "loader: batch %lld, workers %d, prefetch %d; expected 1 or more, 0 to 256, 1 to 4096",
                          (long long)o->batch, o->workers, o->prefetch);
    if (o->drop_last && d->length < o->batch)
        return terni_fail(TERN_ERR_ARGUMENT, "loader: %lld samples make no batch of %lld, and smaller ones are dropped",
                          (long long)d->length, (long long)o->batch);
    if (d->x_shape.ndim >= TERN_MAX_DIMS || d->y_shape.ndim >= TERN_MAX_DIMS)
        return terni_fail(TERN_ERR_SHAPE, "loader: a sample of %d dimensions leaves none for the batch",
                          d->x_shape.ndim > d->y_shape.ndim ? d->x_shape.ndim : d->y_shape.ndim);
    return true;
}

static size_t sample_bytes(tern_shape s, tern_dtype dtype) {
    size_t n = tern_dtype_size(dtype);
    for (int i = 0; i < s.ndim; i++) n *= (size_t)s.dim[i];
    return n;
}

static bool start_workers(tern_loader *l) {
    l->capacity = (int64_t)l->o.workers * l->o.prefetch;
    l->ring = terni_malloc((size_t)l->capacity * sizeof *l->ring);
    l->worker = terni_malloc((size_t)l->o.workers * sizeof *l->worker);
    if (!l->ring || !l->worker) return false;
    memset(l->ring, 0, (size_t)l->capacity * sizeof *l->ring);
    for (int i = 0; i < l->o.workers; i++, l->n_workers++)
        if (pthread_create(&l->worker[i], NULL, work, l) != 0)
            return terni_fail(TERN_ERR_MEMORY, "loader: worker %d of %d could not be started", i + 1, l->o.workers);
    return true;
}

tern_loader *tern_loader_new(tern_dataset *d, tern_loader_opts opts) {
    if (!terni_given(d, "loader", "dataset") || !check(d, &opts)) return NULL;
    tern_loader *l = terni_calloc(sizeof *l);
    if (!l) return NULL;
    l->d = d;
    l->o = opts;
    l->state.seed = opts.seed;
    l->batches = opts.drop_last ? d->length / opts.batch : (d->length - 1) / opts.batch + 1;
    l->x_bytes = sample_bytes(d->x_shape, d->x_dtype);
    l->y_bytes = sample_bytes(d->y_shape, d->y_dtype);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->made, NULL);
    pthread_cond_init(&l->room, NULL);
    l->order = d->length < INT64_MAX / 16 ? terni_malloc((size_t)d->length * sizeof *l->order) : NULL;
    if (l->order) shuffle(l);
    if (!l->order || (opts.workers > 0 && !start_workers(l))) {
        tern_loader_free(l);
        return NULL;
    }
    return l;
}

static void empty_ring(tern_loader *l) {
    for (int64_t i = 0; l->ring && i < l->capacity; i++) {
        tern_release(l->ring[i].x);
        tern_release(l->ring[i].y);
        l->ring[i] = (slot){0};
    }
}

void tern_loader_free(tern_loader *l) {
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->room);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->n_workers; i++) pthread_join(l->worker[i], NULL);
    empty_ring(l);
    pthread_cond_destroy(&l->room);
    pthread_cond_destroy(&l->made);
    pthread_mutex_destroy(&l->lock);
    terni_mfree(l->ring);
    terni_mfree(l->worker);
    terni_mfree(l->order);
    terni_free(l, sizeof *l);
}

/* ---- handing out
 * --------------------------------------------------------------------------------------------------------------- */

/* Goes to another place in the data; what was made for the old one is dropped. */
static void move_to(tern_loader *l, tern_loader_state s) {
    pthread_mutex_lock(&l->lock);
    l->paused = true;
    while (l->busy > 0) pthread_cond_wait(&l->made, &l->lock);
    empty_ring(l);
    const bool same = s.seed == l->state.seed && s.epoch == l->state.epoch;
    l->state = s;
    l->next = s.batch;
    if (!same) shuffle(l);
    l->paused = false;
    pthread_cond_broadcast(&l->room);
    pthread_mutex_unlock(&l->lock);
}

/* From the ring: the next batch in order. */
static bool take(tern_loader *l, tern_tensor **x, tern_tensor **y) {
    pthread_mutex_lock(&l->lock);
    slot *s = &l->ring[l->state.batch % l->capacity];
    while (!s->ready) pthread_cond_wait(&l->made, &l->lock);
    const slot got = *s;
    if (got.code == TERN_OK) {
        *s = (slot){0};
        l->state.batch++;
        pthread_cond_broadcast(&l->room);
    }
    pthread_mutex_unlock(&l->lock);
    *x = got.x;
    *y = got.y;
    if (got.code == TERN_OK) return true;
    move_to(l, l->state); /* so that the next call makes the batch anew, as without workers */
    return tern_error_set(got.code, "%s", got.message);
}

bool tern_loader_next(tern_loader *l, tern_batch *out) {
    if (!terni_given(l, "loader", "loader") || !terni_given(out, "loader", "batch")) return false;
    *out = (tern_batch){0};
    if (l->state.batch >= l->batches) {
        move_to(l, (tern_loader_state){l->state.seed, l->state.epoch + 1, 0});
        return false;
    }
    const int64_t b = l->state.batch;
    tern_tensor *x, *y;
    if (l->n_workers > 0) {
        if (!take(l, &x, &y)) return false;
    } else {
        if (!make(l, b, &x, &y)) return false;
        l->state.batch++;
    }
    x = tern_give(x);
    y = tern_give(y);
    const tern_device cpu = tern_cpu();
    if (x && y && !tern_device_equal(l->o.device, cpu)) {
        x = tern_to(x, l->o.device);
        y = tern_to(y, l->o.device);
    }
    if (!x || !y) return false;
    *out = (tern_batch){x, y, batch_size(l, b), b};
    return true;
}

int64_t tern_loader_batches(const tern_loader *l) { return l ? l->batches : 0; }
tern_loader_state tern_loader_tell(const tern_loader *l) { return l ? l->state : (tern_loader_state){0}; }

bool tern_loader_seek(tern_loader *l, tern_loader_state s) {
    if (!terni_given(l, "loader", "loader")) return false;
    if (s.epoch < 0 || s.batch < 0 || s.batch > l->batches)
        return terni_fail(TERN_ERR_ARGUMENT, "loader: epoch %lld, batch %lld; expected 0 or more, and 0 to %lld",
                          (long long)s.epoch, (long long)s.batch, (long long)l->batches);
    move_to(l, s);
    return true;
}
