#include "burgers.h"

#include <math.h>

/* With u = -2 viscosity (log w)_x the equation becomes w_t = viscosity w_xx, whose solution is an integral over the
 * heat kernel: u = -S / F, where F sums f(x - y), and S sin(pi (x - y)) f(x - y), over the kernel's y, with f(z) =
 * exp(-cos(pi z) / (2 pi viscosity)). Source: Basdevant et al., Computers & Fluids 14 (1986). */
double burgers_exact(double t, double x, double viscosity) {
    enum { POINTS = 1600 };
    const double pi = 3.14159265358979323846, reach = 12, width = 2 * sqrt(viscosity * t);
    const double scale = 1 / (2 * pi * viscosity);
    double above = 0, below = 0;
    if (t <= 0) return -sin(pi * x);
    for (int i = 0; i <= POINTS; i++) { /* the ends are next to nothing: no half weights */
        const double s = reach * (2.0 * i / POINTS - 1), z = x - width * s;
        const double f = exp(-scale * (1 + cos(pi * z)) - s * s);
        above += sin(pi * z) * f;
        below += f;
    }
    return -above / below;
}
