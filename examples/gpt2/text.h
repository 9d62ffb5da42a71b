/* Text as tokens: a corpus, its tokenizer, and batches of it. */
#ifndef GPT2_TEXT_H
#define GPT2_TEXT_H

#include <tern/tern.h>

typedef struct corpus {
    int32_t *ids; /* all tokens; the last tenth is for validation */
    int64_t n, n_train;
    int64_t bytes;          /* of text in the whole corpus */
    double bytes_per_token; /* of the validation part */
} corpus;

/* Encodes text. false after an error. For corpus_free. */
bool corpus_new(corpus *c, const tern_tokenizer *k, const char *text, size_t bytes);
void corpus_free(corpus *c);

/* Random pieces of the training part: x and y [batch, length] i64 on device, y the tokens that follow x's. In the
 * current scope; the draws are from the program's stream. */
bool corpus_batch(const corpus *c, int64_t batch, int64_t length, tern_device device, tern_tensor **x, tern_tensor **y);
/* How many pieces of length the validation part has. */
int64_t corpus_validation_pieces(const corpus *c, int64_t length);
/* Piece number i of them, [1, length]; false after an error. */
bool corpus_validation(const corpus *c, int64_t i, int64_t length, tern_device device, tern_tensor **x,
                       tern_tensor **y);

#endif
