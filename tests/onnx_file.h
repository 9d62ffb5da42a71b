/* ONNX models made by hand, for the tests of their reader: fields of onnx.proto, one after the other. */
#ifndef TEST_ONNX_FILE_H
#define TEST_ONNX_FILE_H

#include <stddef.h>
#include <stdint.h>

typedef struct bytes {
    unsigned char *p;
    size_t n, cap;
} bytes;

void put_raw(bytes *b, const void *data, size_t n);
/* A field that holds data, a text, or a whole number. */
void put(bytes *b, int field, const void *data, size_t n);
void put_text(bytes *b, int field, const char *s);
void put_number(bytes *b, int field, uint64_t v);
/* The message `part` as a field; part is empty afterwards. */
void put_part(bytes *b, int field, bytes *part);
/* An input (field 11) or output (12) of a graph, of any type. */
void put_info(bytes *graph, int field, const char *name);
/* Writes graph as a model of this opset; graph is empty afterwards. */
void write_onnx(const char *path, bytes *graph, unsigned opset);

#endif
