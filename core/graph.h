/* Captured graphs: a whole training step recorded once, and handed to the GPU again with one call.
 *
 *     for (int64_t i = 0; i < steps; i++) {
 *         tern_copy_(x, batch.x), tern_copy_(y, batch.y);           the inputs, changed in place
 *         tern_schedule_apply(&schedule, opt);
 *         if (i < 3) {
 *             train_step(net, opt, x, y);                           optimizer state, library plans and the like are
 * made continue;
 *         }
 *         if (!graph && tern_graph_capture_begin(dev)) {
 *             loss = tern_keep(train_step(net, opt, x, y));         nothing runs yet
 *             graph = tern_graph_capture_end();
 *         }
 *         tern_graph_replay(graph);                                 now it does
 *     }
 *
 * What is captured is the work on the device: kernels, on the memory that they used. So every replay reads the same
 * tensors, which have to live on where they are: change inputs in place (tern_copy_), and do not give parameters
 * another storage (tern_assign, a cast, a move). Tensors made inside the capture have no values before the first
 * replay; every replay writes theirs anew, also of those that were kept, as the loss above. Memory that was dropped
 * inside the capture stays reserved for the graph. What the host does (printing, counting, control flow) happens once,
 * at the capture.
 *
 * Two things change from replay to replay as from step to step. Random draws go on in the program's stream, so that n
 * replays draw what n eager steps would have drawn. Optimizers count their steps and take their learning rate, as it is
 * at the replay; others can do the same with tern_graph_on_replay and tern_graph_numbers.
 *
 * What cannot be captured is refused with TERN_ERR_UNSUPPORTED and spoils the capture: whatever waits for the device
 * (tern_item, tern_to the CPU, tern_to_host, tern_sync, ops whose result has a shape that depends on values), uploads
 * from the host, draws on the CPU, tern_seed, and other devices. So does work of other threads on the device, which is
 * refused as long as the capture lasts. tern_graph_capture_end ends the capture in any case, and after it all is as it
 * was, but for what the host did and for tensors that the capture made: their values are undefined.
 *
 * A graph on an NVIDIA GPU keeps the plans of NVIDIA's libraries that it was captured with. There is room for 512 of
 * convolutions, of attention and of recurrent layers each; where graphs that have not been freed hold all of them, what
 * comes beyond goes to Tern's own kernels, with the same results but slower.
 *
 * Thread rules: a capture and its graph belong to the thread that began it; it captures one graph at a time, and a
 * device is captured by one thread at a time. tern_graph_free may be called by any thread. */
#ifndef TERN_GRAPH_H
#define TERN_GRAPH_H

#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_graph tern_graph;

/* From now on the calling thread's work on the device is recorded instead of done. Errors: TERN_ERR_UNSUPPORTED on the
 * CPU and with TERN_CUDA_ALLOCATOR=direct, TERN_ERR_ARGUMENT while a capture is under way, TERN_ERR_DEVICE. */
TERN_API bool tern_graph_capture_begin(tern_device device);
/* Ends the capture. NULL if an error is pending or the capture was spoilt (TERN_ERR_UNSUPPORTED, with what spoilt it),
 * and after TERN_ERR_ARGUMENT if the thread captures nothing. To be given back with tern_graph_free. */
TERN_API tern_graph *tern_graph_capture_end(void);
/* True while the calling thread captures. */
TERN_API bool tern_graph_capturing(void);
/* Queues the captured work once more; does not wait for it. Errors: TERN_ERR_ARGUMENT while a capture is under way, in
 * another thread than the graph's, or when an optimizer of the graph was freed; TERN_ERR_DEVICE. */
TERN_API bool tern_graph_replay(tern_graph *graph);
/* Frees the graph and its memory, in any case, also while an error is pending and while replays are still at work. NULL
 * is fine. Tensors made in the capture that live on keep the values of the last replay, and their memory becomes
 * ordinary; as that is seldom meant, the result is then false, with TERN_ERR_ARGUMENT. */
TERN_API bool tern_graph_free(tern_graph *graph);

/* ---- what differs from replay to replay -------------------------------------------------------------------------- */

/* Called before each replay on the thread that replays, in the order of registration; false, after tern_error_set,
 * stops the replay. */
typedef bool (*tern_graph_hook)(void *user);
/* Registers hook with the capture under way. drop(user), which may be NULL, is called once when the graph is freed or
 * the capture was in vain; not if registering fails. Errors: TERN_ERR_ARGUMENT outside of a capture. */
TERN_API bool tern_graph_on_replay(tern_graph_hook hook, void (*drop)(void *user), void *user);
/* A tensor [n], f64, on the capture's device for captured ops to read, and in *value the n doubles behind it, which the
 * graph owns: what stands there after a replay's hooks reaches the tensor in the order of the stream, by a launch of
 * its own before the captured work. So replays can be queued one after another. Errors: TERN_ERR_ARGUMENT outside of a
 * capture, for n below 1, and when a graph has more than 8190 numbers in all. Owner: the current scope. */
TERN_API tern_tensor *tern_graph_numbers(int n, double **value);

#ifdef __cplusplus
}
#endif
#endif
