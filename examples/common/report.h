/* What a classifier got right and wrong: per-class table and confusion matrix. */
#ifndef REPORT_H
#define REPORT_H

#include <stdbool.h>
#include <stdint.h>

enum { REPORT_CLASSES_MAX = 32 };

/* count[actual][predicted]. Zero-initialised, but for classes, it is empty. */
typedef struct confusion {
    int classes;
    int64_t count[REPORT_CLASSES_MAX][REPORT_CLASSES_MAX];
} confusion;

/* Adds n pairs. false if a class lies outside. */
bool confusion_add(confusion *c, const int64_t *actual, const int64_t *predicted, int64_t n);
int64_t confusion_total(const confusion *c);
int64_t confusion_correct(const confusion *c);
/* correct / total; 0 of nothing. */
double confusion_accuracy(const confusion *c);
/* Prints both tables to stdout. names[classes] may be NULL for 0, 1, ... */
void report_print(const confusion *c, const char *const *names);

#endif
