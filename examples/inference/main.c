/* Tells what pictures show, by a network that another program trained. README.md tells how. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/program.h"
#include "first.h"
#include "net.h"

enum { TOP_MAX = 1000 };

static struct {
    const char *checkpoint, *onnx, *labels, *mean, *std, *device_text;
    int64_t size, channels, top, threads;
    bool probabilities, invert, help;
    int files;
    tern_device device;
} set = {.device_text = "auto", .size = 32, .channels = 3, .top = 3};

static option rows[] = {
    {"", OPTION_FILES, .value = &set.files},
    {"checkpoint", OPTION_TEXT, "FILE", &set.checkpoint, .help = "of cifar, digits or mnist: the network"},
    {"onnx", OPTION_TEXT, "FILE", &set.onnx, .help = "or an ONNX model, which the next six options are about"},
    {"labels", OPTION_TEXT, "FILE", &set.labels, .help = "names of its classes, a line each; else numbers"},
    {"size", OPTION_INT, "N", &set.size, 1, 1 << 13, .help = "pictures are resized to N x N for it; 32 if not given"},
    {"channels", OPTION_INT, "N", &set.channels, 1, NET_CHANNELS, .help = "1 grey, 3 RGB; 3 if not given"},
    {"mean", OPTION_TEXT, "X,X,X", &set.mean, .help = "subtracted from the pixels, which go from 0 to 1; by channel"},
    {"std", OPTION_TEXT, "X,X,X", &set.std, .help = "and what they are divided by then"},
    {"probabilities", OPTION_FLAG, .value = &set.probabilities, .help = "it gives these, instead of scores"},
    {"top", OPTION_INT, "N", &set.top, 1, TOP_MAX, .help = "classes to print, the likeliest first"},
    {"invert", OPTION_FLAG, .value = &set.invert, .help = "dark becomes light: for digits written on white"},
    {"device", OPTION_TEXT, "DEVICE", &set.device_text, .help = "auto, cpu, cuda, cuda:1"},
    {"threads", OPTION_INT, "N", &set.threads, 0, 1024, .help = "of the CPU; 0: all"},
    {"help", OPTION_FLAG, .value = &set.help, .help = "this"}};
enum { ROWS = sizeof rows / sizeof *rows };

static bool given(const char *name) { return options_find(rows, ROWS, name)->given; }

/* ---- options ----------------------------------------------------------------------------------------------------- */

/* "0.5,0.4,0.4", a number for each channel. */
static bool numbers(const char *text, double *out) {
    for (int64_t c = 0; c < set.channels; c++) {
        char *end;
        out[c] = strtod(text, &end);
        if (end == text || *end != (c + 1 < set.channels ? ',' : '\0')) return false;
        text = end + 1;
    }
    return true;
}

/* What is wrong with the options together; NULL if nothing is. */
static const char *wrong(void) {
    static const char *const of_onnx[] = {"labels", "size", "channels", "mean", "std", "probabilities"};
    if (set.checkpoint && set.onnx) return "of --checkpoint and --onnx one is needed, not both";
    for (size_t i = 0; i < sizeof of_onnx / sizeof *of_onnx; i++) {
        if (given(of_onnx[i]) && !set.onnx)
            return "--labels, --size, --channels, --mean, --std, --probabilities need --onnx";
    }
    if (set.channels == 2) return "--channels is 2; expected 1 or 3";
    if (set.files && !set.checkpoint && !set.onnx)
        return "the pictures need a network: --checkpoint FILE, or --onnx FILE";
    if (!set.files && (set.checkpoint || set.onnx)) return "no pictures were given; expected PNG or JPEG files";
    return NULL;
}

static int read_options(int argc, char **argv) {
    if (!options_parse("inference", rows, ROWS, argc, argv)) return EXIT_USAGE;
    if (set.help) {
        printf(
            "Tells what pictures (PNG, JPEG) show, by a network that cifar, digits or mnist trained, or an ONNX "
            "model.\n"
            "Without arguments it trains one first, and shows it some digits.\n\n"
            "usage: inference [OPTION...] [FILE...]\n\n");
        options_help(rows, ROWS);
        return EXIT_OK;
    }
    if (!program_device("inference", set.device_text, &set.device)) return EXIT_USAGE;
    return wrong() ? program_wrong_usage("inference", wrong()) : EXIT_OK;
}

static bool load(net *n) {
    if (!set.onnx) return net_from_checkpoint(n, set.checkpoint, set.device);
    *n =
        (net){.channels = (int)set.channels, .height = set.size, .width = set.size, .probabilities = set.probabilities};
    for (int c = 0; c < NET_CHANNELS; c++) n->std[c] = 1;
    if ((set.mean && !numbers(set.mean, n->mean)) || (set.std && !numbers(set.std, n->std)))
        return tern_error_set(TERN_ERR_ARGUMENT, "--mean and --std are %" PRId64 " numbers with commas between",
                              set.channels);
    return net_from_onnx(n, set.onnx, set.labels, set.device);
}

/* ---- pictures ---------------------------------------------------------------------------------------------------- */

/* A file as the network wants it, [1, C, H, W]; prints a line about it. */
static tern_tensor *read_picture(const net *n, const char *path) {
    tern_random r = {0};
    tern_transform *resize = tern_resize_new(n->height, n->width);
    tern_tensor *file = resize ? tern_picture_load(path, (tern_picture_opts){.channels = n->channels}) : NULL;
    tern_tensor *x = tern_transform_apply(resize, &r, file);
    if (x) {
        const int64_t h = tern_size(file, 1), w = tern_size(file, 2);
        printf("%s (%" PRId64 " x %" PRId64, path, w, h);
        if (h != n->height || w != n->width) printf(", resized to %" PRId64 " x %" PRId64, n->width, n->height);
        printf(")\n");
    }
    tern_release(file);
    tern_transform_free(resize);
    if (set.invert) x = tern_rsub_scalar(x, 1);
    return tern_batch_normalize(tern_unsqueeze(tern_to(x, set.device), 0), n->mean, n->std, n->channels);
}

/* Prints the likeliest classes. Returns the first of them; -1 after an error. */
static int64_t classify(const net *n, const char *path) {
    double p[TOP_MAX];
    int64_t which[TOP_MAX];
    char name[128];
    tern_tensor *index, *y = tern_forward(n->module, read_picture(n, path));
    if (y && (tern_ndim(y) != 2 || tern_size(y, 0) != 1)) {
        tern_error_set(TERN_ERR_SHAPE, "the network gives %s; expected [1, classes]",
                       tern_shape_text(tern_shape_get(y), name, sizeof name));
        return -1;
    }
    const int64_t classes = y ? tern_size(y, 1) : 0, k = set.top < classes ? set.top : classes;
    tern_tensor *best = tern_topk(n->probabilities ? y : tern_softmax(y, 1), k, 1, false, &index);
    if (!best || !tern_to_doubles(best, p, k) || !tern_to_host(index, which, (size_t)k * sizeof *which)) return -1;
    for (int64_t i = 0; i < k; i++) printf("  %6.2f %%  %s\n", 100 * p[i], net_class(n, which[i], name, sizeof name));
    return which[0];
}

/* All of them; one that cannot be read does not keep the others from being looked at. says: the classes; may be NULL.
 */
static bool classify_all(const net *n, char *const *path, int files, int64_t *says) {
    int bad = 0;
    tern_inference_mode(true);
    tern_module_train(n->module, false);
    for (int i = 0; i < files; i++) {
        const int scope = tern_scope_push();
        const int64_t class = classify(n, path[i]);
        tern_scope_pop(scope);
        if (says) says[i] = class;
        if (class >= 0) continue;
        fflush(stdout);
        fprintf(stderr, "inference: %s\n", tern_error_message());
        tern_error_clear();
        bad++;
    }
    return bad == 0;
}

/* Without arguments. */
static bool show_first(net *n) {
    static char path[FIRST_PICTURES][FIRST_PATH];
    char *files[FIRST_PICTURES];
    int64_t says[FIRST_PICTURES];
    int right = 0;
    set.checkpoint = "inference.h5";
    if (!first_make(set.checkpoint, path) || !load(n)) return false;
    for (int i = 0; i < FIRST_PICTURES; i++) files[i] = path[i];
    if (!classify_all(n, files, FIRST_PICTURES, says)) return false;
    for (int i = 0; i < FIRST_PICTURES; i++) right += says[i] == i;
    printf("%d of %d right\n", right, FIRST_PICTURES);
    return true;
}

int main(int argc, char **argv) {
    net n = {0};
    tern_on_error(NULL, NULL); /* errors are printed once, here */
    int code = read_options(argc, argv);
    if (code == EXIT_OK && !set.help) {
        bool ok = tern_set_threads((int)set.threads);
        ok = ok && (set.files ? load(&n) && classify_all(&n, argv + 1, set.files, NULL) : show_first(&n));
        code = ok ? EXIT_OK : EXIT_FAILED;
    }
    net_free(&n);
    return program_end("inference", code);
}
