/* A program's options as one table: parsing, checking and --help come from its rows. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum option_kind {
    OPTION_FLAG,   /* value: bool *; takes no argument */
    OPTION_INT,    /* value: int64_t *, from min to max */
    OPTION_REAL,   /* value: double *, above min (not equal to it), to max */
    OPTION_TEXT,   /* value: const char **; not empty */
    OPTION_CHOICE, /* value: const char **; one of the words in argument, "mlp|cnn" */
    OPTION_FILES,  /* value: int *; what is no option: how many there are, moved to argv[1], argv[2], ... */
} option_kind;

typedef struct option {
    const char *name; /* without the dashes; "" for OPTION_FILES */
    option_kind kind;
    const char *argument; /* how --help calls it: "N"; the words of OPTION_CHOICE */
    void *value;          /* holds the default before */
    double min, max;
    const char *help;   /* may hold newlines */
    bool may_be_bare;   /* OPTION_TEXT: --name alone is fine and leaves value as it is */
    bool in_checkpoint; /* a resumed run takes it from there */
    bool given;         /* set by options_parse */
} option;

/* Reads the command line into the rows' values. On wrong usage says on stderr what was given and what was expected, and
 * returns false. "--name value" and "--name=value" are alike; of repeated options the last counts. */
bool options_parse(const char *program, option *rows, size_t n, int argc, char **argv);
/* The row of that name, which must be there. */
option *options_find(option *rows, size_t n, const char *name);
/* Prints the table of options to stdout. */
void options_help(const option *rows, size_t n);
/* True for one of the words of OPTION_CHOICE. */
bool option_is_choice(const option *o, const char *word);
/* Writes " --name value" for a row as a shell takes it, cut to size. Returns buf. */
const char *option_text(const option *o, char *buf, size_t size);
/* Writes text into buf, quoted for a shell where that is needed, cut to size. Returns buf. */
const char *shell_quote(const char *text, char *buf, size_t size);

#endif
