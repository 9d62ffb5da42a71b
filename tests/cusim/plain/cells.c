/* Cells of captured graphs for tests of the runtime that have no kernels: the simulated device's memory is the host's.
 */
#include <string.h>

#include "internal.h"

bool terni_cuda_set_cells(terni_cuda_device *d, const terni_cell *cell, int n) {
    (void)d;
    for (int i = 0; i < n; i++) memcpy(cell[i].at, &cell[i].bits, sizeof cell[i].bits);
    return true;
}
