#include "plans.h"

#include <string.h>

/* Source: Fowler, Noll and Vo's hash (FNV-1a), over words. */
static uint64_t hash_of(const void *problem, size_t bytes) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t word;
        memcpy(&word, (const char *)problem + i, 8);
        h = (h ^ word) * 0x100000001b3u;
        h ^= h >> 32;
    }
    return h ? h : 1;
}

static void *problem_at(const terni_plans *c, int i) { return (char *)c->problems + (size_t)i * c->bytes; }

static bool holds(const terni_plans *c, int i, const void *problem, uint64_t hash) {
    return c->hash[i] == hash && memcmp(problem_at(c, i), problem, c->bytes) == 0;
}

/* The place of the problem, or one to fill: free, or the one unused for longest; -1 if all are in use. */
static int place_of(const terni_plans *c, const void *problem, uint64_t hash) {
    int best = -1;
    for (int i = 0; i < TERNI_PLANS; i++)
        if (holds(c, i, problem, hash)) return i;
    for (int i = 0; i < TERNI_PLANS; i++) {
        if (c->hash[i] == 0) return i;
        if (c->kept[i].users == 0 && (best < 0 || c->kept[i].used < c->kept[best].used)) best = i;
    }
    return best;
}

terni_kept_plan *terni_plans_take(terni_plans *c, const void *problem, size_t most, bool *full) {
    const uint64_t hash = hash_of(problem, c->bytes);
    terni_kept_plan *k = NULL;
    pthread_mutex_lock(&c->lock);
    const int i = place_of(c, problem, hash);
    *full = i < 0;
    if (i >= 0 && !holds(c, i, problem, hash)) {
        if (c->hash[i]) c->free(c->kept[i].plan);
        memset(&c->kept[i], 0, sizeof c->kept[i]);
        c->hash[i] = 0;
        if (c->make(problem, most, &c->kept[i].plan, &c->kept[i].workspace)) {
            memcpy(problem_at(c, i), problem, c->bytes);
            c->hash[i] = hash;
        }
    }
    if (i >= 0 && c->hash[i]) {
        k = &c->kept[i];
        k->used = ++c->clock;
        k->users++;
    }
    pthread_mutex_unlock(&c->lock);
    return k;
}

static void give(void *plans, void *kept) {
    terni_plans *c = plans;
    pthread_mutex_lock(&c->lock);
    ((terni_kept_plan *)kept)->users--;
    pthread_mutex_unlock(&c->lock);
}

/* A graph has the kernels that a plan brought with it, so a plan that is captured stays in use as long as the graph. */
void terni_plans_give(terni_plans *c, terni_kept_plan *k) {
    if (!terni_cuda_capture_keeps(give, c, k)) give(c, k);
}

int32_t terni_plans_alignment(const terni_view *v) {
    const uintptr_t at = (uintptr_t)v->data;
    return at % 16 == 0 ? 16 : (int32_t)(at & -at);
}
