/* The loader with samplers, transforms, collate functions, samples of their own shapes and samples without numbers; and
 * datasets made of others. */
#include "common.h"
#include "tern/data.h"
#include "tern/device.h"

enum { N = 50, BATCH = 8 };

typedef struct pictures { /* sample i: [3, 6, 6] of u8, all i; the class is i % 5 */
    tern_dataset d;
    int64_t bad, at; /* at: the next one, as a stream */
    uint64_t seed;
    int64_t epoch;
} pictures;

static bool pictures_get(tern_dataset *d, int64_t i, void *x, void *y) {
    if (i == ((pictures *)d)->bad) return tern_error_set(TERN_ERR_FORMAT, "it is torn");
    for (int k = 0; k < 108; k++) ((uint8_t *)x)[k] = (uint8_t)(i + k % 6);
    *(int64_t *)y = i % 5;
    return true;
}
static void pictures_name(tern_dataset *d, int64_t i, char *buf, size_t size) {
    (void)d;
    snprintf(buf, size, "cats/%d.png", (int)i);
}
static bool pictures_next(tern_dataset *d, void *x, void *y, bool *end) {
    pictures *p = (pictures *)d;
    *end = p->at >= N;
    return *end || pictures_get(d, p->at++, x, y);
}
static bool pictures_restart(tern_dataset *d, uint64_t seed, int64_t epoch) {
    pictures *p = (pictures *)d;
    p->at = 0;
    p->seed = seed;
    p->epoch = epoch;
    return true;
}

static pictures make(bool stream) {
    pictures p = {.d = {.length = stream ? 0 : N,
                        .x_shape = TERN_SHAPE(3, 6, 6),
                        .x_dtype = TERN_U8,
                        .y_dtype = TERN_I64,
                        .get = stream ? NULL : pictures_get,
                        .next = stream ? pictures_next : NULL,
                        .restart = stream ? pictures_restart : NULL,
                        .classes = 5,
                        .name = pictures_name},
                  .bad = -1};
    return p;
}

static tern_transform *augment(void) {
    return tern_transforms_new(
        (tern_transform *[]){tern_random_crop_new(6, 6, (tern_random_crop_opts){.pad = 2}),
                             tern_random_flip_new(0.5, false), tern_random_rotate_new(20, (tern_rotate_opts){0}),
                             tern_color_jitter_new((tern_color_jitter_opts){0.2, 0.2, 0.2, 0.1}),
                             tern_random_erase_new(0.5, (tern_random_erase_opts){0}),
                             tern_normalize_new((double[]){0, 0, 0}, (double[]){1, 2, 4}, 3), tern_mixup_new(0.5)},
        7);
}

/* Everything that comes until the epoch ends, as a sum of words (FNV) over shapes and bytes; *n counts samples. */
static uint64_t content(tern_loader *l, int64_t *n) {
    uint64_t h = 0xcbf29ce484222325u;
    tern_batch b;
    *n = 0;
    const int scope = tern_scope_push();
    while (tern_loader_next(l, &b)) {
        tern_tensor *t[2] = {b.x, b.y};
        for (int k = 0; k < 2; k++) {
            const unsigned char *p = tern_data(t[k]);
            const size_t bytes = (size_t)tern_numel(t[k]) * tern_dtype_size(tern_dtype_of(t[k]));
            for (size_t i = 0; i < bytes; i++) h = (h ^ p[i]) * 0x100000001b3u;
        }
        *n += b.n;
        tern_scope_pop(scope);
    }
    return h;
}

/* Straight through, and from the middle; by 0 to 3 workers; all three epochs alike in all ways. */
static void check_same_content(pictures *d, tern_sampler *s, tern_transform *t, bool drop, int64_t samples) {
    uint64_t first[3], rest = 0;
    for (int workers = 0; workers <= 3; workers++) {
        check_case("%s, %d workers%s", d->d.next ? "stream" : "numbers", workers, drop ? ", dropping" : "");
        pictures own = *d;
        const tern_loader_opts o = {.batch = BATCH,
                                    .seed = 7,
                                    .workers = workers,
                                    .sampler = s,
                                    .transform = t,
                                    .drop_last = drop,
                                    .pin = true};
        tern_loader *l = tern_loader_new(&own.d, o);
        REQUIRE(l);
        CHECK(tern_loader_batches(l) == (d->d.next ? -1 : (samples + BATCH - 1) / BATCH));
        for (int e = 0; e < 3; e++) {
            int64_t n;
            const uint64_t h = content(l, &n);
            CHECK_OK();
            CHECK(n == samples && tern_loader_batches(l) == (samples + BATCH - 1) / BATCH, "%d samples", (int)n);
            if (workers == 0) first[e] = h;
            CHECK(h == first[e], "epoch %d differs", e);
        }
        tern_batch b;
        int64_t n;
        CHECK(tern_loader_seek(l, (tern_loader_state){7, 1, 3}));
        const uint64_t h = content(l, &n);
        CHECK_OK();
        CHECK(n == samples - 3 * BATCH);
        if (workers == 0) rest = h;
        CHECK(h == rest && content(l, &n) == first[2]);
        CHECK(tern_loader_seek(l, (tern_loader_state){7, 1, 0}));
        for (int i = 0; i < 3; i++) CHECK(tern_loader_next(l, &b) && b.index == i);
        CHECK(content(l, &n) == rest && n == samples - 3 * BATCH, "after three batches");
        tern_loader_free(l);
    }
    CHECK(first[0] != first[1] || (!s && !t));
}

TERN_TEST(io_loader_parts, samplers_and_transforms_whatever_the_workers) {
    pictures d = make(false), stream = make(true);
    double w[N];
    int64_t label[N];
    for (int i = 0; i < N; i++) w[i] = i % 7;
    REQUIRE(tern_dataset_labels(&d.d, label) && label[N - 1] == 4);
    tern_transform *t = augment();
    tern_sampler *s[4] = {NULL,
                          tern_sampler_weighted_new(w, N, (tern_sampler_opts){.samples = 90, .replacement = true}),
                          tern_sampler_stratified_new(label, N)};
    s[3] = tern_sampler_distributed_new(s[1], 1, 2, false);
    check_same_content(&d, NULL, t, false, 50);
    check_same_content(&d, NULL, t, true, 48);
    check_same_content(&d, s[1], t, false, 90);
    check_same_content(&d, s[2], NULL, false, 50);
    check_same_content(&d, s[3], t, false, 45);
    check_same_content(&stream, NULL, t, false, 50);
    check_same_content(&stream, NULL, NULL, true, 48);
    for (int i = 0; i < 4; i++) tern_sampler_free(s[i]);
    tern_transform_free(t);
}

/* Every sample has draws of its own, in every batch and epoch. */
TERN_TEST(io_loader_parts, no_two_samples_are_changed_alike) {
    int64_t same[N] = {0};
    pictures d = make(false);
    tern_dataset *ones = tern_dataset_subset_new(&d.d, same, N); /* the first one, fifty times */
    tern_transform *t = tern_color_jitter_new((tern_color_jitter_opts){.brightness = 0.5});
    tern_loader *l = tern_loader_new(ones, (tern_loader_opts){.batch = BATCH, .workers = 2, .transform = t});
    float seen[2 * N];
    int n = 0;
    tern_batch b;
    for (int e = 0; l && e < 2; e++)
        while (tern_loader_next(l, &b))
            for (int64_t i = 0; i < b.n; i++) seen[n++] = ((float *)tern_data(b.x))[108 * i + 5];
    REQUIRE(n == 2 * N);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++) CHECK(seen[i] != seen[k], "samples %d and %d", k, i);
    tern_loader_free(l);
    tern_transform_free(t);
    tern_dataset_free(ones);
}

TERN_TEST(io_loader_parts, errors_name_the_sample) {
    for (int workers = 0; workers <= 2; workers++)
        for (int streamed = 0; streamed < 2; streamed++) {
            check_case("%d workers%s", workers, streamed ? ", a stream" : "");
            pictures d = make(streamed);
            d.bad = 20;
            tern_loader *l = tern_loader_new(&d.d, (tern_loader_opts){.batch = BATCH, .workers = workers});
            tern_batch b;
            CHECK(tern_loader_next(l, &b) && tern_loader_next(l, &b));
            CHECK(!tern_loader_next(l, &b));
            EXPECT_PENDING(TERN_ERR_FORMAT, streamed ? "sample 20: it is torn" : "sample 20 (cats/20.png): it is torn");
            if (workers == 0) d.bad = -1; /* nobody else reads it now */
            for (int i = 2; workers == 0 && i < 7; i++) {
                CHECK(tern_loader_next(l, &b) && b.index == i);
                CHECK(b.x && *(uint8_t *)tern_data(b.x) == 8 * i);
            }
            tern_loader_free(l);
        }
    pictures d = make(false);
    int64_t label[N];
    d.bad = 20;
    EXPECT_ERROR(tern_dataset_labels(&d.d, label), TERN_ERR_FORMAT, "it is torn");
    d.bad = -1;
    tern_transform *t = tern_center_crop_new(9, 9);
    EXPECT_ERROR(tern_loader_new(&d.d, (tern_loader_opts){.transform = t}), TERN_ERR_SHAPE,
                 "9 x 9 of an image of 6 x 6");
    d.d.x_dtype = TERN_F64;
    EXPECT_ERROR(tern_loader_new(&d.d, (tern_loader_opts){.transform = t}), TERN_ERR_DTYPE, "f64");
    tern_transform_free(t);
    tern_sampler *s = tern_sampler_sequential_new(N + 1);
    EXPECT_ERROR(tern_loader_new(&d.d, (tern_loader_opts){.sampler = s}), TERN_ERR_ARGUMENT, "51 for 50");
    tern_sampler_free(s);
    pictures stream = make(true);
    EXPECT_ERROR(tern_loader_new(&stream.d, (tern_loader_opts){.shuffle = true}), TERN_ERR_ARGUMENT, "no other order");
    tern_loader *l = tern_loader_new(&stream.d, (tern_loader_opts){.batch = BATCH});
    EXPECT_ERROR(tern_loader_seek(l, (tern_loader_state){0, 0, 9}), TERN_ERR_ARGUMENT, "end after 50");
    CHECK(tern_loader_seek(l, (tern_loader_state){0, 2, 1}) && stream.epoch == 2 && stream.at == 8);
    tern_loader_free(l);
}

typedef struct picky { /* cannot take the picture that begins with this pixel */
    tern_transform t;
    int pixel;
    bool silent;
} picky;

static bool picky_sample(const tern_transform *t, tern_random *r, tern_shape shape, const float *in, float *out) {
    const picky *p = (const picky *)t;
    const int64_t n = shape.dim[0] * shape.dim[1] * shape.dim[2];
    (void)r;
    if ((int)(in[0] * 255 + 0.5f) == p->pixel)
        return p->silent ? false : tern_error_set(TERN_ERR_FORMAT, "it is too dark");
    memcpy(out, in, (size_t)n * sizeof *out);
    return true;
}

/* Alone and as one of a list: the batch does not come, and the error says which sample it was. */
TERN_TEST(io_loader_parts, transforms_that_fail) {
    for (int k = 0; k < 12; k++) {
        const int workers = k % 3;
        check_case("%d workers, %d", workers, k / 3);
        pictures d = make(false);
        picky p = {{.sample = picky_sample}, 20, k / 3 % 2};
        tern_transform *list =
            k >= 6 ? tern_transforms_new((tern_transform *[]){&p.t, tern_random_flip_new(0, false)}, 2) : NULL;
        tern_loader *l = tern_loader_new(
            &d.d, (tern_loader_opts){.batch = BATCH, .workers = workers, .transform = list ? list : &p.t});
        tern_batch b;
        CHECK(tern_loader_next(l, &b) && tern_loader_next(l, &b));
        CHECK(!tern_loader_next(l, &b));
        const tern_code code = p.silent ? TERN_ERR_ARGUMENT : TERN_ERR_FORMAT;
        EXPECT_PENDING(code, p.silent ? "sample 20 (cats/20.png): transform: it failed, and gave no reason"
                                      : "sample 20 (cats/20.png): it is too dark");
        CHECK(tern_loader_tell(l).batch == 2);
        tern_loader_free(l);
        tern_transform_free(list);
    }
}

static bool wide_get(tern_dataset *d, int64_t i, void *x, void *y) {
    if (d->x_dtype == TERN_F64)
        *(double *)x = (double)i / 3;
    else
        *(int64_t *)x = i;
    *(int64_t *)y = i % 5;
    return true;
}
static bool times_two(const tern_transform *t, tern_random *r, int classes, tern_tensor **x, tern_tensor **y) {
    (void)t, (void)r, (void)classes, (void)y;
    *x = tern_mul_scalar(*x, 2);
    return *x != NULL;
}

/* A transform of batches alone takes them in the dataset's dtype. */
TERN_TEST(io_loader_parts, batches_of_other_dtypes) {
    for (int k = 0; k < 2; k++) {
        tern_dataset d = {.length = N, .x_dtype = k ? TERN_I64 : TERN_F64, .y_dtype = TERN_I64, .get = wide_get};
        tern_transform twice = {.batch = times_two};
        tern_loader *l = tern_loader_new(&d, (tern_loader_opts){.batch = BATCH, .transform = &twice});
        tern_batch b;
        REQUIRE(tern_loader_next(l, &b) && tern_dtype_of(b.x) == d.x_dtype);
        for (int i = 0; i < BATCH; i++)
            CHECK(k ? ((int64_t *)tern_data(b.x))[i] == 2 * i : ((double *)tern_data(b.x))[i] == 2 * ((double)i / 3));
        tern_loader_free(l);
    }
}

typedef struct lines { /* sample i has i % 4 + 1 numbers i */
    tern_dataset d;
} lines;

static bool lines_item(tern_dataset *d, int64_t i, tern_tensor **x, tern_tensor **y) {
    (void)d;
    *x = tern_full(TERN_SHAPE(i % 4 + 1, 2), (double)i, (tern_options){0});
    *y = tern_scalar((double)i, (tern_options){.dtype = TERN_I64});
    return *x && *y;
}

TERN_TEST(io_loader_parts, samples_of_their_own_lengths) {
    lines d = {{.length = 10, .item = lines_item}};
    for (int workers = 0; workers <= 2; workers++) {
        check_case("%d workers", workers);
        tern_loader *l = tern_loader_new(&d.d, (tern_loader_opts){.batch = 3,
                                                                  .workers = workers,
                                                                  .collate = tern_collate_pad,
                                                                  .collate_user = &(tern_pad_values){.x = -1}});
        tern_batch b;
        REQUIRE(tern_loader_next(l, &b));
        CHECK_SHAPE(b.x, 3, 3, 2);
        CHECK_VALUES(b.x, 0, 0, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, 2, 2, 2, 2, 2, 2);
        CHECK_VALUES(b.lengths, 1, 2, 3);
        CHECK_VALUES(b.y, 0, 1, 2);
        int64_t n = b.n;
        while (tern_loader_next(l, &b)) n += b.n;
        CHECK(n == 10);
        tern_loader_free(l);
        l = tern_loader_new(&d.d, (tern_loader_opts){.batch = 3, .workers = workers});
        CHECK(!tern_loader_next(l, &b));
        EXPECT_PENDING(TERN_ERR_SHAPE, "sample 1: x is [2, 2] f32, but the batch begins with [1, 2] f32");
        tern_loader_free(l);
    }
    tern_batch out = {0};
    tern_tensor *two[2] = {tern_ones(TERN_SHAPE(2), (tern_options){0}), tern_ones(TERN_SHAPE(2, 1), (tern_options){0})};
    EXPECT_ERROR(tern_collate_pad(NULL, two, two, 2, &out), TERN_ERR_SHAPE, "x 1 of the batch is 2-dim");
    EXPECT_ERROR(tern_collate_pad(NULL, two, two, 0, &out), TERN_ERR_ARGUMENT, "0 samples");
}

static bool sum_up(void *user, tern_tensor *const *x, tern_tensor *const *y, int64_t n, tern_batch *out) {
    if (user) return false;
    out->x = tern_sum(tern_stack(x, (int)n, 0), NULL, 0, false);
    out->y = y[n - 1];
    return true;
}

TERN_TEST(io_loader_parts, a_collate_function_of_one_s_own) {
    pictures d = make(false);
    tern_transform *t = tern_center_crop_new(2, 2);
    tern_loader *l = tern_loader_new(&d.d, (tern_loader_opts){.batch = 2, .transform = t, .collate = sum_up});
    tern_batch b;
    REQUIRE(tern_loader_next(l, &b)); /* columns 2 and 3: 2 + 3 and 3 + 4, twice, in three channels, of 255 */
    CHECK_ITEM(b.x, 72.0 / 255, 1e-6);
    CHECK(b.n == 2 && tern_item(b.y) == 1);
    tern_loader_free(l);
    l = tern_loader_new(&d.d, (tern_loader_opts){.batch = 2, .collate = sum_up, .collate_user = &d, .workers = 1});
    CHECK(!tern_loader_next(l, &b));
    EXPECT_PENDING(TERN_ERR_ARGUMENT, "gave no reason");
    tern_loader_free(l);
    tern_transform_free(t);
}

TERN_TEST(io_loader_parts, datasets_behind_each_other_and_split) {
    tern_tensor *x = tern_arange(0, 10, (tern_options){0}), *y = tern_arange(10, 20, (tern_options){.dtype = TERN_I64});
    tern_dataset *a = tern_dataset_tensors_new(x, y), *b = tern_dataset_subset_new(a, (int64_t[]){9, 3}, 2);
    tern_dataset *none = tern_dataset_subset_new(a, NULL, 0);
    tern_dataset *c = tern_dataset_concat_new((tern_dataset *[]){b, none, a, b}, 4);
    REQUIRE(c && c->length == 14);
    const int64_t want[14] = {9, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 3};
    float v;
    int64_t k, label[14];
    for (int i = 0; i < 14; i++) CHECK(c->get(c, i, &v, &k) && v == (float)want[i] && k == want[i] + 10);
    CHECK(tern_dataset_labels(c, label) && label[1] == 13 && label[2] == 10);
    pictures p = make(false);
    tern_dataset *parts[3], *named = tern_dataset_concat_new((tern_dataset *[]){&p.d, &p.d}, 2);
    char name[40];
    named->name(named, N + 3, name, sizeof name);
    CHECK(strcmp(name, "cats/3.png") == 0, "%s", name);
    EXPECT_ERROR(tern_dataset_concat_new((tern_dataset *[]){a, &p.d}, 2), TERN_ERR_DTYPE, "part 1 has x u8");
    EXPECT_ERROR(tern_dataset_concat_new((tern_dataset *[]){a, NULL}, 2), TERN_ERR_ARGUMENT, "part 1 is NULL");
    EXPECT_ERROR(tern_dataset_concat_new((tern_dataset *[]){a}, 0), TERN_ERR_ARGUMENT, "0 datasets");
    tern_dataset_free(named);

    for (int counts = 0; counts < 2; counts++) { /* 10 x (0.25, 0.5, 0.25): 2, 5, 2, and one more for the first */
        REQUIRE(tern_dataset_random_split(a, counts ? (double[]){3, 5, 2} : (double[]){0.25, 0.5, 0.25}, 3, 4, parts));
        CHECK(parts[0]->length == 3 && parts[1]->length == 5 && parts[2]->length == 2);
        int seen = 0;
        for (int i = 0; i < 3; i++) {
            for (int64_t j = 0; j < parts[i]->length; j++) {
                CHECK(parts[i]->get(parts[i], j, &v, &k));
                seen |= 1 << (int)v;
            }
            tern_dataset_free(parts[i]);
        }
        CHECK(seen == 1023);
    }
    EXPECT_ERROR(tern_dataset_random_split(a, (double[]){0.5, 0.6}, 2, 0, parts), TERN_ERR_ARGUMENT, "add up to 1.1");
    EXPECT_ERROR(tern_dataset_random_split(a, (double[]){11, -1}, 2, 0, parts), TERN_ERR_ARGUMENT, "part 1 is -1");
    EXPECT_ERROR(tern_dataset_random_split(a, (double[]){9.5, 0.5}, 2, 0, parts), TERN_ERR_ARGUMENT,
                 "expected a count");
    CHECK(!parts[0] && !parts[1]);
    tern_dataset_free(c);
    tern_dataset_free(none);
    tern_dataset_free(b);
    tern_dataset_free(a);
}

/* Batches on the test's device: a GPU's come through pinned memory, on a stream of their own. */
TERN_TEST(io_loader_parts, on_the_device) {
    pictures d = make(false);
    for (int workers = 0; workers <= 2; workers++) {
        tern_loader *l = tern_loader_new(
            &d.d, (tern_loader_opts){.batch = BATCH, .workers = workers, .device = test_device(), .prefetch = 3});
        REQUIRE(l);
        for (int e = 0; e < 2; e++) {
            tern_batch b;
            int64_t i = 0;
            const int scope = tern_scope_push();
            while (tern_loader_next(l, &b)) {
                CHECK(tern_device_equal(tern_device_of(b.x), test_device()));
                double v[BATCH * 108];
                CHECK(tern_to_doubles(b.x, v, b.n * 108));
                for (int64_t k = 0; k < b.n; k++, i++)
                    CHECK(v[k * 108] == (double)i && v[k * 108 + 107] == (double)i + 5);
                tern_scope_pop(scope);
            }
            CHECK_OK();
            CHECK(i == N);
        }
        tern_loader_free(l);
    }
}
