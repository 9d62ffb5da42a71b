/* Peak memory of a model's training steps: a second tern-bench runs a few of them, so that no other model's memory is
 * counted. Its growth beyond the loaded library is what benchmarks/peers/pytorch.py measures of PyTorch, too. */
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

enum { STEPS = 3 };
extern char **environ;

/* A line of /proc/self/status in bytes; 0 where there is none. */
static int64_t status(const char *name) {
    char line[256];
    long long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name))) sscanf(line + strlen(name), ": %lld", &kib);
    if (f) fclose(f);
    return kib * 1024;
}

int bench_memory_print(const bench_case *c) {
    /* A step at tiny sizes first: modules, libraries and threads are there then, and are not counted. */
    bench_case tiny = *c;
    bench_job j;
    tiny.tiny = true;
    bool ok = bench_open(&j, &tiny, 0);
    bench_close(&j);
    const int64_t before = status("VmRSS");
    tern_memory_reset_peak();
    ok = ok && bench_open(&j, c, 0);
    for (int i = 1; ok && i < STEPS; i++) ok = bench_batch(&j) >= 0;
    const int64_t grown = status("VmHWM") - before, peak = tern_memory_device(c->device).peak;
    if (ok) printf("%lld %lld\n", (long long)peak, (long long)(c->device.type == TERN_CPU ? grown : 0));
    bench_close(&j);
    return !ok;
}

void bench_memory_of(const bench_case *c, bench_result *r) {
    char self[4096], device[16], line[128] = "";
    char threads[16], *argv[] = {self,   "memory",    "--filter", (char *)(uintptr_t)c->name, "--device",
                                 device, "--threads", threads,    c->tiny ? "--quick" : NULL, NULL};
    int out[2];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0 || pipe(out)) return;
    self[n] = 0;
    tern_device_name(c->device, device, sizeof device);
    snprintf(threads, sizeof threads, "%d", tern_threads());
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_addclose(&actions, out[0]);
    posix_spawn_file_actions_addclose(&actions, out[1]);
    pid_t pid;
    const bool started = !posix_spawn(&pid, self, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    FILE *f = fdopen(out[0], "r");
    long long peak = 0, grown = 0;
    if (started && f && fgets(line, sizeof line, f) && sscanf(line, "%lld %lld", &peak, &grown) == 2) {
        r->tensors_peak = peak;
        r->resident = grown;
    }
    if (f)
        fclose(f);
    else
        close(out[0]);
    if (started) waitpid(pid, NULL, 0);
}
