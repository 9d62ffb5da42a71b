/* A table's inside. Private. */
#ifndef TERNI_TABLE_INTERNAL_H
#define TERNI_TABLE_INTERNAL_H

#include "internal.h"
#include "tern/table.h"

typedef struct terni_column {
    const char *name;
    tern_column_type type;
    int64_t missing;
    const char **category; /* distinct values, in order; for terni_mfree */
    int64_t categories;
} terni_column;

struct tern_table {
    char *path;
    char *text; /* the file's; cells point into it */
    size_t bytes;
    int64_t rows;
    int columns;
    terni_column *column;
    const char **cell; /* [rows, columns], by rows; NULL: missing */
    int64_t *line;     /* of the file, where each row begins */
    char *numbers;     /* names of columns without a header */
};

/* Finds every column's categories. */
bool terni_table_settle(tern_table *t);
/* A cell's place among a column's categories, maybe of another table; -1 if it is missing or not among them. */
int64_t terni_table_place(const terni_column *c, const char *cell);
/* What a cell holds, all of it but for spaces about it; "." is the decimal point in every locale. */
bool terni_integer(const char *s, int64_t *out);
bool terni_number(const char *s, double *out);

#endif
