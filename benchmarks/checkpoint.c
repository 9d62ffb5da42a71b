/* Checkpoints of GPT-2 124M's size: 148 tensors in f32 and AdamW's two states of each, 1.5 GB, beside what plain
 * write() and fsync() of the same bytes take. bench-checkpoint [--quick] [--rounds N] [--folder FOLDER]
 *
 * A round is a plain file, tern_checkpoint_save and the background writer, each round beginning with the next of the
 * three; each to a new name in FOLDER, and what was written before is removed outside the times. Prints each round and
 * then the medians; shares are of the plain file's median. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "tern/checkpointer.h"
#include "tern/ops.h"
#include "tern/tensor.h"

enum { ROUNDS = 99 };

typedef struct model {
    tern_module m;
} model;

static void add(model *s, const char *name, tern_shape shape) {
    const int scope = tern_scope_push();
    tern_module_param(&s->m, name, tern_full(shape, 0.5, (tern_options){0}));
    tern_scope_pop(scope);
}

static void add_layer(model *s, int64_t layer, int64_t w) {
    static const struct {
        const char *name;
        int rows, columns; /* in widths; no rows: a vector */
    } parts[] = {{"ln_1.weight", 0, 1},      {"ln_1.bias", 0, 1},          {"attn.c_attn.weight", 3, 1},
                 {"attn.c_attn.bias", 0, 3}, {"attn.c_proj.weight", 1, 1}, {"attn.c_proj.bias", 0, 1},
                 {"ln_2.weight", 0, 1},      {"ln_2.bias", 0, 1},          {"mlp.c_fc.weight", 4, 1},
                 {"mlp.c_fc.bias", 0, 4},    {"mlp.c_proj.weight", 1, 4},  {"mlp.c_proj.bias", 0, 1}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char name[80];
        const int64_t rows = parts[i].rows * w, columns = parts[i].columns * w;
        snprintf(name, sizeof name, "h%d_%s", (int)layer, parts[i].name);
        for (char *dot = name; (dot = strchr(dot, '.'));) *dot = '_';
        add(s, name, rows ? TERN_SHAPE(rows, columns) : TERN_SHAPE(columns));
    }
}

static model *model_new(bool small) {
    const int64_t w = small ? 64 : 768;
    model *s = TERN_MODULE_NEW(model);
    add(s, "wte", TERN_SHAPE(small ? 1000 : 50257, w));
    add(s, "wpe", TERN_SHAPE(1024, w));
    for (int64_t i = 0; i < 12; i++) add_layer(s, i, w);
    add(s, "ln_f_weight", TERN_SHAPE(w));
    add(s, "ln_f_bias", TERN_SHAPE(w));
    return tern_module_done(s);
}

/* ---- the peer ---------------------------------------------------------------------------------------------------- */

static void die(const char *what, const char *path) {
    fprintf(stderr, "bench-checkpoint: %s: %s: %s\n", path, what, strerror(errno));
    exit(1);
}

static int64_t put(int fd, const char *path, tern_tensor *t) {
    const int64_t bytes = tern_numel(t) * (int64_t)tern_dtype_size(tern_dtype_of(t));
    const char *p = tern_data(t);
    for (int64_t at = 0; at < bytes;) {
        const ssize_t n = write(fd, p + at, (size_t)(bytes - at));
        if (n <= 0) die("cannot be written", path);
        at += n;
    }
    return bytes;
}

/* Seconds. */
static double plain(const char *path, const tern_checkpoint *c, int64_t *bytes) {
    tern_named e;
    tern_optim_state o;
    const double from = bench_now();
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0) die("cannot be opened", path);
    *bytes = 0;
    for (int i = 0; tern_module_each(c->model, i, &e); i++) *bytes += put(fd, path, e.tensor);
    for (int i = 0; tern_optim_each(c->optim, i, &o); i++) *bytes += put(fd, path, o.tensor);
    if (fsync(fd) != 0) die("cannot be flushed", path);
    close(fd);
    return bench_now() - from;
}

/* So that the next one does not pay for giving this one's blocks back. */
static void forget(const char *path) {
    unlink(path);
    sync();
}

/* ---- rounds ------------------------------------------------------------------------------------------------------ */

typedef enum way { PLAIN, SAVE, BACKGROUND, STALL, WAYS } way;

static double saved(const char *path, const tern_checkpoint *c) {
    const double from = bench_now();
    tern_checkpoint_save(path, c);
    bench_check();
    return bench_now() - from;
}

static tern_checkpointer_report in_background(tern_checkpointer *w, const tern_checkpoint *c) {
    tern_checkpointer_save(w, c, false);
    tern_checkpointer_wait(w);
    bench_check();
    return tern_checkpointer_report_get(w);
}

static void round_of(const char *folder, tern_checkpoint *c, tern_checkpointer *w, double t[WAYS][ROUNDS], int i) {
    char path[PATH_MAX];
    int64_t bytes = 0;
    c->step = i;
    for (int k = 0; k < STALL; k++) {
        const way next = (way)((i + k) % STALL);
        snprintf(path, sizeof path, next == BACKGROUND ? "%s/checkpoint-%09d.h5" : "%s/one-%d", folder, i);
        if (next == PLAIN) {
            t[PLAIN][i] = plain(path, c, &bytes);
        } else if (next == SAVE) {
            t[SAVE][i] = saved(path, c);
        } else {
            const tern_checkpointer_report r = in_background(w, c);
            t[BACKGROUND][i] = r.seconds;
            t[STALL][i] = r.stall;
        }
        forget(path);
    }
    printf("%.2f GB  plain %.3f s  save %.3f s  background %.3f s, stall %.3f s\n", 1e-9 * (double)bytes, t[PLAIN][i],
           t[SAVE][i], t[BACKGROUND][i], t[STALL][i]);
    fflush(stdout);
}

static void run(const char *folder, bool quick, int rounds) {
    static double t[WAYS][ROUNDS];
    model *m = model_new(quick);
    tern_optim *o = m ? tern_adamw_new(&m->m, 1e-3, (tern_adamw_opts){0}) : NULL;
    tern_checkpoint c = {.model = m ? &m->m : NULL, .optim = o};
    tern_checkpointer *w = tern_checkpointer_new(folder, &c, (tern_checkpointer_opts){.keep = -1, .retries = -1});
    tern_checkpointer_wait(w); /* its memory is there */
    bench_check();
    for (int i = 0; i < rounds; i++) round_of(folder, &c, w, t, i);
    double median[WAYS];
    for (int k = 0; k < WAYS; k++) median[k] = bench_median(t[k], rounds);
    printf("medians of %d rounds: plain %.3f s, save %.3f s (%.0f%%), background %.3f s (%.0f%%), stall %.3f s\n",
           rounds, median[PLAIN], median[SAVE], 100 * median[PLAIN] / median[SAVE], median[BACKGROUND],
           100 * median[PLAIN] / median[BACKGROUND], median[STALL]);
    tern_checkpointer_free(w);
    tern_optim_free(o);
    tern_module_free(m ? &m->m : NULL);
}

int main(int argc, char **argv) {
    const char *folder = NULL;
    char own[] = "bench-checkpoint-XXXXXX";
    bool quick = false;
    int rounds = 5;
    static const struct option options[] = {{"quick", no_argument, NULL, 'q'},
                                            {"rounds", required_argument, NULL, 'r'},
                                            {"folder", required_argument, NULL, 'f'},
                                            {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'q')
            quick = true;
        else if (c == 'r')
            rounds = atoi(optarg);
        else if (c == 'f')
            folder = optarg;
        else
            return 2;
    }
    if (rounds < 1 || rounds > ROUNDS) return 2;
    if (!folder && !(folder = mkdtemp(own))) die("cannot be made", own);
    run(folder, quick, quick ? 1 : rounds);
    if (folder == own) rmdir(own);
    return 0;
}
