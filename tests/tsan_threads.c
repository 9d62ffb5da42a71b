/* Threads with graphs of their own, tensors handed between threads, and a loader: for ThreadSanitizer, under which
 * Criterion cannot run. A plain main; exit code 0 if all is well. */
#include <pthread.h>

#include "common.h"
#include "tern/data.h"

static tern_tensor *shared_weight;

static void *train(void *user) {
    const int id = *(int *)user;
    const int s = tern_scope_push();
    tern_tensor *w = tern_require_grad(tern_randn(TERN_SHAPE(20, 30), 0, 1, (tern_options){0}), true);
    for (int i = 0; i < 50; i++) {
        const int t = tern_scope_push();
        tern_tensor *x = tern_rand(TERN_SHAPE(16, 30), -1, 1, (tern_options){0});
        tern_tensor *y = tern_matmul(tern_tanh(tern_linear(x, w, NULL)), shared_weight);
        if (!tern_backward(tern_mean(tern_square(y), NULL, 0, false))) FAIL("thread %d: %s", id, tern_error_message());
        if (i % 10 == id) (void)tern_reshape(x, TERN_SHAPE(7)); /* an error of its own */
        tern_error_clear();
        tern_grad_set(w, NULL);
        tern_scope_pop(t);
    }
    tern_scope_pop(s);
    return NULL;
}

static void *release(void *user) {
    tern_release(user);
    return NULL;
}

/* A loader with workers, left in the middle of an epoch too. */
static void load(void) {
    tern_dataset *d = tern_digits_new(true);
    for (int workers = 1; workers <= 4; workers += 3) {
        tern_loader *l = tern_loader_new(
            d, (tern_loader_opts){.batch = 50, .shuffle = true, .seed = 3, .workers = workers, .prefetch = 2});
        tern_batch b;
        int64_t seen = 0;
        for (int i = 0; i < 40 && l; i++) {
            const int s = tern_scope_push();
            if (tern_loader_next(l, &b)) seen += b.n;
            tern_scope_pop(s);
        }
        CHECK(l && seen > d->length, "%" PRId64 " samples", seen);
        tern_loader_free(l);
    }
    tern_dataset_free(d);
    CHECK_OK();
}

/* Samples one after another, which workers read in turn and change. */
typedef struct counting {
    tern_dataset d;
    int64_t at;
} counting;

static bool count_on(tern_dataset *d, void *x, void *y, bool *end) {
    counting *c = (counting *)d;
    *end = c->at == 100;
    for (int k = 0; k < 12 && !*end; k++) ((float *)x)[k] = (float)c->at;
    if (!*end) *(int64_t *)y = c->at++;
    return true;
}

static bool from_the_start(tern_dataset *d, uint64_t seed, int64_t epoch) {
    (void)seed;
    ((counting *)d)->at = epoch;
    return true;
}

static void load_stream(void) {
    counting c = {
        .d = {.x_shape = TERN_SHAPE(3, 2, 2), .y_dtype = TERN_I64, .next = count_on, .restart = from_the_start}};
    tern_transform *t = tern_random_flip_new(0.5, false);
    tern_loader *l = tern_loader_new(&c.d, (tern_loader_opts){.batch = 7, .workers = 3, .transform = t});
    tern_batch b;
    for (int e = 0; l && e < 4; e++) {
        int64_t seen = 0;
        const int s = tern_scope_push();
        while (tern_loader_next(l, &b)) {
            seen += b.n;
            CHECK(tern_loader_batches(l) <= 15);
        }
        tern_scope_pop(s);
        CHECK(seen == 100 - e, "%" PRId64 " samples in epoch %d", seen, e);
    }
    CHECK(l != NULL);
    tern_loader_free(l);
    tern_transform_free(t);
    CHECK_OK();
}

static void body(void) {
    load();
    load_stream();
    pthread_t t[4];
    int id[4] = {0, 1, 2, 3};
    shared_weight = tern_randn(TERN_SHAPE(20, 5), 0, 1, (tern_options){0});
    for (int i = 0; i < 4; i++) REQUIRE(pthread_create(&t[i], NULL, train, &id[i]) == 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    /* The last reference may go on another thread. */
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&t[i], NULL, release,
                               tern_keep(tern_matmul(shared_weight, tern_transpose(shared_weight, 0, 1)))) == 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    /* The pool's threads over large ops, with changing numbers of threads. */
    for (int i = 1; i <= 4; i++) {
        CHECK(tern_set_threads(i));
        tern_tensor *a = tern_randn(TERN_SHAPE(300, 400), 0, 1, (tern_options){0});
        CHECK(tern_sum(tern_matmul(a, tern_transpose(a, 0, 1)), NULL, 0, false) != NULL);
        CHECK(tern_sum(tern_exp(tern_rand(TERN_SHAPE(500000), 0, 1, (tern_options){0})), NULL, 0, false) != NULL);
    }
    CHECK_OK();
}

int main(void) {
    check_begin("tsan", "threads");
    check_run(body);
    return check_end() ? 1 : 0;
}
