/* Tables: what their columns hold, and datasets made of them. */
#include "tern/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plain_locale.h"
#include "table_internal.h"

void tern_table_free(tern_table *t) {
    if (!t) return;
    for (int c = 0; t->column && c < t->columns; c++) terni_mfree(t->column[c].category);
    terni_mfree(t->column);
    terni_mfree(t->cell);
    terni_mfree(t->line);
    terni_mfree(t->numbers);
    terni_mfree(t->text);
    terni_mfree(t->path);
    terni_free(t, sizeof *t);
}

/* ---- cells ------------------------------------------------------------------------------------------------------- */

static bool digit(char c) { return c >= '0' && c <= '9'; }

/* Only spaces are left. */
static bool over(const char *s) { return !s[strspn(s, " \t")]; }

bool terni_integer(const char *s, int64_t *out) {
    s += strspn(s, " \t");
    const bool negative = *s == '-';
    if (*s == '-' || *s == '+') s++;
    if (!digit(*s)) return false;
    int64_t v = 0;
    for (; digit(*s); s++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, *s - '0', &v)) return false;
    *out = v;
    if (!negative && __builtin_sub_overflow(0, v, out)) return false;
    return over(s);
}

/* The form of a number: sign, digits with a point among or beside them, exponent. */
static const char *number_end(const char *s) {
    if (*s == '-' || *s == '+') s++;
    const char *from = s;
    while (digit(*s)) s++;
    int64_t digits = s - from;
    if (*s == '.')
        for (s++; digit(*s); s++) digits++;
    if (digits == 0) return NULL;
    if (*s == 'e' || *s == 'E') {
        s += s[1] == '-' || s[1] == '+' ? 2 : 1;
        if (!digit(*s)) return NULL;
        while (digit(*s)) s++;
    }
    return s;
}

bool terni_number(const char *s, double *out) {
    s += strspn(s, " \t");
    const char *end = number_end(s);
    if (!end || !over(end)) return false;
    char *stop;
    *out = strtod(s, &stop);
    if (stop == end) return true;
    const terni_plain plain = terni_plain_begin(); /* the program's has another decimal point */
    *out = strtod(s, &stop);
    terni_plain_end(plain);
    return stop == end;
}

static bool column_given(const char *op, const tern_table *t, int column) {
    if (!terni_given(t, op, "table")) return false;
    return (column >= 0 && column < t->columns) ||
           terni_fail(TERN_ERR_INDEX, "%s: column %d of %d", op, column, t->columns);
}

int64_t tern_table_rows(const tern_table *t) { return t ? t->rows : 0; }
int tern_table_columns(const tern_table *t) { return t ? t->columns : 0; }

int tern_table_find(const tern_table *t, const char *name) {
    for (int c = 0; t && name && c < t->columns; c++)
        if (strcmp(t->column[c].name, name) == 0) return c;
    return -1;
}

static const terni_column *column_of(const tern_table *t, int column) {
    return t && column >= 0 && column < t->columns ? &t->column[column] : NULL;
}
const char *tern_table_name(const tern_table *t, int column) {
    const terni_column *c = column_of(t, column);
    return c ? c->name : NULL;
}
tern_column_type tern_table_type(const tern_table *t, int column) {
    const terni_column *c = column_of(t, column);
    return c ? c->type : TERN_COLUMN_TEXT;
}
int64_t tern_table_missing(const tern_table *t, int column) {
    const terni_column *c = column_of(t, column);
    return c ? c->missing : 0;
}
const char *tern_table_text(const tern_table *t, int column, int64_t row) {
    return column_of(t, column) && row >= 0 && row < t->rows ? t->cell[row * t->columns + column] : NULL;
}

/* A cell of a column of integers or numbers; NaN if it is missing. */
static double number_of(const tern_table *t, int column, int64_t row) {
    const char *s = t->cell[row * t->columns + column];
    double v = (double)NAN;
    if (s) (void)terni_number(s, &v);
    return v;
}

tern_tensor *tern_table_numbers(const tern_table *t, int column) {
    if (!column_given("table_numbers", t, column)) return NULL;
    const terni_column *c = &t->column[column];
    if (c->type == TERN_COLUMN_TEXT)
        return terni_null(TERN_ERR_DTYPE, "table_numbers: column \"%.60s\" of %s is text", c->name, t->path);
    const bool whole = c->type == TERN_COLUMN_INTEGER && c->missing == 0;
    tern_tensor *out = tern_empty(TERN_SHAPE(t->rows), (tern_options){.dtype = whole ? TERN_I64 : TERN_F64});
    for (int64_t i = 0; out && i < t->rows; i++) {
        if (whole)
            (void)terni_integer(t->cell[i * t->columns + column], (int64_t *)tern_data(out) + i);
        else
            ((double *)tern_data(out))[i] = number_of(t, column, i);
    }
    return out;
}

/* ---- categories -------------------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static int by_number(const void *a, const void *b) {
    double p = 0, q = 0;
    (void)terni_number(*(const char *const *)a, &p);
    (void)terni_number(*(const char *const *)b, &q);
    return p < q ? -1 : p > q ? 1 : 0;
}

static int by_integer(const void *a, const void *b) {
    int64_t p = 0, q = 0;
    (void)terni_integer(*(const char *const *)a, &p);
    (void)terni_integer(*(const char *const *)b, &q);
    return (p > q) - (p < q);
}

typedef int (*comparison)(const void *, const void *);
static comparison order_of(const terni_column *c) {
    return c->type == TERN_COLUMN_TEXT ? by_text : c->type == TERN_COLUMN_INTEGER ? by_integer : by_number;
}

/* A column's distinct values, in order, for terni_mfree; -1 on errors. */
static int64_t distinct(const tern_table *t, int column, const char ***out) {
    const comparison order = order_of(&t->column[column]);
    const char **v = terni_malloc(((size_t)t->rows + 1) * sizeof *v);
    int64_t n = 0, kept = 0;
    if (!v) return -1;
    for (int64_t i = 0; i < t->rows; i++) {
        const char *s = t->cell[i * t->columns + column];
        if (s) v[n++] = s;
    }
    qsort(v, (size_t)n, sizeof *v, order);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || order(&v[i], &v[kept - 1]) != 0) v[kept++] = v[i];
    *out = v;
    return kept;
}

int64_t terni_table_place(const terni_column *c, const char *cell) {
    int64_t whole;
    double number;
    if (!cell || (c->type == TERN_COLUMN_INTEGER && !terni_integer(cell, &whole)) ||
        (c->type == TERN_COLUMN_NUMBER && !terni_number(cell, &number)))
        return -1;
    const char **at = bsearch(&cell, c->category, (size_t)c->categories, sizeof *at, order_of(c));
    return at ? at - c->category : -1;
}

int64_t tern_table_categories(const tern_table *t, int column, const char *const **names) {
    if (!column_given("table_categories", t, column)) return -1;
    const terni_column *c = &t->column[column];
    if (names) *names = c->category;
    return c->categories;
}

tern_tensor *tern_table_codes(const tern_table *t, int column) {
    if (!column_given("table_codes", t, column)) return NULL;
    const terni_column *c = &t->column[column];
    tern_tensor *out = tern_empty(TERN_SHAPE(t->rows), (tern_options){.dtype = TERN_I64});
    for (int64_t i = 0; out && i < t->rows; i++)
        ((int64_t *)tern_data(out))[i] = terni_table_place(c, t->cell[i * t->columns + column]);
    return out;
}

bool terni_table_settle(tern_table *t) {
    for (int c = 0; c < t->columns; c++) {
        t->column[c].categories = distinct(t, c, &t->column[c].category);
        if (t->column[c].categories < 0) return false;
    }
    return true;
}
