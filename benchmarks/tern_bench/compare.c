/* Two results beside each other: the same cases' median times, and what of them is slower than it may be. */
#include <jansson.h>
#include <math.h>

#include "bench.h"

static const char *text(const json_t *j, const char *name) {
    const char *s = json_string_value(json_object_get(j, name));
    return s ? s : "";
}

static double number(const json_t *j, const char *name) { return json_number_value(json_object_get(j, name)); }

static const json_t *find(const json_t *results, const json_t *like) {
    static const char *const keys[] = {"name", "pass", "dtype"};
    size_t i;
    json_t *r;
    json_array_foreach(results, i, r) {
        bool same = true;
        for (int k = 0; k < 3; k++) same = same && !strcmp(text(r, keys[k]), text(like, keys[k]));
        if (same) return r;
    }
    return NULL;
}

static void print_head(const char *file, const json_t *j) {
    printf("%s: %s %s %s, %s, %s, %.0f threads, %s\n", file, text(j, "tool"), text(j, "library"), text(j, "commit"),
           text(j, "processor"), text(j, "device"), number(j, "threads"), text(j, "date"));
}

static int compare(const json_t *a, const json_t *b, double limit) {
    const json_t *of_a = json_object_get(a, "results"), *of_b = json_object_get(b, "results");
    size_t i;
    json_t *r;
    int both = 0, slower = 0;
    double logs = 0;
    printf("%-40s %-8s %-5s %12s %12s %8s\n", "", "pass", "dtype", "A us", "B us", "B / A");
    json_array_foreach(of_a, i, r) {
        const json_t *s = find(of_b, r);
        const double x = number(r, "median"), y = number(s, "median");
        if (!(x > 0) || !(y > 0)) continue;
        both++;
        logs += log(y / x);
        const bool behind = y > x * (1 + limit);
        slower += behind;
        printf("%-40s %-8s %-5s %12.2f %12.2f %8.3f%s\n", text(r, "name"), text(r, "pass"), text(r, "dtype"), x * 1e6,
               y * 1e6, y / x, behind ? "  SLOWER" : "");
    }
    if (!both) {
        fprintf(stderr, "tern-bench: the two have no case in common\n");
        return 2;
    }
    printf("%d cases in both, geometric mean of B / A %.3f; %d slower by more than %.0f %%\n", both, exp(logs / both),
           slower, 100 * limit);
    return slower > 0;
}

static json_t *load(const char *file) {
    json_error_t error;
    json_t *j = json_load_file(file, JSON_REJECT_DUPLICATES, &error);
    if (!j && error.line > 0) fprintf(stderr, "tern-bench: %s, line %d: %s\n", file, error.line, error.text);
    if (!j && error.line <= 0) fprintf(stderr, "tern-bench: %s\n", error.text);
    return j;
}

int bench_compare(const char *a, const char *b, double limit) {
    json_t *x = load(a), *y = x ? load(b) : NULL;
    int code = 2;
    if (x && y) {
        print_head(a, x);
        print_head(b, y);
        code = compare(x, y, limit);
    }
    json_decref(x);
    json_decref(y);
    return code;
}
