/* Updates of many tensors in one parallel region: the tensors' elements stand in one long line, which threads divide.
 */
#ifndef TERNI_UPDATE_H
#define TERNI_UPDATE_H

#include "backend.h"

/* A piece of tensor i: elements [begin, end). */
typedef void (*terni_update_piece)(const terni_call *c, int32_t i, int64_t begin, int64_t end);

/* Calls piece for every element of the tensors in[0 .. n), those that are not NULL. */
void terni_cpu_update(const terni_call *c, int32_t n, terni_update_piece piece);

/* What the n gradients are multiplied by: the call's scale, or 1. */
double terni_cpu_update_scale(const terni_call *c, int32_t n);
/* The call's rate k, or what the options have. */
static inline double terni_cpu_update_rate(const terni_call *c, int32_t n, int k, double otherwise) {
    return c->in[n + 1] ? ((const double *)c->in[n + 1]->data)[k] : otherwise;
}

#endif
