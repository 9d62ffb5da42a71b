/* Datasets of tables: rows as samples, columns as features, one of them as the target. */
#include <math.h>
#include <string.h>

#include "table_internal.h"

/* A column that features are made of, as it was found in the training data. */
typedef struct part {
    const terni_column *column; /* of the training table */
    int at;                     /* in the table that is read */
    double mean, centre, std;   /* of numbers: what is known of them; with what the missing ones became */
} part;

typedef struct rows {
    tern_dataset d;
    int64_t *row; /* of the table */
    float *x;     /* [rows, features] */
    void *y;      /* i64 or f32 */
    part *part;   /* what x is made of */
    int parts;
    const terni_column *target; /* of the training table */
    tern_table_dataset_opts o;
} rows;

typedef struct making {
    const tern_table *t;
    const tern_table_dataset_opts *o;
    const rows *like; /* or NULL */
    int target;
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
    terni_mfree(s->part);
    terni_free(s, sizeof *s);
}

static bool is_text(const part *p) { return p->column->type == TERN_COLUMN_TEXT; }

static const char *cell_of(const making *m, int column, int64_t i) {
    return m->t->cell[m->out->row[i] * m->t->columns + column];
}

static bool bad_cell(const making *m, int column, int64_t i, const char *what) {
    return terni_fail(TERN_ERR_FORMAT, "table_dataset: %s, line %lld, column \"%.60s\": \"%.60s\" %s", m->t->path,
                      (long long)m->t->line[m->out->row[i]], m->t->column[column].name, cell_of(m, column, i), what);
}

/* ---- which columns ----------------------------------------------------------------------------------------------- */

/* Where several have the name, which one is meant is not known. */
static int find_column(const making *m, const char *name) {
    const int c = tern_table_find(m->t, name);
    if (c < 0) terni_fail(TERN_ERR_ARGUMENT, "table_dataset: %s has no column \"%.60s\"", m->t->path, name);
    for (int k = c + 1; c >= 0 && k < m->t->columns; k++)
        if (strcmp(m->t->column[k].name, name) == 0) {
            terni_fail(TERN_ERR_ARGUMENT, "table_dataset: columns %d and %d of %s are both called \"%.60s\"", c, k,
                       m->t->path, name);
            return -1;
        }
    return c;
}

/* The column that is like's part i; -1 after an error. */
static int find_like(const making *m, int i) {
    const rows *like = m->like;
    const terni_column *wanted = like->part[i].column;
    for (int k = 0; k < like->parts; k++)
        if (like->part[k].column != wanted && strcmp(like->part[k].column->name, wanted->name) == 0) {
            terni_fail(TERN_ERR_ARGUMENT, "table_dataset: several columns of the training data are called \"%.60s\"",
                       wanted->name);
            return -1;
        }
    return find_column(m, wanted->name);
}

static bool add_column(making *m, const part *p) {
    if (p->at < 0) return false;
    if (is_text(p) && !m->o->one_hot)
        return terni_fail(TERN_ERR_DTYPE, "table_dataset: column \"%.60s\" is text; leave it out, or ask for .one_hot",
                          p->column->name);
    m->out->part[m->out->parts++] = *p;
    const int64_t wide = is_text(p) ? p->column->categories : 1;
    if (__builtin_add_overflow(m->features, wide, &m->features) || m->features > 1 << 24)
        return terni_fail(TERN_ERR_ARGUMENT, "table_dataset: more than 16777216 features: column \"%.60s\" has %lld",
                          p->column->name, (long long)wide);
    return true;
}

static part part_of(const making *m, int c) { return (part){.column = c < 0 ? NULL : &m->t->column[c], .at = c}; }

static bool choose_columns(making *m, const char *target) {
    rows *s = m->out;
    int named = 0;
    m->target = find_column(m, target);
    if (m->target < 0) return false;
    s->target = m->like ? m->like->target : &m->t->column[m->target];
    while (m->o->columns && m->o->columns[named]) named++;
    const int n = m->like ? m->like->parts : m->o->columns ? named : m->t->columns;
    s->part = terni_malloc((size_t)n * sizeof *s->part + 1);
    if (!s->part) return false;
    for (int i = 0; i < n; i++) {
        part p = m->like ? m->like->part[i] : part_of(m, m->o->columns ? find_column(m, m->o->columns[i]) : i);
        if (m->like) p.at = find_like(m, i);
        if (!m->like && !m->o->columns && i == m->target) continue;
        if (!add_column(m, &p)) return false;
    }
    return m->features > 0 || terni_fail(TERN_ERR_ARGUMENT, "table_dataset: no column is left for x");
}

/* ---- which rows -------------------------------------------------------------------------------------------------- */

/* The first of the columns that lacks a value in this row; -1: none. */
static int lacking(const making *m, int64_t row) {
    const char *const *cell = m->t->cell + row * m->t->columns;
    if (!cell[m->target]) return m->target;
    for (int i = 0; i < m->out->parts && m->o->missing <= TERN_MISSING_DROP; i++)
        if (!cell[m->out->part[i].at]) return m->out->part[i].at;
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

static double fill_of(const making *m, const part *p) { return m->o->missing == TERN_MISSING_MEAN ? p->mean : 0; }

/* The mean of the known ones; mean and deviation of what is used, where missing ones have become fill. */
static void measure(const making *m, part *p) {
    const int64_t n = m->out->d.length;
    double sum = 0, squares = 0, v;
    int64_t known = 0;
    for (int64_t i = 0; i < n; i++) {
        const char *s = cell_of(m, p->at, i);
        if (!s || !terni_number(s, &v)) continue;
        sum += v;
        known++;
    }
    p->mean = known ? sum / (double)known : 0;
    const double fill = fill_of(m, p);
    p->centre = (sum + fill * (double)(n - known)) / (double)n;
    for (int64_t i = 0; i < n; i++) {
        const char *s = cell_of(m, p->at, i);
        v = fill;
        if (s) (void)terni_number(s, &v);
        squares += (v - p->centre) * (v - p->centre);
    }
    p->std = sqrt(squares / (double)n);
}

/* A column of numbers into feature f. */
static bool put_numbers(making *m, part *p, int64_t f) {
    if (!m->like) measure(m, p);
    for (int64_t i = 0; i < m->out->d.length; i++) {
        double v = fill_of(m, p);
        const char *s = cell_of(m, p->at, i);
        if (s && !terni_number(s, &v)) return bad_cell(m, p->at, i, "is no number, as the training data's are");
        if (m->o->standardise) v = p->std > 0 ? (v - p->centre) / p->std : v - p->centre;
        m->out->x[i * m->features + f] = (float)v;
    }
    return true;
}

static bool put_categories(making *m, const part *p, int64_t f) {
    for (int64_t i = 0; i < m->out->d.length; i++) {
        const char *s = cell_of(m, p->at, i);
        const int64_t k = terni_table_place(p->column, s);
        if (k >= 0)
            m->out->x[i * m->features + f + k] = 1;
        else if (s && !m->o->unknown)
            return bad_cell(m, p->at, i, "is none of the training data's categories");
    }
    return true;
}

static bool put_x(making *m) {
    int64_t count, f = 0;
    if (__builtin_mul_overflow(m->out->d.length, m->features * (int64_t)sizeof(float), &count))
        return terni_fail(TERN_ERR_MEMORY, "table_dataset: too large");
    m->out->x = terni_malloc((size_t)count);
    if (!m->out->x) return false;
    memset(m->out->x, 0, (size_t)count);
    for (int i = 0; i < m->out->parts; i++) {
        part *p = &m->out->part[i];
        if (!(is_text(p) ? put_categories(m, p, f) : put_numbers(m, p, f))) return false;
        f += is_text(p) ? p->column->categories : 1;
    }
    return true;
}

static bool put_y(making *m) {
    rows *s = m->out;
    const terni_column *c = s->target;
    const bool classes = c->type == TERN_COLUMN_TEXT || (c->type == TERN_COLUMN_INTEGER && !m->o->regression);
    s->d.y_dtype = classes ? TERN_I64 : TERN_F32;
    s->y = terni_malloc((size_t)s->d.length * sizeof(int64_t));
    if (!s->y) return false;
    for (int64_t i = 0; i < s->d.length; i++) {
        const char *cell = cell_of(m, m->target, i);
        double v = 0;
        const int64_t k = classes ? terni_table_place(c, cell) : -1;
        if (classes && k < 0) return bad_cell(m, m->target, i, "is none of the training data's classes");
        if (!classes && !terni_number(cell, &v))
            return bad_cell(m, m->target, i, "is no number, as the training data's are");
        if (classes)
            ((int64_t *)s->y)[i] = k;
        else
            ((float *)s->y)[i] = (float)v;
    }
    if (classes && c->categories > INT32_MAX) return terni_fail(TERN_ERR_ARGUMENT, "table_dataset: too many classes");
    s->d.classes = classes ? (int)c->categories : 0;
    s->d.class_names = classes ? (const char *const *)c->category : NULL;
    s->d.label = classes ? rows_label : NULL;
    return true;
}

/* The options of the data that it is to be like, where those that are given have none. */
static bool take_from_like(tern_table_dataset_opts *o) {
    if (!o->like) return !o->unknown || terni_fail(TERN_ERR_ARGUMENT, "table_dataset: .unknown is for .like");
    if (o->like->get != rows_get)
        return terni_fail(TERN_ERR_ARGUMENT, "table_dataset: .like is no dataset of tern_table_dataset_new");
    if (o->columns || o->one_hot || o->standardise || o->regression)
        return terni_fail(TERN_ERR_ARGUMENT,
                          "table_dataset: columns, one_hot, standardise and regression are those of .like");
    tern_table_dataset_opts from = ((const rows *)o->like)->o;
    from.like = o->like;
    from.unknown = o->unknown;
    from.columns = NULL;
    if (o->missing != TERN_MISSING_ERROR) from.missing = o->missing;
    *o = from;
    return true;
}

tern_dataset *tern_table_dataset_new(tern_table *t, const char *target, tern_table_dataset_opts opts) {
    if (!terni_given(t, "table_dataset", "table") || !terni_given(target, "table_dataset", "target")) return NULL;
    if ((unsigned)opts.missing > TERN_MISSING_ZERO)
        return terni_null(TERN_ERR_ARGUMENT, "table_dataset: %d is no way with missing values", (int)opts.missing);
    if (!take_from_like(&opts)) return NULL;
    rows *s = terni_calloc(sizeof *s);
    if (!s) return NULL;
    s->o = opts;
    s->d.drop = rows_drop;
    s->d.get = rows_get;
    making m = {.t = t, .o = &opts, .like = (const rows *)opts.like, .out = s};
    bool ok = choose_columns(&m, target) && choose_rows(&m) && put_x(&m);
    s->d.x_shape = TERN_SHAPE(m.features);
    ok = ok && put_y(&m);
    s->o.columns = NULL; /* the program's, which may go */
    s->o.like = NULL;
    if (ok) return &s->d;
    rows_drop(&s->d);
    return NULL;
}
