/* Images. What each kernel takes and gives; see backend.h. */
#ifndef TERNI_CONTRACT_IMAGE_H
#define TERNI_CONTRACT_IMAGE_H

#include "tern/base.h"

/* resample: in x [O,S,I], start [n + 1] i64, index [K] i64, weight [K] of dtype A; out y [O,n,I], of x's dtype.
 *   y[o][i][k] = sum over t in [start[i], start[i + 1]) of weight[t] x[o][index[t]][k]; the sum in order, in A; 0 if
 * there is no t. start rises from 0 to K; indices lie in [0, S). All contiguous. No options. The adjoint is the same
 * kernel with the tables of the transposed matrix. */

#endif
