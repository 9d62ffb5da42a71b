/* What core's own files share: the tensor's layout, the tape's nodes, and short cuts for writing ops. Private. */
#ifndef TERNI_INTERNAL_H
#define TERNI_INTERNAL_H

#include <stdatomic.h>

#include "backend.h"
#include "door.h"
#include "tern/autograd.h"
#include "tern/memory.h"
#include "tern/ops.h"
#include "tern/random.h"
#include "tern/tensor.h"

/* ---- shapes (shape.c): the one place of overflow-checked shape arithmetic
 * --------------------------------------------- */

/* Element count; -1 on overflow, a negative size, or a wrong ndim. */
int64_t terni_shape_numel(const tern_shape *s);
bool terni_mul_i64(int64_t a, int64_t b, int64_t *out); /* false on overflow */
bool terni_shape_check(const char *op, const tern_shape *s,
                       tern_dtype dtype); /* numel and bytes fit; records TERN_ERR_SHAPE */
/* dim in [-ndim, ndim) to [0, ndim); -1 after recording TERN_ERR_SHAPE for op. */
int terni_dim(const char *op, int dim, int ndim);
/* dims[n] (all of them if n is 0) as a bit set; false after recording an error. */
bool terni_dims(const char *op, const int *dims, int n, int ndim, uint32_t *bits);
/* Broadcast of a and b; false after recording "op: shapes [..] and [..] do not broadcast". */
bool terni_broadcast(const char *op, tern_shape a, tern_shape b, tern_shape *out);
/* "[2, 3] f32" in one of a few rotating per-thread buffers, for messages. */
const char *terni_describe(const tern_tensor *t);
const char *terni_shape_str(tern_shape s);

/* ---- tensors (tensor.c)
 * ------------------------------------------------------------------------------------------------- */

typedef struct terni_storage {
    atomic_int refs;
    atomic_int loose; /* of refs: what nodes saved of their own outputs, seen by no program */
    tern_device device;
    uint32_t version;
    void *data;
    size_t bytes;
    void (*drop)(void *user); /* foreign memory; else NULL */
    void *user;
    bool foreign;
    bool pinned;    /* on the CPU; data is the CUDA backend's */
    bool inference; /* made in inference mode: never saved, versions not counted */
} terni_storage;

typedef struct terni_node terni_node;

/* What few tensors have; made when it is first needed. */
typedef struct terni_meta {
    char *name;
    tern_tensor *grad;
    terni_node *sink; /* a leaf's place in graphs: where its gradient arrives */
} terni_meta;

struct tern_tensor {
    terni_view v;
    atomic_int refs;
    bool requires_grad; /* a leaf that wants a gradient */
    bool contiguous;
    tern_device device;
    int out_index;     /* which output of node this is */
    uint32_t moves;    /* how often it was given another storage */
    atomic_int savers; /* how often nodes have it saved */
    int64_t numel;
    terni_storage *storage;
    terni_node *node; /* what computed it; NULL for leaves; owned */
    terni_meta *meta;
};

static inline tern_shape terni_shape(const tern_tensor *t) {
    tern_shape s = {.ndim = t->v.ndim};
    for (int i = 0; i < s.ndim; i++) s.dim[i] = t->v.shape[i];
    return s;
}
static inline tern_dtype terni_dtype(const tern_tensor *t) { return (tern_dtype)t->v.dtype; }

/* What public functions say of any dtype and device, here for those that tensors have: without a call. */
extern const unsigned char terni_dtype_sizes[TERN_DTYPE_COUNT];
static inline size_t terni_size(const tern_tensor *t) { return terni_dtype_sizes[t->v.dtype]; }
static inline bool terni_is_float(tern_dtype d) {
    return d == TERN_F32 || d == TERN_F64 || d == TERN_F16 || d == TERN_BF16;
}
static inline bool terni_device_same(tern_device a, tern_device b) { return a.type == b.type && a.index == b.index; }
static inline bool terni_has_shape(const tern_tensor *t, const tern_shape *s) {
    bool same = t->v.ndim == s->ndim;
    for (int i = 0; same && i < s->ndim; i++) same = t->v.shape[i] == s->dim[i];
    return same;
}
static inline bool terni_same_shape(const tern_tensor *a, const tern_tensor *b) {
    bool same = a->v.ndim == b->v.ndim;
    for (int i = 0; same && i < b->v.ndim; i++) same = a->v.shape[i] == b->v.shape[i];
    return same;
}

/* A new contiguous tensor in the current scope; the shape was checked. */
tern_tensor *terni_new(tern_shape shape, tern_dtype dtype, tern_device device);
/* The same for the shape of t, which was checked when t was made. */
tern_tensor *terni_new_like(const tern_tensor *t, tern_dtype dtype);
/* The same on the CPU in pinned memory, if there is a backend that uses it. */
tern_tensor *terni_new_pinned(tern_shape shape, tern_dtype dtype);
/* A view of t's storage: shape, strides (elements), first element `offset` elements after t's first. Not recorded. */
tern_tensor *terni_alias(tern_tensor *t, tern_shape shape, const int64_t *strides, int64_t offset);
/* Memory of somebody else's on a device as a tensor (strides NULL: row-major); all was checked. drop as in tern_wrap.
 */
tern_tensor *terni_wrap(void *data, tern_shape shape, const int64_t *strides, tern_dtype dtype, tern_device device,
                        void (*drop)(void *user), void *user);
/* t if contiguous, else a contiguous copy; not recorded: for the inside of forward and kernels' callers. */
tern_tensor *terni_dense(tern_tensor *t);
/* t converted to dtype, not recorded. */
tern_tensor *terni_as(tern_tensor *t, tern_dtype dtype);
/* value for the kernels that fill a tensor of dtype; false after recording TERN_ERR_ARGUMENT if dtype does not hold it.
 */
bool terni_constant(const char *op, tern_dtype dtype, double value, terni_fill_opts *o);
terni_meta *terni_meta_of(tern_tensor *t); /* makes it */
/* Adds a reference that the calling thread's current scope drops at its end. Returns t; on failure releases it. */
tern_tensor *terni_scope_add(tern_tensor *t);

/* ---- dispatch (dispatch.c)
 * ------------------------------------------------------------------------------------------------ */

/* The tables of the backends that can be used, by the type of device; NULL before the first use. */
extern _Atomic(const terni_backend *) terni_tables[TERN_DEVICE_TYPE_COUNT];
/* The backend of a device, loaded now if need be; NULL after recording TERN_ERR_DEVICE. */
const terni_backend *terni_backend_find(tern_device d);
static inline const terni_backend *terni_backend_of(tern_device d) {
    const bool first =
        d.index == 0 && d.type >= 0 && d.type < TERN_DEVICE_TYPE_COUNT; /* a table has one device or more */
    const terni_backend *b = first ? atomic_load_explicit(&terni_tables[d.type], memory_order_acquire) : NULL;
    return b ? b : terni_backend_find(d);
}
/* Runs a structured kernel on the tensors' device; entries of in and out may be NULL (out[0] or in[0] is not). Fails if
 * devices differ, naming op. */
bool terni_run(int op, tern_tensor *const *in, int n_in, tern_tensor *const *out, int n_out, const void *opts);
/* The same on bare views. */
bool terni_run_views(int op, tern_device d, const terni_view *const *in, int n_in, const terni_view *const *out,
                     int n_out, const void *opts);
const char *terni_op_name(int op);
/* The same for a backend with a runtime, which is told of it. */
bool terni_call_entered(const terni_backend *b, terni_kernel k, const char *name, const terni_call *call);
/* Calls kernel k of backend b; name is the op's, for profilers. */
static inline bool terni_call_kernel(const terni_backend *b, terni_kernel k, const char *name, const terni_call *call) {
    return b->runtime ? terni_call_entered(b, k, name, call) : k(call);
}
/* Gives the loaded backends' caches back; sets their peaks to what is live now. */
void terni_backends_trim(void);
void terni_backends_reset_peak(void);
/* The common device of tensors a .. (NULL entries skipped); records TERN_ERR_DEVICE, naming op, and gives false if they
 * differ. */
bool terni_same_device(const char *op, tern_tensor *const *t, int n, tern_device *out);
/* All of t (NULL entries skipped) are float of one dtype; else records TERN_ERR_DTYPE. */
bool terni_same_float(const char *op, tern_tensor *const *t, int n);

/* ---- autograd (autograd.c, apply.c)
 * --------------------------------------------------------------------------------------- */

/* True if the calling thread records now. In a backward rule: true under create_graph, when fused kernels that are not
 * differentiable must make way for public ops. */
bool terni_recording(void);
static inline bool terni_wants(const tern_tensor *t) { return t->requires_grad || t->node; }
/* Puts y, which is row(x) already, on the tape; row is one without parameters. Returns y. */
tern_tensor *terni_unary_done(int row, tern_tensor *x, tern_tensor *y);
/* Refuses an in-place change of t by b (or NULL) while recording: for changes that are never recorded (statistics). */
bool terni_in_place_ok(const char *op, tern_tensor *t, tern_tensor *b);

/* ---- changes in place (in_place.c). An op that changes t, with operands b[0 .. n), reads:
 *
 *     switch (terni_in_place_begin("atan2_", NULL, t, &b, 1)) {
 *         case TERNI_REFUSED: return NULL;
 *         case TERNI_PLAIN: run the kernel from t to t; terni_changed(t); return t;
 *         case TERNI_RECORDED: break;
 *     }
 *     const int scope = tern_scope_push();
 *     tern_tensor *old = terni_in_place_old(t);
 *     tern_tensor *r = old ? terni_in_place_end("atan2_", t, tern_atan2(old, b == t ? old : b)) : NULL;
 *     tern_scope_pop(scope);
 *     return r;
 *
 * The op's own checks (shapes, dtypes) come first, so that they name it. */
typedef enum terni_in_place { TERNI_REFUSED, TERNI_PLAIN, TERNI_RECORDED } terni_in_place;
/* How the change is to be made; TERNI_REFUSED after recording an error, which advises the op `instead` (NULL: op
 * without its underscore). */
terni_in_place terni_in_place_begin(const char *op, const char *instead, tern_tensor *t, tern_tensor *const *b, int n);
/* A head for the value that t has now, in t's place in the graph. */
tern_tensor *terni_in_place_old(tern_tensor *t);
/* t becomes result (cast to t's dtype), storage and node. Returns t; NULL if result is NULL or does not fit. */
tern_tensor *terni_in_place_end(const char *op, tern_tensor *t, tern_tensor *result);
/* The same for a value that does not depend on t's (fill_, copy_): value is copied. */
tern_tensor *terni_in_place_overwrite(const char *op, tern_tensor *t, tern_tensor *value);
/* All of it for ops that have no kernel from t to t: form computes the result beside t from its value and the operands
 * (those that are t come as that value), and options o. Results that t's dtype does not hold are refused. */
typedef tern_tensor *(*terni_form)(tern_tensor *t, tern_tensor *const *b, const void *o);
enum { TERNI_FORM_OPERANDS = 3 };
tern_tensor *terni_in_place_by(const char *op, tern_tensor *t, tern_tensor *const *b, int n, terni_form form,
                               const void *o);
/* t's storage was written to. */
static inline void terni_changed(tern_tensor *t) { t->storage->version += !t->storage->inference; }
/* t looks at what src looks at; its old storage is released. Node and gradient stay. */
void terni_share_storage(tern_tensor *t, tern_tensor *src);

/* ---- graphs (graph.c)
 * ----------------------------------------------------------------------------------------------------- */

/* True outside of a capture; else records that `what` cannot be captured, and spoils the capture. */
bool terni_not_capturing(const char *what);

/* ---- random (random.c)
 * ----------------------------------------------------------------------------------------------------- */

/* Takes `blocks` blocks of four words from the stream that the thread draws from, for a tensor on this device; *from is
 * where they start. False after recording an error: draws on the CPU cannot be captured. */
bool terni_draws_take(tern_device device, uint64_t blocks, terni_draws *from);
/* Where the next draw starts. */
terni_draws terni_draws_now(void);
/* Takes blocks from the program's own stream. */
tern_random terni_random_take(uint64_t blocks);
/* dropout with draws that were taken before (dropout.c). */
tern_tensor *terni_dropout(tern_tensor *x, const terni_random_opts *o);

#endif
