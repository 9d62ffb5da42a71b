/* Numbers by name and epoch. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit_internal.h"
#include "plain_locale.h"

enum { MOST_EPOCHS = 1 << 24 };

typedef struct column {
    char *name;
    double *v; /* NaN where nothing was set */
    int64_t n, cap;
} column;

struct tern_history {
    column *columns;
    int n, cap;
};

tern_history *tern_history_new(void) { return tern_ok() ? terni_calloc(sizeof(tern_history)) : NULL; }

void tern_history_free(tern_history *h) {
    if (!h) return;
    for (int i = 0; i < h->n; i++) {
        terni_mfree(h->columns[i].name);
        terni_mfree(h->columns[i].v);
    }
    terni_mfree(h->columns);
    terni_free(h, sizeof *h);
}

int64_t tern_history_epochs(const tern_history *h) {
    int64_t n = 0;
    for (int i = 0; h && i < h->n; i++) n = h->columns[i].n > n ? h->columns[i].n : n;
    return n;
}
int tern_history_names(const tern_history *h) { return h ? h->n : 0; }
const char *tern_history_name(const tern_history *h, int i) {
    return h && i >= 0 && i < h->n ? h->columns[i].name : NULL;
}

static column *find(const tern_history *h, const char *name) {
    for (int i = 0; h && name && i < h->n; i++)
        if (strcmp(h->columns[i].name, name) == 0) return &h->columns[i];
    return NULL;
}

double tern_history_get(const tern_history *h, const char *name, int64_t epoch) {
    const column *c = find(h, name);
    if (epoch < 0) epoch += tern_history_epochs(h);
    return c && epoch >= 0 && epoch < c->n ? c->v[epoch] : (double)NAN;
}

static column *add(tern_history *h, const char *name) {
    if (h->n == h->cap) {
        const int cap = h->cap ? 2 * h->cap : 8;
        column *more = terni_resize(h->columns, (size_t)cap * sizeof *more);
        if (!more) return NULL;
        h->columns = more;
        h->cap = cap;
    }
    char *copy = terni_strdup(name);
    if (!copy) return NULL;
    h->columns[h->n] = (column){.name = copy};
    return &h->columns[h->n++];
}

bool tern_history_set(tern_history *h, const char *name, int64_t epoch, double value) {
    if (!terni_given(h, "history", "history") || !terni_given(name, "history", "name")) return false;
    if (!*name || strpbrk(name, ",\"\r\n") || epoch < 0 || epoch >= MOST_EPOCHS)
        return terni_fail(TERN_ERR_ARGUMENT,
                          "history: name \"%.60s\", epoch %lld; expected a name without ',' and "
                          "'\"', 0 to 2^24",
                          name, (long long)epoch);
    column *c = find(h, name);
    if (!c) c = add(h, name);
    if (!c) return false;
    if (epoch >= c->cap) {
        const int64_t cap = 2 * epoch + 16;
        double *more = terni_resize(c->v, (size_t)cap * sizeof *more);
        if (!more) return false;
        c->v = more;
        c->cap = cap;
    }
    while (c->n <= epoch) c->v[c->n++] = (double)NAN;
    c->v[epoch] = value;
    return true;
}

/* ---- as text ----------------------------------------------------------------------------------------------------- */

typedef struct text {
    char *s;
    size_t n, cap;
} text;

static bool append(text *t, const char *s) {
    const size_t more = strlen(s);
    if (t->n + more + 1 > t->cap) {
        const size_t cap = 2 * (t->n + more) + 256;
        char *p = terni_resize(t->s, cap);
        if (!p) return false;
        t->s = p;
        t->cap = cap;
    }
    memcpy(t->s + t->n, s, more + 1);
    t->n += more;
    return true;
}

char *terni_history_text(const tern_history *h, int64_t first, int base, int digits) {
    text t = {0};
    char number[48];
    const terni_plain plain = terni_plain_begin();
    bool ok = append(&t, "epoch");
    for (int i = 0; ok && i < tern_history_names(h); i++) ok = append(&t, ",") && append(&t, h->columns[i].name);
    ok = ok && append(&t, "\n");
    for (int64_t e = first; ok && e < tern_history_epochs(h); e++) {
        snprintf(number, sizeof number, "%lld", (long long)e + base);
        ok = append(&t, number);
        for (int i = 0; ok && i < h->n; i++) {
            const double v = e < h->columns[i].n ? h->columns[i].v[e] : (double)NAN;
            snprintf(number, sizeof number, isnan(v) ? ",nan" : ",%.*g", digits, v);
            ok = append(&t, number);
        }
        ok = ok && append(&t, "\n");
    }
    terni_plain_end(plain);
    if (ok) return t.s;
    terni_mfree(t.s);
    return NULL;
}

static bool bad(const char *what) { return terni_fail(TERN_ERR_FORMAT, "history: %s", what); }

/* One line of numbers; *at goes behind it. */
static bool read_line(tern_history *h, char *const *names, int n, const char **at) {
    char *end;
    errno = 0;
    const int64_t epoch = strtoll(*at, &end, 10);
    if (end == *at || errno) return bad("a line without its epoch");
    for (int i = 0; i < n; i++) {
        if (*end != ',') return bad("a line with too few numbers");
        const char *from = end + 1;
        const double v = strtod(from, &end);
        if (end == from) return bad("something that is no number");
        if (!isnan(v) && !tern_history_set(h, names[i], epoch, v)) return false;
    }
    if (*end != '\n') return bad("a line with too many numbers");
    *at = end + 1;
    return true;
}

bool terni_history_read(tern_history *h, const char *s) {
    char *copy = terni_strdup(s), **names = NULL;
    int n = 0, cap = 0;
    if (!copy) return false;
    char *end = strchr(copy, '\n'), *save = NULL;
    bool ok = end && strncmp(copy, "epoch", 5) == 0;
    if (!ok) bad("no line of names");
    if (end) *end = 0;
    for (char *p = ok ? strtok_r(copy, ",", &save) : NULL; p && (p = strtok_r(NULL, ",", &save));) {
        if (n == cap) {
            char **more = terni_resize(names, 2 * ((size_t)cap + 8) * sizeof *more);
            ok = more != NULL;
            if (!ok) break;
            names = more;
            cap = 2 * (cap + 8);
        }
        names[n++] = p;
    }
    const char *at = end ? s + (end - copy) + 1 : "";
    const terni_plain plain = terni_plain_begin();
    while (ok && *at) ok = read_line(h, names, n, &at);
    terni_plain_end(plain);
    terni_mfree(names);
    terni_mfree(copy);
    return ok;
}
