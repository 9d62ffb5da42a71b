/* What lbfgs.c and its line search share. Private. */
#ifndef TERNI_LBFGS_H
#define TERNI_LBFGS_H

#include "internal.h"
#include "tern/graph.h"

/* A point x + t d: the loss there, its gradient, and its slope along d. */
typedef struct terni_lbfgs_point {
    double t, f, slope;
    tern_tensor *g;
} terni_lbfgs_point;

typedef struct terni_lbfgs {
    tern_optim *o;
    tern_closure closure;
    void *user;
    tern_tensor *x, *d; /* where the iteration began, and its direction */
    tern_tensor *loss;  /* the first */
    int evals;
} terni_lbfgs;

/* The loss and the gradient where the parameters are: p's f and g. */
bool terni_lbfgs_evaluate(terni_lbfgs *l, terni_lbfgs_point *p);
/* Moves the parameters to x + t d, and fills p; g is the scope's. */
bool terni_lbfgs_at(terni_lbfgs *l, double t, terni_lbfgs_point *p);
/* From p, which is x itself, but for t, the first step to try, to a point that holds the strong Wolfe conditions, in at
 * most `most` evaluations after the first. */
bool terni_lbfgs_search(terni_lbfgs *l, terni_lbfgs_point *p, int most);

#endif
