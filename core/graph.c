/* Captured graphs: what of them is not the backend's. The graph has a list of hooks and one of numbers; the start of
 * its random draws is one more pair of numbers, taken from the program's stream before each replay, while the captured
 * kernels hold positions that count from there. Cells are gathered on the host and handed to the backend with the
 * replay, which writes them in the order of the stream, before the captured work. So their memory must be no other's at
 * any time of that work, and is had before all else: in one piece at the start of the capture. */
#include "tern/graph.h"

#include <string.h>

#include "casting.h"

typedef struct hook {
    tern_graph_hook call;
    void (*drop)(void *user);
    void *user;
    struct hook *next;
} hook;

enum { NUMBERS = 8192 }; /* that a graph has room for, the two of its draws included */

typedef struct numbers {
    int n;
    double *value;
    struct numbers *next;
} numbers;

struct tern_graph {
    tern_device device;
    const terni_backend *backend;
    const terni_thread *owner;
    void *work;        /* the backend's graph */
    tern_tensor *room; /* [NUMBERS], f64: seed and position (integers) of the replay's draws, then the numbers */
    terni_draws draws; /* while capturing: the next draw, counted from the start; then how many blocks there are */
    hook *hooks, **last_hook;
    numbers *numbers, **last_numbers;
    int n_cells; /* of the room, that are in use */
    terni_cell *cells;
};

bool tern_graph_capturing(void) { return terni_self.capture != NULL; }

static void spoil(tern_graph *g, const char *what) { g->backend->capture_spoil(g->device.index, what); }

bool terni_not_capturing(const char *what) {
    tern_graph *g = terni_self.capture;
    if (!g) return true;
    spoil(g, what);
    return terni_fail(TERN_ERR_UNSUPPORTED, "graph: %s cannot be captured", what);
}

/* The graph's own parts; g->work is NULL or given back. */
static void dispose(tern_graph *g) {
    for (hook *h = g->hooks, *next; h; h = next) {
        next = h->next;
        if (h->drop) h->drop(h->user);
        terni_free(h, sizeof *h);
    }
    for (numbers *v = g->numbers, *next; v; v = next) {
        next = v->next;
        terni_mfree(v->value);
        terni_free(v, sizeof *v);
    }
    tern_release(g->room);
    terni_mfree(g->cells);
    terni_free(g, sizeof *g);
}

/* ---- capturing
 * --------------------------------------------------------------------------------------------------------- */

static tern_graph *graph_new(tern_device device, const terni_backend *b) {
    tern_graph *g = terni_calloc(sizeof *g);
    if (!g) return NULL;
    g->device = device;
    g->backend = b;
    g->owner = &terni_self;
    g->last_hook = &g->hooks;
    g->last_numbers = &g->numbers;
    if (b->capture_begin(device.index)) return g;
    dispose(g);
    return NULL;
}

bool tern_graph_capture_begin(tern_device device) {
    TERNI_NAMED("graph_capture_begin");
    if (!tern_ok()) return false;
    const terni_backend *b = terni_backend_of(device);
    if (!b) return false;
    if (!b->capture_begin)
        return terni_fail(TERN_ERR_UNSUPPORTED, "graph_capture_begin: the %s backend captures no graphs", b->name);
    if (terni_self.capture) {
        spoil(terni_self.capture, "a second tern_graph_capture_begin");
        return terni_fail(TERN_ERR_ARGUMENT, "graph_capture_begin: this thread captures already");
    }
    if (terni_self.replay)
        return terni_fail(TERN_ERR_UNSUPPORTED, "graph_capture_begin: inside of a recomputed function");
    tern_graph *g = graph_new(device, b);
    if (!g) return false;
    terni_autocast_forget();
    terni_self.capture = g;
    terni_self.replay = &g->draws;
    const int scope = tern_scope_push();
    tern_tensor *room = terni_new(TERN_SHAPE(NUMBERS), TERN_F64, device);
    if (room) {
        g->room = tern_keep(room);
        g->draws.base = room->v.data;
        g->n_cells = 2;
    }
    tern_scope_pop(scope);
    if (room) return true;
    (void)tern_graph_capture_end(); /* the error is pending: there is no graph */
    return false;
}

/* Replays allocate nothing. */
static bool make_cells(tern_graph *g) {
    g->cells = terni_malloc((size_t)g->n_cells * sizeof *g->cells);
    for (int i = 0; g->cells && i < g->n_cells; i++) g->cells[i].at = (char *)g->room->v.data + 8 * i;
    return g->cells != NULL;
}

tern_graph *tern_graph_capture_end(void) {
    TERNI_NAMED("graph_capture_end");
    tern_graph *g = terni_self.capture;
    if (!g) return terni_null(TERN_ERR_ARGUMENT, "graph_capture_end: this thread captures nothing");
    if (terni_self.replay != &g->draws) /* a function that is computed anew for a backward pass */
        return terni_not_capturing("tern_graph_capture_end inside of a recomputed function"), NULL;
    terni_autocast_forget();
    terni_self.capture = NULL;
    terni_self.replay = NULL;
    const bool keep = tern_ok() && make_cells(g);
    g->work = g->backend->capture_end(g->device.index, keep);
    if (g->work) return g;
    dispose(g);
    return NULL;
}

/* A thread that ends leaves no device captured. */
void terni_graph_thread_exit(void) {
    tern_graph *g = terni_self.capture;
    if (!g) return;
    terni_self.capture = NULL;
    terni_self.replay = NULL;
    (void)g->backend->capture_end(g->device.index, false);
    dispose(g);
}

/* ---- hooks and numbers
 * ------------------------------------------------------------------------------------------------- */

static tern_graph *under_way(const char *op) {
    if (!tern_ok()) return NULL;
    if (terni_self.capture) return terni_self.capture;
    return terni_null(TERN_ERR_ARGUMENT, "%s: this thread captures nothing", op);
}

bool tern_graph_on_replay(tern_graph_hook call, void (*drop)(void *user), void *user) {
    tern_graph *g = under_way("graph_on_replay");
    if (!g || !terni_given(call ? "" : NULL, "graph_on_replay", "hook")) return false;
    hook *h = terni_alloc(sizeof *h);
    if (!h) return false;
    *h = (hook){call, drop, user, NULL};
    *g->last_hook = h;
    g->last_hook = &h->next;
    return true;
}

tern_tensor *tern_graph_numbers(int n, double **value) {
    tern_graph *g = under_way("graph_numbers");
    if (!g || !terni_given(value, "graph_numbers", "value")) return NULL;
    if (n < 1 || n > NUMBERS - g->n_cells)
        return terni_null(TERN_ERR_ARGUMENT, "graph_numbers: n is %d, expected 1 to the %d that the graph has left", n,
                          NUMBERS - g->n_cells);
    tern_tensor *t = terni_alias(g->room, TERN_SHAPE(n), (const int64_t[]){1}, g->n_cells);
    numbers *v = t ? terni_calloc(sizeof *v) : NULL;
    if (!v) return NULL;
    v->value = terni_malloc((size_t)n * sizeof(double));
    if (!v->value) {
        terni_free(v, sizeof *v);
        return NULL;
    }
    memset(v->value, 0, (size_t)n * sizeof(double));
    v->n = n;
    g->n_cells += n;
    *g->last_numbers = v;
    g->last_numbers = &v->next;
    *value = v->value;
    return t;
}

/* ---- replays
 * ------------------------------------------------------------------------------------------------------------ */

static void put_cells(tern_graph *g) {
    const tern_random at = terni_random_take(g->draws.position);
    int k = 2;
    g->cells[0].bits = at.seed;
    g->cells[1].bits = at.position;
    for (const numbers *v = g->numbers; v; v = v->next)
        for (int i = 0; i < v->n; i++) memcpy(&g->cells[k++].bits, &v->value[i], sizeof(double));
}

bool tern_graph_replay(tern_graph *g) {
    TERNI_NAMED("graph_replay");
    if (!terni_given(g, "graph_replay", "graph")) return false;
    if (terni_self.capture) {
        spoil(terni_self.capture, "a replay of another graph");
        return terni_fail(TERN_ERR_ARGUMENT, "graph_replay: this thread captures a graph");
    }
    if (g->owner != &terni_self)
        return terni_fail(TERN_ERR_ARGUMENT, "graph_replay: the graph was captured by another thread");
    for (const hook *h = g->hooks; h; h = h->next)
        if (!h->call(h->user) || !tern_ok())
            return !tern_ok() ? false : terni_fail(TERN_ERR_ARGUMENT, "graph_replay: a hook failed without an error");
    put_cells(g);
    terni_autocast_forget();
    const bool ok = g->backend->graph_replay(g->work, g->cells, g->n_cells);
    terni_autocast_replayed();
    return ok;
}

bool tern_graph_free(tern_graph *g) {
    if (!g) return true;
    const terni_backend *b = g->backend;
    void *work = g->work;
    dispose(g);
    const int64_t alive = b->graph_free(work);
    if (alive == 0) return true;
    return terni_fail(TERN_ERR_ARGUMENT,
                      "graph_free: %lld tensors that the capture made live on; replays no longer "
                      "change them",
                      (long long)alive);
}
