/* ONNX import: what the rules of nodes share, their attributes and messages. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "onnx_model.h"

static bool say(tern_code code, const terni_om_run *r, const char *format, va_list args) {
    char why[256];
    vsnprintf(why, sizeof why, format, args);
    return terni_fail(code, "%s: %s", r->node->label, why);
}
bool terni_om_refuse(const terni_om_run *r, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(TERN_ERR_UNSUPPORTED, r, format, args);
    va_end(args);
    return false;
}
bool terni_om_bad(const terni_om_run *r, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(TERN_ERR_FORMAT, r, format, args);
    va_end(args);
    return false;
}

const terni_om_attr *terni_om_has(const terni_om_run *r, const char *name) {
    for (int i = 0; i < r->node->n_attr; i++)
        if (strcmp(r->node->attr[i].name, name) == 0) return &r->node->attr[i];
    return NULL;
}
int64_t terni_om_int(const terni_om_run *r, const char *name, int64_t otherwise) {
    const terni_om_attr *a = terni_om_has(r, name);
    return a ? a->i : otherwise;
}
double terni_om_float(const terni_om_run *r, const char *name, double otherwise) {
    const terni_om_attr *a = terni_om_has(r, name);
    return a ? a->f : otherwise;
}
const char *terni_om_text(const terni_om_run *r, const char *name, const char *otherwise) {
    const terni_om_attr *a = terni_om_has(r, name);
    return a && a->s ? a->s : otherwise;
}

tern_tensor *terni_om_at(const terni_om_run *r, int i) {
    return i >= 0 && i < r->n && i < TERNI_OM_OUT ? r->in[i] : NULL;
}

int terni_om_ints(const terni_om_run *r, const char *name, int i, int64_t *v, int most) {
    const terni_om_attr *a = name ? terni_om_has(r, name) : NULL;
    tern_tensor *t = a ? NULL : terni_om_at(r, i);
    if (!a && !t) return TERNI_OM_OPTIONAL;
    const int64_t n = a ? a->n : tern_numel(t);
    if (n > most) {
        terni_om_bad(r, "%lld numbers for %s; expected %d at most", (long long)n, name ? name : "an input", most);
        return -1;
    }
    if (a) {
        if (n && !a->ints) {
            terni_om_bad(r, "the attribute %s has no whole numbers", name);
            return -1;
        }
        if (n) memcpy(v, a->ints, (size_t)n * sizeof *v);
        return (int)n;
    }
    t = tern_cast(t, TERN_I64);
    return t && tern_to_host(t, v, (size_t)n * sizeof *v) ? (int)n : -1;
}

bool terni_om_number(const terni_om_run *r, int i, int64_t otherwise, int64_t *v) {
    const tern_tensor *t = terni_om_at(r, i);
    *v = otherwise;
    if (!t) return true;
    if (tern_dtype_is_float(tern_dtype_of(t)) || tern_dtype_of(t) == TERN_BOOL)
        return terni_om_bad(r, "input %d is %s; expected a whole number", i, tern_dtype_name(tern_dtype_of(t)));
    const int n = terni_om_ints(r, NULL, i, v, 1);
    return n == 1 || (n == 0 && terni_om_bad(r, "no number in input %d", i));
}

int terni_om_doubles(const terni_om_run *r, int i, double *v, int most) {
    tern_tensor *t = terni_om_at(r, i);
    if (!t) return TERNI_OM_OPTIONAL;
    if (tern_numel(t) > most) {
        terni_om_bad(r, "%lld numbers in input %d; expected %d at most", (long long)tern_numel(t), i, most);
        return -1;
    }
    return tern_to_doubles(t, v, tern_numel(t)) ? (int)tern_numel(t) : -1;
}

int terni_om_axis(const terni_om_run *r, int64_t axis, int ndim) {
    if (axis < -(int64_t)ndim || axis >= ndim) {
        terni_om_bad(r, "axis %lld of %d", (long long)axis, ndim);
        return -1;
    }
    return (int)(axis < 0 ? axis + ndim : axis);
}
