/* The threads' free lists. Elsewhere tests guard every block, which goes round the lists; this program makes a tensor
 * before check_begin, so that it cannot. A plain main, for ThreadSanitizer too; exit code 0 if all is well. */
#include <pthread.h>

#include "common.h"

enum { TENSORS = 300, SIZES = 290, ROUNDS = 20 };

static int64_t size_of(int i) { return 1 + (i * 37) % SIZES; } /* up to 1.1 KB: blocks of the lists and larger ones */

static void write_to(tern_tensor *t, int i) {
    int32_t *p = tern_data(t);
    for (int64_t k = 0; k < size_of(i); k++) p[k] = i;
}

static bool holds(tern_tensor *t, int i) {
    const int32_t *p = tern_data(t);
    bool same = true;
    for (int64_t k = 0; k < size_of(i); k++) same &= p[k] == i;
    return same;
}

/* No block is handed out twice. */
static void blocks_are_apart(void) {
    static tern_tensor *t[TENSORS];
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < TENSORS; i++) {
            if (t[i]) continue;
            const int scope = tern_scope_push();
            t[i] = tern_keep(tern_empty(TERN_SHAPE(size_of(i)), (tern_options){.dtype = TERN_I32}));
            tern_scope_pop(scope);
            REQUIRE(t[i] && (uintptr_t)tern_data(t[i]) % 64 == 0);
            write_to(t[i], i);
        }
        for (int i = 0; i < TENSORS; i++) {
            if (!holds(t[i], i)) FAIL("tensor %d was written over", i);
            if ((i + round) % 3) continue;
            tern_release(t[i]);
            t[i] = NULL;
        }
    }
    for (int i = 0; i < TENSORS; i++) tern_release(t[i]);
}

/* Requests are counted and fail where blocks would come from the lists. */
static void the_switch(void) {
    const tern_shape shape = TERN_SHAPE(3);
    CHECK(tern_zeros(shape, (tern_options){0}) != NULL);
    tern_memory_fail_at(1);
    EXPECT_ERROR(tern_zeros(shape, (tern_options){0}), TERN_ERR_MEMORY, "memory");
    CHECK(tern_memory_requests() == 1);
    CHECK(tern_zeros(shape, (tern_options){0}) != NULL); /* once only */
    CHECK(tern_memory_requests() == 3);
    tern_memory_fail_at(0);
    CHECK(tern_zeros(shape, (tern_options){0}) != NULL);
    CHECK(tern_memory_requests() == 0);
}

typedef struct parcel {
    tern_tensor *t[TENSORS];
    bool good;
} parcel;

static void *fill(void *user) {
    parcel *p = user;
    for (int i = 0; i < TENSORS; i++) {
        const int scope = tern_scope_push();
        p->t[i] = tern_keep(tern_empty(TERN_SHAPE(size_of(i)), (tern_options){.dtype = TERN_I32}));
        tern_scope_pop(scope);
        if (p->t[i]) write_to(p->t[i], i);
    }
    return NULL;
}

static void *empty(void *user) {
    parcel *p = user;
    p->good = true;
    for (int i = 0; i < TENSORS; i++) {
        p->good &= p->t[i] && holds(p->t[i], i);
        tern_release(p->t[i]);
    }
    return NULL;
}

/* Two threads let go of one tensor at the same time: one of them frees it. */
static void *let_go(void *user) {
    tern_release(user);
    return NULL;
}

static void between_threads(void) {
    static parcel p[2];
    pthread_t t[2];
    for (int round = 0; round < ROUNDS; round++) {
        for (int k = 0; k < 2; k++) REQUIRE(pthread_create(&t[k], NULL, fill, &p[k]) == 0);
        for (int k = 0; k < 2; k++) pthread_join(t[k], NULL);
        for (int k = 0; k < 2; k++) REQUIRE(pthread_create(&t[k], NULL, empty, &p[1 - k]) == 0);
        for (int k = 0; k < 2; k++) pthread_join(t[k], NULL);
        CHECK(p[0].good && p[1].good);
        const int scope = tern_scope_push();
        tern_tensor *shared = tern_keep(tern_keep(tern_ones(TERN_SHAPE(5), (tern_options){0})));
        tern_scope_pop(scope);
        for (int k = 0; k < 2; k++) REQUIRE(pthread_create(&t[k], NULL, let_go, shared) == 0);
        for (int k = 0; k < 2; k++) pthread_join(t[k], NULL);
    }
}

static void body(void) {
    const int scope = tern_scope_push();
    const int64_t live = tern_memory_device(tern_cpu()).live;
    const tern_memory_stats host = tern_memory_host();
    blocks_are_apart();
    between_threads();
    CHECK(tern_memory_device(tern_cpu()).live == live, "%" PRId64 " bytes", tern_memory_device(tern_cpu()).live - live);
    CHECK(tern_memory_host().live - host.live < 65536, "%" PRId64 " bytes", tern_memory_host().live - host.live);
    CHECK(tern_memory_host().allocations - host.allocations > ROUNDS * TENSORS);
    the_switch();
    tern_scope_pop(scope);
    CHECK(tern_memory_device(tern_cpu()).live == live);
    tern_memory_trim();
    CHECK_OK();
}

int main(void) {
    const int scope = tern_scope_push();
    const bool made = tern_zeros(TERN_SHAPE(3), (tern_options){0}) != NULL;
    tern_scope_pop(scope);
    check_begin("tsan", "memory");
    CHECK(made && !tern_memory_guard(), "blocks are guarded");
    check_run(body);
    return check_end() ? 1 : 0;
}
