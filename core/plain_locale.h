/* Numbers in files and in the rows' texts have a decimal point, whatever the program's locale has. Private to the
 * library; io may use it as well. */
#ifndef TERNI_PLAIN_LOCALE_H
#define TERNI_PLAIN_LOCALE_H

#include <locale.h>
#include <stdlib.h>

typedef struct terni_plain {
    locale_t c, was;
} terni_plain;

/* The thread's numbers have a point from here on; without memory for that they stay as they are. */
static inline terni_plain terni_plain_begin(void) {
    terni_plain p = {.c = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0)};
    if (p.c) p.was = uselocale(p.c);
    return p;
}
static inline void terni_plain_end(terni_plain p) {
    if (!p.c) return;
    uselocale(p.was);
    freelocale(p.c);
}
/* As strtod. */
static inline double terni_plain_number(const char *s, char **end) {
    const terni_plain p = terni_plain_begin();
    const double v = strtod(s, end);
    terni_plain_end(p);
    return v;
}

#endif
