/* The process that tries HDF5 on a checkpoint: what it gets of a program with threads, and what it may do to it. An
 * H5Fopen that stands here takes the library's place in it. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common.h"
#include "tern/checkpoint.h"
#include "tern/checkpointer.h"
#include "tern/layers.h"

static enum { OPEN, KILLED, CRASH, DONE_AND_SILENT, ALONE } way;
static pid_t program;

static void nothing(int number) { (void)number; }

/* Of files, the process has the pipe; its end, or -1 if there are others. */
static int pipe_end(void) {
    struct stat st;
    int end = -1, n = 0;
    for (int fd = 3; fd < 300; fd++)
        if (fstat(fd, &st) == 0) n++, end = S_ISFIFO(st.st_mode) ? fd : end;
    return n == 1 ? end : -1;
}

static void misbehave(void) {
    static const char done[301] = {1}; /* what it sends when all went well */
    struct sigaction usr1;
    if (way == KILLED) kill(getpid(), SIGKILL);
    if (way == CRASH) kill(getpid(), SIGSEGV);
    if (way == DONE_AND_SILENT && write(pipe_end(), done, sizeof done) == (ssize_t)sizeof done)
        for (;;) pause();
    if (way == ALONE && (pipe_end() < 0 || sigaction(SIGUSR1, NULL, &usr1) != 0 || usr1.sa_handler != SIG_DFL))
        kill(getpid(), SIGKILL);
}

__attribute__((visibility("default"))) int64_t H5Fopen(const char *path, unsigned flags, int64_t access);
int64_t H5Fopen(const char *path, unsigned flags, int64_t access) {
    int64_t (*real)(const char *, unsigned, int64_t);
    void *p = dlsym(RTLD_NEXT, "H5Fopen");
    memcpy(&real, &p, sizeof p);
    if (way != OPEN && getpid() != program) misbehave();
    return real(path, flags, access);
}

static const char *folder(void) {
    static char path[300];
    snprintf(path, sizeof path, "%s", test_path("run"));
    mkdir(path, 0700);
    program = getpid();
    way = OPEN;
    return path;
}

/* With a sanitizer there is no such process. */
static bool none(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    printf("skipped: a build with sanitizers has no such process\n");
    return true;
#else
    return false;
#endif
}

/* Two checkpoints; of which the newest loads, or nothing does. */
TERN_TEST(io_h5_child, a_process_that_dies, .timeout = 100) {
    if (none()) return;
    const char *path = folder();
    char name[400], found[400];
    tern_checkpoint c = {.no_random = true};
    for (int step = 1; step <= 2; step++) {
        c.step = step;
        snprintf(name, sizeof name, "%s/checkpoint-%09d.h5", path, step);
        REQUIRE(tern_checkpoint_save(name, &c));
    }
    way = KILLED;
    EXPECT_ERROR(tern_checkpoint_load(name, &c), TERN_ERR_MEMORY, "signal 9");
    EXPECT_ERROR(tern_checkpoint_load_newest(path, NULL, &c, found, sizeof found), TERN_ERR_MEMORY, "signal 9");
    way = CRASH;
    EXPECT_ERROR(tern_checkpoint_load(name, &c), TERN_ERR_FORMAT, "crashed the HDF5 library");
    signal(SIGCHLD, SIG_IGN); /* nobody hears how it ended, and a file is not called damaged for that */
    EXPECT_ERROR(tern_checkpoint_load(name, &c), TERN_ERR_MEMORY, "nobody knows why");
    way = OPEN;
    c.step = 0;
    CHECK(tern_checkpoint_load_newest(path, NULL, &c, found, sizeof found) && c.step == 2);
    signal(SIGCHLD, SIG_DFL);
}

TERN_TEST(io_h5_child, nothing_of_the_program_s, .timeout = 100) {
    if (none()) return;
    const char *path = folder();
    char name[400];
    int fd[2];
    tern_checkpoint c = {.no_random = true};
    snprintf(name, sizeof name, "%s/c.h5", path);
    REQUIRE(tern_checkpoint_save(name, &c) && pipe(fd) == 0);
    signal(SIGUSR1, nothing);
    way = ALONE;
    CHECK(tern_checkpoint_load(name, &c));
    close(fd[0]);
    close(fd[1]);
    way = DONE_AND_SILENT;
    CHECK(tern_checkpoint_load(name, &c));
    signal(SIGUSR1, SIG_DFL);
}

/* ---- locks of other threads -------------------------------------------------------------------------------------- */

static _Atomic bool stop;

static void *make_tensors(void *arg) {
    unsigned state = *(const unsigned *)arg;
    while (!atomic_load(&stop)) {
        const int scope = tern_scope_push();
        for (int i = 0; i < 20; i++) tern_empty(TERN_SHAPE(1 + rand_r(&state) % 300000), (tern_options){0});
        tern_scope_pop(scope);
    }
    return NULL;
}

TERN_TEST(io_h5_child, other_threads_allocate, .timeout = 100) {
    const char *path = folder();
    char name[400], tensor[20];
    unsigned seed[4] = {1, 2, 3, 4};
    pthread_t thread[4];
    tern_module *m = tern_module_alloc(sizeof(tern_module), "mine");
    for (int i = 0; m && i < 60; i++) { /* turned round, so that they are read into others */
        snprintf(tensor, sizeof tensor, "w%d", i);
        tern_module_buffer(m, tensor, tern_transpose(tern_ones(TERN_SHAPE(20 + i, 30), (tern_options){0}), 0, 1));
    }
    m = tern_module_done(m);
    tern_checkpoint c = {.model = m};
    snprintf(name, sizeof name, "%s/t.h5", path);
    REQUIRE(m && tern_checkpoint_save(name, &c));
    atomic_store(&stop, false);
    for (int i = 0; i < 4; i++) CHECK(pthread_create(&thread[i], NULL, make_tensors, &seed[i]) == 0);
    for (int i = 0; i < 25; i++)
        if (!CHECK(tern_checkpoint_load(name, &c), "load %d: %s", i, tern_error_message())) break;
    atomic_store(&stop, true);
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    tern_module_free(m);
}
