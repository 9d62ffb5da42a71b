/* The settings of a run: what the options say, what the recipe says where they are silent, and, for a resumed run, what
 * its checkpoint says. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "example.h"
#include "options.h"

enum { SETTINGS_OPTIONS_MAX = 24 };

struct settings {
    const char *program; /* argv[0] */
    const example *example;
    const recipe *recipe; /* of model */
    /* One option each. */
    const char *model, *optim, *schedule, *device_text, *out, *resume, *predict, *data, *plot;
    int64_t epochs, batch, seed, threads, workers, checkpoint_every, stop_after;
    double lr;
    bool download, help;
    tern_device device;
    char words[3][32]; /* model, optim and schedule, where a checkpoint said them */
    option options[SETTINGS_OPTIONS_MAX];
    size_t n_options;
};

/* Reads the command line. Returns EXIT_OK, or the code to exit with after the reason was printed; --help leaves
 * s->help set. */
int settings_read(settings *s, const example *e, int argc, char **argv);
/* Chooses the recipe for s->model and fills in what no option gave. */
void settings_complete(settings *s);
/* The command line that resumes this run from its checkpoint, in buf. Returns buf. */
const char *settings_resume_line(const settings *s, char *buf, size_t size);
void settings_help(const settings *s);

#endif
