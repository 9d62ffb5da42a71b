/* Scopes and errors. */
#include <pthread.h>

#include "common.h"

static int64_t live(void) { return tern_memory_device(tern_cpu()).live; }
static tern_tensor *kilobyte(void) { return tern_zeros(TERN_SHAPE(256), (tern_options){0}); }

TERN_TEST(scope, pop_releases) {
    const int64_t before = live();
    const int s = tern_scope_push();
    kilobyte();
    const int inner = tern_scope_push();
    kilobyte();
    CHECK(live() == before + 2048);
    tern_scope_pop(inner);
    CHECK(live() == before + 1024);
    tern_scope_pop(s);
    CHECK(live() == before);
}

static bool returns_early(void) {
    (void)tern_scope_push();
    kilobyte();
    kilobyte();
    return false; /* no pop */
}

TERN_TEST(scope, an_early_return_is_repaired_by_the_outer_pop) {
    const int64_t before = live();
    const int s = tern_scope_push();
    returns_early();
    CHECK(live() == before + 2048);
    tern_scope_pop(s);
    CHECK(live() == before);
}

TERN_TEST(scope, return_hands_one_on) {
    const int outer = tern_scope_push();
    const int64_t before = live();
    const int s = tern_scope_push();
    kilobyte();
    tern_tensor *t = tern_scope_return(s, tern_ones(TERN_SHAPE(256), (tern_options){0}));
    CHECK(live() == before + 1024);
    CHECK(tern_item(tern_select(t, 0, 255)) == 1.0);
    const int again = tern_scope_push();
    CHECK(tern_scope_return(again, t) == t); /* it belongs further out already */
    CHECK(tern_scope_return(tern_scope_push(), NULL) == NULL);
    CHECK_OK();
    tern_scope_pop(outer);
    CHECK(live() == before);
}

TERN_TEST(scope, keep_and_release) {
    const int64_t before = live();
    const int s = tern_scope_push();
    tern_tensor *t = tern_keep(kilobyte());
    tern_scope_pop(s);
    CHECK(live() == before + 1024);
    CHECK_ITEM(tern_sum(t, NULL, 0, false), 0, 0);
    tern_release(t);
    tern_scope_pop(s);
    CHECK(live() == before);
    CHECK(tern_keep(NULL) == NULL);
    tern_release(NULL);
    const int u = tern_scope_push();
    CHECK(tern_give(tern_keep(kilobyte())) != NULL);
    tern_scope_pop(u);
    CHECK(live() == before);
}

TERN_TEST(scope, views_keep_their_storage) {
    const int64_t before = live();
    const int s = tern_scope_push();
    tern_tensor *v = tern_keep(tern_slice(kilobyte(), 0, 10, 20, 2));
    tern_scope_pop(s);
    CHECK(live() == before + 1024);
    CHECK(tern_storage_bytes(v) == 1024);
    tern_release(v);
    CHECK(live() == before);
}

TERN_TEST(scope, many) {
    const int s = tern_scope_push();
    for (int i = 0; i < 20000; i++) (void)tern_scalar(i, (tern_options){0});
    tern_scope_pop(s);
    for (int i = 0; i < 1000; i++) (void)tern_scope_push();
    tern_scope_pop(0);
}

static void *leave_tensors(void *user) {
    (void)user;
    for (int i = 0; i < 10; i++) (void)tern_add_scalar(kilobyte(), 1);
    return NULL;
}

TERN_TEST(scope, a_thread_s_end_releases) {
    pthread_t t;
    const int64_t before = live();
    REQUIRE(pthread_create(&t, NULL, leave_tensors, NULL) == 0);
    pthread_join(t, NULL);
    CHECK(live() == before);
}

/* ---- errors ---------------------------------------------------------------------------------------------------------
 */

TERN_TEST(error, the_first_is_kept_and_ops_stop) {
    tern_tensor *a = tern_ones(TERN_SHAPE(2, 3), (tern_options){0}),
                *b = tern_ones(TERN_SHAPE(4, 5), (tern_options){0});
    tern_tensor *c = tern_matmul(a, b);
    CHECK(c == NULL && !tern_ok() && tern_error_code() == TERN_ERR_SHAPE);
    const char *m = tern_error_message();
    CHECK(strstr(m, "matmul") && strstr(m, "[2, 3]") && strstr(m, "[4, 5]") && strstr(m, "matmul.c:"), "%s", m);
    char first[512];
    snprintf(first, sizeof first, "%s", m);
    CHECK(tern_add(a, c) == NULL);
    CHECK(tern_add(a, a) == NULL);
    CHECK(tern_add_(a, a) == NULL);
    CHECK(tern_zeros(TERN_SHAPE(2), (tern_options){0}) == NULL);
    CHECK(!tern_backward(a));
    double v[6];
    CHECK(!tern_to_doubles(a, v, 6));
    CHECK(!strcmp(first, tern_error_message()), "%s", tern_error_message());
    tern_error_clear();
    CHECK(tern_ok() && tern_error_code() == TERN_OK && !strcmp(tern_error_message(), ""));
    CHECK_VALUES(a, 1, 1, 1, 1, 1, 1);
}

TERN_TEST(error, scopes_work_while_one_is_pending) {
    const int64_t before = live();
    const int s = tern_scope_push();
    tern_tensor *t = kilobyte();
    tern_error_set(TERN_ERR_IO, "pending");
    CHECK(tern_scope_return(s, t) == NULL);
    CHECK(live() == before);
    tern_error_clear();
}

TERN_TEST(error, set_formats) {
    CHECK(!tern_error_set(TERN_ERR_FORMAT, "%s: byte %d", "file.idx", 7));
    CHECK(tern_error_code() == TERN_ERR_FORMAT && !strcmp(tern_error_message(), "file.idx: byte 7"), "%s",
          tern_error_message());
    CHECK(!tern_error_set(TERN_ERR_IO, "second"));
    CHECK(tern_error_code() == TERN_ERR_FORMAT);
    tern_error_clear();
    char big[5000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    tern_error_set(TERN_ERR_IO, "%s", big);
    CHECK(strlen(tern_error_message()) > 500);
    tern_error_clear();
    CHECK(!strcmp(tern_code_name(TERN_ERR_SHAPE), "TERN_ERR_SHAPE") && !strcmp(tern_code_name(TERN_OK), "TERN_OK"));
    CHECK(!strcmp(tern_code_name(TERN_ERR_INTERNAL), "TERN_ERR_INTERNAL"));
}

static int handled;
static void count_errors(tern_code code, const char *message, void *user) {
    CHECK(code == TERN_ERR_SHAPE && strstr(message, "reshape"));
    handled += *(int *)user;
}

TERN_TEST(error, handler_hears_the_first_only) {
    int step = 5;
    handled = 0;
    tern_on_error(count_errors, &step);
    tern_tensor *t = kilobyte();
    CHECK(tern_reshape(t, TERN_SHAPE(3)) == NULL);
    CHECK(tern_reshape(t, TERN_SHAPE(3)) == NULL);
    CHECK(handled == 5);
    tern_error_clear();
    CHECK(tern_reshape(t, TERN_SHAPE(5)) == NULL);
    CHECK(handled == 10);
    tern_error_clear();
    tern_on_error(NULL, NULL);
}

static void *fail_alone(void *user) {
    (void)user;
    tern_on_error(NULL, NULL);
    (void)tern_reshape(kilobyte(), TERN_SHAPE(3));
    return tern_ok() ? NULL : (void *)1;
}

TERN_TEST(error, is_per_thread) {
    pthread_t t;
    void *result = NULL;
    REQUIRE(pthread_create(&t, NULL, fail_alone, NULL) == 0);
    pthread_join(t, &result);
    CHECK(result != NULL && tern_ok());
}
