/* The loop of the programs that train on a loader's batches and count in epochs; trainer.h has the rest:
 *
 *     t->train = ...; t->model = ...; t->optim = ...;
 *     if (!epochs_loader(t) || !epochs_start(t)) return false;
 *     while (epochs_next(t)) {
 *         tern_batch b;
 *         while (epochs_batch(t, &b)) {
 *             tern_tensor *loss = ...;
 *             epochs_note(t, 0, loss, b.n);
 *             trainer_update(t, loss);
 *         }
 *         if (epochs_done(t)) ...             look at test data, epochs_set
 *     }
 *     return trainer_end(t); */
#ifndef EPOCHS_H
#define EPOCHS_H

#include "trainer.h"

/* t->loader: the batches of t->train, shuffled, on the device. */
bool epochs_loader(trainer *t);
/* t->schedule, once there is a loader: half a cosine from --lr to a hundredth of it at the end. */
bool epochs_cosine(trainer *t);
/* trainer_start, and a line about what is to come. */
bool epochs_start(trainer *t);
/* True when there is an epoch to train, from its beginning or from where the run stopped. */
bool epochs_next(trainer *t);
/* The epoch's next batch, in a scope that the next call closes. False at its end, on errors and when a signal came. */
bool epochs_batch(trainer *t, tern_batch *b);
/* Adds n samples' mean to the epoch's value i. Does not wait for the device. */
void epochs_note(trainer *t, int i, tern_tensor *mean, int64_t n);
/* True once after an epoch that was completed: the moment to look at test data. */
bool epochs_done(const trainer *t);
/* The epoch's value i, which was not noted. */
void epochs_set(trainer *t, int i, double value);

#endif
