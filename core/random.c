/* The program's random stream, and small draws from streams of one's own. */
#include "tern/random.h"

#include <pthread.h>

#include "internal.h"
#include "philox.h"
#include "trace_fields.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static tern_random stream;

void tern_seed(uint64_t seed) { tern_random_set((tern_random){seed, 0}); }

tern_random tern_random_get(void) {
    const terni_draws at = terni_draws_now();
    return (tern_random){at.seed, at.position};
}

void tern_random_set(tern_random state) {
    if (!terni_not_capturing("setting the random stream")) return;
    if (terni_self.replay) {
        *terni_self.replay = (terni_draws){state.seed, state.position, NULL};
        return;
    }
    pthread_mutex_lock(&lock);
    stream = state;
    pthread_mutex_unlock(&lock);
}

tern_random terni_random_take(uint64_t blocks) {
    pthread_mutex_lock(&lock);
    const tern_random from = stream;
    stream.position += blocks;
    pthread_mutex_unlock(&lock);
    return from;
}

terni_draws terni_draws_now(void) {
    if (terni_self.replay) return *terni_self.replay;
    const tern_random at = terni_random_take(0);
    return (terni_draws){at.seed, at.position, NULL};
}

bool terni_draws_take(tern_device device, uint64_t blocks, terni_draws *from) {
    if (terni_tracing()) return terni_fail(TERN_ERR_UNSUPPORTED, "trace: random draws cannot be listed");
    if (device.type == TERN_CPU && !terni_not_capturing("drawing random numbers on the CPU")) return false;
    if (terni_self.replay) {
        *from = *terni_self.replay;
        terni_self.replay->position += blocks;
    } else {
        const tern_random at = terni_random_take(blocks);
        *from = (terni_draws){at.seed, at.position, NULL};
    }
    return true;
}

void tern_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    const terni_philox_block b = terni_philox(counter, key);
    for (int i = 0; i < 4; i++) out[i] = b.w[i];
}

uint32_t tern_random_u32(tern_random *r) { return terni_philox_at(r->seed, r->position++).w[0]; }

uint64_t tern_random_below(tern_random *r, uint64_t n) {
    if (n < 2) return 0;
    const uint64_t reject = (0 - n) % n; /* 2^64 mod n */
    for (;;) {
        const terni_philox_block b = terni_philox_at(r->seed, r->position++);
        const uint64_t x = (uint64_t)b.w[1] << 32 | b.w[0];
        if (x >= reject) return x % n;
    }
}

double tern_random_double(tern_random *r) {
    const terni_philox_block b = terni_philox_at(r->seed, r->position++);
    return terni_u53(b.w[0], b.w[1]);
}
