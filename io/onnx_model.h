/* What the files of ONNX import share: a model that was read, and how a node runs. Private. */
#ifndef TERNI_ONNX_MODEL_H
#define TERNI_ONNX_MODEL_H

#include "internal.h"
#include "protobuf.h"
#include "tern/onnx.h"

enum { TERNI_OM_OUT = 64, TERNI_OM_LEAST = 6, TERNI_OM_MOST = 28, TERNI_OM_OPTIONAL = 999 };
/* What an op makes from a few numbers has no more elements than this. */
#define TERNI_OM_NUMBERS 0x7FFFFFFF

typedef struct terni_om_attr {
    char *name;
    int kind; /* AttributeProto.AttributeType: 1 float, 2 int, 3 string, 4 tensor, 6 floats, 7 ints, 8 strings */
    int64_t i;
    double f;
    char *s;        /* a string; strings, one after the other, each closed by a 0 */
    size_t s_bytes; /* of strings, their zeros too */
    int64_t *ints;  /* n of them */
    double *floats; /* n of them */
    int64_t n;
    size_t cap;     /* bytes that the list has room for */
    int list;       /* the field that n counts: 7 floats, 8 ints, 9 strings; 0: none came */
    tern_tensor *t; /* kept */
} terni_om_attr;

struct terni_om_rule;

typedef struct terni_om_node {
    char *op, *name;
    char *label;   /* "onnx: node NAME, OP", with which its messages begin */
    int *in, *out; /* values; -1: absent */
    int n_in, n_out;
    terni_om_attr *attr;
    int n_attr;
    const struct terni_om_rule *rule;
} terni_om_node;

typedef struct terni_om_value {
    char *name;
    tern_tensor *fixed; /* an initializer that is no parameter; kept */
    tern_tensor *param; /* the module's own, which it keeps */
    int last;           /* the node that takes it last; n_nodes for outputs, -1 for none */
    bool is_input, is_output;
    bool setting; /* a node takes it as something else than a weight */
} terni_om_value;

typedef struct terni_om {
    tern_module m;
    bool is_model;
    int64_t opset;
    terni_om_node *nodes;
    terni_om_value *values;
    int *inputs, *outputs;
    int64_t n_nodes, cap_nodes, n_values, cap_values, n_inputs, cap_inputs, n_outputs, cap_outputs;
    int *table; /* hash table of values by name */
    int64_t table_size;
} terni_om;

/* A node at work. */
typedef struct terni_om_run {
    const terni_om *model;
    const terni_om_node *node;
    tern_tensor *in[TERNI_OM_OUT]; /* the first ones; NULL: absent */
    int n;
    tern_tensor **all; /* every input, n of them */
    tern_tensor *out[TERNI_OM_OUT];
} terni_om_run;

/* What an op is: the attributes that it may have, in one text with spaces, and how many inputs. */
typedef struct terni_om_rule {
    const char *op;
    bool (*run)(terni_om_run *r);
    const char *attributes;
    int least, most;
} terni_om_rule;

const terni_om_rule *terni_om_find(const char *op);
/* The tables of the files, each ended by a row without an op. */
extern const terni_om_rule terni_om_pointwise[], terni_om_shapes[], terni_om_resizing[], terni_om_layers[],
    terni_om_recurrent[];

/* Reads a model's bytes into m; false after an error. */
bool terni_om_parse(terni_om *m, const char *path, const void *data, size_t bytes);
/* A tensor that the message holds, kept; NULL after an error. */
tern_tensor *terni_om_tensor(terni_cursor c, char **name);
void terni_om_clear(terni_om *m);

/* Help for rules. Attributes, or the default where there is none. */
const terni_om_attr *terni_om_has(const terni_om_run *r, const char *name);
int64_t terni_om_int(const terni_om_run *r, const char *name, int64_t otherwise);
double terni_om_float(const terni_om_run *r, const char *name, double otherwise);
const char *terni_om_text(const terni_om_run *r, const char *name, const char *otherwise);
/* Whole numbers from the attribute, or else from input i (-1: none); at most `most`. Returns how many; -1 after an
 * error; TERNI_OM_OPTIONAL if there is neither. */
int terni_om_ints(const terni_om_run *r, const char *name, int i, int64_t *v, int most);
/* The one whole number in input i, `otherwise` if it is absent; false after an error. */
bool terni_om_number(const terni_om_run *r, int i, int64_t otherwise, int64_t *v);
/* Input i as doubles; as above. */
int terni_om_doubles(const terni_om_run *r, int i, double *v, int most);
/* axis of x, counted from the start; -1 after an error. */
int terni_om_axis(const terni_om_run *r, int64_t axis, int ndim);
tern_tensor *terni_om_at(const terni_om_run *r, int i);
/* Records TERN_ERR_UNSUPPORTED (TERN_ERR_FORMAT), naming the node and its op. */
bool terni_om_refuse(const terni_om_run *r, const char *format, ...) TERN_PRINTF(2, 3);
bool terni_om_bad(const terni_om_run *r, const char *format, ...) TERN_PRINTF(2, 3);
bool terni_om_dtype(int64_t number, tern_dtype *d);
static inline int64_t terni_om_within(int64_t v, int64_t lo, int64_t hi) { return v < lo ? lo : v > hi ? hi : v; }

#endif
