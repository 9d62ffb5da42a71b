/* The calling thread's first error, and the handler that hears of it. */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "thread.h"

static const char no_memory[] = "an error, and no memory for its text";

static void print_error(tern_code code, const char *text, void *user) {
    (void)code;
    (void)user;
    fprintf(stderr, "tern: %s\n", text);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static tern_error_handler handler = print_error;
static void *handler_user;

void tern_on_error(tern_error_handler h, void *user) {
    pthread_mutex_lock(&lock);
    handler = h;
    handler_user = user;
    pthread_mutex_unlock(&lock);
}

bool terni_error_mute(bool mute) {
    const bool was = terni_self.muted;
    terni_self.muted = mute;
    return was;
}

static void record(tern_code code, const char *file, int line, const char *format, va_list args) {
    if (terni_self.error != TERN_OK) return;
    terni_words *const w = terni_words_of();
    if (w) {
        const int size = sizeof w->message;
        const size_t known = terni_self.op ? strlen(terni_self.op) : 0;
        int n = vsnprintf(w->message, sizeof w->message, format, args);
        if (n < 0) n = 0;
        if (n >= size) n = size - 1;
        if (known && !(strncmp(w->message, terni_self.op, known) == 0 && w->message[known] == ':') &&
            n + (int)known + 2 < size) {
            memmove(w->message + known + 2, w->message, (size_t)n + 1);
            memcpy(w->message, terni_self.op, known);
            memcpy(w->message + known, ": ", 2);
            n += (int)known + 2;
        }
        if (n >= size) n = size - 1;
        if (file && n < size - 1) snprintf(w->message + n, (size_t)(size - n), " (%s:%d)", file, line);
    }
    terni_self.error = code == TERN_OK ? TERN_ERR_INTERNAL : code;
    if (terni_self.muted) return;
    pthread_mutex_lock(&lock);
    const tern_error_handler h = handler;
    void *const user = handler_user;
    pthread_mutex_unlock(&lock);
    if (h) h(terni_self.error, tern_error_message(), user);
}

const char *terni_named(const char *op) {
    const char *was = terni_self.op;
    if (!was) terni_self.op = op;
    return was;
}

const char *terni_caller(void) { return terni_self.op; }

void terni_named_end(const char *const *was) { terni_self.op = *was; }

bool terni_fail_at(tern_code code, const char *file, int line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    record(code, file, line, format, args);
    va_end(args);
    return false;
}

bool tern_error_set(tern_code code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    record(code, NULL, 0, format, args);
    va_end(args);
    return false;
}

bool tern_ok(void) { return terni_self.error == TERN_OK; }
tern_code tern_error_code(void) { return terni_self.error; }
const char *tern_error_message(void) {
    return terni_self.error == TERN_OK ? "" : terni_self.words ? terni_self.words->message : no_memory;
}
void tern_error_clear(void) { terni_self.error = TERN_OK; }

const char *tern_code_name(tern_code code) {
    static const char *const names[] = {"TERN_OK",         "TERN_ERR_ARGUMENT",    "TERN_ERR_SHAPE",
                                        "TERN_ERR_DTYPE",  "TERN_ERR_DEVICE",      "TERN_ERR_INDEX",
                                        "TERN_ERR_MEMORY", "TERN_ERR_AUTOGRAD",    "TERN_ERR_IO",
                                        "TERN_ERR_FORMAT", "TERN_ERR_UNSUPPORTED", "TERN_ERR_INTERNAL"};
    return (size_t)code < sizeof names / sizeof *names ? names[code] : "?";
}

bool terni_given(const void *p, const char *op, const char *what) {
    if (terni_self.error != TERN_OK) return false;
    return p ? true : terni_fail(TERN_ERR_ARGUMENT, "%s: %s is NULL", op, what);
}
