#include "text_file.h"

#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tern/tern.h>

typedef struct buffer {
    char *p;
    size_t n, cap;
} buffer;

static bool append_file(buffer *b, const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) return tern_error_set(TERN_ERR_IO, "%s: %s", path, strerror(errno));
    for (;;) {
        if (b->n == b->cap) {
            const size_t cap = 2 * b->cap + (1 << 16);
            char *more = realloc(b->p, cap);
            if (!more) {
                fclose(f);
                return tern_error_set(TERN_ERR_MEMORY, "%s: no memory for it", path);
            }
            b->p = more;
            b->cap = cap;
        }
        const size_t got = fread(b->p + b->n, 1, b->cap - b->n, f);
        b->n += got;
        if (got == 0) break;
    }
    const bool ok = !ferror(f);
    fclose(f);
    return ok || tern_error_set(TERN_ERR_IO, "%s: cannot be read", path);
}

/* The headers stand beside the programs: BUILD/include/tern beside BUILD/examples, PREFIX/include/tern beside
 * PREFIX/examples or PREFIX/bin. */
static bool append_headers(buffer *b) {
    char self[4096], pattern[4200];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(self, '/');
        if (slash) *slash = 0;
    }
    snprintf(pattern, sizeof pattern, "%s/include/tern/*.h", self);
    glob_t found;
    if (glob(pattern, 0, NULL, &found) != 0)
        return tern_error_set(TERN_ERR_IO, "%s: no such files; --data FILE names a text to train on", pattern);
    bool ok = true;
    for (size_t i = 0; ok && i < found.gl_pathc; i++) ok = append_file(b, found.gl_pathv[i]);
    globfree(&found);
    return ok;
}

char *text_read(const char *path, size_t *bytes) {
    buffer b = {0};
    if (path ? append_file(&b, path) : append_headers(&b)) {
        *bytes = b.n;
        return b.p;
    }
    free(b.p);
    return NULL;
}
