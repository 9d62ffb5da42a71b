/* The CPU's worker threads as the system sees them. */
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "common.h"

/* Calls f for each thread of the program; how many there are. */
static int each_thread(bool (*f)(pid_t, const cpu_set_t *), const cpu_set_t *set) {
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') n += f((pid_t)strtol(e->d_name, NULL, 10), set);
    if (d) closedir(d);
    return n;
}

static bool put(pid_t thread, const cpu_set_t *set) { return sched_setaffinity(thread, sizeof *set, set) == 0; }

static bool any(pid_t thread, const cpu_set_t *set) { return thread > 0 && set; }

static bool may_use(pid_t thread, const cpu_set_t *set) {
    cpu_set_t is;
    CPU_ZERO(&is);
    CHECK(sched_getaffinity(thread, sizeof is, &is) == 0);
    return CPU_EQUAL(&is, set);
}

static atomic_bool over;

/* Keeps a processor busy, so that the system does not wake others there. */
static void *busy(void *set) {
    sched_setaffinity(0, sizeof(cpu_set_t), set);
    while (!atomic_load(&over)) continue;
    return NULL;
}

/* A worker that wakes on the caller's processor leaves it; afterwards it may run wherever it could. */
TERN_TEST(threads, workers_keep_their_processors) {
    cpu_set_t all, pair, here, there;
    const int cpu = sched_getcpu();
    int other = 0;
    REQUIRE(cpu >= 0 && sched_getaffinity(0, sizeof all, &all) == 0);
    while (other < CPU_SETSIZE && (other == cpu || !CPU_ISSET((size_t)other, &all))) other++;
    if (other == CPU_SETSIZE) {
        printf("skipped: one processor\n");
        return;
    }
    CPU_ZERO(&here);
    CPU_ZERO(&there);
    CPU_SET((size_t)cpu, &here);
    CPU_SET((size_t)other, &there);
    CPU_OR(&pair, &here, &there);
    pthread_t thread;
    each_thread(put, &pair);
    REQUIRE(tern_set_threads(2) && pthread_create(&thread, NULL, busy, &there) == 0);
    tern_tensor *x = tern_ones(TERN_SHAPE(300, 300), (tern_options){0});
    for (int i = 0; i < 20; i++) {
        const int s = tern_scope_push();
        put(0, &here);
        for (int k = 0; k < 3; k++) CHECK(tern_item(tern_max(tern_matmul(x, x), NULL, 0, false)) == 300);
        put(0, &pair);
        usleep(6000); /* the worker sleeps, and may leave again */
        tern_scope_pop(s);
    }
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    const int n = each_thread(may_use, &pair), threads = each_thread(any, &pair);
    CHECK(threads >= 2 && n == threads, "%d threads of %d may use both processors", n, threads);
}
