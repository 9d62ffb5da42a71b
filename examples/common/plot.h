/* Curves as an SVG file: axes, ticks and a legend. */
#ifndef PLOT_H
#define PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLOT_CURVES = 4, PLOT_POINTS = 256, PLOT_TEXT = 16384 };

typedef struct plot_curve {
    char name[32];
    int64_t every, seen; /* one in `every` of the points that came is kept, so that there is always room */
    int n;
    double x[PLOT_POINTS], y[PLOT_POINTS];
} plot_curve;

/* Starts empty but for the titles. */
typedef struct plot {
    const char *title, *x_title, *y_title;
    bool log_y; /* points that are not positive are left out then */
    int n;
    plot_curve curve[PLOT_CURVES];
} plot;

/* Adds a point to the curve of that name, which begins with its first. Points that are not finite are left out, and so
 * are curves after the fourth. */
void plot_add(plot *p, const char *curve, double x, double y);
/* Writes the file. Errors: TERN_ERR_IO, with path and reason. Without any point nothing is written. */
bool plot_write(const plot *p, const char *path);

/* A curve as text, exactly, for checkpoints: PLOT_TEXT bytes in buf. Returns buf. */
const char *plot_curve_text(const plot_curve *c, char *buf);
/* And back. false for a text that is none. */
bool plot_curve_read(plot_curve *c, const char *text);

#endif
