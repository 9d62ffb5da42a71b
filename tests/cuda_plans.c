/* The plans of libraries that the CUDA backend keeps: as many as there is room for, the one that was not used for
 * longest makes room, one in use never does, and what went is made again. */
#include "plans.h"

#include <pthread.h>
#include <stdatomic.h>

#include "common.h"

typedef struct problem {
    int64_t number, zero;
} problem;

static atomic_int made, freed;
static bool captures, fails;
static struct {
    void (*give)(void *from, void *what);
    void *from, *what;
} kept; /* by the graph */
bool terni_cuda_capture_keeps(void (*give)(void *from, void *what), void *from, void *what) {
    if (captures) kept.give = give, kept.from = from, kept.what = what;
    return captures;
}

static bool make(const void *p, size_t most, void **plan, size_t *workspace) {
    const problem *asked = p;
    *plan = NULL;
    if (fails) return false;
    problem *copy = malloc(sizeof *copy);
    if (!copy) abort();
    *copy = *asked;
    *workspace = most;
    *plan = copy;
    made++;
    return true;
}
static void drop(void *plan) {
    freed++;
    free(plan);
}

static problem problems[TERNI_PLANS];
static terni_plans plans = TERNI_PLANS_OF(problems, make, drop);

static terni_kept_plan *take(int64_t number, bool *full) {
    const problem p = {number, 0};
    terni_kept_plan *k = terni_plans_take(&plans, &p, 77, full);
    CHECK(!k || (((const problem *)k->plan)->number == number && k->workspace == 77), "number %d", (int)number);
    return k;
}
static void use(int64_t number) {
    bool full = true;
    terni_kept_plan *k = take(number, &full);
    CHECK(k && !full, "number %d", (int)number);
    if (k) terni_plans_give(&plans, k);
}
static void empty(void) {
    for (int i = 0; i < TERNI_PLANS; i++) {
        if (plans.hash[i]) drop(plans.kept[i].plan);
        plans.hash[i] = 0;
        memset(&plans.kept[i], 0, sizeof plans.kept[i]);
    }
    made = freed = 0;
}

TERN_TEST(cuda_plans, longest_unused_goes) {
    enum { MORE = 100 };
    empty();
    for (int i = 0; i < TERNI_PLANS + MORE; i++) {
        use(i);
        use(0); /* so that 1 is the oldest */
    }
    CHECK(made == TERNI_PLANS + MORE && freed == MORE, "%d made, %d freed", made, freed);
    for (int i = MORE + 1; i < TERNI_PLANS + MORE; i++) use(i);
    use(0);
    CHECK(made == TERNI_PLANS + MORE, "one that should be there was made again");
    for (int i = 1; i <= MORE; i++) use(i);
    CHECK(made == TERNI_PLANS + 2 * MORE && freed == 2 * MORE, "%d made, %d freed", made, freed);
    empty();
}

TERN_TEST(cuda_plans, in_use_stays) {
    terni_kept_plan *k[TERNI_PLANS];
    bool full = false;
    empty();
    for (int i = 0; i < TERNI_PLANS; i++) REQUIRE((k[i] = take(i, &full)) != NULL);
    CHECK(!take(1000, &full) && full && freed == 0, "all are in use");
    CHECK(take(3, &full) == k[3] && !full, "one of them, once more");
    terni_plans_give(&plans, k[3]);
    CHECK(!take(1000, &full) && full, "its other user has it");
    terni_plans_give(&plans, k[5]);
    use(1000);
    CHECK(freed == 1 && made == TERNI_PLANS + 1, "%d made, %d freed", made, freed);
    captures = true; /* a graph has it as long as it lives */
    use(1000);
    captures = false;
    CHECK(!take(5, &full) && full, "a captured plan went");
    kept.give(kept.from, kept.what);
    use(5);
    CHECK(freed == 2, "%d freed", freed);
    empty();
}

TERN_TEST(cuda_plans, failures_are_not_kept) {
    bool full = true;
    empty();
    fails = true;
    CHECK(!take(1, &full) && !full);
    fails = false;
    use(1);
    use(1);
    CHECK(made == 1);
    empty();
}

/* Several threads, more problems than places: each gets its own problem's plan. */
static void *many(void *arg) {
    bool *ok = arg;
    for (int i = 0; i < 4000 && *ok; i++) {
        const problem p = {i * 7 % 900, 0};
        bool full = false;
        terni_kept_plan *k = terni_plans_take(&plans, &p, 77, &full);
        *ok = k && ((const problem *)k->plan)->number == p.number;
        if (k) terni_plans_give(&plans, k);
    }
    return NULL;
}
TERN_TEST(cuda_plans, from_several_threads) {
    enum { THREADS = 3 };
    pthread_t thread[THREADS];
    bool ok[THREADS] = {true, true, true};
    empty();
    for (int i = 0; i < THREADS; i++) REQUIRE(pthread_create(&thread[i], NULL, many, &ok[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        CHECK(ok[i], "thread %d", i);
    }
    CHECK(made > TERNI_PLANS && made - freed == TERNI_PLANS, "%d made, %d freed", made, freed);
    empty();
}
