/* CSV files: cells, split in place in the file's own text; then what each column is. */
#include <stdio.h>
#include <string.h>

#include "replace.h"
#include "table_internal.h"

enum { MOST_COLUMNS = 1 << 20, NAME = 12 };

typedef struct reading {
    tern_table *t;
    const tern_csv_opts *o;
    char *p, *end;
    char delimiter;
    int64_t line, row_line; /* where p is, where its row began */
    int64_t room;           /* cells that there is memory for */
    int64_t row_room;
    int64_t cells;
} reading;

static bool fail(const reading *r, int64_t line, const char *what) {
    return terni_fail(TERN_ERR_FORMAT, "csv: %s, line %lld: %s", r->t->path, (long long)line, what);
}

/* ---- cells ------------------------------------------------------------------------------------------------------- */

static bool at_break(const reading *r) { return r->p == r->end || *r->p == '\n' || *r->p == '\r'; }

static void pass_break(reading *r) {
    if (r->p == r->end) return;
    if (*r->p == '\r' && r->p + 1 < r->end && r->p[1] == '\n') r->p++;
    r->p++;
    r->line++;
}

/* A quoted cell, moved together in place; behind it stands a delimiter or a line's end. */
static bool take_quoted(reading *r, char **to) {
    const int64_t began = r->line;
    char *out = ++r->p;
    *to = out;
    for (;; r->p++) {
        if (r->p == r->end) return fail(r, began, "a quote is opened here and never closed");
        if (*r->p == '"' && (r->p + 1 == r->end || r->p[1] != '"')) break;
        if (*r->p == '"') r->p++;
        if (*r->p == '\n' || (*r->p == '\r' && !(r->p + 1 < r->end && r->p[1] == '\n'))) r->line++;
        *out++ = *r->p;
    }
    r->p++;
    if (!at_break(r) && *r->p != r->delimiter) return fail(r, r->line, "text stands behind a closing quote");
    *out = 0;
    return true;
}

/* One cell; *last: it ends its row. The byte behind it, which was read, becomes its 0. */
static bool take_cell(reading *r, char **cell, bool *last) {
    char *close = NULL;
    if (r->p < r->end && *r->p == '"') {
        if (!take_quoted(r, cell)) return false;
    } else {
        *cell = r->p;
        while (!at_break(r) && *r->p != r->delimiter) r->p++;
        close = r->p;
    }
    *last = at_break(r);
    if (*last)
        pass_break(r);
    else
        r->p++;
    if (close) *close = 0;
    return true;
}

static bool is_missing(const reading *r, const char *s) {
    static const char *const usual[] = {"NA", "N/A", "NaN", "nan", "NULL", "null", NULL};
    const char *const *words = r->o->missing ? r->o->missing : usual;
    const size_t blank = strspn(s, " \t");
    if (!s[blank]) return true;
    for (; *words; words++)
        if (strcmp(s, *words) == 0) return true;
    return false;
}

static bool add_cell(reading *r, const char *cell) {
    if (r->cells == r->room) {
        r->room = r->room ? 2 * r->room : 256;
        const char **more = terni_resize(r->t->cell, (size_t)r->room * sizeof *more);
        if (!more) return false;
        r->t->cell = more;
    }
    r->t->cell[r->cells++] = cell;
    return true;
}

static bool add_row(reading *r) {
    tern_table *t = r->t;
    if (t->rows == r->row_room) {
        r->row_room = r->row_room ? 2 * r->row_room : 64;
        int64_t *more = terni_resize(t->line, (size_t)r->row_room * sizeof *more);
        if (!more) return false;
        t->line = more;
    }
    t->line[t->rows++] = r->row_line;
    return true;
}

/* The cells of one row; false also at the end of the file, *more then false. */
static bool take_row(reading *r, bool header, bool *more) {
    while (r->p < r->end && at_break(r)) pass_break(r);
    *more = r->p < r->end;
    if (!*more) return true;
    r->row_line = r->line;
    int64_t n = 0;
    for (bool last = false; !last; n++) {
        char *cell;
        if (!take_cell(r, &cell, &last)) return false;
        if (!add_cell(r, header || !is_missing(r, cell) ? cell : NULL)) return false;
        if (n == MOST_COLUMNS) return fail(r, r->row_line, "more than 1048576 cells");
    }
    if (r->t->columns == 0) r->t->columns = (int)n;
    if (n == r->t->columns) return header || add_row(r);
    return terni_fail(TERN_ERR_FORMAT, "csv: %s, line %lld: %lld cells; the first row has %d", r->t->path,
                      (long long)r->row_line, (long long)n, r->t->columns);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static bool name_columns(reading *r) {
    tern_table *t = r->t;
    t->column = terni_malloc((size_t)t->columns * sizeof *t->column);
    if (!t->column) return false;
    memset(t->column, 0, (size_t)t->columns * sizeof *t->column);
    if (r->o->no_header) {
        t->numbers = terni_malloc((size_t)t->columns * NAME);
        if (!t->numbers) return false;
    }
    for (int c = 0; c < t->columns; c++) {
        if (t->numbers) snprintf(t->numbers + NAME * c, NAME, "%d", c);
        t->column[c].name = t->numbers ? t->numbers + NAME * c : t->cell[c];
    }
    return true;
}

static bool read_rows(reading *r) {
    tern_table *t = r->t;
    bool more = true;
    for (int64_t i = 0; i < r->o->skip && r->p < r->end; i++) {
        while (!at_break(r)) r->p++;
        pass_break(r);
    }
    if (!take_row(r, !r->o->no_header, &more)) return false;
    if (!more)
        return terni_fail(TERN_ERR_FORMAT, "csv: %s holds no row%s", t->path,
                          r->o->skip ? " behind the lines skipped" : "");
    if (!name_columns(r)) return false;
    if (!r->o->no_header) r->cells = 0; /* the names have their pointers */
    while (more)
        if (!take_row(r, false, &more)) return false;
    return true;
}

static bool wrong_cell(const tern_table *t, int c, int64_t row, const char *what) {
    return terni_fail(TERN_ERR_FORMAT, "csv: %s, line %lld, column \"%.60s\": \"%.60s\" is no %s", t->path,
                      (long long)t->line[row], t->column[c].name, t->cell[row * t->columns + c], what);
}

/* What a column is: as asked for, or the narrowest that all of its cells are. */
static bool settle_type(tern_table *t, int c, char asked) {
    bool integer = asked != 't', number = integer;
    terni_column *column = &t->column[c];
    for (int64_t row = 0; row < t->rows; row++) {
        const char *s = t->cell[row * t->columns + c];
        int64_t i;
        double d;
        column->missing += !s;
        if (!s) continue;
        if (integer && !terni_integer(s, &i)) integer = false;
        if (asked == 'i' && !integer) return wrong_cell(t, c, row, "whole number of 64 bits");
        if (!integer && number && !terni_number(s, &d)) number = false;
        if (asked == 'n' && !number) return wrong_cell(t, c, row, "number");
    }
    const bool empty = column->missing == t->rows; /* nothing to go by */
    column->type = asked == 'i'                       ? TERN_COLUMN_INTEGER
                   : asked == 'n'                     ? TERN_COLUMN_NUMBER
                   : asked == 't' || !number || empty ? TERN_COLUMN_TEXT
                   : integer                          ? TERN_COLUMN_INTEGER
                                                      : TERN_COLUMN_NUMBER;
    return true;
}

/* Columns of type '-' go. */
static void leave_out(tern_table *t, const char *types) {
    int kept = 0;
    for (int c = 0; c < t->columns; c++)
        if (types[c] != '-') t->column[kept++] = t->column[c];
    for (int64_t row = 0; row < t->rows; row++) {
        const char **from = t->cell + row * t->columns, **to = t->cell + row * kept;
        int k = 0;
        for (int c = 0; c < t->columns; c++)
            if (types[c] != '-') to[k++] = from[c];
    }
    t->columns = kept;
}

static bool settle_types(tern_table *t, const char *types) {
    if (types && (strlen(types) != (size_t)t->columns || types[strspn(types, "nit-?")]))
        return terni_fail(TERN_ERR_ARGUMENT,
                          "csv: types \"%.60s\" for the %d columns of %s; expected n, i, t, - or ? each", types,
                          t->columns, t->path);
    for (int c = 0; c < t->columns; c++)
        if (!settle_type(t, c, types && types[c] != '-' ? types[c] : '?')) return false;
    if (types) leave_out(t, types);
    return t->columns > 0 || terni_fail(TERN_ERR_ARGUMENT, "csv: types leave no column of %s", t->path);
}

static bool read_table(tern_table *t, const tern_csv_opts *o) {
    reading r = {.t = t, .o = o, .p = t->text, .end = t->text + t->bytes, .line = 1};
    r.delimiter = o->delimiter ? o->delimiter : ',';
    if (r.delimiter == '"' || r.delimiter == '\n' || r.delimiter == '\r' || o->skip < 0)
        return terni_fail(TERN_ERR_ARGUMENT, "csv: delimiter %d, %lld lines skipped", r.delimiter, (long long)o->skip);
    const char *zero = memchr(t->text, 0, t->bytes);
    if (zero)
        return terni_fail(TERN_ERR_FORMAT, "csv: %s has a byte of 0 at %lld: it is no text, or UTF-16", t->path,
                          (long long)(zero - t->text));
    if (t->bytes >= 3 && memcmp(t->text, "\xef\xbb\xbf", 3) == 0) r.p += 3;
    return read_rows(&r) && settle_types(t, o->types) && terni_table_settle(t);
}

tern_table *tern_csv_load(const char *path, tern_csv_opts opts) {
    if (!terni_given(path, "csv", "path")) return NULL;
    tern_table *t = terni_calloc(sizeof *t);
    if (!t) return NULL;
    void *text = NULL;
    t->path = terni_strdup(path);
    bool ok = t->path && terni_file_read("csv", path, SIZE_MAX / 32, &text, &t->bytes);
    t->text = text;
    if (ok && !read_table(t, &opts)) ok = false;
    if (!ok) {
        tern_table_free(t);
        return NULL;
    }
    return t;
}
