/* A parser by recursive descent. Text is kept as UTF-8; \uXXXX below 128 only, which is all that is written. */
#include <ctype.h>

#include "bench.h"
#include "json.h"

enum { DEPTH = 64 };

typedef struct reader {
    const char *at;
    int depth;
} reader;

void json_free(json *j) {
    while (j) {
        json *next = j->next;
        json_free(j->first);
        free(j->name);
        free(j->text);
        free(j);
        j = next;
    }
}

static void skip(reader *r) {
    while (*r->at && isspace((unsigned char)*r->at)) r->at++;
}

static bool take(reader *r, char c) {
    skip(r);
    if (*r->at != c) return false;
    r->at++;
    return true;
}

static bool escape(reader *r, char *out) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *known = *r->at ? strchr(from, *r->at) : NULL;
    unsigned code;
    if (known) {
        *out = to[known - from];
        r->at++;
        return true;
    }
    if (*r->at != 'u' || sscanf(r->at + 1, "%4x", &code) != 1 || code > 127) return false;
    *out = (char)code;
    r->at += 5;
    return true;
}

/* Behind the opening quote. */
static char *text(reader *r) {
    size_t n = 0;
    char *out = malloc(strlen(r->at) + 1);
    if (!out) return NULL;
    while (*r->at && *r->at != '"') {
        if (*r->at == '\\') {
            r->at++;
            if (!escape(r, &out[n++])) break;
        } else
            out[n++] = *r->at++;
    }
    out[n] = 0;
    if (*r->at == '"') {
        r->at++;
        char *fit = realloc(out, n + 1);
        return fit ? fit : out;
    }
    free(out);
    return NULL;
}

static json *value(reader *r);

/* Behind the opening bracket. */
static bool members(reader *r, json *j, char close) {
    json **end = &j->first;
    if (take(r, close)) return true;
    do {
        char *name = NULL;
        if (j->kind == JSON_OBJECT) {
            if (!take(r, '"') || !(name = text(r))) return false;
            if (!take(r, ':')) return free(name), false;
        }
        *end = value(r);
        if (!*end) return free(name), false;
        (*end)->name = name;
        end = &(*end)->next;
    } while (take(r, ','));
    return take(r, close);
}

static bool word(reader *r, const char *w) {
    if (strncmp(r->at, w, strlen(w)) != 0) return false;
    r->at += strlen(w);
    return true;
}

static bool scalar(reader *r, json *j) {
    char *end;
    if (word(r, "null")) return true;
    j->kind = JSON_BOOL;
    if (word(r, "false")) return true;
    j->number = 1;
    if (word(r, "true")) return true;
    j->kind = JSON_NUMBER;
    j->number = strtod(r->at, &end);
    if (end == r->at) return false;
    r->at = end;
    return true;
}

static json *value(reader *r) {
    json *j = calloc(1, sizeof *j);
    if (!j || r->depth++ > DEPTH) return free(j), NULL;
    bool ok;
    if (take(r, '"')) {
        j->kind = JSON_TEXT;
        ok = (j->text = text(r)) != NULL;
    } else if (take(r, '[')) {
        j->kind = JSON_ARRAY;
        ok = members(r, j, ']');
    } else if (take(r, '{')) {
        j->kind = JSON_OBJECT;
        ok = members(r, j, '}');
    } else
        ok = scalar(r, j);
    r->depth--;
    if (ok) return j;
    json_free(j);
    return NULL;
}

static char *content(const char *file) {
    FILE *f = fopen(file, "rb");
    if (!f) return NULL;
    char *all = NULL, *more;
    size_t n = 0, got = 1;
    while (got && (more = realloc(all, n + 65537))) {
        all = more;
        got = fread(all + n, 1, 65536, f);
        n += got;
    }
    const bool bad = ferror(f) || got;
    fclose(f);
    if (bad) return free(all), NULL;
    all[n] = 0;
    return all;
}

json *json_read(const char *file) {
    char *all = content(file);
    if (!all) return fprintf(stderr, "tern-bench: %s cannot be read\n", file), NULL;
    reader r = {all, 0};
    json *j = value(&r);
    skip(&r);
    if (!j || *r.at) {
        fprintf(stderr, "tern-bench: %s is no JSON\n", file);
        json_free(j);
        j = NULL;
    }
    free(all);
    return j;
}

const json *json_get(const json *j, const char *name) {
    for (const json *m = j ? j->first : NULL; m; m = m->next)
        if (m->name && strcmp(m->name, name) == 0) return m;
    return NULL;
}

const char *json_text(const json *j, const char *name) {
    const json *m = json_get(j, name);
    return m && m->text ? m->text : "";
}

double json_number(const json *j, const char *name) {
    const json *m = json_get(j, name);
    return m ? m->number : 0;
}
