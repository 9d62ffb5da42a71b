/* Burgers' equation, u_t + u u_x = viscosity u_xx for -1 <= x <= 1, with u(0, x) = -sin(pi x) and u(t, -1) = u(t, 1) =
 * 0: waves that steepen towards x = 0. */
#ifndef PINN_BURGERS_H
#define PINN_BURGERS_H

/* Its solution, by the transform of Cole and Hopf and numerical integration, to rounding. */
double burgers_exact(double t, double x, double viscosity);

#endif
