/* tern-bench: times Tern's ops and training steps on this machine. This folder uses Tern's public headers, and of the
 * tests the table of cases (cases.c). Each file is one idea:
 *
 *     main.c      the commands and their options      cases.c     the rows of the tests' tables
 *     measure.c   one case: open, repeat, close       rows.c      kernels whose work is known (rows.def)
 *     report.c    tables and JSON                     models.c    training steps; gpt2.c the largest
 *     roofline.c  what the machine can do at most     compare.c   two results beside each other
 *     peak.c      its CPU's arithmetic and copies     plot.c      the roofline as a picture
 *     serve.c     for peers that take turns
 *
 * A case is one thing to time: a row in one size, dtype and direction. Times are seconds of one call. */
#ifndef TERN_BENCH_H
#define TERN_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tern/tern.h"

enum { BENCH_INPUTS = 8, BENCH_SIZES = 12, BENCH_TIMES = 400 };

/* ---- cases ------------------------------------------------------------------------------------------------------- */

typedef enum bench_pass {
    BENCH_FORWARD,
    BENCH_BOTH,   /* forward, and the gradients of all inputs that take one */
    BENCH_INPUT,  /* the gradient of the first input alone, without forward */
    BENCH_WEIGHT, /* that of the second */
    BENCH_STEP,   /* a whole step of `step` */
    BENCH_PASSES
} bench_pass;

typedef enum bench_source { BENCH_NONE, BENCH_NORMAL, BENCH_UNIFORM, BENCH_INTEGERS } bench_source;

/* How an input is drawn. */
typedef struct bench_spec {
    bench_source source;
    tern_dtype dtype;
    tern_shape shape;
    double lo, hi; /* uniform in [lo, hi); integers in [lo, hi]; normal with standard deviation hi */
    bool grad;
} bench_spec;

typedef struct bench_case bench_case;

/* A training step: made once, run many times. */
typedef struct bench_model {
    const char *group, *name;
    const char *torch; /* what the peer calls it */
    double samples;    /* of a step; 0: it has none */
    void *(*open)(tern_device device, bool tiny, int64_t size);
    bool (*step)(void *state);
    void (*close)(void *state);
    int64_t size;                                          /* given to open: the batch, or what the model takes */
    bool gpu_only;                                         /* too slow on a CPU */
    bool long_step;                                        /* seconds: few rounds do */
    double (*flops)(int64_t size), (*bytes)(int64_t size); /* of a step at least, or NULL */
} bench_model;

struct bench_case {
    char name[96]; /* "matmul/1024", "cases/softmax", "models/gpt2": the same for every dtype and direction */
    const char *group, *torch;
    bench_pass pass;
    tern_dtype dtype;
    tern_device device;
    bool tf32, submit; /* submit: the time until the calls return, not the device's */
    bool tiny;         /* sizes at which a simulation can run it; times mean nothing */
    bench_spec in[BENCH_INPUTS];
    double flops, bytes; /* that one call has to do at least; 0 if not known */
    double samples;      /* of one call; 0 if it has none */
    int ops;             /* of one call: times are divided by it */
    const void *row;
    tern_tensor *(*call)(const bench_case *c, tern_tensor *const *in);
    const bench_model *model;
};

/* What the command line asks for. */
typedef struct bench_options {
    const char *filter; /* texts with commas between: one of them is in the name; NULL: all */
    int dtype;          /* tern_dtype + 1; 0: each row's own */
    tern_device device;
    int64_t sizes[BENCH_SIZES];
    int n_sizes;
    bool quick;     /* everything once, at tiny sizes */
    double seconds; /* for one case, once it is warm; 0: 1, and 5 for a model */
} bench_options;

typedef struct bench_list {
    bench_case *c;
    int n, room;
} bench_list;

/* Adds one to the list; what it returns is to be filled at once. NULL without memory. */
bench_case *bench_add(bench_list *list);
bool bench_wanted(const bench_options *o, const char *name);
bool bench_rows_add(bench_list *list, const bench_options *o);
bool bench_cases_add(bench_list *list, const bench_options *o);
/* Training steps of group "models", or the other steps: updates, which stand among the ops. */
bool bench_models_add(bench_list *list, const bench_options *o, bool steps);
/* gpt2.c: GPT-2 124M. Gives logits [B, T, vocabulary] for tokens [B, T]. */
tern_module *bench_gpt2_new(bool tiny);
tern_tensor *bench_gpt2_forward(tern_module *m, tern_tensor *tokens);
int64_t bench_gpt2_vocabulary(bool tiny);
/* Floating-point operations of forward and backward over B sequences of T tokens. */
double bench_gpt2_flops(int64_t batch, int64_t tokens);
const char *bench_pass_name(bench_pass pass);
/* "1024x1024 1024x1024", the inputs' shapes, into buf. Returns buf. */
const char *bench_shapes(const bench_case *c, char *buf, size_t size);

/* ---- measuring --------------------------------------------------------------------------------------------------- */

typedef struct bench_job {
    const bench_case *c;
    int scope, n_leaves;
    int64_t calls; /* of a batch */
    tern_tensor *in[BENCH_INPUTS], *leaf[BENCH_INPUTS], *seed, *y;
    void *state;
} bench_job;

typedef struct bench_result {
    double min, median, max; /* seconds of a call, by its ops */
    int rounds;
    int64_t calls;
    int64_t tensors_peak, resident; /* bytes, models only: the tensors' peak, growth of the process; 0: not measured */
    char error[256];                /* "" if it went well */
    bool refused;                   /* the op does not take the dtype, or the device lacks it: no failure */
} bench_result;

double bench_now(void);
double bench_median(double *v, int n); /* sorts v */
/* False after an error, which stands in tern_error_message; bench_close is due either way. seconds: of a batch; 0: one
 * call. */
bool bench_open(bench_job *j, const bench_case *c, double seconds);
double bench_batch(const bench_job *j); /* seconds of a call; negative after an error */
void bench_close(bench_job *j);
bench_result bench_measure(const bench_case *c, const bench_options *o);

/* ---- the machine ------------------------------------------------------------------------------------------------- */

enum { BENCH_LEVELS = 4 };
typedef struct bench_roofline {
    int n;
    double bytes[BENCH_LEVELS], copy[BENCH_LEVELS]; /* bytes moved, and bytes a second of a copy of that size */
    double flops[TERN_DTYPE_COUNT];                 /* a second; 0: not measured */
} bench_roofline;

bool bench_roofline_measure(bench_roofline *r, tern_device device, bool quick);
/* The share of what the machine can do, 0 to 1; 0 where the case's work or the machine's limit is not known. */
double bench_roofline_share(const bench_roofline *r, const bench_case *c, double seconds);
/* peak.c: flop/s of fused multiply-adds in f32; bytes/s of a copy, bytes read plus bytes written. */
double bench_peak_flops(int threads, double seconds);
double bench_peak_copy(size_t bytes, int threads, double seconds);

/* Peak memory of a model's steps, in a process of its own: what the tensors need, and how far the process grows beyond
 * what it was with the library loaded. */
void bench_memory_of(const bench_case *c, bench_result *r);
int bench_memory_print(const bench_case *c); /* the same in that process: prints both */

/* ---- what is written --------------------------------------------------------------------------------------------- */

void bench_json_text(FILE *f, const char *s);
void bench_json_head(FILE *f, int argc, char **argv, tern_device device);
void bench_json_roofline(FILE *f, const bench_roofline *r);
void bench_json_case(FILE *f, const bench_case *c, const bench_result *res, const bench_roofline *r);
void bench_table_head(const bench_list *list);
void bench_table_row(const bench_case *c, const bench_result *res, const bench_roofline *r);
void bench_roofline_print(const bench_roofline *r, tern_device device);
void bench_list_print(const bench_list *list, bool json, int argc, char **argv, tern_device device);
int bench_serve(const bench_list *list);
/* The roofline with the cases' places on it. False if the file cannot be written. */
bool bench_plot(const char *file, const bench_list *list, const bench_result *res, const bench_roofline *r);
/* 0; 1 if B is slower than A by more than limit (0.1: ten per cent) somewhere; 2 if a file cannot be read. */
int bench_compare(const char *a, const char *b, double limit);

#endif
