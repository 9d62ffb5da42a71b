/* OpenBLAS beside tern-bench: single-precision products of squares on so many threads, by the core type of its own that
 * is the fastest for the size, in f32.
 *     peer-openblas THREADS        answers lines "open matmul/ROW/N forward f32", "run" and "close" as tern-bench does
 * OpenBLAS chooses its kernels while it is loaded, by OPENBLAS_CORETYPE, so each core type that this processor can run
 * lives in a process of its own, which hears which product to make and says how long it took. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CORES = 3 };
typedef void (*sgemm_fn)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *,
                         int);

typedef struct question {
    int n, calls;
} question;

typedef struct core {
    pid_t pid;
    int to, from;
} core;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double each(sgemm_fn sgemm, question q, const float *a, const float *b, float *c) {
    const double start = now();
    for (int i = 0; i < q.calls; i++)
        sgemm(101, 111, 111, q.n, q.n, q.n, 1, a, q.n, b, q.n, 0, c, q.n); /* row-major, neither transposed */
    return (now() - start) / q.calls;
}

static void answer(int in, int out, sgemm_fn sgemm) {
    question q;
    int n = 0;
    float *m[3] = {NULL, NULL, NULL};
    while (read(in, &q, sizeof q) == (ssize_t)sizeof q) {
        const size_t elements = (size_t)q.n * (size_t)q.n;
        for (int k = 0; q.n != n && k < 3; k++) {
            free(m[k]);
            m[k] = aligned_alloc(64, (elements * sizeof(float) + 63) / 64 * 64);
            if (!m[k]) _exit(1);
            for (size_t i = 0; i < elements; i++) m[k][i] = (float)(i % 17) * 0.1f - 0.8f;
        }
        n = q.n;
        const double s = each(sgemm, q, m[0], m[1], m[2]);
        if (write(out, &s, sizeof s) != (ssize_t)sizeof s) break;
    }
    _exit(0);
}

/* False where there is no OpenBLAS, or it does not know the core. */
static bool start(core *c, const char *name, int threads) {
    int to[2], from[2];
    char ready = 0;
    if (pipe(to) || pipe(from)) return false;
    c->pid = fork();
    if (c->pid == 0) {
        close(to[1]), close(from[0]);
        setenv("OPENBLAS_CORETYPE", name, 1);
        sgemm_fn sgemm = NULL;
        void (*set_threads)(int) = NULL;
        void *blas = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL), *p = blas ? dlsym(blas, "cblas_sgemm") : NULL;
        memcpy(&sgemm, &p, sizeof p);
        p = blas ? dlsym(blas, "openblas_set_num_threads") : NULL;
        memcpy(&set_threads, &p, sizeof p);
        if (!sgemm || !set_threads) _exit(1);
        set_threads(threads);
        if (write(from[1], "y", 1) == 1) answer(to[0], from[1], sgemm);
        _exit(1);
    }
    close(to[0]), close(from[1]);
    c->to = to[1], c->from = from[0];
    return read(c->from, &ready, 1) == 1;
}

static double ask(const core *c, question q) {
    double s = -1;
    if (write(c->to, &q, sizeof q) != (ssize_t)sizeof q || read(c->from, &s, sizeof s) != (ssize_t)sizeof s) return -1;
    return s;
}

/* The fastest core for the size, and how many calls fill 20 ms. */
static const core *choose(const core *c, int n, int size, question *q) {
    const core *best = NULL;
    double least = 0;
    *q = (question){size, 1};
    for (int i = 0; i < n; i++) {
        double s = ask(&c[i], *q);
        for (int k = 0; k < 5; k++) {
            const double t = ask(&c[i], (question){size, size < 512 ? 50 : 1});
            if (t > 0 && (s < 0 || t < s)) s = t;
        }
        if (s > 0 && (!best || s < least)) best = &c[i], least = s;
    }
    if (best) q->calls = (int)(0.02 / (least + 1e-9)) + 1;
    return best;
}

static void serve(const core *cores, int n) {
    char line[256];
    const core *open = NULL;
    question q = {0, 0};
    while (fgets(line, sizeof line, stdin)) {
        int size = 0;
        double s = -1;
        if (sscanf(line, "open matmul/%*[^/]/%d forward f32", &size) == 1 && size > 0 && size <= 16384) {
            open = choose(cores, n, size, &q);
            printf(open ? "ok %d\n" : "error OpenBLAS has ended\n", q.calls);
        } else if (!strcmp(line, "run\n") && open) {
            s = ask(open, q);
            printf(s > 0 ? "ok %.9g\n" : "error OpenBLAS has ended\n", s);
        } else if (!strcmp(line, "close\n")) {
            open = NULL;
            printf("ok closed\n");
        } else
            printf("error not understood\n");
        fflush(stdout);
    }
}

int main(int argc, char **argv) {
    static const char *const names[CORES] = {"HASWELL", "ZEN", "SKYLAKEX"};
    const int threads = argc == 2 ? atoi(argv[1]) : 0;
    core cores[CORES];
    int n = 0;
    bool runs[CORES] = {true, true, true};
    if (threads < 1) {
        fprintf(stderr, "usage: peer-openblas THREADS\n");
        return 2;
    }
#if defined(__x86_64__)
    runs[0] = runs[1] = __builtin_cpu_supports("avx2");
    runs[2] = __builtin_cpu_supports("avx512dq");
#endif
    for (int i = 0; i < CORES; i++) n += runs[i] && start(&cores[n], names[i], threads);
    if (!n) {
        fprintf(stderr, "peer-openblas: there is no OpenBLAS\n");
        return 1;
    }
    serve(cores, n);
    for (int i = 0; i < n; i++) close(cores[i].to);
    for (int i = 0; i < n; i++) waitpid(cores[i].pid, NULL, 0);
    return 0;
}
