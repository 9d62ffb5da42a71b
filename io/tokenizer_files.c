/* vocab.json (token to number, by Jansson) and merges.txt (a pair a line), in which each byte is a printable character.
 */
#include <string.h>

#include "internal.h"
#include "json.h"
#include "replace.h"
#include "tokenizer_internal.h"

enum { FILE_MOST = 256 << 20 };

/* Printable bytes stand for themselves, the others for the code points from 256 on, in order. */
int terni_byte_character(int byte) {
    const int hidden = byte <= 32 ? byte : byte <= 160 ? byte - 127 + 33 : 67;
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
    return printable ? byte : 256 + hidden;
}

/* The code point at *p, which moves on; -1 where there is none. Only what terni_byte_character gives is needed: up to
 * two bytes. */
static int next_character(const char **p, const char *end) {
    const unsigned char a = (unsigned char)*(*p)++;
    if (a < 0x80) return a;
    if (a >> 5 != 6 || *p >= end || ((unsigned char)**p & 0xc0) != 0x80) return -1;
    return (a & 31) << 6 | ((unsigned char)*(*p)++ & 63);
}

static void byte_of_character(int16_t *table) {
    for (int i = 0; i < 512; i++) table[i] = -1;
    for (int b = 0; b < 256; b++) table[terni_byte_character(b)] = (int16_t)b;
}

/* Characters to bytes, in place of out (n bytes at most). -1 for one that stands for no byte. */
static int64_t to_bytes(const int16_t *table, const char *text, size_t n, char *out) {
    const char *end = text + n;
    int64_t count = 0;
    while (text < end) {
        const int c = next_character(&text, end);
        if (c < 0 || c >= 512 || table[c] < 0) return -1;
        out[count++] = (char)table[c];
    }
    return count;
}

static size_t to_characters(const char *bytes, size_t n, char *out) {
    char *p = out;
    for (size_t i = 0; i < n; i++) {
        const int c = terni_byte_character((unsigned char)bytes[i]);
        if (c < 128)
            *p++ = (char)c;
        else {
            *p++ = (char)(0xc0 | c >> 6);
            *p++ = (char)(0x80 | (c & 63));
        }
    }
    *p = 0;
    return (size_t)(p - out);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static bool add_token(tern_tokenizer *k, const char *path, const int16_t *table, const char *key, size_t n,
                      const json_t *v) {
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) >= TERNI_TOKENS_MOST)
        return terni_fail(TERN_ERR_FORMAT, "tokenizer: %s: the number of %.40s is not 0 to %d", path, key,
                          TERNI_TOKENS_MOST - 1);
    const int64_t id = json_integer_value(v);
    if (n == 0) return terni_fail(TERN_ERR_FORMAT, "tokenizer: %s: token %lld is empty", path, (long long)id);
    if (id < k->n_tokens && k->tokens[id].bytes)
        return terni_fail(TERN_ERR_FORMAT, "tokenizer: %s: two tokens have the number %lld", path, (long long)id);
    char *bytes = terni_malloc(n + 1);
    if (!bytes) return false;
    const int64_t count = to_bytes(table, key, n, bytes);
    /* What is written <|so|> is a token by itself, as is what no bytes can be made of. */
    const bool special = count < 0 || (n > 4 && memcmp(key, "<|", 2) == 0 && memcmp(key + n - 2, "|>", 2) == 0);
    const bool ok =
        special ? terni_tokenizer_put(k, id, key, n, true) : terni_tokenizer_put(k, id, bytes, (size_t)count, false);
    terni_mfree(bytes);
    return ok;
}

static bool load_vocab(tern_tokenizer *k, const char *path, const int16_t *table) {
    void *text;
    size_t n;
    if (!terni_file_read("tokenizer", path, FILE_MOST, &text, &n)) return false;
    json_error_t e;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e), *v;
    terni_mfree(text);
    if (!root) return terni_fail(TERN_ERR_FORMAT, "tokenizer: %s is not JSON: %s at byte %d", path, e.text, e.position);
    const size_t count = json_object_size(root);
    bool ok = count > 0 || terni_fail(TERN_ERR_FORMAT, "tokenizer: %s is no object of tokens and their numbers", path);
    const char *key;
    if (ok) json_object_foreach(root, key, v) {
            ok = add_token(k, path, table, key, strlen(key), v);
            if (!ok) break;
        }
    json_decref(root);
    if (ok && (size_t)k->n_tokens > 2 * count + 1024)
        ok = terni_fail(TERN_ERR_FORMAT, "tokenizer: %s: %zu tokens have numbers up to %lld", path, count,
                        (long long)k->n_tokens - 1);
    return ok;
}

static bool add_merge(tern_tokenizer *k, const char *path, int64_t number, const int16_t *table, const char *line,
                      size_t n) {
    const char *space = memchr(line, ' ', n);
    char *bytes = terni_malloc(n + 1);
    if (!bytes) return false;
    const int64_t a = space ? to_bytes(table, line, (size_t)(space - line), bytes) : -1;
    const int64_t b = a > 0 ? to_bytes(table, space + 1, n - (size_t)(space - line) - 1, bytes + a) : -1;
    bool ok = b > 0 || terni_fail(TERN_ERR_FORMAT, "tokenizer: %s: line %lld is no pair of tokens: %.60s", path,
                                  (long long)number, line);
    if (ok) {
        const int32_t left = terni_tokenizer_find(k, bytes, (size_t)a),
                      right = terni_tokenizer_find(k, bytes + a, (size_t)b),
                      whole = terni_tokenizer_find(k, bytes, (size_t)(a + b));
        ok = left >= 0 && right >= 0 && whole >= 0
                 ? terni_tokenizer_merge(k, left, right, whole)
                 : terni_fail(TERN_ERR_FORMAT, "tokenizer: %s: line %lld merges what is not in the vocabulary: %.60s",
                              path, (long long)number, line);
    }
    terni_mfree(bytes);
    return ok;
}

static bool load_merges(tern_tokenizer *k, const char *path, const int16_t *table) {
    void *text;
    size_t n;
    if (!terni_file_read("tokenizer", path, FILE_MOST, &text, &n)) return false;
    bool ok = true;
    int64_t number = 1;
    char *end = (char *)text + n;
    for (char *line = text; ok && line < end; number++) {
        char *stop = memchr(line, '\n', (size_t)(end - line));
        if (!stop) stop = end;
        size_t length = (size_t)(stop - line);
        *stop = 0; /* there is a byte behind the last line too */
        if (length && line[length - 1] == '\r') length--;
        if (length && !(number == 1 && strncmp(line, "#version", 8) == 0))
            ok = add_merge(k, path, number, table, line, length);
        line = stop + 1;
    }
    terni_mfree(text);
    return ok;
}

tern_tokenizer *tern_tokenizer_load(const char *vocab_path, const char *merges_path) {
    if (!terni_given(vocab_path, "tokenizer", "vocab_path") || !terni_given(merges_path, "tokenizer", "merges_path"))
        return NULL;
    tern_tokenizer *k = tern_ok() ? terni_tokenizer_new() : NULL;
    int16_t table[512];
    byte_of_character(table);
    /* The merges need the table of tokens, and are in a table of their own after that. */
    bool ok = k && load_vocab(k, vocab_path, table) && terni_tokenizer_ready(k) && load_merges(k, merges_path, table);
    if (ok) {
        terni_mfree(k->by_bytes);
        terni_mfree(k->by_pair);
        k->by_bytes = k->by_pair = NULL;
        ok = terni_tokenizer_ready(k);
    }
    if (ok) return k;
    tern_tokenizer_free(k);
    return NULL;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static bool write_text(const char *path, const char *text, size_t n) {
    terni_replace r;
    return terni_replace_begin(&r, "tokenizer", path) && terni_replace_end(&r, terni_replace_write(&r, text, n));
}

/* A token as the files have it, for terni_mfree. */
static char *written(const terni_token *t) {
    char *text = terni_malloc(2 * t->n + 1);
    if (text && t->special)
        memcpy(text, t->bytes, t->n + 1);
    else if (text)
        to_characters(t->bytes, t->n, text);
    return text;
}

static bool save_vocab(const tern_tokenizer *k, const char *path) {
    json_t *root = json_object();
    bool ok = root != NULL;
    for (int64_t i = 0; ok && i < k->n_tokens; i++) {
        if (!k->tokens[i].bytes) continue;
        char *text = written(&k->tokens[i]);
        ok = text && (json_object_set_new(root, text, json_integer(i)) == 0 ||
                      terni_fail(TERN_ERR_ARGUMENT, "tokenizer: the token %s is not UTF-8", text));
        terni_mfree(text);
    }
    char *all = ok || tern_ok() ? terni_json_text("tokenizer", ok ? root : NULL, JSON_COMPACT, 0) : NULL;
    json_decref(root);
    ok = all && write_text(path, all, strlen(all));
    terni_mfree(all);
    return ok;
}

static bool save_merges(const tern_tokenizer *k, const char *path) {
    static const char first[] = "#version: 0.2\n";
    terni_replace r;
    if (!terni_replace_begin(&r, "tokenizer", path)) return false;
    bool ok = terni_replace_write(&r, first, sizeof first - 1);
    for (int64_t i = 0; ok && i < k->n_merges; i++) {
        char *a = written(&k->tokens[k->merges[i].left]), *b = written(&k->tokens[k->merges[i].right]);
        ok = a && b && terni_replace_write(&r, a, strlen(a)) && terni_replace_write(&r, " ", 1) &&
             terni_replace_write(&r, b, strlen(b)) && terni_replace_write(&r, "\n", 1);
        terni_mfree(a);
        terni_mfree(b);
    }
    return terni_replace_end(&r, ok);
}

bool tern_tokenizer_save(const tern_tokenizer *k, const char *vocab_path, const char *merges_path) {
    if (!terni_given(k, "tokenizer", "tokenizer") || !terni_given(vocab_path, "tokenizer", "vocab_path") ||
        !terni_given(merges_path, "tokenizer", "merges_path"))
        return false;
    return save_vocab(k, vocab_path) && save_merges(k, merges_path);
}
