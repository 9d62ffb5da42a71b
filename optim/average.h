/* Averages of a model's weights, which often do better than the last ones: exponential (EMA), or equal (stochastic
 * weight averaging, SWA).
 *
 *     tern_average *ema = tern_average_new(net, (tern_average_opts){.decay = 0.999});
 *     while (...) {
 *         ...
 *         tern_optim_step(opt);
 *         tern_average_update(ema, net);
 *     }
 *     tern_average_batch_norm(tern_average_module(ema), next_input, loader);
 *     y = tern_forward(tern_average_module(ema), x); */
#ifndef TERN_AVERAGE_H
#define TERN_AVERAGE_H

#include "tern/module.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_average tern_average;
typedef struct tern_average_opts {
    double decay; /* average = decay x average + (1 - decay) x weight, within (0, 1); 0: all updates weigh the same */
    bool buffers; /* floating-point buffers are averaged too; else all are copied from the model at each update */
} tern_average_opts;

/* A copy of m, which the first update fills. To be given back with tern_average_free. Errors: TERN_ERR_ARGUMENT, those
 * of tern_module_clone. Sources: Polyak and Juditsky, SIAM J. Control Optim. 30 (1992); Izmailov et al., arXiv
 * 1803.05407. As torch.optim.swa_utils.AveragedModel. */
TERN_API tern_average *tern_average_new(tern_module *m, tern_average_opts opts);
TERN_API void tern_average_free(tern_average *a);
/* Takes m's weights as they are into the average; the first update copies them. m has the tree that it had. The
 * averages may be cast (f32 for an f16 model). Errors: TERN_ERR_SHAPE, TERN_ERR_DEVICE; TERN_ERR_UNSUPPORTED under
 * tern_graph_capture_begin: call it after the replay. */
TERN_API bool tern_average_update(tern_average *a, tern_module *m);
/* The averages, as a model. Owner: a. */
TERN_API tern_module *tern_average_module(tern_average *a);
/* Updates so far; setting it is for checkpoints. Errors: TERN_ERR_ARGUMENT for a negative one. */
TERN_API int64_t tern_average_count(const tern_average *a);
TERN_API bool tern_average_set_count(tern_average *a, int64_t count);

/* Makes the running statistics of all batch_norm modules in m anew: plain means over the batches x that next(user)
 * returns until NULL, each of which m (whose .forward is set) sees in training mode. As
 * torch.optim.swa_utils.update_bn. Without such modules next is not called. Errors: those of the forward pass and of
 * next. */
TERN_API bool tern_average_batch_norm(tern_module *m, tern_tensor *(*next)(void *user), void *user);

#ifdef __cplusplus
}
#endif
#endif
