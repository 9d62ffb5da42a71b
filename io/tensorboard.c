/* TensorBoard: protocol buffers framed as TFRecords. Field numbers
 * are those of tensorflow/core/util/event.proto, framework/summary.proto, framework/tensor.proto and of TensorBoard's
 * plugins/hparams/plugin_data.proto and api.proto. */
#include "tern/tensorboard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"
#include "picture_internal.h"
#include "protobuf.h"

struct tern_tensorboard {
    int fd;
    bool broken; /* a write has failed, and was reported */
    double flushed;
    terni_bytes out;
    uint32_t crc[256];
    char path[PATH_MAX];
};

/* ---- records ----------------------------------------------------------------------------------------------------- */

/* CRC-32C (Castagnoli, reflected), masked as TFRecords want it. */
static void crc_table(uint32_t *t) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
        t[i] = c;
    }
}
static uint32_t masked_crc(const uint32_t *t, const unsigned char *p, size_t n) {
    uint32_t c = ~0u;
    for (size_t i = 0; i < n; i++) c = t[(c ^ p[i]) & 255] ^ c >> 8;
    c = ~c;
    return (c >> 15 | c << 17) + 0xa282ead8u;
}

static double now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool write_out(tern_tensorboard *w) {
    for (size_t at = 0; at < w->out.n;) {
        const ssize_t n = write(w->fd, w->out.p + at, w->out.n - at);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = ENOSPC;
        if (n <= 0) {
            w->broken = true;
            return terni_fail(TERN_ERR_IO, "tensorboard: %s cannot be written: %s", w->path, strerror(errno));
        }
        at += (size_t)n;
    }
    w->out.n = 0;
    w->flushed = now(CLOCK_MONOTONIC);
    return true;
}

/* An event with what `field` (3 version, 5 summary) holds; content is spent. */
static bool add_event(tern_tensorboard *w, int64_t step, int field, terni_bytes *content) {
    enum { FULL = 1 << 16, SECONDS = 120 };
    terni_bytes e = {0};
    terni_put_double(&e, 1, now(CLOCK_REALTIME));
    if (step) terni_put_int(&e, 2, step);
    terni_put_part(&e, field, content);
    if (!e.failed) {
        unsigned char length[8];
        for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)e.n >> (8 * i));
        const size_t was = w->out.n;
        terni_put(&w->out, length, 8);
        terni_put_le(&w->out, masked_crc(w->crc, length, 8), 4);
        terni_put(&w->out, e.p, e.n);
        terni_put_le(&w->out, masked_crc(w->crc, e.p, e.n), 4);
        if (w->out.failed) w->out.n = was; /* no half record */
    }
    const bool ok = !e.failed && !w->out.failed;
    w->out.failed = false;
    terni_mfree(e.p);
    if (!ok) return false; /* the memory's error is pending */
    return (w->out.n < FULL && now(CLOCK_MONOTONIC) - w->flushed < SECONDS) || write_out(w);
}

/* Summary { value { ... } }; value is spent. */
static bool add_value(tern_tensorboard *w, int64_t step, terni_bytes *value) {
    terni_bytes summary = {0};
    terni_put_part(&summary, 1, value);
    return add_event(w, step, 5, &summary);
}

static bool usable(const tern_tensorboard *w, const char *tag) {
    return terni_given(w, "tensorboard", "log") && !w->broken && terni_given(tag, "tensorboard", "tag");
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static bool make_folders(const char *folder) {
    char path[PATH_MAX];
    const size_t n = strlen(folder);
    if (n == 0 || n >= sizeof path - 200)
        return terni_fail(TERN_ERR_IO, "tensorboard: \"%.60s\" is no usable path", folder);
    memcpy(path, folder, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != 0) continue;
        const char was = path[i];
        path[i] = 0;
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return terni_fail(TERN_ERR_IO, "tensorboard: the folder %s cannot be made: %s", path, strerror(errno));
        path[i] = was;
    }
    return true;
}

tern_tensorboard *tern_tensorboard_open(const char *folder) {
    static atomic_uint count;
    if (!terni_given(folder, "tensorboard", "folder") || !make_folders(folder)) return NULL;
    tern_tensorboard *w = terni_malloc(sizeof *w);
    if (!w) return NULL;
    memset(w, 0, sizeof *w);
    char host[100] = "localhost";
    (void)gethostname(host, sizeof host - 1);
    for (char *h = host; *h; h++)
        if (*h == '/') *h = '_';
    snprintf(w->path, sizeof w->path, "%s/events.out.tfevents.%010lld.%s.%ld.%u", folder, (long long)time(NULL), host,
             (long)getpid(), atomic_fetch_add(&count, 1));
    w->fd = open(w->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
    if (w->fd < 0) {
        terni_fail(TERN_ERR_IO, "tensorboard: %s cannot be made: %s", w->path, strerror(errno));
        terni_mfree(w);
        return NULL;
    }
    crc_table(w->crc);
    terni_bytes version = {0};
    terni_put(&version, "brain.Event:2", 13);
    if (add_event(w, 0, 3, &version) && write_out(w)) return w;
    tern_tensorboard_close(w);
    return NULL;
}

bool tern_tensorboard_flush(tern_tensorboard *w) { return usable(w, "") && write_out(w); }

bool tern_tensorboard_close(tern_tensorboard *w) {
    if (!w) return true;
    bool ok = !w->broken && write_out(w);
    if (close(w->fd) != 0 && ok)
        ok = terni_fail(TERN_ERR_IO, "tensorboard: %s cannot be written: %s", w->path, strerror(errno));
    terni_mfree(w->out.p);
    terni_mfree(w);
    return ok;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

bool tern_tensorboard_scalar(tern_tensorboard *w, const char *tag, double value, int64_t step) {
    if (!usable(w, tag)) return false;
    terni_bytes v = {0};
    terni_put_text(&v, 1, tag);
    terni_put_float(&v, 2, (float)value);
    return add_value(w, step, &v);
}

enum { BUCKETS = 30 };
typedef struct histogram {
    double min, max, sum, squares;
    int64_t n;
    double count[BUCKETS];
} histogram;

static void gather(histogram *h, const double *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) continue;
        h->min = h->n && h->min < x[i] ? h->min : x[i];
        h->max = h->n && h->max > x[i] ? h->max : x[i];
        h->sum += x[i];
        h->squares += x[i] * x[i];
        h->n++;
    }
    const double scale = h->max > h->min ? BUCKETS / (h->max - h->min) : 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) continue;
        const int k = (int)((x[i] - h->min) * scale);
        h->count[k < BUCKETS ? k : BUCKETS - 1]++;
    }
}

bool tern_tensorboard_histogram(tern_tensorboard *w, const char *tag, tern_tensor *t, int64_t step) {
    if (!usable(w, tag) || !terni_given(t, "tensorboard", "tensor")) return false;
    const int64_t n = tern_numel(t);
    double *x = terni_malloc((size_t)n * sizeof *x + 1);
    histogram h = {0};
    const bool ok = x && tern_to_doubles(t, x, n);
    if (ok) gather(&h, x, n);
    terni_mfree(x);
    if (!ok) return false;
    terni_bytes v = {0}, p = {0}, limits = {0}, counts = {0};
    const int buckets = h.max > h.min ? BUCKETS : 1;
    for (int i = 0; i < buckets; i++) {
        terni_put_raw_double(&limits, i + 1 < buckets ? h.min + (h.max - h.min) * (i + 1) / buckets : h.max);
        terni_put_raw_double(&counts, h.count[i]);
    }
    terni_put_double(&p, 1, h.min);
    terni_put_double(&p, 2, h.max);
    terni_put_double(&p, 3, (double)h.n);
    terni_put_double(&p, 4, h.sum);
    terni_put_double(&p, 5, h.squares);
    terni_put_part(&p, 6, &limits);
    terni_put_part(&p, 7, &counts);
    terni_put_text(&v, 1, tag);
    terni_put_part(&v, 5, &p);
    return add_value(w, step, &v);
}

bool tern_tensorboard_image(tern_tensorboard *w, const char *tag, tern_tensor *t, int64_t step) {
    if (!usable(w, tag) || !terni_given(t, "tensorboard", "tensor")) return false;
    size_t n;
    int wide, high;
    void *png = terni_picture_png(t, &n, &wide, &high);
    if (!png) return false;
    terni_bytes v = {0}, p = {0};
    terni_put_int(&p, 1, high);
    terni_put_int(&p, 2, wide);
    terni_put_int(&p, 3, tern_ndim(t) == 3 ? tern_size(t, 0) : 1);
    terni_put_data(&p, 4, png, n);
    terni_mfree(png);
    terni_put_text(&v, 1, tag);
    terni_put_part(&v, 4, &p);
    return add_value(w, step, &v);
}

/* SummaryMetadata { plugin_data { plugin_name, content } } as a value's field 9; content is spent. */
static void put_plugin(terni_bytes *v, const char *name, terni_bytes *content) {
    terni_bytes data = {0}, metadata = {0};
    terni_put_text(&data, 1, name);
    terni_put_part(&data, 2, content);
    terni_put_part(&metadata, 1, &data);
    terni_put_part(v, 9, &metadata);
}

bool tern_tensorboard_text(tern_tensorboard *w, const char *tag, const char *text, int64_t step) {
    if (!usable(w, tag) || !terni_given(text, "tensorboard", "text")) return false;
    enum { DT_STRING = 7 };
    terni_bytes v = {0}, nothing = {0}, tensor = {0}, shape = {0}, dim = {0};
    char full[1024];
    snprintf(full, sizeof full, "%s/text_summary", tag);
    terni_put_text(&v, 1, full);
    put_plugin(&v, "text", &nothing);
    terni_put_int(&dim, 1, 1);
    terni_put_part(&shape, 2, &dim);
    terni_put_int(&tensor, 1, DT_STRING);
    terni_put_part(&tensor, 2, &shape);
    terni_put_text(&tensor, 8, text);
    terni_put_part(&v, 8, &tensor);
    return add_value(w, step, &v);
}

/* ---- hyperparameters --------------------------------------------------------------------------------------------- */

/* HParamsPluginData { `field`: part } under tag. */
static bool add_hparams(tern_tensorboard *w, const char *tag, int field, terni_bytes *part) {
    terni_bytes v = {0}, data = {0};
    terni_put_part(&data, field, part);
    terni_put_text(&v, 1, tag);
    put_plugin(&v, "hparams", &data);
    return add_value(w, 0, &v);
}

static void put_experiment(terni_bytes *e, const tern_hparam *params, int n, const char *const *metrics,
                           int n_metrics) {
    enum { STRING = 1, FLOAT64 = 3 };
    for (int i = 0; i < n; i++) {
        terni_bytes info = {0};
        terni_put_text(&info, 1, params[i].name);
        terni_put_int(&info, 4, params[i].text ? STRING : FLOAT64);
        terni_put_part(e, 4, &info);
    }
    for (int i = 0; i < n_metrics; i++) {
        terni_bytes info = {0}, name = {0};
        terni_put_text(&name, 2, metrics[i]);
        terni_put_part(&info, 1, &name);
        terni_put_part(e, 5, &info);
    }
}

static void put_session(terni_bytes *s, const tern_hparam *params, int n) {
    for (int i = 0; i < n; i++) {
        terni_bytes pair = {0}, value = {0};
        if (params[i].text)
            terni_put_text(&value, 3, params[i].text);
        else
            terni_put_double(&value, 2, params[i].number);
        terni_put_text(&pair, 1, params[i].name);
        terni_put_part(&pair, 2, &value);
        terni_put_part(s, 1, &pair);
    }
    terni_put_double(s, 5, now(CLOCK_REALTIME));
}

bool tern_tensorboard_hparams(tern_tensorboard *w, const tern_hparam *params, int n, const char *const *metrics,
                              int n_metrics) {
    if (!usable(w, "")) return false;
    if (n < 0 || n_metrics < 0 || (n && !params) || (n_metrics && !metrics))
        return terni_fail(TERN_ERR_ARGUMENT, "tensorboard: %d hyperparameters, %d metrics", n, n_metrics);
    for (int i = 0; i < n; i++)
        if (!terni_given(params[i].name, "tensorboard", "a hyperparameter's name")) return false;
    terni_bytes experiment = {0}, session = {0}, end = {0};
    put_experiment(&experiment, params, n, metrics, n_metrics);
    put_session(&session, params, n);
    terni_put_int(&end, 1, 1); /* STATUS_SUCCESS */
    const bool ok = add_hparams(w, "_hparams_/experiment", 2, &experiment);
    if (!ok) {
        terni_mfree(session.p);
        terni_mfree(end.p);
        return false;
    }
    if (!add_hparams(w, "_hparams_/session_start_info", 3, &session)) {
        terni_mfree(end.p);
        return false;
    }
    return add_hparams(w, "_hparams_/session_end_info", 4, &end);
}
