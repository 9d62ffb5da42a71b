#include "interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t seen;

static void note(int number) {
    if (seen) {
        signal(number, SIG_DFL);
        raise(number);
    }
    seen = number;
}

void interrupt_catch(void) {
    /* SA_RESTART: a checkpoint that is being written must not fail because of the signal. */
    struct sigaction act = {.sa_handler = note, .sa_flags = SA_RESTART};
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
}

bool interrupt_seen(void) { return seen != 0; }

const char *interrupt_name(void) { return seen == SIGTERM ? "SIGTERM" : "SIGINT"; }
