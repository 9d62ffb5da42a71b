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

void terni_text_pair(terni_text *t, const char *before, const int64_t pair[2]) {
    terni_text_add(t, "%s%" PRId64 "x%" PRId64, before, pair[0], pair[1]);
}
