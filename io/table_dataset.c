/* Datasets of tables: rows as samples, columns as features, one of them as the target. */
#include <math.h>
#include <string.h>

#include "table_internal.h"

typedef struct rows {
    tern_dataset d;
    int64_t *row; /* of the table */
    float *x;     /* [rows, features] */
    void *y;      /* i64 or f32 */
} rows;

typedef struct making {
    const tern_table *t;
    const tern_table_dataset_opts *o;
    int target;
    int *column; /* what x is made of */
    int columns;
    int64_t features;
    rows *out;
} making;

static bool rows_get(tern_dataset *d, int64_t i, void *x, void *y) {
    const rows *s = (rows *)d;
    const size_t size = tern_dtype_size(d->y_dtype);
    memcpy(x, s->x + i * d->x_shape.dim[0], (size_t)d->x_shape.dim[0] * sizeof *s->x);
    memcpy(y, (const char *)s->y + (size_t)i * size, size);
    return true;
}

static int64_t rows_label(tern_dataset *d, int64_t i) { return ((int64_t *)((rows *)d)->y)[i]; }

static void rows_drop(tern_dataset *d) {
    rows *s = (rows *)d;
    terni_mfree(s->row);
    terni_mfree(s->x);
    terni_mfree(s->y);
    terni_free(s, sizeof *s);
}

static bool is_text(const making *m, int c) { return m->t->column[c].type == TERN_COLUMN_TEXT; }

/* ---- which columns ----------------------------------------------------------------------------------------------- */

static bool add_column(making *m, int c) {
    if (is_text(m, c) && !m->o->one_hot)
        return terni_fail(TERN_ERR_DTYPE, "table_dataset: column \"%.60s\" is text; leave it out, or ask for .one_hot",
                          m->t->column[c].name);
    m->column[m->columns++] = c;
    const int64_t wide = is_text(m, c) ? m->t->column[c].categories : 1;
    if (__builtin_add_overflow(m->features, wide, &m->features) || m->features > 1 << 24)
        return terni_fail(TERN_ERR_ARGUMENT, "table_dataset: more than 16777216 features: column \"%.60s\" has %lld",
                          m->t->column[c].name, (long long)wide);
    return true;
}

static bool choose_columns(making *m, const char *target) {
    int n = m->t->columns;
    m->target = tern_table_find(m->t, target);
    if (m->target < 0)
        return terni_fail(TERN_ERR_ARGUMENT, "table_dataset: %s has no column \"%.60s\"", m->t->path, target);
    for (n = 0; m->o->columns && m->o->columns[n]; n++) continue;
    m->column = terni_malloc((size_t)(m->o->columns ? n : m->t->columns) * sizeof *m->column + 1);
    if (!m->column) return false;
    for (int i = 0; m->o->columns && i < n; i++) {
        const int c = tern_table_find(m->t, m->o->columns[i]);
        if (c < 0)
            return terni_fail(TERN_ERR_ARGUMENT, "table_dataset: %s has no column \"%.60s\"", m->t->path,
                              m->o->columns[i]);
        if (!add_column(m, c)) return false;
    }
    for (int c = 0; !m->o->columns && c < m->t->columns; c++)
        if (c != m->target && !add_column(m, c)) return false;
    return m->features > 0 || terni_fail(TERN_ERR_ARGUMENT, "table_dataset: no column is left for x");
}

/* ---- which rows -------------------------------------------------------------------------------------------------- */

/* The first of the columns that lacks a value in this row; -1: none. */
static int lacking(const making *m, int64_t row) {
    const char *const *cell = m->t->cell + row * m->t->columns;
    if (!cell[m->target]) return m->target;
    for (int i = 0; i < m->columns && m->o->missing <= TERN_MISSING_DROP; i++)
        if (!cell[m->column[i]]) return m->column[i];
    return -1;
}

static bool choose_rows(making *m) {
    rows *s = m->out;
    s->row = terni_malloc((size_t)m->t->rows * sizeof *s->row + 1);
    if (!s->row) return false;
    for (int64_t row = 0; row < m->t->rows; row++) {
        const int c = lacking(m, row);
        if (c < 0)
            s->row[s->d.length++] = row;
        else if (m->o->missing != TERN_MISSING_DROP)
            return terni_fail(TERN_ERR_FORMAT, "table_dataset: %s, line %lld: no value in column \"%.60s\"", m->t->path,
                              (long long)m->t->line[row], m->t->column[c].name);
    }
    return s->d.length > 0 || terni_fail(TERN_ERR_FORMAT, "table_dataset: no row of %s is left", m->t->path);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* A column of numbers into feature f; missing ones become the mean or 0. */
static void put_numbers(making *m, int c, int64_t f) {
    const int64_t n = m->out->d.length;
    double sum = 0, squares = 0;
    int64_t known = 0;
    for (int64_t i = 0; i < n; i++) {
        double v;
        const char *s = m->t->cell[m->out->row[i] * m->t->columns + c];
        if (!s || !terni_number(s, &v)) continue;
        sum += v;
        known++;
    }
    const double mean = known ? sum / (double)known : 0, fill = m->o->missing == TERN_MISSING_MEAN ? mean : 0;
    const double all = (sum + fill * (double)(n - known)) / (double)n; /* of what is used */
    for (int pass = 0; pass < 2; pass++) {
        const double std = sqrt(squares / (double)n);
        for (int64_t i = 0; i < n; i++) {
            double v = fill;
            const char *s = m->t->cell[m->out->row[i] * m->t->columns + c];
            if (s) (void)terni_number(s, &v);
            if (pass == 0)
                squares += (v - all) * (v - all);
            else
                m->out->x[i * m->features + f] = (float)(!m->o->standardise ? v : std > 0 ? (v - all) / std : v - all);
        }
    }
}

static bool put_categories(making *m, int c, int64_t f) {
    const int scope = tern_scope_push();
    tern_tensor *codes = tern_table_codes(m->t, c);
    const int64_t *code = codes ? tern_data(codes) : NULL;
    for (int64_t i = 0; code && i < m->out->d.length; i++) {
        const int64_t k = code[m->out->row[i]];
        if (k >= 0) m->out->x[i * m->features + f + k] = 1;
    }
    tern_scope_pop(scope);
    return code != NULL;
}

static bool put_x(making *m) {
    int64_t count, f = 0;
    if (__builtin_mul_overflow(m->out->d.length, m->features * (int64_t)sizeof(float), &count))
        return terni_fail(TERN_ERR_MEMORY, "table_dataset: too large");
    m->out->x = terni_malloc((size_t)count);
    if (!m->out->x) return false;
    memset(m->out->x, 0, (size_t)count);
    for (int i = 0; i < m->columns; i++) {
        if (is_text(m, m->column[i])) {
            if (!put_categories(m, m->column[i], f)) return false;
            f += m->t->column[m->column[i]].categories;
        } else {
            put_numbers(m, m->column[i], f++);
        }
    }
    return true;
}

static bool put_y(making *m) {
    rows *s = m->out;
    const terni_column *c = &m->t->column[m->target];
    const bool classes = c->type == TERN_COLUMN_TEXT || (c->type == TERN_COLUMN_INTEGER && !m->o->regression);
    s->d.y_dtype = classes ? TERN_I64 : TERN_F32;
    s->y = terni_malloc((size_t)s->d.length * sizeof(int64_t));
    if (!s->y) return false;
    const int scope = tern_scope_push();
    tern_tensor *code = classes ? tern_table_codes(m->t, m->target) : NULL;
    for (int64_t i = 0; i < s->d.length && (code || !classes); i++) {
        double v = 0;
        if (classes)
            ((int64_t *)s->y)[i] = ((const int64_t *)tern_data(code))[s->row[i]];
        else if (terni_number(m->t->cell[s->row[i] * m->t->columns + m->target], &v))
            ((float *)s->y)[i] = (float)v;
    }
    tern_scope_pop(scope);
    if (classes && c->categories > INT32_MAX) return terni_fail(TERN_ERR_ARGUMENT, "table_dataset: too many classes");
    s->d.classes = classes ? (int)c->categories : 0;
    s->d.class_names = classes ? (const char *const *)c->category : NULL;
    s->d.label = classes ? rows_label : NULL;
    return code || !classes;
}

tern_dataset *tern_table_dataset_new(tern_table *t, const char *target, tern_table_dataset_opts opts) {
    if (!terni_given(t, "table_dataset", "table") || !terni_given(target, "table_dataset", "target")) return NULL;
    if ((unsigned)opts.missing > TERN_MISSING_ZERO)
        return terni_null(TERN_ERR_ARGUMENT, "table_dataset: %d is no way with missing values", (int)opts.missing);
    rows *s = terni_calloc(sizeof *s);
    if (!s) return NULL;
    s->d.drop = rows_drop;
    s->d.get = rows_get;
    making m = {.t = t, .o = &opts, .out = s};
    bool ok = choose_columns(&m, target) && choose_rows(&m) && put_x(&m);
    s->d.x_shape = TERN_SHAPE(m.features);
    ok = ok && put_y(&m);
    terni_mfree(m.column);
    if (ok) return &s->d;
    rows_drop(&s->d);
    return NULL;
}
