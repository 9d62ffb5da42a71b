/* NumPy's .npz: a zip file of .npy files, by minizip. */
#include <minizip/unzip.h>
#include <minizip/zip.h>
#include <stdio.h>
#include <string.h>

#include "archive_internal.h"
#include "internal.h"
#include "replace.h"

enum { NAME = 1024, MEMBERS_MOST = 1000000 };

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* What is left of the file's bytes for members: two that share theirs would be a bomb. */
static bool sizes_fit(const char *path, const char *name, const unz_file_info64 *i, uint64_t *left) {
    if (i->flag & 1) return terni_fail(TERN_ERR_UNSUPPORTED, "npz: %s: %s is encrypted", path, name);
    if (i->compression_method != 0 && i->compression_method != Z_DEFLATED)
        return terni_fail(TERN_ERR_UNSUPPORTED, "npz: %s: %s is packed by method %lu; Tern reads 0 and 8", path, name,
                          i->compression_method);
    if (i->compressed_size > *left ||
        (i->compression_method == 0 ? i->uncompressed_size != i->compressed_size
                                    : i->uncompressed_size / 1032 > i->compressed_size + 1))
        return terni_fail(TERN_ERR_FORMAT, "npz: %s: %s says that it has %llu bytes, packed in %llu", path, name,
                          (unsigned long long)i->uncompressed_size, (unsigned long long)i->compressed_size);
    *left -= i->compressed_size;
    return true;
}

static bool read_member(const char *path, const char *name, unzFile z, char *p, size_t bytes) {
    int code = unzOpenCurrentFile(z);
    size_t at = 0;
    while (code == UNZ_OK && at < bytes) {
        const int got = unzReadCurrentFile(z, p + at, bytes - at < (1u << 30) ? (unsigned)(bytes - at) : 1u << 30);
        if (got <= 0)
            code = got < 0 ? got : UNZ_BADZIPFILE;
        else
            at += (size_t)got;
    }
    const int closed = unzCloseCurrentFile(z);
    if (code == UNZ_OK) code = closed;
    return code == UNZ_OK || terni_fail(TERN_ERR_FORMAT, "npz: %s: %s is damaged (%s at byte %zu of %zu)", path, name,
                                        code == UNZ_CRCERROR ? "checksum" : "packed data", at, bytes);
}

static bool load_member(const char *path, unzFile z, uint64_t *left, tern_archive *a) {
    char name[NAME], full[NAME + 200];
    unz_file_info64 i;
    if (unzGetCurrentFileInfo64(z, &i, name, sizeof name, NULL, 0, NULL, 0) != UNZ_OK ||
        i.size_filename >= sizeof name || strlen(name) != i.size_filename)
        return terni_fail(TERN_ERR_FORMAT, "npz: %s has a member without a usable name", path);
    const size_t n = strlen(name);
    if (n < 5 || strcmp(name + n - 4, ".npy") != 0)
        return terni_fail(TERN_ERR_FORMAT, "npz: %s: %s is no .npy file", path, name);
    if (!sizes_fit(path, name, &i, left)) return false;
    char *p = terni_malloc((size_t)i.uncompressed_size + 1);
    snprintf(full, sizeof full, "%.180s, array %s", path, name);
    bool ok = p && read_member(path, name, z, p, (size_t)i.uncompressed_size);
    name[n - 4] = 0;
    const int scope = tern_scope_push();
    if (ok && tern_archive_find(a, name)) ok = terni_fail(TERN_ERR_FORMAT, "npz: %s has two arrays %s", path, name);
    if (ok) {
        tern_tensor *t = terni_npy_parse(full, (unsigned char *)p, (size_t)i.uncompressed_size);
        ok = t && tern_archive_put(a, name, t);
    }
    tern_scope_pop(scope);
    terni_mfree(p);
    return ok;
}

/* The file's size, and that it ends in a whole end record (22 bytes and a comment): minizip takes one that is cut off.
 */
static bool ends_well(const char *path, uint64_t *size) {
    enum { RECORD = 22, MOST = RECORD + 65535 };
    FILE *f = fopen(path, "rb");
    unsigned char *p = f ? terni_malloc(MOST) : NULL;
    const long bytes = p && fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
    const long n = bytes < MOST ? bytes : MOST;
    bool found = false;
    if (n >= RECORD && fseek(f, bytes - n, SEEK_SET) == 0 && fread(p, 1, (size_t)n, f) == (size_t)n)
        for (long at = n - RECORD; at >= 0 && !found; at--)
            found = memcmp(p + at, "PK\5\6", 4) == 0 && at + RECORD + (p[at + 20] | p[at + 21] << 8) == n;
    terni_mfree(p);
    if (f) fclose(f);
    *size = bytes > 0 ? (uint64_t)bytes : 0;
    return found || !tern_ok() || terni_fail(TERN_ERR_FORMAT, "npz: %s is no zip file, or cut off", path);
}

tern_archive *tern_npz_load(const char *path) {
    uint64_t left;
    if (!terni_given(path, "npz", "path")) return NULL;
    if (!terni_file_usable("npz", path) || terni_file_pickle("npz", path, NULL, 0) || !ends_well(path, &left) ||
        !tern_ok())
        return NULL;
    unzFile z = unzOpen64(path);
    if (!z) return terni_null(TERN_ERR_FORMAT, "npz: %s is no zip file, or cut off", path);
    unz_global_info64 g;
    tern_archive *a = tern_archive_new();
    bool ok = a && unzGetGlobalInfo64(z, &g) == UNZ_OK;
    if (ok && g.number_entry > MEMBERS_MOST)
        ok = terni_fail(TERN_ERR_FORMAT, "npz: %s has %llu members", path, (unsigned long long)g.number_entry);
    const bool was = tern_grad_mode(false);
    for (uint64_t i = 0; ok && i < g.number_entry; i++) {
        const int code = i ? unzGoToNextFile(z) : unzGoToFirstFile(z);
        ok = code == UNZ_OK ? load_member(path, z, &left, a)
                            : terni_fail(TERN_ERR_FORMAT, "npz: %s: the list of its members is damaged", path);
    }
    tern_grad_mode(was);
    unzClose(z);
    if (ok) return a;
    if (tern_ok()) terni_fail(TERN_ERR_FORMAT, "npz: %s: the list of its members is damaged", path);
    tern_archive_free(a);
    return NULL;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static bool put_bytes(zipFile z, const char *p, size_t bytes) {
    for (size_t at = 0; at < bytes;) {
        const unsigned n = bytes - at < (1u << 30) ? (unsigned)(bytes - at) : 1u << 30;
        if (zipWriteInFileInZip(z, p + at, n) != ZIP_OK) return false;
        at += n;
    }
    return true;
}

static bool put_member(zipFile z, const char *path, const tern_archive_entry *e, bool compress) {
    char name[NAME];
    const int w = snprintf(name, sizeof name, "%s.npy", e->name);
    if (w < 0 || (size_t)w >= sizeof name)
        return terni_fail(TERN_ERR_ARGUMENT, "npz: the name %.60s... is too long", e->name);
    tern_tensor *t = terni_npy_form(e->tensor);
    size_t length;
    char *h = t ? terni_npy_header(t, &length) : NULL;
    if (!h) return false;
    const size_t bytes = (size_t)tern_numel(t) * tern_dtype_size(tern_dtype_of(t));
    const zip_fileinfo when = {.dosDate =
                                   1u << 21 | 1u << 16}; /* 1980, as NumPy writes: the same data, the same file */
    const bool ok =
        zipOpenNewFileInZip64(z, name, &when, NULL, 0, NULL, 0, NULL, compress ? Z_DEFLATED : 0,
                              compress ? Z_DEFAULT_COMPRESSION : 0, bytes + length >= 0xffffffffu) == ZIP_OK &&
        put_bytes(z, h, length) && put_bytes(z, tern_data(t), bytes) && zipCloseFileInZip(z) == ZIP_OK;
    terni_mfree(h);
    return ok || terni_fail(TERN_ERR_IO, "npz: %s cannot be written (array %s): no space?", path, e->name);
}

bool tern_npz_save(const char *path, tern_archive *a, bool compress) {
    if (!terni_given(path, "npz", "path") || !terni_given(a, "npz", "archive")) return false;
    terni_replace r;
    if (!terni_replace_begin(&r, "npz", path)) return false;
    zipFile z = zipOpen64(r.temporary, APPEND_STATUS_CREATE);
    bool ok = z || terni_fail(TERN_ERR_IO, "npz: %s cannot be written", path);
    const bool was = tern_grad_mode(false);
    tern_archive_entry e;
    for (int64_t i = 0; ok && tern_archive_each(a, i, &e); i++) {
        const int scope = tern_scope_push();
        ok = put_member(z, path, &e, compress);
        tern_scope_pop(scope);
    }
    tern_grad_mode(was);
    if (z && zipClose(z, NULL) != ZIP_OK && ok)
        ok = terni_fail(TERN_ERR_IO, "npz: %s cannot be written: no space?", path);
    return terni_replace_end(&r, ok);
}
