#include "settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_row(settings *s, option row) { s->options[s->n_options++] = row; }

/* The largest whole number up to which a double, as which checkpoints hold numbers, is exact. */
static const double exact_max = 9007199254740992.0;

static void add_rows(settings *s) {
    add_row(s, (option){"model", OPTION_CHOICE, "mlp|cnn", &s->model, .in_checkpoint = true,
                        .help = "the network: a multi-layer perceptron or a convolutional one"});
    add_row(s, (option){"epochs", OPTION_INT, "N", &s->epochs, 1, 1e6, .in_checkpoint = true,
                        .help = "passes over the training data, in all"});
    add_row(s,
            (option){"batch", OPTION_INT, "N", &s->batch, 1, 1e6, .in_checkpoint = true, .help = "images in a step"});
    add_row(s, (option){"lr", OPTION_REAL, "X", &s->lr, 0, 100, .in_checkpoint = true,
                        .help = "the highest learning rate"});
    add_row(s, (option){"optim", OPTION_CHOICE, "adamw|adam|sgd", &s->optim, .in_checkpoint = true,
                        .help = "the optimizer"});
    add_row(s, (option){"schedule", OPTION_CHOICE, "cosine|constant", &s->schedule, .in_checkpoint = true,
                        .help = "of the learning rate; the cosine warms up over 5 % of the steps and reaches\n"
                                "its end at --epochs"});
    add_row(s, (option){"seed", OPTION_INT, "N", &s->seed, 0, exact_max, .in_checkpoint = true,
                        .help = "of initial weights, order of the data and dropout"});
    add_row(s, (option){"device", OPTION_TEXT, "D", &s->device_text, .help = "auto, cpu, cuda or cuda:N"});
    add_row(s, (option){"threads", OPTION_INT, "N", &s->threads, 0, 1024,
                        .help = "for computing on the CPU; 0: one per core"});
    add_row(s, (option){"workers", OPTION_INT, "N", &s->workers, 0, 64,
                        .help = "threads that prepare batches; the result does not depend on it"});
    if (s->example->has_files) {
        add_row(s, (option){"data", OPTION_TEXT, "DIR", &s->data, .help = "the folder of the data files"});
        add_row(s, (option){"download", OPTION_FLAG, .value = &s->download,
                            .help = "fetches the data files that are missing with curl"});
    }
    add_row(s, (option){"out", OPTION_TEXT, "FILE", &s->out,
                        .help = "the checkpoint: HDF5, written after every epoch and when interrupted"});
    add_row(s, (option){"plot", OPTION_TEXT, "FILE", &s->plot, .help = "the curves by epochs (SVG)"});
    add_row(s, (option){"checkpoint-every", OPTION_INT, "N", &s->checkpoint_every, 0, 1e9,
                        .help = "writes it after every N steps as well; 0: not"});
    add_row(s, (option){"stop-after", OPTION_INT, "N", &s->stop_after, 1, 1e6,
                        .help = "stops when N of the epochs are done; --resume does the others"});
    add_row(s, (option){"resume", OPTION_TEXT, "FILE", &s->resume, .may_be_bare = true,
                        .help = "goes on from this checkpoint (from --out's without FILE), with its settings,\n"
                                "as if the run had never stopped"});
    add_row(s, (option){"predict", OPTION_TEXT, "FILE", &s->predict,
                        .help = "classifies images instead of training, with the network of --resume's or\n"
                                "--out's checkpoint"});
    add_row(s, (option){"help", OPTION_FLAG, .value = &s->help, .help = "prints this"});
}

int settings_read(settings *s, const example *e, int argc, char **argv) {
    *s = (settings){.program = argc ? argv[0] : e->name, .example = e};
    s->model = e->recipes[0].model;
    s->optim = "adamw";
    s->schedule = "cosine";
    s->device_text = "auto";
    s->seed = 1;
    s->workers = 1;
    add_rows(s);
    if (!options_parse(e->name, s->options, s->n_options, argc, argv)) return EXIT_USAGE;
    if (s->help) return EXIT_OK;
    if (!tern_device_parse(s->device_text, &s->device)) {
        fprintf(stderr, "%s: --device is \"%s\"; expected auto, cpu, cuda or cuda:N; %s --help lists the options\n",
                e->name, s->device_text, e->name);
        tern_error_clear();
        return EXIT_USAGE;
    }
    const bool resuming = options_find(s->options, s->n_options, "resume")->given;
    if (!s->out) s->out = s->resume;
    static char out[64], plot[64];
    snprintf(out, sizeof out, "%s.h5", e->name);
    snprintf(plot, sizeof plot, "%s.svg", e->name);
    if (!s->out) s->out = out;
    if (!s->plot) s->plot = plot;
    if (resuming && !s->resume) s->resume = s->out;
    return EXIT_OK;
}

void settings_complete(settings *s) {
    for (size_t i = 0; i < sizeof s->example->recipes / sizeof *s->example->recipes; i++) {
        if (strcmp(s->model, s->example->recipes[i].model) == 0) s->recipe = &s->example->recipes[i];
    }
    /* Gradient descent wants a rate some fifty times that of Adam, whose steps do not depend on the gradient's size. */
    const double lr = strcmp(s->optim, "sgd") == 0 ? 50 * s->recipe->lr : s->recipe->lr;
    if (!s->epochs) s->epochs = s->recipe->epochs;
    if (!s->batch) s->batch = s->recipe->batch;
    if (s->lr <= 0) s->lr = lr;
}

const char *settings_resume_line(const settings *s, char *buf, size_t size) {
    char program[4096], out[4096], text[4200];
    snprintf(buf, size, "%s --resume %s", shell_quote(s->program, program, sizeof program),
             shell_quote(s->out, out, sizeof out));
    /* What the checkpoint does not hold is said again. */
    static const char *const not_again[] = {"out", "resume", "stop-after", "download"};
    for (size_t i = 0; i < s->n_options; i++) {
        const option *o = &s->options[i];
        bool again = o->given && !o->in_checkpoint;
        for (size_t k = 0; k < sizeof not_again / sizeof *not_again; k++) {
            if (strcmp(o->name, not_again[k]) == 0) again = false;
        }
        const size_t len = strlen(buf);
        if (again) snprintf(buf + len, size - len, "%s", option_text(o, text, sizeof text));
    }
    return buf;
}

void settings_help(const settings *s) {
    const example *e = s->example;
    printf("Usage: %s [OPTION]...\n\n%s\n\nOptions:\n", e->name, e->about);
    options_help(s->options, s->n_options);
    printf(
        "\nDefaults: --model %s --optim adamw --schedule cosine --seed 1 --device auto --threads 0 --workers 1\n"
        "  --out %s.h5",
        e->recipes[0].model, e->name);
    for (size_t i = 0; i < sizeof e->recipes / sizeof *e->recipes; i++) {
        const recipe *r = &e->recipes[i];
        printf("\n  with --model %s: --epochs %" PRId64 " --batch %" PRId64 " --lr %g", r->model, r->epochs, r->batch,
               r->lr);
    }
    printf(
        " (50 times that with sgd)\n\n"
        "Resuming: --epochs is the length of the whole run and shapes the learning rate, so 4 epochs in one go equal\n"
        "  %s --epochs 4 --stop-after 2\n"
        "  %s --resume\n"
        "to the last bit. SIGINT (Ctrl-C) and SIGTERM finish the step, write the checkpoint and stop; a second one\n"
        "stops at once. A resumed run takes --model, --batch, --lr, --optim, --schedule and --seed from its "
        "checkpoint,\n"
        "and refuses others; --epochs may be raised, which stretches what is left of the cosine.\n\n"
        "Images for --predict: a PGM file (P5 or P2) or an IDX file of bytes, plain or gzip, of %" PRId64 " x %" PRId64
        " pixels,%s\n"
        "or the word test: the test data (a file of that name is ./test).\n\n"
        "Exit codes: 0 success, 1 failure while running or stopped by a signal, 2 wrong usage.\n",
        e->name, e->name, e->height, e->width,
        e->pixel_max != 255 ? "\na CSV file with an image a line (64 pixels from 0 to 16, and a label if you like),"
                            : "");
}
