/* The tokenizer's parts: tokenizer.c (tokens, encoding and decoding), tokenizer_files.c, tokenizer_train.c. Private. */
#ifndef TERNI_TOKENIZER_INTERNAL_H
#define TERNI_TOKENIZER_INTERNAL_H

#include "tern/tokenizer.h"

enum { TERNI_TOKENS_MOST = 1 << 24 };

typedef struct terni_token {
    char *bytes; /* with a 0 behind them that is not counted; NULL: no token of this number yet */
    size_t n;
    bool special;
} terni_token;

/* Two tokens in a row become one. */
typedef struct terni_merge {
    int32_t left, right, result;
} terni_merge;

struct tern_tokenizer {
    terni_token *tokens;
    int64_t n_tokens, cap_tokens;
    terni_merge *merges; /* in the order of their rank */
    int64_t n_merges, cap_merges;
    int32_t *by_bytes, *by_pair; /* hash tables: 1 + the number of a token, of a merge; 0 for none */
    int64_t n_by_bytes, n_by_pair;
    int32_t of_byte[256];
    void *words; /* the compiled pattern that splits text into words */
};

tern_tokenizer *terni_tokenizer_new(void);
/* Adds a token of this number, which was free; the bytes are copied. */
bool terni_tokenizer_put(tern_tokenizer *k, int64_t id, const char *bytes, size_t n, bool special);
bool terni_tokenizer_merge(tern_tokenizer *k, int32_t left, int32_t right, int32_t result);
/* When all tokens and merges are there: makes the tables. */
bool terni_tokenizer_ready(tern_tokenizer *k);
int32_t terni_tokenizer_find(const tern_tokenizer *k, const char *bytes, size_t n);

/* Calls f for each word of text, in order, until it gives false. */
typedef bool (*terni_word_fn)(void *user, const char *word, size_t n);
bool terni_tokenizer_words(const tern_tokenizer *k, const char *text, size_t bytes, terni_word_fn f, void *user);

/* GPT-2's way to write any byte as a printable character: byte b as the code point that this gives. */
int terni_byte_character(int byte);

#endif
