/* Learning a vocabulary: the words of the text are counted once; then, again and again, the most frequent pair of
 * neighbours in them becomes a token. A pair remembers the words that it may be in, so that a merge looks at those
 * only; a heap of pairs holds counts that may be old, and what comes out old goes back in with its present count. */
#include <string.h>

#include "internal.h"
#include "tokenizer_internal.h"

typedef struct word {
    size_t at;        /* of its first byte in the text */
    int32_t n, first; /* pieces: how many, and where they start in `ids` */
    int64_t count;
} word;

typedef struct pair {
    int32_t left, right;
    int64_t count;
    int32_t *words; /* that it may be in, in the order of their finding */
    int32_t n_words, cap_words;
} pair;

typedef struct trainer {
    tern_tokenizer *k;
    const char *text;
    word *words;
    int64_t n_words, cap_words;
    int32_t *word_table;
    int64_t n_word_table;
    int32_t *ids; /* the words' pieces */
    pair *pairs;
    int64_t n_pairs, cap_pairs;
    int32_t *pair_table;
    int64_t n_pair_table;
    struct entry {
        int64_t count;
        int32_t pair;
    } * heap;
    int64_t n_heap, cap_heap;
} trainer;

/* The array, with room for one more; NULL after an error, and the old one stays. */
static void *grown(void *array, int64_t n, int64_t *cap, size_t size) {
    if (n < *cap) return array;
    const int64_t more = 2 * *cap + 256;
    void *q = terni_resize(array, (size_t)more * size);
    if (q) *cap = more;
    return q;
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

static bool rehash_words(trainer *r) {
    const int64_t size = r->n_word_table ? 4 * r->n_word_table : 1 << 12;
    int32_t *t = terni_malloc((size_t)size * sizeof *t);
    if (!t) return false;
    memset(t, 0, (size_t)size * sizeof *t);
    for (int64_t i = 0; i < r->n_words; i++) {
        int64_t at = (int64_t)(terni_hash(r->text + r->words[i].at, (size_t)r->words[i].n) & (uint64_t)(size - 1));
        while (t[at]) at = (at + 1) & (size - 1);
        t[at] = (int32_t)i + 1;
    }
    terni_mfree(r->word_table);
    r->word_table = t;
    r->n_word_table = size;
    return true;
}

static bool count_word(void *user, const char *text, size_t n) {
    trainer *r = user;
    if (n > INT32_MAX / 4) return terni_fail(TERN_ERR_ARGUMENT, "tokenizer: a word of %zu bytes", n);
    if (2 * r->n_words >= r->n_word_table && !rehash_words(r)) return false;
    int64_t at = (int64_t)(terni_hash(text, n) & (uint64_t)(r->n_word_table - 1));
    for (; r->word_table[at]; at = (at + 1) & (r->n_word_table - 1)) {
        word *w = &r->words[r->word_table[at] - 1];
        if ((size_t)w->n == n && memcmp(r->text + w->at, text, n) == 0) {
            w->count++;
            return true;
        }
    }
    if (r->n_words >= INT32_MAX - 1) return terni_fail(TERN_ERR_ARGUMENT, "tokenizer: more than 2^31 different words");
    word *words = grown(r->words, r->n_words, &r->cap_words, sizeof *words);
    if (!words) return false;
    r->words = words;
    r->words[r->n_words] = (word){.at = (size_t)(text - r->text), .n = (int32_t)n, .count = 1};
    r->word_table[at] = (int32_t)++r->n_words;
    return true;
}

static bool split_words(trainer *r) {
    int64_t total = 0;
    for (int64_t i = 0; i < r->n_words; i++) total += r->words[i].n;
    if (total > INT32_MAX)
        return terni_fail(TERN_ERR_ARGUMENT, "tokenizer: different words of %lld bytes", (long long)total);
    r->ids = terni_malloc((size_t)(total + 1) * sizeof *r->ids);
    if (!r->ids) return false;
    int32_t at = 0;
    for (int64_t i = 0; i < r->n_words; i++) {
        word *w = &r->words[i];
        w->first = at;
        for (int32_t j = 0; j < w->n; j++) r->ids[at++] = r->k->of_byte[(unsigned char)r->text[w->at + (size_t)j]];
    }
    return true;
}

/* ---- pairs ------------------------------------------------------------------------------------------------------- */

static uint64_t pair_hash(int32_t left, int32_t right) {
    const uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static int64_t pair_slot(const trainer *r, int32_t left, int32_t right) {
    int64_t at = (int64_t)(pair_hash(left, right) & (uint64_t)(r->n_pair_table - 1));
    for (; r->pair_table[at]; at = (at + 1) & (r->n_pair_table - 1)) {
        const pair *p = &r->pairs[r->pair_table[at] - 1];
        if (p->left == left && p->right == right) break;
    }
    return at;
}

static bool rehash_pairs(trainer *r) {
    const int64_t size = r->n_pair_table ? 4 * r->n_pair_table : 1 << 12;
    int32_t *t = terni_malloc((size_t)size * sizeof *t);
    if (!t) return false;
    memset(t, 0, (size_t)size * sizeof *t);
    terni_mfree(r->pair_table);
    r->pair_table = t;
    r->n_pair_table = size;
    for (int64_t i = 0; i < r->n_pairs; i++)
        r->pair_table[pair_slot(r, r->pairs[i].left, r->pairs[i].right)] = (int32_t)i + 1;
    return true;
}

/* count more (or fewer) of the pair, in word w. */
static bool count_pair(trainer *r, int32_t left, int32_t right, int64_t count, int32_t w) {
    if (2 * r->n_pairs >= r->n_pair_table && !rehash_pairs(r)) return false;
    const int64_t at = pair_slot(r, left, right);
    if (!r->pair_table[at]) {
        pair *pairs = grown(r->pairs, r->n_pairs, &r->cap_pairs, sizeof *pairs);
        if (!pairs) return false;
        r->pairs = pairs;
        r->pairs[r->n_pairs] = (pair){.left = left, .right = right};
        r->pair_table[at] = (int32_t)++r->n_pairs;
    }
    pair *p = &r->pairs[r->pair_table[at] - 1];
    p->count += count;
    if (count < 0 || (p->n_words && p->words[p->n_words - 1] == w)) return true;
    if (p->n_words == p->cap_words) {
        const int32_t cap = 2 * p->cap_words + 4;
        int32_t *more = terni_resize(p->words, (size_t)cap * sizeof *more);
        if (!more) return false;
        p->words = more;
        p->cap_words = cap;
    }
    p->words[p->n_words++] = w;
    return true;
}

static bool count_pairs(trainer *r) {
    for (int64_t i = 0; i < r->n_words; i++) {
        const word *w = &r->words[i];
        for (int32_t j = 0; j + 1 < w->n; j++)
            if (!count_pair(r, r->ids[w->first + j], r->ids[w->first + j + 1], w->count, (int32_t)i)) return false;
    }
    return true;
}

/* ---- the heap: the largest count first, then the lower numbers
 * --------------------------------------------------------- */

static bool better(const trainer *r, struct entry a, struct entry b) {
    if (a.count != b.count) return a.count > b.count;
    const pair *p = &r->pairs[a.pair], *q = &r->pairs[b.pair];
    return p->left != q->left ? p->left < q->left : p->right < q->right;
}

static bool heap_push(trainer *r, int32_t which) {
    struct entry *heap = grown(r->heap, r->n_heap, &r->cap_heap, sizeof *heap);
    if (!heap) return false;
    r->heap = heap;
    const struct entry e = {r->pairs[which].count, which};
    int64_t i = r->n_heap++;
    for (; i > 0 && better(r, e, r->heap[(i - 1) / 2]); i = (i - 1) / 2) r->heap[i] = r->heap[(i - 1) / 2];
    r->heap[i] = e;
    return true;
}

static struct entry heap_pop(trainer *r) {
    const struct entry top = r->heap[0], last = r->heap[--r->n_heap];
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < r->n_heap; i = child) {
        if (child + 1 < r->n_heap && better(r, r->heap[child + 1], r->heap[child])) child++;
        if (!better(r, r->heap[child], last)) break;
        r->heap[i] = r->heap[child];
    }
    r->heap[i] = last;
    return top;
}

/* ---- merging ----------------------------------------------------------------------------------------------------- */

/* Merges left and right in word w wherever they stand together; the counts of the pairs around change. */
static bool merge_in(trainer *r, int32_t number, int32_t left, int32_t right, int32_t result) {
    word *w = &r->words[number];
    int32_t *id = r->ids + w->first, n = 0;
    for (int32_t j = 0; j < w->n; j++) {
        if (j + 1 == w->n || id[j] != left || id[j + 1] != right) {
            id[n++] = id[j];
            continue;
        }
        if (n > 0 &&
            (!count_pair(r, id[n - 1], left, -w->count, number) || !count_pair(r, id[n - 1], result, w->count, number)))
            return false;
        if (j + 2 < w->n && (!count_pair(r, right, id[j + 2], -w->count, number) ||
                             !count_pair(r, result, id[j + 2], w->count, number)))
            return false;
        id[n++] = result;
        j++;
    }
    w->n = n;
    return true;
}

/* The pair becomes a token. */
static bool merge_pair(trainer *r, int32_t which) {
    const pair p = r->pairs[which]; /* the array may move */
    tern_tokenizer *k = r->k;
    const terni_token *a = &k->tokens[p.left], *b = &k->tokens[p.right];
    const size_t n = a->n + b->n;
    char *bytes = terni_malloc(n + 1);
    if (!bytes) return false;
    memcpy(bytes, a->bytes, a->n);
    memcpy(bytes + a->n, b->bytes, b->n);
    const int32_t result = (int32_t)k->n_tokens;
    bool ok = terni_tokenizer_put(k, result, bytes, n, false) && terni_tokenizer_merge(k, p.left, p.right, result);
    terni_mfree(bytes);
    const int64_t first_new = r->n_pairs;
    for (int32_t i = 0; ok && i < p.n_words; i++) ok = merge_in(r, p.words[i], p.left, p.right, result);
    r->pairs[which].count = 0;
    for (int64_t i = first_new; ok && i < r->n_pairs; i++) ok = heap_push(r, (int32_t)i);
    terni_mfree(r->pairs[which].words); /* it can not come again */
    r->pairs[which].words = NULL;
    r->pairs[which].n_words = r->pairs[which].cap_words = 0;
    return ok;
}

static bool learn(trainer *r, int64_t size, int64_t min_count) {
    bool ok = true;
    for (int64_t i = 0; ok && i < r->n_pairs; i++) ok = heap_push(r, (int32_t)i);
    while (ok && r->k->n_tokens < size && r->n_heap) {
        const struct entry e = heap_pop(r);
        const int64_t count = r->pairs[e.pair].count;
        if (count != e.count)
            ok = count < min_count || heap_push(r, e.pair);
        else if (count < min_count)
            break;
        else
            ok = merge_pair(r, e.pair);
    }
    return ok;
}

static void trainer_free(trainer *r) {
    for (int64_t i = 0; i < r->n_pairs; i++) terni_mfree(r->pairs[i].words);
    terni_mfree(r->words);
    terni_mfree(r->word_table);
    terni_mfree(r->ids);
    terni_mfree(r->pairs);
    terni_mfree(r->pair_table);
    terni_mfree(r->heap);
}

/* The special tokens, then the bytes in the order of their characters in files. */
static bool first_tokens(tern_tokenizer *k, tern_tokenizer_opts o) {
    for (int i = 0; i < o.n_special; i++) {
        if (!o.special[i] || !*o.special[i])
            return terni_fail(TERN_ERR_ARGUMENT, "tokenizer: special token %d is empty", i);
        if (!terni_tokenizer_put(k, i, o.special[i], strlen(o.special[i]), true)) return false;
    }
    int64_t id = o.n_special;
    for (int character = 0; character < 512; character++)
        for (int b = 0; b < 256; b++) {
            const char c = (char)b;
            if (terni_byte_character(b) == character && !terni_tokenizer_put(k, id++, &c, 1, false)) return false;
        }
    return true;
}

static bool train(tern_tokenizer *k, const char *text, size_t bytes, int64_t size, tern_tokenizer_opts o) {
    trainer r = {.k = k, .text = text};
    bool ok = first_tokens(k, o) && terni_tokenizer_ready(k) && terni_tokenizer_words(k, text, bytes, count_word, &r) &&
              split_words(&r) && count_pairs(&r) && learn(&r, size, o.min_count ? o.min_count : 2);
    trainer_free(&r);
    terni_mfree(k->by_bytes);
    terni_mfree(k->by_pair);
    k->by_bytes = k->by_pair = NULL;
    return ok && terni_tokenizer_ready(k);
}

tern_tokenizer *tern_tokenizer_train(const char *text, size_t bytes, int64_t size, tern_tokenizer_opts opts) {
    if (!tern_ok() || (bytes && !terni_given(text, "tokenizer", "text"))) return NULL;
    if (opts.n_special < 0 || (opts.n_special > 0 && !opts.special) || size < 256 + (int64_t)opts.n_special ||
        size > TERNI_TOKENS_MOST || opts.min_count < 0)
        return terni_null(
            TERN_ERR_ARGUMENT,
            "tokenizer: %lld tokens, %d of them special, pairs that come %lld times; expected 256 and the "
            "special ones, to %d, and no negative count",
            (long long)size, opts.n_special, (long long)opts.min_count, TERNI_TOKENS_MOST);
    tern_tokenizer *k = terni_tokenizer_new();
    if (k && train(k, text, bytes, size, opts)) return k;
    tern_tokenizer_free(k);
    return NULL;
}
