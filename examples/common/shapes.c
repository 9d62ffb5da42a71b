#include "shapes.h"

#include <math.h>
#include <stdlib.h>

enum { N = SHAPE_SIZE, PLANE = N * N };

const char *const shape_names[SHAPE_KINDS] = {"disc", "square", "triangle", "cross", "diamond"};
static const char *const class_names[2 * SHAPE_KINDS] = {
    "disc",         "square",         "triangle",         "cross",         "diamond",
    "disc outline", "square outline", "triangle outline", "cross outline", "diamond outline"};

typedef struct shapes {
    tern_dataset d; /* first: the loader sees this */
    uint64_t seed;
} shapes;

typedef struct shape {
    int kind;
    double x, y, size, cosine, sine; /* centre, half its width, turn */
    float colour[3];
} shape;

static double uniform(tern_random *r, double lo, double hi) { return lo + (hi - lo) * tern_random_double(r); }

/* How far a point lies inside, in half widths; negative outside. */
static double depth(const shape *s, double px, double py) {
    const double dx = (px - s->x) / s->size, dy = (py - s->y) / s->size;
    const double x = dx * s->cosine + dy * s->sine, y = dy * s->cosine - dx * s->sine;
    const double ax = fabs(x), ay = fabs(y);
    switch (s->kind) {
        case 0:
            return 0.9 - sqrt(x * x + y * y);
        case 1:
            return 0.8 - fmax(ax, ay);
        case 2:
            return fmin(0.6 - y, (y + 1 - 1.8 * ax) / 2.06); /* the top at -1 */
        case 3:
            return fmax(fmin(0.35 - ax, 1 - ay), fmin(0.35 - ay, 1 - ax));
        default:
            return (1 - ax - 1.8 * ay) / 2.06; /* narrow, or it would be a square */
    }
}

static shape random_shape(tern_random *r, int kinds, double least, double most) {
    shape s = {.kind = (int)tern_random_below(r, (uint64_t)kinds), .size = uniform(r, least, most)};
    s.x = uniform(r, s.size, N - s.size);
    s.y = uniform(r, s.size, N - s.size);
    const double turn = uniform(r, -0.35, 0.35);
    s.cosine = cos(turn);
    s.sine = sin(turn);
    for (int c = 0; c < 3; c++) s.colour[c] = (float)tern_random_double(r);
    return s;
}

/* A slope between two colours, with noise. */
static void background(tern_random *r, float *x) {
    for (int c = 0; c < 3; c++) {
        const double at = uniform(r, 0.2, 0.8), right = uniform(r, -0.3, 0.3), down = uniform(r, -0.3, 0.3);
        for (int k = 0; k < PLANE; k++)
            x[c * PLANE + k] = (float)(at + right * (k % N - N / 2) / N + down * (k / N - N / 2) / N);
    }
}

static void noise(tern_random *r, float *x) {
    for (int k = 0; k < 3 * PLANE; k++) {
        const double v = (double)x[k] + uniform(r, -0.08, 0.08);
        x[k] = (float)fmin(fmax(v, 0), 1);
    }
}

/* A colour that is told from what is behind it. */
static void distinct(const float *x, shape *s) {
    const int k = (int)s->y * N + (int)s->x;
    double apart = 0;
    for (int c = 0; c < 3; c++) apart += fabs((double)s->colour[c] - (double)x[c * PLANE + k]);
    if (apart > 0.6) return;
    for (int c = 0; c < 3; c++) s->colour[c] = x[c * PLANE + k] > 0.5F ? 0.05F : 0.95F;
}

/* Pixels no deeper than `rim` half widths are painted, and labelled where there is a mask. */
static void paint(const shape *s, double rim, float *x, int64_t *mask) {
    for (int k = 0; k < PLANE; k++) {
        const double d = depth(s, k % N + 0.5, k / N + 0.5);
        if (d < 0 || d > rim) continue;
        for (int c = 0; c < 3; c++) x[c * PLANE + k] = s->colour[c];
        if (mask) mask[k] = 1 + s->kind;
    }
}

static bool scene_get(tern_dataset *d, int64_t i, void *x, void *y) {
    int64_t *mask = y;
    tern_random r = {.seed = ((shapes *)d)->seed, .position = (uint64_t)i << 32};
    background(&r, x);
    for (int k = 0; k < PLANE; k++) mask[k] = 0;
    for (uint64_t n = 1 + tern_random_below(&r, 3); n > 0; n--) {
        shape s = random_shape(&r, 3, 5, 9);
        distinct(x, &s);
        paint(&s, 2, x, mask);
    }
    noise(&r, x);
    return true;
}

static bool class_get(tern_dataset *d, int64_t i, void *x, void *y) {
    tern_random r = {.seed = ((shapes *)d)->seed, .position = (uint64_t)i << 32};
    background(&r, x);
    const bool outline = tern_random_below(&r, 2) == 1;
    shape s = random_shape(&r, SHAPE_KINDS, 9, 14);
    distinct(x, &s);
    paint(&s, outline ? 2.2 / s.size : 2, x, NULL);
    noise(&r, x);
    *(int64_t *)y = s.kind + (outline ? SHAPE_KINDS : 0);
    return true;
}

static void drop(tern_dataset *d) { free(d); }

static tern_dataset *make(int64_t n, uint64_t seed) {
    shapes *s = calloc(1, sizeof *s);
    if (!s) {
        tern_error_set(TERN_ERR_MEMORY, "no memory for a data set");
        return NULL;
    }
    s->seed = seed;
    s->d = (tern_dataset){.length = n, .x_shape = TERN_SHAPE(3, N, N), .y_dtype = TERN_I64, .drop = drop};
    return &s->d;
}

tern_dataset *shapes_scenes_new(int64_t n, uint64_t seed) {
    tern_dataset *d = make(n, seed);
    if (!d) return NULL;
    d->y_shape = TERN_SHAPE(N, N);
    d->get = scene_get;
    return d;
}

tern_dataset *shapes_classes_new(int64_t n, uint64_t seed) {
    tern_dataset *d = make(n, seed);
    if (!d) return NULL;
    d->classes = 2 * SHAPE_KINDS;
    d->class_names = class_names;
    d->get = class_get;
    return d;
}
