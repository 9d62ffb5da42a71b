#include "predict.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "images.h"
#include "report.h"
#include "train.h"

enum { BATCH = 256, CLASSES = 10 };

typedef struct counts {
    int64_t images, labelled, right;
} counts;

static void print_head(bool labels) {
    printf("%6s %6s%s", "image", "class", labels ? "  label" : "");
    for (int k = 0; k < CLASSES; k++) printf("   p(%d)", k);
    printf("\n");
}

/* A line for each of b's images; b.y may be NULL. */
static bool predict_batch(tern_module *net, tern_batch b, counts *c) {
    double p[BATCH * CLASSES];
    int64_t label[BATCH];
    tern_tensor *probabilities = tern_softmax(tern_forward(net, b.x), 1);
    if (!tern_to_doubles(probabilities, p, b.n * CLASSES)) return false;
    if (b.y && !tern_to_host(b.y, label, (size_t)b.n * sizeof *label)) return false;
    for (int64_t i = 0; i < b.n; i++) {
        int best = 0;
        for (int k = 1; k < CLASSES; k++) best = p[i * CLASSES + k] > p[i * CLASSES + best] ? k : best;
        printf("%6" PRId64 " %6d", c->images, best);
        if (b.y) printf(" %5" PRId64 "%c", label[i], label[i] == best ? ' ' : '*');
        for (int k = 0; k < CLASSES; k++) printf(" %6.4f", p[i * CLASSES + k]);
        printf("\n");
        c->images++;
        c->labelled += b.y ? 1 : 0;
        c->right += b.y && label[i] == best ? 1 : 0;
    }
    return true;
}

static bool predict_test(tern_module *net, const settings *s, counts *c) {
    tern_dataset *test = s->example->data_new(s, false);
    tern_loader *loader = test ? tern_loader_new(test, (tern_loader_opts){.batch = BATCH, .device = s->device}) : NULL;
    if (loader) print_head(true);
    for (bool more = loader != NULL; more;) {
        tern_batch b;
        const int scope = tern_scope_push();
        more = tern_loader_next(loader, &b) && predict_batch(net, b, c);
        tern_scope_pop(scope);
    }
    tern_loader_free(loader);
    tern_dataset_free(test);
    return tern_ok();
}

static bool predict_file(tern_module *net, const settings *s, counts *c) {
    const int outer = tern_scope_push();
    tern_tensor *labels = NULL, *x = images_read(s->example, s->predict, &labels);
    if (x) print_head(labels != NULL);
    for (int64_t at = 0; at < tern_size(x, 0) && tern_ok(); at += BATCH) {
        const int scope = tern_scope_push();
        tern_batch b = {.x = tern_to(tern_slice(x, 0, at, at + BATCH, 1), s->device)};
        b.y = labels ? tern_slice(labels, 0, at, at + BATCH, 1) : NULL;
        b.n = tern_size(b.x, 0);
        predict_batch(net, b, c);
        tern_scope_pop(scope);
    }
    tern_scope_pop(outer);
    return tern_ok();
}

int predict(settings *s) {
    const int code = settings_from_checkpoint(s, s->resume ? s->resume : s->out);
    if (code != EXIT_OK) return code;
    counts c = {0};
    tern_module *net = net_from_checkpoint(s, s->resume ? s->resume : s->out);
    if (!net) return EXIT_FAILED;
    tern_module_train(net, false);
    tern_grad_mode(false);
    if (strcmp(s->predict, "test") == 0) {
        predict_test(net, s, &c);
    } else {
        predict_file(net, s, &c);
    }
    tern_module_free(net);
    if (!tern_ok()) return EXIT_FAILED;
    if (c.labelled) printf("%" PRId64 " of %" PRId64 " agree with their label (* does not)\n", c.right, c.labelled);
    return EXIT_OK;
}
