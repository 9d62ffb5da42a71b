/* What the machine can do at most, measured: bytes a second of copies of several sizes, arithmetic a second. A GPU is
 * measured through the public API, by a copy and by large matrix products. */
#include <math.h>

#include "bench.h"

/* Within a core's cache, within the shared one, 10 million floats to and fro, far beyond all caches. */
static const double SIZES[BENCH_LEVELS] = {512e3, 4e6, 80e6, 512e6};

static void cpu_measure(bench_roofline *r, bool quick) {
    const double seconds = quick ? 0.01 : 0.25;
    r->n = quick ? 1 : BENCH_LEVELS;
    for (int i = 0; i < r->n; i++) {
        r->bytes[i] = SIZES[i];
        r->copy[i] = bench_peak_copy((size_t)SIZES[i], tern_threads(), seconds);
    }
    r->flops[TERN_F32] = bench_peak_flops(tern_threads(), seconds);
}

static double best_of(const char *filter, tern_device device, tern_dtype dtype, bool quick) {
    const bench_options o = {.filter = filter, .dtype = (int)dtype + 1, .device = device, .quick = quick};
    bench_list list = {0};
    double best = 0;
    if (bench_rows_add(&list, &o)) {
        for (int i = 0; i < list.n; i++) {
            const bench_case *c = &list.c[i];
            if (c->pass != BENCH_FORWARD) continue;
            const bench_result res = bench_measure(c, &o);
            const double work = c->flops > 0 ? c->flops : c->bytes;
            if (!res.error[0] && work / res.min > best) best = work / res.min;
        }
    }
    free(list.c);
    return best;
}

static void gpu_measure(bench_roofline *r, tern_device device, bool quick) {
    static const tern_dtype dtypes[] = {TERN_F32, TERN_F16, TERN_BF16};
    r->n = 1;
    r->bytes[0] = 2 * 4.0 * (1 << 28);
    r->copy[0] = best_of("memory/copy/", device, TERN_F32, quick);
    for (int i = 0; i < 3; i++) r->flops[dtypes[i]] = best_of("matmul/matmul/", device, dtypes[i], quick);
}

bool bench_roofline_measure(bench_roofline *r, tern_device device, bool quick) {
    *r = (bench_roofline){0};
    if (device.type == TERN_CPU)
        cpu_measure(r, quick);
    else
        gpu_measure(r, device, quick);
    return r->n > 0 && r->copy[0] > 0 && r->flops[TERN_F32] > 0;
}

/* Bytes a second of the copy whose size is nearest. */
static double copy_like(const bench_roofline *r, double bytes) {
    int best = 0;
    for (int i = 1; i < r->n; i++)
        if (fabs(log(r->bytes[i] / bytes)) < fabs(log(r->bytes[best] / bytes))) best = i;
    return r->n ? r->copy[best] : 0;
}

double bench_roofline_share(const bench_roofline *r, const bench_case *c, double seconds) {
    const double peak = c->dtype < TERN_DTYPE_COUNT ? r->flops[c->dtype] : 0;
    double least = 0;
    if (c->tiny || !(seconds > 0) || c->submit) return 0;
    if (c->bytes > 0 && r->n > 0) least = c->bytes / copy_like(r, c->bytes);
    if (c->flops > 0 && peak > 0 && !c->tf32 && c->flops / peak > least) least = c->flops / peak;
    return least / seconds;
}

void bench_roofline_print(const bench_roofline *r, tern_device device) {
    char name[16];
    printf("%s", tern_device_name(device, name, sizeof name));
    if (device.type == TERN_CPU) printf(", %d threads", tern_threads());
    printf(":");
    for (int i = 0; i < r->n; i++) printf(" copy of %.4g MB %.1f GB/s;", r->bytes[i] * 1e-6, r->copy[i] * 1e-9);
    for (int t = 0; t < TERN_DTYPE_COUNT; t++)
        if (r->flops[t] > 0) printf(" %s %.1f GFLOP/s", tern_dtype_name((tern_dtype)t), r->flops[t] * 1e-9);
    printf("\n");
}
