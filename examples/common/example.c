#include "example.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "interrupt.h"
#include "predict.h"
#include "report.h"
#include "settings.h"
#include "train.h"

static void print_start(const settings *s, const run *r, const tern_dataset *train, const tern_dataset *test) {
    char buf[8192];
    const tern_shape input = {4, {1, 1, s->example->height, s->example->width}};
    printf("Tern %s on %s", tern_version(), tern_device_name(s->device, buf, sizeof buf));
    if (s->device.type == TERN_CPU) printf(", threads %d", tern_threads());
    printf("\n%s: %" PRId64 " images of %" PRId64 " x %" PRId64 " to train with, %" PRId64 " to test\n\n",
           s->example->name, train->length, s->example->height, s->example->width, test->length);
    printf("%s\n", tern_module_summary(r->net, &input, buf, sizeof buf));
    printf("%s with %s, lr %g (%s), epochs %" PRId64 ", batch %" PRId64 ", seed %" PRId64 ", checkpoint %s\n\n",
           s->model, s->optim, s->lr, s->schedule, s->epochs, s->batch, s->seed, s->out);
    fflush(stdout);
}

/* Trains, from the start or from where the checkpoint stands, then tests. */
static train_end train_and_test(run *r, const settings *s, tern_dataset *train, tern_dataset *test) {
    if (!run_new(r, s, train) || (s->resume && !run_load(r))) return TRAIN_FAILED;
    print_start(s, r, train, test);
    if (s->resume) {
        printf("Resuming %s after %" PRId64 " epochs and %" PRId64 " steps\n", s->resume, r->epoch, r->step);
    } else if (access(s->out, F_OK) == 0) {
        printf("%s is there already: it is replaced after the first epoch (--resume would go on from it)\n", s->out);
    }
    interrupt_catch();
    const train_end end = run_train(r, test);
    if (end == TRAIN_FAILED || !plot_write(&r->plot, s->plot)) return TRAIN_FAILED;
    if (end != TRAIN_DONE) return end;
    confusion c = {.classes = test->classes};
    if (!evaluate(r->net, test, s, &c)) return TRAIN_FAILED;
    printf("\n");
    report_print(&c, test->class_names);
    printf("The trained network is in %s, the curves by epochs in %s\n", s->out, s->plot);
    return TRAIN_DONE;
}

static int train(settings *s) {
    if (s->resume) {
        const int code = settings_from_checkpoint(s, s->resume);
        if (code != EXIT_OK) return code;
    }
    settings_complete(s);
    /* A path that cannot be written is found out now, not after the first epoch. */
    if (!tern_checkpoint_try(s->out)) return EXIT_FAILED;
    tern_dataset *data = s->example->data_new(s, true), *test = data ? s->example->data_new(s, false) : NULL;
    run r = {0};
    const train_end end = test ? train_and_test(&r, s, data, test) : TRAIN_FAILED;
    run_free(&r);
    tern_dataset_free(data);
    tern_dataset_free(test);
    return end == TRAIN_DONE || (end == TRAIN_STOPPED && !interrupt_seen()) ? EXIT_OK : EXIT_FAILED;
}

/* Fails where the device cannot be used, before anything else is done. */
static bool device_ready(tern_device device) {
    const int scope = tern_scope_push();
    tern_scalar(0, (tern_options){.device = device});
    tern_scope_pop(scope);
    return tern_ok();
}

static int run_example(settings *s) {
    if (!tern_set_threads((int)s->threads) || !device_ready(s->device)) return EXIT_FAILED;
    return s->predict ? predict(s) : train(s);
}

int example_main(const example *e, int argc, char **argv) {
    static settings s;
    tern_on_error(NULL, NULL); /* errors are printed once, here */
    int code = settings_read(&s, e, argc, argv);
    if (code != EXIT_OK) return code;
    if (s.help) {
        settings_help(&s);
    } else {
        code = run_example(&s);
    }
    return program_end(e->name, code);
}
