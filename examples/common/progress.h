/* How far the training is: a bar that is redrawn on a terminal, plain lines elsewhere. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    bool bar;                         /* stdout is a terminal */
    double began, epoch_began, drawn; /* seconds: of the run, of the epoch, and of the last drawing */
    int64_t epochs;
    int64_t samples;     /* in an epoch */
    int64_t first;       /* samples that had been seen when the run began, over all epochs */
    int64_t epoch_first; /* and of this epoch when it began here */
    double rate;         /* samples a second in the last epoch */
} progress;

/* One line's content. */
typedef struct progress_state {
    int64_t epoch; /* from 0 */
    int64_t seen;  /* samples of this epoch so far */
    double loss, accuracy;
} progress_state;

void progress_begin(progress *p, int64_t epochs, int64_t samples, int64_t seen_before);
/* An epoch begins, or goes on after `seen` samples. */
void progress_epoch_begin(progress *p, int64_t seen);
/* True when it is time to redraw: ten times a second on a terminal, every half a minute elsewhere. Cheap; what is drawn
 * may need the device to be waited for, so ask this first. */
bool progress_due(progress *p);
void progress_draw(progress *p, progress_state s);
/* The epoch's last samples are done: what follows until the next one is not counted in images/s. */
void progress_epoch_end(progress *p, progress_state s);
/* The epoch's own line, with the accuracy on the test data. */
void progress_epoch_print(progress *p, progress_state s, double test_accuracy);
/* Takes the bar away, so that something else can be printed. */
void progress_clear(const progress *p);

#endif
