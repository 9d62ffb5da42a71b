/* What is written: a table for people, JSON for programs. */
#include <sys/utsname.h>
#include <time.h>

#include "bench.h"
#include "commit.h"

const char *bench_pass_name(bench_pass pass) {
    static const char *const names[BENCH_PASSES] = {"forward", "both", "input", "weight", "step"};
    return names[pass];
}

const char *bench_shapes(const bench_case *c, char *buf, size_t size) {
    size_t at = 0;
    buf[0] = 0;
    for (int i = 0; i < BENCH_INPUTS; i++) {
        const tern_shape *s = &c->in[i].shape;
        if (c->in[i].source == BENCH_NONE) continue;
        if (at && at + 1 < size) buf[at++] = ' ', buf[at] = 0;
        if (!s->ndim && at < size) at += (size_t)snprintf(buf + at, size - at, "scalar");
        for (int d = 0; d < s->ndim && at < size; d++)
            at += (size_t)snprintf(buf + at, size - at, "%s%lld", d ? "x" : "", (long long)s->dim[d]);
    }
    return buf;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static void duration(char *buf, size_t size, double seconds) {
    if (seconds < 1e-6)
        snprintf(buf, size, "%.1f ns", seconds * 1e9);
    else if (seconds < 1e-3)
        snprintf(buf, size, "%.2f us", seconds * 1e6);
    else if (seconds < 1)
        snprintf(buf, size, "%.3f ms", seconds * 1e3);
    else
        snprintf(buf, size, "%.3f s", seconds);
}

static void rate(char *buf, size_t size, double work, double seconds) {
    buf[0] = 0;
    if (work > 0 && seconds > 0) snprintf(buf, size, "%.1f", work / seconds * 1e-9);
}

void bench_table_head(const bench_list *list) {
    if (list->n && list->c[0].device.type == TERN_CPU) printf("%d threads; ", tern_threads());
    printf("time of a call; share of what the roofline allows%s\n", list->n && list->c[0].tiny ? "; TINY SIZES" : "");
    printf("%-40s %-8s %-5s %11s %11s %11s %9s %8s %6s\n", "", "pass", "dtype", "min", "median", "max", "GFLOP/s",
           "GB/s", "share");
}

void bench_table_row(const bench_case *c, const bench_result *res, const bench_roofline *r) {
    char min[32], median[32], max[32], flops[32], bytes[32], share[32] = "";
    if (res->refused && c->pass == BENCH_BOTH) return; /* an op without gradient */
    printf("%-40s %-8s %-5s ", c->name, bench_pass_name(c->pass), c->tf32 ? "tf32" : tern_dtype_name(c->dtype));
    if (res->error[0]) {
        printf("not timed: %s\n", res->error);
        return;
    }
    duration(min, sizeof min, res->min);
    duration(median, sizeof median, res->median);
    duration(max, sizeof max, res->max);
    rate(flops, sizeof flops, c->flops, res->median);
    rate(bytes, sizeof bytes, c->bytes, res->median);
    const double s = bench_roofline_share(r, c, res->median);
    if (s > 0) snprintf(share, sizeof share, "%.0f %%", 100 * s);
    printf("%11s %11s %11s %9s %8s %6s", min, median, max, flops, bytes, share);
    if (c->samples > 0) printf("  %.0f samples/s", c->samples / res->median);
    if (res->tensors_peak > 0) printf("  tensors %.1f MB", (double)res->tensors_peak * 1e-6);
    if (res->resident > 0) printf(", process %.1f MB", (double)res->resident * 1e-6);
    printf("\n");
    fflush(stdout);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

void bench_json_text(FILE *f, const char *s) {
    fputc('"', f);
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            fprintf(f, "\\%c", c);
        else if (c == '\n')
            fputs("\\n", f);
        else if (c < 32)
            fprintf(f, "\\u%04x", c);
        else
            fputc(c, f);
    }
    fputc('"', f);
}

static void field(FILE *f, const char *name, const char *text) {
    fprintf(f, " \"%s\": ", name);
    bench_json_text(f, text);
    fputs(",\n", f);
}

/* What one line of /proc/cpuinfo says after its name, or NULL. */
static const char *said(char *line, const char *name) {
    const size_t n = strlen(name);
    char *at = strchr(line, ':');
    if (strncmp(line, name, n) != 0 || !at || at[1] != ' ' || line[n + strspn(line + n, "\t ")] != ':') return NULL;
    at[strcspn(at, "\n")] = 0;
    return at + 2;
}

/* With its family and model: virtual machines name very different processors alike. */
static void processor(char *buf, size_t size) {
    char line[256], name[200] = "unknown", family[16] = "", model[16] = "";
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f) && line[0] != '\n') {
        const char *text;
        if ((text = said(line, "model name"))) snprintf(name, sizeof name, "%s", text);
        if ((text = said(line, "cpu family"))) snprintf(family, sizeof family, "%s", text);
        if ((text = said(line, "model"))) snprintf(model, sizeof model, "%s", text);
    }
    if (f) fclose(f);
    if (family[0] && model[0])
        snprintf(buf, size, "%s family %s model %s", name, family, model);
    else
        snprintf(buf, size, "%s", name);
}

void bench_json_head(FILE *f, int argc, char **argv, tern_device device) {
    char text[4096], name[16];
    struct utsname u;
    const time_t now = time(NULL);
    fputs("{\n", f);
    field(f, "tool", "tern-bench");
    field(f, "library", tern_version());
    field(f, "commit", TERN_BENCH_COMMIT);
    field(f, "compiler", TERN_BENCH_COMPILER);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    field(f, "date", text);
    processor(text, sizeof text);
    field(f, "processor", text);
    if (!uname(&u)) {
        snprintf(text, sizeof text, "%s %s %s", u.sysname, u.release, u.machine);
        field(f, "system", text);
    }
    field(f, "libraries", tern_info(text, sizeof text));
    field(f, "device", tern_device_name(device, name, sizeof name));
    fprintf(f, " \"threads\": %d,\n \"command\": [", tern_threads());
    for (int i = 0; i < argc; i++) {
        if (i) fputs(", ", f);
        bench_json_text(f, argv[i]);
    }
    fputs("],\n", f);
}

void bench_json_roofline(FILE *f, const bench_roofline *r) {
    fputs(" \"roofline\": {\"copy\": [", f);
    for (int i = 0; i < r->n; i++)
        fprintf(f, "%s{\"bytes\": %.17g, \"bytes_per_second\": %.17g}", i ? ", " : "", r->bytes[i], r->copy[i]);
    fputs("], \"flops_per_second\": {", f);
    bool comma = false;
    for (int t = 0; t < TERN_DTYPE_COUNT; t++) {
        if (!(r->flops[t] > 0)) continue;
        fprintf(f, "%s\"%s\": %.17g", comma ? ", " : "", tern_dtype_name((tern_dtype)t), r->flops[t]);
        comma = true;
    }
    fputs("}}", f);
}

static void json_input(FILE *f, const bench_spec *s) {
    static const char *const sources[] = {"none", "normal", "uniform", "integers"};
    fprintf(f, "{\"source\": \"%s\", \"dtype\": \"%s\", \"lo\": %.17g, \"hi\": %.17g, \"grad\": %s, \"shape\": [",
            sources[s->source], tern_dtype_name(s->dtype), s->lo, s->hi, s->grad ? "true" : "false");
    for (int d = 0; d < s->shape.ndim; d++) fprintf(f, "%s%lld", d ? ", " : "", (long long)s->shape.dim[d]);
    fputs("]}", f);
}

void bench_json_case(FILE *f, const bench_case *c, const bench_result *res, const bench_roofline *r) {
    fputs("  {\"name\": ", f);
    bench_json_text(f, c->name);
    fprintf(f, ", \"group\": \"%s\", \"pass\": \"%s\", \"dtype\": \"%s\", \"torch\": ", c->group,
            bench_pass_name(c->pass), c->tf32 ? "tf32" : tern_dtype_name(c->dtype));
    bench_json_text(f, c->torch);
    fprintf(f, ", \"flops\": %.17g, \"bytes\": %.17g, \"samples\": %.17g, \"ops\": %d, \"submit\": %s", c->flops,
            c->bytes, c->samples, c->ops ? c->ops : 1, c->submit ? "true" : "false");
    if (!res) {
        fprintf(f, ", \"tiny\": %s", c->tiny ? "true" : "false");
        int last = -1;
        for (int i = 0; i < BENCH_INPUTS; i++)
            if (c->in[i].source != BENCH_NONE) last = i;
        fputs(", \"inputs\": [", f);
        for (int i = 0; i <= last; i++) {
            if (i) fputs(", ", f);
            json_input(f, &c->in[i]);
        }
        fputs("]}", f);
        return;
    }
    fprintf(f, ", \"min\": %.9g, \"median\": %.9g, \"max\": %.9g, \"rounds\": %d, \"calls\": %lld, \"share\": %.4g",
            res->min, res->median, res->max, res->rounds, (long long)res->calls,
            bench_roofline_share(r, c, res->median));
    fprintf(f, ", \"tensors_peak\": %lld, \"resident\": %lld, \"error\": ", (long long)res->tensors_peak,
            (long long)res->resident);
    bench_json_text(f, res->error);
    fputs("}", f);
}

void bench_list_print(const bench_list *list, bool json, int argc, char **argv, tern_device device) {
    char shapes[256];
    if (json) bench_json_head(stdout, argc, argv, device);
    if (json) printf(" \"cases\": [\n");
    for (int i = 0; i < list->n; i++) {
        const bench_case *c = &list->c[i];
        if (json) {
            bench_json_case(stdout, c, NULL, NULL);
            printf(i + 1 < list->n ? ",\n" : "\n");
        } else
            printf("%-40s %-8s %-5s %s\n", c->name, bench_pass_name(c->pass),
                   c->tf32 ? "tf32" : tern_dtype_name(c->dtype), bench_shapes(c, shapes, sizeof shapes));
    }
    if (json) printf(" ]\n}\n");
}
