/* The loader's inside: its state, and the making of a batch. Private. */
#ifndef TERNI_LOADER_INTERNAL_H
#define TERNI_LOADER_INTERNAL_H

#include <pthread.h>

#include "internal.h"
#include "tern/device.h"

/* A batch; its tensors are kept. */
typedef struct terni_made {
    tern_tensor *x, *y, *lengths;
    int64_t n;
} terni_made;

/* Samples that were read one after another; row-major, for terni_mfree. */
typedef struct terni_raw {
    unsigned char *x, *y;
    int64_t n;
    bool end;
} terni_raw;

typedef struct terni_slot {
    bool ready, sent; /* sent: on its way to the device */
    terni_made made;
    tern_event *arrived; /* of the slot, where batches go to a GPU */
    tern_code code;      /* of the error that came instead */
    char message[400];
} terni_slot;

struct tern_loader {
    tern_dataset *d;
    tern_loader_opts o;
    bool streamed;           /* samples come one after another */
    bool pinned;             /* batches are made in pinned memory */
    int64_t samples;         /* of an epoch; 0 if streamed */
    int64_t batches;         /* INT64_MAX while a streamed epoch's end is not known */
    int64_t counted;         /* what tern_loader_batches says */
    size_t x_bytes, y_bytes; /* of one sample */
    tern_shape x_shape;      /* of one after the transform */
    tern_dtype x_dtype;
    tern_loader_state state;
    tern_sampler *sampler, *own; /* own: made here */
    int64_t *order;              /* of the epoch */
    pthread_mutex_t lock;
    pthread_cond_t made, room;
    pthread_t *worker;
    int n_workers;
    terni_slot *ring;
    int64_t capacity, next; /* next: the first batch that nobody has claimed */
    int busy;               /* workers that are making one */
    bool reading;           /* one of them reads from the stream */
    bool paused, stop;
    bool lost;           /* the stream could not be brought to `state`; the next call tries again */
    tern_stream *copies; /* to the GPU */
};

/* Makes batch b; raw: its samples if they are streamed, else NULL. On failure the calling thread has the error. */
bool terni_loader_make(tern_loader *l, int64_t b, const terni_raw *raw, terni_made *out);
/* Reads up to a batch from the stream. On failure the calling thread has the error. */
bool terni_loader_read(tern_loader *l, int64_t b, terni_raw *raw);
void terni_loader_raw_free(terni_raw *raw);
/* Brings the stream to a position. */
bool terni_loader_rewind(tern_loader *l, tern_loader_state s);
void terni_made_free(terni_made *m);
/* The transform has something to do with single samples of this dtype. */
bool terni_loader_changes(const tern_loader *l, tern_dtype dtype);
int64_t terni_loader_batch_size(const tern_loader *l, int64_t b);

#endif
