/* How ops tell traces their settings: an op's file names the members of its options, once, beside them. Private. */
#ifndef TERNI_TRACE_FIELDS_H
#define TERNI_TRACE_FIELDS_H

#include "internal.h"
#include "thread.h"

typedef struct terni_field {
    const char *name;
    size_t at, bytes;
    char kind; /* i: int32_t, u: uint32_t or an enum, l: int64_t, b: bool, d: double; arrays alike */
} terni_field;

enum { TERNI_FIELDS = 8 };
typedef struct terni_fields {
    const tern_function *function;
    const terni_field list[TERNI_FIELDS + 1]; /* up to the first without a name */
} terni_fields;

#define TERNI_FIELD_KIND(m) \
    _Generic((m), int32_t: 'i', int32_t *: 'i', uint32_t: 'u', int64_t: 'l', int64_t *: 'l', bool: 'b', double: 'd', double *: 'd')
#define TERNI_FIELD(type, name, member) \
    { name, offsetof(type, member), sizeof(((type *)0)->member), TERNI_FIELD_KIND(((type *)0)->member) }
/* TERNI_TRACED(cat, cat_function, TERNI_FIELD(cat_opts, "dim", dim)); and a row in trace.def. */
#define TERNI_TRACED(row, function, ...) const terni_fields terni_fields_##row = {&function, {__VA_ARGS__}}

#define TERN_TRACED(row) extern const terni_fields terni_fields_##row;
#include "trace.def"

/* The calling thread's trace lists what it does. */
static inline bool terni_tracing(void) { return terni_self.trace != NULL; }
/* A trace or the NaN watch wants to know of ops. */
static inline bool terni_listening(void) { return terni_self.listening; }
static inline void terni_listening_set(void) {
    terni_self.listening = terni_self.trace != NULL || (terni_self.anomaly & TERNI_ANOMALY_WATCH);
}

/* Under a trace or the watch. op ran: lists it, unless it is part of another, and looks at its results. fields may be
 * NULL; opts is copied. False after an error: an input is what the trace cannot have seen; NaN. */
bool terni_trace_op(const char *op, const char *formula, const terni_fields *fields, const void *opts, size_t opts_size,
                    tern_tensor *const *in, int n, tern_tensor *const *out, int n_out);
/* The same for a function, by its fields in trace.def if it has some. */
bool terni_trace_function(const tern_function *f, const void *opts, tern_tensor *const *in, int n,
                          tern_tensor *const *out);
/* What follows, to the matching leave, is part of one op. */
void terni_trace_enter(void);
void terni_trace_leave(void);
/* A kernel is about to run by itself: false after an error if it touches what is followed outside of a listed op. */
bool terni_trace_kernel(const char *name, const terni_view *const *in, int n, const terni_view *const *out, int n_out);
/* The program is about to do `what` with t: false after an error if t is followed. */
bool terni_trace_reads(const char *what, const tern_tensor *t);

#endif
