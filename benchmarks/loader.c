/* Loader throughput on samples of MNIST's size: 28 x 28 u8 pixels in memory become f32, normalised, shuffled, in
 * batches. bench-loader [--quick] [--row NAME] [--workers N] [--samples N] [--batch N] Rows: plain (scaled and
 * shifted), augment (random crop after padding by 2, random rotation, normalised), stack (a collate function over
 * tensors). Prints samples per second. benchmarks/peers/loader.py sets PyTorch beside it. */
#include <getopt.h>

#include "bench.h"
#include "tern/data.h"
#include "tern/ops.h"

enum { SIDE = 28, PIXELS = SIDE * SIDE };

typedef struct images {
    tern_dataset d;
    unsigned char *pixels;
} images;

static bool plain_get(tern_dataset *d, int64_t i, void *x, void *y) {
    const unsigned char *p = ((images *)d)->pixels + i * PIXELS;
    float *out = x;
    for (int k = 0; k < PIXELS; k++) out[k] = (float)p[k] * (1 / (255 * 0.3081f)) - 0.1307f / 0.3081f;
    *(int64_t *)y = i % 10;
    return true;
}

static bool raw_get(tern_dataset *d, int64_t i, void *x, void *y) {
    memcpy(x, ((images *)d)->pixels + i * PIXELS, PIXELS);
    *(int64_t *)y = i % 10;
    return true;
}

static bool stack(void *user, tern_tensor *const *x, tern_tensor *const *y, int64_t n, tern_batch *out) {
    (void)user;
    out->x = tern_stack(x, (int)n, 0);
    out->y = tern_stack(y, (int)n, 0);
    return out->x && out->y;
}

/* Samples per second over whole epochs, for half a second or more. */
static double measure(tern_loader *l, double seconds) {
    tern_batch b;
    int64_t n = 0;
    double begin = 0;
    const int scope = tern_scope_push();
    for (int e = 0; e == 0 || bench_now() - begin < seconds; e++) {
        if (e == 1) n = 0; /* the first epoch warms up */
        if (e <= 1) begin = bench_now();
        while (tern_loader_next(l, &b)) {
            n += b.n;
            tern_scope_pop(scope);
        }
        bench_check();
    }
    return (double)n / (bench_now() - begin);
}

static void run(const char *row, int workers, int64_t samples, int64_t batch, double seconds) {
    const bool augment = strcmp(row, "augment") == 0;
    images d = {.pixels = malloc((size_t)samples * PIXELS)};
    if (!d.pixels) exit(1);
    for (int64_t i = 0; i < samples * PIXELS; i++) d.pixels[i] = (unsigned char)(i * 7919 >> 5);
    d.d = (tern_dataset){.length = samples,
                         .x_shape = TERN_SHAPE(1, SIDE, SIDE),
                         .x_dtype = augment ? TERN_U8 : TERN_F32,
                         .y_dtype = TERN_I64,
                         .get = augment ? raw_get : plain_get};
    tern_transform *t = NULL;
    if (augment)
        t = tern_transforms_new(
            (tern_transform *[]){tern_random_crop_new(SIDE, SIDE, (tern_random_crop_opts){.pad = 2}),
                                 tern_random_rotate_new(10, (tern_rotate_opts){0}),
                                 tern_normalize_new((double[]){0.1307}, (double[]){0.3081}, 1)},
            3);
    tern_loader *l = tern_loader_new(&d.d, (tern_loader_opts){.batch = batch,
                                                              .shuffle = true,
                                                              .seed = 1,
                                                              .workers = workers,
                                                              .transform = t,
                                                              .collate = strcmp(row, "stack") == 0 ? stack : NULL});
    bench_check();
    printf("%-8s %d workers %12.0f samples/s\n", row, workers, measure(l, seconds));
    tern_loader_free(l);
    tern_transform_free(t);
    free(d.pixels);
}

int main(int argc, char **argv) {
    static const char *const rows[] = {"plain", "augment", "stack"};
    const char *row = NULL;
    int workers = -1;
    int64_t samples = 60000, batch = 64;
    double seconds = 0.5;
    static const struct option options[] = {
        {"quick", no_argument, NULL, 'q'},         {"row", required_argument, NULL, 'r'},
        {"workers", required_argument, NULL, 'w'}, {"samples", required_argument, NULL, 's'},
        {"batch", required_argument, NULL, 'b'},   {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'q') {
            samples = 2000;
            seconds = 0.02;
        } else if (c == 'r') {
            row = optarg;
        } else if (c == 'w') {
            workers = atoi(optarg);
        } else if (c == 's') {
            samples = atoll(optarg);
        } else if (c == 'b') {
            batch = atoll(optarg);
        } else {
            return 2;
        }
    }
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (int w = 0; w <= 2; w++)
            if ((!row || strcmp(row, rows[r]) == 0) && (workers < 0 || workers == w))
                run(rows[r], w, samples, batch, seconds);
    return 0;
}
