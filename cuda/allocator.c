/* The caching allocator; see allocator.h. */
#include "allocator.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { ROUND = 512, SMALL = 1 << 20, SMALL_SEGMENT = 2 << 20, MEDIUM = 10 << 20, MEDIUM_SEGMENT = 20 << 20 };
enum { BINS = 4 * 40, BUCKETS = 1 << 12, USES = 4 };

/* Another stream than its own works on a block; once this is freed, it waits for the event. */
typedef struct use {
    terni_stream stream;
    int device;        /* the stream's */
    terni_event event; /* NULL: not recorded yet */
    struct block *b;
    struct use *next;
} use;

typedef struct block {
    char *p;
    size_t size;
    terni_stream stream; /* which it is for */
    int pool;            /* of a graph; 0: none */
    bool live;
    struct block *before, *behind; /* neighbours in the segment */
    struct block *previous, *next; /* in its bin, while free */
    struct block *chain;           /* in its bucket, while live */
    use *uses;
} block;

struct terni_allocator {
    const terni_driver *driver;
    terni_allocator_host host;
    bool direct;
    size_t limit;
    pthread_mutex_t lock;
    block *bin[BINS];
    uint64_t full[(BINS + 63) / 64]; /* bins that hold a block */
    block *bucket[BUCKETS];
    block **segment; /* the first block of each, by address */
    size_t segments, room;
    use *waiting; /* of freed blocks */
    terni_stream pool_stream;
    int pool; /* what pool_stream allocates from now */
    terni_allocator_stats stats;
};

/* ---- sizes and bins: four bins to a power of two; all blocks of a bin above the asked one are large enough
 * ------------- */

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

static int bin_of(size_t size) { /* size >= ROUND */
    const int e = 63 - __builtin_clzll((unsigned long long)size);
    const int i = 4 * (e - 9) + (int)(size >> (e - 2) & 3);
    return i < BINS ? i : BINS - 1;
}

static void bin_add(terni_allocator *a, block *b) {
    const int i = bin_of(b->size);
    b->previous = NULL;
    b->next = a->bin[i];
    if (b->next) b->next->previous = b;
    a->bin[i] = b;
    a->full[i / 64] |= 1ull << (i % 64);
}

static void bin_remove(terni_allocator *a, block *b) {
    const int i = bin_of(b->size);
    if (b->previous)
        b->previous->next = b->next;
    else
        a->bin[i] = b->next;
    if (b->next) b->next->previous = b->previous;
    if (!a->bin[i]) a->full[i / 64] &= ~(1ull << (i % 64));
    b->previous = b->next = NULL;
}

/* The smallest fitting block that is for this stream and pool, by bins. Small requests do not cut up large segments. */
static block *bin_find(terni_allocator *a, size_t size, terni_stream stream, int pool) {
    const size_t most = size <= SMALL ? SMALL_SEGMENT : size <= MEDIUM ? MEDIUM_SEGMENT : SIZE_MAX;
    for (int i = bin_of(size); i < BINS; i++) {
        if (!a->full[i / 64]) { /* none up to the word's end */
            i |= 63;
            continue;
        }
        block *best = NULL;
        for (block *b = a->bin[i]; b; b = b->next)
            if (b->size >= size && b->size <= most && b->stream == stream && b->pool == pool &&
                (!best || b->size < best->size))
                best = b;
        if (best) return best;
    }
    return NULL;
}

/* ---- live blocks by address
 * ------------------------------------------------------------------------------------------- */

static block **bucket_of(terni_allocator *a, const void *p) {
    const uintptr_t u = (uintptr_t)p / ROUND;
    return &a->bucket[(u ^ u >> 12 ^ u >> 24) % BUCKETS];
}

static void live_add(terni_allocator *a, block *b) {
    block **at = bucket_of(a, b->p);
    b->chain = *at;
    *at = b;
    b->live = true;
    a->stats.live += b->size;
    if (a->stats.live > a->stats.live_peak) a->stats.live_peak = a->stats.live;
    a->stats.allocations++;
}

static block *live_find(terni_allocator *a, const void *p) {
    block *b = *bucket_of(a, p);
    while (b && b->p != p) b = b->chain;
    return b;
}

static void live_remove(terni_allocator *a, block *b) {
    block **at = bucket_of(a, b->p);
    while (*at != b) at = &(*at)->chain;
    *at = b->chain;
    b->live = false;
    a->stats.live -= b->size;
    a->stats.frees++;
}

/* ---- segments
 * ------------------------------------------------------------------------------------------------------------ */

static void block_free(terni_allocator *a, block *b) { a->host.free(b, sizeof *b); }

/* How many segments begin at p or before it. */
static size_t segments_to(const terni_allocator *a, const void *p) {
    size_t low = 0, high = a->segments;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if ((uintptr_t)a->segment[mid]->p <= (uintptr_t)p)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool segment_room(terni_allocator *a) {
    if (a->segments < a->room) return true;
    const size_t room = a->room ? 2 * a->room : 64;
    block **more = a->host.alloc(room * sizeof(block *));
    if (!more) return false;
    if (a->segments) memcpy(more, a->segment, a->segments * sizeof(block *));
    if (a->segment) a->host.free(a->segment, a->room * sizeof(block *));
    a->segment = more;
    a->room = room;
    return true;
}

/* The block that p points into. A segment's first block stays the same one through splits and joins. */
static block *block_around(const terni_allocator *a, const void *p) {
    const size_t i = segments_to(a, p);
    for (block *b = i ? a->segment[i - 1] : NULL; b; b = b->behind)
        if ((uintptr_t)p - (uintptr_t)b->p < b->size) return b;
    return NULL;
}

static int segment_new(terni_allocator *a, size_t size, terni_stream stream, block **out) {
    if (a->limit && (size > a->limit || a->stats.reserved > a->limit - size)) return TERNI_DRIVER_NO_MEMORY;
    block *b = segment_room(a) ? a->host.alloc(sizeof *b) : NULL;
    if (!b) return TERNI_DRIVER_NO_MEMORY;
    memset(b, 0, sizeof *b);
    void *p = NULL;
    const int rc = a->driver->device_alloc(&p, size);
    if (rc) {
        block_free(a, b);
        return rc;
    }
    b->p = p;
    b->size = size;
    b->stream = stream;
    b->pool = stream == a->pool_stream ? a->pool : 0;
    const size_t at = segments_to(a, p);
    memmove(a->segment + at + 1, a->segment + at, (a->segments - at) * sizeof(block *));
    a->segment[at] = b;
    a->segments++;
    a->stats.reserved += size;
    if (a->stats.reserved > a->stats.reserved_peak) a->stats.reserved_peak = a->stats.reserved;
    a->stats.segments++;
    *out = b;
    return 0;
}

/* b is a whole segment, and in no bin. */
static int segment_free(terni_allocator *a, block *b) {
    const int rc = a->driver->device_free(b->p);
    const size_t at = segments_to(a, b->p) - 1;
    a->segments--;
    memmove(a->segment + at, a->segment + at + 1, (a->segments - at) * sizeof(block *));
    a->stats.reserved -= b->size;
    a->stats.segments--;
    block_free(a, b);
    return rc;
}

/* A free block joins its free neighbours, then waits in its bin. */
static void rest(terni_allocator *a, block *b) {
    block *n = b->behind;
    if (n && !n->live && n->stream == b->stream && n->pool == b->pool) {
        bin_remove(a, n);
        b->size += n->size;
        b->behind = n->behind;
        if (b->behind) b->behind->before = b;
        block_free(a, n);
    }
    n = b->before;
    if (n && !n->live && n->stream == b->stream && n->pool == b->pool) {
        bin_remove(a, n);
        n->size += b->size;
        n->behind = b->behind;
        if (n->behind) n->behind->before = n;
        block_free(a, b);
        b = n;
    }
    bin_add(a, b);
}

/* b is free, and nothing works on it any more. */
static int retire(terni_allocator *a, block *b) {
    b->live = false;
    if (a->direct) return segment_free(a, b);
    rest(a, b);
    return 0;
}

static bool awaited(const terni_allocator *a, const block *b) {
    for (const use *o = a->waiting; o; o = o->next)
        if (o->b == b) return true;
    return false;
}

typedef enum patience { QUERY, WAIT, FORCE } patience;

/* An event behind what u's stream does now. TERNI_DRIVER_NOT_READY while the stream is captured: the event would be the
 * graph's, and what the block waits for was queued before, as nothing that is captured uses it. */
static int mark(const terni_allocator *a, use *u) {
    terni_event e = NULL;
    bool captured = false;
    int rc = a->driver->stream_captured(u->stream, &captured);
    if (rc || captured) return rc ? rc : TERNI_DRIVER_NOT_READY;
    rc = a->driver->use_device(u->device);
    if (!rc) rc = a->driver->event_new(&e, false);
    if (!rc) rc = a->driver->event_record(e, u->stream);
    if (!rc)
        u->event = e;
    else if (e)
        (void)a->driver->event_free(e); /* the first error counts */
    return rc;
}

/* 0 if u's stream has passed the point at which the block was freed. */
static int passed(const terni_allocator *a, use *u, patience how) {
    const int rc = u->event ? 0 : mark(a, u);
    if (rc) return rc;
    return how == QUERY ? a->driver->event_query(u->event) : a->driver->event_wait(u->event);
}

/* Freed blocks whose events have passed go to rest: those that have by now, or all of them. After an error nobody knows
 * whether one has, so it stays, unless the allocator goes. */
static int settle(terni_allocator *a, patience how) {
    int first = 0;
    for (use **at = &a->waiting; *at;) {
        use *w = *at;
        const int rc = passed(a, w, how);
        if (rc && rc != TERNI_DRIVER_NOT_READY && !first) first = rc;
        if (rc && how != FORCE) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        const int freed = w->event ? a->driver->event_free(w->event) : 0;
        if (freed && !first) first = freed;
        if (!awaited(a, w->b)) {
            const int retired = retire(a, w->b);
            if (retired && !first) first = retired;
        }
        a->host.free(w, sizeof *w);
    }
    return first;
}

static int give_back(terni_allocator *a) {
    int first = settle(a, WAIT);
    for (int i = 0; i < BINS; i++)
        for (block *b = a->bin[i], *next; b; b = next) {
            next = b->next;
            if (b->before || b->behind || b->pool) continue;
            bin_remove(a, b);
            const int rc = segment_free(a, b);
            if (rc && !first) first = rc;
        }
    return first;
}

/* ---- the door
 * ---------------------------------------------------------------------------------------------------------- */

terni_allocator *terni_allocator_new(const terni_driver *driver, terni_allocator_host host, bool direct, size_t limit) {
    terni_allocator *a = host.alloc(sizeof *a);
    if (!a) return NULL;
    memset(a, 0, sizeof *a);
    a->driver = driver;
    a->host = host;
    a->direct = direct;
    a->limit = limit;
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

static void drop_uses(terni_allocator *a, block *b) {
    while (b->uses) {
        use *u = b->uses;
        b->uses = u->next;
        a->host.free(u, sizeof *u);
    }
}

void terni_allocator_free(terni_allocator *a) {
    settle(a, FORCE);
    for (int i = 0; i < BUCKETS; i++)
        while (a->bucket[i]) {
            block *b = a->bucket[i];
            live_remove(a, b);
            drop_uses(a, b);
            rest(a, b);
        }
    for (int i = 0; i < BINS; i++)
        while (a->bin[i]) {
            block *b = a->bin[i];
            bin_remove(a, b);
            segment_free(a, b);
        }
    if (a->segment) a->host.free(a->segment, a->room * sizeof(block *));
    pthread_mutex_destroy(&a->lock);
    a->host.free(a, sizeof *a);
}

static int get(terni_allocator *a, size_t bytes, terni_stream stream, void **p) {
    if (bytes > SIZE_MAX / 4) return TERNI_DRIVER_NO_MEMORY; /* sizes below do not overflow */
    const size_t size = round_up(bytes, ROUND);
    const int pool = stream == a->pool_stream ? a->pool : 0;
    int rc = a->waiting ? settle(a, QUERY) : 0;
    if (rc) return rc;
    block *b = a->direct ? NULL : bin_find(a, size, stream, pool);
    if (b)
        bin_remove(a, b);
    else {
        const size_t segment = a->direct        ? bytes
                               : size <= SMALL  ? SMALL_SEGMENT
                               : size <= MEDIUM ? MEDIUM_SEGMENT
                                                : round_up(size, SMALL_SEGMENT);
        rc = segment_new(a, segment, stream, &b);
        if (rc == TERNI_DRIVER_NO_MEMORY) { /* the cache may hold what is missing */
            a->stats.retries++;
            const int other = give_back(a);
            rc = other ? other : segment_new(a, segment, stream, &b);
            if (rc == TERNI_DRIVER_NO_MEMORY && segment > size && !a->direct) rc = segment_new(a, size, stream, &b);
        }
        if (rc) return rc;
    }
    const size_t over = a->direct ? 0 : b->size - size;
    if (over >= (b->size > MEDIUM_SEGMENT ? SMALL : ROUND)) { /* what is over goes to rest */
        block *n = a->host.alloc(sizeof *n);
        if (n) {
            *n = (block){
                .p = b->p + size, .size = over, .stream = b->stream, .pool = b->pool, .before = b, .behind = b->behind};
            if (n->behind) n->behind->before = n;
            b->behind = n;
            b->size = size;
            bin_add(a, n);
        }
    }
    live_add(a, b);
    *p = b->p;
    return 0;
}

/* b waits for u; where there can be no event, the host waits for the stream. */
static int wait_later(terni_allocator *a, block *b, use *u) {
    const int rc = mark(a, u);
    u->b = b;
    if (rc == 0 || rc == TERNI_DRIVER_NOT_READY) {
        u->next = a->waiting;
        a->waiting = u;
        return 0;
    }
    const int waited = a->driver->stream_wait(u->stream);
    a->host.free(u, sizeof *u);
    return waited;
}

static int put(terni_allocator *a, void *p) {
    block *b = live_find(a, p);
    if (!b) return TERNI_DRIVER_INVALID;
    live_remove(a, b);
    if (!b->uses) return retire(a, b);
    int first = 0;
    b->live = true; /* until its events have passed */
    while (b->uses) {
        use *u = b->uses;
        b->uses = u->next;
        const int rc = wait_later(a, b, u);
        if (rc && !first) first = rc;
    }
    const int retired = awaited(a, b) ? 0 : retire(a, b);
    return first ? first : retired;
}

int terni_allocator_get(terni_allocator *a, size_t bytes, terni_stream stream, void **p) {
    pthread_mutex_lock(&a->lock);
    const int rc = get(a, bytes, stream, p);
    pthread_mutex_unlock(&a->lock);
    return rc;
}

int terni_allocator_put(terni_allocator *a, void *p) {
    pthread_mutex_lock(&a->lock);
    const int rc = put(a, p);
    pthread_mutex_unlock(&a->lock);
    return rc;
}

static int used_on(terni_allocator *a, const void *p, terni_stream stream, int device) {
    block *b = block_around(a, p);
    if (!b || live_find(a, b->p) != b) return TERNI_DRIVER_INVALID;
    bool known = b->stream == stream;
    for (const use *u = b->uses; u; u = u->next) known |= u->stream == stream;
    if (known) return 0;
    use *u = a->host.alloc(sizeof *u);
    if (!u) return TERNI_DRIVER_NO_MEMORY;
    *u = (use){.stream = stream, .device = device, .next = b->uses};
    b->uses = u;
    return 0;
}

int terni_allocator_used_on(terni_allocator *a, const void *p, terni_stream stream, int device) {
    pthread_mutex_lock(&a->lock);
    const int rc = used_on(a, p, stream, device);
    pthread_mutex_unlock(&a->lock);
    return rc;
}

int terni_allocator_trim(terni_allocator *a) {
    pthread_mutex_lock(&a->lock);
    const int rc = a->pool ? 0 : give_back(a); /* not in the middle of a capture: the driver waits in it */
    pthread_mutex_unlock(&a->lock);
    return rc;
}

/* ---- graphs
 * ------------------------------------------------------------------------------------------------------------- */

void terni_allocator_pool_begin(terni_allocator *a, terni_stream stream, int id) {
    pthread_mutex_lock(&a->lock);
    a->pool_stream = stream;
    a->pool = id;
    pthread_mutex_unlock(&a->lock);
}

void terni_allocator_pool_end(terni_allocator *a) {
    pthread_mutex_lock(&a->lock);
    a->pool_stream = NULL;
    a->pool = 0;
    pthread_mutex_unlock(&a->lock);
}

int64_t terni_allocator_pool_drop(terni_allocator *a, int id) {
    int64_t live = 0;
    pthread_mutex_lock(&a->lock);
    for (int i = 0; i < BINS; i++)
        for (block *b = a->bin[i]; b; b = b->next)
            if (b->pool == id) b->pool = 0;
    for (use *w = a->waiting; w; w = w->next)
        if (w->b->pool == id) w->b->pool = 0;
    for (int i = 0; i < BUCKETS; i++)
        for (block *b = a->bucket[i]; b; b = b->chain)
            if (b->pool == id) {
                b->pool = 0;
                live++;
            }
    pthread_mutex_unlock(&a->lock);
    return live;
}

int terni_allocator_pool_of(terni_allocator *a, const void *p) {
    pthread_mutex_lock(&a->lock);
    const block *b = live_find(a, p);
    const int pool = b ? b->pool : 0;
    pthread_mutex_unlock(&a->lock);
    return pool;
}

bool terni_allocator_direct(const terni_allocator *a) { return a->direct; }

/* ---- statistics
 * --------------------------------------------------------------------------------------------------------- */

void terni_allocator_read(terni_allocator *a, terni_allocator_stats *stats) {
    pthread_mutex_lock(&a->lock);
    *stats = a->stats;
    pthread_mutex_unlock(&a->lock);
}

void terni_allocator_reset_peak(terni_allocator *a) {
    pthread_mutex_lock(&a->lock);
    a->stats.live_peak = a->stats.live;
    a->stats.reserved_peak = a->stats.reserved;
    pthread_mutex_unlock(&a->lock);
}

void terni_allocator_describe(terni_allocator *a, char *text, size_t size) {
    terni_allocator_stats s;
    terni_allocator_read(a, &s);
    size_t free = 0, total = 0;
    const double mib = 1.0 / (1 << 20);
    const int rc = a->driver->mem_info(&free, &total);
    const int n =
        snprintf(text, size, "%.1f MiB in use (at most %.1f), %.1f MiB reserved in %lld segments (at most %.1f)",
                 (double)s.live * mib, (double)s.live_peak * mib, (double)s.reserved * mib, (long long)s.segments,
                 (double)s.reserved_peak * mib);
    if (!rc && n > 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n, ", %.1f of the device's %.1f MiB free", (double)free * mib,
                 (double)total * mib);
}
