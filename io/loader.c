/* The loader: order, workers, handing out. The order of an epoch depends on seed and epoch alone; workers claim batches
 * in that order and put them into a ring, from which they are handed out in the same order. Copies to a GPU are begun
 * by the calling thread, for batches that stand ready, so that nothing disturbs it while it captures a graph. */
#include "tern/data.h"

#include <stdio.h>
#include <string.h>

#include "loader_internal.h"
#include "transform_internal.h"

enum { AHEAD = 2 }; /* batches on their way to a GPU */

/* ---- workers ----------------------------------------------------------------------------------------------------- */

static void note_error(terni_slot *s) {
    s->code = tern_error_code();
    snprintf(s->message, sizeof s->message, "%s", tern_error_message());
    tern_error_clear();
}

static bool may_claim(const tern_loader *l) {
    return !l->paused && !l->lost && !l->reading && l->next < l->batches && l->next < l->state.batch + l->capacity;
}

/* The last batch of a stream was read; n: samples in it. With the lock held. */
static void stream_ended(tern_loader *l, int64_t b, int64_t n) {
    l->batches = l->counted = b + (n == l->o.batch || (n > 0 && !l->o.drop_last));
    pthread_cond_broadcast(&l->made);
}

/* Reads batch b's samples, others waiting; false if there is no such batch. With the lock held, which it gives up
 * meanwhile. */
static bool read_stream(tern_loader *l, int64_t b, terni_raw *raw, terni_slot *s) {
    l->reading = true;
    pthread_mutex_unlock(&l->lock);
    if (!terni_loader_read(l, b, raw)) note_error(s);
    pthread_mutex_lock(&l->lock);
    l->reading = false;
    if (s->code != TERN_OK) {
        l->next = INT64_MAX; /* no further: the one who takes it begins again */
        return true;
    }
    if (raw->end) stream_ended(l, b, raw->n);
    pthread_cond_broadcast(&l->room);
    return b < l->batches;
}

static void *work(void *p) {
    tern_loader *l = p;
    terni_error_mute(true); /* the thread that asks for the batch reports it */
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!l->stop && !may_claim(l)) pthread_cond_wait(&l->room, &l->lock);
        if (l->stop) break;
        const int64_t b = l->next++;
        l->busy++;
        terni_slot s = {.ready = true};
        terni_raw raw = {0};
        const bool there = !l->streamed || read_stream(l, b, &raw, &s);
        pthread_mutex_unlock(&l->lock);
        if (there && s.code == TERN_OK && !terni_loader_make(l, b, l->streamed ? &raw : NULL, &s.made)) note_error(&s);
        terni_loader_raw_free(&raw);
        pthread_mutex_lock(&l->lock);
        if (there) {
            s.arrived = l->ring[b % l->capacity].arrived;
            l->ring[b % l->capacity] = s;
        }
        l->busy--;
        pthread_cond_broadcast(&l->made);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static bool check_transform(const tern_dataset *d, const tern_loader_opts *o) {
    if (!o->transform) return true;
    if (!o->transform->sample && !o->transform->batch)
        return terni_fail(TERN_ERR_ARGUMENT, "loader: the transform does nothing");
    if ((d->get || d->next) && d->x_dtype != TERN_F32 && d->x_dtype != TERN_U8 && o->transform->sample)
        return terni_fail(TERN_ERR_DTYPE, "loader: transforms take f32 and u8; the dataset's x is %s",
                          tern_dtype_name(d->x_dtype));
    return true;
}

static bool check_samples(const tern_dataset *d, const tern_loader_opts *o) {
    if (!d->get && !d->item && !d->next)
        return terni_fail(TERN_ERR_ARGUMENT, "loader: the dataset has %lld samples and no get", (long long)d->length);
    if (d->next && (o->shuffle || o->sampler))
        return terni_fail(TERN_ERR_ARGUMENT, "loader: samples that come one after another have no other order");
    if (!d->next && d->length < 1)
        return terni_fail(TERN_ERR_ARGUMENT, "loader: the dataset has %lld samples; expected 1 or more",
                          (long long)d->length);
    if (o->sampler && (o->shuffle || o->sampler->length < 1 || o->sampler->over > d->length))
        return terni_fail(TERN_ERR_ARGUMENT,
                          "loader: a sampler of %lld numbers below %lld for %lld samples%s; expected as many or fewer",
                          (long long)o->sampler->length, (long long)o->sampler->over, (long long)d->length,
                          o->shuffle ? ", beside shuffle" : "");
    return true;
}

static bool check(const tern_dataset *d, tern_loader_opts *o) {
    if (!check_samples(d, o) || !check_transform(d, o)) return false;
    if (o->batch == 0) o->batch = 32;
    if (o->prefetch == 0) o->prefetch = 2;
    if (o->batch < 1 || o->workers < 0 || o->workers > 256 || o->prefetch < 1 || o->prefetch > 4096)
        return terni_fail(TERN_ERR_ARGUMENT,
                          "loader: batch %lld, workers %d, prefetch %d; expected 1 or more, 0 to 256, 1 to 4096",
                          (long long)o->batch, o->workers, o->prefetch);
    const int64_t samples = o->sampler ? o->sampler->length : d->length;
    if (!d->next && o->drop_last && samples < o->batch)
        return terni_fail(TERN_ERR_ARGUMENT, "loader: %lld samples make no batch of %lld, and smaller ones are dropped",
                          (long long)samples, (long long)o->batch);
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

static bool make_ring(tern_loader *l) {
    const bool gpu = l->o.device.type != TERN_CPU;
    l->capacity = l->o.workers > 0 ? (int64_t)l->o.workers * l->o.prefetch : 1;
    l->ring = terni_malloc((size_t)l->capacity * sizeof *l->ring);
    if (!l->ring) return false;
    memset(l->ring, 0, (size_t)l->capacity * sizeof *l->ring);
    if (gpu && !(l->copies = tern_stream_new(l->o.device))) return false;
    for (int64_t i = 0; gpu && i < l->capacity; i++)
        if (!(l->ring[i].arrived = tern_event_new(l->o.device))) return false;
    return true;
}

static bool start_workers(tern_loader *l) {
    if (l->o.workers == 0) return true;
    l->worker = terni_malloc((size_t)l->o.workers * sizeof *l->worker);
    if (!l->worker) return false;
    for (int i = 0; i < l->o.workers; i++, l->n_workers++)
        if (pthread_create(&l->worker[i], NULL, work, l) != 0)
            return terni_fail(TERN_ERR_MEMORY, "loader: worker %d of %d could not be started", i + 1, l->o.workers);
    return true;
}

/* The order, or the stream's beginning. */
static bool begin(tern_loader *l) {
    const tern_dataset *d = l->d;
    if (l->streamed) {
        l->batches = INT64_MAX;
        l->counted = -1;
        return terni_loader_rewind(l, l->state);
    }
    l->sampler = l->o.sampler ? l->o.sampler
                              : (l->own = l->o.shuffle ? tern_sampler_random_new(d->length, (tern_sampler_opts){0})
                                                       : tern_sampler_sequential_new(d->length));
    if (!l->sampler) return false;
    l->samples = l->sampler->length;
    l->batches = l->counted = l->o.drop_last ? l->samples / l->o.batch : (l->samples - 1) / l->o.batch + 1;
    l->order = terni_malloc((size_t)l->samples * sizeof *l->order);
    return l->order && tern_sampler_order(l->sampler, l->state.seed, l->state.epoch, l->order);
}

tern_loader *tern_loader_new(tern_dataset *d, tern_loader_opts opts) {
    if (!terni_given(d, "loader", "dataset") || !check(d, &opts)) return NULL;
    tern_loader *l = terni_calloc(sizeof *l);
    if (!l) return NULL;
    l->d = d;
    l->o = opts;
    l->streamed = d->next != NULL;
    l->pinned = opts.pin || opts.device.type != TERN_CPU;
    l->state.seed = opts.seed;
    l->x_bytes = sample_bytes(d->x_shape, d->x_dtype);
    l->y_bytes = sample_bytes(d->y_shape, d->y_dtype);
    l->x_shape = d->x_shape;
    l->x_dtype = terni_loader_changes(l, d->x_dtype) ? TERN_F32 : d->x_dtype;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->made, NULL);
    pthread_cond_init(&l->room, NULL);
    const bool fixed = opts.transform && (d->get || d->next) && !opts.collate;
    if ((fixed && !terni_transform_shape(opts.transform, d->x_shape, &l->x_shape)) || !begin(l) || !make_ring(l) ||
        !start_workers(l)) {
        tern_loader_free(l);
        return NULL;
    }
    return l;
}

static void empty_ring(tern_loader *l) {
    for (int64_t i = 0; l->ring && i < l->capacity; i++) {
        terni_made_free(&l->ring[i].made);
        l->ring[i] = (terni_slot){.arrived = l->ring[i].arrived};
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
    for (int64_t i = 0; l->ring && i < l->capacity; i++) tern_event_free(l->ring[i].arrived);
    tern_stream_free(l->copies);
    pthread_cond_destroy(&l->room);
    pthread_cond_destroy(&l->made);
    pthread_mutex_destroy(&l->lock);
    tern_sampler_free(l->own);
    terni_mfree(l->ring);
    terni_mfree(l->worker);
    terni_mfree(l->order);
    terni_free(l, sizeof *l);
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

/* Goes to another place in the data; what was made for the old one is dropped. */
static bool move_to(tern_loader *l, tern_loader_state s) {
    pthread_mutex_lock(&l->lock);
    l->paused = true;
    while (l->busy > 0) pthread_cond_wait(&l->made, &l->lock);
    empty_ring(l);
    const bool same = s.seed == l->state.seed && s.epoch == l->state.epoch && !l->lost;
    l->state = s;
    l->next = s.batch;
    if (l->streamed) l->batches = INT64_MAX;
    l->lost =
        l->streamed ? !terni_loader_rewind(l, s) : !same && !tern_sampler_order(l->sampler, s.seed, s.epoch, l->order);
    l->paused = false;
    const bool ok = !l->lost;
    pthread_cond_broadcast(&l->room);
    pthread_mutex_unlock(&l->lock);
    return ok;
}

tern_loader_state tern_loader_tell(const tern_loader *l) { return l ? l->state : (tern_loader_state){0}; }

int64_t tern_loader_batches(const tern_loader *l) {
    if (!l) return 0;
    pthread_mutex_t *lock = &((tern_loader *)l)->lock; /* workers come to a stream's end */
    pthread_mutex_lock(lock);
    const int64_t n = l->counted;
    pthread_mutex_unlock(lock);
    return n;
}

bool tern_loader_seek(tern_loader *l, tern_loader_state s) {
    if (!terni_given(l, "loader", "loader")) return false;
    if (s.epoch < 0 || s.batch < 0 || (!l->streamed && s.batch > l->batches) || s.batch > INT64_MAX / 2 / l->o.batch)
        return terni_fail(TERN_ERR_ARGUMENT, "loader: epoch %lld, batch %lld; expected 0 or more, and 0 to %lld",
                          (long long)s.epoch, (long long)s.batch, (long long)l->counted);
    return move_to(l, s);
}

/* ---- to a GPU ---------------------------------------------------------------------------------------------------- */

static tern_tensor *on_device(tern_loader *l, tern_tensor *t, tern_event *done) {
    const int scope = tern_scope_push();
    tern_tensor *there = tern_keep(tern_to_async(t, l->o.device, done));
    tern_scope_pop(scope);
    tern_release(t);
    return there;
}

/* Begins the copies of a batch that is ready, on their own stream. An error stays with the slot. */
static void send(tern_loader *l, terni_slot *s) {
    if (!l->copies || s->sent || s->code != TERN_OK) return;
    tern_stream *was = tern_stream_current(l->o.device);
    s->sent = true;
    tern_stream_use(l->o.device, l->copies);
    s->made.x = on_device(l, s->made.x, NULL);
    s->made.y = on_device(l, s->made.y, s->arrived);
    tern_stream_use(l->o.device, was);
}

/* Those that will be asked for next, if they are made. */
static void send_ahead(tern_loader *l) {
    for (int64_t k = 0; l->copies && k < AHEAD && k < l->capacity && tern_ok(); k++) {
        terni_slot *s = &l->ring[(l->state.batch + k) % l->capacity];
        pthread_mutex_lock(&l->lock);
        const bool ready = s->ready; /* and so nobody's but this thread's */
        pthread_mutex_unlock(&l->lock);
        if (ready) send(l, s);
    }
}

/* ---- handing out ------------------------------------------------------------------------------------------------- */

/* Waits for the next batch; NULL if the stream ended before it. */
static terni_slot *await(tern_loader *l) {
    pthread_mutex_lock(&l->lock);
    terni_slot *s = &l->ring[l->state.batch % l->capacity];
    while (!s->ready && l->state.batch < l->batches) pthread_cond_wait(&l->made, &l->lock);
    const bool there = s->ready;
    pthread_mutex_unlock(&l->lock);
    return there ? s : NULL;
}

/* Makes the next batch in this thread; NULL likewise. */
static terni_slot *make_here(tern_loader *l) {
    terni_slot *s = l->ring;
    const int64_t b = l->state.batch;
    terni_raw raw = {0};
    bool ok = true;
    if (l->streamed) {
        ok = terni_loader_read(l, b, &raw);
        if (ok && raw.end) stream_ended(l, b, raw.n);
        if (ok && b >= l->batches) {
            terni_loader_raw_free(&raw);
            return NULL;
        }
    }
    ok = ok && terni_loader_make(l, b, l->streamed ? &raw : NULL, &s->made);
    terni_loader_raw_free(&raw);
    s->ready = true;
    if (!ok) s->code = tern_error_code();
    return s;
}

/* The batch of a slot that came to nothing is made anew at the next call. */
static bool take_error(tern_loader *l, const terni_slot *s) {
    const tern_code code = s->code;
    char message[sizeof s->message];
    snprintf(message, sizeof message, "%s", s->message);
    if (l->n_workers > 0) tern_error_set(code, "%s", message);
    if (!l->streamed) return move_to(l, l->state) && false;
    pthread_mutex_lock(&l->lock);
    l->lost = true;
    pthread_mutex_unlock(&l->lock);
    return false;
}

static bool hand_out(tern_loader *l, terni_slot *s, tern_batch *out) {
    send(l, s);
    terni_made m = s->made;
    if (l->copies && !tern_stream_after(l->o.device, NULL, s->arrived)) m.n = 0;
    *out = (tern_batch){tern_give(m.x), tern_give(m.y), m.n, l->state.batch, tern_give(m.lengths)};
    pthread_mutex_lock(&l->lock);
    *s = (terni_slot){.arrived = s->arrived};
    l->state.batch++;
    pthread_cond_broadcast(&l->room);
    pthread_mutex_unlock(&l->lock);
    if (out->x && out->y && m.n > 0) {
        send_ahead(l);
        return tern_ok();
    }
    *out = (tern_batch){0};
    return false;
}

bool tern_loader_next(tern_loader *l, tern_batch *out) {
    if (!terni_given(l, "loader", "loader") || !terni_given(out, "loader", "batch")) return false;
    *out = (tern_batch){0};
    if (l->lost && !move_to(l, l->state)) return false;
    terni_slot *s = l->n_workers > 0 ? await(l) : l->state.batch < l->batches ? make_here(l) : NULL;
    if (!s) {
        move_to(l, (tern_loader_state){l->state.seed, l->state.epoch + 1, 0});
        return false;
    }
    if (s->code != TERN_OK) return take_error(l, s);
    return hand_out(l, s, out);
}
