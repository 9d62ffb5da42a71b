/* Cells of captured graphs (graph.c): the values travel as arguments of the launch, so each launch in the queue has its
 * own. */
#include "launch.h"

namespace {

enum { CELLS = 128 };

struct cells {
    terni_cell cell[CELLS];
};

__global__ void set(int n, const __grid_constant__ cells c) {
    const int i = (int)terni_thread();
    if (i < n) *static_cast<uint64_t *>(c.cell[i].at) = c.cell[i].bits;
}

}  // namespace

extern "C" bool terni_cuda_set_cells(terni_cuda_device *d, const terni_cell *cell, int n) {
    for (int from = 0; from < n; from += CELLS) {
        const int some = n - from < CELLS ? n - from : CELLS;
        cells c;
        memset(&c, 0, sizeof c);
        memcpy(c.cell, cell + from, (size_t)some * sizeof *cell);
        if (!TERNI_LAUNCH_EACH(d, 1, CELLS, set, some, c)) return false;
    }
    return true;
}
