/* Rows of a table by index, singly and in bags. */
#include <inttypes.h>

#include "internal.h"

typedef struct embedding {
    tern_module m;
    int64_t rows, dims;
    tern_embedding_opts one;
    tern_embedding_bag_opts bag;
    tern_tensor *weight;
} embedding;

static tern_tensor *forward(tern_module *m, tern_tensor *x) {
    const embedding *s = (const embedding *)m;
    return tern_embedding(s->weight, x, s->one);
}

static tern_tensor *bag_forward(tern_module *m, tern_tensor *x) {
    const embedding *s = (const embedding *)m;
    return tern_embedding_bag(s->weight, x, NULL, s->bag);
}

tern_tensor *tern_embedding_bag_forward(tern_module *m, tern_tensor *index, tern_tensor *offsets,
                                        tern_tensor *weights) {
    if (!terni_given(m, "embedding_bag_forward", "m") || !terni_given(index, "embedding_bag_forward", "index"))
        return NULL;
    if (m->forward != bag_forward)
        return terni_null(TERN_ERR_ARGUMENT, "embedding_bag_forward: %s is no embedding_bag", m->type);
    index = terni_forward_begin(m, index);
    const embedding *s = (const embedding *)m;
    tern_embedding_bag_opts opts = s->bag;
    opts.weights = weights;
    return terni_forward_end(m, index, index ? tern_embedding_bag(s->weight, index, offsets, opts) : NULL);
}

static void describe(const tern_module *m, char *buf, size_t size) {
    static const char *const mode[] = {"mean", "sum", "max"};
    const embedding *s = (const embedding *)m;
    terni_text t = {buf, size, 0};
    terni_text_add(&t, "%" PRId64 " x %" PRId64, s->rows, s->dims);
    if (m->forward == bag_forward) terni_text_add(&t, ", %s", mode[s->bag.mode]);
    if (s->one.has_padding) terni_text_add(&t, ", padding %" PRId64, s->one.padding);
}

/* Normal, but for the row of padding. */
static bool init(const embedding *s) {
    if (!tern_init_normal(s->weight, 0, 1)) return false;
    if (!s->one.has_padding) return true;
    const int64_t row = s->one.padding < 0 ? s->one.padding + s->rows : s->one.padding;
    const bool was = tern_grad_mode(false);
    const bool ok = tern_zero_(tern_select(tern_detach(s->weight), 0, row)) != NULL;
    tern_grad_mode(was);
    return ok;
}

static tern_module *embedding_new(const char *type, tern_tensor *(*call)(tern_module *, tern_tensor *), int64_t rows,
                                  int64_t dims, tern_embedding_opts one, tern_embedding_bag_opts bag) {
    if (!tern_ok()) return NULL;
    if (rows < 1 || dims < 1)
        return terni_null(TERN_ERR_ARGUMENT, "%s: %" PRId64 " x %" PRId64 "; sizes of 1 or more expected", type, rows,
                          dims);
    if (one.has_padding && (one.padding < -rows || one.padding >= rows))
        return terni_null(TERN_ERR_ARGUMENT, "%s: padding %" PRId64 " is none of %" PRId64 " rows", type, one.padding,
                          rows);
    embedding *s = tern_module_alloc(sizeof *s, type);
    if (!s) return NULL;
    s->m.forward = call;
    s->m.describe = describe;
    s->rows = rows;
    s->dims = dims;
    s->one = one;
    s->bag = bag;
    const int scope = tern_scope_push();
    s->weight = terni_param_new(&s->m, "weight", TERN_SHAPE(rows, dims));
    if (s->weight) (void)init(s);
    tern_scope_pop(scope);
    return tern_module_done(s);
}

tern_module *tern_embedding_new(int64_t rows, int64_t dims, tern_embedding_opts opts) {
    return embedding_new("embedding", forward, rows, dims, opts, (tern_embedding_bag_opts){0});
}

tern_module *tern_embedding_bag_new(int64_t rows, int64_t dims, tern_embedding_bag_opts opts) {
    if (tern_ok() && opts.weights)
        return terni_null(TERN_ERR_ARGUMENT, "embedding_bag: weights come with the indices, in the forward");
    if (tern_ok() && ((int)opts.mode < TERN_BAG_MEAN || opts.mode > TERN_BAG_MAX))
        return terni_null(TERN_ERR_ARGUMENT, "embedding_bag: no such mode");
    return embedding_new("embedding_bag", bag_forward, rows, dims,
                         (tern_embedding_opts){opts.has_padding, opts.padding}, opts);
}
