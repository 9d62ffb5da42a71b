#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int terminal_columns(void) {
    struct winsize w;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0) return w.ws_col;
    const char *columns = getenv("COLUMNS");
    const int n = columns ? atoi(columns) : 0;
    return n > 0 ? n : 80;
}

void progress_begin(progress *p, int64_t epochs, int64_t samples, int64_t seen_before) {
    const char *term = getenv("TERM");
    *p = (progress){.epochs = epochs, .samples = samples, .first = seen_before};
    p->bar = isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
    p->began = p->drawn = now();
}

void progress_epoch_begin(progress *p, int64_t seen) {
    p->epoch_began = now();
    p->epoch_first = seen;
}

static double epoch_rate(const progress *p, int64_t seen) {
    const double elapsed = now() - p->epoch_began;
    return elapsed > 0 ? (double)(seen - p->epoch_first) / elapsed : 0;
}

void progress_epoch_end(progress *p, progress_state s) { p->rate = epoch_rate(p, s.seen); }

bool progress_due(progress *p) {
    const double t = now();
    if (t - p->drawn < (p->bar ? 0.1 : 30.0)) return false;
    p->drawn = t;
    return true;
}

/* "1:05:09" or "5:09". */
static const char *clock_text(double seconds, char *buf, size_t size) {
    const int64_t s = (int64_t)(seconds + 0.5);
    if (s >= 3600) {
        snprintf(buf, size, "%" PRId64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60), (int)(s % 60));
    } else {
        snprintf(buf, size, "%d:%02d", (int)(s / 60), (int)(s % 60));
    }
    return buf;
}

void progress_clear(const progress *p) {
    if (p->bar) printf("\r\033[K");
    fflush(stdout);
}

void progress_draw(progress *p, progress_state s) {
    char head[64], tail[128], left[32];
    const double elapsed = now() - p->began;
    const int64_t done = s.epoch * p->samples + s.seen - p->first;
    const double run_rate = elapsed > 0 ? (double)done / elapsed : 0; /* the time left counts testing and saving in */
    const int64_t togo = (p->epochs - s.epoch) * p->samples - s.seen;
    clock_text(run_rate > 0 ? (double)togo / run_rate : 0, left, sizeof left);
    const double part = p->samples ? (double)s.seen / (double)p->samples : 1;
    snprintf(head, sizeof head, "epoch %" PRId64 "/%" PRId64 " %3.0f %%", s.epoch + 1, p->epochs, 100 * part);
    snprintf(tail, sizeof tail, "loss %.4f  acc %.2f %%  %.0f images/s  %s left", s.loss, 100 * s.accuracy,
             epoch_rate(p, s.seen), run_rate > 0 ? left : "?");
    if (!p->bar) {
        printf("%s  %s\n", head, tail);
        fflush(stdout);
        return;
    }
    /* The bar takes the room that the numbers leave; in a narrow window it goes, then the numbers' end. The last column
     * stays free, as writing there makes some terminals go to the next line. */
    enum { BAR_MIN = 5, BAR_MAX = 40 };
    const int columns = terminal_columns() - 1;
    char line[256], bar[BAR_MAX + 4] = "";
    int width = columns - (int)(strlen(head) + strlen(tail)) - 6;
    if (width > BAR_MAX) width = BAR_MAX;
    if (width >= BAR_MIN) {
        const int full = (int)(part * width);
        bar[0] = ' ';
        bar[1] = '[';
        for (int i = 0; i < width; i++) bar[2 + i] = "=>."[i < full - 1 || full == width ? 0 : i < full ? 1 : 2];
        bar[2 + width] = ']';
        bar[3 + width] = '\0';
    }
    snprintf(line, sizeof line, "%s%s  %s", head, bar, tail);
    if ((int)strlen(line) > columns) line[columns] = '\0';
    printf("\r%s\033[K", line);
    fflush(stdout);
}

void progress_epoch_print(progress *p, progress_state s, double test_accuracy) {
    char time_text[32];
    progress_clear(p);
    printf("epoch %" PRId64 "/%" PRId64 "  loss %.4f  accuracy %.2f %%  test %.2f %%  %.0f images/s  %s\n", s.epoch + 1,
           p->epochs, s.loss, 100 * s.accuracy, 100 * test_accuracy, p->rate,
           clock_text(now() - p->began, time_text, sizeof time_text));
    fflush(stdout);
    if (!p->bar) p->drawn = now(); /* a plain line is due half a minute after this one */
}
