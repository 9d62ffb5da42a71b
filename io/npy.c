/* NumPy's .npy: a magic number, a version, a header that is a Python dictionary of three fixed keys, the elements. */
#include <stdio.h>
#include <string.h>

#include "archive_internal.h"
#include "internal.h"
#include "replace.h"

/* ---- integers of kinds that Tern has not --------------------------------------------------------------------------
 */

bool terni_widen(const void *raw, char sign, size_t size, int64_t n, void *out) {
    const unsigned char *p = raw;
    for (int64_t i = 0; i < n; i++, p += size) {
        uint64_t v = 0;
        for (size_t k = 0; k < size; k++) v |= (uint64_t)p[k] << (8 * k);
        if (sign == 'i' && size < 8 && (v >> (8 * size - 1) & 1)) v |= ~(uint64_t)0 << (8 * size);
        if (sign == 'u' && v > INT64_MAX) return false;
        if (size <= 2)
            ((int32_t *)out)[i] = (int32_t)(int64_t)v;
        else
            ((int64_t *)out)[i] = (int64_t)v;
    }
    return true;
}

/* ---- the header ---------------------------------------------------------------------------------------------------
 */

typedef struct header {
    char descr[24];
    bool fortran, has_descr, has_order, has_shape;
    tern_shape shape;
    size_t data; /* where the elements start */
} header;

typedef struct text {
    const char *p, *end;
} text;

static void skip(text *t) {
    while (t->p < t->end && (*t->p == ' ' || *t->p == '\n' || *t->p == '\t')) t->p++;
}
static bool take(text *t, const char *word) {
    skip(t);
    const size_t n = strlen(word);
    if ((size_t)(t->end - t->p) < n || memcmp(t->p, word, n) != 0) return false;
    t->p += n;
    return true;
}
/* 'abc' or "abc", cut to size. */
static bool take_string(text *t, char *out, size_t size) {
    skip(t);
    if (t->p >= t->end || (*t->p != '\'' && *t->p != '"')) return false;
    const char quote = *t->p++;
    size_t n = 0;
    while (t->p < t->end && *t->p != quote) {
        if (n + 1 < size) out[n++] = *t->p;
        t->p++;
    }
    out[n] = 0;
    return t->p++ < t->end;
}
static bool take_number(text *t, int64_t *out) {
    skip(t);
    const char *from = t->p;
    int64_t v = 0;
    for (; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *t->p - '0', &v)) return false;
    *out = v;
    return t->p > from;
}

static bool take_shape(text *t, tern_shape *s) {
    if (!take(t, "(")) return false;
    s->ndim = 0;
    while (!take(t, ")")) {
        int64_t v;
        if (s->ndim == TERN_MAX_DIMS || !take_number(t, &v)) return false;
        (void)take(t, "L"); /* Python 2 wrote long integers so */
        s->dim[s->ndim++] = v;
        if (!take(t, ",")) return take(t, ")");
    }
    return true;
}

static bool take_item(text *t, header *h) {
    char key[24];
    if (!take_string(t, key, sizeof key) || !take(t, ":")) return false;
    if (strcmp(key, "descr") == 0) {
        h->has_descr = true;
        skip(t);
        if (t->p < t->end && *t->p == '[') { /* a record's fields: named in the message, never parsed */
            snprintf(h->descr, sizeof h->descr, "%.*s", (int)(t->end - t->p < 20 ? t->end - t->p : 20), t->p);
            return true;
        }
        return take_string(t, h->descr, sizeof h->descr);
    }
    if (strcmp(key, "fortran_order") == 0) {
        h->has_order = true;
        h->fortran = take(t, "True");
        return h->fortran || take(t, "False");
    }
    h->has_shape = true;
    return strcmp(key, "shape") == 0 && take_shape(t, &h->shape);
}

static bool parse_header(const char *name, const unsigned char *p, size_t bytes, header *h) {
    if (bytes < 10 || memcmp(p, "\x93NUMPY", 6) != 0)
        return !terni_file_pickle("npy", name, p, bytes) &&
               terni_fail(TERN_ERR_FORMAT, "npy: %s is no .npy file", name);
    const size_t wide = p[6] == 1 ? 2 : 4;
    size_t n = 0;
    if (p[6] < 1 || p[6] > 3)
        return terni_fail(TERN_ERR_UNSUPPORTED, "npy: %s has format %d.%d; Tern reads 1 to 3", name, p[6], p[7]);
    for (size_t i = 0; i < wide && 8 + i < bytes; i++) n |= (size_t)p[8 + i] << (8 * i);
    if (8 + wide > bytes || n > bytes - 8 - wide)
        return terni_fail(TERN_ERR_FORMAT, "npy: %s ends inside its header, at byte %zu", name, bytes);
    memset(h, 0, sizeof *h);
    h->data = 8 + wide + n;
    text t = {(const char *)p + 8 + wide, (const char *)p + h->data};
    bool ok = take(&t, "{");
    while (ok && !take(&t, "}")) {
        ok = take_item(&t, h);
        if (h->descr[0] == '[') return true;
        if (ok && !take(&t, ",")) {
            ok = take(&t, "}");
            break;
        }
    }
    if (!ok || !h->has_descr || !h->has_order || !h->has_shape)
        return terni_fail(TERN_ERR_FORMAT,
                          "npy: %s: the header is not {'descr': ..., 'fortran_order': ..., 'shape': ...}", name);
    return true;
}

typedef struct element {
    tern_dtype dtype;
    size_t size;
    char widen; /* 'i' or 'u'; 0: as it is */
    bool swap;
} element;

static bool element_of(const char *name, const char *d, element *e) {
    static const struct {
        const char *kind;
        element e;
    } known[] = {{"f2", {TERN_F16, 2, 0, 0}},   {"f4", {TERN_F32, 4, 0, 0}},   {"f8", {TERN_F64, 8, 0, 0}},
                 {"i4", {TERN_I32, 4, 0, 0}},   {"i8", {TERN_I64, 8, 0, 0}},   {"u1", {TERN_U8, 1, 0, 0}},
                 {"b1", {TERN_BOOL, 1, 0, 0}},  {"V2", {TERN_BF16, 2, 0, 0}},  {"i1", {TERN_I32, 1, 'i', 0}},
                 {"i2", {TERN_I32, 2, 'i', 0}}, {"u2", {TERN_I32, 2, 'u', 0}}, {"u4", {TERN_I64, 4, 'u', 0}},
                 {"u8", {TERN_I64, 8, 'u', 0}}};
    if (d[0] && strchr("<>|=", d[0]))
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strcmp(d + 1, known[i].kind) == 0) {
                *e = known[i].e;
                e->swap = d[0] == '>' && e->size > 1;
                return true;
            }
    return terni_fail(TERN_ERR_UNSUPPORTED, "npy: %s holds elements of NumPy's type %s, which Tern has not", name, d);
}

/* ---- elements ---------------------------------------------------------------------------------------------------- */

static void swap_bytes(unsigned char *p, size_t size, int64_t n) {
    for (int64_t i = 0; i < n; i++, p += size)
        for (size_t k = 0; k < size / 2; k++) {
            const unsigned char b = p[k];
            p[k] = p[size - 1 - k];
            p[size - 1 - k] = b;
        }
}

static bool fill(const char *name, const element *e, const unsigned char *p, size_t bytes, tern_tensor *t) {
    if (!e->widen) {
        memcpy(tern_data(t), p, bytes);
        if (e->swap) swap_bytes(tern_data(t), e->size, tern_numel(t));
        if (e->dtype == TERN_BOOL)
            for (size_t i = 0; i < bytes; i++) ((unsigned char *)tern_data(t))[i] = p[i] != 0;
        return true;
    }
    unsigned char *swapped = NULL;
    if (e->swap) {
        if (!(swapped = terni_malloc(bytes))) return false;
        memcpy(swapped, p, bytes);
        swap_bytes(swapped, e->size, tern_numel(t));
    }
    const bool ok = terni_widen(swapped ? swapped : p, e->widen, e->size, tern_numel(t), tern_data(t));
    terni_mfree(swapped);
    return ok || terni_fail(TERN_ERR_UNSUPPORTED, "npy: %s holds numbers above what i64 holds", name);
}

tern_tensor *terni_npy_parse(const char *name, const unsigned char *p, size_t bytes) {
    header h;
    element e = {0};
    if (!parse_header(name, p, bytes, &h) || !element_of(name, h.descr, &e)) return NULL;
    uint64_t want = e.size;
    for (int i = 0; i < h.shape.ndim; i++)
        if (__builtin_mul_overflow(want, (uint64_t)h.shape.dim[i], &want)) want = UINT64_MAX;
    char text_of[120];
    if (want != bytes - h.data)
        return terni_null(TERN_ERR_FORMAT, "npy: %s has %zu bytes of elements; its shape %s of %s wants %llu", name,
                          bytes - h.data, tern_shape_text(h.shape, text_of, sizeof text_of), h.descr,
                          (unsigned long long)want);
    tern_shape s = h.shape;
    int order[TERN_MAX_DIMS] = {0};
    for (int i = 0; h.fortran && i < s.ndim; i++) {
        s.dim[i] = h.shape.dim[s.ndim - 1 - i];
        order[i] = s.ndim - 1 - i;
    }
    tern_tensor *t = tern_empty(s, (tern_options){.dtype = e.dtype});
    if (!t || (want && !fill(name, &e, p + h.data, (size_t)want, t))) return NULL;
    return h.fortran && s.ndim > 1 ? tern_contiguous(tern_permute(t, order, s.ndim)) : t;
}

tern_tensor *tern_npy_load(const char *path) {
    if (!terni_given(path, "npy", "path")) return NULL;
    void *data;
    size_t bytes;
    if (!terni_file_read("npy", path, SIZE_MAX / 2, &data, &bytes)) return NULL;
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    tern_tensor *t = tern_keep(terni_npy_parse(path, data, bytes));
    tern_grad_mode(was);
    tern_scope_pop(scope);
    terni_mfree(data);
    return t;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

tern_tensor *terni_npy_form(tern_tensor *t) {
    tern_tensor *here = tern_to(t, (tern_device){0});
    return tern_contiguous(tern_dtype_of(t) == TERN_BF16 ? tern_cast(here, TERN_F32) : here);
}

char *terni_npy_header(tern_tensor *t, size_t *length) {
    static const char *const descr[TERN_DTYPE_COUNT] = {
        [TERN_F64] = "<f8", [TERN_F32] = "<f4", [TERN_F16] = "<f2", [TERN_BF16] = "<V2",
        [TERN_I64] = "<i8", [TERN_I32] = "<i4", [TERN_U8] = "|u1",  [TERN_BOOL] = "|b1"};
    char dims[TERN_MAX_DIMS * 24 + 4] = "";
    size_t n = 0;
    const tern_shape s = tern_shape_get(t);
    for (int i = 0; i < s.ndim; i++)
        n += (size_t)snprintf(dims + n, sizeof dims - n,
                              i + 1 < s.ndim ? "%lld, "
                              : s.ndim == 1  ? "%lld,"
                                             : "%lld",
                              (long long)s.dim[i]);
    char *h = terni_malloc(1024);
    if (!h) return NULL;
    size_t len = (size_t)snprintf(h + 10, 1000, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
                                  descr[tern_dtype_of(t)], dims);
    while ((10 + len + 1) % 64) h[10 + len++] = ' ';
    h[10 + len++] = '\n';
    memcpy(h, "\x93NUMPY\1\0", 8);
    h[8] = (char)(len & 255);
    h[9] = (char)(len >> 8);
    *length = 10 + len;
    return h;
}

bool tern_npy_save(const char *path, tern_tensor *t) {
    if (!terni_given(path, "npy", "path") || !terni_given(t, "npy", "tensor")) return false;
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    tern_tensor *form = terni_npy_form(t);
    size_t length;
    char *h = form ? terni_npy_header(form, &length) : NULL;
    terni_replace r;
    bool ok = h && terni_replace_begin(&r, "npy", path);
    if (ok)
        ok = terni_replace_end(
            &r, terni_replace_write(&r, h, length) &&
                    terni_replace_write(&r, tern_data(form),
                                        (size_t)tern_numel(form) * tern_dtype_size(tern_dtype_of(form))));
    terni_mfree(h);
    tern_grad_mode(was);
    tern_scope_pop(scope);
    return ok;
}
