/* Loss scaling for f16: gradients too small for it are made larger by a scale on the loss, which grows while all of
 * them are finite, and backs off, skipping the step, when one is not. Scales, steps and skips are those of PyTorch's
 * GradScaler, but that the scale never falls below 2^-126. bf16 needs none.
 *
 *     tern_scaler *s = tern_scaler_new((tern_scaler_opts){0});
 *     ...
 *     const int cast = tern_autocast_push(TERN_CUDA, TERN_F16);
 *     tern_tensor *loss = tern_cross_entropy(tern_forward(net, b.x), b.y, (tern_cross_entropy_opts){0});
 *     tern_autocast_pop(cast);
 *     tern_backward(tern_scaler_scale(s, loss));
 *     tern_scaler_unscale(s, opt);           (only if the gradients are clipped)
 *     tern_optim_clip_norm(opt, 1);
 *     tern_scaler_step(s, opt);
 *     tern_scaler_update(s); */
#ifndef TERN_SCALER_H
#define TERN_SCALER_H

#include "tern/optim.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_scaler tern_scaler;
typedef struct tern_scaler_opts {
    double scale;     /* the first scale: 65536 if zero */
    double growth;    /* above 1: 2 if zero */
    double backoff;   /* within (0, 1): 0.5 if zero */
    int64_t interval; /* the scale grows after so many updates in a row without a skip: 2000 if zero */
    bool off;         /* scales by 1 and never skips, for programs that decide at run time */
} tern_scaler_opts;
/* To be given back with tern_scaler_free. Errors: TERN_ERR_ARGUMENT. Source: Micikevicius et al., arXiv 1710.03740. */
TERN_API tern_scaler *tern_scaler_new(tern_scaler_opts opts);
TERN_API void tern_scaler_free(tern_scaler *s);

/* loss x scale. Owner: the current scope. Grad: loss. */
TERN_API tern_tensor *tern_scaler_scale(tern_scaler *s, tern_tensor *loss);
/* Lets o's next step, and tern_optim_clip_norm and clip_value before it, take the gradients divided by the scale; they
 * themselves stay as they are. It reads the gradients and waits for nothing. At most once between updates for each
 * optimizer, after the last backward pass. Errors: TERN_ERR_ARGUMENT; TERN_ERR_UNSUPPORTED under
 * tern_graph_capture_begin. */
TERN_API bool tern_scaler_unscale(tern_scaler *s, tern_optim *o);
/* tern_optim_step, after tern_scaler_unscale if that was not called, if all gradients are finite; else the step is
 * skipped: nothing of o changes but that the gradients are dropped, as after a step. Waits for the device, which knows.
 * At most once between updates for each optimizer. Errors: those of both; optimizers that need a closure. */
TERN_API bool tern_scaler_step(tern_scaler *s, tern_optim *o);
/* The scale for the next iteration. Errors: TERN_ERR_ARGUMENT if no optimizer was unscaled or stepped since the last.
 */
TERN_API bool tern_scaler_update(tern_scaler *s);

/* The scale now; 1 if it is off. */
TERN_API double tern_scaler_value(const tern_scaler *s);

/* What a checkpoint keeps; growth, backoff and interval are the program's. */
typedef struct tern_scaler_state {
    double scale;
    int64_t growth_tracker; /* updates since the scale changed or began anew */
    int64_t skipped;        /* steps */
} tern_scaler_state;
TERN_API tern_scaler_state tern_scaler_tell(const tern_scaler *s);
/* Errors: TERN_ERR_ARGUMENT for a scale that is not above 0 and finite in f32, and for negative counts; nothing changes
 * then. */
TERN_API bool tern_scaler_seek(tern_scaler *s, tern_scaler_state state);

#ifdef __cplusplus
}
#endif
#endif
