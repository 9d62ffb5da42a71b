/* Steps in captured graphs. A captured step updates on the device alone; what the host does in an eager one, counting
 * steps and computing rates from the counts, is done before each replay. */
#include <string.h>

#include "internal.h"
#include "tern/graph.h"

typedef struct bucket {
    int group;
    double *rates; /* the graph's */
} bucket;

struct terni_captured {
    tern_optim *o; /* NULL: it was freed */
    terni_captured *next;
    int n_params, n_buckets;
    bucket *buckets; /* room for n_params */
    int *of;         /* the bucket of each parameter; -1: not updated */
};

static void drop(void *user) {
    terni_captured *c = user;
    if (c->o) {
        terni_captured **at = &c->o->captured;
        while (*at != c) at = &(*at)->next;
        *at = c->next;
    }
    terni_mfree(c->buckets);
    terni_mfree(c->of);
    terni_free(c, sizeof *c);
}

/* What a launch's update is this time; false after an error. */
static bool advance_bucket(terni_captured *c, int k) {
    tern_optim *o = c->o;
    const terni_optim_group *g = &o->groups[c->buckets[k].group];
    terni_moment m = {.lr = o->lr * g->lr_scale, .weight_decay = g->weight_decay, .step = 0};
    for (int i = 0; i < c->n_params; i++) {
        if (c->of[i] != k) continue;
        int64_t *count = terni_state_count(o, &o->params[i]);
        if (!count) continue;
        if (m.step && *count + 1 != m.step)
            return terni_fail(TERN_ERR_ARGUMENT, "graph_replay: %s has %lld updates, others of its launch %lld",
                              o->params[i].name, (long long)*count, (long long)m.step - 1);
        if (!m.step) terni_state_scalars(&o->params[i], m.scalar);
        m.step = ++*count;
    }
    o->rule->numbers(o, &m, c->buckets[k].rates);
    for (int i = 0; i < c->n_params; i++)
        if (c->of[i] == k) terni_state_set_scalars(&o->params[i], m.scalar);
    return true;
}

/* The step's part on the host. */
static bool advance(void *user) {
    terni_captured *c = user;
    if (!c->o) return terni_fail(TERN_ERR_ARGUMENT, "graph_replay: an optimizer of the graph was freed");
    for (int k = 0; k < c->n_buckets; k++)
        if (!advance_bucket(c, k)) return false;
    c->o->steps++;
    return true;
}

terni_captured *terni_captured_new(tern_optim *o) {
    terni_captured *c = terni_calloc(sizeof *c);
    if (!c) return NULL;
    c->n_params = o->n_params;
    c->buckets = terni_malloc((size_t)o->n_params * sizeof *c->buckets);
    c->of = terni_malloc((size_t)o->n_params * sizeof *c->of);
    if (!c->buckets || !c->of || !tern_graph_on_replay(advance, drop, c)) {
        drop(c);
        return NULL;
    }
    for (int i = 0; i < o->n_params; i++) c->of[i] = -1;
    c->o = o;
    c->next = o->captured;
    o->captured = c;
    return c;
}

bool terni_captured_add(terni_captured *c, int group, terni_bucket *b) {
    bucket *k = &c->buckets[c->n_buckets];
    k->group = group;
    b->opts.rates = tern_graph_numbers(tern_update_numbers(c->o->rule->row), &k->rates);
    if (!b->opts.rates) return false;
    c->n_buckets++;
    return true;
}

void terni_captured_param(terni_captured *c, int i) { c->of[i] = c->n_buckets - 1; }

void terni_captured_orphan(tern_optim *o) {
    for (terni_captured *c = o->captured; c; c = c->next) c->o = NULL;
}
