/* Byte-pair encoding as GPT-2 has it: text to numbers and back. Loads GPT-2's vocab.json and merges.txt (and those of
 * any byte-level BPE with its way of splitting words), or learns a new vocabulary from text.
 *
 *     tern_tokenizer *k = tern_tokenizer_load("vocab.json", "merges.txt");
 *     int64_t n = tern_tokenizer_encode(k, text, strlen(text), (tern_encode_opts){0}, NULL, 0);      (counts)
 *     n = tern_tokenizer_encode(k, text, strlen(text), (tern_encode_opts){0}, ids, n);
 *
 * A tokenizer is not changed by what reads it, so threads may share it. Source: Sennrich, Haddow and Birch, arXiv
 * 1508.07909; Radford et al., Language Models are Unsupervised Multitask Learners, 2019. */
#ifndef TERN_TOKENIZER_H
#define TERN_TOKENIZER_H

#include "tern/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tern_tokenizer tern_tokenizer;

/* For tern_tokenizer_free. Errors: TERN_ERR_IO, TERN_ERR_FORMAT (what, where and what was expected), TERN_ERR_MEMORY.
 */
TERN_API tern_tokenizer *tern_tokenizer_load(const char *vocab_path, const char *merges_path);
TERN_API void tern_tokenizer_free(tern_tokenizer *k);
/* Writes both files; each replaces the old one as a whole. */
TERN_API bool tern_tokenizer_save(const tern_tokenizer *k, const char *vocab_path, const char *merges_path);

typedef struct tern_tokenizer_opts {
    int64_t min_count;          /* pairs that are rarer are not merged; 2 if zero */
    const char *const *special; /* tokens that stand for themselves ("<|endoftext|>"); they get the first numbers */
    int n_special;
} tern_tokenizer_opts;
/* Learns from text until there are `size` tokens or no pair is frequent enough: the special ones, the 256 bytes, then
 * merges, the most frequent pair first (of two as frequent that of the lower numbers). For tern_tokenizer_free. Errors:
 * TERN_ERR_ARGUMENT if size is below 256 and the special ones, or above 2^24. */
TERN_API tern_tokenizer *tern_tokenizer_train(const char *text, size_t bytes, int64_t size, tern_tokenizer_opts opts);

/* How many tokens there are: numbers are 0 to one less. 0 for NULL. */
TERN_API int64_t tern_tokenizer_size(const tern_tokenizer *k);
/* The number of a token given as its bytes ("<|endoftext|>", " the"); -1 if there is none (no error). */
TERN_API int64_t tern_tokenizer_id(const tern_tokenizer *k, const char *token);
/* The bytes of token id, not closed by a 0, and their count. NULL and 0 if there is none. Owner: k. */
TERN_API const char *tern_tokenizer_token(const tern_tokenizer *k, int64_t id, size_t *bytes);

typedef struct tern_encode_opts {
    bool special; /* "<|endoftext|>" and other special tokens in the text become their one number; else they are text */
} tern_encode_opts;
/* The numbers of text's tokens, up to cap of them, into ids. Returns how many there are, also if cap is less; -1 on
 * errors. Any bytes can be encoded, UTF-8 or not. */
TERN_API int64_t tern_tokenizer_encode(const tern_tokenizer *k, const char *text, size_t bytes, tern_encode_opts opts,
                                       int32_t *ids, int64_t cap);
/* The same as a tensor [n], i64. Owner: the current scope. */
TERN_API tern_tensor *tern_tokenizer_encode_tensor(const tern_tokenizer *k, const char *text, size_t bytes,
                                                   tern_encode_opts opts);
/* The text of n numbers, up to cap bytes with a 0 behind it, into buf. Returns how many bytes there are without the 0,
 * also if cap is less; -1 on errors: TERN_ERR_INDEX for a number that is no token. (A piece of the numbers may end
 * within a character.) */
TERN_API int64_t tern_tokenizer_decode(const tern_tokenizer *k, const int32_t *ids, int64_t n, char *buf, size_t cap);

#ifdef __cplusplus
}
#endif
#endif
