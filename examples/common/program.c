#include "program.h"

#include <stdio.h>
#include <string.h>

void program_options(option *rows, common_options c) {
    const double most = 1e9;
    const bool epochs = strcmp(c.unit, "epoch") == 0;
    const option common[COMMON_OPTIONS] = {
        {"batch", OPTION_INT, "N", c.batch, 1, 1 << 20, .help = "samples in a step", .in_checkpoint = true},
        {"lr", OPTION_REAL, "RATE", c.lr, 0, 10, .help = "highest learning rate", .in_checkpoint = true},
        {"seed", OPTION_INT, "N", c.seed, 0, 1e15, .help = "of all that is random", .in_checkpoint = true},
        {"device", OPTION_TEXT, "DEVICE", c.device, .help = "auto, cpu, cuda, cuda:1"},
        {"threads", OPTION_INT, "N", c.threads, 0, 1024, .help = "of the CPU; 0: all"},
        {"out", OPTION_TEXT, "FILE", c.out, .help = "the checkpoint"},
        {"checkpoint-every", OPTION_INT, "N", c.checkpoint_every, 1, most,
         .help = epochs ? "steps between checkpoints; an epoch if not given" : "steps between checkpoints"},
        {"stop-after", OPTION_INT, "N", c.stop_after, 1, most,
         .help = epochs ? "end early, after this epoch, with a checkpoint"
                        : "end early, after this step, with a checkpoint"},
        {"resume", OPTION_TEXT, "FILE", c.resume, .help = "go on from this checkpoint, with its settings"},
        {"help", OPTION_FLAG, .value = c.help, .help = "this"}};
    memcpy(rows, common, sizeof common);
}

bool program_device(const char *name, const char *text, tern_device *device) {
    if (tern_device_parse(text, device)) return true;
    fprintf(stderr, "%s: %s; %s --help lists the options\n", name, tern_error_message(), name);
    tern_error_clear();
    return false;
}

int program_wrong_usage(const char *name, const char *why) {
    fprintf(stderr, "%s: %s; %s --help lists the options\n", name, why, name);
    return EXIT_USAGE;
}

int program_end(const char *name, int code) {
    if (!tern_ok()) {
        fflush(stdout);
        fprintf(stderr, "%s: %s\n", name, tern_error_message());
        tern_error_clear();
        code = EXIT_FAILED;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("standard output");
        code = code == EXIT_OK ? EXIT_FAILED : code;
    }
    return code;
}
