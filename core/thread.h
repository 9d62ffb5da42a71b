/* Per-thread state that ops touch on every call, in one place so that one address computation reaches it. Private. */
#ifndef TERNI_THREAD_H
#define TERNI_THREAD_H

#include "internal.h"
#include "tern/graph.h"

enum { TERNI_CLASSES = 16, TERNI_CLASS_BYTES = 64 }; /* free lists for blocks of 64, 128, ... 1024 bytes */

/* Texts of a thread, apart from its fast state: they would not fit in the loader's reserve for programs that open the
 * library at run time (glibc keeps 512 bytes for all such libraries together). */
typedef struct terni_words {
    char message[1536];
    char shape[6][120], tensor[6][160]; /* rotating */
    unsigned next_shape, next_tensor;
} terni_words;

enum { TERNI_ANOMALY_MODE = 1, TERNI_ANOMALY_WATCH = 2, TERNI_ANOMALY_INFINITE = 4 };
enum { TERNI_OFF_MODE = 1, TERNI_OFF_INFERENCE = 2 };

typedef struct terni_thread {
    bool ready;            /* its destructor is registered */
    unsigned char off;     /* why recording is off: a bit each, zero means that it is on */
    unsigned char anomaly; /* who looks for NaN: bits of TERNI_ANOMALY_... */
    bool listening;        /* a trace or the watch sees the ops */
    bool draining;         /* inside the loop that frees nodes */
    bool autocast;         /* ops cast their inputs */
    tern_code error;
    int scope_n, scope_cap;
    tern_tensor **scope;
    terni_node *dead; /* nodes to be freed by that loop */
    void *free_list[TERNI_CLASSES];
    int free_n[TERNI_CLASSES];
    terni_draws *replay;       /* draws come from here instead of the program's stream; NULL: from that */
    tern_graph *capture;       /* under way in this thread (graph.c) */
    uint32_t region;           /* nodes made now belong to it; 0 for none */
    const char *op;            /* the public op under way that is made of others: errors begin with it */
    bool muted;                /* errors are recorded, the handler is not called */
    terni_words *words;        /* made when first needed */
    struct terni_casts *casts; /* autocast's (autocast.c); made when first needed */
    int inside;                /* of ops and passes whose parts are not watched */
    int64_t passes;            /* backward passes since the watch began */
    struct tern_tracer *trace; /* lists what the thread does (trace.c); NULL: none */
} terni_thread;

/* initial-exec: no function call to find it; the struct is small enough for the loader's reserve. */
extern _Thread_local terni_thread terni_self __attribute__((tls_model("initial-exec")));

/* terni_given without a call where all is well. */
static inline bool terni_has(const void *p, const char *op, const char *what) {
    return (p && terni_self.error == TERN_OK) || terni_given(p, op, what);
}
/* terni_scope_add without a call where there is room. */
static inline tern_tensor *terni_scope_put(tern_tensor *t) {
    if (terni_self.scope_n == terni_self.scope_cap) return terni_scope_add(t);
    return terni_self.scope[terni_self.scope_n++] = t;
}
/* Takes back one reference that is held: true if it was the last. A holder that sees no other reference is alone, and
 * needs no locked instruction to find out. */
static inline bool terni_last(atomic_int *refs) {
    return atomic_load_explicit(refs, memory_order_acquire) == 1 ||
           atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}
/* Registers the thread for clean-up at its end. */
void terni_thread_ready(void);
/* The thread's texts; NULL if there is no memory for them. */
terni_words *terni_words_of(void);
void *terni_words_alloc(size_t bytes); /* memory.c */
void terni_words_free(void *p);
/* Clean-up by the files that own the parts. */
void terni_graph_thread_exit(void);
void terni_autocast_thread_exit(void);
void terni_scope_thread_exit(void);
void terni_memory_thread_exit(void);
void terni_device_thread_exit(void);

#endif
