/* NVIDIA's libraries, found and opened at their first use and never linked, so that the module loads where they are not
 * installed. Private to cuda/; every function is thread-safe.
 *
 * Searched, in this order: the folders of TERN_CUDA_LIBRARIES (colon-separated); the loader's own search (what the
 * process has loaded, LD_LIBRARY_PATH, the system's folders); CUDA_HOME and CUDA_PATH; /usr/local/cuda and
 * /usr/local/cuda-*; the "nvidia" folders of Python packages under VIRTUAL_ENV, CONDA_PREFIX, ~/.local, /usr/local and
 * /usr. The CUDA release that this module was built with comes first, except in TERN_CUDA_LIBRARIES.
 *
 * A file that uses a library lists its functions once:
 *
 *     #define FUNCTIONS(F) F(cublasLtCreate) F(cublasLtMatmul)       the linker's names: cublasCreate_v2
 *     static struct { FUNCTIONS(TERNI_LIBRARY_FIELD) } lt;
 *     static const char *const names[] = {FUNCTIONS(TERNI_LIBRARY_NAME)};
 *     terni_cuda_library_functions(TERNI_LIBRARY_CUBLASLT, names, sizeof lt / sizeof(void (*)(void)), &lt, why, size)
 */
#ifndef TERNI_CUDA_LIBRARY_H
#define TERNI_CUDA_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum terni_library_id {
    TERNI_LIBRARY_CUBLASLT,
    TERNI_LIBRARY_CUBLAS,
    TERNI_LIBRARY_CUDNN,
    TERNI_LIBRARY_CUSOLVER,
    TERNI_LIBRARY_COUNT
} terni_library_id;

#define TERNI_LIBRARY_FIELD(f) __typeof__(f) *f;
#define TERNI_LIBRARY_NAME(f)  #f,

/* Fills the n function pointers at table with the functions of these names. False, with the reason in why and table
 * untouched, if the library was not found, does not load or lacks one of them; it is searched only once. */
bool terni_cuda_library_functions(terni_library_id id, const char *const *names, int n, void *table, char *why,
                                  size_t size);

/* The file that is open; NULL if there is none. */
const char *terni_cuda_library_path(terni_library_id id);

/* TERN_CUDA_KERNELS=own: every op uses Tern's own kernel where there is one. "library", or nothing, prefers the
 * libraries. */
bool terni_cuda_own_kernels(void);
/* False if TERN_CUDA_KERNELS is neither; then its text in *value. */
bool terni_cuda_own_kernels_valid(const char **value);

/* A line for each library, for tern_info: the file, or why there is none. Opens them. */
void terni_cuda_library_info(char *text, size_t size);

/* What tests change before the first use: what names of libraries start with, and the folder in front of those that are
 * searched everywhere. */
typedef struct terni_library_search {
    const char *prefix; /* "lib" */
    const char *root;   /* "" */
} terni_library_search;
extern terni_library_search terni_cuda_library_search;

#ifdef __cplusplus
}
#endif
#endif
