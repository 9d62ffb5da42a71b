/* Tables: columns of numbers and texts, as CSV files hold them, and datasets made of them.
 *
 *     tern_table *t = tern_csv_load("housing.csv", (tern_csv_opts){0});
 *     tern_dataset *d = tern_table_dataset_new(t, "median_house_value", (tern_table_dataset_opts){
 *         .missing = TERN_MISSING_MEAN, .one_hot = true, .standardise = true});
 *
 * Cells are kept as text; what a column is follows from all of them, or from .types. One table is for one thread at a
 * time while it changes, which it does only in being made; reading is thread-safe. */
#ifndef TERN_TABLE_H
#define TERN_TABLE_H

#include "tern/data.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_table tern_table;

typedef enum tern_column_type {
    TERN_COLUMN_TEXT = 0,
    TERN_COLUMN_INTEGER, /* whole numbers of 64 bits */
    TERN_COLUMN_NUMBER
} tern_column_type;

typedef struct tern_csv_opts {
    char delimiter;    /* ',' if zero */
    bool no_header;    /* the first row is data; columns are called "0", "1", ... */
    int64_t skip;      /* lines left out at the beginning */
    const char *types; /* a letter per column: 'n' number, 'i' integer, 't' text, '-' left out, '?' what its cells are;
                          NULL: all '?' */
    const char *const *missing; /* up to a NULL: what says that a value is missing, beside an empty cell; NULL: "NA",
                                   "N/A", "NaN", "nan", "NULL", "null" */
} tern_csv_opts;

/* A CSV file (RFC 4180: quotes, doubled quotes and line breaks within them; UTF-8, with or without byte order mark;
 * lines end in LF, CR LF or CR; empty ones are skipped). Every row must have as many cells as the first. Errors:
 * TERN_ERR_IO, TERN_ERR_FORMAT with the line and column, TERN_ERR_ARGUMENT for opts that do not fit. For
 * tern_table_free. */
TERN_API tern_table *tern_csv_load(const char *path, tern_csv_opts opts);
TERN_API void tern_table_free(tern_table *t);

/* 0 without a table. */
TERN_API int64_t tern_table_rows(const tern_table *t);
/* Those left out are not counted. */
TERN_API int tern_table_columns(const tern_table *t);
/* The first column of this name; -1 if there is none (no error). */
TERN_API int tern_table_find(const tern_table *t, const char *name);
/* NULL, or text, outside the columns. Owner: t. */
TERN_API const char *tern_table_name(const tern_table *t, int column);
TERN_API tern_column_type tern_table_type(const tern_table *t, int column);
/* How many cells of the column are missing; 0 outside. */
TERN_API int64_t tern_table_missing(const tern_table *t, int column);
/* A cell's text, without its quotes; NULL if it is missing or outside. Owner: t. */
TERN_API const char *tern_table_text(const tern_table *t, int column, int64_t row);
/* A column of numbers as f64 [rows], NaN where they are missing; of integers as i64 if none is missing. Errors:
 * TERN_ERR_DTYPE for text, TERN_ERR_INDEX. Owner: the current scope. */
TERN_API tern_tensor *tern_table_numbers(const tern_table *t, int column);
/* A column's distinct values, numbers in their order, texts by bytes: how many, and their texts into *names (may be
 * NULL; n pointers, owner: t). -1 after an error: TERN_ERR_INDEX, TERN_ERR_MEMORY. */
TERN_API int64_t tern_table_categories(const tern_table *t, int column, const char *const **names);
/* Each row's place among them, i64 [rows]; -1 where it is missing. Owner: the current scope. */
TERN_API tern_tensor *tern_table_codes(const tern_table *t, int column);

typedef enum tern_missing {
    TERN_MISSING_ERROR = 0, /* refuse */
    TERN_MISSING_DROP,      /* leave such rows out */
    TERN_MISSING_MEAN,      /* the column's mean; for text a category of its own: none of the ones is 1 */
    TERN_MISSING_ZERO
} tern_missing;

typedef struct tern_table_dataset_opts {
    const char *const *columns; /* what x is made of, up to a NULL; NULL: all but the target */
    tern_missing missing;
    bool one_hot;     /* texts become one number per category, 0 or 1; else they are refused */
    bool standardise; /* the columns of numbers become (x - mean) / std, over the rows used, where std > 0 */
    bool regression;  /* a target of integers is a number, not a class */
    /* A dataset that this function made of another table, the training data: its columns (by name), one_hot,
     * standardise and regression hold here too, and its categories, means and standard deviations; so does its missing,
     * unless another is given. The table it was made of must live as long as this dataset. NULL: none. */
    tern_dataset *like;
    bool unknown; /* with like: a text that the training data has not is no category, as a missing one; else an error */
} tern_table_dataset_opts;

/* Rows as samples: x [features] f32 in the columns' order; y the target: texts and integers are classes, i64, numbered
 * as tern_table_categories has them; numbers f32. A row whose target is missing is refused, or dropped with
 * TERN_MISSING_DROP. Values are copied, names are t's: it must live as long. Errors: TERN_ERR_ARGUMENT for unknown
 * columns and for a column that is asked for by a name that several have, TERN_ERR_FORMAT for missing values (the line)
 * and, with like, for what is no number or unknown (a class always), TERN_ERR_DTYPE for texts, TERN_ERR_MEMORY. */
TERN_API tern_dataset *tern_table_dataset_new(tern_table *t, const char *target, tern_table_dataset_opts opts);

#ifdef __cplusplus
}
#endif
#endif
