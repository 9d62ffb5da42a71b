/* The tape's nodes, and what records them. Private to core's autograd files, tensor.c and elementwise.c. */
#ifndef TERNI_TAPE_H
#define TERNI_TAPE_H

#include "internal.h"

/* Where an input's gradient goes: output `out` of node. A leaf's node (its sink) belongs to the leaf, so the edge keeps
 * the leaf; otherwise the edge keeps the node. node NULL: no gradient is wanted. */
typedef struct terni_edge {
    terni_node *node;
    tern_tensor *leaf;
    int out;
    tern_dtype dtype;
    tern_shape shape; /* the input's */
} terni_edge;

typedef struct terni_saved {
    tern_tensor *t;
    const terni_storage *storage; /* its storage when it was saved */
    uint32_t version;             /* and that one's version */
    uint32_t moves;               /* and the tensor's, which may since have been given another storage */
    int output; /* it is this output of the node, saved without its link to the node (no cycle); else -1 */
} terni_saved;

typedef struct terni_hook {
    struct terni_hook *next;
    tern_grad_hook fn;    /* with the gradient that comes in; NULL in the other kind */
    tern_leaf_hook after; /* with the leaf, after its gradient was accumulated */
    void *user;
    int out, number;
} terni_hook;

enum { TERNI_SAVED_INLINE = 3 };

/* What a backward pass knows of a node. */
typedef struct terni_turn {
    const void *pass;         /* which pass; NULL: none is under way */
    struct terni_turn *outer; /* what the pass around this one knows; owned */
    int at;                   /* next edge to visit */
    int target;               /* tern_grad: 1 + first index in the list of inputs; 0 none */
    bool walked, needed;
    uint8_t narrow[TERN_MAX_OUT];    /* the dtype that a sum, kept in f32, is to have; 0 where it has it */
    tern_tensor *grad[TERN_MAX_OUT]; /* what has come in so far; owned */
} terni_turn;

struct terni_node {          /* is what a tern_ctx is */
    const tern_function *fn; /* NULL: the sink of a leaf */
    atomic_int refs;
    bool transient; /* for a forward that is not recorded: saves nothing */
    bool used;      /* what was saved is gone */
    bool lasting;   /* never used up: a cast that many graphs share, and that saves nothing */
    int16_t n_in, n_out;
    int n_saved, cap_saved;
    size_t bytes; /* of this block: the node, its edges, its options */
    terni_edge *edge;
    void *opts;
    terni_saved *saved, saved_inline[TERNI_SAVED_INLINE];
    terni_hook *hooks;
    int hook_next;
    uint32_t region;              /* the recomputed function that made it; 0 for none */
    atomic_uint mark;             /* of the last walk that saw it (terni_reach) */
    tern_tensor *leaf;            /* a sink's, not owned */
    terni_node *next;             /* list of the dead, stack of the pass */
    _Atomic(const void *) walker; /* the thread whose passes may look at the turn; NULL: any may take it */
    terni_turn turn;
};

struct tern_ctx {
    terni_node node;
};

/* A node with room for n_in edges (cleared) and a copy of the options. NULL after recording an error. */
terni_node *terni_node_new(const tern_function *fn, int n_in, const void *opts, size_t opts_size);
void terni_node_release(terni_node *n);
/* Sets edge i to where t's gradient goes (t may be NULL, or want none). */
void terni_edge_set(terni_node *n, int i, tern_tensor *t);
/* Copies an edge of another node. */
void terni_edge_copy(terni_node *n, int i, const terni_edge *from);
/* Keeps t for backward. */
bool terni_node_save(terni_node *n, tern_tensor *t);
/* s holds t, another head for what it held. */
void terni_saved_swap(terni_saved *s, tern_tensor *t);
/* Makes t output number out of n: t takes a reference to n. Saved tensors that are t are cut loose from it. */
bool terni_node_output(terni_node *n, tern_tensor *t, int out);
/* Calls visit for root and for each node it leads to, once; in a region (not 0), for those in it alone. Nearer ones
 * come first. Ends when visit returns false. False after recording an error; visit may record one too. */
bool terni_reach(terni_node *root, uint32_t region, bool (*visit)(terni_node *n, void *user), void *user);
/* A number for a region: a part of a graph, made by one call of a function. */
uint32_t terni_region_new(void);
/* tern_grad of one output with respect to the places that edges lead to, where wanted[i]: they lie outside of the
 * region that y was computed in, and the pass ends at them. out[i] is NULL where y does not depend on the place. */
bool terni_grad_edges(tern_tensor *y, tern_tensor *seed, uint32_t region, const terni_edge *edge, const bool *wanted,
                      int n, bool create, tern_tensor **out);
/* Forgets what n saved. */
void terni_node_drop_saved(terni_node *n);

/* The NaN watch: false after recording an error if an output of an op that just ran has what is watched for. */
bool terni_watch_op(const char *op, tern_tensor *const *in, int n, tern_tensor *const *out, int n_out);
/* Anomaly mode and the watch: false after recording an error if a gradient that n's rule made, or that reaches n, has
 * NaN. */
bool terni_anomaly_in(const terni_node *n, tern_tensor *const *gin);
bool terni_anomaly_out(const terni_node *n);

#endif
