/* How tests steer the simulated driver, and what they can look at. */
#ifndef TERN_DRIVER_SIM_H
#define TERN_DRIVER_SIM_H

#include "driver.h"

#include <stdatomic.h>

/* Counters are atomic, as kernels are asked for by several threads; tests set the rest while no other thread runs. */
typedef struct terni_sim_failure {
    atomic_long at; /* the at-th call from now fails; 0: none */
    int error;
    bool sticky; /* and every one after it */
    atomic_bool lost;
} terni_sim_failure;
extern terni_sim_failure terni_sim_fail;

typedef struct terni_sim_counts {
    atomic_long calls, waits;
    atomic_long blocks, host_blocks, events, streams; /* there are now */
    atomic_long copies, ranges, range_depth;
    bool stopped; /* work from now on is not over before something waits for it */
} terni_sim_counts;
extern terni_sim_counts terni_sim_seen;

/* The device that the calling thread has made current. */
int terni_sim_device(void);

#endif
