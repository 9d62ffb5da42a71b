/* The simulation against another program's. */
#ifndef TRAJECTORY_H
#define TRAJECTORY_H

#include <stdbool.h>

/* Reads a CSV file with the columns action, x, x_speed, angle, angle_speed and end: each row is a state and what was
 * done in it, and the row after it what came of that, unless end is 1 (it failed) or 2 (time is up). Steps from each
 * row to the next and prints the largest difference. False, with an error, if that is more than rounding makes. */
bool trajectory_check(const char *path);

#endif
