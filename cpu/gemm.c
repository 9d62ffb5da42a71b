/* Matrix products on one thread. Tiles of c stay in registers while all of a block of k passes; b is packed into panels
 * of two vectors' width in a block that stays in the second-level cache, a into panels that stay in the first. Small
 * operands, and those that are read once, are taken as they lie. Plain C on vector types, so every instruction set gets
 * its own. Source: Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008); the roles of a
 * and b are those of row-major matrices. */
#include "gemm.h"

#include "lanes.h"

/* MR rows by NV vectors of sums, and what they are made from, fill the registers: 32 with AVX-512, 16 without. */
#if TERNI_VEC_BYTES == 64
#define MR         12
#define EACH_MR(M) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12)
/* Vectors of a row that ROWS takes at once, by the number of rows. */
#define WIDE(mr) ((mr) <= 2 ? 8 : (mr) <= 4 ? 6 : (mr) <= 6 ? 4 : (mr) <= 8 ? 3 : 2)
#define DOT_MAX  16 /* rows of c up to which DOTS is ahead of packing */
/* Rows of a, each with the rows of b, that are multiplied at once. */
#define EACH_DOT(M) M(8, 3) M(4, 6) M(2, 8) M(1, 8)
#else
#define MR          6
#define EACH_MR(M)  M(1) M(2) M(3) M(4) M(5) M(6)
#define WIDE(mr)    ((mr) == 1 ? 8 : (mr) == 2 ? 6 : (mr) == 3 ? 4 : (mr) == 4 ? 3 : 2)
#define DOT_MAX     8
#define EACH_DOT(M) M(4, 3) M(2, 5) M(1, 8)
#endif

enum {
    NV = 2,
    DEPTH_BYTES = 1536,      /* of a block of k, in one row: a panel of a then fits the first-level cache */
    BLOCK_BYTES = 480 << 10, /* of b's block: half of a second-level cache */
    LOCAL_BYTES = 64 << 10,  /* what is taken from the stack for it */
    DIRECT_BYTES = 32 << 10, /* b up to this size needs no packing */
    FEW_BYTES = 24 << 10,    /* of packed rows of a: leaves the first-level cache room for a panel of b */
    MOST_GROUPS = 3,         /* of such rows: more read b so often that packing it pays */
    PREFETCH = 8,            /* rows ahead */
    AHEAD = 6                /* vectors ahead, in rows that are transposed */
};

/* Columns of a block of b, whole panels, that fit into bytes. */
static int64_t block_width(int64_t size, int64_t bytes, const terni_gemm *g) {
    const int64_t rows = g->k < DEPTH_BYTES / size ? g->k : DEPTH_BYTES / size, panel = NV * TERNI_VEC_BYTES / size;
    const int64_t most = bytes / size / (rows > 0 ? rows : 1) / panel, wanted = (g->n + panel - 1) / panel;
    return (wanted < most ? wanted : most) * panel;
}

/* Rows are so far apart that those of a panel would push one another out of the first-level cache. */
static inline bool far_apart(int64_t size, int64_t ld) { return ld * size % 2048 == 0; }

/* Rows of a, packed, that stay in the first-level cache beside a panel of b: whole tiles of them. */
static inline int64_t group_rows(int64_t size, int64_t k) { return k > 0 ? FEW_BYTES / size / k / MR * MR : 0; }

/* b is large and can be taken as it lies: once for each group of rows, which are few groups. */
static bool by_groups(int64_t size, const terni_gemm *g) {
    const int64_t lanes = TERNI_VEC_BYTES / size, rows = group_rows(size, g->k);
    const bool lies = !g->tb && !far_apart(size, g->ldb) && (TERNI_LANES_LOAD || g->n % lanes == 0);
    return lies && rows >= 4 * MR && g->m > 2 * MR && g->m <= MOST_GROUPS * rows && g->k * g->ldb > DIRECT_BYTES / size;
}

#define SUFFIX_(a, b) a##_##b
#define SUFFIX(a, b)  SUFFIX_(a, b)
#define X(name)       SUFFIX(name, NAME)

#define T     float
#define V     terni_vf
#define V_U   terni_vf_u
#define LANES TERNI_LANES_F32
#define NAME  f32
#include "gemm_tile.inc"
#include "gemm_dot.inc"
#include "gemm.inc"
#undef T
#undef V
#undef V_U
#undef LANES
#undef NAME
#define T     double
#define V     terni_vd
#define V_U   terni_vd_u
#define LANES TERNI_LANES_F64
#define NAME  f64
#include "gemm_tile.inc"
#include "gemm_dot.inc"
#include "gemm.inc"

terni_gemm_path terni_cpu_gemm_path(int dtype, const terni_gemm *g) {
    const int64_t lanes = dtype == TERN_F64 ? TERNI_LANES_F64 : TERNI_LANES_F32;
    const bool rows = !g->ta || (g->m <= 1 && g->lda <= 1); /* those of a lie without gaps */
    if (g->tb && rows && g->m <= DOT_MAX && g->k >= 4 * lanes) return TERNI_GEMM_DOTS;
    return !g->tb && g->m <= MR ? TERNI_GEMM_ROWS : TERNI_GEMM_TILES;
}

size_t terni_cpu_gemm_room(int dtype, const terni_gemm *g) {
    if (g->path != TERNI_GEMM_TILES || by_groups((int64_t)terni_cpu_size(dtype), g)) return 0;
    const int64_t size = (int64_t)terni_cpu_size(dtype), width = block_width(size, BLOCK_BYTES, g);
    const int64_t rows = g->k < DEPTH_BYTES / size ? g->k : DEPTH_BYTES / size;
    const int64_t bytes = rows * width * size;
    return bytes <= LOCAL_BYTES ? 0 : (size_t)bytes;
}
