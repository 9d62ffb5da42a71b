/* What every example program begins and ends with. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <tern/tern.h>

#include "options.h"

/* Exit codes, the same in all examples. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Where the values of the options that all training programs have are, with their defaults. */
typedef struct common_options {
    int64_t *batch, *seed, *threads, *checkpoint_every, *stop_after;
    double *lr;
    const char **device, **out, **resume;
    bool *help;
    const char *unit; /* of stop_after: "step" or "epoch" */
} common_options;

enum { COMMON_OPTIONS = 10 };

/* Writes their COMMON_OPTIONS rows. */
void program_options(option *rows, common_options c);
/* The device of that name. false after the reason was printed: wrong usage. */
bool program_device(const char *name, const char *text, tern_device *device);
/* Says on stderr what is wrong with the usage. Returns EXIT_USAGE. */
int program_wrong_usage(const char *name, const char *why);
/* Ends the program with code, or with EXIT_FAILED if an error is pending, which is printed, or if standard output could
 * not be written. */
int program_end(const char *name, int code);

#endif
