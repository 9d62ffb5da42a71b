/* Captured graphs: the state machine under core/graph.h.
 *
 * A device is idle or captured, by one thread. capture_begin makes the thread's stream record (CUDA's relaxed mode:
 * what may not happen is refused here, by name, so CUDA need not forbid the allocations that are meant) and points the
 * allocator, for that stream, at a pool of the graph's own, whose blocks no other work gets, also not after they were
 * freed: each replay writes to the same addresses. capture_end takes both back, whatever happened in between, and gives
 * the graph, or nothing if the capture was spoilt.
 *
 * What spoils it: calls that wait for the device or copy from the host, use of the device by other threads (they would
 * see memory that nothing has written yet), use of other devices by this one, errors of CUDA. Each is refused with an
 * error, and the first is remembered for capture_end.
 *
 * Memory that was allocated before the capture and is freed inside of it may be used by the captured work. It is held
 * until the graph is freed.
 *
 * What changes from replay to replay stands in cells, words of device memory that captured kernels read: the start of
 * the random draws, the optimizers' rates. A replay first writes them, in one launch that carries the values as its
 * arguments, then launches the graph, both in the stream's order: replays that wait in the queue have their values with
 * them. Who computes the values is core's business. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

typedef struct held {
    void *p;
    struct held *next;
} held;

typedef struct kept {
    void (*give)(void *from, void *what);
    void *from, *what;
    struct kept *next;
} kept;

typedef struct graph {
    int device, pool;
    terni_stream stream; /* that was captured */
    terni_allocator *allocator;
    void *exec;
    held *held;
    kept *kept;
} graph;

static struct {
    graph *g;      /* NULL: idle */
    char why[160]; /* what spoilt it; "": nothing */
} captures[TERNI_CUDA_DEVICES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int under_way, pools;
static _Thread_local int mine = -1; /* the device that this thread captures */

/* ---- what is refused
 * ------------------------------------------------------------------------------------------------------ */

void terni_cuda_capture_spoil(int device, const char *what) {
    pthread_mutex_lock(&lock);
    if (captures[device].g && !captures[device].why[0])
        snprintf(captures[device].why, sizeof captures[device].why, "%s", what);
    pthread_mutex_unlock(&lock);
}

static bool captured(int device) {
    pthread_mutex_lock(&lock);
    const bool yes = captures[device].g != NULL;
    pthread_mutex_unlock(&lock);
    return yes;
}

bool terni_cuda_capture_allows(int device) {
    if (atomic_load_explicit(&under_way, memory_order_acquire) == 0 || mine == device) return true;
    char what[80];
    if (mine >= 0) {
        snprintf(what, sizeof what, "work on cuda:%d", device);
        terni_cuda_capture_spoil(mine, what);
        return terni_cuda_fail(TERN_ERR_UNSUPPORTED, "graph: %s while cuda:%d is captured", what, mine);
    }
    if (!captured(device)) return true;
    terni_cuda_capture_spoil(device, "work of another thread");
    return terni_cuda_fail(TERN_ERR_UNSUPPORTED, "graph: cuda:%d is captured by another thread", device);
}

bool terni_cuda_not_captured(int device, const char *what) {
    if (mine != device) return true;
    terni_cuda_capture_spoil(device, what);
    return terni_cuda_fail(TERN_ERR_UNSUPPORTED, "graph: %s cannot be captured", what);
}

void terni_cuda_capture_failed(const char *what) {
    if (mine >= 0) terni_cuda_capture_spoil(mine, what);
}

/* Whichever thread frees it. */
bool terni_cuda_capture_holds(int device, void *p) {
    if (atomic_load_explicit(&under_way, memory_order_acquire) == 0) return false;
    pthread_mutex_lock(&lock);
    graph *g = captures[device].g;
    const bool outside = g && terni_allocator_pool_of(g->allocator, p) != g->pool;
    held *h = outside ? terni_cuda_host->alloc_quiet(sizeof *h) : NULL;
    if (h) {
        *h = (held){p, g->held};
        g->held = h;
    } else if (outside && !captures[device].why[0])
        snprintf(captures[device].why, sizeof captures[device].why, "want of host memory");
    pthread_mutex_unlock(&lock);
    return h != NULL;
}

bool terni_cuda_capture_keeps(void (*give)(void *from, void *what), void *from, void *what) {
    if (mine < 0) return false;
    graph *g = captures[mine].g; /* nobody but a graph_free below changes it while it is ours */
    kept *k = terni_cuda_host->alloc_quiet(sizeof *k);
    if (!k) { /* it is never given back: the graph that needs it may have been replayed by then */
        terni_cuda_capture_spoil(mine, "want of host memory");
        return true;
    }
    pthread_mutex_lock(&lock);
    *k = (kept){give, from, what, g->kept};
    g->kept = k;
    pthread_mutex_unlock(&lock);
    return true;
}

/* While the stream is captured again it cannot be waited for: then that graph keeps what this one had. No capture
 * begins meanwhile, as it needs the lock. */
static void give_kept(graph *g, bool was_replayed) {
    kept *k = g->kept;
    if (!k) return;
    pthread_mutex_lock(&lock);
    graph *now = captures[g->device].g;
    if (now && now != g) {
        kept **end = &now->kept;
        while (*end) end = &(*end)->next;
        *end = k;
        k = NULL;
    } else if (was_replayed)
        terni_cuda_note(terni_cuda_driver->stream_wait(g->stream));
    pthread_mutex_unlock(&lock);
    for (kept *next; k; k = next) {
        next = k->next;
        k->give(k->from, k->what);
        terni_cuda_host->free_quiet(k, sizeof *k);
    }
}

/* ---- capturing
 * ------------------------------------------------------------------------------------------------------------ */

/* Gives back what the graph has but for exec. Returns how many blocks of its pool live on. */
static int64_t dispose(graph *g) {
    for (held *h = g->held, *next; h; h = next) {
        next = h->next;
        terni_allocator_put(g->allocator, h->p);
        terni_cuda_host->free_quiet(h, sizeof *h);
    }
    const int64_t alive = terni_allocator_pool_drop(g->allocator, g->pool);
    terni_cuda_host->free(g, sizeof *g);
    return alive;
}

static bool claim(int device, graph *g) {
    pthread_mutex_lock(&lock);
    const bool idle = captures[device].g == NULL;
    if (idle) {
        captures[device].g = g;
        captures[device].why[0] = 0;
        atomic_fetch_add(&under_way, 1);
    }
    pthread_mutex_unlock(&lock);
    return idle;
}

static graph *let_go(int device, char *why, size_t size) {
    pthread_mutex_lock(&lock);
    graph *g = captures[device].g;
    snprintf(why, size, "%s", captures[device].why);
    captures[device].g = NULL;
    atomic_fetch_sub(&under_way, 1);
    pthread_mutex_unlock(&lock);
    return g;
}

bool terni_cuda_capture_begin(int device) {
    if (!terni_cuda_not_captured(device, "a second capture")) return false;
    terni_cuda_device *d = terni_cuda_use(device);
    if (!d) return false;
    if (terni_allocator_direct(d->allocator))
        return terni_cuda_fail(TERN_ERR_UNSUPPORTED, "graph: with TERN_CUDA_ALLOCATOR=direct nothing can be captured");
    graph *g = terni_cuda_host->alloc(sizeof *g);
    if (!g) return false;
    *g = (graph){
        .device = device, .pool = atomic_fetch_add(&pools, 1) + 1, .stream = d->stream, .allocator = d->allocator};
    if (!claim(device, g)) {
        terni_cuda_host->free(g, sizeof *g);
        return terni_cuda_capture_allows(device); /* another thread was first; it says so */
    }
    if (!TERNI_CUDA_OK(terni_cuda_driver->capture_begin(d->stream))) {
        char why[8];
        terni_cuda_driver->launched(); /* the driver remembers it as the last error */
        dispose(let_go(device, why, sizeof why));
        return false;
    }
    terni_allocator_pool_begin(d->allocator, d->stream, g->pool);
    mine = device;
    return true;
}

static bool usable(const char *why, int rc, const void *exec) {
    if (why[0]) return terni_cuda_fail(TERN_ERR_UNSUPPORTED, "graph: the capture was spoilt by %s", why);
    if (rc) return TERNI_CUDA_OK(rc);
    return exec || terni_cuda_fail(TERN_ERR_DEVICE, "graph: CUDA gave none for the capture");
}

void *terni_cuda_capture_end(int device, bool keep) {
    char why[sizeof captures->why];
    graph *g = captures[device].g;                          /* nobody else changes it while it is ours */
    terni_cuda_note(terni_cuda_driver->use_device(device)); /* memory of another one may have been freed */
    const int rc = terni_cuda_driver->capture_end(g->stream, &g->exec);
    if (rc) terni_cuda_driver->launched();
    terni_allocator_pool_end(g->allocator);
    (void)let_go(device, why, sizeof why); /* only now may other threads' work come */
    mine = -1;
    if (keep && usable(why, rc, g->exec)) return g;
    if (g->exec) terni_cuda_driver->graph_free(g->exec);
    give_kept(g, false);
    dispose(g);
    return NULL;
}

/* ---- replays
 * -------------------------------------------------------------------------------------------------------------- */

/* Later work of `behind` comes after what `ahead` holds now. */
static bool order(terni_stream behind, terni_stream ahead) {
    const terni_driver *r = terni_cuda_driver;
    terni_event e = NULL;
    if (behind == ahead) return true;
    if (!TERNI_CUDA_OK(r->event_new(&e, false))) return false;
    const bool ok = TERNI_CUDA_OK(r->event_record(e, ahead)) && TERNI_CUDA_OK(r->stream_after(behind, e));
    terni_cuda_note(r->event_free(e)); /* CUDA keeps it until it has passed */
    return ok;
}

/* On the thread's stream. All replays of a graph use one memory, whose stream is the one that was captured: each comes
 * after what that holds, other replays too, and before what comes there later. */
bool terni_cuda_graph_replay(void *work, const terni_cell *cells, int n) {
    const graph *g = work;
    if (!terni_cuda_not_captured(g->device, "a replay")) return false;
    terni_cuda_device *d = terni_cuda_use(g->device);
    if (!d || !order(d->stream, g->stream) || !terni_cuda_set_cells(d, cells, n) ||
        !TERNI_CUDA_OK(terni_cuda_driver->graph_launch(g->exec, d->stream)))
        return false;
    if (order(g->stream, d->stream)) return true;
    terni_cuda_note(terni_cuda_driver->stream_wait(d->stream)); /* the graph's memory may go to others now */
    return false;
}

/* CUDA frees a graph that is still at work when it has done it, and its memory goes to work that comes after; only what
 * a library's plans hold has to be waited for. */
int64_t terni_cuda_graph_free(void *work) {
    graph *g = work;
    terni_cuda_note(terni_cuda_driver->use_device(g->device));
    give_kept(g, true);
    if (terni_cuda_driver->graph_free(g->exec)) terni_cuda_driver->launched();
    return dispose(g);
}
