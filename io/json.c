#include "json.h"

#include "internal.h"

char *terni_json_text(const char *what, const json_t *v, size_t flags, size_t more) {
    const size_t n = v ? json_dumpb(v, NULL, 0, flags) : 0;
    if (n == 0) return terni_null(TERN_ERR_MEMORY, "%s: no memory for its JSON", what);
    char *text = terni_malloc(n + more + 1);
    if (!text) return NULL;
    if (json_dumpb(v, text, n, flags) != n) {
        terni_mfree(text);
        return terni_null(TERN_ERR_MEMORY, "%s: no memory for its JSON", what);
    }
    text[n] = 0;
    return text;
}
