/* Text to train on. */
#ifndef TEXT_FILE_H
#define TEXT_FILE_H

#include <stddef.h>

/* The text of a file, or of Tern's own headers if path is NULL, for free(); NULL after an error. */
char *text_read(const char *path, size_t *bytes);

#endif
