/* How tests steer the simulated driver, and what they can look at. */
#ifndef TERN_DRIVER_SIM_H
#define TERN_DRIVER_SIM_H

#include "driver.h"

typedef struct terni_sim_failure {
    long at; /* the at-th call from now fails; 0: none */
    int error;
    bool sticky; /* and every one after it */
    bool lost;
} terni_sim_failure;
extern terni_sim_failure terni_sim_fail;

typedef struct terni_sim_counts {
    long calls, blocks, events, waits;
    uint64_t clock;
    bool stopped; /* events recorded now are not over before something waits for them, or clock is raised */
} terni_sim_counts;
extern terni_sim_counts terni_sim_seen;

#endif
