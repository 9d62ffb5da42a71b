/* Times ops on a GPU, at sizes beyond its caches: the half of benchmarks/gpu that is Tern's. The rows below say what is
 * timed, and what PyTorch calls it.
 *     bench-gpu [--device cuda:0] [--tiny] --info | --list | --serve | --quick
 * --info shows the library and the device; --list what each row is, for benchmarks/gpu; --serve answers lines "open
 * NAME forward|both", "run" and "close" with "ok TEXT" or "error TEXT", where run gives seconds a call; --quick runs
 * every row once at tiny sizes. --tiny makes every dimension 16 at most, so that the simulation on the host can run
 * them.
 *
 * Work on the device is asynchronous: a time is that of many calls in a row with one wait at the end, so that the wait
 * counts for little; for what is submitted (`submit`), the wait comes after the clock has stopped. */
#include <errno.h>

#include "bench.h"
#include "gpu_rows.h"

enum { TINY = 16 };

static tern_device device;
static bool tiny;

static int64_t size_of(int64_t dim) { return tiny && dim > TINY ? TINY : dim; }

static tern_shape shape_of(const bench_input *in) {
    tern_shape s = {0};
    for (; s.ndim < BENCH_DIMS && in->dim[s.ndim]; s.ndim++) s.dim[s.ndim] = size_of(in->dim[s.ndim]);
    return s;
}

static tern_dtype dtype_of(const bench_row *r, const bench_input *in) {
    return in->below ? TERN_I64 : in->f32 ? TERN_F32 : r->dtype;
}

static tern_tensor *input_new(const bench_row *r, const bench_input *in) {
    const tern_options o = {.dtype = TERN_F32, .device = device};
    const int scope = tern_scope_push();
    tern_tensor *x = in->below ? tern_rand(shape_of(in), 0, (double)size_of(in->below), o)
                               : tern_randn(shape_of(in), 0, in->scale > 0 ? in->scale : 1, o);
    return tern_scope_return(scope, tern_cast(x, dtype_of(r, in)));
}

/* ---- one row, open ----------------------------------------------------------------------------------------------- */

typedef struct job {
    const bench_row *r;
    bool both;
    int scope, n, n_leaves;
    int64_t calls; /* of a run */
    tern_tensor *in[BENCH_INPUTS], *leaf[BENCH_INPUTS], *seed;
    void *state;
} job;

static bool once(const job *j) {
    const int scope = tern_scope_push();
    bool ok;
    if (j->r->step) {
        ok = j->r->step(j->state);
    } else {
        tern_tensor *y = j->r->call(j->in), *g[BENCH_INPUTS];
        ok = y != NULL;
        if (ok && j->both) ok = tern_grad(y, j->leaf, j->n_leaves, j->seed, (tern_backward_opts){0}, g);
    }
    tern_scope_pop(scope);
    return ok && tern_ok();
}

/* Seconds of `calls` calls; negative after an error. */
static double batch(const job *j, int64_t calls) {
    if (!tern_sync(device)) return -1;
    double seconds = 0;
    const double start = bench_now();
    bool ok = true;
    for (int64_t i = 0; ok && i < calls; i++) ok = once(j);
    if (j->r->kind == BENCH_SUBMIT) seconds = bench_now() - start;
    ok = tern_sync(device) && ok;
    if (j->r->kind != BENCH_SUBMIT) seconds = bench_now() - start;
    return ok ? seconds : -1;
}

static void job_close(job *j) {
    if (j->r && j->r->close && j->state) j->r->close(j->state);
    tern_release(j->seed);
    tern_scope_pop(j->scope);
    tern_error_clear();
    tern_sync(device);
    tern_memory_trim(); /* the next row, and PyTorch beside this program, want the memory */
    *j = (job){0};
}

static bool job_open(job *j, const bench_row *r, bool both, double seconds) {
    *j = (job){.r = r, .both = both, .scope = tern_scope_push(), .calls = 1};
    tern_seed(1);
    tern_allow_tf32(r->tf32);
    for (int i = 0; i < BENCH_INPUTS && r->in[i].dim[0]; i++) {
        j->in[i] = input_new(r, &r->in[i]);
        j->n++;
        if (both && !r->in[i].below && !r->in[i].no_grad) j->leaf[j->n_leaves++] = tern_require_grad(j->in[i], true);
    }
    if (!tern_ok()) return false;
    if (r->open && !(j->state = r->open(device, tiny))) return false;
    if (both) {
        const int inner = tern_scope_push();
        tern_tensor *y = r->call(j->in);
        j->seed = tern_keep(tern_ones_like(y));
        tern_scope_pop(inner);
    }
    /* The first calls load kernels, make plans and fill the cache of memory; then as many as fill the time. */
    double each = -1;
    for (int i = 0; i < 3; i++)
        if ((each = batch(j, 1)) < 0) return false;
    if (r->kind == BENCH_EPOCH || !(seconds > 0)) return true;
    const double several = batch(j, 5);
    if (several < 0) return false;
    each = several / 5 < each ? several / 5 : each;
    j->calls = (int64_t)(seconds / (each + 1e-9)) + 1;
    const int64_t most = r->kind == BENCH_SUBMIT ? 500 : 20000; /* the queue of launches is finite */
    if (j->calls > most) j->calls = most;
    return true;
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static const bench_row *find(const char *name) {
    int n;
    const bench_row *rows = bench_rows(&n);
    for (int i = 0; i < n; i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
}

static void list(void) {
    static const char *const kinds[] = {"bytes", "flops", "submit", "step", "epoch"};
    int n;
    const bench_row *rows = bench_rows(&n);
    for (int i = 0; i < n; i++) {
        const bench_row *r = &rows[i];
        int64_t dims[BENCH_INPUTS][BENCH_DIMS] = {{0}};
        for (int k = 0; k < BENCH_INPUTS; k++) {
            const tern_shape s = shape_of(&r->in[k]);
            for (int d = 0; d < s.ndim; d++) dims[k][d] = s.dim[d];
        }
        double numel = 1;
        for (int d = 0; d < BENCH_DIMS && dims[0][d]; d++) numel *= (double)dims[0][d];
        const double bytes = numel * (double)tern_dtype_size(dtype_of(r, &r->in[0]));
        const double flops = r->flops ? r->flops(dims) : 0;
        const bool is_flops = r->kind == BENCH_FLOPS;
        printf("%s\t%s\t%s\t%s\t%.17g\t%.17g\t%s", r->name, r->group, kinds[r->kind],
               r->tf32 ? "tf32" : tern_dtype_name(r->dtype), is_flops ? flops : r->moves * bytes,
               is_flops ? r->flops_both * flops : r->moves_both * bytes, r->torch);
        for (int k = 0; k < BENCH_INPUTS && r->in[k].dim[0]; k++) {
            const bench_input *in = &r->in[k];
            printf("\t%s %lld %.17g %d", tern_dtype_name(dtype_of(r, in)), (long long)size_of(in->below),
                   in->scale > 0 ? in->scale : 1, !in->below && !in->no_grad);
            for (int d = 0; d < BENCH_DIMS && dims[k][d]; d++) printf(" %lld", (long long)dims[k][d]);
        }
        printf("\n");
    }
}

static void refuse(const char *why) {
    char text[1024];
    snprintf(text, sizeof text, "%s", why);
    for (char *c = text; *c; c++)
        if (*c == '\n') *c = ' ';
    printf("error %s\n", text);
}

static void serve(void) {
    char line[256], name[128], what[16];
    job j = {0};
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "open %127s %15s", name, what) == 2) {
            const bench_row *r = find(name);
            const bool both = strcmp(what, "both") == 0;
            if (j.r)
                refuse("a row is open");
            else if (!r)
                refuse("no such row");
            else if (job_open(&j, r, both, tiny ? 0 : 0.05))
                printf("ok %lld\n", (long long)j.calls);
            else {
                refuse(tern_error_message());
                job_close(&j);
            }
        } else if (strcmp(line, "run\n") == 0 && j.r) {
            const double t = batch(&j, j.calls);
            if (t < 0)
                refuse(tern_error_message());
            else
                printf("ok %.9g\n", t / (double)j.calls);
        } else if (strcmp(line, "close\n") == 0 && j.r) {
            job_close(&j);
            printf("ok closed\n");
        } else
            refuse("not understood");
        fflush(stdout);
    }
    if (j.r) job_close(&j);
}

static int quick(void) {
    int n, failed = 0;
    const bench_row *rows = bench_rows(&n);
    tiny = true;
    for (int i = 0; i < n; i++) {
        const bool twice = rows[i].moves_both > 0 || rows[i].flops_both > 0;
        for (int both = 0; both <= twice; both++) {
            job j;
            double t = -1;
            if (job_open(&j, &rows[i], both, 0)) t = batch(&j, 1);
            if (t < 0) printf("%s failed: %s\n", rows[i].name, tern_error_message());
            failed += t < 0;
            job_close(&j);
        }
    }
    printf("%d rows at tiny sizes, %d failures\n", n, failed);
    return failed > 0;
}

int main(int argc, char **argv) {
    const char *name = "cuda:0", *what = "";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--device") == 0 && i + 1 < argc)
            name = argv[++i];
        else if (strcmp(argv[i], "--tiny") == 0)
            tiny = true;
        else
            what = argv[i];
    }
    if (strcmp(what, "--list") == 0) return list(), 0;
    if (!tern_device_parse(name, &device)) return 2;
    if (!tern_device_available(device)) {
        bench_head("GPU kernels");
        printf("skipped: %s cannot be used\n", name);
        return strcmp(what, "--quick") == 0 ? 0 : 1; /* a machine without a GPU is no failure of the quick run */
    }
    if (strcmp(what, "--info") == 0) return bench_head("GPU kernels"), 0;
    if (strcmp(what, "--serve") == 0) return serve(), 0;
    if (strcmp(what, "--quick") == 0) return quick();
    fprintf(stderr, "usage: bench-gpu [--device cuda:0] [--tiny] --info | --list | --serve | --quick\n");
    return 2;
}
