/* gelu and gelu_tanh of f32 with AVX-512, value and slope, which their rows' own loops are here. The text of the rows
 * goes without tables: a choice between two polynomials, or the exponential in double, is twice the work.
 *
 * Both are max(x, 0) - t Q(t), t = |x|, and Q falls as an exponential does. Its exponent is taken in two parts, so that
 * the result is near in its own units down to the subnormal ones (3 of them at most, of the slopes but about their
 * root). For gelu what is left of Q is a polynomial of degree 5 in t on each of 16 intervals, which t + 1's exponent
 * and first two bits number; fitted by least squares, weighted again and again until the errors were level. */
#ifndef TERNI_GELU_H
#define TERNI_GELU_H

#include "lanes.h"
#include "stream.h"

enum { GELU_DEGREE = 5 };

/* Rows: the middle of each interval (0 of the first, where the value is 0 too), then the coefficients, last first. */
/* clang-format off */
/* t Phi(-t) e^(t^2 / 2), within 8.4e-8 below 0.25, 3.3e-8 beyond. */
static const float gelu_tail[7][16] = {
    {0x1.4p+0f, 0x1.cp+0f, 0x1.2p+1f, 0x1.6p+1f, 0x1.cp+1f, 0x1.2p+2f, 0x1.6p+2f, 0x1.ap+2f, 0x1p+3f, 0x1.4p+3f, 0x1.8p+3f, 0x1.cp+3f, 0, 0x1.8p-2f, 0x1.4p-1f, 0x1.cp-1f},
    {0x1.e38178p-9f, 0x1.6d9e6cp-10f, 0x1.2c5cdap-11f, 0x1.096a92p-12f, 0x1.66082p-14f, 0x1.878a32p-16f, 0x1.fc3696p-18f, 0x1.79f636p-19f, 0x1.ad341ap-21f, 0x1.95f408p-23f, 0x1.e56de2p-25f, 0x1.5871aap-26f, 0x1.8a9c9cp-5f, 0x1.9abcap-6f, 0x1.c99cdcp-7f, 0x1.064c94p-7f},
    {-0x1.483a0ep-7f, -0x1.118bb4p-8f, -0x1.ed271ep-10f, -0x1.dc344ep-11f, -0x1.6abb2ep-12f, -0x1.cf18e8p-14f, -0x1.59a964p-15f, -0x1.23c4d4p-16f, -0x1.863a72p-18f, -0x1.c051aep-20f, -0x1.3c514cp-21f, -0x1.031ccep-22f, -0x1.0a353ap-3f, -0x1.d42c5p-5f, -0x1.132afcp-5f, -0x1.4bf162p-6f},
    {0x1.8fe6dep-6f, 0x1.721868p-7f, 0x1.70c138p-8f, 0x1.87b432p-9f, 0x1.4f9d44p-10f, 0x1.fa28dp-12f, 0x1.b63ab4p-13f, 0x1.a66eccp-14f, 0x1.49a97ep-15f, 0x1.d0d724p-17f, 0x1.857458p-18f, 0x1.71c2dep-19f, 0x1.ff75d4p-3f, 0x1.dc2e76p-4f, 0x1.27b6a6p-4f, 0x1.78a6fp-5f},
    {-0x1.aec84cp-5f, -0x1.be107cp-6f, -0x1.ee9552p-7f, -0x1.22a808p-7f, -0x1.1ed60ap-8f, -0x1.004788p-9f, -0x1.01fc88p-10f, -0x1.1c85bep-11f, -0x1.09172p-12f, -0x1.c873dep-14f, -0x1.c4c92cp-15f, -0x1.f15918p-16f, -0x1.98822ap-2f, -0x1.a0adp-3f, -0x1.12ed24p-3f, -0x1.73b734p-4f},
    {0x1.7b79dap-4f, 0x1.bd45fap-5f, 0x1.15aa6ep-5f, 0x1.6c5e3ep-6f, 0x1.a29f24p-7f, 0x1.bfbafap-8f, 0x1.07e3ecp-8f, 0x1.4ea508p-9f, 0x1.762602p-10f, 0x1.8af24cp-11f, 0x1.d0fb6ap-12f, 0x1.27e806p-12f, 0x1.fffffep-2f, 0x1.222f24p-2f, 0x1.9a45b2p-3f, 0x1.28beeep-3f},
    {0x1.275f8ap-2f, 0x1.4bef66p-2f, 0x1.62039ap-2f, 0x1.701efp-2f, 0x1.7d241ap-2f, 0x1.86c626p-2f, 0x1.8c2b88p-2f, 0x1.8f76dep-2f, 0x1.926972p-2f, 0x1.948c6ep-2f, 0x1.95bcb4p-2f, 0x1.9676b8p-2f, 0, 0x1.238944p-3f, 0x1.9de55ap-3f, 0x1.f5594ep-3f},
};
/* (Phi(-t) - t phi(t)) e^(t^2 / 2), within 1.9e-8 of itself (of 0.02 where it is less). */
static const float gelu_slope[7][16] = {
    {0x1.4p+0f, 0x1.cp+0f, 0x1.2p+1f, 0x1.6p+1f, 0x1.cp+1f, 0x1.2p+2f, 0x1.6p+2f, 0x1.ap+2f, 0x1p+3f, 0x1.4p+3f, 0x1.8p+3f, 0x1.cp+3f, 0x1p-3f, 0x1.8p-2f, 0x1.4p-1f, 0x1.cp-1f},
    {-0x1.0ba26cp-9f, -0x1.b90f2ap-11f, -0x1.8c49d4p-12f, -0x1.7e199ep-13f, -0x1.245feap-14f, -0x1.74317ap-16f, -0x1.1565e6p-17f, -0x1.d3e426p-19f, -0x1.3a1838p-20f, -0x1.6811cp-22f, -0x1.fb7fc2p-24f, -0x1.9f6b4cp-25f, -0x1.45a0e2p-6f, -0x1.736076p-7f, -0x1.ae0662p-8f, -0x1.0f5492p-8f},
    {0x1.93a26p-8f, 0x1.74f1c4p-9f, 0x1.731944p-10f, 0x1.89c6b2p-11f, 0x1.553366p-12f, 0x1.0022e6p-13f, 0x1.ba32a8p-15f, 0x1.a9627ap-16f, 0x1.505cfp-17f, 0x1.d72e2ep-19f, 0x1.893ee4p-20f, 0x1.747398p-21f, 0x1.8b5436p-5f, 0x1.ddc7d8p-6f, 0x1.288c86p-6f, 0x1.799a1cp-7f},
    {-0x1.1f2392p-6f, -0x1.295c18p-7f, -0x1.49b6acp-8f, -0x1.838948p-9f, -0x1.7e67c8p-10f, -0x1.55b06cp-11f, -0x1.57f934p-12f, -0x1.7b5baap-13f, -0x1.616a9cp-14f, -0x1.3049b6p-15f, -0x1.2dd9b6p-16f, -0x1.4b8faep-17f, -0x1.b02c8ep-4f, -0x1.15caa4p-4f, -0x1.6e97f2p-5f, -0x1.ef97b2p-6f},
    {0x1.7b771cp-5f, 0x1.bd43d8p-6f, 0x1.15a98cp-6f, 0x1.6c5d76p-7f, 0x1.a296c8p-8f, 0x1.bfb666p-9f, 0x1.07e27p-9f, 0x1.4ea3eep-10f, 0x1.761bf8p-11f, 0x1.8aed8cp-12f, 0x1.d0f892p-13f, 0x1.27e704p-13f, 0x1.a4e0d2p-3f, 0x1.222ed8p-3f, 0x1.9a456cp-4f, 0x1.28bec6p-4f},
    {-0x1.04d49p-1f, -0x1.e51942p-2f, -0x1.cf050ep-2f, -0x1.c0e9b6p-2f, -0x1.b3e48ep-2f, -0x1.aa428p-2f, -0x1.a4dd1ep-2f, -0x1.a191c8p-2f, -0x1.9e9f34p-2f, -0x1.9c7c38p-2f, -0x1.9b4bf2p-2f, -0x1.9a91eep-2f, -0x1.7b796p-1f, -0x1.4fa202p-1f, -0x1.310afcp-1f, -0x1.1b2ep-1f},
    {-0x1.1258f8p-2f, -0x1.069d1ap-1f, -0x1.7ce966p-1f, -0x1.eec798p-1f, -0x1.4a3a5ap+0f, -0x1.b5df3p+0f, -0x1.0fd9fcp+1f, -0x1.443cecp+1f, -0x1.923aaep+1f, -0x1.f996dap+1f, -0x1.304642p+2f, -0x1.63a342p+2f, 0x1.9d9ea2p-2f, 0x1.d70acep-3f, 0x1.2f2cb4p-4f, -0x1.1bde6ep-4f},
};
/* clang-format on */

#define GELU_ALL(v) _mm512_set1_ps(v)
#define GELU_FN     static inline __attribute__((always_inline))

/* m e^(-(s + low) / 2) for s from 0 to 300; low is small beside s. Rounded once where it is subnormal. */
GELU_FN __m512 gelu_fall(__m512 m, __m512 s, __m512 low) {
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(s, GELU_ALL(-0x1.715476p-1f)), 8); /* to the nearest integer */
    const __m512 high = _mm512_fmadd_ps(n, GELU_ALL(0x1.62e43p0f), s);
    const __m512 u = _mm512_add_ps(high, _mm512_fmadd_ps(n, GELU_ALL(-0x1.05c61p-28f), low));
    __m512 p = GELU_ALL(0x1.6ae6dap-16f); /* (e^(-u / 2) - 1) / u, |u| <= ln 2 */
    p = _mm512_fmadd_ps(p, u, GELU_ALL(-0x1.1267d8p-12f));
    p = _mm512_fmadd_ps(p, u, GELU_ALL(0x1.555824p-9f));
    p = _mm512_fmadd_ps(p, u, GELU_ALL(-0x1.555418p-6f));
    p = _mm512_fmadd_ps(p, u, GELU_ALL(0x1.fffffcp-4f));
    p = _mm512_fmadd_ps(p, u, GELU_ALL(-0x1p-1f));
    return _mm512_scalef_ps(_mm512_fmadd_ps(m, _mm512_mul_ps(p, u), m), n);
}

/* |x|, but `most` where it is larger: there the tail is 0. NaN stays. */
GELU_FN __m512 gelu_distance(__m512 x, float most) { return _mm512_min_ps(GELU_ALL(most), _mm512_abs_ps(x)); }

GELU_FN __m512 gelu_normal_tail(__m512 t, const float (*table)[16]) {
    const __m512i i = _mm512_srli_epi32(_mm512_castps_si512(_mm512_add_ps(t, GELU_ALL(1))), 21);
    const __m512 d = _mm512_sub_ps(t, _mm512_permutexvar_ps(i, _mm512_loadu_ps(table[0])));
    __m512 p = _mm512_permutexvar_ps(i, _mm512_loadu_ps(table[1]));
    for (int k = 2; k < 2 + GELU_DEGREE; k++)
        p = _mm512_fmadd_ps(p, d, _mm512_permutexvar_ps(i, _mm512_loadu_ps(table[k])));
    const __m512 s = _mm512_mul_ps(t, t);
    return gelu_fall(p, s, _mm512_fmsub_ps(t, t, s));
}

/* x - tail, or -tail for negative x; NaN at -inf, as 0 times x. */
GELU_FN __m512 gelu_less_tail(__m512 x, __m512 tail) {
    const __mmask16 up = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NLT_UQ);
    return _mm512_fmsub_ps(_mm512_maskz_mov_ps(up, GELU_ALL(1)), x, tail);
}

GELU_FN __m512 gelu_value(__m512 x) { return gelu_less_tail(x, gelu_normal_tail(gelu_distance(x, 14.75f), gelu_tail)); }

GELU_FN __m512 gelu_slope_of(__m512 x) {
    const __m512 tail = gelu_normal_tail(gelu_distance(x, 14.75f), gelu_slope);
    const __mmask16 up = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NLT_UQ);
    return _mm512_mask_sub_ps(tail, up, GELU_ALL(1), tail);
}

/* 1 / (1 + e). */
GELU_FN __m512 gelu_share(__m512 e) {
    const __m512 d = _mm512_add_ps(e, GELU_ALL(1)), r = _mm512_rcp14_ps(d);
    return _mm512_fmadd_ps(_mm512_fnmadd_ps(d, r, GELU_ALL(1)), r, r);
}

/* gelu_tanh is x / (1 + e^-z), z = 2 sqrt(2 / pi) (x + 0.044715 x^3) = x q(x^2); the coefficients of 2 q in two parts,
 * the first of them short enough for its difference from 2 q to be exact. */
static const float tanh_c1 = 0x1.98845p+1f, tanh_c1_low = 0x1.9ea1b2p-22f, tanh_c3 = 0x1.2444f2p-3f,
                   tanh_c3_low = 0x1.49b16ap-28f;

GELU_FN __m512 gelu_tanh_value(__m512 x) {
    const __m512 t = gelu_distance(x, 11), s = _mm512_mul_ps(t, t), s_low = _mm512_fmsub_ps(t, t, s);
    const __m512 c1 = GELU_ALL(tanh_c1), c3 = GELU_ALL(tanh_c3), q = _mm512_fmadd_ps(c3, s, c1);
    const __m512 q_low = _mm512_add_ps(_mm512_fmadd_ps(c3, s_low, _mm512_fmadd_ps(c3, s, _mm512_sub_ps(c1, q))),
                                       _mm512_fmadd_ps(GELU_ALL(tanh_c3_low), s, GELU_ALL(tanh_c1_low)));
    const __m512 z = _mm512_mul_ps(t, q), z_low = _mm512_fmadd_ps(t, q_low, _mm512_fmsub_ps(t, q, z));
    const __m512 e = gelu_fall(GELU_ALL(1), z, z_low);
    const __m512 tail =
        gelu_fall(_mm512_mul_ps(t, gelu_share(e)), z, z_low); /* e^-z once more, rounded with its factor */
    return gelu_less_tail(x, tail);
}

/* s + s (1 - s) x z'(x), s = 1 / (1 + e^-z). */
GELU_FN __m512 gelu_tanh_slope_of(__m512 x) {
    const __m512 t = gelu_distance(x, 11), s = _mm512_mul_ps(t, t);
    const __m512 z = _mm512_mul_ps(t, _mm512_fmadd_ps(GELU_ALL(tanh_c3), s, GELU_ALL(tanh_c1)));
    const __m512 e = gelu_fall(GELU_ALL(1), z, _mm512_setzero_ps()), high = gelu_share(e), low = _mm512_mul_ps(e, high);
    const __m512 w = _mm512_mul_ps(t, _mm512_fmadd_ps(GELU_ALL(1.5f * tanh_c3), s, GELU_ALL(0.5f * tanh_c1)));
    const __mmask16 up = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NLT_UQ);
    const __m512 bend = _mm512_mul_ps(_mm512_mul_ps(high, low), w);
    return _mm512_mask_add_ps(_mm512_sub_ps(low, bend), up, high, bend);
}

/* ---- loops: n contiguous elements, stored past the caches if stream ---- */

#define GELU_RUN(fn, n_in, expression)                                                                     \
    static void fn(int64_t n, char *const *io, bool stream) {                                              \
        float *out = (float *)(void *)io[0];                                                               \
        const float *a = (const float *)(const void *)io[1], *b = (const float *)(const void *)io[n_in];   \
        int64_t k = 0, some = stream ? (int64_t)(-(uintptr_t)out % TERNI_VEC_BYTES / sizeof *out) : 0;     \
        while (k < n) {                                                                                    \
            for (; !some && n - k >= TERNI_LANES_F32; k += TERNI_LANES_F32) {                              \
                const __m512 v = _mm512_loadu_ps(a + k), x = _mm512_loadu_ps(b + k), y = (expression);     \
                (void)v;                                                                                   \
                if (stream)                                                                                \
                    _mm512_stream_ps(out + k, y);                                                          \
                else                                                                                       \
                    _mm512_storeu_ps(out + k, y);                                                          \
            }                                                                                              \
            if (!some || some > n - k) some = n - k;                                                       \
            const __m512 v = (__m512)terni_some_f32(a + k, some), x = (__m512)terni_some_f32(b + k, some); \
            (void)v;                                                                                       \
            terni_put_some_f32(out + k, (terni_vf)(expression), some);                                     \
            k += some, some = 0;                                                                           \
        }                                                                                                  \
        if (stream) terni_stream_end();                                                                    \
    }
GELU_RUN(own_gelu, 1, gelu_value(x))
GELU_RUN(own_gelu_grad, 2, _mm512_mul_ps(v, gelu_slope_of(x)))
GELU_RUN(own_gelu_tanh, 1, gelu_tanh_value(x))
GELU_RUN(own_gelu_tanh_grad, 2, _mm512_mul_ps(v, gelu_tanh_slope_of(x)))

#endif
