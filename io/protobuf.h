/* Protocol buffers by hand: what TensorBoard's event files and ONNX models need. Both use few messages, whose fields
 * never change their meaning, so a schema compiler and its run-time library would bring more than they take away: a
 * file is written as fields in order, and read by one cursor whose every length is checked against what is left before
 * anything is allocated. Source: protobuf.dev/programming-guides/encoding. Private. */
#ifndef TERNI_PROTOBUF_H
#define TERNI_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* Bytes that grow; failed once memory was short. p is for terni_mfree. */
typedef struct terni_bytes {
    unsigned char *p;
    size_t n, cap;
    bool failed;
} terni_bytes;

void terni_put(terni_bytes *b, const void *data, size_t n);
void terni_put_le(terni_bytes *b, uint64_t v, int n); /* n bytes, little-endian */
void terni_put_varint(terni_bytes *b, uint64_t v);
void terni_put_raw_double(terni_bytes *b, double v);
/* Fields. */
void terni_put_key(terni_bytes *b, int field, int kind);
void terni_put_int(terni_bytes *b, int field, int64_t v);
void terni_put_double(terni_bytes *b, int field, double v);
void terni_put_float(terni_bytes *b, int field, float v);
void terni_put_data(terni_bytes *b, int field, const void *data, size_t n);
void terni_put_text(terni_bytes *b, int field, const char *text);
/* A message within; part is spent. */
void terni_put_part(terni_bytes *b, int field, terni_bytes *part);

/* ---- reading ----------------------------------------------------------------------------------------------------- */

typedef struct terni_cursor {
    const unsigned char *at, *end;
} terni_cursor;

/* One field: a varint or fixed number in v, or bytes in data (which lie in what is read). */
typedef struct terni_pb_field {
    int number, kind; /* kind: 0 varint, 1 eight bytes, 2 bytes, 5 four bytes */
    uint64_t v;
    terni_cursor data;
} terni_pb_field;

/* The next field: 1; 0 at the end; -1 if what stands there is no field (no error is recorded). */
int terni_pb_next(terni_cursor *c, terni_pb_field *f);
/* The next varint of a packed field; as above. */
int terni_pb_varint(terni_cursor *c, uint64_t *v);
float terni_pb_float(uint64_t v);
double terni_pb_double(uint64_t v);

#endif
