/* safetensors: 8 bytes of length (little-endian), a JSON header of that length, then the tensors' bytes without holes.
 * The header is parsed by Jansson. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive_internal.h"
#include "internal.h"
#include "json.h"
#include "replace.h"

enum { HEADER_MOST = 100 << 20 }; /* as the format's own library has it */

/* ---- kinds of elements ------------------------------------------------------------------------------------------- */

typedef struct kind {
    const char *name;
    size_t size; /* in the file */
    tern_dtype dtype;
    bool widens; /* terni_widen turns its elements into dtype's */
    char sign;   /* 'i' or 'u' for those */
} kind;
static const kind kinds[] = {
    {"F64", 8, TERN_F64, false, 0},   {"F32", 4, TERN_F32, false, 0},   {"F16", 2, TERN_F16, false, 0},
    {"BF16", 2, TERN_BF16, false, 0}, {"I64", 8, TERN_I64, false, 0},   {"I32", 4, TERN_I32, false, 0},
    {"U8", 1, TERN_U8, false, 0},     {"BOOL", 1, TERN_BOOL, false, 0}, {"I8", 1, TERN_I32, true, 'i'},
    {"I16", 2, TERN_I32, true, 'i'},  {"U16", 2, TERN_I32, true, 'u'},  {"U32", 4, TERN_I64, true, 'u'},
    {"U64", 8, TERN_I64, true, 'u'}};

static const kind *kind_named(const char *name) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
    return NULL;
}

static const char *name_of(tern_dtype d) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].dtype == d && !kinds[i].widens) return kinds[i].name;
    return "";
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* The file's bytes, for as long as a tensor lies in them. */
typedef struct mapping {
    atomic_long refs;
    void *base;
    size_t size;
} mapping;

static void mapping_drop(void *p) {
    mapping *m = p;
    if (atomic_fetch_sub(&m->refs, 1) != 1) return;
    munmap(m->base, m->size);
    terni_free(m, sizeof *m);
}

typedef struct source {
    const char *path;
    int fd;
    size_t size, data; /* of the file; where the tensors start */
    mapping *map;      /* NULL: read */
} source;

static bool damaged(const source *s, const char *what, const char *name) {
    return terni_fail(TERN_ERR_FORMAT, "safetensors: %s: %s%s%s", s->path, what, name ? " of tensor " : "",
                      name ? name : "");
}

static bool read_at(const source *s, size_t at, void *p, size_t bytes) {
    for (size_t n = 0; n < bytes;) {
        const ssize_t got = pread(s->fd, (char *)p + n, bytes - n < (1u << 30) ? bytes - n : 1u << 30, (off_t)(at + n));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return terni_fail(TERN_ERR_IO, "safetensors: %s: %s", s->path, strerror(errno));
        if (got == 0) return terni_fail(TERN_ERR_FORMAT, "safetensors: %s ends at byte %zu", s->path, at + n);
        n += (size_t)got;
    }
    return true;
}

static bool open_source(source *s, const char *path) {
    struct stat st;
    *s = (source){.path = path};
    s->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe must not block */
    if (s->fd < 0 || fstat(s->fd, &st) != 0) {
        const int e = errno;
        if (s->fd >= 0) close(s->fd);
        return terni_fail(TERN_ERR_IO, "safetensors: %s: %s", path, strerror(e));
    }
    if (!S_ISREG(st.st_mode)) {
        close(s->fd);
        return terni_fail(TERN_ERR_IO, "safetensors: %s is not a file", path);
    }
    s->size = (size_t)st.st_size;
    return true;
}

static void close_source(source *s) {
    if (s->map) mapping_drop(s->map);
    close(s->fd);
}

static bool map_source(source *s) {
    s->map = terni_alloc(sizeof *s->map);
    if (!s->map) return false;
    /* Private: whoever writes to a tensor gets pages of its own. */
    void *base = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, s->fd, 0);
    if (base == MAP_FAILED) {
        terni_free(s->map, sizeof *s->map);
        s->map = NULL;
        return terni_fail(TERN_ERR_IO, "safetensors: %s cannot be mapped: %s", s->path, strerror(errno));
    }
    *s->map = (mapping){.base = base, .size = s->size};
    atomic_init(&s->map->refs, 1);
    return true;
}

static json_t *read_header(source *s) {
    unsigned char b[8];
    if (s->size < 10)
        return terni_null(TERN_ERR_FORMAT, "safetensors: %s is shorter than any safetensors file", s->path);
    if (!read_at(s, 0, b, 8)) return NULL;
    uint64_t n = 0;
    for (int i = 0; i < 8; i++) n |= (uint64_t)b[i] << (8 * i);
    if (n > HEADER_MOST || n > s->size - 8 || n < 2)
        return terni_file_pickle("safetensors", s->path, NULL, 0)
                   ? NULL
                   : terni_null(
                         TERN_ERR_FORMAT,
                         "safetensors: %s says that its header has %llu bytes; its size is %zu: it is cut off or "
                         "no safetensors file",
                         s->path, (unsigned long long)n, s->size);
    s->data = 8 + (size_t)n;
    char *text = terni_malloc((size_t)n);
    json_error_t e;
    json_t *root = NULL;
    if (text && read_at(s, 8, text, (size_t)n)) {
        root = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &e);
        if (!root)
            terni_fail(json_error_code(&e) == json_error_out_of_memory ? TERN_ERR_MEMORY : TERN_ERR_FORMAT,
                       "safetensors: %s: the header is not JSON: %s at byte %d", s->path, e.text, 8 + e.position);
        else if (!json_is_object(root)) {
            damaged(s, "the header is no JSON object", NULL);
            json_decref(root);
            root = NULL;
        }
    }
    terni_mfree(text);
    return root;
}

typedef struct item {
    const char *name;
    const kind *kind;
    tern_shape shape;
    uint64_t begin, end;
} item;

static bool read_shape(const source *s, const char *name, const json_t *dims, item *it) {
    if (!json_is_array(dims)) return damaged(s, "there is no shape", name);
    const size_t n = json_array_size(dims);
    if (n > TERN_MAX_DIMS) {
        return terni_fail(TERN_ERR_UNSUPPORTED, "safetensors: %s: tensor %s has %zu dimensions; Tern has %d at most",
                          s->path, name, n, TERN_MAX_DIMS);
    }
    it->shape.ndim = (int)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *d = json_array_get(dims, i);
        if (!json_is_integer(d) || json_integer_value(d) < 0) return damaged(s, "there is no sensible shape", name);
        it->shape.dim[i] = json_integer_value(d);
    }
    return true;
}

static bool read_item(const source *s, const char *name, const json_t *v, item *it) {
    const json_t *type = json_object_get(v, "dtype"), *at = json_object_get(v, "data_offsets");
    it->name = name;
    if (!json_is_string(type)) return damaged(s, "there is no dtype", name);
    it->kind = kind_named(json_string_value(type));
    if (!it->kind)
        return terni_fail(TERN_ERR_UNSUPPORTED, "safetensors: %s: tensor %s has dtype %.20s, which Tern has not",
                          s->path, name, json_string_value(type));
    if (!read_shape(s, name, json_object_get(v, "shape"), it)) return false;
    const json_t *b = json_array_get(at, 0), *e = json_array_get(at, 1);
    if (json_array_size(at) != 2 || !json_is_integer(b) || !json_is_integer(e) || json_integer_value(b) < 0 ||
        json_integer_value(e) < json_integer_value(b) || (uint64_t)json_integer_value(e) > s->size - s->data)
        return damaged(s, "there are no data_offsets within the file", name);
    it->begin = (uint64_t)json_integer_value(b);
    it->end = (uint64_t)json_integer_value(e);
    uint64_t bytes = it->kind->size;
    for (int i = 0; i < it->shape.ndim; i++)
        if (__builtin_mul_overflow(bytes, (uint64_t)it->shape.dim[i], &bytes)) bytes = UINT64_MAX;
    if (bytes != it->end - it->begin) return damaged(s, "shape and data_offsets do not agree", name);
    return true;
}

static tern_tensor *tensor_of(const source *s, const item *it) {
    const size_t bytes = (size_t)(it->end - it->begin), at = s->data + (size_t)it->begin;
    if (s->map && bytes && !it->kind->widens && ((uintptr_t)s->map->base + at) % it->kind->size == 0) {
        tern_tensor *t = tern_wrap((char *)s->map->base + at, it->shape, it->kind->dtype, mapping_drop, s->map);
        if (t) atomic_fetch_add(&s->map->refs, 1);
        return t;
    }
    tern_tensor *t = tern_empty(it->shape, (tern_options){.dtype = it->kind->dtype});
    if (!t || !bytes) return t;
    if (!it->kind->widens) return read_at(s, at, tern_data(t), bytes) ? t : NULL;
    void *raw = terni_malloc(bytes);
    const bool ok = raw && read_at(s, at, raw, bytes) &&
                    (terni_widen(raw, it->kind->sign, it->kind->size, tern_numel(t), tern_data(t)) ||
                     terni_fail(TERN_ERR_UNSUPPORTED, "safetensors: %s: tensor %s has numbers above what i64 holds",
                                s->path, it->name));
    terni_mfree(raw);
    return ok ? t : NULL;
}

static int by_place(const void *a, const void *b) {
    const item *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* The tensors must lie one behind the other and fill the file, so that nothing can hide in it. */
static bool fills(const source *s, const item *items, size_t n) {
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (items[i].begin != at)
            return damaged(s, "the tensors' bytes overlap or leave a hole in front", items[i].name);
        at = items[i].end;
    }
    if (at != s->size - s->data)
        return terni_fail(TERN_ERR_FORMAT, "safetensors: %s has %zu bytes of tensors; its header tells of %llu",
                          s->path, s->size - s->data, (unsigned long long)at);
    return true;
}

static bool read_texts(const source *s, const json_t *texts, tern_archive *a) {
    const char *key;
    json_t *v;
    if (!json_is_object(texts)) return damaged(s, "__metadata__ is no object", NULL);
    json_object_foreach((json_t *)texts, key, v) {
        if (!json_is_string(v)) return damaged(s, "__metadata__ holds something besides strings", NULL);
        if (!tern_archive_set_text(a, key, json_string_value(v))) return false;
    }
    return true;
}

static bool read_items(source *s, json_t *root, tern_archive *a) {
    const size_t most = json_object_size(root);
    item *items = terni_malloc((most + 1) * sizeof *items);
    size_t n = 0;
    const char *name;
    json_t *v;
    bool ok = items != NULL;
    if (ok) json_object_foreach(root, name, v) {
            if (strcmp(name, "__metadata__") == 0)
                ok = read_texts(s, v, a);
            else
                ok = read_item(s, name, v, &items[n++]);
            if (!ok) break;
        }
    if (ok && n) qsort(items, n, sizeof *items, by_place);
    ok = ok && fills(s, items, n);
    for (size_t i = 0; ok && i < n; i++) {
        const int scope = tern_scope_push();
        tern_tensor *t = tensor_of(s, &items[i]);
        ok = t && tern_archive_put(a, items[i].name, t);
        tern_scope_pop(scope);
    }
    terni_mfree(items);
    return ok;
}

static bool load_file(const char *path, bool copy, tern_archive *a) {
    source s;
    if (!open_source(&s, path)) return false;
    json_t *root = read_header(&s);
    const bool ok = root && (copy || map_source(&s)) && read_items(&s, root, a);
    json_decref(root);
    close_source(&s);
    return ok;
}

/* ---- shards ------------------------------------------------------------------------------------------------------ */

static bool ends_with(const char *s, const char *end) {
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* file beside path. */
static bool beside(const char *path, const char *file, char *out, size_t size) {
    const char *slash = strrchr(path, '/');
    const int n = snprintf(out, size, "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, file);
    return n > 0 && (size_t)n < size;
}

/* Each shard once; all that the index names must be there, and nothing else is kept. */
static bool load_shards(const char *path, json_t *map, bool copy, tern_archive *a) {
    const char *name;
    json_t *v, *seen = json_object();
    bool ok = seen != NULL;
    if (ok) json_object_foreach(map, name, v) {
            const char *file = json_string_value(v);
            char full[PATH_MAX];
            ok =
                file && *file && !strchr(file, '/') && strcmp(file, "..") != 0 && beside(path, file, full, sizeof full);
            if (!ok) terni_fail(TERN_ERR_FORMAT, "safetensors: %s names no file beside it for tensor %s", path, name);
            if (ok && !json_object_get(seen, file))
                ok = json_object_set_new(seen, file, json_true()) == 0 && load_file(full, copy, a);
            if (!ok) break;
        }
    if (ok) json_object_foreach(map, name, v) {
            ok = tern_archive_find(a, name) ||
                 terni_fail(TERN_ERR_FORMAT, "safetensors: %s names tensor %s, which %s has not", path, name,
                            json_string_value(v));
            if (!ok) break;
        }
    for (int64_t i = tern_archive_count(a) - 1; ok && i >= 0; i--) {
        tern_archive_entry e;
        if (tern_archive_each(a, i, &e) && !json_object_get(map, e.name))
            ok =
                terni_fail(TERN_ERR_FORMAT, "safetensors: a shard has tensor %s, which %s does not name", e.name, path);
    }
    json_decref(seen);
    return ok;
}

static bool load_index(const char *path, bool copy, tern_archive *a) {
    void *text;
    size_t n;
    if (!terni_file_read("safetensors", path, HEADER_MOST, &text, &n)) return false;
    json_error_t e;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
    terni_mfree(text);
    if (!root)
        return terni_fail(TERN_ERR_FORMAT, "safetensors: %s is not JSON: %s at byte %d", path, e.text, e.position);
    json_t *map = json_object_get(root, "weight_map");
    const bool ok = json_is_object(map) ? load_shards(path, map, copy, a)
                                        : terni_fail(TERN_ERR_FORMAT, "safetensors: %s has no weight_map", path);
    json_decref(root);
    return ok;
}

tern_archive *tern_safetensors_load(const char *path, tern_safetensors_opts opts) {
    if (!terni_given(path, "safetensors", "path")) return NULL;
    tern_archive *a = tern_archive_new();
    if (!a) return NULL;
    if (ends_with(path, ".json") ? load_index(path, opts.copy, a) : load_file(path, opts.copy, a)) return a;
    tern_archive_free(a);
    return NULL;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

typedef struct out {
    const char *name;
    tern_tensor *tensor;
    size_t bytes;
} out;

static int by_size(const void *a, const void *b) {
    const out *x = a, *y = b;
    const size_t sx = tern_dtype_size(tern_dtype_of(x->tensor)), sy = tern_dtype_size(tern_dtype_of(y->tensor));
    if (sx != sy) return sx > sy ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* The header of items[n], for terni_mfree; NULL after an error. */
static char *header_of(const out *items, size_t n, const tern_archive *a, size_t *length) {
    json_t *root = json_object(), *texts = json_object();
    const char *key, *value;
    bool ok = root && texts;
    for (int i = 0; ok && terni_archive_text_each(a, i, &key, &value); i++)
        ok = json_object_set_new(texts, key, json_string(value)) == 0 ||
             terni_fail(TERN_ERR_ARGUMENT, "safetensors: the text %s is not UTF-8", key);
    if (ok && json_object_size(texts)) ok = json_object_set(root, "__metadata__", texts) == 0;
    size_t at = 0;
    for (size_t i = 0; ok && i < n; i++) {
        const tern_shape s = tern_shape_get(items[i].tensor);
        json_t *dims = json_array();
        for (int d = 0; dims && d < s.ndim; d++) json_array_append_new(dims, json_integer(s.dim[d]));
        json_t *e = json_pack("{s:s, s:o, s:[I, I]}", "dtype", name_of(tern_dtype_of(items[i].tensor)), "shape", dims,
                              "data_offsets", (json_int_t)at, (json_int_t)(at + items[i].bytes));
        ok = json_object_set_new(root, items[i].name, e) == 0 ||
             terni_fail(TERN_ERR_ARGUMENT, "safetensors: the name %s is not UTF-8", items[i].name);
        at += items[i].bytes;
    }
    char *text = ok || tern_ok() ? terni_json_text("safetensors", ok ? root : NULL, JSON_COMPACT, 8) : NULL;
    json_decref(texts);
    json_decref(root);
    if (!text) return NULL;
    const size_t len = strlen(text);
    *length = (len + 7) / 8 * 8;
    memset(text + len, ' ', *length - len);
    return text;
}

static bool write_tensor(terni_replace *r, tern_tensor *t) {
    const int scope = tern_scope_push();
    const bool was = tern_grad_mode(false);
    tern_tensor *flat = tern_contiguous(tern_to(t, (tern_device){0}));
    const bool ok = flat && terni_replace_write(r, tern_data(flat),
                                                (size_t)tern_numel(flat) * tern_dtype_size(tern_dtype_of(flat)));
    tern_grad_mode(was);
    tern_scope_pop(scope);
    return ok;
}

static bool save_file(const char *path, out *items, size_t n, const tern_archive *a) {
    size_t length;
    qsort(items, n, sizeof *items, by_size);
    char *text = header_of(items, n, a, &length);
    terni_replace r;
    bool ok = text && terni_replace_begin(&r, "safetensors", path);
    if (ok) {
        unsigned char b[8];
        for (int i = 0; i < 8; i++) b[i] = (unsigned char)((uint64_t)length >> (8 * i));
        ok = terni_replace_write(&r, b, 8) && terni_replace_write(&r, text, length);
        for (size_t i = 0; ok && i < n; i++) ok = write_tensor(&r, items[i].tensor);
        ok = terni_replace_end(&r, ok);
    }
    terni_mfree(text);
    return ok;
}

/* How many of items from `at` on go into one shard. */
static size_t shard(const out *items, size_t n, size_t at, int64_t limit) {
    size_t k = at + 1, bytes = items[at].bytes;
    while (k < n && bytes + items[k].bytes <= (size_t)limit) bytes += items[k++].bytes;
    return k - at;
}

static bool save_index(const char *path, json_t *map, size_t total) {
    json_t *root = json_pack("{s:{s:I}, s:O}", "metadata", "total_size", (json_int_t)total, "weight_map", map);
    char *text = terni_json_text("safetensors", root, JSON_INDENT(2) | JSON_SORT_KEYS, 0);
    json_decref(root);
    if (!text) return false;
    terni_replace r;
    const bool ok = terni_replace_begin(&r, "safetensors", path) &&
                    terni_replace_end(&r, terni_replace_write(&r, text, strlen(text)));
    terni_mfree(text);
    return ok;
}

static bool save_shards(const char *path, out *items, size_t n, const tern_archive *a, int64_t limit, size_t total) {
    if (!ends_with(path, ".safetensors"))
        return terni_fail(TERN_ERR_ARGUMENT, "safetensors: %s does not end in .safetensors", path);
    const int stem = (int)(strlen(path) - strlen(".safetensors"));
    int shards = 0, k = 0;
    for (size_t at = 0; at < n; at += shard(items, n, at, limit)) shards++;
    json_t *map = json_object();
    bool ok = map || terni_fail(TERN_ERR_MEMORY, "safetensors: no memory for the index");
    char full[PATH_MAX];
    for (size_t at = 0, count; ok && at < n; at += count) {
        count = shard(items, n, at, limit);
        const int w = snprintf(full, sizeof full, "%.*s-%05d-of-%05d.safetensors", stem, path, ++k, shards);
        const char *slash = strrchr(full, '/');
        if (w < 0 || (size_t)w >= sizeof full)
            ok = terni_fail(TERN_ERR_IO, "safetensors: \"%.60s...\" is no usable path", path);
        for (size_t i = at; ok && i < at + count; i++)
            ok = json_object_set_new(map, items[i].name, json_string(slash ? slash + 1 : full)) == 0 ||
                 terni_fail(TERN_ERR_ARGUMENT, "safetensors: the name %s is not UTF-8", items[i].name);
        ok = ok && save_file(full, items + at, count, a);
    }
    if (ok) {
        snprintf(full, sizeof full, "%.*s.safetensors.index.json", stem, path);
        ok = save_index(full, map, total);
    }
    json_decref(map);
    return ok;
}

bool tern_safetensors_save(const char *path, tern_archive *a, tern_safetensors_opts opts) {
    if (!terni_given(path, "safetensors", "path") || !terni_given(a, "safetensors", "archive")) return false;
    if (opts.shard_bytes < 0) return terni_fail(TERN_ERR_ARGUMENT, "safetensors: shard_bytes is negative");
    const size_t n = (size_t)tern_archive_count(a);
    out *items = terni_malloc((n + 1) * sizeof *items);
    if (!items) return false;
    size_t total = 0;
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        tern_archive_entry e;
        tern_archive_each(a, (int64_t)i, &e);
        items[i] = (out){e.name, e.tensor, (size_t)tern_numel(e.tensor) * tern_dtype_size(tern_dtype_of(e.tensor))};
        total += items[i].bytes;
        if (strcmp(e.name, "__metadata__") == 0)
            ok = terni_fail(TERN_ERR_ARGUMENT, "safetensors: a tensor cannot be called __metadata__");
    }
    if (ok && opts.shard_bytes && total > (size_t)opts.shard_bytes && n > 1)
        ok = save_shards(path, items, n, a, opts.shard_bytes, total);
    else
        ok = ok && save_file(path, items, n, a);
    terni_mfree(items);
    return ok;
}
