/* The tests' own numbers: a random stream, conversions between dtypes, tensors from doubles, temporary files. */
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common.h"

static uint64_t stream = 1;

void test_seed(uint64_t seed) { stream = seed; }

static uint64_t next64(void) { /* SplitMix64: Steele, Lea and Flood, OOPSLA 2014 */
    uint64_t z = (stream += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

double test_uniform(double lo, double hi) { return lo + (hi - lo) * ((double)(next64() >> 11) * 0x1p-53); }

/* ---- dtypes ------------------------------------------------------------------------------------------------------ */

/* v rounded to `bits` bits of fraction, with exponents from min_exp up; ties to even. */
static double round_float(double v, int bits, int min_exp, double largest) {
    if (!isfinite(v) || v == 0) return v;
    int e;
    frexp(v, &e); /* |v| in [2^(e-1), 2^e) */
    e--;
    if (e < min_exp) e = min_exp;
    const double unit = ldexp(1, e - bits), r = nearbyint(v / unit) * unit;
    return fabs(r) > largest ? copysign((double)INFINITY, v) : r == 0 ? copysign(0, v) : r;
}

static uint16_t encode16(double v, int bits, int bias) {
    const int exp_bits = 15 - bits;
    const uint16_t sign = (uint16_t)(signbit(v) ? 0x8000u : 0u), top = (uint16_t)(((1u << exp_bits) - 1u) << bits);
    if (isnan(v)) return (uint16_t)(sign | top | (1u << (bits - 1)));
    if (isinf(v)) return (uint16_t)(sign | top);
    const double a = fabs(v);
    if (a == 0) return sign;
    int e;
    frexp(a, &e);
    e--;
    if (e < 1 - bias) return (uint16_t)(sign | (uint16_t)(a / ldexp(1, 1 - bias - bits)));
    const double fraction = a / ldexp(1, e - bits) - ldexp(1, bits);
    return (uint16_t)(sign | (uint16_t)((uint16_t)(e + bias) << bits) | (uint16_t)fraction);
}

static double decode16(uint16_t h, int bits, int bias) {
    const int exp_bits = 15 - bits;
    const int e = (h >> bits) & ((1 << exp_bits) - 1), f = h & ((1 << bits) - 1);
    const double sign = h & 0x8000 ? -1.0 : 1.0;
    if (e == (1 << exp_bits) - 1) return f ? (double)NAN : sign * (double)INFINITY;
    if (e == 0) return sign * ldexp(f, 1 - bias - bits);
    return sign * ldexp(f + (1 << bits), e - bias - bits);
}

double round_to(double v, tern_dtype dtype) {
    switch (dtype) {
        case TERN_F64:
            return v;
        case TERN_F32:
            return (double)(float)v;
        case TERN_F16:
            return round_float(v, 10, -14, 65504);
        case TERN_BF16:
            return round_float(v, 7, -126, 0x1.FEp127);
        case TERN_BOOL:
            return v != 0;
        default:
            return trunc(v);
    }
}

void store_element(void *p, tern_dtype dtype, double v) {
    const double r = round_to(v, dtype);
    switch (dtype) {
        case TERN_F64:
            memcpy(p, &v, 8);
            break;
        case TERN_F32:
            memcpy(p, &(float){(float)r}, 4);
            break;
        case TERN_F16:
            memcpy(p, &(uint16_t){encode16(r, 10, 15)}, 2);
            break;
        case TERN_BF16:
            memcpy(p, &(uint16_t){encode16(r, 7, 127)}, 2);
            break;
        case TERN_I64:
            memcpy(p, &(int64_t){(int64_t)r}, 8);
            break;
        case TERN_I32:
            memcpy(p, &(int32_t){(int32_t)r}, 4);
            break;
        default:
            *(uint8_t *)p = (uint8_t)r;
            break;
    }
}

double load_element(const void *p, tern_dtype dtype) {
    union {
        double d;
        float f;
        int64_t l;
        int32_t i;
        uint16_t h;
        uint8_t b;
    } u;
    memcpy(&u, p, tern_dtype_size(dtype));
    switch (dtype) {
        case TERN_F64:
            return u.d;
        case TERN_F32:
            return (double)u.f;
        case TERN_F16:
            return decode16(u.h, 10, 15);
        case TERN_BF16:
            return decode16(u.h, 7, 127);
        case TERN_I64:
            return (double)u.l;
        case TERN_I32:
            return u.i;
        default:
            return u.b;
    }
}

/* ---- tensors ------------------------------------------------------------------------------------------------------
 */

int64_t shape_numel(tern_shape s) {
    int64_t n = 1;
    for (int i = 0; i < s.ndim; i++) n *= s.dim[i];
    return n;
}

tern_device test_device(void) {
    static tern_device device;
    static bool known;
    const char *name = getenv("TERN_TEST_DEVICE");
    if (!known && name && *name && !tern_device_parse(name, &device)) {
        fprintf(stderr, "TERN_TEST_DEVICE is \"%s\": %s\n", name, tern_error_message());
        exit(2);
    }
    known = true;
    return device;
}

int64_t test_live(void) {
    const int64_t live = tern_memory_device(tern_cpu()).live;
    return test_device().type == TERN_CPU ? live : live + tern_memory_device(test_device()).live;
}

tern_tensor *test_tensor(const double *v, tern_shape shape, tern_dtype dtype) {
    const int64_t n = shape_numel(shape);
    const size_t size = tern_dtype_size(dtype);
    char *raw = malloc((size_t)(n > 0 ? n : 1) * size);
    if (!raw) return NULL;
    for (int64_t i = 0; i < n; i++) store_element(raw + (size_t)i * size, dtype, v[i]);
    tern_tensor *t = tern_from(raw, shape, (tern_options){.dtype = dtype, .device = test_device()});
    free(raw);
    return t;
}

tern_tensor *test_random(tern_shape shape, double lo, double hi, tern_dtype dtype) {
    const int64_t n = shape_numel(shape);
    double *v = malloc(sizeof(double) * (size_t)(n > 0 ? n : 1));
    if (!v) return NULL;
    for (int64_t i = 0; i < n; i++) v[i] = test_uniform(lo, hi);
    tern_tensor *t = test_tensor(v, shape, dtype);
    free(v);
    return t;
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

const char *test_data_dir(void) {
    const char *dir = getenv("TERN_DATA");
    if (!dir || !*dir) fprintf(stderr, "skipped: TERN_DATA names no folder with real data\n");
    return dir && *dir ? dir : NULL;
}

static char folder[256];

void test_powers(bool on) {
    enum { NOBODY = 65534 };
    uid_t real, effective, saved;
    if (getresuid(&real, &effective, &saved) != 0 || saved != 0) return;
    const uid_t id = on ? 0 : NOBODY;
    if (setresuid(id, id, 0) != 0) FAIL("the user could not be changed");
    if (on) prctl(PR_SET_DUMPABLE, 1); /* for LeakSanitizer */
}

void test_remove_files(void) {
    if (!folder[0]) return;
    char command[320];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0) fprintf(stderr, "%s could not be removed\n", folder);
    folder[0] = 0;
}

const char *test_path(const char *name) {
    static char paths[4][512];
    static int next;
    if (!folder[0]) {
        const char *tmp = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%s/tern-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
        if (!mkdtemp(folder)) {
            perror(folder);
            folder[0] = 0;
            return "/nonexistent/tern-test";
        }
    }
    char *p = paths[next++ % 4];
    snprintf(p, sizeof paths[0], "%s/%s", folder, name);
    return p;
}
