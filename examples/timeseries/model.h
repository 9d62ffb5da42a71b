/* Two networks that tell a window's next values, x [N, context] to [N, horizon]. Both tell by how much these differ
 * from the window's last value (Zeng et al., arXiv 2205.13504): a level that drifts is no matter then. */
#ifndef MODEL_H
#define MODEL_H

#include <tern/tern.h>

/* A long short-term memory reads the window, one value after the other; a linear layer makes all next values of its
 * last state. Its module's .forward is set. */
tern_module *lstm_forecaster_new(int64_t horizon, int64_t width, int64_t layers, double dropout);
/* The window is cut into patches, whose length divides the context's (Nie et al., arXiv 2211.14730); a transformer
 * encoder relates them, and a linear layer makes all next values of its output. heads divides width, which is even. */
tern_module *transformer_forecaster_new(int64_t context, int64_t horizon, int64_t patch, int64_t width, int64_t heads,
                                        int64_t layers, double dropout);

#endif
