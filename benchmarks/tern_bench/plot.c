/* The roofline as an SVG picture: what the machine allows as a function of the operations per byte, and each case at
 * its place. A case whose operations are not known, but its bytes are, stands at the left edge, by its bytes a second.
 */
#include <math.h>

#include "bench.h"

enum { WIDTH = 1000, HEIGHT = 640, LEFT = 80, RIGHT = 240, TOP = 40, BOTTOM = 60 };

typedef struct axes {
    double x0, x1, y0, y1; /* decimal logarithms */
} axes;

static double x_at(const axes *a, double v) {
    return LEFT + (log10(v) - a->x0) / (a->x1 - a->x0) * (WIDTH - LEFT - RIGHT);
}
static double y_at(const axes *a, double v) {
    return HEIGHT - BOTTOM - (log10(v) - a->y0) / (a->y1 - a->y0) * (HEIGHT - TOP - BOTTOM);
}

/* Bytes that cross the memory's wires at least: of what is given by its operations, inputs and as much as the first. */
static double bytes_of(const bench_case *c) {
    double bytes = c->bytes;
    for (int i = 0; !(c->bytes > 0) && i < BENCH_INPUTS; i++) {
        double n = c->in[i].source == BENCH_NONE ? 0 : (double)tern_dtype_size(c->in[i].dtype);
        for (int d = 0; d < c->in[i].shape.ndim; d++) n *= (double)c->in[i].shape.dim[d];
        bytes += n * (i ? 1 : 2);
    }
    return bytes;
}

static const char *colour(const char *group) {
    static const char *const known[][2] = {{"matmul", "#1f77b4"}, {"conv", "#d62728"},      {"elementwise", "#2ca02c"},
                                           {"norm", "#9467bd"},   {"softmax", "#8c564b"},   {"loss", "#e377c2"},
                                           {"memory", "#7f7f7f"}, {"attention", "#ff7f0e"}, {"optimizer", "#17becf"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(group, known[i][0])) return known[i][1];
    return "#555555";
}

static void frame(FILE *f, const axes *a) {
    fprintf(f, "<rect width='%d' height='%d' fill='white'/>\n", WIDTH, HEIGHT);
    for (int e = (int)a->x0; e <= (int)a->x1; e++) {
        const double x = x_at(a, pow(10, e));
        fprintf(f, "<line x1='%.1f' y1='%d' x2='%.1f' y2='%d' stroke='#ddd'/>", x, TOP, x, HEIGHT - BOTTOM);
        fprintf(f, "<text x='%.1f' y='%d' text-anchor='middle'>%g</text>\n", x, HEIGHT - BOTTOM + 18, pow(10, e));
    }
    for (int e = (int)a->y0; e <= (int)a->y1; e++) {
        const double y = y_at(a, pow(10, e));
        fprintf(f, "<line x1='%d' y1='%.1f' x2='%d' y2='%.1f' stroke='#ddd'/>", LEFT, y, WIDTH - RIGHT, y);
        fprintf(f, "<text x='%d' y='%.1f' text-anchor='end'>%g</text>\n", LEFT - 8, y + 4, pow(10, e - 9));
    }
    fprintf(f, "<text x='%d' y='%d'>operations per byte</text>\n", LEFT, HEIGHT - 16);
    fprintf(f, "<text x='16' y='%d'>GFLOP/s</text>\n", TOP - 14);
}

/* One roof for each size of copies. */
static void roofs(FILE *f, const axes *a, const bench_roofline *r) {
    const double peak = r->flops[TERN_F32], lo = pow(10, a->x0), hi = pow(10, a->x1);
    for (int i = 0; i < r->n; i++) {
        const double ridge = peak / r->copy[i];
        fprintf(f, "<polyline fill='none' stroke='black' points='%.1f,%.1f %.1f,%.1f %.1f,%.1f'/>", x_at(a, lo),
                y_at(a, lo * r->copy[i]), x_at(a, ridge), y_at(a, peak), x_at(a, hi), y_at(a, peak));
        fprintf(f, "<text x='%d' y='%d'>copy of %.4g MB: %.0f GB/s</text>\n", WIDTH - RIGHT + 16, TOP + 16 + 18 * i,
                r->bytes[i] * 1e-6, r->copy[i] * 1e-9);
    }
    fprintf(f, "<text x='%d' y='%d'>f32: %.0f GFLOP/s</text>\n", WIDTH - RIGHT + 16, TOP + 16 + 18 * r->n, peak * 1e-9);
}

static void place(FILE *f, const axes *a, const bench_case *c, const bench_result *res) {
    const double bytes = bytes_of(c), lo = pow(10, a->x0);
    const double x = c->flops > 0 ? c->flops / bytes : lo, y = (c->flops > 0 ? c->flops : bytes * lo) / res->median;
    if (res->error[0] || !(bytes > 0) || !(res->median > 0) || c->submit || c->tiny) return;
    if (log10(y) < a->y0 || log10(x) > a->x1) return;
    fprintf(f, "<circle cx='%.1f' cy='%.1f' r='4' fill='%s'><title>%s %s: %.1f GFLOP/s, %.1f GB/s</title></circle>\n",
            x_at(a, x), y_at(a, y), colour(c->group), c->name, bench_pass_name(c->pass), c->flops / res->median * 1e-9,
            bytes / res->median * 1e-9);
}

bool bench_plot(const char *file, const bench_list *list, const bench_result *res, const bench_roofline *r) {
    const double peak = r->flops[TERN_F32];
    if (!(peak > 0) || !r->n) return fprintf(stderr, "tern-bench: no roofline was measured, nothing is drawn\n"), false;
    const axes a = {-1, 4, floor(log10(peak)) - 4, ceil(log10(peak))};
    FILE *f = fopen(file, "w");
    if (!f) return fprintf(stderr, "tern-bench: %s cannot be written\n", file), false;
    fprintf(f, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' font-family='sans-serif' font-size='12'>\n",
            WIDTH, HEIGHT);
    frame(f, &a);
    roofs(f, &a, r);
    for (int i = 0; i < list->n; i++) place(f, &a, &list->c[i], &res[i]);
    const char *last = "";
    int line = r->n + 3;
    for (int i = 0; i < list->n; i++) {
        if (!strcmp(last, list->c[i].group)) continue;
        last = list->c[i].group;
        fprintf(f, "<text x='%d' y='%d' fill='%s'>%s</text>\n", WIDTH - RIGHT + 16, TOP + 16 + 18 * line++,
                colour(last), last);
    }
    fprintf(f, "</svg>\n");
    const bool ok = !ferror(f);
    return fclose(f) == 0 && ok;
}
