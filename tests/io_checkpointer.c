/* Checkpoints in the background: what is written is what was there at the call; the last and the best stay; a disk that
 * is full or a write that fails costs nothing but that checkpoint; and a process that is killed at any moment leaves
 * the newest one whole. TERN_TEST_KILLS sets how many are killed (30). */
#include "common.h"
#include "tern/checkpointer.h"
#include "tern/layers.h"

#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct run {
    tern_module *net;
    tern_optim *opt;
    tern_checkpoint c;
} run;

static bool run_start(run *r, int64_t width) {
    *r = (run){.net = tern_linear_new(width, width, (tern_linear_opts){0})};
    r->opt = tern_adam_new(r->net, 1e-3, (tern_adam_opts){0});
    r->c = (tern_checkpoint){.model = r->net, .optim = r->opt};
    return r->net && r->opt;
}
static void run_stop(run *r) {
    tern_optim_free(r->opt);
    tern_module_free(r->net);
}

/* All of the state is this number. */
static void set_all(run *r, double value) {
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    tern_named e;
    tern_optim_state o;
    for (int i = 0; tern_module_each(r->net, i, &e); i++) tern_copy_(e.tensor, tern_full_like(e.tensor, value));
    for (int i = 0; tern_optim_each(r->opt, i, &o); i++) tern_copy_(o.tensor, tern_full_like(o.tensor, value));
    tern_grad_mode(was);
    tern_scope_pop(scope);
}
static bool all_are(tern_tensor *t, double value) {
    const int64_t n = tern_numel(t);
    double *v = malloc((size_t)n * sizeof *v);
    bool ok = v && tern_to_doubles(t, v, n);
    for (int64_t i = 0; ok && i < n; i++) ok = v[i] == value;
    free(v);
    return ok;
}
static bool check_all(run *r, double value) {
    tern_named e;
    tern_optim_state o;
    for (int i = 0; tern_module_each(r->net, i, &e); i++)
        if (!all_are(e.tensor, value)) return FAIL("%s is not all %g", e.name, value);
    for (int i = 0; tern_optim_each(r->opt, i, &o); i++)
        if (!all_are(o.tensor, value)) return FAIL("%s is not all %g", o.name, value);
    return true;
}

static bool there(const char *folder, const char *name) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

TERN_TEST(io_checkpointer, snapshots_and_what_stays) {
    char folder[300], path[500];
    snprintf(folder, sizeof folder, "%s", test_path("run"));
    run a, b;
    REQUIRE(run_start(&a, 200) && run_start(&b, 200));
    tern_checkpointer *w = tern_checkpointer_new(folder, &a.c, (tern_checkpointer_opts){.keep = 2});
    REQUIRE(w);
    for (int step = 1; step <= 6; step++) {
        a.c.step = step;
        set_all(&a, step);
        CHECK(tern_checkpointer_save(w, &a.c, step == 3));
        set_all(&a, 99); /* training goes on at once */
    }
    CHECK(tern_checkpointer_wait(w) && !tern_checkpointer_busy(w));
    const tern_checkpointer_report r = tern_checkpointer_report_get(w);
    CHECK(r.written == 6 && r.failures == 0 && r.last_step == 6 && r.stall > 0 && r.seconds > 0 && !r.message[0]);
    CHECK(tern_checkpoint_count(folder, NULL) == 2);
    CHECK(there(folder, "checkpoint-000000005.h5") && there(folder, "checkpoint-000000006.h5"));
    REQUIRE(tern_checkpoint_load_newest(folder, NULL, &b.c, path, sizeof path));
    CHECK(strstr(path, "checkpoint-000000006.h5") && b.c.step == 6);
    check_all(&b, 6);
    snprintf(path, sizeof path, "%s/checkpoint-best.h5", folder);
    CHECK(tern_checkpoint_load(path, &b.c) && b.c.step == 3);
    check_all(&b, 3);
    a.c.step = 4; /* of a run that went back: what is newer is left alone, and does not count */
    set_all(&a, 4);
    CHECK(tern_checkpointer_save(w, &a.c, true) && tern_checkpointer_wait(w));
    CHECK(tern_checkpoint_count(folder, NULL) == 3 && there(folder, "checkpoint-000000004.h5"));
    CHECK(tern_checkpoint_load(path, &b.c) && b.c.step == 4);
    CHECK(tern_checkpointer_free(w) && tern_checkpointer_free(NULL));
    run_stop(&a);
    run_stop(&b);
}

/* A snapshot's file is the one that tern_checkpoint_save writes, byte for byte; also after the model has changed shape.
 */
TERN_TEST(io_checkpointer, as_saved_at_once) {
    char folder[300], mine[700], plain[300];
    snprintf(folder, sizeof folder, "%s", test_path("same"));
    snprintf(plain, sizeof plain, "%s", test_path("plain.h5"));
    tern_checkpointer *w = NULL;
    for (int i = 0; i < 4; i++) {
        run a;
        REQUIRE(run_start(&a, i == 1 ? 7 : 20));
        if (i == 3) tern_module_cast(a.net, TERN_BF16);
        tern_schedule s = {.kind = TERN_SCHEDULE_COSINE, .lr = 0.1, .total = 10};
        tern_checkpoint_user user[] = {{.name = "note", .text = "hello"}, {.name = "x", .number = 0.5}};
        a.c.schedule = &s;
        a.c.user = user;
        a.c.n_user = 2;
        a.c.step = i;
        if (!w) w = tern_checkpointer_new(folder, NULL, (tern_checkpointer_opts){.prefix = "m", .keep = -1});
        REQUIRE(w);
        CHECK(tern_checkpoint_save(plain, &a.c) && tern_checkpointer_save(w, &a.c, false) && tern_checkpointer_wait(w));
        snprintf(mine, sizeof mine, "cmp %s %s/m-%09d.h5", plain, folder, i);
        CHECK(system(mine) == 0);
        run_stop(&a);
    }
    CHECK(tern_checkpoint_count(folder, "m") == 4 && tern_checkpoint_count(folder, NULL) == 0);
    tern_checkpointer_free(w);
}

/* ---- disks that fail --------------------------------------------------------------------------------------------- */

typedef struct heard {
    _Atomic int calls, last;
} heard;
static void hear(const char *message, bool more, void *user) {
    heard *h = user;
    h->calls++;
    h->last = more ? 1 : strstr(message, "cannot be written") ? 2 : 3;
}

static void failing(const char *folder, void (*full)(const char *, bool)) {
    heard h = {0};
    run a, b;
    REQUIRE(run_start(&a, 300) && run_start(&b, 300));
    const tern_checkpointer_opts o = {.retries = 2, .retry_seconds = 0.02, .failed = hear, .user = &h};
    tern_checkpointer *w = tern_checkpointer_new(folder, &a.c, o);
    REQUIRE(w);
    a.c.step = 1;
    set_all(&a, 1);
    CHECK(tern_checkpointer_save(w, &a.c, true) && tern_checkpointer_wait(w));
    full(folder, true);
    a.c.step = 2;
    set_all(&a, 2);
    CHECK(tern_checkpointer_save(w, &a.c, true)); /* training goes on */
    EXPECT_ERROR(tern_checkpointer_wait(w), TERN_ERR_IO, "cannot be written");
    tern_checkpointer_report r = tern_checkpointer_report_get(w);
    CHECK(r.failures >= 2 && r.given_up == 1 && r.written == 1 && h.calls == r.failures && h.last == 2);
    CHECK(strstr(r.message, "checkpoint-000000002.h5"));
    CHECK(tern_checkpoint_load_newest(folder, NULL, &b.c, NULL, 0) && b.c.step == 1);
    check_all(&b, 1);
    full(folder, false);
    a.c.step = 3;
    set_all(&a, 3);
    CHECK(tern_checkpointer_save(w, &a.c, false) && tern_checkpointer_wait(w));
    CHECK(tern_checkpoint_load_newest(folder, NULL, &b.c, NULL, 0) && b.c.step == 3);
    check_all(&b, 3);
    full(folder, true);
    a.c.step = 4;
    CHECK(tern_checkpointer_save(w, &a.c, false));
    CHECK(!tern_checkpointer_free(w)); /* tells, and does not wait for ever */
    full(folder, false);
    run_stop(&a);
    run_stop(&b);
}

static void limit(const char *folder, bool on) {
    (void)folder;
    struct rlimit was;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &was);
    was.rlim_cur = on ? 100000 : was.rlim_max;
    setrlimit(RLIMIT_FSIZE, &was);
}
TERN_TEST(io_checkpointer, writes_that_fail) {
    char folder[300];
    snprintf(folder, sizeof folder, "%s", test_path("limited"));
    failing(folder, limit);
}

static void fill_up(const char *folder, bool on) {
    char path[400];
    static char block[65536];
    snprintf(path, sizeof path, "%s/ballast", folder);
    if (!on) {
        CHECK(unlink(path) == 0);
        return;
    }
    FILE *f = fopen(path, "w");
    while (f && fwrite(block, 1, sizeof block, f) == sizeof block && fflush(f) == 0) {
    }
    if (f) fclose(f);
}
TERN_TEST(io_checkpointer, a_full_disk) {
    char folder[300];
    snprintf(folder, sizeof folder, "%s", test_path("disk"));
    mkdir(folder, 0700);
    if (mount("tmpfs", folder, "tmpfs", 0, "size=8m") != 0) {
        fprintf(stderr, "io_checkpointer/a_full_disk: skipped: a small tmpfs cannot be mounted here\n");
        return;
    }
    failing(folder, fill_up);
    CHECK(umount(folder) == 0);
}

TERN_TEST(io_checkpointer, folders_and_arguments) {
    run a;
    REQUIRE(run_start(&a, 3));
    EXPECT_ERROR(tern_checkpointer_new("/dev/null", NULL, (tern_checkpointer_opts){0}), TERN_ERR_IO, "/dev/null");
    EXPECT_ERROR(tern_checkpointer_new("/nowhere/at/all", NULL, (tern_checkpointer_opts){0}), TERN_ERR_IO, "nowhere");
    EXPECT_ERROR(tern_checkpointer_new(test_path("x"), NULL, (tern_checkpointer_opts){.prefix = "a/b"}),
                 TERN_ERR_ARGUMENT, "a/b");
    EXPECT_ERROR(tern_checkpointer_new(NULL, NULL, (tern_checkpointer_opts){0}), TERN_ERR_ARGUMENT, "folder");
    EXPECT_ERROR(tern_checkpoint_load_newest(test_path("none"), NULL, &a.c, NULL, 0), TERN_ERR_IO, "holds no");
    char folder[300];
    snprintf(folder, sizeof folder, "%s", test_path("locked"));
    mkdir(folder, 0500);
    test_powers(false);
    EXPECT_ERROR(tern_checkpointer_new(folder, NULL, (tern_checkpointer_opts){0}), TERN_ERR_IO, "denied");
    chmod(folder, 0);
    CHECK(tern_checkpoint_count(folder, NULL) == -1); /* nobody knows how many */
    EXPECT_PENDING(TERN_ERR_IO, "denied");
    EXPECT_ERROR(tern_checkpoint_load_newest(folder, NULL, &a.c, NULL, 0), TERN_ERR_IO, "denied");
    test_powers(true);
    chmod(folder, 0700);
    CHECK(tern_checkpoint_count("/dev/null/folder", NULL) == -1);
    EXPECT_PENDING(TERN_ERR_IO, "/dev/null/folder");
    CHECK(tern_checkpoint_count("/nowhere/at/all", NULL) == 0);
    tern_checkpointer *w = tern_checkpointer_new(folder, NULL, (tern_checkpointer_opts){0});
    a.c.step = -1;
    EXPECT_ERROR(tern_checkpointer_save(w, &a.c, false), TERN_ERR_ARGUMENT, "step -1");
    EXPECT_ERROR(tern_checkpointer_save(NULL, &a.c, false), TERN_ERR_ARGUMENT, "checkpointer");
    CHECK(tern_checkpointer_free(w));
    CHECK(!tern_checkpointer_busy(NULL) && tern_checkpointer_report_get(NULL).written == 0);
    run_stop(&a);
}

/* A newest file that is damaged is passed over; one that is whole but of another model is an error. */
TERN_TEST(io_checkpointer, damaged_ones_are_passed_over) {
    char folder[300], path[500];
    snprintf(folder, sizeof folder, "%s", test_path("damage"));
    run a, b;
    REQUIRE(run_start(&a, 10) && run_start(&b, 11));
    tern_checkpointer *w = tern_checkpointer_new(folder, NULL, (tern_checkpointer_opts){0});
    for (int step = 1; step <= 3; step++) {
        a.c.step = step;
        set_all(&a, step);
        CHECK(tern_checkpointer_save(w, &a.c, false));
    }
    CHECK(tern_checkpointer_free(w));
    snprintf(path, sizeof path, "%s/checkpoint-000000003.h5", folder);
    CHECK(truncate(path, 2000) == 0);
    REQUIRE(tern_checkpoint_load_newest(folder, NULL, &a.c, path, sizeof path));
    CHECK(a.c.step == 2 && strstr(path, "000000002"));
    check_all(&a, 2);
    EXPECT_ERROR(tern_checkpoint_load_newest(folder, NULL, &b.c, NULL, 0), TERN_ERR_FORMAT, "000000003");
    unlink(path);
    for (int step = 1; step <= 2; step++) {
        snprintf(path, sizeof path, "%s/checkpoint-%09d.h5", folder, step);
        if (access(path, F_OK) == 0) CHECK(truncate(path, 100) == 0);
    }
    EXPECT_ERROR(tern_checkpoint_load_newest(folder, NULL, &a.c, NULL, 0), TERN_ERR_FORMAT, "000000003");
    run_stop(&a);
    run_stop(&b);
}

/* Every allocation of a save fails once, in whichever thread: an error or a checkpoint given up, never a bad one. */
TERN_TEST(io_checkpointer, out_of_memory) {
    char folder[300];
    snprintf(folder, sizeof folder, "%s", test_path("memory"));
    run a, b;
    REQUIRE(run_start(&a, 5) && run_start(&b, 5));
    set_all(&a, 1);
    int good = 0, bad = 0;
    for (int n = 1; n < 120; n++) {
        const tern_checkpointer_opts o = {.retries = -1, .keep = 2};
        tern_memory_fail_at(n);
        tern_checkpointer *w = tern_checkpointer_new(folder, n % 2 ? &a.c : NULL, o);
        a.c.step = n;
        bool ok = w && tern_checkpointer_save(w, &a.c, n % 3 == 0);
        tern_error_clear();
        ok = tern_checkpointer_free(w) && ok;
        tern_memory_fail_at(0);
        tern_error_clear();
        ok ? good++ : bad++;
        if (!good) continue;
        CHECK(tern_checkpoint_load_newest(folder, NULL, &b.c, NULL, 0));
        check_all(&b, 1);
        if (ok) CHECK(b.c.step == n, "%d is not there", n);
    }
    CHECK(bad > 10, "%d failed, %d did not", bad, good);
    run_stop(&a);
    run_stop(&b);
}

/* After a snapshot for which there was no memory the next one is whole. */
TERN_TEST(io_checkpointer, again_after_out_of_memory) {
    char folder[300];
    snprintf(folder, sizeof folder, "%s", test_path("again"));
    run a, b;
    REQUIRE(run_start(&a, 5) && run_start(&b, 5));
    int bad = 0;
    for (int n = 1; n < 60; n++) {
        tern_checkpointer *w = tern_checkpointer_new(folder, NULL, (tern_checkpointer_opts){0});
        REQUIRE(w);
        a.c.step = 2 * n;
        tern_memory_fail_at(n);
        bad += !tern_checkpointer_save(w, &a.c, false);
        tern_memory_fail_at(0);
        tern_error_clear();
        a.c.step++;
        set_all(&a, n);
        CHECK(tern_checkpointer_save(w, &a.c, false));
        CHECK(tern_checkpointer_free(w));
        CHECK(tern_checkpoint_load_newest(folder, NULL, &b.c, NULL, 0) && b.c.step == 2 * n + 1);
        check_all(&b, n);
    }
    CHECK(bad > 10, "%d failed", bad);
    run_stop(&a);
    run_stop(&b);
}

/* ---- killed at random moments ------------------------------------------------------------------------------------ */

/* Saves as fast as it can until it is killed; tells through shared memory what it knows to be on the disk. */
static _Noreturn void save_for_ever(const char *folder, _Atomic int64_t *known) {
    run r;
    tern_checkpointer *w = NULL;
    if (!run_start(&r, 150)) abort();
    if (tern_checkpoint_count(folder, NULL) > 0 && !tern_checkpoint_load_newest(folder, NULL, &r.c, NULL, 0)) abort();
    w = tern_checkpointer_new(folder, &r.c, (tern_checkpointer_opts){.keep = 2});
    if (!w) abort();
    known[1] = 1; /* it is off */
    for (int64_t step = r.c.step + 1;; step++) {
        r.c.step = step;
        set_all(&r, (double)(step % 1000000));
        if (!tern_checkpointer_save(w, &r.c, step % 5 == 0)) abort();
        const int64_t last = tern_checkpointer_report_get(w).last_step;
        if (last > *known) *known = last;
    }
}

/* Temporary files of the folder. */
static int temporaries(const char *folder) {
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) n += strstr(e->d_name, ".tmp-") != NULL;
    if (d) closedir(d);
    return n;
}

TERN_TEST(io_checkpointer, killed_at_random_moments, .timeout = 3600) {
    char folder[300];
    snprintf(folder, sizeof folder, "%s", test_path("killed"));
    const char *many = getenv("TERN_TEST_KILLS");
    const int kills = many ? atoi(many) : 30;
    _Atomic int64_t *known = mmap(NULL, 2 * sizeof *known, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(known != MAP_FAILED);
    *known = 0;
    int loads = 0, none = 0, during = 0;
    run r;
    REQUIRE(run_start(&r, 150));
    for (int k = 0; k < kills; k++) {
        known[1] = 0;
        const pid_t child = fork();
        if (child == 0) save_for_ever(folder, known);
        for (int i = 0; k % 4 && i < 20000 && !known[1]; i++) usleep(500); /* now and then also while it starts */
        usleep((useconds_t)test_uniform(0, 80e3));
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        if (!CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the child ended by itself, status %x", status))
            break;
        if (*known == 0 && tern_checkpoint_count(folder, NULL) == 0) {
            none++; /* killed before the very first was there */
            continue;
        }
        during += temporaries(folder);
        r.c.step = 0;
        if (!CHECK(tern_checkpoint_load_newest(folder, NULL, &r.c, NULL, 0))) break;
        CHECK(r.c.step >= *known, "step %" PRId64 ", but %" PRId64 " was written", r.c.step, *known);
        if (check_all(&r, (double)(r.c.step % 1000000))) loads++;
        CHECK_OK();
    }
    fprintf(stderr,
            "io_checkpointer: %d of %d runs killed, %d before their first checkpoint, %d during a write; all others "
            "loaded; step %" PRId64 " at the end\n",
            kills, kills, none, during, r.c.step);
    CHECK(loads + none == kills && loads > kills / 2 && during > kills / 10);
    tern_checkpointer *w = tern_checkpointer_new(folder, NULL, (tern_checkpointer_opts){0});
    CHECK(tern_checkpointer_free(w));
    CHECK(temporaries(folder) == 0, "what killed processes left is not swept up");
    munmap((void *)known, 2 * sizeof *known);
    run_stop(&r);
}
