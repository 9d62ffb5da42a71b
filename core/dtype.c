/* dtypes and devices as values. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static const char *const names[TERN_DTYPE_COUNT] = {
    [TERN_F32] = "f32", [TERN_F64] = "f64", [TERN_F16] = "f16", [TERN_BF16] = "bf16",
    [TERN_I64] = "i64", [TERN_I32] = "i32", [TERN_U8] = "u8",   [TERN_BOOL] = "bool"};
const unsigned char terni_dtype_sizes[TERN_DTYPE_COUNT] = {
    [TERN_F32] = 4, [TERN_F64] = 8, [TERN_F16] = 2, [TERN_BF16] = 2,
    [TERN_I64] = 8, [TERN_I32] = 4, [TERN_U8] = 1,  [TERN_BOOL] = 1};

static bool valid(tern_dtype d) { return (unsigned)d < TERN_DTYPE_COUNT; }

size_t tern_dtype_size(tern_dtype d) { return valid(d) ? terni_dtype_sizes[d] : 0; }
const char *tern_dtype_name(tern_dtype d) { return valid(d) ? names[d] : "?"; }
bool tern_dtype_is_float(tern_dtype d) { return terni_is_float(d); }

tern_dtype tern_dtype_promote(tern_dtype a, tern_dtype b) {
    if (a == b) return a;
    const bool fa = tern_dtype_is_float(a), fb = tern_dtype_is_float(b);
    if (fa && fb) { /* f16 and bf16 meet in f32, the first that holds both */
        if (a == TERN_F64 || b == TERN_F64) return TERN_F64;
        return TERN_F32;
    }
    if (fa || fb) return fa ? a : b;
    if (a == TERN_BOOL || b == TERN_BOOL) return a == TERN_BOOL ? b : a;
    if (a == TERN_I64 || b == TERN_I64) return TERN_I64;
    return TERN_I32; /* i32 with u8 */
}

tern_device tern_cpu(void) { return (tern_device){TERN_CPU, 0}; }
tern_device tern_cuda(int index) { return (tern_device){TERN_CUDA, (int16_t)index}; }
bool tern_device_equal(tern_device a, tern_device b) { return terni_device_same(a, b); }

bool tern_device_parse(const char *text, tern_device *device) {
    if (!terni_given(text, "device_parse", "text") || !terni_given(device, "device_parse", "device")) return false;
    if (strcmp(text, "auto") == 0) {
        *device = tern_device_default();
        return true;
    }
    if (strcmp(text, "cpu") == 0) {
        *device = tern_cpu();
        return true;
    }
    if (strcmp(text, "cuda") == 0) {
        *device = tern_cuda(0);
        return true;
    }
    if (strncmp(text, "cuda:", 5) == 0 && text[5] >= '0' && text[5] <= '9') {
        char *end;
        const long n = strtol(text + 5, &end, 10);
        if (*end == 0 && n <= 1023) {
            *device = tern_cuda((int)n);
            return true;
        }
    }
    return terni_fail(TERN_ERR_ARGUMENT, "device_parse: \"%.40s\" is no device; expected auto, cpu, cuda or cuda:N",
                      text);
}

const char *tern_device_name(tern_device d, char *buf, size_t size) {
    if (d.type == TERN_CPU)
        snprintf(buf, size, "cpu");
    else if (d.type == TERN_CUDA)
        snprintf(buf, size, "cuda:%d", d.index);
    else
        snprintf(buf, size, "device %d:%d", d.type, d.index);
    return buf;
}

const char *tern_version(void) {
#define TEXT_(a, b, c) #a "." #b "." #c
#define TEXT(a, b, c)  TEXT_(a, b, c)
    return TEXT(TERN_VERSION_MAJOR, TERN_VERSION_MINOR, TERN_VERSION_PATCH);
}
