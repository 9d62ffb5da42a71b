/* Reads JSON: as much of it as results of --json have. */
#ifndef TERN_BENCH_JSON_H
#define TERN_BENCH_JSON_H

typedef enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_TEXT, JSON_ARRAY, JSON_OBJECT } json_kind;

typedef struct json {
    json_kind kind;
    double number; /* of a bool 0 or 1 */
    char *name;    /* of an object's member */
    char *text;
    struct json *first, *next; /* of an array or object; beside it */
} json;

/* The file's value, for json_free; NULL, with a message on stderr, if it cannot be read or is no JSON. */
json *json_read(const char *file);
void json_free(json *j);
/* A member of an object; NULL if there is none. */
const json *json_get(const json *j, const char *name);
/* What a member holds; or "" and 0. */
const char *json_text(const json *j, const char *name);
double json_number(const json *j, const char *name);

#endif
