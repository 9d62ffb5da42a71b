/* Text into buffers of a fixed size. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "internal.h"

void terni_text_add(terni_text *t, const char *format, ...) {
    if (!t->buf || t->n + 1 >= t->size) return;
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(t->buf + t->n, t->size - t->n, format, args);
    va_end(args);
    if (n > 0) t->n = (size_t)n < t->size - t->n ? t->n + (size_t)n : t->size - 1;
}

void terni_text_axes(terni_text *t, const char *what, const int64_t *v, int axes) {
    int64_t last = 0;
    for (int i = 0; i < axes; i++) {
        if (v[i]) last = v[i] < 0 ? 0 : v[i];
        if (i)
            terni_text_add(t, "x%" PRId64, last);
        else
            terni_text_add(t, "%s %" PRId64, what, last);
    }
}
