/* What learns, and what it remembers: a checkpoint of this module holds the whole of it. */
#ifndef AGENT_H
#define AGENT_H

#include <tern/tern.h>

#include "cartpole.h"

/* Where the game stands. All double, so that it can be a tensor. */
typedef struct standing {
    cartpole pole;
    double steps;             /* of the episode */
    double moments;           /* that were remembered in all; the latest `replay` of them are there */
    double episodes, returns; /* since the last line that told about them */
} standing;

typedef struct agent {
    tern_module m;
    tern_module *online, *target; /* state [N, 4] to what each action is worth, [N, 2]; on the device */
    /* The replay buffer, a ring of `replay` moments, and the game: in the CPU's memory. */
    int64_t replay;
    tern_tensor *states, *next; /* [replay, 4] */
    tern_tensor *actions;       /* [replay, 1] i64 */
    tern_tensor *rewards;       /* [replay, 1] */
    tern_tensor *goes_on;       /* [replay, 1]: 0 if the pole fell, else 1: what comes after it counts */
    tern_tensor *standing;      /* a struct standing */
} agent;

agent *agent_new(int64_t width, int64_t replay, tern_device device);
/* The game, to be read and changed. */
standing *agent_standing(agent *g);
/* Remembers a moment. */
void agent_remember(agent *g, const cartpole *before, int action, double reward, const cartpole *after, bool failed);
/* The action for each of n poles: the one that is worth most. */
bool agent_act(agent *g, const cartpole *poles, int64_t n, tern_device device, int64_t *actions);
/* The loss on a random batch of moments: Huber's, of what the actions taken were thought to be worth against their
 * reward and, discounted, the worth of the state they led to. That worth is the target network's for the action that it
 * (Mnih et al., 2015) or, with twice, the online network (Double DQN: van Hasselt et al., arXiv 1509.06461) prefers. */
tern_tensor *agent_loss(agent *g, int64_t batch, double discount, bool twice, tern_device device);
/* Moves the target network's weights the part `rate` of the way to the online network's. */
bool agent_follow(agent *g, double rate);

#endif
