/* Fuzz targets of the readers of files, for libFuzzer: the input is the file. TERN_FUZZ_READER names the reader.
 * Whatever is in the file, a reader gives a result or an error, and leaves nothing behind. With TERN_FUZZ_SEEDS it says
 * which files it could read. tests/fuzz/run builds and runs it. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tern/tern.h>

static void read_safetensors(const char *path) {
    tern_archive_free(tern_safetensors_load(path, (tern_safetensors_opts){.copy = false}));
}
static void read_safetensors_copy(const char *path) {
    tern_archive_free(tern_safetensors_load(path, (tern_safetensors_opts){.copy = true}));
}
static void read_npy(const char *path) { tern_release(tern_npy_load(path)); }
static void read_npz(const char *path) { tern_archive_free(tern_npz_load(path)); }
static void read_idx(const char *path) { tern_release(tern_idx_load(path)); }
static void read_picture(const char *path) {
    tern_release(tern_picture_load(path, (tern_picture_opts){.max_pixels = 1 << 20}));
}

static void read_onnx(const char *path) { tern_module_free(tern_onnx_load(path)); }
/* What it makes of small inputs, too: all of them floats, and then whole numbers. tests/fuzz/run lets no request for
 * memory be large. */
static void read_onnx_run(const char *path) {
    tern_module *m = tern_onnx_load(path);
    const int n = tern_onnx_inputs(m);
    tern_tensor *x[4], *y;
    for (int whole = 0; m && n <= 4 && whole < 2; whole++) {
        tern_error_clear();
        for (int i = 0; i < n; i++)
            x[i] = tern_ones(TERN_SHAPE(2, 3), (tern_options){.dtype = whole ? TERN_I64 : TERN_F32});
        if (tern_onnx_run(m, x, n, &y, 1)) break;
    }
    tern_module_free(m);
}

/* Where the other files are of a reader that takes several. */
static char folder[64];
static const char *write_beside(const char *name, const void *data, size_t n) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, n, f) != n || fclose(f) != 0) abort();
    return path;
}
static const char *beside(const char *name, const char *text) { return write_beside(name, text, strlen(text)); }

/* The input as two files of the folder, text and data: the first zero byte, which no JSON has, stands between them. */
static void split(const char *path, const char *text, const char *data) {
    static char all[1 << 16];
    FILE *f = fopen(path, "rb");
    if (!f) abort();
    const size_t n = fread(all, 1, sizeof all, f), first = strnlen(all, n), skip = first + (first < n);
    fclose(f);
    write_beside(text, all, first);
    write_beside(data, all + skip, n - skip);
}
static void read_vocab(const char *path) { tern_tokenizer_free(tern_tokenizer_load(path, beside("merges", "a b\n"))); }
static void read_merges(const char *path) {
    tern_tokenizer_free(tern_tokenizer_load(beside("vocab", "{\"a\":0,\"b\":1,\"ab\":2,\"aba\":3}"), path));
}

/* An index, and of its two shards the one called a. */
static void read_index(const char *path) {
    static const char b[] =
        "\x36\0\0\0\0\0\0\0{\"b\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[0,8]}}\1\0\0\0\2\0\0";
    split(path, "m.safetensors.index.json", "a");
    write_beside("b", b, sizeof b); /* the last byte is the text's end */
    char index[128];
    snprintf(index, sizeof index, "%s/m.safetensors.index.json", folder);
    tern_archive_free(tern_safetensors_load(index, (tern_safetensors_opts){0}));
}
/* A folder of PEFT's: the settings, then the tensors. */
static void read_adapter(const char *path) {
    tern_module *m =
        tern_sequential(tern_linear_new(3, 2, (tern_linear_opts){0}), tern_linear_new(2, 1, (tern_linear_opts){0}));
    if (!m) abort();
    split(path, "adapter_config.json", "adapter_model.safetensors");
    if (tern_adapter_load(folder, m, (tern_adapter_opts){0})) {
        tern_tensor *x = tern_ones(TERN_SHAPE(1, 3), (tern_options){0});
        if (!tern_forward(m, x)) abort(); /* what was loaded fits */
    }
    tern_module_free(m);
}

/* A checkpoint's sum keeps HDF5 from all that was not written by Tern: this is about the part in front of it. */
static void read_checkpoint(const char *path) {
    tern_checkpoint c = {.no_random = true, .not_strict = true};
    (void)tern_checkpoint_load(path, &c);
    tern_checkpoint_free_text(&c);
}

static void read_csv(const char *path) {
    tern_table *t = tern_csv_load(path, (tern_csv_opts){0});
    const char *last = t ? tern_table_name(t, tern_table_columns(t) - 1) : NULL;
    if (last)
        tern_dataset_free(tern_table_dataset_new(
            t, last, (tern_table_dataset_opts){.one_hot = true, .missing = TERN_MISSING_MEAN, .standardise = true}));
    tern_table_free(t);
}
/* Every sample of a dataset that is small. */
static void read_all(tern_dataset *d) {
    static char x[1 << 16], y[1 << 16];
    for (int64_t i = 0; d && i < d->length && i < 64; i++)
        if (!d->get(d, i, x, y)) tern_error_clear();
    tern_dataset_free(d);
}
static void read_cifar(const char *path) { read_all(tern_cifar_dataset_new(path, (tern_cifar_opts){0})); }
static void read_tokens(const char *path) {
    read_all(tern_tokens_dataset_new(path, (tern_tokens_opts){.bytes = 2, .block = 8, .offset = 3, .vocab = 1000}));
}

/* The input as a file with a name, which HDF5 asks for. */
static const char *named(const char *path) {
    static char name[128];
    snprintf(name, sizeof name, "%s/input", folder);
    const int from = open(path, O_RDONLY), to = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    struct stat st;
    if (from < 0 || to < 0 || fstat(from, &st) != 0 || sendfile(to, from, NULL, (size_t)st.st_size) != st.st_size)
        abort();
    close(from);
    close(to);
    return name;
}
/* HDF5 works in a process of its own, which libFuzzer does not see into; what that sends is read here. */
static void read_h5(const char *path) { read_all(tern_h5_dataset_new(named(path), "x", "y")); }
static void read_keras(const char *path) {
    tern_module *m =
        tern_sequential(tern_linear_new(3, 2, (tern_linear_opts){0}), tern_batch_norm_new(2, (tern_norm_opts){0}));
    if (!m) abort();
    (void)tern_keras_load(named(path), m, (tern_keras_opts){.seconds = 10});
    tern_module_free(m);
}

static const struct {
    const char *name;
    void (*read)(const char *path);
} readers[] = {{"safetensors", read_safetensors},
               {"safetensors_copy", read_safetensors_copy},
               {"safetensors_index", read_index},
               {"adapter", read_adapter},
               {"npy", read_npy},
               {"npz", read_npz},
               {"idx", read_idx},
               {"picture", read_picture},
               {"vocab", read_vocab},
               {"merges", read_merges},
               {"checkpoint", read_checkpoint},
               {"csv", read_csv},
               {"cifar", read_cifar},
               {"tokens", read_tokens},
               {"onnx", read_onnx},
               {"onnx_run", read_onnx_run},
               {"h5", read_h5},
               {"keras", read_keras}};
static void (*reader)(const char *path);

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    const char *name = getenv("TERN_FUZZ_READER");
    for (size_t i = 0; name && i < sizeof readers / sizeof *readers; i++)
        if (strcmp(readers[i].name, name) == 0) reader = readers[i].read;
    if (!reader) {
        fprintf(stderr, "TERN_FUZZ_READER names one of:");
        for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) fprintf(stderr, " %s", readers[i].name);
        fprintf(stderr, "\n");
        exit(2);
    }
    snprintf(folder, sizeof folder, "/tmp/tern-fuzz-XXXXXX");
    if (!mkdtemp(folder)) exit(2);
    tern_on_error(NULL, NULL);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const int fd = memfd_create("input", 0);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    reader(path);
    const bool failed = !tern_ok();
    if (!failed && getenv("TERN_FUZZ_SEEDS")) fprintf(stderr, "a good file\n");
    tern_error_clear();
    tern_scope_pop(0);
    const tern_memory_stats left = tern_memory_device(tern_cpu());
    if (left.live != 0) {
        fprintf(stderr, "%lld bytes of tensors are left after %s\n", (long long)left.live,
                failed ? "an error" : "a success");
        abort();
    }
    close(fd);
    return 0;
}
