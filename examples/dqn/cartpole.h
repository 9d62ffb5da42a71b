/* The cart with a pole on it of Barto, Sutton and Anderson (IEEE Transactions on Systems, Man, and Cybernetics 13,
 * 1983), with the limits of CartPole-v1: an episode ends when the pole leans more than 12 degrees, when the cart is
 * more than 2.4 m from the middle, or after 500 steps. */
#ifndef CARTPOLE_H
#define CARTPOLE_H

#include <stdbool.h>

enum { CARTPOLE_STATE = 4, CARTPOLE_ACTIONS = 2, CARTPOLE_STEPS = 500 };

/* Metres and radians, and their speeds a second; 0 is the middle, and upright. */
typedef struct cartpole {
    double x, x_speed, angle, angle_speed;
} cartpole;

/* A step of 0.02 s with a push of 10 N to the left (action 0) or to the right (1). */
void cartpole_step(cartpole *c, int action);
/* True if the pole fell or the cart ran out of its track. */
bool cartpole_failed(const cartpole *c);

#endif
