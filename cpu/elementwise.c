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

#include "internal.h"

enum { GRAIN = 16384, BLOCK = 512 };

/* ---- loops: r_NAME_TYPE (value), g_ (times slope), c_ (times curvature)
 * -------------------------------------------------- */

#define SUFFIX_(a, b) a##_##b
#define SUFFIX(a, b)  SUFFIX_(a, b)
#define FN(name)      SUFFIX(name, TYPE_NAME)
#define K(v)          ((T)(v))

/* The body once for contiguous runs, so that it vectorises, and once for any strides. Inputs x_0 .. at q[0] .. */
#define LOOP1(body)                              \
    (void)arg;                                   \
    T *out = (T *)(void *)q[0];                  \
    const T *i0 = (const T *)(const void *)q[1]; \
    if (s[0] == 1 && s[1] == 1) {                \
        for (int64_t k = 0; k < n; k++) {        \
            const T v0 = i0[k];                  \
            out[k] = (T)(body);                  \
        }                                        \
    } else {                                     \
        for (int64_t k = 0; k < n; k++) {        \
            const T v0 = i0[k * s[1]];           \
            out[k * s[0]] = (T)(body);           \
        }                                        \
    }
#define LOOP2(body)                                                                   \
    (void)arg;                                                                        \
    T *out = (T *)(void *)q[0];                                                       \
    const T *i0 = (const T *)(const void *)q[1], *i1 = (const T *)(const void *)q[2]; \
    if (s[0] == 1 && s[1] == 1 && s[2] == 1) {                                        \
        for (int64_t k = 0; k < n; k++) {                                             \
            const T v0 = i0[k], v1 = i1[k];                                           \
            out[k] = (T)(body);                                                       \
        }                                                                             \
    } else if (s[0] == 1 && s[1] == 1 && s[2] == 0) {                                 \
        const T v1 = i1[0];                                                           \
        for (int64_t k = 0; k < n; k++) {                                             \
            const T v0 = i0[k];                                                       \
            out[k] = (T)(body);                                                       \
        }                                                                             \
    } else {                                                                          \
        for (int64_t k = 0; k < n; k++) {                                             \
            const T v0 = i0[k * s[1]], v1 = i1[k * s[2]];                             \
            out[k * s[0]] = (T)(body);                                                \
        }                                                                             \
    }
#define LOOP3(body)                                                                   \
    (void)arg;                                                                        \
    T *out = (T *)(void *)q[0];                                                       \
    const T *i0 = (const T *)(const void *)q[1], *i1 = (const T *)(const void *)q[2]; \
    const T *i2 = (const T *)(const void *)q[3];                                      \
    if (s[0] == 1 && s[1] == 1 && s[2] == 1 && s[3] == 1) {                           \
        for (int64_t k = 0; k < n; k++) {                                             \
            const T v0 = i0[k], v1 = i1[k], v2 = i2[k];                               \
            out[k] = (T)(body);                                                       \
        }                                                                             \
    } else {                                                                          \
        for (int64_t k = 0; k < n; k++) {                                             \
            const T v0 = i0[k * s[1]], v1 = i1[k * s[2]], v2 = i2[k * s[3]];          \
            out[k * s[0]] = (T)(body);                                                \
        }                                                                             \
    }
#define RUN_ARGS int64_t n, char *const *q, const int64_t *s, const void *arg

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

typedef struct half_run {
    terni_run_fn run; /* on f32 */
    const void *arg;
    int dtype, n_in;
    bool to_bool; /* compare: the output is bytes */
} half_run;

/* A run of f16 or bf16, in blocks that are converted to f32 and back. */
static void run_half(int64_t n, char *const *p, const int64_t *s, const void *arg) {
    const half_run *h = arg;
    static const int64_t unit[TERNI_LOOP_VIEWS] = {1, 1, 1, 1};
    float buf[TERNI_LOOP_VIEWS][BLOCK];
    for (int64_t at = 0; at < n; at += BLOCK) {
        const int64_t m = n - at < BLOCK ? n - at : BLOCK;
        char *q[TERNI_LOOP_VIEWS] = {(char *)buf[0]};
        int64_t stride[TERNI_LOOP_VIEWS] = {1, 1, 1, 1};
        for (int i = 1; i <= h->n_in; i++) {
            terni_cpu_from_half(h->dtype, (const uint16_t *)(const void *)p[i] + at * s[i], s[i], buf[i], m);
            q[i] = (char *)buf[i];
        }
        if (h->to_bool) {
            q[0] = p[0] + at * s[0];
            stride[0] = s[0];
        }
        h->run(m, q, h->to_bool ? stride : unit, h->arg);
        if (!h->to_bool) terni_cpu_to_half(h->dtype, buf[0], (uint16_t *)(void *)p[0] + at * s[0], s[0], m);
    }
}

typedef struct runs { /* by dtype of the inputs; NULL where the row does not take it */
    terni_run_fn f32, f64, i64, i32, u8;
} runs;

static const char *const names[TERN_DTYPE_COUNT] = {
    [TERN_I64] = "i64", [TERN_I32] = "i32", [TERN_U8] = "u8", [TERN_BOOL] = "bool"};

static bool launch(const terni_call *c, const char *name, const runs *r, const void *arg) {
    const terni_view *v[TERNI_LOOP_VIEWS] = {c->out[0]};
    for (int i = 0; i < c->n_in; i++) v[1 + i] = c->in[i];
    const int dtype = c->in[0]->dtype;
    if (terni_cpu_is_half(dtype)) {
        const half_run h = {r->f32, arg, dtype, c->n_in, c->out[0]->dtype == TERN_BOOL};
        terni_cpu_loop(v, 1 + c->n_in, run_half, &h, GRAIN);
        return true;
    }
    terni_run_fn fn = NULL;
    switch (dtype) {
        case TERN_F32:
            fn = r->f32;
            break;
        case TERN_F64:
            fn = r->f64;
            break;
        case TERN_I64:
            fn = r->i64;
            break;
        case TERN_I32:
            fn = r->i32;
            break;
        default:
            fn = r->u8;
            break; /* u8 and bool */
    }
    if (!fn) return terni_cpu_fail(TERN_ERR_DTYPE, "%s: not for %s", name, names[dtype]);
    terni_cpu_loop(v, 1 + c->n_in, fn, arg, GRAIN);
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
