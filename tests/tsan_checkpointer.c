/* The checkpoint writer beside a program that goes on changing what it saves, and asks how it goes. A plain main, for
 * ThreadSanitizer; exit code 0 if all is well. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <signal.h>

#include "common.h"
#include "tern/checkpointer.h"
#include "tern/layers.h"

static _Atomic bool over;

static void *asking(void *p) {
    int64_t seen = 0;
    while (!over) {
        const tern_checkpointer_report r = tern_checkpointer_report_get(p);
        seen += r.written + tern_checkpointer_busy(p) + (r.message[0] != 0);
    }
    return seen >= 0 ? NULL : p;
}

static void disk_fails(bool on) {
    struct rlimit was;
    getrlimit(RLIMIT_FSIZE, &was);
    was.rlim_cur = on ? 1000 : was.rlim_max;
    setrlimit(RLIMIT_FSIZE, &was);
}

static void saves(const char *folder) {
    tern_module *net = tern_linear_new(30, 30, (tern_linear_opts){0});
    tern_optim *opt = tern_adam_new(net, 1e-3, (tern_adam_opts){0});
    tern_checkpoint c = {.model = net, .optim = opt};
    tern_checkpointer *w = tern_checkpointer_new(folder, &c, (tern_checkpointer_opts){.retry_seconds = 0.001});
    pthread_t thread;
    REQUIRE(w && pthread_create(&thread, NULL, asking, w) == 0);
    signal(SIGXFSZ, SIG_IGN);
    for (c.step = 1; c.step <= 41; c.step++) {
        if (c.step % 8 == 0) CHECK(tern_checkpointer_wait(w)); /* the one before is to be written */
        disk_fails(c.step % 8 == 0);
        CHECK(tern_checkpointer_save(w, &c, c.step % 3 == 0));
        const int scope = tern_scope_push();
        tern_backward(tern_sum(tern_forward(net, tern_ones(TERN_SHAPE(2, 30), (tern_options){0})), NULL, 0, false));
        CHECK(tern_optim_step(opt)); /* while it is written */
        tern_scope_pop(scope);
        if (c.step % 8 == 0) EXPECT_ERROR(tern_checkpointer_wait(w), TERN_ERR_IO, "checkpoint");
    }
    disk_fails(false);
    CHECK(tern_checkpointer_wait(w) && tern_checkpointer_report_get(w).written == 36);
    over = true;
    pthread_join(thread, NULL);
    CHECK(tern_checkpointer_free(w));
    CHECK(tern_checkpoint_load_newest(folder, NULL, &c, NULL, 0));
    tern_optim_free(opt);
    tern_module_free(net);
}

int main(void) {
    check_begin("tsan", "checkpointer");
    char folder[300];
    snprintf(folder, sizeof folder, "%s", test_path("writer"));
    saves(folder);
    const int failures = check_end();
    fprintf(stderr, "tsan_checkpointer: %d failures\n", failures);
    return failures ? 1 : 0;
}
