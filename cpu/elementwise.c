/* Elementwise kernels: the rows of core/elementwise.def, compiled for f32 and f64 (and integers where the row takes
 * them). f16 and bf16 go through f32 in blocks. Loops over contiguous runs vectorise, with glibc's vector functions
 * where the compiler can call them. */
#include <features.h>

#if defined(__x86_64__) && defined(__GLIBC_PREREQ) && !defined(__clang__)
#if __GLIBC_PREREQ(2, 35) && !defined(__SANITIZE_ADDRESS__)
/* What bits/math-vector.h says under -ffast-math; the functions themselves heed infinities and NaN. */
#define VECTOR_FN(T, name, ...) __attribute__((simd("notinbranch"))) T name(__VA_ARGS__);
#define VECTOR_1(name)               \
    VECTOR_FN(float, name##f, float) \
    VECTOR_FN(double, name, double)
#define VECTOR_2(name)                      \
    VECTOR_FN(float, name##f, float, float) \
    VECTOR_FN(double, name, double, double)
VECTOR_1(exp)
VECTOR_1(exp2)
VECTOR_1(expm1)
VECTOR_1(log)
VECTOR_1(log2)
VECTOR_1(log10)
VECTOR_1(log1p)
VECTOR_1(sin)
VECTOR_1(cos)
VECTOR_1(tan)
VECTOR_1(asin)
VECTOR_1(acos)
VECTOR_1(atan)
VECTOR_1(sinh)
VECTOR_1(cosh)
VECTOR_1(tanh)
VECTOR_1(asinh)
VECTOR_1(acosh)
VECTOR_1(atanh)
VECTOR_1(erf)
VECTOR_1(erfc)
VECTOR_2(pow)
VECTOR_2(hypot)
VECTOR_2(atan2)
#endif
#endif

#include <math.h>
#include <stdalign.h>

#include "internal.h"
#include "special.h"
#include "stream.h"
#include "vmath.h"

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
#define IN(i) ((const T *)(const void *)io[1 + (i)])
#define OUT   ((T *)(void *)io[0])

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
#define TEST_OF(value)               \
    (void)arg;                       \
    uint8_t *out = (uint8_t *)io[0]; \
    const T *i0 = IN(0);             \
    EACH(k) {                        \
        const T x = i0[k];           \
        out[k] = (uint8_t)(value);   \
    }
#define COMPARE(value)                \
    (void)arg;                        \
    uint8_t *out = (uint8_t *)io[0];  \
    const T *i0 = IN(0), *i1 = IN(1); \
    EACH(k) {                         \
        const T a = i0[k], b = i1[k]; \
        out[k] = (uint8_t)(value);    \
    }
#define RUN_ARGS int64_t n, char *const *io, const void *arg

#define exp_normal(v) exp(v)
#define T             double
#define TYPE_NAME     f64
#include "elementwise_float.inc"
#undef T
#undef TYPE_NAME
#undef exp_normal

#define T         int64_t
#define TYPE_NAME i64
#define LEAST     INT64_MIN
#define MOST      INT64_MAX
#include "elementwise_int.inc"
#undef T
#undef TYPE_NAME
#undef LEAST
#undef MOST
#define T         int32_t
#define TYPE_NAME i32
#define LEAST     INT32_MIN
#define MOST      INT32_MAX
#include "elementwise_int.inc"
#undef T
#undef TYPE_NAME
#undef LEAST
#undef MOST
#define T         uint8_t
#define TYPE_NAME u8
#define LEAST     0
#define MOST      UINT8_MAX
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtype-limits" /* an unsigned number below 0 */
#include "elementwise_int.inc"
#pragma GCC diagnostic pop
#undef T
#undef TYPE_NAME
#undef LEAST
#undef MOST

/* Last, since from here on the names of math.h mean those of float. */
#define T               float
#define TYPE_NAME       f32
#define exp(v)          terni_exp_f32(v) /* nearer than libmvec, and inline */
#define exp_normal(v)   terni_exp_normal_f32(v)
#define exp2(v)         exp2f(v)
#define expm1(v)        expm1f(v)
#define log(v)          logf(v)
#define log2(v)         log2f(v)
#define log10(v)        log10f(v)
#define log1p(v)        log1pf(v)
#define sin(v)          sinf(v)
#define cos(v)          cosf(v)
#define tan(v)          tanf(v)
#define asin(v)         asinf(v)
#define acos(v)         acosf(v)
#define atan(v)         atanf(v)
#define sinh(v)         sinhf(v)
#define cosh(v)         coshf(v)
#define tanh(v)         tanhf(v)
#define asinh(v)        asinhf(v)
#define acosh(v)        acoshf(v)
#define atanh(v)        atanhf(v)
#define erf(v)          erff(v)
#define erfc(v)         erfcf(v)
#define sqrt(v)         sqrtf(v)
#define floor(v)        floorf(v)
#define ceil(v)         ceilf(v)
#define rint(v)         rintf(v)
#define trunc(v)        truncf(v)
#define fabs(v)         fabsf(v)
#define pow(a, b)       powf(a, b)
#define hypot(a, b)     hypotf(a, b)
#define atan2(a, b)     atan2f(a, b)
#define fmod(a, b)      fmodf(a, b)
#define copysign(a, b)  copysignf(a, b)
#define nextafter(a, b) nextafterf(a, b)
#include "elementwise_float.inc"

/* ---- kernels
 * ---------------------------------------------------------------------------------------------------------------- */

/* n contiguous elements: out, inputs */
typedef void (*body_fn)(RUN_ARGS);
/* A row's own loop for f32, which can store past the caches itself. */
typedef void (*own_fn)(int64_t n, char *const *io, bool stream);

typedef struct work {
    body_fn body;
    own_fn own; /* or NULL */
    const void *arg;
    int n_in, in, out; /* dtypes */
    bool half_in, half_out, stream;
} work;

#define STRIDED(T, to, ts, from, fs) \
    for (int64_t k = 0; k < n; k++) ((T *)(void *)(to))[k * (ts)] = ((const T *)(const void *)(from))[k * (fs)]

static void compute(const work *w, int64_t n, char *const *p, bool stream) {
    if (w->own)
        w->own(n, p, stream);
    else
        w->body(n, p, w->arg);
}

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
    alignas(64) uint16_t half[BLOCK];
    const bool stream = w->stream && s == 1;
    if (w->half_out)
        terni_cpu_to_half(w->out, (const float *)(const void *)from, stream ? half : (uint16_t *)(void *)to, s, n);
    else if (!stream)
        spread(terni_cpu_size(w->out), n, to, s, from, 1);
    if (stream) terni_stream(to, w->half_out ? (const void *)half : from, (size_t)n * terni_cpu_size(w->out));
}

/* What is not contiguous, is f16 or bf16, or is not to stay in the caches, goes through blocks that are contiguous f32,
 * f64, ... */
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
        q[0] = s[0] == 1 && !w->half_out && !w->stream ? to : buf[0];
        compute(w, m, q, false);
        if (q[0] != to) store(w, m, to, s[0], buf[0]);
    }
    if (w->stream) terni_stream_end();
}

static void run(int64_t n, char *const *p, const int64_t *s, const void *arg) {
    work here = *(const work *)arg, *w = &here;
    w->stream = w->stream && n >= BLOCK;
    bool plain = s[0] == 1 && !w->half_in && (w->own || !w->stream);
    for (int i = 1; i <= w->n_in; i++) plain = plain && s[i] == 1;
    if (plain)
        compute(w, n, p, w->stream);
    else
        run_blocks(n, p, s, w);
}

typedef struct runs { /* by dtype of the inputs; NULL where the row does not take it */
    body_fn f32, f64, i64, i32, u8;
    own_fn own; /* f32's, or NULL */
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

/* Large, and no input: lines that are read stay to be written. */
static bool streams(const terni_call *c) {
    const terni_view *y = c->out[0];
    if (terni_cpu_count(y) * (int64_t)terni_cpu_size(y->dtype) < TERNI_STREAM_BYTES) return false;
    for (int i = 0; i < c->n_in; i++)
        if (c->in[i]->data == y->data) return false;
    return true;
}

static bool launch(const terni_call *c, const char *name, const runs *r, const void *arg) {
    const int in = c->in[0]->dtype, out = c->out[0]->dtype;
    const bool half = terni_cpu_is_half(in);
    work w = {body_of(r, in), NULL, arg, c->n_in, in, out, half, terni_cpu_is_half(out), streams(c)};
    if (in == TERN_F32 || half) w.own = r->own;
    if (!w.body) return terni_cpu_fail(TERN_ERR_DTYPE, "%s: not for %s", name, names[in]);
    const terni_view *v[TERNI_LOOP_VIEWS] = {c->out[0]};
    for (int i = 0; i < c->n_in; i++) v[1 + i] = c->in[i];
    terni_cpu_loop(v, 1 + c->n_in, run, &w, GRAIN);
    return true;
}

#define INT_F(name) NULL, NULL, NULL
#define INT_W(name) INT_F(name)
#define INT_N(name) r_##name##_i64, r_##name##_i32, r_##name##_u8
#if TERNI_VEC_BYTES == 64
#include "gelu.h"
#define OWN(fn) fn
#else
#define OWN(fn) NULL
#endif

#define UNARY_KERNELS(name, dt, own, own_grad)                                              \
    bool terni_cpu_##name(const terni_call *c) {                                            \
        static const runs r = {r_##name##_f32, r_##name##_f64, INT_##dt(name), own};        \
        return launch(c, #name, &r, c->opts);                                               \
    }                                                                                       \
    bool terni_cpu_##name##_grad(const terni_call *c) {                                     \
        static const runs r = {g_##name##_f32, g_##name##_f64, NULL, NULL, NULL, own_grad}; \
        return launch(c, #name, &r, c->opts);                                               \
    }                                                                                       \
    bool terni_cpu_##name##_curv(const terni_call *c) {                                     \
        static const runs r = {c_##name##_f32, c_##name##_f64, NULL, NULL, NULL, NULL};     \
        return launch(c, #name, &r, c->opts);                                               \
    }
#define TERN_UNARY(name, dt, ...)     UNARY_KERNELS(name, dt, NULL, NULL)
#define TERN_UNARY_OWN(name, dt, ...) UNARY_KERNELS(name, dt, OWN(own_##name), OWN(own_##name##_grad))
#define TERN_UNARY_Y(name, dt, ...)   UNARY_KERNELS(name, dt, NULL, NULL)
#define TERN_UNARY_P(name, dt, ...)   UNARY_KERNELS(name, dt, NULL, NULL)
#define TERN_UNARY_PQ(name, dt, ...)  UNARY_KERNELS(name, dt, NULL, NULL)
#define TERN_UNARY_PQR(name, dt, ...) UNARY_KERNELS(name, dt, NULL, NULL)
#define TERN_BINARY(name, dt, ...)                                                      \
    bool terni_cpu_##name(const terni_call *c) {                                        \
        static const runs r = {r_##name##_f32, r_##name##_f64, INT_##dt(name), NULL};   \
        return launch(c, #name, &r, NULL);                                              \
    }                                                                                   \
    bool terni_cpu_##name##_da(const terni_call *c) {                                   \
        static const runs r = {g_##name##_f32, g_##name##_f64, NULL, NULL, NULL, NULL}; \
        return launch(c, #name, &r, NULL);                                              \
    }                                                                                   \
    bool terni_cpu_##name##_db(const terni_call *c) {                                   \
        static const runs r = {c_##name##_f32, c_##name##_f64, NULL, NULL, NULL, NULL}; \
        return launch(c, #name, &r, NULL);                                              \
    }
#define TERN_TERNARY(name, ...)                                                         \
    bool terni_cpu_##name(const terni_call *c) {                                        \
        static const runs r = {r_##name##_f32, r_##name##_f64, NULL, NULL, NULL, NULL}; \
        return launch(c, #name, &r, c->opts);                                           \
    }
#define TERN_COMPARE(name, ...)                                                                                      \
    bool terni_cpu_##name(const terni_call *c) {                                                                     \
        static const runs r = {r_##name##_f32, r_##name##_f64, r_##name##_i64, r_##name##_i32, r_##name##_u8, NULL}; \
        return launch(c, #name, &r, NULL);                                                                           \
    }
#define TERN_TEST_OF(name, ...) TERN_COMPARE(name, )
#define TERN_BITS(name, ...)                                                                     \
    bool terni_cpu_##name(const terni_call *c) {                                                 \
        static const runs r = {NULL, NULL, r_##name##_i64, r_##name##_i32, r_##name##_u8, NULL}; \
        return launch(c, #name, &r, NULL);                                                       \
    }
#include "elementwise.def"
