/* A library's plans, kept for as many problems as TERNI_PLANS; the one not used for longest makes room. A problem is a
 * struct without gaps that holds all a plan depends on, the device and the tensors' alignment too. */
#ifndef TERNI_CUDA_PLANS_H
#define TERNI_CUDA_PLANS_H

#include <pthread.h>

#include "internal.h"

enum { TERNI_PLANS = 512 };

typedef struct terni_kept_plan {
    void *plan; /* NULL: the library has none */
    size_t workspace;
    uint64_t used; /* the clock's value */
    int users;
} terni_kept_plan;

typedef struct terni_plans {
    void *problems; /* TERNI_PLANS of `bytes`, a multiple of 8 */
    size_t bytes;
    /* *plan NULL if there is none, with at most so much workspace; false after an error. */
    bool (*make)(const void *problem, size_t most, void **plan, size_t *workspace);
    void (*free)(void *plan);
    pthread_mutex_t lock;
    uint64_t clock;
    uint64_t hash[TERNI_PLANS]; /* 0: free */
    terni_kept_plan kept[TERNI_PLANS];
} terni_plans;
#define TERNI_PLANS_OF(array, make_one, free_one)                                              \
    {                                                                                          \
        .problems = (array), .bytes = sizeof *(array), .make = (make_one), .free = (free_one), \
        .lock = PTHREAD_MUTEX_INITIALIZER                                                      \
    }

/* The problem's plan, in use until it is given back; NULL after an error, or if all places are in use, with *full.
 * Thread-safe. */
terni_kept_plan *terni_plans_take(terni_plans *c, const void *problem, size_t most, bool *full);
void terni_plans_give(terni_plans *c, terni_kept_plan *k);

/* Of a tensor's memory, in bytes, at most 16. */
int32_t terni_plans_alignment(const terni_view *v);

#endif
