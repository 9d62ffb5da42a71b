/* For programs that let peers take turns: lines "open NAME PASS DTYPE", "run" and "close" on the standard input are
 * answered with "ok TEXT" or "error TEXT"; run's TEXT is seconds a call. */
#include "bench.h"

static const bench_case *find(const bench_list *list, const char *name, const char *pass, const char *dtype) {
    for (int i = 0; i < list->n; i++) {
        const bench_case *c = &list->c[i];
        const char *own = c->tf32 ? "tf32" : tern_dtype_name(c->dtype);
        if (!strcmp(c->name, name) && !strcmp(bench_pass_name(c->pass), pass) && !strcmp(own, dtype)) return c;
    }
    return NULL;
}

static void refuse(const char *why) {
    char text[1024];
    snprintf(text, sizeof text, "%s", why);
    for (char *c = text; *c; c++)
        if (*c == '\n') *c = ' ';
    printf("error %s\n", text);
}

static void open_case(bench_job *j, const bench_list *list, const char *name, const char *pass, const char *dtype) {
    const bench_case *c = find(list, name, pass, dtype);
    if (j->c)
        refuse("a case is open");
    else if (!c)
        refuse("no such case");
    else if (bench_open(j, c, c->tiny ? 0 : 0.02))
        printf("ok %lld\n", (long long)j->calls);
    else {
        refuse(tern_error_message());
        bench_close(j);
    }
}

int bench_serve(const bench_list *list) {
    char line[256], name[128], pass[16], dtype[16];
    bench_job j = {0};
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "open %127s %15s %15s", name, pass, dtype) == 3) {
            open_case(&j, list, name, pass, dtype);
        } else if (strcmp(line, "run\n") == 0 && j.c) {
            const double t = bench_batch(&j);
            if (t < 0)
                refuse(tern_error_message());
            else
                printf("ok %.9g\n", t);
        } else if (strcmp(line, "memory\n") == 0 && j.c) {
            bench_result r = {0};
            if (j.c->model) bench_memory_of(j.c, &r);
            printf("ok %lld %lld\n", (long long)r.tensors_peak, (long long)r.resident);
        } else if (strcmp(line, "close\n") == 0 && j.c) {
            bench_close(&j);
            printf("ok closed\n");
        } else
            refuse("not understood");
        fflush(stdout);
    }
    if (j.c) bench_close(&j);
    return 0;
}
