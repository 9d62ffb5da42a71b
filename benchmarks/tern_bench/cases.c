/* The BENCH rows of the tests' tables (tests/cases): every op once, at a size that matters, in the dtype of its row. */
#include "bench.h"
#include "tests/sweep.h"

static sweep_bench *first;

void sweep_bench_add(sweep_bench *b) {
    sweep_bench **at = &first;
    while (*at && strcmp((*at)->name, b->name) < 0) at = &(*at)->next;
    b->next = *at;
    *at = b;
}

/* What the tables ask of the tests: where they are to run. */
static tern_device device;
tern_device test_device(void) { return device; }

static tern_tensor *call(const bench_case *c, tern_tensor *const *in) {
    const sweep_bench *b = c->row;
    return b->call(in, b->c);
}

static bench_spec spec_of(const input *in, tern_dtype dtype) {
    bench_spec s = {.source = in->kind == IN_END || in->kind == IN_NONE ? BENCH_NONE
                              : in->kind == IN_REAL                     ? BENCH_UNIFORM
                                                                        : BENCH_INTEGERS,
                    .dtype = dtype,
                    .shape = in->shape,
                    .lo = in->lo,
                    .hi = in->hi};
    if (in->kind == IN_INDEX) s.dtype = TERN_I64;
    if (in->kind == IN_BOOL) s.dtype = TERN_BOOL;
    if (in->dtype) s.dtype = (tern_dtype)(in->dtype - 1);
    s.grad = in->kind == IN_REAL && !in->fixed && tern_dtype_is_float(s.dtype);
    return s;
}

bool bench_cases_add(bench_list *list, const bench_options *o) {
    device = o->device;
    for (const sweep_bench *b = first; b && !o->n_sizes; b = b->next) {
        for (int pass = BENCH_FORWARD; pass <= BENCH_BOTH; pass++) {
            bench_case c = {.group = "cases",
                            .torch = b->torch,
                            .pass = (bench_pass)pass,
                            .dtype = o->dtype ? (tern_dtype)(o->dtype - 1) : TERN_F32,
                            .device = device,
                            .row = b,
                            .call = call};
            bool any = false;
            for (int i = 0; i < SWEEP_INPUTS && b->c->in[i].kind != IN_END; i++) {
                c.in[i] = spec_of(&b->c->in[i], c.dtype);
                any = any || c.in[i].grad;
            }
            snprintf(c.name, sizeof c.name, "cases/%s", b->name);
            if ((pass == BENCH_BOTH && !any) || !bench_wanted(o, c.name)) continue;
            bench_case *at = bench_add(list);
            if (!at) return false;
            *at = c;
        }
    }
    return true;
}
