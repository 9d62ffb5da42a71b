#include "plot.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <tern/tern.h>

/* ---- points ------------------------------------------------------------------------------------------------------ */

static plot_curve *find(plot *p, const char *name) {
    for (int i = 0; i < p->n; i++) {
        if (strcmp(p->curve[i].name, name) == 0) return &p->curve[i];
    }
    if (p->n == PLOT_CURVES) return NULL;
    plot_curve *c = &p->curve[p->n++];
    *c = (plot_curve){.every = 1};
    snprintf(c->name, sizeof c->name, "%s", name);
    return c;
}

void plot_add(plot *p, const char *curve, double x, double y) {
    plot_curve *c = find(p, curve);
    if (!c || !isfinite(x) || !isfinite(y)) return;
    if (c->seen++ % c->every != 0) return;
    if (c->n == PLOT_POINTS) { /* every second one goes, and of those to come as well */
        for (int i = 0; i < PLOT_POINTS / 2; i++) {
            c->x[i] = c->x[2 * i];
            c->y[i] = c->y[2 * i];
        }
        c->n = PLOT_POINTS / 2;
        c->every *= 2;
    }
    c->x[c->n] = x;
    c->y[c->n++] = y;
}

const char *plot_curve_text(const plot_curve *c, char *buf) {
    int used = snprintf(buf, PLOT_TEXT, "%s|%" PRId64 " %" PRId64 " %d", c->name, c->every, c->seen, c->n);
    for (int i = 0; i < c->n; i++)
        used += snprintf(buf + used, (size_t)(PLOT_TEXT - used), " %.17g %.17g", c->x[i], c->y[i]);
    return buf;
}

bool plot_curve_read(plot_curve *c, const char *text) {
    const char *bar = strchr(text, '|');
    int used = 0;
    *c = (plot_curve){0};
    if (!bar || bar - text >= (ptrdiff_t)sizeof c->name) return false;
    memcpy(c->name, text, (size_t)(bar - text));
    if (sscanf(bar + 1, "%" SCNd64 " %" SCNd64 " %d%n", &c->every, &c->seen, &c->n, &used) != 3) return false;
    if (c->every < 1 || c->n < 0 || c->n > PLOT_POINTS) return false;
    const char *at = bar + 1 + used;
    for (int i = 0; i < c->n; i++) {
        char *end;
        c->x[i] = strtod(at, &end);
        c->y[i] = strtod(end, &end);
        if (end == at || !isfinite(c->x[i]) || !isfinite(c->y[i])) return false;
        at = end;
    }
    return true;
}

/* ---- axes -------------------------------------------------------------------------------------------------------- */

enum { WIDTH = 720, HEIGHT = 420, LEFT = 78, RIGHT = 28, TOP = 66, BOTTOM = 54 };

typedef struct axis {
    double lo, hi; /* of the values, or of their logarithms to base 10 */
    double step;   /* from tick to tick */
    bool log;
} axis;

static double on_axis(const axis *a, double v) { return a->log ? log10(v) : v; }

static bool shown(const plot *p, double y) { return !p->log_y || y > 0; }

/* A round number near what divides the length by 6. */
static double round_step(double length) {
    const double rough = length / 6, power = pow(10, floor(log10(rough))), part = rough / power;
    return power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
}

static void axis_fit(axis *a) {
    if (!(a->hi > a->lo)) { /* a single value gets some room */
        const double room = a->log ? 0.5 : a->lo == 0 ? 1 : 0.1 * fabs(a->lo);
        a->lo -= room;
        a->hi += room;
    }
    if (a->log) { /* whole decades; where these are few, tick marks at 2 and 5 as well */
        a->lo = floor(a->lo);
        a->hi = ceil(a->hi);
        a->step = a->hi - a->lo > 8 ? 2 : 1;
        return;
    }
    a->step = round_step(a->hi - a->lo);
    a->lo = floor(a->lo / a->step + 1e-9) * a->step;
    a->hi = ceil(a->hi / a->step - 1e-9) * a->step;
}

/* The axes that hold all points; false if there are none. */
static bool axes(const plot *p, axis *x, axis *y) {
    *x = (axis){.lo = HUGE_VAL, .hi = -HUGE_VAL};
    *y = (axis){.lo = HUGE_VAL, .hi = -HUGE_VAL, .log = p->log_y};
    for (int i = 0; i < p->n; i++) {
        const plot_curve *c = &p->curve[i];
        for (int k = 0; k < c->n; k++) {
            if (!shown(p, c->y[k])) continue;
            const double v = on_axis(y, c->y[k]);
            x->lo = fmin(x->lo, c->x[k]);
            x->hi = fmax(x->hi, c->x[k]);
            y->lo = fmin(y->lo, v);
            y->hi = fmax(y->hi, v);
        }
    }
    if (!(x->lo <= x->hi)) return false;
    axis_fit(x);
    axis_fit(y);
    return true;
}

static double px(const axis *x, double v) { return LEFT + (v - x->lo) / (x->hi - x->lo) * (WIDTH - LEFT - RIGHT); }

/* v as it stands on the axis. */
static double py(const axis *y, double v) { return TOP + (y->hi - v) / (y->hi - y->lo) * (HEIGHT - TOP - BOTTOM); }

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

/* Okabe and Ito's: told apart by the colour-blind too. */
static const char *const colours[PLOT_CURVES] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7"};

static void draw_text(FILE *f, double x, double y, const char *anchor, const char *more, const char *text) {
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>", x, y, anchor, more);
    for (const char *c = text; *c; c++) {
        if (*c == '<')
            fputs("&lt;", f);
        else if (*c == '&')
            fputs("&amp;", f);
        else
            fputc(*c, f);
    }
    fputs("</text>\n", f);
}

static void draw_line(FILE *f, double x0, double y0, double x1, double y1, const char *colour) {
    fprintf(f, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x0, y0, x1, y1, colour);
}

static void draw_ticks(FILE *f, const axis *x, const axis *y) {
    char text[32];
    const int nx = (int)lround((x->hi - x->lo) / x->step), ny = (int)floor((y->hi - y->lo) / y->step + 1e-9);
    for (int i = 0; i <= nx; i++) {
        const double v = x->lo + i * x->step, at = px(x, v);
        draw_line(f, at, TOP, at, HEIGHT - BOTTOM, "#e4e4e4");
        snprintf(text, sizeof text, "%.6g", fabs(v) < 1e-9 * x->step ? 0 : v);
        draw_text(f, at, HEIGHT - BOTTOM + 18, "middle", "", text);
    }
    for (int i = 0; i <= ny; i++) {
        const double v = y->lo + i * y->step, at = py(y, v);
        draw_line(f, LEFT, at, WIDTH - RIGHT, at, "#e4e4e4");
        snprintf(text, sizeof text, "%.4g", y->log ? pow(10, v) : fabs(v) < 1e-9 * y->step ? 0 : v);
        draw_text(f, LEFT - 8, at + 4, "end", "", text);
    }
    if (y->log && y->hi - y->lo < 2.5) {
        for (int i = 0; i < (int)lround(y->hi - y->lo); i++) {
            for (int k = 2; k <= 5; k += 3) {
                const double v = y->lo + i + log10(k), at = py(y, v);
                draw_line(f, LEFT, at, WIDTH - RIGHT, at, "#f2f2f2");
                snprintf(text, sizeof text, "%.4g", pow(10, v));
                draw_text(f, LEFT - 8, at + 4, "end", "", text);
            }
        }
    }
    draw_line(f, LEFT, TOP, LEFT, HEIGHT - BOTTOM, "#444");
    draw_line(f, LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "#444");
}

static void draw_curve(FILE *f, const plot *p, int i, const axis *x, const axis *y) {
    const plot_curve *c = &p->curve[i];
    fprintf(f, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" stroke-linejoin=\"round\" points=\"",
            colours[i]);
    for (int k = 0; k < c->n; k++) {
        if (shown(p, c->y[k])) fprintf(f, "%.1f,%.1f ", px(x, c->x[k]), py(y, on_axis(y, c->y[k])));
    }
    fputs("\"/>\n", f);
    if (c->n == 1 && shown(p, c->y[0])) /* a line of one point does not show */
        fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", px(x, c->x[0]),
                py(y, on_axis(y, c->y[0])), colours[i]);
}

static void draw(FILE *f, const plot *p, const axis *x, const axis *y) {
    char turned[64];
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
            "font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n<rect width=\"%d\" height=\"%d\" "
            "fill=\"#fff\"/>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
    draw_text(f, LEFT, 26, "start", " font-size=\"16\"", p->title ? p->title : "");
    draw_ticks(f, x, y);
    for (int i = 0; i < p->n; i++) {
        const double at = LEFT + 160.0 * i;
        draw_curve(f, p, i, x, y);
        fprintf(f, "<rect x=\"%.1f\" y=\"43\" width=\"18\" height=\"4\" fill=\"%s\"/>\n", at, colours[i]);
        draw_text(f, at + 24, 50, "start", "", p->curve[i].name);
    }
    draw_text(f, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 12, "middle", "", p->x_title ? p->x_title : "");
    const double middle = (TOP + HEIGHT - BOTTOM) / 2.0;
    snprintf(turned, sizeof turned, " transform=\"rotate(-90 16 %.1f)\"", middle);
    draw_text(f, 16, middle, "middle", turned, p->y_title ? p->y_title : "");
    fputs("</svg>\n", f);
}

bool plot_write(const plot *p, const char *path) {
    axis x, y;
    if (!axes(p, &x, &y)) return true;
    FILE *f = fopen(path, "w");
    if (!f) return tern_error_set(TERN_ERR_IO, "%s: %s", path, strerror(errno));
    draw(f, p, &x, &y);
    const bool bad = ferror(f) != 0;
    const int closed = fclose(f);
    if (!bad && closed == 0) return true;
    tern_error_set(TERN_ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
    struct stat is;
    if (stat(path, &is) == 0 && S_ISREG(is.st_mode)) remove(path); /* half a picture says less than none */
    return false;
}
