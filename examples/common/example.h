/* What the example trainers share: everything but the networks, the data and the good settings, which each program
 * gives in a struct example. An example uses Tern as any program outside of its source tree would: through
 * <tern/tern.h> alone. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <tern/tern.h>

#include "program.h"

typedef struct settings settings;

/* A network and the settings that train it well. */
typedef struct recipe {
    const char *model; /* "mlp" */
    tern_module *(*net_new)(void);
    int64_t epochs, batch;
    double lr; /* of Adam and AdamW */
} recipe;

typedef struct example {
    const char *name;  /* of the program, and of the data set in its checkpoints */
    const char *about; /* the first lines of --help */
    recipe recipes[2]; /* the first is the default */
    /* The data set for training or for testing; NULL after an error. */
    tern_dataset *(*data_new)(const settings *s, bool train);
    /* What the network sees of a pixel p in [0, 1] is (p - mean) / std. */
    double mean, std;
    /* What stands for 1 in IDX and CSV files of images: 255 or 16. */
    int pixel_max;
    int64_t height, width;
    bool has_files; /* the data are files: --data and --download */
} example;

/* The whole program: reads the options, then trains or predicts. Returns the exit code. */
int example_main(const example *e, int argc, char **argv);

#endif
