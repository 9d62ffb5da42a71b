/* Jansson's texts in the library's own memory. Private. */
#ifndef TERNI_JSON_H
#define TERNI_JSON_H

#include <jansson.h>

/* v as text with room for `more` bytes behind it (none of them the text's), closed by a 0, for terni_mfree; NULL after
 * an error, which says `what`. v may be NULL, where memory was short. */
char *terni_json_text(const char *what, const json_t *v, size_t flags, size_t more);

#endif
