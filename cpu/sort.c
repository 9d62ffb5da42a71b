/* sort and topk: rows of keys with their positions, sorted by digits (stable), or by insertion where they are few. Keys
 * of up to 32 bits share a word with the position. */
#include "order.h"

enum { FEW = 48, CHUNK = 64, GRAIN_ELEMENTS = 4096 };

typedef struct pair {
    uint64_t key;
    int64_t at;
} pair;

typedef struct job {
    const terni_view *x;
    const terni_sort_opts *o;
    char *values; /* or NULL */
    int64_t *index;
    int64_t n, k; /* of a row: elements, results */
    char *room;   /* for each part */
    size_t room_bytes;
    _Atomic int next_room;
} job;

/* ---- keys of 32 bits and less, with positions below 2^32: one word each -------------------------------------------
 */

static void insert_words(uint64_t *v, int64_t n) {
    for (int64_t i = 1; i < n; i++) {
        const uint64_t w = v[i];
        int64_t j = i;
        for (; j > 0 && v[j - 1] > w; j--) v[j] = v[j - 1]; /* words differ: the position is part of them */
        v[j] = w;
    }
}

/* Sorts by the bytes [4, 4 + bytes) of the words; the result is in v. */
static void sort_words(uint64_t *v, uint64_t *other, int64_t n, int bytes) {
    uint32_t count[4][256];
    memset(count, 0, sizeof count);
    for (int64_t i = 0; i < n; i++)
        for (int b = 0; b < bytes; b++) count[b][v[i] >> (32 + 8 * b) & 255]++;
    uint64_t *from = v, *to = other;
    for (int b = 0; b < bytes; b++) {
        uint32_t at = 0, start[256];
        bool same = false;
        for (int d = 0; d < 256; d++) {
            same |= count[b][d] == (uint32_t)n;
            start[d] = at;
            at += count[b][d];
        }
        if (same) continue;
        for (int64_t i = 0; i < n; i++) to[start[from[i] >> (32 + 8 * b) & 255]++] = from[i];
        uint64_t *const t = from;
        from = to;
        to = t;
    }
    if (from != v) memcpy(v, from, (size_t)n * sizeof *v);
}

/* ---- any keys -----------------------------------------------------------------------------------------------------
 */

static void insert_pairs(pair *v, int64_t n) {
    for (int64_t i = 1; i < n; i++) {
        const pair w = v[i];
        int64_t j = i;
        for (; j > 0 && v[j - 1].key > w.key; j--) v[j] = v[j - 1];
        v[j] = w;
    }
}

static void sort_pairs(pair *v, pair *other, int64_t n, int bytes) {
    pair *from = v, *to = other;
    for (int b = 0; b < bytes; b++) {
        int64_t count[256] = {0}, at = 0;
        for (int64_t i = 0; i < n; i++) count[from[i].key >> 8 * b & 255]++;
        if (n && count[from[0].key >> 8 * b & 255] == n) continue;
        for (int d = 0; d < 256; d++) {
            const int64_t c = count[d];
            count[d] = at;
            at += c;
        }
        for (int64_t i = 0; i < n; i++) to[count[from[i].key >> 8 * b & 255]++] = from[i];
        pair *const t = from;
        from = to;
        to = t;
    }
    if (from != v) memcpy(v, from, (size_t)n * sizeof *v);
}

/* ---- rows ---------------------------------------------------------------------------------------------------------
 */

/* Ascending by key; descending turns the keys round, so that equal values keep their order. */
static uint64_t turn(const job *j) { return j->o->descending ? terni_key_top(j->x->dtype) : 0; }

/* The smallest key such that at least k of the row's keys are at or below it, and how many lie below it. */
static uint64_t kth_key(const job *j, const char *row, int64_t k, int64_t *below) {
    const uint64_t mask = turn(j);
    uint64_t known = 0;
    *below = 0;
    for (int shift = terni_key_bits(j->x->dtype) - 8; shift >= 0; shift -= 8) {
        int64_t count[256] = {0};
        for (int64_t i = 0; i < j->n; i++) {
            const uint64_t key = terni_key(j->x->dtype, row, i) ^ mask;
            if (shift + 8 >= 64 || key >> (shift + 8) == known >> (shift + 8)) count[key >> shift & 255]++;
        }
        uint64_t d = 0;
        while (*below + count[d] < k) *below += count[d++];
        known |= d << shift;
    }
    return known;
}

static void put(const job *j, const char *row, int64_t r, int64_t i, int64_t at) {
    const size_t size = terni_cpu_size(j->x->dtype);
    j->index[r * j->k + i] = at;
    if (j->values) memcpy(j->values + (size_t)(r * j->k + i) * size, row + (size_t)at * size, size);
}

/* The keys of elements [i, i + n) of an f32 row. */
static void keys_f32(const char *row, int64_t i, int64_t n, uint32_t mask, uint32_t *key) {
    const uint32_t *x = (const uint32_t *)(const void *)row + i;
    for (int64_t k = 0; k < n; k++) key[k] = (uint32_t)terni_key_f32(x[k]) ^ mask;
}

/* The k smallest words, sorted, of an f32 row: most chunks hold nothing below the k-th so far, which is quick to see.
 */
static void few_smallest(const job *j, const char *row, uint64_t *v) {
    uint32_t key[CHUNK], edge = UINT32_MAX;
    int64_t m = 0;
    for (int64_t i = 0; i < j->n; i += CHUNK) {
        const int64_t w = j->n - i < CHUNK ? j->n - i : CHUNK;
        uint32_t least = UINT32_MAX;
        keys_f32(row, i, w, (uint32_t)turn(j), key);
        for (int64_t k = 0; k < w; k++) least = key[k] < least ? key[k] : least;
        if (m == j->k && least >= edge) continue;
        for (int64_t k = 0; k < w; k++) {
            if (m == j->k && key[k] >= edge) continue;
            const uint64_t word = (uint64_t)key[k] << 32 | (uint64_t)(i + k);
            int64_t at = m < j->k ? m++ : m - 1;
            for (; at > 0 && v[at - 1] > word; at--) v[at] = v[at - 1];
            v[at] = word;
            edge = (uint32_t)(v[m - 1] >> 32);
        }
    }
}

static void sort_row(const job *j, int64_t r, char *room) {
    const int dtype = j->x->dtype, bytes = terni_key_bits(dtype) / 8;
    const char *row = (const char *)j->x->data + (size_t)(r * j->n) * terni_cpu_size(dtype);
    const uint64_t mask = turn(j);
    int64_t m = j->n, below = 0, ties = 0;
    uint64_t edge = UINT64_MAX;
    if (dtype == TERN_F32 && j->k <= FEW && j->n > 4 * j->k && j->n <= UINT32_MAX) {
        uint64_t *v = (uint64_t *)(void *)room;
        few_smallest(j, row, v);
        for (int64_t i = 0; i < j->k; i++) put(j, row, r, i, (int64_t)(v[i] & UINT32_MAX));
        return;
    }
    if (j->k < j->n) { /* only those that are wanted */
        if (j->k == 0) return;
        edge = kth_key(j, row, j->k, &below);
        ties = j->k - below;
    }
    if (bytes <= 4 && j->n <= UINT32_MAX) {
        uint64_t *v = (uint64_t *)(void *)room;
        m = 0;
        for (int64_t i = 0; i < j->n; i++) {
            const uint64_t key = terni_key(dtype, row, i) ^ mask;
            if (key < edge || (key == edge && ties-- > 0)) v[m++] = key << 32 | (uint64_t)i;
        }
        if (m <= FEW)
            insert_words(v, m);
        else
            sort_words(v, v + j->n, m, bytes);
        for (int64_t i = 0; i < m; i++) put(j, row, r, i, (int64_t)(v[i] & UINT32_MAX));
    } else {
        pair *v = (pair *)(void *)room;
        m = 0;
        for (int64_t i = 0; i < j->n; i++) {
            const uint64_t key = terni_key(dtype, row, i) ^ mask;
            if (key < edge || (j->k == j->n) || (key == edge && ties-- > 0)) v[m++] = (pair){key, i};
        }
        if (m <= FEW)
            insert_pairs(v, m);
        else
            sort_pairs(v, v + j->n, m, bytes);
        for (int64_t i = 0; i < m; i++) put(j, row, r, i, v[i].at);
    }
}

static void sort_rows(void *arg, int64_t begin, int64_t end) {
    job *j = arg;
    char *room = j->room + (size_t)(j->next_room++) * j->room_bytes;
    for (int64_t r = begin; r < end; r++) sort_row(j, r, room);
}

static bool sort(const terni_call *c, int64_t k) {
    const terni_view *x = c->in[0];
    job j = {.x = x,
             .o = c->opts,
             .values = c->out[0] ? c->out[0]->data : NULL,
             .index = c->out[1]->data,
             .n = x->shape[1],
             .k = k};
    if (x->shape[0] == 0 || k == 0) return true;
    j.room_bytes = 2 * (size_t)j.n * sizeof(pair);
    const int64_t parts = x->shape[0] < terni_cpu_threads() ? x->shape[0] : terni_cpu_threads();
    const size_t bytes = j.room_bytes * (size_t)parts;
    j.room = terni_cpu_host->alloc(bytes);
    if (!j.room) return false;
    terni_cpu_parallel(x->shape[0], GRAIN_ELEMENTS / j.n + 1, sort_rows, &j);
    terni_cpu_host->free(j.room, bytes);
    return true;
}

bool terni_cpu_sort(const terni_call *c) { return sort(c, c->in[0]->shape[1]); }
bool terni_cpu_topk(const terni_call *c) { return sort(c, c->out[1]->shape[1]); }

/* ---- kth ----------------------------------------------------------------------------------------------------------
 */

static void kth_rows(void *arg, int64_t begin, int64_t end) {
    const job *j = arg;
    const size_t size = terni_cpu_size(j->x->dtype);
    const bool floats = j->x->dtype <= TERN_BF16;
    for (int64_t r = begin; r < end; r++) {
        const char *row = (const char *)j->x->data + (size_t)(r * j->n) * size;
        int64_t below, at = -1, k = j->o->k;
        if (j->o->skip_nan) {
            int64_t count = 0;
            for (int64_t i = 0; i < j->n; i++)
                count += !floats || terni_key(j->x->dtype, row, i) != terni_key_top(j->x->dtype);
            k = count ? (count - 1) / 2 : 0;
        }
        uint64_t key = kth_key(j, row, k + 1, &below);
        if (j->o->nan_wins && floats)
            for (int64_t i = 0; at < 0 && i < j->n; i++)
                if (terni_key(j->x->dtype, row, i) == terni_key_top(j->x->dtype)) at = i;
        for (int64_t i = 0; at < 0; i++)
            if (terni_key(j->x->dtype, row, i) == key) at = i;
        j->index[r] = at;
        if (j->values) memcpy(j->values + (size_t)r * size, row + (size_t)at * size, size);
    }
}

bool terni_cpu_kth(const terni_call *c) {
    const terni_view *x = c->in[0];
    job j = {
        .x = x, .o = c->opts, .values = c->out[0] ? c->out[0]->data : NULL, .index = c->out[1]->data, .n = x->shape[1]};
    if (x->shape[0]) terni_cpu_parallel(x->shape[0], GRAIN_ELEMENTS / (j.n + 1) + 1, kth_rows, &j);
    return true;
}
