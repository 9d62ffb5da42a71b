/* The sweep: tables of cases (tests/cases), each run over dtypes and memory layouts, forward against a float64
 * reference written without the library, gradients of every float dtype against those of f64, gradcheck and
 * gradgradcheck in f64.
 *
 * A table is a file tests/cases/NAME.c:
 *
 *     static tern_tensor *call(tern_tensor *const *in, const sweep_case *c) { return tern_softmax(in[0],
 * (int)c->arg[0]); } static void reference(const array *in, const sweep_case *c, array *out) { ... naive loops in
 * double ... } static const sweep_case cases[] = {
 *         {"rows", {REAL(3, 5)}, .arg = {-1}},
 *         {"no such dimension", {REAL(3, 5)}, .arg = {2}, .code = TERN_ERR_SHAPE, .text = "softmax"},
 *     };
 *     SWEEP(softmax, cases, call, reference, 0, 1)
 *
 * Inputs lie in memory with canaries around them, and between the elements of strided ones; they must not change. */
#ifndef TERN_TESTS_SWEEP_H
#define TERN_TESTS_SWEEP_H

#include "common.h"

/* Values of a tensor, row-major. */
typedef struct array {
    tern_shape shape;
    int64_t n;
    double *v;
} array;

typedef enum input_kind { IN_END = 0, IN_REAL, IN_INDEX, IN_BOOL, IN_WHOLE, IN_NONE } input_kind;
typedef struct input {
    input_kind kind;
    double lo, hi;
    tern_shape shape;
    int dtype;  /* tern_dtype + 1; 0: the one being swept (i64 for indices, bool for conditions) */
    bool fixed; /* takes no gradient */
} input;

#define SHAPE_OF(...)                                                              \
    {                                                                              \
        (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), { __VA_ARGS__ } \
    }
#define REAL(...) \
    { .kind = IN_REAL, .lo = -2, .hi = 2, .shape = SHAPE_OF(__VA_ARGS__) }
#define RANGE(a, b, ...) \
    { .kind = IN_REAL, .lo = (a), .hi = (b), .shape = SHAPE_OF(__VA_ARGS__) }
#define FIXED(a, b, ...) \
    { .kind = IN_REAL, .lo = (a), .hi = (b), .shape = SHAPE_OF(__VA_ARGS__), .fixed = true }
#define SCALAR \
    { .kind = IN_REAL, .lo = -2, .hi = 2 } /* 0-dim */
#define WHOLE(a, b, ...) \
    { .kind = IN_WHOLE, .lo = (a), .hi = (b), .shape = SHAPE_OF(__VA_ARGS__) } /* integers in [a, b] */
#define INDEX(n, ...) \
    { .kind = IN_INDEX, .lo = 0, .hi = (n)-1, .shape = SHAPE_OF(__VA_ARGS__) } /* in [0, n), i64 */
#define INDEX32(n, ...) \
    { .kind = IN_INDEX, .lo = 0, .hi = (n)-1, .shape = SHAPE_OF(__VA_ARGS__), .dtype = TERN_I32 + 1 }
#define BOOLS(...) \
    { .kind = IN_BOOL, .lo = 0, .hi = 1, .shape = SHAPE_OF(__VA_ARGS__) }
#define TYPED(t, ...) \
    { .kind = IN_REAL, .lo = 0, .hi = 2, .shape = SHAPE_OF(__VA_ARGS__), .dtype = (t) + 1 }
#define NONE \
    { .kind = IN_NONE } /* NULL */

enum { SWEEP_INPUTS = 8 };

typedef struct sweep_case {
    const char *what;
    input in[SWEEP_INPUTS];
    int64_t arg[10];
    double number[2];
    const void *opts;
    tern_code code; /* an error is expected, with this text in its message */
    const char *text;
    unsigned flags;
    double loosen; /* multiplies the op's */
} sweep_case;

enum {                        /* of an op, or of a case */
       SWEEP_INTS = 1,        /* i64 i32 u8 as well */
       SWEEP_BOOL = 2,        /* bool as well */
       SWEEP_NO_GRAD = 4,     /* the output takes no gradient */
       SWEEP_F64_ONLY = 8,    /* values only mean something there */
       SWEEP_NO_LAYOUTS = 16, /* contiguous inputs only */
       SWEEP_NO_SECOND = 32,  /* no gradgradcheck */
       SWEEP_WRAPS = 64,      /* integer results are taken modulo the dtype's range */
       SWEEP_NO_HALF = 128    /* f64 and f32 only */
};

typedef struct sweep_op {
    const char *name;
    tern_tensor *(*call)(tern_tensor *const *in, const sweep_case *c);
    void (*reference)(const array *in, const sweep_case *c, array *out); /* NULL: only gradients are checked */
    unsigned flags;
    double loosen; /* multiplies the dtypes' tolerances */
} sweep_op;

void sweep_run(const sweep_op *op, const sweep_case *cases, size_t n);

/* op_name is the public name without tern_; tables of one op's variants are told apart by what follows two underscores
 * (max__indices). */
#ifndef SWEEP_BENCH
#define SWEEP(op_name, table, call_fn, reference_fn, flag_bits, loosen_by)                   \
    TERN_TEST(sweep, op_name) {                                                              \
        const sweep_op op = {#op_name, (call_fn), (reference_fn), (flag_bits), (loosen_by)}; \
        sweep_run(&op, (table), sizeof(table) / sizeof *(table));                            \
    }
#define BENCH(op_name, call_fn, torch, ...)
#else /* benchmarks/tern_bench/cases.c: the tables' BENCH rows alone, without Criterion */
#define TERN_TEST(suite, name, ...) __attribute__((unused)) static void body_##suite##_##name(void)
#define SWEEP(op_name, table, call_fn, reference_fn, flag_bits, loosen_by)
#define BENCH(op_name, call_fn, torch_text, ...)                                                               \
    static const sweep_case bench_case_##op_name = __VA_ARGS__;                                                \
    static sweep_bench bench_row_##op_name = {#op_name, (torch_text), (call_fn), &bench_case_##op_name, NULL}; \
    __attribute__((constructor)) static void bench_add_##op_name(void) { sweep_bench_add(&bench_row_##op_name); }
#endif

/* A row of tern-bench (cases/NAME): the case at a size that matters, and what PyTorch calls it, as an expression of the
 * inputs a, b, c, ... (F is torch.nn.functional): BENCH(softmax, call_softmax, "torch.softmax(a, -1)", {"[1024, 1000]",
 * {REAL(1024, 1000)}, .arg = {-1}}) Timed forward and, where the result takes one, backward. A second row of an op is
 * named op__what. */
typedef struct sweep_bench {
    const char *name, *torch;
    tern_tensor *(*call)(tern_tensor *const *in, const sweep_case *c);
    const sweep_case *c;
    struct sweep_bench *next;
} sweep_bench;
void sweep_bench_add(sweep_bench *b);

/* Notes for the coverage table that a check of `what` ("forward", "grad", "second") on op passed in dtype; the sweep
 * does it for its rows, a test of its own calls it. */
void sweep_covers(const char *op, tern_dtype dtype, const char *what);

/* For references: out gets this shape and zeros. */
void array_new(array *out, tern_shape shape);
void array_copy(const array *x, array *out);
#define array_make(out, ...) \
    array_new((out), tern_shape_of((int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__}))
/* Row-major strides of a shape. */
void array_strides(tern_shape s, int64_t *strides);
/* Position i in shape s as an index per dimension. */
void array_index(tern_shape s, int64_t i, int64_t *index);
/* Reads a, broadcast to shape s, at position i of s. */
double array_at(const array *a, tern_shape s, int64_t i);
tern_shape array_broadcast(tern_shape a, tern_shape b);
/* Views x as [outer, size of dim, inner]. dim may be negative. */
void array_split(const array *x, int64_t dim, int64_t *outer, int64_t *size, int64_t *inner);
/* How many cases ran; added to the total that the program prints. */
void sweep_count(int64_t n);

#endif
