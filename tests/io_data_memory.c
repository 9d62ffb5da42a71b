/* Every allocation of a program that reads, changes and loads data fails once: an error, nothing left behind. */
#include "common.h"
#include "tern/datasets.h"
#include "tern/picture.h"
#include "tern/table.h"

#include <sys/stat.h>

static const char *text(const char *name, const char *s) {
    const char *path = test_path(name);
    FILE *f = fopen(path, "wb");
    if (!f || fputs(s, f) < 0 || fclose(f) != 0) FAIL("cannot write %s", path);
    return path;
}

/* Whole epochs of a dataset, whichever way it is loaded. */
static bool epoch(tern_dataset *d, tern_sampler *s, tern_transform *t, tern_collate collate, int workers) {
    tern_loader *l =
        d ? tern_loader_new(
                d, (tern_loader_opts){.batch = 3, .workers = workers, .sampler = s, .transform = t, .collate = collate})
          : NULL;
    tern_batch b;
    const int scope = tern_scope_push();
    while (l && tern_loader_next(l, &b)) tern_scope_pop(scope);
    tern_scope_pop(scope);
    tern_loader_free(l);
    return tern_ok();
}

static bool images(const char *folder, const char *unused, int workers) {
    (void)unused;
    tern_transform *t = tern_transforms_new(
        (tern_transform *[]){tern_random_resized_crop_new(4, 4, (tern_random_resized_crop_opts){0}),
                             tern_random_flip_new(0.5, false), tern_cutout_new(2),
                             tern_normalize_new((double[]){0.5, 0.5, 0.5}, (double[]){1, 1, 1}, 3), tern_mixup_new(1)},
        5);
    tern_dataset *d = t ? tern_folder_dataset_new(folder, (tern_folder_opts){0}) : NULL;
    int64_t label[4];
    tern_sampler *s = d && tern_dataset_labels(d, label) ? tern_sampler_stratified_new(label, d->length) : NULL;
    tern_sampler *share = s ? tern_sampler_distributed_new(s, 0, 1, false) : NULL;
    const bool ok = share && epoch(d, share, t, NULL, workers);
    tern_sampler_free(share);
    tern_sampler_free(s);
    tern_dataset_free(d);
    tern_transform_free(t);
    return ok;
}

static bool rows(const char *csv, const char *tokens, int workers) {
    tern_table *t = tern_csv_load(csv, (tern_csv_opts){0});
    tern_dataset *a =
        t ? tern_table_dataset_new(t, "c", (tern_table_dataset_opts){.one_hot = true, .missing = 2}) : NULL;
    tern_dataset *b = a ? tern_dataset_concat_new((tern_dataset *[]){a, a}, 2) : NULL, *half[2] = {NULL, NULL};
    bool ok = b && tern_dataset_random_split(b, (double[]){0.5, 0.5}, 2, 1, half);
    ok = ok && epoch(half[0], NULL, NULL, tern_collate_pad, workers);
    tern_dataset *k = ok ? tern_tokens_dataset_new(tokens, (tern_tokens_opts){.block = 4}) : NULL;
    ok = k && epoch(k, NULL, NULL, NULL, workers);
    tern_dataset_free(k);
    tern_dataset_free(half[0]);
    tern_dataset_free(half[1]);
    tern_dataset_free(b);
    tern_dataset_free(a);
    tern_table_free(t);
    return ok;
}

static void fail_each(const char *what, bool (*program)(const char *, const char *, int), const char *a, const char *b,
                      int workers) {
    const int64_t device = tern_memory_device(tern_cpu()).live, host = tern_memory_host().live;
    int64_t failed = 0;
    for (int64_t n = 1; n < 5000; n++) {
        check_case("%s, %d workers, allocation %d", what, workers, (int)n);
        tern_memory_fail_at(n);
        const bool good = program(a, b, workers);
        const int64_t requests = tern_memory_requests();
        tern_memory_fail_at(0);
        if (requests < n) {
            CHECK(good, "%s", tern_error_message());
            break;
        }
        failed++;
        if (!good) EXPECT_PENDING(TERN_ERR_MEMORY, "");
        CHECK(tern_memory_device(tern_cpu()).live == device, "tensors are left");
        CHECK(tern_memory_host().live == host, "%d bytes are left", (int)(tern_memory_host().live - host));
        if (check_failures() > 5) return;
    }
    CHECK(failed > 30, "%d", (int)failed);
    fprintf(stderr, "%s, %d workers: %d allocations failed\n", what, workers, (int)failed);
}

TERN_TEST(io_data_memory, no_allocation_may_fail_unseen) {
    char folder[600], picture[40], csv[600], tokens[600];
    snprintf(folder, sizeof folder, "%s", test_path("f"));
    CHECK(mkdir(folder, 0755) == 0 && mkdir(test_path("f/a"), 0755) == 0 && mkdir(test_path("f/b"), 0755) == 0);
    for (int i = 0; i < 4; i++) {
        snprintf(picture, sizeof picture, "f/%s/%d.png", i % 2 ? "a" : "b", i);
        CHECK(tern_picture_save(test_path(picture), tern_ones(TERN_SHAPE(3, 6, 5 + i), (tern_options){0})));
    }
    snprintf(csv, sizeof csv, "%s", text("t.csv", "a,b,c\n1,x,p\n2,y,q\n,x,p\n4,,q\n"));
    snprintf(tokens, sizeof tokens, "%s", text("t.txt", "To be or not to be"));
    for (int workers = 0; workers < 2; workers++) {
        fail_each("folder", images, folder, NULL, workers);
        fail_each("table", rows, csv, tokens, workers);
    }
}
