/* Times the BENCH rows of the sweep's tables (tests/cases), one op each.
 *     bench-ops [--quick] [TEXT]     every row, or those whose name holds TEXT: forward, and forward with backward
 *     bench-ops --list               what each row is, for benchmarks/ops.py, which compares with PyTorch
 *     bench-ops --serve              reads "NAME forward|both" lines and answers with seconds a call */
#include "bench.h"
#include "tests/sweep.h"

enum { BATCHES = 7 };

static sweep_bench *first;

void sweep_bench_add(sweep_bench *b) {
    sweep_bench **at = &first;
    while (*at && strcmp((*at)->name, b->name) < 0) at = &(*at)->next;
    b->next = *at;
    *at = b;
}

static tern_dtype dtype_of(const input *in) {
    if (in->dtype) return (tern_dtype)(in->dtype - 1);
    return in->kind == IN_INDEX ? TERN_I64 : in->kind == IN_BOOL ? TERN_BOOL : TERN_F32;
}

static bool takes_grad(const input *in) {
    return in->kind == IN_REAL && !in->fixed && tern_dtype_is_float(dtype_of(in));
}

static tern_tensor *make(const input *in) {
    if (in->kind == IN_NONE) return NULL;
    const tern_options o = {.dtype = TERN_F32};
    if (in->kind == IN_REAL) return tern_cast(tern_rand(in->shape, in->lo, in->hi, o), dtype_of(in));
    /* Integers in [lo, hi]; a cast cuts off, and the shift keeps that from rounding towards 0 below it. */
    tern_tensor *x = tern_rand(in->shape, 0, in->hi - in->lo + 1, (tern_options){.dtype = TERN_F64});
    return tern_cast(tern_add_scalar(tern_cast(x, TERN_I64), in->lo), dtype_of(in));
}

typedef struct job {
    const sweep_bench *b;
    tern_tensor *in[SWEEP_INPUTS], *leaf[SWEEP_INPUTS], *seed;
    int n;
    bool both;
} job;

static bool once(const job *j) {
    const int s = tern_scope_push();
    tern_tensor *y = j->b->call(j->in, j->b->c), *g[SWEEP_INPUTS];
    bool ok = y != NULL;
    if (ok && j->both) ok = tern_grad(y, j->leaf, j->n, j->seed, (tern_backward_opts){.allow_unused = true}, g);
    tern_scope_pop(s);
    return ok;
}

/* Seconds a call, the median of several batches; negative where the row has no gradient or fails. */
static double measure(const sweep_bench *b, bool both, bool quick) {
    job j = {.b = b, .both = both};
    const int s = tern_scope_push();
    tern_seed(1);
    for (int i = 0; i < SWEEP_INPUTS && b->c->in[i].kind != IN_END; i++) {
        j.in[i] = make(&b->c->in[i]);
        if (both && takes_grad(&b->c->in[i])) j.leaf[j.n++] = tern_require_grad(j.in[i], true);
    }
    double t = -1;
    if (!both || j.n > 0) {
        const int inner = tern_scope_push();
        tern_tensor *y = b->call(j.in, b->c);
        const bool graph = tern_requires_grad(y);
        if (y && both && graph) j.seed = tern_keep(tern_ones_like(y));
        tern_scope_pop(inner);
        if (tern_ok() && (!both || graph) && once(&j)) {
            double start = bench_now(), times[BATCHES];
            bool ok = once(&j);
            const double each = bench_now() - start;
            const int calls = quick         ? 1
                              : each < 2e-3 ? (int)(2e-3 / (each + 1e-9)) + 1
                                            : 1,
                      batches = quick ? 1 : BATCHES;
            for (int k = 0; ok && k < batches; k++) {
                start = bench_now();
                for (int c = 0; c < calls; c++) ok = ok && once(&j);
                times[k] = (bench_now() - start) / calls;
            }
            if (ok) t = bench_median(times, batches);
        }
    }
    tern_release(j.seed);
    tern_scope_pop(s);
    return t;
}

static void list(void) {
    static const char *const kinds[] = {"end", "real", "index", "bool", "whole", "none"};
    for (const sweep_bench *b = first; b; b = b->next) {
        printf("%s\t%s\t%s", b->name, b->c->what, b->torch);
        for (int i = 0; i < SWEEP_INPUTS && b->c->in[i].kind != IN_END; i++) {
            const input *in = &b->c->in[i];
            printf("\t%s %s %.17g %.17g %d", kinds[in->kind], tern_dtype_name(dtype_of(in)), in->lo, in->hi,
                   takes_grad(in));
            for (int d = 0; d < in->shape.ndim; d++) printf(" %lld", (long long)in->shape.dim[d]);
        }
        printf("\n");
    }
}

static void serve(void) {
    char name[128], what[16];
    while (scanf("%127s %15s", name, what) == 2) {
        const sweep_bench *b = first;
        while (b && strcmp(b->name, name)) b = b->next;
        printf("%.9g\n", b ? measure(b, !strcmp(what, "both"), false) : -1.0);
        fflush(stdout);
        tern_error_clear();
    }
}

int main(int argc, char **argv) {
    bool quick = false;
    const char *text = "";
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--list")) return list(), 0;
        if (!strcmp(argv[i], "--serve")) return serve(), 0;
        if (!strcmp(argv[i], "--quick"))
            quick = true;
        else
            text = argv[i];
    }
    int failed = 0;
    for (const sweep_bench *b = first; b; b = b->next) {
        if (!strstr(b->name, text)) continue;
        const double forward = measure(b, false, quick), both = tern_ok() ? measure(b, true, quick) : -1;
        printf("%-28s %-28s forward %10.2f us", b->name, b->c->what, forward * 1e6);
        if (both >= 0) printf("   with backward %10.2f us", both * 1e6);
        printf("\n");
        if (!tern_ok()) {
            printf("%s failed: %s\n", b->name, tern_error_message());
            tern_error_clear();
            failed++;
        }
    }
    return failed > 0;
}
