#include "protobuf.h"

#include <string.h>

#include "internal.h"

void terni_put(terni_bytes *b, const void *data, size_t n) {
    if (b->n + n > b->cap && !b->failed) {
        const size_t cap = 2 * (b->n + n) + 256;
        unsigned char *more = terni_resize(b->p, cap);
        if (more) {
            b->p = more;
            b->cap = cap;
        } else
            b->failed = true;
    }
    if (b->failed || n == 0) return;
    memcpy(b->p + b->n, data, n);
    b->n += n;
}

void terni_put_le(terni_bytes *b, uint64_t v, int n) {
    unsigned char c[8];
    for (int i = 0; i < n; i++) c[i] = (unsigned char)(v >> (8 * i));
    terni_put(b, c, (size_t)n);
}
void terni_put_varint(terni_bytes *b, uint64_t v) {
    for (; v > 127; v >>= 7) terni_put(b, &(unsigned char){(unsigned char)(v | 128)}, 1);
    terni_put(b, &(unsigned char){(unsigned char)v}, 1);
}
void terni_put_key(terni_bytes *b, int field, int kind) { terni_put_varint(b, (uint64_t)field << 3 | (uint64_t)kind); }
void terni_put_int(terni_bytes *b, int field, int64_t v) {
    terni_put_key(b, field, 0);
    terni_put_varint(b, (uint64_t)v);
}
void terni_put_raw_double(terni_bytes *b, double v) {
    uint64_t u;
    memcpy(&u, &v, 8);
    terni_put_le(b, u, 8);
}
void terni_put_double(terni_bytes *b, int field, double v) {
    terni_put_key(b, field, 1);
    terni_put_raw_double(b, v);
}
void terni_put_float(terni_bytes *b, int field, float v) {
    uint32_t u;
    memcpy(&u, &v, 4);
    terni_put_key(b, field, 5);
    terni_put_le(b, u, 4);
}
void terni_put_data(terni_bytes *b, int field, const void *data, size_t n) {
    terni_put_key(b, field, 2);
    terni_put_varint(b, n);
    terni_put(b, data, n);
}
void terni_put_text(terni_bytes *b, int field, const char *text) { terni_put_data(b, field, text, strlen(text)); }
void terni_put_part(terni_bytes *b, int field, terni_bytes *part) {
    terni_put_data(b, field, part->p, part->n);
    if (part->failed) b->failed = true;
    terni_mfree(part->p);
    *part = (terni_bytes){0};
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

int terni_pb_varint(terni_cursor *c, uint64_t *v) {
    *v = 0;
    if (c->at == c->end) return 0;
    for (int shift = 0; shift < 64 && c->at < c->end; shift += 7) {
        const unsigned char byte = *c->at++;
        *v |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) return 1;
    }
    return -1;
}

static bool fixed(terni_cursor *c, int n, uint64_t *v) {
    if (c->end - c->at < n) return false;
    *v = 0;
    for (int i = 0; i < n; i++) *v |= (uint64_t)c->at[i] << (8 * i);
    c->at += n;
    return true;
}

int terni_pb_next(terni_cursor *c, terni_pb_field *f) {
    uint64_t key;
    const int more = terni_pb_varint(c, &key);
    if (more <= 0) return more;
    if (key >> 3 == 0 || key >> 3 > 536870911) return -1;
    f->number = (int)(key >> 3);
    f->kind = (int)(key & 7);
    f->v = 0;
    f->data = (terni_cursor){c->at, c->at};
    switch (f->kind) {
        case 0:
            return terni_pb_varint(c, &f->v) > 0 ? 1 : -1;
        case 1:
            return fixed(c, 8, &f->v) ? 1 : -1;
        case 5:
            return fixed(c, 4, &f->v) ? 1 : -1;
        case 2:
            if (terni_pb_varint(c, &f->v) <= 0 || f->v > (uint64_t)(c->end - c->at)) return -1;
            f->data = (terni_cursor){c->at, c->at + f->v};
            c->at += f->v;
            return 1;
        default: /* groups, which nobody writes any more */
            return -1;
    }
}

float terni_pb_float(uint64_t v) {
    const uint32_t u = (uint32_t)v;
    float f;
    memcpy(&f, &u, 4);
    return f;
}
double terni_pb_double(uint64_t v) {
    double d;
    memcpy(&d, &v, 8);
    return d;
}
