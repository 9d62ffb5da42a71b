/* What the benchmarks share: the clock, medians, and the end of a program on an error. One benchmark is one file with
 * public headers only (and core/elementwise.def, where rows are measured); results of runs stand in results/, each with
 * its command and its machine. */
#ifndef TERN_BENCH_H
#define TERN_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tern/base.h"

/* Seconds. */
static inline double bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline void bench_pause(double seconds) {
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

static inline int bench_compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts v. */
static inline double bench_median(double *v, int n) {
    qsort(v, (size_t)n, sizeof *v, bench_compare);
    return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

/* Ends the program if an op failed; the library has printed why. */
static inline void bench_check(void) {
    if (!tern_ok()) exit(1);
}

/* The machine and the library, one line for the head of a result. */
static inline void bench_head(const char *name) {
    static char info[4096];
    printf("%s\n%s\n", name, tern_info(info, sizeof info));
}

#endif
