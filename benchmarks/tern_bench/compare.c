/* Two results beside each other: the same cases' median times, and what of them is slower than it may be. */
#include <math.h>

#include "bench.h"
#include "json.h"

static const json *find(const json *results, const json *like) {
    static const char *const keys[] = {"name", "pass", "dtype"};
    for (const json *r = results ? results->first : NULL; r; r = r->next) {
        bool same = true;
        for (int k = 0; k < 3; k++) same = same && !strcmp(json_text(r, keys[k]), json_text(like, keys[k]));
        if (same) return r;
    }
    return NULL;
}

static void print_head(const char *file, const json *j) {
    printf("%s: %s %s %s, %s, %s, %.0f threads, %s\n", file, json_text(j, "tool"), json_text(j, "library"),
           json_text(j, "commit"), json_text(j, "processor"), json_text(j, "device"), json_number(j, "threads"),
           json_text(j, "date"));
}

static int compare(const json *a, const json *b, double limit) {
    const json *of_a = json_get(a, "results"), *of_b = json_get(b, "results");
    int both = 0, slower = 0;
    double logs = 0;
    printf("%-40s %-8s %-5s %12s %12s %8s\n", "", "pass", "dtype", "A us", "B us", "B / A");
    for (const json *r = of_a ? of_a->first : NULL; r; r = r->next) {
        const json *s = find(of_b, r);
        const double x = json_number(r, "median"), y = json_number(s, "median");
        if (!(x > 0) || !(y > 0)) continue;
        both++;
        logs += log(y / x);
        const bool behind = y > x * (1 + limit);
        slower += behind;
        printf("%-40s %-8s %-5s %12.2f %12.2f %8.3f%s\n", json_text(r, "name"), json_text(r, "pass"),
               json_text(r, "dtype"), x * 1e6, y * 1e6, y / x, behind ? "  SLOWER" : "");
    }
    if (!both) {
        fprintf(stderr, "tern-bench: the two have no case in common\n");
        return 2;
    }
    printf("%d cases in both, geometric mean of B / A %.3f; %d slower by more than %.0f %%\n", both, exp(logs / both),
           slower, 100 * limit);
    return slower > 0;
}

int bench_compare(const char *a, const char *b, double limit) {
    json *x = json_read(a), *y = x ? json_read(b) : NULL;
    int code = 2;
    if (x && y) {
        print_head(a, x);
        print_head(b, y);
        code = compare(x, y, limit);
    }
    json_free(x);
    json_free(y);
    return code;
}
