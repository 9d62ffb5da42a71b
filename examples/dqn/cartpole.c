#include "cartpole.h"

#include <math.h>

static const double gravity = 9.8, cart = 1.0, pole = 0.1, half_length = 0.5, force = 10.0, seconds = 0.02;

/* The equations of motion without friction, and a step by Euler's method: all speeds are those before the step. */
void cartpole_step(cartpole *c, int action) {
    const double total = cart + pole, sine = sin(c->angle), cosine = cos(c->angle);
    const double push = (action ? force : -force) + pole * half_length * c->angle_speed * c->angle_speed * sine;
    const double turn = (gravity * sine - cosine * push / total) /
                        (half_length * (4.0 / 3.0 - pole * cosine * cosine / total)); /* radians / s^2 */
    const double go = (push - pole * half_length * turn * cosine) / total;            /* m / s^2 */
    c->x += seconds * c->x_speed;
    c->x_speed += seconds * go;
    c->angle += seconds * c->angle_speed;
    c->angle_speed += seconds * turn;
}

bool cartpole_failed(const cartpole *c) {
    const double lean = 12 * 2 * 3.14159265358979323846 / 360;
    return !(fabs(c->x) <= 2.4 && fabs(c->angle) <= lean);
}
