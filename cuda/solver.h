/* Linear algebra by cuSOLVER and cuBLAS, for matrices that are large enough: see solver.cu. */
#ifndef TERNI_CUDA_SOLVER_H
#define TERNI_CUDA_SOLVER_H

#include "library_linalg.h"

/* Whether the libraries are there and pay: size is the matrix's smaller side, at least `least` for few matrices, and 4
 * times that for many, which own kernels do at once and the libraries one by one. Reckoned, not measured. */
bool terni_solver_takes(terni_cuda_device *d, int64_t size, int64_t least, uint32_t count);

/* The rows of core/contracts/linalg.h. In place where the input was copied to the output before: "_copied". */
bool terni_solver_cholesky_copied(terni_cuda_device *d, const terni_call *c, uint32_t count);
bool terni_solver_lu_factor_copied(terni_cuda_device *d, const terni_call *c, uint32_t count);
bool terni_solver_lu_solve_copied(terni_cuda_device *d, const terni_call *c, uint32_t count);
bool terni_solver_qr_copied(terni_cuda_device *d, const terni_call *c, uint32_t count);
bool terni_solver_eigh(terni_cuda_device *d, const terni_call *c, uint32_t count);
bool terni_solver_svd(terni_cuda_device *d, const terni_call *c, uint32_t count);
/* a has rows or columns without gaps, as cuBLAS needs them. */
bool terni_solver_triangular_fits(const terni_view *a);
bool terni_solver_triangular_copied(terni_cuda_device *d, const terni_call *c, uint32_t count);

#endif
