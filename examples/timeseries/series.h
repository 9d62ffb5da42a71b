/* The series: where it comes from, how it is split and scaled, and its windows as a data set. */
#ifndef SERIES_H
#define SERIES_H

#include <tern/tern.h>

typedef struct series {
    double *value;
    int64_t n, n_train; /* the first n_train are for training, what comes after them for validation */
    double mean, std;   /* of the training part alone: what comes later must not shape what is learned */
} series;

/* n hourly values: a level that rises slowly, a day with two peaks, a week, and noise of standard deviation 1. */
bool series_generate(series *s, int64_t n);
/* A column of numbers of a CSV file, in the order of time. Errors: a missing column or value, text. */
bool series_read(series *s, const char *path, const char *column);
void series_free(series *s);
/* Splits off the last fifth and fits the scale. Errors: TERN_ERR_ARGUMENT if a part has no window of that size. */
bool series_split(series *s, int64_t context, int64_t horizon);

/* Windows that follow each other by one step: x [context], y [horizon], scaled. Of the training part, or those whose y
 * lies in the validation part; their x may reach back into the training part. */
tern_dataset *windows_new(const series *s, int64_t context, int64_t horizon, bool train);
/* Where the horizon of window i begins in the series. */
int64_t windows_origin(const series *s, int64_t context, bool train, int64_t i);

#endif
