/* The text of an elementwise row, evaluated as public ops, so that what it computes can be differentiated again.
 * Private. */
#ifndef TERNI_EXPRESSION_H
#define TERNI_EXPRESSION_H

#include "internal.h"

typedef struct terni_names { /* what the names of an expression stand for; NULL where a name does not occur */
    tern_tensor *x, *y, *a, *b;
    double p, q;
} terni_names;

/* scale x (the expression's value), broadcast. NULL after recording an error. */
tern_tensor *terni_expression_times(const char *text, const terni_names *names, tern_tensor *scale);
/* True if the one-letter name occurs in the text. */
bool terni_expression_uses(const char *text, char name);
/* Elementwise ops by their row's name, for calls in expressions (elementwise.c). One input: p is NULL for a row without
 * parameters; NULL after recording an error. Two inputs: the row's number, -1 if there is none. */
tern_tensor *terni_unary_by_name(const char *name, size_t length, tern_tensor *x, const double *p);
int terni_binary_by_name(const char *name, size_t length);
tern_tensor *terni_binary(int row, tern_tensor *a, tern_tensor *b);
/* A ternary row of what meets in a float dtype; b is NULL where the row has none. The inputs are not NULL. */
tern_tensor *terni_ternary(int row, tern_tensor *x, tern_tensor *a, tern_tensor *b, double p);

#endif
