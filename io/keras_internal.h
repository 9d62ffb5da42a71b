/* Keras's layers as a module of Tern's has them: names, shapes and order of their weights, and where each of their
 * elements stands in Tern's parameters. That is said once, as views of the parameters in Keras's layout; loading copies
 * into them, saving copies out of them. Private. */
#ifndef TERNI_KERAS_INTERNAL_H
#define TERNI_KERAS_INTERNAL_H

#include "internal.h"
#include "tern/archive.h"
#include "tern/keras.h"

enum { TERNI_KERAS_NAME = 512, TERNI_KERAS_PARTS = 6, TERNI_KERAS_VARS = 8 };

typedef struct terni_keras_part {
    tern_tensor *view;  /* of a parameter */
    tern_tensor *added; /* of a second one, whose values add to it in Keras; or NULL */
    int dim;            /* it is this dimension's elements from start on; -1: it is all */
    int64_t start;
} terni_keras_part;

/* A weight of Keras's. */
typedef struct terni_keras_var {
    char place[96], legacy[96]; /* in the layer's group, and in its weights' names: "cell/vars/1", "lstm_cell/bias" */
    tern_shape shape, layout;   /* in Keras; and what it is reshaped to for its parts */
    terni_keras_part parts[TERNI_KERAS_PARTS];
    int n_parts;
    bool loose; /* the file's shape may have ones in front */
    bool state; /* not trained: behind the trained ones of a model within, in older files */
} terni_keras_var;

/* A parameter that Keras's layer has not, and what it computes with instead. */
typedef struct terni_keras_fixed {
    tern_tensor *tensor;
    double value;
    const char *name;
} terni_keras_fixed;

typedef enum terni_keras_role { TERNI_OTHER, TERNI_SPATIAL, TERNI_DENSE, TERNI_VECTOR } terni_keras_role;

/* A layer of Keras's that has weights. */
typedef struct terni_keras_layer {
    tern_module *from;
    char module[TERNI_KERAS_NAME], path[TERNI_KERAS_NAME]; /* Tern's name ("" is the root); "layers/dense_1" */
    char kind[32];                                         /* "dense" */
    bool named;                                            /* path is .names' */
    bool depthwise;                                        /* may be a Conv as well */
    int64_t number;                                        /* of a recurrent module's layers */
    terni_keras_role role;
    int64_t in, out; /* channels or features */
    terni_keras_var vars[TERNI_KERAS_VARS];
    int n_vars;
    terni_keras_fixed fixed; /* tensor NULL: there is none */
} terni_keras_layer;

typedef struct terni_keras_list {
    terni_keras_layer *layers; /* for terni_mfree */
    int n, cap;
} terni_keras_list;

/* Who walks the tree for. */
typedef struct terni_keras_walk {
    tern_module *root;
    const tern_keras_opts *opts;
    tern_archive *file; /* of the new kind, to look for groups; NULL: saving, or an older file */
    bool separable;     /* an older file with separable convolutions is read */
    terni_keras_list list;
} terni_keras_walk;

/* Fills in w->list, in the order of the tree. The views live in the current scope. */
bool terni_keras_walk_tree(terni_keras_walk *w);
/* The role and the weights (there may be none) of a layer whose from, module, kind, depthwise and number are filled in.
 */
bool terni_keras_weights(terni_keras_layer *l, const tern_keras_opts *opts);
/* The kind of a module's layer ("dense"), or NULL: none of Keras's. */
const char *terni_keras_kind(tern_module *m, bool *depthwise);
/* "separable_conv2d" for a sequential that can be one: a convolution of each channel without a bias, and one with
 * kernel 1; NULL for other modules. */
const char *terni_keras_separable(tern_module *m);
/* How many layers of Keras's a module of such a kind is. */
int64_t terni_keras_count(tern_module *m);
/* Whether any group or dataset of the file stands under path. */
bool terni_keras_has(const tern_archive *file, const char *path);

#endif
