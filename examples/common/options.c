#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool wrong(const char *program, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", program);
    vfprintf(stderr, format, args);
    fprintf(stderr, "; %s --help lists the options\n", program);
    va_end(args);
    return false;
}

/* The row whose name is the first len characters of name. */
static option *find(option *rows, size_t n, const char *name, size_t len) {
    for (size_t i = 0; i < n; i++) {
        if (strlen(rows[i].name) == len && strncmp(rows[i].name, name, len) == 0) return &rows[i];
    }
    return NULL;
}

option *options_find(option *rows, size_t n, const char *name) { return find(rows, n, name, strlen(name)); }

/* strtoll and strtod skip blanks and stop at what they do not know; an option's number is all of its text. */
static bool whole_number(const char *text, int64_t *out) {
    char *end;
    errno = 0;
    const long long v = strtoll(text, &end, 10);
    if (text[strspn(text, "+-")] < '0' || text[strspn(text, "+-")] > '9' || *end || errno) return false;
    *out = v;
    return true;
}

static bool real_number(const char *text, double *out) {
    char *end;
    const double v = strtod(text, &end);
    if (end == text || *end || strspn(text, " \t\n\v\f\r") || !isfinite(v)) return false;
    *out = v;
    return true;
}

bool option_is_choice(const option *o, const char *word) {
    const size_t len = strcspn(word, "|");
    if (word[len]) return false;
    for (const char *w = o->argument; w; w = strchr(w, '|') ? strchr(w, '|') + 1 : NULL) {
        if (len && strncmp(w, word, len) == 0 && (w[len] == '|' || w[len] == '\0')) return true;
    }
    return false;
}

static bool set_value(const char *program, option *o, const char *text) {
    switch (o->kind) {
        case OPTION_FLAG:
            *(bool *)o->value = true;
            break;
        case OPTION_INT: {
            int64_t v;
            if (!whole_number(text, &v) || (double)v < o->min || (double)v > o->max) {
                return wrong(program, "--%s is \"%s\"; expected a whole number from %.0f to %.0f", o->name, text,
                             o->min, o->max);
            }
            *(int64_t *)o->value = v;
            break;
        }
        case OPTION_REAL: {
            double v;
            if (!real_number(text, &v) || v <= o->min || v > o->max) {
                return wrong(program, "--%s is \"%s\"; expected a number above %g, at most %g", o->name, text, o->min,
                             o->max);
            }
            *(double *)o->value = v;
            break;
        }
        case OPTION_CHOICE:
            if (!option_is_choice(o, text)) {
                return wrong(program, "--%s is \"%s\"; expected one of %s", o->name, text, o->argument);
            }
            *(const char **)o->value = text;
            break;
        case OPTION_TEXT:
            if (!*text) return wrong(program, "--%s is empty; expected %s", o->name, o->argument);
            *(const char **)o->value = text;
            break;
        case OPTION_FILES:
            break;
    }
    o->given = true;
    return true;
}

/* How many characters must be changed, added or left out to make one word of the other (Levenshtein's distance). */
static size_t distance(const char *a, size_t len, const char *b) {
    enum { MAX = 32 };
    size_t row[MAX + 1];
    const size_t n = strlen(b);
    if (len > MAX || n > MAX) return MAX;
    for (size_t k = 0; k <= n; k++) row[k] = k;
    for (size_t i = 1; i <= len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t k = 1; k <= n; k++) {
            const size_t changed = diagonal + (a[i - 1] == b[k - 1] ? 0 : 1);
            const size_t skipped = (row[k] < row[k - 1] ? row[k] : row[k - 1]) + 1;
            diagonal = row[k];
            row[k] = changed < skipped ? changed : skipped;
        }
    }
    return row[n];
}

static bool unknown(const char *program, option *rows, size_t n, const char *arg, size_t len) {
    const option *nearest = &rows[0];
    for (size_t i = 1; i < n; i++) {
        if (distance(arg + 2, len, rows[i].name) < distance(arg + 2, len, nearest->name)) nearest = &rows[i];
    }
    if (nearest->name[0] && distance(arg + 2, len, nearest->name) <= 2) {
        return wrong(program, "unknown option \"%.*s\", did you mean --%s?", (int)len + 2, arg, nearest->name);
    }
    return wrong(program, "unknown option \"%.*s\"", (int)len + 2, arg);
}

bool options_parse(const char *program, option *rows, size_t n, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "-h") == 0) arg = "--help";
        option *files = arg[0] == '-' ? NULL : find(rows, n, "", 0);
        if (files && arg[0]) {
            argv[++*(int *)files->value] = argv[i];
            continue;
        }
        if (arg[0] != '-' || arg[1] == '\0') return wrong(program, "\"%s\" is not an option", arg);
        if (arg[1] != '-' || arg[2] == '\0') return wrong(program, "unknown option \"%s\"", arg);
        const size_t len = strcspn(arg + 2, "=");
        const char *text = arg[2 + len] ? arg + 2 + len + 1 : NULL;
        option *o = find(rows, n, arg + 2, len);
        if (!o || o->kind == OPTION_FILES) return unknown(program, rows, n, arg, len);
        if (o->kind == OPTION_FLAG) {
            if (text) return wrong(program, "--%s takes no argument, but \"%s\" was given", o->name, text);
        } else if (!text) {
            const bool there = i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0;
            if (!there && o->may_be_bare) {
                o->given = true;
                continue;
            }
            if (!there) return wrong(program, "--%s needs an argument, %s", o->name, o->argument);
            text = argv[++i];
        }
        if (!set_value(program, o, text)) return false;
    }
    return true;
}

static const char *value_text(const option *o, char *buf, size_t size) {
    buf[0] = '\0';
    if (o->kind == OPTION_INT) snprintf(buf, size, "%" PRId64, *(const int64_t *)o->value);
    if (o->kind == OPTION_REAL) snprintf(buf, size, "%.17g", *(const double *)o->value);
    const bool text = o->kind == OPTION_TEXT || o->kind == OPTION_CHOICE;
    if (text && *(char *const *)o->value) shell_quote(*(char *const *)o->value, buf, size);
    return buf;
}

const char *option_text(const option *o, char *buf, size_t size) {
    char value[4096];
    const bool bare = o->kind == OPTION_FLAG;
    snprintf(buf, size, " --%s%s%s", o->name, bare ? "" : " ", value_text(o, value, sizeof value));
    return buf;
}

void options_help(const option *rows, size_t n) {
    enum { COLUMN = 31 };
    for (size_t i = 0; i < n; i++) {
        char left[64];
        const option *o = &rows[i];
        const bool bare = o->kind == OPTION_FLAG;
        if (o->kind == OPTION_FILES) continue;
        snprintf(left, sizeof left, o->may_be_bare ? "  --%s%s[%s]" : "  --%s%s%s", o->name, bare ? "" : " ",
                 bare ? "" : o->argument);
        printf("%-*s", COLUMN, left);
        if (strlen(left) >= COLUMN) printf("\n%*s", COLUMN, "");
        for (const char *c = o->help; *c; c++) {
            putchar(*c);
            if (*c == '\n') printf("%*s", COLUMN, "");
        }
        putchar('\n');
    }
}

const char *shell_quote(const char *text, char *buf, size_t size) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:=,+@%";
    if (*text && text[strspn(text, plain)] == '\0') {
        snprintf(buf, size, "%s", text);
        return buf;
    }
    size_t n = 0;
    const size_t end = size - 3; /* room for the closing quote and the zero */
    buf[n++] = '\'';
    for (const char *c = text; *c && n + 4 < end; c++) {
        if (*c == '\'') {
            memcpy(buf + n, "'\\''", 4);
            n += 4;
        } else {
            buf[n++] = *c;
        }
    }
    buf[n++] = '\'';
    buf[n] = '\0';
    return buf;
}
