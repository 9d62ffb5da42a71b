/* Planes [channel][pixel] turned into [pixel][vector of channels] and back, four by four. */
#ifndef TERNI_CPU_TURN_H
#define TERNI_CPU_TURN_H

#include "simd.h"

typedef float terni_four __attribute__((vector_size(16), aligned(4), may_alias));

/* Four rows of four, `from_ld` apart, become four columns, `to_ld` apart. */
static inline void terni_turn_4x4(const float *from, int64_t from_ld, float *to, int64_t to_ld) {
    const terni_four a = *(const terni_four *)from, b = *(const terni_four *)(from + from_ld);
    const terni_four c = *(const terni_four *)(from + 2 * from_ld), d = *(const terni_four *)(from + 3 * from_ld);
    const terni_four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const terni_four cd = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(terni_four *)to = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(terni_four *)(to + to_ld) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    *(terni_four *)(to + 2 * to_ld) = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
    *(terni_four *)(to + 3 * to_ld) = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
}

/* to [columns][to_ld] = from [rows][from_ld] turned around. The last block of four overlaps the one before it, so that
 * only what is smaller than four is done one by one. */
static inline void terni_turn(const float *from, int64_t from_ld, int64_t rows, int64_t columns, float *to,
                              int64_t to_ld) {
    if (rows < 4 || columns < 4) {
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < columns; c++) to[c * to_ld + r] = from[r * from_ld + c];
        return;
    }
    for (int64_t i = 0; i < rows; i += 4) {
        const int64_t r = i < rows - 4 ? i : rows - 4;
        for (int64_t j = 0; j < columns; j += 4) {
            const int64_t c = j < columns - 4 ? j : columns - 4;
            terni_turn_4x4(from + r * from_ld + c, from_ld, to + c * to_ld + r, to_ld);
        }
    }
}

#endif
