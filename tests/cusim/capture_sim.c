#include "capture_sim.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef struct work {
    void (*run)(void *user);
    void (*drop)(void *user);
    void *user;
    struct work *next;
} work;

typedef struct segment {
    void *p;
    size_t bytes;
    struct segment *next;
} segment;

typedef struct graph {
    work *first, **last;
} graph;

static _Thread_local struct {
    graph *g; /* NULL: nothing is captured */
    terni_stream stream;
    segment *segments;
    bool spoilt;
} now;

bool terni_sim_capturing(terni_stream s) { return now.g && now.stream == s; }

int terni_sim_record(void (*run)(void *user), void (*drop)(void *user), void *user) {
    work *w = malloc(sizeof *w);
    if (!w) return TERNI_DRIVER_NO_MEMORY;
    *w = (work){run, drop, user, NULL};
    *now.g->last = w;
    now.g->last = &w->next;
    return 0;
}

typedef struct deed {
    void (*run)(const void *args);
    max_align_t args[];
} deed;
static void deed_run(void *user) {
    const deed *d = user;
    d->run(d->args);
}

int terni_sim_do(terni_stream s, void (*run)(const void *args), const void *args, size_t bytes) {
    if (!terni_sim_capturing(s)) {
        run(args);
        return 0;
    }
    deed *d = malloc(sizeof *d + bytes);
    if (!d) return TERNI_DRIVER_NO_MEMORY;
    d->run = run;
    memcpy(d->args, args, bytes);
    return terni_sim_record(deed_run, free, d);
}

int terni_sim_refuses(terni_stream s) {
    if (!terni_sim_capturing(s)) return 0;
    now.spoilt = true;
    return TERNI_SIM_NOT_CAPTURED;
}

int terni_sim_capture_begin(terni_stream s) {
    if (now.g) return TERNI_SIM_NOT_CAPTURED;
    graph *g = malloc(sizeof *g);
    if (!g) return TERNI_DRIVER_NO_MEMORY;
    g->first = NULL;
    g->last = &g->first;
    now.g = g;
    now.stream = s;
    now.spoilt = false;
    return 0;
}

int terni_sim_capture_end(terni_stream s, void **out) {
    *out = NULL;
    if (!terni_sim_capturing(s)) return TERNI_SIM_NOT_CAPTURED;
    graph *g = now.g;
    now.g = NULL;
    for (segment *m = now.segments, *next; m; m = next) {
        next = m->next;
        memset(m->p, 0xFF, m->bytes);
        free(m);
    }
    now.segments = NULL;
    if (now.spoilt) {
        terni_sim_graph_free(g);
        return TERNI_SIM_SPOILT;
    }
    *out = g;
    return 0;
}

int terni_sim_graph_launch(void *p) {
    const graph *g = p;
    for (const work *w = g->first; w; w = w->next) w->run(w->user);
    return 0;
}

void terni_sim_graph_free(void *p) {
    graph *g = p;
    for (work *w = g->first, *next; w; w = next) {
        next = w->next;
        w->drop(w->user);
        free(w);
    }
    free(g);
}

void terni_sim_capture_alloc(void *p, size_t bytes) {
    segment *m = now.g ? malloc(sizeof *m) : NULL;
    if (!m) return;
    *m = (segment){p, bytes, now.segments};
    now.segments = m;
}

void terni_sim_capture_release(void *p) {
    for (segment **at = &now.segments; *at; at = &(*at)->next) {
        segment *m = *at;
        if (m->p != p) continue;
        *at = m->next;
        free(m);
        return;
    }
}
