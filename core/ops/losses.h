/* What the losses share: their checks, the dtype they compute in, their reductions. Private to core/ops. */
#ifndef TERNI_LOSSES_H
#define TERNI_LOSSES_H

#include "internal.h"

/* One loss being computed. */
typedef struct terni_loss {
    const char *op;
    tern_reduction reduction;
    tern_dtype dtype; /* of the result */
} terni_loss;

/* Checks n inputs named what[i] (an entry of t may be NULL where what[i] starts with '?'): floats on one device that
 * broadcast, and a known reduction. Then casts them to the dtype of accumulation, in t. */
bool terni_loss_begin(terni_loss *l, tern_tensor **t, const char *const *what, int n);
/* Only the reduction and the dtype, for losses whose inputs follow other rules. */
bool terni_loss_of(terni_loss *l, tern_tensor *x);
/* A loss of TERNI_PAIR_..., reduced and cast; a and b come from terni_loss_begin. o: kind, parameter, and a factor or 0
 * for none. */
tern_tensor *terni_pair_loss(const terni_loss *l, terni_pair_loss_opts o, tern_tensor *a, tern_tensor *b);
/* `each`, reduced and cast. */
tern_tensor *terni_loss_end(const terni_loss *l, tern_tensor *each);
/* Records TERN_ERR_SHAPE unless both have one shape. */
bool terni_loss_alike(const char *op, const char *a, tern_tensor *x, const char *b, tern_tensor *y);
/* A weight for each of `classes` classes, or NULL: 1-dim and float. */
bool terni_class_weight(const char *op, tern_tensor *weight, int64_t classes);
/* t holds class numbers: i64 or i32. */
bool terni_class_target(const char *op, tern_tensor *target);
/* The p norm of d over dim, with gradient 0 where it is 0. p is 0, positive or infinite. */
tern_tensor *terni_norm_over(tern_tensor *d, double p, int dim, bool keepdim);
/* A number beside x, of x's dtype and device. */
tern_tensor *terni_beside(tern_tensor *x, double value);

#endif
