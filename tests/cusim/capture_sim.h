/* Capture on the simulated device: between capture_begin and capture_end the thread's work on the stream is kept as a
 * list of closures instead of being done; a launch of the graph does it. Device memory that was allocated meanwhile is
 * filled with NaN at the end, so that what a replay does not compute shows. */
#ifndef TERN_CAPTURE_SIM_H
#define TERN_CAPTURE_SIM_H

#include "driver.h"

#ifdef __cplusplus
extern "C" {
#endif

/* As cudaError_t has them. */
enum { TERNI_SIM_NOT_CAPTURED = 900, TERNI_SIM_SPOILT = 901, TERNI_SIM_CAPTURED_EVENT = 907 };

/* True if the calling thread captures this stream. */
bool terni_sim_capturing(terni_stream s);
/* Keeps run(user); drop(user) comes when the graph is freed. */
int terni_sim_record(void (*run)(void *user), void (*drop)(void *user), void *user);
/* Work of a stream, for all that is no kernel (copies, calls of libraries): run(args) now, or at each launch of the
 * graph. args, `bytes` of them, are copied. */
int terni_sim_do(terni_stream s, void (*run)(const void *args), const void *args, size_t bytes);
/* For calls that have no place in a capture: 0, or the error that spoils the capture under way. */
int terni_sim_refuses(terni_stream s);

int terni_sim_capture_begin(terni_stream s);
int terni_sim_capture_end(terni_stream s, void **graph);
int terni_sim_graph_launch(void *graph);
void terni_sim_graph_free(void *graph);
/* Device memory that comes and goes. */
void terni_sim_capture_alloc(void *p, size_t bytes);
void terni_sim_capture_release(void *p);

#ifdef __cplusplus
}
#endif
#endif
