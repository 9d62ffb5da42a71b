#include "onnx_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"

void put_raw(bytes *b, const void *data, size_t n) {
    if (b->n + n > b->cap) {
        b->cap = 2 * (b->n + n) + 64;
        b->p = realloc(b->p, b->cap);
        if (!b->p) abort();
    }
    memcpy(b->p + b->n, data, n);
    b->n += n;
}

static void put_varint(bytes *b, uint64_t v) {
    do {
        const unsigned char c = (unsigned char)((v & 127) | (v > 127 ? 128 : 0));
        put_raw(b, &c, 1);
        v >>= 7;
    } while (v);
}

void put(bytes *b, int field, const void *data, size_t n) {
    put_varint(b, (uint64_t)field << 3 | 2);
    put_varint(b, n);
    put_raw(b, data, n);
}
void put_text(bytes *b, int field, const char *s) { put(b, field, s, strlen(s)); }
void put_number(bytes *b, int field, uint64_t v) {
    put_varint(b, (uint64_t)field << 3);
    put_varint(b, v);
}
void put_part(bytes *b, int field, bytes *part) {
    put(b, field, part->p ? part->p : (const unsigned char *)"", part->n);
    free(part->p);
    *part = (bytes){0};
}

void put_info(bytes *graph, int field, const char *name) {
    bytes info = {0};
    put_text(&info, 1, name);
    put_part(graph, field, &info);
}

void write_onnx(const char *path, bytes *graph, unsigned opset) {
    bytes version = {0}, all = {0};
    put_number(&version, 2, opset);
    put_part(&all, 7, graph);
    put_part(&all, 8, &version);
    FILE *s = fopen(path, "wb");
    CHECK(s && fwrite(all.p, 1, all.n, s) == all.n, "%s", path);
    if (s) fclose(s);
    free(all.p);
}
