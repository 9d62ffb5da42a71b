/* Elementwise kernels: the rows of core/elementwise.def, compiled for f32 and f64 (and integers where the row takes
 * them). f16 and bf16 go through f32 in blocks. Loops over contiguous runs vectorise, with glibc's vector functions
 * where the compiler can call them. */
#include <features.h>

#if defined(__x86_64__) && defined(__GLIBC_PREREQ) && !defined(__clang__)
#if __GLIBC_PREREQ(2, 35) && !defined(__SANITIZE_ADDRESS__)
/* What bits/math-vector.h says under -ffast-math; the functions themselves heed infinities and NaN. */
#define VECTOR_FN(T, name, ...) __attribute__((simd("notinbranch"))) T name(__VA_ARGS__);
VECTOR_FN(float, expf, float)
VECTOR_FN(float, expm1f, float)
VECTOR_FN(float, logf, float)
VECTOR_FN(float, log1pf, float)
VECTOR_FN(float, sinf, float)
VECTOR_FN(float, cosf, float)
VECTOR_FN(float, tanhf, float)
VECTOR_FN(float, erff, float)
VECTOR_FN(double, exp, double)
VECTOR_FN(double, log, double)
VECTOR_FN(double, sin, double)
VECTOR_FN(double, cos, double)
#endif
#endif

#include <math.h>
#include <stdalign.h>

#include "internal.h"

enum { GRAIN = 16384, BLOCK = 512 };

/* ---- loops: r_NAME_TYPE (value), g_ (times slope), c_ (times curvature)
 * -------------------------------------------------- */

#define SUFFIX_(a, b) a##_##b
#define SUFFIX(a, b)  SUFFIX_(a, b)
#define FN(name)      SUFFIX(name, TYPE_NAME)
#define K(v)          ((T)(v))

/* The loop over a contiguous run. The output may be an input, element for element, so nothing is carried. */
#if defined(__clang__)
#define EACH(k) for (int64_t k = 0; k < n; k++)
#else
#define EACH(k) _Pragma("GCC ivdep") for (int64_t k = 0; k < n; k++)
#endif
#define IN(i) ((const T *)(const void *)q[1 + (i)])
#define OUT   ((T *)(void *)q[0])

#define LOOP1(body)         \
    (void)arg;              \
    T *out = OUT;           \
    const T *i0 = IN(0);    \
    EACH(k) {               \
        const T v0 = i0[k]; \
        out[k] = (T)(body); \
    }
#define LOOP2(body)                     \
    (void)arg;                          \
    T *out = OUT;                       \
    const T *i0 = IN(0), *i1 = IN(1);   \
    EACH(k) {                           \
        const T v0 = i0[k], v1 = i1[k]; \
        out[k] = (T)(body);             \
    }
#define LOOP3(body)                                 \
    (void)arg;                                      \
    T *out = OUT;                                   \
    const T *i0 = IN(0), *i1 = IN(1), *i2 = IN(2);  \
    EACH(k) {                                       \
        const T v0 = i0[k], v1 = i1[k], v2 = i2[k]; \
        out[k] = (T)(body);                         \
    }
/* Bytes out. */
#define COMPARE(value)                \
    (void)arg;                        \
    uint8_t *out = (uint8_t *)q[0];   \
    const T *i0 = IN(0), *i1 = IN(1); \
    EACH(k) {                         \
        const T a = i0[k], b = i1[k]; \
        out[k] = (uint8_t)(value);    \
    }
#define RUN_ARGS int64_t n, char *const *q, const void *arg

#define T         float
#define TYPE_NAME f32
#define exp(v)    expf(v)
#define expm1(v)  expm1f(v)
#define log(v)    logf(v)
#define log1p(v)  log1pf(v)
#define sin(v)    sinf(v)
#define cos(v)    cosf(v)
#define tanh(v)   tanhf(v)
#define sqrt(v)   sqrtf(v)
#define erf(v)    erff(v)
#define pow(a, b) powf(a, b)
#include "elementwise_float.inc"
#undef T
#undef TYPE_NAME
#undef exp
#undef expm1
#undef log
#undef log1p
#undef sin
#undef cos
#undef tanh
#undef sqrt
#undef erf
#undef pow

#define T         double
#define TYPE_NAME f64
#include "elementwise_float.inc"
#undef T
#undef TYPE_NAME

#define T         int64_t
#define TYPE_NAME i64
#include "elementwise_int.inc"
#undef T
#undef TYPE_NAME
#define T         int32_t
#define TYPE_NAME i32
#include "elementwise_int.inc"
#undef T
#undef TYPE_NAME
#define T         uint8_t
#define TYPE_NAME u8
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtype-limits" /* abs of an unsigned number */
#include "elementwise_int.inc"
#pragma GCC diagnostic pop
#undef T
#undef TYPE_NAME

/* ---- kernels
 * ---------------------------------------------------------------------------------------------------------------- */

/* n contiguous elements: out, inputs */
typedef void (*body_fn)(RUN_ARGS);

typedef struct work {
    body_fn body;
    const void *arg;
    int n_in, in, out; /* dtypes */
    bool half_in, half_out;
} work;

#define STRIDED(T, to, ts, from, fs) \
    for (int64_t k = 0; k < n; k++) ((T *)(void *)(to))[k * (ts)] = ((const T *)(const void *)(from))[k * (fs)]

static void spread(size_t size, int64_t n, char *to, int64_t ts, const char *from, int64_t fs) {
    if (size == 1)
        STRIDED(uint8_t, to, ts, from, fs);
    else if (size == 4)
        STRIDED(uint32_t, to, ts, from, fs);
    else
        STRIDED(uint64_t, to, ts, from, fs);
}

static void load(const work *w, int64_t n, char *to, const char *from, int64_t s) {
    if (w->half_in)
        terni_cpu_from_half(w->in, (const uint16_t *)(const void *)from, s, (float *)(void *)to, n);
    else
        spread(terni_cpu_size(w->in), n, to, 1, from, s);
}

static void store(const work *w, int64_t n, char *to, int64_t s, const char *from) {
    if (w->half_out)
        terni_cpu_to_half(w->out, (const float *)(const void *)from, (uint16_t *)(void *)to, s, n);
    else
        spread(terni_cpu_size(w->out), n, to, s, from, 1);
}

/* What is not contiguous, or is f16 or bf16, goes through blocks that are contiguous f32, f64, ... */
static void run_blocks(int64_t n, char *const *p, const int64_t *s, const work *w) {
    alignas(64) char buf[TERNI_LOOP_VIEWS][BLOCK * sizeof(double)];
    const int64_t in_size = (int64_t)terni_cpu_size(w->in), out_size = (int64_t)terni_cpu_size(w->out);
    for (int i = 1; i <= w->n_in; i++)
        if (s[i] == 0) load(w, n < BLOCK ? n : BLOCK, buf[i], p[i], 0);
    for (int64_t at = 0; at < n; at += BLOCK) {
        const int64_t m = n - at < BLOCK ? n - at : BLOCK;
        char *q[TERNI_LOOP_VIEWS];
        for (int i = 1; i <= w->n_in; i++) {
            char *from = p[i] + at * s[i] * in_size;
            q[i] = s[i] == 1 && !w->half_in ? from : buf[i];
            if (q[i] != from && s[i] != 0) load(w, m, buf[i], from, s[i]);
        }
        char *to = p[0] + at * s[0] * out_size;
        q[0] = s[0] == 1 && !w->half_out ? to : buf[0];
        w->body(m, q, w->arg);
        if (q[0] != to) store(w, m, to, s[0], buf[0]);
    }
}

static void run(int64_t n, char *const *p, const int64_t *s, const void *arg) {
    const work *w = arg;
    bool plain = s[0] == 1 && !w->half_in;
    for (int i = 1; i <= w->n_in; i++) plain = plain && s[i] == 1;
    if (plain)
        w->body(n, p, w->arg);
    else
        run_blocks(n, p, s, w);
}

typedef struct runs { /* by dtype of the inputs; NULL where the row does not take it */
    body_fn f32, f64, i64, i32, u8;
} runs;

static body_fn body_of(const runs *r, int dtype) {
    switch (dtype) {
        case TERN_F32:
        case TERN_F16:
        case TERN_BF16:
            return r->f32;
        case TERN_F64:
            return r->f64;
        case TERN_I64:
            return r->i64;
        case TERN_I32:
            return r->i32;
        default:
            return r->u8; /* and bool */
    }
}

static const char *const names[TERN_DTYPE_COUNT] = {
    [TERN_I64] = "i64", [TERN_I32] = "i32", [TERN_U8] = "u8", [TERN_BOOL] = "bool"};

static bool launch(const terni_call *c, const char *name, const runs *r, const void *arg) {
    const int in = c->in[0]->dtype, out = c->out[0]->dtype;
    const work w = {body_of(r, in), arg, c->n_in, in, out, terni_cpu_is_half(in), terni_cpu_is_half(out)};
    if (!w.body) return terni_cpu_fail(TERN_ERR_DTYPE, "%s: not for %s", name, names[in]);
    const terni_view *v[TERNI_LOOP_VIEWS] = {c->out[0]};
    for (int i = 0; i < c->n_in; i++) v[1 + i] = c->in[i];
    terni_cpu_loop(v, 1 + c->n_in, run, &w, GRAIN);
    return true;
}

#define INT_F(name) NULL, NULL, NULL
#define INT_N(name) r_##name##_i64, r_##name##_i32, r_##name##_u8
#define UNARY_KERNELS(name, dt)                                                   \
    bool terni_cpu_##name(const terni_call *c) {                                  \
        static const runs r = {r_##name##_f32, r_##name##_f64, INT_##dt(name)};   \
        return launch(c, #name, &r, c->opts);                                     \
    }                                                                             \
    bool terni_cpu_##name##_grad(const terni_call *c) {                           \
        static const runs r = {g_##name##_f32, g_##name##_f64, NULL, NULL, NULL}; \
        return launch(c, #name, &r, c->opts);                                     \
    }                                                                             \
    bool terni_cpu_##name##_curv(const terni_call *c) {                           \
        static const runs r = {c_##name##_f32, c_##name##_f64, NULL, NULL, NULL}; \
        return launch(c, #name, &r, c->opts);                                     \
    }
#define TERN_UNARY(name, dt, ...)   UNARY_KERNELS(name, dt)
#define TERN_UNARY_Y(name, dt, ...) UNARY_KERNELS(name, dt)
#define TERN_UNARY_P(name, dt, ...) UNARY_KERNELS(name, dt)
#define TERN_BINARY(name, dt, ...)                                                \
    bool terni_cpu_##name(const terni_call *c) {                                  \
        static const runs r = {r_##name##_f32, r_##name##_f64, INT_##dt(name)};   \
        return launch(c, #name, &r, NULL);                                        \
    }                                                                             \
    bool terni_cpu_##name##_da(const terni_call *c) {                             \
        static const runs r = {g_##name##_f32, g_##name##_f64, NULL, NULL, NULL}; \
        return launch(c, #name, &r, NULL);                                        \
    }                                                                             \
    bool terni_cpu_##name##_db(const terni_call *c) {                             \
        static const runs r = {c_##name##_f32, c_##name##_f64, NULL, NULL, NULL}; \
        return launch(c, #name, &r, NULL);                                        \
    }
#define TERN_COMPARE(name, ...)                                                                                \
    bool terni_cpu_##name(const terni_call *c) {                                                               \
        static const runs r = {r_##name##_f32, r_##name##_f64, r_##name##_i64, r_##name##_i32, r_##name##_u8}; \
        return launch(c, #name, &r, NULL);                                                                     \
    }
#include "elementwise.def"
