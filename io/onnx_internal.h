/* What the files of ONNX export share: a graph under construction. Private.
 *
 * A value is the name of what a node or an initializer makes; "" is an input that is absent, NULL what could not be
 * made, after an error, which flows through. */
#ifndef TERNI_ONNX_INTERNAL_H
#define TERNI_ONNX_INTERNAL_H

#include "internal.h"
#include "protobuf.h"
#include "tern/onnx.h"
#include "tern/trace.h"

enum { TERNI_ONNX_OPSET = 18, TERNI_ONNX_IR = 8, TERNI_ONNX_OUT = 4 };

typedef const char *terni_value;
typedef struct terni_onnx terni_onnx;

typedef struct terni_attribute {
    const char *name;
    char kind; /* i, f, s; I: n ints; S: a list of the one text s */
    int64_t i;
    double f;
    const char *s;
    const int64_t *ints;
    int n;
} terni_attribute;

#define TERNI_IN(...) \
    (const terni_value[]){__VA_ARGS__}, (int)(sizeof((const terni_value[]){__VA_ARGS__}) / sizeof(terni_value))
#define TERNI_WITH(...)                     \
    (const terni_attribute[]){__VA_ARGS__}, \
        (int)(sizeof((const terni_attribute[]){__VA_ARGS__}) / sizeof(terni_attribute))
#define TERNI_PLAIN NULL, 0
#define TERNI_A_INT(attribute, value) \
    { .name = attribute, .kind = 'i', .i = value }
#define TERNI_A_FLOAT(attribute, value) \
    { .name = attribute, .kind = 'f', .f = value }
#define TERNI_A_TEXT(attribute, value) \
    { .name = attribute, .kind = 's', .s = value }
#define TERNI_A_INTS(attribute, value, m) \
    { .name = attribute, .kind = 'I', .ints = value, .n = m }

/* The graph's parts (onnx_graph.c). */
terni_value terni_onnx_op(terni_onnx *g, const char *op, const terni_value *in, int n, const terni_attribute *a,
                          int n_a);
/* The same with n_out outputs, into out; false after an error. */
bool terni_onnx_ops(terni_onnx *g, const char *op, const terni_value *in, int n, const terni_attribute *a, int n_a,
                    int n_out, terni_value *out);
/* Initializers: whole numbers in one dimension, a number of no dimension, a tensor's values. */
terni_value terni_onnx_ints(terni_onnx *g, const int64_t *v, int n);
terni_value terni_onnx_number(terni_onnx *g, tern_dtype dtype, double v);
terni_value terni_onnx_constant(terni_onnx *g, tern_tensor *t);
/* What the trace's tensor t is called; a tensor from outside becomes an initializer. "" for NULL. */
terni_value terni_onnx_value(terni_onnx *g, tern_tensor *t);
/* From now on t is v. False if v is NULL. */
bool terni_onnx_bind(terni_onnx *g, tern_tensor *t, terni_value v);
/* Why t, an output of an op, has no value: said if something takes it. */
bool terni_onnx_missing(terni_onnx *g, tern_tensor *t, const char *why);
/* The number of ONNX for a dtype. */
int64_t terni_onnx_dtype(tern_dtype d);

/* The batch's size in both runs, and the value that holds it. */
typedef struct terni_batch {
    int64_t one, other;
    tern_tensor *input; /* whose first dimension it is */
    terni_value size;   /* NULL: not asked for yet */
} terni_batch;
terni_batch *terni_onnx_batch(terni_onnx *g);

terni_onnx *terni_onnx_graph_new(void);
void terni_onnx_graph_free(terni_onnx *g);
/* An initializer that has a name of its own. */
bool terni_onnx_named(terni_onnx *g, const char *name, tern_tensor *t);
bool terni_onnx_input(terni_onnx *g, const char *name, tern_tensor *t, bool batch);
bool terni_onnx_output(terni_onnx *g, const char *name, tern_tensor *t, bool batch);
bool terni_onnx_write(terni_onnx *g, const char *path);

/* ---- rows (onnx_export.c calls them) ------------------------------------------------------------------------------
 */

/* An op of the trace, and the same one of the trace with another batch size, or NULL. */
typedef struct terni_step {
    const tern_traced *op, *other;
    const tern_tracer *trace;
    int64_t at;
} terni_step;

/* Writes the op and binds its outputs; false after an error. */
typedef bool (*terni_onnx_row)(terni_onnx *g, const terni_step *s);
/* The rule for an op of this name in each file's table; NULL if there is none. */
terni_onnx_row terni_onnx_shapes(const char *op);
terni_onnx_row terni_onnx_layers(const char *op);
terni_onnx_row terni_onnx_recurrent(const char *op);
bool terni_onnx_elementwise(terni_onnx *g, const terni_step *s);

/* Help for rows. Settings as whole numbers; 0 where there is none. */
int64_t terni_onnx_setting(const terni_step *s, const char *name);
/* Whole numbers that the batch size may be in: a of this trace, b of the other (not looked at without one). */
terni_value terni_onnx_sizes(terni_onnx *g, const terni_step *s, const int64_t *a, const int64_t *b, int n);
/* v with the shape of t, an output of step s; other is its like in the other trace, or NULL. */
terni_value terni_onnx_reshape(terni_onnx *g, const terni_step *s, terni_value v, tern_tensor *t, tern_tensor *other);
terni_value terni_onnx_cast(terni_onnx *g, terni_value v, tern_dtype from, tern_dtype to);
/* A C expression, in the form of elementwise.def, of values; dtype is that of x, or a. */
typedef struct terni_onnx_names {
    terni_value x, a, b;
    double p, q, r;
    tern_dtype dtype;
} terni_onnx_names;
terni_value terni_onnx_formula(terni_onnx *g, const char *text, const terni_onnx_names *names);
/* Records TERN_ERR_UNSUPPORTED, naming the step. */
bool terni_onnx_refuse(const terni_step *s, const char *format, ...) TERN_PRINTF(2, 3);

#endif
