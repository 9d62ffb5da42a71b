/* How the CUDA backend finds NVIDIA's libraries: by a library that holds one function, under their names, in folders of
 * the test's own. Each test runs in a process of its own, so each searches anew. */
#include "common.h"

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "library.h"

static char root[512];

/* PATH below the root, with its folders. */
static const char *place(const char *path) {
    static char full[1024];
    snprintf(full, sizeof full, "%s/%s", root, path);
    for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(full, 0777);
        *p = '/';
    }
    return full;
}

static void put(const char *path) {
    const char *full = place(path);
    char fake[1024]; /* lies beside this program */
    const ssize_t n = readlink("/proc/self/exe", fake, sizeof fake - sizeof FAKE_LIBRARY - 1);
    REQUIRE(n > 0);
    fake[n] = 0;
    strcpy(strrchr(fake, '/') + 1, FAKE_LIBRARY);
    unlink(full);
    CHECK(symlink(fake, full) == 0, "%s", full);
}

static void prepare(void) {
    static const char *const variables[] = {"TERN_CUDA_LIBRARIES", "CUDA_HOME",    "CUDA_PATH",
                                            "VIRTUAL_ENV",         "CONDA_PREFIX", "HOME"};
    for (int i = 0; i < 6; i++) unsetenv(variables[i]);
    snprintf(root, sizeof root, "%s", test_path("root[1]")); /* a name that a pattern would misread */
    mkdir(root, 0777);
    terni_cuda_library_search = (terni_library_search){"libtern-fake-", root};
}

/* Where the library is found has this end; "" if it is not. */
static void found(const char *end) {
    static const char *const names[] = {"terni_fake_library"};
    int (*function)(void) = NULL;
    char why[1024] = "";
    const bool ok = terni_cuda_library_functions(TERNI_LIBRARY_CUBLASLT, names, 1, &function, why, sizeof why);
    const char *path = terni_cuda_library_path(TERNI_LIBRARY_CUBLASLT);
    CHECK(ok == (*end != 0), "%s", why);
    if (!*end || !ok) return;
    CHECK(function && function() == 7);
    REQUIRE(path && strlen(path) >= strlen(end));
    CHECK(strcmp(path + strlen(path) - strlen(end), end) == 0, "%s, not %s", path, end);
}

TERN_TEST(cuda_library, python_package) {
    prepare();
    put("usr/lib/python3.11/dist-packages/nvidia/cublas/lib/libtern-fake-cublasLt.so.12");
    found("/dist-packages/nvidia/cublas/lib/libtern-fake-cublasLt.so.12");
}

TERN_TEST(cuda_library, environment_before_the_system) {
    prepare();
    put("usr/lib/python3.11/dist-packages/nvidia/cublas/lib/libtern-fake-cublasLt.so.13");
    put("venv/lib/python3.12/site-packages/nvidia/cu13/lib/libtern-fake-cublasLt.so.13");
    setenv("VIRTUAL_ENV", place("venv"), 1);
    found("venv/lib/python3.12/site-packages/nvidia/cu13/lib/libtern-fake-cublasLt.so.13");
}

TERN_TEST(cuda_library, home) {
    prepare();
    put("home/.local/lib/python3.9/site-packages/nvidia/cublas/lib/libtern-fake-cublasLt.so.13");
    setenv("HOME", place("home"), 1);
    found("home/.local/lib/python3.9/site-packages/nvidia/cublas/lib/libtern-fake-cublasLt.so.13");
}

TERN_TEST(cuda_library, newest_release_wherever_it_is) {
    prepare();
    put("usr/local/cuda-12.4/lib64/libtern-fake-cublasLt.so.12");
    put("usr/local/lib/python3.11/site-packages/nvidia/cu13/lib/libtern-fake-cublasLt.so.13");
    found("nvidia/cu13/lib/libtern-fake-cublasLt.so.13");
}

TERN_TEST(cuda_library, toolkit) {
    prepare();
    put("usr/local/cuda/lib64/libtern-fake-cublasLt.so.13");
    put("opt/lib64/libtern-fake-cublasLt.so.13");
    setenv("CUDA_HOME", place("opt"), 1);
    found("opt/lib64/libtern-fake-cublasLt.so.13");
}

/* The user's folders come before all, with any release; empty and absent ones are passed over. */
TERN_TEST(cuda_library, listed_folders) {
    prepare();
    char list[2048];
    put("usr/local/cuda/lib64/libtern-fake-cublasLt.so.13");
    put("mine/libtern-fake-cublasLt.so.12");
    snprintf(list, sizeof list, ":%s/none::%s/mine:", root, root);
    setenv("TERN_CUDA_LIBRARIES", list, 1);
    found("mine/libtern-fake-cublasLt.so.12");
}

TERN_TEST(cuda_library, reasons) {
    prepare();
    static const char *const names[] = {"terni_fake_library", "no_such_function"};
    int (*functions[2])(void) = {NULL, NULL};
    char why[1024];
    put("mine/libtern-fake-cublas.so.12");
    setenv("TERN_CUDA_LIBRARIES", place("mine"), 1);
    CHECK(!terni_cuda_library_functions(TERNI_LIBRARY_CUBLASLT, names, 1, functions, why, sizeof why));
    CHECK(
        strstr(why, "libtern-fake-cublasLt.so.13 or libtern-fake-cublasLt.so.12 is not found") && strstr(why, "/mine"),
        "%s", why);
    CHECK(!terni_cuda_library_path(TERNI_LIBRARY_CUBLASLT));
    CHECK(!terni_cuda_library_functions(TERNI_LIBRARY_CUBLAS, names, 2, functions, why, sizeof why));
    CHECK(strstr(why, "mine/libtern-fake-cublas.so.12 has no no_such_function"), "%s", why);
    CHECK(!functions[0] && !functions[1]);

    FILE *f = fopen(place("mine/libtern-fake-cudnn.so.9"), "w");
    REQUIRE(f);
    fputs("not a library", f);
    fclose(f);
    CHECK(!terni_cuda_library_functions(TERNI_LIBRARY_CUDNN, names, 1, functions, why, sizeof why));
    CHECK(strstr(why, "libtern-fake-cudnn.so.9") && !strstr(why, "is not found"), "%s", why);

    char text[2048];
    terni_cuda_library_info(text, sizeof text);
    CHECK(strstr(text, "  cublasLt: none: libtern-fake-cublasLt.so.13 or ") && strstr(text, "\n  cusolver: none: "),
          "%s", text);
    char little[20];
    terni_cuda_library_info(little, sizeof little);
    CHECK(strlen(little) < sizeof little);
}

TERN_TEST(cuda_library, own_kernels) {
    const char *value;
    setenv("TERN_CUDA_KERNELS", "own", 1);
    CHECK(terni_cuda_own_kernels() && terni_cuda_own_kernels_valid(&value));
    char text[256];
    terni_cuda_library_info(text, sizeof text);
    CHECK(strstr(text, "TERN_CUDA_KERNELS=own"), "%s", text);
}
TERN_TEST(cuda_library, kernels_misspelt) {
    const char *value;
    setenv("TERN_CUDA_KERNELS", "owm", 1);
    CHECK(!terni_cuda_own_kernels() && !terni_cuda_own_kernels_valid(&value) && strcmp(value, "owm") == 0);
}
TERN_TEST(cuda_library, kernels_unset) {
    const char *value;
    unsetenv("TERN_CUDA_KERNELS");
    CHECK(!terni_cuda_own_kernels() && terni_cuda_own_kernels_valid(&value));
}

static void *ask(void *arg) {
    static const char *const names[] = {"terni_fake_library"};
    char why[1024];
    (void)arg;
    for (int i = 0; i < 100; i++) {
        int (*function)(void) = NULL;
        if (!terni_cuda_library_functions(TERNI_LIBRARY_CUBLASLT, names, 1, &function, why, sizeof why) ||
            function() != 7)
            return (void *)(uintptr_t)names;
    }
    return NULL;
}
TERN_TEST(cuda_library, several_threads) {
    prepare();
    put("usr/local/cuda/lib64/libtern-fake-cublasLt.so.13");
    pthread_t threads[4];
    void *failed;
    for (int i = 0; i < 4; i++) REQUIRE(pthread_create(&threads[i], NULL, ask, NULL) == 0);
    for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], &failed) == 0 && !failed);
}
