/* The commands and their options; see `usage`. Exit code: 0; 1 if something could not be timed, or compare found what
 * is slower; 2 for a command line that makes no sense. */
#include <errno.h>

#include "bench.h"

static const char usage[] =
    "usage: tern-bench COMMAND [OPTION]...\n"
    "\n"
    "  list                what there is to time, with its inputs\n"
    "  ops                 ops and updates: kernels whose work is known, and the cases of the tests' tables\n"
    "  overhead            what a call costs beyond its arithmetic\n"
    "  models              training steps, with the peak of their memory\n"
    "  roofline            what this machine can do at most: copies and arithmetic\n"
    "  compare A B         two results of --json beside each other: times of B by those of A\n"
    "  info                the library, the machine and the device\n"
    "  serve               answers open, run and close, for programs that let peers take turns\n"
    "  memory              the peak memory of the one model that --filter names, in bytes: tensors, process\n"
    "\n"
    "  --filter TEXT,...   only what has one of these in its name\n"
    "  --dtype DTYPE       instead of each row's own: f64, f32, f16 or bf16\n"
    "  --device DEVICE     cpu (the default), cuda, cuda:1 or auto\n"
    "  --sizes N,...       instead of each row's own: the side of a square matrix, the elements of what is "
    "elementwise,\n"
    "                      normalised or reduced, else the batch\n"
    "  --threads N         threads of CPU kernels\n"
    "  --seconds S         for one case, once it is warm (1, or 5 for a model, unless the median stays earlier)\n"
    "  --quick             everything once, at tiny sizes: shows that it works, and times nothing\n"
    "  --json              JSON on the standard output instead of a table\n"
    "  --plot FILE.svg     draws the roofline, and the ops on it\n"
    "  --limit PERCENT     compare: what counts as slower (10)\n"
    "  --help\n";

typedef struct arguments {
    bench_options o;
    const char *command, *plot, *file[2];
    int n_files;
    bool json, help;
    double limit;
} arguments;

/* ---- the command line -------------------------------------------------------------------------------------------- */

static bool number(const char *text, double lo, double hi, double *out) {
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return !errno && end != text && !*end && *out >= lo && *out <= hi;
}

static bool wrong(const char *option, const char *text, const char *expected) {
    fprintf(stderr, "tern-bench: %s %s: expected %s\n", option, text ? text : "without a value", expected);
    return false;
}

static bool parse_sizes(const char *text, bench_options *o) {
    static const char expected[] = "up to 12 sizes above 0 with commas between";
    char buf[256], *save = NULL;
    snprintf(buf, sizeof buf, "%s", text);
    for (char *word = strtok_r(buf, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        double n;
        if (o->n_sizes == BENCH_SIZES || !number(word, 1, 1e12, &n) || n != (double)(int64_t)n)
            return wrong("--sizes", text, expected);
        o->sizes[o->n_sizes++] = (int64_t)n;
    }
    return o->n_sizes > 0 || wrong("--sizes", text, expected);
}

static bool parse_dtype(const char *text, bench_options *o) {
    for (int t = 0; t < TERN_DTYPE_COUNT; t++)
        if (tern_dtype_is_float((tern_dtype)t) && !strcmp(text, tern_dtype_name((tern_dtype)t))) o->dtype = t + 1;
    return o->dtype || wrong("--dtype", text, "f64, f32, f16 or bf16");
}

static bool parse_device(const char *text, bench_options *o) {
    if (tern_device_parse(text, &o->device)) return true;
    tern_error_clear();
    return wrong("--device", text, "cpu, cuda, cuda:1 or auto");
}

/* An option that takes a value. */
static bool parse_value(arguments *a, const char *name, const char *value) {
    double n;
    if (!value) return wrong(name, NULL, "a value");
    if (!strcmp(name, "--filter")) return a->o.filter = value, true;
    if (!strcmp(name, "--plot")) return a->plot = value, true;
    if (!strcmp(name, "--dtype")) return parse_dtype(value, &a->o);
    if (!strcmp(name, "--device")) return parse_device(value, &a->o);
    if (!strcmp(name, "--sizes")) return parse_sizes(value, &a->o);
    if (!strcmp(name, "--threads")) {
        if (!number(value, 1, 4096, &n) || n != (double)(int)n) return wrong(name, value, "1 to 4096");
        return tern_set_threads((int)n);
    }
    if (!strcmp(name, "--seconds"))
        return number(value, 1e-3, 3600, &a->o.seconds) || wrong(name, value, "0.001 to 3600");
    if (!number(value, 0, 1000, &n)) return wrong(name, value, "0 to 1000");
    a->limit = n / 100;
    return true;
}

static bool parse(arguments *a, int argc, char **argv) {
    static const char *const valued[] = {"--filter",  "--dtype",   "--device", "--sizes",
                                         "--threads", "--seconds", "--plot",   "--limit"};
    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        while (k < sizeof valued / sizeof *valued && strcmp(argv[i], valued[k])) k++;
        if (k < sizeof valued / sizeof *valued) {
            if (!parse_value(a, argv[i], i + 1 < argc ? argv[i + 1] : NULL)) return false;
            i++;
        } else if (!strcmp(argv[i], "--quick"))
            a->o.quick = true;
        else if (!strcmp(argv[i], "--json"))
            a->json = true;
        else if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            a->help = true;
        else if (argv[i][0] == '-') {
            fprintf(stderr, "tern-bench: there is no option %s; --help lists them\n", argv[i]);
            return false;
        } else if (!a->command)
            a->command = argv[i];
        else if (!strcmp(a->command, "compare") && a->n_files < 2)
            a->file[a->n_files++] = argv[i];
        else {
            fprintf(stderr, "tern-bench: %s is too much\n", argv[i]);
            return false;
        }
    }
    return true;
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

bench_case *bench_add(bench_list *list) {
    if (list->n == list->room) {
        const int room = list->room ? 2 * list->room : 256;
        bench_case *c = realloc(list->c, (size_t)room * sizeof *c);
        if (!c) return NULL;
        list->c = c;
        list->room = room;
    }
    return &list->c[list->n++];
}

bool bench_wanted(const bench_options *o, const char *name) {
    char buf[512], *save = NULL;
    if (!o->filter) return true;
    snprintf(buf, sizeof buf, "%s", o->filter);
    for (char *word = strtok_r(buf, ",", &save); word; word = strtok_r(NULL, ",", &save))
        if (strstr(name, word)) return true;
    return false;
}

static bool fill(bench_list *list, const bench_options *o, bool ops, bool models) {
    bool ok = true;
    if (ops) ok = bench_rows_add(list, o) && bench_models_add(list, o, false) && bench_cases_add(list, o);
    if (ok && models) ok = bench_models_add(list, o, true);
    if (!ok) fprintf(stderr, "tern-bench: out of memory\n");
    return ok;
}

/* ---- commands ---------------------------------------------------------------------------------------------------- */

static int run(const arguments *a, const bench_list *list, int argc, char **argv) {
    bench_roofline roof = {0};
    bench_result *res = calloc((size_t)list->n, sizeof *res);
    int failed = 0;
    if (!res) return 1;
    if (!a->o.quick || a->plot) bench_roofline_measure(&roof, a->o.device, a->o.quick);
    if (a->json) {
        bench_json_head(stdout, argc, argv, a->o.device);
        bench_json_roofline(stdout, &roof);
        printf(",\n \"results\": [\n");
    } else {
        if (roof.n) bench_roofline_print(&roof, a->o.device);
        bench_table_head(list);
    }
    for (int i = 0; i < list->n; i++) {
        const bench_case *c = &list->c[i];
        res[i] = bench_measure(c, &a->o);
        const bool step = c->model && !strcmp(c->group, "models") && !strstr(c->name, "epoch");
        if (step && !res[i].error[0]) bench_memory_of(c, &res[i]);
        failed += res[i].error[0] && !res[i].refused;
        if (a->json) {
            bench_json_case(stdout, c, &res[i], &roof);
            printf(i + 1 < list->n ? ",\n" : "\n ]\n}\n");
        } else
            bench_table_row(c, &res[i], &roof);
    }
    if (failed) fprintf(stderr, "tern-bench: %d of %d could not be timed\n", failed, list->n);
    if (a->plot && !bench_plot(a->plot, list, res, &roof)) failed++;
    free(res);
    return failed > 0;
}

static int roofline(const arguments *a, int argc, char **argv) {
    bench_roofline r;
    const bench_list none = {0};
    if (!bench_roofline_measure(&r, a->o.device, a->o.quick)) {
        fprintf(stderr, "tern-bench: the device could not be measured\n");
        return 1;
    }
    if (a->json) {
        bench_json_head(stdout, argc, argv, a->o.device);
        bench_json_roofline(stdout, &r);
        printf("\n}\n");
    } else
        bench_roofline_print(&r, a->o.device);
    return a->plot && !bench_plot(a->plot, &none, NULL, &r);
}

static int command(const arguments *a, int argc, char **argv) {
    static const char *const known[] = {"list", "ops", "overhead", "models", "serve", "memory"};
    const char *c = a->command;
    bench_list list = {0};
    bench_options o = a->o;
    size_t k = 0;
    while (k < sizeof known / sizeof *known && strcmp(c, known[k])) k++;
    if (k == sizeof known / sizeof *known) {
        fprintf(stderr, "tern-bench: there is no command %s; --help lists them\n", c);
        return 2;
    }
    const bool every = !strcmp(c, "list") || !strcmp(c, "serve"), steps = !strcmp(c, "models") || !strcmp(c, "memory");
    if (!strcmp(c, "overhead") && !o.filter) o.filter = "overhead/";
    if (!fill(&list, &o, !steps, every || steps)) return free(list.c), 1;
    int code;
    if (!list.n) {
        fprintf(stderr, "tern-bench: nothing has that name, size and dtype\n");
        code = 2;
    } else if (!strcmp(c, "list")) {
        bench_list_print(&list, a->json, argc, argv, o.device);
        code = 0;
    } else if (!strcmp(c, "serve"))
        code = bench_serve(&list);
    else if (!strcmp(c, "memory"))
        code = bench_memory_print(&list.c[0]);
    else
        code = run(a, &list, argc, argv);
    free(list.c);
    return code;
}

int main(int argc, char **argv) {
    char info[4096], name[16];
    arguments a = {.limit = 0.1};
    if (!parse(&a, argc, argv)) return 2;
    if (a.help || !a.command) return fputs(usage, a.help ? stdout : stderr), a.help ? 0 : 2;
    if (!strcmp(a.command, "compare")) {
        if (a.n_files == 2) return bench_compare(a.file[0], a.file[1], a.limit);
        fprintf(stderr, "tern-bench: compare takes two files\n");
        return 2;
    }
    tern_on_error(NULL, NULL); /* errors stand in the results */
    if (!strcmp(a.command, "info")) printf("%s\n", tern_info(info, sizeof info));
    if (strcmp(a.command, "list") != 0 && !tern_device_available(a.o.device)) {
        fprintf(stderr, "tern-bench: %s cannot be used:\n%s\n", tern_device_name(a.o.device, name, sizeof name),
                tern_info(info, sizeof info));
        return 1;
    }
    if (!strcmp(a.command, "info")) return 0;
    if (!strcmp(a.command, "roofline")) return roofline(&a, argc, argv);
    return command(&a, argc, argv);
}
