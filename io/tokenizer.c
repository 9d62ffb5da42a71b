/* Tokens, words and merges. Text is split into words by GPT-2's pattern, which PCRE2 runs; in a word the pair of the
 * lowest rank is merged until there is none: a list of the pieces, and a heap of the pairs in it. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "tokenizer_internal.h"

/* As in GPT-2's encoder.py. */
static const char word_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

tern_tokenizer *terni_tokenizer_new(void) {
    tern_tokenizer *k = terni_calloc(sizeof *k);
    if (!k) return NULL;
    int code;
    PCRE2_SIZE at;
    k->words = pcre2_compile((PCRE2_SPTR)word_pattern, PCRE2_ZERO_TERMINATED,
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &code, &at, NULL);
    if (!k->words) {
        terni_fail(TERN_ERR_MEMORY, "tokenizer: PCRE2 does not take the pattern (code %d)", code);
        tern_tokenizer_free(k);
        return NULL;
    }
    (void)pcre2_jit_compile(k->words, PCRE2_JIT_COMPLETE); /* without it matching is slower, no more */
    return k;
}

void tern_tokenizer_free(tern_tokenizer *k) {
    if (!k) return;
    for (int64_t i = 0; i < k->n_tokens; i++) terni_mfree(k->tokens[i].bytes);
    terni_mfree(k->tokens);
    terni_mfree(k->merges);
    terni_mfree(k->by_bytes);
    terni_mfree(k->by_pair);
    if (k->words) pcre2_code_free(k->words);
    terni_free(k, sizeof *k);
}

bool terni_tokenizer_put(tern_tokenizer *k, int64_t id, const char *bytes, size_t n, bool special) {
    if (id >= k->cap_tokens) {
        const int64_t cap = 2 * id + 512;
        terni_token *more = terni_resize(k->tokens, (size_t)cap * sizeof *more);
        if (!more) return false;
        memset(more + k->cap_tokens, 0, (size_t)(cap - k->cap_tokens) * sizeof *more);
        k->tokens = more;
        k->cap_tokens = cap;
    }
    char *copy = terni_malloc(n + 1);
    if (!copy) return false;
    memcpy(copy, bytes, n);
    copy[n] = 0;
    k->tokens[id] = (terni_token){copy, n, special};
    if (id >= k->n_tokens) k->n_tokens = id + 1;
    return true;
}

bool terni_tokenizer_merge(tern_tokenizer *k, int32_t left, int32_t right, int32_t result) {
    if (k->n_merges == k->cap_merges) {
        const int64_t cap = 2 * k->cap_merges + 512;
        terni_merge *more = terni_resize(k->merges, (size_t)cap * sizeof *more);
        if (!more) return false;
        k->merges = more;
        k->cap_merges = cap;
    }
    k->merges[k->n_merges++] = (terni_merge){left, right, result};
    return true;
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static uint64_t pair_hash(int32_t left, int32_t right) {
    const uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static int64_t bytes_slot(const tern_tokenizer *k, const char *bytes, size_t n) {
    int64_t at = (int64_t)(terni_hash(bytes, n) & (uint64_t)(k->n_by_bytes - 1));
    for (; k->by_bytes[at]; at = (at + 1) & (k->n_by_bytes - 1)) {
        const terni_token *t = &k->tokens[k->by_bytes[at] - 1];
        if (t->n == n && memcmp(t->bytes, bytes, n) == 0) break;
    }
    return at;
}
int32_t terni_tokenizer_find(const tern_tokenizer *k, const char *bytes, size_t n) {
    return k->by_bytes[bytes_slot(k, bytes, n)] - 1;
}

static int64_t pair_slot(const tern_tokenizer *k, int32_t left, int32_t right) {
    int64_t at = (int64_t)(pair_hash(left, right) & (uint64_t)(k->n_by_pair - 1));
    for (; k->by_pair[at]; at = (at + 1) & (k->n_by_pair - 1)) {
        const terni_merge *m = &k->merges[k->by_pair[at] - 1];
        if (m->left == left && m->right == right) break;
    }
    return at;
}

static int32_t *table_new(int64_t n, int64_t *size) {
    int64_t s = 64;
    while (s < 2 * n) s *= 2;
    int32_t *t = terni_malloc((size_t)s * sizeof *t);
    if (t) memset(t, 0, (size_t)s * sizeof *t);
    *size = s;
    return t;
}

bool terni_tokenizer_ready(tern_tokenizer *k) {
    k->by_bytes = table_new(k->n_tokens, &k->n_by_bytes);
    k->by_pair = table_new(k->n_merges, &k->n_by_pair);
    if (!k->by_bytes || !k->by_pair) return false;
    for (int64_t i = 0; i < k->n_tokens; i++)
        if (k->tokens[i].bytes) k->by_bytes[bytes_slot(k, k->tokens[i].bytes, k->tokens[i].n)] = (int32_t)i + 1;
    for (int64_t i = 0; i < k->n_merges; i++) {
        int32_t *place = &k->by_pair[pair_slot(k, k->merges[i].left, k->merges[i].right)];
        if (!*place) *place = (int32_t)i + 1; /* the first of two counts */
    }
    for (int b = 0; b < 256; b++) {
        const char c = (char)b;
        k->of_byte[b] = terni_tokenizer_find(k, &c, 1);
    }
    return true;
}

int64_t tern_tokenizer_size(const tern_tokenizer *k) { return k ? k->n_tokens : 0; }

int64_t tern_tokenizer_id(const tern_tokenizer *k, const char *token) {
    return k && token ? terni_tokenizer_find(k, token, strlen(token)) : -1;
}

const char *tern_tokenizer_token(const tern_tokenizer *k, int64_t id, size_t *bytes) {
    const bool is = k && id >= 0 && id < k->n_tokens && k->tokens[id].bytes;
    if (bytes) *bytes = is ? k->tokens[id].n : 0;
    return is ? k->tokens[id].bytes : NULL;
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

bool terni_tokenizer_words(const tern_tokenizer *k, const char *text, size_t bytes, terni_word_fn f, void *user) {
    pcre2_match_data *m = pcre2_match_data_create(1, NULL);
    if (!m) return terni_fail(TERN_ERR_MEMORY, "tokenizer: no memory to match");
    bool ok = true;
    for (size_t at = 0; ok && at < bytes;) {
        const int code = pcre2_match(k->words, (PCRE2_SPTR)text, bytes, at, 0, m, NULL);
        if (code < 0 && code != PCRE2_ERROR_NOMATCH) {
            ok = terni_fail(TERN_ERR_INTERNAL, "tokenizer: PCRE2 fails at byte %zu with code %d", at, code);
            break;
        }
        const PCRE2_SIZE *found = pcre2_get_ovector_pointer(m);
        const size_t from = code < 0 ? bytes : found[0], to = code < 0 ? bytes : found[1];
        if (from > at) ok = f(user, text + at, from - at); /* bytes that are no UTF-8 are a word of their own */
        if (ok && to > from) ok = f(user, text + from, to - from);
        at = to;
    }
    pcre2_match_data_free(m);
    return ok;
}

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

/* A piece of a word. */
typedef struct piece {
    int32_t id;
    int32_t before, after; /* -1 at the ends; a piece that was merged away has id -1 */
} piece;

/* A pair of pieces that could be merged: the rank, and where its left one is. */
typedef struct choice {
    int32_t rank, at;
} choice;

typedef struct encoder {
    const tern_tokenizer *k;
    int32_t *ids;
    int64_t n, cap;
    piece *pieces;
    choice *heap;
    int64_t n_heap, room; /* room: pieces that fit into pieces; heap has three times that */
} encoder;

static bool earlier(choice a, choice b) { return a.rank != b.rank ? a.rank < b.rank : a.at < b.at; }

static void heap_push(encoder *e, choice c) {
    int64_t i = e->n_heap++;
    for (; i > 0 && earlier(c, e->heap[(i - 1) / 2]); i = (i - 1) / 2) e->heap[i] = e->heap[(i - 1) / 2];
    e->heap[i] = c;
}
static choice heap_pop(encoder *e) {
    const choice top = e->heap[0], last = e->heap[--e->n_heap];
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < e->n_heap; i = child) {
        if (child + 1 < e->n_heap && earlier(e->heap[child + 1], e->heap[child])) child++;
        if (!earlier(e->heap[child], last)) break;
        e->heap[i] = e->heap[child];
    }
    e->heap[i] = last;
    return top;
}

/* Puts the pair that starts at piece `at` on the heap, if it can be merged. */
static void offer(encoder *e, int32_t at) {
    const int32_t next = at < 0 ? -1 : e->pieces[at].after;
    if (next < 0) return;
    const int32_t rank = e->k->by_pair[pair_slot(e->k, e->pieces[at].id, e->pieces[next].id)] - 1;
    if (rank >= 0) heap_push(e, (choice){rank, at});
}

static void merge_all(encoder *e, int32_t n) {
    e->n_heap = 0;
    for (int32_t i = 0; i + 1 < n; i++) offer(e, i);
    while (e->n_heap) {
        const choice c = heap_pop(e);
        piece *left = &e->pieces[c.at];
        const terni_merge *m = &e->k->merges[c.rank];
        if (left->id != m->left || left->after < 0 || e->pieces[left->after].id != m->right) continue; /* gone by now */
        piece *right = &e->pieces[left->after];
        left->id = m->result;
        left->after = right->after;
        right->id = -1;
        if (left->after >= 0) e->pieces[left->after].before = c.at;
        offer(e, left->before);
        offer(e, c.at);
    }
}

static void emit(encoder *e, int32_t id) {
    if (e->n < e->cap) e->ids[e->n] = id;
    e->n++;
}

static bool make_room(encoder *e, size_t n) {
    if ((int64_t)n <= e->room) return true;
    if (n > INT32_MAX / 4) return terni_fail(TERN_ERR_ARGUMENT, "tokenizer: a word of %zu bytes", n);
    piece *pieces = terni_resize(e->pieces, n * sizeof *pieces);
    if (!pieces) return false;
    e->pieces = pieces;
    choice *heap = terni_resize(e->heap, 3 * n * sizeof *heap); /* n - 1 pairs, and two for each of n - 1 merges */
    if (!heap) return false;
    e->heap = heap;
    e->room = (int64_t)n;
    return true;
}

static bool encode_word(void *user, const char *word, size_t n) {
    encoder *e = user;
    const int32_t whole = terni_tokenizer_find(e->k, word, n);
    if (n == 1 && whole >= 0) {
        emit(e, whole);
        return true;
    }
    if (!make_room(e, n)) return false;
    for (size_t i = 0; i < n; i++) {
        const int32_t id = e->k->of_byte[(unsigned char)word[i]];
        if (id < 0)
            return terni_fail(TERN_ERR_UNSUPPORTED, "tokenizer: the vocabulary has no token for byte %d",
                              (unsigned char)word[i]);
        e->pieces[i] = (piece){id, (int32_t)i - 1, i + 1 < n ? (int32_t)i + 1 : -1};
    }
    merge_all(e, (int32_t)n);
    for (int32_t i = 0; i >= 0; i = e->pieces[i].after) emit(e, e->pieces[i].id);
    return true;
}

/* Where the first special token in text stands (the longest of those there): its number; -1 if there is none. */
static int32_t find_special(const tern_tokenizer *k, const char *text, size_t bytes, size_t *at) {
    int32_t found = -1;
    *at = bytes;
    for (int64_t i = 0; i < k->n_tokens; i++) {
        const terni_token *t = &k->tokens[i];
        if (!t->bytes || !t->special || t->n == 0 || t->n > bytes) continue;
        const char *p = memmem(text, bytes, t->bytes, t->n);
        const size_t where = p ? (size_t)(p - text) : bytes;
        if (p && (where < *at || (where == *at && found >= 0 && t->n > k->tokens[found].n))) {
            *at = where;
            found = (int32_t)i;
        }
    }
    return found;
}

static bool encode_text(encoder *e, const char *text, size_t bytes, bool special) {
    if (!special) return terni_tokenizer_words(e->k, text, bytes, encode_word, e);
    while (bytes > 0) {
        size_t at;
        const int32_t id = find_special(e->k, text, bytes, &at);
        if (!terni_tokenizer_words(e->k, text, at, encode_word, e)) return false;
        if (id < 0) return true;
        emit(e, id);
        text += at + e->k->tokens[id].n;
        bytes -= at + e->k->tokens[id].n;
    }
    return true;
}

int64_t tern_tokenizer_encode(const tern_tokenizer *k, const char *text, size_t bytes, tern_encode_opts opts,
                              int32_t *ids, int64_t cap) {
    if (!terni_given(k, "tokenizer", "tokenizer") || (bytes && !terni_given(text, "tokenizer", "text"))) return -1;
    if (cap < 0 || (cap > 0 && !ids)) {
        terni_fail(TERN_ERR_ARGUMENT, "tokenizer: room for %lld numbers, ids %p", (long long)cap, (void *)ids);
        return -1;
    }
    encoder e = {.k = k, .ids = ids, .cap = cap};
    const bool ok = tern_ok() && encode_text(&e, text, bytes, opts.special);
    terni_mfree(e.pieces);
    terni_mfree(e.heap);
    return ok ? e.n : -1;
}

tern_tensor *tern_tokenizer_encode_tensor(const tern_tokenizer *k, const char *text, size_t bytes,
                                          tern_encode_opts opts) {
    /* A token has at least one byte. */
    int32_t *ids = terni_malloc((bytes + 1) * sizeof *ids);
    const int64_t n = ids ? tern_tokenizer_encode(k, text, bytes, opts, ids, (int64_t)bytes) : -1;
    tern_tensor *t = n >= 0 ? tern_empty(TERN_SHAPE(n), (tern_options){.dtype = TERN_I64}) : NULL;
    int64_t *out = t ? tern_data(t) : NULL;
    for (int64_t i = 0; out && i < n; i++) out[i] = ids[i];
    terni_mfree(ids);
    return t;
}

int64_t tern_tokenizer_decode(const tern_tokenizer *k, const int32_t *ids, int64_t n, char *buf, size_t cap) {
    if (!terni_given(k, "tokenizer", "tokenizer") || (n > 0 && !terni_given(ids, "tokenizer", "ids"))) return -1;
    size_t total = 0;
    for (int64_t i = 0; i < n; i++) {
        size_t bytes;
        const char *p = tern_tokenizer_token(k, ids[i], &bytes);
        if (!p) {
            terni_fail(TERN_ERR_INDEX, "tokenizer: number %d at %lld is no token; there are %lld", ids[i], (long long)i,
                       (long long)k->n_tokens);
            return -1;
        }
        if (total + 1 < cap) memcpy(buf + total, p, bytes < cap - 1 - total ? bytes : cap - 1 - total);
        total += bytes;
    }
    if (cap) buf[total < cap ? total : cap - 1] = 0;
    return (int64_t)total;
}
