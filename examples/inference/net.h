/* Trained networks from files, with what they need to know of a picture. */
#ifndef INFERENCE_NET_H
#define INFERENCE_NET_H

#include <tern/tern.h>

enum { NET_CHANNELS = 3 };

typedef struct net {
    tern_module *module;
    int channels; /* of a picture: 1 grey, 3 RGB */
    int64_t height, width;
    double mean[NET_CHANNELS], std[NET_CHANNELS]; /* it sees (pixel - mean) / std of pixels from 0 to 1 */
    bool probabilities;                           /* what comes out, instead of scores */
    char *names;                                  /* of the classes, a line each; NULL: numbers */
    tern_average *average;                        /* whose module it is, if not NULL */
} net;

/* The network of a checkpoint of cifar, digits or mnist; of cifar with --ema the averaged weights. Into an empty n, for
 * net_free, also after a failure. Errors: those of tern_checkpoint_load; TERN_ERR_FORMAT for another program's. */
bool net_from_checkpoint(net *n, const char *path, tern_device device);
/* An ONNX model. n says what pictures it takes; what names there are comes from the file `labels`, which may be NULL.
 */
bool net_from_onnx(net *n, const char *path, const char *labels, tern_device device);
void net_free(net *n);

/* The name of class i, at most size - 1 characters of it. Returns buf. */
const char *net_class(const net *n, int64_t i, char *buf, size_t size);

#endif
