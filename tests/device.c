/* Devices, streams, events, pinned memory and asynchronous copies through the public functions, on TERN_TEST_DEVICE.
 * Over the simulation there are two GPUs. */
#include "tern/device.h"

#include <pthread.h>

#include "common.h"

static bool on_gpu(void) {
    setenv("TERN_SIM_DEVICES", "2", 1); /* before the module is loaded */
    return test_device().type == TERN_CUDA;
}
static tern_options here(void) { return (tern_options){.device = test_device()}; }
static tern_tensor *counting(int64_t n, tern_device d) {
    return tern_arange(0, (double)n, (tern_options){.device = d});
}

/* ---- devices
 * ------------------------------------------------------------------------------------------------------------ */

TERN_TEST(device, counts_and_properties) {
    const bool gpu = on_gpu();
    CHECK(tern_device_count(TERN_CPU) == 1);
    CHECK(tern_device_count((tern_device_type)7) == 0 && tern_device_count((tern_device_type)-1) == 0);
    CHECK((tern_device_count(TERN_CUDA) > 0) == tern_device_available(tern_cuda(0)));
    CHECK(!gpu || tern_device_count(TERN_CUDA) > 0);
    for (int i = 0; i <= (gpu ? tern_device_count(TERN_CUDA) : 0); i++) {
        const tern_device d = i ? tern_cuda(i - 1) : tern_cpu();
        tern_device_properties p;
        REQUIRE(tern_device_properties_get(d, &p), "%s", tern_error_message());
        CHECK(p.name[0] && p.processors > 0 && p.memory > 1 << 20 && p.available > 0 && p.available <= p.memory);
        CHECK((p.major > 0) == (i > 0));
    }
    tern_device_properties p;
    EXPECT_ERROR(tern_device_properties_get(tern_cpu(), NULL), TERN_ERR_ARGUMENT, "device_properties_get");
    EXPECT_ERROR(tern_device_properties_get((tern_device){TERN_CPU, 1}, &p), TERN_ERR_DEVICE, "there is no");
    EXPECT_ERROR(tern_device_properties_get(tern_cuda(63), &p), TERN_ERR_DEVICE, "cuda:63");
}

TERN_TEST(device, two_gpus) {
    if (!on_gpu() || tern_device_count(TERN_CUDA) < 2) return;
    tern_tensor *a = tern_mul_scalar(counting(1000, tern_cuda(0)), 2), *b = counting(1000, tern_cuda(1));
    tern_tensor *c = tern_add(tern_to(a, tern_cuda(1)), b); /* 3 i on cuda:1 */
    CHECK(tern_device_equal(tern_device_of(c), tern_cuda(1)));
    tern_tensor *sum = tern_sum(tern_sub(tern_to(c, tern_cuda(0)), a), NULL, 0, false);
    CHECK_ITEM(sum, 499500.0, 1);
    EXPECT_ERROR(tern_add(a, b), TERN_ERR_DEVICE, "tern_to");
    /* Gradients go back the same way. */
    tern_tensor *x = tern_require_grad(tern_ones(TERN_SHAPE(3), (tern_options){.device = tern_cuda(0)}), true);
    tern_tensor *y = tern_sum(tern_mul(tern_to(x, tern_cuda(1)), tern_to(x, tern_cuda(1))), NULL, 0, false);
    REQUIRE(tern_backward(y), "%s", tern_error_message());
    CHECK(tern_device_equal(tern_device_of(tern_grad_get(x)), tern_cuda(0)));
    CHECK_VALUES(tern_grad_get(x), 2, 2, 2);
    CHECK(tern_memory_device(tern_cuda(1)).live > 0 && tern_sync(tern_cuda(0)) && tern_sync(tern_cuda(1)));
}

/* ---- streams and events
 * ------------------------------------------------------------------------------------------------- */

TERN_TEST(device, streams_and_events) {
    on_gpu();
    const tern_device d = test_device();
    tern_stream *s = tern_stream_new(d);
    tern_event *e = tern_event_new(d), *f = tern_event_new(d);
    REQUIRE(s && e && f, "%s", tern_error_message());
    CHECK(tern_event_done(e), "what was never recorded has passed");
    CHECK(tern_event_wait(e) && tern_stream_after(d, s, e));
    CHECK(tern_stream_current(d) == NULL);
    CHECK(tern_event_record(e, NULL) && tern_stream_after(d, s, e) && tern_stream_use(d, s));
    CHECK(tern_stream_current(d) == s);
    tern_tensor *x = tern_sum(counting(100, d), NULL, 0, false);
    CHECK(tern_event_record(f, s) && tern_stream_use(d, NULL) && tern_stream_current(d) == NULL);
    CHECK(tern_stream_after(d, NULL, f));
    CHECK_ITEM(tern_mul(x, x), 4950.0 * 4950.0, 1e-6);
    CHECK(tern_event_wait(f) && tern_event_done(f) && tern_stream_wait(d, s) && tern_stream_wait(d, NULL));
    CHECK(tern_stream_done(d, s) && tern_stream_done(d, NULL));
    const double ms = tern_event_elapsed(e, f);
    CHECK(ms >= 0 && ms < 1e5, "%g ms", ms);
    CHECK(tern_record_stream(x, s));
    tern_stream_free(s);
    tern_event_free(e);
    tern_event_free(f);
    tern_stream_free(NULL);
    tern_event_free(NULL);
}

TERN_TEST(device, streams_as_the_driver_calls_them) {
    const bool gpu = on_gpu();
    const tern_device d = test_device();
    void *own = &own, *other = NULL, *chosen = NULL;
    tern_stream *s = tern_stream_new(d);
    REQUIRE(s && tern_stream_native(d, NULL, &own) && tern_stream_native(d, s, &other), "%s", tern_error_message());
    CHECK(gpu ? own != other : !own && !other);
    CHECK(tern_stream_use(d, s) && tern_stream_native(d, NULL, &chosen) && chosen == other,
          "NULL is the thread's current one");
    CHECK(tern_stream_use(d, NULL) && tern_stream_native(d, NULL, &chosen) && chosen == own);
    EXPECT_ERROR(tern_stream_native(d, s, NULL), TERN_ERR_ARGUMENT, "stream_native");
    EXPECT_ERROR(tern_stream_native(tern_cuda(40), NULL, &own), TERN_ERR_DEVICE, "cuda:40");
    CHECK(own == NULL);
    if (gpu) EXPECT_ERROR(tern_stream_native(tern_cpu(), s, &own), TERN_ERR_DEVICE, "the stream or event is of cuda:0");
    tern_stream_free(s);
}

TERN_TEST(device, a_stream_in_use_outlives_its_freeing) {
    on_gpu();
    const tern_device d = test_device();
    tern_stream *s = tern_stream_new(d);
    REQUIRE(s && tern_stream_use(d, s));
    tern_stream_free(s);
    CHECK_ITEM(tern_sum(counting(10, d), NULL, 0, false), 45, 1e-6);
    tern_stream *t = tern_stream_new(d);
    CHECK(t != s && tern_stream_current(d) == s);
    CHECK(tern_stream_use(d, t) && tern_stream_use(d, NULL));
    tern_stream_free(t);
}

TERN_TEST(device, errors_of_streams_and_events) {
    const bool gpu = on_gpu();
    const tern_device d = test_device(), other = gpu ? tern_cpu() : (tern_device){TERN_CPU, 1};
    tern_stream *s = tern_stream_new(d);
    tern_event *e = tern_event_new(d), *f = tern_event_new(d);
    EXPECT_ERROR(tern_stream_new((tern_device){TERN_CPU, 5}), TERN_ERR_DEVICE, "there is no");
    EXPECT_ERROR(tern_event_new(tern_cuda(40)), TERN_ERR_DEVICE, "cuda:40");
    EXPECT_ERROR(tern_stream_use(other, s), TERN_ERR_DEVICE, gpu ? "the stream or event is of cuda:0" : "there is no");
    EXPECT_ERROR(tern_event_record(NULL, s), TERN_ERR_ARGUMENT, "event_record");
    EXPECT_ERROR(tern_event_wait(NULL), TERN_ERR_ARGUMENT, "event_wait");
    EXPECT_ERROR(tern_event_done(NULL), TERN_ERR_ARGUMENT, "event_done");
    EXPECT_ERROR(tern_stream_after(d, s, NULL), TERN_ERR_ARGUMENT, "stream_after");
    EXPECT_ERROR(tern_record_stream(NULL, s), TERN_ERR_ARGUMENT, "record_stream");
    EXPECT_ERROR(tern_record_stream(counting(3, d), NULL), TERN_ERR_ARGUMENT, "record_stream");
    CHECK(isnan(tern_event_elapsed(e, f)));
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "was not recorded");
    if (gpu) {
        tern_stream *c = tern_stream_new(tern_cpu());
        tern_event *g = tern_event_new(tern_cpu());
        EXPECT_ERROR(tern_event_record(e, c), TERN_ERR_DEVICE, "the stream or event is of cpu");
        EXPECT_ERROR(tern_stream_wait(d, c), TERN_ERR_DEVICE, "expected cuda:0");
        CHECK(tern_event_record(g, c) && tern_stream_after(d, s, g), "what the CPU did is done");
        CHECK(tern_event_record(e, s) && tern_stream_after(tern_cpu(), c, e), "the CPU waits for the GPU");
        EXPECT_ERROR(tern_record_stream(counting(3, tern_cpu()), s), TERN_ERR_DEVICE, "expected cpu");
        tern_stream_free(c);
        tern_event_free(g);
    }
    tern_stream_use(d, s);
    tern_error_set(TERN_ERR_ARGUMENT, "pending");
    CHECK(!tern_event_record(e, s) && !tern_stream_new(d) && !tern_stream_wait(d, s));
    CHECK(tern_stream_use(d, NULL) && tern_stream_current(d) == NULL, "an error keeps nobody on a stream");
    tern_error_clear();
    tern_stream_free(s);
    tern_event_free(e);
    tern_event_free(f);
}

static void *train_a_little(void *user) {
    const tern_device d = test_device();
    bool *good = user;
    tern_stream *s = tern_stream_new(d);
    *good = s && tern_stream_use(d, s);
    tern_stream_free(s); /* the thread keeps it */
    for (int i = 0; i < 10 && *good; i++) {
        const int scope = tern_scope_push();
        tern_tensor *w = tern_require_grad(tern_ones(TERN_SHAPE(8, 8), here()), true);
        tern_tensor *y = tern_mean(tern_square(tern_add(w, tern_ones(TERN_SHAPE(8), here()))), NULL, 0, false);
        *good = tern_backward(y) && fabs(tern_item(y) - 4) < 1e-5 &&
                fabs(tern_item(tern_sum(tern_grad_get(w), NULL, 0, false)) - 4) < 1e-4;
        tern_scope_pop(scope);
    }
    return NULL;
}

TERN_TEST(device, threads_on_streams_of_their_own) {
    on_gpu();
    pthread_t t[4];
    bool good[4] = {false};
    for (int i = 0; i < 4; i++) REQUIRE(pthread_create(&t[i], NULL, train_a_little, &good[i]) == 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
        CHECK(good[i], "thread %d", i);
    }
    CHECK(tern_sync(test_device()));
}

/* ---- pinned memory and copies
 * -------------------------------------------------------------------------------------------- */

TERN_TEST(device, pinned_tensors) {
    const bool gpu = on_gpu();
    const int64_t before = tern_memory_device(tern_cpu()).live;
    const int scope = tern_scope_push();
    tern_tensor *p = tern_empty_pinned(TERN_SHAPE(5, 7), TERN_F64);
    REQUIRE(p, "%s", tern_error_message());
    CHECK(tern_is_pinned(p) == gpu && tern_device_of(p).type == TERN_CPU && tern_dtype_of(p) == TERN_F64);
    CHECK_SHAPE(p, 5, 7);
    CHECK(tern_memory_device(tern_cpu()).live == before + 35 * 8);
    tern_fill_(p, 3);
    CHECK_ITEM(tern_sum(tern_select(p, 0, 2), NULL, 0, false), 21, 1e-9);
    tern_tensor *x = tern_transpose(tern_reshape(counting(6, tern_cpu()), TERN_SHAPE(2, 3)), 0, 1), *q = tern_pin(x);
    CHECK(tern_is_pinned(q) == gpu && tern_pin(q) != NULL && tern_is_contiguous(q));
    CHECK_VALUES(q, 0, 3, 1, 4, 2, 5);
    CHECK(!gpu || tern_pin(q) == q);
    CHECK(tern_numel(tern_empty_pinned(TERN_SHAPE(0, 3), TERN_F32)) == 0 && !tern_is_pinned(NULL) &&
          !tern_is_pinned(x));
    EXPECT_ERROR(tern_empty_pinned(TERN_SHAPE(-1), TERN_F32), TERN_ERR_SHAPE, "empty_pinned");
    EXPECT_ERROR(tern_pin(NULL), TERN_ERR_ARGUMENT, "pin");
    if (gpu) EXPECT_ERROR(tern_pin(counting(3, tern_cuda(0))), TERN_ERR_DEVICE, "pin: t is on cuda:0");
    tern_memory_fail_at(1);
    EXPECT_ERROR(tern_empty_pinned(TERN_SHAPE(1000), TERN_F32), TERN_ERR_MEMORY, "memory");
    tern_memory_fail_at(0);
    tern_scope_pop(scope);
    CHECK(tern_memory_device(tern_cpu()).live == before, "pinned memory is not given back");
}

TERN_TEST(device, copies_there_and_back) {
    on_gpu();
    const tern_device d = test_device();
    tern_event *done = tern_event_new(d);
    for (int pinned = 0; pinned < 2; pinned++)
        for (int form = 0; form < 3; form++) {
            check_case("%s, form %d", pinned ? "pinned" : "plain", form);
            tern_tensor *x = counting(form == 2 ? 0 : 24, tern_cpu());
            if (pinned) x = tern_pin(x);
            if (form == 1) x = tern_transpose(tern_reshape(x, TERN_SHAPE(4, 6)), 0, 1);
            tern_tensor *y = tern_to_async(x, d, done);
            REQUIRE(y && tern_device_equal(tern_device_of(y), d), "%s", tern_error_message());
            tern_tensor *z = tern_to_async(tern_mul_scalar(y, 2), tern_cpu(), d.type == TERN_CPU ? NULL : done);
            REQUIRE(z && tern_event_wait(done), "%s", tern_error_message());
            CHECK(tern_device_of(z).type == TERN_CPU && tern_is_pinned(z) == (d.type == TERN_CUDA));
            CHECK_SAME(z, tern_mul_scalar(x, 2), ((tolerance){0, 0}));
        }
    check_case("%s", "");
    tern_event_free(done);
}

TERN_TEST(device, copies_into_tensors_that_are_there) {
    const bool gpu = on_gpu();
    const tern_device d = test_device();
    tern_tensor *x = tern_pin(counting(12, tern_cpu()));
    EXPECT_ERROR(tern_copy_async_(x, counting(12, tern_cpu()), NULL), TERN_ERR_DEVICE, "on one device");
    EXPECT_ERROR(tern_copy_async_(NULL, x, NULL), TERN_ERR_ARGUMENT, "copy_async_");
    EXPECT_ERROR(tern_copy_async_(x, NULL, NULL), TERN_ERR_ARGUMENT, "copy_async_");
    EXPECT_ERROR(tern_copy_async_(x, counting(11, d), NULL), TERN_ERR_SHAPE, "different shapes");
    EXPECT_ERROR(tern_copy_async_(x, tern_cast(x, TERN_F64), NULL), TERN_ERR_DTYPE, "different dtypes");
    if (!gpu) return;
    tern_event *done = tern_event_new(d), *wrong = tern_event_new(tern_cpu());
    tern_tensor *y = tern_zeros(TERN_SHAPE(12), here());
    const uint32_t version = tern_storage_version(y);
    CHECK(tern_copy_async_(y, x, done) == y && tern_storage_version(y) == version + 1);
    CHECK_SAME(y, x, ((tolerance){0, 0}));
    tern_tensor *back = tern_zeros(TERN_SHAPE(12), (tern_options){0}); /* not pinned: filled on return */
    CHECK(tern_copy_async_(back, tern_mul(y, y), done) == back);
    CHECK_ITEM(tern_sum(back, NULL, 0, false), 506, 1e-4);
    EXPECT_ERROR(tern_copy_async_(y, x, wrong), TERN_ERR_DEVICE, "expected cuda:0");
    EXPECT_ERROR(tern_to_async(x, d, wrong), TERN_ERR_DEVICE, "expected cuda:0");
    tern_tensor *across = tern_transpose(tern_zeros(TERN_SHAPE(3, 4), here()), 0, 1);
    EXPECT_ERROR(tern_copy_async_(across, tern_reshape(x, TERN_SHAPE(4, 3)), NULL), TERN_ERR_ARGUMENT,
                 "not contiguous");
    EXPECT_ERROR(tern_copy_async_(tern_require_grad(tern_zeros(TERN_SHAPE(12), here()), true), x, NULL),
                 TERN_ERR_AUTOGRAD, "copy_async_");
    if (tern_device_count(TERN_CUDA) > 1) {
        tern_event *e = tern_event_new(tern_cuda(1));
        tern_tensor *z = tern_to_async(y, tern_cuda(1), e);
        CHECK(tern_event_wait(e) && tern_device_equal(tern_device_of(z), tern_cuda(1)));
        CHECK_SAME(tern_to(z, tern_cpu()), x, ((tolerance){0, 0}));
        tern_event_free(e);
    }
    tern_event_free(done);
    tern_event_free(wrong);
}

/* A source and a result that are released while the copy may be under way. */
TERN_TEST(device, what_is_copied_may_be_released) {
    on_gpu();
    const tern_device d = test_device();
    tern_stream *copies = tern_stream_new(d);
    tern_event *ready = tern_event_new(d);
    for (int i = 0; i < 20; i++) {
        const int scope = tern_scope_push();
        tern_tensor *x = tern_empty_pinned(TERN_SHAPE(1000), TERN_F32);
        tern_fill_(x, i);
        CHECK(tern_stream_use(d, copies));
        tern_tensor *y = tern_keep(tern_to_async(x, d, ready));
        CHECK(tern_stream_use(d, NULL));
        tern_scope_pop(scope); /* x */
        CHECK(tern_stream_after(d, NULL, ready));
        CHECK_ITEM(tern_mean(y, NULL, 0, false), i, 1e-4);
        tern_release(y); /* had on copies, used on the device's own stream */
    }
    tern_event_free(ready);
    tern_stream_free(copies);
}

/* ---- memory
 * ------------------------------------------------------------------------------------------------------------- */

TERN_TEST(device, marks_tell_what_a_part_needed) {
    on_gpu();
    const tern_device d = test_device();
    tern_tensor *keep = tern_zeros(TERN_SHAPE(1000), here());
    const int outer = tern_memory_mark(d);
    const int s = tern_scope_push();
    tern_zeros(TERN_SHAPE(2000), here());
    const int inner = tern_memory_mark(d);
    const int t = tern_scope_push();
    tern_zeros(TERN_SHAPE(5000), here());
    tern_zeros(TERN_SHAPE(500), here());
    tern_scope_pop(t);
    tern_tensor *left = tern_keep(tern_zeros(TERN_SHAPE(10), here()));
    const tern_memory_stats in = tern_memory_since(inner);
    CHECK(in.live == 40 && in.peak == 22000 && in.allocations == 3, "%" PRId64 ", %" PRId64 ", %" PRId64, in.live,
          in.peak, in.allocations);
    tern_scope_pop(s);
    tern_release(left);
    const tern_memory_stats out = tern_memory_since(outer);
    CHECK(out.live == 0 && out.peak == 30000 && out.allocations == 4, "%" PRId64 ", %" PRId64, out.live, out.peak);
    CHECK(tern_numel(keep) == 1000);
    CHECK(tern_memory_since(inner).peak == 0);
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "memory_since");
    CHECK(tern_memory_since(-1).live == 0);
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "no open mark");
    CHECK(tern_memory_mark(tern_cuda(50)) == -1);
    EXPECT_PENDING(TERN_ERR_DEVICE, "cuda:50");
    int many[33];
    for (int i = 0; i < 33; i++) many[i] = tern_memory_mark(d);
    CHECK(many[31] >= 0 && many[32] == -1);
    EXPECT_PENDING(TERN_ERR_MEMORY, "marks are open");
    for (int i = 0; i < 32; i++) CHECK(tern_memory_since(many[i]).peak == 0);
}

TERN_TEST(device, statistics_of_the_cache) {
    const bool gpu = on_gpu();
    const tern_device d = test_device();
    tern_memory_cache_stats s, t;
    char text[1024], few[10];
    tern_tensor *x = tern_zeros(TERN_SHAPE(1 << 20), here());
    REQUIRE(tern_memory_cache(d, &s), "%s", tern_error_message());
    CHECK(x && s.live >= 4 << 20 && s.live_peak >= s.live && s.reserved >= s.live && s.allocations > 0);
    if (gpu) CHECK(s.segments >= 1 && s.reserved_peak >= s.reserved && s.reserved % (1 << 20) == 0);
    const int scope = tern_scope_push();
    tern_zeros(TERN_SHAPE(1 << 18), here());
    tern_scope_pop(scope);
    CHECK(tern_memory_cache(d, &t) && t.live == s.live && t.live_peak >= s.live + (1 << 20));
    tern_memory_reset_peak();
    CHECK(tern_memory_cache(d, &t) && t.live_peak == t.live);
    if (gpu) CHECK(t.frees >= 1);
    tern_memory_summary(d, text, sizeof text);
    CHECK(strstr(text, gpu ? "cuda:0 (" : "cpu (") && strstr(text, "4.0 MiB live") && strstr(text, "reserved"), "%s",
          text);
    CHECK(strlen(tern_memory_summary(d, few, sizeof few)) == sizeof few - 1);
    EXPECT_ERROR(tern_memory_cache(d, NULL), TERN_ERR_ARGUMENT, "memory_cache");
    EXPECT_ERROR(tern_memory_cache(tern_cuda(33), &s), TERN_ERR_DEVICE, "cuda:33");
    CHECK(tern_memory_summary(tern_cuda(33), text, sizeof text)[0] == 0);
    EXPECT_PENDING(TERN_ERR_DEVICE, "cuda:33");
}

TERN_TEST(device, memory_runs_out_and_comes_back) {
    setenv("TERN_SIM_MEMORY", "67108864", 1);
    if (!on_gpu()) return;
    tern_device_properties p;
    REQUIRE(tern_device_properties_get(test_device(), &p));
    if (p.memory != 67108864) return; /* a real GPU: tests of its own cap it */
    tern_tensor *x = tern_ones(TERN_SHAPE(1 << 20), here());
    for (int i = 0; i < 1000; i++) {
        tern_tensor *y = tern_zeros(TERN_SHAPE(64, 1 << 20), here());
        if (y || tern_error_code() != TERN_ERR_MEMORY) FAIL("request %d gave %s", i, tern_error_message());
        if (i == 0) CHECK(strstr(tern_error_message(), "4.0 MiB in use"), "%s", tern_error_message());
        tern_error_clear();
    }
    CHECK_ITEM(tern_sum(tern_add(x, x), NULL, 0, false), 2 << 20, 1e-6);
}

/* ---- ranges
 * ------------------------------------------------------------------------------------------------------------- */

TERN_TEST(device, ranges_change_nothing) {
    setenv("TERN_NVTX", "1", 1);
    on_gpu();
    tern_range_push("epoch");
    tern_range_push(NULL);
    CHECK_ITEM(tern_sum(counting(5, test_device()), NULL, 0, false), 10, 1e-6);
    tern_range_pop();
    tern_range_pop();
}
